"""Chargebacks against refunds: the same money never moves twice, whatever the order in which we hear of it."""

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.money import Money, total
from chalicelib.core.deadlines import due_at, look_at, next_due
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.dispute import Dispute
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.payment import ChargebackLost
from chalicelib.core.deposit.events.refund import RefundApproved, RefundCovered, RefundLine
from chalicelib.core.deposit.ledger import Balances
from chalicelib.core.deposit.payment import Capture
from chalicelib.core.deposit.refund import RefundStatus
from chalicelib.core.paying.provider_answers import DisputeSeen, PaymentSeen
from chalicelib.core.refunding.destination import NameDestination, SendRefund
from chalicelib.core.refunding.settling import FlagProofMismatch
from tests.core.stories import (
    CANCEL,
    GRACE,
    LATER,
    LOSE,
    MISS,
    PAID,
    SEND,
    Story,
    cancelled,
    money,
    paid,
    refund_news,
    settled,
)
from tests.core.test_changes import SHOP, TENT

CASES = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "chargebacks.toml").read_text("utf-8"))["case"]
APPROVED: Final = PAID + DAY
OPENED: Final = APPROVED + HOUR
PROMISED: Final = APPROVED + 7 * DAY


# --- Stories with their ends ---


def told(case: dict[str, Any]) -> Story:
    """Each step a minute after the one before."""
    in_two = case.get("paid") == "in two"
    story, at = (settled(SHOP, TENT), LATER) if in_two else (paid(), PAID)
    for words in case["steps"]:
        at += MINUTE
        at = max(at, LATER) if words == "cancel late" else at
        happens(story, words, at)
    return story


def happens(story: Story, words: str, at: int) -> None:
    first, *rest = words.split()
    match first:
        case "opened" | "won" | "lost":
            disputed(story, "open" if first == "opened" else first, rest, at)
        case "cancel":
            story.ask(CANCEL, at)
        case "grant":
            story.grant(" ".join(rest), at)
        case "again":
            story.pay("5088 USD" if rest else None, at)
        case "send":
            story.ask(SendRefund(story.refund.n), at)
        case "unknown" | "missing":
            story.ask(LOSE if first == "unknown" else MISS, at)
        case _:
            story.ask(refund_news(story, first, at), at)


def disputed(story: Story, status: str, rest: list[str], at: int) -> None:
    amount = " ".join(word for word in rest if word not in {"second", "again"}) or None
    ref, capture = ("dp_2" if {"second", "again"} & set(rest) else "dp_1"), ("cap_2" if "second" in rest else "cap_1")
    story.dispute(status, at, amount, ref=ref, capture=capture)


def shown(deposit: Deposit) -> str:
    """What is not zero, without what was captured."""
    named = ((name, getattr(deposit.money, name)) for name in Balances.__struct_fields__ if name != "captured")
    return " ".join(f"{name} {amount.amount}" for name, amount in named if amount)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_story_ends_as_told(case: dict[str, Any]) -> None:
    story = told(case)
    refunds = [
        f"{refund.amount} {refund.cause} {refund.status} {refund.review or ''}".strip()
        for refund in story.deposit.refunds
    ]
    assert refunds == case["refunds"]
    assert shown(story.deposit) == case["money"]
    assert str(story.deposit.refundable) == case["refundable"]
    excess = [event.excess for event in story.events if isinstance(event, ChargebackLost) and event.excess is not None]
    assert [str(one) for one in excess] == ([case["excess"]] if "excess" in case else [])


def test_names_of_cases_are_unique() -> None:
    names = [case["name"] for case in CASES]
    assert len(names) == len(set(names))


# --- What is written ---


