"""The life of a deposit: stories with their ends, the transition table, and what the clock alone makes of it."""

import tomllib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR, MINUTE, SECOND
from chalicelib.core.common.money import Money
from chalicelib.core.deadlines import due_at, next_due, overdue
from chalicelib.core.delivery.fulfilment import DeclareDefault, Deliver, Receive
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.clock import lock_at, status_at
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import (
    Cancelled,
    Completed,
    Expired,
    PassGranted,
    PassLapsed,
    PassReminded,
    PassReturned,
    PassUsed,
    QuestionAnswered,
    QuestionAsked,
    QuestionLapsed,
    WithdrawalConfirmed,
    WithdrawalStated,
)
from chalicelib.core.deposit.events.goods import (
    GoodsDelivered,
    GoodsReady,
    GoodsReceived,
    GoodsShipped,
    TradeInCancelled,
    TradeInInspected,
    Units,
)
from chalicelib.core.deposit.events.lock import (
    LockBecameFinal,
    LockConfirmed,
    LockedByPayment,
    LockedByWindowEnd,
    LockIntentOpened,
    LockReminded,
    LockUndone,
)
from chalicelib.core.deposit.events.order import ItemsChanged, Line, TakenStock
from chalicelib.core.deposit.events.payment import (
    BalanceOpened,
    BalanceOverdue,
    BalancePaid,
    ChargebackLost,
    ChargebackOpened,
    ChargebackWon,
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
)
from chalicelib.core.deposit.events.refund import (
    RefundApproved,
    RefundCovered,
    RefundDeclined,
    RefundDestinationNamed,
    RefundPending,
    RefundRerouted,
    RefundRetried,
    RefundReturned,
    RefundReviewNeeded,
    RefundSent,
    RefundSettled,
    RefundSucceeded,
    RefundUnknown,
)
from chalicelib.core.deposit.fold import FREE, ROWS, TRANSITIONS, evolve, fold
from chalicelib.core.deposit.goods import Progress
from chalicelib.core.deposit.lock import Lock
from chalicelib.core.deposit.payment import Capture
from chalicelib.core.deposit.status import Status
from chalicelib.core.paying.provider_answers import CaptureSeen, PaymentSeen
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import Ordered
from tests.core.stories import (
    A_WEEK,
    BALANCE_BY_CARD,
    CANCEL,
    CLAIM_EVENTS,
    CONFIRM_WITHDRAWAL,
    DEPOSIT_ID,
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
    SEND,
    STATE,
    SU7,
    T0,
    UNDO,
    UNLOCK,
    Story,
    cancelled,
    completed,
    final,
    locked,
    money,
    ordered,
    paid,
    refund_news,
    settled,
    terms,
    traded,
    trading,
)

TABLES = Path(__file__).parents[1] / "cases"
CASES = tomllib.loads(TABLES.joinpath("deposits.toml").read_text("utf-8"))["case"]
WINDOWS = tomllib.loads(TABLES.joinpath("windows.toml").read_text("utf-8"))["case"]
PROOF = ("photo:1",)
# What a step asks, in a word or two. The merchant's word on the goods comes with the instant of the step.
ASKED: dict[str, Callable[[Story, int], Command]] = {
    "cancel": lambda _story, _at: CANCEL,
    "alipay": lambda _story, _at: PAY_BY_ALIPAY,
    "intent": lambda _story, _at: INTENT,
    "lock": lambda story, _at: story.confirm(),
    "unlock": lambda _story, _at: UNLOCK,
    "two instead": lambda _story, _at: ChangeItems((Ordered("su7-max", 2),)),
    "one instead": lambda _story, _at: ChangeItems((Ordered("su7-max", 1),)),
    "balance": lambda _story, _at: BALANCE_BY_CARD,
    "ready": lambda story, at: story.ready(inspect_at=at),
    "ship": lambda story, _at: story.ship(),
    "ship one": lambda story, _at: story.ship((1, 1)),
    "delivered": lambda _story, at: Deliver((Units(1, 0),), at, PROOF),
    "received": lambda _story, _at: Receive(),
    "default": lambda _story, _at: DeclareDefault(),
    "withdraw": lambda _story, _at: STATE,
    "confirm": lambda _story, _at: CONFIRM_WITHDRAWAL,
}


