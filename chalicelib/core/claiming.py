"""What people do with claims: open one, answer, offer, accept, escalate, withdraw, add evidence, rule.

An offer below what is owed is refused. Whoever answers after silence has decided is heard, and changes nothing.
"""

from dataclasses import dataclass
from typing import Final, Literal

from chalicelib.core import cancellation, claim, fulfilment, instants, remedy
from chalicelib.core.claim import OPEN, Claim, ClaimStatus, Kind
from chalicelib.core.deposit import FINAL, Deposit, Status, lock_at, status_at
from chalicelib.core.events import (
    ClaimAccepted,
    ClaimAnsweredLate,
    ClaimDismissed,
    ClaimEvidenceAdded,
    ClaimOffered,
    ClaimOpened,
    ClaimPartlyUpheld,
    ClaimRejected,
    ClaimUpheld,
    ClaimWithdrawn,
    DepositEvent,
    Units,
)
from chalicelib.core.ids import child
from chalicelib.core.money import Money, total
from chalicelib.core.refusal import Fault, Reason, Refused
from chalicelib.core.terms import Terms

MOST_LATE: Final = 5  # answers that came too late which one claim keeps
SOON: Final = 60  # seconds until what the clock has decided is written
OF_GOODS: Final = "short_shipment"
OF_AMOUNTS: Final = frozenset({"refund_amount", "other"})
RULED_ONCE: Final = frozenset({"short_shipment", "mistaken_lock", "trade_in"})
WITHOUT_MONEY: Final = frozenset({"merchant_cancellation", "privacy"})


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """The buyer: ``lines`` for goods that did not come, ``amount`` where nothing computes it."""

    kind: Kind
    statement: str
    lines: tuple[Units, ...] = ()
    amount: Money | None = None
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Respond:
    """The merchant; a rejection needs a statement, an offer an amount."""

    claim: int
    decision: Literal["accept", "offer", "reject"]
    amount: Money | None = None
    statement: str | None = None


@dataclass(frozen=True, slots=True)
class AcceptOffer:
    """The buyer takes the latest offer: the claim is over with it."""

    claim: int


@dataclass(frozen=True, slots=True)
class Escalate:
    """The buyer takes no offer: the platform decides."""

    claim: int


@dataclass(frozen=True, slots=True)
class WithdrawClaim:
    """The buyer takes it back."""

    claim: int


@dataclass(frozen=True, slots=True)
class AddEvidence:
    """Either side, while it is open."""

    claim: int
    by: str
    evidence: tuple[str, ...]
    statement: str | None = None


@dataclass(frozen=True, slots=True)
class RuleClaim:
    """The platform decides, with a reason in words."""

    claim: int
    decision: Literal["uphold", "partly", "dismiss"]
    reason: str
    amount: Money | None = None


Claiming = OpenClaim | Respond | AcceptOffer | Escalate | WithdrawClaim | AddEvidence | RuleClaim


def decide(deposit: Deposit, command: Claiming, at: int, terms: Terms) -> tuple[DepositEvent, ...]:
    """The events of a claim's command."""
    match command:
        case OpenClaim():
            return (open_claim(deposit, command, at, terms),)
        case Respond():
            return _responded(deposit, command, at)
        case AcceptOffer():
            one = _in(deposit, command.claim, at, ClaimStatus.OFFERED)
            assert one.offered is not None, "what is offered has an amount"
            return _accepted(deposit, one, "buyer", one.offered, at)
        case Escalate():
            return (claim.escalated(_in(deposit, command.claim, at, ClaimStatus.OFFERED), at, "buyer"),)
        case WithdrawClaim():
            return (ClaimWithdrawn(at, _in(deposit, command.claim, at, *OPEN).n),)
        case AddEvidence():
            return (_more(deposit, command, at),)
        case RuleClaim():
            return _ruled(deposit, command, at)


# --- Opening ---


def refuse(deposit: Deposit, at: int) -> None:
    """Whether any claim could be opened: on an order that is committed or over, for its time, and not without end."""
    status, rules = status_at(deposit, at), claim.published()
    if status not in {Status.LOCKED, Status.COMPLETED, Status.CANCELLED}:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    until = _open_until(deposit)
    if until is not None and at >= until:
        raise Refused(Reason.CLAIM_CLOSED, until=until)
    if len(deposit.claims) >= rules.most_claims:
        raise Refused(Reason.RATE_LIMITED, most=rules.most_claims)


