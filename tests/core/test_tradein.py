"""Trade-ins: the published cases, one inspection, at most one fee, and what a new schedule changes: new offers only."""

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason
from chalicelib.core.delivery.trade_in import Inspect
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.goods import TradeInInspected
from chalicelib.core.deposit.events.refund import RefundLine
from chalicelib.core.deposit.fold import fold
from chalicelib.core.deposit.refund import RefundStatus
from chalicelib.core.deposit.status import Status
from chalicelib.core.deposit.trade_in import TradeIn
from chalicelib.core.ending import entitlement
from chalicelib.core.policy import fees
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import HandedIn, Ordered
from tests.core.stories import (
    A_WEEK,
    BALANCE_BY_CARD,
    BY_COURIER,
    BY_SELLER,
    CANCEL,
    CONFIRM_WITHDRAWAL,
    DEPOSIT_ID,
    DIFFERS,
    END,
    INTENT,
    LATER,
    LOCKED,
    MATCHES,
    PAID,
    SEND,
    STATE,
    T0,
    UNLOCK,
    Story,
    completed,
    draft,
    final,
    handed_in,
    locked,
    money,
    ordered,
    paid,
    plain,
    refund_news,
    refused,
    terms,
    traded,
    trading,
    wire,
)
from tests.core.test_fees import GROUNDS, TABLES, rupiah
from tests.publishing import publishing
from tests.scope import examples

CASES: Final = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "trade_in.toml").read_text("utf-8"))["case"]
NAME: Final = "id-tukar-tambah@2025-01-01"
PROOF: Final = ("photo:1", "record:2")
AT: Final = PAID + HOUR
# What is kept is a fee by one of these lines; everything else that was paid comes back.
FEE, SHIPPING = "trade_in_fee", "shipping_kept"


def differs(*grounds: str, evidence: tuple[str, ...] = PROOF) -> Inspect:
    return Inspect("mismatched", grounds, evidence)


def kept(lines: tuple[RefundLine, ...], code: str) -> Money:
    """What a line takes away, nothing where there is no such line."""
    found = [-line.amount for line in lines if line.code == code]
    assert len(found) <= 1, "a code is there once"
    return found[0] if found else Money.zero(lines[0].amount.currency)


def accounts(story: Story) -> tuple[str, ...]:
    """Held, refunding, refunded, forfeited and fees, as whole amounts; together they are what was captured."""
    books = story.deposit.money
    assert books.captured == books.held + books.refunding + books.refunded + books.forfeited + books.fees
    return tuple(part.amount for part in (books.held, books.refunding, books.refunded, books.forfeited, books.fees))


def published(category: str, price: int) -> tuple[int, int, int] | None:
    """The row of the typed table that holds a price."""
    return next((row for row in TABLES[category] if row[0] <= price <= row[1]), None)


# --- The 48 published cases ---


def asked(case: dict[str, Any]) -> list[Command]:
    """What is asked, one after the other."""
    evidence = PROOF if case.get("evidence", True) else ()
    match case["grounds"]:
        case ["SELLER_CANCEL"]:
            return [BY_SELLER]
        case ["COURIER_FAILED"]:
            return [BY_COURIER]
        case ["BUYER_CANCEL_BEFORE_PICKUP"]:
            return [CANCEL]
        case ["DEVICE_MATCHES"]:
            return [MATCHES, CANCEL]
        case grounds:
            return [differs(*grounds, evidence=evidence)]


def told(case: dict[str, Any]) -> Story:
    """The deposit of a case, paid: the old device is worth what the buyer did not have to pay."""
    credit = case["price"] + case["shipping"] - case["paid"]
    assert 0 <= credit <= case["price"], "an honest credit"
    amounts = (f"{amount} IDR" for amount in (case["price"], credit, case["shipping"]))
    story = traded(trading(*amounts, category=case["category"]))
    assert story.deposit.money.captured == rupiah(case["paid"])
    return story


ENDS: Final = [case for case in CASES if "refused" not in case]


@pytest.mark.parametrize("case", ENDS, ids=[case["id"] for case in ENDS])
def test_a_published_case_gives_back_what_it_says(case: dict[str, Any]) -> None:
    story = told(case)
    for command in asked(case):
        story.ask(command, AT)
    back = case.get("back", 0)
    shipping_kept = case["shipping"] - back
    lines = story.refund.lines
    assert story.refund.amount == rupiah(case["refund"])
    assert kept(lines, FEE) == rupiah(case["fee"])
    assert kept(lines, SHIPPING) == rupiah(shipping_kept)
    assert case["refund"] == case["paid"] - case["shipping"] - case["fee"] + back
    assert sum(line.amount.minor for line in lines) == story.refund.amount.minor
    assert lines[0] == RefundLine(LineCode.PAID, rupiah(case["paid"]))
    assert story.refund.review == ("fee-band-undefined" if case.get("review") else None)
    assert story.deposit.money.fees == rupiah(case["fee"] + shipping_kept)
    assert not story.deposit.money.held
    assert story.deposit.status is Status.CANCELLED


@pytest.mark.parametrize("case", ENDS, ids=[case["id"] for case in ENDS])
def test_a_published_case_cites_the_band_that_it_was_measured_by(case: dict[str, Any]) -> None:
    story = told(case)
    row = published(case["category"], case["price"])
    for command in asked(case):
        story.ask(command, AT)
    for line in story.refund.lines:
        if line.code == FEE:
            assert row is not None
            assert (line.rule, line.evidence) == (f"{NAME}/{case['category']}/{row[0]}-{row[1]}", PROOF)
        elif line.code == SHIPPING:
            assert (line.rule, line.evidence) == (f"{NAME}/shipping", ())
        else:
            assert (line.code, line.rule) == ("paid", None)
    agreed = story.deposit.created.trade_in
    assert agreed is not None
    assert agreed.fee_if_mismatched == (rupiah(row[2]) if row is not None else None)
    assert agreed.fee_base == rupiah(case["price"])
    assert case.get("capped", case["fee"]) in {row[2] if row is not None else 0, 0}


