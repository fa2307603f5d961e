"""A deposit: the fold of its journal, its one transition table, and what the clock alone makes of it.

The status is a function of facts and clock. Deadline events are either announcements, which no decision reads, or
irreversible (``Expired``), which are written only after a grace.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal, TypeVar

from chalicelib.core import payment as payments_
from chalicelib.core import refund as refunds_
from chalicelib.core.events import (
    Cancelled,
    Created,
    DepositEvent,
    Expired,
    Line,
    LockedByPayment,
    LockedByWindowEnd,
    LockUndone,
    PaymentEvent,
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
    RefundApproved,
    RefundReviewNeeded,
    RefundStep,
    TakenStock,
)
from chalicelib.core.ledger import Balances
from chalicelib.core.money import Money, total
from chalicelib.core.payment import Payment
from chalicelib.core.refund import Refund


class Status(StrEnum):
    """Where a deposit stands."""

    AWAITING_PAYMENT = "awaiting_payment"
    COOLING_OFF = "cooling_off"
    LOCKED = "locked"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_S = Status
_Row = TypeVar("_Row", bound=Payment | Refund)

# Which event may change the status, and to what. Events of payments and refunds that are not here never do.
TRANSITIONS: Final[Mapping[tuple[Status, type[DepositEvent]], Status]] = MappingProxyType(
    {
        (_S.AWAITING_PAYMENT, PaymentSucceeded): _S.COOLING_OFF,
        (_S.AWAITING_PAYMENT, PaymentMethodChanged): _S.AWAITING_PAYMENT,
        (_S.AWAITING_PAYMENT, Cancelled): _S.CANCELLED,
        (_S.AWAITING_PAYMENT, Expired): _S.EXPIRED,
        (_S.COOLING_OFF, LockedByPayment): _S.LOCKED,
        (_S.COOLING_OFF, LockedByWindowEnd): _S.LOCKED,
        (_S.COOLING_OFF, Cancelled): _S.CANCELLED,
        (_S.LOCKED, LockUndone): _S.COOLING_OFF,
        (_S.LOCKED, Cancelled): _S.CANCELLED,
    }
)
FREE: Final = (PaymentPending, PaymentFailed, PaymentNotCounted, RefundApproved, *RefundStep.__args__)
FINAL: Final = frozenset({_S.COMPLETED, _S.CANCELLED, _S.EXPIRED})


@dataclass(frozen=True, slots=True)
class Window:
    """The cooling-off time, half-open. ``ends_at`` None: until the buyer locks. ``cancel_only``: given by an undo."""

    starts_at: int
    ends_at: int | None
    cancel_only: bool = False


@dataclass(frozen=True, slots=True)
class Lock:
    """The commitment: by whom, since when, and until when the buyer may take it back."""

    by: Literal["buyer", "window_end", "payment"]
    at: int
    undo_until: int | None = None

    def final(self, at: int) -> bool:
        return self.undo_until is None or at >= self.undo_until


@dataclass(frozen=True, slots=True)
class Deposit:
    """The buyer's money on an offer. Built only by ``evolve``."""

    id: str
    created: Created
    status: Status
    version: int
    created_at: int
    updated_at: int
    payments: tuple[Payment, ...]
    money: Balances
    stock: tuple[TakenStock, ...]
    limit_units: int
    window: Window | None = None
    lock: Lock | None = None
    refunds: tuple[Refund, ...] = ()
    captures: tuple[str, ...] = field(default=())
    paid: PaymentSucceeded | None = None

    @property
    def currency(self) -> str:
        return self.created.due_now.currency

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.created.lines

    @property
    def items_total(self) -> Money:
        return total((line.value for line in self.lines), self.currency)

    @property
    def total(self) -> Money:
        return self.items_total + self.created.shipping

    @property
    def balance(self) -> Money:
        return self.total - self.created.due_now

    @property
    def payment(self) -> Payment:
        return self.payments[-1]

    @property
    def refund(self) -> Refund | None:
        return self.refunds[-1] if self.refunds else None

    @property
    def open_refunds(self) -> tuple[Refund, ...]:
        return tuple(refund for refund in self.refunds if refund.open)

    def refund_amounts(self) -> dict[int, Money]:
        return {refund.n: refund.amount for refund in self.refunds}

    def paid_by_line(self) -> tuple[Money, ...]:
        """The goods money captured, without shipping, over the lines by value: largest remainder, ties to the lowest."""
        goods = self.created.due_now - self.created.shipping if self.paid else Money.zero(self.currency)
        return goods.split([line.value.minor for line in self.lines])


