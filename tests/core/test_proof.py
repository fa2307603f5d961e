"""Proofs: every refund of every story is what the rules give when asked again, and no forged figure passes."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core import proof_document
from chalicelib.core.claims.answering import AcceptOffer, AddEvidence, Escalate, Respond, RuleClaim
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.delivery.fulfilment import DeclareDefault, Deliver, Receive
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.events.payment import PaymentSucceeded
from chalicelib.core.deposit.events.refund import RefundApproved
from chalicelib.core.journal_replay import CAUSES, approval_differs, decide_approval_again
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.paying.provider_answers import CaptureSeen, PaymentSeen
from chalicelib.core.policy.terms import Terms
from chalicelib.core.proof import Difference, build_proof, find_differences
from chalicelib.core.proof_document import CALCULATOR
from chalicelib.core.refunding.goodwill import Grant
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import Ordered
from tests.core.stories import (
    A_WEEK,
    ACCEPT,
    ASK,
    BALANCE_BY_CARD,
    BY_SELLER,
    CANCEL,
    CONFIRM_WITHDRAWAL,
    DEPOSIT_ID,
    DIFFERS,
    DISMISS,
    DUE,
    END,
    ESCALATE,
    FLASH_SALE,
    FOUNDERS,
    LATER,
    LOCKED,
    NEVER,
    NO_WAY_BACK,
    OUT_OF_STOCK,
    PAID,
    PAY_BY_ALIPAY,
    REJECT,
    SEND,
    STATE,
    SU7,
    T0,
    TAKE,
    UNLOCK,
    UPHOLD,
    Story,
    bought,
    claimed,
    completed,
    draft,
    final,
    locked,
    money,
    offer,
    ordered,
    paid,
    partly,
    plain,
    refund_news,
    refused,
    settled,
    shop,
    terms,
    traded,
    trading,
    wire,
)
from tests.core.test_actions import IN_EUROPE, ITEMS_OF, NAMES, TWO_LINES, valid
from tests.scope import examples

Json = dict[str, Any]
MINE: Final = "dep_" + "0" * 26
ASKED: Final = PAID + DAY + 7
BY_THE_WALLET: Final = draft(
    plain("recommended", "IDR", market="ID", payment={"deposit": wire("100 IDR"), "methods": ["gopay", "ovo"]})
)
BY_WORKING_DAYS: Final = terms(window={"kind": "working_days", "length": "P3D"})
CAR_AND_WHEELS: Final = (("car", 1), ("wheel", 2))
FORCE_MAJEURE: Final = MerchantCancel("FORCE_MAJEURE", ("notice:1",))
ANY_REASON: Final = terms(cancellation_reasons=["MERCHANT_OTHER"])
ONE_WHEEL: Final = ChangeItems((Ordered("wheel", 1),))


# --- Every cause, in time and late ---


def then(story: Story, *asked: tuple[Any, int]) -> Story:
    for command, at in asked:
        story.ask(command, at)
    return story


def out_of_order() -> Story:
    """Asked inside the window, worked off after its end was written down."""
    return then(paid().write(LATER), (CANCEL, END - 1))


def undone_and_left() -> Story:
    return then(locked(), (UNLOCK, LOCKED + 50 * MINUTE), (CANCEL, END - MINUTE))


def left_with_a_wheel() -> Story:
    story = settled(TWO_LINES, *CAR_AND_WHEELS)
    story.ask(story.ship((2, 1)), LATER)
    return then(story, (CANCEL, LATER + DAY))


def withdrawn(story: Story, at: int) -> Story:
    return then(story, (STATE, at), (CONFIRM_WITHDRAWAL, at + 1))


def received() -> Story:
    return withdrawn(then(completed(IN_EUROPE), (Receive(), LATER + DAY)), LATER + 2 * DAY + 7)


def delivered() -> Story:
    story = then(completed(IN_EUROPE), (Deliver((Units(1, 0),), LATER + DAY, ("signature:1",)), LATER + DAY))
    return withdrawn(story, LATER + 2 * DAY + 7)


def defaulted() -> Story:
    story = final(TWO_LINES, *CAR_AND_WHEELS)
    story.ask(story.ready(), LATER)
    return then(story.write(LATER + 20 * DAY), (DeclareDefault(), LATER + 30 * DAY))


def revoked() -> Story:
    """By the merchant, who has shipped a wheel: earnest money is doubled for what did not come, and a pass is granted."""
    story = settled(TWO_LINES, *CAR_AND_WHEELS)
    story.ask(story.ship((2, 1)), LATER)
    return then(story, (OUT_OF_STOCK, LATER + DAY))


def revoked_for_silence() -> Story:
    """The buyer was asked for an address and said nothing for 48 hours."""
    story = then(paid(), (ASK, ASKED))
    unanswered = MerchantCancel("ADDRESS_INVALID", ("carrier:9", child("qst", DEPOSIT_ID, 1)))
    return then(story.write(ASKED + 2 * DAY), (unanswered, ASKED + 2 * DAY))


def revoked_with_a_note() -> Story:
    """For a reason of the merchant's own, which a second person approved; of the note only a digest is told."""
    command = MerchantCancel("MERCHANT_OTHER", ("record:1",), "sha256:note", 40, "usr_second")
    return then(paid(ANY_REASON), (command, ASKED))


def came(story: Story, amount: str | None, at: int, **seen: Any) -> Story:
    story.pay(amount, at, **seen)
    return story


