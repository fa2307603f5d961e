"""Cancellation by the merchant: what each published reason needs, what it gives, and in which order it is refused."""

import dataclasses
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.ending import Cancelled, PassGranted
from chalicelib.core.deposit.events.refund import RefundApproved, RefundDeclined
from chalicelib.core.deposit.priority_pass import PassStatus
from chalicelib.core.deposit.refund import NO_CAPTURE, RefundStatus
from chalicelib.core.journal_replay import approval_differs
from chalicelib.core.merchant import cancellation
from chalicelib.core.merchant.cancellation import MerchantCancel, filter_evidence
from chalicelib.core.merchant.question import AnswerQuestion, Ask
from chalicelib.core.policy.cancellation_reasons import QuestionKind, find_reasons
from chalicelib.core.policy.terms import Terms
from chalicelib.core.proof import find_differences
from tests.core.stories import (
    BALANCE_BY_CARD,
    CANCEL,
    DEPOSIT_ID,
    DUE,
    END,
    FLASH_SALE,
    LATER,
    LOCKED,
    OUT_OF_STOCK,
    PAID,
    SU7,
    T0,
    UNLOCK,
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
    terms,
    wire,
)
from tests.core.test_proof import proof_of

DATA: Final = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "cancellations.toml").read_text("utf-8"))
REASONS: Final[list[dict[str, Any]]] = DATA["reason"]
CASES: Final[list[dict[str, Any]]] = DATA["case"]
CODES: Final = [row["code"] for row in REASONS]
ANSWERED_BY: Final = 48 * HOUR
LIMITED: Final = terms(limits={"per_buyer": 3}, cancellation_reasons=CODES)
OURS: Final = terms(cancellation_reasons=CODES)
NOTED: Final = MerchantCancel("MERCHANT_OTHER", ("record:1",), "sha256:note", 40, "usr_second")


def told(row: dict[str, Any], under: Terms = LIMITED) -> tuple[Story, int]:
    """Two pieces, paid unless nothing may be, and asked about what must be; with the instant of the cancellation."""
    story = ordered(under, ("su7-max", 2)) if row.get("unpaid") else paid(under, ("su7-max", 2))
    if "asked" not in row:
        return story, PAID
    story.ask(Ask(row["asked"], "sha256:asked"), PAID)
    return story, PAID + ANSWERED_BY


def evidence(row: dict[str, Any], items: int) -> tuple[str, ...]:
    """So many items; the question is one of them where one is needed."""
    records = tuple(f"record:{n}" for n in range(items))
    return (child("qst", DEPOSIT_ID, 1), *records[1:]) if "asked" in row and items else records


def command(row: dict[str, Any], items: int | None = None, **changes: Any) -> MerchantCancel:
    """As the reason asks for it, and no more."""
    note = {"note": "sha256:note", "note_length": row["words"]} if "words" in row else {}
    approver = {"approver": "usr_second"} if row.get("second") else {}
    asked = evidence(row, row["least"] if items is None else items)
    return MerchantCancel(row["code"], asked, **{**note, **approver, **changes})


# --- Every reason ---


def test_every_published_reason_is_in_the_table() -> None:
    assert list(find_reasons(PAID)) == CODES
    assert len(CODES) == 21


@pytest.mark.parametrize("row", REASONS, ids=CODES)
def test_the_least_evidence_is_enough(row: dict[str, Any]) -> None:
    story, at = told(row)
    ended, *_ = story.ask(command(row), at)
    assert isinstance(ended, Cancelled)
    assert (ended.cause, ended.reason, ended.evidence) == ("merchant_cancel", row["code"], evidence(row, row["least"]))
    assert story.deposit.cancelled == ended
    assert story.deposit.status.value == "cancelled"


@pytest.mark.parametrize("row", REASONS, ids=CODES)
def test_one_item_less_is_not(row: dict[str, Any]) -> None:
    story, at = told(row)
    with refused(Reason.EVIDENCE_REQUIRED, ("/evidence", "too_few"), least=row["least"]):
        story.ask(command(row, row["least"] - 1), at)


