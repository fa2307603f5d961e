"""A shop, its bank and a reconciliation of both, on an engine in memory that can be copied, and a kill switch."""

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
from tests.flows.shop import Clock, Shop, fresh_key, new_buyer
from tests.simulator.dynamo import FakeDynamo
from tests.store.builders import T0

SPAN: Final = (T0 - DAY, T0 + 8 * DAY)
TODAY: Final = T0 + 9 * DAY
SERVICE: Final = Caller("usr_service", "service")
_numbers: Final = count(1)
Certificate = tuple[dict[str, Any], list[BreakFound]]


class Killed(BaseException):
    """The worker died; a BaseException, so that no handler catches it."""


@dataclass
class KillSwitch:
    """Counts the calls of guarded objects. Call number ``kill_at`` raises Killed, before the call or right after it."""

    kill_at: int = 0
    kill_after_call: bool = False
    calls: list[str] = field(default_factory=list)

    def guard(self, outer: Any) -> Any:
        return _Guarded(self, outer)


class _Guarded:
    """An object whose calls pass the switch."""

    def __init__(self, switch: KillSwitch, outer: Any) -> None:
        self._switch = switch
        self._outer = outer

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._outer, name)
        return self._guarded(name, attribute) if callable(attribute) else attribute

    def _guarded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **named: Any) -> Any:
            self._switch.calls.append(name)
            dies = len(self._switch.calls) == self._switch.kill_at
            if dies and not self._switch.kill_after_call:
                raise Killed(name)
            answer = call(*args, **named)
            if dies:
                raise Killed(name)
            return answer

        return guarded


class ReconciliationShop(Shop):
    """``switch`` guards the calls of the reconciliation only."""

    def __init__(
        self, tables: Tables, clock: Clock, bank: Bank | None = None, switch: KillSwitch | None = None
    ) -> None:
        self.tables = tables
        super().__init__(tables, clock.timing())
        self.clock = clock
        self.bank = bank if bank is not None else Bank(clock=clock)
        self.use_provider(self.bank)
        self._offered: Offered | None = None
        self.reconciliation, self.worker = self._build_reconciliation(switch or KillSwitch())

    def _build_reconciliation(self, switch: KillSwitch) -> tuple[Reconciliation, RunWorker]:
        tables, bank = self.tables._replace(client=switch.guard(self.tables.client)), switch.guard(self.bank)
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

    def copy(self, switch: KillSwitch | None = None) -> "ReconciliationShop":
        """An independent copy of the tables, the clock and the bank."""
        clock = Clock(self.clock.now)
        engine = self._engine.copied()
        engine.clock = clock
        bank = dataclasses.replace(
            self.bank,
            clock=clock,
            payments=dict(self.bank.payments),
            refunds=dict(self.bank.refunds),
            executed=list(self.bank.executed),
            lines=list(self.bank.lines),
            faults=copy.copy(self.bank.faults),
            calls=[],
        )
        client: Any = engine
        return ReconciliationShop(self.tables._replace(client=client), clock, bank, switch)

    def share(self, switch: KillSwitch | None = None) -> "ReconciliationShop":
        """Another container over the same tables, on the same clock."""
        return ReconciliationShop(self.tables, self.clock, self.bank, switch)

    # Stories.

    def place_order(self, at: int = T0, method: str = "card") -> str:
        self.clock.now = at
        if self._offered is None:
            self._offered = self.publish(units=None, payment={"methods": METHODS})
        return self.order(self._offered, new_buyer(), method=method).deposit.id

    def sell(self, at: int = T0, method: str = "card") -> str:
        deposit_id = self.place_order(at, method)
        self.settle_seen(child("pay", deposit_id, 1), self.bank.capture(child("pay", deposit_id, 1)))
        return deposit_id

    def settle_seen(self, payment_id: str, seen: Any) -> None:
        self.deposit_worker.settle(f"dep_{payment_id[4:30]}", seen, "event")

    def cancel_and_send(self, deposit_id: str, at: int, *faults: str) -> str:
        """The buyer cancels and the refund is sent. Returns its id."""
        self.clock.now = at
        self.bank.faults.extend(faults)
        self.cancel(deposit_id, Caller(self.deposit(deposit_id).created.buyer, "buyer"))
        self.deposit_worker.process_due(deposit_id, "job/1")
        assert not self.bank.faults
        return child("ref", deposit_id, 1)

    def sell_and_refund(self, *faults: str, at: int = T0 + 3 * DAY, method: str = "card") -> str:
        return self.cancel_and_send(self.sell(T0, method), at, *faults)

    def deposit(self, deposit_id: str) -> Deposit:
        return fold_stored(self.load(deposit_id))

    def refund_status(self, refund_id: str) -> str:
        return self.deposit(f"dep_{refund_id[4:30]}").refunds[0].status.value

    # Runs.

    def start(self, span: tuple[int, int] = SPAN, key_text: str | None = None, at: int | None = TODAY) -> RunView:
        self.clock.now = at if at is not None else self.clock.now
        asked = self.request_context(SERVICE, "runs", key_text or f"run {next(_numbers)}", f"{span}")
        return self.reconciliation.start(*span, asked)

    def work(self, owner: str = "job/r", left: int = 1_000_000) -> tuple[int, bool]:
        worked = self.worker.work(owner, lambda: left, 60_000)
        assert not worked.failed
        return worked[:2]

    def run_to_end(self, span: tuple[int, int] = SPAN) -> Certificate:
        """Start a run and work it to its end."""
        started = self.start(span)
        assert self.work() == (1, True)
        return self.certificate(started.run.id)

    def deposits_written(self) -> dict[str, list[Any]]:
        """Every event of every deposit, by id."""
        ids = [pk for pk in self._engine.items if pk.startswith("dep_")]
        return {item_id: [entry.event for entry in self.load(item_id).journal] for item_id in ids}

    def types_written(self) -> dict[str, list[str]]:
        return {item_id: [event.TYPE for event in events] for item_id, events in self.deposits_written().items()}

    def load_run(self, run_id: str) -> list[Any]:
        """Every event of a run."""
        at = self.runs.get(run_id)
        assert at is not None
        return [entry.event for entry in at.stored.journal]

    def certificate(self, run_id: str) -> Certificate:
        """The figures of a finished run and its breaks, without instants and the run's id."""
        run = self.reconciliation.find(run_id, "en").run
        finished = run.finished
        assert finished is not None, run.status
        breaks = [replace(item.found, run="") for item in self.breaks(run_id)]
        assert len(breaks) == finished.breaks
        return counts(finished), breaks

    def breaks(self, run_id: str) -> list[Break]:
        breaks: list[Break] = []
        position = None
        while True:
            page, position = self.reconciliation.list_breaks(run_id, 50, position)
            breaks += page
            if position is None:
                return breaks


def counts(finished: RunFinished) -> dict[str, Any]:
    names = ("ours", "provider", "matched", "repaired", "in_transit", "breaks", "balanced", "digest", "totals")
    return {name: getattr(finished, name) for name in names}


def shop_in_memory(lag: Callable[[], int] | None = None) -> ReconciliationShop:
    clock = Clock()
    engine: Any = FakeDynamo(clock, lag or (lambda: 0), counting=False)
    return ReconciliationShop(Tables(engine, "earnest", "sandbox"), clock)


def fresh() -> str:
    return fresh_key()
