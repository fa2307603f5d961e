"""The end of a deposit: what is sold, what goes back, and what becomes of its lock and claims."""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from chalicelib.core.deposit.claim import Claim
from chalicelib.core.deposit.clock import lock_at
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.event_row import EventRow, Rows
from chalicelib.core.deposit.events.ending import Cancelled, Completed, Expired
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.goods import shipped_stock
from chalicelib.core.deposit.ledger import Account, Posting, RefundAmounts, move, no_postings
from chalicelib.core.deposit.status import Status


def end(deposit: Deposit, event: Completed | Cancelled | Expired) -> Deposit:
    """Nothing is live any more: units with the buyer are sold, the others go back, and so do the limit's.

    The lock that the end met stays; the clock makes no other one afterwards.
    """
    lock = lock_at(replace(deposit, status=Status.LOCKED), event.at)
    sold = deposit.sold + shipped_stock(deposit)
    counted = isinstance(event, Completed) or (isinstance(event, Cancelled) and event.counted)
    limit_units = deposit.limit_units if counted else 0
    cancelled = event if isinstance(event, Cancelled) else None
    trade_in = deposit.trade_in
    if trade_in is not None and trade_in.status != "mismatched" and not isinstance(event, Completed):
        trade_in = replace(trade_in, status="cancelled")
    rows = zip(deposit.lines, deposit.progress, strict=True)
    progress = tuple(replace(one, dropped=line.quantity - one.shipped) for line, one in rows)
    return replace(
        deposit,
        stock=(),
        sold=sold,
        limit_units=limit_units,
        lock=lock,
        trade_in=trade_in,
        cancelled=cancelled,
        progress=progress,
        claims=tuple(_after_end(deposit, one) for one in deposit.claims),
    )


def _after_end(deposit: Deposit, one: Claim) -> Claim:
    """Of an open claim's units those that had not left are over with the end, as a claim's payment takes them first."""
    if not one.open:
        return one
    rows = ((units, deposit.progress[units.line - 1], deposit.lines[units.line - 1].quantity) for units in one.lines)
    left = (Units(units.line, units.quantity - progress.to_ship(whole)) for units, progress, whole in rows)
    return replace(one, lines=tuple(units for units in left if units.quantity > 0))


def kept(event: Cancelled, _refunds: RefundAmounts) -> Iterator[Posting]:
    """What the terms and the fee bands let the merchant keep."""
    yield from move(Account.HELD, Account.FORFEITED, event.forfeited)
    yield from move(Account.HELD, Account.FEES, event.fees)


_AWAITING, _OPEN, _LOCKED, _COMPLETED = Status.AWAITING_PAYMENT, Status.COOLING_OFF, Status.LOCKED, Status.COMPLETED
EVENTS: Final[Rows] = (
    EventRow(Completed, {_LOCKED: _COMPLETED}, end, no_postings),
    EventRow(Cancelled, dict.fromkeys((_AWAITING, _OPEN, _LOCKED, _COMPLETED), Status.CANCELLED), end, kept),
    EventRow(Expired, {_AWAITING: Status.EXPIRED}, end, no_postings),
)