@pytest.mark.parametrize("row", REASONS, ids=CODES)
def test_a_score_is_no_evidence_and_the_same_item_twice_is_one(row: dict[str, Any]) -> None:
    story, at = told(row)
    fewer = evidence(row, row["least"] - 1)
    for more in (("score:0.99",), ("SCORE:1", " Score : 2"), fewer):
        with refused(Reason.EVIDENCE_REQUIRED, ("/evidence", "too_few"), least=row["least"]):
            story.ask(replace(command(row), evidence=(*fewer, *more)), at)
    assert story.ask(replace(command(row), evidence=(*evidence(row, row["least"]), "score:0.99")), at)


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ([],                                        ()),
        (["timing:1"],                              ("timing:1",)),
        (["timing:1", "device:1"],                  ("timing:1", "device:1")),
        (["timing:1", "timing:1"],                  ("timing:1",)),
        (["score:1", "timing:1", "Score:2"],        ("timing:1",)),
        (["score", " score :1", "SCORE:"],          ()),
        (["scores:1", "credit-score:1"],            ("scores:1", "credit-score:1")),
    ],
)  # fmt: skip
def test_what_counts_as_evidence(given: list[str], counts: tuple[str, ...]) -> None:
    assert filter_evidence(given, PAID) == counts


@pytest.mark.parametrize("row", REASONS, ids=CODES)
def test_everything_comes_back_and_nothing_is_forfeited(row: dict[str, Any]) -> None:
    story, at = told(row)
    before = story.deposit.money
    story.ask(command(row), at)
    after = story.deposit.money
    assert (after.refunding, after.held, after.forfeited, after.fees) == (before.held, *[money("0 CNY")] * 3)


@pytest.mark.parametrize("row", REASONS, ids=CODES)
def test_a_pass_is_granted_where_the_merchant_is_at_fault(row: dict[str, Any]) -> None:
    story, at = told(row)
    events = story.ask(command(row), at)
    granted = [event for event in events if isinstance(event, PassGranted)]
    assert len(granted) == row.get("pass", False)
    assert all(event is events[-1] and event.reason == row["code"] for event in granted)


@pytest.mark.parametrize("row", REASONS, ids=CODES)
def test_earnest_money_is_paid_once_more_for_a_sellers_default_alone(row: dict[str, Any]) -> None:
    story, at = told(row)
    story.ask(command(row), at)
    extra = [refund for refund in story.deposit.refunds if refund.cause == Cause.COMPENSATION]
    assert [one.amount for one in extra] == [money("10000 CNY")] * row.get("doubled", False)
    assert story.deposit.money.compensation == money("10000 CNY" if row.get("doubled") else "0 CNY")


@pytest.mark.parametrize("row", REASONS, ids=CODES)
def test_units_go_on_counting_only_for_a_reason_on_the_buyers_side(row: dict[str, Any]) -> None:
    story, at = told(row)
    assert story.deposit.limit_units == 2
    ended, *_ = story.ask(command(row), at)
    assert isinstance(ended, Cancelled)
    assert ended.counted is row.get("counts", False)
    assert story.deposit.limit_units == (2 if row.get("counts") else 0)
    assert story.deposit.stock == ()


@pytest.mark.parametrize("row", REASONS, ids=CODES)
def test_what_says_that_nothing_was_paid_cannot_end_a_paid_order(row: dict[str, Any]) -> None:
    under = terms(cancellation_reasons=CODES)
    story = ordered(under)
    if "asked" in row:
        story.ask(Ask(row["asked"], "sha256:asked"), T0 - ANSWERED_BY)
    assert story.said(command(row), T0).startswith("deposit.cancelled")
    story = paid(under)
    if "asked" in row:
        story.ask(Ask(row["asked"], "sha256:asked"), PAID - ANSWERED_BY)
    if row.get("unpaid"):
        with refused(Reason.WRONG_STATE, state="cooling_off"):
            story.ask(command(row), PAID)
    else:
        assert story.said(command(row), PAID).startswith("deposit.cancelled")


@pytest.mark.parametrize("row", REASONS, ids=CODES)
def test_a_reason_that_the_offer_did_not_publish_cannot_be_cited(row: dict[str, Any]) -> None:
    others = [code for code in CODES if code != row["code"]]
    story, at = told(row, terms(cancellation_reasons=others))
    with refused(Reason.REASON_NOT_PUBLISHED, code=row["code"]):
        story.ask(command(row), at)


# --- Questions that stayed unanswered ---

ADDRESS: Final = next(row for row in REASONS if row["code"] == "ADDRESS_INVALID")
UNREACHABLE: Final = next(row for row in REASONS if row["code"] == "BUYER_UNREACHABLE")
ASKED_AT: Final = PAID + HOUR
SILENT_AT: Final = ASKED_AT + ANSWERED_BY


