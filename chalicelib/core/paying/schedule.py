"""When a payment is queried at the provider."""

from typing import TYPE_CHECKING, Final

from chalicelib.core.common.instants import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    pass
from chalicelib.core.deposit.payment import _S, Payment

MAY_ARRIVE: Final = frozenset({_S.REQUIRES_ACTION, _S.PENDING, _S.FAILED})
# How long after a balance payment was opened we look for it ourselves: an event of the provider may be lost. Then daily.
QUERY_DELAYS_MS: Final = (5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, DAY)


def compute_first_query_at(payment: Payment) -> int:
    """When a payment that may still arrive is looked for first."""
    return payment.opened_at + QUERY_DELAYS_MS[0]


def compute_next_query_at(payment: Payment, now: int) -> int:
    """After a look that learned nothing: the next distance of ``LOOKS``, then a day later."""
    ahead = [payment.opened_at + distance for distance in QUERY_DELAYS_MS if payment.opened_at + distance > now]
    return min(ahead, default=now + DAY)