def begin(deposit_id: str, event: Created) -> Deposit:
    """The first event makes the deposit."""
    first = Payment(n=1, method=event.method, amount=event.due_now, due_at=event.due_at)
    return Deposit(
        id=deposit_id,
        created=event,
        status=Status.AWAITING_PAYMENT,
        version=1,
        created_at=event.at,
        updated_at=event.at,
        payments=(first,),
        money=Balances.none(event.due_now.currency),
        stock=event.stock,
        limit_units=event.limit_units,
    )


def evolve(deposit: Deposit, event: DepositEvent) -> Deposit:
    """The deposit after the event; KeyError when no table has such a step, and then nothing changed."""
    status = deposit.status if isinstance(event, FREE) else TRANSITIONS[deposit.status, type(event)]
    after = replace(
        deposit,
        status=status,
        version=deposit.version + 1,
        updated_at=max(deposit.updated_at, event.at),
        money=deposit.money.after(event, deposit.refund_amounts()),
    )
    match event:
        case PaymentMethodChanged() | PaymentPending() | PaymentFailed() | PaymentSucceeded() | PaymentNotCounted():
            return _evolve_payment(after, event)
        case LockedByPayment():
            return replace(after, lock=Lock("payment", event.at, event.undo_until))
        case LockUndone():
            return replace(after, lock=None, window=_window_after_undo(after, event))
        case RefundApproved():
            return replace(after, refunds=(*deposit.refunds, refunds_.approve(event)))
        case Cancelled() | Expired():
            return replace(after, stock=(), limit_units=0)
        case Created():
            raise KeyError(event)
        case LockedByWindowEnd():
            return after
        case _:
            moved = refunds_.step(deposit.refunds[event.refund - 1], event)
            return replace(after, refunds=_with(deposit.refunds, moved))


def fold(deposit_id: str, events: Iterable[DepositEvent]) -> Deposit:
    """The deposit that a journal tells. ValueError when it does not begin with ``Created``."""
    deposit: Deposit | None = None
    for event in events:
        if deposit is not None:
            deposit = evolve(deposit, event)
        elif isinstance(event, Created):
            deposit = begin(deposit_id, event)
        else:
            raise ValueError("a journal begins with its creation")
    if deposit is None:
        raise ValueError("an empty journal is no deposit")
    return deposit


def status_at(deposit: Deposit, at: int) -> Status:
    """The status at an instant, from facts and clock; the same before and after a job wrote it down."""
    if deposit.status in FINAL:
        return deposit.status
    if deposit.paid is None:
        return Status.EXPIRED if at >= deposit.created.due_at else Status.AWAITING_PAYMENT
    return Status.LOCKED if lock_at(deposit, at) is not None else Status.COOLING_OFF


def lock_at(deposit: Deposit, at: int) -> Lock | None:
    """The lock at an instant: the buyer's or the payment's, else the one the window's end makes by itself.

    What was asked before a lock but worked off after it still meets no lock.
    """
    if deposit.lock is not None:
        return deposit.lock if at >= deposit.lock.at else None
    ends_at = deposit.window.ends_at if deposit.window is not None else None
    return Lock("window_end", ends_at) if ends_at is not None and at >= ends_at else None


