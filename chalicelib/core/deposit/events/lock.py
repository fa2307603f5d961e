"""Events of locks: reminders, intents, confirmations, the end of the undo."""

from typing import ClassVar

from msgspec import Struct

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.events.base import DepositEvent


class LockReminded(DepositEvent, frozen=True):
    """Announcement: the window ends at ``window_ends_at``."""

    TYPE: ClassVar[str] = "lock.reminder"
    window_ends_at: Instant


class Argument(Struct, frozen=True):
    """The text that filled one placeholder of a published sentence, as shown."""

    name: str
    words: str


class LockIntentOpened(DepositEvent, frozen=True):
    """The buyer was shown what a lock means. Evidence of the exact text.

    ``text`` names the published sentences, ``arguments`` fill them, ``locale`` is their language. ``disclosure_hash`` is over
    the text shown. ``acknowledgement`` is what the buyer must type. A newer intent supersedes this one.
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
    """The buyer locked the deposit with an intent. ``undo_until`` None: the lock is final at once."""

    TYPE: ClassVar[str] = "lock.confirmed"
    intent: int
    disclosure_hash: str
    undo_until: Instant | None = None


class LockedByPayment(DepositEvent, frozen=True):
    """The payment locked the deposit, as its terms say. ``undo_until`` None: the terms give no undo."""

    TYPE: ClassVar[str] = "lock.by_payment"
    undo_until: Instant | None = None


class LockedByWindowEnd(DepositEvent, frozen=True):
    """Announcement: the window ended. The deposit is locked from then on, whether this is written or not."""

    TYPE: ClassVar[str] = "lock.by_window_end"


class LockBecameFinal(DepositEvent, frozen=True):
    """Announcement: the time to undo is over. Goods may be made ready and shipped, and the balance paid."""

    TYPE: ClassVar[str] = "lock.final"


class LockUndone(DepositEvent, frozen=True):
    """The buyer undid the lock. ``window_ends_at`` is set when the window was over: until then the buyer may only cancel."""

    TYPE: ClassVar[str] = "lock.undone"
    window_ends_at: Instant | None = None
