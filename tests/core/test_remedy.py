"""What follows a decision: every rupiah stays somewhere, no unit is paid back twice, and an end comes when it should."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.claims.answering import RuleClaim
from chalicelib.core.claims.remedy import compute_owed, is_nothing_shipped, zero
from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.money import Money, total
from chalicelib.core.common.refusal import Reason
from chalicelib.core.delivery.fulfilment import Receive
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.claim import ClaimReversed
from chalicelib.core.deposit.events.goods import GoodsReceived, Units
from chalicelib.core.deposit.events.refund import RefundLine
from chalicelib.core.deposit.fold import fold
from chalicelib.core.deposit.goods import Progress
from chalicelib.core.deposit.ledger import Balances
from chalicelib.core.ending.entitlement import compute_entitlement
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.policy.claim_rules import ClaimKind
from tests.core.stories import (
    ACCEPT,
    BALANCE_BY_CARD,
    CANCEL,
    DEPOSIT_ID,
    DIFFERS,
    DISMISS,
    FIVE,
    FOUNDERS,
    LATER,
    LOCKED,
    OUT_OF_STOCK,
    PAID,
    REJECT,
    TAKE,
    UPHOLD,
    Story,
    bought,
    claimed,
    locked,
    money,
    offer,
    paid,
    partly,
    refused,
    settled,
    shop,
    traded,
    trading,
)
from tests.core.test_chargeback import shown
from tests.core.test_claim import OFFERED, OPENED, opened

CLAIM: Final = child("clm", DEPOSIT_ID, 1)
ALL: Final = tuple((line, 1) for line in range(1, 6))
LIMIT: Final = MerchantCancel("LIMIT_ACCOUNT", ("record:1",))


def told(story: Story, *asked: tuple[Any, int]) -> Story:
    for command, at in asked:
        story.ask(command, at)
    return story


# --- After every kind, decided in every way ---


def five(*shipped: tuple[int, int]) -> Story:
    story = bought(FIVE)
    if shipped:
        story.ask(story.ship(*shipped), PAID)
    return story


def left_late() -> Story:
    return told(locked(), (CANCEL, LOCKED + DAY))


def differs() -> Story:
    return told(traded(trading()), (DIFFERS, PAID))


def revoked() -> Story:
    return told(five(), (LIMIT, PAID))


CLAIMED: Final[dict[str, tuple[Callable[[], Story], Any, str]]] = {
    # what is claimed                                                              what is owed
    "short_shipment":        (lambda: five((1, 1)), claimed("short_shipment", (2, 1)), "75000 IDR"),
    "short_shipment of all": (five,              claimed("short_shipment", *ALL),   "315000 IDR"),
    "mistaken_lock":         (locked,            claimed("mistaken_lock"),          "5088 CNY"),
    "mistaken_lock, left":   (left_late,         claimed("mistaken_lock"),          "5000 CNY"),
    "trade_in":              (differs,           claimed("trade_in"),               "58000 IDR"),
    "refund_amount":         (five,              claimed("refund_amount", amount="7 IDR"), "7 IDR"),
    "other":                 (five,              claimed("other", amount="9 IDR"),  "9 IDR"),
    "merchant_cancellation": (revoked,           claimed("merchant_cancellation"),  "0 IDR"),
    "privacy":               (five,              claimed("privacy"),                "0 IDR"),
}  # fmt: skip
AT: Final = LOCKED + 2 * DAY


def of_kind(name: str) -> Story:
    made, command, _ = CLAIMED[name]
    return told(made(), (command, AT))


def granted(story: Story) -> Story:
    return story.write(AT + 3 * DAY)


def accepted(story: Story) -> Story:
    return told(story, (ACCEPT, AT + 1))


def upheld(story: Story) -> Story:
    return told(story, (REJECT, AT + 1), (UPHOLD, AT + 2))


def in_part(story: Story) -> Story:
    return told(story, (REJECT, AT + 1), (partly(str(story.latest_claim.owed.share_floor(1, 2))), AT + 2))


def dismissed(story: Story) -> Story:
    return told(story, (REJECT, AT + 1), (DISMISS, AT + 2))


WAYS: Final[list[Callable[[Story], Story]]] = [granted, accepted, upheld, in_part, dismissed]


def possible(name: str, way: Callable[[Story], Story]) -> bool:
    """A privacy claim has no merchant, and of nothing there is no half."""
    return not (name == "privacy" and way is not granted) and not (way is in_part and CLAIMED[name][2].startswith("0"))


ENDS: Final = [(name, way) for name in CLAIMED for way in WAYS if possible(name, way)]


def test_every_kind_is_decided() -> None:
    assert {command.kind for _, command, _ in CLAIMED.values()} == set(get_args(ClaimKind))


@pytest.mark.parametrize(("name", "way"), ENDS)
def test_the_books_add_up_and_the_refunds_say_what_they_are_for(name: str, way: Callable[[Story], Story]) -> None:
    story = of_kind(name)
    before = story.deposit
    way(story)
    after, one = story.deposit, story.latest_claim
    assert fold(DEPOSIT_ID, story.events) == after
    new = after.refunds[len(before.refunds) :]
    assert total((refund.amount for refund in new), after.currency) == (one.paid or zero(after))
    assert one.refunds == tuple(refund.n for refund in new)
    assert {refund.cause for refund in new} <= {"claim"}
    for refund in new:
        assert total((line.amount for line in refund.lines), after.currency) == refund.amount
        assert all(
            line.rule == f"claims/{one.opened.kind}" for line in refund.lines if line.code in {"owed", "forfeited"}
        )
    assert after.money.captured == before.money.captured
    assert together(after.money) == together(before.money)


def together(balances: Balances) -> Money:
    """All that has not reached the buyer."""
    return balances.held + balances.refunding + balances.forfeited + balances.fees


OWED: Final = [(name, text) for name, (_, _, text) in CLAIMED.items()]


@pytest.mark.parametrize(("name", "text"), OWED)
@pytest.mark.parametrize("way", [granted, upheld])
def test_whoever_is_silent_or_upholds_pays_what_is_owed(name: str, text: str, way: Callable[[Story], Story]) -> None:
    if not possible(name, way):
        return
    story = way(of_kind(name))
    assert (str(story.latest_claim.owed), str(story.latest_claim.paid)) == (text, text)


@pytest.mark.parametrize("name", CLAIMED)
def test_a_claim_that_is_dismissed_moves_nothing(name: str) -> None:
    if not possible(name, dismissed):
        return
    story = of_kind(name)
    before = story.deposit
    dismissed(story)
    assert (story.deposit.money, story.deposit.status, story.deposit.progress) == (
        before.money,
        before.status,
        before.progress,
    )
    assert (story.deposit.refunds, story.deposit.passes) == (before.refunds, before.passes)


# --- Lines explain themselves ---


def test_what_is_owed_names_its_rule_and_its_claim() -> None:
    story = accepted(of_kind("short_shipment"))
    assert story.refund.lines == (RefundLine(LineCode.OWED, money("75000 IDR"), "claims/short_shipment", (CLAIM,)),)


def test_an_end_by_a_claim_shows_what_was_paid_and_a_part_ends_nothing() -> None:
    story = upheld(of_kind("short_shipment of all"))
    assert story.refund.lines == (RefundLine(LineCode.PAID, money("315000 IDR")),)
    assert story.deposit.cancelled is not None
    assert (story.deposit.cancelled.cause, story.deposit.cancelled.rule) == ("claim", "claims/short_shipment")
    assert not story.deposit.cancelled.forfeited
    half = in_part(of_kind("short_shipment of all"))
    assert (half.deposit.status, shown(half.deposit)) == ("locked", "held 157500 refunding 157500")


def test_a_mistaken_lock_keeps_the_goods_that_are_with_the_buyer() -> None:
    story = bought(shop(75_000, 25_000, shipping=5_000))
    told(story, (story.ship((1, 1)), PAID), (claimed("mistaken_lock"), OPENED), (ACCEPT, OFFERED))
    assert [(line.code, str(line.amount)) for line in story.refund.lines] == [
        ("paid", "105000 IDR"),
        ("goods_kept", "-75000 IDR"),
    ]
    assert (story.deposit.status, shown(story.deposit)) == ("cancelled", "held 75000 refunding 30000")


# --- What was kept comes back ---


@pytest.mark.parametrize(
    ("name", "amount", "back", "kept"),
    [
        ("mistaken_lock, left", None,         ("5000 CNY", "0 CNY"),  ("0 CNY", "0 CNY")),
        ("mistaken_lock, left", "1 CNY",      ("1 CNY", "0 CNY"),     ("4999 CNY", "0 CNY")),
        ("trade_in",            None,         ("0 IDR", "58000 IDR"), ("0 IDR", "0 IDR")),
        ("trade_in",            "57999 IDR",  ("0 IDR", "57999 IDR"), ("0 IDR", "1 IDR")),
    ],
)  # fmt: skip
def test_exactly_what_goes_back_is_taken_from_what_was_kept(
    name: str, amount: str | None, back: tuple[str, str], kept: tuple[str, str]
) -> None:
    story = told(of_kind(name), (REJECT, AT + 1), (partly(amount) if amount else UPHOLD, AT + 2))
    (event,) = (event for event in story.events if isinstance(event, ClaimReversed))
    assert (str(event.forfeited), str(event.fees)) == back
    assert (str(story.deposit.money.forfeited), str(story.deposit.money.fees)) == kept
    assert not story.deposit.money.held


def test_another_claim_takes_what_is_held_before_what_was_kept() -> None:
    """Of a forfeit only when nothing else is held."""
    story = told(left_late(), (claimed("other", amount="5000 CNY"), AT), (ACCEPT, AT + 1))
    assert shown(story.deposit) == "refunding 5088"
    held = told(five((1, 1)), (CANCEL, PAID), (claimed("other", amount="75000 IDR"), AT), (ACCEPT, AT + 1))
    assert not any(isinstance(event, ClaimReversed) for event in held.events)


# --- Units ---


@pytest.mark.parametrize(
    ("shipped", "named", "dropped", "refuted", "status"),
    [
        (0, 1, 1, 0, "locked"),
        (0, 3, 3, 0, "cancelled"),
        (1, 1, 1, 0, "locked"),
        (1, 2, 2, 0, "completed"),
        (1, 3, 2, 1, "completed"),
        (3, 1, 0, 1, "completed"),
        (3, 3, 0, 3, "completed"),
    ],
)
def test_units_that_have_not_left_are_paid_back_first(
    shipped: int, named: int, dropped: int, refuted: int, status: str
) -> None:
    story = bought(shop(10_000), 3)
    if shipped:
        story.ask(story.ship((1, shipped)), PAID)
    told(story, (claimed("short_shipment", (1, named)), OPENED), (ACCEPT, OFFERED))
    (one,) = story.deposit.progress
    assert (one.dropped, one.refuted, story.deposit.status) == (dropped, refuted, status)
    assert str(story.latest_claim.paid) == f"{named * 10_000} IDR"


def test_units_on_the_shelf_go_back_when_the_rest_completes_it() -> None:
    story = five((3, 1), (4, 1), (5, 1))
    told(story, (claimed("short_shipment", (1, 1), (2, 1)), OPENED), (ACCEPT, OFFERED))
    assert story.deposit.status == "completed"
    assert [progress.dropped for progress in story.deposit.progress] == [1, 1, 0, 0, 0]


def test_what_comes_late_can_still_be_received() -> None:
    story = told(five((1, 1)), (claimed("short_shipment", (1, 1)), OPENED), (ACCEPT, OFFERED))
    (received,) = story.ask(Receive(), OFFERED + 1)
    assert isinstance(received, GoodsReceived)
    assert (received.at, received.lines) == (OFFERED + 1, (Units(1, 1),))


def counted(dropped: int, refuted: int, quantity: int, paid_for: str) -> Deposit:
    """A line of which that much was paid, a part of it already paid back."""
    deposit = bought(shop(10_000), quantity).deposit
    gone = deposit.lines[0].value - money(paid_for)
    shipped = replace(deposit.progress[0], shipped=refuted, dropped=dropped, refuted=refuted)
    assert deposit.paid is not None
    (capture,) = deposit.captures
    taken = replace(deposit.payments[0], amount=money(paid_for))
    return replace(
        deposit, payments=(taken,), progress=(shipped,), captures=(replace(capture, amount=money(paid_for)),)
    ) if gone else replace(deposit, progress=(shipped,))  # fmt: skip


@given(paid_for=st.integers(1, 29_999), quantity=st.integers(3, 9), data=st.data())
def test_parts_of_a_line_sum_up_to_it_in_however_many_claims(paid_for: int, quantity: int, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, quantity - 1))) | {0, quantity})
    parts = []
    for before, to in pairwise(cuts):
        refuted = data.draw(st.integers(0, before)) if before else 0
        deposit = counted(before - refuted, refuted, quantity, f"{paid_for} IDR")
        one = compute_owed(deposit, "short_shipment", (Units(1, to - before),), None)
        parts.append(one)
    assert total(parts, "IDR") == money(f"{paid_for} IDR")


@pytest.mark.parametrize(
    ("progress", "named", "nothing"),
    [
        (Progress(), 3, True),
        (Progress(), 2, False),
        (Progress(dropped=1), 2, True),
        (Progress(dropped=1), 1, False),
        (Progress(shipped=1), 3, False),
        (Progress(shipped=1, refuted=1), 2, False),
    ],
)
def test_nothing_came_when_all_that_is_left_is_named_and_no_shipment_is_recorded(
    progress: Progress, named: int, nothing: bool
) -> None:
    deposit = replace(bought(shop(10_000), 3).deposit, progress=(progress,))
    assert is_nothing_shipped(deposit, (Units(1, named),)) is nothing


# --- A ruling in part, and an end behind it ---


@pytest.mark.parametrize(
    ("shipped", "named", "given", "shipped_after", "kept"),
    [
        (1, 1, "5000 IDR",  0, "10000 IDR"),  # about a unit that never left: its money comes back once
        (1, 1, "5000 IDR",  1, "20000 IDR"),  # one of two that had not left: it may be the other
        (2, 2, "8000 IDR",  0, "16000 IDR"),  # about one of each
        (0, 3, "19500 IDR", 1, "5000 IDR"),   # and about the shipping, which comes back too
        (0, 3, "19500 IDR", 0, "0 IDR"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("leaves", [CANCEL, OUT_OF_STOCK], ids=["buyer", "merchant"])
def test_what_a_ruling_gave_for_units_that_never_left_is_not_given_again(
    leaves: Any, shipped: int, named: int, given: str, shipped_after: int, kept: str
) -> None:
    """Of 39,000 rupiah for three units and their shipping."""
    story = bought(shop(10_000, shipping=9_000), 3)
    if shipped:
        story.ask(story.ship((1, shipped)), PAID)
    told(story, (claimed("short_shipment", (1, named)), OPENED), (REJECT, OFFERED), (partly(given), OFFERED))
    if shipped_after:
        story.ask(story.ship((1, shipped_after)), OFFERED)
    story.ask(leaves, LATER)
    assert story.deposit.money.held == money(kept)
    assert story.deposit.money.refunding == money("39000 IDR") - money(kept)


def test_a_ruling_is_spread_over_the_units_that_it_names() -> None:
    """By their price and not by that of their lines: two thirds of it are for the one of line 2."""
    story = bought(shop(10_000, 20_000), 2, 1)
    told(story, (claimed("short_shipment", (1, 1), (2, 1)), OPENED), (REJECT, OFFERED), (partly("15000 IDR"), OFFERED))
    told(story, (story.ship((2, 1)), OFFERED), (OUT_OF_STOCK, LATER))
    assert shown(story.deposit) == "held 10000 refunding 30000"


# --- Whatever else happens to the order ---


@pytest.mark.parametrize("leaves", [CANCEL, OUT_OF_STOCK], ids=["buyer", "merchant"])
@pytest.mark.parametrize("during", [True, False])
def test_an_end_beside_a_claim_pays_every_unit_once(leaves: Any, during: bool) -> None:
    story = told(five((3, 1)), (claimed("short_shipment", (1, 1), (3, 1)), OPENED))
    steps = [(leaves, OFFERED), (ACCEPT, OFFERED + 1)]
    for command, at in steps if during else [(ACCEPT, OFFERED), (leaves, OFFERED + 1)]:
        story.ask(command, at)
    assert shown(story.deposit) == "refunding 315000"
    assert story.latest_claim.status == "accepted"


def test_what_an_end_would_give_is_less_what_claims_paid() -> None:
    story = told(five((3, 1)), (claimed("short_shipment", (1, 1), (3, 1)), OPENED), (ACCEPT, OFFERED))
    left = compute_entitlement(story.deposit, story.terms, Cause.BUYER_CANCEL, OFFERED)
    assert [(line.code, str(line.amount)) for line in left.lines] == [
        ("paid", "315000 IDR"),
        ("already_refunded", "-135000 IDR"),
    ]


def test_a_balance_that_arrives_meanwhile_goes_back_as_well() -> None:
    story = told(paid(FOUNDERS), (claimed("mistaken_lock"), OPENED))
    assert story.deposit.balance
    told(story, (BALANCE_BY_CARD, OFFERED))
    story.pay(at=OFFERED)
    story.ask(ACCEPT, OFFERED + 1)
    assert story.deposit.money.refunding == story.deposit.money.captured == story.deposit.total


# --- Banks ---


def test_what_is_decided_waits_while_the_bank_decides() -> None:
    story = opened()
    story.dispute("open", OFFERED)
    story.ask(ACCEPT, OFFERED)
    assert (str(story.latest_claim.paid), story.refund.status) == ("75000 IDR", "approved")
    assert story.deposit.is_disputed(story.refund.capture)
    story.dispute("lost", OFFERED + HOUR)
    assert [(str(refund.amount), refund.cause, str(refund.status)) for refund in story.deposit.refunds] == [
        ("75000 IDR", "claim", "settled"),
        ("240000 IDR", "chargeback", "settled"),
    ]


@pytest.mark.parametrize("first", ["claim", "bank"])
@pytest.mark.parametrize(
    ("took", "paid"), [("5088 CNY", "0 CNY"), ("1088 CNY", "4000 CNY"), ("88 CNY", "5000 CNY"), (None, "0 CNY")]
)
def test_what_the_bank_took_out_of_what_was_kept_is_not_paid_once_more(first: str, took: str | None, paid: str) -> None:
    """88 yuan of it cover the refund that was not sent yet; the rest came out of the merchant's forfeit."""
    story = left_late()
    if first == "claim":
        story.ask(claimed("mistaken_lock"), AT)
    story.dispute("lost", AT + 1, took)
    if first == "bank" and paid == "0 CNY":
        with refused(Reason.REFUND_EXCEEDS_REFUNDABLE, refundable=money("0 CNY")):
            story.ask(claimed("mistaken_lock"), AT + 2)
        return
    if first == "bank":
        story.ask(claimed("mistaken_lock"), AT + 2)
    story.ask(ACCEPT, AT + 3)
    assert str(story.latest_claim.paid) == paid
    assert str(story.deposit.money.forfeited) == f"{5000 - int(paid.split(maxsplit=1)[0])} CNY"


