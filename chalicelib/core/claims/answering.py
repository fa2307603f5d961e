"""Answers to a claim: response, offer, escalation, withdrawal, evidence, ruling."""

from typing import Final, Literal

from chalicelib.core.claims import remedy, schedule
from chalicelib.core.claims.opening import OpenClaim, refuse_beyond_free_money, refuse_other_currency
from chalicelib.core.common import instants
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.claim import OPEN, Claim, ClaimStatus
from chalicelib.core.deposit.command_row import Command, CommandRow, Commands, needed
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import (
    ClaimAccepted,
    ClaimAnsweredLate,
    ClaimDismissed,
    ClaimEvidenceAdded,
    ClaimOffered,
    ClaimPartlyUpheld,
    ClaimRejected,
    ClaimUpheld,
    ClaimWithdrawn,
)
from chalicelib.core.policy.terms import Terms

MAX_LATE_ANSWERS: Final = 5  # answers that came too late which one claim keeps
RETRY_AFTER_SECONDS: Final = 60  # seconds until what the clock has decided is written


class Respond(Command, frozen=True):
    """The merchant; a rejection needs a statement, an offer an amount."""

    claim: int
    decision: Literal["accept", "offer", "reject"]
    amount: Money | None = None
    statement: str | None = None


class AcceptOffer(Command, frozen=True):
    """The buyer takes the latest offer: the claim is over with it."""

    claim: int


class Escalate(Command, frozen=True):
    """The buyer takes no offer: the platform decides."""

    claim: int


class WithdrawClaim(Command, frozen=True):
    """The buyer takes it back."""

    claim: int


class AddEvidence(Command, frozen=True):
    """Either side, while it is open."""

    claim: int
    by: str
    evidence: tuple[str, ...]
    statement: str | None = None


class RuleClaim(Command, frozen=True):
    """The platform decides, with a reason in words."""

    claim: int
    decision: Literal["uphold", "partly", "dismiss"]
    reason: str
    amount: Money | None = None


Claiming = OpenClaim | Respond | AcceptOffer | Escalate | WithdrawClaim | AddEvidence | RuleClaim


def find_claim(deposit: Deposit, n: int) -> Claim:
    """Refused(NOT_FOUND) when there are not so many."""
    if n > len(deposit.claims):
        raise Refused(Reason.NOT_FOUND)
    return deposit.claims[n - 1]


def _require_status(deposit: Deposit, n: int, at: int, *statuses: ClaimStatus) -> Claim:
    """The claim, in one of these statuses by the clock."""
    one = find_claim(deposit, n)
    status = one.status_at(at)
    if status not in OPEN:
        raise Refused(Reason.CLAIM_CLOSED, state=status.value)
    if status not in statuses:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    return one


def _respond(deposit: Deposit, command: Respond, at: int) -> tuple[DepositEvent, ...]:
    _refuse_response_fields(deposit, command)
    one = find_claim(deposit, command.claim)
    if one.status_at(at) is ClaimStatus.GRANTED_BY_DEADLINE:
        return (_record_late_answer(one, at, "merchant", command.decision, command.amount, command.statement),)
    statuses = {ClaimStatus.AWAITING_MERCHANT}
    statuses |= {ClaimStatus.OFFERED} if command.decision == "offer" else set()  # no offer is taken back
    one = _require_status(deposit, command.claim, at, *statuses)
    if command.decision == "accept":
        return _accept_claim(deposit, one, "merchant", one.owed, at, command.statement)
    if command.decision == "offer":
        assert command.amount is not None, "an offer has an amount"
        return (_make_offer(deposit, one, command.amount, command.statement, at),)
    assert command.statement is not None, "a rejection says why"
    due_at = at + instants.duration_ms(one.opened.decide_within)
    return (ClaimRejected(at, one.n, due_at, command.statement, schedule.compute_reminders(one.rules, at, due_at)),)


def _refuse_response_fields(deposit: Deposit, command: Respond) -> None:
    """An amount exactly with an offer, a statement at least with a rejection."""
    offers = command.decision == "offer"
    if offers != (command.amount is not None):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/amount", "missing" if offers else "not_here")])
    if command.decision == "reject" and command.statement is None:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/statement", "missing")])
    refuse_other_currency(deposit, command.amount)


