"""Builds everything once per container. The only reader of environment, clock and randomness."""

import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import boto3
from botocore.config import Config
from msgspec import Struct

from chalicelib.flows.cancellations import Cancellations
from chalicelib.flows.changes import Changes
from chalicelib.flows.claims import Claims
from chalicelib.flows.commit import Commits
from chalicelib.flows.defaults import Defaults
from chalicelib.flows.deposit_worker import DepositWorker
from chalicelib.flows.deposits import DepositDesk
from chalicelib.flows.offers import Catalogue
from chalicelib.flows.orders import Orders
from chalicelib.flows.passes import Passes
from chalicelib.flows.payees import Payees
from chalicelib.flows.ports.provider import Provider, Settlement
from chalicelib.flows.ports.store import Clock
from chalicelib.flows.questions import Questions
from chalicelib.flows.reconciliation.matching import Matcher
from chalicelib.flows.reconciliation.runs import Reconciliation
from chalicelib.flows.reconciliation.worker import RunWorker
from chalicelib.flows.refunds import Refunds
from chalicelib.flows.retry import Timing
from chalicelib.flows.stock_cache import StockCache
from chalicelib.flows.throttle import Throttle
from chalicelib.flows.withdrawals import Withdrawals
from chalicelib.store.bulks import BulkStore
from chalicelib.store.deposits import DepositStore
from chalicelib.store.keys import KeyStore
from chalicelib.store.offers import OfferStore
from chalicelib.store.runs import RunStore
from chalicelib.store.tallies import TallyStore
from chalicelib.store.texts import TextStore
from chalicelib.store.vault import Vault

# A request received before a deadline may still be running this long; what is irreversible is written after it.
GRACE_MS: Final = 60_000
MIN_PAUSE_MS: Final = 20
MAX_PAUSE_MS: Final = 400
# Providers allow about 25 calls a second; reconciliation keeps below that.
MIN_CALL_INTERVAL_MS: Final = 40

InstantOf = Callable[[int], int]


class Settings(Struct, frozen=True):
    """What the environment says. ``origins`` may hold ``*``; secrets are never logged."""

    table: str
    issuer: str
    audience: str
    jwks: str
    origins: tuple[str, ...]
    provider: str
    webhook_secrets: tuple[str, ...]
    secrets: tuple[str, ...]
    writes_per_minute: int | None
    reads_per_minute: int | None


def settings(default_writes: int | None = 600, default_reads: int | None = 6_000) -> Settings:
    """Read anew at each call; ``services`` keeps what it built. The defaults are requests a minute, None for no limit."""
    env = os.environ
    return Settings(
        table=env.get("EARNEST_TABLE", "earnest"),
        issuer=env.get("EARNEST_ISSUER", ""),
        audience=env.get("EARNEST_AUDIENCE", ""),
        jwks=env.get("EARNEST_JWKS", '{"keys":[]}'),
        origins=tuple(env.get("EARNEST_ORIGINS", "").split()),
        provider=env.get("EARNEST_PROVIDER", ""),
        webhook_secrets=tuple(env.get("EARNEST_WEBHOOK_SECRETS", "").split()),
        secrets=tuple(env.get("EARNEST_SECRETS", "").split()),
        writes_per_minute=_rate("EARNEST_WRITES_PER_MINUTE", default_writes),
        reads_per_minute=_rate("EARNEST_READS_PER_MINUTE", default_reads),
    )


def _rate(name: str, default: int | None) -> int | None:
    text = os.environ.get(name)
    return int(text) if text else default


def machine_clock() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def pause(sleeps: int) -> None:
    """Sleep with full jitter; the longest sleep doubles with each one before."""
    longest = min(MAX_PAUSE_MS, MIN_PAUSE_MS * 2 ** min(sleeps, 5))
    time.sleep(random.randrange(longest) / 1_000)  # noqa: S311 - spreading, not secrecy


def sleep(milliseconds: int) -> None:
    time.sleep(milliseconds / 1_000)


def fresh_run_id(job: str) -> str:
    """Names one run of a job; what it writes carries the name."""
    return f"{job}/{uuid.uuid4().hex[:12]}"


def dynamodb() -> Any:
    """One lazy low-level client. Endpoint and credentials are botocore's own business (AWS_ENDPOINT_URL_DYNAMODB)."""
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 3},
        connect_timeout=1,
        read_timeout=3,
        max_pool_connections=64,
        tcp_keepalive=True,
    )
    return boto3.client("dynamodb", config=config)