REFUSALS: Final = [case for case in CASES if "refused" in case]


@pytest.mark.parametrize("case", REFUSALS, ids=[case["id"] for case in REFUSALS])
def test_a_published_refusal_changes_nothing(case: dict[str, Any]) -> None:
    story = told(case)
    before = story.deposit
    assert [story.said(command, AT) for command in asked(case)] == [case["refused"]]
    assert story.deposit == before


def test_every_published_case_is_there_once() -> None:
    assert [case["id"] for case in CASES] == [f"TI{number:02}" for number in range(1, 49)]
    assert {case["id"]: case["refused"] for case in REFUSALS} == {"TI46": "invalid-ground", "TI48": "evidence-required"}
    assert {case["id"] for case in CASES if case.get("review")} == {"TI02", "TI10", "TI17", "TI30", "TI31"}
    assert {case["id"] for case in CASES if "capped" in case} == {"TI12", "TI13"}
    assert {case["id"] for case in CASES if "back" in case} == {"TI14", "TI15"}


@pytest.mark.parametrize(
    ("category", "code"), [(one, code) for one, codes in GROUNDS.items() for code in sorted(codes)]
)
def test_every_ground_costs_the_fee_of_its_own_goods_and_is_none_of_the_others(category: str, code: str) -> None:
    for other in GROUNDS:
        story = traded(trading(category=other))
        if other == category:
            story.ask(differs(code), AT)
            row = published(category, 3_000_000)
            assert row is not None
            assert kept(story.refund.lines, FEE) == rupiah(row[2])
        else:
            assert story.said(differs(code), AT) == "invalid-ground"


# --- What holds for every price ---

BASE: Final = {category: trading(category=category) for category in TABLES}
AROUND: Final = sorted(
    {bound + by for rows in TABLES.values() for low, high, _ in rows for bound in (low, high) for by in (-1, 0, 1)}
)
PRICES: Final = st.one_of(st.integers(0, 200_000_000), st.sampled_from(AROUND), st.integers(0, 60_000))
SHIPPINGS: Final = st.one_of(st.just(0), st.integers(0, 300_000))


@st.composite
def inspected(draw: st.DrawFn) -> tuple[Story, str, int, int, int]:
    """A phone, a television and so on, at any price, that did not match: with category, price, paid and shipping."""
    category = draw(st.sampled_from(sorted(TABLES)))
    price, shipping = draw(PRICES), draw(SHIPPINGS)
    if price + shipping == 0:
        price = 1
    credit = draw(st.one_of(st.integers(0, price), st.integers(max(0, price - 120_000), price)))
    if credit == price and not shipping:
        credit -= 1
    item = BASE[category].items[0].model_copy(update={"price": rupiah(price)})
    trade_in = BASE[category].trade_in
    assert trade_in is not None
    worth = trade_in.model_copy(update={"values": {"old": rupiah(credit)}})
    under = BASE[category].model_copy(update={"items": (item,), "shipping": rupiah(shipping), "trade_in": worth})
    story = traded(under)
    grounds = draw(st.lists(st.sampled_from(sorted(GROUNDS[category])), min_size=1, unique=True))
    story.ask(differs(*grounds), AT)
    return story, category, price, price - credit + shipping, shipping


@settings(max_examples=examples(250))
@given(inspected())
def test_at_any_price_one_fee_of_its_band_at_most_and_every_rupiah_is_somewhere(
    one: tuple[Story, str, int, int, int],
) -> None:
    story, category, price, came, shipping = one
    row, refund = published(category, price), story.refund
    fee, shipping_kept = kept(refund.lines, FEE), kept(refund.lines, SHIPPING)
    assert story.deposit.money.captured == rupiah(came) == refund.amount + fee + shipping_kept
    assert refund.amount >= rupiah(0)
    assert shipping_kept == rupiah(shipping)
    assert fee == rupiah(min(row[2], came - shipping) if row is not None else 0)
    assert refund.review == (None if row is not None else "fee-band-undefined")
    assert [line.rule for line in refund.lines if line.code == FEE] in (
        [[f"{NAME}/{category}/{row[0]}-{row[1]}"]] if fee and row is not None else [[]]
    )
    assert len(story.deposit.refunds) == 1
    assert story.deposit.money.fees == fee + shipping_kept
    assert not story.deposit.money.held
    assert not story.deposit.money.forfeited
    assert fold(DEPOSIT_ID, story.events) == story.deposit


MOVES: Final[dict[str, Command]] = {
    "differs": DIFFERS,
    "matches": MATCHES,
    "seller": BY_SELLER,
    "courier": BY_COURIER,
    "cancel": CANCEL,
    "intent": INTENT,
    "unlock": UNLOCK,
    "state": STATE,
    "withdraw": CONFIRM_WITHDRAWAL,
    "send": SEND,
}
PAUSES: Final = st.sampled_from([0, 1, MINUTE, HOUR, 3 * DAY, 7 * DAY])


@settings(max_examples=examples(200))
@given(
    week=st.booleans(),
    price=st.sampled_from([49_999, 50_000, 3_000_000]),
    share=st.sampled_from([0, 50, 99, 100]),
    moves=st.lists(
        st.tuples(PAUSES, st.sampled_from([*MOVES, "lock", "deadlines", "more money", "arrives"])), max_size=20
    ),
)
def test_whatever_happens_it_is_inspected_once_ends_once_and_costs_one_fee_at_most(
    week: bool, price: int, share: int, moves: list[tuple[int, str]]
) -> None:
    worth = price * share // 100
    story = traded(trading(f"{price} IDR", f"{worth} IDR", **(A_WEEK if week else {})))
    at = PAID
    for pause, move in moves:
        at += pause
        happens(story, move, at)
        accounts(story)
    inspections = [event for event in story.events if isinstance(event, TradeInInspected)]
    ends = [event for event in story.events if isinstance(event, Cancelled)]
    assert len(inspections) <= 1
    assert len(ends) <= 1
    lines = [line for refund in story.deposit.refunds for line in refund.lines]
    assert sum(line.code == FEE for line in lines) <= 1
    assert sum(-line.amount.minor for line in lines if line.code in {FEE, SHIPPING}) == story.deposit.money.fees.minor
    mismatched = any(event.outcome == "mismatched" for event in inspections)
    assert mismatched or not any(line.code == FEE for line in lines)
    assert mismatched is any(end.cause == "trade_in_mismatch" for end in ends)