def instant(since_order: str) -> int:
    """``168:00:59.999`` after the order; a minus in front is before it."""
    hours, minutes, seconds = since_order.lstrip("-").split(":")
    whole, _, fraction = seconds.partition(".")
    gone = int(hours) * HOUR + int(minutes) * MINUTE + int(whole) * SECOND + int(fraction.ljust(3, "0"))
    return T0 - gone if since_order.startswith("-") else T0 + gone


def said(story: Story, step: dict[str, Any], at: int) -> str:
    if "asks" in step:
        return story.said(ASKED[step["asks"]](story, at), at)
    if "news" in step:
        return story.said(PaymentSeen(story.deposit.payment.n, step["news"]), at)
    if "writes" in step:
        assert step["writes"] == "deadlines"
        before = len(story.events)
        return " ".join(event.TYPE for event in story.write(at, GRACE).events[before:])
    taken = instant(step["taken"]) if "taken" in step else at
    return story.pay(step["paid"], taken, payment=step.get("payment"), ref=step.get("capture", ""), seen_at=at)


def under(case: dict[str, Any]) -> Terms:
    custom = {"made_to_spec": case.get("made_to_spec", True)}
    items = [{"sku": "su7-max", "name": "SU7 Max", "price": {"amount": "299900", "currency": "CNY"}, **custom}]
    return terms(preset=case.get("preset", "su7_2024"), items=items)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_story_ends_as_it_is_told(case: dict[str, Any]) -> None:
    story = ordered(under(case))
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


def test_every_published_deadline_is_in_the_stories_or_among_the_windows() -> None:
    """TM1 to TM12 are the rows of facts/domain.md section 2.4."""
    published = {case["from"] for case in (*CASES, *WINDOWS) if "from" in case}
    assert published == {f"TM{number}" for number in range(1, 13)}
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
    assert story.deposit.captures == (
        Capture(1, "a", money("1 CNY"), T0, counts=False),
        Capture(1, "b", due, PAID, counts=True),
        Capture(1, "c", due, PAID + 1, counts=False),
    )
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
LEAVES = Cancelled(PAID, Cause.BUYER_CANCEL, "terms/window", NOTHING)
BACK = Cancelled(LATER, Cause.WITHDRAWAL, "terms/withdrawal", NOTHING)
STATED, CONFIRMED = WithdrawalStated(PAID, 1, "sha256:1"), WithdrawalConfirmed(PAID, 1, "sha256:2")
ONE = (Units(1, 1),)
CHANGED = ItemsChanged(PAID, (Line("su7-max", 1, money("299900 CNY")),), money("88 CNY"))
SHOWN = LockIntentOpened(
    PAID, 1, ("lock_goods/1",), (), "en", money("5000 CNY"), "sha256:0", "LOCK 5000 CNY", PAID + 1, PAID + 2
)
OPENED = BalanceOpened(PAID, "card", money("294900 CNY"), LATER)
RECEIVED_BALANCE = BalancePaid(LATER, 2, "cap_2", money("294900 CNY"))
READY = GoodsReady(PAID, (1,), LATER, PROOF, LATER + DAY, LATER + 2 * DAY)
INSPECTED, FELL_THROUGH = TradeInInspected(PAID, "matched"), TradeInCancelled(PAID, "courier")
SHIPPED, DELIVERED, RECEIVED = GoodsShipped(PAID, ONE), GoodsDelivered(PAID, ONE, PAID, PROOF), GoodsReceived(PAID, ONE)


def stated(made: Callable[[], Story]) -> Callable[[], Story]:
    """With step one of a withdrawal, as for goods that are not made to order."""
    return lambda: made().tell(replace(STATED, at=T0))


def intended() -> Story:
    return paid().tell(SHOWN)


def paid_with_trade_in() -> Story:
    return traded(trading(**A_WEEK))


