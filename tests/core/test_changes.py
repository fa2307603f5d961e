"""Changes of configuration: what they cost or give back, when they are refused, and what they take from the shelves."""

import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, MINUTE, SECOND
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason
from chalicelib.core.decide import actions
from chalicelib.core.deposit.causes import SENT_BACK, Cause, LineCode
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.events.lock import LockedByWindowEnd
from chalicelib.core.deposit.events.order import ItemsChanged, TakenStock
from chalicelib.core.deposit.events.refund import RefundApproved, RefundLine
from chalicelib.core.deposit.status import Status
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling import stock
from chalicelib.core.selling.changes import MAX_CHANGES, ChangeItems
from chalicelib.core.selling.offer import Stock
from chalicelib.core.selling.ordering import Ordered
from chalicelib.core.selling.stock import MAX_DRAWS
from tests.core.stories import (
    ASKED,
    BALANCE_BY_CARD,
    CANCEL,
    END,
    FOUNDERS,
    INTENT,
    LATER,
    LOCKED,
    PAID,
    SEND,
    T0,
    UNDO,
    UNLOCK,
    Story,
    cancelled,
    completed,
    draft,
    final,
    locked,
    money,
    offer_of,
    ordered,
    paid,
    plain,
    refund_news,
    refused,
    wire,
)
from tests.scope import examples

CASES = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "changes.toml").read_text("utf-8"))["case"]
PRICES = {
    "tent": "1000 CNY",
    "boat": "1500 CNY",
    "lamp": "499.99 CNY",
    "stool": "200 CNY",
    "mug": "33.33 CNY",
    "button": "0.01 CNY",
}
MINUTES_LATER = PAID + 5 * MINUTE


def shop(**changes: Any) -> Terms:
    """The offer of the cases: a deposit of 200 yuan for each unit, unless changed."""
    items = [{"sku": sku, "name": sku.title(), "price": wire(price)} for sku, price in PRICES.items()]
    payment = {"deposit": wire("200 CNY"), "methods": ["card", "alipay"]}
    return draft(plain("recommended", **{"items": items, "payment": payment, "shipping": wire("30 CNY"), **changes}))


SHOP = shop()
FULL = shop(payment={"take": "full", "nature": "advance", "methods": ["card", "alipay"]})
TENT = ("tent", 1)


def to(*items: tuple[str, int], stock: Sequence[TakenStock] = ()) -> ChangeItems:
    return ChangeItems(tuple(Ordered(*item) for item in items), tuple(stock))


MUG, BOAT = to(("mug", 1)), to(("boat", 1))


def changed(under: Terms = SHOP, command: ChangeItems = BOAT, at: int = MINUTES_LATER) -> Story:
    story = paid(under, TENT)
    story.ask(command, at)
    return story


# --- What it costs, and what it gives back ---


def told(case: dict[str, Any]) -> Story:
    under = FULL if case.get("take") == "full" else SHOP
    story = ordered(under, *case["ordered"].items())
    story.pay(case.get("came"))
    story.ask(to(*case["wanted"].items()), MINUTES_LATER)
    return story


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_change_costs_and_gives_back_what_the_case_says(case: dict[str, Any]) -> None:
    story = told(case)
    deposit, nothing = story.deposit, "0 CNY"
    assert {line.sku: line.quantity for line in deposit.lines} == case["wanted"]
    assert deposit.balance == money(case.get("balance", nothing))
    assert deposit.shipping == money("30 CNY")
    given = [refund.amount for refund in deposit.refunds if refund.cause == "change"]
    assert given == ([money(case["refund"])] if "refund" in case else [])
    if given:
        assert deposit.money.held == money(case["kept"]) == deposit.total
    assert deposit.status is Status.COOLING_OFF


