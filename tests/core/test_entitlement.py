"""What comes back when a deposit ends: the cases a lawyer could check, and what holds for all of them."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.events.refund import RefundApproved, RefundLine
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.ending import entitlement
from chalicelib.core.ending.entitlement import Entitlement, compute_curve, compute_entitlement
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import Ordered
from tests.core.stories import (
    CANCEL,
    DUE,
    END,
    FLASH_SALE,
    FOUNDERS,
    LATER,
    LOCKED,
    NEVER,
    PAID,
    SU7,
    T0,
    UNDO,
    UNLOCK,
    Story,
    cancelled,
    completed,
    draft,
    locked,
    money,
    ordered,
    paid,
    plain,
    refused,
    settled,
    terms,
    wire,
)
from tests.scope import examples

CASES = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "entitlements.toml").read_text("utf-8"))["case"]
PUBLISHED = {"DP1", "DP2", "DP3", "DP4", "DP5", "DP8", "DP10", "DP11", "DP12"}  # the others are in earnest.toml


def in_europe(*, custom: bool) -> Terms:
    item = {"sku": "one", "name": "One", "price": wire("1000 EUR"), "made_to_spec": custom}
    return draft(plain("recommended", "EUR", market="EU", items=[item], payment={"deposit": wire("100 EUR")}))


STANDARD, CUSTOM = in_europe(custom=False), in_europe(custom=True)


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
    owed = compute_entitlement(story.deposit, story.terms, case["cause"], at)
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


@pytest.mark.parametrize("cause", ["buyer_cancel", "merchant_cancel", "withdrawal"])
def test_what_has_ended_cannot_be_ended_again(cause: str) -> None:
    gone = cancelled()
    with refused(Reason.ALREADY_CANCELLED):
        compute_entitlement(gone.deposit, gone.terms, Cause(cause), END)
    for story, at in ((expired(), DUE), (ordered(), DUE)):
        with refused(Reason.WRONG_STATE, state=status_at(story.deposit, at).value):
            compute_entitlement(story.deposit, story.terms, Cause(cause), at)


@pytest.mark.parametrize("cause", ["buyer_cancel", "buyer_default", "merchant_cancel"])
def test_what_is_completed_is_ended_by_the_law_alone(cause: str) -> None:
    story = completed(STANDARD)
    with refused(Reason.WRONG_STATE, state="completed"):
        compute_entitlement(story.deposit, story.terms, Cause(cause), LATER)
    assert compute_entitlement(story.deposit, story.terms, Cause.WITHDRAWAL, LATER).amount == money("1000 EUR")


def test_goods_made_to_specification_know_no_withdrawal() -> None:
    story = paid()  # the car is made to order
    with refused(Reason.WITHDRAWAL_NOT_AVAILABLE):
        compute_entitlement(story.deposit, story.terms, Cause.WITHDRAWAL, PAID)


def test_one_line_made_to_specification_is_enough() -> None:
    story = paid(mixed(), ("custom", 1), ("standard", 1))
    with refused(Reason.WITHDRAWAL_NOT_AVAILABLE):
        compute_entitlement(story.deposit, story.terms, Cause.WITHDRAWAL, PAID)


def test_a_market_may_know_no_withdrawal(monkeypatch: pytest.MonkeyPatch) -> None:
    story = paid(STANDARD)
    assert compute_entitlement(story.deposit, story.terms, Cause.WITHDRAWAL, PAID).rule == "terms/withdrawal"
    law = story.terms.policy.model_copy(update={"withdrawal": None})
    monkeypatch.setattr("chalicelib.core.policy.market.read_policy", lambda _policy_id: law)
    with refused(Reason.WITHDRAWAL_NOT_AVAILABLE):
        compute_entitlement(story.deposit, story.terms, Cause.WITHDRAWAL, PAID)


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
    owed = compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, END)
    assert owed.forfeited == money(kept)
    assert owed.rule == ("EU-2026/made_to_spec_only" if owed.forfeited else "terms/refund_after_lock")


def test_the_lines_explain_a_deduction_with_the_rule_that_allows_it() -> None:
    story = paid()
    owed = compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, END)
    assert owed.lines == (
        RefundLine(LineCode.PAID, money("5088 CNY")),
        RefundLine(LineCode.FORFEITED, -money("5000 CNY"), "CN-2026/earnest_cap"),
    )


def test_what_went_back_already_is_a_line_and_not_paid_twice() -> None:
    story = ordered()
    story.pay("6000 CNY")
    owed = compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, PAID + 1)
    assert owed.amount == money("5088 CNY")
    assert owed.lines == (
        RefundLine(LineCode.PAID, money("6000 CNY")),
        RefundLine(LineCode.ALREADY_REFUNDED, -money("912 CNY")),
    )


def test_money_that_never_counted_is_no_line() -> None:
    story = paid()
    story.pay("100 CNY", PAID + 1)
    owed = compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, PAID + 2)
    assert owed.lines == (RefundLine(LineCode.PAID, money("5088 CNY")),)


def test_what_a_change_gave_back_is_not_paid_twice() -> None:
    cars = [
        {"sku": sku, "name": sku, "price": wire(price)} for sku, price in (("max", "299900 CNY"), ("pro", "245900 CNY"))
    ]
    story = paid(terms(items=cars, payment={"take": "full", "deposit": None, "nature": "advance"}), ("max", 1))
    story.ask(ChangeItems((Ordered("pro", 1),)), PAID + 1)
    for at in (PAID + 2, END):
        assert compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, at).lines == (
            RefundLine(LineCode.PAID, money("299988 CNY")),
            RefundLine(LineCode.ALREADY_REFUNDED, -money("54000 CNY")),
        )


# --- Against which capture it goes back ---


def legs(owed: Entitlement) -> list[tuple[str, str]]:
    return [(leg.capture, str(leg.amount)) for leg in owed.legs]


def shipped(*units: int) -> Story:
    """Two cars, everything paid, and so many units shipped one after the other."""
    story = settled(SU7, ("su7-max", 2))
    for quantity in units:
        story.ask(story.ship((1, quantity)), LATER)
    return story


@pytest.mark.parametrize(
    ("made", "cause", "at", "back"),
    [
        (ordered,          "buyer_cancel",    T0,      []),
        (paid,             "buyer_cancel",    PAID,    [("cap_1", "5088 CNY")]),
        (paid,             "buyer_cancel",    END,     [("cap_1", "88 CNY")]),
        (settled,          "buyer_cancel",    LATER,   [("cap_1", "88 CNY"), ("cap_2", "294900 CNY")]),
        (settled,          "buyer_default",   LATER,   [("cap_1", "88 CNY"), ("cap_2", "294900 CNY")]),
        (settled,          "merchant_cancel", LATER,   [("cap_1", "5088 CNY"), ("cap_2", "294900 CNY")]),
        # Two cars: 10,000 and 88, then 589,800. One of them is with the buyer and paid.
        (shipped,          "buyer_cancel",    LATER,   [("cap_1", "88 CNY"), ("cap_2", "589800 CNY")]),
        (lambda: shipped(1), "buyer_cancel",  LATER,   [("cap_1", "0 CNY"), ("cap_2", "294988 CNY")]),
        (lambda: shipped(1), "merchant_cancel", LATER, [("cap_1", "0 CNY"), ("cap_2", "299988 CNY")]),
    ],
)  # fmt: skip
def test_what_comes_back_goes_against_the_captures_that_paid_it(
    made: Callable[[], Story], cause: str, at: int, back: list[tuple[str, str]]
) -> None:
    story = made()
    owed = compute_entitlement(story.deposit, story.terms, Cause(cause), at)
    assert legs(owed) == back


def test_one_refund_for_each_capture_and_that_of_the_deposit_last() -> None:
    story = settled()
    story.ask(CANCEL, LATER)
    assert [(refund.capture, str(refund.amount)) for refund in story.deposit.refunds] == [
        ("cap_2", "294900 CNY"),
        ("cap_1", "88 CNY"),
    ]
    assert story.refund.lines[-1] == RefundLine(LineCode.FORFEITED, -money("5000 CNY"), "CN-2026/earnest_cap")


def test_the_lines_of_the_legs_are_those_of_the_whole_together() -> None:
    story = shipped(1)
    owed = compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, LATER)
    assert owed.lines == (
        RefundLine(LineCode.PAID, money("599888 CNY")),
        RefundLine(LineCode.FORFEITED, -money("5000 CNY"), "CN-2026/earnest_cap"),
        RefundLine(LineCode.GOODS_KEPT, -money("299900 CNY"), "terms/goods_kept"),
    )
    assert sum((leg.amount.minor for leg in owed.legs), 0) == owed.amount.minor


def pens() -> Story:
    """Three pens whose deposit is their price: everything is paid at once."""
    pen = [{"sku": "pen", "name": "Pen", "price": wire("0.10 CNY")}]
    under = terms(items=pen, payment={"deposit": wire("0.10 CNY"), "nature": "advance"}, shipping=wire("0 CNY"))
    return paid(under, ("pen", 3)).write(LATER)


@pytest.mark.parametrize(("units", "kept"), [(1, "0.10 CNY"), (2, "0.20 CNY")])
def test_what_is_with_the_buyer_stays_paid(units: int, kept: str) -> None:
    story = pens()
    story.ask(story.ship((1, units)), LATER)
    owed = compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, LATER)
    assert owed.lines[-1] == RefundLine(LineCode.GOODS_KEPT, -money(kept), "terms/goods_kept")
    assert owed.rule == "terms/refund_after_lock"


def test_a_seller_in_default_doubles_what_did_not_come() -> None:
    whole, half = shipped(), shipped(1)
    assert compute_entitlement(whole.deposit, SU7, Cause.MERCHANT_CANCEL, LATER).compensation == money("10000 CNY")
    assert compute_entitlement(half.deposit, SU7, Cause.MERCHANT_CANCEL, LATER).compensation == money("5000 CNY")


def test_a_withdrawal_gives_back_what_was_shipped_too() -> None:
    story = completed(STANDARD)
    owed = compute_entitlement(story.deposit, story.terms, Cause.WITHDRAWAL, LATER)
    assert (owed.amount, owed.forfeited, owed.rule) == (money("1000 EUR"), money("0 EUR"), "terms/withdrawal")


@pytest.mark.parametrize(
    ("made", "stake"),
    [
        (paid,                                            "5000 CNY"),
        (lambda: paid(FOUNDERS),                          "20000 CNY"),
        (lambda: paid(FLASH_SALE),                        "0 CNY"),
        (lambda: paid(terms(payment={"nature": "reservation"})), "0 CNY"),
        (lambda: paid(SU7, ("su7-max", 3)),               "15000 CNY"),
        (settled,                                         "5000 CNY"),
        (lambda: shipped(1),                              "5000 CNY"),
        (lambda: paid(STANDARD),                          "0 EUR"),
    ],
)  # fmt: skip
def test_what_is_at_stake_is_what_a_cancel_costs_once_the_lock_is_final(made: Callable[[], Story], stake: str) -> None:
    story = made()
    assert entitlement.compute_stake(story.deposit, story.terms) == money(stake)
    assert compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, LATER).forfeited == money(stake)


def test_no_more_is_kept_than_is_still_held() -> None:
    story = paid(terms(shipping=wire("0 CNY")))
    partly = RefundApproved(PAID, 1, Cause.GOODWILL, money("1000 CNY"), (), END, 1, "cap_1")
    deposit = evolve(story.deposit, partly)
    owed = compute_entitlement(deposit, story.terms, Cause.BUYER_CANCEL, END)
    assert owed.forfeited == money("4000 CNY")
    assert not owed.amount


@pytest.mark.parametrize(
    ("amount", "lines"),
    [
        ("1 CNY", (RefundLine(LineCode.PAID, money("2 CNY")),)),
        ("1 CNY", (RefundLine(LineCode.PAID, money("2 CNY")), RefundLine(LineCode.FORFEITED, -money("1 CNY")))),
        ("1 CNY", (RefundLine(LineCode.PAID, money("2 CNY")), RefundLine(LineCode.GOODS_KEPT, -money("1 CNY")))),
        ("1 CNY", (RefundLine(LineCode.PAID, money("2 CNY")), RefundLine(LineCode.SHIPPING_KEPT, -money("1 CNY")))),
        ("1 CNY", (RefundLine(LineCode.PAID, money("2 CNY")), RefundLine(LineCode.TRADE_IN_FEE, -money("1 CNY")))),
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


LOCKED_LATE = END - 30 * MINUTE
UNDO_LATE = LOCKED_LATE + HOUR


def locked_late() -> Story:
    return locked(at=LOCKED_LATE)


def undone_late() -> Story:
    story = locked_late()
    story.ask(UNLOCK, END)
    return story


def locked_and_undone() -> Story:
    story = locked()
    story.ask(UNLOCK, LOCKED)
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
        (locked,                   LOCKED,   [(LOCKED, LOCKED + HOUR, "5088 CNY"), (LOCKED + HOUR, None, "88 CNY")]),
        (lambda: locked(NEVER),    LOCKED,   [(LOCKED, LOCKED + HOUR, "5088 CNY"), (LOCKED + HOUR, None, "88 CNY")]),
        (locked_and_undone,        LOCKED,   [(LOCKED, END, "5088 CNY"), (END, None, "88 CNY")]),
        (locked_late,              END - 1,  [(END - 1, UNDO_LATE, "5088 CNY"), (UNDO_LATE, None, "88 CNY")]),
        (undone_late,              END,      [(END, UNDO_LATE, "5088 CNY"), (UNDO_LATE, None, "88 CNY")]),
        (settled,                  LATER,    [(LATER, None, "294988 CNY")]),
    ],
)  # fmt: skip
def test_the_curve_says_until_when_a_cancel_is_free(
    made: Callable[[], Story], at: int, points: list[tuple[int, int | None, str]]
) -> None:
    story = made()
    steps = compute_curve(story.deposit, story.terms, at)
    assert [(step.start, step.to, str(step.owed.amount)) for step in steps] == points


CURVED: list[Callable[[], Story]] = [
    paid,
    unlocked,
    locked,
    locked_late,
    undone_late,
    locked_and_undone,
    settled,
    lambda: shipped(1),
    lambda: paid(NEVER),
    lambda: paid(FLASH_SALE),
    lambda: paid(FOUNDERS),
]


@settings(max_examples=examples(30), deadline=None)  # each with 200 instants
@given(st.sampled_from(CURVED), st.integers(PAID - HOUR, END + HOUR), st.randoms(use_true_random=False))
def test_the_curve_is_what_a_cancel_gives_at_every_instant(made: Callable[[], Story], at: int, dice: Any) -> None:
    story = made()
    steps = compute_curve(story.deposit, story.terms, at)
    edges = [step.start + offset for step in steps for offset in (-1, 0, 1)]
    instants = [at, *edges, *(dice.randint(at, END + DAY) for _ in range(200))]
    for instant in instants:
        if instant < at:
            continue
        step = next(one for one in steps if one.start <= instant and (one.to is None or instant < one.to))
        assert step.owed == compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, instant)


def test_an_ended_deposit_has_no_curve() -> None:
    story = cancelled()
    with pytest.raises(Refused):
        compute_curve(story.deposit, story.terms, END)


def test_what_is_decided_is_what_was_shown_before() -> None:
    for at in (PAID, END - 1, END):
        story = paid()
        shown = entitlement.compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, at)
        story.ask(CANCEL, at)
        assert (story.refund.amount, story.refund.lines) == (shown.amount, shown.lines)
        assert story.deposit.money.forfeited == shown.forfeited