def happens(story: Story, move: str, at: int) -> None:
    match move:
        case "lock":
            if story.deposit.intents:
                story.said(story.confirm(), at)
        case "deadlines":
            story.write(at)
        case "more money":
            story.pay("1 IDR", at)
        case "arrives":
            if story.deposit.refunds:
                story.said(refund_news(story, "succeeded", at), at)
        case "send":
            if story.deposit.refunds:
                story.said(SEND, at)
        case _:
            story.said(MOVES[move], at)


# --- The order ---


def offered_as(under: Terms, **changes: Any) -> Story:
    return ordered(under, **{**handed_in(under), **changes})


def test_an_order_pays_less_by_the_credit_and_freezes_what_a_fee_would_be() -> None:
    story = offered_as(trading())
    deposit, agreed = story.deposit, story.deposit.created.trade_in
    assert agreed is not None
    assert (agreed.category, agreed.model, agreed.schedule) == ("phone", "old", NAME)
    assert (agreed.credit, agreed.fee_base) == (money("800000 IDR"), money("3000000 IDR"))
    assert agreed.fee_if_mismatched == money("40000 IDR")
    assert deposit.trade_in is not None
    assert (deposit.trade_in.status, deposit.trade_in.inspection) == ("awaiting_handover", None)
    assert (deposit.items_total, deposit.credit) == (money("3000000 IDR"), money("800000 IDR"))
    assert deposit.total == deposit.created.due_now == money("2218000 IDR")
    assert not deposit.balance


def test_goods_are_paid_by_what_was_sent_and_not_by_the_credit() -> None:
    story = traded(trading())
    assert story.deposit.paid_by_line() == (money("2200000 IDR"),)
    assert story.deposit.paid_in == money("2218000 IDR")
    assert not story.deposit.balance


def test_an_order_without_an_old_device_is_an_order_like_any_other() -> None:
    story = paid(trading())
    assert (story.deposit.created.trade_in, story.deposit.trade_in) == (None, None)
    assert story.deposit.total == money("3018000 IDR")
    for command in (MATCHES, DIFFERS, BY_SELLER, BY_COURIER):
        assert story.said(command, AT) == "not-found"


@pytest.mark.parametrize(
    ("credit", "taken", "total"),
    [
        ("0 IDR",       "0 IDR",       "3018000 IDR"),
        ("2999999 IDR", "2999999 IDR", "18001 IDR"),
        ("3000000 IDR", "3000000 IDR", "18000 IDR"),
        ("3000001 IDR", "3000000 IDR", "18000 IDR"),
        ("9000000 IDR", "3000000 IDR", "18000 IDR"),
    ],
)  # fmt: skip
def test_a_credit_is_at_most_the_price_of_its_line(credit: str, taken: str, total: str) -> None:
    deposit = traded(trading(credit=credit)).deposit
    assert (deposit.credit, deposit.total) == (money(taken), money(total))
    assert deposit.paid_by_line() == (money("3000000 IDR") - money(taken),)


def test_an_order_of_which_nothing_is_left_to_pay_is_refused() -> None:
    assert offered_as(trading(credit="2999999 IDR", shipping="0 IDR")).deposit.total == money("1 IDR")
    for credit in ("3000000 IDR", "3000001 IDR"):
        with refused(Reason.INVALID_REQUEST, ("/trade_in/model", "too_large")):
            offered_as(trading(credit=credit, shipping="0 IDR"))


TWO_THINGS: Final = [
    {"sku": "new", "name": "New", "category": "phone", "price": wire("3000000 IDR")},
    {"sku": "set", "name": "Set", "category": "tv", "price": wire("5000000 IDR")},
]
FAULTS: Final[list[tuple[list[tuple[str, int]], HandedIn, list[tuple[str, str]]]]] = [
    # ordered                   handed in                    what is said
    ([("new", 1)],              HandedIn("phone", "old"),    []),
    ([("set", 1)],              HandedIn("tv", "old"),       []),
    ([("new", 1)],              HandedIn("phone", "older"),  [("/trade_in/model", "unknown_model")]),
    ([("new", 1)],              HandedIn("tv", "old"),       [("/trade_in/category", "category_differs")]),
    ([("new", 1)],              HandedIn("tv", "older"),     [("/trade_in/category", "category_differs"), ("/trade_in/model", "unknown_model")]),
    ([("new", 2)],              HandedIn("phone", "old"),    [("/items", "one_unit_with_trade_in")]),
    ([("new", 1), ("set", 1)],  HandedIn("phone", "old"),    [("/items", "one_unit_with_trade_in")]),
    ([("new", 1), ("new", 1)],  HandedIn("phone", "old"),    [("/items", "one_unit_with_trade_in")]),
    ([("gone", 1)],             HandedIn("phone", "old"),    [("/items/0/sku", "unknown_sku")]),
]  # fmt: skip


@pytest.mark.parametrize(("items", "device", "faults"), FAULTS)
def test_one_old_device_pays_one_new_thing_of_its_own_kind(
    items: list[tuple[str, int]], device: HandedIn, faults: list[tuple[str, str]]
) -> None:
    under = trading(items=TWO_THINGS, limits={"per_buyer": None})
    if not faults:
        assert ordered(under, *items, trade_in=device).deposit.trade_in is not None
        return
    with refused(Reason.INVALID_REQUEST, *faults):
        ordered(under, *items, trade_in=device)


def test_an_offer_that_takes_nothing_in_says_so() -> None:
    with refused(Reason.INVALID_REQUEST, ("/trade_in", "no_trade_in")):
        ordered(terms(), trade_in=HandedIn("general", "old"))


