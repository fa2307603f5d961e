"""A sweep over queues in memory: whoever waits is reached, whatever stands before it, and many runs share the work."""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

import app
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.flows.ports.store import DUE_SHARDS, DuePage, Leased
from chalicelib.jobs import sweep
from chalicelib.jobs.sweep import RESERVE_MS, Report, Sweep, read_shards
from tests.store.builders import T0

ONE_ITEM_MS: Final = 250
ONE_RUN_MS: Final = 300_000


@dataclass
class Queue:
    """A due queue in memory and the worker of its items; each item takes a quarter of a second."""

    shards: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    shut: set[int] = field(default_factory=set)
    now: int = T0
    attended: list[str] = field(default_factory=list)
    pages: int = 0

    def add(self, shard: int, count: int, due: int = T0 - 1_000_000, name: str = "") -> list[str]:
        ids = [f"dep_{name or shard}_{n:05d}" for n in range(count)]
        rows = [(due + n, item_id) for n, item_id in enumerate(ids)]
        self.shards[shard] = sorted(self.shards.get(shard, []) + rows)
        return ids

    # What a sweep reads.

    def due(
        self, _queue: str, shard: int, until: int, limit: int, position: Mapping[str, Any] | None = None
    ) -> DuePage:
        self.pages += 1
        if shard in self.shut:
            raise Refused(Reason.BUSY, retry_after=1)
        rows = self.shards.get(shard, [])
        start = bisect_right(rows, position["row"]) if position is not None else 0
        found = [row for row in rows[start : start + limit] if row[0] <= until]
        last = {"row": found[-1]} if len(found) == limit else None
        return DuePage([item_id for _, item_id in found], last)

    # What it does.

    def process_due(self, item_id: str, _owner: str) -> bool:
        self.now += ONE_ITEM_MS
        if item_id in self.busy:
            raise Leased
        if item_id in self.broken:
            raise KeyError(item_id)
        self._put_off(item_id, None)
        self.attended.append(item_id)
        return True

    def push_back(self, item_id: str, _owner: str) -> int:
        if item_id in self.unreadable:
            raise KeyError(item_id)
        self._put_off(item_id, self.now + 1_000)
        return 1

    def _put_off(self, item_id: str, due: int | None) -> None:
        for shard, rows in self.shards.items():
            kept = [row for row in rows if row[1] != item_id]
            if len(kept) < len(rows):
                self.shards[shard] = sorted([*kept, (due, item_id)]) if due is not None else kept

    def run(self, owner: str = "job/1", shards: Sequence[int] | None = None, lasts: int = ONE_RUN_MS) -> Report:
        end = self.now + lasts
        deposits: Any = self
        job = Sweep("send_refunds", "work", deposits, {"dep": self}, lambda: self.now)
        return job.run(owner, lambda: end - self.now, shards)


# Fair.


@pytest.mark.parametrize("owner", ["job/1", "job/2", "job/3"])
@pytest.mark.parametrize("due", [T0 - 2_000_000, T0 - 1_000_000, T0], ids=["older", "as old", "younger"])
def test_one_refund_in_the_last_shard_is_reached_in_the_first_run_behind_ten_thousand_in_the_first(
    owner: str, due: int
) -> None:
    queue = Queue()
    queue.add(0, 10_000)
    [alone] = queue.add(15, 1, due)
    report = queue.run(owner)
    assert alone in queue.attended[:DUE_SHARDS]
    assert not report.finished, "the others wait for the next run"


def test_within_a_shard_the_oldest_goes_first() -> None:
    queue = Queue()
    ids = queue.add(3, 200)
    assert queue.run() == Report("send_refunds", attended=200)
    assert queue.attended == ids


def test_every_shard_gets_its_turn_before_one_gets_a_second() -> None:
    queue = Queue()
    for shard in range(DUE_SHARDS):
        queue.add(shard, 4)
    queue.run()
    turns = [queue.attended[n : n + DUE_SHARDS] for n in range(0, 4 * DUE_SHARDS, DUE_SHARDS)]
    for n, turn in enumerate(turns):
        assert sorted(turn) == sorted(f"dep_{shard}_{n:05d}" for shard in range(DUE_SHARDS))


def test_a_queue_longer_than_a_run_is_worked_off_by_the_next_runs() -> None:
    queue = Queue()
    for shard in range(DUE_SHARDS):
        queue.add(shard, 150)
    runs = 0
    while not queue.run(f"job/{runs}").finished:
        runs += 1
        assert runs < 4
    assert len(queue.attended) == len(set(queue.attended)) == DUE_SHARDS * 150


# Isolated.


