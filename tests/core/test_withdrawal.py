"""Statutory withdrawal: until when, from what, what comes back, and a receipt that holds no more than it must."""

import hashlib
import json
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, format_instant, parse_instant
from chalicelib.core.common.refusal import Reason
from chalicelib.core.decide import MAX_EVENTS, actions, decide
from chalicelib.core.delivery.fulfilment import Deliver, Receive
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.ending import WithdrawalConfirmed, WithdrawalStated
from chalicelib.core.deposit.events.goods import GoodsDelivered, GoodsReceived, Units
from chalicelib.core.deposit.status import Status
from chalicelib.core.ending import withdrawal, withdrawal_right
from chalicelib.core.ending.withdrawal import MAX_STATEMENTS, ConfirmWithdrawal, Sender, StateWithdrawal
from chalicelib.core.policy.terms import Terms
from chalicelib.core.proof import find_differences
from chalicelib.store.codec import encode
from tests.core.stories import (
    ACCEPT,
    CANCEL,
    CONFIRM_WITHDRAWAL,
    DEPOSIT_ID,
    END,
    LATER,
    LOCKED,
    PAID,
    SENDER,
    STATE,
    T0,
    Story,
    cancelled,
    completed,
    draft,
    final,
    locked,
    money,
    ordered,
    paid,
    plain,
    refused,
    settled,
    wire,
)
from tests.core.test_proof import proof_of

CASES = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "withdrawals.toml").read_text("utf-8"))["case"]
CURRENCIES = {"CN": "CNY", "EU": "EUR", "ID": "IDR"}
LANGUAGES = ["en", "id", "zh"]
BOTH = f"{WithdrawalConfirmed.TYPE} deposit.cancelled refund.approved"


def sold_in(market: str, **changes: Any) -> Terms:
    """A kettle of 900, of which 300 are taken at once with 30 of shipping; sold from the stock."""
    currency = CURRENCIES[market]
    kettle = {"sku": "kettle", "name": "Kettle", "price": wire(f"900 {currency}")}
    payment = {"deposit": wire(f"300 {currency}"), "methods": ["card"]}
    fields = {"items": [kettle], "payment": payment, "shipping": wire(f"30 {currency}"), **changes}
    return draft(plain("recommended", currency, market=market, **fields))


KETTLE = sold_in("CN")
WITHDRAWN_AT = LATER + DAY


def withdrawn(story: Story, at: int, sender: Sender = SENDER) -> Story:
    story.ask(StateWithdrawal(sender), at)
    story.ask(ConfirmWithdrawal(len(story.deposit.withdrawals), sender), at)
    return story


# --- Until when ---


def arrived(case: dict[str, Any]) -> Story:
    story = completed(sold_in(case["market"]))
    units = (Units(1, 1),)
    if "merchant" in case:
        at = parse_instant(case["merchant"])
        story.tell(GoodsDelivered(at, units, at, ("photo:1",)))
    if "buyer" in case:
        story.tell(GoodsReceived(parse_instant(case["buyer"]), units))
    return story


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_withdrawal_is_possible_until_the_case_says(case: dict[str, Any]) -> None:
    open_until = parse_instant(case["open_until"]) if "open_until" in case else None
    deposit = arrived(case).deposit
    assert withdrawal_right.find_period_end(deposit, sold_in(case["market"]).policy) == open_until
    if open_until is None:
        assert arrived(case).said(STATE, deposit.updated_at + 3650 * DAY) == "withdrawal.stated"
        return
    for at, said in ((open_until - 1, True), (open_until, False), (open_until + 1, False)):
        story = arrived(case)
        assert ("withdrawals" in actions(story.deposit, "buyer", at, story.terms)) is said
        assert story.said(STATE, at) == ("withdrawal.stated" if said else "withdrawal-not-available")


@pytest.mark.parametrize("case", [case for case in CASES if "open_until" in case], ids=lambda case: case["name"])
def test_the_confirmation_has_the_same_edge(case: dict[str, Any]) -> None:
    open_until = parse_instant(case["open_until"])
    for at, said in ((open_until - 1, BOTH), (open_until, "withdrawal-not-available")):
        story = arrived(case)
        story.ask(STATE, open_until - 1)
        assert story.said(CONFIRM_WITHDRAWAL, at).startswith(said)


