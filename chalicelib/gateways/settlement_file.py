"""A settlement report that comes as a CSV file: of any size, in the provider's order, given as pages by place.

The file is read once for a run over it. Its lines go into one file for each shard; a shard is sorted when it is first asked for.
"""

import csv
import heapq
import re
import shutil
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import dropwhile, islice
from operator import attrgetter
from pathlib import Path
from typing import IO, Final, TypeVar

from chalicelib.core.common.instants import parse_instant
from chalicelib.core.common.money import AMOUNT, currencies
from chalicelib.core.reconciliation.lines import SHARDS, Line, LineKind, build_place, compute_shard
from chalicelib.flows.ports.provider import ReportPage, Unknown

COLUMNS: Final = ("type", "reference", "provider_reference", "amount", "currency", "executed_at")
KINDS: Final[Mapping[str, LineKind]] = {
    "capture": "capture",
    "refund": "refund",
    "payout": "refund",
    "return": "return",
}
RUN: Final = 20_000  # lines sorted at once in memory
KEPT: Final = 4  # spans whose lines stay on the disk; runs over more at a time read their file again
STEP: Final = 64  # a sorted file is searched by the place of every so many lines
# A tab parts what we write; nothing that sorts before it may stand in a reference.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

Lines = Callable[[int, int], Iterable[str]]
R = TypeVar("R")


class SettlementFile:
    """``lines`` gives the file of a span, line by line; an OSError of it means that the file cannot be had now.

    Who asks for the beginning of the first shard begins anew, and sees what was reported since. Others go on in the
    file as it was read last.
    """

    def __init__(self, lines: Lines, settle_days: int | None) -> None:
        self.settle_days = settle_days
        self._lines = lines
        self._split: dict[tuple[int, int], _Split] = {}

    def page(self, start: int, end: int, shard: int, after: str, limit: int) -> ReportPage | Unknown:
        """ValueError names the row that cannot be read: half a report is none."""
        split = None if (shard, after) == (0, "") else self._split.get((start, end))
        try:
            split = split or self._read(start, end)
        except _NotHad:
            return Unknown()
        found, last = paged(split.behind(shard, after), limit, attrgetter("place"))
        return ReportPage(found, last)

    def _read(self, start: int, end: int) -> "_Split":
        split = _Split()
        split.fill(line for line in read(_had(self._lines, start, end)) if start <= line.at < end)
        self._split.pop((start, end), None)
        self._split[start, end] = split
        while len(self._split) > KEPT:
            del self._split[next(iter(self._split))]
        return split


def paged(rows: Iterator[R], limit: int, place: Callable[[R], str]) -> tuple[list[R], str | None]:
    """The first rows, and the place they end at when there are more. Rows of one place are never parted."""
    found: list[R] = []
    for row in rows:
        if len(found) >= limit and place(row) != place(found[-1]):
            return found, place(found[-1])
        found.append(row)
    return found, None


def read(lines: Iterable[str]) -> Iterator[Line]:
    """The lines of a report in the file's order. ValueError names the row, the header is row 1."""
    rows = _rows(lines)
    if tuple(next(rows, (1, []))[1]) != COLUMNS:
        raise ValueError("row 1: not the columns of a settlement report")
    for number, row in rows:
        try:
            line = _line(row)
        except ValueError as why:
            raise ValueError(f"row {number}: {why}") from None
        yield line


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    number = 0
    try:
        for number, row in enumerate(csv.reader(lines, strict=True), start=1):
            yield number, row
    except csv.Error as why:
        raise ValueError(f"row {number + 1}: {why}") from None


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
    """What a provider moved may be finer than what we trade in, so the step of ``Money.parse`` does not count."""
    if currency not in currencies():
        raise ValueError("currency")
    decimals = currencies()[currency].decimals
    whole, _, fraction = amount.partition(".")
    if not AMOUNT.fullmatch(amount) or len(fraction) > decimals:
        raise ValueError("amount")
    return int(whole + fraction.ljust(decimals, "0"))


class _NotHad(Exception):
    """The provider did not give its file."""


def _had(lines: Lines, start: int, end: int) -> Iterator[str]:
    """Its own faults apart from those of our disk."""
    try:
        yield from lines(start, end)
    except OSError as why:
        raise _NotHad from why


class _Split:
    """The lines of one span in files of a temporary directory, which goes with this object."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="settlement-"))
        self._steps: dict[int, array[int]] = {}
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def fill(self, lines: Iterator[Line]) -> None:
        with ExitStack() as stack:
            files = [stack.enter_context(self._raw(shard).open("wb")) for shard in range(SHARDS)]
            for line in lines:
                files[compute_shard(line.place)].write(_written(line))

    def behind(self, shard: int, after: str) -> Iterator[Line]:
        """The lines of a shard behind a place, ascending."""
        if shard not in self._steps:
            self._steps[shard] = self._sort(shard)
        with self._sorted(shard).open("rb") as file:
            file.seek(_start(file, self._steps[shard], after))
            yield from dropwhile(lambda line: line.place <= after, map(_known, file))

    def _sort(self, shard: int) -> "array[int]":
        """Sorted runs, merged: memory holds one run. Gives where every ``STEP``-th line begins."""
        runs, steps = list(self._runs(shard)), array("Q")
        with ExitStack() as stack, self._sorted(shard).open("wb") as file:
            merged = heapq.merge(*(stack.enter_context(run.open("rb")) for run in runs))
            begins = 0
            for number, text in enumerate(merged):
                if number % STEP == 0:
                    steps.append(begins)
                begins += file.write(text)
        for run in (*runs, self._raw(shard)):
            run.unlink()
        return steps

    def _runs(self, shard: int) -> Iterator[Path]:
        with self._raw(shard).open("rb") as file:
            while run := sorted(islice(file, RUN)):
                path = self._folder / f"{shard}.{file.tell()}"
                path.write_bytes(b"".join(run))
                yield path

    def _raw(self, shard: int) -> Path:
        return self._folder / f"{shard}.raw"

    def _sorted(self, shard: int) -> Path:
        return self._folder / f"{shard}.sorted"


def _start(file: IO[bytes], steps: "array[int]", after: str) -> int:
    """Where to begin reading for what lies behind a place: the last known beginning that is not behind it."""
    low, high = 0, len(steps)
    while low < high:
        middle = (low + high) // 2
        file.seek(steps[middle])
        if _known(file.readline()).place <= after:
            low = middle + 1
        else:
            high = middle
    return steps[low - 1] if low else 0


def _written(line: Line) -> bytes:
    """A line as it sorts: by place, then by reference, then by instant."""
    return f"{line.place}\t{line.ref}\t{line.at:015d}\t{line.minor}\t{line.currency}\n".encode()


def _known(text: bytes) -> Line:
    place, ref, at, minor, currency = text.decode().removesuffix("\n").split("\t")
    return Line(place, ref, int(minor), currency, int(at))
