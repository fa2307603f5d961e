"""After the lock is final: readiness, balance, shipments, arrival as merchant or buyer report it, and a buyer's default.

The clock alone forfeits nothing. A default needs goods that are ready, a due date, one notice, time to cure it, and a
request of the merchant.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

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
from chalicelib.core.ending import end, withdrawal_right
from chalicelib.core.policy.terms import Terms

MAX_INSPECTION_AHEAD_MS: Final = 2 * 365 * instants.DAY  # how far ahead an inspection may be fixed


class Ready(Command, frozen=True):
    """The merchant: these lines can be inspected from ``inspect_at`` on."""

    lines: tuple[int, ...]
    inspect_at: int
    evidence: tuple[str, ...]


class PayBalance(Command, frozen=True):
    """The buyer pays the balance by this method."""

    method: str


class Ship(Command, frozen=True):
    """The merchant: the carrier has these units."""

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
    """WRONG_STATE unless the deposit is locked and the lock can no longer be undone."""
    status, lock = status_at(deposit, at), lock_at(deposit, at)
    if status is not Status.LOCKED or lock is None:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    if not lock.is_final(at):
        raise Refused(Reason.WRONG_STATE, state=status.value, final_at=lock.undo_until)


def refuse_ready(deposit: Deposit, at: int, _terms: Terms) -> None:
    refuse_unless_final(deposit, at)
    if all(line.ready_at is not None for line in deposit.progress):
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value)


def record_ready(deposit: Deposit, command: Ready, at: int, terms: Terms) -> GoodsReady:
    """With the last line ready the balance falls due, never before the inspection (domain facts, section 1.5 row 14)."""
    refuse_lines(command.lines, deposit, "/lines/{}")
    _refuse_without_evidence(command.evidence)
    if command.inspect_at > at + MAX_INSPECTION_AHEAD_MS:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/inspect_at", "too_far")])
    refuse_ready(deposit, at, terms)
    ready_line = next((line for line in command.lines if deposit.progress[line - 1].ready_at is not None), None)
    if ready_line is not None:
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value, line=ready_line)
    event = GoodsReady(at, command.lines, command.inspect_at, command.evidence)
    starts = [line.ready_at for line in evolve(deposit, event).progress if line.ready_at is not None]
    if len(starts) < len(deposit.progress) or not deposit.balance:
        return event
    due_at = max(starts) + instants.duration_ms(terms.balance.due_within)
    cure_until = due_at + instants.duration_ms(terms.balance.cure)
    return replace(event, balance_due_at=due_at, cure_until=cure_until)


def refuse_balance(deposit: Deposit, at: int, _terms: Terms) -> None:
    refuse_unless_final(deposit, at)
    if not deposit.balance:
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value, balance=deposit.balance)
    if len(deposit.payments) >= MAX_PAYMENTS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_PAYMENTS)


def pay_balance(deposit: Deposit, command: PayBalance, at: int, terms: Terms) -> BalanceOpened:
    """A payment of the balance. It can be paid until the end of the time to cure a delay."""
    if not terms.offers_method(command.method, at):
        raise Refused(Reason.PAYMENT_METHOD_NOT_OFFERED, [FieldError("/payment_method", "unknown_method")])
    refuse_balance(deposit, at, terms)
    due_at = at + instants.duration_ms(terms.balance.due_within)
    return BalanceOpened(at, command.method, deposit.balance, max(deposit.cure_until or due_at, due_at))


def refuse_shipment(deposit: Deposit, at: int, _terms: Terms) -> None:
    refuse_unless_final(deposit, at)
    if deposit.balance:
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value, balance=deposit.balance)


def record_shipment(deposit: Deposit, command: Ship, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The shipment; with the last unit the deposit is completed."""
    refuse_units(command.lines, deposit)
    refuse_shipment(deposit, at, terms)
    to_ship = list_units_to_ship(deposit)
    for units in command.lines:
        _refuse_excess_units(to_ship[units.line - 1], units)
    shipped = GoodsShipped(at, command.lines)
    yield shipped
    if is_all_shipped(evolve(deposit, shipped)):
        yield Completed(at)


def is_all_shipped(deposit: Deposit) -> bool:
    """Whether no unit is left to ship."""
    return not any(list_units_to_ship(deposit))


def list_units_to_ship(deposit: Deposit) -> tuple[int, ...]:
    """How many units of each line are still to be shipped."""
    rows = zip(deposit.lines, deposit.progress, strict=True)
    return tuple(progress.count_to_ship(line.quantity) for line, progress in rows)


def refuse_delivery(deposit: Deposit, at: int, _terms: Terms) -> None:
    _refuse_unless_shipped(deposit, at)
    if all(progress.delivered == progress.shipped for progress in deposit.progress):
        raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)