def test_a_refusal_says_when_it_ended() -> None:
    case = CASES[0]
    ended_at = parse_instant(case["open_until"])
    with refused(Reason.WITHDRAWAL_NOT_AVAILABLE, ended_at=ended_at):
        arrived(case).ask(STATE, ended_at)


def test_every_market_with_the_right_has_a_case_with_an_end_and_one_without() -> None:
    for market in CURRENCIES:
        assert {"open_until" in case for case in CASES if case["market"] == market} == {True, False}


def test_names_of_cases_are_unique() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_goods_that_came_in_part_keep_the_period_open() -> None:
    story = settled(KETTLE, ("kettle", 2))
    story.ask(story.ship((1, 1)), LATER)
    story.tell(GoodsReceived(LATER, (Units(1, 1),)))
    assert withdrawal_right.find_period_end(story.deposit, KETTLE.policy) is None
    assert story.said(STATE, LATER + 365 * DAY) == "withdrawal.stated"


# --- A period that has begun is moved by no later calendar ---


class LaterRelease:
    """A release that knows every day of the year as a holiday, but the ones in July."""

    def is_working_day(self, day: date) -> bool:
        return day.month == 7


@pytest.fixture
def later_release(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(
        "chalicelib.core.policy.calendar._load_year", lambda _country, _year: LaterRelease()
    )


Arrival = Callable[[Story], object]
ARRIVED_AT = LATER + DAY
ARRIVALS: dict[str, Arrival] = {
    "the buyer's word": lambda story: story.ask(Receive(), ARRIVED_AT),
    "the merchant's word": lambda story: story.ask(Deliver((Units(1, 0),), LATER + HOUR, ("photo:1",)), ARRIVED_AT),
    "both": lambda story: (ARRIVALS["the merchant's word"](story), ARRIVALS["the buyer's word"](story)),
}


@pytest.mark.parametrize("market", CURRENCIES)
@pytest.mark.parametrize("arrival", ARRIVALS)
def test_another_release_of_holidays_moves_no_period_that_has_begun(
    market: str, arrival: str, later_release: Callable[[], None]
) -> None:
    story, new = completed(sold_in(market)), completed(sold_in(market))
    ARRIVALS[arrival](story)
    law = story.terms.policy
    ends_at = withdrawal_right.find_period_end(story.deposit, law)
    assert ends_at is not None
    later_release()
    assert withdrawal_right.find_period_end(story.deposit, law) == ends_at
    assert "withdrawals" in actions(story.deposit, "buyer", ends_at - 1, story.terms)
    assert story.said(STATE, ends_at) == "withdrawal-not-available"
    withdrawn(story, ends_at - 1)
    assert find_differences(proof_of(story, 1)) == []
    ARRIVALS[arrival](new)
    moved_to = withdrawal_right.find_period_end(new.deposit, law)
    assert moved_to is not None
    assert moved_to > ends_at


def test_a_journal_without_an_end_is_counted_as_ever(later_release: Callable[[], None]) -> None:
    story = completed(KETTLE)
    story.tell(GoodsReceived(ARRIVED_AT, (Units(1, 1),)))
    ends_at = withdrawal_right.count_period_end(ARRIVED_AT, KETTLE.policy)
    assert withdrawal_right.find_period_end(story.deposit, KETTLE.policy) == ends_at
    later_release()
    assert (
        withdrawal_right.find_period_end(story.deposit, KETTLE.policy)
        == withdrawal_right.count_period_end(ARRIVED_AT, KETTLE.policy)
        != ends_at
    )


def test_of_goods_that_come_in_parts_the_last_ones_begin_it(later_release: Callable[[], None]) -> None:
    story = settled(KETTLE, ("kettle", 2))
    for n in (1, 2):
        story.ask(story.ship((1, 1)), LATER + n * DAY)
        story.ask(Receive(), LATER + n * DAY)
    ends_at = withdrawal_right.count_period_end(LATER + 2 * DAY, KETTLE.policy)
    later_release()
    assert withdrawal_right.find_period_end(story.deposit, KETTLE.policy) == ends_at


def test_a_claim_that_pays_back_what_is_missing_begins_it_with_what_came(later_release: Callable[[], None]) -> None:
    story = settled(KETTLE, ("kettle", 2))
    story.ask(story.ship((1, 1)), LATER)
    story.ask(Receive(), ARRIVED_AT)
    ends_at = withdrawal_right.count_period_end(ARRIVED_AT, KETTLE.policy)
    assert withdrawal_right.find_period_end(story.deposit, KETTLE.policy) is None
    later_release()
    story.claim("short_shipment", ARRIVED_AT + 1, (1, 1))
    story.ask(ACCEPT, ARRIVED_AT + 2)
    assert withdrawal_right.find_period_end(story.deposit, KETTLE.policy) == ends_at


# --- From what ---


def made_to_spec() -> Terms:
    items = [
        {"sku": "kettle", "name": "Kettle", "price": wire("900 CNY")},
        {"sku": "suit", "name": "Suit", "price": wire("900 CNY"), "made_to_spec": True},
    ]
    return sold_in("CN", items=items)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([("kettle", 1)],              "withdrawal.stated"),
        ([("suit", 1)],                "withdrawal-not-available"),
        ([("kettle", 1), ("suit", 1)], "withdrawal-not-available"),
    ],
)  # fmt: skip
def test_goods_made_to_specification_know_no_withdrawal(lines: list[tuple[str, int]], said: str) -> None:
    story = paid(made_to_spec(), *lines)
    assert ("withdrawals" in actions(story.deposit, "buyer", PAID, story.terms)) is (said == "withdrawal.stated")
    assert story.said(STATE, PAID) == said


