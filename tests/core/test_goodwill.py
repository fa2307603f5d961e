"""Goodwill: what a merchant may give back at any time, in which order it is refused, and what it never touches."""

from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.money import Money, total
from chalicelib.core.common.refusal import Reason
from chalicelib.core.decide import actions, decide
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.refund import RefundApproved, RefundLine
from chalicelib.core.refunding.goodwill import MAX_GRANTS, Grant
from tests.core.stories import (
    CANCEL,
    DUE,
    END,
    FOUNDERS,
    LATER,
    NO_WAY_BACK,
    PAID,
    SEND,
    SU7,
    T0,
    Story,
    cancelled,
    completed,
    final,
    locked,
    money,
    ordered,
    paid,
    refund_news,
    refused,
    settled,
)
from tests.core.test_changes import SHOP, TENT

ASKED: Final = LATER + HOUR


def tent() -> Story:
    """Paid in two: 230 yuan with the order, 30 of them for shipping, and the other 800 later."""
    return settled(SHOP, TENT)


def partly_shipped() -> Story:
    """One of two tents is with the buyer."""
    story = settled(SHOP, ("tent", 2))
    story.ask(story.ship((1, 1)), LATER)
    return story


def ended_with_one_tent() -> Story:
    story = partly_shipped()
    story.ask(CANCEL, LATER)
    return story


def forfeited() -> Story:
    story = final()
    story.ask(CANCEL, LATER)
    return story


def disputed(capture: str) -> Callable[[], Story]:
    """The bank has not decided yet about a part of what the tent was paid with."""

    def made() -> Story:
        story = tent()
        story.dispute("open", LATER, "10 CNY", capture=capture)
        return story

    return made


def generous(times: int) -> Story:
    story = paid()
    for _ in range(times):
        assert story.grant("1 CNY", PAID) == "refund.approved"
    return story


def given_back(story: Story) -> list[str]:
    return [f"{refund.amount} of {refund.capture}" for refund in story.deposit.refunds]


# --- What may be given, and what is refused ---

WHEREVER = [
    # deposit                 refundable    the merchant grants   then
    (ordered,                 "0 CNY",      "1 CNY",              "refund-exceeds-refundable"),
    (lambda: ordered().write(DUE), "0 CNY", "1 CNY",              "refund-exceeds-refundable"),
    (paid,                    "5088 CNY",   "0.01 CNY",           "refund.approved"),
    (paid,                    "5088 CNY",   "5088 CNY",           "refund.approved"),
    (paid,                    "5088 CNY",   "5088.01 CNY",        "refund-exceeds-refundable"),
    (locked,                  "5088 CNY",   "5088 CNY",           "refund.approved"),
    (lambda: paid(FOUNDERS),  "20088 CNY",  "20088 CNY",          "refund.approved"),
    (final,                   "5088 CNY",   "5088 CNY",           "refund.approved"),
    (tent,                    "1030 CNY",   "800 CNY",            "refund.approved"),
    (tent,                    "1030 CNY",   "800.01 CNY",         "refund.approved refund.approved"),
    (tent,                    "1030 CNY",   "1030 CNY",           "refund.approved refund.approved"),
    (tent,                    "1030 CNY",   "1030.01 CNY",        "refund-exceeds-refundable"),
    (completed,               "299988 CNY", "294900 CNY",         "refund.approved"),
    (completed,               "299988 CNY", "299988 CNY",         "refund.approved refund.approved"),
    (completed,               "299988 CNY", "299988.01 CNY",      "refund-exceeds-refundable"),
    (cancelled,               "0 CNY",      "0.01 CNY",           "refund-exceeds-refundable"),
    (forfeited,               "0 CNY",      "0.01 CNY",           "refund-exceeds-refundable"),
    (ended_with_one_tent,     "1000 CNY",   "1000 CNY",           "refund.approved refund.approved"),
    (ended_with_one_tent,     "1000 CNY",   "1000.01 CNY",        "refund-exceeds-refundable"),
    (disputed("cap_1"),       "800 CNY",    "800 CNY",            "refund.approved"),
    (disputed("cap_1"),       "800 CNY",    "800.01 CNY",         "funds-in-dispute"),
    (disputed("cap_1"),       "800 CNY",    "1030 CNY",           "funds-in-dispute"),
    (disputed("cap_1"),       "800 CNY",    "1030.01 CNY",        "refund-exceeds-refundable"),
    (disputed("cap_2"),       "230 CNY",    "230 CNY",            "refund.approved"),
    (disputed("cap_2"),       "230 CNY",    "230.01 CNY",         "funds-in-dispute"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "refundable", "amount", "then"), WHEREVER)
