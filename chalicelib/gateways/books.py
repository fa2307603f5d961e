"""The sandbox provider's own books: JSON rows in its own table of the same engine, so that they outlive a restart."""

import json
from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]


class Books:
    """Rows by page and line. One process writes them, under the sandbox's own lock."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, page: str, line: str) -> Row | None:
        found = self._client.get_item(TableName=self._table, Key=_key(page, line), ConsistentRead=True)
        return json.loads(found["Item"]["row"]["S"]) if "Item" in found else None

    def put(self, page: str, line: str, row: Mapping[str, Any]) -> None:
        self._client.put_item(TableName=self._table, Item={**_key(page, line), "row": {"S": json.dumps(row)}})

    def drop(self, page: str, line: str) -> None:
        self._client.delete_item(TableName=self._table, Key=_key(page, line))

    def lines(self, page: str) -> list[tuple[str, Row]]:
        """Every line of a page, in the order of their names."""
        found: list[tuple[str, Row]] = []
        start: dict[str, Any] = {}
        while True:
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :page",
                ExpressionAttributeValues={":page": {"S": page}},
                ConsistentRead=True,
                **start,
            )
            found += [(item["sk"]["S"], json.loads(item["row"]["S"])) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return found
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def first(self, page: str) -> tuple[str, Row] | None:
        """The first line of a page, or None."""
        answer = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :page",
            ExpressionAttributeValues={":page": {"S": page}},
            ConsistentRead=True,
            Limit=1,
        )
        rows = [(item["sk"]["S"], json.loads(item["row"]["S"])) for item in answer["Items"]]
        return rows[0] if rows else None


def _key(page: str, line: str) -> dict[str, Any]:
    return {"pk": {"S": page}, "sk": {"S": line}}
