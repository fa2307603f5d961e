"""What the clock asks of a deposit: the deadline events that nobody has written yet, and when to come back.

Deadline events are either announcements, which no decision reads, or irreversible: ``Expired``, and what silence makes of
claims, which are written only after a grace.
"""

from collections.abc import Iterator
from typing import Final

from chalicelib.core.claims import remedy
from chalicelib.core.claims import schedule as claim_schedule
from chalicelib.core.common.instants import DAY
from chalicelib.core.deposit import payment as payments_
from chalicelib.core.deposit import priority_pass
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import ClaimEscalated, ClaimGranted
from chalicelib.core.deposit.events.ending import Expired, QuestionLapsed
from chalicelib.core.deposit.events.lock import LockBecameFinal, LockedByWindowEnd, LockReminded
from chalicelib.core.deposit.events.payment import BalanceOverdue
from chalicelib.core.deposit.events.refund import RefundDeclined, RefundReviewNeeded
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.deposit.payment import Payment
from chalicelib.core.deposit.question import QuestionStatus
from chalicelib.core.deposit.refund import Refund, RefundStatus
from chalicelib.core.deposit.status import FINAL, Status
from chalicelib.core.paying import schedule as payment_schedule
from chalicelib.core.policy import payment_routes
from chalicelib.core.refunding import schedule as refund_schedule

NEVER: Final = -1
# What silence decided about claims; what follows from it, refunds first of all, is written in the same moment.
DECIDED_BY_SILENCE: Final = (ClaimEscalated, ClaimGranted)


def overdue(deposit: Deposit, at: int, expired_until: int, silent_until: int = NEVER) -> tuple[DepositEvent, ...]:
    """The events of ``catch_up``."""
    return catch_up(deposit, at, expired_until, silent_until)[0]


def catch_up(
    deposit: Deposit, at: int, expired_until: int, silent_until: int = NEVER
) -> tuple[tuple[DepositEvent, ...], Deposit]:
    """Every deadline event that has not been written by ``at``, earliest first, and the deposit after them.

    Each event carries its own deadline. Announcements count up to ``at``; irreversible ones only up to ``expired_until``
    and, for claims, ``silent_until``, so that a request asked in time is never overtaken. Nothing is written here.
    """
    events: list[DepositEvent] = []
    while (deadline := _find_next_deadline(deposit, at, expired_until, silent_until)) is not None:
        for event in _add_consequences(deposit, deadline):
            events.append(event)
            deposit = evolve(deposit, event)
    return tuple(events), deposit


def expires(deposit: Deposit, until: int) -> bool:
    """Whether the deposit is unpaid and its time to be paid ended by ``until``."""
    return deposit.status is Status.AWAITING_PAYMENT and deposit.created.due_at <= until


def _find_next_deadline(deposit: Deposit, at: int, expired_until: int, silent_until: int) -> DepositEvent | None:
    def until(event: DepositEvent) -> int:
        if isinstance(event, DECIDED_BY_SILENCE):
            return silent_until
        return expired_until if isinstance(event, Expired) else at

    ripe = [event for event in _list_deadlines(deposit) if event.at <= until(event)]
    return min(ripe, key=lambda event: event.at, default=None)


def _add_consequences(deposit: Deposit, event: DepositEvent) -> tuple[DepositEvent, ...]:
    return (
        remedy.grant_by_silence(deposit, deposit.claims[event.claim - 1])
        if isinstance(event, ClaimGranted)
        else (event,)
    )


def _compute_write_instant(event: DepositEvent, grace: int) -> int:
    """When it can be written: what is irreversible only after a grace."""
    return event.at + (grace if isinstance(event, (Expired, *DECIDED_BY_SILENCE)) else 0)


