"""What is refused when people open, answer and decide claims, in which order, and with which facts."""

from collections.abc import Callable
from typing import Any, Final, get_args

import pytest
from msgspec.structs import replace

from chalicelib.core.claims.answering import MAX_LATE_ANSWERS, AddEvidence, Respond, RuleClaim, WithdrawClaim
from chalicelib.core.claims.opening import AMOUNT_KINDS, OpenClaim, refuse_opening
from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.claim import ClaimEvidenceAdded, ClaimOpened, ClaimRejected
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.policy.claim_rules import ClaimKind, find_claim_rules
from tests.core.stories import (
    ACCEPT,
    CANCEL,
    DEPOSIT_ID,
    DISMISS,
    DUE,
    END,
    ESCALATE,
    FIVE,
    LATER,
    PAID,
    REJECT,
    TAKE,
    TAKE_BACK,
    UPHOLD,
    Story,
    bought,
    cancelled,
    claimed,
    completed,
    final,
    locked,
    money,
    offer,
    ordered,
    paid,
    partly,
    refused,
    settled,
    shop,
    traded,
    trading,
)
from tests.core.test_claim import ANSWER_BY, OFFERED, OPENED, TAKE_BY, escalated, offered, opened, rejected

LIMIT: Final = MerchantCancel("LIMIT_ACCOUNT", ("record:1",))
CLAIM: Final = child("clm", DEPOSIT_ID, 1)


# --- Opening: fields first, then where the order stands, its time, its kind, twice, and the money ---


def fields(kind: ClaimKind, **named: Any) -> OpenClaim:
    return OpenClaim(kind, "sha256:said", **named)


FIELDS: Final = [
    # what is opened                                                          where                why
    (fields("short_shipment"),                                                "/lines",            "missing"),
    (fields("other", lines=(Units(1, 1),), amount=money("1 IDR")),            "/lines",            "not_here"),
    (fields("mistaken_lock", lines=(Units(1, 1),)),                           "/lines",            "not_here"),
    (claimed("short_shipment", (1, 1), amount="1 IDR"),                       "/amount",           "not_here"),
    (fields("other"),                                                         "/amount",           "missing"),
    (fields("refund_amount"),                                                 "/amount",           "missing"),
    (claimed("trade_in", amount="1 IDR"),                                     "/amount",           "not_here"),
    (claimed("mistaken_lock", amount="1 IDR"),                                "/amount",           "not_here"),
    (claimed("merchant_cancellation", amount="1 IDR"),                        "/amount",           "not_here"),
    (claimed("privacy", amount="1 IDR"),                                      "/amount",           "not_here"),
    (claimed("short_shipment", (6, 1)),                                       "/lines/0/line",     "unknown_line"),
    (claimed("short_shipment", (1, 1), (0, 1)),                               "/lines/1/line",     "unknown_line"),
    (claimed("short_shipment", (1, 1), (1, 1)),                               "/lines/1/line",     "duplicate"),
    (claimed("short_shipment", (1, 1), (2, 2)),                               "/lines/1/quantity", "too_large"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "pointer", "why"), FIELDS)
def test_fields_come_first_wherever_the_order_stands(command: OpenClaim, pointer: str, why: str) -> None:
    ended = bought(FIVE)
    ended.ask(CANCEL, PAID)
    for story in (bought(FIVE), ended, ordered(FIVE, *((line.sku, 1) for line in ended.deposit.lines))):
        with refused(Reason.INVALID_REQUEST, (pointer, why)):
            story.ask(command, OPENED)


def test_another_currency_is_no_amount() -> None:
    foreign = money("1 USD")
    story = offered()
    for command in (
        fields("other", amount=foreign),
        Respond(1, "offer", foreign),
        RuleClaim(1, "partly", "w", foreign),
    ):
        with refused(Reason.CURRENCY_MISMATCH, ("/amount", "currency_mismatch")):
            story.ask(command, OPENED)


