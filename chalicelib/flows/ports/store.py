"""What the flows need of the store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic, Protocol

from msgspec import Struct

from chalicelib.core.common.journal import E_co, Entry
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.merchant.bulk import Bulk, BulkEvent
from chalicelib.core.policy.terms import Terms
from chalicelib.core.reconciliation.lines import Line
from chalicelib.core.reconciliation.run import BreakEvent, BreakFound, Run, RunEvent, RunFailed, RunFinished
from chalicelib.core.selling.offer import Offer, OfferEvent
from chalicelib.flows.ports.effects import SealedText, Stored, TransactionEffect


class VersionConflict(Exception):
    """Somebody wrote first. Carries the item as they left it, our own events among them when it was us."""

    def __init__(self, stored: Stored[Any]) -> None:
        super().__init__(stored.id)
        self.stored = stored


class WriteContention(Exception):
    """Another transaction held an item; nothing was written. Try again after a short sleep."""


class StockShort(Exception):
    """A shard had fewer units than its hint said; nothing was written."""


class LimitFull(Exception):
    """The buyer's units would exceed the offer's limit; nothing was written."""


class Leased(Exception):
    """Another worker holds the lease; leave the item alone."""


class SpanTaken(Exception):
    """A run over that span has not finished. ``run`` is its id."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run


class Page(Struct, Generic[E_co], frozen=True):
    """One page of a list and where the next one goes on, None at the end."""

    rows: tuple[Stored[E_co], ...]
    position: Mapping[str, object] | None


class DuePage(Struct, frozen=True):
    """Ids from a due queue, and where the next page begins: as the table gave it, None at the end."""

    ids: Sequence[str]
    position: Mapping[str, Any] | None


# A launch writes the due index three times a deposit; sixteen partitions carry sixteen thousand writes a second.
DUE_SHARDS: Final = 16


class Deposits(Protocol):
    """The journals of deposits."""

    def get(self, deposit_id: str) -> Stored[DepositEvent] | None: ...

    def create(
        self, deposit: Deposit, entries: Sequence[Entry[DepositEvent]], also: Sequence[TransactionEffect], shard: int
    ) -> None:
        """Write the first events. VersionConflict, WriteContention, StockShort, LimitFull; then nothing was written."""

    def append(
        self,
        stored: Stored[DepositEvent],
        entries: Sequence[Entry[DepositEvent]],
        after: Deposit,
        also: Sequence[TransactionEffect],
    ) -> None:
        """Add events to the journal as it was read. VersionConflict, WriteContention; then nothing was written."""

    def touch(
        self, stored: Stored[DepositEvent], due: int, *, owner: str, until: int, now: int, failures: int = 0
    ) -> None:
        """Push ``due`` and take the lease; the journal stays. VersionConflict or Leased when that was not ours to do."""

    def of_buyer(self, buyer: str, limit: int, position: Mapping[str, object] | None) -> Page[DepositEvent]: ...

    def of_offer(
        self, offer: str, shards: int, limit: int, position: Mapping[str, object] | None
    ) -> Page[DepositEvent]: ...

    def open_of(self, merchant: str, limit: int, position: Mapping[str, object] | None) -> Page[DepositEvent]: ...

    def open_everywhere(self, limit: int, position: Mapping[str, object] | None) -> Page[DepositEvent]: ...

    def claims_of(self, merchant: str, limit: int, position: Mapping[str, object] | None) -> Page[DepositEvent]:
        """Deposits with an open claim, the one that silence decides first at the head."""

    def claims_everywhere(self, limit: int, position: Mapping[str, object] | None) -> Page[DepositEvent]: ...

    def moved(self, start: int, end: int, shard: int, after: str, today: int) -> Iterator[Line]:
        """Our movements of a span in one shard, ascending, of deposits behind ``after``."""

    def owing(self, shard: int) -> Sequence[str]:
        """The ids of the deposits in one shard that have an open refund, ascending."""

    def due(self, queue: str, shard: int, until: int, limit: int, position: Mapping[str, Any] | None = None) -> DuePage:
        """What is due in one shard of a queue (``time`` or ``work``), earliest first, behind a page's position."""


