"""Commands on an open claim: response, offer, escalation, withdrawal, evidence, ruling."""

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

MAX_LATE_ANSWERS: Final = 5  # late answers that one claim records
RETRY_AFTER_SECONDS: Final = 60  # until the deadline event is written


class Respond(Command, frozen=True):
    """The merchant responds. A rejection needs a statement, an offer an amount."""

    claim: int
    decision: Literal["accept", "offer", "reject"]
    amount: Money | None = None
    statement: str | None = None


class AcceptOffer(Command, frozen=True):
    """The buyer accepts the latest offer, which closes the claim."""

    claim: int


class Escalate(Command, frozen=True):
    """The buyer accepts no offer: the platform decides."""

    claim: int


class WithdrawClaim(Command, frozen=True):
    """The buyer withdraws the claim."""

    claim: int


class AddEvidence(Command, frozen=True):
    """Either side adds evidence while the claim is open."""

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
    """The ``n``-th claim; NOT_FOUND when the deposit has fewer."""
    if n > len(deposit.claims):
        raise Refused(Reason.NOT_FOUND)
    return deposit.claims[n - 1]


def _require_status(deposit: Deposit, n: int, at: int, *statuses: ClaimStatus) -> Claim:
    """The claim; CLAIM_CLOSED or WRONG_STATE unless it has one of these statuses at ``at``."""
    claim = find_claim(deposit, n)
    status = claim.status_at(at)
    if status not in OPEN:
        raise Refused(Reason.CLAIM_CLOSED, state=status.value)
    if status not in statuses:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    return claim


def _respond(deposit: Deposit, command: Respond, at: int, _terms: Terms) -> tuple[DepositEvent, ...]:
    _refuse_response_fields(deposit, command)
    claim = find_claim(deposit, command.claim)
    if claim.status_at(at) is ClaimStatus.GRANTED_BY_DEADLINE:
        return (_record_late_answer(claim, at, "merchant", command.decision, command.amount, command.statement),)
    statuses = {ClaimStatus.AWAITING_MERCHANT}
    statuses |= {ClaimStatus.OFFERED} if command.decision == "offer" else set()  # an offer cannot be revoked
    claim = _require_status(deposit, command.claim, at, *statuses)
    if command.decision == "accept":
        return _accept_claim(deposit, claim, "merchant", claim.owed, at, command.statement)
    if command.decision == "offer":
        assert command.amount is not None, "an offer has an amount"
        return (_make_offer(deposit, claim, command.amount, command.statement, at),)
    assert command.statement is not None, "a rejection says why"
    due_at = at + instants.duration_ms(claim.opened.decide_within)
    return (ClaimRejected(at, claim.n, due_at, command.statement, schedule.compute_reminders(claim.rules, at, due_at)),)


def _refuse_response_fields(deposit: Deposit, command: Respond) -> None:
    """INVALID_REQUEST unless an amount comes with an offer and only then, and a statement with a rejection."""
    offers = command.decision == "offer"
    if offers != (command.amount is not None):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/amount", "missing" if offers else "not_here")])
    if command.decision == "reject" and command.statement is None:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/statement", "missing")])
    refuse_other_currency(deposit, command.amount)


def _make_offer(deposit: Deposit, claim: Claim, amount: Money, statement: str | None, at: int) -> ClaimOffered:
    """The offer: at least what is owed, more than the former offer, at most what the claim can pay."""
    rules = claim.rules
    if amount < claim.owed:
        raise Refused(Reason.BELOW_OWED, owed=claim.owed)
    if claim.latest_offer is not None and amount <= claim.latest_offer:
        raise Refused(Reason.BELOW_OWED, owed=claim.owed, offered=claim.latest_offer)
    if len(claim.offers) >= rules.most_offers:
        raise Refused(Reason.WRONG_STATE, state=ClaimStatus.OFFERED.value, most=rules.most_offers)
    refuse_beyond_free_money(deposit, amount, claim.amount_in_question)
    max_payment = remedy.compute_max_payment(deposit, claim.opened.kind)
    if amount > max_payment:
        raise Refused(Reason.REFUND_EXCEEDS_REFUNDABLE, refundable=max_payment)
    due_at = at + instants.duration_ms(rules.offer_stands)
    return ClaimOffered(at, claim.n, amount, due_at, schedule.compute_reminders(rules, at, due_at), statement)


