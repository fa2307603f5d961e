"""A worker keeps its lease as long as it works, stops in time, and leaves a cursor from which the next one goes on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.ids import child
from chalicelib.core.reconciliation.lines import Line
from chalicelib.core.reconciliation.run import RunStatus
from chalicelib.flows.reconciliation.worker import LEASE_MS, RunWorker
from tests.flows.bank import Bank
from tests.flows.ledger import SPAN, TODAY, ReconciliationShop, shop_in_memory
from tests.flows.shop import DAY, EARNEST, Clock
from tests.store.builders import T0

ONE_RUN_MS: Final = 300_000
RESERVE: Final = 60_000
OPEN_REFUNDS: Final = 62_500  # a million in sixteen shards
ONE_READ_MS: Final = 5


@dataclass
class Crowded:
    """One shard with very many deposits that owe a refund; ``rival`` tries to take the run away while they are read."""

    clock: Clock
    rival: Any = None
    read: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=lambda: [f"dep_{n:026d}" for n in range(OPEN_REFUNDS)])

    def owing(self, shard: int) -> Sequence[str]:
        return self.ids if shard == 3 else ()

    def get(self, deposit_id: str) -> None:
        self.clock.now += ONE_READ_MS
        self.read.append(deposit_id)
        if len(self.read) % 500 == 0:
            self.rival()

    def moved(self, *_: Any) -> Iterator[Line]:
        return iter(())


def work(ledger: ReconciliationShop, worker: RunWorker, owner: str) -> tuple[int, bool, int]:
    """What one Lambda of five minutes does; it must not be killed."""
    end = ledger.clock.now + ONE_RUN_MS
    worked = worker.work(owner, lambda: end - ledger.clock.now, RESERVE)
    assert ledger.clock.now < end, "it stopped in time"
    return worked


def test_a_shard_with_62500_open_refunds_ends_after_two_runs_and_each_is_read_once() -> None:
    ledger = shop_in_memory()
    crowded = Crowded(ledger.clock)
    deposits: Any = crowded
    worker = replace(ledger.worker, deposits=deposits)
    run_id = ledger.start().run.id
    taken: list[tuple[int, bool]] = []
    crowded.rival = lambda: taken.append(ledger.work("job/rival"))
    for n in count(1):
        if work(ledger, worker, f"job/{n}") == (1, True, 0):
            break
        at = ledger.runs.get(run_id)
        assert at is not None
        assert at.cursor is not None
        assert at.cursor["after"] == crowded.read[-1], "the next one goes on behind it"
        assert n < 3
    assert crowded.read == crowded.ids
    assert set(taken) == {(0, False)}, "nobody could take the run from a worker that was at it"
    assert ledger.reconciliation.find(run_id, "en").run.status is RunStatus.BALANCED


def strange_captures(ledger: ReconciliationShop, deposit_id: str, many: int) -> None:
    """Lines that the provider reports and, asked about each, does not know."""
    for n in range(many):
        ledger.bank.report("capture", child("pay", deposit_id, 1), f"strange{n:03d}", EARNEST, T0 + n)


def slowed(
    ledger: ReconciliationShop, monkeypatch: pytest.MonkeyPatch, look_ms: int, rival: Any = lambda: None
) -> None:
    """Each look at a payment takes so long."""
    find = Bank.find_payment

    def look(bank: Bank, payment_id: str) -> Any:
        ledger.clock.now += look_ms
        rival()
        return find(bank, payment_id)

    monkeypatch.setattr(Bank, "find_payment", look)


def test_a_lease_is_renewed_in_the_middle_of_a_deposit_that_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = shop_in_memory()
    strange_captures(ledger, ledger.sell(), 40)
    run_id = ledger.start().run.id
    taken: list[tuple[int, bool]] = []
    other = ledger.share()
    slowed(ledger, monkeypatch, 5_000, lambda: taken.append(other.work("job/rival")))
    assert work(ledger, ledger.worker, "job/1") == (1, True, 0)
    assert ledger.clock.now - TODAY >= 200_000 > LEASE_MS
    assert taken == [(0, False)] * 40
    assert ledger.certificate(run_id)[0]["breaks"] == 40


def test_a_slice_stops_between_two_deposits_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before so many lines or breaks were seen that a checkpoint is due."""
    ledger = shop_in_memory()
    for _ in range(30):
        strange_captures(ledger, ledger.sell(), 1)
    run_id = ledger.start().run.id
    slowed(ledger, monkeypatch, 20_000)
    slices = 1
    while work(ledger, ledger.worker, f"job/{slices}") != (1, True, 0):
        slices += 1
        assert slices < 10
    assert slices == 3, "30 looks of 20 s in slices of 240 s"
    assert ledger.certificate(run_id)[0]["breaks"] == 30


def test_when_time_is_over_no_other_run_is_begun() -> None:
    ledger = shop_in_memory()
    ledger.sell_and_refund()
    for end in (SPAN[1], SPAN[1] - DAY):
        ledger.start((SPAN[0], end))
    before = [ledger.runs.get(run_id) for run_id in ledger.runs.unfinished(ledger.clock(), 20)]
    assert ledger.work(left=0) == (0, False)
    after = [ledger.runs.get(one.stored.id) for one in before if one is not None]
    assert [one.cursors > 0 for one in after if one is not None] == [True, False]
    ledger.clock.now += LEASE_MS
    assert ledger.work() == (2, True)
