"""The local server stands in for API Gateway: it adds what the gateway would, loses nothing, mixes nothing up."""

import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any

import pytest
from chalice.app import Chalice, CORSConfig, Request, Response
from waitress import wasyncore

from local import server
from local.server import Answer, Gateway, Headers, listening, wsgi

NOW = 1_712_239_200_000
STATUS = {"not-found": 404, "internal-error": 500, "body-too-large": 413}


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def problem(reason: str, headers: Headers) -> Answer:
    facts = {"type": f"/problems/{reason}", "origin": headers.get("origin"), "id": headers["x-amzn-requestid"]}
    return STATUS[reason], {"Content-Type": "application/problem+json"}, json.dumps(facts).encode()


class Gate:
    """Where a request waits until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self.open.wait(10)


GATE = Gate()


def throw_away_app() -> Chalice:
    app = Chalice(app_name="throw-away")
    app.log.setLevel(logging.CRITICAL)

    def current() -> Request:
        assert app.current_request is not None
        return app.current_request

    def seen() -> dict[str, Any]:
        request = current()
        query = request.query_params
        body = request.raw_body
        return {
            "method": request.method,
            "path": request.context["path"],
            "params": request.uri_params,
            "query": {name: query.getlist(name) for name in query} if query else {},
            "headers": dict(request.headers),
            "body": body.decode("latin-1") if isinstance(body, bytes) else body,
            "context": {key: request.context[key] for key in ("requestId", "requestTimeEpoch", "identity")},
        }

    @app.route("/seen", methods=["GET", "POST"], content_types=["application/json", "text/plain"])
    def get_seen() -> dict[str, Any]:
        return seen()

    @app.route("/things/{thing_id}", cors=CORSConfig(allow_origin="https://shop.test"))
    def get_thing(thing_id: str) -> dict[str, Any]:
        return seen() | {"thing": thing_id}

    @app.route("/things/{other}/parts")
    def get_parts(other: str) -> dict[str, Any]:
        return seen() | {"thing": other}

    @app.route("/slow/{name}")
    def get_slow(name: str) -> dict[str, Any]:
        time.sleep(0.002)
        return {"asked_for": name, "path": current().context["path"]}

    @app.route("/gate")
    def get_gate() -> dict[str, Any]:
        GATE.wait()
        return {}

    @app.route("/empty", methods=["DELETE"])
    def delete_empty() -> Response:
        return Response(body="", status_code=204)

    @app.route("/split")
    def get_split() -> Response:
        return Response(body="", headers={"Location": "/a\rSet-Cookie: a=b"})

    @app.route("/boom")
    def get_boom() -> None:
        raise RuntimeError("canary")

    return app


@contextmanager
def running(clock: Clock, threads: int = server.THREADS) -> Iterator[Any]:
    listener = listening(wsgi(throw_away_app(), problem, clock), 0, clock, threads)
    loop = threading.Thread(target=listener.run, daemon=True)
    loop.start()
    try:
        yield listener
    finally:
        listener.task_dispatcher.shutdown()
        listener.trigger.pull_trigger(lambda: wasyncore.close_all(listener._map))
        loop.join(5)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with running(Clock()) as listener:
        yield int(listener.effective_port)


@pytest.fixture(scope="module")
def gateway() -> Gateway:
    return Gateway(throw_away_app(), problem, Clock())


def ask(port: int, method: str, path: str, body: bytes | None = None, headers: Headers | None = None) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request(
            method, path, body, headers or {}, encode_chunked=body is not None and "Chunked" in str(headers)
        )
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def raw(port: int, *parts: bytes) -> bytes:
    """What comes back to exactly these bytes, until the server hangs up or falls silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
        return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# --- What the gateway adds ---


def test_a_request_carries_id_instant_and_address(port: int) -> None:
    contexts = [json.loads(ask(port, "GET", "/seen")[2])["context"] for _ in range(2)]
    assert all(context["requestTimeEpoch"] == NOW for context in contexts)
    assert all(context["identity"] == {"sourceIp": "127.0.0.1"} for context in contexts)
    assert len({context["requestId"] for context in contexts}) == 2


