"""After the lock: goods that are ready, the balance that falls due, shipments, the two words on arrival, a default."""

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR, MINUTE, SECOND, parse_instant
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deadlines import due_at, overdue
from chalicelib.core.decide import MAX_EVENTS, actions, decide
from chalicelib.core.delivery.fulfilment import (
    MAX_INSPECTION_AHEAD_MS,
    DeclareDefault,
    Deliver,
    PayBalance,
    Ready,
    Receive,
    Ship,
)
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import Cancelled, Completed
from chalicelib.core.deposit.events.goods import GoodsDelivered, GoodsReceived, GoodsShipped, Units
from chalicelib.core.deposit.events.order import TakenStock
from chalicelib.core.deposit.events.payment import BalanceOverdue, BalancePaid, PaymentNotCounted, PaymentSucceeded
from chalicelib.core.deposit.events.refund import RefundLine
from chalicelib.core.deposit.fold import evolve, fold
from chalicelib.core.deposit.status import FINAL, Status
from chalicelib.core.ending import entitlement, withdrawal_right
from chalicelib.core.ending.end import Cancel
from chalicelib.core.ending.withdrawal import StateWithdrawal
from chalicelib.core.locking.lock import Unlock
from chalicelib.core.paying.provider_answers import CaptureSeen, PaymentSeen
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding.destination import SendRefund
from chalicelib.core.selling import stock as stocks
from chalicelib.core.selling.offer import Stock
from tests.core.stories import (
    BALANCE_BY_CARD,
    CANCEL,
    CONFIRM_WITHDRAWAL,
    DEPOSIT_ID,
    END,
    FOUNDERS,
    GRACE,
    INTENT,
    LATER,
    LOCKED,
    NEVER,
    PAID,
    SENDER,
    STATE,
    T0,
    UNDO,
    UNLOCK,
    Story,
    cancelled,
    completed,
    final,
    locked,
    money,
    offer_of,
    ordered,
    paid,
    refused,
    settled,
)
from tests.core.test_changes import FULL, PRICES, SHOP, TENT, shop, to
from tests.scope import examples

FILE = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "fulfilment.toml").read_text("utf-8"))
DUE, LEAVING = FILE["due"], FILE["leaving"]
DEFAULT, RECEIVE = DeclareDefault(), Receive()
PHOTO = ("photo:1",)
TWO_LINES = (TENT, ("lamp", 1))
NOTHING = Money.zero("CNY")


def deliver(*units: tuple[int, int], delivered_at: int, evidence: tuple[str, ...] = PHOTO) -> Deliver:
    return Deliver(tuple(Units(*one) for one in units), delivered_at, evidence)


def told_by(case: dict[str, Any]) -> Terms:
    """The offer of a case."""
    balance = {"due_within": case.get("within", "P7D"), "cure": case.get("cure", "P7D")}
    payment = {"take": "full", "nature": "advance"} if case.get("take") == "full" else dict[str, Any]()
    return shop(balance=balance, **({"payment": payment} if payment else {}))


# --- When all of it begins: the lock is final ---

GATED: list[tuple[str, str, str, Callable[[Story], Any]]] = [
    ("merchant", "ready",            "goods.ready",     lambda story: story.ready()),
    ("merchant", "shipments",        "goods.shipped",   lambda story: story.ship((1, 1))),
    ("buyer",    "balance-payments", "balance.opened",  lambda _story: BALANCE_BY_CARD),
]  # fmt: skip


def made(name: str, under_full: Callable[[Terms], Story]) -> Story:
    """Two tents: paid in full for a shipment, with a balance for the rest."""
    return under_full(FULL if name == "shipments" else SHOP)


@pytest.mark.parametrize(("role", "name", "does", "command"), GATED, ids=[name for _, name, *_ in GATED])
@pytest.mark.parametrize(
    ("start", "edge"),
    [
        (lambda under: paid(under, ("tent", 2)),   END),
        (lambda under: locked(under, ("tent", 2)), LOCKED + HOUR),
    ],
    ids=["by the end of the window", "by the buyer, with an hour to undo it"],
)  # fmt: skip
@pytest.mark.parametrize("written", [False, True])
def test_everything_waits_for_a_lock_that_is_final(
    start: Callable[[Terms], Story],
    edge: int,
    written: bool,
    role: str,
    name: str,
    does: str,
    command: Callable[[Story], Any],
) -> None:
    for at, said in ((edge - 1, "wrong-state"), (edge, does), (edge + 1, does)):
        story = made(name, start)
        if written:
            story.write(at)
        assert (name in actions(story.deposit, role, at, story.terms)) is (said == does)
        assert story.said(command(story), at) == said


@pytest.mark.parametrize("at", [PAID, UNDO - 1])
def test_production_waits_for_the_end_of_the_undo(at: int) -> None:
    story = paid(FOUNDERS)
    with refused(Reason.WRONG_STATE, state="locked", final_at=UNDO):
        story.ask(story.ready(), at)
    assert story.said(story.ready(), UNDO) == "goods.ready"


def test_who_undoes_the_lock_stops_production_until_it_is_locked_again() -> None:
    story = paid(FOUNDERS)
    story.ask(UNLOCK, UNDO - 1)
    with refused(Reason.WRONG_STATE, state="cooling_off"):
        story.ask(story.ready(), UNDO - 1)
    assert story.said(story.ready(), UNDO) == "goods.ready"