def balance_opened() -> Story:
    story = final()
    story.ask(BALANCE_BY_CARD, LATER)
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
    # deposit                   event                                               then
    (ordered,                   PAYS,                                               "cooling_off"),
    (ordered,                   PaymentMethodChanged(T0, "alipay"),                 "awaiting_payment"),
    (ordered,                   STATED,                                             "awaiting_payment"),
    (stated(ordered),           CONFIRMED,                                          "awaiting_payment"),
    (ordered,                   LEAVES,                                             "cancelled"),
    (ordered,                   Expired(DUE),                                       "expired"),
    (paid,                      CHANGED,                                            "cooling_off"),
    (paid,                      LockReminded(END - 1, END),                         "cooling_off"),
    (paid,                      SHOWN,                                              "cooling_off"),
    (intended,                  LockConfirmed(PAID, 1, "sha256:0", UNDO),           "locked"),
    (lambda: ordered(FOUNDERS).tell(PAYS_AT_ONCE), LockedByPayment(PAID, UNDO),     "locked"),
    (paid,                      LockedByWindowEnd(END),                             "locked"),
    (paid_with_trade_in,        INSPECTED,                                          "cooling_off"),
    (paid_with_trade_in,        FELL_THROUGH,                                       "cooling_off"),
    (paid,                      STATED,                                             "cooling_off"),
    (stated(paid),              CONFIRMED,                                          "cooling_off"),
    (paid,                      LEAVES,                                             "cancelled"),
    (lambda: paid(FOUNDERS),    LockUndone(PAID, UNDO),                             "cooling_off"),
    (lambda: paid(FOUNDERS),    LockBecameFinal(UNDO),                              "locked"),
    (lambda: paid(FOUNDERS),    READY,                                              "locked"),
    (lambda: paid(FOUNDERS),    OPENED,                                             "locked"),
    (balance_opened,            RECEIVED_BALANCE,                                   "locked"),
    (lambda: paid(FOUNDERS),    BalanceOverdue(LATER, LATER + DAY),                 "locked"),
    (lambda: paid(FOUNDERS),    SHIPPED,                                            "locked"),
    (lambda: paid(FOUNDERS),    DELIVERED,                                          "locked"),
    (lambda: paid(FOUNDERS),    RECEIVED,                                           "locked"),
    (settled,                   Completed(LATER),                                   "completed"),
    (lambda: traded(trading()), INSPECTED,                                          "locked"),
    (lambda: traded(trading()), FELL_THROUGH,                                       "locked"),
    (lambda: paid(FOUNDERS),    STATED,                                             "locked"),
    (stated(lambda: paid(FOUNDERS)), CONFIRMED,                                     "locked"),
    (lambda: paid(FOUNDERS),    LEAVES,                                             "cancelled"),
    (completed,                 DELIVERED,                                          "completed"),
    (completed,                 RECEIVED,                                           "completed"),
    (completed,                 STATED,                                             "completed"),
    (stated(completed),         CONFIRMED,                                          "completed"),
    (completed,                 BACK,                                               "cancelled"),
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
    CHANGED,
    PaymentMethodChanged(PAID, "alipay"),
    PaymentPending(PAID, 1),
    PaymentFailed(PAID, 1),
    PAYS,
    OPENED,
    replace(RECEIVED_BALANCE, at=PAID),
    PaymentNotCounted(PAID, 1, "cap_9", money("1 CNY"), Cause.DUPLICATE_PAYMENT),
    LockReminded(PAID, END),
    SHOWN,
    LockConfirmed(PAID, 1, "sha256:0"),
    LockedByPayment(PAID),
    LockedByWindowEnd(END),
    LockBecameFinal(PAID),
    LockUndone(PAID),
    READY,
    SHIPPED,
    DELIVERED,
    RECEIVED,
    BalanceOverdue(PAID, PAID),
    Completed(PAID),
    INSPECTED,
    FELL_THROUGH,
    STATED,
    CONFIRMED,
    LEAVES,
    Expired(DUE),
    RefundApproved(PAID, 1, Cause.OVERPAYMENT, money("1 CNY"), (), PAID, 1, "cap_1"),
    RefundSent(PAID, 1),
    RefundUnknown(PAID, 1),
    RefundPending(PAID, 1, "re"),
    RefundSucceeded(PAID, 1, "re"),
    RefundSettled(PAID, 1),
    RefundDeclined(PAID, 1, "closed"),
    RefundReturned(PAID, 1),
    RefundReviewNeeded(PAID, 1, "not_found"),
    RefundDestinationNamed(PAID, 1, 1, "digest", PAID, END),
    RefundRerouted(PAID, 1, LATER),
    RefundRetried(PAID, 1, LATER),
    RefundCovered(PAID, 1, 1),
    ChargebackOpened(PAID, 1, "dp_1", 1, "cap_1", money("1 CNY")),
    ChargebackWon(PAID, 1),
    ChargebackLost(PAID, 1),
    QuestionAsked(PAID, 1, "address", END, "digest"),
    QuestionAnswered(PAID, 1, "digest"),
    QuestionLapsed(END, 1),
    PassGranted(PAID, 1, ("su7-max",), money("299900 CNY"), END, (), "OUT_OF_STOCK"),
    PassUsed(PAID, 1, DEPOSIT_ID),
    PassReturned(PAID, 1, DEPOSIT_ID),
    PassReminded(PAID, 1, END),
    PassLapsed(END, 1),
    *CLAIM_EVENTS,
]


