"""An offer's life by clock and close, and its stock: how many shards, and which of them move."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.instants import HOUR
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.selling import offer as offers
from chalicelib.core.selling.offer import (
    MAX_CHANGED_SHARDS,
    TRANSITIONS,
    Available,
    Offer,
    OfferClosed,
    OfferEvent,
    OfferMade,
    OfferStatus,
    Stock,
    StockChanged,
    build_stock,
    change_stock,
    close_offer,
    count_available,
    count_shards,
    evolve,
    fold,
    index_shards,
    split_change,
    status_at,
)
from tests.core.stories import SU7, T0, body, draft, offer_of, refused

OPENS, CLOSES = T0 + HOUR, T0 + 2 * HOUR
CARS = (Stock("su7-max", 20, 2), Stock("su7", 3, 1))
LEFT = {"su7-max": [10, 8], "su7": [0]}


def timed(**changes: Any) -> Offer:
    return offer_of(SU7, **{"opens_at": OPENS, "closes_at": CLOSES, "stock": CARS, **changes})


def closed() -> Offer:
    return evolve(timed(), OfferClosed(OPENS, count_available(timed(), LEFT, OPENS)))


def not_closing() -> Offer:
    return timed(closes_at=None)


def open_at_once() -> Offer:
    return timed(opens_at=None)


@pytest.mark.parametrize(
    ("made", "at", "status"),
    [
        (timed,        T0,         "scheduled"),
        (timed,        OPENS - 1,  "scheduled"),
        (timed,        OPENS,      "open"),
        (timed,        CLOSES - 1, "open"),
        (timed,        CLOSES,     "closed"),
        (open_at_once, T0,         "open"),
        (not_closing,  CLOSES * 2, "open"),
        (closed,       T0,         "closed"),
        (closed,       OPENS,      "closed"),
    ],
)  # fmt: skip
def test_the_status_follows_from_the_clock_and_close(made: Callable[[], Offer], at: int, status: str) -> None:
    assert status_at(made(), at).value == status


def changed(offer: Offer, at: int) -> OfferEvent:
    return change_stock(offer, "su7-max", 1, at, LEFT)


def closing(offer: Offer, at: int) -> OfferEvent:
    return close_offer(offer, at, LEFT)


CASES: list[tuple[Callable[[Offer, int], OfferEvent], int, str]] = [
    # command  asked at   then
    (changed, OPENS - 1,  "scheduled"),
    (changed, OPENS,      "open"),
    (changed, CLOSES,     "wrong-state"),
    (closing, OPENS - 1,  "closed"),
    (closing, OPENS,      "closed"),
    (closing, CLOSES,     "wrong-state"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "at", "then"), CASES)
def test_a_merchants_command_gives_what_the_table_says(
    command: Callable[[Offer, int], OfferEvent], at: int, then: str
) -> None:
    if then == "wrong-state":
        with refused(Reason.WRONG_STATE, state="closed"):
            command(timed(), at)
        return
    assert status_at(evolve(timed(), command(timed(), at)), at).value == then


def test_every_transition_is_reached_by_a_case() -> None:
    reached = {
        ((status_at(timed(), at), type(command(timed(), at))), OfferStatus(then))
        for command, at, then in CASES
        if then != "wrong-state"
    }
    assert reached == set(TRANSITIONS.items())


def test_a_closed_offer_stays_closed() -> None:
    for command in (changed, closing):
        with pytest.raises(Refused):
            command(closed(), OPENS)


# --- Journals ---


def test_a_journal_begins_with_its_creation_and_has_no_other() -> None:
    made = timed().made
    with pytest.raises(ValueError, match="begins with its creation"):
        fold("off_x", [OfferClosed(T0)])
    with pytest.raises(ValueError, match="empty"):
        fold("off_x", [])
    with pytest.raises(KeyError):
        fold("off_x", [made, made])


def test_a_journal_tells_stock_and_what_was_left_of_it() -> None:
    made = timed().made
    more = StockChanged(OPENS, "su7-max", -5, (Available("su7-max", 13), Available("su7", 0)))
    offer = fold("off_x", [made, more])
    assert offer.stock == (Stock("su7-max", 15, 2), Stock("su7", 3, 1))
    assert offer.available == more.available
    assert (offer.version, offer.created_at, offer.updated_at) == (2, T0, OPENS)
    assert fold("off_x", [made]).available == (Available("su7-max", 20), Available("su7", 3))
    assert closed().available == (Available("su7-max", 18), Available("su7", 0))


def test_every_event_of_an_offer_is_handled() -> None:
    assert set(get_args(OfferEvent)) == {OfferMade} | {event for _, event in TRANSITIONS}


def test_a_counted_sku_is_found() -> None:
    assert timed().counted("su7") == Stock("su7", 3, 1)
    assert timed().counted("bicycle") is None


# --- Restocking ---


@pytest.mark.parametrize("change", [1, -1, -18])
def test_units_are_added_or_taken_while_they_are_left(change: int) -> None:
    event = change_stock(timed(), "su7-max", change, OPENS, LEFT)
    assert event == StockChanged(OPENS, "su7-max", change, (Available("su7-max", 18 + change), Available("su7", 0)))


def test_what_is_sold_cannot_be_taken_away() -> None:
    with refused(Reason.INVALID_REQUEST, ("/change", "below_sold")):
        change_stock(timed(), "su7-max", -19, OPENS, LEFT)
    with refused(Reason.INVALID_REQUEST, ("/change", "below_sold")):
        change_stock(timed(), "su7", -1, OPENS, LEFT)


def test_goods_without_a_counter_have_no_stock_to_change() -> None:
    with refused(Reason.INVALID_REQUEST, ("/sku", "unknown_sku")):
        change_stock(timed(), "bicycle", 1, OPENS, LEFT)


def test_faults_of_fields_come_before_the_state() -> None:
    with refused(Reason.INVALID_REQUEST, ("/sku", "unknown_sku")):
        change_stock(closed(), "bicycle", 1, OPENS, LEFT)


# --- Shards ---


@pytest.mark.parametrize(
    ("units", "peak", "shards"),
    [
        (1,         20,      1),
        (15,        20,      1),
        (16,        20,      2),   # at most an eighth of the stock
        (31,        20,      2),
        (32,        20,      4),
        (63,        20,      4),
        (64,        20,      8),
        (5_000,     1,       8),   # at least eight
        (5_000,     80,      8),
        (5_000,     81,      16),  # a tenth of the peak, up to a power of two
        (5_000,     160,     16),
        (5_000,     161,     32),
        (5_000,     1_111,   128),
        (5_000,     100_000, 512),
        (1_000_000, 100_000, 16_384),
    ],
)  # fmt: skip
def test_a_stock_lives_in_shards_for_its_peak(units: int, peak: int, shards: int) -> None:
    assert count_shards(units, peak) == shards


@given(st.integers(1, 10**9), st.integers(1, 100_000))
def test_shards_are_a_power_of_two_and_none_begins_empty(units: int, peak: int) -> None:
    shards = count_shards(units, peak)
    assert shards.bit_count() == 1
    assert shards <= max(units // 8, 1)
    assert shards >= min(peak / 10, 8, max(units / 16, 1))


@pytest.mark.parametrize(
    ("peak", "partitions"), [(1, 1), (250, 1), (251, 2), (500, 2), (501, 4), (1_111, 8), (100_000, 512)]
)
def test_the_list_of_an_offers_deposits_is_spread_for_its_peak(peak: int, partitions: int) -> None:
    assert index_shards(draft(body(expected_peak_per_second=peak))) == partitions


def test_only_counted_goods_have_stock() -> None:
    car = body()["items"][0]
    items = [car, {**car, "sku": "free", "stock": None}]
    assert build_stock(draft(body(items=items))) == (Stock("su7-max", 100, 8),)


@pytest.mark.parametrize(
    ("change", "left", "moved"),
    [
        (1,   [5, 5],           [(0, 1)]),
        (3,   [5, 5],           [(0, 2), (1, 1)]),
        (17,  [0] * 16,         [(0, 3), *((shard, 2) for shard in range(1, 8))]),
        (0,   [5, 5],           []),
        (-1,  [5, 6],           [(1, -1)]),
        (-6,  [5, 6],           [(1, -6)]),
        (-7,  [5, 6],           [(1, -6), (0, -1)]),
        (-11, [5, 6],           [(1, -6), (0, -5)]),
        (-3,  [0, 2, 1],        [(1, -2), (2, -1)]),
        (-8,  [1] * 9,          [(shard, -1) for shard in range(8)]),
    ],
)  # fmt: skip
def test_a_change_of_stock_moves_few_shards(change: int, left: list[int], moved: list[tuple[int, int]]) -> None:
    assert split_change(change, left) == tuple(moved)


@pytest.mark.parametrize(("change", "left"), [(-12, [5, 6]), (-9, [1] * 9), (-1, [0])])
def test_a_change_that_needs_more_shards_than_one_write_moves_is_refused(change: int, left: list[int]) -> None:
    with refused(Reason.INVALID_REQUEST, ("/change", "too_large")):
        split_change(change, left)


@given(st.integers(-200, 200), st.lists(st.integers(0, 30), min_size=1, max_size=32))
def test_moves_add_up_and_leave_no_shard_below_zero(change: int, left: list[int]) -> None:
    try:
        moved = split_change(change, left)
    except Refused:
        assert -change > sum(sorted(left, reverse=True)[:MAX_CHANGED_SHARDS])
        return
    assert sum(units for _, units in moved) == change
    assert len(moved) == len({shard for shard, _ in moved}) <= MAX_CHANGED_SHARDS
    assert all(left[shard] + units >= 0 and units for shard, units in moved)


# --- Units kept for priority passes ---

# Six public shelves' worth in two shards, three kept in one; then everything kept; then none.
KEPT = (Stock("su7-max", 9, 2, 3, 1), Stock("su7", 4, 1, 4, 2), Stock("suv", 5, 1))
KEPT_LEFT = {"su7-max": [3, 3, 3], "su7": [0, 2, 2], "suv": [5]}
EVERYBODYS = OPENS + 24 * HOUR


def keeping(**changes: Any) -> Offer:
    return offer_of(SU7, **{"opens_at": OPENS, "stock": KEPT, **changes})


@pytest.mark.parametrize(
    ("stock", "sizes"),
    [
        (Stock("one", 9, 2),         (5, 4)),
        (Stock("one", 9, 2, 3, 1),   (3, 3, 3)),
        (Stock("one", 9, 2, 4, 3),   (3, 2, 2, 1, 1)),
        (Stock("one", 9, 1, 9, 1),   (0, 9)),  # the reserve is everything
        (Stock("one", 9, 2, 1, 1),   (4, 4, 1)),
    ],
)  # fmt: skip
def test_the_reserve_stands_in_shards_of_its_own_behind_the_others(stock: Stock, sizes: tuple[int, ...]) -> None:
    assert stock.sizes == sizes
    assert (sum(sizes), len(sizes)) == (stock.units, stock.all_shards)
    assert sum(sizes[stock.shards :]) == stock.reserved


@pytest.mark.parametrize(
    ("units", "reserved", "stock"),
    [
        (100, None, Stock("su7-max", 100, 8)),
        (100, 1,    Stock("su7-max", 100, 8, 1, 1)),
        (100, 16,   Stock("su7-max", 100, 8, 16, 2)),
        (100, 100,  Stock("su7-max", 100, 1, 100, 8)),
    ],
)  # fmt: skip
def test_both_parts_of_a_stock_are_sharded_by_their_own_size(units: int, reserved: int | None, stock: Stock) -> None:
    items = [{**body()["items"][0], "stock": units}]
    kept = {"su7-max": reserved} if reserved is not None else {}
    assert build_stock(draft(body(items=items, priority={"reserved": kept}))) == (stock,)


@pytest.mark.parametrize(
    ("opens_at", "at", "everybodys"),
    [
        (OPENS, T0,                       False),
        (OPENS, OPENS,                    False),
        (OPENS, EVERYBODYS - 1,           False),
        (OPENS, EVERYBODYS,               True),
        (None,  T0 + 24 * HOUR - 1,       False),  # open at once: from when it was made
        (None,  T0 + 24 * HOUR,           True),
    ],
)  # fmt: skip
def test_the_reserve_is_everybodys_24_hours_after_the_opening(opens_at: int | None, at: int, everybodys: bool) -> None:
    offer = keeping(opens_at=opens_at)
    assert offers.is_reserve_open(offer, at) is everybodys
    shown = {one.sku: one.units for one in count_available(offer, KEPT_LEFT, at)}
    assert shown == ({"su7-max": 9, "su7": 4, "suv": 5} if everybodys else {"su7-max": 6, "su7": 0, "suv": 5})
    assert list(offers.list_changeable_units(offer, "su7-max", KEPT_LEFT["su7-max"], at)) == (
        [3, 3, 3] if everybodys else [3, 3]
    )


def test_a_new_offer_shows_what_is_not_kept() -> None:
    assert keeping().available == (Available("su7-max", 6), Available("su7", 0), Available("suv", 5))


@pytest.mark.parametrize(
    ("at", "with_pass", "choices"),
    [
        (T0,             True,  [[2], [0, 1]]),
        (EVERYBODYS - 1, True,  [[2], [0, 1]]),
        (EVERYBODYS,     True,  [[2], [0, 1]]),
        (OPENS,          False, [[0, 1]]),
        (EVERYBODYS - 1, False, [[0, 1]]),
        (EVERYBODYS,     False, [[0, 1, 2]]),
    ],
)  # fmt: skip
def test_which_shards_an_order_may_draw_from(at: int, with_pass: bool, choices: list[list[int]]) -> None:
    found = offers.list_shards(keeping(), KEPT[0], at, with_pass=with_pass)
    assert [list(shards) for shards in found] == choices
    plain = offers.list_shards(keeping(), KEPT[2], at, with_pass=with_pass)
    assert [list(shards) for shards in plain] == [[0]], "where nothing is kept a pass draws as everybody"


@pytest.mark.parametrize(
    ("sku", "change", "at", "why"),
    [
        ("su7-max", -6, EVERYBODYS - 1, None),
        ("su7-max", -7, EVERYBODYS - 1, "below_reserved"),
        ("su7-max", -9, EVERYBODYS - 1, "below_reserved"),
        ("su7-max", -10, EVERYBODYS - 1, "below_sold"),
        ("su7-max", -9, EVERYBODYS,     None),
        ("su7-max", -10, EVERYBODYS,    "below_sold"),
        ("su7",     -1, OPENS,          "below_reserved"),
        ("su7",     -5, OPENS,          "below_sold"),
        ("su7",      1, OPENS,          None),
        ("suv",     -5, OPENS,          None),
        ("suv",     -6, OPENS,          "below_sold"),
    ],
)  # fmt: skip
def test_what_is_kept_cannot_be_taken_away_until_it_is_everybodys(
    sku: str, change: int, at: int, why: str | None
) -> None:
    if why is not None:
        with refused(Reason.INVALID_REQUEST, ("/change", why)):
            change_stock(keeping(), sku, change, at, KEPT_LEFT)
        return
    before = {one.sku: one.units for one in count_available(keeping(), KEPT_LEFT, at)}
    after = {one.sku: one.units for one in change_stock(keeping(), sku, change, at, KEPT_LEFT).available}
    assert after == {**before, sku: before[sku] + change}


def test_an_offer_that_closes_shows_what_everybody_could_have_had() -> None:
    assert close_offer(keeping(), OPENS, KEPT_LEFT).available == (
        Available("su7-max", 6),
        Available("su7", 0),
        Available("suv", 5),
    )
    assert close_offer(keeping(), EVERYBODYS, KEPT_LEFT).available[0] == Available("su7-max", 9)


def test_statuses_of_the_module_are_those_of_the_contract() -> None:
    assert [status.value for status in offers.OfferStatus] == ["scheduled", "open", "closed"]
