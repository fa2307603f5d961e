"""A journal on both engines: begun once, added to under its version, touched under its lease, listed page by page."""

from itertools import product
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings

from chalicelib.core.deposit import fold
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.payment import PaymentFailed, PaymentPending
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.store import Leased, VersionConflict
from chalicelib.store import offers
from chalicelib.store.journals import Journals
from tests.conftest import Tables
from tests.store.builders import T0, any_journal, entry, fresh, new_deposit, read_all_pages
from tests.store.faults import inject_faults

KINDS: Final = {**fold.KINDS, **offers.KINDS}
EVENTS: Final = sorted(KINDS.values(), key=lambda kind: kind.TYPE)
DUE: Final = {"due_shard": {"S": "time#00"}, "due": {"N": f"{T0}"}}


@pytest.fixture
def journals(table: Tables) -> Journals[Any]:
    return Journals(table.client, table.name, KINDS)


@pytest.fixture
def stored(journals: Journals[Any]) -> Stored[DepositEvent]:
    """A deposit's journal with one event, due at T0."""
    deposit, entries = new_deposit()
    journals.put(journals.begin_action(deposit.id, entries, DUE))
    return found(journals, deposit.id)


def found(journals: Journals[Any], item_id: str) -> Stored[Any]:
    one = journals.get(item_id)
    assert one is not None
    return one


def add(journals: Journals[Any], stored: Stored[Any], *events: DepositEvent, **indexed: Any) -> None:
    journals.update(journals.append_action(stored, [entry(event) for event in events], indexed or DUE))


def touch(journals: Journals[Any], stored: Stored[Any], owner: str, *, now: int, until: int, failures: int = 0) -> None:
    journals.touch(stored, T0 + 5, owner=owner, until=until, now=now, failures=failures)


@given(journal=any_journal(EVENTS))
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_journal_comes_back_as_it_was_begun(journals: Journals[Any], journal: Any) -> None:
    item_id = fresh("dep")
    journals.put(journals.begin_action(item_id, journal, {}))
    assert journals.get(item_id) == Stored(item_id, journal)


@given(journal=any_journal(EVENTS))
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_journal_comes_back_as_it_was_added_to(journals: Journals[Any], journal: Any) -> None:
    item_id = fresh("dep")
    journals.put(journals.begin_action(item_id, journal[:1], {}))
    journals.update(journals.append_action(found(journals, item_id), journal[1:], {}))
    assert journals.get(item_id) == Stored(item_id, journal)


def test_what_was_never_begun_is_none(journals: Journals[Any]) -> None:
    assert journals.get(fresh("dep")) is None


def test_a_journal_begins_once_and_the_second_sees_the_first(journals: Journals[Any], stored: Stored[Any]) -> None:
    _, entries = new_deposit(stored.id, method="alipay")
    with pytest.raises(VersionConflict) as faster:
        journals.put(journals.begin_action(stored.id, entries, {}))
    assert faster.value.stored == stored
    assert journals.get(stored.id) == stored


def test_of_two_who_add_to_the_same_image_the_second_sees_what_the_first_wrote(
    journals: Journals[Any], stored: Stored[Any]
) -> None:
    add(journals, stored, PaymentPending(T0 + 1, 1), PaymentFailed(T0 + 2, 1))
    with pytest.raises(VersionConflict) as faster:
        add(journals, stored, PaymentFailed(T0 + 3, 1))
    assert [one.event for one in faster.value.stored.journal[1:]] == [
        PaymentPending(T0 + 1, 1),
        PaymentFailed(T0 + 2, 1),
    ]
    assert journals.get(stored.id) == faster.value.stored


def test_the_stream_can_tell_which_events_are_new(table: Tables, journals: Journals[Any], stored: Stored[Any]) -> None:
    def told() -> tuple[str, str]:
        item = table.client.get_item(TableName=table.name, Key={"pk": {"S": stored.id}})["Item"]
        return item["v"]["N"], item["n"]["N"]

    assert told() == ("1", "1")
    add(journals, stored, PaymentPending(T0, 1), PaymentFailed(T0, 1))
    assert told() == ("3", "2")
    touch(journals, found(journals, stored.id), "job", now=T0, until=T0)
    assert told() == ("3", "0")


LEASES = [
    # who held it, until when; who asks at T0; whether it is theirs now
    (None, 0, "job/1", True),
    ("job/2", T0, "job/1", True),  # past: half-open, it ended at this instant
    ("job/2", T0 + 1, "job/1", False),
    ("job/1", T0 + 1, "job/1", True),  # ours: the answer may have been lost
]  # fmt: skip


@pytest.mark.parametrize(("holder", "until", "asks", "theirs"), LEASES)
def test_a_lease_is_taken_when_it_is_free_past_or_ours(
    journals: Journals[Any], stored: Stored[Any], holder: str | None, until: int, asks: str, theirs: bool
) -> None:
    if holder is not None:
        touch(journals, stored, holder, now=T0 - 1, until=until)
    if theirs:
        touch(journals, stored, asks, now=T0, until=T0 + 60)
    else:
        with pytest.raises(Leased):
            touch(journals, stored, asks, now=T0, until=T0 + 60)
    left = found(journals, stored.id)
    assert (left.journal, left.version, left.due) == (stored.journal, stored.version, T0 + 5)