def test_names_of_cases_are_unique() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("came", "lines"),
    [
        ("230 CNY", [("paid", "230 CNY", None),                                      ("goods_kept", "63.33 CNY", "terms/change")]),
        ("250 CNY", [("paid", "250 CNY", None), ("already_refunded", "20 CNY", None), ("goods_kept", "63.33 CNY", "terms/change")]),
    ],
)  # fmt: skip
def test_the_lines_of_its_refund_tell_what_came_what_went_and_what_stays(
    came: str, lines: list[tuple[str, str, str | None]]
) -> None:
    story = ordered(SHOP, TENT)
    story.pay(came)
    story.ask(MUG, MINUTES_LATER)
    told_lines = [
        RefundLine(LineCode(code), money(amount) if code == "paid" else -money(amount), rule)
        for code, amount, rule in lines
    ]
    assert list(story.refund.lines) == told_lines
    assert sum(line.amount.minor for line in told_lines) == story.refund.amount.minor
    assert (story.refund.cause, story.refund.payment, story.refund.capture) == ("change", 1, "cap_1")


def test_its_refund_is_promised_like_every_other() -> None:
    story = changed(command=MUG)
    assert story.refund.promised_by == MINUTES_LATER + 7 * DAY


def test_prices_are_the_offers_frozen_ones() -> None:
    story = changed()
    assert [str(line.unit_price) for line in story.deposit.lines] == ["1500 CNY"]


LINES = st.lists(st.tuples(st.sampled_from(sorted(PRICES)), st.integers(1, 9)), min_size=1, max_size=4)


@settings(max_examples=examples(200))
@given(st.sampled_from([SHOP, FULL]), LINES, LINES)
def test_whatever_is_wanted_instead_nothing_is_lost_and_nothing_is_taken_twice(
    under: Terms, first: list[tuple[str, int]], second: list[tuple[str, int]]
) -> None:
    story = paid(under, *first)
    was_paid = story.deposit.paid_in
    story.ask(to(*second), MINUTES_LATER)
    deposit = story.deposit
    whole = sum((money(PRICES[sku]) * units for sku, units in second), money("30 CNY"))
    nothing = Money.zero("CNY")
    assert deposit.total == whole
    assert deposit.balance == max(whole - was_paid, nothing)
    assert deposit.money.refunding == max(was_paid - whole, nothing)
    assert deposit.money.held == min(was_paid, whole)
    assert deposit.paid_in == deposit.money.held


# --- What stays as it was ---


def test_the_window_goes_on_and_does_not_begin_again() -> None:
    story = paid(SHOP, TENT)
    before = story.deposit.window
    story.ask(BOAT, END - 1)
    assert story.deposit.window == before
    assert status_at(story.deposit, END) is Status.LOCKED


def test_a_window_without_an_end_has_none_after_a_change() -> None:
    story = paid(shop(lock={"at": "never"}), TENT)
    story.ask(BOAT, PAID + 30 * DAY)
    assert story.deposit.window is not None
    assert story.deposit.window.ends_at is None


def test_what_a_buyer_was_shown_before_a_change_cannot_be_confirmed_after_it() -> None:
    story = paid(SHOP, TENT)
    story.ask(INTENT, ASKED)
    old = story.confirm()
    story.ask(BOAT, ASKED + SECOND)
    with refused(Reason.TERMS_CHANGED):
        story.ask(old, LOCKED)
    assert "lock" not in actions(story.deposit, "buyer", LOCKED, story.terms)


def test_not_even_a_change_back_makes_it_good_again() -> None:
    story = paid(SHOP, TENT)
    story.ask(INTENT, ASKED)
    old = story.confirm()
    story.ask(BOAT, ASKED + SECOND)
    story.ask(to(TENT), ASKED + 2 * SECOND)
    with refused(Reason.TERMS_CHANGED):
        story.ask(old, LOCKED)


def test_a_new_look_after_the_change_locks_what_is_wanted_now() -> None:
    story = changed()
    story.ask(INTENT, ASKED)
    assert story.said(story.confirm(), LOCKED) == "lock.confirmed"


