"""A stored journal, and the effects on other items that an append writes in the same transaction."""

from dataclasses import dataclass
from typing import Generic, Literal

from chalicelib.core.common.journal import E_co, Entry
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.selling.stock import StockDelta


@dataclass(frozen=True, slots=True)
class Stored(Generic[E_co]):
    """A journal as it was read. ``due`` and ``failures`` are the schedule's, not the journal's."""

    id: str
    journal: tuple[Entry[E_co], ...]
    due: int | None = None
    failures: int = 0

    @property
    def version(self) -> int:
        return len(self.journal)


@dataclass(frozen=True, slots=True)
class StockMove:
    """One shard of an offer's stock changes with a deposit."""

    offer: str
    batch: str
    moved: StockDelta


@dataclass(frozen=True, slots=True)
class LimitCount:
    """Units counted against a buyer's limit, or given back. ``most`` is checked when counting up."""

    offer: str
    buyer: str
    units: int
    most: int | None = None


@dataclass(frozen=True, slots=True)
class SealedText:
    """A text of people, sealed; it stands beside the journal, which keeps its digest only."""

    key: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """An idempotency key whose route names the deposit in its body: it belongs to that deposit from now on."""

    scope: bytes
    deposit: str


@dataclass(frozen=True, slots=True)
class JournalAppend:
    """Events that the journal of another deposit takes in the same write, as it was read. ``after`` is that deposit then."""

    stored: Stored[DepositEvent]
    entries: tuple[Entry[DepositEvent], ...]
    after: Deposit


CountedStep = Literal["cancelled", "appealed", "overturned"]


@dataclass(frozen=True, slots=True)
class ReasonCounted:
    """One more in the public count of an offer's cancellations."""

    offer: str
    what: CountedStep
    reason: str


TransactionEffect = StockMove | LimitCount | SealedText | KeyTaken | JournalAppend | ReasonCounted