def _list_deadlines(deposit: Deposit) -> Iterator[DepositEvent]:
    """The deadline events still ahead, whenever they are."""
    if deposit.status is Status.AWAITING_PAYMENT:
        yield Expired(deposit.created.due_at)
    if deposit.status is Status.COOLING_OFF and deposit.window is not None and deposit.window.ends_at is not None:
        yield from (LockReminded(at, deposit.window.ends_at) for at in deposit.window.remind_at)
        yield LockedByWindowEnd(deposit.window.ends_at)
    if deposit.status is Status.LOCKED:
        yield from _list_locked_deadlines(deposit)
    for refund in deposit.refunds:
        closes_at = _find_route_end(deposit, refund)
        if closes_at is not None:
            yield RefundDeclined(closes_at, refund.n, payment_routes.ROUTE_WINDOW_ENDED)
        review_at = refund_schedule.compute_review_at(refund)
        if review_at is not None:
            yield RefundReviewNeeded(review_at, refund.n, "promise_missed")
    for one in deposit.passes:
        yield from priority_pass.list_deadlines(one)
    for claim in deposit.open_claims:
        yield from claim_schedule.list_deadlines(claim)
        yield from remedy.grant_by_silence(deposit, claim)[:1]
    if deposit.status not in FINAL:
        for question in deposit.questions:
            if question.status is QuestionStatus.OPEN:
                yield QuestionLapsed(question.asked.due_at, question.n)


def _find_route_end(deposit: Deposit, refund: Refund) -> int | None:
    """When the way to the source closes for a refund that was not sent: from then on the buyer is asked."""
    if refund.status is not RefundStatus.APPROVED or refund.destination is not None:
        return None
    route = payment_routes.find_route(refund.method, refund.created_at)
    ends_at = payment_routes.compute_refund_window_end(route, deposit.find_capture(refund.capture).at)
    return max(ends_at, refund.changed_at) if ends_at is not None else None


def _list_locked_deadlines(deposit: Deposit) -> Iterator[DepositEvent]:
    lock = deposit.lock
    if lock is not None and lock.undo_until is not None and not lock.final_announced:
        yield LockBecameFinal(lock.undo_until)
    told = deposit.overdue_announced or not deposit.balance
    if deposit.balance_due_at is not None and deposit.cure_until is not None and not told:
        yield BalanceOverdue(deposit.balance_due_at, deposit.cure_until)


def due_at(deposit: Deposit, grace: int) -> int | None:
    """The earliest instant at which something must be written or asked. ``grace`` delays what is irreversible."""
    ahead = [_compute_write_instant(event, grace) for event in _list_deadlines(deposit)]
    looks = [look for refund in deposit.refunds if (look := look_at(deposit, refund)) is not None]
    looks += [one.opened_at + DAY for one in deposit.disputes if one.status == "open"]
    waiting = find_awaited_balance(deposit)
    if waiting is not None:
        looks.append(payment_schedule.compute_first_query_at(waiting))
    return min((*ahead, *looks), default=None)


def look_at(deposit: Deposit, refund: Refund) -> int | None:
    """When something must be done for a refund. What is not sent yet waits while the bank decides about its money."""
    if refund.status is RefundStatus.APPROVED and deposit.is_disputed(refund.capture):
        return refund_schedule.compute_review_at(refund)
    return refund_schedule.compute_due_at(refund)


def next_due(deposit: Deposit, now: int, grace: int) -> int | None:
    """The next instant to come back at, when everything that was due by ``now`` has been tried."""
    ahead = [_compute_write_instant(event, grace) for event in _list_deadlines(deposit)]
    looks = [
        look if look > now else refund_schedule.compute_next_query_at(refund, now)
        for refund in deposit.refunds
        if (look := look_at(deposit, refund)) is not None
    ]
    looks += [max(one.opened_at, now) + DAY for one in deposit.disputes if one.status == "open"]
    waiting = find_awaited_balance(deposit)
    if waiting is not None:
        looks.append(payment_schedule.compute_next_query_at(waiting, now))
    return min((*(instant for instant in ahead if instant > now), *looks), default=None)


def find_awaited_balance(deposit: Deposit) -> Payment | None:
    """The balance payment that may still arrive: it is looked for, whatever became of its events."""
    latest = deposit.payment
    may_arrive = latest.kind == "balance" and latest.status in payment_schedule.MAY_ARRIVE
    return latest if may_arrive and payments_.may_be_paid(deposit, latest) else None