def test_goods_that_the_schedule_does_not_know_are_taken_in_without_a_fee() -> None:
    story = traded(trading(category="tablet"))
    agreed = story.deposit.created.trade_in
    assert agreed is not None
    assert agreed.fee_if_mismatched is None
    assert story.said(differs("PH_CONDITION_MISMATCH"), AT) == "invalid-ground"
    story.ask(BY_COURIER, AT)
    assert story.refund.amount == money("2218000 IDR")


# --- The inspection: once, while the deposit lives, and while no refund is open ---


def with_a_week() -> Story:
    return traded(trading(**A_WEEK))


def with_a_lock() -> Story:
    under = trading(**A_WEEK)
    return locked(under, **handed_in(under))


def with_a_final_lock() -> Story:
    under = trading(**A_WEEK)
    return final(under, **handed_in(under))


def with_open_refund() -> Story:
    story = traded(trading())
    story.pay("100 IDR", PAID + 1)
    return story


def with_arrived_refund() -> Story:
    story = with_open_refund()
    story.ask(SEND, PAID + 2)
    story.ask(refund_news(story, "succeeded", PAID + 2), PAID + 2)
    return story


def after(command: Command, made: Callable[[], Story] = lambda: traded(trading())) -> Callable[[], Story]:
    def story() -> Story:
        one = made()
        one.ask(command, AT)
        return one

    return story


def unpaid() -> Story:
    return offered_as(trading())


def shipped() -> Story:
    under = trading()
    return completed(under, **handed_in(under))


WRONG: Final = "wrong-state"
MATCHED, MISMATCHED, CANCELLED_ = (
    "trade_in.inspected",
    "trade_in.inspected deposit.cancelled refund.approved",
    "trade_in.cancelled deposit.cancelled refund.approved",
)
STANDING: Final[list[tuple[Callable[[], Story], int, str, str, str]]] = [
    # deposit                        asked at      it matches   it does not    the seller's or courier's fault
    (unpaid,                         T0,           WRONG,       WRONG,         WRONG),
    (unpaid,                         PAID + DAY,   WRONG,       WRONG,         WRONG),
    (lambda: traded(trading()),      PAID,         MATCHED,     MISMATCHED,    CANCELLED_),
    (lambda: traded(trading()),      LATER,        MATCHED,     MISMATCHED,    CANCELLED_),
    (with_a_week,                    PAID,         MATCHED,     MISMATCHED,    CANCELLED_),
    (with_a_week,                    END - 1,      MATCHED,     MISMATCHED,    CANCELLED_),
    (with_a_week,                    END,          MATCHED,     MISMATCHED,    CANCELLED_),
    (with_a_lock,                    LOCKED,       MATCHED,     MISMATCHED,    CANCELLED_),
    (with_a_final_lock,              LATER,        MATCHED,     MISMATCHED,    CANCELLED_),
    (after(MATCHES),                 AT,           WRONG,       WRONG,         CANCELLED_),
    (after(MATCHES, with_a_week),    AT,           WRONG,       WRONG,         CANCELLED_),
    (after(DIFFERS),                 AT,           WRONG,       WRONG,         WRONG),
    (after(BY_COURIER),              AT,           WRONG,       WRONG,         WRONG),
    (after(CANCEL),                  AT,           WRONG,       WRONG,         WRONG),
    (with_open_refund,               AT,           WRONG,       WRONG,         CANCELLED_),
    (with_arrived_refund,            AT,           MATCHED,     MISMATCHED,    CANCELLED_),
    (shipped,                        LATER,        WRONG,       WRONG,         WRONG),
]  # fmt: skip


@pytest.mark.parametrize(("made", "at", "matches", "not_so", "fault"), STANDING)
def test_it_is_looked_at_once_while_the_deposit_lives_and_no_refund_is_open(
    made: Callable[[], Story], at: int, matches: str, not_so: str, fault: str
) -> None:
    assert made().said(MATCHES, at) == matches
    assert made().said(DIFFERS, at) == not_so
    assert made().said(BY_SELLER, at) == made().said(BY_COURIER, at) == fault


def test_a_refusal_says_where_deposit_and_device_stand() -> None:
    matched = after(MATCHES)()
    with refused(Reason.WRONG_STATE, state="locked", trade_in="matched"):
        matched.ask(DIFFERS, AT)
    gone = after(DIFFERS)()
    with refused(Reason.WRONG_STATE, state="cancelled", trade_in="mismatched"):
        gone.ask(BY_SELLER, AT)
    waiting = unpaid()
    with refused(Reason.WRONG_STATE, state="awaiting_payment", trade_in="awaiting_handover"):
        waiting.ask(MATCHES, T0)


GROUND_FAULTS: Final[list[tuple[Inspect, str, str, str]]] = [
    # the inspector says                                          refused for          where          why
    (differs("PH_CONDITION_MISMATCH", evidence=()),               "evidence-required", "/evidence",   "missing"),
    (differs("TV_CRT", evidence=()),                              "evidence-required", "/evidence",   "missing"),  # evidence first
    (differs(evidence=()),                                        "evidence-required", "/evidence",   "missing"),
    (differs(),                                                   "invalid-ground",    "/grounds",    "missing"),
    (differs("TV_CRT"),                                           "invalid-ground",    "/grounds/0",  "unknown_ground"),
    (differs("PH_CONDITION_MISMATCH", "TV_CRT"),                  "invalid-ground",    "/grounds/1",  "unknown_ground"),
    (differs("SELLER_CANCEL"),                                    "invalid-ground",    "/grounds/0",  "unknown_ground"),
    (differs("ph_condition_mismatch"),                            "invalid-ground",    "/grounds/0",  "unknown_ground"),
    (differs("PH_BUYER_NOT_FOUND", "PH_BUYER_NOT_FOUND"),         "invalid-ground",    "/grounds/1",  "duplicate"),
    (Inspect("matched", ("PH_CONDITION_MISMATCH",), PROOF),       "invalid-ground",    "/grounds",    "no_grounds_when_matched"),
]  # fmt: skip


