"""Refund routes: read, list, goodwill, destination, reroute, proof."""

from typing import Annotated, Literal

from pydantic import StringConstraints

from chalicelib.core import proof as proofs
from chalicelib.core.common.fields import Frozen, MoneyField, Text
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.refund import Refund
from chalicelib.core.refunding.destination import Payee
from chalicelib.flows.snapshot import Outcome
from chalicelib.web.edge.common import BACK_OFFICE, READ, Note, replay_header
from chalicelib.web.edge.declare import PAGE, command, creation, listing, resource
from chalicelib.web.edge.query import NUMBER, PLACE, choice, page_size, position, text, write_page
from chalicelib.web.edge.route import Answer, Call, Routes, endpoint
from chalicelib.web.refunds import render
from chalicelib.web.refunds.answers import ProofAnswer, RefundAnswer, VerdictAnswer

routes = Routes(__name__, "refunds")


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


def check_access(call: Call) -> None:
    """Refuse another's refund before faults of the body."""
    call.services.refunds.find(call.params["refund_id"], call.asked)


@resource(
    routes,
    "/v1/refunds/{refund_id}",
    "Show a refund with its lines and attempts",
    RefundAnswer,
    guard=check_access,
    example="shown",
)
def show(call: Call) -> Answer:
    outcome, refund = call.services.refunds.find(call.params["refund_id"], call.asked)
    return Answer(render.refund(outcome.deposit, refund, outcome.locale))


@creation(
    routes,
    "/v1/refunds",
    "Grant goodwill: some of what is held goes back, whatever the rules say",
    RefundAnswer,
    roles={"merchant"},
    body=GrantBody,
    reasons=(Reason.CURRENCY_MISMATCH, Reason.REFUND_EXCEEDS_REFUNDABLE, Reason.FUNDS_IN_DISPUTE, Reason.STALE_VERSION),
    example="granted",
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
    answer = render.refund(outcome.deposit, refund, outcome.locale)
    return Answer(answer, 201, {"Location": f"/v1/refunds/{answer['id']}", **replay_header(outcome)})


@command(
    routes,
    "/v1/refunds/{refund_id}/destination",
    "Name the account that a refund is paid to, where its way back is closed",
    RefundAnswer,
    roles={"buyer"},
    body=DestinationBody,
    guard=check_access,
    reasons=(Reason.CONSENT_REQUIRED,),
    example="account_named",
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
    return _write_refund(*call.services.refunds.name_destination(call.params["refund_id"], payee, call.asked))


@command(
    routes,
    "/v1/refunds/{refund_id}/reroute",
    "Take a refund off its way: the buyer is asked for an account",
    RefundAnswer,
    roles={"platform"},
    body=RerouteBody,
    guard=check_access,
    example="rerouted",
)
def reroute(call: Call) -> Answer:
    """Only where nothing that was sent can still be executed; in `manual_review` the provider is asked first."""
    body: RerouteBody = call.fields
    return _write_refund(*call.services.refunds.reroute(call.params["refund_id"], body.note, call.asked))


@resource(
    routes,
    "/v1/refunds/{refund_id}/proof",
    "Everything that is needed to compute a refund again, without trusting us",
    ProofAnswer,
    guard=check_access,
    example="proved",
)
def proof(call: Call) -> Answer:
    return Answer(call.services.refunds.proof(call.params["refund_id"], call.asked))


@endpoint(
    routes,
    "POST",
    "/v1/refund-proofs/verify",
    "Compute a proof again: what differs, and where",
    {200: VerdictAnswer},
    raw_body="RefundProof",
    keyed=False,
    reasons=(Reason.INVALID_REQUEST,),
    example="verified",
)
def verify(call: Call) -> Answer:
    """Reads nothing but the proof itself. The same check runs offline: `make verify PROOF=file`."""
    differences = proofs.find_differences(call.json)
    rows = [
        {"pointer": difference.pointer, "expected": difference.expected, "found": difference.found}
        for difference in differences
    ]
    return Answer({"valid": not rows, "differences": rows})


@listing(
    routes,
    "/v1/refunds",
    "List a deposit's refunds, newest first, or what is still owed, the earliest promise first (platform: due first)",
    RefundAnswer,
    query=(
        text("deposit", "The refunds of this deposit."),
        choice("status", ("open",), "Everything not yet with the buyer; for merchant and platform."),
        *PAGE,
    ),
    reasons=READ,
    example="listed",
)
def list_refunds(call: Call) -> Answer:
    deposit_id, status = call.query.get("deposit"), call.query.get("status")
    if (deposit_id is None) == (status is None):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/deposit", "missing" if deposit_id is None else "invalid")])
    if deposit_id is not None:
        return _list_of_deposit(call, deposit_id)
    if call.caller.role not in BACK_OFFICE:
        raise Refused(Reason.FORBIDDEN)
    return _list_still_owed(call)


def _list_of_deposit(call: Call, deposit_id: str) -> Answer:
    outcome = call.services.desk.get(deposit_id, call.asked)
    begin = position(call, _filter, NUMBER)
    newest_first = tuple(reversed(outcome.deposit.refunds))
    start = int(str(begin["n"])) if begin is not None else 0
    end = start + page_size(call)
    rows = [render.refund(outcome.deposit, refund, call.locale) for refund in newest_first[start:end]]
    return write_page(call, _filter, rows, {"n": end} if end < len(newest_first) else None)


def _list_still_owed(call: Call) -> Answer:
    begin = position(call, _filter, PLACE, NUMBER, {**PLACE, **NUMBER})
    refunds, after = call.services.refunds.list_owed(call.asked, page_size(call), begin)
    rows = [render.refund(outcome.deposit, refund, call.locale) for outcome, refund in refunds]
    return write_page(call, _filter, rows, after)


def _write_refund(outcome: Outcome, refund: Refund) -> Answer:
    return Answer(render.refund(outcome.deposit, refund, outcome.locale), 200, replay_header(outcome))


def _filter(call: Call) -> str:
    return f"{call.query.get('deposit')}|{call.query.get('status')}"
