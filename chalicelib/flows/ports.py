"""What the flows need from outside, as they see it: journals that are appended to, stock that moves with them, a provider."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, Protocol

from chalicelib.core.bulk import Bulk, BulkEvent
from chalicelib.core.deposit import Deposit
from chalicelib.core.destination import Payee
from chalicelib.core.events import DepositEvent
from chalicelib.core.journal import E_co, Entry
from chalicelib.core.money import Money
from chalicelib.core.offer import Offer, OfferEvent
from chalicelib.core.ordering import Moved
from chalicelib.core.payment import PaymentSeen
from chalicelib.core.reconcile import Line
from chalicelib.core.refund import RefundSeen
from chalicelib.core.run import BreakEvent, BreakFound, Run, RunEvent, RunFailed, RunFinished
from chalicelib.core.terms import Terms


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


class Overtaken(Exception):
    """Somebody wrote first. Carries the item as they left it, our own events among them when it was us."""

    def __init__(self, stored: Stored[Any]) -> None:
        super().__init__(stored.id)
        self.stored = stored


class Contended(Exception):
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


@dataclass(frozen=True, slots=True)
class Shelved:
    """One shard of an offer's stock changes with a deposit."""

    offer: str
    batch: str
    moved: Moved


@dataclass(frozen=True, slots=True)
class Count:
    """Units counted against a buyer's limit, or given back. ``most`` is checked when counting up."""

    offer: str
    buyer: str
    units: int
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """A text of people, sealed; it stands beside the journal, which keeps its digest only."""

    key: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """An idempotency key whose route names the deposit in its body: it belongs to that deposit from now on."""

    scope: bytes
    deposit: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Events that the journal of another deposit takes in the same write, as it was read. ``after`` is that deposit then."""

    stored: Stored[DepositEvent]
    entries: tuple[Entry[DepositEvent], ...]
    after: Deposit


Happened = Literal["cancelled", "appealed", "overturned"]


@dataclass(frozen=True, slots=True)
class Tallied:
    """One more in the public count of an offer's cancellations."""

    offer: str
    what: Happened
    reason: str


Also = Shelved | Count | Keep | KeyTaken | Noted | Tallied


@dataclass(frozen=True, slots=True)
class Page(Generic[E_co]):
    """One page of a list and where the next one goes on, None at the end."""

    rows: tuple[Stored[E_co], ...]
    position: Mapping[str, object] | None


# A launch writes the due index three times a deposit; sixteen partitions carry sixteen thousand writes a second.
DUE_SHARDS: Final = 16


class Deposits(Protocol):
    """The journals of deposits."""

    def get(self, deposit_id: str) -> Stored[DepositEvent] | None: ...

    def create(
        self, deposit: Deposit, entries: Sequence[Entry[DepositEvent]], also: Sequence[Also], shard: int
    ) -> None:
        """Write the first events. Overtaken, Contended, StockShort, LimitFull; then nothing was written."""

    def append(
        self,
        stored: Stored[DepositEvent],
        entries: Sequence[Entry[DepositEvent]],
        after: Deposit,
        also: Sequence[Also],
    ) -> None:
        """Add events to the journal as it was read. Overtaken, Contended; then nothing was written."""

    def touch(
        self, stored: Stored[DepositEvent], due: int, *, owner: str, until: int, now: int, failures: int = 0
    ) -> None:
        """Push ``due`` and take the lease; the journal stays. Overtaken or Leased when that was not ours to do."""

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

    def due(self, queue: str, shard: int, until: int, limit: int) -> Sequence[str]:
        """The ids of what is due in one shard of a queue (``time`` or ``work``), earliest first."""


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


@dataclass(frozen=True, slots=True)
class Session:
    """The provider is ready to be paid at ``url``."""

    url: str


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider said no."""

    code: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer, or one we cannot read. Something may have happened: look, never send anew."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """The provider answered that it knows nothing of it."""


class Provider(Protocol):
    """A payment provider has three answers, accepted, declined and unknown; a look may also find nothing."""

    @property
    def name(self) -> str: ...

    @property
    def key_retention_ms(self) -> int:
        """How long a key is remembered: the same key sent again within this time has no second effect."""

    def open_session(self, payment_id: str, amount: Money, method: str) -> Session | Declined | Unknown: ...

    def find_payment(self, payment_id: str) -> PaymentSeen | NotFound | Unknown: ...

    def refund(self, key: str, payment_id: str, capture: str, amount: Money) -> RefundSeen | Unknown:
        """Ask for a refund to its source, under the key of its way (``core.refund.key``), whatever the attempt.

        A decline is a RefundSeen.
        """

    def pay_out(self, key: str, amount: Money, payee: Payee) -> RefundSeen | Unknown:
        """The same to an account that the buyer named."""

    def find_refund(self, key: str) -> RefundSeen | NotFound | Unknown:
        """What became of a refund or a payout, by its key."""

    def holder_of(self, bank: str, account: str) -> str | NotFound | Unknown:
        """In whose name the bank keeps an account; empty where it does not tell."""


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Some lines of a settlement report, ascending by ``core.reconcile.Line.place``; ``after`` None is the end."""

    lines: Sequence[Line]
    after: str | None


class Settlement(Protocol):
    """A provider's settlement report: one line for each executed capture, refund and payout, and for each return."""

    @property
    def settle_days(self) -> int | None:
        """By when a line shows, where the provider promises more than its routes do."""

    def page(self, start: int, end: int, shard: int, after: str, limit: int) -> ReportPage | Unknown:
        """The lines executed in the half-open span whose deposit falls into the shard, behind the place ``after``.

        The first page of the first shard begins a run: it shows what is reported by then. ValueError when the report
        is not readable.
        """


class Texts(Protocol):
    """Sealed texts of people, by key. They are written in the transaction of the event that names them."""

    def get(self, key: str) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class RunAt:
    """A run as it was read, and where its last slice stopped; ``cursors`` counts those stops."""

    stored: Stored[RunEvent]
    cursor: dict[str, Any] | None
    cursors: int


class Runs(Protocol):
    """Reconciliation runs and their breaks."""

    def get(self, run_id: str) -> RunAt | None: ...

    def create(self, run: Run, entry: Entry[RunEvent]) -> None:
        """Overtaken when the id exists, SpanTaken while another run compares the same span, Contended."""

    def checkpoint(
        self, at: RunAt, cursor: Mapping[str, Any], breaks: Sequence[BreakFound], owner: str, now: int, until: int
    ) -> RunAt:
        """Save the cursor together with the breaks found since the last one. Leased when another worker is at it."""

    def finish(self, at: RunAt, run: Run, event: RunFinished | RunFailed, now: int) -> None: ...

    def unfinished(self, now: int, limit: int) -> Sequence[str]: ...

    def listed(self, limit: int, position: Mapping[str, object] | None) -> Page[RunEvent]: ...

    def breaks(self, run_id: str, limit: int, position: Mapping[str, object] | None) -> Page[BreakEvent]: ...

    def get_break(self, break_id: str) -> Stored[BreakEvent] | None: ...

    def resolve(self, stored: Stored[BreakEvent], entry: Entry[BreakEvent], note: Keep | None) -> None: ...


class Bulks(Protocol):
    """Bulk cancellations by merchants."""

    def get(self, bulk_id: str) -> Stored[BulkEvent] | None: ...

    def create(self, bulk: Bulk, entry: Entry[BulkEvent], note: Keep | None) -> None:
        """Overtaken when the id exists, Contended."""

    def append(self, stored: Stored[BulkEvent], entry: Entry[BulkEvent], after: Bulk) -> None:
        """Overtaken, Contended; then nothing was written."""

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