def _open_until(deposit: Deposit) -> int | None:
    """So long after the last shipment or the cancellation, whichever is later; None while something is still to come."""
    if deposit.status not in FINAL:
        return None
    ends = [one.last_shipped_at for one in deposit.progress if one.last_shipped_at is not None]
    ends += [deposit.cancelled.at] if deposit.cancelled is not None else []
    return max(ends) + instants.duration_ms(claim.published().open_for) if ends else None


def open_claim(deposit: Deposit, command: OpenClaim, at: int, terms: Terms) -> ClaimOpened:
    """What is owed is computed here, and stands from then on."""
    refuse_fields(deposit, command)
    refuse(deposit, at)
    _refuse_kind(deposit, command, at, terms)
    _refuse_twice(deposit, command)
    _refuse_decided(deposit, command)
    owed = remedy.owed(deposit, command.kind, command.lines, command.amount)
    if command.kind not in WITHOUT_MONEY:
        _refuse_beyond(deposit, max(owed, command.amount) if command.amount is not None else owed)
    within = terms.claims.platform_decision if command.kind == "privacy" else terms.claims.merchant_response
    due_at = at + instants.duration_ms(within)
    return ClaimOpened(
        at=at,
        claim=len(deposit.claims) + 1,
        kind=command.kind,
        owed=owed,
        contested=contested(deposit, command.lines),
        statement=command.statement,
        due_at=due_at,
        decide_within=terms.claims.platform_decision,
        refund_deadline=terms.refund.deadline,
        amount=command.amount,
        lines=command.lines,
        evidence=command.evidence,
        remind_at=claim.reminders(at, due_at),
    )


def contested(deposit: Deposit, lines: tuple[Units, ...]) -> bool:
    """Whether the merchant recorded some of these units as shipped: that is the merchant's word, and no more."""
    to_ship = (deposit.progress[units.line - 1].to_ship(deposit.lines[units.line - 1].quantity) for units in lines)
    return any(units.quantity > left for units, left in zip(lines, to_ship, strict=True))


def refuse_fields(deposit: Deposit, command: OpenClaim) -> None:
    """Lines exactly for goods, an amount exactly where nothing else computes it."""
    of_goods, of_amounts = command.kind == OF_GOODS, command.kind in OF_AMOUNTS
    if of_goods != bool(command.lines):
        raise Refused(Reason.INVALID_REQUEST, [Fault("/lines", "missing" if of_goods else "not_here")])
    if of_amounts != (command.amount is not None):
        raise Refused(Reason.INVALID_REQUEST, [Fault("/amount", "missing" if of_amounts else "not_here")])
    fulfilment.refuse_lines([units.line for units in command.lines], deposit, "/lines/{}/line")
    for place, units in enumerate(command.lines):
        if units.quantity > deposit.lines[units.line - 1].quantity:
            raise Refused(Reason.INVALID_REQUEST, [Fault(f"/lines/{place}/quantity", "too_large")])
    _refuse_amount(deposit, command.amount)


def _refuse_kind(deposit: Deposit, command: OpenClaim, at: int, terms: Terms) -> None:
    match command.kind:
        case "short_shipment":
            _refuse_goods(deposit, command.lines, at, terms)
        case "mistaken_lock":
            _refuse_lock(deposit, at)
        case "merchant_cancellation":
            _refuse_appeal(deposit, at)
        case "trade_in":
            if deposit.created.trade_in is None or deposit.status is not Status.CANCELLED:
                raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)
        case _:
            pass


def _refuse_goods(deposit: Deposit, lines: tuple[Units, ...], at: int, terms: Terms) -> None:
    """Units whose money has not gone back; before the promised time only such as the merchant says were shipped.

    While a balance is unpaid nothing can have left: then it takes a promised time, and the claim ends the whole order.
    """
    for units in lines:
        left = deposit.progress[units.line - 1].claimable(deposit.lines[units.line - 1].quantity)
        if not units.quantity <= left:
            raise Refused(Reason.WRONG_STATE, line=units.line, left=left)
    lock = lock_at(deposit, at)
    if lock is not None and terms.delivery.within is not None:
        claimable_at = lock.at + instants.duration_ms(terms.delivery.within)
        to_come = any(
            deposit.progress[units.line - 1].to_ship(deposit.lines[units.line - 1].quantity) for units in lines
        )
        if to_come and at < claimable_at:
            raise Refused(Reason.WRONG_STATE, claimable_at=claimable_at)
    promised = terms.delivery.within is not None and remedy.nothing_came(deposit, lines)
    if deposit.status is not Status.CANCELLED and deposit.balance and not promised:
        raise Refused(Reason.WRONG_STATE, balance=deposit.balance)


