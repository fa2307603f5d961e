"""Ends of a deposit decided again, for proofs."""

from collections.abc import Iterator
from typing import Final

from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import (
    Expired,
    PassGranted,
    PassLapsed,
    PassReminded,
    PassReturned,
    PassUsed,
    WithdrawalConfirmed,
    WithdrawalStated,
)
from chalicelib.core.deposit.history import CauseRules, History, Replays, decide_by_clock, take_as_recorded
from chalicelib.core.ending import end, entitlement


def end_again(history: History, place: int, cause: Cause, judged_at: int | None = None) -> Iterator[DepositEvent]:
    """The end recorded at ``place`` as the rules give it at its own instant, or at ``judged_at``."""
    event, before = history.events[place], history.before(place)
    at = event.at if judged_at is None else judged_at
    owed = entitlement.compute_entitlement(before, history.terms, cause, at)
    return end.end_deposit(before, cause, owed, event.at, history.terms.refund.deadline)


def refuse_unless_after(history: History, place: int, kind: type[DepositEvent]) -> None:
    """LookupError unless the event before ``place`` is of this kind: it is the cause of the end."""
    if not isinstance(history.events[place - 1], kind):
        raise LookupError("the cause of this end is missing")  # noqa: TRY004 - as a table without such a step


def _replay_buyer_cancel(history: History, place: int) -> Iterator[DepositEvent]:
    return end_again(history, place, Cause.BUYER_CANCEL)


def _replay_withdrawal(history: History, place: int) -> Iterator[DepositEvent]:
    """Judged at the arrival of the goods where they arrived earlier: another release may count the period's days differently.

    The journal itself records that the withdrawal was confirmed in time.
    """
    refuse_unless_after(history, place, WithdrawalConfirmed)
    at, arrived_at = history.events[place].at, history.before(place).arrived_at
    return end_again(history, place, Cause.WITHDRAWAL, at if arrived_at is None else min(at, arrived_at))


REPLAYS: Final[Replays] = {
    Expired: decide_by_clock,
    WithdrawalStated: take_as_recorded,
    WithdrawalConfirmed: take_as_recorded,
    PassGranted: take_as_recorded,
    PassUsed: take_as_recorded,
    PassReturned: take_as_recorded,
    PassReminded: take_as_recorded,
    PassLapsed: take_as_recorded,
}
ENDS: Final[CauseRules] = {Cause.BUYER_CANCEL: _replay_buyer_cancel, Cause.WITHDRAWAL: _replay_withdrawal}
REFUNDS: Final[CauseRules] = {}