STATES: Final = [
    # an order                                      asked at              what is answered
    (ordered,                                       PAID,                 "wrong-state"),
    (ordered,                                       DUE,                  "wrong-state"),
    (lambda: ordered().write(DUE),                  DUE,                  "wrong-state"),
    (paid,                                          END - 1,              "wrong-state"),
    (paid,                                          END,                  "claim.opened"),
    (locked,                                        LATER,                "claim.opened"),
    (completed,                                     LATER,                "claim.opened"),
    (completed,                                     LATER + 180 * DAY - 1, "claim.opened"),
    (completed,                                     LATER + 180 * DAY,    "claim-closed"),
    (settled,                                       LATER + 900 * DAY,    "claim.opened"),
    (cancelled,                                     LATER,                "refund-exceeds-refundable"),
    (cancelled,                                     PAID + 181 * DAY - 1, "refund-exceeds-refundable"),
    (cancelled,                                     PAID + 181 * DAY,     "claim-closed"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "at", "said"), STATES)
def test_where_and_for_how_long_a_claim_can_be_opened(made: Callable[[], Story], at: int, said: str) -> None:
    story = made()
    assert story.claim("other", at, amount="1 CNY") == said
    listed = said not in {"wrong-state", "claim-closed"}
    if not listed:
        again = made()
        with pytest.raises(Refused):
            refuse_opening(again.deposit, at, again.terms)


def test_a_part_that_is_still_to_come_can_be_claimed_however_long_it_takes() -> None:
    """Its time begins with the last shipment: while units are owed there has been none."""
    story = bought(FIVE)
    story.ask(story.ship((1, 1)), PAID)
    assert story.claim("short_shipment", PAID + 900 * DAY, (2, 1)) == "claim.opened"


def test_there_are_ten_claims_and_no_more() -> None:
    story = bought(FIVE)
    for n in range(1, find_claim_rules(OPENED).most_claims + 1):
        assert story.claim("privacy", OPENED) == "claim.opened"
        story.ask(WithdrawClaim(n), OPENED)
    with refused(Reason.RATE_LIMITED, most=10):
        refuse_opening(story.deposit, OPENED, story.terms)


KINDS: Final = [
    # an order                                kind                     asked at          what is answered
    (final,                                   "mistaken_lock",         LATER,            "wrong-state"),
    (lambda: bought(FIVE),                    "mistaken_lock",         PAID + 7 * DAY - 1, "claim.opened"),
    (lambda: bought(FIVE),                    "mistaken_lock",         PAID + 7 * DAY,   "claim-closed"),
    (cancelled,                               "mistaken_lock",         LATER,            "wrong-state"),
    (lambda: bought(FIVE),                    "trade_in",              PAID,             "wrong-state"),
    (lambda: traded(trading()),               "trade_in",              PAID,             "wrong-state"),
    (lambda: bought(FIVE),                    "merchant_cancellation", PAID,             "wrong-state"),
    (cancelled,                               "merchant_cancellation", LATER,            "wrong-state"),
    (lambda: bought(FIVE),                    "privacy",               PAID,             "claim.opened"),
    (cancelled,                               "privacy",               LATER,            "claim.opened"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "kind", "at", "said"), KINDS)
def test_each_kind_has_its_occasion(made: Callable[[], Story], kind: ClaimKind, at: int, said: str) -> None:
    assert made().claim(kind, at) == said


def test_a_trade_in_that_kept_nothing_owes_nothing() -> None:
    story = traded(trading(shipping="0 IDR"))
    story.ask(CANCEL, PAID)
    assert not story.deposit.money.fees
    with refused(Reason.REFUND_EXCEEDS_REFUNDABLE, refundable=story.deposit.money.forfeited):
        story.ask(claimed("trade_in"), PAID)


def test_a_closed_time_is_told_before_the_kind_and_the_kind_before_the_money() -> None:
    story = completed()
    with refused(Reason.CLAIM_CLOSED, until=LATER + 180 * DAY):
        story.ask(claimed("mistaken_lock"), LATER + 180 * DAY)
    open_one = opened()
    with refused(Reason.WRONG_STATE, state="locked"):
        open_one.ask(claimed("trade_in"), OPENED)


