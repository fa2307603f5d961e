"""Cooling-off window, lock intents and lock of a deposit, and how events change them."""

from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.deposit.events.lock import (
    LockBecameFinal,
    LockConfirmed,
    LockedByPayment,
    LockedByWindowEnd,
    LockIntentOpened,
    LockReminded,
    LockUndone,
)
from chalicelib.core.deposit.rows import with_row

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


LockedBy = Literal["buyer", "window_end", "payment"]


class Window(Struct, frozen=True):
    """The cooling-off time, half-open. ``ends_at`` None: until the buyer locks. ``cancel_only``: given by an undo.

    ``remind_at`` are the reminders that are still to be written.
    """

    starts_at: int
    ends_at: int | None
    cancel_only: bool = False
    remind_at: tuple[int, ...] = ()


class Lock(Struct, frozen=True):
    """The commitment: by whom, since when, and until when the buyer may take it back."""

    by: LockedBy
    at: int
    undo_until: int | None = None
    final_told: bool = False

    def final(self, at: int) -> bool:
        return self.undo_until is None or at >= self.undo_until


class Intent(Struct, frozen=True):
    """A buyer's wish to lock, bound to what was shown. ``state`` says why it can no longer be confirmed."""

    n: int
    shown: LockIntentOpened
    state: Literal["open", "used", "superseded", "changed"] = "open"


LockEvent = (
    LockReminded | LockIntentOpened | LockConfirmed | LockedByPayment | LockedByWindowEnd | LockBecameFinal | LockUndone
)


def evolve_lock(deposit: "Deposit", event: LockEvent) -> "Deposit":
    match event:
        case LockReminded():
            return replace(deposit, window=_reminded(deposit.window, event.at))
        case LockIntentOpened():
            former = close_intents(deposit.intents, "superseded")
            return replace(deposit, intents=(*former, Intent(event.intent, event)))
        case LockConfirmed():
            used = replace(deposit.intents[event.intent - 1], state="used")
            return replace(
                deposit, intents=with_row(deposit.intents, used), lock=Lock("buyer", event.at, event.undo_until)
            )
        case LockedByPayment():
            return replace(deposit, lock=Lock("payment", event.at, event.undo_until))
        case LockBecameFinal():
            assert deposit.lock is not None, "only a lock becomes final"
            return replace(deposit, lock=replace(deposit.lock, final_told=True))
        case LockUndone():
            return replace(deposit, lock=None, window=_window_after_undo(deposit, event))
        case LockedByWindowEnd():
            return deposit


def close_intents(intents: tuple[Intent, ...], why: Literal["superseded", "changed"]) -> tuple[Intent, ...]:
    return tuple(replace(one, state=why) if one.state == "open" else one for one in intents)


def _reminded(window: Window | None, at: int) -> Window | None:
    """What was to be told by then is told."""
    if window is None:
        return None
    return replace(window, remind_at=tuple(instant for instant in window.remind_at if instant > at))


def _window_after_undo(deposit: "Deposit", event: LockUndone) -> Window | None:
    if event.window_ends_at is None:
        return _reminded(deposit.window, event.at)
    starts_at = deposit.window.starts_at if deposit.window is not None else deposit.created_at
    return Window(starts_at, event.window_ends_at, cancel_only=True)