def test_the_deposit_that_can_be_kept_stays_the_one_that_was_taken() -> None:
    """200 yuan for the one tent that was ordered, though there are three now."""
    story = changed(command=to(("tent", 3))).write(END)
    story.ask(CANCEL, END)
    assert story.deposit.money.forfeited == money("200 CNY")
    assert story.refund.amount == money("30 CNY")


def test_what_can_be_kept_is_capped_by_the_goods_that_are_wanted_now() -> None:
    """A fifth of 499.99 yuan, floored to the fen."""
    story = changed(command=to(("lamp", 1))).write(END)
    story.ask(CANCEL, END)
    assert story.deposit.money.forfeited == money("99.99 CNY")
    assert story.refund.amount == money("130.01 CNY")


def test_a_cancel_after_a_change_gives_the_rest_back_and_nothing_twice() -> None:
    story = changed(command=MUG)
    story.ask(CANCEL, END - 1)
    assert story.refund.lines == (
        RefundLine(LineCode.PAID, money("230 CNY")),
        RefundLine(LineCode.ALREADY_REFUNDED, -money("166.67 CNY")),
    )
    assert not story.deposit.money.held


# --- When it is refused ---


def expired() -> Story:
    return ordered(SHOP, TENT).write(T0 + 30 * MINUTE)


def partly_shipped() -> Story:
    story = final(FULL, ("tent", 2))
    story.ask(story.ship((1, 1)), LATER)
    return story


REFUSED_IN: dict[str, tuple[Callable[[], Story], int, str]] = {
    "before it is paid":           (lambda: ordered(SHOP, TENT), T0, "awaiting_payment"),
    "when payment is overdue":     (lambda: ordered(SHOP, TENT), T0 + 30 * MINUTE, "expired"),
    "when it expired":             (expired, T0 + 31 * MINUTE, "expired"),
    "when the window is over":     (lambda: paid(SHOP, TENT), END, "locked"),
    "when its end is written":     (lambda: paid(SHOP, TENT).write(END), END, "locked"),
    "in the buyer's own lock":     (lambda: locked(SHOP, TENT), LOCKED, "locked"),
    "in a lock at payment":        (lambda: paid(FOUNDERS), PAID, "locked"),
    "when goods are on their way": (partly_shipped, LATER, "locked"),
    "when it is completed":        (lambda: completed(SHOP, TENT), LATER, "completed"),
    "when it is cancelled":        (lambda: cancelled(SHOP), PAID + DAY, "cancelled"),
}  # fmt: skip


@pytest.mark.parametrize("when", REFUSED_IN)
def test_there_is_nothing_to_change(when: str) -> None:
    made, at, state = REFUSED_IN[when]
    story = made()
    assert "changes" not in actions(story.deposit, "buyer", at, story.terms)
    with refused(Reason.WRONG_STATE, state=state):
        story.ask(to((story.terms.items[0].sku, 1)), at)


def test_every_status_in_which_it_is_refused_is_tried() -> None:
    assert {state for _, _, state in REFUSED_IN.values()} == {*Status} - {Status.COOLING_OFF}


@pytest.mark.parametrize(
    ("at", "said"),
    [(PAID, "items.changed"), (END - 1, "items.changed"), (END, "wrong-state"), (END + 1, "wrong-state")],
)
def test_the_last_millisecond_of_the_window_is_inside(at: int, said: str) -> None:
    story = paid(SHOP, TENT)
    assert ("changes" in actions(story.deposit, "buyer", at, SHOP)) is (said == "items.changed")
    assert story.said(BOAT, at) == said


@pytest.mark.parametrize("at", [LOCKED - 1, LOCKED, LOCKED + 1])
def test_a_lock_that_was_written_stands_though_the_change_was_asked_before_it(at: int) -> None:
    story = locked(SHOP, TENT)
    with refused(Reason.WRONG_STATE, state="locked"):
        story.ask(BOAT, at)