def replaced_and_paid_twice() -> Story:
    story = then(ordered(), (PAY_BY_ALIPAY, T0))
    came(story, None, PAID)
    return came(story, "5088 CNY", PAID + HOUR, payment=1, seen_at=PAID + HOUR + 7)


def overpaid_balance() -> Story:
    story = then(final(), (BALANCE_BY_CARD, LATER))
    return came(story, "299999 CNY", LATER)


def changed_twice() -> Story:
    story = paid(TWO_LINES, *CAR_AND_WHEELS)
    return then(story, (ChangeItems((Ordered("wheel", 2),)), ASKED))


def granted(story: Story, at: int, *amounts: str) -> Story:
    for amount in amounts:
        story.ask(Grant(money(amount), story.deposit.refundable, "sha256:0"), at)
    return story


def granted_and_left() -> Story:
    return then(granted(paid(), ASKED, "8.88 CNY"), (CANCEL, ASKED + 1))


def lost(story: Story, at: int, amount: str | None = None) -> Story:
    story.dispute("open", at, amount)
    story.dispute("lost", at + DAY, amount)
    return story


def lost_after_a_cancel() -> Story:
    """The bank's money covers a part; the other refund was sent and the rest is in excess."""
    story = granted(paid(), ASKED, "88 CNY")
    return lost(story, ASKED + 1)


GOODS: Final = shop(50_000, 20_000, shipping=5_000)
SILENT: Final = ASKED + 3 * DAY


def missing(*units: tuple[int, int]) -> Story:
    """Of one thing for 50,000 and two for 20,000 rupiah: these did not come."""
    return then(bought(GOODS, 1, 2), (claimed("short_shipment", *units), ASKED))


def claimed_in_two_steps() -> Story:
    story = then(missing((2, 1)), (ACCEPT, ASKED))
    rest = claimed("short_shipment", (1, 1), (2, 1))
    return then(story, (rest, ASKED + 1)).write(ASKED + 4 * DAY)


def claimed_as_shipped() -> Story:
    story = bought(GOODS, 1, 2)
    story.ask(story.ship(), PAID)
    return then(story, (claimed("short_shipment", (2, 1)), ASKED))


def claimed_again() -> Story:
    story = then(missing((1, 1)), (REJECT, ASKED), (DISMISS, ASKED), (claimed("refund_amount", amount="7 IDR"), ASKED))
    return then(story, (AddEvidence(2, "merchant", ("photo:1",)), ASKED)).write(SILENT)


def left_by_mistake() -> Story:
    story = then(locked(), (CANCEL, LOCKED + DAY), (claimed("mistaken_lock"), LOCKED + DAY))
    return story.write(LOCKED + 4 * DAY)