def _accept_claim(
    deposit: Deposit, claim: Claim, by: str, amount: Money, at: int, statement: str | None = None
) -> tuple[DepositEvent, ...]:
    outcome = remedy.compute_remedy(deposit, claim, amount, at)
    return (ClaimAccepted(at, claim.n, by, outcome.amount, outcome.refunds, statement), *outcome.events)


def _add_evidence(deposit: Deposit, command: AddEvidence, at: int, _terms: Terms) -> ClaimEvidenceAdded:
    claim = _require_status(deposit, command.claim, at, *OPEN)
    limit = claim.rules.most_evidence
    if claim.evidence_count + len(command.evidence) > limit:
        raise Refused(Reason.RATE_LIMITED, most=limit)
    return ClaimEvidenceAdded(at, claim.n, command.by, command.evidence, command.statement)


# --- The platform ---


def _rule_claim(deposit: Deposit, command: RuleClaim, at: int, _terms: Terms) -> tuple[DepositEvent, ...]:
    _refuse_ruling_fields(deposit, command)
    claim = find_claim(deposit, command.claim)
    if claim.status_at(at) is ClaimStatus.GRANTED_BY_DEADLINE:
        return (_record_late_answer(claim, at, "platform", command.decision, command.amount, command.reason),)
    claim = _require_status(deposit, command.claim, at, ClaimStatus.IN_REVIEW)
    if claim.status is ClaimStatus.OFFERED:  # an acceptance sent in time may not be recorded yet
        raise Refused(Reason.BUSY, retry_after=RETRY_AFTER_SECONDS)
    if command.decision == "dismiss":
        return (ClaimDismissed(at, claim.n, command.reason),)
    if command.decision == "uphold":
        outcome = remedy.compute_remedy(deposit, claim, claim.owed, at)
        return (ClaimUpheld(at, claim.n, outcome.amount, command.reason, outcome.refunds), *outcome.events)
    assert command.amount is not None, "a part has an amount"
    if command.amount >= claim.owed:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/amount", "too_large")])
    outcome = remedy.compute_remedy(deposit, claim, command.amount, at)
    return (ClaimPartlyUpheld(at, claim.n, outcome.amount, command.reason, outcome.refunds), *outcome.events)


def _refuse_ruling_fields(deposit: Deposit, command: RuleClaim) -> None:
    """INVALID_REQUEST unless an amount comes with a partial ruling and only then."""
    partly = command.decision == "partly"
    if partly != (command.amount is not None):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/amount", "missing" if partly else "not_here")])
    refuse_other_currency(deposit, command.amount)


def _record_late_answer(
    claim: Claim, at: int, by: str, decision: str, amount: Money | None, statement: str | None
) -> ClaimAnsweredLate:
    if claim.late_answers >= MAX_LATE_ANSWERS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_LATE_ANSWERS)
    return ClaimAnsweredLate(at, claim.n, by, decision, amount, statement)


def _accept_offer(deposit: Deposit, command: AcceptOffer, at: int, _terms: Terms) -> tuple[DepositEvent, ...]:
    claim = _require_status(deposit, command.claim, at, ClaimStatus.OFFERED)
    assert claim.latest_offer is not None, "what is offered has an amount"
    return _accept_claim(deposit, claim, "buyer", claim.latest_offer, at)


def _escalate(deposit: Deposit, command: Escalate, at: int, _terms: Terms) -> DepositEvent:
    return schedule.build_escalation(_require_status(deposit, command.claim, at, ClaimStatus.OFFERED), at, "buyer")


def _withdraw_claim(deposit: Deposit, command: WithdrawClaim, at: int, _terms: Terms) -> DepositEvent:
    return ClaimWithdrawn(at, _require_status(deposit, command.claim, at, *OPEN).n)


COMMANDS: Final[Commands] = (
    CommandRow(Respond, _respond, None, needed),
    CommandRow(AcceptOffer, _accept_offer, None, needed),
    CommandRow(Escalate, _escalate, None, needed),
    CommandRow(WithdrawClaim, _withdraw_claim, None, needed),
    CommandRow(AddEvidence, _add_evidence, None, needed),
    CommandRow(RuleClaim, _rule_claim, None, needed),
)
