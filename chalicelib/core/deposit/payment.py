"""Payments and captures of a deposit: the payment's transition table, and how events change them."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.event_row import ANY_STATUS, EventRow, Rows, stays
from chalicelib.core.deposit.events.payment import (
    BalanceOpened,
    BalanceOverdue,
    BalancePaid,
    PaymentEvent,
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
)
from chalicelib.core.deposit.ledger import Account, Posting, RefundAmounts, move, no_postings
from chalicelib.core.deposit.lock import Window
from chalicelib.core.deposit.rows import with_row
from chalicelib.core.deposit.status import FINAL, Status

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


Arrival = PaymentSucceeded | BalancePaid | PaymentNotCounted


class PaymentStatus(StrEnum):
    """The status of a payment."""

    REQUIRES_ACTION = "requires_action"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REPLACED = "replaced"


_S = PaymentStatus

# Money that does not count does not change the status of its payment. A refund of its own returns it.
TRANSITIONS: Final[Mapping[tuple[PaymentStatus, type[PaymentEvent]], PaymentStatus]] = MappingProxyType(
    {
        (_S.REQUIRES_ACTION, PaymentPending): _S.PENDING,
        (_S.REQUIRES_ACTION, PaymentSucceeded): _S.SUCCEEDED,
        (_S.REQUIRES_ACTION, BalancePaid): _S.SUCCEEDED,
        (_S.REQUIRES_ACTION, PaymentFailed): _S.FAILED,
        (_S.REQUIRES_ACTION, PaymentMethodChanged): _S.REPLACED,
        (_S.REQUIRES_ACTION, PaymentNotCounted): _S.REQUIRES_ACTION,
        (_S.PENDING, PaymentSucceeded): _S.SUCCEEDED,
        (_S.PENDING, BalancePaid): _S.SUCCEEDED,
        (_S.PENDING, PaymentFailed): _S.FAILED,
        (_S.PENDING, PaymentMethodChanged): _S.REPLACED,
        (_S.PENDING, PaymentNotCounted): _S.PENDING,
        (_S.FAILED, PaymentPending): _S.PENDING,
        (_S.FAILED, PaymentSucceeded): _S.SUCCEEDED,
        (_S.FAILED, BalancePaid): _S.SUCCEEDED,
        (_S.FAILED, PaymentMethodChanged): _S.REPLACED,
        (_S.FAILED, PaymentNotCounted): _S.FAILED,
        (_S.SUCCEEDED, PaymentNotCounted): _S.SUCCEEDED,
        (_S.REPLACED, PaymentNotCounted): _S.REPLACED,
    }
)


MAX_PAYMENTS: Final = 20  # of one deposit, to bound the size of its journal


class Payment(Struct, frozen=True):
    """The ``n``-th payment of a deposit. ``captures`` are the provider's references of the captures recorded so far."""

    n: int
    method: str
    amount: Money
    due_at: int
    kind: Literal["deposit", "balance"] = "deposit"
    status: PaymentStatus = PaymentStatus.REQUIRES_ACTION
    captures: tuple[str, ...] = ()
    opened_at: int = 0


def may_be_paid(deposit: "Deposit", payment: Payment) -> bool:
    """Whether the deposit still waits for this payment's money. Says nothing about the payment's own status."""
    if payment.kind == "balance":
        return payment.n == deposit.payment.n and deposit.status not in FINAL
    return deposit.status is Status.AWAITING_PAYMENT


class Capture(Struct, frozen=True):
    """Money that the provider took. Refunds to the buyer's source are made against a capture.

    ``capture`` is the provider's reference, ``at`` its capture instant. ``counts`` False: not what was due, so it is refunded.
    """

    payment: int
    capture: str
    amount: Money
    at: int
    counts: bool


def change_method(deposit: "Deposit", event: PaymentMethodChanged) -> "Deposit":
    due = deposit.created
    return open_payment(
        deposit, Payment(deposit.payment.n + 1, event.method, due.due_now, due.due_at, opened_at=event.at)
    )


def open_balance(deposit: "Deposit", event: BalanceOpened) -> "Deposit":
    n = deposit.payment.n + 1
    return open_payment(deposit, Payment(n, event.method, event.amount, event.due_at, "balance", opened_at=event.at))


def open_payment(deposit: "Deposit", payment: Payment) -> "Deposit":
    """Add a payment. The payment before it becomes ``replaced`` if it was still open."""
    previous = deposit.payment
    status = TRANSITIONS.get((previous.status, PaymentMethodChanged), previous.status)
    return replace(deposit, payments=(*deposit.payments[:-1], replace(previous, status=status), payment))


def step_payment(deposit: "Deposit", event: PaymentPending | PaymentFailed | Arrival) -> "Deposit":
    """Change the status of the event's payment. KeyError when its table does not allow the event."""
    payment = deposit.payments[event.payment - 1]
    stepped = replace(payment, status=TRANSITIONS[payment.status, type(event)])
    return replace(deposit, payments=with_row(deposit.payments, stepped))


def take_capture(deposit: "Deposit", event: Arrival) -> "Deposit":
    deposit = step_payment(deposit, event)
    payment = deposit.payments[event.payment - 1]
    counts = not isinstance(event, PaymentNotCounted)
    capture = Capture(event.payment, event.capture, event.amount, event.at, counts)
    payments = with_row(deposit.payments, replace(payment, captures=(*payment.captures, event.capture)))
    return replace(deposit, payments=payments, captures=(*deposit.captures, capture))


def begin_window(deposit: "Deposit", event: PaymentSucceeded) -> "Deposit":
    window = Window(event.at, event.window_ends_at, remind_at=event.remind_at) if event.windowed else None
    return replace(take_capture(deposit, event), paid=event, window=window)


def mark_overdue(deposit: "Deposit", _event: BalanceOverdue) -> "Deposit":
    return replace(deposit, overdue_announced=True)


def post_capture(event: Arrival, _refunds: RefundAmounts) -> Iterator[Posting]:
    return move(Account.CAPTURED, Account.HELD, event.amount)


_AWAITING, _OPEN, _LOCKED = Status.AWAITING_PAYMENT, Status.COOLING_OFF, Status.LOCKED
EVENTS: Final[Rows] = (
    EventRow(PaymentPending, ANY_STATUS, step_payment, no_postings),
    EventRow(PaymentFailed, ANY_STATUS, step_payment, no_postings),
    EventRow(PaymentMethodChanged, stays(_AWAITING), change_method, no_postings),
    EventRow(PaymentSucceeded, {_AWAITING: _OPEN}, begin_window, post_capture),
    EventRow(PaymentNotCounted, ANY_STATUS, take_capture, post_capture),
    EventRow(BalanceOpened, stays(_LOCKED), open_balance, no_postings),
    EventRow(BalancePaid, stays(_LOCKED), take_capture, post_capture),
    EventRow(BalanceOverdue, stays(_LOCKED), mark_overdue, no_postings),
)