STORIES: Final[dict[str, Callable[[], Story]]] = {
    "cancelled in the window": lambda: then(paid(), (CANCEL, ASKED)),
    "cancelled in the window, asked in time and late": out_of_order,
    "cancelled with reminders written": lambda: then(paid().write(END - HOUR), (CANCEL, END - 1)),
    "cancelled in a window of working days": lambda: then(paid(BY_WORKING_DAYS), (CANCEL, ASKED)),
    "cancelled where nothing locks": lambda: then(paid(NEVER), (CANCEL, LATER)),
    "forfeited": lambda: then(final(), (CANCEL, LATER)),
    "forfeited, its lock not written": lambda: then(paid(), (CANCEL, END)),
    "forfeited after the balance": lambda: then(settled(), (CANCEL, LATER + DAY)),
    "forfeited, locked by the buyer": lambda: then(locked(), (CANCEL, LOCKED + DAY)),
    "left while the undo was open": lambda: then(locked(), (CANCEL, LOCKED + MINUTE)),
    "left after the undo": undone_and_left,
    "left with wheels": left_with_a_wheel,
    "refunded after a lock at payment": lambda: then(paid(FLASH_SALE), (CANCEL, ASKED)),
    "forfeited after a lock at payment": lambda: then(paid(FOUNDERS), (CANCEL, ASKED)),
    "cancelled, no way back": lambda: then(paid(NO_WAY_BACK), (CANCEL, ASKED)),
    "cancelled, the way back closes first": lambda: then(paid(BY_THE_WALLET), (CANCEL, END - DAY)),
    "old device, the buyer leaves": lambda: then(traded(trading()), (CANCEL, PAID)),
    "old device, the buyer leaves in the window": lambda: then(traded(trading(**A_WEEK)), (CANCEL, PAID)),
    "old device differs": lambda: then(traded(trading()), (DIFFERS, PAID)),
    "old device differs, in no band": lambda: then(traded(trading("49000 IDR", "10000 IDR")), (DIFFERS, PAID)),
    "old device differs, the fee takes all": lambda: then(traded(trading("900000 IDR", "890000 IDR")), (DIFFERS, PAID)),
    "old device, the seller failed": lambda: then(traded(trading()), (BY_SELLER, PAID)),
    "withdrawn": lambda: withdrawn(paid(IN_EUROPE), PAID),
    "withdrawn after receipt": received,
    "withdrawn after delivery": delivered,
    "withdrawn after the balance": lambda: withdrawn(settled(IN_EUROPE), LATER + DAY),
    "defaulted": defaulted,
    "cancelled by the merchant": revoked,
    "cancelled by the merchant, nobody's fault": lambda: then(paid(), (FORCE_MAJEURE, ASKED)),
    "cancelled by the merchant after the lock": lambda: then(final(), (OUT_OF_STOCK, LATER)),
    "cancelled by the merchant, paid in full": lambda: then(paid(FLASH_SALE), (OUT_OF_STOCK, ASKED)),
    "cancelled by the merchant, with a note": revoked_with_a_note,
    "cancelled by the merchant, old device": lambda: then(traded(trading()), (OUT_OF_STOCK, PAID)),
    "cancelled by the merchant after goodwill": lambda: then(granted(paid(), ASKED, "8.88 CNY"), (OUT_OF_STOCK, ASKED + 1)),
    "cancelled by the merchant for silence": revoked_for_silence,
    "too little": lambda: came(ordered(), "100 CNY", PAID),
    "too little, then enough": lambda: came(came(ordered(), "100 CNY", PAID), None, PAID + 1),
    "another currency": lambda: came(ordered(), "5088 USD", PAID),
    "too much": lambda: came(ordered(), "6000 CNY", PAID, seen_at=PAID + HOUR),
    "too much, locked at payment": lambda: came(ordered(FOUNDERS), "30000 CNY", PAID),
    "too much, then left": lambda: then(came(ordered(), "6000 CNY", PAID), (CANCEL, ASKED)),
    "too much of a balance": overpaid_balance,
    "twice": lambda: came(paid(), "5088 CNY", PAID + HOUR),
    "twice, by the payment before": replaced_and_paid_twice,
    "after the deposit was due": lambda: came(ordered(), None, DUE),
    "after it expired": lambda: came(ordered().write(DUE), None, PAID, seen_at=LATER + 7),
    "after a cancel": lambda: came(then(ordered(), (CANCEL, T0)), None, PAID),
    "changed to less": lambda: then(paid(TWO_LINES), (ONE_WHEEL, ASKED)),
    "changed to less, again": changed_twice,
    "changed to less, then left": lambda: then(paid(TWO_LINES), (ONE_WHEEL, ASKED), (CANCEL, ASKED + 1)),
    "goodwill": lambda: granted(paid(), ASKED, "8.88 CNY", "1 CNY"),
    "goodwill out of two payments": lambda: granted(settled(), LATER + DAY + 7, "299950 CNY"),
    "goodwill, then left": granted_and_left,
    "goodwill when completed": lambda: granted(completed(), LATER + DAY, "10 CNY"),
    "claim granted by silence": lambda: missing((1, 1), (2, 1)).write(SILENT),
    "claim granted after an offer": lambda: then(missing((1, 1)), (offer("60000 IDR"), ASKED)).write(SILENT + 3 * DAY),
    "claim agreed to": lambda: then(missing((2, 1)), (ACCEPT, ASKED)),
    "claim settled by an offer": lambda: then(missing((1, 1)), (offer("60000 IDR"), ASKED), (TAKE, ASKED)),
    "claim upheld": lambda: then(missing((1, 1)), (offer("60000 IDR"), ASKED), (ESCALATE, ASKED), (UPHOLD, ASKED)),
    "claim upheld in part": lambda: then(missing((1, 1)), (REJECT, ASKED), (partly("1 IDR"), ASKED)),
    "claim of everything": lambda: missing((1, 1), (2, 2)).write(SILENT),
    "claim of everything, given in part": lambda: then(
        missing((1, 1), (2, 2)), (REJECT, ASKED), (partly("70000 IDR"), ASKED)
    ),
    "claim of the rest": claimed_in_two_steps,
    "claim against what was recorded": lambda: claimed_as_shipped().write(SILENT),
    "claim after a claim that was dismissed": claimed_again,
    "claim out of two payments": lambda: then(
        settled(), (claimed("other", amount="294950 CNY"), LATER), (ACCEPT, LATER + 7)
    ),
    "claim that a lock was a mistake": lambda: then(locked(), (claimed("mistaken_lock"), LOCKED), (ACCEPT, LOCKED + 7)),
    "claim that a lock was a mistake, after leaving": left_by_mistake,
    "claim of a fee": lambda: then(
        traded(trading()), (DIFFERS, PAID), (claimed("trade_in"), ASKED), (ACCEPT, ASKED + 7)
    ),
    "claim, then left": lambda: then(missing((2, 1)), (ACCEPT, ASKED), (CANCEL, ASKED + 1)),
    "claim answered late": lambda: then(missing((2, 1)).write(SILENT), (REJECT, SILENT)),
    "chargeback lost": lambda: lost(paid(), ASKED),
    "chargeback lost in part": lambda: lost(paid(), ASKED, "5000 CNY"),
    "chargeback lost with goodwill on its way": lost_after_a_cancel,
}  # fmt: skip


def refunds(story: Story) -> Iterator[int]:
    return (refund.n for refund in story.deposit.refunds)


def proof_of(story: Story, n: int) -> Json:
    """As a reader gets it: once through the wire."""
    told: Json = json.loads(json.dumps(build_proof(DEPOSIT_ID, story.events, n, story.terms)))
    return told


def check(story: Story) -> None:
    for n in refunds(story):
        assert not approval_differs(DEPOSIT_ID, story.events, n, story.terms), n
        assert find_differences(proof_of(story, n)) == []


def test_every_cause_that_the_rules_know_has_a_story() -> None:
    causes = {refund.cause for tell in STORIES.values() for refund in tell().deposit.refunds}
    assert causes == set(CAUSES)


