"""Delivery progress of each line of a deposit, and how events change it."""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.deposit.event_row import EventRow, Rows, stays
from chalicelib.core.deposit.events.goods import (
    GoodsDelivered,
    GoodsReady,
    GoodsReceived,
    GoodsShipped,
    Units,
)
from chalicelib.core.deposit.events.order import TakenStock
from chalicelib.core.deposit.ledger import no_postings
from chalicelib.core.deposit.status import Status

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


class Progress(Struct, frozen=True):
    """Delivery of one line, in units. ``delivered`` is what the merchant reported, ``received`` what the buyer confirmed.

    ``ready_at``: from when the buyer may inspect, not before the merchant's report; None until then. ``dropped`` units will
    not be shipped: a claim paid them, or the deposit ended. ``refuted`` units are recorded as shipped, and a claim paid them.
    """

    ready_at: int | None = None
    shipped: int = 0
    first_shipped_at: int | None = None
    last_shipped_at: int | None = None
    dropped: int = 0
    refuted: int = 0
    delivered: int = 0
    delivered_at: int | None = None
    received: int = 0
    received_at: int | None = None

    def count_to_ship(self, quantity: int) -> int:
        """The units still to be shipped, of ``quantity`` ordered."""
        return quantity - self.shipped - self.dropped

    def count_claimable(self, quantity: int) -> int:
        """The units whose money went back neither by a claim nor with the end."""
        return quantity - self.dropped - self.refuted

    @property
    def units_kept(self) -> int:
        """The shipped units that no claim paid back."""
        return self.shipped - self.refuted

    def pay_back(self, units: int, quantity: int) -> "Progress":
        """The progress after a claim paid units back: unshipped units first."""
        dropped = min(units, self.count_to_ship(quantity))
        return replace(self, dropped=self.dropped + dropped, refuted=self.refuted + units - dropped)

    def arrived_at(self, quantity: int) -> int | None:
        """When the last unit arrived: the later of the merchant's and the buyer's report; None while any is on its way.

        Units that a claim paid back do not count.
        """
        reports = ((self.delivered, self.delivered_at), (self.received, self.received_at))
        return max(
            (at for units, at in reports if units >= self.count_claimable(quantity) and at is not None), default=None
        )


def make_ready(deposit: "Deposit", event: GoodsReady) -> "Deposit":
    progress = list(deposit.progress)
    for line in event.lines:
        progress[line - 1] = replace(progress[line - 1], ready_at=max(event.at, event.inspect_at))
    due = {"balance_due_at": event.balance_due_at, "cure_until": event.cure_until}
    return replace(deposit, progress=tuple(progress), **due)


def ship_units(deposit: "Deposit", event: GoodsShipped) -> "Deposit":
    def shipped(line: Progress, units: int) -> Progress:
        first = line.first_shipped_at if line.first_shipped_at is not None else event.at
        return replace(line, shipped=line.shipped + units, first_shipped_at=first, last_shipped_at=event.at)

    return replace(deposit, progress=_change_lines(deposit.progress, event.lines, shipped))


def deliver_units(deposit: "Deposit", event: GoodsDelivered) -> "Deposit":
    def delivered(line: Progress, units: int) -> Progress:
        latest = max(event.delivered_at, line.delivered_at or event.delivered_at)
        return replace(line, delivered=line.delivered + units, delivered_at=latest)

    after = replace(deposit, progress=_change_lines(deposit.progress, event.lines, delivered))
    return _add_withdrawal_end(after, event.delivered_at, event.withdrawal_ends_at)


def receive_units(deposit: "Deposit", event: GoodsReceived) -> "Deposit":
    def received(line: Progress, units: int) -> Progress:
        return replace(line, received=line.received + units, received_at=event.at)

    after = replace(deposit, progress=_change_lines(deposit.progress, event.lines, received))
    return _add_withdrawal_end(after, event.at, event.withdrawal_ends_at)


def _change_lines(
    progress: tuple[Progress, ...], lines: tuple[Units, ...], change: Callable[[Progress, int], Progress]
) -> tuple[Progress, ...]:
    """The progress of all lines, changed for the units that an event names."""
    changed = list(progress)
    for units in lines:
        changed[units.line - 1] = change(changed[units.line - 1], units.quantity)
    return tuple(changed)


def _add_withdrawal_end(deposit: "Deposit", arrived_at: int, ends_at: int | None) -> "Deposit":
    if ends_at is None:
        return deposit
    return replace(deposit, withdrawal_ends=(*deposit.withdrawal_ends, (arrived_at, ends_at)))


def list_shipped_stock(deposit: "Deposit") -> tuple[TakenStock, ...]:
    """The shipped units of a deposit by stock shard. They are sold when it ends; the others are released."""
    shipped: Counter[str] = Counter()
    for line, progress in zip(deposit.lines, deposit.progress, strict=True):
        shipped[line.sku] += progress.shipped
    stock: list[TakenStock] = []
    for taken in deposit.stock:
        units = min(shipped[taken.sku], taken.units)
        shipped[taken.sku] -= units
        if units:
            stock.append(replace(taken, units=units))
    return tuple(stock)


_LOCKED, _COMPLETED = Status.LOCKED, Status.COMPLETED
EVENTS: Final[Rows] = (
    EventRow(GoodsReady, stays(_LOCKED), make_ready, no_postings),
    EventRow(GoodsShipped, stays(_LOCKED), ship_units, no_postings),
    EventRow(GoodsDelivered, stays(_LOCKED, _COMPLETED), deliver_units, no_postings),
    EventRow(GoodsReceived, stays(_LOCKED, _COMPLETED), receive_units, no_postings),
)