def test_a_change_asked_inside_the_window_is_made_although_its_end_was_written_first() -> None:
    story = paid(SHOP, TENT).write(END)
    assert LockedByWindowEnd.TYPE == story.events[-1].TYPE
    assert story.said(BOAT, END - 1) == "items.changed"
    assert status_at(story.deposit, END) is Status.LOCKED
    assert story.deposit.balance == money("1300 CNY")


def test_goods_that_are_ready_are_not_changed_any_more_however_early_that_was_asked() -> None:
    story = paid(SHOP, TENT).write(END)
    story.ask(story.ready(), END)
    assert story.said(BOAT, END - 1) == "wrong-state"


def test_goods_that_left_are_not_changed_any_more_however_early_that_was_asked() -> None:
    story = paid(FULL, ("tent", 2)).write(END)
    story.ask(story.ship((1, 1)), END)
    assert story.said(to(("tent", 1)), END - 1) == "wrong-state"
    assert story.deposit.progress[0].shipped == 1


def test_an_order_whose_balance_is_being_paid_is_not_changed_however_early_that_was_asked() -> None:
    story = paid(SHOP, TENT).write(END)
    story.ask(BALANCE_BY_CARD, END)
    assert story.said(BOAT, END - 1) == "wrong-state"


def test_after_an_undo_within_the_window_it_can_be_changed_again() -> None:
    story = locked(SHOP, TENT)
    story.ask(UNLOCK, LOCKED + MINUTE)
    assert story.said(BOAT, LOCKED + 2 * MINUTE) == "items.changed"


def test_after_an_undo_without_a_window_only_a_cancel_is_left() -> None:
    story = paid(FOUNDERS)
    story.ask(UNLOCK, PAID + MINUTE)
    assert "changes" not in actions(story.deposit, "buyer", PAID + MINUTE, FOUNDERS)
    for at in (PAID + MINUTE, UNDO - 1):
        with refused(Reason.WRONG_STATE, state="cooling_off", cancel_only=True):
            story.ask(to(("su7-max", 2)), at)
    with refused(Reason.WRONG_STATE, state="locked"):
        story.ask(to(("su7-max", 2)), UNDO)


def test_after_an_undo_past_the_window_only_a_cancel_is_left() -> None:
    story = locked(SHOP, TENT, at=END - MINUTE)
    story.ask(UNLOCK, END)
    with refused(Reason.WRONG_STATE, state="cooling_off", cancel_only=True):
        story.ask(BOAT, END)


# --- While money goes back ---


@pytest.mark.parametrize("seen", [None, "unknown", "pending", "declined", "succeeded", "returned"])
def test_a_refund_of_a_former_change_that_is_not_settled_stands_in_the_way(seen: str | None) -> None:
    story = changed(command=MUG)
    if seen is not None:
        story.ask(SEND, MINUTES_LATER)
    if seen in {"pending", "declined", "succeeded", "returned"}:
        story.ask(refund_news(story, seen, MINUTES_LATER), MINUTES_LATER)
    assert "changes" not in actions(story.deposit, "buyer", MINUTES_LATER, SHOP)
    with refused(Reason.REFUND_IN_PROGRESS):
        story.ask(BOAT, MINUTES_LATER)


def test_what_has_gone_back_for_good_leaves_nothing_to_change() -> None:
    story = changed(command=MUG)
    story.ask(SEND, MINUTES_LATER)
    story.ask(refund_news(story, "succeeded", MINUTES_LATER, settled=True), MINUTES_LATER)
    assert "changes" not in actions(story.deposit, "buyer", MINUTES_LATER, SHOP)
    with refused(Reason.WRONG_STATE, state="cooling_off", refunded=True):
        story.ask(BOAT, MINUTES_LATER)