# --- Twice ---


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (claimed("short_shipment", (1, 1)),          "funds-in-dispute"),
        (claimed("short_shipment", (1, 1), (2, 1)),  "funds-in-dispute"),
        (claimed("short_shipment", (2, 1)),          "claim.opened"),
        (claimed("other", amount="240000 IDR"),      "claim.opened"),
        (claimed("other", amount="240001 IDR"),      "funds-in-dispute"),
        (claimed("other", amount="315001 IDR"),      "refund-exceeds-refundable"),
        (claimed("other", amount="0 IDR"),           "refund-exceeds-refundable"),
        (claimed("mistaken_lock"),                   "funds-in-dispute"),
        (claimed("privacy"),                         "claim.opened"),
    ],
)  # fmt: skip
def test_the_same_money_is_claimed_once(second: OpenClaim, said: str) -> None:
    assert opened().said(second, OPENED) == said


def test_an_open_claim_is_named_to_whoever_opens_it_again() -> None:
    with refused(Reason.FUNDS_IN_DISPUTE, claim=CLAIM):
        opened().ask(claimed("short_shipment", (1, 1)), OPENED)


@pytest.mark.parametrize("kind", [kind for kind in get_args(ClaimKind) if kind not in {"short_shipment", "trade_in"}])
def test_a_kind_is_open_once(kind: ClaimKind) -> None:
    story = bought(FIVE)
    named: Command = claimed(kind, amount="1 IDR" if kind in AMOUNT_KINDS else None)
    if kind == "merchant_cancellation":
        story.ask(LIMIT, PAID)
    assert story.said(named, PAID) == "claim.opened"
    assert story.said(named, PAID) == "funds-in-dispute"
    story.ask(TAKE_BACK, PAID)
    assert story.said(named, PAID) == "claim.opened"


# --- Answering ---

A_REASON: Final = RuleClaim(1, "partly", "sha256:why")
ANSWERS: Final = [
    # a claim      who answers what                             at             what is answered
    (opened,       Respond(1, "offer"),                         OFFERED,       "invalid-request /amount missing"),
    (opened,       Respond(1, "accept", money("1 IDR")),        OFFERED,       "invalid-request /amount not_here"),
    (opened,       Respond(1, "reject", money("1 IDR"), "no"),  OFFERED,       "invalid-request /amount not_here"),
    (opened,       Respond(1, "reject"),                        OFFERED,       "invalid-request /statement missing"),
    (opened,       Respond(2, "accept"),                        OFFERED,       "not-found"),
    (opened,       offer("74999 IDR"),                          OFFERED,       "below-owed"),
    (opened,       offer("75000 IDR"),                          OFFERED,       "claim.offered"),
    (opened,       offer("315001 IDR"),                         OFFERED,       "refund-exceeds-refundable"),
    (opened,       TAKE,                                        OFFERED,       "wrong-state"),
    (opened,       ESCALATE,                                    OFFERED,       "wrong-state"),
    (opened,       UPHOLD,                                      OFFERED,       "wrong-state"),
    (opened,       TAKE_BACK,                                   ANSWER_BY - 1, "claim.withdrawn"),
    (opened,       TAKE_BACK,                                   ANSWER_BY,     "claim-closed"),
    (opened,       ACCEPT,                                      ANSWER_BY - 1, "claim.accepted refund.approved"),
    (opened,       ACCEPT,                                      ANSWER_BY,     "claim.answered_late"),
    (opened,       UPHOLD,                                      ANSWER_BY,     "claim.answered_late"),
    (offered,      REJECT,                                      OFFERED,       "wrong-state"),
    (offered,      ACCEPT,                                      OFFERED,       "wrong-state"),
    (offered,      offer("80000 IDR"),                          OFFERED,       "below-owed"),
    (offered,      offer("80001 IDR"),                          TAKE_BY - 1,   "claim.offered"),
    (offered,      offer("80001 IDR"),                          TAKE_BY,       "wrong-state"),
    (offered,      TAKE,                                        TAKE_BY - 1,   "claim.accepted refund.approved"),
    (offered,      TAKE,                                        TAKE_BY,       "wrong-state"),
    (offered,      ESCALATE,                                    TAKE_BY - 1,   "claim.escalated"),
    (offered,      ESCALATE,                                    TAKE_BY,       "wrong-state"),
    (offered,      UPHOLD,                                      TAKE_BY - 1,   "wrong-state"),
    (offered,      UPHOLD,                                      TAKE_BY,       "busy"),
    (rejected,     ACCEPT,                                      OFFERED,       "wrong-state"),
    (rejected,     TAKE,                                        OFFERED,       "wrong-state"),
    (rejected,     A_REASON,                                    OFFERED,       "invalid-request /amount missing"),
    (rejected,     replace(UPHOLD, amount=money("1 IDR")),      OFFERED,       "invalid-request /amount not_here"),
    (rejected,     replace(DISMISS, amount=money("1 IDR")),     OFFERED,       "invalid-request /amount not_here"),
    (rejected,     partly("75000 IDR"),                         OFFERED,       "invalid-request /amount too_large"),
    (rejected,     partly("74999 IDR"),                         OFFERED,       "claim.partly_upheld refund.approved"),
    (rejected,     DISMISS,                                     ANSWER_BY + HOUR - 1, "claim.dismissed"),
    (rejected,     DISMISS,                                     ANSWER_BY + HOUR, "claim.answered_late"),
    (rejected,     replace(UPHOLD, claim=2),                    OFFERED,       "not-found"),
    (escalated,    UPHOLD,                                      OFFERED + HOUR, "claim.upheld refund.approved"),
    (escalated,    TAKE,                                        OFFERED + HOUR, "wrong-state"),
]  # fmt: skip