@pytest.mark.parametrize(("inspection", "reason", "pointer", "why"), GROUND_FAULTS)
@pytest.mark.parametrize("made", [lambda: traded(trading()), after(CANCEL)], ids=["waiting", "cancelled"])
def test_what_cannot_be_charged_is_refused_before_the_state_is_looked_at(
    made: Callable[[], Story], inspection: Inspect, reason: str, pointer: str, why: str
) -> None:
    story = made()
    before = story.deposit
    with refused(Reason(reason), (pointer, why)):
        story.ask(inspection, AT)
    assert story.deposit == before


@pytest.mark.parametrize("made", [lambda: traded(trading()), with_a_week, with_a_lock, with_a_final_lock])
def test_a_device_that_matches_changes_nothing_else(made: Callable[[], Story]) -> None:
    story = made()
    before, at = story.deposit, story.deposit.updated_at
    story.ask(Inspect("matched", (), PROOF), at)
    found = TradeIn("matched", TradeInInspected(at, "matched", (), PROOF))
    assert story.deposit == replace(before, trade_in=found, version=before.version + 1)


def test_what_was_found_stays_whatever_follows() -> None:
    found = TradeInInspected(AT, "matched", (), ())
    for command, status in ((CANCEL, "cancelled"), (BY_COURIER, "cancelled")):
        story = after(MATCHES)()
        story.ask(command, AT + 1)
        assert story.deposit.trade_in is not None
        assert (story.deposit.trade_in.status, story.deposit.trade_in.inspection) == (status, found)
    mismatched = after(DIFFERS)().deposit.trade_in
    assert mismatched is not None
    assert mismatched.status == "mismatched"
    assert mismatched.inspection == TradeInInspected(AT, "mismatched", DIFFERS.grounds, DIFFERS.evidence)


@pytest.mark.parametrize(
    ("made", "at"), [(unpaid, T0), (lambda: traded(trading()), AT), (with_a_week, AT), (with_a_week, END)]
)
def test_a_device_that_nobody_looked_at_goes_with_its_deposit(made: Callable[[], Story], at: int) -> None:
    story = made()
    story.ask(CANCEL, at)
    assert story.deposit.trade_in is not None
    assert (story.deposit.trade_in.status, story.deposit.trade_in.inspection) == ("cancelled", None)


def test_a_device_of_an_order_that_was_never_paid_is_not_waited_for() -> None:
    story = unpaid().write(PAID + DAY)
    assert story.deposit.status is Status.EXPIRED
    assert story.deposit.trade_in is not None
    assert story.deposit.trade_in.status == "cancelled"


def test_a_device_that_matched_stays_matched_when_the_new_one_is_with_the_buyer() -> None:
    story = after(MATCHES)()
    story.ask(story.ship(), AT)
    assert story.deposit.status is Status.COMPLETED
    assert story.deposit.trade_in is not None
    assert story.deposit.trade_in.status == "matched"


# --- What comes back ---

EVERYTHING, WITHOUT_SHIPPING, LESS_A_FEE = "2218000 IDR", "2200000 IDR", "2160000 IDR"
BACK: Final[list[tuple[Callable[[], Story], Command, int, str, str, str]]] = [
    # deposit                       ended by      asked at     comes back         cause                  by the rule
    # Inside a window nothing is kept of a buyer's own cancel.
    (with_a_week,                   CANCEL,       PAID,        EVERYTHING,        "buyer_cancel",        "terms/window"),
    (with_a_week,                   CANCEL,       END - 1,     EVERYTHING,        "buyer_cancel",        "terms/window"),
    (with_a_week,                   CANCEL,       END,         WITHOUT_SHIPPING,  "buyer_cancel",        f"{NAME}/shipping"),
    (after(MATCHES, with_a_week),   CANCEL,       END - 1,     EVERYTHING,        "buyer_cancel",        "terms/window"),
    (after(MATCHES, with_a_week),   CANCEL,       END,         WITHOUT_SHIPPING,  "buyer_cancel",        f"{NAME}/shipping"),
    # A lock that can be undone is no lock yet.
    (with_a_lock,                   CANCEL,       LOCKED + HOUR - 1, EVERYTHING,  "buyer_cancel",        "terms/undo"),
    (with_a_lock,                   CANCEL,       LOCKED + HOUR, WITHOUT_SHIPPING, "buyer_cancel",       f"{NAME}/shipping"),
    (with_a_final_lock,             CANCEL,       LATER,       WITHOUT_SHIPPING,  "buyer_cancel",        f"{NAME}/shipping"),
    # Without a window shipping is kept from the start.
    (lambda: traded(trading()),     CANCEL,       PAID,        WITHOUT_SHIPPING,  "buyer_cancel",        f"{NAME}/shipping"),
    (after(MATCHES),                CANCEL,       AT,          WITHOUT_SHIPPING,  "buyer_cancel",        f"{NAME}/shipping"),
    # Who is not at fault loses nothing.
    (with_a_week,                   BY_SELLER,    PAID,        EVERYTHING,        "trade_in_cancel",     "terms/trade_in_cancel"),
    (with_a_week,                   BY_COURIER,   END,         EVERYTHING,        "trade_in_cancel",     "terms/trade_in_cancel"),
    (lambda: traded(trading()),     BY_SELLER,    AT,          EVERYTHING,        "trade_in_cancel",     "terms/trade_in_cancel"),
    (lambda: traded(trading()),     BY_COURIER,   AT,          EVERYTHING,        "trade_in_cancel",     "terms/trade_in_cancel"),
    (after(MATCHES),                BY_COURIER,   AT,          EVERYTHING,        "trade_in_cancel",     "terms/trade_in_cancel"),
    # A mismatch costs the fee and shipping, window or not.
    (with_a_week,                   DIFFERS,      PAID,        LESS_A_FEE,        "trade_in_mismatch",   f"{NAME}/phone/1000001-3000000"),
    (with_a_lock,                   DIFFERS,      LOCKED,      LESS_A_FEE,        "trade_in_mismatch",   f"{NAME}/phone/1000001-3000000"),
    (lambda: traded(trading()),     DIFFERS,      AT,          LESS_A_FEE,        "trade_in_mismatch",   f"{NAME}/phone/1000001-3000000"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "command", "at", "back", "cause", "rule"), BACK)
