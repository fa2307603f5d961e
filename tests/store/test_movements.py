"""Money that moved, in the index of its day: sorted by deposit, in pages of any size, each deposit once."""

from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.instants import DAY
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.payment import (
    BalanceOpened,
    BalancePaid,
    PaymentFailed,
    PaymentNotCounted,
    PaymentSucceeded,
)
from chalicelib.core.deposit.events.refund import (
    RefundApproved,
    RefundDeclined,
    RefundDestinationNamed,
    RefundLine,
    RefundReturned,
    RefundSent,
    RefundSettled,
    RefundSucceeded,
)
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.deposit.order import begin_deposit
from chalicelib.core.reconciliation.lines import Line, compute_shard, list_lines
from chalicelib.flows.ports.effects import Stored
from chalicelib.store import movements
from chalicelib.store.deposits import DepositStore
from chalicelib.store.movements import index_attributes, parse_lines
from tests.conftest import Tables
from tests.store.builders import DEPOSIT, T0, apply_events, created, entry, new_deposit

WIDE: Final = (T0 - 30 * DAY, T0 + 30 * DAY)
TODAY: Final = T0 + 10 * DAY
ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def paid(at: int = T0 + 1) -> PaymentSucceeded:
    return PaymentSucceeded(at, 1, "cap_1", DEPOSIT, windowed=True, window_ends_at=at + 7 * DAY)


def back(at: int) -> tuple[DepositEvent, ...]:
    """Cancelled, and the money went back at an instant."""
    owed = RefundApproved(
        at, 1, Cause.BUYER_CANCEL, DEPOSIT, (RefundLine(LineCode.PAID, DEPOSIT),), at + 7 * DAY, 1, "cap_1"
    )
    ended = Cancelled(at, Cause.BUYER_CANCEL, "terms/window", Money.zero("CNY"))
    return (ended, owed, RefundSent(at, 1), RefundSucceeded(at, 1, "sbx_1"))


def name(n: int, shard: int | None = None) -> str:
    """The id of a deposit, ascending with ``n``, and in a shard if one is asked for."""
    for tail in range(10_000):
        body = f"{n:010d}{tail:016d}"
        if shard is None or compute_shard(body) == shard:
            return f"dep_{body}"
    raise AssertionError(shard)


class Books:
    """The store, and what its index tells."""

    def __init__(self, table: Tables) -> None:
        self.store = DepositStore(table.client, table.name, 60_000)

    def deposit(self, deposit_id: str, *events: DepositEvent) -> str:
        deposit, entries = new_deposit(deposit_id)
        self.store.create(deposit, entries, [], 0)
        self.add(deposit_id, *events)
        return deposit_id

    def add(self, deposit_id: str, *events: DepositEvent) -> None:
        stored = self.load(deposit_id)
        if events:
            self.store.append(stored, [entry(event) for event in events], apply_events(stored, *events), [])

    def load(self, deposit_id: str) -> Stored[DepositEvent]:
        stored = self.store.get(deposit_id)
        assert stored is not None
        return stored

    def lines(
        self, shard: int = 0, span: tuple[int, int] = WIDE, behind: str = "", today: int = TODAY
    ) -> Sequence[Line]:
        return list(self.store.moved(*span, shard, behind, today))

    def told(self, *args: Any, **named: Any) -> list[str]:
        return [line.place[:10].lstrip("0") + line.kind for line in self.lines(*args, **named)]


@pytest.fixture
def books(table: Tables) -> Books:
    return Books(table)


# One row.


