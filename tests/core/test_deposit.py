"""The life of a deposit: stories with their ends, the transition table, and what the clock alone makes of it."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest

from chalicelib.core.decide import Command
from chalicelib.core.deposit import (
    FREE,
    TRANSITIONS,
    Lock,
    Status,
    due_at,
    evolve,
    fold,
    lock_at,
    next_due,
    overdue,
    status_at,
)
from chalicelib.core.events import (
    Cancelled,
    DepositEvent,
    Expired,
    LockedByPayment,
    LockedByWindowEnd,
    LockUndone,
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
    RefundApproved,
    RefundDeclined,
    RefundPending,
    RefundReturned,
    RefundReviewNeeded,
    RefundSent,
    RefundSettled,
    RefundSucceeded,
    RefundUnknown,
    TakenStock,
)
from chalicelib.core.instants import DAY, HOUR, MINUTE, SECOND
from chalicelib.core.money import Money
from chalicelib.core.payment import CaptureSeen, PaymentSeen
from tests.core.stories import (
    CANCEL,
    DEPOSIT_ID,
    DUE,
    END,
    FLASH_SALE,
    FOUNDERS,
    GRACE,
    NEVER,
    PAID,
    PAY_BY_ALIPAY,
    SEND,
    T0,
    UNDO,
    UNLOCK,
    Story,
    cancelled,
    money,
    ordered,
    paid,
    refund_news,
    terms,
)

CASES = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "deposits.toml").read_text("utf-8"))["case"]
ASKED: dict[str, Command] = {"cancel": CANCEL, "unlock": UNLOCK, "alipay": PAY_BY_ALIPAY}


def instant(since_order: str) -> int:
    """``168:00:59.999`` after the order; a minus in front is before it."""
    hours, minutes, seconds = since_order.lstrip("-").split(":")
    whole, _, fraction = seconds.partition(".")
    gone = int(hours) * HOUR + int(minutes) * MINUTE + int(whole) * SECOND + int(fraction.ljust(3, "0"))
    return T0 - gone if since_order.startswith("-") else T0 + gone


def said(story: Story, step: dict[str, Any], at: int) -> str:
    if "asks" in step:
        return story.said(ASKED[step["asks"]], at)
    if "news" in step:
        return story.said(PaymentSeen(story.deposit.payment.n, step["news"]), at)
    if "writes" in step:
        assert step["writes"] == "deadlines"
        before = len(story.events)
        return " ".join(event.TYPE for event in story.write(at, GRACE).events[before:])
    taken = instant(step["taken"]) if "taken" in step else at
    return story.pay(step["paid"], taken, payment=step.get("payment"), ref=step.get("capture", ""), seen_at=at)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_story_ends_as_it_is_told(case: dict[str, Any]) -> None:
    story = ordered(terms(preset=case.get("preset", "su7_2024")))
    at = T0
    for step in case["steps"]:
        at = instant(step["at"])
        assert said(story, step, at) == step["then"], step
    deposit = story.deposit
    assert status_at(deposit, at).value == case["status"]
    assert [f"{refund.amount} {refund.cause}" for refund in deposit.refunds] == case["refunds"]
    if "window_ends" in case:
        assert deposit.window is not None
        assert deposit.window.ends_at == instant(case["window_ends"])


def test_every_published_edge_of_a_deposit_is_in_the_stories() -> None:
    assert {case["from"] for case in CASES if "from" in case} == {"TM10", "TM11", "TM12"}


def test_names_of_stories_are_unique() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


# --- Money that arrives, closer ---


def test_money_that_goes_back_leaves_with_the_capture_it_came_with() -> None:
    story = paid()
    story.pay("6000 CNY", PAID + 1, ref="second")
    story.ask(CANCEL, PAID + 2)
    assert [(refund.payment, refund.capture) for refund in story.deposit.refunds] == [(1, "second"), (1, "cap_1")]


def test_several_captures_in_one_look_are_judged_one_after_the_other() -> None:
    story = ordered()
    due = story.deposit.payment.amount
    seen = (CaptureSeen("a", money("1 CNY"), T0), CaptureSeen("b", due, PAID), CaptureSeen("c", due, PAID + 1))
    story.ask(PaymentSeen(1, "succeeded", seen), PAID + MINUTE)
    assert [refund.cause for refund in story.deposit.refunds] == ["amount_mismatch", "duplicate_payment"]
    assert story.deposit.captures == ("a", "b", "c")
    assert story.deposit.paid is not None
    assert story.deposit.paid.capture == "b"


def test_money_of_another_currency_is_not_in_the_balances_of_the_deposit() -> None:
    story = ordered()
    story.pay("700 USD")
    assert story.deposit.money.captured == Money.zero("CNY")
    assert story.refund.amount == money("700 USD")


def test_a_replaced_payment_that_fails_is_no_news() -> None:
    story = ordered()
    story.ask(PAY_BY_ALIPAY, T0)
    assert story.said(PaymentSeen(1, "failed"), T0 + 1) == "nothing"
    assert story.said(PaymentSeen(1, "pending"), T0 + 1) == "nothing"


def test_a_payment_that_comes_before_its_order_is_written_with_the_order() -> None:
    story = ordered()
    story.pay("1 CNY", T0 - HOUR, seen_at=PAID)
    story.pay(None, T0 - HOUR, seen_at=PAID)
    assert [event.at for event in story.events if isinstance(event, PaymentNotCounted | PaymentSucceeded)] == [T0, T0]
    assert story.deposit.updated_at == PAID


# --- The table ---

PAYS = PaymentSucceeded(PAID, 1, "cap", money("5088 CNY"), windowed=True, window_ends_at=END)
PAYS_AT_ONCE = PaymentSucceeded(PAID, 1, "cap", money("20088 CNY"), windowed=False)
NOTHING = money("0 CNY")


def completed() -> Story:
    story = paid()
    story.deposit = replace(story.deposit, status=Status.COMPLETED)
    return story


STATES: dict[Status, Callable[[], Story]] = {
    Status.AWAITING_PAYMENT: ordered,
    Status.COOLING_OFF: paid,
    Status.LOCKED: lambda: paid(FOUNDERS),
    Status.COMPLETED: completed,
    Status.CANCELLED: cancelled,
    Status.EXPIRED: lambda: ordered().write(DUE),
}


MOVES: list[tuple[Callable[[], Story], DepositEvent, str]] = [
    # deposit                   event                                                   then
    (ordered,                   PAYS,                                                   "cooling_off"),
    (ordered,                   PaymentMethodChanged(T0, "alipay"),                     "awaiting_payment"),
    (ordered,                   Cancelled(T0, "buyer_cancel", "terms/unpaid", NOTHING), "cancelled"),
    (ordered,                   Expired(DUE),                                           "expired"),
    (lambda: ordered(FOUNDERS).tell(PAYS_AT_ONCE), LockedByPayment(PAID, UNDO),         "locked"),
    (paid,                      LockedByWindowEnd(END),                                 "locked"),
    (paid,                      Cancelled(PAID, "buyer_cancel", "terms/window", NOTHING), "cancelled"),
    (lambda: paid(FOUNDERS),    LockUndone(PAID, UNDO),                                 "cooling_off"),
    (lambda: paid(FOUNDERS),    Cancelled(PAID, "buyer_cancel", "terms/undo", NOTHING), "cancelled"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "event", "then"), MOVES, ids=[f"{m[1].TYPE}-{i}" for i, m in enumerate(MOVES)])
def test_an_event_moves_the_deposit(made: Callable[[], Story], event: DepositEvent, then: str) -> None:
    before = made().deposit
    after = evolve(before, event)
    assert after.status.value == then
    assert after.version == before.version + 1


def test_every_transition_is_reached_by_a_case() -> None:
    assert {(made().deposit.status, type(event)) for made, event, _ in MOVES} == set(TRANSITIONS)


EVENTS: list[DepositEvent] = [
    ordered().deposit.created,
    PaymentMethodChanged(PAID, "alipay"),
    PaymentPending(PAID, 1),
    PaymentFailed(PAID, 1),
    PAYS,
    PaymentNotCounted(PAID, 1, "cap_9", money("1 CNY"), "duplicate_payment"),
    LockedByPayment(PAID),
    LockedByWindowEnd(END),
    LockUndone(PAID),
    Cancelled(PAID, "buyer_cancel", "terms/window", NOTHING),
    Expired(DUE),
    RefundApproved(PAID, 1, "overpayment", money("1 CNY"), (), PAID, 1, "cap_1"),
    RefundSent(PAID, 1),
    RefundUnknown(PAID, 1),
    RefundPending(PAID, 1, "re"),
    RefundSucceeded(PAID, 1, "re"),
    RefundSettled(PAID, 1),
    RefundDeclined(PAID, 1, "closed"),
    RefundReturned(PAID, 1),
    RefundReviewNeeded(PAID, 1, "not_found"),
]


def test_every_event_has_a_sample() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(DepositEvent))
    assert len({event.TYPE for event in EVENTS}) == len(EVENTS)


UNKNOWN_MOVES = [
    (status, event)
    for status, event in product(Status, EVENTS)
    if not isinstance(event, FREE) and (status, type(event)) not in TRANSITIONS
]


@pytest.mark.parametrize(("status", "event"), UNKNOWN_MOVES, ids=lambda one: getattr(one, "TYPE", one))
def test_an_event_that_no_table_knows_is_a_fault_of_ours(status: Status, event: DepositEvent) -> None:
    with pytest.raises(KeyError):
        evolve(STATES[status]().deposit, event)


def test_events_of_payments_and_refunds_never_change_the_status() -> None:
    story = cancelled()
    story.pay("5088 CNY", END)
    for command in (SEND, refund_news(story, "succeeded", END)):
        story.ask(command, END)
    assert story.deposit.status is Status.CANCELLED


def test_a_journal_begins_with_its_creation_and_has_no_other() -> None:
    created = ordered().deposit.created
    with pytest.raises(ValueError, match="begins with its creation"):
        fold(DEPOSIT_ID, [PAYS])
    with pytest.raises(ValueError, match="empty"):
        fold(DEPOSIT_ID, [])
    with pytest.raises(KeyError):
        fold(DEPOSIT_ID, [created, created])


def test_a_journal_tells_the_same_deposit_again() -> None:
    story = cancelled()
    story.ask(SEND, PAID + 2 * DAY)
    assert fold(DEPOSIT_ID, story.events) == story.deposit
    assert story.deposit.version == len(story.events)


# --- The clock ---


@pytest.mark.parametrize(
    ("made", "at", "status"),
    [
        (ordered,                   T0,       "awaiting_payment"),
        (ordered,                   DUE - 1,  "awaiting_payment"),
        (ordered,                   DUE,      "expired"),
        (ordered,                   DUE + 1,  "expired"),
        (paid,                      PAID,     "cooling_off"),
        (paid,                      END - 1,  "cooling_off"),
        (paid,                      END,      "locked"),
        (paid,                      END + 1,  "locked"),
        (lambda: paid(NEVER),       END * 2,  "cooling_off"),
        (lambda: paid(FOUNDERS),    PAID - 1, "cooling_off"),
        (lambda: paid(FOUNDERS),    PAID,     "locked"),
        (lambda: paid(FLASH_SALE),  PAID,     "locked"),
        (cancelled,                 END * 2,  "cancelled"),
    ],
)  # fmt: skip
def test_the_status_follows_from_facts_and_clock(made: Callable[[], Story], at: int, status: str) -> None:
    story = made()
    assert status_at(story.deposit, at).value == status
    assert status_at(story.write(at).deposit, at).value == status


@pytest.mark.parametrize(
    ("made", "at", "lock"),
    [
        (ordered,                  T0,      None),
        (paid,                     END - 1, None),
        (paid,                     END,     Lock("window_end", END)),
        (lambda: paid(NEVER),      END,     None),
        (lambda: paid(FOUNDERS),   PAID,    Lock("payment", PAID, UNDO)),
        (lambda: paid(FLASH_SALE), PAID,    Lock("payment", PAID, None)),
    ],
)  # fmt: skip
def test_the_lock_at_an_instant(made: Callable[[], Story], at: int, lock: Lock | None) -> None:
    assert lock_at(made().deposit, at) == lock


@pytest.mark.parametrize(
    ("lock", "at", "final"),
    [
        (Lock("payment", PAID, UNDO), UNDO - 1, False),
        (Lock("payment", PAID, UNDO), UNDO,     True),
        (Lock("payment", PAID, None), PAID,     True),
        (Lock("window_end", END),     END,      True),
    ],
)  # fmt: skip
def test_a_lock_is_final_from_the_end_of_its_undo_on(lock: Lock, at: int, final: bool) -> None:
    assert lock.final(at) is final


@pytest.mark.parametrize(
    ("at", "grace", "written"),
    [
        (DUE - 1,         0,     []),
        (DUE,             0,     [Expired(DUE)]),
        (DUE + GRACE - 1, GRACE, []),
        (DUE + GRACE,     GRACE, [Expired(DUE)]),
    ],
)  # fmt: skip
def test_an_expiry_is_written_only_after_the_grace(at: int, grace: int, written: list[DepositEvent]) -> None:
    assert list(overdue(ordered().deposit, at, at - grace)) == written


@pytest.mark.parametrize(("at", "written"), [(END - 1, []), (END, [LockedByWindowEnd(END)])])
def test_an_announcement_needs_no_grace(at: int, written: list[DepositEvent]) -> None:
    assert list(overdue(paid().deposit, at, at - GRACE)) == written


def test_what_is_overdue_is_written_earliest_first_each_at_its_own_deadline() -> None:
    story = paid()
    story.pay("7 CNY", PAID + HOUR)  # promised back a week later: an hour after the window's end
    story.ask(SEND, PAID + HOUR)
    promised = PAID + HOUR + 7 * DAY
    late = overdue(story.deposit, END * 2, END * 2)
    assert late == (LockedByWindowEnd(END), RefundReviewNeeded(promised, 1, "promise_missed"))


@pytest.mark.parametrize(
    ("made", "due"),
    [
        (ordered,                            DUE + GRACE),
        (paid,                               END),
        (lambda: paid(NEVER),                None),
        (lambda: paid(FLASH_SALE),           None),
        (cancelled,                          PAID + DAY),
        (lambda: ordered().write(DUE),       None),
    ],
)  # fmt: skip
def test_a_deposit_is_due_when_something_has_to_be_written_or_asked(made: Callable[[], Story], due: int | None) -> None:
    assert due_at(made().deposit, GRACE) == due


@pytest.mark.parametrize(
    ("made", "now", "due"),
    [
        (ordered,   DUE,                   DUE + GRACE),
        (ordered,   DUE + GRACE,           None),
        (paid,      END - 1,               END),
        (paid,      END,                   None),
        (cancelled, PAID + DAY,            PAID + DAY + MINUTE),
        (cancelled, PAID + DAY - 1,        PAID + DAY),
    ],
)  # fmt: skip
def test_what_was_tried_is_due_again_later(made: Callable[[], Story], now: int, due: int | None) -> None:
    assert next_due(made().deposit, now, GRACE) == due


# --- What a deposit is worth ---


def test_what_was_taken_from_stock_and_limits_is_known_until_the_deposit_ends() -> None:
    story = ordered()
    taken = (TakenStock("su7-max", 3, 1),)
    story.deposit = replace(story.deposit, stock=taken, limit_units=1)
    ended = evolve(story.deposit, Expired(DUE))
    assert (ended.stock, ended.limit_units) == ((), 0)
    gone = evolve(story.deposit, Cancelled(T0, "buyer_cancel", "terms/unpaid", NOTHING))
    assert (gone.stock, gone.limit_units) == ((), 0)


def test_the_balance_is_what_is_left_of_the_total() -> None:
    deposit = paid().deposit
    assert (deposit.items_total, deposit.total) == (money("299900 CNY"), money("299988 CNY"))
    assert deposit.balance == money("294900 CNY")
    assert deposit.currency == "CNY"


def three_lines() -> Story:
    items = [
        {"sku": sku, "name": sku, "price": {"amount": price, "currency": "CNY"}}
        for sku, price in (("a", "100"), ("b", "100"), ("c", "0.01"))
    ]
    under = terms(items=items, payment={"deposit": {"amount": "0.01", "currency": "CNY"}})
    return paid(under, ("a", 1), ("b", 2), ("c", 2))


def test_what_was_paid_is_split_by_value_with_the_largest_remainder() -> None:
    # Five units at one fen: 5 fen over 100.00, 200.00 and 0.02. Shipping is not goods money.
    assert [part.minor for part in three_lines().deposit.paid_by_line()] == [2, 3, 0]


def test_before_payment_no_line_is_paid() -> None:
    assert ordered().deposit.paid_by_line() == (NOTHING,)


def test_too_much_money_does_not_pay_more_of_a_line() -> None:
    story = ordered()
    story.pay("9999 CNY")
    assert story.deposit.paid_by_line() == (money("5000 CNY"),)


def test_open_refunds_are_those_not_yet_with_the_buyer() -> None:
    story = cancelled()
    story.pay("1 CNY", END)
    story.ask(SEND, END)
    assert [refund.n for refund in story.deposit.open_refunds] == [1, 2]
    story.ask(refund_news(cancelled(), "succeeded", END), END)
    assert [refund.n for refund in story.deposit.open_refunds] == [2]
    assert ordered().deposit.refund is None
