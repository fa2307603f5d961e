"""Deadlines of a deposit: the events that the clock alone decides, and when a worker must process the deposit next.

Theory of operation
-------------------
A deadline event is decided by the journal and the clock, not by a caller. ``overdue`` derives those that nobody has written
yet, each at its own deadline, so the result does not depend on who derives it or when. Parts with deadlines:
- the deposit: ``Expired`` (unpaid), ``LockReminded`` and ``LockedByWindowEnd`` (window), ``LockBecameFinal`` (undo),
  ``BalanceOverdue``;
- refunds: ``RefundDeclined`` (the route closes before the refund is sent), ``RefundReviewNeeded`` (promised date missed);
- claims (``ClaimReminded``, ``ClaimEscalated``, ``ClaimGranted``), priority passes, questions of a merchant.

There are two kinds:
- Announcements repeat what the clock already says. Decisions ask the clock and never read them, so writing one late or not at
  all changes nothing. They count up to the present instant.
- Irreversible ones change what may follow: ``Expired`` ends the deposit; ``ClaimEscalated`` and ``ClaimGranted`` decide a
  claim for the buyer, and a grant moves money. They are written only after a grace (60 s), so that a request sent in time
  and processed late is still decided first. Hence ``overdue`` takes an own bound for each: ``expired_until`` and
  ``silent_until``.

Who writes them: every append writes the announcements and decided claims before its own events; the job ``close_windows``
writes them where no request comes. Only that job writes ``Expired``, after it has asked the provider for the payment: a
capture made in time pays the deposit, however late we learn of it.

What a reader sees before they are written: reads write nothing. They fold the overdue events in memory, with the versions
and event ids that the written ones will have. ``Expired`` is visible at once; a claim's grant only after the grace, because
its refunds are sent then.

``due`` is the index attribute by which jobs find deposits: the earliest instant at which something must be written
(``due_at``, grace included) or the provider asked about a refund, a balance payment or a chargeback. After a pass over
everything due, ``next_due`` gives the next instant. No rule depends on ``due``: it only decides how soon a job comes.
"""

from collections.abc import Iterator
from typing import Final

from chalicelib.core.claims import remedy
from chalicelib.core.claims import schedule as claim_schedule
from chalicelib.core.common.instants import DAY
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import ClaimEscalated, ClaimGranted
from chalicelib.core.deposit.events.ending import Expired, QuestionLapsed
from chalicelib.core.deposit.events.lock import LockBecameFinal, LockedByWindowEnd, LockReminded
from chalicelib.core.deposit.events.payment import BalanceOverdue
from chalicelib.core.deposit.events.refund import RefundDeclined, RefundReviewNeeded
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.deposit.payment import Payment, may_be_paid
from chalicelib.core.deposit.question import QuestionStatus
from chalicelib.core.deposit.refund import Refund, RefundStatus
from chalicelib.core.deposit.status import FINAL, Status
from chalicelib.core.ending import second_chance
from chalicelib.core.paying import schedule as payment_schedule
from chalicelib.core.policy import payment_routes
from chalicelib.core.refunding import schedule as refund_schedule

NEVER: Final = -1
# Decisions on claims by silence. The events that follow (refunds first) are written with them.
DECIDED_BY_SILENCE: Final = (ClaimEscalated, ClaimGranted)


def overdue(deposit: Deposit, at: int, expired_until: int, silent_until: int = NEVER) -> tuple[DepositEvent, ...]:
    """The events of ``catch_up``."""
    return catch_up(deposit, at, expired_until, silent_until)[0]