@pytest.mark.parametrize("name", STORIES)
def test_every_refund_is_what_the_rules_give_again(name: str) -> None:
    story = STORIES[name]()
    assert story.deposit.refunds
    check(story)
    for event in story.events:
        if isinstance(event, RefundApproved):
            assert decide_approval_again(DEPOSIT_ID, story.events, event.refund, story.terms) == event


def test_what_comes_later_changes_no_proof() -> None:
    story = then(paid(), (CANCEL, ASKED))
    before = build_proof(DEPOSIT_ID, story.events, 1, story.terms)
    then(story, (SEND, ASKED), (refund_news(story, "succeeded", ASKED), ASKED))
    came(story, "5088 CNY", LATER)
    assert build_proof(DEPOSIT_ID, story.events, 1, story.terms) == before
    check(story)


def test_a_proof_shows_how_the_fee_came_about_and_nothing_of_stock_or_keys() -> None:
    story = traded(trading())
    story.events[0] = replace(story.deposit.created, batch="b", token_key="secret")
    told = proof_of(then(story, (DIFFERS, PAID)), 1)
    assert [name for name in told if name not in {"terms", "events", "digest"}] == [
        *("object", "calculator", "refund", "deposit", "cause", "terms_hash", "result")
    ]
    assert (told["object"], told["calculator"], told["refund"]) == (
        "refund_proof",
        CALCULATOR,
        "ref_" + "0" * 26 + "_1",
    )
    assert told["result"]["amount"] == wire("2160000 IDR")
    assert [line["code"] for line in told["result"]["lines"]] == ["paid", "shipping_kept", "trade_in_fee"]
    assert told["events"][-1]["type"] == "refund.approved"
    assert told["events"][0]["data"]["at"] == "2024-03-28T14:00:00.000Z"
    assert not {"batch", "stock", "limit_units", "token_key"} & set(told["events"][0]["data"])
    assert "secret" not in json.dumps(told)


def test_there_is_no_proof_of_a_refund_that_is_not_there() -> None:
    story = paid()
    with refused(Reason.NOT_FOUND):
        build_proof(DEPOSIT_ID, story.events, 1, story.terms)
    assert decide_approval_again(DEPOSIT_ID, story.events, 1, story.terms) is None
    assert approval_differs(DEPOSIT_ID, story.events, 1, story.terms)


# --- What the executor must not send ---


def approval(story: Story, **changes: Any) -> list[DepositEvent]:
    """The journal with another first approval."""
    approved = next(event for event in story.events if isinstance(event, RefundApproved))
    place = story.events.index(approved)
    return [*story.events[:place], replace(approved, **changes), *story.events[place + 1 :]]


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("forfeited", {"amount": money("5088 CNY")}),
        ("forfeited", {"cause": "merchant_cancel"}),
        ("forfeited", {"cause": "goodwill"}),
        ("forfeited", {"cause": "change"}),
        ("forfeited", {"cause": "chargeback"}),
        ("forfeited", {"cause": "overpayment"}),
        ("forfeited", {"cause": "seller_default_compensation"}),
        ("cancelled by the merchant, nobody's fault", {"cause": "seller_default_compensation"}),
        ("cancelled by the merchant, nobody's fault", {"cause": "buyer_cancel"}),
        ("cancelled by the merchant, nobody's fault", {"amount": money("5087.99 CNY")}),
        ("cancelled in the window", {"amount": money("5087.99 CNY")}),
        ("cancelled in the window", {"capture": "cap_2"}),
        ("cancelled in the window", {"refund": 2}),
        ("cancelled in the window", {"at": ASKED + 1}),
        ("cancelled in the window", {"promised_by": ASKED + 7 * DAY + 1}),
        ("cancelled in the window", {"promised_by": ASKED}),
        ("goodwill", {"cause": "buyer_cancel"}),
        ("goodwill", {"amount": money("0 CNY")}),
        ("goodwill", {"amount": money("5088.01 CNY")}),
        ("goodwill", {"capture": "cap_2"}),
        ("too much", {"amount": money("912.01 CNY")}),
        ("twice", {"cause": "late_payment"}),
        ("chargeback lost", {"cause": "goodwill"}),
        ("changed to less", {"amount": money("1 CNY")}),
        ("claim granted by silence", {"amount": money("70001 IDR")}),
        ("claim granted by silence", {"cause": "goodwill"}),
        ("claim granted by silence", {"cause": "buyer_cancel"}),
        ("claim granted by silence", {"at": SILENT - 1}),
        ("claim granted by silence", {"capture": "cap_2"}),
        ("claim settled by an offer", {"amount": money("50000 IDR")}),
        ("claim of a fee", {"cause": "claim"}),
        ("goodwill", {"cause": "claim"}),
        ("forfeited", {"cause": "claim"}),
    ],
)
def test_what_the_rules_do_not_give_is_noticed(name: str, changes: dict[str, Any]) -> None:
    story = STORIES[name]()
    assert approval_differs(DEPOSIT_ID, approval(story, **changes), changes.get("refund", 1), story.terms)


def test_nothing_is_given_twice() -> None:
    """The same money back again, at the end of the journal, under the next number."""
    for name in ("too much", "twice", "changed to less", "cancelled in the window", "chargeback lost"):
        story = STORIES[name]()
        first = next(event for event in story.events if isinstance(event, RefundApproved))
        again = [*story.events, replace(first, refund=len(story.deposit.refunds) + 1)]
        assert approval_differs(DEPOSIT_ID, again, again[-1].refund, story.terms), name  # type: ignore[attr-defined] # an approval