def asked(kind: QuestionKind, answered_at: int | None = None) -> Story:
    story = paid(OURS)
    story.ask(Ask(kind, "sha256:asked"), ASKED_AT)
    if answered_at is not None:
        story.write(answered_at)
        story.ask(AnswerQuestion(1, "sha256:answered"), answered_at)
    return story


@pytest.mark.parametrize("row", [ADDRESS, UNREACHABLE], ids=["address", "contact"])
@pytest.mark.parametrize(
    ("answered", "at", "taken"),
    [
        (None,           SILENT_AT - 1, False),  # still open
        (None,           SILENT_AT,     True),
        (None,           SILENT_AT + 1, True),
        (ASKED_AT,       SILENT_AT,     False),
        (SILENT_AT - 1,  SILENT_AT,     False),
        (SILENT_AT,      SILENT_AT + 1, False),  # late, and before anything was decided on the silence
    ],
)  # fmt: skip
@pytest.mark.parametrize("written", [False, True])
def test_silence_is_cited_from_the_hour_on_and_not_after_an_answer(
    row: dict[str, Any], answered: int | None, at: int, taken: bool, written: bool
) -> None:
    story = asked(row["asked"], answered)
    if written:
        story.write(at)
    if taken:
        assert story.said(command(row), at).startswith("deposit.cancelled")
        return
    with refused(Reason.EVIDENCE_REQUIRED, ("/evidence", "question_needed"), question=row["asked"]):
        story.ask(command(row), at)


@pytest.mark.parametrize(("row", "other"), [(ADDRESS, "contact"), (UNREACHABLE, "address")], ids=["address", "contact"])
def test_a_question_of_another_kind_or_of_another_deposit_is_not_the_one(
    row: dict[str, Any], other: QuestionKind
) -> None:
    strange = replace(command(row), evidence=(child("qst", "dep_" + "1" * 26, 1), "record:1", "record:2"))
    for story, cited in (
        (paid(OURS), command(row)),
        (asked(other), command(row)),
        (asked("verification"), command(row)),
        (asked(row["asked"]), strange),
        (asked(row["asked"]), replace(strange, evidence=("record:1", "record:2", "record:3"))),
    ):
        with refused(Reason.EVIDENCE_REQUIRED, ("/evidence", "question_needed"), question=row["asked"]):
            story.ask(cited, SILENT_AT)


def test_one_of_several_questions_is_enough() -> None:
    story = asked("address", ASKED_AT + MINUTE)
    story.ask(Ask("address", "sha256:again"), ASKED_AT + HOUR)
    second = replace(command(ADDRESS), evidence=("carrier:1", child("qst", DEPOSIT_ID, 2)))
    at = ASKED_AT + HOUR + ANSWERED_BY
    with refused(Reason.EVIDENCE_REQUIRED, ("/evidence", "question_needed"), question="address"):
        story.ask(second, at - 1)
    with refused(Reason.EVIDENCE_REQUIRED, ("/evidence", "question_needed"), question="address"):
        story.ask(command(ADDRESS), at)  # cites the one that was answered
    assert story.ask(second, at)


# --- A reason of the merchant's own ---


@pytest.mark.parametrize(
    ("length", "item", "taken"),
    [
        (39, "record:1", False),
        (40, "record:1", True),
        (0, "r " * 19 + "r", False),
        (0, "r " * 20, True),
        (0, "因" * 39, False),
        (0, "因" * 40, True),
        (0, "sha256:" + "0" * 64, False),
    ],
)
def test_plain_words_have_forty_characters(length: int, item: str, taken: bool) -> None:
    """In a note, or in the evidence itself; the id of a record is no explanation, however long it is."""
    story, noted = paid(OURS), replace(NOTED, note_length=length, evidence=(item,))
    if taken:
        assert story.ask(noted, PAID)
        return
    with refused(Reason.EVIDENCE_REQUIRED, ("/note", "too_short"), least_characters=40):
        story.ask(noted, PAID)


def test_a_reason_of_the_merchants_own_needs_a_second_person() -> None:
    with refused(Reason.APPROVAL_REQUIRED, code="MERCHANT_OTHER"):
        paid(OURS).ask(replace(NOTED, approver=None), PAID)
    ended, *_ = paid(OURS).ask(NOTED, PAID)
    assert isinstance(ended, Cancelled)
    assert (ended.approver, ended.note) == ("usr_second", "sha256:note")


# --- In which order it is refused ---

