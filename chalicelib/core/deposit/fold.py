"""Folding a journal into a deposit: one event after the other, by one table."""

from collections.abc import Iterable

from msgspec.structs import replace

from chalicelib.core.deposit import priority_pass
from chalicelib.core.deposit import refund as refunds_
from chalicelib.core.deposit.claim import evolve_claim
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.dispute import evolve_dispute
from chalicelib.core.deposit.ending import evolve_end
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.events.claim import ClaimEvent
from chalicelib.core.deposit.events.ending import (
    Cancelled,
    Completed,
    Expired,
    PassGranted,
    PassLapsed,
    PassReminded,
    PassReturned,
    PassUsed,
    QuestionAnswered,
    QuestionAsked,
    QuestionLapsed,
    WithdrawalConfirmed,
    WithdrawalStated,
)
from chalicelib.core.deposit.events.goods import (
    GoodsDelivered,
    GoodsReady,
    GoodsReceived,
    GoodsShipped,
    TradeInCancelled,
    TradeInInspected,
)
from chalicelib.core.deposit.events.lock import (
    LockBecameFinal,
    LockConfirmed,
    LockedByPayment,
    LockedByWindowEnd,
    LockIntentOpened,
    LockReminded,
    LockUndone,
)
from chalicelib.core.deposit.events.order import Created, ItemsChanged
from chalicelib.core.deposit.events.payment import (
    BalanceOpened,
    BalanceOverdue,
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
from chalicelib.core.deposit.events.refund import RefundApproved
from chalicelib.core.deposit.goods import evolve_goods
from chalicelib.core.deposit.lock import evolve_lock
from chalicelib.core.deposit.order import begin_deposit, evolve_items
from chalicelib.core.deposit.payment import evolve_payment
from chalicelib.core.deposit.question import evolve_question
from chalicelib.core.deposit.rows import with_row
from chalicelib.core.deposit.status import FINAL, FREE, TRANSITIONS, Status
from chalicelib.core.deposit.trade_in import evolve_trade_in
from chalicelib.core.deposit.withdrawal import evolve_withdrawal


def evolve(  # noqa: PLR0912 - a table of events
    deposit: Deposit, event: DepositEvent
) -> Deposit:
    """The deposit after the event; KeyError when no table has such a step, and then nothing changed."""
    after = replace(
        deposit,
        status=deposit.status if isinstance(event, FREE) else _status_after(deposit, event),
        version=deposit.version + 1,
        updated_at=max(deposit.updated_at, event.at),
        money=deposit.money.after(event, deposit.refund_amounts()),
    )
    if isinstance(event, ClaimEvent):
        return evolve_claim(after, event)
    match event:
        case (
            PaymentMethodChanged()
            | PaymentPending()
            | PaymentFailed()
            | PaymentSucceeded()
            | BalanceOpened()
            | BalancePaid()
            | PaymentNotCounted()
        ):
            return evolve_payment(after, event)
        case (
            LockReminded()
            | LockIntentOpened()
            | LockConfirmed()
            | LockedByPayment()
            | LockedByWindowEnd()
            | LockBecameFinal()
            | LockUndone()
        ):
            return evolve_lock(after, event)
        case ItemsChanged():
            return evolve_items(after, event)
        case GoodsReady() | GoodsShipped() | GoodsDelivered() | GoodsReceived():
            return evolve_goods(after, event)
        case BalanceOverdue():
            return replace(after, overdue_told=True)
        case TradeInInspected() | TradeInCancelled():
            return evolve_trade_in(after, event)
        case WithdrawalStated() | WithdrawalConfirmed():
            return evolve_withdrawal(after, event)
        case RefundApproved():
            method = deposit.payments[event.payment - 1].method
            return replace(after, refunds=(*deposit.refunds, refunds_.approve(event, method)))
        case ChargebackOpened() | ChargebackWon() | ChargebackLost():
            return evolve_dispute(after, event)
        case Completed() | Cancelled() | Expired():
            return evolve_end(after, event)
        case QuestionAsked() | QuestionAnswered() | QuestionLapsed():
            return evolve_question(after, event)
        case PassGranted():
            return replace(after, passes=(*deposit.passes, priority_pass.grant_pass(event)))
        case PassUsed() | PassReturned() | PassReminded() | PassLapsed():
            moved_on = priority_pass.step(deposit.passes[event.priority_pass - 1], event)
            return replace(after, passes=with_row(deposit.passes, moved_on))
        case Created():
            raise KeyError(event)
        case _:
            moved = refunds_.step(deposit.refunds[event.refund - 1], event)
            return replace(after, refunds=with_row(deposit.refunds, moved))


def _status_after(deposit: Deposit, event: DepositEvent) -> Status:
    """What the table says; where it says "no change", what was written stays written, an announcement too."""
    standing = _standing(deposit, event)
    status = TRANSITIONS[standing, type(event)]
    return deposit.status if status is standing else status


def _standing(deposit: Deposit, event: DepositEvent) -> Status:
    """The status an event meets: what was written, and for a window that ran out the clock at the event's instant.

    So what was asked inside the window meets it open, although its end was written down before the request got here.
    """
    if deposit.status in FINAL or deposit.paid is None:
        return deposit.status
    if deposit.lock is not None:
        return Status.LOCKED
    ends_at = deposit.window.ends_at if deposit.window is not None else None
    ended = ends_at is not None and event.at >= ends_at and not isinstance(event, LockedByWindowEnd)
    return Status.LOCKED if ended else Status.COOLING_OFF


def fold(deposit_id: str, events: Iterable[DepositEvent]) -> Deposit:
    """The deposit that a journal tells. ValueError when it does not begin with ``Created``."""
    deposit: Deposit | None = None
    for event in events:
        if deposit is not None:
            deposit = evolve(deposit, event)
        elif isinstance(event, Created):
            deposit = begin_deposit(deposit_id, event)
        else:
            raise ValueError("a journal begins with its creation")
    if deposit is None:
        raise ValueError("an empty journal is no deposit")
    return deposit
