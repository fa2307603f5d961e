"""What the provider says of one refund, and the events that are new in it."""

from collections.abc import Iterator
from typing import Literal

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
from chalicelib.core.deposit.refund import TRANSITIONS, Refund, evolve_refund


class RefundSeen(Command, frozen=True):
    """The state of one refund on one route at the provider: from its answer, its event or a query.

    ``at`` is the instant of ``status``. ``executed_at`` is the execution before a return; None for other statuses.
    ``code`` says why it was declined. ``settled``: it stands in the provider's settlement report.
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
    """The steps that ``seen`` adds to the refund: none, one or two. None for duplicates and outdated states."""
    not_sent, other_route = refund.sent_at is None, seen.route_no != refund.route_no
    if not_sent or other_route or _is_known_return(refund, seen) or refund.covered_by is not None:
        return
    if seen.amount != refund.amount and seen.status != "declined":
        steps: tuple[RefundStep, ...] = (RefundReviewNeeded(seen.at, refund.n, "amount_differs"),)
    else:
        steps = _list_steps(refund.n, seen)
    for event in steps:
        if (refund.status, type(event)) in TRANSITIONS:
            yield event
            refund = evolve_refund(refund, event)


def _is_known_return(refund: Refund, seen: RefundSeen) -> bool:
    """Whether this execution is already recorded as returned, so that its earlier success changes nothing."""
    last = refund.attempts[-1] if refund.attempts else None
    return last is not None and last.status == "returned" and last.provider_ref == seen.provider_ref


def _list_steps(n: int, seen: RefundSeen) -> tuple[RefundStep, ...]:
    """Every step up to the state seen. ``derive_steps`` drops those that the table does not allow any more."""
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
