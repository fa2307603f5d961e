"""What this container knows of an offer's stock shards, so that a rush does not read every shard for every order."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from chalicelib.core.deposit.events.order import TakenStock
from chalicelib.core.selling.offer import Offer
from chalicelib.flows.ports.store import Offers

# "Sold out" is believed this long after a read.
MAX_READ_AGE_MS: Final = 1_000
# After so many orders of one container the shards are read again: in a rush they should run dry together.
MAX_SALES_PER_READ: Final = 16

StockLeft = Mapping[str, Sequence[int]]  # units left in each shard, by SKU


class StockSeen(Struct, frozen=True):
    """The shards as they were read at an instant, and ``left``: the same less what this container took since."""

    at: int
    found: StockLeft
    left: dict[str, list[int]]


class StockCache(Struct, frozen=True):
    """Where to draw is an estimate of any age; that an offer is sold out is believed for a second."""

    seen: dict[str, StockSeen] = field(default_factory=dict)
    sold: Counter[str] = field(default_factory=Counter)

    def is_stale(self, offer_id: str) -> bool:
        """Whether so much was sold here since the last read that the estimate says little."""
        return self.sold[offer_id] >= MAX_SALES_PER_READ

    def estimate(self, offer_id: str) -> StockLeft | None:
        """The last read less our own sales since, of any age."""
        known = self.seen.get(offer_id)
        return known.left if known is not None else None

    def recent(self, offer_id: str, now: int) -> StockLeft | None:
        """The last read, unless it is older than a second."""
        known = self.seen.get(offer_id)
        return known.found if known is not None and now - known.at < MAX_READ_AGE_MS else None

    def read(self, offer: Offer, offers: Offers, now: int) -> StockLeft:
        """A consistent read of every shard."""
        found = offers.left([offer], consistent=True)[offer.id]
        self.sold[offer.id] = 0
        self.seen[offer.id] = StockSeen(now, found, {sku: list(units) for sku, units in found.items()})
        return found

    def record_sale(self, offer_id: str, taken: Sequence[TakenStock]) -> None:
        """The next order of this container begins elsewhere when this one has emptied a shard."""
        known = self.seen.get(offer_id)
        self.sold[offer_id] += bool(taken)
        if known is None:
            return
        for row in taken:
            known.left[row.sku][row.shard] = max(known.left[row.sku][row.shard] - row.units, 0)
