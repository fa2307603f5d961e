"""Money that arrives: what counts, what goes back by itself, what a bank disputes, and where a window starts from."""

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
from chalicelib.core.paying import chargeback
from chalicelib.core.paying.provider_answers import CaptureSeen, PaymentSeen
from chalicelib.core.policy import calendar
from chalicelib.core.policy.terms import Terms


def refuse_method_change(deposit: Deposit, at: int) -> None:
    status = status_at(deposit, at)
    if status is not Status.AWAITING_PAYMENT:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    if len(deposit.payments) >= MAX_PAYMENTS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_PAYMENTS)


def change_method(deposit: Deposit, method: str, at: int, terms: Terms) -> PaymentMethodChanged:
    """The buyer's word, and nobody else's."""
    if not terms.offers_method(method, at):
        raise Refused(Reason.PAYMENT_METHOD_NOT_OFFERED, (FieldError("/payment_method", "unknown_method"),))
    refuse_method_change(deposit, at)
    return PaymentMethodChanged(at, method)


def judge_payment(deposit: Deposit, seen: PaymentSeen, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """What is new in what the provider says of a payment; every capture is judged once, by its own reference."""
    for capture in seen.captures:
        if any(one.capture == capture.ref for one in deposit.captures):
            continue
        for event in _judge_capture(deposit, seen.payment, capture, at, terms):
            yield event
            deposit = evolve(deposit, event)
    for dispute in seen.disputes:
        for told in chargeback.record_dispute(deposit, seen.payment, dispute, at, terms):
            yield told
            deposit = evolve(deposit, told)
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
        strange = PaymentNotCounted(max(capture.at, deposit.created_at), payment, capture.ref, capture.amount, cause)
        yield strange
        yield from _return_money(evolve(deposit, strange), terms, cause, capture.amount, at, payment, capture.ref)
        return
    paid: BalancePaid | PaymentSucceeded
    if deposit.payments[payment - 1].kind == "balance":
        opened_at = deposit.payments[payment - 1].opened_at
        paid = BalancePaid(max(capture.at, opened_at), payment, capture.ref, capture.amount)
    else:
        paid = _build_payment_succeeded(deposit, payment, capture, terms)
    yield paid
    if isinstance(paid, PaymentSucceeded) and terms.lock.at == "payment":
        undo = terms.lock.undo
        yield LockedByPayment(paid.at, paid.at + instants.duration_ms(undo) if undo is not None else None)
    excess = capture.amount - deposit.payments[payment - 1].amount
    if excess:
        yield from _return_money(evolve(deposit, paid), terms, Cause.OVERPAYMENT, excess, at, payment, capture.ref)


def find_return_cause(deposit: Deposit, payment: int, capture: CaptureSeen) -> Cause | None:
    """Why a capture goes back, or None when it pays. What counts is the provider's capture instant.

    A balance may be paid as long as the deposit lives: its due date is the merchant's, not the payment's.
    """
    due = deposit.payments[payment - 1]
    ended = deposit.status in {Status.CANCELLED, Status.EXPIRED}
    if ended or (deposit.paid is None and capture.at >= due.due_at):
        return Cause.LATE_PAYMENT
    paid = not deposit.balance if due.kind == "balance" else deposit.paid is not None
    if paid or payment != deposit.payment.n:
        return Cause.DUPLICATE_PAYMENT
    if capture.amount.currency != due.amount.currency or capture.amount < due.amount:
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
    """The distances that the terms name, as far as they lie within the window; earliest first, each once."""
    if ends_at is None:
        return ()
    instants_before = {ends_at - instants.duration_ms(distance) for distance in terms.lock.remind_before}
    return tuple(sorted(at for at in instants_before if starts_at < at < ends_at))


def _return_money(
    deposit: Deposit, terms: Terms, cause: Cause, amount: Money, at: int, payment: int, capture: str
) -> Iterator[DepositEvent]:
    leg = Leg(payment, capture, (RefundLine(LineCode.PAID, amount),))
    yield from end.approve_refund(deposit, len(deposit.refunds) + 1, cause, leg, at, terms.refund.deadline)


class ChangePaymentMethod(Command, frozen=True):
    """The buyer pays another way; nobody else can say so."""

    method: str


COMMANDS: Final[Commands] = (
    CommandRow(
        ChangePaymentMethod,
        lambda deposit, command, at, terms: change_method(deposit, command.method, at, terms),
        Action("buyer", "payment-method", lambda deposit, at, _terms: refuse_method_change(deposit, at)),
        optional,
    ),
    CommandRow(PaymentSeen, judge_payment, None, needed),
)