def test_what_a_bank_opens_is_kept() -> None:
    story = cancelled(at=APPROVED)
    story.dispute("open", OPENED, "1000 CNY")
    story.dispute("open", OPENED, ref="dp_2")
    assert story.deposit.disputes == (
        Dispute(1, "dp_1", 1, "cap_1", money("1000 CNY"), OPENED, "open"),
        Dispute(2, "dp_2", 1, "cap_1", money("5088 CNY"), OPENED, "open"),
    )
    story.dispute("won", OPENED + 1)
    story.dispute("lost", OPENED + 1, ref="dp_2")
    assert [dispute.status for dispute in story.deposit.disputes] == ["won", "lost"]


def test_what_a_bank_took_stands_as_a_refund_that_nobody_sends() -> None:
    story = paid()
    told = story.ask(story.disputed("lost", "1000 CNY"), OPENED)
    lines = (RefundLine(LineCode.PAID, money("1000 CNY")),)
    promised = OPENED + 7 * DAY
    assert told[1:] == (
        ChargebackLost(OPENED, 1),
        RefundApproved(OPENED, 1, Cause.CHARGEBACK, money("1000 CNY"), lines, promised, 1, "cap_1"),
        RefundCovered(OPENED, 1, 1),
    )
    assert (story.refund.attempts, story.refund.movements, story.refund.waiting_on) == ((), (), "nobody")


@pytest.mark.parametrize("status", ["open", "won", "lost"])
def test_a_capture_that_is_not_known_yet_is_asked_for_again(status: Any) -> None:
    story = paid()
    strange = DisputeSeen("dp_1", "cap_2", money("5088 CNY"), status)
    assert story.said(PaymentSeen(1, "succeeded", disputes=(strange,)), OPENED) == "nothing"
    story.pay("5088 CNY", OPENED)
    assert story.said(PaymentSeen(1, "succeeded", disputes=(strange,)), OPENED).startswith("chargeback.opened")


def test_a_capture_and_its_chargeback_may_be_told_in_one_breath() -> None:
    story = paid()
    seen = replace(
        story.captured("5088 CNY", OPENED), disputes=(DisputeSeen("dp", "cap_2", money("5088 CNY"), "lost"),)
    )
    said = "payment.not_counted refund.approved chargeback.opened chargeback.lost refund.covered"
    assert story.said(seen, OPENED) == said


def test_two_chargebacks_told_in_one_breath_share_the_money() -> None:
    story = paid()
    one, other = (story.disputed("lost", "3000 CNY", ref=ref).disputes[0] for ref in ("dp_1", "dp_2"))
    story.ask(PaymentSeen(1, "succeeded", disputes=(one, other)), OPENED)
    assert [(dispute.n, dispute.ref) for dispute in story.deposit.disputes] == [(1, "dp_1"), (2, "dp_2")]
    assert [refund.amount for refund in story.deposit.refunds] == [money("3000 CNY"), money("2088 CNY")]


@pytest.mark.parametrize(
    ("known", "news", "then"),
    [
        ((),                "open", "chargeback.opened"),
        ((),                "won",  "chargeback.opened chargeback.won"),
        ((),                "lost", "chargeback.opened chargeback.lost refund.approved refund.covered"),
        (("open",),         "open", "nothing"),
        (("open",),         "won",  "chargeback.won"),
        (("open",),         "lost", "chargeback.lost refund.approved refund.covered"),
        (("won",),          "open", "nothing"),
        (("won",),          "won",  "nothing"),
        (("lost",),         "open", "nothing"),
        (("lost",),         "lost", "nothing"),
        (("won",),          "lost", "nothing"),
        (("lost",),         "won",  "nothing"),
    ],
)  # fmt: skip
def test_news_is_told_once(known: tuple[str, ...], news: str, then: str) -> None:
    story = paid()
    for status in known:
        story.dispute(status, OPENED)
    assert story.dispute(news, OPENED) == then


# --- While the bank decides ---


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        ("open", "nothing"),
        ("won",  "refund.sent"),
        ("lost", "nothing"),
    ],
)  # fmt: skip
def test_nothing_is_sent_while_the_bank_decides(status: str, sent: str) -> None:
    story = cancelled(at=APPROVED)
    story.dispute(status, OPENED)
    assert story.said(SEND, OPENED) == sent


