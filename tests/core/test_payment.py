"""The life of a payment: what each piece of news changes in each status. Whether money counts is told in deposits.toml."""

from collections.abc import Callable
from itertools import product

import pytest

from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.deadlines import due_at, find_awaited_balance, next_due
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.payment import PaymentEvent
from chalicelib.core.deposit.payment import TRANSITIONS, Payment, PaymentStatus
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.paying.schedule import MAY_ARRIVE
from tests.core.stories import (
    BALANCE_BY_CARD,
    CANCEL,
    GRACE,
    LATER,
    PAID,
    PAY_BY_ALIPAY,
    T0,
    Story,
    final,
    ordered,
    settled,
)


def balance() -> Story:
    """The deposit is paid, and a payment of the balance is open."""
    story = final()
    story.ask(BALANCE_BY_CARD, LATER)
    return story


# Whose first payment is looked at: its number, and when news of it comes.
KINDS: dict[str, tuple[Callable[[], Story], int, int]] = {
    "deposit": (ordered, 1, T0 + 1),
    "balance": (balance, 2, LATER + 1),
}


def captured(story: Story, n: int, at: int, amount: str | None = None) -> tuple[DepositEvent, ...]:
    return story.ask(story.captured(amount, at, payment=n), at)


def another_method(story: Story, n: int, at: int) -> tuple[DepositEvent, ...]:
    if len(story.deposit.payments) > n or story.deposit.payments[n - 1].status == "succeeded":
        return ()  # only the current payment that is still open can be replaced
    return story.ask(PAY_BY_ALIPAY if n == 1 else BALANCE_BY_CARD, at)


NEWS: dict[str, Callable[[Story, int, int], tuple[DepositEvent, ...]]] = {
    "open": lambda story, n, at: story.ask(PaymentSeen(n, "open"), at),
    "pending": lambda story, n, at: story.ask(PaymentSeen(n, "pending"), at),
    "failed": lambda story, n, at: story.ask(PaymentSeen(n, "failed"), at),
    "exact": captured,
    "too_little": lambda story, n, at: captured(story, n, at, "1 CNY"),
    "changed": another_method,
}
REACHED: dict[str, tuple[str, ...]] = {
    "requires_action": (),
    "pending": ("pending",),
    "failed": ("failed",),
    "succeeded": ("exact",),
    "replaced": ("changed",),
}

# Rows: where the first payment stands, of a deposit and of a balance alike. Columns: what is told of it. A dot leaves it as it stands;
# "back" does so too, and the money goes back by a refund of its own.
TABLE = """
                 open  pending  failed  exact      too_little  changed
requires_action  .     pending  failed  succeeded  back        replaced
pending          .     .        failed  succeeded  back        replaced
failed           .     pending  .       succeeded  back        replaced
succeeded        .     .        .       back       back        .
replaced         .     .        .       back       back        .
"""
HEADER, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [
    (kind, row[0], news, then) for kind, row in product(KINDS, ROWS) for news, then in zip(HEADER, row[1:], strict=True)
]


def standing(kind: str, status: str) -> tuple[Story, int, int]:
    made, n, at = KINDS[kind]
    story = made()
    for news in REACHED[status]:
        NEWS[news](story, n, at)
    assert story.deposit.payments[n - 1].status == status
    return story, n, at


def test_the_table_has_every_status_and_every_piece_of_news() -> None:
    assert {row[0] for row in ROWS} == set(PaymentStatus) == set(REACHED)
    assert list(NEWS) == HEADER


@pytest.mark.parametrize(("kind", "status", "news", "then"), CELLS, ids=[" ".join(cell[:3]) for cell in CELLS])
def test_news_changes_a_payment_as_the_table_says(kind: str, status: str, news: str, then: str) -> None:
    story, n, at = standing(kind, status)
    NEWS[news](story, n, at)
    assert story.deposit.payments[n - 1].status == (status if then in {".", "back"} else then)
    assert len(story.deposit.refunds) == (then == "back")


def test_every_transition_is_reached_by_a_case() -> None:
    """``balance.opened`` takes the edge of ``payment.method_changed``: it opens one payment and replaces another."""
    reached: set[tuple[PaymentStatus, type[PaymentEvent]]] = set()
    for kind, status, news, _ in CELLS:
        story, n, at = standing(kind, status)
        payment_events = [event for event in NEWS[news](story, n, at) if isinstance(event, PaymentEvent)]
        if kind == "deposit" or news != "changed":
            reached |= {(PaymentStatus(status), type(event)) for event in payment_events}
    assert reached == set(TRANSITIONS)


def test_a_payment_keeps_every_capture_it_was_told_of() -> None:
    story = ordered()
    captured(story, 1, PAID, "1 CNY")
    captured(story, 1, PAID)
    captured(story, 1, PAID)
    assert story.deposit.payments[0].captures == ("cap_1", "cap_2", "cap_3")
    assert tuple(capture.capture for capture in story.deposit.captures) == ("cap_1", "cap_2", "cap_3")


def test_a_balance_leaves_the_payment_of_the_deposit_as_it_stands() -> None:
    story = settled()
    deposit_payment, balance_payment = story.deposit.payments
    assert (deposit_payment.kind, deposit_payment.status) == ("deposit", "succeeded")
    assert (balance_payment.kind, balance_payment.status) == ("balance", "succeeded")
    assert [counted.capture for counted in story.deposit.counted_captures] == ["cap_1", "cap_2"]


# --- A balance payment is looked for, since news of it may be lost ---


def open_balance(story: Story) -> Payment | None:
    return find_awaited_balance(story.deposit)


@pytest.mark.parametrize("status", PaymentStatus)
def test_a_balance_is_looked_for_while_it_may_still_arrive(status: PaymentStatus) -> None:
    story, n, _ = standing("balance", status)
    waiting = open_balance(story)
    if status is PaymentStatus.REPLACED:
        assert waiting is not None
        assert waiting.n == n + 1, "the payment that replaced it"
    else:
        assert (waiting is not None) == (status in MAY_ARRIVE)


def test_nobody_looks_for_a_payment_of_the_deposit_nor_for_one_of_a_deposit_that_ended() -> None:
    assert open_balance(ordered()) is None
    left = balance()
    left.ask(CANCEL, LATER + 1)
    assert open_balance(left) is None


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (LATER,                  LATER + 5 * MINUTE),
        (LATER + 5 * MINUTE - 1, LATER + 5 * MINUTE),
        (LATER + 5 * MINUTE,     LATER + 30 * MINUTE),
        (LATER + 30 * MINUTE,    LATER + 2 * HOUR),
        (LATER + 2 * HOUR,       LATER + 6 * HOUR),
        (LATER + 6 * HOUR,       LATER + DAY),
        (LATER + DAY - 1,        LATER + DAY),
        (LATER + DAY,            LATER + 2 * DAY),
        (LATER + 99 * DAY,       LATER + 100 * DAY),
    ],
)  # fmt: skip
def test_a_balance_is_looked_for_soon_then_rarely_then_daily(now: int, due: int) -> None:
    story = balance()
    assert due_at(story.deposit, GRACE) == LATER + 5 * MINUTE
    assert next_due(story.deposit, now, GRACE) == due
