"""Settlement reports that come as files: any order, any size, and no row that is guessed."""

import errno
import gc
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.ids import child, digest_id
from chalicelib.core.common.instants import format_instant, parse_instant
from chalicelib.core.reconciliation.lines import SHARDS, Line, build_place, compute_shard
from chalicelib.flows.ports.provider import ReportPage, Unknown
from chalicelib.gateways import settlement_file
from chalicelib.gateways.settlement_file import COLUMNS, SettlementFile, read
from tests.gateways.paper import T0

HEADER = ",".join(COLUMNS)
DEPOSIT = digest_id("dep", "file")
PAYMENT, REFUND = child("pay", DEPOSIT, 1), child("ref", DEPOSIT, 2)
AT = "2026-11-21T14:00:00.000Z"
GOOD = f"capture,{PAYMENT},{PAYMENT}.1,5000,CNY,{AT}"
SPAN = (0, T0 * 2)


def lines_of(*rows: str) -> list[Line]:
    return list(read([HEADER, *rows]))


def row_of(n: int, at: int = T0) -> str:
    payment = child("pay", digest_id("dep", str(n)), 1)
    return f"capture,{payment},{payment}.1,{n},CNY,{format_instant(at)}\n"


def whole(file: SettlementFile, shard: int, limit: int = 10) -> list[Line]:
    found: list[Line] = []
    after: str | None = ""
    while after is not None:
        answer = file.page(*SPAN, shard, after, limit)
        assert isinstance(answer, ReportPage)
        found += answer.lines
        after = answer.after
    return found


# type, reference, provider's, amount, currency, at    place (of DEPOSIT)   minor
ROWS = [
    (f"capture,{PAYMENT},p1,5000,CNY,{AT}", "c0001", 500_000),
    (f"capture,{PAYMENT},p1,5000.00,CNY,{AT}", "c0001", 500_000),
    (f"refund,{REFUND},p2,0.01,CNY,{AT}", "r0002", 1),
    (f"refund,{REFUND}.3,p2,4999.5,CNY,{AT}", "r0002", 499_950),
    (f"payout,{REFUND}.12,p2,14999.99,IDR,{AT}", "r0002", 1_499_999),
    (f"return,{REFUND},p2,15000,JPY,{AT}", "x0002", 15_000),
    (f'return,"{REFUND}",p2,1.234,KWD,2026-11-21T21:00:00+07:00', "x0002", 1_234),
    (f"refund,{REFUND},p2,0,CNY,{AT}", "r0002", 0),
]


@pytest.mark.parametrize(("row", "place", "minor"), ROWS)
def test_a_row_becomes_a_line(row: str, place: str, minor: int) -> None:
    (line,) = lines_of(row)
    assert (line.place, line.minor, line.at) == (DEPOSIT[4:] + place, minor, parse_instant(AT))
    assert (line.ref, line.currency) == tuple(row.split(",")[2:5:2])


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        ("capture,order 7,p1", "~corder 7"),
        ("capture,,p1", "~cp1"),
        ('refund,"a ""b"", c",p1', '~ra "b", c'),
        (f"refund,{PAYMENT},p1", f"~r{PAYMENT}"),
        (f"capture,{REFUND},p1", f"~c{REFUND}"),
        (f"refund,{REFUND}.0,p1", f"~r{REFUND}.0"),
        ("capture,订单,p1", "~c订单"),
    ],
)
def test_what_names_nothing_of_ours_is_strange(columns: str, place: str) -> None:
    (line,) = lines_of(f"{columns},1,CNY,{AT}")
    assert (line.place, line.reference) == (place, "")