def overdue(deposit: Deposit, at: int, irreversible_until: int) -> tuple[DepositEvent, ...]:
    """Every deadline event that has not been written by ``at``, earliest first, each at its own deadline.

    Announcements count up to ``at``; irreversible ones only up to ``irreversible_until``, so that a request asked in
    time is never overtaken. A reader passes ``at`` twice: it folds what is overdue and writes nothing.
    """
    found: list[DepositEvent] = []
    while (event := _next_deadline(deposit, at, irreversible_until)) is not None:
        found.append(event)
        deposit = evolve(deposit, event)
    return tuple(found)


def _next_deadline(deposit: Deposit, at: int, irreversible_until: int) -> DepositEvent | None:
    ripe = [
        event for event in _deadlines(deposit) if event.at <= (irreversible_until if isinstance(event, Expired) else at)
    ]
    return min(ripe, key=lambda event: event.at, default=None)


def _deadlines(deposit: Deposit) -> Iterator[DepositEvent]:
    """The deadline events still ahead, whenever they are."""
    if deposit.status is Status.AWAITING_PAYMENT:
        yield Expired(deposit.created.due_at)
    if deposit.status is Status.COOLING_OFF and deposit.window is not None and deposit.window.ends_at is not None:
        yield LockedByWindowEnd(deposit.window.ends_at)
    for refund in deposit.refunds:
        review_at = refunds_.review_at(refund)
        if review_at is not None:
            yield RefundReviewNeeded(review_at, refund.n, "promise_missed")


def due_at(deposit: Deposit, grace: int) -> int | None:
    """The earliest instant at which something must be written or asked. ``grace`` delays what is irreversible."""
    ahead = [event.at + (grace if isinstance(event, Expired) else 0) for event in _deadlines(deposit)]
    looks = [look for refund in deposit.refunds if (look := refunds_.due_at(refund)) is not None]
    return min((*ahead, *looks), default=None)


def next_due(deposit: Deposit, now: int, grace: int) -> int | None:
    """The next instant to come back at, when everything that was due by ``now`` has been tried."""
    ahead = [event.at + (grace if isinstance(event, Expired) else 0) for event in _deadlines(deposit)]
    looks = [
        look if look > now else refunds_.next_look(refund, now)
        for refund in deposit.refunds
        if (look := refunds_.due_at(refund)) is not None
    ]
    return min((*(instant for instant in ahead if instant > now), *looks), default=None)


def _evolve_payment(deposit: Deposit, event: PaymentEvent) -> Deposit:
    if isinstance(event, PaymentMethodChanged):
        former = deposit.payment
        status = payments_.TRANSITIONS[former.status, PaymentMethodChanged]
        opened = Payment(former.n + 1, event.method, deposit.created.due_now, deposit.created.due_at)
        return replace(deposit, payments=(*deposit.payments[:-1], replace(former, status=status), opened))
    one = deposit.payments[event.payment - 1]
    seen = replace(one, status=payments_.TRANSITIONS[one.status, type(event)])
    if isinstance(event, PaymentSucceeded | PaymentNotCounted):
        seen = replace(seen, captures=(*one.captures, event.capture))
        deposit = replace(deposit, captures=(*deposit.captures, event.capture))
    deposit = replace(deposit, payments=_with(deposit.payments, seen))
    if isinstance(event, PaymentSucceeded):
        window = Window(event.at, event.window_ends_at) if event.windowed else None
        return replace(deposit, paid=event, window=window)
    return deposit


def _window_after_undo(deposit: Deposit, event: LockUndone) -> Window | None:
    if event.window_ends_at is None:
        return deposit.window
    starts_at = deposit.window.starts_at if deposit.window is not None else deposit.created_at
    return Window(starts_at, event.window_ends_at, cancel_only=True)


def _with(rows: tuple[_Row, ...], row: _Row) -> tuple[_Row, ...]:
    return (*rows[: row.n - 1], row, *rows[row.n :])
