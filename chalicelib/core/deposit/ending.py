"""How the events that end a deposit change its stock, limit, lock, trade-in and claims."""

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from chalicelib.core.deposit.claim import Claim
from chalicelib.core.deposit.clock import lock_at
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.event_row import EventRow, Rows
from chalicelib.core.deposit.events.ending import Cancelled, Completed, Expired
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.goods import list_shipped_stock
from chalicelib.core.deposit.ledger import Account, Posting, RefundAmounts, move, no_postings
from chalicelib.core.deposit.status import Status


def end_deposit(deposit: Deposit, event: Completed | Cancelled | Expired) -> Deposit:
    """The deposit after its end. Shipped units are sold, the others are released; so are limit units that do not count.

    The lock at the end's instant stays. No deadline makes a new one afterwards.
    """
    lock = lock_at(replace(deposit, status=Status.LOCKED), event.at)
    sold = deposit.sold + list_shipped_stock(deposit)
    counted = isinstance(event, Completed) or (isinstance(event, Cancelled) and event.counted)
    limit_units = deposit.limit_units if counted else 0
    cancelled = event if isinstance(event, Cancelled) else None
    trade_in = deposit.trade_in
    if trade_in is not None and trade_in.status != "mismatched" and not isinstance(event, Completed):
        trade_in = replace(trade_in, status="cancelled")
    rows = zip(deposit.lines, deposit.progress, strict=True)
    progress = tuple(replace(row, dropped=line.quantity - row.shipped) for line, row in rows)
    return replace(
        deposit,
        stock=(),
        sold=sold,
        limit_units=limit_units,
        lock=lock,
        trade_in=trade_in,
        cancelled=cancelled,
        progress=progress,
        claims=tuple(_drop_unshipped_units(deposit, claim) for claim in deposit.claims),
    )


def _drop_unshipped_units(deposit: Deposit, claim: Claim) -> Claim:
    """An open claim without its unshipped units: their money goes back with the end of the deposit."""
    if not claim.open:
        return claim
    rows = ((units, deposit.progress[units.line - 1], deposit.lines[units.line - 1].quantity) for units in claim.lines)
    left = (Units(units.line, units.quantity - progress.count_to_ship(quantity)) for units, progress, quantity in rows)
    return replace(claim, lines=tuple(units for units in left if units.quantity > 0))


def post_kept_money(event: Cancelled, _refunds: RefundAmounts) -> Iterator[Posting]:
    """The forfeited amount and the fees leave the held money."""
    yield from move(Account.HELD, Account.FORFEITED, event.forfeited)
    yield from move(Account.HELD, Account.FEES, event.fees)


_AWAITING, _OPEN, _LOCKED, _COMPLETED = Status.AWAITING_PAYMENT, Status.COOLING_OFF, Status.LOCKED, Status.COMPLETED
EVENTS: Final[Rows] = (
    EventRow(Completed, {_LOCKED: _COMPLETED}, end_deposit, no_postings),
    EventRow(
        Cancelled,
        dict.fromkeys((_AWAITING, _OPEN, _LOCKED, _COMPLETED), Status.CANCELLED),
        end_deposit,
        post_kept_money,
    ),
    EventRow(Expired, {_AWAITING: Status.EXPIRED}, end_deposit, no_postings),
)
