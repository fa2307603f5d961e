"""The sandbox provider's rows: JSON in a table of its own in the same engine, so that they outlive a restart."""

import json
from collections.abc import Mapping
from typing import Any

from chalicelib.core.common.ids import parse_child
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.refund import parse_refund_key

Row = dict[str, Any]


class Books:
    """Rows by partition and name. One process writes them, under the sandbox's own lock."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, partition: str, name: str) -> Row | None:
        answer = self._client.get_item(TableName=self._table, Key=_key(partition, name), ConsistentRead=True)
        return json.loads(answer["Item"]["row"]["S"]) if "Item" in answer else None

    def put(self, partition: str, name: str, row: Mapping[str, Any]) -> None:
        self._client.put_item(TableName=self._table, Item={**_key(partition, name), "row": {"S": json.dumps(row)}})

    def delete(self, partition: str, name: str) -> None:
        self._client.delete_item(TableName=self._table, Key=_key(partition, name))

    def rows(self, partition: str) -> list[tuple[str, Row]]:
        """Every row of a partition with its name, in the order of the names."""
        rows: list[tuple[str, Row]] = []
        start: dict[str, Any] = {}
        while True:
            answer = self._query(partition, "pk = :partition", **start)
            rows += _named_rows(answer)
            if "LastEvaluatedKey" not in answer:
                return rows
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def rows_after(self, partition: str, name: str, limit: int) -> list[tuple[str, Row]]:
        """The first ``limit`` rows whose names sort after ``name``."""
        condition = "pk = :partition AND sk > :name"
        return _named_rows(self._query(partition, condition, {":name": {"S": name}}, Limit=limit))

    def first(self, partition: str) -> tuple[str, Row] | None:
        """The first row of a partition with its name, or None."""
        rows = _named_rows(self._query(partition, "pk = :partition", Limit=1))
        return rows[0] if rows else None

    def _query(self, partition: str, condition: str, values: Row | None = None, **options: Any) -> Any:
        return self._client.query(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues={":partition": {"S": partition}, **(values or {})},
            ConsistentRead=True,
            **options,
        )


def _named_rows(answer: Mapping[str, Any]) -> list[tuple[str, Row]]:
    return [(item["sk"]["S"], json.loads(item["row"]["S"])) for item in answer["Items"]]


def _key(partition: str, name: str) -> dict[str, Any]:
    return {"pk": {"S": partition}, "sk": {"S": name}}


def money_row(money: Money) -> dict[str, str]:
    return {"amount": money.amount, "currency": money.currency}


def read_money(row: Mapping[str, str]) -> Money:
    return Money.parse(row["amount"], row["currency"])


def parse_subject(subject: str) -> tuple[str, int, int]:
    """The deposit's 26 characters, the ordinal and the route number, of a payment's id or a refund's key."""
    payment = parse_child("pay", subject)
    parsed = parse_refund_key(subject) if payment is None else (*payment, 0)
    assert parsed is not None, subject
    return parsed


def payments_partition(payment_id: str) -> str:
    return f"payments#{parse_subject(payment_id)[0]}"


def refunds_partition(subject: str) -> str:
    return f"refunds#{parse_subject(subject)[0]}"
