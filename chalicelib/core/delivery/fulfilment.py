"""After the lock is final: ready, the balance, shipments, the two words on arrival, and a buyer's default.

Nothing is forfeited by the clock alone: a default needs goods that are ready, a due date, one notice, time to cure it,
and a merchant who asks.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from chalicelib.core.common import instants
from chalicelib.core.common.ids import child
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.clock import lock_at, status_at
from chalicelib.core.deposit.command_row import Action, Command, CommandRow, Commands, needed, optional
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import Completed
from chalicelib.core.deposit.events.goods import GoodsDelivered, GoodsReady, GoodsReceived, GoodsShipped, Units
from chalicelib.core.deposit.events.payment import BalanceOpened
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.deposit.goods import Progress
from chalicelib.core.deposit.payment import MAX_PAYMENTS
from chalicelib.core.deposit.status import Status
from chalicelib.core.ending import end, entitlement, withdrawal_right
from chalicelib.core.policy.terms import Terms

MAX_INSPECTION_AHEAD_MS: Final = 2 * 365 * instants.DAY  # how far ahead an inspection may be fixed


class Ready(Command, frozen=True):
    """The merchant: these lines can be inspected at ``inspect_at``."""

    lines: tuple[int, ...]
    inspect_at: int
    evidence: tuple[str, ...]


class PayBalance(Command, frozen=True):
    """The buyer: I pay the rest, by this method."""

    method: str


class Ship(Command, frozen=True):
    """The merchant: these units are with the carrier."""

    lines: tuple[Units, ...]


class Deliver(Command, frozen=True):
    """The merchant: these units arrived; a quantity of 0 means all that were shipped of the line."""

    lines: tuple[Units, ...]
    delivered_at: int
    evidence: tuple[str, ...]


class Receive(Command, frozen=True):
    """The buyer: what was shipped has arrived."""


class DeclareDefault(Command, frozen=True):
    """The merchant: the balance was not paid, and the time to cure it is over."""


def refuse_unless_final(deposit: Deposit, at: int) -> None:
    """Production, shipment and balance wait for a lock that can no longer be undone."""
    status, lock = status_at(deposit, at), lock_at(deposit, at)
    if status is not Status.LOCKED or lock is None:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    if not lock.is_final(at):
        raise Refused(Reason.WRONG_STATE, state=status.value, final_at=lock.undo_until)


def refuse_ready(deposit: Deposit, at: int) -> None:
    refuse_unless_final(deposit, at)
    if all(line.ready_at is not None for line in deposit.progress):
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value)


def record_ready(deposit: Deposit, command: Ready, at: int, terms: Terms) -> GoodsReady:
    """With the last line the balance falls due: from the inspection on, never before (domain facts, section 1.5 row 14)."""
    refuse_lines(command.lines, deposit, "/lines/{}")
    _refuse_without_evidence(command.evidence)
    if command.inspect_at > at + MAX_INSPECTION_AHEAD_MS:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/inspect_at", "too_far")])
    refuse_ready(deposit, at)
    known = next((line for line in command.lines if deposit.progress[line - 1].ready_at is not None), None)
    if known is not None:
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value, line=known)
    plain = GoodsReady(at, command.lines, command.inspect_at, command.evidence)
    starts = [line.ready_at for line in evolve(deposit, plain).progress if line.ready_at is not None]
    if len(starts) < len(deposit.progress) or not deposit.balance:
        return plain
    due_at = max(starts) + instants.duration_ms(terms.balance.due_within)
    cure_until = due_at + instants.duration_ms(terms.balance.cure)
    return GoodsReady(at, command.lines, command.inspect_at, command.evidence, due_at, cure_until)


def refuse_balance(deposit: Deposit, at: int) -> None:
    refuse_unless_final(deposit, at)
    if not deposit.balance:
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value, balance=deposit.balance)
    if len(deposit.payments) >= MAX_PAYMENTS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_PAYMENTS)


def pay_balance(deposit: Deposit, command: PayBalance, at: int, terms: Terms) -> BalanceOpened:
    """The rest, by the buyer's own choice of method. It may be paid until the time to cure a delay is over."""
    if not terms.offers_method(command.method, at):
        raise Refused(Reason.PAYMENT_METHOD_NOT_OFFERED, [FieldError("/payment_method", "unknown_method")])
    refuse_balance(deposit, at)
    usual = at + instants.duration_ms(terms.balance.due_within)
    return BalanceOpened(at, command.method, deposit.balance, max(deposit.cure_until or usual, usual))


