"""A DynamoDB for one process: the low-level client's methods that our store uses, on a clock of its own.

It keeps items, indexes that lag, transaction tokens and write units. It knows nothing of faults; those are put around it.
Items are never changed in place, so handing one out needs no copy.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import ClientError

from chalicelib.store.schema import TABLE
from tests.simulator.expressions import Item, ValidationFault, Wire, condition, plain, update

TOKEN_LIFE: Final = 10 * 60_000
UNIT: Final = 1_024
MAX_ACTIONS: Final = 100
MAX_KEYS: Final = 100
INDEXES: Final = {
    index["IndexName"]: tuple(part["AttributeName"] for part in index["KeySchema"])
    for index in TABLE["GlobalSecondaryIndexes"]
}
HELD: Final = {
    index["IndexName"]: tuple(index["Projection"].get("NonKeyAttributes", ()))
    for index in TABLE["GlobalSecondaryIndexes"]
}
Clock = Callable[[], int]
Watch = Callable[[str, Item | None, Item], None]


@dataclass
class _Entry:
    """One item's place in an index, and what the index shows of it besides."""

    partition: str
    sort: Wire
    held: Item


@dataclass
class FakeDynamo:
    """The engine. ``lag`` gives how long a write takes to show in an index; ``watch`` sees every write."""

    clock: Clock = lambda: 0
    lag: Clock = lambda: 0
    watch: Watch | None = None
    items: dict[str, Item] = field(default_factory=dict)
    units: float = 0
    counting: bool = True  # histories do not ask for units
    _shown: dict[str, dict[str, _Entry]] = field(default_factory=lambda: {name: {} for name in INDEXES})
    _pending: list[tuple[int, str, str, _Entry | None]] = field(default_factory=list)
    _tokens: dict[str, tuple[int, str]] = field(default_factory=dict)

    def get_item(self, *, TableName: str, Key: Item, ConsistentRead: bool = False) -> dict[str, Any]:  # noqa: ARG002
        found = self.items.get(Key["pk"]["S"])
        return {"Item": found} if found is not None else {}

    def put_item(self, **action: Any) -> dict[str, Any]:
        self._single({"Put": action}, "PutItem")
        return {}

    def update_item(self, **action: Any) -> dict[str, Any]:
        self._single({"Update": action}, "UpdateItem")
        return {}

    def transact_write_items(
        self, *, TransactItems: Sequence[Mapping[str, Any]], ClientRequestToken: str
    ) -> dict[str, Any]:
        """All or nothing; the same token with the same request within ten minutes does nothing more."""
        if len(TransactItems) > MAX_ACTIONS:
            raise _fault("ValidationException", "TransactWriteItems")
        request = repr(TransactItems)
        known = self._tokens.get(ClientRequestToken)
        if known is not None and self.clock() - known[0] < TOKEN_LIFE:
            if known[1] != request:
                raise _fault("IdempotentParameterMismatchException", "TransactWriteItems")
            return {}
        keys = [_pk(one) for one in TransactItems]
        if len(set(keys)) != len(keys):
            raise _fault("ValidationException", "TransactWriteItems")
        reasons = [self._reason(one) for one in TransactItems]
        if any(reason["Code"] != "None" for reason in reasons):
            raise _fault("TransactionCanceledException", "TransactWriteItems", CancellationReasons=reasons)
        for one in TransactItems:
            self._write(one, factor=2)
        self._tokens[ClientRequestToken] = (self.clock(), request)
        return {}

    def query(
        self,
        *,
        IndexName: str,
        KeyConditionExpression: str,
        ExpressionAttributeNames: Mapping[str, str],
        ExpressionAttributeValues: Mapping[str, Wire],
        ScanIndexForward: bool,
        Limit: int,
        ExclusiveStartKey: Item | None = None,
        **_rest: Any,
    ) -> dict[str, Any]:
        """What the index shows by now: keys, and what it holds besides."""
        self._settle()
        partition_name, sort_name = INDEXES[IndexName]
        test = condition(KeyConditionExpression)
        rows = [
            {partition_name: {"S": entry.partition}, sort_name: entry.sort, "pk": {"S": pk}, **entry.held}
            for pk, entry in self._shown[IndexName].items()
        ]
        found = [row for row in rows if test(row, ExpressionAttributeNames, ExpressionAttributeValues)]
        found.sort(key=lambda row: (plain(row[sort_name]), row["pk"]["S"]), reverse=not ScanIndexForward)
        if ExclusiveStartKey is not None:
            start = (plain(ExclusiveStartKey[sort_name]), ExclusiveStartKey["pk"]["S"])
            places = [(plain(row[sort_name]), row["pk"]["S"]) for row in found]
            behind = [place > start if ScanIndexForward else place < start for place in places]
            found = [row for row, keep in zip(found, behind, strict=True) if keep]
        more = {"LastEvaluatedKey": found[Limit - 1]} if len(found) >= Limit else {}
        return {"Items": found[:Limit], **more}

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> dict[str, Any]:
        [(table, wanted)] = RequestItems.items()
        if len(wanted["Keys"]) > MAX_KEYS:
            raise _fault("ValidationException", "BatchGetItem")
        found = [self.items[pk] for one in wanted["Keys"] if (pk := one["pk"]["S"]) in self.items]
        if "ProjectionExpression" in wanted:
            names = wanted.get("ExpressionAttributeNames", {})
            shown = [names.get(name, name) for name in wanted["ProjectionExpression"].split(", ")]
            found = [{name: item[name] for name in shown if name in item} for item in found]
        return {"Responses": {table: found}}

    def _single(self, action: Mapping[str, Any], operation: str) -> None:
        reason = self._reason(action)
        if reason["Code"] != "None":
            extra = {"Item": reason["Item"]} if "Item" in reason else {}
            raise _fault("ConditionalCheckFailedException", operation, **extra)
        self._write(action, factor=1)

    def _reason(self, action: Mapping[str, Any]) -> dict[str, Any]:
        [body] = action.values()
        found = self.items.get(_pk(action))
        test = body.get("ConditionExpression")
        names, values = body.get("ExpressionAttributeNames", {}), body.get("ExpressionAttributeValues", {})
        if test is None or condition(test)(found or {}, names, values):
            return {"Code": "None"}
        wanted = body.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and found is not None
        return {"Code": "ConditionalCheckFailed", **({"Item": found} if wanted else {})}

    def _write(self, action: Mapping[str, Any], factor: int) -> None:
        pk = _pk(action)
        before = self.items.get(pk)
        after = self._after(action, before)
        self.items[pk] = after
        if self.counting:
            self.units += factor * max(_kilobytes(before), _kilobytes(after))
        self._index(pk, before, after)
        if self.watch is not None:
            self.watch(pk, before, after)

    def _after(self, action: Mapping[str, Any], before: Item | None) -> Item:
        if "Put" in action:
            return dict(action["Put"]["Item"])
        body = action["Update"]
        names, values = body.get("ExpressionAttributeNames", {}), body.get("ExpressionAttributeValues", {})
        was: Item = dict(before) if before is not None else dict(body["Key"])
        after: Item = dict(was)
        try:
            for change in update(body["UpdateExpression"]):
                change(was, after, names, values)
        except ValidationFault:
            raise _fault("ValidationException", "UpdateItem") from None
        return after

    def _index(self, pk: str, before: Item | None, after: Item) -> None:
        """An index is written once also for a transaction: it follows by itself."""
        for name in INDEXES:
            old, new = _entry(name, before), _entry(name, after)
            if old == new:
                continue
            stays = old is not None and new is not None and (old.partition, old.sort) == (new.partition, new.sort)
            self.units += 1 if stays else (old is not None) + (new is not None)
            self._pending.append((self.clock() + self.lag(), name, pk, new))

    def _settle(self) -> None:
        """What is due shows; of one item only in the order of its writes."""
        now = self.clock()
        waiting: list[tuple[int, str, str, _Entry | None]] = []
        held: set[tuple[str, str]] = set()
        for at, name, pk, entry in self._pending:
            if at > now or (name, pk) in held:
                held.add((name, pk))
                waiting.append((at, name, pk, entry))
            elif entry is None:
                self._shown[name].pop(pk, None)
            else:
                self._shown[name][pk] = entry
        self._pending = waiting