def test_a_market_may_know_none(monkeypatch: pytest.MonkeyPatch) -> None:
    story = paid(KETTLE)
    law = KETTLE.policy.model_copy(update={"withdrawal": None})
    monkeypatch.setattr("chalicelib.core.policy.market.read_policy", lambda _policy_id: law)
    assert withdrawal_right.find_period_end(story.deposit, law) is None
    with refused(Reason.WITHDRAWAL_NOT_AVAILABLE):
        story.ask(STATE, PAID)


# --- In which status, and what comes back ---


@pytest.mark.parametrize(
    ("start", "at", "back"),
    [
        (lambda: ordered(KETTLE),                   T0,               []),
        (lambda: paid(KETTLE),                      PAID,             ["330 CNY"]),
        (lambda: paid(KETTLE),                      END - 1,          ["330 CNY"]),
        (lambda: paid(KETTLE),                      END,              ["330 CNY"]),
        (lambda: locked(KETTLE),                    LOCKED,           ["330 CNY"]),
        (lambda: locked(KETTLE),                    LOCKED + HOUR,    ["330 CNY"]),
        (lambda: final(KETTLE),                     LATER,            ["330 CNY"]),
        (lambda: settled(KETTLE),                   WITHDRAWN_AT,     ["600 CNY", "330 CNY"]),
        (lambda: completed(KETTLE),                 WITHDRAWN_AT,     ["600 CNY", "330 CNY"]),
        (lambda: completed(KETTLE, ("kettle", 2)),  WITHDRAWN_AT,     ["1200 CNY", "630 CNY"]),
    ],
)  # fmt: skip
def test_everything_comes_back_standard_shipping_included(start: Callable[[], Story], at: int, back: list[str]) -> None:
    story = withdrawn(start(), at)
    deposit = story.deposit
    assert deposit.status is Status.CANCELLED
    assert [str(refund.amount) for refund in deposit.refunds] == back
    assert {refund.cause for refund in deposit.refunds} <= {"withdrawal"}
    assert not deposit.money.held
    assert not deposit.money.forfeited


@pytest.mark.parametrize("market", ["CN", "EU", "ID"])
def test_it_is_promised_within_the_markets_time(market: str) -> None:
    story = withdrawn(paid(sold_in(market, refund={"deadline": "P30D"})), PAID)
    longest = {"CN": 15, "EU": 14, "ID": 7}[market]
    assert story.refund.promised_by == PAID + longest * DAY


