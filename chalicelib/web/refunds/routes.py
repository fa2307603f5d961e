"""Refund routes: read, list, goodwill, destination, reroute, proof."""

from typing import Annotated, Literal

from chalice.app import Blueprint
from pydantic import StringConstraints

from chalicelib.core import proof as proofs
from chalicelib.core.common.fields import Frozen, MoneyField, Text
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.refund import Refund
from chalicelib.core.refunding.destination import Payee
from chalicelib.flows.snapshot import Outcome
from chalicelib.web.edge.common import BACK_OFFICE, READ, READERS, WRITES, Note, replay_header
from chalicelib.web.edge.query import CURSOR, DEFAULT_LIMIT, NUMBER, PLACE, choice, limit, next_cursor, position, text
from chalicelib.web.edge.route import Answer, Call, endpoint
from chalicelib.web.refunds import render
from chalicelib.web.refunds.answers import ProofAnswer, RefundAnswer, RefundListAnswer, VerdictAnswer

routes = Blueprint(__name__)


class GrantBody(Frozen):
    """Some money back out of goodwill. ``expected_refundable`` is the deposit's ``refundable`` as you saw it."""

    deposit: Text
    amount: MoneyField
    expected_refundable: MoneyField
    note: Note | None = None


class DestinationBody(Frozen):
    """The buyer's own account, given with the buyer's consent."""

    kind: Literal["bank_account"]
    holder: Annotated[str, StringConstraints(min_length=1, max_length=140, pattern=r"^[^\x00-\x1f\x7f]*$")]
    bank: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}$")]
    account: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 -]{2,39}$")]
    consent: bool


class RerouteBody(Frozen):
    """To an account that the buyer will be asked for."""

    kind: Literal["payout"]
    note: Note | None = None


def visible(call: Call) -> None:
    """Ownership is told before faults of the query."""
    call.services.refunds.find(call.params["refund_id"], call.asked)


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
    outcome, refund = call.services.refunds.find(call.params["refund_id"], call.asked)
    return Answer(render.refund(outcome.deposit, refund, outcome.locale))


@endpoint(
    routes,
    "POST",
    "/v1/refunds",
    summary="Grant goodwill: some of what is held goes back, whatever the rules say",
    roles={"merchant"},
    body=GrantBody,
    answers={201: RefundAnswer},
    reasons=(
        Reason.INVALID_REQUEST,
        Reason.CURRENCY_MISMATCH,
        Reason.REFUND_EXCEEDS_REFUNDABLE,
        Reason.FUNDS_IN_DISPUTE,
        *WRITES,
    ),
    tag="refunds",
)
def grant(call: Call) -> Answer:
    """Status, total and balance of the deposit stay. Two grants at once: the second sees another `expected_refundable`."""
    body: GrantBody = call.fields
    faults = [FieldError("/amount", "too_small")] if body.amount.minor <= 0 else []
    faults += [FieldError("/expected_refundable", "too_small")] if body.expected_refundable.minor < 0 else []
    if faults:
        raise Refused(Reason.INVALID_REQUEST, faults)
    outcome, refund = call.services.refunds.grant(
        body.deposit, body.amount, body.expected_refundable, body.note, call.asked
    )
    shown = render.refund(outcome.deposit, refund, outcome.locale)
    return Answer(shown, 201, {"Location": f"/v1/refunds/{shown['id']}", **replay_header(outcome)})