def refuse_shipment(deposit: Deposit, at: int) -> None:
    refuse_unless_final(deposit, at)
    if deposit.balance:
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value, balance=deposit.balance)


def record_shipment(deposit: Deposit, command: Ship, at: int) -> Iterator[DepositEvent]:
    """Units leave; with the last one the deposit is completed."""
    refuse_lines([units.line for units in command.lines], deposit, "/lines/{}/line")
    for place, units in enumerate(command.lines):
        if units.quantity > deposit.lines[units.line - 1].quantity:
            raise Refused(Reason.INVALID_REQUEST, [FieldError(f"/lines/{place}/quantity", "too_large")])
    refuse_shipment(deposit, at)
    for units in command.lines:
        left = deposit.progress[units.line - 1].count_to_ship(deposit.lines[units.line - 1].quantity)
        _refuse_excess_units(left, units)
    shipped = GoodsShipped(at, command.lines)
    yield shipped
    if is_all_shipped(evolve(deposit, shipped)):
        yield Completed(at)


def is_all_shipped(deposit: Deposit) -> bool:
    """Whether nothing is left to ship."""
    return not any(one.count_to_ship(line.quantity) for line, one in zip(deposit.lines, deposit.progress, strict=True))


def refuse_delivery(deposit: Deposit, at: int) -> None:
    _refuse_unless_shipped(deposit, at)
    if all(one.delivered == one.shipped for one in deposit.progress):
        raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)


def record_delivery(deposit: Deposit, command: Deliver, at: int, terms: Terms) -> GoodsDelivered:
    """The merchant's word on when units arrived: after they left, and not tomorrow."""
    refuse_lines([units.line for units in command.lines], deposit, "/lines/{}/line")
    _refuse_without_evidence(command.evidence)
    if command.delivered_at > at:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/delivered_at", "not_after_now")])
    refuse_delivery(deposit, at)
    left_at = [deposit.progress[units.line - 1].first_shipped_at for units in command.lines]
    if any(at is not None and command.delivered_at < at for at in left_at):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/delivered_at", "before_shipment")])
    told: list[Units] = []
    for units in command.lines:
        progress = deposit.progress[units.line - 1]
        on_the_way = progress.shipped - progress.delivered
        told.append(Units(units.line, units.quantity or on_the_way))
        _refuse_excess_units(on_the_way, told[-1])
    ends_at = withdrawal_right.count_period_end(command.delivered_at, terms.policy)
    return GoodsDelivered(at, tuple(told), command.delivered_at, command.evidence, ends_at)


def refuse_receipt(deposit: Deposit, at: int) -> None:
    _refuse_unless_shipped(deposit, at)
    if not _list_units_to_receive(deposit.progress):
        raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)


def record_receipt(deposit: Deposit, at: int, terms: Terms) -> GoodsReceived:
    refuse_receipt(deposit, at)
    return GoodsReceived(
        at, _list_units_to_receive(deposit.progress), withdrawal_right.count_period_end(at, terms.policy)
    )


def refuse_default(deposit: Deposit, at: int) -> None:
    refuse_unless_final(deposit, at)
    if deposit.open_claims:
        raise Refused(Reason.FUNDS_IN_DISPUTE, claim=child("clm", deposit.id, deposit.open_claims[0].n))
    cured = deposit.cure_until is None or not deposit.balance
    if cured or at < (deposit.cure_until or 0):
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value, cure_until=deposit.cure_until)