@pytest.mark.parametrize(
    ("start", "at", "reason", "facts"),
    [
        (lambda: ordered(KETTLE),              T0 + 30 * MINUTE, Reason.WRONG_STATE,       {"state": "expired"}),
        (lambda: ordered(KETTLE).write(LATER), LATER,            Reason.WRONG_STATE,       {"state": "expired"}),
        (lambda: cancelled(KETTLE),            LATER,            Reason.ALREADY_CANCELLED, {}),
        (lambda: withdrawn(paid(KETTLE), PAID), PAID,            Reason.ALREADY_CANCELLED, {}),
    ],
)  # fmt: skip
def test_what_has_ended_cannot_be_withdrawn_from(
    start: Callable[[], Story], at: int, reason: Reason, facts: dict[str, Any]
) -> None:
    story = start()
    assert "withdrawals" not in actions(story.deposit, "buyer", at, KETTLE)
    for command in (STATE, CONFIRM_WITHDRAWAL):
        if command is CONFIRM_WITHDRAWAL and not story.deposit.withdrawals:
            continue
        with refused(reason, **facts):
            story.ask(command, at)


def test_what_went_back_before_does_not_go_back_again() -> None:
    story = ordered(KETTLE)
    story.pay("331 CNY")
    withdrawn(story, PAID + 1)
    assert [str(refund.amount) for refund in story.deposit.refunds] == ["1 CNY", "330 CNY"]


# --- Two steps ---


def test_a_statement_alone_ends_nothing() -> None:
    story = paid(KETTLE)
    story.ask(STATE, PAID)
    assert story.deposit.status is Status.COOLING_OFF
    assert not story.deposit.refunds
    assert [(one.n, one.stated_at, one.confirmed_at) for one in story.deposit.withdrawals] == [(1, PAID, None)]


def test_a_statement_stops_no_clock() -> None:
    story = paid(KETTLE)
    story.ask(STATE, PAID)
    assert status_at(story.deposit, END) is Status.LOCKED


def test_the_confirmation_ends_it() -> None:
    story = paid(KETTLE)
    story.ask(STATE, PAID)
    assert story.said(CONFIRM_WITHDRAWAL, PAID + HOUR) == BOTH
    assert [one.confirmed_at for one in story.deposit.withdrawals] == [PAID + HOUR]


@pytest.mark.parametrize("n", [1, 2, 99])
def test_only_what_was_stated_can_be_confirmed(n: int) -> None:
    story = paid(KETTLE)
    if n > 1:
        story.ask(STATE, PAID)
    with refused(Reason.NOT_FOUND):
        story.ask(ConfirmWithdrawal(n, SENDER), PAID)


def test_any_of_several_statements_can_be_confirmed() -> None:
    story = paid(KETTLE)
    for n in range(3):
        story.ask(STATE, PAID + n)
    story.ask(ConfirmWithdrawal(2, SENDER), PAID + HOUR)
    assert [one.confirmed_at for one in story.deposit.withdrawals] == [None, PAID + HOUR, None]


def test_ten_statements_are_enough_and_one_of_them_can_be_confirmed() -> None:
    story = paid(KETTLE)
    for n in range(MAX_STATEMENTS):
        assert story.said(STATE, PAID + n) == "withdrawal.stated"
    assert MAX_STATEMENTS == len(story.deposit.withdrawals) == 10
    assert "withdrawals" not in actions(story.deposit, "buyer", PAID + HOUR, KETTLE)
    with refused(Reason.RATE_LIMITED, most=10):
        story.ask(STATE, PAID + HOUR)
    assert story.said(ConfirmWithdrawal(10, SENDER), PAID + HOUR) == BOTH


def test_a_long_journal_takes_nobodys_right_away() -> None:
    story = paid(KETTLE)
    story.deposit = replace(story.deposit, version=MAX_EVENTS)
    assert story.said(STATE, PAID) == "withdrawal.stated"
    assert story.said(CONFIRM_WITHDRAWAL, PAID) == BOTH