def life() -> list[DepositEvent]:
    """Every kind of movement there is, and what moves nothing between them."""
    rest = Money(29_490_000, "CNY")
    strange = Money(7, "CNY")
    return [
        PaymentFailed(T0, 1),
        PaymentNotCounted(T0 + 1, 1, "cap_0", strange, Cause.AMOUNT_MISMATCH),
        RefundApproved(
            T0 + 1, 1, Cause.AMOUNT_MISMATCH, strange, (RefundLine(LineCode.PAID, strange),), T0 + DAY, 1, "cap_0"
        ),
        paid(T0 + 2),
        RefundSent(T0 + 3, 1),
        RefundSucceeded(T0 + 4, 1, "sbx_1"),
        RefundSettled(T0 + 5, 1),
        RefundReturned(T0 + DAY, 1),
        RefundDestinationNamed(T0 + DAY, 1, 1, "digest", T0 + DAY, T0 + 8 * DAY),
        RefundSent(T0 + DAY + 1, 1),
        RefundSucceeded(T0 + DAY + 2, 1, "sbx_2"),
        BalanceOpened(T0 + 8 * DAY, "alipay", rest, T0 + 20 * DAY),
        BalancePaid(T0 + 8 * DAY, 2, "cap_2", rest),
    ]


def folded(events: Sequence[DepositEvent]) -> Deposit:
    deposit = begin_deposit(name(7), created())
    for event in events:
        deposit = evolve(deposit, event)
    return deposit


@pytest.mark.parametrize("length", range(len(life()) + 1))
def test_a_row_tells_what_the_journal_tells(length: int) -> None:
    deposit = folded(life()[:length])
    row = index_attributes(deposit)
    lines = list_lines(deposit)
    assert bool(row) == bool(lines)
    if row:
        assert tuple(parse_lines(deposit.id[4:], row["lines"]["S"])) == lines
        assert row["moved"]["S"].endswith(f"#{compute_shard(deposit.id[4:]):02d}")


def test_a_row_stands_in_the_day_of_the_latest_movement_in_utc() -> None:
    before_midnight = T0 - T0 % DAY + DAY - 1
    days = [index_attributes(folded([paid(at)]))["moved"]["S"][:8] for at in (T0, before_midnight, before_midnight + 1)]
    assert days == ["20261121", "20261121", "20261122"]
    assert index_attributes(folded(life()))["moved"]["S"][:8] == "20261129"


def test_what_moves_nothing_leaves_the_row_as_it_is() -> None:
    before = index_attributes(folded([paid()]))
    ended = index_attributes(folded([paid(), *back(T0 + 2)[:3], RefundDeclined(T0 + 3, 1, "closed")]))
    assert ended == before


def test_a_deposit_whose_money_has_not_moved_is_in_no_day(books: Books) -> None:
    books.deposit(name(1, 0), PaymentFailed(T0, 1))
    assert books.lines() == []


@given(
    place=st.from_regex(r"[crx][0-9]{4}", fullmatch=True),
    ref=st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cc"]), min_size=1),
    minor=st.integers(-(10**15), 10**15),
    at=st.integers(0, 10**15),
    settled=st.booleans(),
)
def test_any_reference_that_a_report_may_hold_is_read_as_it_was_written(
    place: str, ref: str, minor: int, at: int, settled: bool
) -> None:
    line = Line("0" * 26 + place, ref, minor, "CNY", at, 5, settled)
    assert list(parse_lines("0" * 26, movements._text(line))) == [line]


# Many rows.


def test_deposits_come_sorted_whatever_the_day_of_their_latest_movement(books: Books) -> None:
    for n, day in [(5, 0), (1, 3), (4, 1), (2, 0), (3, 3)]:
        books.deposit(name(n, 0), paid(T0 + day * DAY))
    assert books.told() == ["1c", "2c", "3c", "4c", "5c"]
    lines = books.lines()
    assert [line[:2] for line in lines] == sorted(line[:2] for line in lines)


def test_a_shard_has_its_own_deposits_and_no_others(books: Books) -> None:
    for n in range(1, 9):
        books.deposit(name(n, n % 4), paid())
    assert [books.told(shard) for shard in range(4)] == [["4c", "8c"], ["1c", "5c"], ["2c", "6c"], ["3c", "7c"]]


