"""Runs in the table: one for each span, a cursor that one worker moves, and breaks that are numbered once."""

from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY
from chalicelib.core.common.journal import Entry, Key
from chalicelib.core.reconciliation.run import BreakFound, BreakResolved, Run, RunEvent, RunFailed, finish_run, fold_run
from chalicelib.core.reconciliation.run import start_run as started
from chalicelib.core.reconciliation.tally import Tally
from chalicelib.flows.ports.effects import SealedText
from chalicelib.flows.ports.store import Leased, RunAt, SpanTaken, VersionConflict
from chalicelib.store.requests import ConditionFailed
from chalicelib.store.runs import MAX_BREAKS_TOGETHER, RunStore
from chalicelib.store.texts import TextStore
from tests.conftest import Tables
from tests.store.builders import STAFF, T0, entry, fresh, read_all_pages

NOW: Final = T0 + 9 * DAY
LEASE: Final = 120_000


class Died(BaseException):
    """The worker is gone."""


class Mortal:
    """A client whose worker dies after so many transactions; ``actions`` counts what was in each."""

    def __init__(self, client: Any, lives: int) -> None:
        self._client = client
        self._lives = lives
        self.actions: list[int] = []

    def transact_write_items(self, **request: Any) -> Any:
        if not self._lives:
            raise Died
        self._lives -= 1
        self.actions.append(len(request["TransactItems"]))
        return self._client.transact_write_items(**request)


