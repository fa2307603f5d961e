"""In place of API Gateway: Chalice's local gateway behind waitress, on 127.0.0.1 only.

Chalice finds the route and makes the Lambda event. This adds what the real gateway adds: request id, instant of arrival,
the caller's address, a limit on bodies, and problem answers to requests that never reach the app.
"""

import logging
import re
import secrets
import socket
import time
from base64 import b64decode
from collections.abc import Callable, Iterable
from functools import partial
from http.client import responses as phrases
from typing import Any, Final, TypeAlias
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import LocalChalice, LocalGateway, LocalGatewayException, create_local_server
from waitress import create_server
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer
from waitress.task import WSGITask

Headers: TypeAlias = dict[str, str]
Answer: TypeAlias = tuple[int, Headers, bytes]
Problem: TypeAlias = Callable[[str, Headers], Answer]
"""From a reason's name and the request's headers to the whole answer."""
Clock: TypeAlias = Callable[[], int]

HOST: Final = "127.0.0.1"
THREADS: Final = 32
LAMBDA_SECONDS: Final = 29  # API Gateway waits no longer, so nothing should count on more
MAX_BODY_BYTES: Final = 70_000  # the app itself refuses above 64 kB; larger bodies are refused here
MAX_READ_BYTES: Final = 1_048_577  # below it a body is read, and refused with our problem; from it on waitress says 413
MAX_HEADER_BYTES: Final = 16_384
RECEIVE_BYTES: Final = 65_536  # a body refused unread resets the connection, and the answer is lost
MAX_CONNECTIONS: Final = 1_000  # a connection that is not accepted has no instant of arrival yet

ASKED: Final = "earnest.asked"  # what a client sends arrives under HTTP_ names, so this one cannot be forged
AUTHORITY: Final = re.compile(r"^https?://[^/?#]*", re.IGNORECASE)
URI_CHARACTERS: Final = "/?&=%+,:@!$'()*[]~"
HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

LOG: Final = logging.getLogger(__name__)


def machine_clock() -> int:
    return time.time_ns() // 1_000_000


class Gateway:
    """Calls the app as API Gateway would: in this process, from any thread, also from within a request."""

    def __init__(self, app: Chalice, problem: Problem, asked: Clock = machine_clock) -> None:
        _keep_requests_apart(app)
        self._app = app
        self._problem = problem
        self._asked = asked
        self._config = _config()

    def request(
        self,
        method: str,
        path_with_query: str,
        headers: Headers,
        body: bytes,
        *,
        asked: int | None = None,
        source_ip: str = HOST,
    ) -> Answer:
        context = {
            "requestId": secrets.token_hex(16),
            "requestTimeEpoch": self._asked() if asked is None else asked,
            "identity": {"sourceIp": source_ip},
        }
        lowered = {name.lower(): value for name, value in headers.items()}
        status, answered, content = self._answer(method, _target(path_with_query), lowered, body, context)
        sized = answered | {"Content-Length": str(len(content))}
        return status, sized, b"" if method == "HEAD" else content

    def _answer(self, method: str, target: str, headers: Headers, body: bytes, context: dict[str, Any]) -> Answer:
        context_headers = headers | {
            "x-amzn-requestid": context["requestId"],
            "x-earnest-path": target.partition("?")[0],
        }
        if len(body) > MAX_BODY_BYTES:
            return self._problem("body-too-large", context_headers)
        outer = getattr(self._app, "current_request", None)
        try:
            gateway = _RequestGateway(self._app, self._config, context)
            return _read(gateway.handle_request("GET" if method == "HEAD" else method, target, headers, body))
        except LocalGatewayException:
            return self._problem("not-found", context_headers)
        except Exception:
            LOG.exception("A request failed outside the app")
            return self._problem("internal-error", context_headers)
        finally:
            # The sandbox delivers provider events from within a request; that request goes on afterwards.
            self._app.current_request = outer


def wsgi(app: Chalice, problem: Problem, asked: Clock = machine_clock) -> WSGIApplication:
    """The gateway as a WSGI application."""
    gateway = Gateway(app, problem, asked)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, headers, content = gateway.request(
            environ["REQUEST_METHOD"],
            environ["REQUEST_URI"],
            _headers(environ),
            environ["wsgi.input"].read(MAX_BODY_BYTES + 1),
            asked=environ.get(ASKED),
            source_ip=environ["REMOTE_ADDR"],
        )
        start_response(f"{status} {phrases.get(status, 'Unknown')}", list(headers.items()))
        return [content] if content else []

    return application


