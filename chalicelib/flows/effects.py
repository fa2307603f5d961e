"""What an append writes on other items in the same transaction: stock, limits, public counts, other journals."""

from collections.abc import Iterator

from chalicelib.core.common.journal import Caller, Entry, RequestContext
from chalicelib.core.deadlines import NEVER, catch_up
from chalicelib.core.deposit import fold
from chalicelib.core.deposit.claim import Claim
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.status import Status
from chalicelib.core.selling import stock
from chalicelib.flows.entries import system_entries
from chalicelib.flows.images import Image
from chalicelib.flows.ports.effects import (
    CountedStep,
    JournalAppend,
    LimitCount,
    ReasonCounted,
    StockMove,
    TransactionEffect,
)


def side_effects(before: Deposit | None, after: Deposit, max_units: int | None) -> tuple[TransactionEffect, ...]:
    """Stock, limit and public counts that change between two states. ``max_units`` is the offer's limit per buyer."""
    created = after.created
    effects: list[TransactionEffect] = [
        StockMove(created.offer, created.batch, delta) for delta in stock.stock_deltas(before, after)
    ]
    units = after.limit_units - (before.limit_units if before is not None else 0)
    if units:
        effects.append(LimitCount(created.offer, created.buyer, units, max_units if units > 0 else None))
    effects += [ReasonCounted(created.offer, step, reason) for step, reason in _counted_steps(before, after)]
    return tuple(effects)


def _counted_steps(before: Deposit | None, after: Deposit) -> Iterator[tuple[CountedStep, str]]:
    """Steps and reason for the public count of an offer's cancellations: cancelled, appealed, overturned."""
    reason = after.cancelled.reason if after.cancelled is not None else None
    if before is None or reason is None:
        return
    if before.cancelled is None:
        yield "cancelled", reason
    appeals_before, appeals = _appeals(before), _appeals(after)
    if len(appeals) > len(appeals_before) and not appeals_before:
        yield "appealed", reason
    if any(claim.paid is not None for claim in appeals) and all(claim.paid is None for claim in appeals_before):
        yield "overturned", reason


def _appeals(deposit: Deposit) -> list[Claim]:
    return [claim for claim in deposit.claims if claim.opened.kind == "merchant_cancellation"]


def journal_append(image: Image, event: DepositEvent, request: RequestContext, by: Caller) -> JournalAppend:
    """An event in the journal of another deposit, behind the announcements that are due there."""
    due_announcements, current = catch_up(image.deposit, event.at, NEVER)
    entry = Entry(event, request.at, by, locale=request.locale)
    return JournalAppend(image.stored, (*system_entries(due_announcements), entry), fold.evolve(current, event))


def returns_pass(before: Deposit, after: Deposit) -> bool:
    """Whether an order made with a priority pass ended unpaid and no new pass was granted for it."""
    ended = before.status is Status.AWAITING_PAYMENT and after.status in {Status.EXPIRED, Status.CANCELLED}
    return ended and after.created.priority is not None and len(after.passes) == len(before.passes)
