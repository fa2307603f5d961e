"""Events of locks: reminders, intents, confirmations, the end of the undo."""

from dataclasses import dataclass
from typing import ClassVar

from chalicelib.core.common.money import Money


@dataclass(frozen=True, slots=True)
class LockReminded:
    """Announcement: the window ends soon. ``window_ends_at`` is when."""

    TYPE: ClassVar[str] = "lock.reminder"
    at: int
    window_ends_at: int


@dataclass(frozen=True, slots=True)
class Argument:
    """What filled one place of a published sentence, as it was shown."""

    name: str
    words: str


@dataclass(frozen=True, slots=True)
class LockIntentOpened:
    """A buyer was shown what a lock means, word by word: this is the evidence.

    ``text`` names the published sentences, ``arguments`` fill them, ``locale`` is the language they were shown in;
    ``disclosure_hash`` is over all that was shown. A newer intent closes this one.
    """

    TYPE: ClassVar[str] = "lock.intent_opened"
    at: int
    intent: int
    text: tuple[str, ...]
    arguments: tuple[Argument, ...]
    locale: str
    amount_at_stake: Money
    disclosure_hash: str
    acknowledgement: str
    confirmable_at: int
    expires_at: int
    window_ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class LockConfirmed:
    """The buyer locked it, by an intent that was read, typed and in time."""

    TYPE: ClassVar[str] = "lock.confirmed"
    at: int
    intent: int
    disclosure_hash: str
    undo_until: int | None = None


@dataclass(frozen=True, slots=True)
class LockedByPayment:
    """The terms lock at payment. Undo, where the terms give it, is open until ``undo_until``."""

    TYPE: ClassVar[str] = "lock.by_payment"
    at: int
    undo_until: int | None = None


@dataclass(frozen=True, slots=True)
class LockedByWindowEnd:
    """Announcement: the window ended. The status follows from the clock, whether this was written or not."""

    TYPE: ClassVar[str] = "lock.by_window_end"
    at: int


@dataclass(frozen=True, slots=True)
class LockBecameFinal:
    """Announcement: the undo is over. Production, shipment and balance may begin."""

    TYPE: ClassVar[str] = "lock.final"
    at: int


@dataclass(frozen=True, slots=True)
class LockUndone:
    """The buyer took the lock back. ``window_ends_at`` is set when no window runs any more: then only cancel is left."""

    TYPE: ClassVar[str] = "lock.undone"
    at: int
    window_ends_at: int | None = None
