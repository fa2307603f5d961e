"""Locks decided again, for proofs."""

from typing import Final

from msgspec.structs import replace

from chalicelib.core.common import instants
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.events.lock import (
    LockBecameFinal,
    LockConfirmed,
    LockedByPayment,
    LockedByWindowEnd,
    LockIntentOpened,
    LockReminded,
    LockUndone,
)
from chalicelib.core.deposit.history import CauseRules, History, Replays, as_recorded, by_clock
from chalicelib.core.locking import lock
from chalicelib.core.policy.terms import Terms


def _confirmed(history: History, place: int) -> DepositEvent | None:
    event = history.events[place]
    assert isinstance(event, LockConfirmed), "declared for this event"
    return replace(event, undo_until=_undo_until(event.at, history.terms))


def _by_payment(history: History, place: int) -> DepositEvent | None:
    paid = history.before(place).paid if history.terms.lock.at == "payment" else None
    return LockedByPayment(paid.at, _undo_until(paid.at, history.terms)) if paid is not None else None


def _undone(history: History, place: int) -> DepositEvent | None:
    return lock.unlock(history.before(place), history.events[place].at)


def _undo_until(at: int, terms: Terms) -> int | None:
    return at + instants.duration_ms(terms.lock.undo) if terms.lock.undo is not None else None


REPLAYS: Final[Replays] = {
    LockReminded: by_clock,
    LockIntentOpened: as_recorded,
    LockConfirmed: _confirmed,
    LockedByPayment: _by_payment,
    LockedByWindowEnd: by_clock,
    LockBecameFinal: by_clock,
    LockUndone: _undone,
}
ENDS: Final[CauseRules] = {}
REFUNDS: Final[CauseRules] = {}