def catch_up(
    deposit: Deposit, at: int, expired_until: int, silent_until: int = NEVER
) -> tuple[tuple[DepositEvent, ...], Deposit]:
    """The unwritten deadline events, earliest first, each at its own deadline, and the deposit after them.

    Announcements up to ``at``, ``Expired`` up to ``expired_until``, decisions of claims by silence up to ``silent_until``.
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

    overdue_events = [event for event in _list_deadlines(deposit) if event.at <= until(event)]
    return min(overdue_events, key=lambda event: event.at, default=None)


def _add_consequences(deposit: Deposit, event: DepositEvent) -> tuple[DepositEvent, ...]:
    return (
        remedy.grant_by_silence(deposit, deposit.claims[event.claim - 1])
        if isinstance(event, ClaimGranted)
        else (event,)
    )


def _compute_write_instant(event: DepositEvent, grace_ms: int) -> int:
    """When the event may be written: an irreversible one after the grace."""
    return event.at + (grace_ms if isinstance(event, (Expired, *DECIDED_BY_SILENCE)) else 0)


def _list_deadlines(deposit: Deposit) -> Iterator[DepositEvent]:
    """All unwritten deadline events, past and future, without those that follow from them."""
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
    for granted in deposit.passes:
        yield from second_chance.list_deadlines(granted)
    for claim in deposit.open_claims:
        yield from claim_schedule.list_deadlines(claim)
        yield from remedy.grant_by_silence(deposit, claim)[:1]
    if deposit.status not in FINAL:
        for question in deposit.questions:
            if question.status is QuestionStatus.OPEN:
                yield QuestionLapsed(question.asked.due_at, question.n)


def _find_route_end(deposit: Deposit, refund: Refund) -> int | None:
    """When the payment route closes for an unsent refund; the buyer is then asked for an account. None: never."""
    if refund.status is not RefundStatus.APPROVED or refund.destination is not None:
        return None
    route = payment_routes.find_route(refund.method, refund.created_at)
    ends_at = payment_routes.compute_refund_window_end(route, deposit.find_capture(refund.capture).at)
    return max(ends_at, refund.changed_at) if ends_at is not None else None


def _list_locked_deadlines(deposit: Deposit) -> Iterator[DepositEvent]:
    lock = deposit.lock
    if lock is not None and lock.undo_until is not None and not lock.final_announced:
        yield LockBecameFinal(lock.undo_until)
    unannounced = not deposit.overdue_announced and deposit.balance
    if deposit.balance_due_at is not None and deposit.cure_until is not None and unannounced:
        yield BalanceOverdue(deposit.balance_due_at, deposit.cure_until)


def due_at(deposit: Deposit, grace_ms: int) -> int | None:
    """The earliest instant at which an event must be written or the provider asked; None: never."""
    deadlines = [_compute_write_instant(event, grace_ms) for event in _list_deadlines(deposit)]
    looks = [look for refund in deposit.refunds if (look := look_at(deposit, refund)) is not None]
    looks += [dispute.opened_at + DAY for dispute in deposit.disputes if dispute.status == "open"]
    awaited = find_awaited_balance(deposit)
    if awaited is not None:
        looks.append(payment_schedule.compute_first_query_at(awaited))
    return min((*deadlines, *looks), default=None)


def look_at(deposit: Deposit, refund: Refund) -> int | None:
    """When a worker must process a refund next; None: never. An unsent one waits while its capture is in dispute."""
    if refund.status is RefundStatus.APPROVED and deposit.is_disputed(refund.capture):
        return refund_schedule.compute_review_at(refund)
    return refund_schedule.compute_due_at(refund)


def next_due(deposit: Deposit, now: int, grace_ms: int) -> int | None:
    """As ``due_at``, after everything due by ``now`` was tried: only instants after ``now``."""
    deadlines = [_compute_write_instant(event, grace_ms) for event in _list_deadlines(deposit)]
    looks = [
        look if look > now else refund_schedule.compute_next_query_at(refund, now)
        for refund in deposit.refunds
        if (look := look_at(deposit, refund)) is not None
    ]
    looks += [max(dispute.opened_at, now) + DAY for dispute in deposit.disputes if dispute.status == "open"]
    awaited = find_awaited_balance(deposit)
    if awaited is not None:
        looks.append(payment_schedule.compute_next_query_at(awaited, now))
    return min((*(instant for instant in deadlines if instant > now), *looks), default=None)


def find_awaited_balance(deposit: Deposit) -> Payment | None:
    """The balance payment that may still succeed, or None. The provider is asked about it: its events may be lost."""
    latest = deposit.payment
    may_arrive = latest.kind == "balance" and latest.status in payment_schedule.MAY_ARRIVE
    return latest if may_arrive and may_be_paid(deposit, latest) else None