class Services(Struct, frozen=True):
    """Everything a handler needs, built from one set of settings.

    ``machine`` is the machine's clock, ``clock`` the rules'. ``at`` gives the rules' instant of a request that reached the
    edge at that instant of the machine's clock.
    """

    settings: Settings
    machine: Clock
    clock: Clock
    deposits: DepositStore
    offers: OfferStore
    catalogue: Catalogue
    orders: Orders
    desk: DepositDesk
    changes: Changes
    withdrawals: Withdrawals
    payees: Payees
    keys: KeyStore
    runs: RunStore
    passes: Passes
    questions: Questions
    cancellations: Cancellations
    claims: Claims
    vault: Vault
    provider: Provider
    settlement: Settlement
    pace: Callable[[], None]
    run_id: Callable[[str], str]
    at: InstantOf

    def deposit_worker(self, role: str = "service") -> DepositWorker:
        return DepositWorker(self.desk.commits, self.provider, self.payees, self.clock, role)

    @property
    def refunds(self) -> Refunds:
        return Refunds(self.desk.commits, self.deposit_worker(), self.payees, self.keys)

    @property
    def reconciliation(self) -> Reconciliation:
        return Reconciliation(self.desk.commits, self.runs, self._matcher, self.refunds, self.clock)

    @property
    def run_worker(self) -> RunWorker:
        return RunWorker(self.runs, self.deposits, self.settlement, self._matcher, self.clock, self.pace)

    @property
    def _matcher(self) -> Matcher:
        return Matcher(self.desk.commits, self.settlement, self.deposit_worker(), self.pace)

    @property
    def defaults(self) -> Defaults:
        return Defaults(self.desk, self.deposit_worker())


def build(found: Settings, client: Any) -> Services:
    """The services of a deployed container. LookupError names what is not set up."""
    if not found.secrets:
        raise LookupError("EARNEST_SECRETS is not set: withdrawals need a secret of the service")
    provider, settlement = _adapters(found)
    timing = Timing(now=machine_clock, pause=pause, grace_ms=GRACE_MS)
    pace = Throttle(MIN_CALL_INTERVAL_MS, machine_clock, sleep)
    return assembled(found, client, timing, provider, settlement, machine_clock, pace=pace)


def assembled(
    found: Settings,
    client: Any,
    timing: Timing,
    provider: Provider,
    settlement: Settlement,
    clock: Clock,
    run_id: Callable[[str], str] = fresh_run_id,
    pace: Callable[[], None] = lambda: None,
    at: InstantOf = lambda received: received,
) -> Services:
    """The object graph from its outer parts: client, time and provider."""
    deposits = DepositStore(client, found.table, timing.grace_ms)
    offers = OfferStore(client, found.table)
    catalogue = Catalogue(offers, timing)
    vault = Vault(found.secrets)
    commits, stock_cache = Commits(deposits, offers, timing), StockCache()
    texts, keys = TextStore(client, found.table, timing.pause), KeyStore(client, found.table)
    passes = Passes(commits)
    bulks, tallies = BulkStore(client, found.table), TallyStore(client, found.table)
    return Services(
        settings=found,
        machine=timing.now,
        clock=clock,
        deposits=deposits,
        offers=offers,
        catalogue=catalogue,
        orders=Orders(deposits, offers, catalogue, timing, stock_cache, passes, vault.token_key),
        desk=DepositDesk(commits),
        changes=Changes(commits, catalogue, stock_cache),
        withdrawals=Withdrawals(commits, texts, vault),
        payees=Payees(texts, vault),
        keys=keys,
        runs=RunStore(client, found.table),
        passes=passes,
        questions=Questions(commits, texts, vault),
        cancellations=Cancellations(commits, bulks, tallies, vault, clock),
        claims=Claims(commits, keys, texts, vault),
        vault=vault,
        provider=provider,
        settlement=settlement,
        pace=pace,
        run_id=run_id,
        at=at,
    )


def _adapters(found: Settings) -> tuple[Provider, Settlement]:
    """By the name of the payment provider. There is none yet; the sandbox is built by ``local.wiring``."""
    raise LookupError(f"no payment provider named {found.provider!r} is set up")


@cache
def _own() -> Services:
    """Built at the first request of a container."""
    return build(settings(), dynamodb())


_installed: list[Callable[[], Services]] = [_own]


def services() -> Services:
    """The services of this container."""
    return _installed[-1]()


@contextmanager
def installed(container: Callable[[], Services]) -> Iterator[None]:
    """Services from elsewhere, while the block runs: the simulator plays many containers in one process."""
    _installed.append(container)
    try:
        yield
    finally:
        _installed.pop()