class Offers(Protocol):
    """The journals of offers, their frozen terms and their stock."""

    def get(self, offer_id: str) -> Stored[OfferEvent] | None: ...

    def create(self, offer: Offer, terms: Terms, entries: Sequence[Entry[OfferEvent]]) -> None: ...

    def append(
        self,
        stored: Stored[OfferEvent],
        entries: Sequence[Entry[OfferEvent]],
        offer: Offer | None = None,
        sku: str = "",
        moved: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Add events; ``moved`` gives the shards of ``sku`` and the units that a stock change adds or takes."""

    def terms(self, terms_hash: str) -> Terms: ...

    def left(self, offers: Sequence[Offer], *, consistent: bool) -> Mapping[str, Mapping[str, Sequence[int]]]:
        """Units left in every shard of every counted SKU, by offer id."""

    def listed(self, limit: int, position: Mapping[str, object] | None) -> Page[OfferEvent]: ...


class Texts(Protocol):
    """Sealed texts of people, by key. They are written in the transaction of the event that names them."""

    def get(self, key: str) -> bytes | None: ...

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Those that are there, read together."""


class RunAt(Struct, frozen=True):
    """A run as it was read, and where its last slice stopped; ``cursors`` counts those stops."""

    stored: Stored[RunEvent]
    cursor: dict[str, Any] | None
    cursors: int


class Runs(Protocol):
    """Reconciliation runs and their breaks."""

    def get(self, run_id: str) -> RunAt | None: ...

    def create(self, run: Run, entry: Entry[RunEvent]) -> None:
        """VersionConflict when the id exists, SpanTaken while another run compares the same span, WriteContention."""

    def checkpoint(
        self,
        at: RunAt,
        cursor: Mapping[str, Any] | None,
        breaks: Sequence[BreakFound],
        owner: str,
        now: int,
        until: int,
    ) -> RunAt:
        """Save the cursor together with the breaks found since the last one; without a cursor, take the lease alone.

        Leased when another worker is at it.
        """

    def finish(self, at: RunAt, run: Run, event: RunFinished | RunFailed, now: int) -> None: ...

    def unfinished(self, now: int, limit: int) -> Sequence[str]: ...

    def listed(self, limit: int, position: Mapping[str, object] | None) -> Page[RunEvent]: ...

    def breaks(self, run_id: str, limit: int, position: Mapping[str, object] | None) -> Page[BreakEvent]: ...

    def get_break(self, break_id: str) -> Stored[BreakEvent] | None: ...

    def resolve(self, stored: Stored[BreakEvent], entry: Entry[BreakEvent], note: SealedText | None) -> None: ...


class Bulks(Protocol):
    """Bulk cancellations by merchants."""

    def get(self, bulk_id: str) -> Stored[BulkEvent] | None: ...

    def create(self, bulk: Bulk, entry: Entry[BulkEvent], note: SealedText | None) -> None:
        """VersionConflict when the id exists, WriteContention."""

    def append(self, stored: Stored[BulkEvent], entry: Entry[BulkEvent], after: Bulk) -> None:
        """VersionConflict, WriteContention; then nothing was written."""

    def touch(
        self, stored: Stored[BulkEvent], due: int, *, owner: str, until: int, now: int, failures: int = 0
    ) -> None: ...


class Tallies(Protocol):
    """How often an offer's orders were cancelled, for which reasons."""

    def of(self, offer: str) -> Mapping[tuple[str, str], int]:
        """By what happened (``cancelled``, ``appealed``, ``overturned``) and reason."""


class Keys(Protocol):
    """Which deposit a key of such a route belongs to."""

    def deposit_of(self, scope: bytes) -> str | None: ...


class Vault(Protocol):
    """Secrets of the service: texts that only it can read, and tokens that only it can make."""

    def fingerprint(self, text: bytes) -> str:
        """The same for the same text, as long as the secret stands; it tells nothing about the text."""

    def seal(self, key: str, text: bytes) -> bytes: ...

    def unseal(self, key: str, sealed: bytes) -> bytes:
        """The text that was sealed under that key; LookupError when the secret is gone."""

    @property
    def token_key(self) -> str:
        """Names the secret that makes tokens now."""

    def token(self, deposit_id: str, token_key: str) -> str | None:
        """The withdrawal token of a deposit, the same each time; None when its secret is gone."""

    def holder(self, token: str) -> str | None:
        """The deposit whose withdrawal token this is, or None."""


Clock = Callable[[], int]


class Pace(Protocol):
    """Called before every call of the provider: waits until the next one is allowed."""

    def __call__(self) -> None: ...