def test_a_cancel_between_the_steps_comes_first() -> None:
    story = paid(KETTLE)
    story.ask(STATE, PAID)
    story.ask(CANCEL, PAID)
    with refused(Reason.ALREADY_CANCELLED):
        story.ask(CONFIRM_WITHDRAWAL, PAID)


# --- The receipt ---

CONTENTS = {
    ("en", "stated"):
        "Ana states the withdrawal from the contract about order {id}: 2 x Kettle. Stated on 2024-03-29 10:00:00 UTC+08:00. "
        "It takes effect when it is confirmed. Confirmations go to: ana@example.org.",
    ("en", "confirmed"):
        "Ana has withdrawn from the contract about order {id}: 2 x Kettle. Confirmed on 2024-03-29 10:00:00 UTC+08:00. "
        "{refund} comes back, standard shipping included, by 2024-04-05 10:00:00 UTC+08:00. "
        "Confirmations go to: ana@example.org.",
    ("id", "stated"):
        "Ana menyatakan pembatalan kontrak atas pesanan {id}: 2 x Kettle. Dinyatakan pada 2024-03-29 10:00:00 UTC+08:00. "
        "Pernyataan ini berlaku setelah dikonfirmasi. Konfirmasi dikirim ke: ana@example.org.",
    ("id", "confirmed"):
        "Ana telah membatalkan kontrak atas pesanan {id}: 2 x Kettle. Dikonfirmasi pada 2024-03-29 10:00:00 UTC+08:00. "
        "{refund} dikembalikan, termasuk ongkos kirim standar, paling lambat 2024-04-05 10:00:00 UTC+08:00. "
        "Konfirmasi dikirim ke: ana@example.org.",
    ("zh", "stated"):
        "Ana 声明撤回订单 {id} 的合同：2 x Kettle。声明时间 2024-03-29 10:00:00 UTC+08:00。确认后生效。"  # noqa: RUF001 - Chinese punctuation
        "确认信息发送至：ana@example.org。",  # noqa: RUF001 - Chinese punctuation
    ("zh", "confirmed"):
        "Ana 已撤回订单 {id} 的合同：2 x Kettle。确认时间 2024-03-29 10:00:00 UTC+08:00。"  # noqa: RUF001 - Chinese punctuation
        "将于 2024-04-05 10:00:00 UTC+08:00 之前退还 {refund}，包括标准运费。确认信息发送至：ana@example.org。",  # noqa: RUF001 - Chinese punctuation
}  # fmt: skip
REFUND = {"en": "CNY 630", "id": "CNY 630", "zh": "630 元 (CNY)"}
MORNING = parse_instant("2024-03-29T10:00:00+08:00")


@pytest.mark.parametrize("locale", LANGUAGES)
def test_a_receipt_tells_who_what_when_and_where_to_in_its_senders_language(locale: str) -> None:
    story = paid(KETTLE, ("kettle", 2))
    sender = Sender("Ana", "ana@example.org", locale)
    stated = withdrawal.build_statement_receipt(story.deposit, sender, MORNING, KETTLE)
    story.ask(StateWithdrawal(sender), MORNING)
    confirmed = withdrawal.build_confirmation_receipt(story.deposit, 1, sender, MORNING, KETTLE)
    assert stated.content == CONTENTS[locale, "stated"].format(id=DEPOSIT_ID)
    assert confirmed.content == CONTENTS[locale, "confirmed"].format(id=DEPOSIT_ID, refund=REFUND[locale])
    assert (stated.id, confirmed.id) == (child("wdr", DEPOSIT_ID, 1),) * 2
    assert stated.at == confirmed.at == MORNING


def sha256(receipt_id: str, content: str, at: int) -> str:
    canonical = rfc8785.dumps({"at": format_instant(at), "content": content, "id": receipt_id})
    return "sha256:" + hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize("locale", LANGUAGES)
def test_a_digest_is_over_id_content_and_instant_as_they_are_shown(locale: str) -> None:
    story, sender = paid(KETTLE), Sender("Ana", "ana@example.org", locale)
    for step in (StateWithdrawal(sender), ConfirmWithdrawal(1, sender)):
        receipt = receipt_of(story.deposit, step)
        (event, *_) = story.ask(step, MORNING)
        assert isinstance(event, WithdrawalStated | WithdrawalConfirmed)
        assert event.digest == receipt.digest == sha256(receipt.id, receipt.content, MORNING)
        assert story.deposit.withdrawals[0].digest == event.digest