@pytest.mark.parametrize("cause", sorted(SENT_BACK))
@pytest.mark.parametrize("settled", [False, True])
def test_money_that_never_counted_stands_in_nobodys_way(cause: str, settled: bool) -> None:
    story = paid(SHOP, TENT)
    story.pay("1 CNY", MINUTES_LATER)
    story.deposit = replace(story.deposit, refunds=(replace(story.refund, cause=cause),))
    if settled:
        story.ask(SEND, MINUTES_LATER)
        story.ask(refund_news(story, "succeeded", MINUTES_LATER, settled=True), MINUTES_LATER)
    assert "changes" in actions(story.deposit, "buyer", MINUTES_LATER, SHOP)
    assert story.said(BOAT, MINUTES_LATER) == "items.changed"


@pytest.mark.parametrize("take", [SHOP, FULL])
def test_a_partial_refund_of_goodwill_stands_in_the_way(take: Terms) -> None:
    story = paid(take, TENT)
    goodwill = RefundApproved(
        PAID, 1, Cause.GOODWILL, money("1 CNY"), (RefundLine(LineCode.PAID, money("1 CNY")),), END, 1, "cap_1"
    )
    story.tell(goodwill)
    with refused(Reason.REFUND_IN_PROGRESS):
        story.ask(BOAT, MINUTES_LATER)


# --- How often, how much, of what ---


def test_twenty_changes_are_enough() -> None:
    story = paid(SHOP, TENT)
    for n in range(MAX_CHANGES):
        assert story.said(BOAT if n % 2 else to(TENT), MINUTES_LATER) == "items.changed"
    assert MAX_CHANGES == story.deposit.changes == 20
    assert "changes" not in actions(story.deposit, "buyer", MINUTES_LATER, SHOP)
    with refused(Reason.RATE_LIMITED, most=20):
        story.ask(BOAT, MINUTES_LATER)
    assert story.said(CANCEL, MINUTES_LATER) == "deposit.cancelled refund.approved"


def test_a_refused_change_is_not_counted() -> None:
    story = paid(SHOP, TENT)
    story.said(to(("canoe", 1)), MINUTES_LATER)
    assert story.deposit.changes == 0


@pytest.mark.parametrize(
    ("wanted", "faults"),
    [
        ([("canoe", 1)],                 [("/items/0/sku", "unknown_sku")]),
        ([TENT, ("canoe", 1)],           [("/items/1/sku", "unknown_sku")]),
        ([("canoe", 1), TENT, ("x", 2)], [("/items/0/sku", "unknown_sku"), ("/items/2/sku", "unknown_sku")]),
    ],
)  # fmt: skip
def test_unknown_goods_are_pointed_at(wanted: list[tuple[str, int]], faults: list[tuple[str, str]]) -> None:
    with refused(Reason.INVALID_REQUEST, *faults):
        paid(SHOP, TENT).ask(to(*wanted), MINUTES_LATER)


def test_fields_are_read_before_the_state() -> None:
    with refused(Reason.INVALID_REQUEST, ("/items/0/sku", "unknown_sku")):
        cancelled(SHOP).ask(to(("canoe", 1)), END)


def test_a_total_that_cannot_be_written_is_refused() -> None:
    items = [{"sku": "one", "name": "One", "price": wire("9999999999000 CNY")}]
    story = paid(shop(items=items, shipping=wire("999 CNY")))
    with refused(Reason.INVALID_REQUEST, ("/items", "too_large")):
        story.ask(to(("one", 2)), MINUTES_LATER)
    assert story.said(to(("one", 1)), MINUTES_LATER) == "items.changed"


LIMITED = shop(limits={"per_buyer": 3})


@pytest.mark.parametrize(
    ("wanted", "units"), [([("tent", 3)], 3), ([("tent", 2), ("mug", 1)], 3), ([("tent", 4)], None), ([("tent", 2), ("mug", 2)], None)]
)  # fmt: skip
def test_a_buyers_limit_holds_for_a_change_too(wanted: list[tuple[str, int]], units: int | None) -> None:
    story = paid(LIMITED, TENT)
    assert story.deposit.limit_units == 1
    if units is None:
        with refused(Reason.LIMIT_REACHED, per_buyer=3):
            story.ask(to(*wanted), MINUTES_LATER)
        return
    story.ask(to(*wanted), MINUTES_LATER)
    assert story.deposit.limit_units == units