def test_what_comes_back_and_what_is_kept_are_what_was_paid(
    made: Callable[[], Story], command: Command, at: int, back: str, cause: str, rule: str
) -> None:
    story = made()
    story.ask(command, at)
    (end,) = (event for event in story.events if isinstance(event, Cancelled))
    assert (str(story.refund.amount), story.refund.cause, end.cause, end.rule) == (back, cause, cause, rule)
    fees_kept = money(EVERYTHING) - money(back)
    assert accounts(story) == ("0", money(back).amount, "0", "0", fees_kept.amount)
    assert (end.fees or money("0 IDR"), end.forfeited) == (fees_kept, money("0 IDR"))
    assert story.refund.review is None


def test_the_lines_of_a_mismatch_explain_every_rupiah() -> None:
    story = after(differs("PH_CONDITION_MISMATCH", "PH_DATA_WIPE_REFUSED"))()
    assert story.refund.lines == (
        RefundLine(LineCode.PAID, money("2218000 IDR")),
        RefundLine(LineCode.SHIPPING_KEPT, -money("18000 IDR"), f"{NAME}/shipping"),
        RefundLine(LineCode.TRADE_IN_FEE, -money("40000 IDR"), f"{NAME}/phone/1000001-3000000", PROOF),
    )
    assert status_at(story.deposit, AT) is Status.CANCELLED


def test_a_cancel_asked_in_the_window_is_judged_as_inside_although_its_end_stands_written() -> None:
    story = with_a_week().write(END + MINUTE)
    story.ask(CANCEL, END - 1)
    assert str(story.refund.amount) == EVERYTHING
    late = with_a_week().write(END + MINUTE)
    late.ask(CANCEL, END)
    assert str(late.refund.amount) == WITHOUT_SHIPPING


def test_the_curve_says_from_when_on_shipping_is_kept() -> None:
    def points(story: Story) -> list[tuple[int, int | None, str]]:
        steps = entitlement.curve(story.deposit, story.terms, PAID)
        return [(step.start, step.to, str(step.owed.amount)) for step in steps]

    assert points(with_a_week()) == [(PAID, END, EVERYTHING), (END, None, WITHOUT_SHIPPING)]
    assert points(traded(trading())) == [(PAID, None, WITHOUT_SHIPPING)]


@pytest.mark.parametrize("at", [PAID, END - 1, END])
def test_what_is_shown_before_a_cancel_is_what_is_kept(at: int) -> None:
    story = with_a_week()
    shown = entitlement.compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, at)
    story.ask(CANCEL, at)
    assert (shown.amount, shown.lines) == (story.refund.amount, story.refund.lines)
    assert shown.fees == story.deposit.money.fees
    assert shown.amount + shown.fees == story.deposit.money.captured


def test_a_buyer_in_default_loses_what_a_buyer_who_cancels_loses() -> None:
    story = paid(DEPOSIT_FIRST, **handed_in(DEPOSIT_FIRST))
    cancel, default = (
        entitlement.compute_entitlement(story.deposit, story.terms, Cause(cause), LATER)
        for cause in ("buyer_cancel", "buyer_default")
    )
    assert default == cancel
    assert (str(default.amount), str(default.fees)) == ("500000 IDR", "18000 IDR")


def test_a_merchant_who_cancels_gives_everything_back() -> None:
    story = traded(trading())
    owed = entitlement.compute_entitlement(story.deposit, story.terms, Cause.MERCHANT_CANCEL, AT)
    assert (str(owed.amount), owed.fees) == (EVERYTHING, money("0 IDR"))


def test_a_withdrawal_by_the_law_gives_everything_back() -> None:
    story = traded(trading())
    story.ask(STATE, AT)
    story.ask(CONFIRM_WITHDRAWAL, AT + 1)
    assert (str(story.refund.amount), story.refund.cause) == (EVERYTHING, "withdrawal")
    assert story.deposit.trade_in is not None
    assert story.deposit.trade_in.status == "cancelled"
    assert story.said(DIFFERS, AT + 2) == WRONG


def test_money_that_came_too_much_is_no_part_of_what_a_fee_is_cut_from() -> None:
    story = offered_as(trading("1000000 IDR", "980000 IDR"))
    story.pay("1038000 IDR")
    assert [str(refund.amount) for refund in story.deposit.refunds] == ["1000000 IDR"]
    story.ask(SEND, PAID)
    story.ask(refund_news(story, "succeeded", PAID), PAID)
    story.ask(DIFFERS, AT)
    assert (kept(story.refund.lines, FEE), story.refund.amount) == (money("20000 IDR"), money("0 IDR"))
    assert accounts(story) == ("0", "0", "1000000", "0", "38000")


def test_a_refund_of_nothing_is_settled_when_it_is_written() -> None:
    story = traded(trading("1000000 IDR", "980000 IDR"))
    story.ask(DIFFERS, AT)
    assert (story.refund.amount, story.refund.status) == (money("0 IDR"), RefundStatus.SETTLED)
    assert kept(story.refund.lines, FEE) == money("20000 IDR")


# --- A fee is measured by what was agreed at the order, and cut from every capture in turn ---

DEPOSIT_FIRST: Final = trading(
    payment={"take": "deposit", "deposit": wire("500000 IDR"), "nature": "advance"}, limits={"per_buyer": None}
)


def deposit_of(amount: str) -> Terms:
    return trading(payment={"take": "deposit", "deposit": wire(amount), "nature": "advance"})


def paid_in_two(under: Terms) -> Story:
    story = paid(under, **handed_in(under))
    story.ask(BALANCE_BY_CARD, AT)
    story.pay(at=AT)
    return story


