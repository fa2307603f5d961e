"""The sandbox's settlement report: as pages by place, and as the CSV file that other providers give."""

import csv
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Final

from msgspec import Struct

from chalicelib.core.common.instants import HOUR, format_instant
from chalicelib.core.common.money import Money
from chalicelib.core.reconciliation.lines import build_place, compute_shard
from chalicelib.gateways.sandbox.books import Row
from chalicelib.gateways.sandbox.faults import Faults
from chalicelib.gateways.sandbox.state import SandboxState
from chalicelib.gateways.settlement_file import COLUMNS, KINDS, paged

SETTLEMENT_MS: Final = 24 * HOUR
BATCH_ROWS: Final = 100  # rows of the report read at once
COPIES: Final[Mapping[str | None, int]] = {"line_missing": 0, "duplicate_line": 2}
# Separates the parts of a row's name. It sorts before every character of a place or reference, AFTER_TAB right after it.
TAB: Final = "\t"
AFTER_TAB: Final = "\n"


class Report(Struct, frozen=True):
    """A line appears a day after its execution: in its shard by place, and in the file by instant.

    A row is ``{n, type, reference, ref, minor, currency, at, place}``; ``n`` tells apart rows with the same values.
    """

    state: SandboxState
    faults: Faults

    def expect(self, type_: str, reference: str, ref: str, money: Money, at: int) -> None:
        """Queue the line of what was executed at ``at``. A settlement fault that is armed now hits it."""
        n, place = self.state.next_serial(), build_place(KINDS[type_], reference)
        row = {"n": n, "type": type_, "reference": reference, "ref": ref, "place": place, "at": at}
        row |= {"minor": money.minor, "currency": money.currency, "fault": self.faults.take("settlement")}
        self.state.books.put("report_expected", f"{at + SETTLEMENT_MS:015d}{TAB}{n:012d}", row)

    def enter_due(self) -> None:
        """Let lines appear whose day is over. A fault that no execution has used up hits the first of them."""
        with self.state.lock:
            now = self.state.now()
            while (entry := self.state.books.first("report_expected")) and entry[1]["at"] + SETTLEMENT_MS <= now:
                name, row = entry
                fault = row.pop("fault") or self.faults.take("settlement")
                for copy in range(COPIES.get(fault, 1)):
                    self._write({**row, "minor": row["minor"] - (fault == "wrong_amount")}, copy)
                self.state.books.delete("report_expected", name)

    def _write(self, row: Row, copy: int) -> None:
        name = f"{_prefix(row['place'], row['ref'])}{row['at']:015d}{TAB}{row['n']:012d}{TAB}{copy}"
        self.state.books.put(_partition(compute_shard(row["place"])), name, row)
        self.state.books.put("report_file", f"{row['at']:015d}{TAB}{name}", row)

    def shows(self, place: str, ref: str) -> bool:
        """Whether a line has appeared."""
        prefix = _prefix(place, ref)
        rows = self.state.books.rows_after(_partition(compute_shard(place)), prefix, 1)
        return any(name.startswith(prefix) for name, _ in rows)

    def page(self, start: int, end: int, shard: int, after: str, limit: int) -> tuple[list[Row], str | None]:
        """Rows of a shard executed in [start, end) whose place sorts after ``after``, and the place to go on from."""
        self.enter_due()
        rows = (row for row in self._rows(_partition(shard), after + AFTER_TAB) if start <= row["at"] < end)
        return paged(rows, limit, itemgetter("place"))

    def csv(self, start: int, end: int) -> Iterator[str]:
        """The lines of the file of [start, end), by instant of execution."""
        self.enter_due()
        writer = csv.writer(_Echo(), lineterminator="\n")
        yield str(writer.writerow(COLUMNS))
        for row in self._rows("report_file", f"{start:015d}"):
            if row["at"] >= end:
                return
            money = Money(row["minor"], row["currency"])
            columns = (row["type"], row["reference"], row["ref"], money.amount, money.currency)
            yield str(writer.writerow((*columns, format_instant(row["at"]))))

    def _rows(self, partition: str, after: str) -> Iterator[Row]:
        while batch := self.state.books.rows_after(partition, after, BATCH_ROWS):
            yield from (row for _, row in batch)
            after = batch[-1][0]


class _Echo:
    """A file for the csv module that gives each row back."""

    def write(self, text: str) -> str:
        return text


def _prefix(place: str, ref: str) -> str:
    return f"{place}{TAB}{ref}{TAB}"


def _partition(shard: int) -> str:
    return f"report#{shard:02d}"
