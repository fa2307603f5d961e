"""Decide: from a deposit, a command and the instant it was asked, the events that follow, or a refusal.

A command is judged at ``at``, the instant it reached the edge. No decision reads a deadline event.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chalicelib import policies
from chalicelib.core import entitlement, instants, window
from chalicelib.core.deposit import Deposit, Status, evolve, lock_at, status_at
from chalicelib.core.events import (
    Cancelled,
    DepositEvent,
    LockedByPayment,
    LockUndone,
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
    RefundApproved,
    RefundDeclined,
    RefundLine,
    RefundReviewNeeded,
    RefundSent,
    RefundSettled,
    RefundUnknown,
)
from chalicelib.core.money import Money
from chalicelib.core.payment import TRANSITIONS as PAYMENT_TRANSITIONS
from chalicelib.core.payment import CaptureSeen, PaymentSeen
from chalicelib.core.refund import TRANSITIONS as REFUND_TRANSITIONS
from chalicelib.core.refund import RefundSeen, steps_seen
from chalicelib.core.refusal import Fault, Reason, Refused
from chalicelib.core.terms import Terms

MOST_PAYMENTS: Final = 20  # payments that one deposit may open: a journal stays small
ROUTE_CLOSED: Final = "route_cannot_refund"


@dataclass(frozen=True, slots=True)
class Cancel:
    """The buyer ends the deposit."""


@dataclass(frozen=True, slots=True)
class ChangePaymentMethod:
    """The buyer pays another way; nobody else can say so."""

    method: str


@dataclass(frozen=True, slots=True)
class Unlock:
    """The buyer takes a lock back while its undo is open."""


@dataclass(frozen=True, slots=True)
class SendRefund:
    """A job is about to ask the provider for the first time."""

    refund: int


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The provider gave no answer that can be read."""

    refund: int


@dataclass(frozen=True, slots=True)
class MissRefund:
    """The provider does not know the refund and no longer remembers its key."""

    refund: int


Command = Cancel | ChangePaymentMethod | Unlock | SendRefund | LoseAnswer | MissRefund | PaymentSeen | RefundSeen


def decide(deposit: Deposit, command: Command, at: int, terms: Terms) -> tuple[DepositEvent, ...]:
    """The events of a command asked at ``at``. Nothing new to say is an empty tuple; a no is Refused."""
    match command:
        case Cancel():
            return tuple(_cancel(deposit, at, terms))
        case ChangePaymentMethod():
            return (_change_method(deposit, command.method, at, terms),)
        case Unlock():
            return (_unlock(deposit, at),)
        case SendRefund():
            return _refund_step(deposit, RefundSent(at, command.refund))
        case LoseAnswer():
            return _refund_step(deposit, RefundUnknown(at, command.refund))
        case MissRefund():
            return _refund_step(deposit, RefundReviewNeeded(at, command.refund, "not_found"))
        case PaymentSeen():
            return tuple(_see_payment(deposit, command, at, terms))
        case RefundSeen():
            return tuple(steps_seen(deposit.refunds[command.refund - 1], command))


def actions(deposit: Deposit, role: str, at: int) -> tuple[str, ...]:
    """What a caller of this role may do now, named after the paths, sorted. Nothing in it is refused for its state."""
    if role != "buyer":
        return ()
    status = status_at(deposit, at)
    if status is Status.AWAITING_PAYMENT:
        return ("cancel", "payment-method")
    if status is Status.COOLING_OFF:
        return ("cancel",)
    if status is Status.LOCKED:
        return ("cancel", "unlock") if _undo_open(deposit, at) else ("cancel",)
    return ()


def _cancel(deposit: Deposit, at: int, terms: Terms) -> Iterator[DepositEvent]:
    owed = entitlement.of(deposit, terms, "buyer_cancel", at)
    yield Cancelled(at, "buyer_cancel", owed.rule, owed.forfeited)
    if deposit.paid is not None:
        yield from _refund(
            deposit,
            terms,
            cause="buyer_cancel",
            amount=owed.amount,
            lines=owed.lines,
            at=at,
            payment=deposit.paid.payment,
            capture=deposit.paid.capture,
        )


def _refund(
    deposit: Deposit,
    terms: Terms,
    *,
    cause: str,
    amount: Money,
    lines: tuple[RefundLine, ...],
    at: int,
    payment: int,
    capture: str,
) -> Iterator[DepositEvent]:
    """A refund decision. Nothing to pay is settled at once; a route that cannot refund asks the buyer at once."""
    n = len(deposit.refunds) + 1
    promised_by = at + instants.duration_ms(terms.refund.deadline)
    yield RefundApproved(at, n, cause, amount, lines, promised_by, payment, capture)
    if not amount:
        yield RefundSettled(at, n)
    elif not policies.read("routes.toml")[deposit.payments[payment - 1].method]["to_source"]:
        yield RefundDeclined(at, n, ROUTE_CLOSED)


