"""Every command in every status, at the instants that matter. Edges stand in pairs."""

from collections.abc import Callable
from itertools import product

import pytest
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR, MINUTE, format_instant
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deadlines import overdue
from chalicelib.core.decide import MAX_EVENTS, actions, decide
from chalicelib.core.delivery import fulfilment
from chalicelib.core.delivery.fulfilment import DeclareDefault, Deliver, PayBalance, Ready, Receive, Ship
from chalicelib.core.deposit.clock import lock_at, status_at
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.ending import Expired
from chalicelib.core.deposit.events.lock import LockedByWindowEnd
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.deposit.lock import Lock, Window
from chalicelib.core.deposit.payment import MAX_PAYMENTS
from chalicelib.core.deposit.status import Status
from chalicelib.core.ending.end import Cancel
from chalicelib.core.locking.lock import OpenIntent, Unlock
from chalicelib.core.merchant.question import Ask
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding.goodwill import Grant
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import Ordered
from tests.core.stories import (
    BALANCE_BY_CARD,
    CANCEL,
    CONFIRM_WITHDRAWAL,
    DUE,
    END,
    FLASH_SALE,
    FOUNDERS,
    GRACE,
    INTENT,
    LATER,
    LOCKED,
    NEVER,
    PAID,
    PAY_BY_ALIPAY,
    STATE,
    SU7,
    T0,
    UNDO,
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

WEEKS = 200 * DAY
LOCKED_SOON = PAID + 2 * MINUTE
UNDO_SOON = LOCKED_SOON + 10 * MINUTE
LOCKED_LATE = END - 30 * MINUTE
UNDO_LATE = LOCKED_LATE + HOUR
NO_UNDO = terms(lock={"undo": None})

# What a full journal takes no more of.
ELECTIVE = (ChangePaymentMethod, ChangeItems, OpenIntent, Ready, PayBalance, Ship, Deliver, Grant, Ask)


def awaiting() -> Story:
    return ordered()


def cooling() -> Story:
    return paid()


def never_locked() -> Story:
    return paid(NEVER)


def locked_by_window() -> Story:
    """The clock has locked it, and a job has written that down."""
    return paid().write(END)


def locked_by_payment() -> Story:
    return paid(FOUNDERS)


def locked_without_undo() -> Story:
    return paid(FLASH_SALE)


def locked_early() -> Story:
    """Locked by the buyer within the window: the undo is over long before it."""
    return locked(terms(lock={"undo": "PT10M"}), at=LOCKED_SOON)


def locked_late() -> Story:
    """Locked shortly before the window's end: the undo lasts longer than the window."""
    return locked(at=LOCKED_LATE)


def locked_for_good() -> Story:
    return locked(NO_UNDO, at=LOCKED_SOON)


def locked_never_ending() -> Story:
    return locked(NEVER, at=LOCKED_SOON)


def unlocked() -> Story:
    """Locked at payment and taken back: free until the undo's end, and only to cancel."""
    story = locked_by_payment()
    story.ask(UNLOCK, PAID + 1)
    return story


def withdrawn() -> Story:
    return cancelled()


def expired() -> Story:
    return ordered().write(DUE)


REFUNDED = "deposit.cancelled refund.approved"
KEPT = "deposit.cancelled refund.approved refund.settled"  # all of the deposit: nothing is left to pay

CASES: list[tuple[Callable[[], Story], Command, int, str]] = [
    # deposit             command        asked at    then
    (awaiting,            CANCEL,        T0,         "deposit.cancelled"),
    (awaiting,            CANCEL,        DUE - 1,    "deposit.cancelled"),
    (awaiting,            CANCEL,        DUE,        "wrong-state"),
    (awaiting,            CANCEL,        DUE + 1,    "wrong-state"),
    (awaiting,            PAY_BY_ALIPAY, DUE - 1,    "payment.method_changed"),
    (awaiting,            PAY_BY_ALIPAY, DUE,        "wrong-state"),
    (awaiting,            UNLOCK,        T0,         "wrong-state"),
    (cooling,             CANCEL,        PAID,       REFUNDED),
    (cooling,             CANCEL,        END - 1,    REFUNDED),
    (cooling,             CANCEL,        END,        REFUNDED),
    (cooling,             CANCEL,        END + 1,    REFUNDED),
    (cooling,             PAY_BY_ALIPAY, PAID,       "wrong-state"),
    (cooling,             UNLOCK,        PAID,       "wrong-state"),
    (cooling,             UNLOCK,        END - 1,    "wrong-state"),
    (cooling,             UNLOCK,        END,        "undo-closed"),
    (cooling,             PAY_BY_ALIPAY, END,        "wrong-state"),
    (never_locked,        CANCEL,        PAID + WEEKS, REFUNDED),
    (never_locked,        UNLOCK,        PAID + WEEKS, "wrong-state"),
    (locked_by_window,    CANCEL,        END - 1,    REFUNDED),
    (locked_by_window,    CANCEL,        END,        REFUNDED),
    (locked_by_window,    UNLOCK,        END - 1,    "wrong-state"),
    (locked_by_window,    UNLOCK,        END,        "undo-closed"),
    (locked_by_window,    PAY_BY_ALIPAY, END,        "wrong-state"),
    (locked_by_payment,   CANCEL,        UNDO - 1,   REFUNDED),
    (locked_by_payment,   CANCEL,        UNDO,       REFUNDED),
    (locked_by_payment,   UNLOCK,        PAID,       "lock.undone"),
    (locked_by_payment,   UNLOCK,        UNDO - 1,   "lock.undone"),
    (locked_by_payment,   UNLOCK,        UNDO,       "undo-closed"),
    (locked_by_payment,   UNLOCK,        UNDO + 1,   "undo-closed"),
    (locked_by_payment,   PAY_BY_ALIPAY, PAID,       "wrong-state"),
    (locked_without_undo, CANCEL,        PAID,       REFUNDED),
    (locked_without_undo, UNLOCK,        PAID,       "undo-closed"),
    (locked_early,        UNLOCK,        UNDO_SOON - 1, "lock.undone"),
    (locked_early,        UNLOCK,        UNDO_SOON,  "undo-closed"),
    (locked_late,         UNLOCK,        END - 1,    "lock.undone"),
    (locked_late,         UNLOCK,        END,        "lock.undone"),
    (locked_late,         UNLOCK,        UNDO_LATE - 1, "lock.undone"),
    (locked_late,         UNLOCK,        UNDO_LATE,  "undo-closed"),
    (locked_for_good,     UNLOCK,        LOCKED_SOON, "undo-closed"),
    (unlocked,            CANCEL,        UNDO - 1,   REFUNDED),
    (unlocked,            CANCEL,        UNDO,       REFUNDED),
    (unlocked,            UNLOCK,        UNDO - 1,   "wrong-state"),
    (unlocked,            UNLOCK,        UNDO,       "undo-closed"),
    (unlocked,            PAY_BY_ALIPAY, UNDO - 1,   "wrong-state"),
    (withdrawn,           CANCEL,        PAID + DAY, "already-cancelled"),
    (withdrawn,           UNLOCK,        PAID + DAY, "wrong-state"),
    (withdrawn,           PAY_BY_ALIPAY, PAID + DAY, "wrong-state"),
    (expired,             CANCEL,        DUE,        "wrong-state"),
    (expired,             UNLOCK,        DUE,        "wrong-state"),
    (expired,             PAY_BY_ALIPAY, DUE,        "wrong-state"),
    (completed,           CANCEL,        LATER,      "wrong-state"),
    (completed,           UNLOCK,        LATER,      "wrong-state"),
    (completed,           PAY_BY_ALIPAY, LATER,      "wrong-state"),
]  # fmt: skip


def told(case: tuple[Callable[[], Story], Command, int, str]) -> str:
    made, command, at, _ = case
    return f"{made.__name__} {type(command).__name__} {format_instant(at)}"


@pytest.mark.parametrize("case", CASES, ids=told)
def test_a_command_gives_what_the_table_says(case: tuple[Callable[[], Story], Command, int, str]) -> None:
    made, command, at, then = case
    assert made().said(command, at) == then


def test_every_status_meets_every_command_of_a_buyer() -> None:
    met = {(status_at(made().deposit, at), type(command)) for made, command, at, _ in CASES}
    assert met == set(product(Status, (Cancel, ChangePaymentMethod, Unlock)))


@pytest.mark.parametrize("case", CASES, ids=told)
def test_the_actions_of_a_buyer_are_what_is_accepted(case: tuple[Callable[[], Story], Command, int, str]) -> None:
    made, command, at, then = case
    name = {Cancel: "cancel", ChangePaymentMethod: "payment-method", Unlock: "unlock"}[type(command)]
    accepted = then not in set(Reason)
    story = made()
    offered = actions(story.deposit, "buyer", at, story.terms)
    assert (name in offered) == accepted
    assert list(offered) == sorted(offered)


@pytest.mark.parametrize("role", ["platform", "inspector", "service", "nobody"])
def test_others_than_buyer_and_merchant_have_nothing_to_do(role: str) -> None:
    for story in (paid(), final(), settled()):
        assert actions(story.deposit, role, LATER, story.terms) == ()


# What a buyer and what a merchant may do along the usual way. The car is made to order: the law knows no withdrawal.
USUAL: list[tuple[Callable[[], Story], int, str, str]] = [
    # deposit              at             buyer                                     merchant
    (ordered,              T0,            "cancel payment-method",                  "merchant-cancel questions"),
    (ordered,              DUE,           "",                                       ""),
    (paid,                 PAID,          "cancel changes lock-intents",            "merchant-cancel questions refunds"),
    (paid,                 END - 1,       "cancel changes lock-intents",            "merchant-cancel questions refunds"),
    (paid,                 END,           "balance-payments cancel claims",         "merchant-cancel questions ready refunds"),
    (locked,               LOCKED,        "cancel claims unlock",                   "merchant-cancel questions refunds"),
    (locked_early,         UNDO_SOON - 1, "cancel claims unlock",                   "merchant-cancel questions refunds"),
    (locked_early,         UNDO_SOON,     "balance-payments cancel claims",         "merchant-cancel questions ready refunds"),
    (final,                LATER,         "balance-payments cancel claims",         "merchant-cancel questions ready refunds"),
    (settled,              LATER,         "cancel claims",                          "merchant-cancel questions ready refunds shipments"),
    (completed,            LATER,         "claims receipt",                         "deliveries refunds"),
    (withdrawn,            LATER,         "claims",                                 ""),
]  # fmt: skip


@pytest.mark.parametrize(("made", "at", "buyer", "merchant"), USUAL, ids=[f"{r[0].__name__} {r[1]}" for r in USUAL])
def test_what_a_buyer_and_a_merchant_may_do(made: Callable[[], Story], at: int, buyer: str, merchant: str) -> None:
    story = made()
    for role, names in (("buyer", buyer), ("merchant", merchant)):
        assert actions(story.deposit, role, at, story.terms) == tuple(names.split())


@pytest.mark.parametrize("case", CASES, ids=told)
def test_a_refusal_says_where_the_deposit_stands(case: tuple[Callable[[], Story], Command, int, str]) -> None:
    made, command, at, then = case
    story = made()
    if then == "wrong-state":
        with refused(Reason.WRONG_STATE, state=status_at(story.deposit, at).value):
            decide(story.deposit, command, at, story.terms)


def all_back(text: str) -> tuple[str, str]:
    return text, "0 CNY"


# The car costs 299,900, the deposit is 5,000 (founders: 20,000), shipping 88; the flash sale takes everything.
CANCELS: list[tuple[Callable[[], Story], int, tuple[str, str], str]] = [
    # deposit             asked at      back, kept                  by rule
    (cooling,             PAID,         all_back("5088 CNY"),       "terms/window"),
    (cooling,             END - 1,      all_back("5088 CNY"),       "terms/window"),
    (cooling,             END,          ("88 CNY", "5000 CNY"),     "CN-2026/earnest_cap"),
    (cooling,             END + 1,      ("88 CNY", "5000 CNY"),     "CN-2026/earnest_cap"),
    (locked_by_window,    END - 1,      all_back("5088 CNY"),       "terms/window"),
    (locked_by_window,    END,          ("88 CNY", "5000 CNY"),     "CN-2026/earnest_cap"),
    (never_locked,        PAID + WEEKS, all_back("5088 CNY"),       "terms/window"),
    (locked_by_payment,   PAID,         all_back("20088 CNY"),      "terms/undo"),
    (locked_by_payment,   UNDO - 1,     all_back("20088 CNY"),      "terms/undo"),
    (locked_by_payment,   UNDO,         ("88 CNY", "20000 CNY"),    "CN-2026/earnest_cap"),
    (unlocked,            UNDO - 1,     all_back("20088 CNY"),      "terms/window"),
    (unlocked,            UNDO,         ("88 CNY", "20000 CNY"),    "CN-2026/earnest_cap"),
    (locked_without_undo, PAID + WEEKS, all_back("299988 CNY"),     "terms/refund_after_lock"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("made", "at", "amounts", "rule"),
    CANCELS,
    ids=[f"{made.__name__} {format_instant(at)}" for made, at, *_ in CANCELS],
)
def test_a_cancel_gives_back(made: Callable[[], Story], at: int, amounts: tuple[str, str], rule: str) -> None:
    story = made()
    cancel, *_ = story.ask(CANCEL, at)
    back, kept = map(money, amounts)
    assert (story.refund.amount, story.refund.cause) == (back, "buyer_cancel")
    assert story.deposit.money.forfeited == kept
    assert (getattr(cancel, "rule", None), getattr(cancel, "forfeited", None)) == (rule, kept)
    assert story.refund.promised_by == at + 7 * DAY


def test_a_cancel_in_time_returns_everything_although_the_lock_stands_written() -> None:
    story = cooling().write(END + HOUR)
    assert isinstance(story.events[-1], LockedByWindowEnd)
    assert story.deposit.status is Status.LOCKED
    assert story.said(CANCEL, END - 1) == REFUNDED
    assert story.refund.amount == money("5088 CNY")


@pytest.mark.parametrize("under", [FOUNDERS, terms(preset="su7_founders_2024", lock={"undo": None})])
def test_a_cancel_asked_before_the_money_was_taken_returns_everything(under: Terms) -> None:
    story = ordered(under)
    story.pay(at=PAID)  # its event is worked off first, and the terms lock at payment
    story.ask(CANCEL, PAID - 1)
    assert story.deposit.money.forfeited == Money.zero("CNY")
    assert story.refund.amount == money("20088 CNY")


def test_a_cancel_asked_before_a_lock_returns_everything_although_the_lock_is_written() -> None:
    story = locked_for_good()
    story.ask(CANCEL, LOCKED_SOON - 1)
    assert story.refund.amount == money("5088 CNY")
    late = locked_for_good()
    late.ask(CANCEL, LOCKED_SOON)
    assert late.refund.amount == money("88 CNY")


def test_a_deposit_that_was_never_paid_is_cancelled_without_a_refund() -> None:
    story = awaiting()
    story.ask(CANCEL, T0 + 1)
    assert (story.deposit.status, story.deposit.refunds) == (Status.CANCELLED, ())


def test_a_refund_of_nothing_is_settled_at_once() -> None:
    story = paid(terms(shipping={"amount": "0", "currency": "CNY"}))
    assert story.said(CANCEL, END) == KEPT
    assert story.refund.status.value == "settled"
    assert not story.refund.amount


# --- Taking a lock back: TM11 as the contract has it ---


def test_an_undo_within_the_window_gives_the_same_window_back() -> None:
    story = locked_early()
    before = story.deposit.window
    story.ask(UNLOCK, UNDO_SOON - 1)
    assert (story.deposit.window, story.deposit.lock) == (before, None)
    assert status_at(story.deposit, END - 1) is Status.COOLING_OFF
    assert status_at(story.deposit, END) is Status.LOCKED


def test_an_undo_where_the_window_never_ends_gives_it_back_without_an_end() -> None:
    story = locked_never_ending()
    story.ask(UNLOCK, LOCKED_SOON + 1)
    assert story.deposit.window == Window(PAID, None)


@pytest.mark.parametrize("at", [END - 1, END])
def test_an_undo_at_the_windows_end_looks_at_the_half_open_end(at: int) -> None:
    story = locked_late()
    story.ask(UNLOCK, at)
    same, until_undo_ends = Window(PAID, END), Window(PAID, UNDO_LATE, cancel_only=True)
    assert story.deposit.window == (same if at < END else until_undo_ends)


@pytest.mark.parametrize(
    ("made", "asked", "until"), [(locked_late, END, UNDO_LATE), (locked_by_payment, UNDO - 1, UNDO)]
)
def test_an_undo_without_a_window_leaves_only_cancel_until_the_undo_would_have_ended(
    made: Callable[[], Story], asked: int, until: int
) -> None:
    story = made()
    story.ask(UNLOCK, asked)
    assert story.deposit.window is not None
    assert (story.deposit.window.ends_at, story.deposit.window.cancel_only) == (until, True)
    assert actions(story.deposit, "buyer", until - 1, story.terms) == ("cancel",)
    assert status_at(story.deposit, until - 1) is Status.COOLING_OFF
    assert lock_at(story.deposit, until) == Lock("window_end", until)
    with refused(Reason.UNDO_CLOSED, undo_until=None):
        decide(story.deposit, UNLOCK, until, story.terms)


def test_an_undo_that_comes_too_late_is_told_until_when_it_was_open() -> None:
    story = locked_by_payment()
    with refused(Reason.UNDO_CLOSED, undo_until=UNDO):
        decide(story.deposit, UNLOCK, UNDO, story.terms)


# --- The buyer's word on how to pay ---


def test_a_method_that_is_not_offered_is_a_fault_of_the_field_before_anything_else() -> None:
    for made in (awaiting, cooling, expired):
        story = made()
        with refused(Reason.PAYMENT_METHOD_NOT_OFFERED, ("/payment_method", "unknown_method")):
            decide(story.deposit, ChangePaymentMethod("gopay"), T0, SU7)


def test_another_method_opens_another_payment_with_the_same_due_time() -> None:
    story = awaiting()
    story.ask(PAY_BY_ALIPAY, DUE - 1)
    first, second = story.deposit.payments
    assert (first.status.value, second.status.value) == ("replaced", "requires_action")
    assert (second.n, second.method, second.amount, second.due_at) == (2, "alipay", first.amount, DUE)


def test_a_buyer_changes_the_method_only_so_often() -> None:
    story = awaiting()
    for _ in range(MAX_PAYMENTS - 1):
        assert story.said(PAY_BY_ALIPAY, T0) == "payment.method_changed"
    with refused(Reason.RATE_LIMITED, most=MAX_PAYMENTS):
        decide(story.deposit, PAY_BY_ALIPAY, T0, SU7)
    assert story.said(CANCEL, T0) == "deposit.cancelled"


def test_a_decision_changes_nothing_by_itself() -> None:
    story = cooling()
    before: Deposit = story.deposit
    decide(before, CANCEL, PAID, SU7)
    assert story.deposit is before
    assert before == evolve(ordered().deposit, story.events[-1])


def test_a_written_expiry_is_judged_the_same_as_one_that_only_the_clock_knows() -> None:
    unwritten, written = awaiting(), awaiting().tell(Expired(DUE))
    assert unwritten.said(CANCEL, DUE) == written.said(CANCEL, DUE) == "wrong-state"


# --- The clock's announcements: written early, late or never, they decide nothing ---


def ready() -> Story:
    """The goods can be inspected; the balance falls due, and the time to cure a delay runs after that."""
    story = final()
    story.ask(story.ready(), LATER)
    return story


def shipped_in_part() -> Story:
    story = settled(SU7, ("su7-max", 2))
    story.ask(story.ship((1, 1)), LATER)
    return story


EUROPE = draft(plain("recommended", "EUR", market="EU", payment={"deposit": wire("100 EUR")}))


def withdrawable() -> Story:
    story = paid(EUROPE)
    story.ask(STATE, PAID)
    return story


def with_an_intent() -> Story:
    """An intent that is ripe 1 ms before the window ends."""
    story = paid()
    story.ask(INTENT, END - MINUTE)
    return story


ANNOUNCED = [with_an_intent, never_locked, locked_early, locked_late, unlocked, withdrawable, ready, shipped_in_part]


def asked(story: Story) -> list[Command]:
    """Whatever a buyer or a merchant may ask for."""
    confirm = [story.confirm()] if story.deposit.intents else []
    deliver = Deliver(story.ship((1, 1)).lines, LATER, ("signature:1",))
    change = ChangeItems((Ordered(story.deposit.lines[0].sku, 3),))
    others: list[Command] = [PAY_BY_ALIPAY, story.ready(), story.ship((1, 1)), deliver, Receive(), DeclareDefault()]
    return [CANCEL, INTENT, *confirm, UNLOCK, change, BALANCE_BY_CARD, STATE, CONFIRM_WITHDRAWAL, *others]


def answer(story: Story, deposit: Deposit, command: Command, at: int) -> object:
    try:
        return decide(deposit, command, at, story.terms)
    except Refused as no:
        return no.reason, no.faults, no.facts


@pytest.mark.parametrize("made", ANNOUNCED, ids=lambda made: made.__name__)
def test_a_decision_is_the_same_before_and_after_the_clocks_announcements_were_written(
    made: Callable[[], Story],
) -> None:
    story = made()
    ahead = overdue(story.deposit, END + WEEKS, T0)
    written = story.deposit
    for event in ahead:
        written = evolve(written, event)
    for at in {instant + offset for instant in (PAID, END, *(event.at for event in ahead)) for offset in (-1, 0, 1)}:
        assert status_at(written, at) is status_at(story.deposit, at)
        assert actions(written, "buyer", at, story.terms) == actions(story.deposit, "buyer", at, story.terms)
        assert actions(written, "merchant", at, story.terms) == actions(story.deposit, "merchant", at, story.terms)
        for command in asked(story):
            assert answer(story, written, command, at) == answer(story, story.deposit, command, at), (command, at)


def test_what_was_asked_before_the_end_of_the_window_counts_although_the_lock_stands_written() -> None:
    change = ChangeItems((Ordered("su7-max", 2),))
    for command, then in ((CANCEL, REFUNDED), (INTENT, "lock.intent_opened"), (change, "items.changed")):
        early, late = with_an_intent().write(END + 1), with_an_intent().write(END + 1)
        assert isinstance(early.events[-1], LockedByWindowEnd)
        assert early.said(command, END - 1) == then
        assert late.said(command, END) == (then if command == CANCEL else "wrong-state")


def test_a_lock_confirmed_before_the_end_of_the_window_is_the_buyers_although_the_clocks_stands_written() -> None:
    story = with_an_intent().write(END + 1)
    assert story.said(story.confirm(), END - 1) == "lock.confirmed"
    assert lock_at(story.deposit, END - 1) == Lock("buyer", END - 1, END - 1 + HOUR)
    late = with_an_intent().write(END + 1)
    assert late.said(late.confirm(), END) == "wrong-state"
    assert lock_at(late.deposit, END) == Lock("window_end", END)


def test_what_was_asked_in_time_leaves_the_window_where_it_ends() -> None:
    """The choice meets an open window; that it ended stands written, and is not said twice."""
    story = with_an_intent().write(END + 1)
    story.ask(ChangeItems((Ordered("su7-max", 2),)), END - 1)
    assert (status_at(story.deposit, END - 1), status_at(story.deposit, END)) == (Status.COOLING_OFF, Status.LOCKED)
    assert overdue(story.deposit, END + 1, END + 1 - GRACE) == ()


# --- How long a journal may get ---


def test_a_long_journal_takes_no_more_optional_commands_but_always_its_end() -> None:
    story = with_an_intent()
    confirm = story.confirm()
    story.deposit = replace(story.deposit, version=MAX_EVENTS - 1)
    assert story.said(INTENT, END - 1) == "lock.intent_opened"
    for command in asked(story):
        if isinstance(command, ELECTIVE) and not fulfilment.finishes(story.deposit, command):
            with refused(Reason.RATE_LIMITED, most=MAX_EVENTS):
                decide(story.deposit, command, END - 1, story.terms)
    assert answer(story, story.deposit, confirm, END - 1) == (Reason.LOCK_INTENT_INVALID, (), {})
    assert story.said(CANCEL, END - 1) == REFUNDED
