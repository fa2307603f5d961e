"""A settlement report that comes as a CSV file: of any size, in the provider's order, given as pages by place.

The file is read once for a run over it. SQLite sorts its lines in a temporary database, so memory holds a few pages.
"""

import csv
import re
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import starmap
from operator import attrgetter
from typing import Final, TypeVar

from chalicelib.core.common.instants import parse_instant
from chalicelib.core.common.money import AMOUNT, currencies
from chalicelib.core.reconciliation.lines import Line, LineKind, build_place, compute_shard
from chalicelib.flows.ports.provider import ReportPage, Unknown

COLUMNS: Final = ("type", "reference", "provider_reference", "amount", "currency", "executed_at")
KINDS: Final[Mapping[str, LineKind]] = {
    "capture": "capture",
    "refund": "refund",
    "payout": "refund",
    "return": "return",
}
MAX_SPANS: Final = 4  # spans whose lines stay sorted on the disk; more runs at a time read their file again
MEMORY_KB: Final = 2_000  # pages of a span's database held in memory; the rest is in its temporary file
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

Lines = Callable[[int, int], Iterable[str]]
R = TypeVar("R")


class SettlementFile:
    """``lines`` gives the file of a span, line by line; it raises OSError when the file is not available now.

    A request for the beginning of the first shard reads the file anew. Others go on in the file as it was read last.
    """

    def __init__(self, lines: Lines, settle_days: int | None) -> None:
        self.settle_days = settle_days
        self._lines = lines
        self._sorted: dict[tuple[int, int], _SortedLines] = {}

    def page(self, start: int, end: int, shard: int, after: str, limit: int) -> ReportPage | Unknown:
        """Raises ValueError with the number of a row that cannot be read: there is no page of a partial report."""
        lines = None if (shard, after) == (0, "") else self._sorted.get((start, end))
        try:
            lines = lines or self._read(start, end)
        except _NotAvailable:
            return Unknown()
        rows, last = paged(lines.after(shard, after), limit, attrgetter("place"))
        return ReportPage(rows, last)

    def _read(self, start: int, end: int) -> "_SortedLines":
        file = _provider_lines(self._lines, start, end)
        lines = _SortedLines(line for line in read(file) if start <= line.at < end)
        self._sorted.pop((start, end), None)
        self._sorted[start, end] = lines
        while len(self._sorted) > MAX_SPANS:
            del self._sorted[next(iter(self._sorted))]
        return lines


def paged(rows: Iterator[R], limit: int, place: Callable[[R], str]) -> tuple[list[R], str | None]:
    """The first ``limit`` rows, and the place they end at when there are more. Rows of one place are never parted."""
    page: list[R] = []
    for row in rows:
        if len(page) >= limit and place(row) != place(page[-1]):
            return page, place(page[-1])
        page.append(row)
    return page, None


def read(lines: Iterable[str]) -> Iterator[Line]:
    """The lines of a report in the file's order. ValueError names the row, the header is row 1."""
    rows = _rows(lines)
    if tuple(next(rows, (1, []))[1]) != COLUMNS:
        raise ValueError("row 1: not the columns of a settlement report")
    for number, row in rows:
        try:
            line = _line(row)
        except ValueError as error:
            raise ValueError(f"row {number}: {error}") from None
        yield line


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    number = 0
    try:
        for number, row in enumerate(csv.reader(lines, strict=True), start=1):
            yield number, row
    except csv.Error as error:
        raise ValueError(f"row {number + 1}: {error}") from None


def _line(row: Sequence[str]) -> Line:
    if len(row) != len(COLUMNS):
        raise ValueError("columns")
    type_, reference, ref, amount, currency, executed_at = row
    if type_ not in KINDS:
        raise ValueError("type")
    if not ref or _CONTROL.search(reference + ref):
        raise ValueError("reference")
    place = build_place(KINDS[type_], reference or ref)
    return Line(place, ref, _minor(amount, currency), currency, parse_instant(executed_at))


def _minor(amount: str, currency: str) -> int:
    """Minor units. A provider may move amounts finer than our prices, so the step of ``Money.parse`` does not apply."""
    if currency not in currencies():
        raise ValueError("currency")
    decimals = currencies()[currency].decimals
    units, _, fraction = amount.partition(".")
    if not AMOUNT.fullmatch(amount) or len(fraction) > decimals:
        raise ValueError("amount")
    return int(units + fraction.ljust(decimals, "0"))


class _NotAvailable(Exception):
    """The provider did not give its file."""


def _provider_lines(lines: Lines, start: int, end: int) -> Iterator[str]:
    """Tells OSErrors of the provider from those of our disk."""
    try:
        yield from lines(start, end)
    except OSError as error:
        raise _NotAvailable from error


class _SortedLines:
    """The lines of one span in a database without a name: SQLite keeps it in a temporary file that goes with it."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._database = sqlite3.connect("", check_same_thread=False)
        weakref.finalize(self, self._database.close)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute(f"PRAGMA cache_size = -{MEMORY_KB}")
        self._database.execute("CREATE TABLE lines (shard, place, ref, minor, currency, at)")
        rows = ((compute_shard(line.place), line.place, line.ref, line.minor, line.currency, line.at) for line in lines)
        self._database.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._database.execute("CREATE INDEX sorted ON lines (shard, place, ref, at, minor, currency)")

    def after(self, shard: int, place: str) -> Iterator[Line]:
        """The lines of a shard whose place sorts after ``place``, ascending."""
        columns = "SELECT place, ref, minor, currency, at FROM lines"
        order = "WHERE shard = ? AND place > ? ORDER BY place, ref, at, minor, currency"
        return starmap(Line, self._database.execute(f"{columns} {order}", (shard, place)))
