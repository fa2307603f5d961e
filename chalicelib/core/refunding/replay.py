"""Refunds decided again, for proofs. An approval is decided again by the rule of its cause: see ``proof``."""

from collections.abc import Iterator
from typing import Final, cast

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.refund import (
    RefundApproved,
    RefundCovered,
    RefundDeclined,
    RefundDestinationNamed,
    RefundLine,
    RefundPending,
    RefundRerouted,
    RefundRetried,
    RefundReturned,
    RefundReviewNeeded,
    RefundSent,
    RefundSettled,
    RefundSucceeded,
    RefundUnknown,
)
from chalicelib.core.deposit.history import CauseRules, History, Replays, take_as_recorded
from chalicelib.core.ending import end
from chalicelib.core.ending.entitlement import Leg


def _replay_goodwill(history: History, place: int) -> Iterator[DepositEvent]:
    """The merchant chooses the amount: above 0, at most what is left of the capture and refundable."""
    event, before = cast(RefundApproved, history.events[place]), history.before(place)
    captured = before.find_capture(event.capture)
    max_amount = min(before.compute_unrefunded(captured), before.refundable)
    if (
        captured.counts
        and not before.is_disputed(captured.capture)
        and Money.zero(event.amount.currency) < event.amount <= max_amount
    ):
        leg = Leg(captured.payment, captured.capture, (RefundLine(LineCode.GOODWILL, event.amount),))
        deadline = history.terms.refund.deadline
        yield from end.approve_refund(before, event.refund, Cause.GOODWILL, leg, event.at, deadline, note=event.note)


REPLAYS: Final[Replays] = dict.fromkeys(
    (
        RefundSent,
        RefundUnknown,
        RefundPending,
        RefundSucceeded,
        RefundSettled,
        RefundDeclined,
        RefundReturned,
        RefundReviewNeeded,
        RefundDestinationNamed,
        RefundRerouted,
        RefundRetried,
        RefundCovered,
    ),
    take_as_recorded,
)
ENDS: Final[CauseRules] = {}
REFUNDS: Final[CauseRules] = {Cause.GOODWILL: _replay_goodwill}
