"""Cooling-off window, lock intents and lock of a deposit, and how events change them."""

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.deposit.event_row import EventRow, Rows, stays, unchanged
from chalicelib.core.deposit.events.lock import (
    LockBecameFinal,
    LockConfirmed,
    LockedByPayment,
    LockedByWindowEnd,
    LockIntentOpened,
    LockReminded,
    LockUndone,
)
from chalicelib.core.deposit.ledger import no_postings
from chalicelib.core.deposit.rows import with_row
from chalicelib.core.deposit.status import Status

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


LockedBy = Literal["buyer", "window_end", "payment"]


class Window(Struct, frozen=True):
    """The cooling-off time, half-open. ``ends_at`` None: it lasts until the buyer locks.

    ``cancel_only``: it was opened by an undo and allows nothing but a cancel. ``remind_at``: reminders not written yet.
    """

    starts_at: int
    ends_at: int | None
    cancel_only: bool = False
    remind_at: tuple[int, ...] = ()


class Lock(Struct, frozen=True):
    """A lock. ``undo_until`` None: it cannot be undone. ``final_announced``: ``LockBecameFinal`` is written."""

    by: LockedBy
    at: int
    undo_until: int | None = None
    final_announced: bool = False

    def is_final(self, at: int) -> bool:
        return self.undo_until is None or at >= self.undo_until


class Intent(Struct, frozen=True):
    """A lock intent with the disclosure that the buyer was shown. It can be confirmed only while ``state`` is ``open``."""

    n: int
    opened: LockIntentOpened
    state: Literal["open", "used", "superseded", "changed"] = "open"


def record_reminder(deposit: "Deposit", event: LockReminded) -> "Deposit":
    return replace(deposit, window=_drop_past_reminders(deposit.window, event.at))


def open_intent(deposit: "Deposit", event: LockIntentOpened) -> "Deposit":
    superseded = close_intents(deposit.intents, "superseded")
    return replace(deposit, intents=(*superseded, Intent(event.intent, event)))


def confirm_lock(deposit: "Deposit", event: LockConfirmed) -> "Deposit":
    used = replace(deposit.intents[event.intent - 1], state="used")
    return replace(deposit, intents=with_row(deposit.intents, used), lock=Lock("buyer", event.at, event.undo_until))


def lock_by_payment(deposit: "Deposit", event: LockedByPayment) -> "Deposit":
    return replace(deposit, lock=Lock("payment", event.at, event.undo_until))


def announce_final(deposit: "Deposit", _event: LockBecameFinal) -> "Deposit":
    assert deposit.lock is not None, "only a lock becomes final"
    return replace(deposit, lock=replace(deposit.lock, final_announced=True))


def undo_lock(deposit: "Deposit", event: LockUndone) -> "Deposit":
    if event.window_ends_at is None:
        return replace(deposit, lock=None, window=_drop_past_reminders(deposit.window, event.at))
    starts_at = deposit.window.starts_at if deposit.window is not None else deposit.created_at
    return replace(deposit, lock=None, window=Window(starts_at, event.window_ends_at, cancel_only=True))


def close_intents(intents: tuple[Intent, ...], why: Literal["superseded", "changed"]) -> tuple[Intent, ...]:
    return tuple(replace(intent, state=why) if intent.state == "open" else intent for intent in intents)


def _drop_past_reminders(window: Window | None, at: int) -> Window | None:
    """The window without the reminders that were due by ``at``."""
    if window is None:
        return None
    return replace(window, remind_at=tuple(instant for instant in window.remind_at if instant > at))


_OPEN, _LOCKED = Status.COOLING_OFF, Status.LOCKED
EVENTS: Final[Rows] = (
    EventRow(LockReminded, stays(_OPEN), record_reminder, no_postings),
    EventRow(LockIntentOpened, stays(_OPEN), open_intent, no_postings),
    EventRow(LockConfirmed, {_OPEN: _LOCKED}, confirm_lock, no_postings),
    EventRow(LockedByPayment, {_OPEN: _LOCKED}, lock_by_payment, no_postings),
    EventRow(LockedByWindowEnd, {_OPEN: _LOCKED}, unchanged, no_postings),
    EventRow(LockBecameFinal, stays(_LOCKED), announce_final, no_postings),
    EventRow(LockUndone, {_LOCKED: _OPEN}, undo_lock, no_postings),
)
