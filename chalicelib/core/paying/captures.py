"""Captures: which of them pay a deposit, which are returned at once, and where the window starts.

Providers may repeat or reorder what they report: only what is new becomes an event.
"""

from collections.abc import Iterator
from typing import Final

from chalicelib.core.common import instants
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.command_row import Action, Command, CommandRow, Commands, needed, optional
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.lock import LockedByPayment
from chalicelib.core.deposit.events.payment import (
    BalancePaid,
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
)
from chalicelib.core.deposit.events.refund import RefundLine
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.deposit.payment import MAX_PAYMENTS, TRANSITIONS
from chalicelib.core.deposit.status import Status
from chalicelib.core.ending import end
from chalicelib.core.ending.entitlement import Leg
from chalicelib.core.locking import lock
from chalicelib.core.paying import chargeback
from chalicelib.core.paying.provider_answers import CaptureSeen, PaymentSeen
from chalicelib.core.policy import calendar
from chalicelib.core.policy.terms import Terms


class ChangePaymentMethod(Command, frozen=True):
    """The buyer changes the payment method. No provider event can."""

    method: str


def refuse_method_change(deposit: Deposit, at: int, _terms: Terms) -> None:
    """WRONG_STATE unless the first payment is awaited, RATE_LIMITED after ``MAX_PAYMENTS`` payments."""
    status = status_at(deposit, at)
    if status is not Status.AWAITING_PAYMENT:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    if len(deposit.payments) >= MAX_PAYMENTS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_PAYMENTS)


def change_method(deposit: Deposit, command: ChangePaymentMethod, at: int, terms: Terms) -> PaymentMethodChanged:
    """The change of method. PAYMENT_METHOD_NOT_OFFERED for a method that is not offered at ``at``."""
    if not terms.offers_method(command.method, at):
        raise Refused(Reason.PAYMENT_METHOD_NOT_OFFERED, (FieldError("/payment_method", "unknown_method"),))
    refuse_method_change(deposit, at, terms)
    return PaymentMethodChanged(at, command.method)


def judge_payment(deposit: Deposit, seen: PaymentSeen, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The events for what is new in the provider's record of a payment. Each capture is judged once, by its reference."""
    for capture in seen.captures:
        if any(known.capture == capture.ref for known in deposit.captures):
            continue
        for event in _judge_capture(deposit, seen.payment, capture, at, terms):
            yield event
            deposit = evolve(deposit, event)
    for dispute in seen.disputes:
        for event in chargeback.record_dispute(deposit, seen.payment, dispute, at, terms):
            yield event
            deposit = evolve(deposit, event)
    status = deposit.payments[seen.payment - 1].status
    if not seen.captures:
        if seen.status == "pending" and (status, PaymentPending) in TRANSITIONS:
            yield PaymentPending(at, seen.payment)
        if seen.status == "failed" and (status, PaymentFailed) in TRANSITIONS:
            yield PaymentFailed(at, seen.payment)


def _judge_capture(
    deposit: Deposit, payment: int, capture: CaptureSeen, at: int, terms: Terms
) -> Iterator[DepositEvent]:
    cause = find_return_cause(deposit, payment, capture)
    if cause is not None:
        not_counted = PaymentNotCounted(
            max(capture.at, deposit.created_at), payment, capture.ref, capture.amount, cause
        )
        yield not_counted
        yield from _return_money(evolve(deposit, not_counted), terms, cause, capture.amount, at, payment, capture.ref)
        return
    paid: BalancePaid | PaymentSucceeded
    if deposit.payments[payment - 1].kind == "balance":
        opened_at = deposit.payments[payment - 1].opened_at
        paid = BalancePaid(max(capture.at, opened_at), payment, capture.ref, capture.amount)
    else:
        paid = _build_payment_succeeded(deposit, payment, capture, terms)
    yield paid
    if isinstance(paid, PaymentSucceeded) and terms.lock.at == "payment":
        yield LockedByPayment(paid.at, lock.compute_undo_until(paid.at, terms))
    excess = capture.amount - deposit.payments[payment - 1].amount
    if excess:
        yield from _return_money(evolve(deposit, paid), terms, Cause.OVERPAYMENT, excess, at, payment, capture.ref)


def find_return_cause(deposit: Deposit, payment: int, capture: CaptureSeen) -> Cause | None:
    """Why a capture is returned; None when it pays. The provider's capture instant decides whether it was in time.

    A balance can be paid until the deposit ends: after its due date only the merchant may declare a default.
    """
    payment_due = deposit.payments[payment - 1]
    ended = deposit.status in {Status.CANCELLED, Status.EXPIRED}
    if ended or (deposit.paid is None and capture.at >= payment_due.due_at):
        return Cause.LATE_PAYMENT
    paid = not deposit.balance if payment_due.kind == "balance" else deposit.paid is not None
    if paid or payment != deposit.payment.n:
        return Cause.DUPLICATE_PAYMENT
    if capture.amount.currency != payment_due.amount.currency or capture.amount < payment_due.amount:
        return Cause.AMOUNT_MISMATCH
    return None


def _build_payment_succeeded(deposit: Deposit, payment: int, capture: CaptureSeen, terms: Terms) -> PaymentSucceeded:
    starts_at = max(capture.at, deposit.created_at)
    ends_at = None
    if terms.window is not None and terms.lock.at == "window_end":
        ends_at = calendar.compute_window_end(terms.window.kind, terms.window.length, starts_at, terms.policy.calendar)
    return PaymentSucceeded(
        at=starts_at,
        payment=payment,
        capture=capture.ref,
        amount=capture.amount,
        windowed=terms.lock.at != "payment",
        window_ends_at=ends_at,
        remind_at=list_reminders(terms, starts_at, ends_at),
    )


def list_reminders(terms: Terms, starts_at: int, ends_at: int | None) -> tuple[int, ...]:
    """The instants of reminders: the terms' times before the end that lie within the window; earliest first."""
    if ends_at is None:
        return ()
    remind_at = {ends_at - instants.duration_ms(distance) for distance in terms.lock.remind_before}
    return tuple(sorted(at for at in remind_at if starts_at < at < ends_at))


def _return_money(
    deposit: Deposit, terms: Terms, cause: Cause, amount: Money, at: int, payment: int, capture: str
) -> Iterator[DepositEvent]:
    leg = Leg(payment, capture, (RefundLine(LineCode.PAID, amount),))
    yield from end.approve_refund(deposit, len(deposit.refunds) + 1, cause, leg, at, terms.refund.deadline)


COMMANDS: Final[Commands] = (
    CommandRow(ChangePaymentMethod, change_method, Action("buyer", "payment-method", refuse_method_change), optional),
    CommandRow(PaymentSeen, judge_payment, None, needed),
)
