"""What comes back when a deposit ends: the cases a lawyer could check, and what holds for all of them."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core import entitlement
from chalicelib.core.deposit import Lock, Status, evolve, status_at
from chalicelib.core.entitlement import Entitlement, curve, of
from chalicelib.core.events import RefundApproved, RefundLine
from chalicelib.core.instants import DAY, HOUR, MINUTE
from chalicelib.core.money import Money
from chalicelib.core.refusal import Reason, Refused
from chalicelib.core.terms import Terms
from tests.core.stories import (
    CANCEL,
    DUE,
    END,
    FLASH_SALE,
    FOUNDERS,
    NEVER,
    PAID,
    T0,
    UNDO,
    UNLOCK,
    Story,
    cancelled,
    draft,
    money,
    ordered,
    paid,
    plain,
    refused,
    terms,
    wire,
)

CASES = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "entitlements.toml").read_text("utf-8"))["case"]
PUBLISHED = {"DP1", "DP2", "DP3", "DP4", "DP5", "DP8", "DP10", "DP11", "DP12"}


def terms_of(case: dict[str, Any]) -> Terms:
    currency = case["price"].split()[1]
    item = {"sku": "one", "name": "One", "price": wire(case["price"]), "made_to_spec": case.get("made_to_spec", False)}
    payment = {"deposit": wire(case["deposit"]), "nature": case["nature"]}
    shipping = wire(case.get("shipping", f"0 {currency}"))
    return draft(
        plain("recommended", currency, market=case["market"], items=[item], payment=payment, shipping=shipping)
    )


def told(case: dict[str, Any]) -> tuple[Story, int]:
    """The deposit of a case and the instant at which it is ended."""
    under = terms_of(case)
    if case["when"] == "before payment":
        return ordered(under), T0
    return paid(under), {"in the window": END - 1, "at its end": END}[case["when"]]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_ending_a_deposit_gives_back_what_the_case_says(case: dict[str, Any]) -> None:
    story, at = told(case)
    owed = of(story.deposit, story.terms, case["cause"], at)
    nothing = f"0 {story.deposit.currency}"
    assert owed.amount == money(case.get("refund", nothing))
    assert owed.forfeited == money(case.get("forfeited", nothing))
    assert owed.compensation == money(case.get("compensation", nothing))
    assert owed.amount + owed.forfeited == story.deposit.money.held
    assert not owed.fees


def test_every_published_example_is_a_case() -> None:
    assert {case["from"] for case in CASES if "from" in case} == PUBLISHED


def test_names_of_cases_are_unique() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


# --- Refusals ---


def expired() -> Story:
    return ordered().write(DUE)


def completed() -> Story:
    story = paid()
    story.deposit = replace(story.deposit, status=Status.COMPLETED)
    return story


@pytest.mark.parametrize("cause", ["buyer_cancel", "merchant_cancel", "withdrawal"])
def test_what_has_ended_cannot_be_ended_again(cause: str) -> None:
    gone = cancelled()
    with refused(Reason.ALREADY_CANCELLED):
        of(gone.deposit, gone.terms, cause, END)
    for story, at in ((expired(), DUE), (ordered(), DUE), (completed(), END)):
        with refused(Reason.WRONG_STATE, state=status_at(story.deposit, at).value):
            of(story.deposit, story.terms, cause, at)


def test_goods_made_to_specification_know_no_withdrawal() -> None:
    story = paid()  # the car is made to order
    with refused(Reason.WITHDRAWAL_NOT_AVAILABLE):
        of(story.deposit, story.terms, "withdrawal", PAID)


def test_one_line_made_to_specification_is_enough() -> None:
    story = paid(mixed(), ("custom", 1), ("standard", 1))
    with refused(Reason.WITHDRAWAL_NOT_AVAILABLE):
        of(story.deposit, story.terms, "withdrawal", PAID)


def test_a_market_may_know_no_withdrawal(monkeypatch: pytest.MonkeyPatch) -> None:
    story = paid(draft(plain("recommended", payment={"deposit": wire("10 CNY")})))
    assert of(story.deposit, story.terms, "withdrawal", PAID).rule == "terms/withdrawal"
    law = story.terms.policy.model_copy(update={"withdrawal": None})
    monkeypatch.setattr("chalicelib.core.market.policy", lambda _policy_id: law)
    with refused(Reason.WITHDRAWAL_NOT_AVAILABLE):
        of(story.deposit, story.terms, "withdrawal", PAID)


# --- Lines ---


def mixed() -> Terms:
    items = [
        {"sku": "custom", "name": "Custom", "price": wire("1000 EUR"), "made_to_spec": True},
        {"sku": "standard", "name": "Standard", "price": wire("1000 EUR")},
    ]
    return draft(plain("recommended", "EUR", market="EU", items=items, payment={"deposit": wire("100 EUR")}))


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([("custom", 1)],                  "100 EUR"),
        ([("custom", 2)],                  "200 EUR"),
        ([("standard", 1)],                "0 EUR"),
        ([("custom", 1), ("standard", 1)], "0 EUR"),
    ],
)  # fmt: skip
def test_in_europe_one_standard_line_frees_the_whole_deposit(lines: list[tuple[str, int]], kept: str) -> None:
    story = paid(mixed(), *lines)
    owed = of(story.deposit, story.terms, "buyer_cancel", END)
    assert owed.forfeited == money(kept)
    assert owed.rule == ("EU-2026/made_to_spec_only" if owed.forfeited else "terms/refund_after_lock")


def test_the_lines_explain_a_deduction_with_the_rule_that_allows_it() -> None:
    story = paid()
    owed = of(story.deposit, story.terms, "buyer_cancel", END)
    assert owed.lines == (
        RefundLine("paid", money("5088 CNY")),
        RefundLine("forfeited", -money("5000 CNY"), "CN-2026/earnest_cap"),
    )


def test_what_went_back_already_is_a_line_and_not_paid_twice() -> None:
    story = paid()
    story.pay("100 CNY", PAID + 1)
    owed = of(story.deposit, story.terms, "buyer_cancel", PAID + 2)
    assert owed.amount == money("5088 CNY")
    assert owed.lines == (
        RefundLine("paid", money("5188 CNY")),
        RefundLine("already_refunded", -money("100 CNY")),
    )


def test_no_more_is_kept_than_is_still_held() -> None:
    story = paid(terms(shipping=wire("0 CNY")))
    partly = RefundApproved(PAID, 1, "goodwill", money("1000 CNY"), (), END, 1, "cap_1")
    deposit = evolve(story.deposit, partly)
    owed = of(deposit, story.terms, "buyer_cancel", END)
    assert owed.forfeited == money("4000 CNY")
    assert not owed.amount


@pytest.mark.parametrize(
    ("amount", "lines"),
    [
        ("1 CNY", (RefundLine("paid", money("2 CNY")),)),
        ("1 CNY", (RefundLine("paid", money("2 CNY")), RefundLine("forfeited", -money("1 CNY")))),
    ],
)
def test_lines_that_do_not_add_up_or_cite_no_rule_are_a_fault_of_ours(
    amount: str, lines: tuple[RefundLine, ...]
) -> None:
    nothing = Money.zero("CNY")
    with pytest.raises(AssertionError):
        Entitlement(money(amount), lines, nothing, nothing, nothing, "terms/window")


# --- The curve: free until ..., then ... ---


def unlocked() -> Story:
    story = paid(FOUNDERS)
    story.ask(UNLOCK, PAID)
    return story


def locked_by_buyer() -> Story:
    story = paid()
    lock = Lock("buyer", PAID + MINUTE, PAID + HOUR)
    story.deposit = replace(story.deposit, status=Status.LOCKED, lock=lock)
    return story


@pytest.mark.parametrize(
    ("made", "at", "points"),
    [
        (ordered,                  T0,       [(T0, None, "0 CNY")]),
        (paid,                     PAID,     [(PAID, END, "5088 CNY"), (END, None, "88 CNY")]),
        (paid,                     END - 1,  [(END - 1, END, "5088 CNY"), (END, None, "88 CNY")]),
        (paid,                     END,      [(END, None, "88 CNY")]),
        (lambda: paid(NEVER),      PAID,     [(PAID, None, "5088 CNY")]),
        (lambda: paid(FLASH_SALE), PAID,     [(PAID, None, "299988 CNY")]),
        (lambda: paid(FOUNDERS),   PAID,     [(PAID, UNDO, "20088 CNY"), (UNDO, None, "88 CNY")]),
        (unlocked,                 PAID,     [(PAID, UNDO, "20088 CNY"), (UNDO, None, "88 CNY")]),
        (locked_by_buyer, PAID + MINUTE, [(PAID + MINUTE, PAID + HOUR, "5088 CNY"), (PAID + HOUR, None, "88 CNY")]),
    ],
)  # fmt: skip
def test_the_curve_says_until_when_a_cancel_is_free(
    made: Callable[[], Story], at: int, points: list[tuple[int, int | None, str]]
) -> None:
    story = made()
    steps = curve(story.deposit, story.terms, at)
    assert [(step.start, step.to, str(step.owed.amount)) for step in steps] == points


CURVED: list[Callable[[], Story]] = [
    paid,
    unlocked,
    locked_by_buyer,
    lambda: paid(NEVER),
    lambda: paid(FLASH_SALE),
    lambda: paid(FOUNDERS),
]


@settings(max_examples=30)  # each with 200 instants
@given(st.sampled_from(CURVED), st.integers(PAID - HOUR, END + HOUR), st.randoms(use_true_random=False))
def test_the_curve_is_what_a_cancel_gives_at_every_instant(made: Callable[[], Story], at: int, dice: Any) -> None:
    story = made()
    steps = curve(story.deposit, story.terms, at)
    edges = [step.start + offset for step in steps for offset in (-1, 0, 1)]
    instants = [at, *edges, *(dice.randint(at, END + DAY) for _ in range(200))]
    for instant in instants:
        if instant < at:
            continue
        step = next(one for one in steps if one.start <= instant and (one.to is None or instant < one.to))
        assert step.owed == of(story.deposit, story.terms, "buyer_cancel", instant)


def test_an_ended_deposit_has_no_curve() -> None:
    story = cancelled()
    with pytest.raises(Refused):
        curve(story.deposit, story.terms, END)


def test_what_is_decided_is_what_was_shown_before() -> None:
    for at in (PAID, END - 1, END):
        story = paid()
        shown = entitlement.of(story.deposit, story.terms, "buyer_cancel", at)
        story.ask(CANCEL, at)
        assert (story.refund.amount, story.refund.lines) == (shown.amount, shown.lines)
        assert story.deposit.money.forfeited == shown.forfeited
