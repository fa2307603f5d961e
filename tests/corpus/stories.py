"""Stories that only the corpus tells: what neither a proof nor an example nor a history shows."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from chalicelib.core.common.instants import DAY
from chalicelib.core.delivery.trade_in import Inspect
from chalicelib.core.deposit import fold
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.policy import fees
from chalicelib.core.refunding.destination import Retry
from chalicelib.core.refunding.settling import FlagProofMismatch
from tests.core.stories import (
    MATCHES,
    MISS,
    PAID,
    SEND,
    Story,
    cancelled,
    money,
    refund_news,
    traded,
    trading,
)
from tests.core.test_cancellation import REASONS, command, told
from tests.core.test_destination import HOME, in_jakarta

AT: Final = PAID + DAY


def of_reason(row: dict[str, Any]) -> Story:
    """Cancelled by the merchant for this reason, with the least evidence."""
    story, at = told(row)
    story.write(at)
    story.ask(command(row), at)
    return story


def inspected(category: str, ground: str) -> Story:
    """An old device of this category that is not as declared."""
    story = traded(trading("2000000 IDR", "500000 IDR", category=category))
    story.ask(Inspect("mismatched", (ground,), ("photo:1",)), AT)
    return story


def matched() -> Story:
    story = traded(trading())
    story.ask(MATCHES, AT)
    return story


def sent() -> Story:
    story = cancelled()
    story.ask(SEND, AT)
    return story


def differs() -> Story:
    """Another amount than was asked for."""
    story = sent()
    story.ask(refund_news(story, "succeeded", AT, amount=money("1 CNY")), AT)
    return story


def doubted() -> Story:
    """The rules do not give it when they are asked again."""
    story = cancelled()
    story.ask(FlagProofMismatch(1), AT)
    return story


def retried() -> Story:
    """Not found at the provider; a person says that it was never executed."""
    story = sent()
    story.ask(MISS, AT)
    story.ask(Retry(1, absent=True), AT + 1)
    return story


def returned() -> Story:
    story = sent()
    for status in ("pending", "succeeded", "returned"):
        story.ask(refund_news(story, status, AT, settled=status == "succeeded"), AT)
    return story


def beyond_a_transfer(price: str) -> Story:
    """Paid out to an account, and no transfer takes so little or so much."""
    story = in_jakarta(price)
    story.ask(HOME, PAID)
    story.ask(SEND, PAID)
    return story


def folded(deposit_id: str, events: Sequence[DepositEvent]) -> Deposit:
    return fold.fold(deposit_id, events)


GROUNDS: Final = [
    (category.code, ground.code)
    for schedule in fees.find_schedules(AT).values()
    for category in schedule.category
    for ground in schedule.grounds(category.code)
]
STORIES: Final[dict[str, Callable[[], Story]]] = {
    **{f"cancelled for {row['code']}": partial(of_reason, row) for row in REASONS},
    **{f"{category}, {ground}": partial(inspected, category, ground) for category, ground in GROUNDS},
    "old device as declared": matched,
    "another amount came back": differs,
    "doubted": doubted,
    "sent again": retried,
    "came back": returned,
    "too little for a transfer": partial(beyond_a_transfer, "9999 IDR"),
    "too much for a transfer": partial(beyond_a_transfer, "25000001 IDR"),
}