def declare_default(deposit: Deposit, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """As a buyer's cancel after the lock."""
    refuse_default(deposit, at)
    owed = entitlement.compute_entitlement(deposit, terms, Cause.BUYER_DEFAULT, at)
    yield from end.end_deposit(deposit, Cause.BUYER_DEFAULT, owed, at, terms.refund.deadline)


def completes_fulfilment(deposit: Deposit, command: object) -> bool:
    """Whether nothing is left to ship, or to arrive, after it: however long a journal is, it can come to its end."""
    if isinstance(command, Ship):
        open_units = [
            one.count_to_ship(line.quantity) for line, one in zip(deposit.lines, deposit.progress, strict=True)
        ]
    elif isinstance(command, Deliver):
        open_units = [one.shipped - one.delivered for one in deposit.progress]
    else:
        return False
    named = {units.line: units.quantity for units in command.lines}
    whole = {0} if isinstance(command, Deliver) else set()
    return all(not left or named.get(n, -1) in {left, *whole} for n, left in enumerate(open_units, start=1))


def _refuse_unless_shipped(deposit: Deposit, at: int) -> None:
    status = status_at(deposit, at)
    if status not in {Status.LOCKED, Status.COMPLETED} or not any(one.shipped for one in deposit.progress):
        raise Refused(Reason.WRONG_STATE, state=status.value)


def _list_units_to_receive(progress: Sequence[Progress]) -> tuple[Units, ...]:
    left = (Units(line, one.shipped - one.received) for line, one in enumerate(progress, start=1))
    return tuple(units for units in left if units.quantity)


def refuse_lines(lines: Sequence[int], deposit: Deposit, pointer: str) -> None:
    """Every line is one of the deposit's, and named once."""
    for place, line in enumerate(lines):
        if not 1 <= line <= len(deposit.lines):
            raise Refused(Reason.INVALID_REQUEST, [FieldError(pointer.format(place), "unknown_line")])
        if line in lines[:place]:
            raise Refused(Reason.INVALID_REQUEST, [FieldError(pointer.format(place), "duplicate")])


def _refuse_excess_units(left: int, units: Units) -> None:
    if not units.quantity or units.quantity > left:
        raise Refused(Reason.WRONG_STATE, line=units.line, left=left)


def _refuse_without_evidence(evidence: Sequence[str]) -> None:
    if not evidence:
        raise Refused(Reason.EVIDENCE_REQUIRED, [FieldError("/evidence", "missing")])


COMMANDS: Final[Commands] = (
    CommandRow(
        Ready,
        record_ready,
        Action("merchant", "ready", lambda deposit, at, _terms: refuse_ready(deposit, at)),
        optional,
    ),
    CommandRow(
        PayBalance,
        pay_balance,
        Action("buyer", "balance-payments", lambda deposit, at, _terms: refuse_balance(deposit, at)),
        optional,
    ),
    CommandRow(
        Ship,
        lambda deposit, command, at, _terms: record_shipment(deposit, command, at),
        Action("merchant", "shipments", lambda deposit, at, _terms: refuse_shipment(deposit, at)),
        lambda deposit, command: not completes_fulfilment(deposit, command),
    ),
    CommandRow(
        Deliver,
        record_delivery,
        Action("merchant", "deliveries", lambda deposit, at, _terms: refuse_delivery(deposit, at)),
        lambda deposit, command: not completes_fulfilment(deposit, command),
    ),
    CommandRow(
        Receive,
        lambda deposit, _command, at, terms: record_receipt(deposit, at, terms),
        Action("buyer", "receipt", lambda deposit, at, _terms: refuse_receipt(deposit, at)),
        needed,
    ),
    CommandRow(
        DeclareDefault,
        lambda deposit, _command, at, terms: declare_default(deposit, at, terms),
        Action("merchant", "buyer-default", lambda deposit, at, _terms: refuse_default(deposit, at)),
        needed,
    ),
)