def test_without_a_limit_no_units_are_counted() -> None:
    assert changed(command=to(("tent", 9))).deposit.limit_units == 0


# --- What it takes from the shelves ---

SHELVES = offer_of(SHOP, stock=(Stock("tent", 40, 4), Stock("boat", 4, 2)))


def holds(*taken: tuple[str, int, int]) -> tuple[TakenStock, ...]:
    return tuple(TakenStock(*one) for one in taken)


def drawn(
    wanted: list[tuple[str, int]],
    held: Sequence[TakenStock],
    left: Mapping[str, Sequence[int]] | None = None,
    start: int = 0,
) -> Counter[tuple[str, int]]:
    found = stock.draw([Ordered(*one) for one in wanted], SHELVES, start, left, T0, held)
    units = Counter({(one.sku, one.shard): one.units for one in found})
    assert len(units) == len(found), "one entry for each shard"
    return units


@pytest.mark.parametrize(
    ("held", "wanted", "left", "taken"),
    [
        # What is held is kept, wherever the draw would begin.
        ([("tent", 3, 1)],                 [("tent", 1)],              None,                {("tent", 3): 1}),
        ([("tent", 3, 1)],                 [("tent", 1)],              {"tent": [0] * 4},   {("tent", 3): 1}),
        # More is drawn beside it, from the same shard as one entry.
        ([("tent", 3, 1)],                 [("tent", 3)],              None,                {("tent", 3): 1, ("tent", 0): 2}),
        ([("tent", 0, 1)],                 [("tent", 3)],              None,                {("tent", 0): 3}),
        ([("tent", 3, 1)],                 [("tent", 3)],              {"tent": [1, 0, 1, 0]}, {("tent", 3): 1, ("tent", 0): 1, ("tent", 2): 1}),
        # Less gives the surplus back, the last one first.
        ([("tent", 1, 2), ("tent", 2, 2)], [("tent", 3)],              None,                {("tent", 1): 2, ("tent", 2): 1}),
        ([("tent", 1, 2), ("tent", 2, 2)], [("tent", 2)],              None,                {("tent", 1): 2}),
        # Another thing takes its own and gives the former back; what is not counted is not drawn.
        ([("tent", 3, 1)],                 [("boat", 1)],              None,                {("boat", 0): 1}),
        ([("tent", 3, 1)],                 [("mug", 5)],               None,                {}),
        ([("tent", 3, 1)],                 [("tent", 1), ("boat", 1)], None,                {("tent", 3): 1, ("boat", 0): 1}),
        # The same thing on two lines is one wish.
        ([("tent", 3, 1)],                 [("tent", 1), ("tent", 1)], None,                {("tent", 3): 1, ("tent", 0): 1}),
    ],
)  # fmt: skip
def test_what_is_held_is_kept_and_the_rest_drawn_or_given_back(
    held: list[tuple[str, int, int]],
    wanted: list[tuple[str, int]],
    left: dict[str, Sequence[int]] | None,
    taken: dict[tuple[str, int], int],
) -> None:
    assert drawn(wanted, holds(*held), left) == taken


def test_only_what_is_not_held_has_to_be_there() -> None:
    held = holds(("boat", 0, 3))
    assert drawn([("boat", 4)], held, {"boat": [0, 1]}) == {("boat", 0): 3, ("boat", 1): 1}
    with refused(Reason.SOLD_OUT, sku="boat"):
        drawn([("boat", 5)], held, {"boat": [0, 1]})


