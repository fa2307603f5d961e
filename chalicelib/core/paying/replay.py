"""Payments and chargebacks decided again, for proofs."""

from collections.abc import Iterator
from typing import Final, cast

from msgspec.structs import replace

from chalicelib.core.common import instants
from chalicelib.core.deposit.causes import SENT_BACK, Cause, LineCode
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.lock import LockedByPayment
from chalicelib.core.deposit.events.payment import (
    BalancePaid,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
)
from chalicelib.core.deposit.events.refund import RefundApproved, RefundCovered, RefundLine
from chalicelib.core.deposit.history import CauseRules, History, Replays, take_as_recorded
from chalicelib.core.deposit.payment import Arrival
from chalicelib.core.ending import end
from chalicelib.core.ending.entitlement import Leg
from chalicelib.core.paying import chargeback
from chalicelib.core.paying.captures import find_return_cause, list_reminders
from chalicelib.core.paying.provider_answers import CaptureSeen, DisputeSeen
from chalicelib.core.policy.terms import Terms


def _replay_not_counted(history: History, place: int) -> DepositEvent | None:
    event, before = cast(PaymentNotCounted, history.events[place]), history.before(place)
    cause = _find_return_cause(before, event)
    return replace(event, at=max(event.at, before.created_at), cause=cause) if cause is not None else None


def _replay_balance_paid(history: History, place: int) -> DepositEvent | None:
    event, before = cast(BalancePaid, history.events[place]), history.before(place)
    payment = before.payments[event.payment - 1]
    if _find_return_cause(before, event) is not None or payment.kind != "balance":
        return None
    return replace(event, at=max(event.at, payment.opened_at))


def _replay_paid(history: History, place: int) -> DepositEvent | None:
    event, before = cast(PaymentSucceeded, history.events[place]), history.before(place)
    if _find_return_cause(before, event) is not None or before.payments[event.payment - 1].kind == "balance":
        return None
    return _count_window_again(replace(event, at=max(event.at, before.created_at)), history.terms)


def _find_return_cause(before: Deposit, event: Arrival) -> Cause | None:
    """Why the rules return a capture; None when it pays. LookupError for an unknown payment or a known capture."""
    if before.payments[event.payment - 1].n != event.payment:
        raise LookupError("no such payment")
    if any(captured.capture == event.capture for captured in before.captures):
        raise LookupError("a capture counts once")
    return find_return_cause(before, event.payment, CaptureSeen(event.capture, event.amount, event.at))


def _count_window_again(event: PaymentSucceeded, terms: Terms) -> PaymentSucceeded:
    """Windows in hours are counted again. Windows in days stay as recorded: releases may know different holidays."""
    ends_at = None
    if terms.window is not None and terms.lock.at == "window_end":
        elapsed = terms.window.kind == "elapsed"
        ends_at = event.at + instants.duration_ms(terms.window.length) if elapsed else event.window_ends_at
        if ends_at is None or ends_at <= event.at:
            raise ValueError("a window has an end")
    windowed = terms.lock.at != "payment"
    return replace(event, windowed=windowed, window_ends_at=ends_at, remind_at=list_reminders(terms, event.at, ends_at))


def must_return_money(history: History, place: int) -> bool:
    """Whether the events before ``place`` end with money that was not due: then only its refund may follow."""
    arrival = _find_arrival(history, place)
    event = history.events[arrival]
    if isinstance(event, PaymentSucceeded | BalancePaid):
        return event.amount != history.before(arrival).payments[event.payment - 1].amount
    return isinstance(event, PaymentNotCounted)


def returns_money(event: DepositEvent) -> bool:
    """Whether the event returns such money, or is the lock recorded with a payment."""
    if isinstance(event, RefundApproved):
        return event.cause in SENT_BACK
    return isinstance(event, LockedByPayment)


def _find_arrival(history: History, place: int) -> int:
    """The place of the capture before ``place``: directly before it, or before the lock recorded with it."""
    return place - 2 if isinstance(history.events[place - 1], LockedByPayment) else place - 1


def _replay_return(history: History, place: int) -> Iterator[DepositEvent]:
    arrival = _find_arrival(history, place)
    event, before, after = history.events[arrival], history.before(arrival), history.before(place)
    if not isinstance(event, Arrival):
        return
    cause, excess = _find_return_cause(before, event), event.amount
    if not isinstance(event, PaymentNotCounted):
        if cause is not None:
            return
        cause, excess = Cause.OVERPAYMENT, event.amount - before.payments[event.payment - 1].amount
    if cause is not None and excess:
        leg = Leg(event.payment, event.capture, (RefundLine(LineCode.PAID, excess),))
        n, at = len(after.refunds) + 1, history.events[place].at
        yield from end.approve_refund(after, n, cause, leg, at, history.terms.refund.deadline)


def _replay_chargeback_opened(history: History, place: int) -> DepositEvent | None:
    event, before = cast(ChargebackOpened, history.events[place]), history.before(place)
    known = any(captured.capture == event.capture for captured in before.captures)
    return replace(event, dispute=len(before.disputes) + 1) if known else None


def _replay_chargeback_lost(history: History, place: int) -> DepositEvent | None:
    return next(_replay_lost_dispute(history, place))


def _replay_taken_by_bank(history: History, place: int) -> Iterator[DepositEvent]:
    """The approval behind a lost chargeback and the refunds that it covered."""
    place -= 1
    while isinstance(history.events[place], RefundCovered):
        place -= 1
    return _replay_lost_dispute(history, place)


def _replay_lost_dispute(history: History, place: int) -> Iterator[DepositEvent]:
    event, before = history.events[place], history.before(place)
    if not isinstance(event, ChargebackLost):
        return
    dispute = before.disputes[event.dispute - 1]
    seen = DisputeSeen(dispute.ref, dispute.capture, dispute.amount, "lost")
    yield from chargeback.record_dispute(before, dispute.payment, seen, event.at, history.terms)


REPLAYS: Final[Replays] = {
    PaymentPending: take_as_recorded,
    PaymentFailed: take_as_recorded,
    PaymentMethodChanged: take_as_recorded,
    PaymentSucceeded: _replay_paid,
    PaymentNotCounted: _replay_not_counted,
    BalancePaid: _replay_balance_paid,
    ChargebackOpened: _replay_chargeback_opened,
    ChargebackWon: take_as_recorded,
    ChargebackLost: _replay_chargeback_lost,
}
ENDS: Final[CauseRules] = {}
REFUNDS: Final[CauseRules] = {**dict.fromkeys(SENT_BACK, _replay_return), Cause.CHARGEBACK: _replay_taken_by_bank}
