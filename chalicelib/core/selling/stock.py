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

MAX_DRAWS: Final = 28  # shards of one order: with the deposit and its limit they are the most that one write takes


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
    """The shards that the units come from, beginning at ``start``. SOLD_OUT when they are not there, or too thin.

    What is ``held`` already is kept as far as it is still wanted. Without a look at what is ``left`` the first shard is
    tried: the write itself finds out. Units kept for passes are drawn by passes first.
    """
    wanted: Counter[str] = Counter()
    for item in items:
        wanted[item.sku] += item.quantity
    kept = _keep_wanted_units(wanted, held)
    wanted.subtract(Counter({sku: sum(one.units for one in kept if one.sku == sku) for sku in wanted}))
    taken: list[TakenStock] = []
    for sku, units in wanted.items():
        stock = offer.counted(sku)
        if stock is not None and units:
            choices = list_shards(offer, stock, at, with_pass=with_pass)
            taken += _draw_from_shards(sku, units, start, left[sku] if left else [units] * stock.all_shards, choices)
    if len({(one.sku, one.shard) for one in (*taken, *held)}) > MAX_DRAWS:
        # What is left lies too thin for so many units. It depends on what others took, so it is no fault of the fields.
        raise Refused(Reason.SOLD_OUT, sku=Counter(one.sku for one in taken).most_common(1)[0][0])
    return _merge_by_shard((*kept, *taken))


def _keep_wanted_units(wanted: Mapping[str, int], held: Sequence[TakenStock]) -> tuple[TakenStock, ...]:
    """Of what is held, the units that are wanted still."""
    open_units = Counter(wanted)
    kept: list[TakenStock] = []
    for one in held:
        units = min(open_units[one.sku], one.units)
        open_units[one.sku] -= units
        if units:
            kept.append(TakenStock(one.sku, one.shard, units))
    return tuple(kept)


def _merge_by_shard(taken: Sequence[TakenStock]) -> tuple[TakenStock, ...]:
    """One entry for each shard: a transaction touches an item once."""
    sums: Counter[tuple[str, int]] = Counter()
    for one in taken:
        sums[one.sku, one.shard] += one.units
    return tuple(TakenStock(sku, shard, units) for (sku, shard), units in sums.items())


class StockDelta(Struct, frozen=True):
    """How a shard changes with a deposit; the three sum to zero."""

    sku: str
    shard: int
    left: int
    live: int
    sold: int


def stock_deltas(before: Deposit | None, after: Deposit) -> tuple[StockDelta, ...]:
    """What a deposit's step does to the shelves: units that it takes, gives back, or has sold for good."""
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
    for one in taken:
        units[one.sku, one.shard] += one.units
    return units


def _draw_from_shards(
    sku: str, units: int, start: int, left: Sequence[int], choices: Sequence[Sequence[int]]
) -> list[TakenStock]:
    """The fuller of any two shards that have them all, else the fullest ones until there are enough.

    Whoever comes at the same time has another ``start``. So shards run dry together, and the last units, which many
    want at once, lie in many of them.
    """
    from_start = [shard for shards in choices for shard in _rotate(shards, start)]
    if sum(left[shard] for shard in from_start) < units:
        raise Refused(Reason.SOLD_OUT, sku=sku)
    for shards in choices:
        enough = [shard for shard in shards if left[shard] >= units]
        if enough:
            some, others = start % len(enough), start // len(enough) % len(enough)
            return [TakenStock(sku, max(enough[some], enough[others], key=lambda shard: left[shard]), units)]
    taken: list[TakenStock] = []
    for shard in sorted(from_start, key=lambda shard: -left[shard]):
        part = min(left[shard], units)
        if part:
            taken.append(TakenStock(sku, shard, part))
            units -= part
    return taken


def _rotate(shards: Sequence[int], start: int) -> Sequence[int]:
    """All of them, beginning somewhere in the middle: whoever comes at the same time begins elsewhere."""
    first = start % len(shards)
    return (*shards[first:], *shards[:first])
