"""A DynamoDB client without DynamoDB: tables of tests/simulator/dynamo.py in this process, one call at a time.

It is the quick engine of the tests. tests/contracts and tests/store ask the same of it as of moto and ministack.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, Final
from uuid import uuid4

from botocore.exceptions import ParamValidationError

from tests.simulator.dynamo import EXCEPTIONS, FakeDynamo, Shape, _fault
from tests.simulator.expressions import ValidationFault

URL: Final = "memory:"
BATCH_LIMIT: Final = 25
ON_MANY_TABLES: Final = frozenset({"transact_write_items", "batch_get_item"})
NAME: Final = re.compile(r"[#:]\w+")

Answer = dict[str, Any]
TableOf = Callable[[Mapping[str, Any]], str]


class MemoryClient:
    """The methods of the low-level client that code and tests call, with its errors."""

    def __init__(self) -> None:
        self.exceptions = EXCEPTIONS
        self.meta = SimpleNamespace(endpoint_url=URL)
        self._tables: dict[str, FakeDynamo] = {}
        self._lock = threading.RLock()
        self.get_item = self._method("get_item", _named_table)
        self.query = self._method("query", _named_table)
        self.batch_get_item = self._method("batch_get_item", _batch_table)
        self.put_item = self._method("put_item", _named_table)
        self.update_item = self._method("update_item", _named_table)
        self.delete_item = self._method("delete_item", _named_table)
        self.transact_write_items = self._method("transact_write_items", _transaction_table)

    def create_table(self, *, TableName: str, **shape: Any) -> Answer:
        with self._lock:
            if TableName in self._tables:
                raise _fault("ResourceInUseException", "CreateTable")
            self._tables[TableName] = FakeDynamo(clock=_milliseconds, shape=Shape.parse(shape), counting=False)
            return {"TableDescription": {"TableName": TableName, "TableStatus": "ACTIVE"}}

    def describe_table(self, *, TableName: str) -> Answer:
        table = self._table("DescribeTable", TableName)
        return {"Table": {"TableName": TableName, "TableStatus": "ACTIVE", "ItemCount": len(table.items)}}

    def delete_table(self, *, TableName: str) -> Answer:
        with self._lock:
            self._table("DeleteTable", TableName)
            del self._tables[TableName]
            return {"TableDescription": {"TableName": TableName, "TableStatus": "DELETING"}}

    def scan(self, *, TableName: str, IndexName: str | None = None, **_rest: Any) -> Answer:
        """Everything on one page."""
        with self._lock:
            table = self._table("Scan", TableName)
            items = list(table.items.values())
            if IndexName is not None:
                entries = [table._entry(IndexName, item) for item in items]
                items = [entry.row for entry in entries if entry is not None]
            return {"Items": items, "Count": len(items)}

    def get_paginator(self, method: str) -> SimpleNamespace:
        """For scans, whose one page holds everything."""
        assert method == "scan", method
        return SimpleNamespace(paginate=lambda **parameters: [self.scan(**parameters)])

    def batch_write_item(self, *, RequestItems: Mapping[str, list[Any]]) -> Answer:
        if sum(map(len, RequestItems.values())) > BATCH_LIMIT:
            raise _fault("ValidationException", "BatchWriteItem")
        for name, requests in RequestItems.items():
            for request in requests:
                if "PutRequest" in request:
                    self.put_item(TableName=name, Item=request["PutRequest"]["Item"])
                else:
                    self.delete_item(TableName=name, Key=request["DeleteRequest"]["Key"])
        return {"UnprocessedItems": {}}

    def close(self) -> None:
        """There is nothing to close."""

    def _table(self, operation: str, name: str) -> FakeDynamo:
        if name not in self._tables:
            raise _fault("ResourceNotFoundException", operation)
        return self._tables[name]

    def _method(self, name: str, table_of: TableOf) -> Callable[..., Answer]:
        return partial(self._carry_out, name, table_of)

    def _carry_out(self, method: str, table_of: TableOf, **parameters: Any) -> Answer:
        operation = camel_case(method)
        asked = parameters.pop("ReturnConsumedCapacity", None)
        if method == "transact_write_items":
            parameters.setdefault("ClientRequestToken", uuid4().hex)
        _refuse_bad_parameters(operation, parameters)
        with self._lock:
            name = table_of(parameters)
            table = self._table(operation, name)
            table.counting, table.units, table.index_units = asked is not None, 0, {}
            try:
                answer: Answer = getattr(table, method)(**parameters)
            except ValidationFault:
                raise _fault("ValidationException", operation) from None
            if asked is None:
                return answer
            consumed: Answer = {
                "TableName": name,
                "CapacityUnits": table.units or _read_units(parameters),
                "GlobalSecondaryIndexes": {index: {"CapacityUnits": n} for index, n in table.index_units.items()},
            }
        return {**answer, "ConsumedCapacity": [consumed] if method in ON_MANY_TABLES else consumed}


def camel_case(method: str) -> str:
    """The operation of a method: ``get_item`` is ``GetItem``."""
    return "".join(word.title() for word in method.split("_"))


def _milliseconds() -> int:
    return time.monotonic_ns() // 1_000_000


def _named_table(parameters: Mapping[str, Any]) -> str:
    return str(parameters["TableName"])


def _batch_table(parameters: Mapping[str, Any]) -> str:
    [name] = parameters["RequestItems"]
    return str(name)


def _transaction_table(parameters: Mapping[str, Any]) -> str:
    """Our store writes one table at a time."""
    [name] = {str(body["TableName"]) for action in parameters["TransactItems"] for body in action.values()}
    return name


def _read_units(parameters: Mapping[str, Any]) -> float:
    """One for a consistent read of any size, as ministack counts; DynamoDB takes one for each 4 kB."""
    return 1 if parameters.get("ConsistentRead") else 0.5


def _refuse_bad_parameters(operation: str, parameters: Mapping[str, Any]) -> None:
    """What botocore refuses, and the engine: texts that are none, names and values that are not given or not used."""
    bodies = [body for action in parameters.get("TransactItems", ()) for body in action.values()]
    for body in (parameters, *bodies):
        for wire in (*body.get("Key", {}).values(), *body.get("Item", {}).values()):
            if any(kind in "SN" and not isinstance(value, str) for kind, value in wire.items()):
                raise ParamValidationError(report=f"{wire} is no text")
        given = {*body.get("ExpressionAttributeNames", ()), *body.get("ExpressionAttributeValues", ())}
        used = {name for text in _expressions(body) for name in _names(text)}
        if given != used:
            raise _fault("ValidationException", operation)


def _expressions(body: Mapping[str, Any]) -> Iterator[str]:
    return (text for name, text in body.items() if name.endswith("Expression"))


@cache
def _names(expression: str) -> frozenset[str]:
    return frozenset(NAME.findall(expression))
