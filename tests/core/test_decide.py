"""Every command in every status, at the instants that matter. Edges stand in pairs."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from chalicelib.core.decide import MOST_PAYMENTS, Cancel, ChangePaymentMethod, Command, Unlock, actions, decide
from chalicelib.core.deposit import Deposit, Lock, Status, Window, evolve, lock_at, status_at
from chalicelib.core.events import Expired, LockedByWindowEnd
from chalicelib.core.instants import DAY, HOUR, MINUTE, format_instant
from chalicelib.core.money import Money
from chalicelib.core.refusal import Reason
from chalicelib.core.terms import Terms
from tests.core.stories import (
    CANCEL,
    DUE,
    END,
    FLASH_SALE,
    FOUNDERS,
    NEVER,
    PAID,
    PAY_BY_ALIPAY,
    SU7,
    T0,
    UNDO,
    UNLOCK,
    Story,
    cancelled,
    money,
    ordered,
    paid,
    refused,
    terms,
)

WEEKS = 200 * DAY
UNDO_SOON = PAID + 10 * MINUTE


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


def locked_by_buyer(undo_until: int | None) -> Story:
    """As after a buyer's own lock within the window. The command itself is not built yet."""
    story = cooling()
    lock = Lock("buyer", PAID + MINUTE, undo_until)
    story.deposit = replace(story.deposit, status=Status.LOCKED, lock=lock)
    return story


def locked_early() -> Story:
    return locked_by_buyer(UNDO_SOON)


def locked_late() -> Story:
    """Locked shortly before the window's end: the undo lasts longer than the window."""
    return locked_by_buyer(END + HOUR)


def locked_never_ending() -> Story:
    story = locked_early()
    story.deposit = replace(story.deposit, window=Window(PAID, None))
    return story


def unlocked() -> Story:
    """Locked at payment and taken back: free until the undo's end, and only to cancel."""
    story = locked_by_payment()
    story.ask(UNLOCK, PAID + 1)
    return story


def withdrawn() -> Story:
    return cancelled()


def expired() -> Story:
    return ordered().write(DUE)


def completed() -> Story:
    """Nothing leads here yet; what is completed can be ended no more."""
    story = paid()
    story.deposit = replace(story.deposit, status=Status.COMPLETED)
    return story


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
    (locked_late,         UNLOCK,        END + HOUR, "undo-closed"),
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
    (completed,           CANCEL,        END,        "wrong-state"),
    (completed,           UNLOCK,        END,        "wrong-state"),
    (completed,           PAY_BY_ALIPAY, END,        "wrong-state"),
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
    offered = actions(made().deposit, "buyer", at)
    assert (name in offered) == accepted
    assert list(offered) == sorted(offered)


@pytest.mark.parametrize("role", ["merchant", "platform", "inspector", "service"])
def test_others_than_the_buyer_have_nothing_to_do_yet(role: str) -> None:
    assert actions(paid().deposit, role, PAID) == ()


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
    story = locked_by_buyer(None)
    story.ask(CANCEL, PAID + MINUTE - 1)
    assert story.refund.amount == money("5088 CNY")
    late = locked_by_buyer(None)
    late.ask(CANCEL, PAID + MINUTE)
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
    story.ask(UNLOCK, UNDO_SOON - 1)
    assert story.deposit.window == Window(PAID, None)


@pytest.mark.parametrize("at", [END - 1, END])
def test_an_undo_at_the_windows_end_looks_at_the_half_open_end(at: int) -> None:
    story = locked_late()
    story.ask(UNLOCK, at)
    same, until_undo_ends = Window(PAID, END), Window(PAID, END + HOUR, cancel_only=True)
    assert story.deposit.window == (same if at < END else until_undo_ends)


@pytest.mark.parametrize(
    ("made", "asked", "until"), [(locked_late, END, END + HOUR), (locked_by_payment, UNDO - 1, UNDO)]
)
def test_an_undo_without_a_window_leaves_only_cancel_until_the_undo_would_have_ended(
    made: Callable[[], Story], asked: int, until: int
) -> None:
    story = made()
    story.ask(UNLOCK, asked)
    assert story.deposit.window is not None
    assert (story.deposit.window.ends_at, story.deposit.window.cancel_only) == (until, True)
    assert actions(story.deposit, "buyer", until - 1) == ("cancel",)
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
    for _ in range(MOST_PAYMENTS - 1):
        assert story.said(PAY_BY_ALIPAY, T0) == "payment.method_changed"
    with refused(Reason.RATE_LIMITED, most=MOST_PAYMENTS):
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