NOTHING: Final = MerchantCancel("MERCHANT_OTHER", ())
SHORT: Final = MerchantCancel("MERCHANT_OTHER", ("record:1",))
ALONE: Final = replace(NOTED, approver=None)
UNASKED: Final = MerchantCancel("ADDRESS_INVALID", ("carrier:1", "record:2"))
UNKNOWN: Final = MerchantCancel("NO_SUCH_REASON", ())
TIMEOUT: Final = MerchantCancel("PAYMENT_TIMEOUT", ("psp:1",))
NONE: Final = terms(cancellation_reasons=["OUT_OF_STOCK"])
ONLY_ALONE: Final = terms(cancellation_reasons=["MERCHANT_OTHER", "PAYMENT_TIMEOUT"])

ORDER: Final = [
    # asked    of an order that is    under      then, by what is wrong first
    (NOTHING,  cancelled,             NONE,      "evidence-required"),
    (SHORT,    cancelled,             NONE,      "evidence-required"),
    (UNASKED,  cancelled,             NONE,      "evidence-required"),
    (ALONE,    cancelled,             NONE,      "already-cancelled"),
    (UNKNOWN,  cancelled,             NONE,      "already-cancelled"),
    (ALONE,    completed,             NONE,      "wrong-state"),
    (ALONE,    paid,                  NONE,      "reason-not-published"),
    (UNKNOWN,  paid,                  NONE,      "reason-not-published"),
    (TIMEOUT,  paid,                  NONE,      "reason-not-published"),
    (ALONE,    paid,                  ONLY_ALONE, "approval-required"),
    (TIMEOUT,  paid,                  ONLY_ALONE, "wrong-state"),
    (NOTED,    paid,                  ONLY_ALONE, "deposit.cancelled"),
]  # fmt: skip


@pytest.mark.parametrize(("asked_for", "made", "under", "then"), ORDER)
def test_evidence_comes_before_the_state_the_state_before_the_list_and_the_second_person_last(
    asked_for: MerchantCancel, made: Callable[[Terms], Story], under: Terms, then: str
) -> None:
    assert made(under).said(asked_for, LATER).split()[0] == then


# --- Wherever the order stands ---


def undone() -> Story:
    story = locked()
    story.ask(UNLOCK, LOCKED + MINUTE)
    return story


STANDS: Final = [
    # an order                 at            then
    (ordered,                  T0,           "deposit.cancelled priority_pass.granted"),
    (ordered,                  DUE - 1,      "deposit.cancelled priority_pass.granted"),
    (ordered,                  DUE,          "wrong-state"),
    (paid,                     PAID,         "deposit.cancelled refund.approved refund.approved refund.declined priority_pass.granted"),
    (paid,                     END - 1,      "deposit.cancelled refund.approved refund.approved refund.declined priority_pass.granted"),
    (paid,                     END,          "deposit.cancelled refund.approved refund.approved refund.declined priority_pass.granted"),
    (locked,                   LOCKED,       "deposit.cancelled refund.approved refund.approved refund.declined priority_pass.granted"),
    (undone,                   LOCKED + HOUR, "deposit.cancelled refund.approved refund.approved refund.declined priority_pass.granted"),
    (final,                    LATER,        "deposit.cancelled refund.approved refund.approved refund.declined priority_pass.granted"),
    (completed,                LATER,        "wrong-state"),
    (cancelled,                LATER,        "already-cancelled"),
    (lambda: ordered().write(DUE), DUE,      "wrong-state"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "at", "then"), STANDS)
def test_a_merchant_cancels_what_has_not_ended(made: Callable[[], Story], at: int, then: str) -> None:
    assert made().said(OUT_OF_STOCK, at) == then


@pytest.mark.parametrize(
    ("made", "at", "reason", "facts"),
    [
        (ordered,   DUE,   Reason.WRONG_STATE,       {"state": "expired"}),
        (completed, LATER, Reason.WRONG_STATE,       {"state": "completed"}),
        (cancelled, LATER, Reason.ALREADY_CANCELLED, {}),
    ],
)  # fmt: skip
def test_what_has_ended_says_how(made: Callable[[], Story], at: int, reason: Reason, facts: dict[str, Any]) -> None:
    story = made()
    with refused(reason, **facts):
        cancellation.refuse_cancellation(story.deposit, at, story.terms)


def test_of_an_order_that_was_cancelled_no_pass_comes_by_a_second_cancellation() -> None:
    story = paid()
    story.ask(OUT_OF_STOCK, PAID)
    assert story.said(OUT_OF_STOCK, PAID + 1) == "already-cancelled"
    assert [priority_pass.status for priority_pass in story.deposit.passes] == [PassStatus.GRANTED]


