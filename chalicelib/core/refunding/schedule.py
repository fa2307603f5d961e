"""When a refund must be sent, queried or reviewed next."""

from typing import TYPE_CHECKING, Final

from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.deposit.events.refund import (
    RefundReviewNeeded,
)
from chalicelib.core.policy import payment_routes

if TYPE_CHECKING:
    pass
from chalicelib.core.deposit.refund import TRANSITIONS, Refund, RefundStatus

# How long after no answer we look: most late executions show within a minute; after a day reconciliation takes over.
QUERY_DELAYS_MS: Final = (MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 24 * HOUR)
# Reconciliation sees a refund settle first; who it did not see is asked about here, then once a day.
SETTLEMENT_WAIT_MS: Final = 3 * DAY


def compute_review_at(refund: Refund) -> int | None:
    """When a person takes over by itself: at the promised instant, whatever is still being waited for."""
    if (refund.status, RefundReviewNeeded) in TRANSITIONS:
        return max(refund.promised_by, refund.changed_at)
    return None


def compute_due_at(refund: Refund) -> int | None:
    """The earliest instant at which something must be done for this refund, as far as its facts tell."""
    match refund.status:
        case RefundStatus.APPROVED:
            return _find_sendable_from(refund, max(refund.changed_at, refund.payable_from))
        case RefundStatus.SENT | RefundStatus.UNKNOWN | RefundStatus.PENDING:
            return min(refund.changed_at + QUERY_DELAYS_MS[0], max(refund.promised_by, refund.changed_at))
        case RefundStatus.REQUIRES_ACTION | RefundStatus.RETURNED:
            return compute_review_at(refund)
        case RefundStatus.SUCCEEDED:
            return refund.changed_at + SETTLEMENT_WAIT_MS
        case RefundStatus.SETTLED | RefundStatus.MANUAL_REVIEW:
            return None


def _find_sendable_from(refund: Refund, at: int) -> int:
    """Not in the hours in which the route refuses; accounts are paid at any hour."""
    return (
        at
        if refund.destination is not None
        else payment_routes.find_next_open_instant(payment_routes.find_route(refund.method, at), at)
    )


def compute_next_query_at(refund: Refund, now: int) -> int:
    """After a look that learned nothing: the next distance of ``LOOKS``, then the promised instant or a day later."""
    if refund.status is RefundStatus.SUCCEEDED:
        return now + DAY
    if refund.status is RefundStatus.APPROVED:
        return _find_sendable_from(refund, now + MINUTE)
    for distance in QUERY_DELAYS_MS:
        if refund.changed_at + distance > now:
            return refund.changed_at + distance
    return max(refund.promised_by, now + MINUTE)