def test_not_to_an_account_either() -> None:
    story = cancelled(at=APPROVED)
    story.ask(SEND, APPROVED)
    story.ask(refund_news(story, "declined", APPROVED), APPROVED)
    story.ask(NameDestination(1, "home"), APPROVED)
    story.dispute("open", OPENED)
    assert story.said(SEND, OPENED) == "nothing"
    story.dispute("won", OPENED + 1)
    assert story.said(SEND, OPENED + 1) == "refund.sent"


@pytest.mark.parametrize(("first", "sent"), [("won", "nothing"), ("open", "nothing")])
def test_one_bank_that_has_not_decided_is_enough(first: str, sent: str) -> None:
    story = cancelled(at=APPROVED)
    story.dispute("open", OPENED, "1 CNY", ref="dp_2")
    story.dispute(first, OPENED, "1 CNY")
    assert story.said(SEND, OPENED) == sent


def test_it_is_looked_at_daily_and_a_refund_that_waits_when_it_was_promised() -> None:
    story = cancelled(at=APPROVED)
    assert look_at(story.deposit, story.refund) == due_at(story.deposit, GRACE) == APPROVED
    story.dispute("open", OPENED)
    assert look_at(story.deposit, story.refund) == PROMISED
    assert due_at(story.deposit, GRACE) == OPENED + DAY


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (OPENED,             OPENED + DAY),
        (OPENED + DAY - 1,   OPENED + 2 * DAY - 1),
        (OPENED + DAY,       OPENED + 2 * DAY),
        (PROMISED - DAY - 1, PROMISED - 1),
        (PROMISED - DAY,     PROMISED),
        (PROMISED - 1,       PROMISED),
    ],
)  # fmt: skip
def test_a_look_that_learned_nothing_is_repeated_a_day_later(now: int, due: int) -> None:
    story = cancelled(at=APPROVED)
    story.dispute("open", OPENED)
    assert next_due(story.deposit, now, GRACE) == due


@pytest.mark.parametrize(("status", "due"), [("won", APPROVED), ("lost", None)])
def test_a_decision_of_the_bank_ends_the_looks(status: str, due: int | None) -> None:
    story = cancelled(at=APPROVED)
    story.dispute("open", OPENED)
    story.dispute(status, OPENED + 1)
    assert due_at(story.deposit, GRACE) == due


@pytest.mark.parametrize(("at", "status"), [(PROMISED - 1, "approved"), (PROMISED, "manual_review")])
def test_a_refund_that_waited_past_its_promise_is_a_persons(at: int, status: str) -> None:
    story = cancelled(at=APPROVED)
    story.dispute("open", OPENED)
    assert story.write(at).refund.status.value == status


def test_when_the_merchant_wins_after_that_it_goes_on_by_itself() -> None:
    story = cancelled(at=APPROVED)
    story.dispute("open", OPENED)
    story.write(PROMISED)
    assert story.dispute("won", PROMISED + 1) == "chargeback.won refund.retried"
    assert story.write(PROMISED + 1).said(SEND, PROMISED + 1) == "refund.sent"
    assert story.refund.promised_by == PROMISED + 1 + 7 * DAY


def test_when_the_buyer_wins_after_that_it_is_covered() -> None:
    story = cancelled(at=APPROVED)
    story.dispute("open", OPENED)
    story.write(PROMISED)
    assert story.dispute("lost", PROMISED + 1) == "chargeback.lost refund.covered"
    assert (story.refund.status, story.refund.review) == (RefundStatus.SETTLED, None)


def test_what_was_sent_is_a_persons_when_it_is_won_as_before() -> None:
    story = cancelled(at=APPROVED)
    story.ask(SEND, APPROVED)
    story.ask(LOSE, APPROVED)
    story.dispute("open", OPENED)
    story.write(PROMISED)
    assert story.dispute("won", PROMISED + 1) == "chargeback.won"
    assert story.refund.status is RefundStatus.MANUAL_REVIEW