def test_a_merchant_gives_what_is_held_and_not_in_dispute(
    made: Callable[[], Story], refundable: str, amount: str, then: str
) -> None:
    story = made()
    assert str(story.deposit.refundable) == refundable
    assert story.grant(amount, ASKED) == then


@pytest.mark.parametrize(("made", "refundable", "amount", "then"), WHEREVER)
def test_it_is_listed_exactly_where_something_can_be_granted(
    made: Callable[[], Story], refundable: str, amount: str, then: str
) -> None:
    story = made()
    listed = "refunds" in actions(story.deposit, "merchant", ASKED, story.terms)
    assert listed is (story.grant("0.01 CNY", ASKED) == "refund.approved")
    assert "refunds" not in actions(story.deposit, "buyer", ASKED, story.terms)
    assert listed or then in set(Reason), (refundable, amount)


def test_nothing_in_dispute_can_be_granted_when_everything_is() -> None:
    story = paid()
    story.dispute("open", PAID, "1 CNY")
    with refused(Reason.FUNDS_IN_DISPUTE, refundable=money("0 CNY")):
        decide(story.deposit, Grant(money("1 CNY"), money("0 CNY")), PAID, story.terms)
    assert "refunds" not in actions(story.deposit, "merchant", PAID, story.terms)


# --- What the merchant saw ---


@pytest.mark.parametrize(
    ("amount", "expected", "then"),
    [
        ("5088 CNY",    "5088 CNY",    "refund.approved"),
        ("5088 CNY",    "5087.99 CNY", "stale-version"),
        ("5088 CNY",    "5088.01 CNY", "stale-version"),
        ("5088.01 CNY", "5088.01 CNY", "stale-version"),
        ("5088.01 CNY", "5088 CNY",    "refund-exceeds-refundable"),
        ("5088 USD",    "5088 CNY",    "currency-mismatch"),
        ("5088 CNY",    "5088 USD",    "currency-mismatch"),
        ("1 USD",       "1 USD",       "currency-mismatch"),
        ("9999 USD",    "1 CNY",       "currency-mismatch"),
    ],
)  # fmt: skip
def test_what_was_seen_comes_before_what_is_asked(amount: str, expected: str, then: str) -> None:
    assert paid().grant(amount, PAID, money(expected)) == then


def test_the_order_of_refusals_is_the_published_one() -> None:
    order = [Reason.CURRENCY_MISMATCH, Reason.STALE_VERSION, Reason.FUNDS_IN_DISPUTE, Reason.REFUND_EXCEEDS_REFUNDABLE]
    assert sorted(order, key=list(Reason).index) == order


@pytest.mark.parametrize(
    ("amount", "expected", "pointer"),
    [
        ("1 USD", "5088 CNY", "/amount"),
        ("1 CNY", "5088 USD", "/expected_refundable"),
        ("1 USD", "5088 USD", "/amount"),
    ],
)  # fmt: skip
def test_the_field_with_another_currency_is_named(amount: str, expected: str, pointer: str) -> None:
    story = paid()
    with refused(Reason.CURRENCY_MISMATCH, (pointer, "currency_mismatch")):
        decide(story.deposit, Grant(money(amount), money(expected)), PAID, story.terms)


