"""Claims over HTTP: a buyer disputes or appeals, a merchant answers, the platform rules, and silence decides."""

from typing import Annotated, Final, Literal

from chalice.app import Blueprint
from pydantic import AfterValidator, Field, StringConstraints

from chalicelib.core.claims.answering import AcceptOffer, AddEvidence, Claiming, Escalate, Respond, RuleClaim
from chalicelib.core.claims.answering import WithdrawClaim as Withdraw
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common.fields import Frozen, MoneyField, Text, field_error
from chalicelib.core.common.ids import parse_child
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.policy.claim_rules import ClaimKind
from chalicelib.web.claims import render
from chalicelib.web.claims.answers import ClaimAnswer, ClaimListAnswer
from chalicelib.web.edge.common import BACK_OFFICE, READ, READERS, WRITES, EmptyBody, Evidence, UnitsBody, replay_header
from chalicelib.web.edge.query import CURSOR, DEFAULT_LIMIT, PLACE, choice, limit, next_cursor, position, text
from chalicelib.web.edge.route import Answer, Call, endpoint

routes = Blueprint(__name__)
Words = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
ONE: Final = "/v1/claims/{claim_id}"
MONEY: Final = (Reason.CURRENCY_MISMATCH, Reason.FUNDS_IN_DISPUTE, Reason.REFUND_EXCEEDS_REFUNDABLE)
ANSWERS: Final = (*READ, Reason.WRONG_STATE, Reason.CLAIM_CLOSED, *WRITES)


def _more_than_nothing(amount: Money) -> Money:
    if amount.minor <= 0:
        raise field_error("too_small")
    return amount


Amount = Annotated[MoneyField, AfterValidator(_more_than_nothing)]


class ClaimBody(Frozen):
    """What is wrong. ``lines`` for goods that did not come, ``amount`` for ``refund_amount`` and ``other``, else neither."""

    deposit: Text
    kind: ClaimKind
    statement: Words
    lines: Annotated[tuple[UnitsBody, ...], Field(max_length=10)] = ()
    amount: Amount | None = None
    evidence: Evidence = ()


class ResponseBody(Frozen):
    """The merchant's answer. An offer needs an amount, a rejection a statement."""

    decision: Literal["accept", "offer", "reject"]
    amount: Amount | None = None
    statement: Words | None = None


class EvidenceBody(Frozen):
    """More that shows it, from either side."""

    evidence: Annotated[Evidence, Field(min_length=1)]
    statement: Words | None = None


class RulingBody(Frozen):
    """The platform's decision and why. ``partly`` needs an amount below what is owed."""

    decision: Literal["uphold", "partly", "dismiss"]
    amount: Amount | None = None
    reason: Words


@endpoint(
    routes,
    "POST",
    "/v1/claims",
    summary="Dispute or appeal: what is owed is computed, and silence decides for the buyer",
    roles={"buyer"},
    body=ClaimBody,
    answers={201: ClaimAnswer},
    reasons=(Reason.INVALID_REQUEST, Reason.WRONG_STATE, Reason.CLAIM_CLOSED, *MONEY, *WRITES),
    tag="claims",
)
def open_claim(call: Call) -> Answer:
    """On a locked, completed or cancelled deposit. The money in question cannot move otherwise while the claim is open.

    Before the promised time a line without a shipment cannot be claimed: `claimable_at` says from when.
    """
    body: ClaimBody = call.fields
    service = call.services.claims
    lines = tuple(Units(one.line, one.quantity) for one in body.lines)
    evidence = tuple(dict.fromkeys(body.evidence))
    command = OpenClaim(body.kind, service.digest(body.statement) or "", lines, body.amount, evidence)
    told = service.open(body.deposit, command, body.statement, call.asked)
    shown = render.claim(told)
    return Answer(shown, 201, {"Location": f"/v1/claims/{shown['id']}", **replay_header(told.outcome)})


@endpoint(
    routes,
    "GET",
    "/v1/claims",
    summary="List a deposit's claims, newest first, or those that are undecided, what silence decides first at the head",
    roles=READERS,
    answers={200: ClaimListAnswer},
    query=(
        text("deposit", "The claims of this deposit."),
        choice("status", ("open",), "Everything undecided; for merchant and platform."),
        limit(),
        CURSOR,
    ),
    reasons=(*READ, Reason.INVALID_REQUEST, Reason.INVALID_CURSOR),
    tag="claims",
)
def list_claims(call: Call) -> Answer:
    """A page of undecided claims is of `limit` deposits at most, each with all of its open claims."""
    deposit_id, status = call.query.get("deposit"), call.query.get("status")
    if (deposit_id is None) == (status is None):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/deposit", "missing" if deposit_id is None else "invalid")])
    if deposit_id is not None:
        position(call, _filter)
        return Answer(
            {
                "data": [render.claim(one) for one in call.services.claims.list_claims(deposit_id, call.asked)],
                "next_cursor": None,
            }
        )
    if call.caller.role not in BACK_OFFICE:
        raise Refused(Reason.FORBIDDEN)
    size = call.query.get("limit", DEFAULT_LIMIT)
    found, after = call.services.claims.list_undecided(call.asked, size, position(call, _filter, PLACE))
    return Answer({"data": [render.claim(one) for one in found], "next_cursor": next_cursor(call, _filter, after)})