class Office:
    """One run over eight days, and what its workers write."""

    def __init__(self, table: Tables) -> None:
        self.store = RunStore(table.client, table.name)
        self.texts = TextStore(table.client, table.name, lambda _: None)
        self.tally = Tally()

    def begin(self, run_id: str | None = None, start: int = T0, at: int = NOW) -> Run:
        event = started(at, start, T0 + 8 * DAY)
        run = fold_run(run_id or fresh("rec"), [event])
        self.store.create(run, entry(event, STAFF, key=Key(b"8 bytes.", b"8 bytes!")))
        return run

    def load(self, run: Run) -> RunAt:
        found = self.store.get(run.id)
        assert found is not None
        return found

    def save(
        self, at: RunAt, found: int = 0, owner: str = "job/1", now: int = NOW, until: int | None = None, **more: Any
    ) -> RunAt:
        """The next checkpoint, with so many breaks more."""
        breaks = [self.a_break(at.stored.id, self.tally.breaks + n) for n in range(1, found + 1)]
        self.tally.breaks += found
        cursor = {"shard": 3, "after": "body", "tally": self.tally.to_json(), **more}
        return self.store.checkpoint(at, cursor, breaks, owner, now, now + LEASE if until is None else until)

    def a_break(self, run_id: str, n: int, word: str = "ref") -> BreakFound:
        return BreakFound(NOW, run_id, "unknown_here", n, provider_ref=f"{word}_{n}")

    def dies(self, run: Run, found: int, word: str = "ref") -> None:
        """A worker that found so many breaks wrote those that go before the cursor, and died."""
        found_breaks = [self.a_break(run.id, n, word) for n in range(1, found + 1)]
        mortal = Mortal(self.store._client, lives=(found - 1) // MAX_BREAKS_TOGETHER)
        with pytest.raises(Died):
            RunStore(mortal, self.store._table).checkpoint(
                self.load(run), {"shard": 3}, found_breaks, "job/0", NOW - LEASE, NOW
            )

    def end(self, at: RunAt, run: Run, now: int = NOW + 1) -> None:
        self.store.finish(at, run, finish_run(now, self.tally), now)

    def refs(self, run: Run, limit: int = 40) -> list[str]:
        rows = read_all_pages(lambda position: self.store.breaks(run.id, limit, position))
        return [row.journal[0].event.provider_ref for row in rows]


@pytest.fixture
def office(table: Tables) -> Office:
    return Office(table)


def numbered(count: int) -> list[str]:
    return [f"ref_{n}" for n in range(1, count + 1)]


# Creation.


def test_a_run_is_read_as_it_was_written(office: Office) -> None:
    run = office.begin()
    at = office.load(run)
    assert fold_run(run.id, [one.event for one in at.stored.journal]) == run
    assert (at.cursor, at.cursors) == (None, 0)
    [first] = at.stored.journal
    assert (first.by, first.key) == (STAFF, Key(b"8 bytes.", b"8 bytes!"))
    assert office.store.get(fresh("rec")) is None


def test_the_same_run_is_created_once(office: Office) -> None:
    run = office.begin()
    with pytest.raises(VersionConflict) as ours:
        office.begin(run.id, at=NOW + 1)
    assert ours.value.stored == office.load(run).stored


def test_a_span_is_compared_by_one_run_at_a_time(office: Office) -> None:
    run = office.begin()
    late = fresh("rec")
    with pytest.raises(SpanTaken) as taken:
        office.begin(late)
    assert taken.value.run == run.id
    assert office.store.get(late) is None
    office.begin(start=T0 + 1)


@pytest.mark.parametrize("failed", [False, True])
def test_a_span_is_free_again_when_its_run_is_over(office: Office, failed: bool) -> None:
    run = office.begin()
    at = office.load(run)
    if failed:
        office.store.finish(at, run, RunFailed(NOW + 1, "report_unavailable"), NOW + 1)
    else:
        office.end(at, run)
    office.begin()


def test_who_has_ended_frees_no_span_of_another(office: Office) -> None:
    """A worker who comes late finds that its run is over; the span is another run's by now."""
    run = office.begin()
    at = office.load(run)
    office.end(at, run)
    other = office.begin()
    with pytest.raises(Leased):
        office.end(at, run, NOW + 2)
    with pytest.raises(SpanTaken) as taken:
        office.begin()
    assert taken.value.run == other.id


# Checkpoints.


def test_a_cursor_is_read_as_it_was_saved_and_counted(office: Office) -> None:
    run = office.begin()
    at = office.save(office.load(run), found=2)
    assert at == office.load(run)
    assert at.cursors == 1
    assert at.cursor == {"shard": 3, "after": "body", "tally": office.tally.to_json()}
    later = office.save(at, found=1, after={"at": 1, "id": "dep_1"})
    assert later.cursors == 2
    assert later == office.load(run)
    assert office.refs(run) == numbered(3)


def test_a_checkpoint_adds_nothing_to_the_journal(office: Office) -> None:
    run = office.begin()
    office.save(office.load(run), found=1)
    assert [one.event.TYPE for one in office.load(run).stored.journal] == ["run.started"]


LEASES: Final = [
    # who comes, how long after the lease was taken; whether the cursor is theirs to move
    ("job/1", 0, True),
    ("job/1", LEASE, True),
    ("job/2", 0, False),
    ("job/2", LEASE - 1, False),
    ("job/2", LEASE, True),
]


@pytest.mark.parametrize(("owner", "later", "may"), LEASES)
def test_a_lease_is_respected_until_it_is_past(office: Office, owner: str, later: int, may: bool) -> None:
    run = office.begin()
    at = office.save(office.load(run), found=1)
    if may:
        office.save(at, found=1, owner=owner, now=NOW + later)
        assert office.refs(run) == numbered(2)
    else:
        with pytest.raises(Leased):
            office.save(at, found=1, owner=owner, now=NOW + later)
        assert office.refs(run) == numbered(1)
        assert office.load(run) == at


@pytest.mark.parametrize("owner", ["job/1", "job/2"])
def test_an_old_cursor_moves_nothing_not_even_for_its_own_worker(office: Office, owner: str) -> None:
    run = office.begin()
    first = office.load(run)
    second = office.save(first)
    with pytest.raises(Leased):
        office.save(first, found=1, owner=owner, now=NOW + LEASE)
    office.tally.breaks = 0
    assert office.load(run) == second
    assert office.refs(run) == []


def test_a_checkpoint_of_a_run_that_is_over_is_refused(office: Office) -> None:
    run = office.begin()
    at = office.save(office.load(run))
    office.end(at, run)
    with pytest.raises(Leased):
        office.save(at, found=1, now=NOW + LEASE)
    assert office.refs(run) == []


def test_who_was_overtaken_does_not_finish(office: Office) -> None:
    run = office.begin()
    old = office.save(office.load(run))
    office.save(old, owner="job/2", now=NOW + LEASE)
    with pytest.raises(Leased):
        office.end(old, run)
    assert len(office.load(run).stored.journal) == 1


def test_a_run_that_stopped_is_found_until_it_is_over(office: Office) -> None:
    run = office.begin()
    assert office.store.unfinished(NOW - 1, 20) == []
    assert office.store.unfinished(NOW, 20) == [run.id]
    at = office.save(office.load(run), now=NOW + 5)
    assert office.store.unfinished(NOW + 5, 20) == [run.id]
    office.end(at, run)
    assert office.store.unfinished(NOW + DAY, 20) == []


def test_runs_are_listed_newest_first_also_when_they_are_over(office: Office) -> None:
    runs = [office.begin(start=T0 + n, at=NOW + n) for n in range(5)]
    office.end(office.load(runs[2]), runs[2])
    listed = read_all_pages(lambda position: office.store.listed(2, position))
    assert [row.id for row in listed] == [run.id for run in reversed(runs)]


# Breaks.


@pytest.mark.parametrize("found", [1, MAX_BREAKS_TOGETHER, MAX_BREAKS_TOGETHER + 1, 2 * MAX_BREAKS_TOGETHER + 5])
def test_breaks_are_listed_in_the_order_in_which_they_were_found(office: Office, found: int) -> None:
    run = office.begin()
    at = office.save(office.load(run), found=found)
    office.save(at, found=3)
    assert office.refs(run) == numbered(found + 3)


def test_breaks_of_another_run_are_its_own(office: Office) -> None:
    one, other = office.begin(), office.begin(start=T0 + 1)
    office.save(office.load(one), found=2)
    office.tally = Tally()
    office.save(office.load(other), found=1)
    assert (len(office.refs(one)), len(office.refs(other))) == (2, 1)


@pytest.mark.parametrize("fewer", [0, 1, MAX_BREAKS_TOGETHER])
def test_a_slice_that_is_done_again_replaces_what_the_one_that_died_had_written(office: Office, fewer: int) -> None:
    """More than fit into one transaction are written before it, and some of them may have been repaired meanwhile."""
    run = office.begin()
    found = 2 * MAX_BREAKS_TOGETHER + 4
    office.dies(run, found, "former")
    assert office.load(run).cursor is None, "it stays where it was"
    office.save(office.load(run), found=found - fewer)
    assert office.refs(run)[: found - fewer] == numbered(found - fewer)


@pytest.mark.parametrize("found", [MAX_BREAKS_TOGETHER, 3 * MAX_BREAKS_TOGETHER + 1])
def test_no_transaction_has_more_than_a_hundred_actions(office: Office, found: int) -> None:
    run = office.begin()
    at, client = office.load(run), Mortal(office.store._client, lives=9)
    breaks = [office.a_break(run.id, n) for n in range(1, found + 1)]
    RunStore(client, office.store._table).checkpoint(at, {"shard": 3}, breaks, "job/1", NOW, NOW + LEASE)
    assert max(client.actions) <= 100
    assert sum(client.actions) == found + len(client.actions)


@pytest.mark.parametrize("found", [1, MAX_BREAKS_TOGETHER + 5, 2 * MAX_BREAKS_TOGETHER + 5])
def test_a_slow_worker_overwrites_no_break_of_the_one_that_took_over(office: Office, found: int) -> None:
    run = office.begin()
    slow = office.save(office.load(run))
    office.save(office.load(run), found=found, owner="job/2", now=NOW + LEASE)
    others = [office.a_break(run.id, n, "slow") for n in range(1, found + 1)]
    for late in (0, LEASE):
        with pytest.raises(Leased):
            office.store.checkpoint(slow, {"shard": 9}, others, "job/1", NOW + LEASE + late, NOW + 3 * LEASE)
        assert office.refs(run) == numbered(found)


def test_a_break_that_was_counted_is_never_replaced(office: Office) -> None:
    """Not even by the worker that has the run: to take a number twice is a bug, and it is told as one."""
    run = office.begin()
    at = office.save(office.load(run), found=2)
    again = [office.a_break(run.id, 2, "again")]
    with pytest.raises(ConditionFailed):
        office.store.checkpoint(at, {"shard": 4}, again, "job/1", NOW, NOW + LEASE)
    assert office.refs(run) == numbered(2)
    assert office.load(run) == at


def test_a_break_is_resolved_once_and_its_note_is_kept_with_it(office: Office) -> None:
    run = office.begin()
    office.save(office.load(run), found=1)
    [found] = office.store.breaks(run.id, 10, None).rows
    resolved: Entry[Any] = entry(BreakResolved(NOW, "write_off", "digest"), STAFF)
    office.store.resolve(found, resolved, SealedText(f"text#{found.id}", b"sealed"))
    after = office.store.get_break(found.id)
    assert after is not None
    assert after.journal == (*found.journal, resolved)
    assert office.texts.get(f"text#{found.id}") == b"sealed"
    for note in (None, SealedText(f"text#{found.id}", b"other")):
        with pytest.raises(VersionConflict) as faster:
            office.store.resolve(found, resolved, note)
        assert faster.value.stored == after
    assert office.texts.get(f"text#{found.id}") == b"sealed"
    assert office.refs(run) == numbered(1), "it stays in the list"


def test_a_resolution_without_a_note_keeps_nothing(office: Office) -> None:
    run = office.begin()
    office.save(office.load(run), found=1)
    [found] = office.store.breaks(run.id, 10, None).rows
    office.store.resolve(found, entry(BreakResolved(NOW, "write_off"), STAFF), None)
    assert office.texts.get(f"text#{found.id}") is None
    assert office.store.get_break(fresh("brk")) is None


def test_every_event_of_a_run_has_its_reader(office: Office) -> None:
    run = office.begin()
    at = office.save(office.load(run), found=1)
    office.end(at, run)
    kinds: list[type[RunEvent]] = [type(one.event) for one in office.load(run).stored.journal]
    assert [kind.TYPE for kind in kinds] == ["run.started", "run.finished"]
    finished = fold_run(run.id, [one.event for one in office.load(run).stored.journal]).finished
    assert finished == finish_run(NOW + 1, office.tally)
