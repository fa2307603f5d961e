"""Entries for the journal, and the effects on other items that are written in the same transaction."""

from collections.abc import Iterator, Sequence
from typing import Final

from chalicelib.core.common.journal import Caller, Entry, RequestContext
from chalicelib.core.deadlines import NEVER, overdue
from chalicelib.core.deposit import fold
from chalicelib.core.deposit.claim import Claim
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.status import Status
from chalicelib.core.selling import stock
from chalicelib.flows.ports.effects import (
    CountedStep,
    JournalAppend,
    LimitCount,
    ReasonCounted,
    StockMove,
    Stored,
    TransactionEffect,
)

SYSTEM: Final = Caller("earnest", "service")  # who writes what the clock alone made true


def fold_stored(stored: Stored[DepositEvent]) -> Deposit:
    return fold.fold(stored.id, (entry.event for entry in stored.journal))


def evolve_all(deposit: Deposit, events: Sequence[DepositEvent]) -> Deposit:
    for event in events:
        deposit = fold.evolve(deposit, event)
    return deposit


def side_effects(before: Deposit | None, after: Deposit, most: int | None) -> tuple[TransactionEffect, ...]:
    """Units and limits move in the very write that says why, to and from where they were taken."""
    created = after.created
    effects: list[TransactionEffect] = [
        StockMove(created.offer, created.batch, one) for one in stock.stock_deltas(before, after)
    ]
    units = after.limit_units - (before.limit_units if before is not None else 0)
    if units:
        effects.append(LimitCount(created.offer, created.buyer, units, most if units > 0 else None))
    effects += [ReasonCounted(created.offer, what, reason) for what, reason in _counted_reasons(before, after)]
    return tuple(effects)


def _counted_reasons(before: Deposit | None, after: Deposit) -> Iterator[tuple[CountedStep, str]]:
    """What the public count of an offer's cancellations hears: that there is one, an appeal, and that it was right."""
    reason = after.cancelled.reason if after.cancelled is not None else None
    if before is None or reason is None:
        return
    if before.cancelled is None:
        yield "cancelled", reason
    was, now = _appeals(before), _appeals(after)
    if len(now) > len(was) and not was:
        yield "appealed", reason
    if any(one.paid is not None for one in now) and all(one.paid is None for one in was):
        yield "overturned", reason


def _appeals(deposit: Deposit) -> list[Claim]:
    return [one for one in deposit.claims if one.opened.kind == "merchant_cancellation"]


def journal_append(
    stored: Stored[DepositEvent], event: DepositEvent, asked: RequestContext, by: Caller
) -> JournalAppend:
    """An event in the journal of another deposit, behind what is overdue there."""
    before = fold_stored(stored)
    late = overdue(before, event.at, NEVER)
    entries = (*system_entries(late), Entry(event, asked.at, by, locale=asked.locale))
    return JournalAppend(stored, entries, evolve_all(before, (*late, event)))


def returns_pass(before: Deposit, after: Deposit) -> bool:
    """Whether an order made with a priority pass ended unpaid, and nothing better came of it."""
    ended = before.status is Status.AWAITING_PAYMENT and after.status in {Status.EXPIRED, Status.CANCELLED}
    return ended and after.created.priority is not None and len(after.passes) == len(before.passes)


def to_entries(events: Sequence[DepositEvent], asked: RequestContext, by: Caller) -> tuple[Entry[DepositEvent], ...]:
    """Entries for the journal; the last event of a request carries its key, so that its prefix is its answer."""
    last = len(events) - 1
    return tuple(
        Entry(event, asked.at, by, asked.key if i == last else None, asked.locale) for i, event in enumerate(events)
    )


def system_entries(events: Sequence[DepositEvent]) -> tuple[Entry[DepositEvent], ...]:
    """Entries for deadlines: the clock knew them at their instant, whoever writes them down, and whenever."""
    return tuple(Entry(event, event.at, SYSTEM) for event in events)