# --- What comes back ---


def terms_of(case: dict[str, Any]) -> Terms:
    currency = case["price"].split()[1]
    item = {"sku": "one", "name": "One", "price": wire(case["price"])}
    payment = {"deposit": wire(case["deposit"]), "nature": case["nature"]}
    shipping = wire(case.get("shipping", f"0 {currency}"))
    offered = {"market": case["market"], "items": [item], "payment": payment, "shipping": shipping}
    return draft(plain("recommended", currency, **offered))


def story_of(case: dict[str, Any]) -> tuple[Story, int]:
    under, items = terms_of(case), ("one", case.get("quantity", 1))
    if case.get("when") == "before payment":
        return ordered(under, items), T0
    if "shipped" not in case:
        return paid(under, items), END if case.get("when") == "after the lock" else PAID
    story = settled(under, items)
    story.ask(story.ship((1, case["shipped"])), LATER)
    return story, LATER


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_what_comes_back_and_what_is_paid_on_top(case: dict[str, Any]) -> None:
    story, at = story_of(case)
    story.ask(MerchantCancel(case["reason"], ("record:1", "record:2")), at)
    balances = story.deposit.money
    zero = f"0 {case['price'].split()[1]}"
    assert str(balances.refunding) == str(money(case.get("refund", zero)))
    assert balances.compensation == money(case.get("compensation", zero))
    assert balances.forfeited == balances.fees == money(zero)
    assert balances.held == balances.captured - balances.refunding  # what the buyer has as goods


def test_a_compensation_is_a_refund_of_its_own_for_which_the_buyer_names_an_account() -> None:
    story = paid()
    _, own, extra, waits, _ = story.ask(OUT_OF_STOCK, PAID)
    assert isinstance(own, RefundApproved)
    assert isinstance(extra, RefundApproved)
    assert (own.cause, own.amount, own.capture) == ("merchant_cancel", money("5088 CNY"), "cap_1")
    assert (extra.cause, extra.amount, extra.capture) == (Cause.COMPENSATION, money("5000 CNY"), NO_CAPTURE)
    assert [(line.code, line.amount, line.rule) for line in extra.lines] == [
        ("compensation", money("5000 CNY"), "terms/seller_default")
    ]
    assert extra.promised_by == PAID + 7 * DAY
    assert waits == RefundDeclined(PAID, 2, "no_source")
    [shown, on_top] = story.deposit.refunds
    assert (shown.status, on_top.status) == (RefundStatus.APPROVED, RefundStatus.REQUIRES_ACTION)
    assert [shown.cause, on_top.cause] == ["merchant_cancel", Cause.COMPENSATION]
    assert story.deposit.refund == shown, "the buyer's own money"


def test_what_came_back_before_does_not_come_back_again() -> None:
    story = paid()
    story.grant("88 CNY", PAID)
    story.ask(OUT_OF_STOCK, PAID + 1)
    assert story.deposit.money.refunding == money("5088 CNY")
    assert story.deposit.refunds[1].amount == money("5000 CNY")
    assert story.deposit.money.compensation == money("5000 CNY")


def test_a_balance_comes_back_too_and_is_not_doubled() -> None:
    story = final()
    story.ask(BALANCE_BY_CARD, LATER)
    story.pay(at=LATER)
    story.ask(OUT_OF_STOCK, LATER + 1)
    assert story.deposit.money.refunding == story.deposit.total
    assert story.deposit.money.compensation == money("5000 CNY")


def test_paid_in_full_is_no_earnest_money() -> None:
    story = paid(FLASH_SALE)
    story.ask(OUT_OF_STOCK, PAID)
    assert story.deposit.money.compensation == money("0 CNY")
    assert len(story.deposit.passes) == 1


def test_a_buyers_own_cancellation_counts_nothing_and_names_no_reason() -> None:
    story = cancelled(LIMITED)
    ended = story.deposit.cancelled
    assert ended is not None
    assert (ended.reason, ended.evidence, ended.counted, story.deposit.limit_units) == (None, (), False, 0)
    assert story.deposit.passes == ()


# --- Asked again by a proof ---


def proved(story: Story) -> bool:
    """Every refund, our way and as a reader of its proof would."""
    own = [approval_differs(DEPOSIT_ID, story.events, refund.n, story.terms) for refund in story.deposit.refunds]
    theirs = [find_differences(proof_of(story, refund.n)) for refund in story.deposit.refunds]
    return not any(own) and theirs == [[]] * len(own)


