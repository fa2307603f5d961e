"""Stock shards and purchase limits: the actions of a transaction that change them, and reads of what is left.

Each shard keeps total = left + live + sold. Units change only in the transaction that records the reason.
"""

from collections.abc import Sequence
from typing import Any

from chalicelib.core.selling.offer import Offer
from chalicelib.flows.ports.effects import KeyTaken, LimitCount, ReasonCounted, SealedText, StockMove
from chalicelib.store.keys import put_key
from chalicelib.store.requests import batch_get, key, update_action
from chalicelib.store.tallies import count_reason
from chalicelib.store.texts import put_text


def shard_key(offer: str, batch: str, sku: str, shard: int) -> str:
    return f"stock#{offer}#{batch}#{sku}#{shard:03d}"


def limit_key(offer: str, buyer: str) -> str:
    return f"limit#{offer}#{buyer}"


def effect_action(table: str, also: StockMove | LimitCount | SealedText | KeyTaken | ReasonCounted) -> dict[str, Any]:
    """One effect on another item, as an action of the deposit's transaction."""
    match also:
        case StockMove():
            return _move_stock(table, also)
        case LimitCount():
            return _count_units(table, also)
        case SealedText():
            return put_text(table, also)
        case KeyTaken():
            return put_key(table, also)
        case ReasonCounted():
            return count_reason(table, also)


def _move_stock(table: str, move: StockMove) -> dict[str, Any]:
    """The counts of a shard that change, under the condition that none of them falls below zero."""
    moved = move.moved
    changes = {name: units for name in ("left", "live", "sold") if (units := getattr(moved, name))}
    falling = {name: -units for name, units in changes.items() if units < 0}
    return update_action(
        table,
        shard_key(move.offer, move.batch, moved.sku, moved.shard),
        "SET " + ", ".join(f"#{name} = #{name} + :{name}" for name in changes),
        " AND ".join(f"#{name} >= :least_{name}" for name in falling),
        {**changes, **{f"least_{name}": units for name, units in falling.items()}},
        tuple(changes),
    )


def put_shards(table: str, offer: Offer) -> list[dict[str, Any]]:
    """The actions that create an offer's shards; a shard that exists already stays as it is."""
    return [
        {
            "Put": {
                "TableName": table,
                "Item": {
                    **key(shard_key(offer.id, offer.made.batch, stock.sku, shard)),
                    "left": {"N": str(units)},
                    "live": {"N": "0"},
                    "sold": {"N": "0"},
                    "total": {"N": str(units)},
                },
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }
        for stock in offer.made.stock
        for shard, units in enumerate(stock.sizes)
    ]


def change_shard(table: str, offer: Offer, sku: str, shard: int, units: int) -> dict[str, Any]:
    """The action that adds units to a shard, or takes ``-units`` out of what is left of it."""
    pk = shard_key(offer.id, offer.made.batch, sku, shard)
    expression, values = "SET #left = #left + :u, #total = #total + :u", {"u": units, "least": -units}
    return update_action(table, pk, expression, "#left >= :least", values, ("left", "total"))


def read_left(client: Any, table: str, offers: Sequence[Offer], *, consistent: bool) -> dict[str, dict[str, list[int]]]:
    """Units left in every shard, by offer id and SKU. One call for a hundred shards."""
    counts = {offer.id: {stock.sku: [0] * stock.all_shards for stock in offer.stock} for offer in offers}
    shards = {
        shard_key(offer.id, offer.made.batch, stock.sku, shard): (offer.id, stock.sku, shard)
        for offer in offers
        for stock in offer.stock
        for shard in range(stock.all_shards)
    }
    projection = {"ProjectionExpression": "pk, #left", "ExpressionAttributeNames": {"#left": "left"}}
    for item in batch_get(client, table, list(shards), ConsistentRead=consistent, **projection):
        offer_id, sku, shard = shards[item["pk"]["S"]]
        counts[offer_id][sku][shard] = int(item["left"]["N"])
    return counts


def _count_units(table: str, count: LimitCount) -> dict[str, Any]:
    """The action that adds units to a buyer's count. A first order, which has no count, was checked before."""
    pk, expression = limit_key(count.offer, count.buyer), "ADD units :u"
    if count.most is None:
        return update_action(table, pk, expression, "units >= :least", {"u": count.units, "least": -count.units})
    condition = "attribute_not_exists(units) OR units <= :room"
    return update_action(table, pk, expression, condition, {"u": count.units, "room": count.most - count.units})