def _change_method(deposit: Deposit, method: str, at: int, terms: Terms) -> PaymentMethodChanged:
    if method not in terms.payment.methods:
        raise Refused(Reason.PAYMENT_METHOD_NOT_OFFERED, (Fault("/payment_method", "unknown_method"),))
    status = status_at(deposit, at)
    if status is not Status.AWAITING_PAYMENT:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    if len(deposit.payments) >= MOST_PAYMENTS:
        raise Refused(Reason.RATE_LIMITED, most=MOST_PAYMENTS)
    return PaymentMethodChanged(at, method)


def _undo_open(deposit: Deposit, at: int) -> bool:
    return deposit.lock is not None and not deposit.lock.final(at)


def _unlock(deposit: Deposit, at: int) -> LockUndone:
    status = status_at(deposit, at)
    if status is not Status.LOCKED:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    if deposit.lock is None or deposit.lock.undo_until is None or not _undo_open(deposit, at):
        lock = lock_at(deposit, at)
        raise Refused(Reason.UNDO_CLOSED, undo_until=lock.undo_until if lock is not None else None)
    runs = deposit.window is not None and (deposit.window.ends_at is None or at < deposit.window.ends_at)
    return LockUndone(at, None if runs else deposit.lock.undo_until)


def _refund_step(deposit: Deposit, event: RefundSent | RefundUnknown | RefundReviewNeeded) -> tuple[DepositEvent, ...]:
    """The step, or nothing when the refund has moved on meanwhile."""
    status = deposit.refunds[event.refund - 1].status
    return (event,) if (status, type(event)) in REFUND_TRANSITIONS else ()


def _see_payment(deposit: Deposit, seen: PaymentSeen, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """What is new in what the provider says of a payment; every capture is judged once, by its own reference."""
    for capture in seen.captures:
        if capture.ref in deposit.captures:
            continue
        for event in _judge(deposit, seen.payment, capture, at, terms):
            yield event
            deposit = evolve(deposit, event)
    status = deposit.payments[seen.payment - 1].status
    if deposit.paid is None and not seen.captures:
        if seen.status == "pending" and (status, PaymentPending) in PAYMENT_TRANSITIONS:
            yield PaymentPending(at, seen.payment)
        if seen.status == "failed" and (status, PaymentFailed) in PAYMENT_TRANSITIONS:
            yield PaymentFailed(at, seen.payment)


def _judge(deposit: Deposit, payment: int, capture: CaptureSeen, at: int, terms: Terms) -> Iterator[DepositEvent]:
    cause = _why_not_counted(deposit, payment, capture)
    if cause is not None:
        yield PaymentNotCounted(max(capture.at, deposit.created_at), payment, capture.ref, capture.amount, cause)
        yield from _send_back(deposit, terms, cause, capture.amount, at, payment, capture.ref)
        return
    paid = _counted(deposit, payment, capture, terms)
    yield paid
    if terms.lock.at == "payment":
        undo = terms.lock.undo
        yield LockedByPayment(paid.at, paid.at + instants.duration_ms(undo) if undo is not None else None)
    excess = capture.amount - deposit.payments[payment - 1].amount
    if excess:
        yield from _send_back(deposit, terms, "overpayment", excess, at, payment, capture.ref)


def _why_not_counted(deposit: Deposit, payment: int, capture: CaptureSeen) -> str | None:
    """Why a capture goes back, or None when it pays the deposit. What counts is the provider's capture instant."""
    due = deposit.payments[payment - 1]
    ended = deposit.status in {Status.CANCELLED, Status.EXPIRED}
    if ended or (deposit.paid is None and capture.at >= due.due_at):
        return "late_payment"
    if deposit.paid is not None or payment != deposit.payment.n:
        return "duplicate_payment"
    if capture.amount.currency != due.amount.currency or capture.amount < due.amount:
        return "amount_mismatch"
    return None


def _counted(deposit: Deposit, payment: int, capture: CaptureSeen, terms: Terms) -> PaymentSucceeded:
    starts_at = max(capture.at, deposit.created_at)
    ends_at = None
    if terms.window is not None and terms.lock.at == "window_end":
        ends_at = window.ends_at(terms.window.kind, terms.window.length, starts_at, terms.policy.calendar)
    return PaymentSucceeded(
        at=starts_at,
        payment=payment,
        capture=capture.ref,
        amount=capture.amount,
        windowed=terms.lock.at != "payment",
        window_ends_at=ends_at,
    )


def _send_back(
    deposit: Deposit, terms: Terms, cause: str, amount: Money, at: int, payment: int, capture: str
) -> Iterator[DepositEvent]:
    lines = (RefundLine("paid", amount),)
    yield from _refund(deposit, terms, cause=cause, amount=amount, lines=lines, at=at, payment=payment, capture=capture)
