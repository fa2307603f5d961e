"""Claims over HTTP: a buyer disputes or appeals, a merchant answers, the platform rules, and silence decides."""

from typing import Annotated, Final, Literal, Unpack

from pydantic import AfterValidator, Field

from chalicelib.core.claims.answering import (
    AcceptOffer,
    AddEvidence,
    Claiming,
    Escalate,
    Respond,
    RuleClaim,
    WithdrawClaim,
)
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common.fields import Frozen, MoneyField, Text, field_error
from chalicelib.core.common.ids import parse_child
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.policy.claim_rules import ClaimKind
from chalicelib.web.claims import render
from chalicelib.web.claims.answers import ClaimAnswer
from chalicelib.web.edge.common import BACK_OFFICE, READ, Evidence, Note, UnitsBody, replay_header
from chalicelib.web.edge.declare import PAGE, command, creation, listing, resource
from chalicelib.web.edge.query import PLACE, choice, page_size, position, text, write_page
from chalicelib.web.edge.route import Answer, Call, Decorator, Options, Routes

routes = Routes(__name__, "claims")
CLAIM: Final = "/v1/claims/{claim_id}"
MONEY: Final = (Reason.CURRENCY_MISMATCH, Reason.FUNDS_IN_DISPUTE, Reason.REFUND_EXCEEDS_REFUNDABLE)


def _check_positive(amount: Money) -> Money:
    if amount.minor <= 0:
        raise field_error("too_small")
    return amount


Amount = Annotated[MoneyField, AfterValidator(_check_positive)]


class ClaimBody(Frozen):
    """What is wrong. ``lines`` for goods that did not come, ``amount`` for ``refund_amount`` and ``other``, else neither."""

    deposit: Text
    kind: ClaimKind
    statement: Note
    lines: Annotated[tuple[UnitsBody, ...], Field(max_length=10)] = ()
    amount: Amount | None = None
    evidence: Evidence = ()


class ResponseBody(Frozen):
    """The merchant's answer. An offer needs an amount, a rejection a statement."""

    decision: Literal["accept", "offer", "reject"]
    amount: Amount | None = None
    statement: Note | None = None


class EvidenceBody(Frozen):
    """More that shows it, from either side."""

    evidence: Annotated[Evidence, Field(min_length=1)]
    statement: Note | None = None


class RulingBody(Frozen):
    """The platform's decision and why. ``partly`` needs an amount below what is owed."""

    decision: Literal["uphold", "partly", "dismiss"]
    amount: Amount | None = None
    reason: Note


@creation(
    routes,
    "/v1/claims",
    "Dispute or appeal: what is owed is computed, and silence decides for the buyer",
    ClaimAnswer,
    roles={"buyer"},
    body=ClaimBody,
    reasons=(Reason.WRONG_STATE, Reason.CLAIM_CLOSED, *MONEY, Reason.STALE_VERSION),
    example="opened",
)
def open_claim(call: Call) -> Answer:
    """On a locked, completed or cancelled deposit. The money in question cannot move otherwise while the claim is open.

    Before the promised time a line without a shipment cannot be claimed: `claimable_at` says from when.
    """
    body: ClaimBody = call.fields
    service = call.services.claims
    lines = tuple(Units(units.line, units.quantity) for units in body.lines)
    evidence = tuple(dict.fromkeys(body.evidence))
    command = OpenClaim(body.kind, service.digest(body.statement) or "", lines, body.amount, evidence)
    view = service.open(body.deposit, command, body.statement, call.asked)
    answer = render.claim(view)
    return Answer(answer, 201, {"Location": f"/v1/claims/{answer['id']}", **replay_header(view.outcome)})


@listing(
    routes,
    "/v1/claims",
    "List a deposit's claims, newest first, or those that are undecided, what silence decides first at the head",
    ClaimAnswer,
    query=(
        text("deposit", "The claims of this deposit."),
        choice("status", ("open",), "Everything undecided; for merchant and platform."),
        *PAGE,
    ),
    reasons=READ,
    example="listed",
)
def list_claims(call: Call) -> Answer:
    """A page of undecided claims is of `limit` deposits at most, each with all of its open claims."""
    deposit_id, status = call.query.get("deposit"), call.query.get("status")
    if (deposit_id is None) == (status is None):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/deposit", "missing" if deposit_id is None else "invalid")])
    if deposit_id is not None:
        position(call, _filter)
        return write_page(
            call, _filter, map(render.claim, call.services.claims.list_claims(deposit_id, call.asked)), None
        )
    if call.caller.role not in BACK_OFFICE:
        raise Refused(Reason.FORBIDDEN)
    claims, after = call.services.claims.list_undecided(call.asked, page_size(call), position(call, _filter, PLACE))
    return write_page(call, _filter, map(render.claim, claims), after)


