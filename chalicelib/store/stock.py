"""Stock shards and purchase limits: the actions that travel in a transaction, and looks at what is left.

Each shard keeps total = left + live + sold. Units leave and come back only in the transaction that records why.
"""

from collections.abc import Sequence
from typing import Any

from chalicelib.core.selling.offer import Offer
from chalicelib.flows.ports.effects import KeyTaken, LimitCount, ReasonCounted, SealedText, StockMove
from chalicelib.store.codec import Wire
from chalicelib.store.journals import ALL_OLD, BATCH, key
from chalicelib.store.keys import taken
from chalicelib.store.requests import send
from chalicelib.store.tallies import tallied
from chalicelib.store.texts import kept


def shard_key(offer: str, batch: str, sku: str, shard: int) -> str:
    return f"stock#{offer}#{batch}#{sku}#{shard:03d}"


def limit_key(offer: str, buyer: str) -> str:
    return f"limit#{offer}#{buyer}"


def action(table: str, also: StockMove | LimitCount | SealedText | KeyTaken | ReasonCounted) -> dict[str, Any]:
    """One effect on another item, as an action of the deposit's transaction."""
    match also:
        case StockMove():
            return _shelved(table, also)
        case LimitCount():
            return _count(table, also)
        case SealedText():
            return kept(table, also)
        case KeyTaken():
            return taken(table, also)
        case ReasonCounted():
            return tallied(table, also)


def _shelved(table: str, shelved: StockMove) -> dict[str, Any]:
    """The parts of a shard that change, under the condition that none of them falls below zero."""
    moved = shelved.moved
    changes = {name: units for name in ("left", "live", "sold") if (units := getattr(moved, name))}
    falling = {name: -units for name, units in changes.items() if units < 0}
    return {
        "Update": {
            "TableName": table,
            "Key": key(shard_key(shelved.offer, shelved.batch, moved.sku, moved.shard)),
            "UpdateExpression": "SET " + ", ".join(f"#{name} = #{name} + :{name}" for name in changes),
            "ConditionExpression": " AND ".join(f"#{name} >= :least_{name}" for name in falling),
            "ExpressionAttributeNames": {f"#{name}": name for name in changes},
            "ExpressionAttributeValues": {
                **{f":{name}": {"N": str(units)} for name, units in changes.items()},
                **{f":least_{name}": {"N": str(units)} for name, units in falling.items()},
            },
            "ReturnValuesOnConditionCheckFailure": ALL_OLD,
        }
    }


def shards_made(table: str, offer: Offer) -> list[dict[str, Any]]:
    """The actions that lay out an offer's stock; a shard that is there already stays as it is."""
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


def shard_changed(table: str, offer: Offer, sku: str, shard: int, units: int) -> dict[str, Any]:
    """Units a merchant adds to a shard, or takes out of what is left of it."""
    pk = shard_key(offer.id, offer.made.batch, sku, shard)
    return _update(table, pk, "SET #left = #left + :u, #total = #total + :u", units, "#left >= :least", least=-units)


def left(client: Any, table: str, offers: Sequence[Offer], *, consistent: bool) -> dict[str, dict[str, list[int]]]:
    """Units left in every shard of every counted SKU of each offer, by offer id: one trip for a hundred shards."""
    counts = {offer.id: {stock.sku: [0] * stock.all_shards for stock in offer.stock} for offer in offers}
    places = {
        shard_key(offer.id, offer.made.batch, stock.sku, shard): (offer.id, stock.sku, shard)
        for offer in offers
        for stock in offer.stock
        for shard in range(stock.all_shards)
    }
    for pks in (list(places)[start : start + BATCH] for start in range(0, len(places), BATCH)):
        wanted: Any = {
            table: {
                "Keys": [key(pk) for pk in pks],
                "ConsistentRead": consistent,
                "ProjectionExpression": "pk, #left",
                "ExpressionAttributeNames": {"#left": "left"},
            }
        }
        while wanted:
            answer = send(client.batch_get_item, RequestItems=wanted)
            for item in answer["Responses"].get(table, []):
                offer_id, sku, shard = places[item["pk"]["S"]]
                counts[offer_id][sku][shard] = int(item["left"]["N"])
            wanted = answer.get("UnprocessedKeys")
    return counts


def _update(
    table: str, pk: str, expression: str, units: int, condition: str, least: int | None = None
) -> dict[str, Any]:
    values: dict[str, Wire] = {":u": {"N": str(units)}}
    if least is not None:
        values[":least"] = {"N": str(least)}
    names = {f"#{name}": name for name in ("left", "live", "total") if f"#{name}" in expression + condition}
    return {
        "Update": {
            "TableName": table,
            "Key": key(pk),
            "UpdateExpression": expression,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "ReturnValuesOnConditionCheckFailure": ALL_OLD,
        }
    }


def _count(table: str, count: LimitCount) -> dict[str, Any]:
    values: dict[str, Wire] = {":u": {"N": str(count.units)}}
    condition = "units >= :least"
    if count.most is None:
        values[":least"] = {"N": str(-count.units)}
    else:
        # A first order has no counter yet; whether it fits by itself was decided before.
        values[":room"] = {"N": str(count.most - count.units)}
        condition = "attribute_not_exists(units) OR units <= :room"
    return {
        "Update": {
            "TableName": table,
            "Key": key(limit_key(count.offer, count.buyer)),
            "UpdateExpression": "ADD units :u",
            "ConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ReturnValuesOnConditionCheckFailure": ALL_OLD,
        }
    }
