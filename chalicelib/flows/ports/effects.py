"""A stored journal, and the effects on other items that an append writes in the same transaction."""

from typing import Generic, Literal

from msgspec import Struct

from chalicelib.core.common.journal import E_co, Entry
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.selling.stock import StockDelta


class Stored(Struct, Generic[E_co], frozen=True):
    """A journal as it was read. ``due`` and ``failures`` are the schedule's, not the journal's."""

    id: str
    journal: tuple[Entry[E_co], ...]
    due: int | None = None
    failures: int = 0

    @property
    def version(self) -> int:
        return len(self.journal)


class StockMove(Struct, frozen=True):
    """One shard of an offer's stock changes with a deposit."""

    offer: str
    batch: str
    moved: StockDelta


class LimitCount(Struct, frozen=True):
    """Units counted against a buyer's limit, or given back. ``most`` is checked when counting up."""

    offer: str
    buyer: str
    units: int
    most: int | None = None


class SealedText(Struct, frozen=True):
    """A text of people, sealed; the journal keeps only its digest."""

    key: str
    sealed: bytes


class KeyTaken(Struct, frozen=True):
    """An idempotency key whose route names the deposit in its body: it belongs to that deposit from now on."""

    scope: bytes
    deposit: str


class JournalAppend(Struct, frozen=True):
    """Events for the journal of another deposit, ``stored`` as it was read. ``after`` is that deposit with the events."""

    stored: Stored[DepositEvent]
    entries: tuple[Entry[DepositEvent], ...]
    after: Deposit


CountedStep = Literal["cancelled", "appealed", "overturned"]


class ReasonCounted(Struct, frozen=True):
    """One more in the public count of an offer's cancellations."""

    offer: str
    what: CountedStep
    reason: str


TransactionEffect = StockMove | LimitCount | SealedText | KeyTaken | JournalAppend | ReasonCounted
