"""Journals of bulk cancellations, and the public count: found when they are due, and each written once."""

from typing import Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.instants import HOUR
from chalicelib.core.common.journal import Entry
from chalicelib.core.merchant import bulk as bulks
from chalicelib.core.merchant.bulk import Bulk, BulkApproved, BulkAsked, BulkLapsed, BulkWorked, Result
from chalicelib.flows.ports.effects import ReasonCounted, SealedText
from chalicelib.flows.ports.store import DUE_SHARDS, VersionConflict
from chalicelib.store import stock
from chalicelib.store.bulks import BulkStore
from chalicelib.store.deposits import DepositStore
from chalicelib.store.tallies import TallyStore
from chalicelib.store.texts import TextStore
from tests.conftest import Tables
from tests.store.builders import STAFF, T0, entry, fresh, write

DEPOSITS: Final = ("dep_a", "dep_b")
UNTIL: Final = T0 + 72 * HOUR


class Drawer:
    """Bulk cancellations of one table."""

    def __init__(self, table: Tables) -> None:
        self.store = BulkStore(table.client, table.name)
        self.jobs = DepositStore(table.client, table.name, 0)
        self.texts = TextStore(table.client, table.name, lambda _: None)

    def asked(self, until: int | None) -> tuple[Bulk, Entry[BulkAsked]]:
        event = BulkAsked(
            T0, "off_1", "mer_shop", STAFF.id, DEPOSITS, "OUT_OF_STOCK", ("stock:1",), approve_until=until
        )
        return bulks.fold(fresh("bmc"), [event]), entry(event, STAFF)

    def due(self, bulk_id: str, at: int) -> bool:
        """Whether the job that closes windows meets it."""
        return any(bulk_id in self.jobs.due("time", shard, at, 100).ids for shard in range(DUE_SHARDS))


@pytest.fixture
def drawer(table: Tables) -> Drawer:
    return Drawer(table)


def test_one_that_waits_is_due_when_its_time_is_over(drawer: Drawer) -> None:
    made, begun = drawer.asked(UNTIL)
    drawer.store.create(made, begun, None)
    assert not drawer.due(made.id, UNTIL - 1)
    assert drawer.due(made.id, UNTIL)


def test_one_that_runs_is_due_at_once_and_one_that_is_done_never(drawer: Drawer) -> None:
    made, begun = drawer.asked(UNTIL)
    drawer.store.create(made, begun, None)
    stored = drawer.store.get(made.id)
    assert stored is not None
    running = bulks.evolve(made, BulkApproved(T0 + 1, "usr_second"))
    drawer.store.append(stored, entry(BulkApproved(T0 + 1, "usr_second")), running)
    assert not drawer.due(made.id, T0)
    assert drawer.due(made.id, T0 + 1)
    worked = BulkWorked(T0 + 2, tuple(Result(one, "cancelled") for one in DEPOSITS))
    stored = drawer.store.get(made.id)
    assert stored is not None
    drawer.store.append(stored, entry(worked), bulks.evolve(running, worked))
    assert not drawer.due(made.id, UNTIL)
    told = drawer.store.get(made.id)
    assert told is not None
    assert bulks.fold(made.id, (one.event for one in told.journal)) == bulks.evolve(running, worked)


@pytest.mark.parametrize("note", [None, SealedText("text#note", b"sealed")], ids=["alone", "with a note"])
def test_a_creation_happens_once_and_hands_back_what_is_there(drawer: Drawer, note: SealedText | None) -> None:
    made, begun = drawer.asked(None)
    drawer.store.create(made, begun, note)
    with pytest.raises(VersionConflict) as faster:
        drawer.store.create(made, replace(begun, received_at=T0 + 1), note)
    assert [one.event for one in faster.value.stored.journal] == [begun.event]
    if note is not None:
        assert drawer.texts.get(note.key) == note.sealed


def test_of_two_writers_one_is_overtaken(drawer: Drawer) -> None:
    made, begun = drawer.asked(UNTIL)
    drawer.store.create(made, begun, None)
    stored = drawer.store.get(made.id)
    assert stored is not None
    lapsed = BulkLapsed(UNTIL)
    drawer.store.append(stored, entry(lapsed), bulks.evolve(made, lapsed))
    with pytest.raises(VersionConflict) as faster:
        drawer.store.append(stored, entry(lapsed), bulks.evolve(made, lapsed))
    assert [one.event for one in faster.value.stored.journal] == [begun.event, lapsed]


def test_the_count_goes_up_by_one_for_each_reason_of_an_offer(table: Tables) -> None:
    tallies = TallyStore(table.client, table.name)
    assert tallies.of("off_1") == {}
    told = ["off_1 OUT_OF_STOCK", "off_1 OUT_OF_STOCK", "off_1 REGULATORY", "off_2 REGULATORY"]
    for offer, reason in map(str.split, told):
        assert write(table, stock.effect_action(table.name, ReasonCounted(offer, "cancelled", reason)))
    assert tallies.of("off_1") == {("cancelled", "OUT_OF_STOCK"): 2, ("cancelled", "REGULATORY"): 1}
    assert tallies.of("off_2") == {("cancelled", "REGULATORY"): 1}
