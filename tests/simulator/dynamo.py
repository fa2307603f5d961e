"""One DynamoDB table for one process: the low-level client's methods that our store uses, on a clock of its own.

It keeps items, indexes that lag, transaction tokens and write units. It knows nothing of faults; those are put around it.
Items are never changed in place, so handing one out needs no copy. tests/memory.py makes a whole client of such tables.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from botocore.exceptions import ClientError

from chalicelib.store.schema import TABLE
from tests.simulator.expressions import Item, ValidationFault, Wire, condition, plain, update

TOKEN_LIFE: Final = 10 * 60_000
UNIT: Final = 1_024
MAX_ACTIONS: Final = 100
MAX_KEYS: Final = 100
PARTITION_TEST: Final = re.compile(r"\s*(#?\w+)\s*=\s*(:\w+)")
Clock = Callable[[], int]
Watch = Callable[[str, Item | None, Item], None]


@dataclass(frozen=True)
class Shape:
    """What CreateTable says of a table: its keys, the keys of its indexes, and what an index holds besides."""

    keys: tuple[str, ...]
    indexes: Mapping[str, tuple[str, str]]
    held: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Self:
        indexes = table.get("GlobalSecondaryIndexes", ())
        return cls(
            tuple(part["AttributeName"] for part in table["KeySchema"]),
            {one["IndexName"]: tuple(part["AttributeName"] for part in one["KeySchema"]) for one in indexes},
            {one["IndexName"]: tuple(one["Projection"].get("NonKeyAttributes", ())) for one in indexes},
        )

    def key(self, item: Item) -> str:
        """An item's key as one text; a table without a sort key needs no more than the partition's."""
        try:
            return "\0".join([item[name]["S"] for name in self.keys])
        except KeyError:
            raise ValidationFault(f"the key needs {self.keys}") from None


MAIN: Final = Shape.parse(TABLE)
INDEXES: Final = MAIN.indexes
HELD: Final = MAIN.held


@dataclass
class _Entry:
    """One item's place in an index, and what the index shows of it: keys, and what it holds besides."""

    partition: str
    sort: Wire
    row: Item

    def units(self) -> int:
        return _kilobytes(self.row)