def test_what_would_touch_too_many_shards_is_sold_out() -> None:
    """A write takes so many items and no more; shards that are given back are touched, too."""
    wide = offer_of(SHOP, stock=(Stock("tent", 100, 50), Stock("boat", 4, 2)))
    held = tuple(TakenStock("tent", shard, 1) for shard in range(MAX_DRAWS))
    with refused(Reason.SOLD_OUT, sku="boat"):
        stock.draw([Ordered("boat", 1)], wide, 0, None, T0, held)
    assert stock.draw([Ordered("boat", 1)], wide, 0, None, T0, held[1:]) == (TakenStock("boat", 0, 1),)
    assert stock.draw([Ordered("tent", 1)], wide, 9, None, T0, held) == held[:1]


def test_a_change_moves_what_it_takes_and_what_it_gives_back() -> None:
    story = stocked(("tent", 3, 1))
    before = story.deposit
    story.ask(to(("boat", 2), stock=holds(("boat", 1, 2))), MINUTES_LATER)
    moved = {(one.sku, one.shard): (one.left, one.live, one.sold) for one in stock.stock_deltas(before, story.deposit)}
    assert moved == {("boat", 1): (-2, 2, 0), ("tent", 3): (1, -1, 0)}


def test_a_change_that_keeps_what_it_holds_moves_nothing() -> None:
    story = stocked(("tent", 3, 1))
    before = story.deposit
    story.ask(to(TENT, ("mug", 1), stock=holds(("tent", 3, 1))), MINUTES_LATER)
    assert stock.stock_deltas(before, story.deposit) == ()


def stocked(*taken: tuple[str, int, int]) -> Story:
    """A paid deposit that holds these units."""
    story = ordered(SHOP, TENT)
    story.deposit = replace(story.deposit, stock=holds(*taken))
    story.pay()
    return story


HELD = st.lists(st.tuples(st.sampled_from(["tent", "boat"]), st.integers(0, 1), st.integers(1, 5)), max_size=4)
LEFT = st.fixed_dictionaries({sku: st.lists(st.integers(0, 9), min_size=n, max_size=n) for sku, n in (("tent", 4), ("boat", 2))})  # fmt: skip


@settings(max_examples=examples(200))
@given(HELD, LEFT, LINES, st.integers(0, 9))
def test_a_draw_is_what_is_wanted_and_no_shard_gives_more_than_it_has(
    taken: list[tuple[str, int, int]], left: dict[str, list[int]], wanted: list[tuple[str, int]], start: int
) -> None:
    held = Counter({(sku, shard): units for sku, shard, units in taken})
    units = Counter[str]()
    for sku, quantity in wanted:
        units[sku] += quantity
    known = holds(*((sku, shard, held[sku, shard]) for sku, shard in held))
    for sku, shelf in left.items():
        if sum(shelf) + sum(n for (name, _), n in held.items() if name == sku) < units[sku]:
            with refused(Reason.SOLD_OUT, sku=short_of(units, held, left)):
                drawn(wanted, known, left, start)
            return
    found = drawn(wanted, known, left, start)
    for sku in ("tent", "boat"):
        assert sum(n for (name, _), n in found.items() if name == sku) == units[sku]
    for (sku, shard), n in found.items():
        assert n <= left[sku][shard] + held[sku, shard]
        assert n >= held[sku, shard] or units[sku] < sum(n for (name, _), n in held.items() if name == sku)


def short_of(units: Counter[str], held: Counter[tuple[str, int]], left: dict[str, list[int]]) -> str:
    """The first thing asked for of which there is not enough."""
    return next(
        sku
        for sku in units
        if sku in left and sum(left[sku]) + sum(n for (name, _), n in held.items() if name == sku) < units[sku]
    )


def test_a_change_is_an_event_that_says_all_that_is_held_from_now_on() -> None:
    story = paid(LIMITED, TENT)
    (event,) = story.ask(to(("boat", 2), stock=holds(("boat", 1, 2))), MINUTES_LATER)
    assert isinstance(event, ItemsChanged)
    assert (event.at, event.stock, event.limit_units) == (MINUTES_LATER, holds(("boat", 1, 2)), 2)
    assert event.shipping == money("30 CNY")
