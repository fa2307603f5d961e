"""What a request leads to, and the deposit as its answer shows it."""

from msgspec import Struct

from chalicelib.core.common.journal import Entry
from chalicelib.core.deadlines import NEVER, catch_up
from chalicelib.core.deposit.clock import lock_at, status_at
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.lock import Lock
from chalicelib.core.deposit.status import Status
from chalicelib.core.policy.terms import Terms
from chalicelib.flows.images import Image
from chalicelib.flows.ports.effects import Stored


class Snapshot(Struct, frozen=True):
    """A deposit at the instant ``at``: ``deposit`` holds every event that is due by then, written or not."""

    deposit: Deposit
    at: int
    status: Status
    lock: Lock | None

    @property
    def etag(self) -> str:
        """The entity tag names the state, not the bytes of an answer."""
        return f'"{self.deposit.version}-{self.status.value}"'


def take_snapshot(deposit: Deposit, at: int, silent_until: int = NEVER) -> Snapshot:
    """The deposit caught up in memory; claims that the clock decides count up to ``silent_until``."""
    return snapshot_of(catch_up(deposit, at, at, silent_until)[1], at)


def snapshot_of(deposit: Deposit, at: int) -> Snapshot:
    """For a deposit that holds already what is due by ``at``."""
    return Snapshot(deposit, at, status_at(deposit, at), lock_at(deposit, at))


class Outcome(Struct, frozen=True):
    """What an answer is rendered from. ``deposit`` and ``journal`` are as written; ``snapshot`` is what the answer shows."""

    deposit: Deposit
    journal: tuple[Entry[DepositEvent], ...]
    snapshot: Snapshot
    locale: str
    terms: Terms
    replayed: bool = False

    @property
    def at(self) -> int:
        return self.snapshot.at

    @property
    def image(self) -> Image:
        """The journal as a command left it; the next command can start from it without reading again."""
        return Image(Stored(self.deposit.id, self.journal), self.deposit)
