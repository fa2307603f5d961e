"""What the provider says of one refund, and the events that are new in it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.refund import (
    RefundDeclined,
    RefundPending,
    RefundReturned,
    RefundReviewNeeded,
    RefundSettled,
    RefundStep,
    RefundSucceeded,
)

if TYPE_CHECKING:
    pass
from chalicelib.core.deposit.refund import TRANSITIONS, Refund, evolve_refund


class RefundSeen(Command, frozen=True):
    """What the provider says of one refund on one way: its answer, its event or a look at its books.

    ``at`` is the instant of that status; ``executed_at``, where it came back, of the execution before.
    """

    refund: int
    status: Literal["pending", "succeeded", "declined", "returned"]
    amount: Money
    provider_ref: str
    at: int
    settled: bool = False
    code: str = ""
    route_no: int = 0
    executed_at: int | None = None


def derive_steps(refund: Refund, seen: RefundSeen) -> Iterator[RefundStep]:
    """What is new in what was seen: nothing, one step or two. Duplicates and stale news in any order give nothing."""
    if (
        refund.sent_at is None
        or seen.route_no != refund.route_no
        or _is_known_return(refund, seen)
        or refund.covered_by is not None
    ):
        return  # nobody has asked for it on this way yet, or its end is known
    if seen.amount != refund.amount and seen.status != "declined":
        chain: tuple[RefundStep, ...] = (RefundReviewNeeded(seen.at, refund.n, "amount_differs"),)
    else:
        chain = _list_steps(refund.n, seen)
    for event in chain:
        if (refund.status, type(event)) in TRANSITIONS:
            yield event
            refund = evolve_refund(refund, event)


def _is_known_return(refund: Refund, seen: RefundSeen) -> bool:
    """Whether this execution is already known to have come back: old news of its success changes nothing."""
    last = refund.attempts[-1] if refund.attempts else None
    return last is not None and last.status == "returned" and last.provider_ref == seen.provider_ref


def _list_steps(n: int, seen: RefundSeen) -> tuple[RefundStep, ...]:
    """The whole way to what was seen; the steps already behind us fall out at the table."""
    executed_at = seen.executed_at if seen.executed_at is not None else seen.at
    succeeded = RefundSucceeded(executed_at, n, seen.provider_ref)
    match seen.status:
        case "pending":
            return (RefundPending(seen.at, n, seen.provider_ref),)
        case "declined":
            return (RefundDeclined(seen.at, n, seen.code, seen.provider_ref or None),)
        case "returned":
            return (succeeded, RefundReturned(seen.at, n))
        case "succeeded":
            return (succeeded, RefundSettled(seen.at, n)) if seen.settled else (succeeded,)