def check_access(call: Call) -> None:
    """Refuse another's claim before faults of the body."""
    call.services.claims.find(call.params["claim_id"], call.asked)


def claim_command(action: str, summary: str, **options: Unpack[Options]) -> Decorator:
    """POST to ``action`` under a claim that the caller may see."""
    options["reasons"] = (Reason.CLAIM_CLOSED, *options.get("reasons", ()))
    options.setdefault("guard", check_access)
    return command(routes, f"{CLAIM}/{action}", summary, ClaimAnswer, **options)


@resource(routes, CLAIM, "Show a claim with its history", ClaimAnswer, guard=check_access, example="in_review")
def show(call: Call) -> Answer:
    return Answer(render.claim(call.services.claims.find(call.params["claim_id"], call.asked)))


@claim_command(
    "responses",
    "Answer a claim: accept it, offer an amount, or reject it",
    roles={"merchant"},
    body=ResponseBody,
    reasons=(*MONEY, Reason.BELOW_OWED),
    example="answered",
)
def respond(call: Call) -> Answer:
    """At most two offers, none below what is owed, the second above the first. A rejection goes to the platform at once.

    An answer after `due_at` is kept in the history and changes nothing.
    """
    body: ResponseBody = call.fields
    digest = call.services.claims.digest(body.statement)
    return _run(call, Respond(_claim_number(call), body.decision, body.amount, digest), body.statement)


@claim_command(
    "accept-offer", "Take the merchant's offer: the claim ends with it", roles={"buyer"}, example="offer_accepted"
)
def accept_offer(call: Call) -> Answer:
    """Never by silence: an offer that is not taken in 48 hours goes to the platform."""
    return _run(call, AcceptOffer(_claim_number(call)))


@claim_command("escalate", "Take no offer: the platform decides", roles={"buyer"}, example="escalated")
def escalate(call: Call) -> Answer:
    return _run(call, Escalate(_claim_number(call)))


@claim_command("withdraw", "Take a claim back", roles={"buyer"}, example="withdrawn")
def withdraw(call: Call) -> Answer:
    """While it is undecided."""
    return _run(call, WithdrawClaim(_claim_number(call)))


@claim_command(
    "evidence", "Hand in more evidence", roles={"buyer", "merchant"}, body=EvidenceBody, example="evidence_added"
)
def add_evidence(call: Call) -> Answer:
    """While it is undecided; at most twenty items, both sides together."""
    body: EvidenceBody = call.fields
    evidence, digest = tuple(dict.fromkeys(body.evidence)), call.services.claims.digest(body.statement)
    return _run(call, AddEvidence(_claim_number(call), call.caller.role, evidence, digest), body.statement)


@claim_command(
    "ruling", "Decide a claim that is in review", roles={"platform"}, body=RulingBody, reasons=MONEY, example="ruled"
)
def rule(call: Call) -> Answer:
    """With a reason in words. After `due_at` it is kept in the history and changes nothing."""
    body: RulingBody = call.fields
    digest = call.services.claims.digest(body.reason) or ""
    return _run(call, RuleClaim(_claim_number(call), body.decision, digest, body.amount), body.reason)


def _run(call: Call, command: Claiming, words: str | None = None) -> Answer:
    view = call.services.claims.execute(call.params["claim_id"], command, words, call.asked)
    return Answer(render.claim(view), 200, replay_header(view.outcome))


def _claim_number(call: Call) -> int:
    """The claim's number in its deposit. NOT_FOUND for what is no id of a claim."""
    parsed = parse_child("clm", call.params["claim_id"])
    if parsed is None:
        raise Refused(Reason.NOT_FOUND)
    return parsed[1]


def _filter(call: Call) -> str:
    return f"{call.query.get('deposit')}|{call.query.get('status')}"
