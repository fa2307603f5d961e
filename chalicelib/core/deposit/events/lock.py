"""Events of locks: reminders, intents, confirmations, the end of the undo."""

from typing import ClassVar

from msgspec import Struct

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.events.base import DepositEvent


class LockReminded(DepositEvent, frozen=True):
    """Announcement: the window ends soon. ``window_ends_at`` is when."""

    TYPE: ClassVar[str] = "lock.reminder"
    window_ends_at: Instant


class Argument(Struct, frozen=True):
    """What filled one place of a published sentence, as it was shown."""

    name: str
    words: str


class LockIntentOpened(DepositEvent, frozen=True):
    """A buyer was shown what a lock means, word by word: this is the evidence.

    ``text`` names the published sentences, ``arguments`` fill them, ``locale`` is the language they were shown in;
    ``disclosure_hash`` is over all that was shown. A newer intent closes this one.
    """

    TYPE: ClassVar[str] = "lock.intent_opened"
    intent: int
    text: tuple[str, ...]
    arguments: tuple[Argument, ...]
    locale: str
    amount_at_stake: Money
    disclosure_hash: str
    acknowledgement: str
    confirmable_at: Instant
    expires_at: Instant
    window_ends_at: Instant | None = None


class LockConfirmed(DepositEvent, frozen=True):
    """The buyer locked it, by an intent that was read, typed and in time."""

    TYPE: ClassVar[str] = "lock.confirmed"
    intent: int
    disclosure_hash: str
    undo_until: Instant | None = None


class LockedByPayment(DepositEvent, frozen=True):
    """The terms lock at payment. Undo, where the terms give it, is open until ``undo_until``."""

    TYPE: ClassVar[str] = "lock.by_payment"
    undo_until: Instant | None = None


class LockedByWindowEnd(DepositEvent, frozen=True):
    """Announcement: the window ended. The status follows from the clock, whether this was written or not."""

    TYPE: ClassVar[str] = "lock.by_window_end"


class LockBecameFinal(DepositEvent, frozen=True):
    """Announcement: the undo is over. Production, shipment and balance may begin."""

    TYPE: ClassVar[str] = "lock.final"


class LockUndone(DepositEvent, frozen=True):
    """The buyer took the lock back. ``window_ends_at`` is set when no window runs any more: then only cancel is left."""

    TYPE: ClassVar[str] = "lock.undone"
    window_ends_at: Instant | None = None
