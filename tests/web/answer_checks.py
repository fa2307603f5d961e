"""Checks that hold for every answer, and short checks of refusals."""

from itertools import count
from typing import Final

from chalicelib.core.common.instants import parse_instant
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason
from chalicelib.web.edge.problems import STATUS
from chalicelib.web.edge.responses import SECURITY_HEADERS
from chalicelib.wiring import services
from tests.world import Client, Json, Reply

_runs: Final = count(1)
PROMISED: Final = ("location", "etag", "content-type")  # of a replay, besides its bytes
# Files of the reference page, the same for everybody.
KEPT: Final = ("text/css", "text/javascript")
# What a buyer gives when the way back is closed.
ACCOUNT: Final[Json] = {
    "kind": "bank_account",
    "holder": "Ana Wijaya",
    "bank": "BCA",
    "account": "1234567890",
    "consent": True,
}
INTERNALS: Final = (b"Traceback", b'File "', b"botocore", b"pydantic", b"chalicelib", b"ValidationException")


def check_answer(reply: Reply) -> Reply:
    """Check that an answer is no 5xx and has the contract's form."""
    assert reply.status < 500, reply.raw
    check_answer_form(reply)
    return reply


def check_answer_form(reply: Reply) -> None:
    """Check headers, that no internals are shown, and that an error is a problem of the contract."""
    assert not [word for word in INTERNALS if word in reply.raw], reply.raw
    for name, value in SECURITY_HEADERS.items():
        if name != "Cache-Control" or not reply.headers.get("content-type", "").startswith(KEPT):
            assert reply.headers.get(name.lower()) == value, (name, reply.headers)
    assert "origin" in reply.headers.get("vary", "").lower()
    if reply.status >= 400 and not reply.headers["content-type"].startswith("text/html"):
        assert reply.headers["content-type"] == "application/problem+json"
        body = reply.json
        assert STATUS[Reason(reply.problem)] == body["status"] == reply.status
        assert body["title"]
        assert body["detail"]
        assert body["request_id"]
        assert "instance" in body


def check_refusal(reply: Reply, status: int, problem: str, pointer: str | None = None) -> Json:
    """Check a refusal's status and problem, and the pointer of one of its errors. Returns the body."""
    check_answer_form(reply)
    assert (reply.status, reply.problem) == (status, problem), reply.raw
    if pointer is not None:
        assert pointer in [fault["pointer"] for fault in reply.json["errors"]], reply.raw
    return reply.json


def accepted(reply: Reply, status: int = 200) -> Json:
    check_answer(reply)
    assert reply.status == status, reply.raw
    return reply.json


def same(first: Reply, again: Reply) -> None:
    """Status, Location, ETag and every byte; only the replay says that it is one."""
    assert (again.status, again.raw) == (first.status, first.raw)
    assert [again.headers.get(name) for name in PROMISED] == [first.headers.get(name) for name in PROMISED]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


def cny(amount: str) -> Json:
    return {"amount": amount, "currency": "CNY"}


def instant(text: str) -> int:
    return parse_instant(text)


def identity_holds(deposit: Json) -> bool:
    """captured = held + refunding + refunded + forfeited + fees."""
    minor = {name: Money.parse(one["amount"], one["currency"]).minor for name, one in deposit["money"].items()}
    parts = ("held", "refunding", "refunded", "forfeited", "fees")
    return minor["captured"] == sum(minor[part] for part in parts)


def path_of(deposit: Json) -> str:
    return f"/v1/deposits/{deposit['id']}"


def trade_in_path(deposit: Json) -> str:
    return f"/v1/trade-ins/{deposit['trade_in']['id']}"


def pages(client: Client, path: str, limit: int) -> list[Json]:
    """Every row of a list, page by page; no page is longer than asked for."""
    rows: list[Json] = []
    cursor = ""
    while True:
        page = accepted(client.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}"))
        assert len(page["data"]) <= limit
        rows += page["data"]
        if page["next_cursor"] is None:
            return rows
        cursor = f"&cursor={page['next_cursor']}"


def attend(deposit: Json) -> None:
    """What close_windows and send_refunds do at this deposit, without what other tests left to them."""
    services().deposit_worker().process_due(deposit["id"], f"test/{next(_runs)}")


def events_of(client: Client, deposit: Json) -> list[Json]:
    return pages(client, f"{path_of(deposit)}/events", 100)


def amount_of(deposit: Json, name: str) -> str:
    """One of the deposit's amounts of money."""
    return str(deposit["money"][name]["amount"])


def refunds_of(client: Client, deposit: Json) -> list[Json]:
    """Every refund of a deposit, newest first."""
    return pages(client, f"/v1/refunds?deposit={deposit['id']}", 100)


def refund_at(client: Client, refund: Json) -> Json:
    """A refund as it stands now."""
    return accepted(client.get(f"/v1/refunds/{refund['id']}"))


def now_of(client: Client) -> str:
    """The sandbox's instant."""
    return str(accepted(client.get("/sandbox/clock"))["now"])


def breaks_of(client: Client, run: Json) -> list[Json]:
    return pages(client, f"/v1/reconciliation-runs/{run['id']}/breaks", 100)