def test_nothing_goes_back_out_of_what_a_bank_disputes() -> None:
    story = paid()
    story.dispute("open", ASKED)
    given = RefundApproved(ASKED, 1, Cause.GOODWILL, money("1 CNY"), (), ASKED + 7 * DAY, 1, "cap_1")
    assert approval_differs(DEPOSIT_ID, [*story.events, given], 1, story.terms)


@pytest.mark.parametrize("took", ["5087 CNY", "5088 CNY"])
def test_nothing_is_in_excess_of_what_was_not_more_than_due(took: str) -> None:
    created = ordered().deposit.created
    arrived = PaymentSucceeded(PAID, 1, "cap_1", money(took), windowed=True, window_ends_at=END)
    given = RefundApproved(PAID, 1, Cause.OVERPAYMENT, money("1 CNY"), (), PAID + 7 * DAY, 1, "cap_1")
    assert approval_differs(DEPOSIT_ID, [created, arrived, given], 1, SU7)


def test_an_end_needs_what_leads_to_it() -> None:
    story = STORIES["defaulted"]()
    early = [event for event in story.events if event.TYPE != "goods.ready"]
    assert approval_differs(DEPOSIT_ID, early, 1, story.terms)
    for name in ("withdrawn", "old device differs"):
        story = STORIES[name]()
        unled = [event for event in story.events if event.TYPE not in {"withdrawal.confirmed", "trade_in.inspected"}]
        assert approval_differs(DEPOSIT_ID, unled, 1, story.terms)


def test_the_promise_may_be_the_earlier_day_on_which_the_way_back_closed() -> None:
    """Routes are not frozen: whatever they say today, what was promised then is believed within its bounds."""
    story = STORIES["cancelled in the window"]()
    for days, wrong in ((7, False), (1, True), (9, True)):
        promised = PAID + days * DAY
        assert approval_differs(DEPOSIT_ID, approval(story, promised_by=promised), 1, story.terms) is wrong


# --- Forgeries ---

# What only the world knows, and what says nothing about the money of the refund that is proved.
TOLD: Final = {
    "deposit.created": {"offer", "merchant", "buyer"},
    "payment.succeeded": {"capture"},
    "payment.not_counted": {"at"},
    "payment.method_changed": {"at", "method"},
    "balance.paid": {"at", "capture"},
    "lock.intent_opened": {"*"},
    "deposit.cancelled": {"approver", "evidence", "note"},
    "lock.confirmed": {"disclosure_hash"},
    "lock.undone": {"at"},
    "goods.ready": {"at", "evidence"},
    "goods.shipped": {"at", "lines"},
    "goods.received": {"at"},
    "deposit.completed": {"at"},
    "trade_in.inspected": {"at", "evidence"},
    "trade_in.cancelled": {"at"},
    "withdrawal.stated": {"*"},
    "withdrawal.confirmed": {"at", "digest"},
    "chargeback.opened": {"at", "ref"},
    "refund.settled": {"at"},
    "refund.approved": {"note"},
    "claim.opened": {"statement", "evidence"},
    "claim.evidence_added": {"*"},
    "claim.offered": {"statement"},
    "claim.rejected": {"statement"},
    "claim.accepted": {"statement"},
    "claim.upheld": {"reason"},
    "claim.partly_upheld": {"reason"},
    "claim.dismissed": {"at", "reason"},
}
# One story of every kind; each of their leaves is forged.
FORGED: Final = [
    "cancelled in the window",
    "cancelled with reminders written",
    "forfeited after the balance",
    "left after the undo",
    "forfeited after a lock at payment",
    "old device differs",
    "old device, the seller failed",
    "withdrawn after receipt",
    "defaulted",
    "cancelled by the merchant",
    "cancelled by the merchant, with a note",
    "too much",
    "after it expired",
    "twice, by the payment before",
    "changed to less",
    "goodwill out of two payments",
    "chargeback lost in part",
    "claim granted after an offer",
    "claim settled by an offer",
    "claim upheld",
    "claim of everything, given in part",
    "claim of the rest",
    "claim against what was recorded",
    "claim after a claim that was dismissed",
    "claim out of two payments",
    "claim that a lock was a mistake, after leaving",
    "claim of a fee",
]


def leaves(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, *path, name)
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from leaves(part, *path, place)
    else:
        yield path


def at_path(told: Json, path: tuple[str | int, ...]) -> Any:
    found: Any = told
    for name in path:
        found = found[name]
    return found


def other(value: Any, name: str | int) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str() if name == "amount":
            return f"{value}1" if value != "0" else "1"
        case str() if value.endswith((".000Z", ".007Z")):
            return value.replace(value[-5:], ".001Z")
        case _:
            return f"{value}x"


def forged(told: Json, path: tuple[str | int, ...], value: Any) -> Json:
    """With another value there, and a digest that fits again."""
    copy: Json = json.loads(json.dumps(told))
    at_path(copy, path[:-1])[path[-1]] = value
    return sealed(copy)


def sealed(told: Json) -> Json:
    return {**told, "digest": proof_document.compute_digest(told)}


def passes(told: object) -> bool:
    """Whether it is a valid proof; what is none at all is refused with its faults, and nothing else is ever raised."""
    try:
        return not find_differences(told)
    except Refused as refusal:
        unlike = refusal
    assert unlike.reason is Reason.INVALID_REQUEST
    assert unlike.faults
    return False