def said(story: Story, command: Command, at: int) -> str:
    try:
        return " ".join(event.TYPE for event in story.ask(command, at))
    except Refused as refusal:
        return " ".join([refusal.reason.value, *(f"{fault.pointer} {fault.why}" for fault in refusal.faults)])


@pytest.mark.parametrize(("made", "command", "at", "then"), ANSWERS)
def test_who_may_answer_what_and_until_when(made: Callable[[], Story], command: Command, at: int, then: str) -> None:
    assert said(made(), command, at) == then


@pytest.mark.parametrize(("made", "command", "at", "then"), [row for row in ANSWERS if row[3] != "busy"])
def test_it_is_the_same_once_silence_is_written(
    made: Callable[[], Story], command: Command, at: int, then: str
) -> None:
    assert said(made().write(at), command, at) == then


DECIDED: Final[dict[str, tuple[Callable[[], Story], Command]]] = {
    "accepted": (opened, ACCEPT),
    "withdrawn": (opened, TAKE_BACK),
    "dismissed": (rejected, DISMISS),
    "upheld": (rejected, UPHOLD),
    "partly": (rejected, partly("1 IDR")),
}


@pytest.mark.parametrize("state", DECIDED)
@pytest.mark.parametrize(
    "command", [ACCEPT, REJECT, TAKE, ESCALATE, TAKE_BACK, UPHOLD, AddEvidence(1, "buyer", ("p",))]
)
def test_a_decided_claim_is_closed_to_everybody(state: str, command: Command) -> None:
    made, decision = DECIDED[state]
    story = made()
    story.ask(decision, OFFERED)
    with refused(Reason.CLAIM_CLOSED, state=state):
        story.ask(command, OFFERED)


def test_fields_of_an_answer_come_before_the_claim() -> None:
    with refused(Reason.INVALID_REQUEST, ("/amount", "missing")):
        bought(FIVE).ask(Respond(7, "offer"), OFFERED)
    with refused(Reason.INVALID_REQUEST, ("/amount", "missing")):
        bought(FIVE).ask(A_REASON, OFFERED)
    with refused(Reason.NOT_FOUND):
        bought(FIVE).ask(TAKE, OFFERED)


def test_below_what_is_owed_comes_before_how_many_offers_there_were() -> None:
    story = offered()
    story.ask(offer("90000 IDR"), OFFERED)
    with refused(Reason.BELOW_OWED, owed=money("75000 IDR"), offered=money("90000 IDR")):
        story.ask(offer("90000 IDR"), OFFERED)
    with refused(Reason.WRONG_STATE, state="offered", most=2):
        story.ask(offer("315001 IDR"), OFFERED)