def _refuse_lock(deposit: Deposit, at: int) -> None:
    """A lock by the buyer's hand or by paying, for some days: nobody mistakes the end of a window."""
    lock = lock_at(deposit, at)
    if lock is None or lock.by == "window_end":
        raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)
    until = lock.at + instants.duration_ms(claim.published().mistaken_lock_for)
    if at >= until:
        raise Refused(Reason.CLAIM_CLOSED, until=until)


def _refuse_appeal(deposit: Deposit, at: int) -> None:
    """Once, against a merchant's cancellation whose reason can be appealed."""
    ended = deposit.cancelled
    reason = cancellation.reasons().get(ended.reason or "") if ended is not None else None
    if reason is None or not reason.appealable:
        raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)
    appeals = (one for one in deposit.claims if one.opened.kind == "merchant_cancellation")
    decided = next((one for one in appeals if not one.open and one.status is not ClaimStatus.WITHDRAWN), None)
    if decided is not None:
        raise Refused(Reason.CLAIM_CLOSED, claim=child("clm", deposit.id, decided.n))


def _refuse_twice(deposit: Deposit, command: OpenClaim) -> None:
    """One open claim for a line, and one of a kind."""
    named = {units.line for units in command.lines}
    for one in deposit.open_claims:
        same_lines = not named.isdisjoint(units.line for units in one.opened.lines)
        if one.opened.kind == command.kind and (same_lines or not named):
            raise Refused(Reason.FUNDS_IN_DISPUTE, claim=child("clm", deposit.id, one.n))


def _refuse_decided(deposit: Deposit, command: OpenClaim) -> None:
    """What the platform has ruled on is over; only for what has no name of its own a next claim may be about another thing."""
    named = {units.line for units in command.lines}
    for one in deposit.claims:
        same = one.opened.kind == command.kind and named.isdisjoint(
            units.line for units in one.opened.lines
        ) is not bool(named)
        if command.kind in RULED_ONCE and one.status in {ClaimStatus.DISMISSED, ClaimStatus.PARTLY} and same:
            raise Refused(Reason.CLAIM_CLOSED, claim=child("clm", deposit.id, one.n))


def _refuse_beyond(deposit: Deposit, amount: Money, own: Money | None = None) -> None:
    """More than is there, or than no other dispute is about. ``own`` is what the claim itself holds back."""
    everything, zero = remedy.left(deposit), remedy.zero(deposit)
    disputed = total(
        (deposit.left_of(one) for one in deposit.counted if deposit.disputed(one.capture)), deposit.currency
    )
    free = max(everything - disputed - deposit.claimed + (own or zero), zero)
    if zero < amount <= free:
        return
    in_dispute = zero < amount <= everything
    raise Refused(Reason.FUNDS_IN_DISPUTE if in_dispute else Reason.REFUND_EXCEEDS_REFUNDABLE, refundable=free)


def _refuse_amount(deposit: Deposit, amount: Money | None) -> None:
    if amount is not None and amount.currency != deposit.currency:
        raise Refused(Reason.CURRENCY_MISMATCH, [Fault("/amount", "currency_mismatch")])


# --- Answers ---


def numbered(deposit: Deposit, n: int) -> Claim:
    """Refused(NOT_FOUND) when there are not so many."""
    if n > len(deposit.claims):
        raise Refused(Reason.NOT_FOUND)
    return deposit.claims[n - 1]


def _in(deposit: Deposit, n: int, at: int, *statuses: ClaimStatus) -> Claim:
    """The claim, in one of these statuses by the clock."""
    one = numbered(deposit, n)
    status = one.status_at(at)
    if status not in OPEN:
        raise Refused(Reason.CLAIM_CLOSED, state=status.value)
    if status not in statuses:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    return one


def _responded(deposit: Deposit, command: Respond, at: int) -> tuple[DepositEvent, ...]:
    _refuse_response(deposit, command)
    one = numbered(deposit, command.claim)
    if one.status_at(at) is ClaimStatus.GRANTED_BY_DEADLINE:
        return (_late(one, at, "merchant", command.decision, command.amount, command.statement),)
    statuses = {ClaimStatus.AWAITING_MERCHANT}
    statuses |= {ClaimStatus.OFFERED} if command.decision == "offer" else set()  # no offer is taken back
    one = _in(deposit, command.claim, at, *statuses)
    if command.decision == "accept":
        return _accepted(deposit, one, "merchant", one.owed, at, command.statement)
    if command.decision == "offer":
        assert command.amount is not None, "an offer has an amount"
        return (_offered(deposit, one, command.amount, command.statement, at),)
    assert command.statement is not None, "a rejection says why"
    due_at = at + instants.duration_ms(one.opened.decide_within)
    return (ClaimRejected(at, one.n, due_at, command.statement, claim.reminders(at, due_at)),)