def test_of_a_deposit_the_balance_is_less_by_the_credit() -> None:
    story = paid(DEPOSIT_FIRST, **handed_in(DEPOSIT_FIRST))
    assert (story.deposit.created.due_now, story.deposit.balance) == (money("518000 IDR"), money("1700000 IDR"))
    assert story.deposit.paid_by_line() == (money("500000 IDR"),)
    small = trading(
        credit="2900000 IDR", payment={"take": "deposit", "deposit": wire("500000 IDR"), "nature": "advance"}
    )
    assert traded(small).deposit.created.due_now == money("118000 IDR"), "never more than everything"


@pytest.mark.parametrize(
    ("deposit", "back"),
    [
        ("500000 IDR", [("cap_2", "1700000 IDR"), ("cap_1", "460000 IDR")]),
        ("40000 IDR",  [("cap_1", "0 IDR"), ("cap_2", "2160000 IDR")]),
        ("30000 IDR",  [("cap_1", "0 IDR"), ("cap_2", "2160000 IDR")]),
    ],
)  # fmt: skip
def test_one_fee_is_cut_from_both_captures_together(deposit: str, back: list[tuple[str, str]]) -> None:
    story = paid_in_two(deposit_of(deposit))
    story.ask(DIFFERS, AT)
    assert [(refund.capture, str(refund.amount)) for refund in story.deposit.refunds] == back
    cut = [line for refund in story.deposit.refunds for line in refund.lines if line.code == FEE]
    assert sum(-line.amount.minor for line in cut) == money("40000 IDR").minor
    assert all(line.evidence == DIFFERS.evidence for line in cut)
    assert accounts(story) == ("0", "2160000", "0", "0", "58000")


def test_before_the_balance_a_fee_is_cut_from_the_deposit_alone() -> None:
    under = deposit_of("30000 IDR")
    story = paid(under, **handed_in(under))
    story.ask(DIFFERS, AT)
    assert (story.refund.amount, kept(story.refund.lines, FEE)) == (money("0 IDR"), money("30000 IDR"))
    assert accounts(story) == ("0", "0", "0", "0", "48000")


def test_a_price_in_no_band_is_looked_at_by_a_person_and_costs_no_fee() -> None:
    story = paid_in_two(
        trading("30000001 IDR", payment={"take": "deposit", "deposit": wire("500000 IDR"), "nature": "advance"})
    )
    story.ask(DIFFERS, AT)
    assert {refund.review for refund in story.deposit.refunds} == {"fee-band-undefined"}
    assert accounts(story) == ("0", "29200001", "0", "0", "18000")


def test_the_flag_of_a_review_outlives_the_way_of_the_money() -> None:
    story = traded(trading("49999 IDR", "0 IDR"))
    story.ask(DIFFERS, AT)
    story.ask(SEND, AT)
    story.ask(refund_news(story, "succeeded", AT), AT)
    assert (story.refund.status, story.refund.review) == (RefundStatus.SUCCEEDED, "fee-band-undefined")


def test_what_is_ordered_cannot_be_changed_any_more() -> None:
    same = ChangeItems((Ordered("new", 1),))
    for made in (with_a_week, after(MATCHES, with_a_week)):
        assert made().said(same, AT) == WRONG
    alone = paid(trading(**A_WEEK))
    assert alone.said(same, AT) == "items.changed"


# --- Rules are data: another kind of goods, a later version, another market ---

LATER_VERSION: Final = """
id = "id-tukar-tambah"
version = "2026-07-01"
from = 2024-03-01
currency = "IDR"
source = "made up for a test"
category = [
  { code = "phone", bands = [{ from = 50_000, to = 30_000_000, fee = 10_000 }] },
  { code = "tablet", bands = [
    { from = 100_000, to = 2_999_999, fee = 15_000 },
    { from = 3_000_000, to = 9_000_000, fee = 25_000 },
  ] },
]
ground = [
  { code = "PH_CONDITION_MISMATCH", category = "phone", at_fault = "buyer" },
  { code = "TB_PEN_MISSING", category = "tablet", at_fault = "buyer" },
  { code = "TB_LOST_ON_THE_WAY", category = "tablet", at_fault = "courier" },
]
[rules]
fee_base = "new_item_unit_price"
most_fees = 1
shipping_kept = true
"""  # fmt: skip
IN_EURO: Final = (
    LATER_VERSION.replace('"id-tukar-tambah"', '"eu-trade-in"')
    .replace('"IDR"', '"EUR"')
    .replace("from = 50_000, to = 30_000_000, fee = 10_000", "from = 50, to = 3_000, fee = 20")
)
Publish = Callable[[str, str], None]


@pytest.fixture
def publish(tmp_path: Path) -> Iterator[Publish]:
    """Adds a schedule, to a copy of our data that this test alone reads."""
    with publishing(tmp_path) as publisher:
        yield lambda name, text: publisher.add(f"fees/{name}.toml", text)


def test_a_later_version_holds_for_new_offers_and_no_old_deposit_notices(publish: Publish) -> None:
    old_terms = trading()
    old, older = traded(old_terms), traded(old_terms)
    older.ask(DIFFERS, AT)
    publish("id-tukar-tambah-2026-07-01", LATER_VERSION)
    new_terms = trading()
    assert old_terms.trade_in is not None
    assert new_terms.trade_in is not None
    assert (old_terms.trade_in.name, new_terms.trade_in.name) == (NAME, "id-tukar-tambah@2026-07-01")
    assert fees.in_force(T0)["id-tukar-tambah"].version == "2026-07-01"
    new, late = traded(new_terms), traded(old_terms)  # an order on the old offer is still under its terms
    for story, fee, rule in (
        (old, "40000 IDR", f"{NAME}/phone/1000001-3000000"),
        (late, "40000 IDR", f"{NAME}/phone/1000001-3000000"),
        (new, "10000 IDR", "id-tukar-tambah@2026-07-01/phone/50000-30000000"),
    ):
        agreed = story.deposit.created.trade_in
        assert agreed is not None
        assert agreed.fee_if_mismatched == money(fee)
        story.ask(DIFFERS, AT)
        assert [(str(-line.amount), line.rule) for line in story.refund.lines if line.code == FEE] == [(fee, rule)]
    assert old.refund == older.refund, "the same before and after"