def test_the_machine_clock_counts_milliseconds_of_now() -> None:
    assert abs(server.machine_clock() - time.time() * 1000) < 5_000


@pytest.mark.parametrize("name", ["earnest.asked", "Earnest-Asked", "earnest_asked", "requestTimeEpoch", "Asked"])
def test_a_client_cannot_set_the_instant_of_asking(port: int, name: str) -> None:
    _, _, content = ask(port, "GET", "/seen", headers={name: "1"})
    assert json.loads(content)["context"]["requestTimeEpoch"] == NOW


def test_a_request_is_asked_when_its_head_was_read_not_when_its_body_came() -> None:
    clock = Clock()
    with running(clock) as listener, socket.create_connection(("127.0.0.1", listener.effective_port)) as connection:
        head = (
            b"POST /seen HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 100")  # so the head was read
        clock.now = NOW + 5_000
        connection.sendall(b"{}")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["context"]["requestTimeEpoch"] == NOW


def test_a_request_that_waits_in_the_queue_was_asked_when_it_came() -> None:
    clock = Clock()
    with running(clock, threads=1) as listener, ThreadPoolExecutor(2) as clients:
        first = clients.submit(ask, listener.effective_port, "GET", "/gate")
        assert GATE.reached.wait(10)
        second = clients.submit(ask, listener.effective_port, "GET", "/seen")
        while not listener.task_dispatcher.queue:
            time.sleep(0.001)
        clock.now = NOW + 60_000
        GATE.open.set()
        assert first.result(10)[0] == 200
        assert json.loads(second.result(10)[2])["context"]["requestTimeEpoch"] == NOW


def test_an_unknown_path_is_a_problem(port: int) -> None:
    status, headers, content = ask(port, "GET", "/nowhere", headers={"Origin": "https://shop.test"})
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert json.loads(content)["type"] == "/problems/not-found"
    assert json.loads(content)["origin"] == "https://shop.test"