@pytest.mark.parametrize("case", [case for case in CASES if "refund" in case], ids=lambda case: case["name"])
def test_every_refund_of_it_is_what_the_rules_give_again(case: dict[str, Any]) -> None:
    story, at = story_of(case)
    story.ask(MerchantCancel(case["reason"], ("record:1", "record:2")), at)
    assert proved(story)


def tampered(story: Story, **changes: Any) -> Story:
    """The same journal with another word in its end."""
    events = [replace(event, **changes) if isinstance(event, Cancelled) else event for event in story.events]
    return dataclasses.replace(story, events=events)


@pytest.mark.parametrize(
    ("changes", "own", "extra"),
    [
        # what the end says now                     found in the proof of the buyer's own money, and of what is on top
        ({"reason": "FORCE_MAJEURE"},               False, True),  # nothing would be doubled for it
        ({"reason": "LIMIT_ACCOUNT"},               True,  True),  # its units would count
        ({"reason": "ADDRESS_INVALID"},             True,  True),  # nobody was asked
        ({"reason": "PAYMENT_TIMEOUT"},             True,  True),  # it was paid
        ({"reason": "NO_SUCH_REASON"},              True,  True),
        ({"reason": None},                          True,  True),
        ({"evidence": ()},                          True,  True),
        ({"evidence": ("score:1",)},                True,  True),
        ({"counted": True},                         True,  True),
        ({"rule": "terms/window"},                  True,  True),
        ({"cause": "buyer_cancel"},                 True,  True),
        ({"forfeited": money("1 CNY")},             True,  True),
        ({"reason": "DISCONTINUED"},                False, False),  # gives the same money
        ({"evidence": ("stock:2",)},                False, False),  # what an item says is not judged, only that there is one
    ],
)  # fmt: skip
def test_another_reason_or_less_evidence_is_found(changes: dict[str, Any], own: bool, extra: bool) -> None:
    story = paid()
    story.ask(OUT_OF_STOCK, PAID)
    assert proved(story)
    changed = tampered(story, **changes)
    assert [bool(find_differences(proof_of(changed, n))) for n in (1, 2)] == [own, extra]


@pytest.mark.parametrize(
    ("changes", "own", "extra"),
    [
        ({"reason": "FORCE_MAJEURE"},   False, True),
        ({"reason": "LIMIT_ACCOUNT"},   False, True),
        ({"reason": "ADDRESS_INVALID"}, True,  True),
        ({"evidence": ()},              True,  True),
        ({"evidence": ("stock:2",)},    False, False),
    ],
)  # fmt: skip
def test_nothing_is_sent_that_the_end_as_it_is_written_does_not_give(
    changes: dict[str, Any], own: bool, extra: bool
) -> None:
    story = paid()
    story.ask(OUT_OF_STOCK, PAID)
    changed = tampered(story, **changes)
    assert [approval_differs(DEPOSIT_ID, changed.events, n, story.terms) for n in (1, 2)] == [own, extra]


@pytest.mark.parametrize("changes", [{"approver": None}, {"note": None}])
def test_a_second_person_and_the_words_cannot_be_left_out(changes: dict[str, Any]) -> None:
    story = paid(OURS)
    story.ask(NOTED, PAID)
    assert proved(story)
    assert approval_differs(DEPOSIT_ID, tampered(story, **changes).events, 1, story.terms)


def test_a_compensation_nobody_owes_is_found() -> None:
    story = paid()
    story.ask(MerchantCancel("FORCE_MAJEURE", ("notice:1",)), PAID)
    more = RefundApproved(PAID, 2, Cause.COMPENSATION, money("5000 CNY"), (), PAID + 7 * DAY, 1, NO_CAPTURE)
    assert approval_differs(DEPOSIT_ID, [*story.events, more], 2, story.terms)


def test_a_compensation_of_another_amount_is_found() -> None:
    story = paid()
    story.ask(OUT_OF_STOCK, PAID)
    greedy = [
        replace(event, amount=event.amount + Money(1, "CNY"))
        if isinstance(event, RefundApproved) and event.cause == Cause.COMPENSATION
        else event
        for event in story.events
    ]
    assert approval_differs(DEPOSIT_ID, greedy, 2, story.terms)


def kinds(deposit: Deposit) -> set[str]:
    return {refund.cause for refund in deposit.refunds}


def test_who_leaves_by_oneself_is_not_doubled() -> None:
    story = final(SU7)
    story.ask(CANCEL, LATER)
    assert kinds(story.deposit) == {"buyer_cancel"}
