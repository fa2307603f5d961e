"""Movements of money by deposit, for reconciliation, which reads them instead of journals.

The index ``moved`` has every movement of a deposit as one text, partitioned by the day of its latest movement and a shard,
sorted by the deposit's id. A deposit is listed under one day only; to read [start, end) read every day from start to today.
"""

import heapq
from collections.abc import Iterator, Mapping
from typing import Any, Final

from chalicelib.core.common.instants import DAY, in_utc
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.reconciliation.lines import BODY_LENGTH, Line, compute_shard, find_latest_movement, list_lines
from chalicelib.store.codec import Wire
from chalicelib.store.requests import send

PAGE_ROWS: Final = 250  # rows of one day that are in memory at once
FIELD_SEPARATOR: Final = "\t"
LINE_SEPARATOR: Final = "\n"


class Movements:
    """Reads what ``index_attributes`` wrote."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def lines(self, start: int, end: int, shard: int, after: str, today: int) -> Iterator[Line]:
        """Movements in [start, end) of one shard, ascending, of deposits whose id sorts after ``after``.

        The index is eventually consistent: callers check the journal before they report a movement as missing.
        """
        days = [self._rows(day, shard, after) for day in _days(start, today)]
        last = ""
        for pk, text in heapq.merge(*days):
            if pk != last:  # a deposit may change its day while we read
                last = pk
                for line in parse_lines(pk.partition("_")[2], text):
                    if start <= line.at < end:
                        yield line

    def _rows(self, day: str, shard: int, after: str) -> Iterator[tuple[str, str]]:
        start: Mapping[str, Wire] | None = None
        while True:
            answer = send(
                self._client.query,
                TableName=self._table,
                IndexName="moved",
                KeyConditionExpression="#p = :p AND #s > :after",
                ExpressionAttributeNames={"#p": "moved", "#s": "pk"},
                ExpressionAttributeValues={":p": {"S": f"{day}#{shard:02d}"}, ":after": {"S": f"dep_{after}"}},
                ScanIndexForward=True,
                Limit=PAGE_ROWS,
                **({"ExclusiveStartKey": start} if start is not None else {}),
            )
            for item in answer["Items"]:
                yield item["pk"]["S"], item["lines"]["S"]
            start = answer.get("LastEvaluatedKey")
            if start is None:
                return


def index_attributes(deposit: Deposit) -> dict[str, Wire]:
    """The index attributes of a deposit, none when no money has moved."""
    lines = list_lines(deposit)
    at = find_latest_movement(lines)
    if at is None:
        return {}
    partition = f"{_day(at)}#{compute_shard(lines[0].place):02d}"
    return {"moved": {"S": partition}, "lines": {"S": LINE_SEPARATOR.join(_text(line) for line in lines)}}


def parse_lines(body: str, text: str) -> list[Line]:
    """The lines of one deposit from the index attribute ``lines``."""
    rows = (part.split(FIELD_SEPARATOR) for part in text.split(LINE_SEPARATOR))
    return [
        Line(body + place, ref, int(minor), currency, int(at), int(days), settled == "1")
        for place, ref, minor, currency, at, days, settled in rows
    ]


def _text(line: Line) -> str:
    fields = (line.place[BODY_LENGTH:], line.ref, line.minor, line.currency, line.at, line.days, int(line.settled))
    return FIELD_SEPARATOR.join(map(str, fields))


def _days(start: int, today: int) -> Iterator[str]:
    """From the first day to tomorrow: a provider's clock may be ahead of ours."""
    yield from (_day(at) for at in range(start - start % DAY, today + 2 * DAY, DAY))


def _day(at: int) -> str:
    return in_utc(at).strftime("%Y%m%d")