@pytest.mark.parametrize(
    ("start", "at", "state"),
    [
        (lambda: ordered(SHOP),         T0,    "awaiting_payment"),
        (lambda: ordered(SHOP),         LATER, "expired"),
        (lambda: paid(NEVER),           LATER, "cooling_off"),
        (lambda: cancelled(SHOP),       LATER, "cancelled"),
        (lambda: completed(SHOP, TENT), LATER, "completed"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("what", ["ready", "ship", "default"])
def test_nothing_is_made_ready_or_shipped_or_defaulted_on_in_another_status(
    start: Callable[[], Story], at: int, state: str, what: str
) -> None:
    story = start()
    assert not {"ready", "shipments", "buyer-default"} & {*actions(story.deposit, "merchant", at, story.terms)}
    commands: dict[str, Command] = {"ready": story.ready(), "ship": Ship((Units(1, 1),)), "default": DEFAULT}
    with refused(Reason.WRONG_STATE, state=state):
        story.ask(commands[what], at)


# --- Ready, and the balance that falls due ---


@pytest.mark.parametrize("case", DUE, ids=[case["name"] for case in DUE])
def test_the_balance_falls_due_when_the_case_says(case: dict[str, Any]) -> None:
    story = final(told_by(case), *case["ordered"].items())
    for word in case["said"]:
        story.ask(Ready(tuple(word["lines"]), parse_instant(word["inspect_at"]), PHOTO), parse_instant(word["asked"]))
    deposit = story.deposit
    due, cured = (parse_instant(case[name]) if name in case else None for name in ("due", "cured"))
    assert (deposit.balance_due_at, deposit.cure_until) == (due, cured)
    assert deposit.status is Status.LOCKED


def test_names_of_cases_are_unique() -> None:
    for cases in (DUE, LEAVING):
        assert len({case["name"] for case in cases}) == len(cases)


def test_a_line_is_ready_once() -> None:
    story = final(SHOP, *TWO_LINES)
    story.ask(story.ready(1), LATER)
    with refused(Reason.WRONG_STATE, state="locked", line=1):
        story.ask(story.ready(1), LATER + 1)
    with refused(Reason.WRONG_STATE, state="locked", line=1):
        story.ask(story.ready(2, 1), LATER + 1)
    assert story.said(story.ready(2), LATER + 1) == "goods.ready"
    assert "ready" not in actions(story.deposit, "merchant", LATER + 1, SHOP)
    with refused(Reason.WRONG_STATE, state="locked"):
        story.ask(story.ready(2), LATER + 2)


def test_a_line_that_was_ready_is_not_so_later_because_another_is() -> None:
    story = final(SHOP, *TWO_LINES)
    story.ask(story.ready(1, inspect_at=LATER + DAY), LATER)
    story.ask(story.ready(2, inspect_at=LATER), LATER + 9 * DAY)
    assert [line.ready_at for line in story.deposit.progress] == [LATER + DAY, LATER + 9 * DAY]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ((0,),      ("/lines/0", "unknown_line")),
        ((3,),      ("/lines/0", "unknown_line")),
        ((1, 3),    ("/lines/1", "unknown_line")),
        ((1, 1),    ("/lines/1", "duplicate")),
        ((2, 1, 2), ("/lines/2", "duplicate")),
    ],
)  # fmt: skip
def test_every_line_is_one_of_the_order_and_named_once(lines: tuple[int, ...], fault: tuple[str, str]) -> None:
    story = final(SHOP, *TWO_LINES)
    with refused(Reason.INVALID_REQUEST, fault):
        story.ask(Ready(lines, LATER, PHOTO), LATER)
    pointer, why = fault
    with refused(Reason.INVALID_REQUEST, (f"{pointer}/line", why)):
        story.ask(Ship(tuple(Units(line, 1) for line in lines)), LATER)
    with refused(Reason.INVALID_REQUEST, (f"{pointer}/line", why)):
        story.ask(deliver(*((line, 1) for line in lines), delivered_at=LATER), LATER)


def test_a_word_that_costs_the_buyer_something_needs_evidence() -> None:
    story = final(SHOP, TENT)
    with refused(Reason.EVIDENCE_REQUIRED, ("/evidence", "missing")):
        story.ask(Ready((1,), LATER, ()), LATER)
    with refused(Reason.EVIDENCE_REQUIRED, ("/evidence", "missing")):
        story.ask(deliver((1, 1), delivered_at=LATER, evidence=()), LATER)


@pytest.mark.parametrize(
    ("ahead", "said"), [(MAX_INSPECTION_AHEAD_MS, "goods.ready"), (MAX_INSPECTION_AHEAD_MS + 1, "invalid-request")]
)
def test_an_inspection_is_within_two_years(ahead: int, said: str) -> None:
    story = final(SHOP, TENT)
    assert story.said(story.ready(inspect_at=LATER + ahead), LATER) == said
    assert MAX_INSPECTION_AHEAD_MS == 2 * 365 * DAY


def test_nothing_falls_due_once_it_is_paid() -> None:
    story = settled(SHOP, TENT)
    story.ask(story.ready(), LATER)
    assert (story.deposit.balance_due_at, story.deposit.cure_until) == (None, None)


# --- Overdue, and a default after one notice ---


def ready_at(inspect_at: int = LATER) -> tuple[Story, int, int]:
    """A balance that is due: the deposit, when, and until when a delay can be cured."""
    story = final(SHOP, TENT)
    story.ask(story.ready(inspect_at=inspect_at), LATER)
    return story, LATER + 7 * DAY, LATER + 14 * DAY


def test_the_notice_is_written_when_the_balance_is_due_and_once() -> None:
    story, due, cured = ready_at()
    assert not overdue(story.deposit, due - 1, due - 1)
    assert overdue(story.deposit, due, 0) == (BalanceOverdue(due, cured),)
    story.write(due + DAY)
    assert [event.at for event in story.events if isinstance(event, BalanceOverdue)] == [due]
    assert not overdue(story.deposit, cured + DAY, cured + DAY)
    assert story.deposit.status is Status.LOCKED


def test_who_has_paid_gets_no_notice() -> None:
    story, due, _ = ready_at()
    story.ask(BALANCE_BY_CARD, due - 2)
    story.pay(at=due - 1)
    assert not overdue(story.deposit, due + DAY, due + DAY)


@pytest.mark.parametrize("written", [False, True])
def test_a_default_waits_until_the_time_to_cure_it_is_over(written: bool) -> None:
    cured = ready_at()[2]
    for at, said in ((cured - 1, False), (cured, True), (cured + 30 * DAY, True)):
        story, _, _ = ready_at()
        if written:
            story.write(at)
        assert ("buyer-default" in actions(story.deposit, "merchant", at, SHOP)) is said
        expected = "deposit.cancelled refund.approved" if said else "wrong-state"
        assert story.said(DEFAULT, at) == expected


def test_a_refused_default_says_until_when_the_buyer_may_pay() -> None:
    story, due, cured = ready_at()
    for at in (LATER, due - 1, due, cured - 1):
        with refused(Reason.WRONG_STATE, state="locked", cure_until=cured):
            story.ask(DEFAULT, at)


def test_goods_that_are_not_ready_cannot_be_defaulted_on() -> None:
    nothing, half = final(SHOP, TENT), final(SHOP, *TWO_LINES)
    half.ask(half.ready(1), LATER)
    for story in (nothing, half):
        assert "buyer-default" not in actions(story.deposit, "merchant", LATER + 365 * DAY, SHOP)
        with refused(Reason.WRONG_STATE, state="locked", cure_until=None):
            story.ask(DEFAULT, LATER + 365 * DAY)


def test_who_pays_at_the_last_moment_is_in_no_default() -> None:
    story, _, cured = ready_at()
    story.ask(BALANCE_BY_CARD, cured - 1)
    story.pay(at=cured + DAY)
    assert "buyer-default" not in actions(story.deposit, "merchant", cured + DAY, SHOP)
    with refused(Reason.WRONG_STATE, state="locked", cure_until=cured):
        story.ask(DEFAULT, cured + DAY)


def test_nothing_is_lost_by_the_clock_alone() -> None:
    story, _, cured = ready_at()
    story.write(cured + 365 * DAY)
    assert story.deposit.status is Status.LOCKED
    assert not story.deposit.money.forfeited


def test_the_merchant_cannot_declare_it_twice() -> None:
    story, _, cured = ready_at()
    story.ask(DEFAULT, cured)
    assert story.said(DEFAULT, cured) == "wrong-state"


# --- What leaving costs then ---


LEAVES: dict[str, Command] = {"buyer_default": DEFAULT, "buyer_cancel": CANCEL, "withdrawal": CONFIRM_WITHDRAWAL}


def left(case: dict[str, Any]) -> tuple[Story, int]:
    """The deposit of a case, and when it is left."""
    start = settled if case.get("settled") else final
    story, at = start(told_by(case), *case["ordered"].items()), LATER + 60 * DAY
    lines = {line.sku: n for n, line in enumerate(story.deposit.lines, start=1)}
    if "shipped" in case:
        story.ask(story.ship(*((lines[sku], units) for sku, units in case["shipped"].items())), LATER)
    if case["cause"] == "buyer_default":
        story.ask(story.ready(inspect_at=LATER), LATER)
    if case["cause"] == "withdrawal":
        story.ask(STATE, at)
    return story, at


@pytest.mark.parametrize("case", LEAVING, ids=[case["name"] for case in LEAVING])
def test_leaving_costs_what_the_case_says(case: dict[str, Any]) -> None:
    story, at = left(case)
    story.ask(LEAVES[case["cause"]], at)
    deposit = story.deposit
    sources = {"cap_1": "deposit", "cap_2": "balance"}
    assert [(sources[refund.capture], str(refund.amount)) for refund in deposit.refunds] == list(case["back"].items())
    assert {refund.cause for refund in deposit.refunds} == {case["cause"]}
    assert deposit.money.forfeited == money(case.get("forfeited", "0 CNY"))
    assert deposit.money.held == money(case.get("kept", "0 CNY"))
    for one in deposit.refunds:
        assert sum(line.amount.minor for line in one.lines) == one.amount.minor
    ended = [event for event in story.events if isinstance(event, Cancelled)]
    assert [event.cause for event in ended] == [case["cause"]]


@pytest.mark.parametrize("case", LEAVING, ids=[case["name"] for case in LEAVING])
def test_a_default_costs_what_a_cancel_costs_and_not_a_fen_more(case: dict[str, Any]) -> None:
    story, at = left(case)
    if case["cause"] == "withdrawal":
        return
    causes = ("buyer_cancel", "buyer_default")
    one, other = (entitlement.compute_entitlement(story.deposit, story.terms, Cause(cause), at) for cause in causes)
    assert one == other


def test_a_refund_of_each_capture_tells_its_own_share() -> None:
    story = settled(SHOP, ("tent", 2))
    story.ask(story.ship((1, 1)), LATER)
    shown = entitlement.compute_entitlement(story.deposit, SHOP, Cause.BUYER_CANCEL, LATER)
    assert shown.lines == (
        RefundLine(LineCode.PAID, money("2030 CNY")),
        RefundLine(LineCode.FORFEITED, -money("200 CNY"), "CN-2026/earnest_cap"),
        RefundLine(LineCode.GOODS_KEPT, -money("1000 CNY"), "terms/goods_kept"),
    )
    story.ask(CANCEL, LATER)
    assert story.refund.lines == (
        RefundLine(LineCode.PAID, money("1600 CNY")),
        RefundLine(LineCode.GOODS_KEPT, -money("770 CNY"), "terms/goods_kept"),
    )


def test_the_refund_that_is_shown_is_the_deposits_own() -> None:
    story = settled(SHOP, TENT)
    story.ask(CANCEL, LATER)
    assert [refund.capture for refund in story.deposit.refunds] == ["cap_2", "cap_1"]
    assert story.refund.capture == "cap_1"


def test_what_was_paid_for_goods_that_came_is_floored() -> None:
    """Of 800 yuan 50 are the three mugs' share; a third of that is 16.66, and the rest of a fen goes back."""
    story = final(SHOP, ("boat", 1), ("mug", 3))
    story.tell(GoodsShipped(LATER, (Units(2, 1),)))
    owed = entitlement.compute_entitlement(story.deposit, SHOP, Cause.MERCHANT_CANCEL, LATER)
    assert owed.lines[1:] == (RefundLine(LineCode.GOODS_KEPT, -money("16.66 CNY"), "terms/goods_kept"),)
    assert owed.amount == money("813.34 CNY")


UNITS_ORDERED = st.lists(st.tuples(st.sampled_from(sorted(PRICES)), st.integers(1, 4)), min_size=1, max_size=3)


@settings(max_examples=examples(150))
@given(st.sampled_from([SHOP, FULL]), UNITS_ORDERED, st.booleans(), st.data())
def test_whatever_was_paid_and_sent_no_capture_gives_back_more_than_it_took(
    under: Terms, items: list[tuple[str, int]], overpaid: bool, data: st.DataObject
) -> None:
    story = settled(under, *items)
    units = tuple((n, data.draw(st.integers(0, line.quantity))) for n, line in enumerate(story.deposit.lines, start=1))
    if overpaid:
        story.pay("7 CNY", LATER)
    sent = tuple(one for one in units if one[1])
    if sent:
        story.ask(story.ship(*sent), LATER)
    cause = "withdrawal" if story.deposit.status is Status.COMPLETED else data.draw(st.sampled_from(["buyer_cancel", "merchant_cancel", "withdrawal"]))  # fmt: skip
    owed = entitlement.compute_entitlement(story.deposit, under, Cause(cause), LATER)
    for leg in owed.legs:
        took = next(capture.amount for capture in story.deposit.counted_captures if capture.capture == leg.capture)
        assert NOTHING <= leg.amount <= took
    kept = sum((line.unit_price * one.shipped for line, one in zip(story.deposit.lines, story.deposit.progress, strict=True)), NOTHING)  # fmt: skip
    kept = NOTHING if cause == "withdrawal" else kept
    assert owed.amount + owed.forfeited + kept == story.deposit.total
    assert owed.forfeited <= entitlement.compute_stake(story.deposit, under)


# --- Shipments ---


def test_goods_leave_only_when_everything_is_paid() -> None:
    story = final(SHOP, TENT)
    assert "shipments" not in actions(story.deposit, "merchant", LATER, SHOP)
    with refused(Reason.WRONG_STATE, state="locked", balance=money("800 CNY")):
        story.ask(story.ship(), LATER)
    story.ask(BALANCE_BY_CARD, LATER)
    assert story.said(story.ship(), LATER) == "wrong-state"
    story.pay(at=LATER)
    assert story.said(story.ship(), LATER) == "goods.shipped deposit.completed"


def test_the_last_unit_of_the_last_line_completes_it() -> None:
    story = settled(SHOP, ("tent", 2), ("lamp", 1))
    assert story.said(story.ship((1, 1)), LATER) == "goods.shipped"
    assert story.said(story.ship((2, 1)), LATER) == "goods.shipped"
    assert status_at(story.deposit, LATER) is Status.LOCKED
    assert story.said(story.ship((1, 1)), LATER + DAY) == "goods.shipped deposit.completed"
    assert story.deposit.status is Status.COMPLETED
    assert [line.shipped for line in story.deposit.progress] == [2, 1]
    assert isinstance(story.events[-1], Completed)


def test_no_more_leaves_than_is_left() -> None:
    story = settled(SHOP, ("tent", 3))
    story.ask(story.ship((1, 2)), LATER)
    for units in (2, 3):
        with refused(Reason.WRONG_STATE, line=1, left=1):
            story.ask(story.ship((1, units)), LATER)
    assert story.said(story.ship((1, 1)), LATER) == "goods.shipped deposit.completed"


def test_a_line_that_is_gone_has_nothing_left() -> None:
    story = settled(SHOP, *TWO_LINES)
    story.ask(story.ship((2, 1)), LATER)
    with refused(Reason.WRONG_STATE, line=2, left=0):
        story.ask(story.ship((1, 1), (2, 1)), LATER)
    assert story.deposit.progress[0].shipped == 0


def test_more_than_was_ordered_is_pointed_at_whatever_the_state() -> None:
    for story in (settled(SHOP, *TWO_LINES), cancelled(SHOP)):
        units = len(story.deposit.lines)
        with refused(Reason.INVALID_REQUEST, (f"/lines/{units - 1}/quantity", "too_large")):
            story.ask(Ship((*(Units(n, 1) for n in range(1, units)), Units(units, 2))), LATER)


def test_nothing_is_no_shipment() -> None:
    story = settled(SHOP, TENT)
    with refused(Reason.WRONG_STATE, line=1, left=1):
        story.ask(Ship((Units(1, 0),)), LATER)


def test_goods_may_leave_without_having_been_inspected() -> None:
    assert settled(SHOP, TENT).said(Ship((Units(1, 1),)), LATER) == "goods.shipped deposit.completed"


def test_units_that_left_are_sold_when_it_ends_and_the_others_go_back() -> None:
    held = (TakenStock("tent", 0, 1), TakenStock("tent", 3, 2))
    story = settled(SHOP, ("tent", 3))
    story.deposit = replace(story.deposit, stock=held)
    story.ask(story.ship((1, 2)), LATER)
    before = story.deposit
    story.ask(CANCEL, LATER)
    moved = {one.shard: (one.left, one.live, one.sold) for one in stocks.stock_deltas(before, story.deposit)}
    assert moved == {0: (0, -1, 1), 3: (1, -2, 1)}


def test_a_completed_deposit_has_sold_everything_and_a_withdrawal_puts_nothing_back() -> None:
    story = settled(SHOP, TENT)
    story.deposit = replace(story.deposit, stock=(TakenStock("tent", 2, 1),))
    story.ask(story.ship(), LATER)
    assert (story.deposit.stock, story.deposit.sold) == ((), (TakenStock("tent", 2, 1),))
    before = story.deposit
    story.ask(STATE, LATER)
    story.ask(CONFIRM_WITHDRAWAL, LATER)
    assert stocks.stock_deltas(before, story.deposit) == ()


# --- The two words on arrival ---

SHIPPED_AT = LATER
ARRIVED = SHIPPED_AT + 3 * DAY  # by the merchant's word


def sent(*items: tuple[str, int]) -> Story:
    return completed(FULL, *items or (("tent", 3),), at=SHIPPED_AT)


def test_who_has_shipped_nothing_delivers_nothing() -> None:
    for story in (final(FULL, TENT), paid(FULL, TENT), ordered(FULL, TENT)):
        state = status_at(story.deposit, T0 if not story.deposit.paid else LATER).value
        at = T0 if not story.deposit.paid else LATER
        assert not {"deliveries"} & {*actions(story.deposit, "merchant", at, FULL)}
        assert not {"receipt"} & {*actions(story.deposit, "buyer", at, FULL)}
        for command in (deliver((1, 1), delivered_at=at), RECEIVE):
            with refused(Reason.WRONG_STATE, state=state):
                story.ask(command, at)


def test_a_cancelled_deposit_hears_no_words_any_more() -> None:
    story = final(FULL, ("tent", 2))
    story.ask(story.ship((1, 1)), SHIPPED_AT)
    story.ask(CANCEL, SHIPPED_AT)
    for command in (deliver((1, 1), delivered_at=ARRIVED), RECEIVE):
        with refused(Reason.WRONG_STATE, state="cancelled"):
            story.ask(command, ARRIVED)


@pytest.mark.parametrize(
    ("delivered_at", "why"),
    [
        (SHIPPED_AT - 1, "before_shipment"),
        (SHIPPED_AT,     None),
        (ARRIVED,        None),
        (ARRIVED + 1,    "not_after_now"),
    ],
)  # fmt: skip
def test_goods_arrive_after_they_left_and_not_tomorrow(delivered_at: int, why: str | None) -> None:
    story = sent()
    if why is None:
        assert story.said(deliver((1, 3), delivered_at=delivered_at), ARRIVED) == "goods.delivered"
        return
    with refused(Reason.INVALID_REQUEST, ("/delivered_at", why)):
        story.ask(deliver((1, 3), delivered_at=delivered_at), ARRIVED)


def test_the_first_parcel_may_be_told_of_after_the_second_left() -> None:
    story = final(FULL, ("tent", 2))
    story.ask(story.ship((1, 1)), SHIPPED_AT)
    story.ask(story.ship((1, 1)), SHIPPED_AT + 5 * DAY)
    assert story.said(deliver((1, 1), delivered_at=ARRIVED), SHIPPED_AT + 6 * DAY) == "goods.delivered"


def test_a_line_that_left_last_does_not_hold_up_the_word_on_another() -> None:
    story = final(FULL, *TWO_LINES)
    story.ask(story.ship((1, 1)), SHIPPED_AT)
    story.ask(story.ship((2, 1)), SHIPPED_AT + 5 * DAY)
    assert story.said(deliver((1, 1), delivered_at=ARRIVED), SHIPPED_AT + 6 * DAY) == "goods.delivered"


def test_a_line_without_a_quantity_is_all_that_is_on_its_way() -> None:
    story = final(FULL, ("tent", 3))
    story.ask(story.ship((1, 2)), SHIPPED_AT)
    (event,) = story.ask(deliver((1, 0), delivered_at=SHIPPED_AT), ARRIVED)
    assert isinstance(event, GoodsDelivered)
    assert event.lines == (Units(1, 2),)
    story.ask(story.ship((1, 1)), ARRIVED)
    (rest,) = story.ask(deliver((1, 0), delivered_at=ARRIVED), ARRIVED)
    assert isinstance(rest, GoodsDelivered)
    assert rest.lines == (Units(1, 1),)


def test_no_more_arrives_than_left() -> None:
    story = final(FULL, ("tent", 3), ("lamp", 1))
    story.ask(story.ship((1, 2)), SHIPPED_AT)
    with refused(Reason.WRONG_STATE, line=1, left=2):
        story.ask(deliver((1, 3), delivered_at=ARRIVED), ARRIVED)
    with refused(Reason.WRONG_STATE, line=2, left=0):
        story.ask(deliver((2, 0), delivered_at=ARRIVED), ARRIVED)
    story.ask(deliver((1, 1), delivered_at=ARRIVED), ARRIVED)
    with refused(Reason.WRONG_STATE, line=1, left=1):
        story.ask(deliver((1, 2), delivered_at=ARRIVED), ARRIVED)
    story.ask(deliver((1, 1), delivered_at=ARRIVED), ARRIVED)
    assert "deliveries" not in actions(story.deposit, "merchant", ARRIVED, FULL)
    with refused(Reason.WRONG_STATE, state="locked"):
        story.ask(deliver((1, 1), delivered_at=ARRIVED), ARRIVED)


def test_the_buyers_word_is_for_everything_that_left_so_far_and_said_once() -> None:
    story = final(FULL, ("tent", 3), ("lamp", 1))
    story.ask(story.ship((1, 2)), SHIPPED_AT)
    (first,) = story.ask(RECEIVE, ARRIVED)
    assert first == GoodsReceived(ARRIVED, (Units(1, 2),), withdrawal_right.count_period_end(ARRIVED, FULL.policy))
    assert "receipt" not in actions(story.deposit, "buyer", ARRIVED, FULL)
    with refused(Reason.WRONG_STATE, state="locked"):
        story.ask(RECEIVE, ARRIVED)
    story.ask(story.ship(), ARRIVED)
    (second,) = story.ask(RECEIVE, ARRIVED + DAY)
    ends_at = withdrawal_right.count_period_end(ARRIVED + DAY, FULL.policy)
    assert second == GoodsReceived(ARRIVED + DAY, (Units(1, 1), Units(2, 1)), ends_at)
    with refused(Reason.WRONG_STATE, state="completed"):
        story.ask(RECEIVE, ARRIVED + DAY)


Word = tuple[str, int, int, int]  # whose, line, units, and when the goods arrived by that word


@pytest.mark.parametrize(
    ("words", "arrived"),
    [
        ([],                                                              None),
        ([("merchant", 1, 3, 3)],                                         3),
        ([("buyer", 1, 3, 4)],                                            4),
        ([("merchant", 1, 3, 3), ("buyer", 1, 3, 4)],                     4),
        ([("merchant", 1, 3, 5), ("buyer", 1, 3, 4)],                     5),
        # A word on a part of the line is not yet one on the line.
        ([("merchant", 1, 2, 3)],                                         None),
        ([("merchant", 1, 2, 9), ("buyer", 1, 3, 4)],                     4),
        ([("merchant", 1, 2, 3), ("merchant", 1, 1, 6)],                  6),
        ([("merchant", 1, 2, 6), ("merchant", 1, 1, 3)],                  6),
        ([("merchant", 1, 2, 3), ("merchant", 1, 1, 6), ("buyer", 1, 3, 5)], 6),
        ([("merchant", 1, 2, 3), ("merchant", 1, 1, 4), ("buyer", 1, 3, 5)], 5),
    ],
)  # fmt: skip
def test_goods_arrived_by_the_later_of_the_two_words_in_whatever_order_they_are_said(
    words: list[Word], arrived: int | None
) -> None:
    """Days after the shipment."""
    for order in permutations(words):
        story = sent()
        for who, line, units, day in order:
            say(story, who, line, units, SHIPPED_AT + day * DAY)
        assert story.deposit.arrived_at == (SHIPPED_AT + arrived * DAY if arrived is not None else None)


def say(story: Story, who: str, line: int, units: int, arrived_at: int) -> None:
    """The buyer's word is about today; the merchant may tell it weeks later."""
    if who == "buyer":
        story.tell(GoodsReceived(arrived_at, (Units(line, units),)))
    else:
        story.ask(deliver((line, units), delivered_at=arrived_at), SHIPPED_AT + 30 * DAY)


TWO_WORDS: list[Word] = [("merchant", 1, 2, 3), ("merchant", 2, 1, 8), ("buyer", 1, 2, 5), ("buyer", 2, 1, 6)]


@pytest.mark.parametrize("order", list(permutations(TWO_WORDS)), ids=str)
def test_the_period_waits_for_the_last_line(order: tuple[Word, ...]) -> None:
    story = sent(("tent", 2), ("lamp", 1))
    heard: set[int] = set()
    for n, (who, line, units, day) in enumerate(order, start=1):
        say(story, who, line, units, SHIPPED_AT + day * DAY)
        heard.add(line)
        latest = max(day for _, _, _, day in order[:n])
        assert story.deposit.arrived_at == (SHIPPED_AT + latest * DAY if heard == {1, 2} else None)
    assert story.deposit.arrived_at == SHIPPED_AT + 8 * DAY


def test_goods_that_are_still_to_leave_have_not_arrived() -> None:
    story = final(FULL, ("tent", 2))
    story.ask(story.ship((1, 1)), SHIPPED_AT)
    story.ask(deliver((1, 0), delivered_at=ARRIVED), ARRIVED)
    story.ask(RECEIVE, ARRIVED)
    assert story.deposit.arrived_at is None


# --- Too many events ---


def test_a_long_journal_takes_no_more_of_what_can_wait_but_ends_as_ever() -> None:
    story, _, cured = ready_at()
    story.deposit = replace(story.deposit, version=MAX_EVENTS)
    for command in (story.ready(), BALANCE_BY_CARD):
        with refused(Reason.RATE_LIMITED, most=MAX_EVENTS):
            story.ask(command, cured)
    assert story.said(DEFAULT, cured) == "deposit.cancelled refund.approved"


def test_a_long_journal_takes_the_shipment_and_the_delivery_that_leave_nothing_open() -> None:
    story = final(FULL, ("tent", 3))
    story.ask(story.ship((1, 1)), SHIPPED_AT)
    story.deposit = replace(story.deposit, version=MAX_EVENTS)
    for command in (story.ship((1, 1)), deliver((1, 2), delivered_at=ARRIVED)):
        with refused(Reason.RATE_LIMITED, most=MAX_EVENTS):
            story.ask(command, ARRIVED)
    assert story.said(story.ship((1, 2)), SHIPPED_AT) == "goods.shipped deposit.completed"
    assert story.said(deliver((1, 0), delivered_at=ARRIVED), ARRIVED) == "goods.delivered"


# --- Histories that nobody thought of ---

SHELVED = {"tent": (8, 4), "boat": (4, 2)}
SHELVES = offer_of(SHOP, stock=tuple(Stock(sku, units, shards) for sku, (units, shards) in SHELVED.items()))
UNDER = [SHOP, FULL, shop(limits={"per_buyer": 4}), shop(lock={"undo": None})]
PAUSES = st.sampled_from([0, SECOND, MINUTE, HOUR, DAY, 7 * DAY])
LAGS = st.sampled_from([0, 0, 1, SECOND])
UNITS = st.integers(0, 3)


class AnyLife(RuleBasedStateMachine):
    """Whatever merchant, buyer and provider do after an order, in whatever order, a little late or not at all."""

    story: Story
    now: int
    shelves: Counter[tuple[str, int, str]]

    @initialize(
        under=st.sampled_from(UNDER),
        items=st.lists(st.tuples(st.sampled_from(["tent", "boat", "mug"]), st.integers(1, 2)), min_size=1, max_size=2),
        far=st.sampled_from(["ordered", "paid", "at the end", "final", "settled"]),
    )
    def begin(self, under: Terms, items: list[tuple[str, int]], far: str) -> None:
        self.now = T0
        self.story = ordered(under, *items)
        self.shelves = Counter(
            {
                (sku, shard, "left"): units // shards
                for sku, (units, shards) in SHELVED.items()
                for shard in range(shards)
            }
        )
        stock = stocks.draw_units(to(*items).items, SHELVES, 0, self.left(), self.now)
        created = self.story.deposit.created
        self.story = Story(under, fold(DEPOSIT_ID, [replace(created, stock=stock)]), [replace(created, stock=stock)])
        self.move(None)
        self.tell(overdue(self.story.deposit, self.now, self.now))
        if far != "ordered":
            self.do(self.story.captured(at=T0))
        self.now = {"at the end": T0 + 168 * HOUR, "final": LATER, "settled": LATER}.get(far, T0)
        if far == "settled":
            self.do(BALANCE_BY_CARD)
            if self.story.deposit.payment.kind == "balance":
                self.do(self.story.captured(at=self.now))

    # What happens

    @rule(pause=PAUSES)
    def time_passes(self, pause: int) -> None:
        self.now += pause

    @rule(offset=st.sampled_from([-1, 0, 1]))
    def it_gets_close_to_what_is_due(self, offset: int) -> None:
        due = due_at(self.story.deposit, GRACE)
        if due is not None and due + offset > self.now:
            self.now = due + offset

    @rule(
        command=st.sampled_from([CANCEL, UNLOCK, INTENT, BALANCE_BY_CARD, RECEIVE, STATE, CONFIRM_WITHDRAWAL]), lag=LAGS
    )
    def the_buyer_asks(self, command: Command, lag: int) -> None:
        self.do(command, lag)

    @rule(lag=LAGS)
    def the_buyer_locks(self, lag: int) -> None:
        if self.story.deposit.intents:
            self.do(self.story.confirm(), lag)

    @rule(
        items=st.lists(st.tuples(st.sampled_from(["tent", "boat", "mug"]), st.integers(1, 3)), min_size=1, max_size=2),
        lag=LAGS,
    )
    def the_buyer_changes(self, items: list[tuple[str, int]], lag: int) -> None:
        wanted = to(*items)
        try:
            stock = stocks.draw_units(wanted.items, SHELVES, self.now, self.left(), self.now, self.story.deposit.stock)
        except Refused:
            return
        self.do(replace(wanted, stock=stock), lag)

    @rule(line=st.integers(1, 2), early=st.sampled_from([-DAY, 0, DAY]), lag=LAGS)
    def goods_get_ready(self, line: int, early: int, lag: int) -> None:
        self.do(Ready((line,), self.now + early, PHOTO), lag)

    @rule(
        units=st.tuples(UNITS, UNITS),
        what=st.sampled_from(["ship", "deliver"]),
        ago=st.sampled_from([0, DAY]),
        lag=LAGS,
    )
    def goods_move(self, units: tuple[int, int], what: str, ago: int, lag: int) -> None:
        lines = tuple(Units(n, some) for n, some in enumerate(units, start=1) if some or what == "deliver")
        known = tuple(line for line in lines if line.line <= len(self.story.deposit.lines))
        if known:
            self.do(Ship(known) if what == "ship" else Deliver(known, self.now - ago, PHOTO), lag)

    @rule(lag=LAGS)
    def everything_leaves(self, lag: int) -> None:
        self.do(self.story.ship(), lag)

    @rule(lag=LAGS)
    def the_merchant_declares_a_default(self, lag: int) -> None:
        self.do(DEFAULT, lag)

    @rule(kind=st.sampled_from(["due", "due", "less", "more", "foreign"]), data=st.data())
    def money_is_captured(self, kind: str, data: st.DataObject) -> None:
        n = data.draw(st.integers(1, len(self.story.deposit.payments)))
        due, fen = self.story.deposit.payments[n - 1].amount, Money(1, "CNY")
        amount = {"less": due - fen, "more": due + fen, "foreign": Money(due.minor, "USD")}.get(kind, due)
        ref = f"cap_{len(self.story.deposit.captures) + 1}"
        self.do(PaymentSeen(n, "succeeded", (CaptureSeen(ref, amount, self.now),)))

    @rule()
    def a_job_sends_refunds(self) -> None:
        for refund in self.story.deposit.refunds:
            self.do(SendRefund(refund.n))

    def do(self, command: Command, lag: int = 0) -> None:
        """As ``flows.commit``: what is overdue is written, then it is decided at the instant of asking."""
        at = self.now - lag
        self.tell(overdue(self.story.deposit, at, at - GRACE))
        try:
            decided = decide(self.story.deposit, command, at, self.story.terms)
        except Refused:
            return
        self.tell(decided)

    def tell(self, events: Iterable[DepositEvent]) -> None:
        before = self.story.deposit
        self.story.tell(*events)
        self.move(before)

    def move(self, before: Deposit | None) -> None:
        for one in stocks.stock_deltas(before, self.story.deposit):
            for where, units in (("left", one.left), ("live", one.live), ("sold", one.sold)):
                self.shelves[one.sku, one.shard, where] += units

    def left(self) -> dict[str, list[int]]:
        return {
            sku: [self.shelves[sku, shard, "left"] for shard in range(shards)] for sku, (_, shards) in SHELVED.items()
        }

    # What holds

    @invariant()
    def no_unit_is_lost_and_none_is_there_twice(self) -> None:
        deposit = self.story.deposit
        assert min(self.shelves.values()) >= 0
        for sku, (units, _) in SHELVED.items():
            assert sum(n for (name, *_), n in self.shelves.items() if name == sku) == units
            held = sum(line.quantity for line in deposit.lines if line.sku == sku)
            gone = sum(
                one.shipped for line, one in zip(deposit.lines, deposit.progress, strict=True) if line.sku == sku
            )
            live, sold = (
                sum(n for (name, _, kind), n in self.shelves.items() if (name, kind) == (sku, where))
                for where in ("live", "sold")
            )
            assert (live, sold) == ((0, gone) if deposit.status in FINAL else (held, 0))

    @invariant()
    def no_more_moves_than_was_ordered(self) -> None:
        for line, one in zip(self.story.deposit.lines, self.story.deposit.progress, strict=True):
            assert 0 <= one.shipped <= line.quantity
            assert 0 <= one.delivered <= one.shipped
            assert 0 <= one.received <= one.shipped
        told = Counter(
            unit.line for event in self.story.events if isinstance(event, GoodsShipped) for unit in event.lines
            for _ in range(unit.quantity)
        )  # fmt: skip
        assert told == Counter({n: one.shipped for n, one in enumerate(self.story.deposit.progress, start=1)})

    @invariant()
    def every_fen_is_somewhere(self) -> None:
        deposit, events = self.story.deposit, self.story.events
        came = [event for event in events if isinstance(event, PaymentSucceeded | BalancePaid | PaymentNotCounted)]
        ours = [event.amount for event in came if event.amount.currency == "CNY"]
        assert deposit.money.captured == sum(ours, NOTHING)
        back = [refund.amount for refund in deposit.refunds if refund.amount.currency == "CNY"]
        assert deposit.money.refunding + deposit.money.refunded == sum(back, NOTHING)
        lost = [event.forfeited for event in events if isinstance(event, Cancelled)]
        assert deposit.money.forfeited == sum(lost, NOTHING)
        if deposit.status is not Status.CANCELLED and deposit.paid is not None:
            assert deposit.money.held == deposit.amount_paid
            assert deposit.money.held + deposit.balance == deposit.total

    @invariant()
    def no_capture_gives_back_more_than_it_took(self) -> None:
        took = {event.capture: event.amount for event in self.story.events if isinstance(event, PaymentSucceeded | BalancePaid | PaymentNotCounted)}  # fmt: skip
        for capture, amount in took.items():
            back = [refund.amount for refund in self.story.deposit.refunds if refund.capture == capture]
            assert sum(back, Money.zero(amount.currency)) <= amount

    @invariant()
    def what_makes_a_balance_due_is_not_unsaid(self) -> None:
        deposit = self.story.deposit
        if deposit.balance_due_at is not None:
            assert all(progress.ready_at is not None for progress in deposit.progress)

    @invariant()
    def goods_leave_only_when_they_are_paid(self) -> None:
        deposit = self.story.deposit
        if any(progress.shipped for progress in deposit.progress) and deposit.status is not Status.CANCELLED:
            assert not deposit.balance
        if deposit.status is Status.COMPLETED:
            assert all(one.shipped == line.quantity for line, one in zip(deposit.lines, deposit.progress, strict=True))

    @invariant()
    def what_is_kept_of_an_ended_deposit_is_what_came(self) -> None:
        deposit = self.story.deposit
        if deposit.status is not Status.CANCELLED:
            return
        ended = next(event for event in self.story.events if isinstance(event, Cancelled))
        shipped = zip(deposit.lines, deposit.progress, strict=True)
        kept = sum((line.unit_price * one.shipped for line, one in shipped), NOTHING)
        assert deposit.money.held == (kept if ended.rule not in FREE_RULES else NOTHING)

    @invariant()
    def the_actions_are_what_is_accepted(self) -> None:
        deposit = self.story.deposit
        for event in overdue(deposit, self.now, self.now):
            deposit = evolve(deposit, event)
        names: dict[tuple[str, str], Command] = {
            ("buyer", "cancel"): Cancel(),
            ("buyer", "balance-payments"): PayBalance("card"),
            ("buyer", "receipt"): Receive(),
            ("buyer", "unlock"): Unlock(),
            ("buyer", "withdrawals"): StateWithdrawal(SENDER),
            ("buyer", "changes"): to(("mug", 1)),
            ("merchant", "buyer-default"): DEFAULT,
        }
        for (role, name), command in names.items():
            assert (name in actions(deposit, role, self.now, self.story.terms)) is self.accepts(deposit, command), name

    def accepts(self, deposit: Deposit, command: Command) -> bool:
        try:
            return bool(decide(deposit, command, self.now, self.story.terms))
        except Refused:
            return False

    @invariant()
    def the_journal_tells_the_same_deposit_again(self) -> None:
        assert fold(DEPOSIT_ID, self.story.events) == self.story.deposit


FREE_RULES = {"terms/withdrawal", "terms/window", "terms/undo", "terms/unpaid"}
AnyLife.TestCase.settings = settings(max_examples=examples(80), stateful_step_count=25, deadline=None)
TestAnyLife = AnyLife.TestCase