def receipt_of(deposit: Deposit, step: StateWithdrawal | ConfirmWithdrawal) -> withdrawal.Receipt:
    if isinstance(step, StateWithdrawal):
        return withdrawal.build_statement_receipt(deposit, step.sender, MORNING, KETTLE)
    return withdrawal.build_confirmation_receipt(deposit, step.n, step.sender, MORNING, KETTLE)


def test_a_known_digest_stays_the_same() -> None:
    """Whoever kept a receipt can check it for ever: SHA-256 of the canonical JSON, written out here."""
    receipt = withdrawal.Receipt("wdr_" + "0" * 26 + "_1", "I withdraw.", T0)
    text = f'{{"at":"2024-03-28T14:00:00.000Z","content":"I withdraw.","id":"{receipt.id}"}}'
    assert receipt.digest == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_each_step_has_its_own_receipt() -> None:
    story = withdrawn(paid(KETTLE), MORNING)
    digests = [event.digest for event in story.events if isinstance(event, WithdrawalStated | WithdrawalConfirmed)]
    assert len(set(digests)) == 2


@pytest.mark.parametrize(
    "name",
    ["{name}", "{0}", "{deposit.created}", "{{", "}", "{at!r:>{reach}}", "%s", "Ana {reach}", "\\N{BULLET}", "安娜"],
)
@pytest.mark.parametrize("locale", LANGUAGES)
def test_a_name_is_a_name_whatever_is_in_it(name: str, locale: str) -> None:
    story = paid(KETTLE)
    sender = Sender(name, f"to {name}", locale)
    stated = withdrawal.build_statement_receipt(story.deposit, sender, MORNING, KETTLE)
    assert stated.content.startswith(f"{name} ")
    assert f"to {name}" in stated.content
    withdrawn(story, MORNING, sender)
    assert story.deposit.status is Status.CANCELLED


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60), st.sampled_from(LANGUAGES))
def test_whatever_people_write_ends_up_in_the_receipt_word_by_word(name: str, reach: str, locale: str) -> None:
    story, sender = paid(KETTLE), Sender(name, reach, locale)
    assert name in withdrawal.build_statement_receipt(story.deposit, sender, MORNING, KETTLE).content
    assert reach in withdrawal.build_confirmation_receipt(story.deposit, 1, sender, MORNING, KETTLE).content


# --- Nobody's name in a journal ---


@pytest.mark.parametrize("locale", LANGUAGES)
def test_no_event_holds_a_name_or_a_way_to_reach_anybody(locale: str) -> None:
    sender = Sender("Rumpelstilzchen", "+62 811 555 0199", locale)
    story = withdrawn(completed(KETTLE), WITHDRAWN_AT, sender)
    written = json.dumps([encode(event) for event in story.events])
    assert all(one.digest in written for one in story.deposit.withdrawals)
    for word in (sender.name, sender.reach):
        assert word not in written
        assert word not in repr(story.deposit)


def test_the_journal_tells_the_digest_and_nothing_else_of_it() -> None:
    story = paid(KETTLE)
    (stated,) = decide(story.deposit, STATE, PAID, KETTLE)
    assert isinstance(stated, WithdrawalStated)
    assert {*encode(stated)["M"]} == {"at", "withdrawal", "digest"}
    assert stated.digest.startswith("sha256:")


def test_what_comes_back_is_in_the_receipt_of_the_confirmation_only() -> None:
    story = settled(KETTLE)
    assert "930" not in withdrawal.build_statement_receipt(story.deposit, SENDER, MORNING, KETTLE).content
    story.ask(STATE, LATER)
    assert "930" in withdrawal.build_confirmation_receipt(story.deposit, 1, SENDER, LATER, KETTLE).content
    story.ask(CONFIRM_WITHDRAWAL, LATER)
    assert sum((refund.amount for refund in story.deposit.refunds), money("0 CNY")) == money("930 CNY")