def listening(application: WSGIApplication, port: int, asked: Clock, threads: int = THREADS) -> TcpWSGIServer:
    """A server that is bound to the port (0: any free one) and answers once it runs. OSError when the port is taken."""
    server = create_server(
        application,
        sockets=[socket.create_server((HOST, port))],
        threads=threads,
        ident=None,
        expose_tracebacks=False,
        connection_limit=MAX_CONNECTIONS,
        asyncore_use_poll=True,
        recv_bytes=RECEIVE_BYTES,
        max_request_header_size=MAX_HEADER_BYTES,
        max_request_body_size=MAX_READ_BYTES,
        inbuf_overflow=MAX_READ_BYTES,
    )
    server.channel_class = partial(_Channel, asked)
    return server


def serve(app: Chalice, port: int, asked: Clock, problem: Problem) -> None:
    """Answer on the port until Ctrl-C."""
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a queue of a few requests is no news
    listening(wsgi(app, problem, asked), port, asked).run()


class _RequestGateway(LocalGateway):
    """Chalice's gateway for one request, with the context that the real one adds."""

    def __init__(self, app: Chalice, config: Config, context: dict[str, Any]) -> None:
        super().__init__(app, config)
        self._context = context

    def _generate_lambda_event(self, method: str, path: str, headers: Headers, body: bytes | None) -> dict[str, Any]:
        try:
            event = super()._generate_lambda_event(method, path, headers, body)
        except ValueError:  # handled here: Chalice's own way fails on authorization headers that are not ASCII
            raise LocalGatewayException({}) from None
        event["requestContext"] |= self._context
        route = event["requestContext"]["resourcePath"]
        # Chalice also captures names of routes it tried before.
        event["pathParameters"] = {
            name: value for name, value in event["pathParameters"].items() if f"{{{name}}}" in route
        }
        return event


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """Records when a request's head was read. A request that waits in the queue is judged at that instant."""

    def __init__(self, clock: Clock, adj: object) -> None:
        super().__init__(adj)
        self._clock = clock
        self.asked = 0

    def parse_header(self, header_plus: bytes) -> None:
        self.asked = self._clock()
        try:
            super().parse_header(header_plus)
        except ValueError:  # waitress would drop the connection without a word
            raise ParsingError("Malformed request") from None


class _Task(WSGITask):  # type: ignore[misc]
    def get_environment(self) -> WSGIEnvironment:
        environ: WSGIEnvironment = super().get_environment()
        environ[ASKED] = self.request.asked
        return environ


class _Channel(HTTPChannel):  # type: ignore[misc]
    task_class = _Task

    def __init__(self, clock: Clock, *accepted: Any, **also: Any) -> None:
        super().__init__(*accepted, **also)
        self.parser_class = partial(_Parser, clock)


def _config() -> Config:
    return Config.create(lambda_timeout=LAMBDA_SECONDS)


def _keep_requests_apart(app: Chalice) -> None:
    """Have Chalice keep the current request per thread. Its development server does so on creation; it never runs."""
    if not isinstance(app, LocalChalice):
        create_local_server(app, _config(), HOST, 0).server.server_close()


def _target(uri: str) -> str:
    """Path and query. ``;``, ``#`` and tabs are ordinary characters; a host is dropped."""
    target = quote(AUTHORITY.sub("", uri), safe=URI_CHARACTERS) or "/"
    return "" if target.startswith("//") else target


def _headers(environ: WSGIEnvironment) -> Headers:
    headers = {name.removeprefix("HTTP_"): value for name, value in environ.items() if name.startswith("HTTP_")}
    entity_headers = {name: environ[name] for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if name in environ}
    return {name.replace("_", "-").lower(): value for name, value in (headers | entity_headers).items()}


def _read(response: dict[str, Any]) -> Answer:
    repeated = {name: ", ".join(values) for name, values in response["multiValueHeaders"].items()}
    headers: Headers = response["headers"] | repeated
    for name, value in headers.items():
        if not HEADER_VALUE.fullmatch(value):
            raise ValueError(f"The answer's {name} header would split it")
    content = _content(response)
    if content and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/json"
    return response["statusCode"], headers, content


def _content(response: dict[str, Any]) -> bytes:
    body: str | bytes = response["body"] or b""
    if response.get("isBase64Encoded"):
        return b64decode(body)
    return body.encode() if isinstance(body, str) else body