def only_told(told: Json, path: tuple[str | int, ...]) -> bool:
    if path[0] != "events" or path[2] != "data":
        return False
    free = TOLD.get(told["events"][path[1]]["type"], set())
    return "*" in free or path[3] in free


@pytest.mark.sample(12)
@pytest.mark.parametrize("name", FORGED)
def test_no_forged_figure_passes(name: str) -> None:
    story = STORIES[name]()
    for n in refunds(story):
        told = proof_of(story, n)
        for path in leaves({name: part for name, part in told.items() if name not in {"digest", "terms"}}):
            value = at_path(told, path)
            if isinstance(value, dict) or only_told(told, path):
                continue
            assert not passes(forged(told, path, other(value, path[-1]))), path


def test_no_forged_term_passes() -> None:
    told = proof_of(STORIES["old device differs"](), 1)
    for path in leaves(told["terms"], "terms"):
        assert not passes(forged(told, path, other(at_path(told, path), path[-1]))), path


def test_a_changed_proof_needs_a_new_digest() -> None:
    told = proof_of(STORIES["forfeited"](), 1)
    (found,) = find_differences({**told, "digest": "sha256:0"})
    assert found == Difference("/digest", told["digest"], "sha256:0")


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("forfeited",          ("amount",),                            wire("5088 CNY")),
        ("old device differs", ("amount",),                            wire("2200000 IDR")),
        ("old device differs", ("lines", 2, "amount"),                 wire("-35000 IDR")),
        ("old device differs", ("lines", 2, "rule"),                   "id-tukar-tambah@2025-01-01/phone/50000-1000000"),
        ("old device differs", ("lines", 2, "evidence"),               ["photo:2"]),
        ("old device differs", ("lines", 1, "code"),                   "forfeited"),
        ("cancelled in the window", ("promised_by",),                  "2024-04-30T14:01:00.000Z"),
    ],
)  # fmt: skip
def test_a_forger_who_changes_approval_and_result_alike_is_told_both(
    name: str, path: tuple[str | int, ...], value: Any
) -> None:
    told = proof_of(STORIES[name](), 1)
    last = len(told["events"]) - 1
    both = forged(forged(told, ("events", last, "data", *path), value), ("result", *path), value)
    pointers = {found.pointer for found in find_differences(both)}
    here = "/" + "/".join(str(part) for part in path)
    assert any(pointer.startswith(f"/events/{last}/data{here}") for pointer in pointers)
    assert any(pointer.startswith(f"/result{here}") for pointer in pointers)


def test_a_forger_who_reorders_lines_is_told() -> None:
    told = proof_of(STORIES["old device differs"](), 1)
    lines = told["result"]["lines"][::-1]
    both = forged(forged(told, ("result", "lines"), lines), ("events", len(told["events"]) - 1, "data", "lines"), lines)
    assert {found.pointer.split("/")[1] for found in find_differences(both)} == {"events", "result"}


def test_a_difference_says_what_the_rules_give() -> None:
    told = proof_of(STORIES["forfeited"](), 1)
    (found,) = find_differences(forged(told, ("result", "amount", "amount"), "5088"))
    assert found == Difference("/result/amount/amount", "88", "5088")
    story = STORIES["forfeited"]()
    end = next(place for place, event in enumerate(story.events) if isinstance(event, Cancelled))
    kept = find_differences(forged(told, ("events", end, "data", "forfeited", "amount"), "4000"))
    assert kept == [Difference(f"/events/{end}/data/forfeited/amount", "5000", "4000")]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"calculator": "earnest/0"},          ("/calculator", CALCULATOR, "earnest/0")),
        ({"cause": "goodwill"},                ("/cause", "buyer_cancel", "goodwill")),
        ({"refund": "ref_" + "0" * 26 + "_2"}, ("/refund", "ref_" + "0" * 26 + "_1", "ref_" + "0" * 26 + "_2")),
        ({"terms_hash": "sha256:0"},           ("/terms_hash", None, "sha256:0")),
    ],
)  # fmt: skip
def test_the_head_of_a_proof_fits_what_follows(change: Json, found: tuple[str, Any, Any]) -> None:
    told = proof_of(STORIES["forfeited"](), 1)
    (difference,) = find_differences(sealed({**told, **change}))
    assert difference == (found[0], found[1] or told["terms_hash"], found[2])


def test_another_deposits_id_gives_another_proof() -> None:
    told = proof_of(STORIES["forfeited"](), 1)
    pointers = [found.pointer for found in find_differences(sealed({**told, "deposit": "dep_" + "1" * 26}))]
    assert pointers == ["/refund", "/result/payment"]


@pytest.mark.parametrize(
    ("name", "path", "value", "pointer"),
    [
        ("forfeited", ("terms", "market_policy"), "../fees/id-tukar-tambah-2025-01-01", "/terms/market_policy"),
        ("old device differs", ("terms", "trade_in", "version"), "../2025-01-01", "/terms/trade_in/schedule"),
    ],
)
def test_rules_that_this_release_does_not_have_are_no_rules(
    name: str, path: tuple[str, ...], value: str, pointer: str
) -> None:
    found = find_differences(forged(proof_of(STORIES[name](), 1), path, value))
    assert pointer in {one.pointer for one in found}