def _make_offer(deposit: Deposit, one: Claim, amount: Money, statement: str | None, at: int) -> ClaimOffered:
    """At least what is owed, and a second offer more than the first."""
    rules = one.rules
    if amount < one.owed:
        raise Refused(Reason.BELOW_OWED, owed=one.owed)
    if one.latest_offer is not None and amount <= one.latest_offer:
        raise Refused(Reason.BELOW_OWED, owed=one.owed, offered=one.latest_offer)
    if len(one.offers) >= rules.most_offers:
        raise Refused(Reason.WRONG_STATE, state=ClaimStatus.OFFERED.value, most=rules.most_offers)
    refuse_beyond_free_money(deposit, amount, one.amount_in_question)
    most = remedy.compute_max_payment(deposit, one.opened.kind)
    if amount > most:
        raise Refused(Reason.REFUND_EXCEEDS_REFUNDABLE, refundable=most)
    due_at = at + instants.duration_ms(rules.offer_stands)
    return ClaimOffered(at, one.n, amount, due_at, schedule.compute_reminders(rules, at, due_at), statement)


def _accept_claim(
    deposit: Deposit, one: Claim, by: str, amount: Money, at: int, statement: str | None = None
) -> tuple[DepositEvent, ...]:
    given = remedy.compute_remedy(deposit, one, amount, at)
    return (ClaimAccepted(at, one.n, by, given.amount, given.refunds, statement), *given.events)


def _add_evidence(deposit: Deposit, command: AddEvidence, at: int) -> ClaimEvidenceAdded:
    one = _require_status(deposit, command.claim, at, *OPEN)
    most = one.rules.most_evidence
    if one.evidence_count + len(command.evidence) > most:
        raise Refused(Reason.RATE_LIMITED, most=most)
    return ClaimEvidenceAdded(at, one.n, command.by, command.evidence, command.statement)


# --- The platform ---


def _rule_claim(deposit: Deposit, command: RuleClaim, at: int) -> tuple[DepositEvent, ...]:
    _refuse_ruling_fields(deposit, command)
    one = find_claim(deposit, command.claim)
    if one.status_at(at) is ClaimStatus.GRANTED_BY_DEADLINE:
        return (_record_late_answer(one, at, "platform", command.decision, command.amount, command.reason),)
    one = _require_status(deposit, command.claim, at, ClaimStatus.IN_REVIEW)
    if one.status is ClaimStatus.OFFERED:  # the buyer's acceptance may have been sent in time, and be on its way
        raise Refused(Reason.BUSY, retry_after=RETRY_AFTER_SECONDS)
    if command.decision == "dismiss":
        return (ClaimDismissed(at, one.n, command.reason),)
    if command.decision == "uphold":
        given = remedy.compute_remedy(deposit, one, one.owed, at)
        return (ClaimUpheld(at, one.n, given.amount, command.reason, given.refunds), *given.events)
    assert command.amount is not None, "a part has an amount"
    if command.amount >= one.owed:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/amount", "too_large")])
    given = remedy.compute_remedy(deposit, one, command.amount, at)
    return (ClaimPartlyUpheld(at, one.n, given.amount, command.reason, given.refunds), *given.events)


def _refuse_ruling_fields(deposit: Deposit, command: RuleClaim) -> None:
    partly = command.decision == "partly"
    if partly != (command.amount is not None):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/amount", "missing" if partly else "not_here")])
    refuse_other_currency(deposit, command.amount)


def _record_late_answer(
    one: Claim, at: int, by: str, decision: str, amount: Money | None, statement: str | None
) -> ClaimAnsweredLate:
    if one.late_answers >= MAX_LATE_ANSWERS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_LATE_ANSWERS)
    return ClaimAnsweredLate(at, one.n, by, decision, amount, statement)


def _accept_offer(deposit: Deposit, command: AcceptOffer, at: int, _terms: Terms) -> tuple[DepositEvent, ...]:
    claim = _require_status(deposit, command.claim, at, ClaimStatus.OFFERED)
    assert claim.latest_offer is not None, "what is offered has an amount"
    return _accept_claim(deposit, claim, "buyer", claim.latest_offer, at)


def _escalate(deposit: Deposit, command: Escalate, at: int, _terms: Terms) -> DepositEvent:
    return schedule.build_escalation(_require_status(deposit, command.claim, at, ClaimStatus.OFFERED), at, "buyer")


def _withdraw_claim(deposit: Deposit, command: WithdrawClaim, at: int, _terms: Terms) -> DepositEvent:
    return ClaimWithdrawn(at, _require_status(deposit, command.claim, at, *OPEN).n)


COMMANDS: Final[Commands] = (
    CommandRow(Respond, lambda deposit, command, at, _terms: _respond(deposit, command, at), None, needed),
    CommandRow(AcceptOffer, _accept_offer, None, needed),
    CommandRow(Escalate, _escalate, None, needed),
    CommandRow(WithdrawClaim, _withdraw_claim, None, needed),
    CommandRow(AddEvidence, lambda deposit, command, at, _terms: _add_evidence(deposit, command, at), None, needed),
    CommandRow(RuleClaim, lambda deposit, command, at, _terms: _rule_claim(deposit, command, at), None, needed),
)