def test_of_two_payments_the_disputed_one_gives_last() -> None:
    story = settled()
    told(story, (claimed("other", amount="2 CNY"), LATER))
    story.dispute("open", LATER, capture="cap_2")
    story.ask(ACCEPT, LATER + 1)
    assert [(refund.capture, str(refund.amount)) for refund in story.deposit.refunds] == [("cap_1", "2 CNY")]


# --- Goodwill, and what a claim holds back ---


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("240000 IDR", "refund.approved"),
        ("240001 IDR", "funds-in-dispute"),
        ("315000 IDR", "funds-in-dispute"),
        ("315001 IDR", "refund-exceeds-refundable"),
    ],
)
def test_goodwill_gives_away_nothing_that_is_claimed(amount: str, said: str) -> None:
    assert opened().grant(amount, OFFERED) == said


def test_an_offer_holds_back_all_that_it_promises() -> None:
    story = told(opened(), (offer("80000 IDR"), OFFERED))
    assert str(story.deposit.refundable) == "235000 IDR"
    told(story, (TAKE, OFFERED))
    assert str(story.deposit.refundable) == "235000 IDR"
    assert str(told(opened(), (REJECT, OFFERED)).deposit.refundable) == "240000 IDR"


# --- A second chance ---


@pytest.mark.parametrize("way", [granted, accepted, upheld])
def test_an_appeal_that_is_won_grants_one_pass_and_gives_the_limit_back(way: Callable[[Story], Story]) -> None:
    under = shop(10_000, limits={"per_buyer": 3})
    story = told(bought(under, 2), (LIMIT, PAID), (claimed("merchant_cancellation"), AT))
    assert story.deposit.limit_units == 2
    way(story)
    assert (len(story.deposit.passes), story.deposit.limit_units) == (1, 0)
    (one,) = story.deposit.passes
    assert (one.granted.skus, one.granted.reason) == (("a",), "LIMIT_ACCOUNT")


def test_two_appeals_of_one_cancellation_grant_no_second_pass() -> None:
    story = told(five(), (OUT_OF_STOCK, PAID))
    assert len(story.deposit.passes) == 1
    told(story, (claimed("merchant_cancellation"), AT), (REJECT, AT), (RuleClaim(1, "uphold", "why"), AT))
    assert len(story.deposit.passes) == 1