MALFORMED = [
    (f"chargeback,{PAYMENT},p1,5000,CNY,{AT}", "type"),
    (f"Capture,{PAYMENT},p1,5000,CNY,{AT}", "type"),
    (f"capture,{PAYMENT},,5000,CNY,{AT}", "reference"),
    (f'capture,"a\tb",p1,5000,CNY,{AT}', "reference"),
    (f'capture,"a\nb",p1,5000,CNY,{AT}', "reference"),
    (f"capture,{PAYMENT},p1,,CNY,{AT}", "amount"),
    (f"capture,{PAYMENT},p1,-1,CNY,{AT}", "amount"),
    (f"capture,{PAYMENT},p1,1e3,CNY,{AT}", "amount"),
    (f"capture,{PAYMENT},p1,05,CNY,{AT}", "amount"),
    (f"capture,{PAYMENT},p1,5000.,CNY,{AT}", "amount"),
    (f"capture,{PAYMENT},p1,5000.001,CNY,{AT}", "amount"),
    (f"capture,{PAYMENT},p1,1.5,JPY,{AT}", "amount"),
    (f'capture,{PAYMENT},p1,"5,000",CNY,{AT}', "amount"),
    (f"capture,{PAYMENT},p1,\u0661,CNY,{AT}", "amount"),
    (f"capture,{PAYMENT},p1,5000,XXX,{AT}", "currency"),
    (f"capture,{PAYMENT},p1,5000,cny,{AT}", "currency"),
    (f"capture,{PAYMENT},p1,5000,CNY,", "instant"),
    (f"capture,{PAYMENT},p1,5000,CNY,2026-11-21", "instant"),
    (f"capture,{PAYMENT},p1,5000,CNY,2026-11-21T14:00:00", "instant"),
    (f"capture,{PAYMENT},p1,5000,CNY", "columns"),
    (f"capture,{PAYMENT},p1,5000,CNY,{AT},", "columns"),
    ("", "columns"),
    (f'capture,"{PAYMENT}"x,p1,5000,CNY,{AT}', "expected after"),
    ('capture,"', "end of data"),
]


@pytest.mark.parametrize(("row", "why"), MALFORMED, ids=[f"{n}-{why}" for n, (_, why) in enumerate(MALFORMED)])
def test_a_malformed_row_is_named_and_nothing_is_guessed(row: str, why: str) -> None:
    with pytest.raises(ValueError, match=rf"^row 3: .*{why}"):
        lines_of(GOOD, row)
    file = SettlementFile(lambda _start, _end: [HEADER, GOOD, row], 1)
    for _ in range(2):  # and it is not half there afterwards
        with pytest.raises(ValueError, match=r"^row 3: "):
            file.page(*SPAN, 0, "", 10)