def test_a_doubted_refund_is_covered_like_any_other_that_was_not_sent() -> None:
    story = cancelled(at=APPROVED)
    story.ask(FlagProofMismatch(1), APPROVED)
    assert story.dispute("lost", OPENED) == "chargeback.opened chargeback.lost refund.covered"


# --- In any order ---

PREPARED: Final[dict[str, tuple[str, ...]]] = {
    "paid": (),
    "approved": ("cancel",),
    "approved in part": ("grant 1000 CNY",),
    "sent": ("cancel", "send"),
    "pending": ("cancel", "send", "pending"),
    "succeeded": ("cancel", "send", "succeeded"),
    "declined": ("cancel", "send", "declined"),
    "returned": ("cancel", "send", "returned"),
    "kept": ("cancel late",),
}
AMOUNTS: Final = st.sampled_from(["0.01 CNY", "88 CNY", "1000 CNY", "5087.99 CNY", "5088 CNY", "6000 CNY"])
VERDICTS: Final = st.sampled_from(["open", "won", "lost"])


def prepared(name: str) -> Story:
    return told({"steps": PREPARED[name]})


def hears(story: Story, news: Sequence[DisputeSeen], looks: Sequence[bool]) -> Story:
    """The news one after the other; True tells it together with what came before it, as a look at the books does."""
    heard: list[DisputeSeen] = []
    for one, whole in zip(news, looks, strict=True):
        heard.append(one)
        story.ask(PaymentSeen(1, "succeeded", disputes=tuple(heard) if whole else (one,)), 2 * LATER)
    return story


@given(name=st.sampled_from(sorted(PREPARED)), amount=AMOUNTS, verdict=VERDICTS, data=st.data())
def test_a_chargeback_in_any_order_and_number_of_news_leads_to_the_same_deposit(
    name: str, amount: str, verdict: Any, data: st.DataObject
) -> None:
    """P11."""
    opened = DisputeSeen("dp_1", "cap_1", money(amount), "open")
    decided = replace(opened, status=verdict)
    more = data.draw(st.lists(st.sampled_from([opened, decided]), max_size=4))
    news = data.draw(st.permutations([opened, decided, *more]))
    looks = data.draw(st.lists(st.booleans(), min_size=len(news), max_size=len(news)))
    straight = hears(prepared(name), [opened, decided], [False, False])
    crooked = hears(prepared(name), news, looks)
    assert crooked.deposit == straight.deposit
    assert crooked.events == straight.events


@given(news=st.permutations(["pending", "succeeded", "settled", "open", "lost", "lost"]), part=st.booleans())
def test_a_refund_that_arrived_and_a_chargeback_in_any_order_lead_to_the_same_money(
    news: list[str], part: bool
) -> None:
    def hear(words: Sequence[str]) -> Story:
        story = told({"steps": ["grant 1000 CNY" if part else "cancel", "send"]})
        for word in words:
            if word in {"open", "lost"}:
                story.dispute(word, LATER)
            else:
                known = replace(refund_news(story, "pending" if word == "pending" else "succeeded", LATER), refund=1)
                amount = story.deposit.refunds[0].amount
                story.ask(replace(known, amount=amount, settled=word == "settled"), LATER)
        return story

    straight, crooked = hear(["pending", "succeeded", "settled", "open", "lost"]), hear(news)
    assert crooked.deposit.money == straight.deposit.money
    assert [refund.status for refund in crooked.deposit.refunds] == [
        refund.status for refund in straight.deposit.refunds
    ]


BOTH: Final = ("cap_1", "cap_2")


