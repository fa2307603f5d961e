"""When a refund must be sent, queried or reviewed next."""

from typing import Final

from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.deposit.events.refund import (
    RefundReviewNeeded,
)
from chalicelib.core.deposit.refund import TRANSITIONS, Refund, RefundStatus
from chalicelib.core.policy import payment_routes

# Distances from the last step at which the provider is queried. Most executions show within a minute; after a day
# reconciliation finds them.
QUERY_DELAYS_MS: Final = (MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 24 * HOUR)
# Reconciliation normally records settlement. After this time the provider is queried, then once a day.
SETTLEMENT_WAIT_MS: Final = 3 * DAY


def compute_review_at(refund: Refund) -> int | None:
    """When an open refund goes to manual review: at the promised instant. None where the table has no such step."""
    if (refund.status, RefundReviewNeeded) in TRANSITIONS:
        return max(refund.promised_by, refund.changed_at)
    return None


def compute_due_at(refund: Refund) -> int | None:
    """When the refund must be sent, queried or reviewed; None when nothing is to be done."""
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
    """The first instant from ``at`` on at which the route takes refunds. Accounts are paid at any hour."""
    if refund.destination is not None:
        return at
    return payment_routes.find_next_open_instant(payment_routes.find_route(refund.method, at), at)


def compute_next_query_at(refund: Refund, now: int) -> int:
    """When to act again after an attempt or query without news: the next of ``QUERY_DELAYS_MS``, then at the promise."""
    if refund.status is RefundStatus.SUCCEEDED:
        return now + DAY
    if refund.status is RefundStatus.APPROVED:
        return _find_sendable_from(refund, now + MINUTE)
    for distance in QUERY_DELAYS_MS:
        if refund.changed_at + distance > now:
            return refund.changed_at + distance
    return max(refund.promised_by, now + MINUTE)