@pytest.mark.parametrize("ahead", [1, 50, 120])
def test_what_stands_behind_busy_items_is_attended_and_the_busy_ones_are_not_forgotten(ahead: int) -> None:
    queue = Queue()
    queue.busy.update(queue.add(2, ahead))
    behind = queue.add(2, 10, T0 - 10, name="behind")
    report = queue.run()
    assert queue.attended == behind
    assert report == Report("send_refunds", attended=10, busy=ahead, finished=False)
    queue.busy.clear()
    assert queue.run() == Report("send_refunds", attended=ahead)


def test_what_stands_behind_broken_items_is_attended_and_they_are_pushed_back() -> None:
    queue = Queue()
    queue.broken.update(queue.add(2, 60))
    behind = queue.add(2, 10, T0 - 10, name="behind")
    assert queue.run() == Report("send_refunds", attended=10, failed=60)
    assert queue.attended == behind


def test_an_item_that_cannot_even_be_pushed_back_stops_nothing_and_stays_due() -> None:
    queue = Queue()
    lost = queue.add(2, 60)
    queue.broken.update(lost)
    queue.unreadable.update(lost)
    queue.add(2, 10, T0 - 10, name="behind")
    assert queue.run() == Report("send_refunds", attended=10, failed=60, finished=False)


def test_a_shard_that_cannot_be_read_stops_no_other_and_is_not_called_finished() -> None:
    queue = Queue(shut={0})
    queue.add(0, 3)
    queue.add(1, 3)
    assert queue.run() == Report("send_refunds", attended=3, busy=1, finished=False)


def test_an_item_that_is_due_again_at_once_waits_for_the_next_run() -> None:
    queue = Queue()
    queue.broken.update(queue.add(0, 1))
    queue.add(0, 100, T0 - 10, name="behind")
    assert queue.run().failed == 1


# Shared.


def test_runs_of_different_shards_meet_nowhere_and_leave_nothing() -> None:
    queue = Queue()
    for shard in range(DUE_SHARDS):
        queue.add(shard, 20)
    parts = [range(n, DUE_SHARDS, 4) for n in range(4)]
    reports = [queue.run(f"job/{n}", list(part)) for n, part in enumerate(parts)]
    assert [(report.attended, report.finished) for report in reports] == [(80, True)] * 4
    assert len(queue.attended) == len(set(queue.attended)) == DUE_SHARDS * 20
    for n, part in enumerate(parts):
        own = queue.attended[80 * n : 80 * n + 80]
        assert {int(item_id.split("_")[1]) for item_id in own} == set(part)


def test_four_workers_send_four_times_as_much_as_one() -> None:
    """Each has its own time; a quarter of the shards each is a quarter of the work."""

    def sent(workers: int) -> int:
        queue = Queue()
        for shard in range(DUE_SHARDS):
            queue.add(shard, 400)
        for n in range(workers):
            queue.now = T0
            queue.run(f"job/{n}", list(range(n, DUE_SHARDS, workers)))
        return len(set(queue.attended))

    alone = sent(1)
    assert alone == (ONE_RUN_MS - RESERVE_MS) // ONE_ITEM_MS + 1
    assert sent(4) == 4 * alone


def test_overlapping_runs_begin_at_different_shards() -> None:
    starts = {sweep.rotate(range(DUE_SHARDS), f"send_refunds/{n}")[0] for n in range(200)}
    assert starts == set(range(DUE_SHARDS))
    assert sorted(sweep.rotate(range(DUE_SHARDS), "job/7")) == list(range(DUE_SHARDS))


# Events that name shards.


def test_an_event_without_shards_means_all() -> None:
    assert read_shards({}) is None
    assert read_shards({"shards": [3, 0, 15]}) == [3, 0, 15]


@pytest.mark.parametrize("shards", [[], [16], [-1], ["1"], [True], [1, 1], "1", {}, 1, [1.0]])
def test_what_names_no_shards_is_an_error_and_not_all_of_them(shards: Any) -> None:
    with pytest.raises(ValueError, match="no shards"):
        read_shards({"shards": shards})


@pytest.mark.parametrize("job", ["send_refunds", "close_windows"])
@pytest.mark.parametrize(("detail", "shards"), [({}, None), ({"shards": [4, 5]}, [4, 5])])
def test_the_lambda_hands_the_named_shards_to_its_job(
    monkeypatch: pytest.MonkeyPatch, job: str, detail: Any, shards: Any
) -> None:
    given: list[Any] = []

    def run(_found: object, time_left: Callable[[], int], named: Any) -> Report:
        given.append((time_left(), named))
        return Report(job)

    monkeypatch.setattr(app, "services", lambda: None)
    monkeypatch.setattr(getattr(app, f"{job}_job"), "run", run)
    names = ("version", "account", "region", "detail-type", "source", "time", "id")
    event = {**dict.fromkeys(names, ""), "resources": [], "detail": detail}
    getattr(app, job)(event, Remaining())
    assert given == [(7, shards)]


class Remaining:
    """What Lambda says of the time."""

    def get_remaining_time_in_millis(self) -> int:
        return 7
