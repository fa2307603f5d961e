"""A shop, its bank and a reconciliation over both, on an engine in memory that can be copied, and an axe for it."""

import copy
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from msgspec.structs import replace

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY
from chalicelib.core.common.journal import Caller
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.reconciliation.run import Break, BreakFound, RunFinished
from chalicelib.flows.deposit_worker import DepositWorker
from chalicelib.flows.images import fold_stored
from chalicelib.flows.offers import Offered
from chalicelib.flows.reconciliation.matching import Matcher
from chalicelib.flows.reconciliation.runs import Reconciliation, RunView
from chalicelib.flows.reconciliation.worker import RunWorker
from chalicelib.flows.refunds import Refunds
from chalicelib.store.runs import RunStore
from tests.conftest import Tables
from tests.flows.bank import Bank
from tests.flows.refund_shop import METHODS
from tests.flows.shop import Clock, Shop, fresh_key, person
from tests.simulator.dynamo import FakeDynamo
from tests.store.builders import T0

SPAN: Final = (T0 - DAY, T0 + 8 * DAY)
TODAY: Final = T0 + 9 * DAY
SERVICE: Final = Caller("usr_service", "service")
_numbers: Final = count(1)
Certificate = tuple[dict[str, Any], list[BreakFound]]


class Killed(BaseException):
    """The worker died; nothing of it can catch that."""


@dataclass
class Axe:
    """Every call of the outer world passes here; the one that is ``fatal`` kills, before it is done or right after."""

    fatal: int = 0
    after: bool = False
    calls: list[str] = field(default_factory=list)

    def over(self, outer: Any) -> Any:
        return _Handle(self, outer)


class _Handle:
    """Stands for something outer."""

    def __init__(self, axe: Axe, outer: Any) -> None:
        self._axe = axe
        self._outer = outer

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._outer, name)
        return self._guarded(name, found) if callable(found) else found

    def _guarded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **named: Any) -> Any:
            self._axe.calls.append(name)
            dies = len(self._axe.calls) == self._axe.fatal
            if dies and not self._axe.after:
                raise Killed(name)
            answer = call(*args, **named)
            if dies:
                raise Killed(name)
            return answer

        return guarded


