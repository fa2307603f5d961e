"""What a caller may do now: everything listed is accepted, nothing else is, wherever a deposit stands and whenever."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core import decide as rules
from chalicelib.core.claims.answering import WithdrawClaim
from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, SECOND
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Refused
from chalicelib.core.decide import MAX_EVENTS, ROWS, actions, decide
from chalicelib.core.delivery.fulfilment import DeclareDefault, Deliver, PayBalance, Ready, Receive
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.payment import MAX_PAYMENTS
from chalicelib.core.deposit.status import Status
from chalicelib.core.ending.withdrawal import MAX_STATEMENTS
from chalicelib.core.locking.lock import MAX_INTENTS, ConfirmLock
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.merchant.question import MAX_QUESTIONS, Ask
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.core.policy.claim_rules import find_claim_rules
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding.destination import SendRefund
from chalicelib.core.refunding.goodwill import MAX_GRANTS, Grant
from chalicelib.core.selling.changes import MAX_CHANGES, ChangeItems
from chalicelib.core.selling.ordering import Ordered
from tests.core.stories import (
    A_WEEK,
    BY_COURIER,
    CANCEL,
    CONFIRM_WITHDRAWAL,
    DEPOSIT_ID,
    DUE,
    END,
    FLASH_SALE,
    FOUNDERS,
    INTENT,
    LATER,
    LOCKED,
    MATCHES,
    NEVER,
    PAID,
    STATE,
    SU7,
    T0,
    UNDO,
    UNLOCK,
    Story,
    bought,
    cancelled,
    claimed,
    completed,
    draft,
    final,
    locked,
    ordered,
    paid,
    plain,
    refund_news,
    settled,
    shop,
    terms,
    traded,
    trading,
    wire,
)
from tests.scope import examples

ROLES: Final = ("buyer", "merchant", "inspector", "platform", "service")
NAMES: Final = [(row.action.role, row.action.name) for row in ROWS.values() if row.action is not None]

WHEELS: Final = {"sku": "wheel", "name": "Wheel", "price": wire("2600 CNY"), "stock": None}
CAR: Final = {"sku": "car", "name": "Car", "price": wire("299900 CNY"), "made_to_spec": True}
TWO_LINES: Final = terms(items=[CAR, WHEELS])
NOT_EARLY: Final = terms(lock={"early": False})
IN_EUROPE: Final = draft(plain("recommended", "EUR", market="EU", payment={"deposit": wire("100 EUR")}))


# --- A valid command for each action ---


def valid(story: Story, name: str, at: int) -> Command:
    """The command behind an action, as good as a caller could make it."""
    deposit = story.deposit
    match name:
        case "balance-payments":
            return PayBalance(story.terms.payment.methods[0])
        case "changes":
            return ChangeItems(tuple(Ordered(line.sku, line.quantity) for line in deposit.lines))
        case "lock":
            unknown = ConfirmLock(child("lki", DEPOSIT_ID, 1), "sha256:0", "LOCK 5000 CNY")
            return story.confirm() if deposit.intents else unknown
        case "payment-method":
            return ChangePaymentMethod(story.terms.payment.methods[-1])
        case "ready":
            waiting = [n for n, one in enumerate(deposit.progress, start=1) if one.ready_at is None]
            return Ready(tuple(waiting) or (1,), at, ("photo:1",))
        case "shipments":
            return story.ship() if story.ship().lines else story.ship((1, 1))
        case "deliveries":
            lines = enumerate(deposit.progress, start=1)
            on_the_way = tuple(Units(n, 0) for n, one in lines if one.shipped > one.delivered)
            return Deliver(on_the_way or (Units(1, 1),), at, ("photo:1",))
        case "claims":
            return claimed("privacy")
        case "refunds":
            return Grant(Money(1, deposit.currency), deposit.refundable)
        case _:
            return SIMPLE[name]


SIMPLE: Final[dict[str, Command]] = {
    "cancel": CANCEL,
    "lock-intents": INTENT,
    "unlock": UNLOCK,
    "withdrawals": STATE,
    "receipt": Receive(),
    "buyer-default": DeclareDefault(),
    "merchant-cancel": MerchantCancel("OUT_OF_STOCK", ("stock:1",)),
    "questions": Ask("address", "digest"),
}


def accepted(story: Story, name: str, at: int) -> bool:
    try:
        return bool(decide(story.deposit, valid(story, name, at), at, story.terms))
    except Refused:
        return False


def check(story: Story, at: int) -> None:
    """For every role: what is listed is accepted, what is not is refused; and the list is sorted."""
    for role in ROLES:
        listed = actions(story.deposit, role, at, story.terms)
        assert list(listed) == sorted(set(listed))
        for name in [name for owner, name in NAMES if owner == role]:
            assert (name in listed) is accepted(story, name, at), f"{role} {name} at {at}"


def test_every_action_has_a_command_of_its_own() -> None:
    made = {name: type(valid(paid(), name, PAID)) for _, name in NAMES}
    assert len(set(made.values())) == len(NAMES)


# --- Wherever a deposit stands ---


def opened(under: Terms = SU7, at: int = PAID + HOUR) -> Story:
    story = paid(under)
    story.ask(INTENT, at)
    return story


def superseded() -> Story:
    story = opened()
    story.ask(INTENT, PAID + HOUR + SECOND)
    return story


def intent_closed_by_a_change() -> Story:
    story = opened(TWO_LINES)
    story.ask(ChangeItems((Ordered("car", 1), Ordered("wheel", 2))), PAID + HOUR)
    return story


def refund_open() -> Story:
    story = opened()
    story.pay("100 CNY", PAID + HOUR)
    return story


def change_gave_back(arrives: bool = False) -> Callable[[], Story]:
    def made() -> Story:
        story = paid(TWO_LINES)
        story.ask(ChangeItems((Ordered("wheel", 1),)), PAID + HOUR)
        if arrives:
            story.ask(SendRefund(1), PAID + HOUR)
            story.ask(refund_news(story, "succeeded", PAID + HOUR), PAID + HOUR)
        story.ask(INTENT, PAID + HOUR)
        return story

    return made


def undone(under: Terms = SU7, at: int = LOCKED) -> Callable[[], Story]:
    def made() -> Story:
        story = locked(under, at=at) if under.lock.at != "payment" else paid(under)
        story.ask(UNLOCK, (at if under.lock.at != "payment" else PAID) + 50 * MINUTE)
        return story

    return made


def ready(*lines: int) -> Callable[[], Story]:
    def made() -> Story:
        story = final(TWO_LINES, ("car", 1), ("wheel", 2))
        story.ask(story.ready(*lines), LATER)
        return story

    return made


def balance_opened() -> Story:
    story = ready()()
    story.ask(PayBalance("card"), LATER)
    return story


def partly_shipped() -> Story:
    story = settled(TWO_LINES, ("car", 1), ("wheel", 2))
    story.ask(story.ship((2, 1)), LATER)
    return story


def arrived(by: str) -> Callable[[], Story]:
    def made() -> Story:
        story = completed(IN_EUROPE)
        story.ask(valid(story, by, LATER + DAY), LATER + DAY)
        return story

    return made


def defaulted() -> Story:
    story = ready()()
    story.ask(DeclareDefault(), LATER + 30 * DAY)
    return story


def withdrawal_stated() -> Story:
    story = paid(IN_EUROPE)
    story.ask(STATE, PAID)
    return story


def withdrawn() -> Story:
    story = withdrawal_stated()
    story.ask(CONFIRM_WITHDRAWAL, PAID + 1)
    return story


def asked(name: str, made: Callable[[], Story] = paid, at: int = PAID) -> Callable[[], Story]:
    """With one more word of the merchant."""

    def told() -> Story:
        story = made()
        story.ask(SIMPLE[name], at)
        return story

    return told


def claim_of(*units: tuple[int, int], written: bool = False) -> Callable[[], Story]:
    """Of everything, unless said; ``written``: silence granted it."""

    def made() -> Story:
        story = bought(shop(50_000, 20_000, shipping=5_000), 1, 2)
        story.claim("short_shipment", PAID, *(units or ((1, 1), (2, 2))))
        return story.write(PAID + 3 * DAY) if written else story

    return made


def shipped_and_claimed() -> Story:
    story = claim_of((2, 1))()
    story.ask(story.ship((1, 1), (2, 1)), PAID)
    return story.write(PAID + 3 * DAY)


def trade_in(*asked: Command, **changes: Any) -> Callable[[], Story]:
    def made() -> Story:
        story = traded(trading(**changes))
        for command in asked:
            story.ask(command, PAID)
        return story

    return made


STORIES: Final[dict[str, Callable[[], Story]]] = {
    "awaiting payment": ordered,
    "expired": lambda: ordered().write(DUE),
    "cooling off": paid,
    "cooling off, two lines": lambda: paid(TWO_LINES, ("car", 1), ("wheel", 2)),
    "cooling off in Europe": lambda: paid(IN_EUROPE),
    "cooling off, buyers do not lock": lambda: paid(NOT_EARLY),
    "cooling off for ever": lambda: opened(NEVER),
    "intent open": opened,
    "intent open at the end": lambda: opened(at=END - MINUTE),
    "intent superseded": superseded,
    "intent closed by a change": intent_closed_by_a_change,
    "refund open": refund_open,
    "change gave back": change_gave_back(),
    "change gave back, arrived": change_gave_back(arrives=True),
    "locked by the buyer": locked,
    "locked by the buyer without an undo": lambda: locked(terms(lock={"undo": None})),
    "undone": undone(),
    "undone late": undone(at=END - 10 * MINUTE),
    "undone where the clock never locks": undone(NEVER),
    "locked at payment": lambda: paid(FOUNDERS),
    "locked at payment without an undo": lambda: paid(FLASH_SALE),
    "locked at payment, undone": undone(FOUNDERS),
    "final": final,
    "one line ready": ready(1),
    "all ready": ready(),
    "balance opened": balance_opened,
    "settled": lambda: settled(TWO_LINES, ("car", 1), ("wheel", 2)),
    "partly shipped": partly_shipped,
    "completed": completed,
    "completed in Europe": lambda: completed(IN_EUROPE),
    "delivered": arrived("deliveries"),
    "received": arrived("receipt"),
    "cancelled": cancelled,
    "cancelled by the merchant": asked("merchant-cancel"),
    "asked, awaiting payment": asked("questions", ordered, T0),
    "asked, cooling off": asked("questions"),
    "asked, final": asked("questions", final, LATER),
    "defaulted": defaulted,
    "claim open": claim_of(),
    "claim open on a part": claim_of((2, 1)),
    "claim granted, nothing came": claim_of(written=True),
    "claim granted on a part": claim_of((2, 1), written=True),
    "claim granted on the rest": shipped_and_claimed,
    "withdrawal stated": withdrawal_stated,
    "withdrawn": withdrawn,
    "trade-in to be handed over": trade_in(),
    "trade-in to be handed over, cooling off": trade_in(**A_WEEK),
    "trade-in matched": trade_in(MATCHES),
    "trade-in matched, cooling off": trade_in(MATCHES, **A_WEEK),
    "trade-in fell through": trade_in(BY_COURIER),
}


def edges(story: Story) -> Iterator[int]:
    """Every instant that means something to this deposit, not before what has been written."""
    deposit = story.deposit
    named = [T0, DUE, PAID, UNDO, LOCKED, END, LATER, LATER + 30 * DAY, deposit.updated_at]
    named += [at for intent in deposit.intents for at in (intent.opened.confirmable_at, intent.opened.expires_at)]
    named += [question.asked.due_at for question in deposit.questions]
    named += [at for at in (deposit.balance_due_at, deposit.cure_until, deposit.arrived_at) if at is not None]
    named += [deposit.arrived_at + 15 * DAY] if deposit.arrived_at is not None else []
    named += [deposit.lock.undo_until] if deposit.lock is not None and deposit.lock.undo_until is not None else []
    named += [deposit.window.ends_at] if deposit.window is not None and deposit.window.ends_at is not None else []
    return (at for name in named for at in (name - 1, name, name + 1) if at >= deposit.updated_at)


@pytest.mark.parametrize("name", STORIES)
def test_what_is_listed_is_accepted_and_nothing_else_at_every_edge(name: str) -> None:
    story = STORIES[name]()
    for at in edges(story):
        check(story, at)


@settings(max_examples=examples(200))
@given(name=st.sampled_from(sorted(STORIES)), after=st.integers(0, 60 * DAY), written=st.booleans())
def test_what_is_listed_is_accepted_and_nothing_else_at_any_instant(name: str, after: int, written: bool) -> None:
    story = STORIES[name]()
    at = story.deposit.updated_at + after
    if written:
        story.write(at)
    check(story, at)


def test_every_status_and_every_action_is_met() -> None:
    stories = [made() for made in STORIES.values()]
    met = [(story, at) for story in stories for at in edges(story)]
    assert {status_at(story.deposit, at) for story, at in met} == set(Status)
    listed = {
        (role, name)
        for (story, at), role in product(met, ROLES)
        for name in actions(story.deposit, role, at, story.terms)
    }
    assert listed == set(NAMES)


LISTED: Final = [
    # story                    asked at             the buyer may                                           the merchant may
    ("awaiting payment",       T0,                  ("cancel", "payment-method"),                           ("merchant-cancel", "questions")),
    ("awaiting payment",       DUE - 1,             ("cancel", "payment-method"),                           ("merchant-cancel", "questions")),
    ("awaiting payment",       DUE,                 (),                                                     ()),
    ("cooling off",            PAID,                ("cancel", "changes", "lock-intents"),                  ("merchant-cancel", "questions", "refunds")),
    ("cooling off in Europe",  PAID,                ("cancel", "changes", "lock-intents", "withdrawals"),   ("merchant-cancel", "questions", "refunds")),
    ("cooling off, buyers do not lock", PAID,       ("cancel", "changes"),                                  ("merchant-cancel", "questions", "refunds")),
    ("intent open",            PAID + HOUR + 10 * SECOND - 1, ("cancel", "changes", "lock-intents"),        ("merchant-cancel", "questions", "refunds")),
    ("intent open",            PAID + HOUR + 10 * SECOND, ("cancel", "changes", "lock", "lock-intents"),    ("merchant-cancel", "questions", "refunds")),
    ("intent open",            PAID + HOUR + 15 * MINUTE - 1, ("cancel", "changes", "lock", "lock-intents"), ("merchant-cancel", "questions", "refunds")),
    ("intent open",            PAID + HOUR + 15 * MINUTE, ("cancel", "changes", "lock-intents"),            ("merchant-cancel", "questions", "refunds")),
    ("refund open",            PAID + HOUR + MINUTE, ("cancel", "changes", "lock-intents"),                 ("merchant-cancel", "questions", "refunds")),
    ("change gave back",       PAID + HOUR + MINUTE, ("cancel", "lock-intents", "withdrawals"),             ("merchant-cancel", "questions", "refunds")),
    ("locked by the buyer",    LOCKED + HOUR - 1,   ("cancel", "claims", "unlock"),                         ("merchant-cancel", "questions", "refunds")),
    ("locked by the buyer",    LOCKED + HOUR,       ("balance-payments", "cancel", "claims"),               ("merchant-cancel", "questions", "ready", "refunds")),
    ("undone late",            END + 49 * MINUTE,   ("cancel",),                                            ("merchant-cancel", "questions", "refunds")),
    ("undone late",            END + 50 * MINUTE,   ("balance-payments", "cancel", "claims"),               ("merchant-cancel", "questions", "ready", "refunds")),
    ("final",                  LATER,               ("balance-payments", "cancel", "claims"),               ("merchant-cancel", "questions", "ready", "refunds")),
    ("settled",                LATER,               ("cancel", "claims"),                                   ("merchant-cancel", "questions", "ready", "refunds", "shipments")),
    ("partly shipped",         LATER,               ("cancel", "claims", "receipt"),                        ("deliveries", "merchant-cancel", "questions", "ready", "refunds", "shipments")),
    ("completed",              LATER,               ("claims", "receipt"),                                  ("deliveries", "refunds")),
    ("completed in Europe",    LATER,               ("claims", "receipt", "withdrawals"),                   ("deliveries", "refunds")),
    ("cancelled",              LATER,               ("claims",),                                            ()),
    ("expired",                DUE,                 (),                                                     ()),
    ("trade-in to be handed over", PAID,            ("cancel", "claims", "withdrawals"),                    ("merchant-cancel", "questions", "ready", "refunds", "shipments")),
    ("trade-in to be handed over, cooling off", PAID, ("cancel", "lock-intents", "withdrawals"),            ("merchant-cancel", "questions", "refunds")),
    ("trade-in matched",       PAID,                ("cancel", "claims", "withdrawals"),                    ("merchant-cancel", "questions", "ready", "refunds", "shipments")),
    ("trade-in fell through",  PAID,                ("claims",),                                            ()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "at", "buyer", "merchant"), LISTED)
def test_the_buttons_that_a_storefront_shows(
    name: str, at: int, buyer: tuple[str, ...], merchant: tuple[str, ...]
) -> None:
    story = STORIES[name]()
    assert actions(story.deposit, "buyer", at, story.terms) == buyer
    assert actions(story.deposit, "merchant", at, story.terms) == merchant
    for role in ("inspector", "platform", "service"):
        assert actions(story.deposit, role, at, story.terms) == ()


# --- Counted out ---


def after_many(command: Command, times: int, story: Story, at: int) -> Story:
    for n in range(times):
        story.ask(command, at + n)
    return story


SAME: Final = ChangeItems((Ordered("su7-max", 1),))


def after_many_grants(times: int) -> Story:
    story = paid()
    for n in range(times):
        story.ask(valid(story, "refunds", PAID + n), PAID + n)
    return story


def after_many_claims(times: int) -> Story:
    story = final()
    for n in range(1, times + 1):
        story.claim("privacy", LATER)
        story.ask(WithdrawClaim(n), LATER)
    return story


COUNTED: Final[dict[str, Callable[[int], Story]]] = {
    "lock-intents": lambda left: after_many(INTENT, MAX_INTENTS - left, paid(), PAID),
    "changes": lambda left: after_many(SAME, MAX_CHANGES - left, paid(), PAID),
    "withdrawals": lambda left: after_many(STATE, MAX_STATEMENTS - left, paid(IN_EUROPE), PAID),
    "payment-method": lambda left: after_many(ChangePaymentMethod("alipay"), MAX_PAYMENTS - 1 - left, ordered(), T0),
    "balance-payments": lambda left: after_many(PayBalance("card"), MAX_PAYMENTS - 1 - left, final(), LATER),
    "refunds": lambda left: after_many_grants(MAX_GRANTS - left),
    "claims": lambda left: after_many_claims(find_claim_rules(PAID).most_claims - left),
    "questions": lambda left: after_many(SIMPLE["questions"], MAX_QUESTIONS - left, paid(), PAID),
}


@pytest.mark.parametrize("name", COUNTED)
def test_what_has_been_done_too_often_is_not_listed_any_more(name: str) -> None:
    (role,) = (role for role, known in NAMES if known == name)
    for left in (1, 0):
        story = COUNTED[name](left)
        at = story.deposit.updated_at + SECOND
        assert (name in actions(story.deposit, role, at, story.terms)) is bool(left)
        check(story, at)


@pytest.mark.parametrize("name", ["cooling off", "intent open", "final", "partly shipped", "cooling off in Europe"])
def test_a_journal_that_is_full_lists_only_what_ends_the_deposit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    story = STORIES[name]()
    at = story.deposit.updated_at + MINUTE
    monkeypatch.setattr(rules, "MAX_EVENTS", story.deposit.version + 1)
    check(story, at)
    monkeypatch.setattr(rules, "MAX_EVENTS", story.deposit.version)
    check(story, at)
    assert "cancel" in actions(story.deposit, "buyer", at, story.terms)
    assert "merchant-cancel" in actions(story.deposit, "merchant", at, story.terms)
    assert "questions" not in actions(story.deposit, "merchant", at, story.terms)


def test_a_full_journal_is_within_reach_of_many_small_shipments() -> None:
    story = settled(terms(items=[WHEELS]), ("wheel", MAX_EVENTS))
    while story.deposit.version < MAX_EVENTS:
        story.ask(story.ship((1, 1)), LATER)
    check(story, LATER)


# --- Histories that nobody thought of ---

PAUSES: Final = st.sampled_from([0, 1, 10 * SECOND, MINUTE, 14 * MINUTE, HOUR, DAY, 3 * DAY, 7 * DAY, 14 * DAY])
MOVES: Final = st.sampled_from([*(name for _, name in NAMES), "money", "money", "deadlines", "refund"])
ITEMS_OF: Final[list[tuple[Terms, tuple[tuple[str, int], ...]]]] = [
    (SU7, (("su7-max", 1),)),
    (TWO_LINES, (("car", 1), ("wheel", 2))),
    (NEVER, (("su7-max", 1),)),
    (FOUNDERS, (("su7-max", 1),)),
    (FLASH_SALE, (("su7-max", 2),)),
    (IN_EUROPE, (("one", 2),)),
]


def happens(story: Story, move: str, at: int) -> None:
    """A caller's action, money that arrives, a job that writes, or a refund on its way."""
    if move == "deadlines":
        story.write(at)
    elif move == "money":
        story.pay(at=at)
    elif move == "refund" and story.deposit.refunds:
        story.said(SendRefund(story.refund.n), at)
        story.said(refund_news(story, "succeeded", at), at)
    elif move == "claims":  # taken back at once: an open one of a kind says nothing about where the deposit stands
        if story.claim("privacy", at) == "claim.opened":
            story.ask(WithdrawClaim(len(story.deposit.claims)), at)
    elif move != "refund":
        story.said(valid(story, move, at), at)


@settings(max_examples=examples(150))
@given(
    begun=st.sampled_from(ITEMS_OF),
    bought=st.booleans(),
    moves=st.lists(st.tuples(PAUSES, MOVES), max_size=25),
)
def test_whatever_happened_the_list_is_what_is_accepted(
    begun: tuple[Terms, tuple[tuple[str, int], ...]], bought: bool, moves: list[tuple[int, str]]
) -> None:
    under, items = begun
    story = paid(under, *items) if bought else ordered(under, *items)
    at = story.deposit.updated_at
    for pause, move in moves:
        at += pause
        happens(story, move, at)
        check(story, at)
