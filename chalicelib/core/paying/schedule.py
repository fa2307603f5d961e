"""When a payment is queried at the provider."""

from typing import Final

from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.deposit.payment import Payment, PaymentStatus

MAY_ARRIVE: Final = frozenset({PaymentStatus.REQUIRES_ACTION, PaymentStatus.PENDING, PaymentStatus.FAILED})
# Distances from the opening of a balance payment at which the provider is asked, as its event may be lost. Then daily.
QUERY_DELAYS_MS: Final = (5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, DAY)


def compute_first_query_at(payment: Payment) -> int:
    """When the provider is first asked about a payment that may still arrive."""
    return payment.opened_at + QUERY_DELAYS_MS[0]


def compute_next_query_at(payment: Payment, now: int) -> int:
    """When to ask again after an answer without news: the next of ``QUERY_DELAYS_MS``, then a day after ``now``."""
    ahead = [payment.opened_at + distance for distance in QUERY_DELAYS_MS if payment.opened_at + distance > now]
    return min(ahead, default=now + DAY)