def test_every_event_has_a_sample() -> None:
    assert {type(event) for event in EVENTS} == set(ROWS)
    assert len({event.TYPE for event in EVENTS}) == len(EVENTS)


UNKNOWN_MOVES = [
    (status, event)
    for status, event in product(Status, EVENTS)
    if type(event) not in FREE and (status, type(event)) not in TRANSITIONS
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
    assert lock.is_final(at) is final


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


# --- What the clock announces: each at its own instant, however late it is written, and once ---

REMINDERS = tuple(END - distance for distance in (72 * HOUR, 24 * HOUR, 2 * HOUR))
READY_AT = LATER + DAY
FELL_DUE, CURE_UNTIL = READY_AT + 7 * DAY, READY_AT + 14 * DAY


def locked_late() -> Story:
    """Locked half an hour before the window ends; the undo lasts beyond it."""
    return locked(at=END - 30 * MINUTE)


def undone_late() -> Story:
    story = locked_late()
    story.ask(UNLOCK, END)
    return story


def ready() -> Story:
    story = final()
    story.ask(story.ready(inspect_at=READY_AT), LATER)
    return story


ANNOUNCEMENTS: list[tuple[Callable[[], Story], list[DepositEvent]]] = [
    # deposit                 what is announced from PAID on
    (paid,                    [*(LockReminded(at, END) for at in REMINDERS), LockedByWindowEnd(END)]),
    (lambda: paid(NEVER),     []),
    (lambda: paid(FOUNDERS),  [LockBecameFinal(UNDO)]),
    (lambda: paid(FLASH_SALE), []),
    (locked,                  [LockBecameFinal(LOCKED + HOUR)]),
    (locked_late,             [LockBecameFinal(END + 30 * MINUTE)]),
    (undone_late,             [LockedByWindowEnd(END + 30 * MINUTE)]),
    (final,                   []),
    (ready,                   [BalanceOverdue(FELL_DUE, CURE_UNTIL)]),
    (settled,                 []),
]  # fmt: skip


@pytest.mark.parametrize(("made", "announced"), ANNOUNCEMENTS)
def test_an_announcement_is_written_from_its_instant_on_and_needs_no_grace(
    made: Callable[[], Story], announced: list[DepositEvent]
) -> None:
    deposit = made().deposit
    for n, event in enumerate(announced):
        early, late = event.at - 1, event.at
        assert list(overdue(deposit, early, early - GRACE)) == announced[:n]
        assert list(overdue(deposit, late, late - GRACE)) == announced[: n + 1]


@pytest.mark.parametrize(("made", "announced"), ANNOUNCEMENTS)
def test_an_announcement_that_is_written_late_bears_its_own_instant_and_is_written_once(
    made: Callable[[], Story], announced: list[DepositEvent]
) -> None:
    story = made()
    before = len(story.events)
    assert story.write(END * 2).events[before:] == announced
    assert story.write(END * 3).events[before:] == announced
    assert due_at(story.deposit, GRACE) is None


@pytest.mark.parametrize(("made", "announced"), ANNOUNCEMENTS)
def test_every_announcement_has_a_due_time(made: Callable[[], Story], announced: list[DepositEvent]) -> None:
    story = made()
    for event in announced:
        assert due_at(story.deposit, GRACE) == event.at
        assert next_due(story.deposit, event.at - 1, GRACE) == event.at
        story.tell(event)


@pytest.mark.parametrize(
    ("distances", "reminded"),
    [
        (["PT72H", "PT24H", "PT2H"],    list(REMINDERS)),
        (["PT2H", "PT72H", "PT24H"],    list(REMINDERS)),
        (["PT24H", "P1D"],              [END - DAY]),
        (["PT1S"],                      [END - SECOND]),
        (["PT168H", "PT167H59M59S"],    [PAID + SECOND]),  # one that would come with the payment tells nothing
        (["PT169H"],                    []),
        ([],                            []),
    ],
)  # fmt: skip
def test_reminders_come_at_the_distances_that_the_terms_name_as_far_as_they_lie_in_the_window(
    distances: list[str], reminded: list[int]
) -> None:
    story = paid(terms(lock={"remind_before": distances}))
    assert story.deposit.window is not None
    assert list(story.deposit.window.remind_at) == reminded


def test_nobody_is_reminded_of_a_window_while_a_lock_stands_nor_of_what_passed_meanwhile() -> None:
    story = locked(terms(lock={"undo": "PT100H"}))
    assert overdue(story.deposit, REMINDERS[0], REMINDERS[0]) == ()
    story.ask(UNLOCK, REMINDERS[0])
    assert [event.at for event in overdue(story.deposit, END, END)] == [*REMINDERS[1:], END]


def test_a_balance_that_was_paid_late_was_still_overdue_and_one_paid_in_time_never_is() -> None:
    story = ready()
    story.ask(BALANCE_BY_CARD, FELL_DUE - 1)
    story.pay(at=FELL_DUE - 1)
    assert overdue(story.deposit, CURE_UNTIL, CURE_UNTIL) == ()
    late = ready().write(FELL_DUE)
    late.ask(BALANCE_BY_CARD, FELL_DUE)
    late.pay(at=FELL_DUE)
    assert [event.TYPE for event in late.events[-3:]] == ["balance.overdue", "balance.opened", "balance.paid"]


def test_what_is_overdue_is_written_earliest_first_each_at_its_own_deadline() -> None:
    story = paid()
    story.pay("7 CNY", PAID + HOUR)  # promised back a week later: an hour after the window's end
    story.ask(SEND, PAID + HOUR)
    promised = PAID + HOUR + 7 * DAY
    late = overdue(story.deposit, END * 2, END * 2)
    reminders = tuple(LockReminded(at, END) for at in REMINDERS)
    assert late == (*reminders, LockedByWindowEnd(END), RefundReviewNeeded(promised, 1, "promise_missed"))


@pytest.mark.parametrize(
    ("made", "due"),
    [
        (ordered,                            DUE + GRACE),
        (paid,                               REMINDERS[0]),
        (lambda: paid(terms(lock={"remind_before": []})), END),
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


def with_stock(under: Terms, *items: tuple[str, int], stock: tuple[TakenStock, ...]) -> Story:
    """Paid, with units of counted stock and of a limit, as the flow would have taken them."""
    story = ordered(under, *items)
    units = sum(taken.units for taken in stock)
    story.deposit = replace(story.deposit, stock=stock, limit_units=units)
    story.pay()
    return story


def test_what_was_taken_from_stock_and_limits_is_known_until_the_deposit_ends() -> None:
    story = ordered()
    taken = (TakenStock("su7-max", 3, 1),)
    story.deposit = replace(story.deposit, stock=taken, limit_units=1)
    ended = evolve(story.deposit, Expired(DUE))
    assert (ended.stock, ended.sold, ended.limit_units) == ((), (), 0)
    gone = evolve(story.deposit, Cancelled(T0, Cause.BUYER_CANCEL, "terms/unpaid", NOTHING))
    assert (gone.stock, gone.sold, gone.limit_units) == ((), (), 0)


def test_what_is_completed_is_sold_and_counts_for_the_limit() -> None:
    taken = (TakenStock("su7-max", 3, 1), TakenStock("su7-max", 0, 1))
    story = with_stock(SU7, ("su7-max", 2), stock=taken).write(LATER)
    story.ask(BALANCE_BY_CARD, LATER)
    story.pay(at=LATER)
    story.ask(story.ship((1, 1)), LATER)
    assert (story.deposit.stock, story.deposit.sold, story.deposit.limit_units) == (taken, (), 2)
    story.ask(story.ship((1, 1)), LATER)
    assert (story.deposit.stock, story.deposit.sold, story.deposit.limit_units) == ((), taken, 2)
    back = evolve(story.deposit, BACK)
    assert (back.stock, back.sold, back.limit_units) == ((), taken, 0)


@pytest.mark.parametrize(
    ("shipped", "sold"),
    [
        (0, ()),
        (1, (TakenStock("su7-max", 3, 1),)),
        (2, (TakenStock("su7-max", 3, 2),)),
        (3, (TakenStock("su7-max", 3, 2), TakenStock("su7-max", 0, 1))),
    ],
)
def test_of_a_cancelled_deposit_what_is_with_the_buyer_is_sold(shipped: int, sold: tuple[TakenStock, ...]) -> None:
    taken = (TakenStock("su7-max", 3, 2), TakenStock("su7-max", 0, 2))
    story = with_stock(SU7, ("su7-max", 4), stock=taken).write(LATER)
    if shipped:
        story.tell(GoodsShipped(LATER, (Units(1, shipped),)))
    story.ask(CANCEL, LATER)
    assert (story.deposit.stock, story.deposit.sold, story.deposit.limit_units) == ((), sold, 0)


def test_lines_of_the_same_goods_are_sold_from_the_same_shelves() -> None:
    taken = (TakenStock("su7-max", 1, 3),)
    story = with_stock(SU7, ("su7-max", 1), ("su7-max", 2), stock=taken).write(LATER)
    story.tell(GoodsShipped(LATER, (Units(1, 1), Units(2, 1))))
    story.ask(CANCEL, LATER)
    assert story.deposit.sold == (TakenStock("su7-max", 1, 2),)


def test_the_balance_is_what_is_left_of_the_total() -> None:
    deposit = paid().deposit
    assert (deposit.items_total, deposit.total) == (money("299900 CNY"), money("299988 CNY"))
    assert deposit.balance == money("294900 CNY")
    assert deposit.currency == "CNY"


@pytest.mark.parametrize(
    ("made", "paid_in", "balance"),
    [
        (ordered,                    "0 CNY",      "294900 CNY"),  # as it will be once the deposit is paid
        (paid,                       "5088 CNY",   "294900 CNY"),
        (lambda: paid(FLASH_SALE),   "299988 CNY", "0 CNY"),
        (final,                      "5088 CNY",   "294900 CNY"),
        (balance_opened,             "5088 CNY",   "294900 CNY"),
        (settled,                    "299988 CNY", "0 CNY"),
        (completed,                  "299988 CNY", "0 CNY"),
    ],
)  # fmt: skip
def test_what_counts_as_paid_and_what_is_left(made: Callable[[], Story], paid_in: str, balance: str) -> None:
    deposit = made().deposit
    assert (deposit.amount_paid, deposit.balance) == (money(paid_in), money(balance))


@pytest.mark.parametrize("amount", ["5088 CNY", "5088.01 CNY", "9999 CNY"])
def test_what_came_in_excess_is_not_paid_in(amount: str) -> None:
    story = ordered()
    story.pay(amount)
    story.pay("7 CNY", PAID + 1)
    assert (story.deposit.amount_paid, story.deposit.balance) == (money("5088 CNY"), money("294900 CNY"))
    assert [counted.capture for counted in story.deposit.counted_captures] == ["cap_1"]


FULL = {"take": "full", "deposit": None, "nature": "advance"}
TWO_CARS = [
    {"sku": "max", "name": "Max", "price": {"amount": "299900", "currency": "CNY"}},
    {"sku": "pro", "name": "Pro", "price": {"amount": "245900", "currency": "CNY"}},
]


def test_a_change_lowers_or_raises_what_is_left_and_gives_back_what_is_too_much() -> None:
    story = paid(terms(items=TWO_CARS, payment=FULL), ("max", 1))
    story.ask(ChangeItems((Ordered("pro", 1),)), PAID + 1)
    assert (story.refund.cause, story.refund.amount) == ("change", money("54000 CNY"))
    assert (story.deposit.amount_paid, story.deposit.balance) == (money("245988 CNY"), NOTHING)
    assert story.deposit.split_paid_by_line() == (money("245900 CNY"),)
    dearer = paid(terms(items=TWO_CARS), ("pro", 1))
    dearer.ask(ChangeItems((Ordered("max", 1), Ordered("pro", 1))), PAID + 1)
    assert (dearer.deposit.amount_paid, dearer.deposit.balance) == (money("5088 CNY"), money("540800 CNY"))
    assert dearer.deposit.total == dearer.deposit.amount_paid + dearer.deposit.balance


# --- When goods arrived: the later of the two words, for the last unit of the last line ---

D1, D2, D3 = LATER + DAY, LATER + 2 * DAY, LATER + 3 * DAY


@pytest.mark.parametrize(
    ("delivered", "received", "arrived"),
    [
        ((0, None), (0, None), None),
        ((2, D1),   (0, None), D1),
        ((0, None), (2, D2),   D2),
        ((2, D1),   (2, D2),   D2),
        ((2, D2),   (2, D1),   D2),
        ((2, D1),   (1, D3),   D1),    # half a word is none
        ((1, D3),   (1, D3),   None),
    ],
)  # fmt: skip
def test_a_line_arrived_when_its_last_unit_did_by_the_later_word(
    delivered: tuple[int, int | None], received: tuple[int, int | None], arrived: int | None
) -> None:
    merchants, at = delivered
    buyers, received_at = received
    line = Progress(shipped=2, delivered=merchants, delivered_at=at, received=buyers, received_at=received_at)
    assert line.arrived_at(2) == arrived


def arriving(*steps: DepositEvent) -> int | None:
    """Two lines, the second of two units, all shipped."""
    story = settled(terms(items=TWO_CARS), ("max", 1), ("pro", 2)).tell(GoodsShipped(LATER, (Units(1, 1), Units(2, 2))))
    return story.tell(*steps).deposit.arrived_at


def came(at: int, *units: tuple[int, int]) -> GoodsDelivered:
    return GoodsDelivered(at + HOUR, tuple(Units(*one) for one in units), at, PROOF)


def test_a_deposit_arrived_with_its_last_line() -> None:
    everything = GoodsReceived(D3, (Units(1, 1), Units(2, 2)))
    assert arriving() is None
    assert arriving(came(D1, (1, 1))) is None
    assert arriving(came(D1, (1, 1)), came(D2, (2, 1))) is None
    assert arriving(came(D1, (1, 1)), came(D2, (2, 1)), came(D3, (2, 1))) == D3
    assert arriving(came(D2, (1, 1), (2, 2))) == D2
    assert arriving(came(D2, (2, 1)), came(D1, (1, 1), (2, 1))) == D2, "news may come in any order"
    assert arriving(everything) == D3
    assert arriving(came(D1, (1, 1), (2, 2)), everything) == D3


def three_lines() -> Story:
    items = [
        {"sku": sku, "name": sku, "price": {"amount": price, "currency": "CNY"}}
        for sku, price in (("a", "100"), ("b", "100"), ("c", "0.01"))
    ]
    under = terms(items=items, payment={"deposit": {"amount": "0.01", "currency": "CNY"}})
    return paid(under, ("a", 1), ("b", 2), ("c", 2))


def test_what_was_paid_is_split_by_value_with_the_largest_remainder() -> None:
    # Five units at one fen: 5 fen over 100.00, 200.00 and 0.02. Shipping is not goods money.
    assert [part.minor for part in three_lines().deposit.split_paid_by_line()] == [2, 3, 0]


def test_before_payment_no_line_is_paid() -> None:
    assert ordered().deposit.split_paid_by_line() == (NOTHING,)


def test_too_much_money_does_not_pay_more_of_a_line() -> None:
    story = ordered()
    story.pay("9999 CNY")
    assert story.deposit.split_paid_by_line() == (money("5000 CNY"),)


def test_the_balance_pays_the_lines_too() -> None:
    assert settled().deposit.split_paid_by_line() == (money("299900 CNY"),)
    two = settled(terms(items=TWO_CARS), ("max", 1), ("pro", 2)).deposit
    assert two.split_paid_by_line() == (money("299900 CNY"), money("491800 CNY"))


def test_open_refunds_are_those_not_yet_with_the_buyer() -> None:
    story = cancelled()
    story.pay("1 CNY", END)
    story.ask(SEND, END)
    assert [refund.n for refund in story.deposit.open_refunds] == [1, 2]
    story.ask(refund_news(cancelled(), "succeeded", END), END)
    assert [refund.n for refund in story.deposit.open_refunds] == [2]
    assert ordered().deposit.refund is None
