"""Reconciliation: what moved by our journal, line by line against what a provider's report says, in both directions."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.ids import ALPHABET
from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.refund import RefundStatus
from chalicelib.core.policy.payment_routes import find_route
from chalicelib.core.reconciliation.lines import (
    SHARDS,
    UNATTRIBUTED,
    BreakKind,
    Line,
    build_place,
    compute_shard,
    find_group,
    find_group_end,
    find_latest_movement,
    list_lines,
)
from chalicelib.core.reconciliation.matching import (
    STALE_AFTER_MS,
    classify_overdue,
    classify_unmatched,
    is_in_transit,
    pair_lines,
)
from chalicelib.core.reconciliation.tally import FIELDS, Tally
from chalicelib.core.refunding.destination import NameDestination, SendRefund
from tests.core.stories import (
    DEPOSIT_ID,
    LATER,
    LOSE,
    MISS,
    PAID,
    SEND,
    Story,
    cancelled,
    completed,
    draft,
    ordered,
    paid,
    plain,
    refund_news,
    settled,
)
from tests.core.test_changes import SHOP, TENT

BODY: Final = DEPOSIT_ID.partition("_")[2]
APPROVED: Final = PAID + DAY
WENT: Final = APPROVED + HOUR
CAME_BACK: Final = APPROVED + 2 * DAY
ARRIVED: Final = APPROVED + 3 * DAY
CAPTURE_ID, REFUND_ID = f"pay_{BODY}_1", f"ref_{BODY}_1"

Step = Callable[[Story], object]
SENDS: Final[Step] = lambda story: story.ask(SEND, APPROVED)  # noqa: E731 - a step among steps
NAMES_ACCOUNT: Final[Step] = lambda story: story.ask(NameDestination(1, "home"), CAME_BACK)  # noqa: E731 - the same
PAYS_OUT: Final[Step] = lambda story: story.ask(SEND, CAME_BACK)  # noqa: E731 - the same


def news(status: str, at: int = WENT, ref: str = "re_1", **known: Any) -> Step:
    return lambda story: story.ask(refund_news(story, status, at, provider_ref=ref, **known), at)


def standing(*steps: Step) -> Story:
    story = cancelled(at=APPROVED)
    for step in steps:
        step(story)
    return story


# --- Our lines ---


def paid_by(method: str) -> Callable[[], Story]:
    return lambda: paid(draft(plain("flash_sale", payment={"take": "full", "methods": [method]})))


def paid_twice() -> Story:
    story = paid()
    story.pay("5088 USD", PAID + 1)
    return story


def given_twice() -> Story:
    """Two refunds of the same capture, the second one first."""
    story = paid()
    for n, amount in ((1, "88 CNY"), (2, "1000 CNY")):
        story.grant(amount, APPROVED)
        story.ask(SendRefund(n), APPROVED)
        story.ask(refund_news(story, "succeeded", WENT - n, provider_ref=f"re_{n}"), WENT)
    return story


def charged_back() -> Story:
    story = paid()
    story.dispute("lost", APPROVED)
    return story


CAPTURED: Final = ("c0001", "cap_1", "5088 CNY", PAID, 5, True)
LINES: Final[dict[str, tuple[Callable[[], Story], list[tuple[str, str, str, int, int, bool]]]]] = {
    "ordered": (ordered, []),
    "paid": (paid, [CAPTURED]),
    "paid by wallet": (paid_by("alipay"), [("c0001", "cap_1", "1000 CNY", PAID, 2, True)]),
    "paid twice": (paid_twice, [CAPTURED, ("c0001", "cap_2", "5088 USD", PAID + 1, 5, True)]),
    "paid in two": (
        lambda: settled(SHOP, TENT),
        [("c0001", "cap_1", "230 CNY", PAID, 5, True), ("c0002", "cap_2", "800 CNY", LATER, 5, True)],
    ),
    "completed": (
        completed,
        [("c0001", "cap_1", "5088 CNY", PAID, 5, True), ("c0002", "cap_2", "294900 CNY", LATER, 5, True)],
    ),
    "approved": (standing, [CAPTURED]),
    "sent": (lambda: standing(SENDS), [CAPTURED]),
    "unknown": (lambda: standing(SENDS, lambda story: story.ask(LOSE, WENT)), [CAPTURED]),
    "not found": (lambda: standing(SENDS, lambda story: story.ask(MISS, WENT)), [CAPTURED]),
    "pending": (lambda: standing(SENDS, news("pending")), [CAPTURED]),
    "declined": (lambda: standing(SENDS, news("declined")), [CAPTURED]),
    "succeeded": (
        lambda: standing(SENDS, news("succeeded")),
        [CAPTURED, ("r0001", "re_1", "5088 CNY", WENT, 5, False)],
    ),
    "settled": (
        lambda: standing(SENDS, news("succeeded", settled=True)),
        [CAPTURED, ("r0001", "re_1", "5088 CNY", WENT, 5, True)],
    ),
    "returned": (
        lambda: standing(SENDS, news("succeeded"), news("returned", CAME_BACK)),
        [CAPTURED, ("r0001", "re_1", "5088 CNY", WENT, 5, True), ("x0001", "re_1", "5088 CNY", CAME_BACK, 5, True)],
    ),
    "seen only when it had come back": (
        lambda: standing(SENDS, news("returned", CAME_BACK)),
        [
            CAPTURED,
            ("r0001", "re_1", "5088 CNY", CAME_BACK, 5, True),
            ("x0001", "re_1", "5088 CNY", CAME_BACK, 5, True),
        ],
    ),
    "declined, then paid out": (
        lambda: standing(
            SENDS, news("declined"), NAMES_ACCOUNT, PAYS_OUT, news("succeeded", ARRIVED, "po_1", route_no=1)
        ),
        [CAPTURED, ("r0001", "po_1", "5088 CNY", ARRIVED, 2, False)],
    ),
    "returned, then paid out": (
        lambda: standing(
            SENDS,
            news("succeeded"),
            news("returned", CAME_BACK),
            NAMES_ACCOUNT,
            PAYS_OUT,
            news("succeeded", ARRIVED, "po_1", route_no=1),
        ),
        [
            CAPTURED,
            ("r0001", "po_1", "5088 CNY", ARRIVED, 2, False),
            ("r0001", "re_1", "5088 CNY", WENT, 5, True),
            ("x0001", "re_1", "5088 CNY", CAME_BACK, 5, True),
        ],
    ),
    "paid out, and returned from there": (
        lambda: standing(
            SENDS,
            news("declined"),
            NAMES_ACCOUNT,
            PAYS_OUT,
            news("succeeded", ARRIVED, "po_1", route_no=1, settled=True),
            news("returned", ARRIVED + DAY, "po_1", route_no=1),
        ),
        [
            CAPTURED,
            ("r0001", "po_1", "5088 CNY", ARRIVED, 2, True),
            ("x0001", "po_1", "5088 CNY", ARRIVED + DAY, 2, True),
        ],
    ),
    "two refunds": (
        given_twice,
        [
            CAPTURED,
            ("r0001", "re_1", "88 CNY", WENT - 1, 5, False),
            ("r0002", "re_2", "1000 CNY", WENT - 2, 5, False),
        ],
    ),
    "charged back": (charged_back, [CAPTURED]),
}


@pytest.mark.parametrize("name", LINES)
def test_our_lines_are_what_moved_money(name: str) -> None:
    made, expected = LINES[name]
    found = list_lines(made().deposit)
    assert [(one.place[26:], one.ref, str(one.money), one.at, one.days, one.settled) for one in found] == expected
    assert all(one.body == BODY for one in found)
    assert list(found) == sorted(found)


@pytest.mark.parametrize("method", ["card", "gopay", "virtual_account"])
def test_a_report_shows_a_line_as_soon_as_its_route_says(method: str) -> None:
    assert [line.days for line in list_lines(paid_by(method)().deposit)] == [find_route(method, PAID).settle_days]


@pytest.mark.parametrize(
    ("place", "kind", "n", "reference"),
    [
        (f"{BODY}c0001",  "c", 1,     f"pay_{BODY}_1"),
        (f"{BODY}r0012",  "r", 12,    f"ref_{BODY}_12"),
        (f"{BODY}x0003",  "x", 3,     f"ref_{BODY}_3"),
        (f"{BODY}r10000", "r", 10000, f"ref_{BODY}_10000"),
    ],
)  # fmt: skip
def test_a_place_says_what_a_line_is_about(place: str, kind: str, n: int, reference: str) -> None:
    line = Line(place, "re_1", 100, "CNY", PAID)
    assert (line.kind, line.n, line.reference, line.money) == (kind, n, reference, Money(100, "CNY"))


@pytest.mark.parametrize("name", LINES)
def test_a_report_that_names_our_references_finds_our_places(name: str) -> None:
    kinds: dict[str, Any] = {"c": "capture", "r": "refund", "x": "return"}
    for line in list_lines(LINES[name][0]().deposit):
        assert build_place(kinds[line.kind], line.reference) == line.place


# --- Their lines ---

PLACES: Final = [
    ("capture", CAPTURE_ID,                f"{BODY}c0001"),
    ("refund",  REFUND_ID,                 f"{BODY}r0001"),
    ("refund",  f"{REFUND_ID}.3",          f"{BODY}r0001"),
    ("return",  REFUND_ID,                 f"{BODY}x0001"),
    ("return",  f"{REFUND_ID}.3",          f"{BODY}x0001"),
    ("refund",  f"ref_{BODY}_20",          f"{BODY}r0020"),
    ("capture", REFUND_ID,                 f"~c{REFUND_ID}"),
    ("refund",  CAPTURE_ID,                f"~r{CAPTURE_ID}"),
    ("capture", f"{CAPTURE_ID}.1",         f"~c{CAPTURE_ID}.1"),
    ("refund",  f"{REFUND_ID}.0",          f"~r{REFUND_ID}.0"),
    ("refund",  DEPOSIT_ID,                f"~r{DEPOSIT_ID}"),
    ("refund",  "order 4711",              "~rorder 4711"),
    ("capture", "订单 4711",               "~c订单 4711"),
    ("return",  "🚗",                      "~x🚗"),
    ("refund",  "~",                       "~r~"),
    ("refund",  " ",                       "~r "),
    ("refund",  "",                        "~r"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "reference", "place"), PLACES)
def test_a_line_is_placed_by_what_it_says_it_was_made_for(kind: Any, reference: str, place: str) -> None:
    assert build_place(kind, reference) == place


@given(kind=st.sampled_from(["capture", "refund", "return"]), reference=st.text(max_size=60))
def test_what_names_nothing_of_ours_comes_last_and_has_a_shard(kind: Any, reference: str) -> None:
    line = Line(build_place(kind, reference), "re_1", 1, "CNY", PAID)
    assert line.place.startswith(UNATTRIBUTED)
    assert line.place > f"{ALPHABET[-1] * 26}x9999"
    assert line.reference == ""
    assert 0 <= compute_shard(line.place) < SHARDS


@given(body=st.text(alphabet=ALPHABET, min_size=26, max_size=26), n=st.integers(1, 9999), m=st.integers(1, 9999))
def test_all_lines_of_a_deposit_fall_into_one_shard(body: str, n: int, m: int) -> None:
    assert compute_shard(f"{body}c{n:04d}") == compute_shard(f"{body}x{m:04d}") == compute_shard(body)


def test_every_shard_is_used() -> None:
    found = Counter(compute_shard(f"{n:026d}") for n in range(1600))
    assert set(found) == set(range(SHARDS))
    assert max(found.values()) < 3 * min(found.values())


@pytest.mark.parametrize(
    ("place", "together", "behind_it"),
    [
        (f"{BODY}c0001", BODY,    f"{BODY}\U0010ffff"),
        (f"{BODY}x9999", BODY,    f"{BODY}\U0010ffff"),
        ("~r",           "~r",    "~r"),
        ("~c订单",       "~c订单", "~c订单"),
    ],
)  # fmt: skip
def test_a_run_stops_only_behind_a_whole_deposit(place: str, together: str, behind_it: str) -> None:
    assert find_group(place) == together
    assert find_group_end(find_group(place)) == behind_it >= place


def test_a_run_that_has_not_begun_is_behind_nothing() -> None:
    assert find_group_end("") == ""


# --- Side by side ---

KEYS: Final = st.tuples(st.sampled_from(["a", "b", "c", f"{BODY}c0001", "~"]), st.sampled_from(["", "1", "2"]))
SIDES: Final = st.lists(st.tuples(KEYS, st.integers(0, 3)), max_size=20)


def side(drawn: list[tuple[tuple[str, str], int]]) -> list[Line]:
    """Sorted as both sides are: by place, then by reference; amounts in any order."""
    lines = [Line(place, ref, minor, "CNY", PAID) for (place, ref), minor in drawn]
    return sorted(lines, key=lambda line: line[:2])


def by_key(lines: Sequence[Line]) -> dict[tuple[str, str], list[Line]]:
    found: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        found[line.place, line.ref].append(line)
    return found


@given(ours=SIDES, theirs=SIDES)
def test_a_join_is_what_a_dictionary_would_find(
    ours: list[tuple[tuple[str, str], int]], theirs: list[tuple[tuple[str, str], int]]
) -> None:
    mine, other = side(ours), side(theirs)
    expected: list[tuple[Line | None, Line | None]] = []
    left, right = by_key(mine), by_key(other)
    for at in sorted(left.keys() | right.keys()):
        here, there = left.get(at, []), right.get(at, [])
        matched = min(len(here), len(there))
        expected += zip(here[:matched], there[:matched], strict=True)
        expected += [(one, None) for one in here[matched:]]
        expected += [(None, one) for one in there[matched:]]
    assert list(pair_lines(iter(mine), iter(other))) == expected


@given(ours=SIDES, theirs=SIDES)
def test_a_join_loses_nothing_and_keeps_the_order(
    ours: list[tuple[tuple[str, str], int]], theirs: list[tuple[tuple[str, str], int]]
) -> None:
    mine, other = side(ours), side(theirs)
    pairs = list(pair_lines(iter(mine), iter(other)))
    assert [one for one, _ in pairs if one is not None] == mine
    assert [one for _, one in pairs if one is not None] == other
    assert all(one is not None or two is not None for one, two in pairs)
    assert all(one[:2] == two[:2] for one, two in pairs if one is not None and two is not None)


def test_a_join_reads_no_further_than_it_must() -> None:
    """A page of each is enough, however long the sides are."""
    read: list[str] = []

    def endless(name: str) -> Any:
        for n in range(10**9):
            read.append(name)
            yield Line(f"{n:026d}c0001", "1", 1, "CNY", PAID)

    pairs = pair_lines(endless("ours"), endless("theirs"))
    for _ in range(3):
        next(pairs)
    assert len(read) <= 8


# --- How young is too young ---


@pytest.mark.parametrize(
    ("days", "promised", "age", "young"),
    [
        (5, None, 5 * DAY - 1, True),
        (5, None, 5 * DAY,     False),
        (2, None, 2 * DAY - 1, True),
        (2, None, 2 * DAY,     False),
        (2, 4,    4 * DAY - 1, True),
        (2, 4,    4 * DAY,     False),
        (5, 1,    DAY - 1,     True),
        (5, 1,    DAY,         False),
        (5, 0,    0,           False),
        (5, 0,    -1,          True),
    ],
)  # fmt: skip
def test_a_line_is_missed_when_a_report_should_show_it(days: int, promised: int | None, age: int, young: bool) -> None:
    line = Line(f"{BODY}c0001", "cap_1", 1, "CNY", PAID, days)
    assert is_in_transit(line, PAID + age, promised) is young


@pytest.mark.parametrize(("made", "at"), [(ordered, None), (paid, PAID), (given_twice, WENT - 1)])
def test_when_money_moved_last(made: Callable[[], Story], at: int | None) -> None:
    assert find_latest_movement(list_lines(made().deposit)) == at


# --- What a strange line means ---


def line_of(letter: str, n: int = 1) -> Line:
    return Line(f"{BODY}{letter}{n:04d}", "strange", 508800, "CNY", WENT)


STRANGERS: Final = [
    # our deposit                                                  their line   means
    (None,                                                         ("c", 1),    "unknown_here"),
    (None,                                                         ("r", 1),    "unknown_here"),
    (None,                                                         ("x", 1),    "unknown_here"),
    (ordered,                                                      ("c", 1),    "late_payment"),
    (ordered,                                                      ("c", 2),    "unknown_here"),
    (paid,                                                         ("c", 1),    "late_payment"),
    (lambda: settled(SHOP, TENT),                                  ("c", 2),    "late_payment"),
    (lambda: settled(SHOP, TENT),                                  ("c", 3),    "unknown_here"),
    (paid,                                                         ("r", 1),    "unknown_here"),
    (paid,                                                         ("x", 1),    "unknown_here"),
    (standing,                                                     ("r", 1),    "status_mismatch"),
    (standing,                                                     ("r", 2),    "unknown_here"),
    (standing,                                                     ("x", 2),    "unknown_here"),
    (lambda: standing(SENDS),                                      ("r", 1),    "status_mismatch"),
    (lambda: standing(SENDS, news("pending")),                     ("r", 1),    "status_mismatch"),
    (lambda: standing(SENDS, news("declined")),                    ("r", 1),    "status_mismatch"),
    (lambda: standing(SENDS, news("declined")),                    ("x", 1),    "returned_after_success"),
    (lambda: standing(SENDS, news("succeeded")),                   ("r", 1),    "duplicate"),
    (lambda: standing(SENDS, news("succeeded")),                   ("x", 1),    "returned_after_success"),
    (lambda: standing(SENDS, news("succeeded", settled=True)),     ("r", 1),    "duplicate"),
    (lambda: standing(SENDS, news("succeeded", settled=True)),     ("x", 1),    "returned_after_success"),
    (lambda: standing(SENDS, news("returned")),                    ("r", 1),    "duplicate"),
    (lambda: standing(SENDS, news("returned")),                    ("x", 1),    "returned_after_success"),
    (charged_back,                                                 ("r", 1),    "status_mismatch"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "theirs", "means"), STRANGERS)
def test_what_stands_only_in_the_report_has_a_meaning(
    made: Callable[[], Story] | None, theirs: tuple[str, int], means: str
) -> None:
    assert classify_unmatched(made().deposit if made is not None else None, line_of(*theirs)) == means


# --- What is late ---


def promised(story: Story) -> int:
    return story.refund.promised_by


OVERDUE: Final[list[tuple[Callable[[], Story], int, str | None]]] = [
    # the refund                                                  how long after its last step      then
    (standing,                                                     7 * DAY - 1,                     None),
    (standing,                                                     7 * DAY,                         "promise_missed"),
    (lambda: standing(SENDS),                                      STALE_AFTER_MS - 1,                       None),
    (lambda: standing(SENDS),                                      STALE_AFTER_MS,                           "stale"),
    (lambda: standing(SENDS),                                      7 * DAY - 1,                     "stale"),
    (lambda: standing(SENDS),                                      7 * DAY,                         "promise_missed"),
    (lambda: standing(SENDS, lambda story: story.ask(LOSE, WENT)), STALE_AFTER_MS - 1,                       None),
    (lambda: standing(SENDS, lambda story: story.ask(LOSE, WENT)), STALE_AFTER_MS,                           "stale"),
    (lambda: standing(SENDS, news("pending")),                     STALE_AFTER_MS - 1,                       None),
    (lambda: standing(SENDS, news("pending")),                     STALE_AFTER_MS,                           "stale"),
    (lambda: standing(SENDS, news("declined")),                    STALE_AFTER_MS,                           None),
    (lambda: standing(SENDS, news("declined")),                    7 * DAY - HOUR - 1,              None),
    (lambda: standing(SENDS, news("declined")),                    7 * DAY - HOUR,                  "promise_missed"),
    (lambda: standing(SENDS, news("returned")),                    7 * DAY - HOUR - 1,              None),
    (lambda: standing(SENDS, news("returned")),                    7 * DAY - HOUR,                  "promise_missed"),
    (lambda: standing(SENDS, lambda story: story.ask(MISS, WENT)), STALE_AFTER_MS - 1,                       None),
    (lambda: standing(SENDS, lambda story: story.ask(MISS, WENT)), STALE_AFTER_MS,                           "stale"),
    (lambda: standing(SENDS, lambda story: story.ask(MISS, WENT)), 7 * DAY - HOUR,                  "promise_missed"),
    (lambda: standing(SENDS, news("succeeded")),                   30 * DAY,                        None),
    (lambda: standing(SENDS, news("succeeded", settled=True)),     30 * DAY,                        None),
]  # fmt: skip


@pytest.mark.parametrize(("made", "after", "then"), OVERDUE)
def test_a_refund_is_late_or_stands_still(made: Callable[[], Story], after: int, then: str | None) -> None:
    refund = made().refund
    assert classify_overdue(refund, refund.changed_at + after) == then


def test_every_status_is_looked_at_for_being_late() -> None:
    assert {made().refund.status for made, _, _ in OVERDUE} == set(RefundStatus)


def test_two_days_stand_still() -> None:
    assert STALE_AFTER_MS == 2 * DAY
    assert promised(standing()) == APPROVED + 7 * DAY


# --- Counting ---

CAPTURE: Final = Line(f"{BODY}c0001", "cap_1", 508800, "CNY", PAID, 5)
REFUND: Final = Line(f"{BODY}r0001", "re_1", 8800, "CNY", WENT, 5)
RETURN: Final = Line(f"{BODY}x0001", "re_1", 8800, "CNY", CAME_BACK, 5)
DOLLARS: Final = CAPTURE._replace(ref="cap_2", currency="USD")


def tallied(*steps: Callable[[Tally], None]) -> Tally:
    tally = Tally()
    for step in steps:
        step(tally)
    return tally


def matches(line: Line, *, repaired: bool = False) -> Callable[[Tally], None]:
    return lambda tally: tally.match(line, repaired=repaired)


def differs(kind: BreakKind, mine: Line | None, other: Line | None) -> Callable[[Tally], None]:
    return lambda tally: tally.differ(kind, mine, other)


def strange(kind: Any) -> Line:
    """Of nothing that we know; its text has letters where a place of ours has its own."""
    return Line(build_place(kind, "crx" * 20), "1", 100, "CNY", PAID)


COUNTS: Final = [
    # steps                                                    ours provider matched repaired in_transit breaks totals
    ((),                                                       (0, 0, 0, 0, 0, 0), {}),
    ((matches(CAPTURE),),                                      (1, 1, 1, 0, 0, 0), {"CNY": [508800, 508800]}),
    ((matches(REFUND),),                                       (1, 1, 1, 0, 0, 0), {"CNY": [-8800, -8800]}),
    ((matches(RETURN),),                                       (1, 1, 1, 0, 0, 0), {"CNY": [8800, 8800]}),
    ((matches(CAPTURE), matches(REFUND)),                      (2, 2, 2, 0, 0, 0), {"CNY": [500000, 500000]}),
    ((matches(CAPTURE), matches(REFUND), matches(RETURN)),     (3, 3, 3, 0, 0, 0), {"CNY": [508800, 508800]}),
    ((matches(CAPTURE), matches(DOLLARS)),                     (2, 2, 2, 0, 0, 0), {"CNY": [508800, 508800], "USD": [508800, 508800]}),
    ((matches(CAPTURE, repaired=True),),                       (1, 1, 0, 1, 0, 0), {"CNY": [508800, 508800]}),
    ((lambda tally: tally.wait(CAPTURE),),                     (1, 0, 0, 0, 1, 0), {}),
    ((differs("missing_at_provider", CAPTURE, None),),         (1, 0, 0, 0, 0, 1), {"CNY": [508800, 0]}),
    ((differs("unknown_here", None, CAPTURE),),                (0, 1, 0, 0, 0, 1), {"CNY": [0, 508800]}),
    ((differs("unknown_here", None, REFUND),),                 (0, 1, 0, 0, 0, 1), {"CNY": [0, -8800]}),
    ((differs("unknown_here", None, strange("capture")),),     (0, 1, 0, 0, 0, 1), {"CNY": [0, 100]}),
    ((differs("unknown_here", None, strange("refund")),),      (0, 1, 0, 0, 0, 1), {"CNY": [0, -100]}),
    ((differs("unknown_here", None, strange("return")),),      (0, 1, 0, 0, 0, 1), {"CNY": [0, 100]}),
    ((differs("amount_mismatch", REFUND, REFUND._replace(minor=1)),), (1, 1, 0, 0, 0, 1), {"CNY": [-8800, -1]}),
    ((differs("amount_mismatch", CAPTURE, DOLLARS),),          (1, 1, 0, 0, 0, 1), {"CNY": [508800, 0], "USD": [0, 508800]}),
    ((lambda tally: tally.note("promise_missed", REFUND_ID),), (0, 0, 0, 0, 0, 1), {}),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "counts", "totals"), COUNTS)
def test_a_run_counts_lines_and_adds_up_money_with_its_sign(
    steps: Sequence[Callable[[Tally], None]], counts: tuple[int, ...], totals: dict[str, list[int]]
) -> None:
    tally = tallied(*steps)
    found = (tally.ours, tally.provider, tally.matched, tally.repaired, tally.in_transit, tally.breaks)
    assert found == counts
    assert tally.totals == totals


@pytest.mark.parametrize(
    ("steps", "balanced"),
    [
        ((),                                                                True),
        ((matches(CAPTURE), matches(REFUND)),                               True),
        ((matches(CAPTURE, repaired=True),),                                True),
        ((lambda tally: tally.wait(CAPTURE),),                              True),
        ((lambda tally: tally.note("stale", REFUND_ID),),                   False),
        ((differs("missing_at_provider", CAPTURE, None),),                  False),
        ((differs("missing_at_provider", CAPTURE, None), differs("unknown_here", None, CAPTURE)), False),
        ((lambda tally: tally.totals.update(CNY=[508800, 508799]),),        False),
        ((lambda tally: tally.totals.update(CNY=[508800, 508800], USD=[0, 1]),), False),
    ],
)  # fmt: skip
def test_a_run_balances_without_breaks_and_with_equal_sums(
    steps: Sequence[Callable[[Tally], None]], balanced: bool
) -> None:
    assert tallied(*steps).balanced is balanced


KINDS: Final = st.sampled_from(get_args(BreakKind))
ANY_LINE: Final = st.sampled_from([CAPTURE, REFUND, RETURN, DOLLARS, Line("~r订单", "", 1, "IDR", PAID)])
VERDICTS: Final = st.tuples(
    st.sampled_from(["matched", "repaired", "in transit", "ours only", "theirs only", "noted"]), KINDS, ANY_LINE
)


def judge(tally: Tally, verdict: str, kind: BreakKind, line: Line) -> None:
    match verdict:
        case "matched" | "repaired":
            tally.match(line, repaired=verdict == "repaired")
        case "in transit":
            tally.wait(line)
        case "ours only":
            tally.differ(kind, line, None)
        case "theirs only":
            tally.differ(kind, None, line)
        case _:
            tally.note(kind, line.ref)


@given(operations=st.lists(VERDICTS, max_size=20), cuts=st.sets(st.integers(0, 20)))
def test_a_run_may_be_cut_anywhere(operations: list[tuple[str, BreakKind, Line]], cuts: set[int]) -> None:
    whole, cut = Tally(), Tally()
    for place, operation in enumerate(operations):
        judge(whole, *operation)
        if place in cuts:
            cut = Tally.from_json(json.loads(json.dumps(cut.to_json())))
        judge(cut, *operation)
    assert cut.to_json() == whole.to_json()
    assert cut.balanced is whole.balanced


def test_what_a_run_counts_is_all_that_its_cursor_holds() -> None:
    tally = tallied(matches(CAPTURE), lambda one: one.wait(REFUND))
    assert set(tally.to_json()) == set(FIELDS) == set(Tally.__dataclass_fields__)
    assert Tally.from_json(tally.to_json()) == tally


# --- The certificate ---


def test_what_was_repaired_counts_as_matched() -> None:
    """A second run, after the repair, says the same as the first."""
    first, second = tallied(matches(CAPTURE, repaired=True)), tallied(matches(CAPTURE))
    assert first.digest == second.digest
    assert (first.repaired, second.repaired) == (1, 0)


@pytest.mark.parametrize(
    "other",
    [
        (),
        (matches(REFUND), matches(CAPTURE)),
        (matches(CAPTURE),),
        (matches(CAPTURE), matches(REFUND), matches(REFUND)),
        (matches(CAPTURE), lambda tally: tally.wait(REFUND)),
        (matches(CAPTURE), differs("duplicate", None, REFUND)),
        (matches(CAPTURE), differs("unknown_here", None, REFUND)),
        (matches(CAPTURE), matches(REFUND._replace(ref="re_2"))),
        (matches(CAPTURE), matches(REFUND._replace(minor=8801))),
        (matches(CAPTURE), matches(REFUND._replace(currency="USD"))),
        (matches(CAPTURE), matches(REFUND._replace(place=f"{BODY}r0002"))),
        (matches(CAPTURE), matches(REFUND), lambda tally: tally.note("stale", REFUND_ID)),
    ],
)  # fmt: skip
def test_another_verdict_another_line_or_another_order_is_another_digest(
    other: Sequence[Callable[[Tally], None]],
) -> None:
    assert tallied(*other).digest != tallied(matches(CAPTURE), matches(REFUND)).digest


@pytest.mark.parametrize("changed", [{"at": WENT + 1}, {"days": 2}, {"settled": False}])
def test_what_is_only_ours_to_know_is_not_certified(changed: dict[str, Any]) -> None:
    assert tallied(matches(REFUND._replace(**changed))).digest == tallied(matches(REFUND)).digest


@pytest.mark.parametrize(("mine", "other"), [(CAPTURE, None), (None, CAPTURE), (CAPTURE, CAPTURE)])
def test_a_break_is_certified_by_the_line_that_there_is(mine: Line | None, other: Line | None) -> None:
    found = tallied(differs("amount_mismatch", mine, other))
    assert found.digest == tallied(differs("amount_mismatch", CAPTURE, None)).digest


def test_a_difference_without_sides_is_a_fault_of_ours() -> None:
    with pytest.raises(AssertionError, match="at least one side"):
        Tally().differ("stale", None, None)


def test_a_run_over_nothing_has_a_digest_too() -> None:
    assert Tally().digest == hashlib.sha256(b"").hexdigest()


# --- Both together ---


@given(name=st.sampled_from(sorted(LINES)), lost=st.sets(st.integers(0, 5)), late=st.booleans())
def test_a_report_that_shows_everything_matches_and_one_that_does_not_breaks(
    name: str, lost: set[int], late: bool
) -> None:
    ours = list_lines(LINES[name][0]().deposit)
    report = [line for place, line in enumerate(ours) if place not in lost]
    at = 2 * LATER if late else PAID
    tally = Tally()
    for mine, other in pair_lines(iter(ours), iter(report)):
        assert mine is not None
        if other is not None:
            tally.match(other)
        elif is_in_transit(mine, at, None):
            tally.wait(mine)
        else:
            tally.differ("missing_at_provider", mine, None)
    missing = len(ours) - len(report)
    assert (tally.matched, tally.provider) == (len(report), len(report))
    assert (tally.breaks, tally.in_transit) == ((missing, 0) if late else (0, missing))