@endpoint(
    routes,
    "POST",
    "/v1/refunds/{refund_id}/destination",
    summary="Name the account that a refund is paid to, where its way back is closed",
    roles={"buyer"},
    body=DestinationBody,
    answers={200: RefundAnswer},
    reasons=(*READ, Reason.CONSENT_REQUIRED, Reason.WRONG_STATE, *WRITES),
    tag="refunds",
    guard=visible,
)
def destination(call: Call) -> Answer:
    """In `requires_action` and `returned`, and again until money is on its way there.

    The first account is paid at once, another one after a cool-down. Its bank is asked in whose name it is.
    """
    body: DestinationBody = call.fields
    call.services.refunds.find(call.params["refund_id"], call.asked)
    if not body.consent:
        raise Refused(Reason.CONSENT_REQUIRED, [FieldError("/consent", "consent_needed")])
    payee = Payee(body.holder, body.bank, body.account)
    return _whole(*call.services.refunds.name_destination(call.params["refund_id"], payee, call.asked))


@endpoint(
    routes,
    "POST",
    "/v1/refunds/{refund_id}/reroute",
    summary="Take a refund off its way: the buyer is asked for an account",
    roles={"platform"},
    body=RerouteBody,
    answers={200: RefundAnswer},
    reasons=(*READ, Reason.WRONG_STATE, *WRITES),
    tag="refunds",
    guard=visible,
)
def reroute(call: Call) -> Answer:
    """Only where nothing that was sent can still be executed; in `manual_review` the provider is asked first."""
    body: RerouteBody = call.fields
    return _whole(*call.services.refunds.reroute(call.params["refund_id"], body.note, call.asked))


@endpoint(
    routes,
    "GET",
    "/v1/refunds/{refund_id}/proof",
    summary="Everything that is needed to compute a refund again, without trusting us",
    roles=READERS,
    answers={200: ProofAnswer},
    reasons=READ,
    tag="refunds",
    guard=visible,
)
def proof(call: Call) -> Answer:
    return Answer(call.services.refunds.proof(call.params["refund_id"], call.asked))


@endpoint(
    routes,
    "POST",
    "/v1/refund-proofs/verify",
    summary="Compute a proof again: what differs, and where",
    answers={200: VerdictAnswer},
    raw_body="RefundProof",
    keyed=False,
    reasons=(Reason.INVALID_REQUEST,),
    tag="refunds",
)
def verify(call: Call) -> Answer:
    """Reads nothing but the proof itself. The same check runs offline: `make verify PROOF=file`."""
    found = proofs.differences(call.json)
    rows = [{"pointer": one.pointer, "expected": one.expected, "found": one.found} for one in found]
    return Answer({"valid": not rows, "differences": rows})


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
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/deposit", "missing" if deposit_id is None else "invalid")])
    if deposit_id is not None:
        return _of_deposit(call, deposit_id)
    if call.caller.role not in BACK_OFFICE:
        raise Refused(Reason.FORBIDDEN)
    return _still_owed(call)


def _of_deposit(call: Call, deposit_id: str) -> Answer:
    outcome = call.services.desk.get(deposit_id, call.asked)
    begin = position(call, _filter, NUMBER)
    newest_first = tuple(reversed(outcome.deposit.refunds))
    start = int(str(begin["n"])) if begin is not None else 0
    size = call.query.get("limit", DEFAULT_LIMIT)
    rows = [render.refund(outcome.deposit, one, call.locale) for one in newest_first[start : start + size]]
    more = {"n": start + size} if start + size < len(newest_first) else None
    return Answer({"data": rows, "next_cursor": next_cursor(call, _filter, more)})


def _still_owed(call: Call) -> Answer:
    size = call.query.get("limit", DEFAULT_LIMIT)
    begin = position(call, _filter, PLACE, NUMBER, {**PLACE, **NUMBER})
    found, after = call.services.refunds.list_owed(call.asked, size, begin)
    rows = [render.refund(outcome.deposit, refund, call.locale) for outcome, refund in found]
    return Answer({"data": rows, "next_cursor": next_cursor(call, _filter, after)})


def _whole(outcome: Outcome, refund: Refund) -> Answer:
    return Answer(render.refund(outcome.deposit, refund, outcome.locale), 200, replay_header(outcome))


def _filter(call: Call) -> str:
    return f"{call.query.get('deposit')}|{call.query.get('status')}"