@pytest.mark.parametrize("page", [1, 2, 3, 500])
def test_pages_of_any_size_lose_and_repeat_nothing(books: Books, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(movements, "PAGE_ROWS", page)
    for n in range(1, 10):
        books.deposit(name(n, 0), paid(T0 + n % 3 * DAY), *(back(T0 + 4 * DAY) if n % 2 else ()))
    expected = [text for n in range(1, 10) for text in ([f"{n}c", f"{n}r"] if n % 2 else [f"{n}c"])]
    assert books.told() == expected
    for n in range(1, 9):
        behind = name(n, 0)[4:]
        assert books.told(behind=behind) == [text for text in expected if int(text[:-1]) > n]


SPANS: Final = [
    # from, to (both of a deposit paid at T0 whose money went back a day later), what is told
    (T0, T0 + 1, ["1c"]),
    (T0 + 1, T0 + DAY, []),
    (T0 + 1, T0 + DAY + 1, ["1r"]),
    (T0, T0 + DAY, ["1c"]),
    (T0, T0 + DAY + 1, ["1c", "1r"]),
    (T0 + DAY, T0 + 2 * DAY, ["1r"]),
    (T0 + DAY + 1, T0 + 2 * DAY, []),
    (T0 - DAY, T0, []),
]


@pytest.mark.parametrize(("start", "end", "told"), SPANS)
def test_a_span_is_half_open_and_is_found_also_when_the_deposit_moved_on(
    books: Books, start: int, end: int, told: list[str]
) -> None:
    books.deposit(name(1, 0), paid(T0), *back(T0 + DAY))
    assert books.told(0, (start, end)) == told


@pytest.mark.parametrize(("ahead", "shown"), [(0, True), (DAY, True), (2 * DAY, False)])
def test_a_provider_whose_clock_is_ahead_is_read_until_tomorrow(books: Books, ahead: int, shown: bool) -> None:
    midnight = T0 - T0 % DAY
    books.deposit(name(1, 0), paid(midnight + ahead))
    assert bool(books.told(today=midnight)) == shown


def test_a_deposit_that_changes_its_day_while_it_is_read_comes_once(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(movements, "PAGE_ROWS", 1)
    for n in range(1, 6):
        books.deposit(name(n, 0), paid(T0))
    for moving in range(2, 6):
        reading = books.store.moved(*WIDE, 0, "", TODAY)
        found = [next(reading)]
        books.add(name(moving, 0), *back(T0 + 2 * DAY))
        found += reading
        places = [line.place for line in found]
        assert len(set(places)) == len(places)
        # Who moves to a day that was passed already is not seen this time; whoever asks looks into the journal then.
        assert {place[:10].lstrip("0") for place in places} >= {str(n) for n in range(1, 6) if n != moving}
        assert {line.place[:10].lstrip("0") + line.kind for line in books.lines()} >= {f"{moving}c", f"{moving}r"}


def test_both_places_of_a_deposit_at_once_tell_it_once(table: Tables, books: Books) -> None:
    """An index may show the old place and the new one for a moment: here both are put there by hand."""
    deposit_id = books.deposit(name(1, 0), paid(T0))
    reads = movements.Movements(_Twice(table.client, deposit_id), table.name)
    assert [line.place for line in reads.lines(*WIDE, 0, "", TODAY)] == [f"{deposit_id[4:]}c0001"]


class _Twice:
    """A client whose index shows a deposit in two days."""

    def __init__(self, client: Any, deposit_id: str) -> None:
        self._client = client
        self._id = deposit_id

    def query(self, **asked: Any) -> Any:
        answer = self._client.query(**asked)
        if asked["ExpressionAttributeValues"][":p"]["S"] == "20261122#00":
            text = f"c0001\tcap_1\t{DEPOSIT.minor}\tCNY\t{T0}\t5\t1"
            answer["Items"] = [{"pk": {"S": self._id}, "lines": {"S": text}}]
        return answer