def test_a_touch_of_an_old_image_sees_who_was_faster_even_where_a_lease_is_held(
    journals: Journals[Any], stored: Stored[Any]
) -> None:
    add(journals, stored, PaymentPending(T0, 1))
    touch(journals, found(journals, stored.id), "job/2", now=T0, until=T0 + 60)
    with pytest.raises(VersionConflict) as faster:
        touch(journals, stored, "job/1", now=T0, until=T0 + 60)
    assert faster.value.stored.version == 2


def test_an_append_gives_the_lease_back_and_forgets_failures(journals: Journals[Any], stored: Stored[Any]) -> None:
    touch(journals, stored, "job/2", now=T0, until=T0 + 60, failures=3)
    failing = found(journals, stored.id)
    assert failing.failures == 3
    add(journals, failing, PaymentPending(T0, 1))
    again = found(journals, stored.id)
    assert again.failures == 0
    touch(journals, again, "job/1", now=T0, until=T0 + 60)


def test_nothing_without_a_due_time_is_leased(journals: Journals[Any], stored: Stored[Any]) -> None:
    journals.update(journals.append_action(stored, [entry(PaymentPending(T0, 1))], {}))
    done = found(journals, stored.id)
    assert done.due is None
    with pytest.raises(Leased):
        touch(journals, done, "job/1", now=T0, until=T0 + 60)
    assert journals.get(stored.id) == done


SPREADS = [
    # instants of the rows of each partition
    {"buyer#1": [1, 2, 3, 4, 5, 6, 7]},
    {"buyer#1": [5, 5, 5, 5, 5, 5, 5]},
    {"buyer#1": [1, 5, 5, 9], "buyer#2": [5, 5, 5], "buyer#3": [], "buyer#4": [0, 9, 9]},
]  # fmt: skip


@pytest.mark.parametrize("spread", SPREADS)
def test_pages_over_partitions_lose_and_repeat_nothing(journals: Journals[Any], spread: dict[str, list[int]]) -> None:
    wanted = {}
    for partition, instants in spread.items():
        for at in instants:
            deposit, entries = new_deposit()
            journals.put(
                journals.begin_action(deposit.id, entries, {"by_buyer": {"S": partition}, "created": {"N": f"{at}"}})
            )
            wanted[deposit.id] = at

    def listed(limit: int, newest_first: bool) -> list[str]:
        rows = read_all_pages(
            lambda at: journals.page("by_buyer", [*spread], "created", limit, at, newest_first=newest_first)
        )
        return [row.id for row in rows]

    for limit, newest_first in product([1, 3, len(wanted)], [True, False]):
        ids = listed(limit, newest_first)
        assert sorted(ids) == sorted(wanted)
        assert [wanted[id_] for id_ in ids] == sorted(wanted.values(), reverse=newest_first)


def test_an_empty_list_is_one_empty_page(journals: Journals[Any]) -> None:
    page = journals.page("by_buyer", ["buyer#1"], "created", 20, None)
    assert (page.rows, page.position) == ((), None)


@pytest.mark.parametrize("count", [100, 101])
def test_a_batch_of_any_size_is_read_whole(journals: Journals[Any], count: int) -> None:
    ids = [fresh("dep") for _ in range(count)]
    _, entries = new_deposit()
    for item_id in ids[:2] + ids[-1:]:
        journals.put(journals.begin_action(item_id, entries, {}))
    assert set(journals.get_many(ids)) == {*ids[:2], ids[-1]}


@pytest.mark.parametrize("dynamodb", ["ministack"], indirect=True)
def test_what_a_batch_did_not_process_is_asked_for_again(table: Tables) -> None:
    with inject_faults(table) as (tables, faults):
        journals: Journals[Any] = Journals(tables.client, tables.name, KINDS)
        ids = [fresh("dep") for _ in range(3)]
        _, entries = new_deposit()
        for item_id in ids:
            journals.put(journals.begin_action(item_id, entries, {}))
        faults.withhold()
        assert set(journals.get_many(ids)) == set(ids)
        assert faults.trips[-2:] == ["BatchGetItem"] * 2


def test_the_head_of_a_queue_is_what_is_due_earliest_first(journals: Journals[Any]) -> None:
    ids = {}
    for due in (T0 + 2, T0, T0 + 1):
        deposit, entries = new_deposit()
        journals.put(journals.begin_action(deposit.id, entries, {**DUE, "due": {"N": f"{due}"}}))
        ids[due] = deposit.id
    assert journals.due("time#00", T0 + 1, 10).ids == [ids[T0], ids[T0 + 1]]
    assert journals.due("time#00", T0 + 1, 1).ids == [ids[T0]]
    assert journals.due("time#00", T0 - 1, 10).ids == []
    assert journals.due("time#01", T0 + 9, 10).ids == []


@pytest.mark.parametrize("moved", [False, True])
def test_the_next_page_of_a_queue_begins_behind_the_last_also_when_that_one_has_moved_on(
    journals: Journals[Any], moved: bool
) -> None:
    ids = []
    for n in range(5):
        deposit, entries = new_deposit()
        journals.put(journals.begin_action(deposit.id, entries, {**DUE, "due": {"N": f"{T0 + n}"}}))
        ids.append(deposit.id)
    first = journals.due("time#00", T0 + 9, 2)
    assert first.ids == ids[:2]
    if moved:
        stored = journals.get(ids[1])
        assert stored is not None
        journals.touch(stored, T0 + 8, owner="job/1", until=T0 + 9, now=T0 + 9, failures=0)
    second = journals.due("time#00", T0 + 9, 9, first.position)
    assert second.ids == [*ids[2:], *([ids[1]] if moved else [])]
    assert second.position is None