@given(
    verdicts=st.tuples(VERDICTS, VERDICTS),
    granted=st.sampled_from(["", "1 CNY", "800 CNY", "801 CNY", "1030 CNY"]),
    data=st.data(),
)
def test_chargebacks_against_two_captures_do_not_meet(
    verdicts: tuple[str, str], granted: str, data: st.DataObject
) -> None:
    def hear(order: Sequence[int]) -> Deposit:
        story = settled(SHOP, TENT)
        if granted:
            story.grant(granted, LATER)
        for place in order:
            story.dispute(verdicts[place], LATER, ref=f"dp_{place}", capture=BOTH[place])
        return story.deposit

    one, other = hear([0, 1]), hear(data.draw(st.permutations([0, 0, 1, 1])))
    assert one.money == other.money
    assert one.refundable == other.refundable
    assert by_capture(one) == by_capture(other)


def by_capture(deposit: Deposit) -> list[tuple[str, str, Money, RefundStatus]]:
    return sorted((refund.capture, refund.cause, refund.amount, refund.status) for refund in deposit.refunds)


# --- Never below zero, never more than was captured ---

MOVES: Final[dict[str, Callable[[Story, int], object]]] = {
    "cancel": lambda story, at: story.said(CANCEL, at),
    "send": lambda story, at: [story.said(SendRefund(refund.n), at) for refund in story.deposit.refunds],
    "succeed": lambda story, at: news_of_all(story, "succeeded", at),
    "decline": lambda story, at: news_of_all(story, "declined", at),
    "return": lambda story, at: news_of_all(story, "returned", at),
    "money again": lambda story, at: story.pay("5088 CNY", at),
    "name": lambda story, at: [story.said(NameDestination(refund.n, "home"), at) for refund in story.deposit.refunds],
    "deadlines": lambda story, at: story.write(at),
}


def news_of_all(story: Story, status: Any, at: int) -> None:
    """A provider says that something came back when it said before that it went."""
    for refund in story.deposit.refunds:
        went = refund.attempts and refund.attempts[-1].status in {"succeeded", "settled"}
        if status == "returned" and not went:
            continue
        seen = replace(refund_news(story, status, at), refund=refund.n, amount=refund.amount, route_no=refund.route_no)
        story.said(seen, at)


CHARGEBACKS: Final = st.tuples(
    st.sampled_from(["dp_1", "dp_2", "dp_3"]), st.sampled_from(["cap_1", "cap_2"]), AMOUNTS, VERDICTS
)


@given(
    moves=st.lists(
        st.tuples(
            st.sampled_from([0, 1, HOUR, 8 * DAY]),
            st.one_of(st.sampled_from(sorted(MOVES)), AMOUNTS, CHARGEBACKS, CHARGEBACKS),
        ),
        max_size=20,
    )
)
def test_whatever_happens_a_chargeback_moves_its_money_once(moves: list[tuple[int, Any]]) -> None:
    """P1 and P3. The balances themselves refuse to be below zero."""
    story, at = paid(), PAID
    for pause, move in moves:
        at += pause
        if isinstance(move, tuple):
            ref, capture, amount, status = move
            if any(one.capture == capture for one in story.deposit.captures):
                story.dispute(status, at, amount, ref=ref, capture=capture)
        elif move in MOVES:
            MOVES[move](story, at)
        else:
            story.grant(move, at)
        check(story)


def check(story: Story) -> None:
    deposit = story.deposit
    for taken in deposit.captures:
        assert deposit.compute_unrefunded(taken).minor >= 0, taken
        assert total(given_by_the_bank(story.events, deposit, taken), "CNY") <= taken.amount
    assert money("0 CNY") <= deposit.refundable <= deposit.money.held
    for refund in deposit.refunds:
        if refund.cause == "chargeback":
            assert (refund.attempts, refund.status) == ((), RefundStatus.SETTLED)


def given_by_the_bank(events: Sequence[DepositEvent], deposit: Deposit, taken: Capture) -> list[Money]:
    """What chargebacks against a capture covered."""
    covered = [deposit.refunds[event.refund - 1] for event in events if isinstance(event, RefundCovered)]
    assert len({one.n for one in covered}) == len(covered), "a refund is covered once"
    return [one.amount for one in covered if one.capture == taken.capture]
