"""Money that moved, by the day of a deposit's latest movement: what reconciliation reads instead of whole journals.

An index holds every movement of a deposit as one short text, sorted by the deposit's id within a day and a shard. Whose
latest movement is on or after a day is found from that day on, so a span is read from its first day to today.
"""

import heapq
from collections.abc import Iterator, Mapping
from typing import Any, Final

from chalicelib.core.common.instants import DAY, in_utc
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.reconciliation.lines import BODY_LENGTH, Line, compute_shard, find_latest_movement, list_lines
from chalicelib.store.codec import Wire
from chalicelib.store.requests import send

PAGE: Final = 250  # rows of one day that are in memory at once
FIELDS: Final = "\t"
LINES: Final = "\n"


class Movements:
    """Reads what ``indexed`` wrote."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def lines(self, start: int, end: int, shard: int, after: str, today: int) -> Iterator[Line]:
        """The movements of the half-open span in one shard, ascending, of deposits behind the id's part ``after``.

        The index is eventually consistent: what is missing here is looked at in its journal before anybody says so.
        """
        days = [self._rows(day, shard, after) for day in _days(start, today)]
        last = ""
        for pk, text in heapq.merge(*days):
            if pk != last:  # a deposit that moved from one day to another while we read
                last = pk
                for line in written(pk.partition("_")[2], text):
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
                Limit=PAGE,
                **({"ExclusiveStartKey": start} if start is not None else {}),
            )
            for item in answer["Items"]:
                yield item["pk"]["S"], item["lines"]["S"]
            start = answer.get("LastEvaluatedKey")
            if start is None:
                return


def indexed(deposit: Deposit) -> dict[str, Wire]:
    """The index attributes of a deposit whose money has moved."""
    lines = list_lines(deposit)
    at = find_latest_movement(lines)
    if at is None:
        return {}
    place = f"{_day(at)}#{compute_shard(lines[0].place):02d}"
    return {"moved": {"S": place}, "lines": {"S": LINES.join(_text(line) for line in lines)}}


def written(body: str, text: str) -> list[Line]:
    """The lines of one deposit as they stand in the index."""
    rows = (part.split(FIELDS) for part in text.split(LINES))
    return [
        Line(body + place, ref, int(minor), currency, int(at), int(days), settled == "1")
        for place, ref, minor, currency, at, days, settled in rows
    ]


def _text(line: Line) -> str:
    plain = (line.place[BODY_LENGTH:], line.ref, line.minor, line.currency, line.at, line.days, int(line.settled))
    return FIELDS.join(map(str, plain))


def _days(start: int, today: int) -> Iterator[str]:
    """From the first day to tomorrow: a provider's clock may be ahead of ours."""
    yield from (_day(at) for at in range(start - start % DAY, today + 2 * DAY, DAY))


def _day(at: int) -> str:
    return in_utc(at).strftime("%Y%m%d")
