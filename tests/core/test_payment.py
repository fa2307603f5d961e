"""The life of a payment: what each piece of news changes in each status. Whether money counts is told in deposits.toml."""

from collections.abc import Callable

import pytest

from chalicelib.core.events import DepositEvent, PaymentEvent
from chalicelib.core.payment import TRANSITIONS, PaymentSeen, PaymentStatus
from tests.core.stories import PAID, PAY_BY_ALIPAY, T0, Story, ordered


def exact(story: Story) -> tuple[DepositEvent, ...]:
    return story.ask(story.captured(payment=1), PAID)


def too_little(story: Story) -> tuple[DepositEvent, ...]:
    return story.ask(story.captured("1 CNY", payment=1), PAID)


def another_method(story: Story) -> tuple[DepositEvent, ...]:
    if story.deposit.paid is not None or len(story.deposit.payments) > 1:
        return ()  # only the current payment of an unpaid deposit can be replaced
    return story.ask(PAY_BY_ALIPAY, T0 + 1)


NEWS: dict[str, Callable[[Story], tuple[DepositEvent, ...]]] = {
    "open": lambda story: story.ask(PaymentSeen(1, "open"), T0 + 1),
    "pending": lambda story: story.ask(PaymentSeen(1, "pending"), T0 + 1),
    "failed": lambda story: story.ask(PaymentSeen(1, "failed"), T0 + 1),
    "exact": exact,
    "too_little": too_little,
    "changed": another_method,
}
REACHED: dict[str, tuple[str, ...]] = {
    "requires_action": (),
    "pending": ("pending",),
    "failed": ("failed",),
    "succeeded": ("exact",),
    "replaced": ("changed",),
}

# Rows: where the first payment of a deposit stands. Columns: what is told of it. A dot leaves it as it stands;
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
CELLS = [(row[0], news, then) for row in ROWS for news, then in zip(HEADER, row[1:], strict=True)]


def standing(status: str) -> Story:
    story = ordered()
    for news in REACHED[status]:
        NEWS[news](story)
    assert story.deposit.payments[0].status == status
    return story


def test_the_table_has_every_status_and_every_piece_of_news() -> None:
    assert {row[0] for row in ROWS} == set(PaymentStatus) == set(REACHED)
    assert list(NEWS) == HEADER


@pytest.mark.parametrize(("status", "news", "then"), CELLS, ids=[f"{cell[0]} {cell[1]}" for cell in CELLS])
def test_news_changes_a_payment_as_the_table_says(status: str, news: str, then: str) -> None:
    story = standing(status)
    NEWS[news](story)
    assert story.deposit.payments[0].status == (status if then in {".", "back"} else then)
    assert len(story.deposit.refunds) == (then == "back")


def test_every_transition_is_reached_by_a_case() -> None:
    reached: set[tuple[PaymentStatus, type[PaymentEvent]]] = set()
    for status, news, _ in CELLS:
        payment_events = (event for event in NEWS[news](standing(status)) if isinstance(event, PaymentEvent))
        reached |= {(PaymentStatus(status), type(event)) for event in payment_events}
    assert reached == set(TRANSITIONS)


def test_a_payment_keeps_every_capture_it_was_told_of() -> None:
    story = ordered()
    too_little(story)
    exact(story)
    exact(story)
    assert story.deposit.payments[0].captures == ("cap_1", "cap_2", "cap_3") == story.deposit.captures
