"""Which stock shards an order draws units from, and how stock changes between two states of a deposit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.order import TakenStock
from chalicelib.core.selling.offer import Offer, list_shards
from chalicelib.core.selling.ordering import Ordered

MAX_DRAWS: Final = 28  # shards of one order: with the deposit and its limit as many actions as one write takes


def draw_units(
    items: Sequence[Ordered],
    offer: Offer,
    start: int,
    left: Mapping[str, Sequence[int]] | None,
    at: int,
    held: Sequence[TakenStock] = (),
    *,
    with_pass: bool = False,
) -> tuple[TakenStock, ...]:
    """The units drawn from each shard, beginning at shard ``start``. SOLD_OUT when too few are left.

    ``left``: units left in each shard, by SKU. When it is None, the first shard is tried, and the write itself finds out.
    ``held``: units that the deposit holds already; wanted ones are kept. Orders with a pass draw reserved units first.
    """
    wanted: Counter[str] = Counter()
    for item in items:
        wanted[item.sku] += item.quantity
    kept = _keep_wanted_units(wanted, held)
    wanted.subtract(Counter({sku: sum(draw.units for draw in kept if draw.sku == sku) for sku in wanted}))
    taken: list[TakenStock] = []
    for sku, units in wanted.items():
        stock = offer.counted(sku)
        if stock is not None and units:
            choices = list_shards(offer, stock, at, with_pass=with_pass)
            taken += _draw_from_shards(sku, units, start, left[sku] if left else [units] * stock.all_shards, choices)
    if len({(draw.sku, draw.shard) for draw in (*taken, *held)}) > MAX_DRAWS:
        # The units are spread over too many shards. That depends on other orders, so it is no error of a field.
        raise Refused(Reason.SOLD_OUT, sku=Counter(draw.sku for draw in taken).most_common(1)[0][0])
    return _merge_by_shard((*kept, *taken))


def _keep_wanted_units(wanted: Mapping[str, int], held: Sequence[TakenStock]) -> tuple[TakenStock, ...]:
    """The held units that are still wanted."""
    open_units = Counter(wanted)
    kept: list[TakenStock] = []
    for draw in held:
        units = min(open_units[draw.sku], draw.units)
        open_units[draw.sku] -= units
        if units:
            kept.append(TakenStock(draw.sku, draw.shard, units))
    return tuple(kept)


def _merge_by_shard(taken: Sequence[TakenStock]) -> tuple[TakenStock, ...]:
    """One entry for each shard: a transaction may write an item only once."""
    return tuple(TakenStock(sku, shard, units) for (sku, shard), units in _sum_by_shard(taken).items())


class StockDelta(Struct, frozen=True):
    """The change of one shard's units that are left, live and sold; the three sum to zero."""

    sku: str
    shard: int
    left: int
    live: int
    sold: int


def stock_deltas(before: Deposit | None, after: Deposit) -> tuple[StockDelta, ...]:
    """The changes of stock between two states of a deposit: units taken, given back, or sold."""
    live, sold = _sum_by_shard(after.stock), _sum_by_shard(after.sold)
    if before is not None:
        live.subtract(_sum_by_shard(before.stock))
        sold.subtract(_sum_by_shard(before.sold))
    return tuple(
        StockDelta(sku, shard, -live[sku, shard] - sold[sku, shard], live[sku, shard], sold[sku, shard])
        for sku, shard in dict.fromkeys((*live, *sold))
        if live[sku, shard] or sold[sku, shard]
    )


def _sum_by_shard(taken: Sequence[TakenStock]) -> Counter[tuple[str, int]]:
    units: Counter[tuple[str, int]] = Counter()
    for draw in taken:
        units[draw.sku, draw.shard] += draw.units
    return units


def _draw_from_shards(
    sku: str, units: int, start: int, left: Sequence[int], choices: Sequence[Sequence[int]]
) -> list[TakenStock]:
    """All units from the fuller of two shards that each have enough; else from the fullest shards. SOLD_OUT.

    Concurrent orders have different values of ``start``, so they use different shards and the shards empty evenly.
    """
    from_start = [shard for shards in choices for shard in _rotate(shards, start)]
    if sum(left[shard] for shard in from_start) < units:
        raise Refused(Reason.SOLD_OUT, sku=sku)
    for shards in choices:
        enough = [shard for shard in shards if left[shard] >= units]
        if enough:
            first, second = start % len(enough), start // len(enough) % len(enough)
            return [TakenStock(sku, max(enough[first], enough[second], key=lambda shard: left[shard]), units)]
    taken: list[TakenStock] = []
    for shard in sorted(from_start, key=lambda shard: -left[shard]):
        part = min(left[shard], units)
        if part:
            taken.append(TakenStock(sku, shard, part))
            units -= part
    return taken


def _rotate(shards: Sequence[int], start: int) -> Sequence[int]:
    """All shards, beginning at the one that ``start`` chooses."""
    first = start % len(shards)
    return (*shards[first:], *shards[:first])
