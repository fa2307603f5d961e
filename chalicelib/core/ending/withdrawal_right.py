"""The statutory right to withdraw: in which markets, for which goods, and until when.

Sources: Directive 2011/83/EU art. 9 (possession of the last item); PRC Consumer Rights Protection Law art. 25; PP 80/2019
art. 69.
"""

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.policy import calendar
from chalicelib.core.policy.market import Market
from chalicelib.core.policy.terms import Terms


def find_period_end(deposit: Deposit, law: Market) -> int | None:
    """The end of the period, counted from the arrival of the last goods; None before the arrival.

    The arrival's event records it, so that a later release of calendars moves no period that has begun. Older journals do
    not hold it; then it is counted.
    """
    if law.withdrawal is None or deposit.arrived_at is None:
        return None
    recorded = deposit.withdrawal_ends_at
    return recorded if recorded is not None else count_period_end(deposit.arrived_at, law)


def count_period_end(arrived_at: int, law: Market) -> int | None:
    """The end of a period whose last goods arrived at ``arrived_at``; None where the market has no such right.

    Before the arrival the right exists from the conclusion of the contract on.
    """
    if law.withdrawal is None:
        return None
    return calendar.compute_window_end(law.withdrawal.kind, law.withdrawal.length, arrived_at, law.calendar)


def refuse_without_right(deposit: Deposit, terms: Terms, at: int) -> None:
    """WITHDRAWAL_NOT_AVAILABLE where the market has no right, for goods made to specification, and after the period."""
    law = terms.policy
    if law.withdrawal is None or any(line.made_to_spec for line in deposit.lines):
        raise Refused(Reason.WITHDRAWAL_NOT_AVAILABLE)
    ended = find_period_end(deposit, law)
    if ended is not None and at >= ended:
        raise Refused(Reason.WITHDRAWAL_NOT_AVAILABLE, ended_at=ended)