class Ledger(Shop):
    """``axe`` hangs over the calls of the reconciliation alone."""

    def __init__(self, tables: Tables, clock: Clock, bank: Bank | None = None, axe: Axe | None = None) -> None:
        self.tables = tables
        super().__init__(tables, clock.timing())
        self.clock = clock
        self.bank = bank if bank is not None else Bank(clock=clock)
        self.served_by(self.bank)
        self._offered: Offered | None = None
        self.reconciliation, self.worker = self._compares(axe or Axe())

    def _compares(self, axe: Axe) -> tuple[Reconciliation, RunWorker]:
        tables, bank = self.tables._replace(client=axe.over(self.tables.client)), axe.over(self.bank)
        shop = Shop(tables, self.timing)
        worker = DepositWorker(shop.commits, bank, shop.payees, self.clock)
        refunds = Refunds(shop.commits, worker, shop.payees, shop.keys)
        self.runs = RunStore(tables.client, tables.name)
        matcher = Matcher(shop.commits, bank, worker, lambda: None)
        return (
            Reconciliation(shop.commits, self.runs, matcher, refunds, self.clock),
            RunWorker(self.runs, shop.store, bank, matcher, self.clock, lambda: None),
        )

    @property
    def _engine(self) -> FakeDynamo:
        engine: Any = self.tables.client
        assert isinstance(engine, FakeDynamo)
        return engine

    def copied(self, axe: Axe | None = None) -> "Ledger":
        """The same world once more; what happens in it stays there."""
        clock = Clock(self.clock.now)
        twin = self._engine.copied()
        twin.clock = clock
        bank = dataclasses.replace(
            self.bank,
            clock=clock,
            payments=dict(self.bank.payments),
            refunds=dict(self.bank.refunds),
            executed=list(self.bank.executed),
            lines=list(self.bank.lines),
            faults=copy.copy(self.bank.faults),
            asked=[],
        )
        client: Any = twin
        return Ledger(self.tables._replace(client=client), clock, bank, axe)

    def sharing(self, axe: Axe | None = None) -> "Ledger":
        """Another container over the same tables, on the same clock."""
        return Ledger(self.tables, self.clock, self.bank, axe)

    # Stories.

    def ordered(self, at: int = T0, method: str = "card") -> str:
        self.clock.now = at
        if self._offered is None:
            self._offered = self.publish(units=None, payment={"methods": METHODS})
        return self.order(self._offered, person(), method=method).deposit.id

    def sold(self, at: int = T0, method: str = "card") -> str:
        deposit_id = self.ordered(at, method)
        self.heard(child("pay", deposit_id, 1), self.bank.take(child("pay", deposit_id, 1)))
        return deposit_id

    def heard(self, payment_id: str, seen: Any) -> None:
        self.deposit_worker.settle(f"dep_{payment_id[4:30]}", seen, "event")

    def ended(self, deposit_id: str, at: int, *faults: str) -> str:
        """Cancelled by the buyer, and the refund sent; its id."""
        self.clock.now = at
        self.bank.faults.extend(faults)
        self.cancel(deposit_id, Caller(self.deposit(deposit_id).created.buyer, "buyer"))
        self.deposit_worker.process_due(deposit_id, "job/1")
        assert not self.bank.faults
        return child("ref", deposit_id, 1)

    def refunded(self, *faults: str, at: int = T0 + 3 * DAY, method: str = "card") -> str:
        return self.ended(self.sold(T0, method), at, *faults)

    def deposit(self, deposit_id: str) -> Deposit:
        return fold_stored(self.load(deposit_id))

    def refund_status(self, refund_id: str) -> str:
        return self.deposit(f"dep_{refund_id[4:30]}").refunds[0].status.value

    # Runs.

    def start(self, span: tuple[int, int] = SPAN, key_text: str | None = None, at: int | None = TODAY) -> RunView:
        self.clock.now = at if at is not None else self.clock.now
        asked = self.asked(SERVICE, "runs", key_text or f"run {next(_numbers)}", f"{span}")
        return self.reconciliation.start(*span, asked)

    def work(self, owner: str = "job/r", left: int = 1_000_000) -> tuple[int, bool]:
        worked = self.worker.work(owner, lambda: left, 60_000)
        assert not worked.failed
        return worked[:2]

    def reconciled(self, span: tuple[int, int] = SPAN) -> Certificate:
        """A run from its beginning to its end."""
        started = self.start(span)
        assert self.work() == (1, True)
        return self.certificate(started.run.id)

    def deposits_written(self) -> dict[str, list[Any]]:
        """Every event of every deposit."""
        ids = [pk for pk in self._engine.items if pk.startswith("dep_")]
        return {one: [entry.event for entry in self.load(one).journal] for one in ids}

    def types_written(self) -> dict[str, list[str]]:
        return {one: [event.TYPE for event in events] for one, events in self.deposits_written().items()}

    def load_run(self, run_id: str) -> list[Any]:
        """Every event of a run."""
        at = self.runs.get(run_id)
        assert at is not None
        return [entry.event for entry in at.stored.journal]

    def certificate(self, run_id: str) -> Certificate:
        """What a run certified, without its instant and its name, and what it found."""
        shown = self.reconciliation.find(run_id, "en")
        finished = shown.run.finished
        assert finished is not None, shown.run.status
        found = [replace(one.found, run="") for one in self.breaks(run_id)]
        assert len(found) == finished.breaks
        return counts(finished), found

    def breaks(self, run_id: str) -> list[Break]:
        found: list[Break] = []
        position = None
        while True:
            page, position = self.reconciliation.list_breaks(run_id, 50, position)
            found += page
            if position is None:
                return found


def counts(finished: RunFinished) -> dict[str, Any]:
    names = ("ours", "provider", "matched", "repaired", "in_transit", "breaks", "balanced", "digest", "totals")
    return {name: getattr(finished, name) for name in names}


def in_memory(lag: Callable[[], int] | None = None) -> Ledger:
    clock = Clock()
    engine: Any = FakeDynamo(clock, lag or (lambda: 0), counting=False)
    return Ledger(Tables(engine, "earnest", "sandbox"), clock)


def fresh() -> str:
    return fresh_key()