def test_of_two_at_once_the_second_sees_something_else() -> None:
    """P3: both merchants saw 5,088 yuan; one of them is told what is left."""
    story = paid()
    seen = story.deposit.refundable
    assert story.grant("3000 CNY", PAID, seen) == "refund.approved"
    with refused(Reason.STALE_VERSION, refundable=money("2088 CNY")):
        decide(story.deposit, Grant(money("3000 CNY"), seen), PAID, story.terms)


@pytest.mark.parametrize(("times", "then"), [(19, "refund.approved"), (20, "rate-limited")])
def test_a_merchant_gives_twenty_times(times: int, then: str) -> None:
    assert MAX_GRANTS == 20
    story = generous(times)
    assert story.grant("1 CNY", PAID) == then


def test_who_has_given_twenty_times_hears_first_what_comes_first() -> None:
    story = generous(MAX_GRANTS)
    assert story.grant("1 CNY", PAID, money("1 CNY")) == "stale-version"
    assert "refunds" not in actions(story.deposit, "merchant", PAID, story.terms)


# --- Where it comes from ---


@pytest.mark.parametrize(
    ("made", "amount", "legs"),
    [
        (tent,              "0.01 CNY",   ["0.01 CNY of cap_2"]),
        (tent,              "800 CNY",    ["800 CNY of cap_2"]),
        (tent,              "800.01 CNY", ["800 CNY of cap_2", "0.01 CNY of cap_1"]),
        (tent,              "1030 CNY",   ["800 CNY of cap_2", "230 CNY of cap_1"]),
        (disputed("cap_2"), "230 CNY",    ["230 CNY of cap_1"]),
        (disputed("cap_1"), "800 CNY",    ["800 CNY of cap_2"]),
    ],
)  # fmt: skip
def test_the_latest_capture_gives_first(made: Callable[[], Story], amount: str, legs: list[str]) -> None:
    story = made()
    story.grant(amount, ASKED)
    assert given_back(story) == legs


def test_a_second_one_goes_on_where_the_first_left_off() -> None:
    story = tent()
    for amount in ("799 CNY", "2 CNY", "229 CNY"):
        story.grant(amount, ASKED)
    assert given_back(story) == ["799 CNY of cap_2", "1 CNY of cap_2", "1 CNY of cap_1", "229 CNY of cap_1"]
    assert not story.deposit.refundable


def test_what_came_by_mistake_is_not_the_merchants_to_give() -> None:
    story = paid()
    story.pay("100 CNY", PAID + 1)
    assert story.deposit.refundable == money("5088 CNY")
    story.grant("5088 CNY", PAID + 2)
    assert given_back(story) == ["100 CNY of cap_2", "5088 CNY of cap_1"]


def test_it_says_what_it_is() -> None:
    story = paid()
    command = Grant(money("88 CNY"), money("5088 CNY"), note="digest of the note")
    (approved,) = story.ask(command, PAID + DAY)
    assert approved == RefundApproved(
        at=PAID + DAY,
        refund=1,
        cause=Cause.GOODWILL,
        amount=money("88 CNY"),
        lines=(RefundLine(LineCode.GOODWILL, money("88 CNY")),),
        promised_by=PAID + 8 * DAY,
        payment=1,
        capture="cap_1",
        note="digest of the note",
    )


def test_every_part_of_one_grant_carries_its_note() -> None:
    story = tent()
    told = story.ask(Grant(money("1030 CNY"), money("1030 CNY"), note="digest"), ASKED)
    assert [event.note for event in told if isinstance(event, RefundApproved)] == ["digest", "digest"]


def test_a_method_that_cannot_refund_asks_the_buyer() -> None:
    assert paid(NO_WAY_BACK).grant("1 CNY", PAID) == "refund.approved refund.declined"


# --- What it never touches ---


