"""The rest of the price: when and how it may be paid, and what becomes of everything that arrives for it."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deadlines import due_at, find_awaited_balance, next_due, overdue
from chalicelib.core.decide import actions
from chalicelib.core.delivery.fulfilment import DeclareDefault, PayBalance
from chalicelib.core.deposit.events.payment import BalanceOpened, BalancePaid
from chalicelib.core.deposit.payment import MAX_PAYMENTS, PaymentStatus, may_be_paid
from chalicelib.core.deposit.status import Status
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.paying.schedule import QUERY_DELAYS_MS
from tests.core.stories import (
    BALANCE_BY_CARD,
    CANCEL,
    END,
    FOUNDERS,
    GRACE,
    LATER,
    LOCKED,
    NEVER,
    PAID,
    PAY_BY_ALIPAY,
    T0,
    UNDO,
    UNLOCK,
    Story,
    cancelled,
    completed,
    final,
    locked,
    money,
    ordered,
    paid,
    refused,
    settled,
)
from tests.core.test_changes import FULL, SHOP, TENT, shop

CASES = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "fulfilment.toml").read_text("utf-8"))["arrives"]
BALANCE_BY_ALIPAY = PayBalance("alipay")
DEFAULT = DeclareDefault()
OPENED = LATER  # when the buyer of the cases says how the balance is paid


def asked_to_pay() -> Story:
    """The lock is final, 800 yuan are owed, and the buyer has said how they come."""
    story = final(SHOP, TENT)
    story.ask(BALANCE_BY_CARD, OPENED)
    return story


# --- What becomes of what arrives ---


def after(first: str) -> tuple[Story, int]:
    """The deposit of a case when the money is captured, and that instant."""
    story, at = asked_to_pay(), OPENED + DAY
    match first:
        case "replaced":
            story.ask(BALANCE_BY_ALIPAY, OPENED + HOUR)
        case "paid" | "shipped":
            story.pay(at=OPENED + HOUR)
        case "cancelled":
            story.ask(CANCEL, OPENED + HOUR)
        case "overdue" | "uncured" | "default":
            story.ask(story.ready(inspect_at=OPENED), OPENED)
            due, cured = story.deposit.balance_due_at, story.deposit.cure_until
            assert due is not None
            assert cured is not None
            at = due if first == "overdue" else cured
            story.write(at)
        case _:
            pass
    if first == "default":
        story.ask(DEFAULT, at)
    if first == "shipped":
        story.ask(story.ship(), OPENED + HOUR)
    return story, at


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_arrives_for_a_balance_does_what_the_case_says(case: dict[str, Any]) -> None:
    story, at = after(case.get("first", ""))
    before = story.deposit
    story.pay(case["amount"], at, payment=2, ref="cap_new")
    deposit = story.deposit
    assert len(deposit.counted_captures) == len(before.counted_captures) + case["counts"]
    assert ("cap_new" in {capture.capture for capture in deposit.counted_captures}) is case["counts"]
    if case["counts"]:
        assert not deposit.balance
        assert deposit.amount_paid == money("1030 CNY")
    else:
        assert (deposit.balance, deposit.amount_paid) == (before.balance, before.amount_paid)
    came_back = [
        (str(refund.amount), refund.cause, refund.capture) for refund in deposit.refunds[len(before.refunds) :]
    ]
    assert came_back == ([(case["back"], case["cause"], "cap_new")] if "back" in case else [])
    assert deposit.status is before.status
    counted = deposit.money.captured - before.money.captured
    assert counted == (money(case["amount"]) if case["amount"].endswith("CNY") else Money.zero("CNY"))


def test_names_of_cases_are_unique() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_the_same_capture_told_twice_is_one() -> None:
    story = asked_to_pay()
    news = story.captured(at=OPENED + MINUTE)
    assert story.said(news, OPENED + MINUTE) == "balance.paid"
    assert story.said(news, OPENED + DAY) == "nothing"


def test_too_little_and_then_exactly_what_is_due_pays() -> None:
    story = asked_to_pay()
    assert story.pay("799.99 CNY", OPENED + 1) == "payment.not_counted refund.approved"
    assert story.pay(at=OPENED + 2) == "balance.paid"
    assert story.deposit.money.held == story.deposit.total


def test_two_captures_of_one_payment_pay_once() -> None:
    story = asked_to_pay()
    one, other = story.captured(at=OPENED + 1), story.captured(at=OPENED + 2, ref="cap_other")
    both = replace(one, captures=(*one.captures, *other.captures))
    assert story.said(both, OPENED + 3) == "balance.paid payment.not_counted refund.approved"
    assert story.refund.cause == "duplicate_payment"


def test_the_deposit_taken_a_second_time_goes_back_also_while_the_balance_is_open() -> None:
    story = asked_to_pay()
    assert story.pay(at=OPENED + 1, payment=1) == "payment.not_counted refund.approved"
    assert (story.refund.cause, story.refund.amount) == ("duplicate_payment", money("230 CNY"))
    assert story.deposit.balance == money("800 CNY")


def test_the_provider_may_fail_and_succeed_after_all() -> None:
    story = asked_to_pay()
    assert story.said(PaymentSeen(2, "pending"), OPENED) == "payment.pending"
    assert story.said(PaymentSeen(2, "failed"), OPENED) == "payment.failed"
    assert story.pay(at=OPENED + 1) == "balance.paid"
    assert story.deposit.payment.status is PaymentStatus.SUCCEEDED


def test_it_is_paid_at_the_providers_instant_but_never_before_it_was_asked_for() -> None:
    for captured_at, paid_at in ((OPENED - 1, OPENED), (OPENED, OPENED), (OPENED + 1, OPENED + 1)):
        story = asked_to_pay()
        story.pay(at=captured_at, seen_at=OPENED + DAY)
        assert [event.at for event in story.events if isinstance(event, BalancePaid)] == [paid_at]


# --- When it may be paid ---


@pytest.mark.parametrize(
    ("made", "at", "said"),
    [
        (lambda: paid(SHOP, TENT),   END - 1,           "wrong-state"),
        (lambda: paid(SHOP, TENT),   END,               "balance.opened"),
        (lambda: locked(SHOP, TENT), LOCKED + HOUR - 1, "wrong-state"),
        (lambda: locked(SHOP, TENT), LOCKED + HOUR,     "balance.opened"),
        (lambda: paid(FOUNDERS),     UNDO - 1,          "wrong-state"),
        (lambda: paid(FOUNDERS),     UNDO,              "balance.opened"),
        (lambda: paid(NEVER),        LATER,             "wrong-state"),
        (lambda: ordered(SHOP),      T0,                "wrong-state"),
        (lambda: cancelled(SHOP),    LATER,             "wrong-state"),
        (lambda: completed(SHOP),    LATER,             "wrong-state"),
    ],
)  # fmt: skip
def test_the_balance_waits_for_a_lock_that_is_final(made: Callable[[], Story], at: int, said: str) -> None:
    story = made()
    assert ("balance-payments" in actions(story.deposit, "buyer", at, story.terms)) is (said == "balance.opened")
    assert story.said(BALANCE_BY_CARD, at) == said


def test_a_refusal_says_from_when_on_it_can_be_paid() -> None:
    with refused(Reason.WRONG_STATE, state="locked", final_at=UNDO):
        paid(FOUNDERS).ask(BALANCE_BY_CARD, UNDO - 1)
    with refused(Reason.WRONG_STATE, state="cooling_off"):
        paid(SHOP, TENT).ask(BALANCE_BY_CARD, END - 1)


@pytest.mark.parametrize(
    "made", [lambda: settled(SHOP, TENT), lambda: final(FULL, TENT), lambda: final(SHOP, ("mug", 1))]
)
def test_where_nothing_is_owed_nothing_can_be_paid(made: Callable[[], Story]) -> None:
    story = made()
    assert "balance-payments" not in actions(story.deposit, "buyer", LATER, story.terms)
    with refused(Reason.WRONG_STATE, state="locked", balance=money("0 CNY")):
        story.ask(BALANCE_BY_CARD, LATER)


def test_the_balance_may_be_paid_before_the_goods_are_ready_and_long_after_it_was_due() -> None:
    early, late = final(SHOP, TENT), final(SHOP, TENT)
    assert early.said(BALANCE_BY_CARD, LATER) == "balance.opened"
    late.ask(late.ready(inspect_at=LATER), LATER)
    assert late.said(BALANCE_BY_CARD, LATER + 30 * DAY) == "balance.opened"


def test_an_undone_lock_owes_nothing_yet() -> None:
    story = locked(SHOP, TENT)
    story.ask(UNLOCK, LOCKED + 1)
    assert story.said(BALANCE_BY_CARD, LOCKED + 1) == "wrong-state"


# --- How it is paid ---


def test_the_payment_is_of_the_whole_balance_by_the_buyers_own_choice() -> None:
    story = final(SHOP, TENT)
    (event,) = story.ask(BALANCE_BY_ALIPAY, LATER)
    assert event == BalanceOpened(LATER, "alipay", money("800 CNY"), LATER + 7 * DAY)
    latest = story.deposit.payment
    assert (latest.n, latest.kind, latest.method, str(latest.amount)) == (2, "balance", "alipay", "800 CNY")
    assert latest.status is PaymentStatus.REQUIRES_ACTION


@pytest.mark.parametrize("at", [PAID, LATER])
@pytest.mark.parametrize("method", ["gopay", "cash_on_delivery", "gold"])
def test_a_method_that_is_not_offered_is_pointed_at_whatever_the_state(at: int, method: str) -> None:
    with refused(Reason.PAYMENT_METHOD_NOT_OFFERED, ("/payment_method", "unknown_method")):
        paid(SHOP, TENT).ask(PayBalance(method), at)


def test_it_can_be_paid_at_least_until_a_delay_is_cured() -> None:
    for asked, due in ((LATER, LATER + 14 * DAY), (LATER + 7 * DAY + 1, LATER + 14 * DAY + 1)):
        story = final(SHOP, TENT)
        story.ask(story.ready(inspect_at=LATER), LATER)
        story.ask(BALANCE_BY_CARD, asked)
        assert story.deposit.payment.due_at == due


@pytest.mark.parametrize("seen", [None, "pending", "failed"])
def test_another_choice_replaces_a_payment_that_was_not_made(seen: Any) -> None:
    story = asked_to_pay()
    if seen is not None:
        story.ask(PaymentSeen(2, seen), OPENED)
    story.ask(BALANCE_BY_ALIPAY, OPENED + 1)
    statuses = [payment.status.value for payment in story.deposit.payments]
    assert statuses == ["succeeded", "replaced", "requires_action"]
    assert story.pay(at=OPENED + 2) == "balance.paid"


def test_the_deposits_own_payment_is_not_replaced() -> None:
    assert asked_to_pay().deposit.payments[0].status is PaymentStatus.SUCCEEDED


def test_the_method_of_the_deposit_is_not_changed_any_more() -> None:
    assert asked_to_pay().said(PAY_BY_ALIPAY, OPENED) == "wrong-state"


def test_twenty_payments_are_enough_however_many_of_them_paid_the_deposit() -> None:
    story = ordered(SHOP, TENT)
    for n in range(5):
        story.ask(PAY_BY_ALIPAY, T0 + n)
    story.pay()
    story.write(LATER)
    for n in range(MAX_PAYMENTS - 6):
        assert story.said(BALANCE_BY_CARD, LATER + n) == "balance.opened"
    assert MAX_PAYMENTS == len(story.deposit.payments) == 20
    assert "balance-payments" not in actions(story.deposit, "buyer", LATER + DAY, SHOP)
    with refused(Reason.RATE_LIMITED, most=20):
        story.ask(BALANCE_BY_CARD, LATER + DAY)
    assert story.pay(at=LATER + DAY) == "balance.paid"


# --- Looking for it, as an event of the provider may be lost ---


def test_a_balance_payment_that_may_arrive_is_looked_for() -> None:
    story = asked_to_pay()
    assert find_awaited_balance(story.deposit) == story.deposit.payment
    assert due_at(story.deposit, GRACE) == OPENED + QUERY_DELAYS_MS[0]
    looked_at = [OPENED]
    while looked_at[-1] < OPENED + 3 * DAY:
        following = next_due(story.deposit, looked_at[-1], GRACE)
        assert following is not None
        looked_at.append(following)
    assert looked_at[1:] == [OPENED + distance for distance in (*QUERY_DELAYS_MS, 2 * DAY, 3 * DAY)]


@pytest.mark.parametrize("first", ["paid", "shipped", "cancelled", "default"])
def test_what_needs_no_balance_any_more_is_not_looked_for(first: str) -> None:
    story, _ = after(first)
    assert find_awaited_balance(story.deposit) is None


def test_only_the_latest_balance_payment_may_be_paid() -> None:
    story = asked_to_pay()
    former = story.deposit.payment
    assert may_be_paid(story.deposit, former)
    assert not may_be_paid(story.deposit, story.deposit.payments[0])
    story.ask(BALANCE_BY_CARD, OPENED + 1)
    assert may_be_paid(story.deposit, story.deposit.payment)
    assert not may_be_paid(story.deposit, former)


@pytest.mark.parametrize("end", ["cancelled", "default"])
def test_the_balance_of_a_deposit_that_has_ended_may_not_be_paid(end: str) -> None:
    story, _ = after(end)
    assert not may_be_paid(story.deposit, story.deposit.payment)


def test_a_deposit_whose_goods_are_not_ready_waits_for_nothing() -> None:
    story = final(SHOP, TENT)
    assert due_at(story.deposit, GRACE) is None
    assert not overdue(story.deposit, LATER + 365 * DAY, LATER + 365 * DAY)
    assert story.deposit.status is Status.LOCKED


def test_a_payment_of_the_deposit_is_not_looked_for_here() -> None:
    assert find_awaited_balance(ordered(shop()).deposit) is None