def test_an_earlier_version_that_is_published_late_is_not_the_one_in_force(publish: Publish) -> None:
    publish("id-tukar-tambah-2026-07-01", LATER_VERSION)
    earlier = LATER_VERSION.replace("2026-07-01", "2024-01-01").replace("from = 2024-03-01", "from = 2024-01-01")
    publish("id-tukar-tambah-2024-01-01", earlier)
    under = trading()
    assert under.trade_in is not None
    assert under.trade_in.name == "id-tukar-tambah@2026-07-01"
    assert fees.schedule("id-tukar-tambah@2024-01-01").bands("tablet")


@pytest.mark.parametrize(
    ("price", "fee", "band"),
    [
        ("99999 IDR",   None,        None),
        ("100000 IDR",  "15000 IDR", "100000-2999999"),
        ("2999999 IDR", "15000 IDR", "100000-2999999"),
        ("3000000 IDR", "25000 IDR", "3000000-9000000"),
        ("9000000 IDR", "25000 IDR", "3000000-9000000"),
        ("9000001 IDR", None,        None),
    ],
)  # fmt: skip
def test_a_fifth_kind_of_goods_is_a_data_file(publish: Publish, price: str, fee: str | None, band: str | None) -> None:
    publish("id-tukar-tambah-2026-07-01", LATER_VERSION)
    story = traded(trading(price, "0 IDR", category="tablet"))
    assert story.said(differs("PH_CONDITION_MISMATCH"), AT) == "invalid-ground"
    story.ask(differs("TB_PEN_MISSING"), AT)
    cut = [(str(-line.amount), line.rule) for line in story.refund.lines if line.code == FEE]
    assert cut == ([(fee, f"id-tukar-tambah@2026-07-01/tablet/{band}")] if fee else [])
    assert story.refund.amount == money(price) - money(fee or "0 IDR")
    assert story.refund.review == (None if fee else "fee-band-undefined")


def test_a_ground_that_is_not_the_buyers_costs_nothing_beside_one_that_is_it_costs_one_fee(publish: Publish) -> None:
    publish("id-tukar-tambah-2026-07-01", LATER_VERSION)
    under = trading(category="tablet")
    story = traded(under)
    story.ask(differs("TB_LOST_ON_THE_WAY"), AT)
    assert (str(story.refund.amount), story.refund.cause) == (EVERYTHING, "trade_in_mismatch")
    both = traded(under)
    both.ask(differs("TB_LOST_ON_THE_WAY", "TB_PEN_MISSING"), AT)
    assert accounts(both) == ("0", "2175000", "0", "0", "43000")


def test_where_a_programme_does_not_keep_shipping_it_comes_back(publish: Publish) -> None:
    publish("id-tukar-tambah-2026-07-01", LATER_VERSION.replace("shipping_kept = true", "shipping_kept = false"))
    story, cancelled = traded(trading()), traded(trading())
    story.ask(DIFFERS, AT)
    assert accounts(story) == ("0", "2208000", "0", "0", "10000")
    cancelled.ask(CANCEL, AT)
    assert accounts(cancelled) == ("0", "2218000", "0", "0", "0")


def european(price: str = "900 EUR", credit: str = "300 EUR", **changes: Any) -> Terms:
    return trading(price, credit, "15 EUR", market="EU", schedule="eu-trade-in", **changes)


@pytest.mark.parametrize(
    ("command", "fee", "back"),
    [
        (DIFFERS,    "20 EUR", "595 EUR"),
        (CANCEL,     "0 EUR",  "615 EUR"),
        (BY_COURIER, "0 EUR",  "615 EUR"),
        (BY_SELLER,  "0 EUR",  "615 EUR"),
    ],
)  # fmt: skip
def test_where_the_law_gives_standard_shipping_back_no_programme_keeps_it(
    publish: Publish, command: Command, fee: str, back: str
) -> None:
    publish("eu-trade-in-2026-07-01", IN_EURO)
    story = traded(european())
    story.ask(command, AT)
    assert kept(story.refund.lines, SHIPPING) == money("0 EUR")
    assert (kept(story.refund.lines, FEE), story.refund.amount) == (money(fee), money(back))
    assert story.deposit.money.fees == money(fee)
    matched = traded(european())
    matched.ask(MATCHES, AT)
    matched.ask(CANCEL, AT)
    assert matched.refund.amount == money("615 EUR")


def test_shipping_that_comes_back_is_nothing_that_a_fee_is_cut_from(publish: Publish) -> None:
    publish("eu-trade-in-2026-07-01", IN_EURO)
    for credit, fee, back in (
        ("880 EUR", "20 EUR", "15 EUR"),
        ("881 EUR", "19 EUR", "15 EUR"),
        ("900 EUR", "0 EUR", "15 EUR"),
    ):
        story = traded(european(credit=credit))
        story.ask(DIFFERS, AT)
        assert (kept(story.refund.lines, FEE), story.refund.amount) == (money(fee), money(back))


def test_a_schedule_is_offered_in_its_own_currency_only(publish: Publish) -> None:
    publish("eu-trade-in-2026-07-01", IN_EURO)
    item = {"sku": "new", "name": "New", "price": wire("900 EUR")}
    sent = plain("trade_in_id", "EUR", market="EU", items=[item])
    with refused(Reason.CURRENCY_MISMATCH, ("/trade_in/schedule", "currency_mismatch")):
        draft({**sent, "trade_in": {"schedule": "id-tukar-tambah", "values": {}}})
    assert draft({**sent, "trade_in": {"schedule": "eu-trade-in", "values": {}}}).trade_in is not None


def test_a_file_that_is_not_sound_is_never_in_force(publish: Publish) -> None:
    publish("id-tukar-tambah-2026-07-01", LATER_VERSION.replace("fee = 25_000", "fee = 14_999"))
    with pytest.raises(ValueError, match="not sound"):
        trading()


def test_nothing_that_a_test_published_is_remembered() -> None:
    assert set(fees.in_force(T0)) == {"id-tukar-tambah"}
    assert fees.in_force(T0)["id-tukar-tambah"].version == "2025-01-01"