def test_an_offer_may_take_what_its_own_claim_holds_back_and_nothing_of_another() -> None:
    story = opened()
    story.claim("other", OPENED, amount="100000 IDR")
    with refused(Reason.FUNDS_IN_DISPUTE, refundable=money("215000 IDR")):
        story.ask(offer("215001 IDR"), OFFERED)
    assert story.said(offer("215000 IDR"), OFFERED) == "claim.offered"


def test_the_latest_offer_is_what_is_taken() -> None:
    story = offered()
    story.ask(offer("90000 IDR"), OFFERED)
    story.ask(TAKE, OFFERED)
    assert story.latest_claim.paid == money("90000 IDR")


# --- Evidence and late answers are counted ---


@pytest.mark.parametrize(("items", "more", "said"), [(0, 20, True), (0, 21, False), (19, 1, True), (19, 2, False)])
def test_both_sides_together_hand_in_twenty_items(items: int, more: int, said: bool) -> None:
    story = bought(FIVE)
    first = tuple(f"photo:{n}" for n in range(items))
    story.ask(claimed("short_shipment", (1, 1), evidence=first), OPENED)
    command = AddEvidence(1, "merchant", tuple(f"camera:{n}" for n in range(more)), "sha256:told")
    if said:
        (event,) = story.ask(command, OFFERED)
        assert event == ClaimEvidenceAdded(OFFERED, 1, "merchant", command.evidence, "sha256:told")
        return
    with refused(Reason.RATE_LIMITED, most=20):
        story.ask(command, OFFERED)


@pytest.mark.parametrize("command", [ACCEPT, UPHOLD])
def test_five_late_answers_are_kept(command: Command) -> None:
    story = opened().write(ANSWER_BY)
    before = story.latest_claim
    for n in range(MAX_LATE_ANSWERS):
        story.ask(command, ANSWER_BY + n)
    assert replace(story.latest_claim, late_answers=0) == before
    with refused(Reason.RATE_LIMITED, most=5):
        story.ask(command, ANSWER_BY + MAX_LATE_ANSWERS)


# --- What is written ---


def test_what_an_opened_claim_says() -> None:
    story = bought(FIVE)
    story.ask(story.ship((1, 1)), PAID)
    (event,) = story.ask(claimed("short_shipment", (1, 1), (2, 1), evidence=("photo:1",)), OPENED)
    assert event == ClaimOpened(
        at=OPENED,
        claim=1,
        kind="short_shipment",
        owed=money("150000 IDR"),
        contested=True,
        statement="sha256:said",
        due_at=ANSWER_BY,
        decide_within="PT72H",
        refund_deadline="P7D",
        lines=(Units(1, 1), Units(2, 1)),
        evidence=("photo:1",),
        remind_at=(ANSWER_BY - 24 * HOUR, ANSWER_BY - 2 * HOUR),
    )


@pytest.mark.parametrize(
    ("shipped", "named", "contested"),
    [
        ([], (1, 1), False),
        ([(1, 1)], (1, 2), False),  # two of three have not left
        ([(1, 1)], (1, 3), True),
        ([(1, 3)], (1, 1), True),
    ],
)
def test_a_claim_against_the_merchants_record_is_contested(
    shipped: list[tuple[int, int]], named: tuple[int, int], contested: bool
) -> None:
    story = bought(shop(10_000), 3)
    for units in shipped:
        story.ask(story.ship(units), PAID)
    story.claim("short_shipment", OPENED, named)
    assert story.latest_claim.opened.contested is contested


def test_a_rejection_gives_the_platform_its_hours_and_keeps_the_words() -> None:
    story = opened()
    (event,) = story.ask(REJECT, OFFERED)
    due = OFFERED + 72 * HOUR
    assert event == ClaimRejected(OFFERED, 1, due, "sha256:no", (due - 24 * HOUR, due - 2 * HOUR))