def record_delivery(deposit: Deposit, command: Deliver, at: int, terms: Terms) -> GoodsDelivered:
    """The arrival as the merchant reports it: not before the shipment, and not in the future."""
    refuse_lines([units.line for units in command.lines], deposit, "/lines/{}/line")
    _refuse_without_evidence(command.evidence)
    if command.delivered_at > at:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/delivered_at", "not_after_now")])
    refuse_delivery(deposit, at, terms)
    shipped_at = [deposit.progress[units.line - 1].first_shipped_at for units in command.lines]
    if any(first is not None and command.delivered_at < first for first in shipped_at):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/delivered_at", "before_shipment")])
    delivered: list[Units] = []
    for units in command.lines:
        progress = deposit.progress[units.line - 1]
        in_transit = progress.shipped - progress.delivered
        delivered.append(Units(units.line, units.quantity or in_transit))
        _refuse_excess_units(in_transit, delivered[-1])
    ends_at = withdrawal_right.count_period_end(command.delivered_at, terms.policy)
    return GoodsDelivered(at, tuple(delivered), command.delivered_at, command.evidence, ends_at)


def refuse_receipt(deposit: Deposit, at: int, _terms: Terms) -> None:
    _refuse_unless_shipped(deposit, at)
    if not _list_units_to_receive(deposit.progress):
        raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)


def record_receipt(deposit: Deposit, _command: Receive, at: int, terms: Terms) -> GoodsReceived:
    refuse_receipt(deposit, at, terms)
    return GoodsReceived(
        at, _list_units_to_receive(deposit.progress), withdrawal_right.count_period_end(at, terms.policy)
    )


def refuse_default(deposit: Deposit, at: int, _terms: Terms) -> None:
    refuse_unless_final(deposit, at)
    if deposit.open_claims:
        raise Refused(Reason.FUNDS_IN_DISPUTE, claim=child("clm", deposit.id, deposit.open_claims[0].n))
    cured = deposit.cure_until is None or not deposit.balance
    if cured or at < (deposit.cure_until or 0):
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value, cure_until=deposit.cure_until)


def declare_default(deposit: Deposit, _command: DeclareDefault, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The end by the same rule as a buyer's cancel after the lock."""
    refuse_default(deposit, at, terms)
    yield from end.end_by_terms(deposit, Cause.BUYER_DEFAULT, at, terms)


def completes_fulfilment(deposit: Deposit, command: object) -> bool:
    """Whether nothing is left to ship, or to arrive, after the command. A full journal still takes such a command."""
    if isinstance(command, Ship):
        open_units = list_units_to_ship(deposit)
    elif isinstance(command, Deliver):
        open_units = tuple(progress.shipped - progress.delivered for progress in deposit.progress)
    else:
        return False
    named = {units.line: units.quantity for units in command.lines}
    all_units = {0} if isinstance(command, Deliver) else set()
    return all(not units or named.get(n, -1) in {units, *all_units} for n, units in enumerate(open_units, start=1))


def is_elective(deposit: Deposit, command: object) -> bool:
    """Whether a full journal refuses the command: units stay open after it."""
    return not completes_fulfilment(deposit, command)


def _refuse_unless_shipped(deposit: Deposit, at: int) -> None:
    status = status_at(deposit, at)
    if status not in {Status.LOCKED, Status.COMPLETED} or not any(progress.shipped for progress in deposit.progress):
        raise Refused(Reason.WRONG_STATE, state=status.value)


def _list_units_to_receive(progress: Sequence[Progress]) -> tuple[Units, ...]:
    open_units = (Units(line, row.shipped - row.received) for line, row in enumerate(progress, start=1))
    return tuple(units for units in open_units if units.quantity)


def refuse_lines(lines: Sequence[int], deposit: Deposit, pointer: str) -> None:
    """INVALID_REQUEST unless every line is one of the deposit's and named once."""
    for place, line in enumerate(lines):
        if not 1 <= line <= len(deposit.lines):
            raise Refused(Reason.INVALID_REQUEST, [FieldError(pointer.format(place), "unknown_line")])
        if line in lines[:place]:
            raise Refused(Reason.INVALID_REQUEST, [FieldError(pointer.format(place), "duplicate")])


def refuse_units(lines: Sequence[Units], deposit: Deposit) -> None:
    """As ``refuse_lines``, and INVALID_REQUEST for more units than a line has."""
    refuse_lines([units.line for units in lines], deposit, "/lines/{}/line")
    for place, units in enumerate(lines):
        if units.quantity > deposit.lines[units.line - 1].quantity:
            raise Refused(Reason.INVALID_REQUEST, [FieldError(f"/lines/{place}/quantity", "too_large")])


def _refuse_excess_units(left: int, units: Units) -> None:
    if not units.quantity or units.quantity > left:
        raise Refused(Reason.WRONG_STATE, line=units.line, left=left)


def _refuse_without_evidence(evidence: Sequence[str]) -> None:
    if not evidence:
        raise Refused(Reason.EVIDENCE_REQUIRED, [FieldError("/evidence", "missing")])


COMMANDS: Final[Commands] = (
    CommandRow(Ready, record_ready, Action("merchant", "ready", refuse_ready), optional),
    CommandRow(PayBalance, pay_balance, Action("buyer", "balance-payments", refuse_balance), optional),
    CommandRow(Ship, record_shipment, Action("merchant", "shipments", refuse_shipment), is_elective),
    CommandRow(Deliver, record_delivery, Action("merchant", "deliveries", refuse_delivery), is_elective),
    CommandRow(Receive, record_receipt, Action("buyer", "receipt", refuse_receipt), needed),
    CommandRow(DeclareDefault, declare_default, Action("merchant", "buyer-default", refuse_default), needed),
)