def _refuse_response(deposit: Deposit, command: Respond) -> None:
    """An amount exactly with an offer, a statement at least with a rejection."""
    offers = command.decision == "offer"
    if offers != (command.amount is not None):
        raise Refused(Reason.INVALID_REQUEST, [Fault("/amount", "missing" if offers else "not_here")])
    if command.decision == "reject" and command.statement is None:
        raise Refused(Reason.INVALID_REQUEST, [Fault("/statement", "missing")])
    _refuse_amount(deposit, command.amount)


def _offered(deposit: Deposit, one: Claim, amount: Money, statement: str | None, at: int) -> ClaimOffered:
    """At least what is owed, and a second offer more than the first."""
    rules = claim.published()
    if amount < one.owed:
        raise Refused(Reason.BELOW_OWED, owed=one.owed)
    if one.offered is not None and amount <= one.offered:
        raise Refused(Reason.BELOW_OWED, owed=one.owed, offered=one.offered)
    if len(one.offers) >= rules.most_offers:
        raise Refused(Reason.WRONG_STATE, state=ClaimStatus.OFFERED.value, most=rules.most_offers)
    _refuse_beyond(deposit, amount, one.in_question)
    most = remedy.most(deposit, one.opened.kind)
    if amount > most:
        raise Refused(Reason.REFUND_EXCEEDS_REFUNDABLE, refundable=most)
    due_at = at + instants.duration_ms(rules.offer_stands)
    return ClaimOffered(at, one.n, amount, due_at, claim.reminders(at, due_at), statement)


def _accepted(
    deposit: Deposit, one: Claim, by: str, amount: Money, at: int, statement: str | None = None
) -> tuple[DepositEvent, ...]:
    given = remedy.of(deposit, one, amount, at)
    return (ClaimAccepted(at, one.n, by, given.amount, given.refunds, statement), *given.events)


def _more(deposit: Deposit, command: AddEvidence, at: int) -> ClaimEvidenceAdded:
    one, most = _in(deposit, command.claim, at, *OPEN), claim.published().most_evidence
    if one.evidence + len(command.evidence) > most:
        raise Refused(Reason.RATE_LIMITED, most=most)
    return ClaimEvidenceAdded(at, one.n, command.by, command.evidence, command.statement)


# --- The platform ---


def _ruled(deposit: Deposit, command: RuleClaim, at: int) -> tuple[DepositEvent, ...]:
    _refuse_ruling(deposit, command)
    one = numbered(deposit, command.claim)
    if one.status_at(at) is ClaimStatus.GRANTED_BY_DEADLINE:
        return (_late(one, at, "platform", command.decision, command.amount, command.reason),)
    one = _in(deposit, command.claim, at, ClaimStatus.IN_REVIEW)
    if one.status is ClaimStatus.OFFERED:  # the buyer's acceptance may have been sent in time, and be on its way
        raise Refused(Reason.BUSY, retry_after=SOON)
    if command.decision == "dismiss":
        return (ClaimDismissed(at, one.n, command.reason),)
    if command.decision == "uphold":
        given = remedy.of(deposit, one, one.owed, at)
        return (ClaimUpheld(at, one.n, given.amount, command.reason, given.refunds), *given.events)
    assert command.amount is not None, "a part has an amount"
    if command.amount >= one.owed:
        raise Refused(Reason.INVALID_REQUEST, [Fault("/amount", "too_large")])
    given = remedy.of(deposit, one, command.amount, at)
    return (ClaimPartlyUpheld(at, one.n, given.amount, command.reason, given.refunds), *given.events)


def _refuse_ruling(deposit: Deposit, command: RuleClaim) -> None:
    partly = command.decision == "partly"
    if partly != (command.amount is not None):
        raise Refused(Reason.INVALID_REQUEST, [Fault("/amount", "missing" if partly else "not_here")])
    _refuse_amount(deposit, command.amount)


def _late(
    one: Claim, at: int, by: str, decision: str, amount: Money | None, statement: str | None
) -> ClaimAnsweredLate:
    if one.late >= MOST_LATE:
        raise Refused(Reason.RATE_LIMITED, most=MOST_LATE)
    return ClaimAnsweredLate(at, one.n, by, decision, amount, statement)