def test_an_unknown_path_is_a_problem_whatever_the_authorization(port: int) -> None:
    answer = raw(port, b"GET /nowhere HTTP/1.0\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
    assert status_of(answer) == 404


def test_an_answer_that_would_split_is_our_fault_and_logged(port: int, caplog: pytest.LogCaptureFixture) -> None:
    status, headers, content = ask(port, "GET", "/split")
    assert (status, json.loads(content)["type"]) == (500, "/problems/internal-error")
    assert "location" not in headers
    assert [record.name for record in caplog.records] == ["local.server"]


def test_an_error_never_shows_its_cause(port: int) -> None:
    status, _, content = ask(port, "GET", "/boom")
    assert status == 500
    assert b"canary" not in content
    assert b"Traceback" not in content


def test_the_server_does_not_name_itself(port: int) -> None:
    for path in ("/seen", "/nowhere", "/boom"):
        assert "server" not in ask(port, "GET", path)[1]
    assert b"Server:" not in raw(port, b"GARBAGE\r\n\r\n")


# --- What must survive ---


def test_percent_encoding_and_repeated_keys_survive(port: int) -> None:
    status, _, content = ask(port, "GET", "/things/a%20b%2Fc%3F?q=1&q=2&empty=&text=%E5%AE%9A%E9%87%91%26+x")
    seen = json.loads(content)
    assert status == 200
    assert seen["thing"] == "a%20b%2Fc%3F"
    assert seen["path"] == "/things/a%20b%2Fc%3F"
    assert seen["query"] == {"q": ["1", "2"], "empty": [""], "text": ["定金& x"]}


@pytest.mark.parametrize("target", [b"http://a.test/seen?q=1", b"HTTP://a.test:80/seen?q=1", b"/seen?q=1"])
def test_a_request_may_name_the_whole_address(port: int, target: bytes) -> None:
    answer = raw(port, b"GET " + target + b" HTTP/1.0\r\nHost: a.test\r\n\r\n")
    seen = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (seen["path"], seen["query"]) == ("/seen", {"q": ["1"]})


@pytest.mark.parametrize("target", [b"//seen", b"//evil.test/seen", b"/seen;a", b"/seen#a", b"/se\ten", b"seen", b"*"])
def test_a_path_means_itself_and_nothing_else(port: int, target: bytes) -> None:
    assert status_of(raw(port, b"GET " + target + b" HTTP/1.0\r\n\r\n")) == 404


def test_a_path_has_only_its_own_parameters(port: int) -> None:
    assert json.loads(ask(port, "GET", "/things/a/parts")[2])["params"] == {"other": "a"}


def test_repeated_headers_are_joined(port: int) -> None:
    answer = raw(port, b"GET /seen HTTP/1.0\r\nAccept-Language: zh\r\nAccept-Language: id\r\n\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["headers"]["accept-language"] == "zh, id"


def test_a_body_arrives_as_sent(port: int) -> None:
    body = bytes(range(256))
    content = ask(port, "POST", "/seen", body, {"Content-Type": "text/plain"})[2]
    assert json.loads(content)["body"] == body.decode("latin-1")


def test_a_body_in_chunks_arrives_whole(port: int) -> None:
    head = b"POST /seen HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = raw(port, head, b'3\r\n{"a\r\n', b'5\r\n": 1}\r\n', b"0\r\n\r\n")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["body"] == '{"a": 1}'


def test_a_head_answers_as_the_get_without_body(port: int) -> None:
    status, headers, content = ask(port, "HEAD", "/things/a")
    got, got_headers, got_content = ask(port, "GET", "/things/a")
    assert (status, content) == (got, b"")
    assert headers["content-type"] == got_headers["content-type"]
    assert int(headers["content-length"]) > 0
    assert abs(int(headers["content-length"]) - len(got_content)) < 50
    assert ask(port, "HEAD", "/nowhere")[0] == 404


def test_after_a_head_the_connection_goes_on(port: int) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        for method in ("HEAD", "GET", "HEAD", "DELETE", "GET"):
            connection.request(method, "/empty" if method == "DELETE" else "/seen")
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (
                (204, False) if method == "DELETE" else (200, method == "GET")
            )


def test_a_browser_may_ask_beforehand(port: int) -> None:
    status, headers, content = ask(port, "OPTIONS", "/things/a")
    assert (status, content) == (200, b"")
    assert headers["access-control-allow-origin"] == "https://shop.test"


# --- What must not get through ---


@pytest.mark.parametrize(("size", "status"), [(70_000, 200), (70_001, 413), (200_000, 413), (1_048_576, 413)])
def test_a_large_body_is_a_problem(port: int, size: int, status: int) -> None:
    answered, headers, content = ask(port, "POST", "/seen", b"x" * size, {"Content-Type": "text/plain"})
    assert answered == status
    if status == 413:
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(content)["type"] == "/problems/body-too-large"


def test_a_large_body_in_chunks_is_a_problem(port: int) -> None:
    head = b"POST /seen HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    answer = raw(port, head, chunk, chunk, b"0\r\n\r\n")
    assert status_of(answer) == 413
    assert b"/problems/body-too-large" in answer


def test_a_huge_body_is_refused_before_it_is_sent(port: int) -> None:
    answer = raw(port, b"POST /seen HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n")
    assert status_of(answer) == 413
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    ("head", "statuses"),
    [
        (b"GET /seen HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",                {431}),
        (b"GET /seen HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 2_000 + b"\r\n",                       {431}),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",                           {431}),
        (b"GET /seen HTTP/1.1\r\nHost: a\r\nBroken header\r\n\r\n",                            {400}),
        (b"GET /seen HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n",                               {400}),
        (b"GET /seen HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n",                               {400}),
        (b"GET /seen\rX HTTP/1.1\r\nHost: a\r\n\r\n",                                          {400}),
        ("GET /seen?text=定金 HTTP/1.1\r\nHost: a\r\n\r\n".encode(),                             {400}),
        (b"GET http://[ HTTP/1.1\r\nHost: a\r\n\r\n",                                          {400, 404}),
        (b"get /seen HTTP/1.1\r\nHost: a\r\n\r\n",                                             {400}),
        (b"GARBAGE\r\n\r\n",                                                                   {400}),
        (b"POST /seen HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",                      {400}),
        (b"POST /seen HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",                    {400}),
        (b"POST /seen HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",   {400, 413}),
        (b"POST /seen HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",        {400}),
        (b"POST /seen HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",                 {501}),
        (b"TRACE /seen HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",                      {405}),
        (b"FOO /seen HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",                        {405}),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",                      {400, 404}),
        (b"FOO /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",                     {404}),
        (b"GET /things/a%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", {200}),
        (b"GET /seen?x=%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",  {200}),
    ],
)  # fmt: skip
def test_what_is_malformed_or_odd_gets_a_plain_no(port: int, head: bytes, statuses: set[int]) -> None:
    answer = raw(port, head)
    top, _, _ = answer.partition(b"\r\n\r\n")
    assert status_of(answer) in statuses
    assert b"set-cookie" not in top.lower()
    assert b"Traceback" not in answer


def test_a_taken_port_is_an_error(port: int) -> None:
    with pytest.raises(OSError, match="in use"):
        listening(wsgi(throw_away_app(), problem), port, Clock())


# --- Many at once, and one within another ---


def test_requests_of_eight_clients_are_not_mixed_up(port: int) -> None:
    def client(number: int) -> list[float]:
        took = []
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
            for turn in range(50):
                name, began = f"{number}-{turn}", time.perf_counter()
                connection.request("GET", f"/slow/{name}")
                answer = json.loads(connection.getresponse().read())
                took.append(time.perf_counter() - began)
                assert answer == {"asked_for": name, "path": f"/slow/{name}"}
        return took

    with ThreadPoolExecutor(8) as clients:
        took = sorted(chain.from_iterable(clients.map(client, range(8))))
    assert took[len(took) // 10] < 0.04  # were acknowledgements delayed, hardly one would be faster


def test_requests_in_process_are_not_mixed_up(gateway: Gateway) -> None:
    def one(number: int) -> bool:
        _, _, content = gateway.request("GET", f"/slow/{number}", {}, b"")
        return (
            content == json.dumps({"asked_for": str(number), "path": f"/slow/{number}"}, separators=(",", ":")).encode()
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(one, range(200)))


def test_a_request_within_a_request_gives_the_outer_one_back() -> None:
    app = throw_away_app()
    gateway = Gateway(app, problem, Clock())

    @app.route("/outer")
    def get_outer() -> dict[str, Any]:
        status, _, content = gateway.request("POST", "/seen", {"Content-Type": "text/plain"}, b"inner")
        return {"inner": [status, json.loads(content)["body"]], "outer": getattr(app.current_request, "path", None)}

    assert json.loads(gateway.request("GET", "/outer", {}, b"")[2]) == {"inner": [200, "inner"], "outer": "/outer"}


def test_a_second_gateway_of_an_app_changes_nothing() -> None:
    app = throw_away_app()
    for _ in range(2):
        assert Gateway(app, problem, Clock()).request("GET", "/seen?q=1", {}, b"")[0] == 200


def test_in_process_headers_are_read_in_any_case_and_bodies_are_capped(gateway: Gateway) -> None:
    status, headers, content = gateway.request("POST", "/seen", {"CONTENT-TYPE": "text/plain", "X-One": "1"}, b"a")
    seen = json.loads(content)
    assert (status, headers["Content-Length"]) == (200, str(len(content)))
    assert (seen["headers"]["x-one"], seen["body"], seen["context"]["requestTimeEpoch"]) == ("1", "a", NOW)
    assert gateway.request("POST", "/seen", {}, b"x" * 70_001)[0] == 413