@pytest.mark.parametrize("first", [[], [""], [GOOD], [HEADER.upper()], [HEADER + ",fee"], ['"']])
def test_a_file_without_its_header_is_no_report(first: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^row 1: "):
        list(read(first))


@given(st.lists(st.text(max_size=40), max_size=4))
def test_whatever_comes_in_names_its_row(rows: list[str]) -> None:
    why = ""
    try:
        lines_of(*rows)
    except ValueError as no:
        why = str(no)
    assert why.startswith("row ") == bool(rows)


def test_a_file_in_any_order_gives_sorted_shards() -> None:
    rows = [row_of(n) for n in range(500)]
    Random(1).shuffle(rows)  # noqa: S311 - a plan, no secret
    file = SettlementFile(lambda _start, _end: [f"{HEADER}\n", *rows], 2)
    everything = sorted(lines_of(*rows))
    for shard in range(SHARDS):
        mine = [line for line in everything if compute_shard(line.place) == shard]
        assert len(mine) > 10
        assert whole(file, shard) == mine
        for line in mine:
            answer = file.page(*SPAN, shard, line.place, 3)
            assert isinstance(answer, ReportPage)
            assert list(answer.lines) == mine[mine.index(line) + 1 :][:3]


def test_many_lines_of_one_place_stay_together() -> None:
    rows = [f"capture,{PAYMENT},p{n},1,CNY,{AT}" for n in range(20)] + [f"refund,{REFUND},p,1,CNY,{AT}"]
    file = SettlementFile(lambda _start, _end: [HEADER, *rows], 1)
    place = build_place("capture", PAYMENT)
    first = file.page(*SPAN, compute_shard(place), "", 1)
    assert isinstance(first, ReportPage)
    assert (len(first.lines), first.after) == (20, place)
    second = file.page(*SPAN, compute_shard(place), place, 1)
    assert isinstance(second, ReportPage)
    assert [line.kind for line in second.lines] == ["r"]
    assert second.after is None


def test_what_was_executed_outside_the_span_is_left_out() -> None:
    rows = [row_of(1, T0 - 1), row_of(1, T0), row_of(1, T0 + 9), row_of(1, T0 + 10)]
    file = SettlementFile(lambda _start, _end: [HEADER, *rows], 1)
    shard = compute_shard(lines_of(rows[0])[0].place)
    answer = file.page(T0, T0 + 10, shard, "", 10)
    assert isinstance(answer, ReportPage)
    assert [line.at for line in answer.lines] == [T0, T0 + 9]


class Away:
    """A provider that gives its file only after a while, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, start: int, end: int) -> Iterable[str]:
        assert (start, end) == SPAN
        self.asked += 1
        return self._lines()

    def _lines(self) -> Iterator[str]:
        yield HEADER
        if self.asked == 1:
            raise TimeoutError
        yield row_of(1)


def test_a_file_that_cannot_be_had_is_no_answer_and_one_that_was_read_is_kept() -> None:
    away = Away()
    file = SettlementFile(away, 1)
    assert isinstance(file.page(*SPAN, 0, "", 10), Unknown)
    assert sum(len(whole(file, shard)) for shard in range(SHARDS)) == 1
    assert away.asked == 2


def test_a_run_that_begins_sees_what_was_reported_since() -> None:
    rows = [HEADER, row_of(1)]
    file = SettlementFile(lambda _start, _end: rows, 1)

    def seen() -> int:
        return sum(len(whole(file, shard)) for shard in range(SHARDS))

    def seen_behind_the_first() -> int:
        return sum(len(whole(file, shard)) for shard in range(1, SHARDS))

    assert seen() == 1
    before = seen_behind_the_first()
    rows += [row_of(n) for n in range(2, 100)]
    assert seen_behind_the_first() == before  # it goes on in the file that it began with
    assert seen() == 99


class Recorded(sqlite3.Connection):
    """Counts the databases that are open, and takes only those that have no name: SQLite deletes their files itself."""

    open_databases = 0

    def __init__(self, name: str, *arguments: Any, **options: Any) -> None:
        assert name == ""
        super().__init__(name, *arguments, **options)
        type(self).open_databases += 1

    def close(self) -> None:
        super().close()
        type(self).open_databases -= 1


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    class Databases(Recorded):
        pass

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Databases))
    return Databases


def test_only_some_spans_stay_on_the_disk(databases: type[Recorded]) -> None:
    file = SettlementFile(lambda _start, _end: [HEADER, row_of(1)], 1)
    for span in range(10):
        for _ in range(2):
            file.page(0, T0 + span, 0, "", 10)
    gc.collect()
    assert databases.open_databases == settlement_file.MAX_SPANS
    answer = file.page(
        0, T0 + 1, compute_shard(lines_of(row_of(1))[0].place), "0", 10
    )  # one that was dropped is read again
    assert isinstance(answer, ReportPage)
    assert len(answer.lines) == 1


def test_a_fault_of_our_own_disk_is_not_the_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(OSError, match="no space left"):
        SettlementFile(lambda _start, _end: [HEADER], 1).page(*SPAN, 0, "", 10)


@pytest.mark.parametrize("last", [row_of(1), "malformed"])
def test_nothing_is_left_on_the_disk(databases: type[Recorded], last: str) -> None:
    file = SettlementFile(lambda _start, _end: [HEADER, row_of(1), last], 1)
    with suppress(ValueError):
        file.page(*SPAN, 0, "", 10)
    del file
    gc.collect()
    assert databases.open_databases == 0


def test_a_few_pages_of_a_report_are_in_memory_and_the_rest_on_the_disk() -> None:
    file = SettlementFile(lambda _start, _end: [HEADER, row_of(1)], 1)
    file.page(*SPAN, 0, "", 10)
    (lines,) = file._sorted.values()
    assert lines._database.execute("PRAGMA cache_size").fetchone() == (-settlement_file.MEMORY_KB,)