@dataclass
class FakeDynamo:
    """The engine. ``lag`` gives how long a write takes to show in an index; ``watch`` sees every write."""

    clock: Clock = lambda: 0
    lag: Clock = lambda: 0
    watch: Watch | None = None
    shape: Shape = MAIN
    items: dict[str, Item] = field(default_factory=dict)
    units: float = 0
    counting: bool = True  # histories do not ask for units
    index_units: dict[str, float] = field(default_factory=dict)  # the part of ``units`` that indexes took
    _shown: dict[str, dict[str, dict[str, _Entry]]] = field(default_factory=dict)  # by index, partition, key
    _partitions: dict[str, dict[str, Item]] = field(default_factory=dict)  # of a table that has a sort key
    _pending: list[tuple[int, str, str, _Entry | None, _Entry | None]] = field(default_factory=list)
    _tokens: dict[str, tuple[int, str]] = field(default_factory=dict)

    def copied(self) -> "FakeDynamo":
        """The same table once more; what happens in it stays there."""
        twin = copy.copy(self)
        twin.items, twin._pending, twin._tokens = dict(self.items), list(self._pending), dict(self._tokens)
        twin.index_units = dict(self.index_units)
        twin._partitions = {name: dict(rows) for name, rows in self._partitions.items()}
        twin._shown = {
            index: {partition: dict(rows) for partition, rows in shown.items()} for index, shown in self._shown.items()
        }
        return twin

    def get_item(self, *, Key: Item, **_rest: Any) -> dict[str, Any]:
        found = self.items.get(self.shape.key(Key))
        return {"Item": found} if found is not None else {}

    def put_item(self, **action: Any) -> dict[str, Any]:
        self._single({"Put": action}, "PutItem")
        return {}

    def update_item(self, **action: Any) -> dict[str, Any]:
        self._single({"Update": action}, "UpdateItem")
        return {}

    def delete_item(self, *, Key: Item, **_rest: Any) -> dict[str, Any]:
        """Without a condition, which is all that we ask for."""
        key = self.shape.key(Key)
        before = self.items.pop(key, None)
        if before is not None:
            self._count(_kilobytes(before) if self.counting else 0)
            self._place(key, before, None)
        return {}

    def transact_write_items(
        self, *, TransactItems: Sequence[Mapping[str, Any]], ClientRequestToken: str, **_rest: Any
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
        keys = [self._key(one) for one in TransactItems]
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
        KeyConditionExpression: str,
        ExpressionAttributeValues: Mapping[str, Wire],
        ExpressionAttributeNames: Mapping[str, str] | None = None,
        IndexName: str | None = None,
        ScanIndexForward: bool = True,
        Limit: int | None = None,
        ExclusiveStartKey: Item | None = None,
        **_rest: Any,
    ) -> dict[str, Any]:
        """What one partition of the table holds, or of an index what it shows by now."""
        names, values = ExpressionAttributeNames or {}, ExpressionAttributeValues
        partition_name, sort_name = self.shape.keys if IndexName is None else self.shape.indexes[IndexName]
        partition = _partition(KeyConditionExpression, names, values, partition_name)
        test = condition(KeyConditionExpression)
        found = [row for row in self._rows(IndexName, partition) if test(row, names, values)]

        def place(row: Item) -> tuple[Any, str]:
            return plain(row[sort_name]), row["pk"]["S"]

        found.sort(key=place, reverse=not ScanIndexForward)
        if ExclusiveStartKey is not None:
            start = place(ExclusiveStartKey)
            found = [row for row in found if (place(row) > start if ScanIndexForward else place(row) < start)]
        if Limit is None or len(found) < Limit:
            return {"Items": found}
        last = {name: found[Limit - 1][name] for name in {*self.shape.keys, partition_name, sort_name}}
        return {"Items": found[:Limit], "LastEvaluatedKey": last}

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> dict[str, Any]:
        [(table, wanted)] = RequestItems.items()
        if len(wanted["Keys"]) > MAX_KEYS:
            raise _fault("ValidationException", "BatchGetItem")
        found = [self.items[key] for one in wanted["Keys"] if (key := self.shape.key(one)) in self.items]
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
        found = self.items.get(self._key(action))
        test = body.get("ConditionExpression")
        names, values = body.get("ExpressionAttributeNames", {}), body.get("ExpressionAttributeValues", {})
        if test is None or condition(test)(found or {}, names, values):
            return {"Code": "None"}
        wanted = body.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and found is not None
        return {"Code": "ConditionalCheckFailed", **({"Item": found} if wanted else {})}

    def _write(self, action: Mapping[str, Any], factor: int) -> None:
        key = self._key(action)
        before = self.items.get(key)
        after = self._after(action, before)
        self.items[key] = after
        if self.counting:
            self._count(factor * max(_kilobytes(before), _kilobytes(after)))
        self._place(key, before, after)
        if self.watch is not None:
            self.watch(key, before, after)

    def _count(self, units: float, index: str | None = None) -> None:
        self.units += units
        if index is not None:
            self.index_units[index] = self.index_units.get(index, 0) + units

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

    def _place(self, key: str, before: Item | None, after: Item | None) -> None:
        """An index is written once also for a transaction: it follows by itself."""
        if len(self.shape.keys) > 1:
            rows = self._partitions.setdefault(key.partition("\0")[0], {})
            rows.pop(key, None) if after is None else rows.update({key: after})
        for name in self.shape.indexes:
            old, new = self._entry(name, before), self._entry(name, after)
            if old == new:
                continue
            if self.counting:
                stays = old is not None and new is not None and (old.partition, old.sort) == (new.partition, new.sort)
                units = [entry.units() for entry in (old, new) if entry is not None]
                self._count(max(units) if stays else sum(units), name)
            self._pending.append((self.clock() + self.lag(), name, key, old, new))

    def _settle(self) -> None:
        """What is due shows; of one item only in the order of its writes."""
        if not self._pending:
            return
        now = self.clock()
        waiting: list[tuple[int, str, str, _Entry | None, _Entry | None]] = []
        held: set[tuple[str, str]] = set()
        for at, name, key, old, new in self._pending:
            if at > now or (name, key) in held:
                held.add((name, key))
                waiting.append((at, name, key, old, new))
                continue
            shown = self._shown.setdefault(name, {})
            if old is not None:
                shown[old.partition].pop(key, None)
            if new is not None:
                shown.setdefault(new.partition, {})[key] = new
        self._pending = waiting

    def _rows(self, index: str | None, partition: str) -> list[Item]:
        if index is None:
            return list(self._partitions.get(partition, {}).values())
        self._settle()
        return [entry.row for entry in self._shown.get(index, {}).get(partition, {}).values()]

    def _entry(self, name: str, item: Item | None) -> _Entry | None:
        partition, sort = self.shape.indexes[name]
        if item is None or partition not in item or sort not in item:
            return None
        names = (*self.shape.keys, partition, sort, *self.shape.held[name])
        return _Entry(item[partition]["S"], item[sort], {one: item[one] for one in names if one in item})

    def _key(self, action: Mapping[str, Any]) -> str:
        [body] = action.values()
        return self.shape.key(body.get("Key") or body["Item"])


def _partition(test: str, names: Mapping[str, str], values: Mapping[str, Wire], wanted: str) -> str:
    """The one partition that a query is about; like the real service we refuse a query without one."""
    found = PARTITION_TEST.match(test)
    if found is None or names.get(found[1], found[1]) != wanted:
        raise _fault("ValidationException", "Query")
    return str(values[found[2]]["S"])


class Exceptions(dict[str, type[ClientError]]):
    """``client.exceptions``: a class for each code, made when it is first asked for."""

    def __missing__(self, code: str) -> type[ClientError]:
        self[code] = type(code, (ClientError,), {})
        return self[code]

    __getattr__ = dict.__getitem__


EXCEPTIONS: Final = Exceptions()


def _fault(code: str, operation: str, **extra: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": code}, **extra}
    return EXCEPTIONS[code](response, operation)


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
