"""Refunds over HTTP: one, those of a deposit, and those still owed."""

from typing import Final

from chalice.app import Blueprint

from chalicelib.core.refusal import Fault, Reason, Refused
from chalicelib.web import render
from chalicelib.web.answers import RefundAnswer, RefundListAnswer
from chalicelib.web.deposits import READ, READERS
from chalicelib.web.edge import Answer, Call, endpoint
from chalicelib.web.parameters import CURSOR, LIMIT_DEFAULT, choice, limit, next_cursor, position, text

routes = Blueprint(__name__)
BACK_OFFICE: Final = {"merchant", "platform"}


def visible(call: Call) -> None:
    """Ownership is told before faults of the query."""
    call.services.desk.refund(call.params["refund_id"], call.asked)


@endpoint(
    routes,
    "GET",
    "/v1/refunds/{refund_id}",
    summary="Show a refund with its lines and attempts",
    roles=READERS,
    answers={200: RefundAnswer},
    reasons=READ,
    tag="refunds",
    guard=visible,
)
def show(call: Call) -> Answer:
    outcome, refund = call.services.desk.refund(call.params["refund_id"], call.asked)
    return Answer(render.refund(outcome.deposit, refund, outcome.locale))


@endpoint(
    routes,
    "GET",
    "/v1/refunds",
    summary="List a deposit's refunds, newest first, or what is still owed, the earliest promise first (platform: due first)",
    roles=READERS,
    answers={200: RefundListAnswer},
    query=(
        text("deposit", "The refunds of this deposit."),
        choice("status", ("open",), "Everything not yet with the buyer; for merchant and platform."),
        limit(),
        CURSOR,
    ),
    reasons=(*READ, Reason.INVALID_REQUEST, Reason.INVALID_CURSOR),
    tag="refunds",
)
def list_refunds(call: Call) -> Answer:
    deposit_id, status = call.query.get("deposit"), call.query.get("status")
    if (deposit_id is None) == (status is None):
        raise Refused(Reason.INVALID_REQUEST, [Fault("/deposit", "missing" if deposit_id is None else "invalid")])
    if deposit_id is not None:
        return _of_deposit(call, deposit_id)
    if call.caller.role not in BACK_OFFICE:
        raise Refused(Reason.FORBIDDEN)
    return _still_owed(call)


def _of_deposit(call: Call, deposit_id: str) -> Answer:
    outcome = call.services.desk.get(deposit_id, call.asked)
    begin = position(call, _filter)
    newest_first = tuple(reversed(outcome.deposit.refunds))
    start = int(str(begin["n"])) if begin is not None else 0
    size = call.query.get("limit", LIMIT_DEFAULT)
    rows = [render.refund(outcome.deposit, one, call.locale) for one in newest_first[start : start + size]]
    more = {"n": start + size} if start + size < len(newest_first) else None
    return Answer({"data": rows, "next_cursor": next_cursor(call, _filter, more)})


def _still_owed(call: Call) -> Answer:
    size = call.query.get("limit", LIMIT_DEFAULT)
    found, after = call.services.desk.open_refunds(call.asked, size, position(call, _filter))
    rows = [render.refund(outcome.deposit, refund, call.locale) for outcome, refund in found]
    return Answer({"data": rows, "next_cursor": next_cursor(call, _filter, after)})


def _filter(call: Call) -> str:
    return f"{call.query.get('deposit')}|{call.query.get('status')}"
