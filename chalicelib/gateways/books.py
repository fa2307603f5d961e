"""The sandbox provider's own books: JSON rows in its own table of the same engine, so that they outlive a restart."""

import json
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final

from chalicelib.core.common.instants import HOUR
from chalicelib.core.reconciliation.lines import compute_shard
from chalicelib.gateways.settlement_file import paged

SETTLES: Final = 24 * HOUR
TAKEN: Final = 100  # rows of a report read at once
COPIES: Final[Mapping[str | None, int]] = {"line_missing": 0, "duplicate_line": 2}
# Between the parts of a line's name. It sorts before every character of a place or reference, BEHIND right after it.
TAB: Final = "\t"
BEHIND: Final = "\n"

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

    def behind(self, page: str, line: str, limit: int) -> list[tuple[str, Row]]:
        """The next lines of a page whose names sort behind ``line``, ``limit`` at most."""
        answer = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :page AND sk > :line",
            ExpressionAttributeValues={":page": {"S": page}, ":line": {"S": line}},
            ConsistentRead=True,
            Limit=limit,
        )
        return [(item["sk"]["S"], json.loads(item["row"]["S"])) for item in answer["Items"]]

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


class Report:
    """The settlement report. A line waits a day; then it stands in its shard by place, and in the file by instant.

    A row is ``{n, type, reference, ref, minor, currency, at, place}``; ``n`` keeps rows apart that say the same.
    """

    def __init__(self, books: Books, next_fault: Callable[[], str | None]) -> None:
        self._books = books
        self._next_fault = next_fault

    def expect(self, row: Row) -> None:
        """Something was executed. A fault that is armed now will hit its line."""
        waits = f"{row['at'] + SETTLES:015d}{TAB}{row['n']:012d}"
        self._books.put("report_expected", waits, {**row, "fault": self._next_fault()})

    def enter(self, now: int) -> None:
        """Let the lines appear whose day is over. A fault that no execution has used up hits the first of them."""
        while (found := self._books.first("report_expected")) is not None and found[1]["at"] + SETTLES <= now:
            waits, row = found
            fault = row.pop("fault") or self._next_fault()
            for copy in range(COPIES.get(fault, 1)):
                self._write({**row, "minor": row["minor"] - (fault == "wrong_amount")}, copy)
            self._books.drop("report_expected", waits)

    def _write(self, row: Row, copy: int) -> None:
        name = f"{_named(row['place'], row['ref'])}{row['at']:015d}{TAB}{row['n']:012d}{TAB}{copy}"
        self._books.put(_shard(compute_shard(row["place"])), name, row)
        self._books.put("report_file", f"{row['at']:015d}{TAB}{name}", row)

    def shows(self, place: str, ref: str) -> bool:
        """Whether a line has appeared."""
        named = _named(place, ref)
        return any(line.startswith(named) for line, _ in self._books.behind(_shard(compute_shard(place)), named, 1))

    def page(self, start: int, end: int, shard: int, after: str, limit: int) -> tuple[list[Row], str | None]:
        """Lines of a shard that were executed in the half-open span, behind the place ``after``, and where to go on."""
        behind = after + BEHIND
        rows = (row for row in self._rows(_shard(shard), behind) if start <= row["at"] < end)
        return paged(rows, limit, itemgetter("place"))

    def in_order(self, start: int, end: int) -> Iterator[Row]:
        """The same of all shards, by the instant of execution."""
        for row in self._rows("report_file", f"{start:015d}"):
            if row["at"] >= end:
                return
            yield row

    def _rows(self, page: str, behind: str) -> Iterator[Row]:
        while found := self._books.behind(page, behind, TAKEN):
            yield from (row for _, row in found)
            behind = found[-1][0]


def _named(place: str, ref: str) -> str:
    return f"{place}{TAB}{ref}{TAB}"


def _shard(shard: int) -> str:
    return f"report#{shard:02d}"


def _key(page: str, line: str) -> dict[str, Any]:
    return {"pk": {"S": page}, "sk": {"S": line}}