@pytest.mark.parametrize("made", [paid, locked, final, tent, completed, partly_shipped, ended_with_one_tent])
@pytest.mark.parametrize("amount", ["0.01 CNY", "230 CNY"])
def test_it_changes_no_status_no_total_and_no_balance(made: Callable[[], Story], amount: str) -> None:
    story = made()
    before = story.deposit
    story.grant(amount, ASKED)
    after = story.deposit
    assert (after.status, after.total, after.balance) == (before.status, before.total, before.balance)
    assert (after.lines, after.progress, after.lock, after.stock) == (
        before.lines,
        before.progress,
        before.lock,
        before.stock,
    )
    assert after.money.held == before.money.held - money(amount)
    assert after.money.refunding == before.money.refunding + money(amount)


def test_it_arrives_like_every_other_refund() -> None:
    story = paid()
    story.grant("88 CNY", PAID)
    story.ask(SEND, PAID)
    story.ask(refund_news(story, "succeeded", PAID + 1), PAID + 1)
    assert (story.deposit.money.refunding, story.deposit.money.refunded) == (money("0 CNY"), money("88 CNY"))


@pytest.mark.parametrize(
    ("given", "at", "refund", "forfeit"),
    [
        ("88 CNY",      PAID + DAY, "5000 CNY",  "0 CNY"),
        ("5088 CNY",    PAID + DAY, "0 CNY",     "0 CNY"),
        ("88 CNY",      LATER,      "88 CNY",    "4912 CNY"),
        ("1000.01 CNY", LATER,      "88 CNY",    "3999.99 CNY"),
        ("5088 CNY",    LATER,      "0 CNY",     "0 CNY"),
    ],
)  # fmt: skip
def test_a_cancel_afterwards_gives_the_rest_back_or_keeps_of_the_rest(
    given: str, at: int, refund: str, forfeit: str
) -> None:
    """It came out of what could be kept: shipping comes back whole, and nothing comes back twice."""
    story = paid()
    story.grant(given, PAID)
    ended = story.ask(CANCEL, at)[0]
    assert isinstance(ended, Cancelled)
    assert (ended.forfeited, story.refund.amount) == (money(forfeit), money(refund))


@given(
    parts=st.lists(st.integers(1, 70_000), max_size=8),
    ends=st.booleans(),
    bank=st.sampled_from([None, "cap_1", "cap_2"]),
)
def test_never_more_goes_back_than_was_captured(parts: list[int], ends: bool, bank: str | None) -> None:
    story = tent()
    if bank is not None:
        story.dispute("open", LATER, capture=bank)
    for minor in parts:
        before = story.deposit.refundable
        said = story.grant(str(Money(minor, "CNY")), ASKED)
        granted = Money(minor, "CNY") if said.startswith("refund.approved") else money("0 CNY")
        assert story.deposit.refundable == before - granted
        assert bool(granted) is (minor <= before.minor and before.minor > 0)
    if ends:
        story.ask(CANCEL, ASKED)
    for taken in story.deposit.captures:
        against = [refund.amount for refund in story.deposit.refunds if refund.capture == taken.capture]
        assert total(against, "CNY") <= taken.amount


def test_the_captures_of_the_tables_are_as_told() -> None:
    assert [str(capture.amount) for capture in tent().deposit.captures] == ["230 CNY", "800 CNY"]
    assert [capture.at for capture in tent().deposit.captures] == [PAID, LATER]
    assert T0 < PAID < END < LATER
    assert SU7.currency == SHOP.currency == "CNY"


def test_what_was_given_freely_cannot_be_kept_for_goods_as_well() -> None:
    story = partly_shipped()
    everything = story.deposit.refundable
    story.ask(Grant(everything, everything), LATER + 1)
    story.ask(CANCEL, LATER + 2)
    assert not story.refund.amount
    assert not story.deposit.money.held
    assert story.deposit.money.refunding == everything