def found(call: Call) -> None:
    """Ownership is told before faults of the body."""
    call.services.claims.find(call.params["claim_id"], call.asked)


@endpoint(
    routes,
    "GET",
    ONE,
    summary="Show a claim with its history",
    roles=READERS,
    answers={200: ClaimAnswer},
    reasons=READ,
    tag="claims",
    guard=found,
)
def show(call: Call) -> Answer:
    return Answer(render.claim(call.services.claims.find(call.params["claim_id"], call.asked)))


@endpoint(
    routes,
    "POST",
    f"{ONE}/responses",
    summary="Answer a claim: accept it, offer an amount, or reject it",
    roles={"merchant"},
    body=ResponseBody,
    answers={200: ClaimAnswer},
    reasons=(*ANSWERS, *MONEY, Reason.BELOW_OWED),
    tag="claims",
    guard=found,
)
def respond(call: Call) -> Answer:
    """At most two offers, none below what is owed, the second above the first. A rejection goes to the platform at once.

    An answer after `due_at` is kept in the history and changes nothing.
    """
    body: ResponseBody = call.fields
    digest = call.services.claims.digest(body.statement)
    return _done(call, Respond(_number(call), body.decision, body.amount, digest), body.statement)


@endpoint(
    routes,
    "POST",
    f"{ONE}/accept-offer",
    summary="Take the merchant's offer: the claim ends with it",
    roles={"buyer"},
    body=EmptyBody,
    answers={200: ClaimAnswer},
    reasons=ANSWERS,
    tag="claims",
    guard=found,
)
def accept_offer(call: Call) -> Answer:
    """Never by silence: an offer that is not taken in 48 hours goes to the platform."""
    return _done(call, AcceptOffer(_number(call)))


@endpoint(
    routes,
    "POST",
    f"{ONE}/escalate",
    summary="Take no offer: the platform decides",
    roles={"buyer"},
    body=EmptyBody,
    answers={200: ClaimAnswer},
    reasons=ANSWERS,
    tag="claims",
    guard=found,
)
def escalate(call: Call) -> Answer:
    return _done(call, Escalate(_number(call)))


@endpoint(
    routes,
    "POST",
    f"{ONE}/withdraw",
    summary="Take a claim back",
    roles={"buyer"},
    body=EmptyBody,
    answers={200: ClaimAnswer},
    reasons=ANSWERS,
    tag="claims",
    guard=found,
)
def withdraw(call: Call) -> Answer:
    """While it is undecided."""
    return _done(call, Withdraw(_number(call)))


@endpoint(
    routes,
    "POST",
    f"{ONE}/evidence",
    summary="Hand in more evidence",
    roles={"buyer", "merchant"},
    body=EvidenceBody,
    answers={200: ClaimAnswer},
    reasons=ANSWERS,
    tag="claims",
    guard=found,
)
def add_evidence(call: Call) -> Answer:
    """While it is undecided; at most twenty items, both sides together."""
    body: EvidenceBody = call.fields
    evidence, digest = tuple(dict.fromkeys(body.evidence)), call.services.claims.digest(body.statement)
    return _done(call, AddEvidence(_number(call), call.caller.role, evidence, digest), body.statement)


@endpoint(
    routes,
    "POST",
    f"{ONE}/ruling",
    summary="Decide a claim that is in review",
    roles={"platform"},
    body=RulingBody,
    answers={200: ClaimAnswer},
    reasons=(*ANSWERS, *MONEY),
    tag="claims",
    guard=found,
)
def rule(call: Call) -> Answer:
    """With a reason in words. After `due_at` it is kept in the history and changes nothing."""
    body: RulingBody = call.fields
    digest = call.services.claims.digest(body.reason) or ""
    return _done(call, RuleClaim(_number(call), body.decision, digest, body.amount), body.reason)


def _done(call: Call, command: Claiming, words: str | None = None) -> Answer:
    told = call.services.claims.execute(call.params["claim_id"], command, words, call.asked)
    return Answer(render.claim(told), 200, replay_header(told.outcome))


def _number(call: Call) -> int:
    """Which claim of its deposit; what is no id of a claim names none."""
    parsed = parse_child("clm", call.params["claim_id"])
    if parsed is None:
        raise Refused(Reason.NOT_FOUND)
    return parsed[1]


def _filter(call: Call) -> str:
    return f"{call.query.get('deposit')}|{call.query.get('status')}"
