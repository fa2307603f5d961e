"""Opening a claim: who may claim what, until when, and what is owed at least."""

from typing import Final

from chalicelib.core.claims import remedy
from chalicelib.core.common import instants
from chalicelib.core.common.ids import child
from chalicelib.core.common.money import Money, total
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.delivery import fulfilment
from chalicelib.core.deposit import claim
from chalicelib.core.deposit.claim import ClaimStatus
from chalicelib.core.deposit.clock import lock_at, status_at
from chalicelib.core.deposit.command_row import Action, Command, CommandRow, Commands, needed
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.claim import (
    ClaimOpened,
)
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.status import FINAL, Status
from chalicelib.core.merchant import cancellation
from chalicelib.core.policy import claim_rules
from chalicelib.core.policy.claim_rules import ClaimKind
from chalicelib.core.policy.terms import Terms

OF_GOODS: Final = "short_shipment"
OF_AMOUNTS: Final = frozenset({"refund_amount", "other"})
RULED_ONCE: Final = frozenset({"short_shipment", "mistaken_lock", "trade_in"})
WITHOUT_MONEY: Final = frozenset({"merchant_cancellation", "privacy"})


class OpenClaim(Command, frozen=True):
    """The buyer: ``lines`` for goods that did not come, ``amount`` where nothing computes it."""

    kind: ClaimKind
    statement: str
    lines: tuple[Units, ...] = ()
    amount: Money | None = None
    evidence: tuple[str, ...] = ()


# --- Opening ---


def refuse(deposit: Deposit, at: int) -> None:
    """Whether any claim could be opened: on an order that is committed or over, for its time, and not without end."""
    status, rules = status_at(deposit, at), claim_rules.claim_rules(at)
    if status not in {Status.LOCKED, Status.COMPLETED, Status.CANCELLED}:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    until = _open_until(deposit)
    if until is not None and at >= until:
        raise Refused(Reason.CLAIM_CLOSED, until=until)
    if len(deposit.claims) >= rules.most_claims:
        raise Refused(Reason.RATE_LIMITED, most=rules.most_claims)


def _open_until(deposit: Deposit) -> int | None:
    """So long after the last shipment or the cancellation, whichever is later; None while something is still to come.

    The time is the one in force when it began: whoever was told an end can rely on it.
    """
    if deposit.status not in FINAL:
        return None
    ends = [one.last_shipped_at for one in deposit.progress if one.last_shipped_at is not None]
    ends += [deposit.cancelled.at] if deposit.cancelled is not None else []
    return max(ends) + instants.duration_ms(claim_rules.claim_rules(max(ends)).open_for) if ends else None


def open_claim(deposit: Deposit, command: OpenClaim, at: int, terms: Terms) -> ClaimOpened:
    """What is owed is computed here, and stands from then on."""
    refuse_fields(deposit, command)
    rules = claim_rules.claim_rules(at)
    if not rules.takes(command.kind, at):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/kind", "choice")])
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
        remind_at=claim.reminders(rules, at, due_at),
    )


def contested(deposit: Deposit, lines: tuple[Units, ...]) -> bool:
    """Whether the merchant recorded some of these units as shipped: that is the merchant's word, and no more."""
    to_ship = (deposit.progress[units.line - 1].to_ship(deposit.lines[units.line - 1].quantity) for units in lines)
    return any(units.quantity > left for units, left in zip(lines, to_ship, strict=True))


def refuse_fields(deposit: Deposit, command: OpenClaim) -> None:
    """Lines exactly for goods, an amount exactly where nothing else computes it."""
    of_goods, of_amounts = command.kind == OF_GOODS, command.kind in OF_AMOUNTS
    if of_goods != bool(command.lines):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/lines", "missing" if of_goods else "not_here")])
    if of_amounts != (command.amount is not None):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/amount", "missing" if of_amounts else "not_here")])
    fulfilment.refuse_lines([units.line for units in command.lines], deposit, "/lines/{}/line")
    for place, units in enumerate(command.lines):
        if units.quantity > deposit.lines[units.line - 1].quantity:
            raise Refused(Reason.INVALID_REQUEST, [FieldError(f"/lines/{place}/quantity", "too_large")])
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
    until = lock.at + instants.duration_ms(claim_rules.claim_rules(lock.at).mistaken_lock_for)
    if at >= until:
        raise Refused(Reason.CLAIM_CLOSED, until=until)


def _refuse_appeal(deposit: Deposit, at: int) -> None:
    """Once, against a merchant's cancellation whose reason can be appealed."""
    ended = deposit.cancelled
    reason = cancellation.cited(ended) if ended is not None else None
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
        raise Refused(Reason.CURRENCY_MISMATCH, [FieldError("/amount", "currency_mismatch")])


COMMANDS: Final[Commands] = (
    CommandRow(
        OpenClaim, open_claim, Action("buyer", "claims", lambda deposit, at, _terms: refuse(deposit, at)), needed
    ),
)