def _entry(name: str, item: Item | None) -> _Entry | None:
    partition, sort = INDEXES[name]
    if item is None or partition not in item or sort not in item:
        return None
    held = {attribute: item[attribute] for attribute in HELD[name] if attribute in item}
    return _Entry(item[partition]["S"], item[sort], held)


def _pk(action: Mapping[str, Any]) -> str:
    [body] = action.values()
    return str((body.get("Key") or body["Item"])["pk"]["S"])


def _fault(code: str, operation: str, **extra: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}, **extra}, operation)  # type: ignore[typeddict-item]


def _kilobytes(item: Item | None) -> int:
    return -(-sum(len(name) + size(value) for name, value in item.items()) // UNIT) if item else 0


def size(wire: Wire) -> int:
    """Bytes of a value as DynamoDB counts them."""
    [(kind, value)] = wire.items()
    match kind:
        case "S":
            return len(value.encode())
        case "B":
            return len(value)
        case "N":
            return _digits(value)
        case "L":
            return 3 + sum(1 + size(part) for part in value)
        case "M":
            return 3 + sum(len(name) + 1 + size(part) for name, part in value.items())
        case _:
            return 1


def _digits(number: str) -> int:
    """A byte for each pair of digits but the noughts at the end, one more, and one for a sign."""
    whole = number.lstrip("-")
    pairs = whole.zfill(len(whole) + len(whole) % 2)
    while pairs.endswith("00"):
        pairs = pairs[:-2]
    return 1 + len(pairs) // 2 + number.startswith("-")


def journals(items: Mapping[str, Item], prefix: str) -> Iterator[tuple[str, Item]]:
    """The items of one kind."""
    return ((pk, item) for pk, item in items.items() if pk.startswith(prefix))


def dump(items: Mapping[str, Item]) -> str:
    """Everything, in one canonical text."""
    return json.dumps(items, sort_keys=True, default=lambda value: value.hex())
