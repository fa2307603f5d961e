"""A new deposit: what it costs, whether the offer takes it, and where its units come from."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.common.instants import HOUR, MINUTE
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.order import Created, Line, TakenStock
from chalicelib.core.deposit.order import begin_deposit
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling.offer import Offer, Stock
from chalicelib.core.selling.ordering import HandedIn, Ordered, compute_due_now, create_deposit, price_lines
from chalicelib.core.selling.stock import MAX_DRAWS, StockDelta, draw_units, stock_deltas
from tests.core.stories import (
    BALANCE_BY_CARD,
    CANCEL,
    DEPOSIT_ID,
    FLASH_SALE,
    LATER,
    SU7,
    T0,
    Story,
    money,
    offer_of,
    order_of,
    ordered,
    refused,
    terms,
    wire,
)

BUYER = "usr_" + "0" * 26
PHONE = HandedIn("phone", "old")


def items(**prices: str) -> list[dict[str, Any]]:
    return [{"sku": sku, "name": sku, "price": wire(price)} for sku, price in prices.items()]


TWO = terms(items=items(a="100 CNY", b="0.03 CNY"), payment={"deposit": wire("30 CNY")}, shipping=wire("7 CNY"))


def placed(under: Terms, *lines: tuple[str, int], at: int = T0, **changes: Any) -> Created:
    return create_deposit(order_of(under, *lines, **changes), offer_of(under), under, BUYER, at)


# --- What it costs ---


@pytest.mark.parametrize(
    ("under", "units", "whole", "due"),
    [
        (SU7,        1, "299988 CNY",    "5088 CNY"),
        (SU7,        2, "599888 CNY",    "10088 CNY"),
        (TWO,        1, "107 CNY",       "37 CNY"),
        (TWO,        3, "307 CNY",       "97 CNY"),
        (TWO,        1, "37 CNY",        "37 CNY"),
        (TWO,        1, "36.99 CNY",     "36.99 CNY"),  # never more than everything
        (TWO,        1, "7.03 CNY",      "7.03 CNY"),
        (FLASH_SALE, 1, "299988 CNY",    "299988 CNY"),
        (FLASH_SALE, 5, "1499588 CNY",   "1499588 CNY"),
    ],
)  # fmt: skip
def test_due_now_is_the_deposit_of_every_unit_and_shipping_at_most_everything(
    under: Terms, units: int, whole: str, due: str
) -> None:
    assert compute_due_now(units, money(whole), under) == money(due)


def test_an_order_becomes_a_deposit_of_what_was_offered() -> None:
    created = placed(TWO, ("b", 2), ("a", 1), at=T0 + HOUR)
    assert created.lines == (Line("b", 2, money("0.03 CNY")), Line("a", 1, money("100 CNY")))
    assert (created.shipping, created.due_now) == (money("7 CNY"), money("97 CNY"))
    assert (created.at, created.due_at) == (T0 + HOUR, T0 + HOUR + 15 * MINUTE)
    assert (created.buyer, created.merchant, created.method, created.batch) == (BUYER, "mer_shop", "card", "b")
    assert created.lines[0].value == money("0.06 CNY")


def test_what_is_made_to_specification_is_noted_on_its_line() -> None:
    assert placed(SU7).lines[0].made_to_spec
    assert not placed(TWO, ("a", 1)).lines[0].made_to_spec


LARGEST = terms(items=items(a="9999999999999 CNY"), shipping=wire("0 CNY"))


def test_a_total_that_cannot_be_written_is_refused() -> None:
    assert placed(LARGEST, ("a", 1)).lines[0].value == money("9999999999999 CNY")
    with refused(Reason.INVALID_REQUEST, ("/items", "too_large")):
        placed(LARGEST, ("a", 2))
    with_shipping = terms(items=items(a="9999999999999 CNY"), shipping=wire("1 CNY"))
    with refused(Reason.INVALID_REQUEST, ("/items", "too_large")):
        placed(with_shipping, ("a", 1))


# --- Fields that no state could make right ---


@pytest.mark.parametrize(
    ("lines", "changes", "faults"),
    [
        ([("a", 1), ("c", 1)], {},                               [("/items/1/sku", "unknown_sku")]),
        ([("c", 1), ("d", 1)], {},                               [("/items/0/sku", "unknown_sku"), ("/items/1/sku", "unknown_sku")]),
        ([("a", 1)],           {"trade_in": PHONE},              [("/trade_in", "no_trade_in")]),
        ([("c", 1)],           {"trade_in": PHONE, "priority_pass": "pas_1", "payment_method": "gopay"},
         [("/items/0/sku", "unknown_sku"), ("/trade_in", "no_trade_in")]),
    ],
)  # fmt: skip
def test_unknown_goods_and_models_are_named(
    lines: list[tuple[str, int]], changes: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    with refused(Reason.INVALID_REQUEST, *faults):
        placed(TWO, *lines, **changes)


def test_goods_are_priced_by_the_frozen_terms_whoever_asks() -> None:
    assert price_lines([Ordered("b", 2)], TWO) == (Line("b", 2, money("0.03 CNY")),)
    with refused(Reason.INVALID_REQUEST, ("/items/1/sku", "unknown_sku")):
        price_lines([Ordered("a", 1), Ordered("c", 1)], TWO)


def test_a_method_that_is_not_offered_is_refused() -> None:
    with refused(Reason.PAYMENT_METHOD_NOT_OFFERED, ("/payment_method", "unknown_method")):
        placed(TWO, ("a", 1), payment_method="gopay")


# --- Whether the offer takes it ---


@pytest.mark.parametrize(
    ("at", "state"), [(T0 - 1, "scheduled"), (T0, None), (T0 + HOUR - 1, None), (T0 + HOUR, "closed")]
)
def test_an_offer_takes_orders_while_it_is_open(at: int, state: str | None) -> None:
    offer = offer_of(TWO, opens_at=T0, closes_at=T0 + HOUR)
    order = order_of(TWO, ("a", 1))
    if state is None:
        assert create_deposit(order, offer, TWO, BUYER, at).at == at
        return
    with refused(Reason.OFFER_NOT_OPEN, state=state, opens_at=T0):
        create_deposit(order, offer, TWO, BUYER, at)


def test_other_terms_than_the_offers_are_not_agreed_to() -> None:
    offer = offer_of(TWO)
    with refused(Reason.TERMS_CHANGED, terms_hash=offer.made.terms_hash):
        placed(TWO, ("a", 1), terms_hash="sha256:other")


@pytest.mark.parametrize(
    ("limit", "lines", "counted"),
    [
        (None, [("a", 9)],           0),
        (3,    [("a", 3)],           3),
        (3,    [("a", 2), ("b", 1)], 3),
        (3,    [("a", 4)],           None),
        (3,    [("a", 2), ("b", 2)], None),
    ],
)  # fmt: skip
def test_a_limit_counts_units_of_all_lines(
    limit: int | None, lines: list[tuple[str, int]], counted: int | None
) -> None:
    under = terms(items=items(a="100 CNY", b="200 CNY"), limits={"per_buyer": limit})
    if counted is None:
        with refused(Reason.LIMIT_REACHED, per_buyer=limit):
            placed(under, *lines)
        return
    assert placed(under, *lines).limit_units == counted


def test_a_limit_for_a_person_needs_the_person_known() -> None:
    with refused(Reason.IDENTITY_REQUIRED):
        placed(terms(limits={"per_identity": 1}))


def test_reasons_come_in_the_order_of_the_contract() -> None:
    under = terms(limits={"per_identity": 1, "per_buyer": 1})
    closed = offer_of(under, closes_at=T0)
    order = order_of(under, ("su7-max", 2), terms_hash="sha256:other", payment_method="gopay")
    with refused(Reason.PAYMENT_METHOD_NOT_OFFERED, ("/payment_method", "unknown_method")):
        create_deposit(order, closed, under, BUYER, T0)
    later = order_of(under, ("su7-max", 2), terms_hash="sha256:other")
    with refused(Reason.OFFER_NOT_OPEN, state="closed", opens_at=None):
        create_deposit(later, closed, under, BUYER, T0)
    with refused(Reason.TERMS_CHANGED, terms_hash=closed.made.terms_hash):
        create_deposit(later, offer_of(under), under, BUYER, T0)


# --- Where the units come from ---

COUNTED = offer_of(TWO, stock=(Stock("a", 40, 4), Stock("b", 2, 1)))


def drawn(
    lines: list[tuple[str, int]],
    start: int,
    left: dict[str, Sequence[int]] | None,
    held: Sequence[TakenStock] = (),
) -> list[tuple[str, int, int]]:
    items = [Ordered(*line) for line in lines]
    return [(taken.sku, taken.shard, taken.units) for taken in draw_units(items, COUNTED, start, left, T0, held)]


@pytest.mark.parametrize(
    ("lines", "start", "left", "taken"),
    [
        # Without a look the first shard is tried.
        ([("a", 3)],           0, None,              [("a", 0, 3)]),
        ([("a", 3)],           3, None,              [("a", 3, 3)]),
        ([("a", 3)],           6, None,              [("a", 2, 3)]),
        ([("a", 3), ("b", 1)], 5, None,              [("a", 1, 3), ("b", 0, 1)]),
        ([("a", 1), ("a", 2)], 0, None,              [("a", 0, 3)]),
        # The fuller of two shards that have them all: others for whoever begins elsewhere.
        ([("a", 3)],           1, {"a": [9, 2, 3, 9]}, [("a", 0, 3)]),
        ([("a", 3)],           4, {"a": [9, 2, 3, 8]}, [("a", 2, 3)]),
        ([("a", 3)],           5, {"a": [9, 2, 3, 8]}, [("a", 3, 3)]),
        ([("a", 3)],           2, {"a": [9, 2, 3, 0]}, [("a", 0, 3)]),
        ([("a", 3)],           3, {"a": [9, 2, 3, 0]}, [("a", 2, 3)]),
        ([("a", 3)],           3, {"a": [9, 2, 2, 0]}, [("a", 0, 3)]),
        # Else the fullest ones.
        ([("a", 5)],           0, {"a": [1, 4, 0, 3]}, [("a", 1, 4), ("a", 3, 1)]),
        ([("a", 8)],           0, {"a": [1, 4, 0, 3]}, [("a", 1, 4), ("a", 3, 3), ("a", 0, 1)]),
        # What is not counted is not drawn.
        ([("c", 99)],          0, None,              []),
    ],
)  # fmt: skip
def test_units_come_from_one_shard_if_they_can(
    lines: list[tuple[str, int]],
    start: int,
    left: dict[str, Sequence[int]] | None,
    taken: list[tuple[str, int, int]],
) -> None:
    assert drawn(lines, start, left) == taken


@pytest.mark.parametrize(("units", "left"), [(1, [0, 0, 0, 0]), (9, [1, 4, 0, 3]), (3, [1, 0, 0, 1])])
def test_what_is_not_there_is_sold_out(units: int, left: list[int]) -> None:
    with refused(Reason.SOLD_OUT, sku="a"):
        drawn([("a", units)], 0, {"a": left})


@given(st.lists(st.integers(0, 5), min_size=4, max_size=4), st.integers(1, 20), st.integers(0, 100))
def test_what_is_drawn_is_what_was_ordered_and_no_shard_gives_more_than_it_has(
    left: list[int], units: int, start: int
) -> None:
    try:
        taken = draw_units([Ordered("a", units)], COUNTED, start, {"a": left}, T0)
    except Refused:
        assert sum(left) < units
        return
    given_by = Counter({one.shard: one.units for one in taken})
    assert given_by.total() == units
    assert len(given_by) == len(taken)
    assert all(0 < given_by[shard] <= left[shard] for shard in given_by)
    assert {type(one) for one in taken} == {TakenStock}


# --- Units kept for priority passes ---

OPENS = T0 + HOUR
KEEPING = offer_of(TWO, opens_at=OPENS, stock=(Stock("a", 40, 2, 20, 2), Stock("b", 2, 1, 2, 1)))
EVERYBODYS = OPENS + 24 * HOUR


@pytest.mark.parametrize(
    ("start", "left", "at", "with_pass", "taken"),
    [
        # Passes draw from the reserve first, then as everybody; before a sale opens as well as after.
        (0, None,                   T0,             True,  [("a", 2, 1)]),
        (1, None,                   T0,             True,  [("a", 3, 1)]),
        (0, {"a": [9, 9, 1, 0]},    T0,             True,  [("a", 2, 1)]),
        (0, {"a": [9, 9, 0, 1]},    EVERYBODYS - 1, True,  [("a", 3, 1)]),
        (0, {"a": [9, 9, 0, 0]},    EVERYBODYS - 1, True,  [("a", 0, 1)]),
        (1, {"a": [9, 9, 0, 0]},    EVERYBODYS,     True,  [("a", 1, 1)]),
        (0, {"a": [0, 0, 0, 0]},    OPENS,          True,  None),
        # Everybody else never does before the reserve is theirs.
        (0, None,                   OPENS,          False, [("a", 0, 1)]),
        (3, None,                   OPENS,          False, [("a", 1, 1)]),
        (0, {"a": [0, 1, 9, 9]},    EVERYBODYS - 1, False, [("a", 1, 1)]),
        (0, {"a": [0, 0, 9, 9]},    EVERYBODYS - 1, False, None),
        (0, {"a": [0, 0, 9, 0]},    EVERYBODYS,     False, [("a", 2, 1)]),
        (3, None,                   EVERYBODYS,     False, [("a", 3, 1)]),
        (0, {"a": [0, 0, 0, 0]},    EVERYBODYS,     False, None),
    ],
)  # fmt: skip
def test_a_pass_draws_from_the_reserve_first_and_others_only_when_it_is_theirs(
    start: int,
    left: dict[str, Sequence[int]] | None,
    at: int,
    with_pass: bool,
    taken: list[tuple[str, int, int]] | None,
) -> None:
    if taken is None:
        with refused(Reason.SOLD_OUT, sku="a"):
            draw_units([Ordered("a", 1)], KEEPING, start, left, at, with_pass=with_pass)
        return
    found = draw_units([Ordered("a", 1)], KEEPING, start, left, at, with_pass=with_pass)
    assert [(one.sku, one.shard, one.units) for one in found] == taken


@pytest.mark.parametrize(
    ("at", "with_pass", "shard"), [(OPENS, True, 1), (EVERYBODYS - 1, False, None), (EVERYBODYS, False, 1)]
)
def test_a_reserve_that_is_everything_is_sold_to_passes_alone_for_a_day(
    at: int, with_pass: bool, shard: int | None
) -> None:
    left = {"b": [0, 2]}
    if shard is None:
        with refused(Reason.SOLD_OUT, sku="b"):
            draw_units([Ordered("b", 1)], KEEPING, 0, left, at, with_pass=with_pass)
        return
    assert draw_units([Ordered("b", 1)], KEEPING, 0, left, at, with_pass=with_pass) == (TakenStock("b", shard, 1),)


@given(
    st.lists(st.integers(0, 5), min_size=4, max_size=4),
    st.integers(1, 12),
    st.integers(0, 100),
    st.sampled_from([T0, OPENS, EVERYBODYS - 1, EVERYBODYS]),
    st.booleans(),
)
def test_whoever_orders_gets_what_is_there_for_them_and_no_more(
    left: list[int], units: int, start: int, at: int, with_pass: bool
) -> None:
    theirs = left if with_pass or at >= EVERYBODYS else left[:2]
    try:
        taken = draw_units([Ordered("a", units)], KEEPING, start, {"a": left}, at, with_pass=with_pass)
    except Refused:
        assert sum(theirs) < units
        return
    assert sum(one.units for one in taken) == units
    assert all(one.shard < len(theirs) and one.units <= left[one.shard] for one in taken)


def test_a_change_of_what_a_pass_bought_keeps_the_unit_from_the_reserve() -> None:
    held = (TakenStock("a", 3, 1),)
    assert draw_units([Ordered("a", 1)], KEEPING, 0, {"a": [9, 9, 9, 0]}, OPENS, held, with_pass=True) == held
    assert draw_units([Ordered("b", 1)], KEEPING, 0, {"b": [2, 2]}, OPENS, held, with_pass=True) == (
        TakenStock("b", 1, 1),
    )


HELD = (TakenStock("a", 2, 2), TakenStock("a", 0, 1), TakenStock("b", 0, 1))


@pytest.mark.parametrize(
    ("lines", "left", "then"),
    [
        # What is held stays where it came from, as far as it is still wanted.
        ([("a", 3), ("b", 1)], None,                  [("a", 2, 2), ("a", 0, 1), ("b", 0, 1)]),
        ([("a", 3)],           None,                  [("a", 2, 2), ("a", 0, 1)]),
        ([("a", 1)],           None,                  [("a", 2, 1)]),
        ([("b", 1)],           None,                  [("b", 0, 1)]),
        ([("c", 5)],           None,                  []),
        # More comes from where there is some, and one shard is one entry.
        ([("a", 5)],           None,                  [("a", 2, 2), ("a", 0, 1), ("a", 1, 2)]),
        ([("a", 5)],           {"a": [0, 0, 9, 0]},   [("a", 2, 4), ("a", 0, 1)]),
        ([("a", 6)],           {"a": [2, 0, 1, 0]},   [("a", 2, 3), ("a", 0, 3)]),
    ],
)  # fmt: skip
def test_a_change_keeps_the_units_it_has_and_takes_only_what_is_new(
    lines: list[tuple[str, int]], left: dict[str, Sequence[int]] | None, then: list[tuple[str, int, int]]
) -> None:
    assert drawn(lines, 1, left, HELD) == then


def test_what_is_new_has_to_be_there() -> None:
    assert drawn([("a", 4)], 0, {"a": [1, 0, 0, 0]}, HELD) == [("a", 2, 2), ("a", 0, 2)]
    with refused(Reason.SOLD_OUT, sku="a"):
        drawn([("a", 5)], 0, {"a": [1, 0, 0, 0]}, HELD)


def thin(shards: int) -> Offer:
    return offer_of(TWO, stock=(Stock("a", shards, shards), Stock("b", 2, 1)))


def test_a_write_touches_only_so_many_shelves_those_it_leaves_included() -> None:
    one_each = {"a": [1] * 40}
    assert len(draw_units([Ordered("a", MAX_DRAWS)], thin(40), 0, one_each, T0)) == MAX_DRAWS
    with refused(Reason.SOLD_OUT, sku="a"):
        draw_units([Ordered("a", MAX_DRAWS + 1)], thin(40), 0, one_each, T0)
    left_behind = [TakenStock("b", 0, 1)]
    assert len(draw_units([Ordered("a", MAX_DRAWS - 1)], thin(40), 0, one_each, T0, left_behind)) == MAX_DRAWS - 1
    with refused(Reason.SOLD_OUT, sku="a"):
        draw_units([Ordered("a", MAX_DRAWS)], thin(40), 0, one_each, T0, left_behind)


@given(
    st.lists(st.integers(0, 5), min_size=4, max_size=4),
    st.lists(st.integers(0, 5), min_size=4, max_size=4),
    st.integers(1, 20),
    st.integers(0, 100),
)
def test_a_change_never_takes_more_than_there_is_nor_gives_back_more_than_it_has(
    left: list[int], held: list[int], units: int, start: int
) -> None:
    before = [TakenStock("a", shard, units) for shard, units in enumerate(held) if units]
    try:
        taken = draw_units([Ordered("a", units)], COUNTED, start, {"a": left}, T0, before)
    except Refused:
        assert sum(left) + sum(held) < units
        return
    now = Counter({one.shard: one.units for one in taken})
    assert (now.total(), len(now)) == (units, len(taken))
    for shard in range(4):
        assert 0 <= now[shard] <= held[shard] + left[shard]
    if units >= sum(held):
        assert all(now[shard] >= held[shard] for shard in range(4)), "what is held is kept first"


# --- What a step does to the shelves ---


def holding(stock: Sequence[TakenStock], sold: Sequence[TakenStock] = ()) -> Deposit:
    return replace(ordered(TWO, ("a", 4)).deposit, stock=tuple(stock), sold=tuple(sold))


A0, A1, A2 = TakenStock("a", 0, 1), TakenStock("a", 1, 2), TakenStock("a", 2, 3)

MOVES: list[tuple[Deposit | None, Deposit, list[StockDelta]]] = [
    # before                   after                        shelves: left, live, sold
    (None,                     holding([]),                 []),
    (None,                     holding([A0, A1]),           [StockDelta("a", 0, -1, 1, 0), StockDelta("a", 1, -2, 2, 0)]),
    (holding([A0, A1]),        holding([A0, A1]),           []),
    (holding([A0, A1]),        holding([A1, A2]),           [StockDelta("a", 2, -3, 3, 0), StockDelta("a", 0, 1, -1, 0)]),
    (holding([A1]),            holding([TakenStock("a", 1, 1)]), [StockDelta("a", 1, 1, -1, 0)]),
    (holding([A0, A1]),        holding([]),                 [StockDelta("a", 0, 1, -1, 0), StockDelta("a", 1, 2, -2, 0)]),
    (holding([A1]),            holding([], [A1]),           [StockDelta("a", 1, 0, -2, 2)]),
    (holding([A1, A2]),        holding([], [TakenStock("a", 1, 1)]), [StockDelta("a", 1, 1, -2, 1), StockDelta("a", 2, 3, -3, 0)]),
    (holding([], [A1]),        holding([], [A1]),           []),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "moved"), MOVES)
def test_a_step_takes_gives_back_or_sells(before: Deposit | None, after: Deposit, moved: list[StockDelta]) -> None:
    found = stock_deltas(before, after)
    assert sorted(found, key=lambda one: one.shard) == sorted(moved, key=lambda one: one.shard)
    assert all(one.left + one.live + one.sold == 0 for one in found)


def test_along_a_life_units_are_taken_kept_sold_or_given_back() -> None:
    """Of three units one is shipped, then the buyer leaves."""
    taken = (TakenStock("a", 3, 2), TakenStock("a", 1, 1))
    created = replace(placed(TWO, ("a", 3)), stock=taken)
    story = Story(TWO, begin_deposit(DEPOSIT_ID, created))
    assert stock_deltas(None, story.deposit) == (StockDelta("a", 3, -2, 2, 0), StockDelta("a", 1, -1, 1, 0))
    before = story.deposit
    story.pay()
    story.write(LATER)
    story.ask(BALANCE_BY_CARD, LATER)
    story.pay(at=LATER)
    story.ask(story.ship((1, 1)), LATER)
    assert stock_deltas(before, story.deposit) == ()
    before = story.deposit
    story.ask(CANCEL, LATER)
    assert stock_deltas(before, story.deposit) == (StockDelta("a", 3, 1, -2, 1), StockDelta("a", 1, 1, -1, 0))


def test_nothing_due_is_no_order() -> None:
    """Prices are above zero, so is what is due."""
    assert placed(TWO, ("b", 1)).due_now > Money.zero("CNY")