def test_a_step_that_cannot_be_is_named_and_nothing_after_it_is_judged() -> None:
    told = proof_of(STORIES["forfeited"](), 1)
    paid_at, end = 1, len(told["events"]) - 2
    cases = {
        0: told["events"][1:],
        1: [told["events"][0], told["events"][0], *told["events"][1:]],
        paid_at + 1: [*told["events"][: paid_at + 1], told["events"][paid_at], *told["events"][paid_at + 1 :]],
        end + 1: [*told["events"][: end + 1], told["events"][end], told["events"][-1]],
    }
    for place, events in cases.items():
        (found,) = find_differences(sealed({**told, "events": events}))
        assert found == Difference(f"/events/{place}", None, events[place]["type"])


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("too much",                               (0, "lines", 0, "quantity"), 0),
        ("too much",                               (1, "payment"),              0),
        ("twice",                                  (2, "capture"),              "cap_1"),
        ("cancelled in a window of working days",  (1, "window_ends_at"),       "2024-03-28T14:01:00.000Z"),
        ("withdrawn after delivery",               (-5, "lines", 0, "quantity"), 2),
    ],
)  # fmt: skip
def test_a_figure_that_cannot_be_is_told_by_its_event(name: str, path: tuple[Any, ...], value: Any) -> None:
    told = proof_of(STORIES[name](), 1)
    place = path[0] % len(told["events"])
    found = find_differences(forged(told, ("events", place, "data", *path[1:]), value))
    assert found == [Difference(f"/events/{place}", None, told["events"][place]["type"])]


def test_a_proof_ends_with_the_approval() -> None:
    told = proof_of(STORIES["forfeited"](), 1)
    (found,) = find_differences(sealed({**told, "events": told["events"][:-1]}))
    assert found == Difference(f"/events/{len(told['events']) - 2}/type", "refund.approved", "deposit.cancelled")


@pytest.mark.parametrize(
    ("name", "left_out"),
    [("too much, then left", "refund.approved"), ("too little, then enough", "payment.not_counted")],
)
def test_money_that_was_not_due_cannot_stay(name: str, left_out: str) -> None:
    story = STORIES[name]()
    told = proof_of(story, len(story.deposit.refunds))
    first = next(place for place, event in enumerate(told["events"]) if event["type"] == left_out)
    assert not passes(sealed({**told, "events": [*told["events"][:first], *told["events"][first + 1 :]]}))


# --- No proof at all ---


@pytest.mark.parametrize(
    ("change", "pointer", "why"),
    [
        ({"object": "refund"},                   "/object",             "choice"),
        ({"digest": None},                       "/digest",             "not_text"),
        ({"terms": []},                          "/terms",              "not_object"),
        ({"terms": {}},                          "/terms/title",        "missing"),
        ({"events": {}},                         "/events",             "not_list"),
        ({"events": []},                         "/events",             "too_few"),
        ({"events": [1]},                        "/events/0",           "not_object"),
        ({"events": [{"type": "a"}]},            "/events/0/data",      "missing"),
        ({"events": [{"data": {}}]},             "/events/0/type",      "missing"),
        ({"events": [{"type": "a", "x/": 1}]},   "/events/0/x~1",       "unknown_field"),
        ({"events": [{"type": "a", "data": 1}]}, "/events/0/type",      "choice"),
        ({"events": [{"type": [], "data": 1}]},  "/events/0/type",      "choice"),
        ({"events": [{"type": "deposit.created", "data": 1}]},             "/events/0/data",       "not_object"),
        ({"events": [{"type": "deposit.created", "data": {"batch": ""}}]}, "/events/0/data/batch", "unknown_field"),
        ({"events": [{"type": "deposit.expired", "data": {}}]},            "/events/0/data/at",    "missing"),
        ({"result": "2160000"},                  "/result",             "not_object"),
        ({"deposit": "dep_1"},                   "/deposit",            "not_well_formed"),
        ({"refund": "ref_1"},                    "/refund",             "not_well_formed"),
        ({"cause": "\ud800"},                    "",                    "invalid"),
        ({"result": {"amount": 2**60}},          "",                    "invalid"),
        ({"more": 1},                            "/more",               "unknown_field"),
    ],
)  # fmt: skip
def test_what_is_no_proof_is_refused(change: Json, pointer: str, why: str) -> None:
    told = {**proof_of(STORIES["forfeited"](), 1), **change}
    with pytest.raises(Refused) as caught:
        find_differences(told)
    assert caught.value.reason is Reason.INVALID_REQUEST
    assert FieldError(pointer, why) in caught.value.faults


@pytest.mark.parametrize("nothing", [None, [], "proof", 1, {}])
def test_nothing_is_no_proof(nothing: object) -> None:
    with pytest.raises(Refused):
        find_differences(nothing)


def test_a_proof_nested_without_end_is_refused() -> None:
    deep: Json = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with refused(Reason.INVALID_REQUEST, ("", "invalid")):
        find_differences({**proof_of(STORIES["forfeited"](), 1), "result": deep})


# --- Whatever comes in ---

SCRAPS: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2**54)
    | st.floats()
    | st.sampled_from(["", "0", "-1", "5088", "CNY", "XXX", "2024-03-28T14:00:00.000Z", "\ud800", "cap_1", "PT1H"])
    | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.sampled_from(["a", "at", "amount"]), parts),
    max_leaves=5,
)
PROOFS: Final = [proof_of(STORIES[name](), 1) for name in FORGED]


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document, inner ones too."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield from places(part, *path, name)


def resealed(told: Json) -> Json:
    try:
        return sealed(told)
    except (ValueError, RecursionError):
        return told


