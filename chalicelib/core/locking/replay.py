"""Locks decided again, for proofs."""

from typing import Final

from msgspec.structs import replace

from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.lock import (
    LockBecameFinal,
    LockConfirmed,
    LockedByPayment,
    LockedByWindowEnd,
    LockIntentOpened,
    LockReminded,
    LockUndone,
)
from chalicelib.core.deposit.history import CauseRules, History, Replays, decide_by_clock, take_as_recorded
from chalicelib.core.locking import lock
from chalicelib.core.locking.lock import Unlock


def _replay_confirmed(history: History, place: int) -> DepositEvent | None:
    event = history.events[place]
    assert isinstance(event, LockConfirmed), "declared for this event"
    return replace(event, undo_until=lock.compute_undo_until(event.at, history.terms))


def _replay_locked_by_payment(history: History, place: int) -> DepositEvent | None:
    paid = history.before(place).paid if history.terms.lock.at == "payment" else None
    return LockedByPayment(paid.at, lock.compute_undo_until(paid.at, history.terms)) if paid is not None else None


def _replay_undone(history: History, place: int) -> DepositEvent | None:
    return lock.unlock(history.before(place), Unlock(), history.events[place].at, history.terms)


REPLAYS: Final[Replays] = {
    LockReminded: decide_by_clock,
    LockIntentOpened: take_as_recorded,
    LockConfirmed: _replay_confirmed,
    LockedByPayment: _replay_locked_by_payment,
    LockedByWindowEnd: decide_by_clock,
    LockBecameFinal: decide_by_clock,
    LockUndone: _replay_undone,
}
ENDS: Final[CauseRules] = {}
REFUNDS: Final[CauseRules] = {}