@settings(max_examples=examples(120))
@given(told=st.sampled_from(PROOFS), data=st.data())
def test_whatever_comes_in_is_answered_or_refused(told: Json, data: st.DataObject) -> None:
    broken: Json = json.loads(json.dumps(told))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([*places(broken.get("events"), "events"), *places(broken)]))
        around: Any = at_path(broken, path[:-1])
        last: Any = path[-1]
        match data.draw(st.sampled_from(["scrap", "copy", "drop", "twice"])):
            case "scrap":
                around[last] = data.draw(SCRAPS)
            case "copy":
                again = json.dumps(at_path(broken, data.draw(st.sampled_from(list(places(broken))))))
                around[last] = json.loads(again)
            case "twice" if isinstance(around, list):
                around.insert(data.draw(st.integers(0, len(around))), json.loads(json.dumps(around[last])))
            case _:
                around.pop(last, None) if isinstance(around, dict) else around.pop()
    passes(resealed(broken))


@given(told=SCRAPS)
def test_scraps_are_answered_or_refused(told: object) -> None:
    passes(told)


# --- Histories that nobody thought of ---

PAUSES: Final = st.sampled_from([0, 1, MINUTE, 14 * MINUTE, HOUR, DAY, 3 * DAY, 7 * DAY, 14 * DAY])
LAGS: Final = st.sampled_from([0, 0, 1, MINUTE])
WORLD: Final = ["money", "money", "less", "more", "foreign", "former", "deadlines", "refund", "returned"]
BANK: Final = ["open", "won", "lost"]
CLAIMED: Final = [
    *("misses", "misses all", "mistake", "asks", "appeals", "accept", "offer", "reject"),
    *("take", "escalate", "uphold", "partly", "silence", "silence"),
]
MOVES: Final = st.sampled_from([*(name for _, name in NAMES), *WORLD, *BANK, *CLAIMED, "confirm", "goodwill"])


def of_a_claim(story: Story, move: str) -> Command:
    """Of the latest claim, or one more."""
    deposit = story.deposit
    n = len(deposit.claims) or 1
    owed = deposit.claims[-1].owed if deposit.claims else Money.zero(deposit.currency)
    cent = Money(1, deposit.currency)
    left = (
        (line, one.count_claimable(deposit.lines[line - 1].quantity)) for line, one in enumerate(deposit.progress, 1)
    )
    commands: dict[str, Command] = {
        "misses": claimed("short_shipment", (1, 1)),
        "misses all": claimed("short_shipment", *((line, units) for line, units in left if units)),
        "mistake": claimed("mistaken_lock"),
        "asks": OpenClaim("other", "sha256:said", amount=deposit.refundable.share_ceil(1, 3)),
        "appeals": claimed("merchant_cancellation"),
        "accept": Respond(n, "accept"),
        "offer": Respond(n, "offer", owed + cent),
        "reject": Respond(n, "reject", statement="sha256:no"),
        "take": AcceptOffer(n),
        "escalate": Escalate(n),
        "uphold": RuleClaim(n, "uphold", "sha256:why"),
        "partly": RuleClaim(n, "partly", "sha256:why", owed.share_floor(1, 2)),
    }
    return commands[move]


def happens(story: Story, move: str, at: int) -> None:
    """A caller's action, money that arrives, a bank's word, a job that writes, or a refund on its way."""
    match move:
        case "deadlines":
            story.write(at)
        case "money" | "former":
            story.pay(at=at, payment=1 if move == "former" else None)
        case "less" | "more" | "foreign":
            due = story.deposit.payment.amount
            cent = Money(1, due.currency)
            took = {"less": due - cent, "more": due + cent, "foreign": Money(due.minor, "USD")}[move]
            name = f"cap_{len(story.deposit.captures) + 1}"
            story.said(PaymentSeen(story.deposit.payment.n, "succeeded", (CaptureSeen(name, took, at),)), at)
        case "refund" | "returned":
            if story.deposit.refunds:
                story.said(SEND, at)
                story.said(refund_news(story, "succeeded" if move == "refund" else "returned", at), at)
        case "open" | "won" | "lost":
            if story.deposit.captures:
                story.dispute(move, at, capture=story.deposit.captures[-1].capture)
        case "silence":
            story.write(story.deposit.claims[-1].due_at or at if story.deposit.claims else at)
        case _ if move in CLAIMED:
            story.said(of_a_claim(story, move), at)
        case "confirm":
            story.said(CONFIRM_WITHDRAWAL, at)
        case "goodwill":
            half = Money(story.deposit.refundable.minor // 2, story.deposit.currency)
            story.said(Grant(half, story.deposit.refundable), at)
        case _:
            story.said(valid(story, move, at), at)


@settings(max_examples=examples(80))
@given(
    begun=st.sampled_from([*ITEMS_OF, (BY_THE_WALLET, (("one", 2),))]),
    bought=st.booleans(),
    moves=st.lists(st.tuples(PAUSES, LAGS, MOVES), max_size=25),
)
def test_whatever_happened_every_refund_has_its_proof(
    begun: tuple[Terms, tuple[tuple[str, int], ...]], bought: bool, moves: list[tuple[int, int, str]]
) -> None:
    under, items = begun
    story = paid(under, *items) if bought else ordered(under, *items)
    at = story.deposit.updated_at
    for pause, lag, move in moves:
        at += pause
        happens(story, move, max(at - lag, T0))
    check(story)
