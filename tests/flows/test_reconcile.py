"""Reconciliation over planted worlds: every difference is found or repaired, none is invented, whoever dies on the way."""

from collections import Counter
from collections.abc import Container
from functools import partial
from itertools import count, pairwise
from typing import Any, Final, get_args

import pytest
from msgspec.structs import replace

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.reconciliation import lines
from chalicelib.core.reconciliation.lines import BreakKind
from chalicelib.core.reconciliation.run import RUN_TIMEOUT_MS, Action, Break, RunStatus
from chalicelib.flows.ports.store import WriteContention
from chalicelib.flows.reconciliation.runs import fold_break
from chalicelib.flows.reconciliation.worker import LEASE_MS
from tests.conftest import Tables
from tests.flows.concurrency import run_at_once
from tests.flows.ledger import SPAN, TODAY, Certificate, Killed, KillSwitch, ReconciliationShop, fresh, shop_in_memory
from tests.flows.planted import DIFFERENCES, LI, Difference, lost_return, plant_all
from tests.flows.refund_shop import PLATFORM
from tests.flows.shop import EARNEST, Clock, catch_refusal
from tests.store.builders import T0
from tests.store.builders import fresh as fresh_id


@pytest.mark.parametrize("plant", DIFFERENCES.values(), ids=DIFFERENCES)
def test_what_was_planted_is_found_and_nothing_else(plant: Difference) -> None:
    ledger = shop_in_memory()
    told = plant.story(ledger)
    found, breaks = ledger.run_to_end()
    assert tuple(found_break.kind for found_break in breaks) == plant.breaks
    assert (found["matched"], found["repaired"], found["in_transit"]) == (
        plant.matched,
        plant.repaired,
        plant.in_transit,
    )
    if plant.then:
        assert ledger.refund_status(f"ref_{told[4:30]}") == plant.then
    for one in breaks:
        assert one.deposit in {f"dep_{told[4:30]}", None}
    assert found["balanced"] == (not plant.breaks)


@pytest.fixture(scope="module")
def world() -> ReconciliationShop:
    """Everything that can be planted, at once. Tests work on copies."""
    ledger = shop_in_memory()
    plant_all(ledger)
    return ledger


def expected() -> Counter[str]:
    return Counter(kind for plant in DIFFERENCES.values() for kind in plant.breaks)


def test_every_kind_of_break_is_planted() -> None:
    assert set(expected()) == set(get_args(BreakKind)) - {"unreadable"}, "which tests/flows/test_unreadable.py plants"


def test_in_one_world_all_are_found_and_none_is_invented() -> None:
    ledger = shop_in_memory()
    deposits = plant_all(ledger)
    found, breaks = ledger.run_to_end()
    by_deposit = {
        name: tuple(found_break.kind for found_break in breaks if found_break.deposit == one_id)
        for name, one_id in deposits.items()
    }
    for name, plant in DIFFERENCES.items():
        if deposits[name] != "dep_" and name != "a deposit that is nobody's":
            assert by_deposit[name] == plant.breaks, name
    assert Counter(found_break.kind for found_break in breaks) == expected()
    assert (found["matched"], found["repaired"], found["in_transit"]) == totals("matched", "repaired", "in_transit")
    assert not found["balanced"]


def totals(*names: str) -> tuple[int, ...]:
    return tuple(sum(getattr(plant, name) for plant in DIFFERENCES.values()) for name in names)


def test_a_break_says_whose_it_is_and_what_each_side_has(world: ReconciliationShop) -> None:
    ledger = world.copy()
    _, breaks = ledger.run_to_end()
    for one in breaks:
        if one.kind == "amount_mismatch":
            assert one.ours is not None
            assert one.provider not in {None, one.ours}
        if one.kind == "missing_at_provider":
            assert (one.ours, one.provider) == (EARNEST, None)
        if one.kind in {"unknown_here", "duplicate", "late_payment", "status_mismatch", "returned_after_success"}:
            assert one.ours is None
            assert one.provider is not None
        assert (one.payment is None) or (one.refund is None)
    strange = [found_break for found_break in breaks if found_break.deposit is None]
    assert [(one.kind, one.provider, one.provider_ref) for one in strange] == [
        ("unknown_here", Money(77, "CNY"), "by-hand")
    ]


def test_the_difference_of_the_totals_is_what_the_breaks_say(world: ReconciliationShop) -> None:
    """Captures and returns less refunds: the breaks explain each fen of it."""
    found, breaks = world.copy().run_to_end()
    explained: Counter[str] = Counter()
    for one in breaks:
        if one.kind in {"promise_missed", "stale"}:
            continue
        outward = one.refund is not None or one.provider_ref == "by-hand"
        sign = -1 if outward and one.kind != "returned_after_success" else 1
        for side, money in ((1, one.ours), (-1, one.provider)):
            if money is not None:
                explained[money.currency] += sign * side * money.minor
    assert {one.difference.currency: one.difference.minor for one in found["totals"]} == dict(explained)


def test_a_second_run_over_the_same_days_agrees_and_has_nothing_left_to_repair(world: ReconciliationShop) -> None:
    ledger = world.copy()
    first, before = ledger.run_to_end()
    journals = ledger.deposits_written()
    second, after = ledger.run_to_end()
    assert after == before
    assert (second["repaired"], second["matched"]) == (0, first["matched"] + first["repaired"])
    assert {**second, "matched": 0, "repaired": 0} == {**first, "matched": 0, "repaired": 0}
    assert ledger.deposits_written() == journals


def test_two_worlds_that_are_the_same_get_the_same_certificate(world: ReconciliationShop) -> None:
    assert world.copy().run_to_end() == world.copy().run_to_end()


def test_late_money_that_a_run_finds_goes_back_by_itself() -> None:
    ledger = shop_in_memory()
    late = DIFFERENCES["a late capture of a replaced payment"].story(ledger)
    twice = DIFFERENCES["a second capture"].story(ledger)
    ledger.run_to_end()
    for deposit_id, cause in ((late, "late_payment"), (twice, "duplicate_payment")):
        [refund] = ledger.deposit(deposit_id).refunds
        assert (refund.cause, refund.status.value) == (cause, "approved")
        ledger.deposit_worker.process_due(deposit_id, "job/9")
        assert ledger.refund_status(f"ref_{deposit_id[4:]}") == "succeeded"
    assert len(ledger.bank.executed) == len(set(ledger.bank.executed)) == 2


def test_what_the_index_does_not_show_yet_is_looked_at_in_its_journal() -> None:
    lags = [0]
    ledger = shop_in_memory(lambda: lags[0])
    lags[0] = 1_000 * DAY
    for name in ("everything fits", "there and back and there again", "a capture nobody heard of"):
        DIFFERENCES[name].story(ledger)
    lags[0] = 0
    started = ledger.start()
    assert ledger.work() == (1, True)
    found, breaks = ledger.certificate(started.run.id)
    assert (found["matched"], found["repaired"], breaks) == (6, 1, [])


# In transit.


PAIRS: Final = [
    # how long before the run a card was captured; whether it is still on its way
    (5 * DAY - 1, True), (5 * DAY, False), (5 * DAY + 1, False),
]  # fmt: skip


@pytest.mark.parametrize(("age", "young"), PAIRS)
def test_a_line_is_on_its_way_until_its_route_must_have_shown_it(age: int, young: bool) -> None:
    ledger = shop_in_memory()
    deposit_id = ledger.sell(TODAY - age)
    ledger.bank.remove_lines(child("pay", deposit_id, 1))
    found, breaks = ledger.run_to_end()
    assert found["in_transit"] == young
    assert [found_break.kind for found_break in breaks] == ([] if young else ["missing_at_provider"])
    assert found["balanced"] == young


@pytest.mark.parametrize(("age", "young"), [(2 * DAY - 1, True), (2 * DAY, False)])
def test_a_payout_shows_earlier_than_a_card(age: int, young: bool) -> None:
    ledger = shop_in_memory()
    deposit_id = ledger.sell(T0 + 3 * DAY)
    ledger.clock.now = TODAY - age
    by = Caller(ledger.deposit(deposit_id).created.buyer, "buyer")
    ledger.cancel(deposit_id, by)
    refund_id = child("ref", deposit_id, 1)
    ledger.refunds.reroute(refund_id, None, ledger.request_context(PLATFORM, "reroute", "1"))
    ledger.refunds.name_destination(refund_id, LI, ledger.request_context(by, "name", "1"))
    ledger.deposit_worker.process_due(deposit_id, "job/1")
    ledger.bank.remove_lines(f"{refund_id}.1")
    found, breaks = ledger.run_to_end()
    assert found["in_transit"] == young
    assert len(breaks) == (not young)


@pytest.mark.parametrize(("days", "young"), [(1, False), (5, True)])
def test_what_the_provider_promises_counts_before_the_route(days: int, young: bool) -> None:
    ledger = shop_in_memory()
    ledger.bank.settle_days = days
    deposit_id = ledger.sell(TODAY - 3 * DAY)
    ledger.bank.remove_lines(child("pay", deposit_id, 1))
    assert ledger.run_to_end()[0]["in_transit"] == young


# Spans.


@pytest.mark.parametrize(
    ("at", "inside"), [(SPAN[0] - 1, False), (SPAN[0], True), (SPAN[1] - 1, True), (SPAN[1], False)]
)
def test_a_span_is_half_open_on_both_sides(at: int, inside: bool) -> None:
    ledger = shop_in_memory()
    ledger.bank.settle_days = 1
    ledger.sell(at)
    assert ledger.run_to_end()[0]["matched"] == inside


def cut(ledger: ReconciliationShop, *edges: int) -> list[Certificate]:
    return [ledger.run_to_end(span) for span in pairwise(edges)]


@pytest.mark.parametrize("name", ["everything fits", "a return nobody heard of", "there and back and there again"])
def test_every_cut_between_movements_leaves_nothing_unmatched(name: str) -> None:
    for day in range(8):
        ledger = shop_in_memory()
        DIFFERENCES[name].story(ledger)
        parts = cut(ledger, SPAN[0], T0 + day * DAY + HOUR, SPAN[1])
        assert [breaks for _, breaks in parts] == [[], []], day
        assert (
            sum(found["matched"] + found["repaired"] for found, _ in parts)
            == DIFFERENCES[name].matched + DIFFERENCES[name].repaired
        )


@pytest.mark.parametrize("first", [0, 1])
def test_a_refund_and_its_return_that_were_learned_at_once_fit_also_when_a_cut_lies_between(first: int) -> None:
    """The provider tells both instants, and each line is looked for in its own span."""
    ledger = shop_in_memory()
    refund_id = DIFFERENCES["a refund and its return, both unheard"].story(ledger)
    ledger.deposit_worker.handle_provider_event(refund_id, "event")
    spans = [(SPAN[0], T0 + 3 * DAY + HOUR), (T0 + 3 * DAY + HOUR, SPAN[1])]
    for span in spans if first == 0 else reversed(spans):
        assert ledger.run_to_end(span)[1] == []


# Slices.


def small(monkeypatch: pytest.MonkeyPatch, shards: int = 2, **changes: int) -> None:
    """As many shards as say, and a checkpoint wherever one may be."""
    monkeypatch.setattr("chalicelib.core.reconciliation.lines.SHARDS", shards)
    monkeypatch.setattr("chalicelib.flows.reconciliation.worker.SHARDS", shards)
    for name, figure in changes.items():
        monkeypatch.setattr(f"chalicelib.flows.reconciliation.worker.{name}", figure)


@pytest.fixture
def compact(monkeypatch: pytest.MonkeyPatch) -> ReconciliationShop:
    small(monkeypatch)
    ledger = shop_in_memory()
    plant_all(ledger)
    return ledger


def test_a_run_in_the_smallest_slices_comes_to_the_same_end(
    compact: ReconciliationShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compact.copy().run_to_end()
    small(monkeypatch, CHUNK_LINES=1, MAX_OPEN_BREAKS=1, REPORT_PAGE=1)
    ledger = compact.copy()
    run_id = ledger.start().run.id
    slices = 1
    while ledger.work(f"job/{slices}", left=0) == (0, False):
        slices += 1
        ledger.clock.now += LEASE_MS
        at = ledger.runs.get(run_id)
        assert at is not None
        assert at.cursor is not None
        after = at.cursor["after"]
        owed = at.cursor["shard"] >= lines.SHARDS
        assert owed or after == lines.find_group(after), "a deposit is never cut in two"
    assert slices > len(DIFFERENCES)
    assert ledger.certificate(run_id) == whole


def test_what_is_counted_so_far_is_shown(compact: ReconciliationShop, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch, CHUNK_LINES=1)
    run_id = compact.start().run.id
    told: list[tuple[int, int]] = []
    slices = 0
    while compact.work(f"job/{slices}", left=0) == (0, False):
        slices += 1
        compact.clock.now += LEASE_MS
        shown = compact.reconciliation.find(run_id, "en")
        assert shown.run.status is RunStatus.RUNNING
        told.append((shown.percent, shown.tally.provider + shown.tally.ours))
    assert told == sorted(told)
    assert all(percent < 100 for percent, _ in told)
    assert len({lines for _, lines in told}) > 2


def uncounted(certificate: Certificate) -> Certificate:
    """A line that was repaired before its worker died is matched for the next one."""
    found, breaks = certificate
    return {**found, "matched": found["matched"] + found["repaired"], "repaired": 0}, breaks


def dies_everywhere(
    world: ReconciliationShop, *, after: bool, at: Container[str] | None = None, first: int = 1, step: int = 1
) -> tuple[Certificate, dict[str, list[str]]]:
    """A worker dies at each call in turn, and another goes on: what every one of these runs ends with.

    ``at`` names the operations that matter; all of them unless told otherwise. ``first`` and ``step`` leave calls out.
    """
    started = world.copy()
    run_id = started.start().run.id
    switch = KillSwitch()
    alone = started.copy(switch)
    assert alone.work() == (1, True)
    calls = len(switch.calls)
    whole, types = uncounted(alone.certificate(run_id)), alone.types_written()
    for fatal in range(first, calls + 1, step):
        if at is not None and switch.calls[fatal - 1] not in at:
            continue
        dying = started.copy(KillSwitch(fatal, after))
        with pytest.raises(Killed):
            dying.work("job/dying")
        dying.clock.now += LEASE_MS
        survivor = dying.share()
        survivor.work("job/next")
        assert uncounted(survivor.certificate(run_id)) == whole, switch.calls[fatal - 1]
        assert survivor.types_written() == types, switch.calls[fatal - 1]
    return whole, types


@pytest.mark.sample(2)  # the first part before it, the last one after it
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
def test_whoever_dies_at_whatever_call_the_next_one_comes_to_the_same_end(
    compact: ReconciliationShop, after: bool, part: int
) -> None:
    (found, _), types = dies_everywhere(compact, after=after, first=1 + part, step=4)
    assert found["breaks"] == sum(expected().values())
    moved = [
        one for events in types.values() for one in (events.count("refund.settled"), events.count("refund.returned"))
    ]
    assert max(moved) == 1


def test_every_second_call_fails_and_the_run_still_ends(compact: ReconciliationShop) -> None:
    """The table says busy at each call in turn; the same worker goes on."""
    whole = uncounted(compact.copy().run_to_end())
    ledger = compact.copy()
    run_id = ledger.start().run.id
    for fatal in count(20, 20):
        switch = KillSwitch(fatal)
        try:
            if ledger.share(switch).work("job/1") == (1, True):
                break
        except Killed:
            continue
        assert fatal < 10_000
    assert uncounted(ledger.certificate(run_id)) == whole


# Several workers.


def test_another_worker_leaves_a_run_alone_that_is_being_worked_off(compact: ReconciliationShop) -> None:
    other = compact.share()
    run_id = compact.start().run.id
    said = []
    compact.bank.on_page = lambda n: said.append(other.work("job/other")) if n == 2 else None
    assert compact.work() == (1, True)
    assert said == [(0, False)]
    assert len(compact.breaks(run_id)) == sum(expected().values())


@pytest.mark.parametrize("page", [1, 2])
def test_a_worker_who_comes_back_after_its_lease_writes_nothing_more(compact: ReconciliationShop, page: int) -> None:
    whole = uncounted(compact.copy().run_to_end())
    other = compact.share()
    run_id = compact.start().run.id
    said = []

    def stolen(n: int) -> None:
        if n == page:
            compact.clock.now += LEASE_MS
            said.append(other.work("job/other"))

    compact.bank.on_page = stolen
    assert compact.work() == (0, False), "its own lease is gone"
    assert said == [(1, True)]
    assert uncounted(compact.certificate(run_id)) == whole
    assert compact.work("job/third") == (0, True)


@pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
def test_many_workers_at_once_on_the_engine_leave_one_certificate(
    table: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(monkeypatch, CHUNK_LINES=1, MAX_OPEN_BREAKS=1)
    memory = shop_in_memory()
    plant_all(memory)
    whole = uncounted(memory.run_to_end())
    clock = Clock()
    ledger = ReconciliationShop(table, clock)
    plant_all(ledger)
    run_id = ledger.start().run.id
    workers = [ledger.share() for _ in range(3)]
    for _ in range(20):
        said = run_at_once([partial(_worked, worker, f"job/{n}") for n, worker in enumerate(workers)])
        if any(finished for finished, _ in said):
            break
        clock.now += LEASE_MS
    certificate, breaks = uncounted(ledger.certificate(run_id))
    assert {**certificate, "digest": ""} == {**whole[0], "digest": ""}
    assert Counter(found_break.kind for found_break in breaks) == expected()


def _worked(worker: ReconciliationShop, owner: str) -> tuple[int, bool]:
    return worker.work(owner)


# Reports that cannot be had, and runs that give up.


@pytest.mark.parametrize("shut", [1, 5])
def test_a_report_that_cannot_be_had_is_asked_for_again(compact: ReconciliationShop, shut: int) -> None:
    whole = uncounted(compact.copy().run_to_end())
    run_id = compact.start().run.id
    compact.bank.failing_pages = shut
    for _ in range(shut):
        assert compact.work() == (0, False)
        assert compact.reconciliation.find(run_id, "en").run.status is RunStatus.RUNNING
    assert compact.work() == (1, True)
    assert uncounted(compact.certificate(run_id)) == whole


def test_while_the_provider_answers_no_look_a_run_waits(compact: ReconciliationShop) -> None:
    whole = uncounted(compact.copy().run_to_end())
    run_id = compact.start().run.id
    compact.bank.answers_no_queries = True
    assert compact.work() == (0, False)
    compact.bank.answers_no_queries = False
    assert compact.work() == (1, True)
    assert uncounted(compact.certificate(run_id)) == whole


def test_after_a_day_a_run_has_failed_and_its_span_is_free(compact: ReconciliationShop) -> None:
    run_id = compact.start().run.id
    compact.bank.failing_pages = 1_000
    compact.work()
    compact.clock.now = TODAY + RUN_TIMEOUT_MS
    assert compact.work() == (0, False)
    compact.clock.now += 1
    assert compact.work("job/2") == (1, True)
    failed = compact.reconciliation.find(run_id, "en").run
    assert (failed.status, failed.finished) == (RunStatus.FAILED, None)
    compact.bank.failing_pages = 0
    again = compact.start(at=None)
    assert again.run.id != run_id
    assert compact.work("job/2") == (1, True)


# Starting.


def test_one_run_compares_a_span_at_a_time_and_it_is_free_again_afterwards(compact: ReconciliationShop) -> None:
    first = compact.start(key_text="one")
    no = catch_refusal(lambda: compact.start(key_text="two"))
    assert (no.reason, no.facts["run"]) == (Reason.WRONG_STATE, first.run.id)
    other = compact.start((SPAN[0], SPAN[1] - DAY), key_text="three")
    assert other.run.id != first.run.id
    assert compact.work() == (2, True)
    assert compact.start(key_text="two").run.id not in {first.run.id, other.run.id}


def test_the_same_key_is_the_same_run_also_after_it_ended(compact: ReconciliationShop) -> None:
    first = compact.start(key_text="one")
    assert replace(compact.start(key_text="one", at=TODAY + 1), replayed=False) == first
    compact.work()
    again = compact.start(key_text="one", at=TODAY + 2)
    assert again.replayed
    assert replace(again, replayed=False) == first
    other = catch_refusal(lambda: compact.start((SPAN[0], SPAN[1] - 1), key_text="one"))
    assert other.reason is Reason.IDEMPOTENCY_KEY_REUSED


SPANS: Final = [
    ((T0, T0),                         FieldError("/to", "not_later")),
    ((T0, T0 - 1),                     FieldError("/to", "not_later")),
    ((T0, TODAY + 1),                  FieldError("/to", "after_now")),
    ((TODAY - 366 * DAY - 1, TODAY),   FieldError("/from", "too_far")),
]  # fmt: skip


@pytest.mark.parametrize(("span", "fault"), SPANS)
def test_a_span_that_cannot_be_compared_is_refused(span: tuple[int, int], fault: FieldError) -> None:
    no = catch_refusal(lambda: shop_in_memory().start(span))
    assert (no.reason, list(no.faults)) == (Reason.INVALID_REQUEST, [fault])


def test_the_daily_run_begins_once_a_day(compact: ReconciliationShop) -> None:
    midnight = TODAY - TODAY % DAY
    compact.clock.now = midnight
    desk = compact.reconciliation
    assert desk.daily()
    assert not desk.daily()
    [shown], _ = desk.list_runs(10, None, "en")
    assert (shown.run.started.start, shown.run.started.end) == (midnight - 7 * DAY, midnight)
    compact.work()
    compact.clock.now = midnight + DAY - 1
    assert not desk.daily()
    compact.clock.now += 1
    assert desk.daily()
    assert [run.run.started.end for run in desk.list_runs(10, None, "en")[0]] == [midnight + DAY, midnight]


def test_while_a_person_compares_the_same_week_the_daily_run_waits(compact: ReconciliationShop) -> None:
    midnight = TODAY - TODAY % DAY
    compact.start((midnight - 7 * DAY, midnight), at=midnight)
    assert not compact.reconciliation.daily()
    compact.work()
    assert compact.reconciliation.daily()


# Many breaks, and deposits that move meanwhile.


def many(ledger: ReconciliationShop, number: int = 95) -> str:
    """One deposit with so many lines that are not ours."""
    deposit_id = ledger.sell()
    for n in range(2, number + 2):
        ledger.bank.report("capture", child("pay", deposit_id, n), f"cap_{n}", EARNEST, T0)
    return deposit_id


@pytest.mark.parametrize("number", [89, 90, 91, 95, 200])
def test_a_deposit_may_have_more_breaks_than_a_transaction_takes(number: int) -> None:
    ledger = shop_in_memory()
    deposit_id = many(ledger, number)
    found, breaks = ledger.run_to_end()
    assert (found["breaks"], found["matched"]) == (number, 1)
    assert {(found_break.kind, found_break.deposit) for found_break in breaks} == {("unknown_here", deposit_id)}
    assert len({found_break.provider_ref for found_break in breaks}) == number


@pytest.mark.parametrize("after", [False, True], ids=["before it", "after it"])
def test_who_dies_between_many_breaks_leaves_each_of_them_once(monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    small(monkeypatch, shards=1)
    world = shop_in_memory()
    many(world)
    (found, _), _ = dies_everywhere(world, after=after, at={"put_item", "update_item", "transact_write_items"})
    assert found["breaks"] == 95


def test_a_deposit_that_moves_to_another_day_while_the_run_reads_is_no_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """Money comes back at every page of the report, from every deposit in turn."""
    small(monkeypatch, shards=1, REPORT_PAGE=1)
    monkeypatch.setattr("chalicelib.store.movements.PAGE_ROWS", 1)
    world = shop_in_memory()
    refunds = [world.sell_and_refund(at=T0 + (3 + n % 3) * DAY) for n in range(5)]
    pages = len(refunds) * 2
    for moving in refunds:
        for page in range(1, pages + 1):
            ledger = world.copy()

            def move(n: int, ledger: ReconciliationShop = ledger, page: int = page, moving: str = moving) -> None:
                if n == page:
                    ledger.bank.return_refund(moving)
                    ledger.deposit_worker.handle_provider_event(moving, "event")

            ledger.bank.on_page = move
            found, breaks = ledger.run_to_end((SPAN[0], TODAY))
            assert breaks == []
            assert found["matched"] + found["in_transit"] in {pages, pages + 1}
            assert found["balanced"]
            ledger.bank.on_page = None
            assert ledger.run_to_end((SPAN[0], TODAY))[0]["balanced"]


def test_a_refund_that_is_pushed_back_while_the_run_reads_is_noted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs move due times while it is read; what is owed goes by ids."""
    small(monkeypatch, shards=1, MAX_OPEN_BREAKS=1)
    ledger = shop_in_memory()
    refunds = [DIFFERENCES["a refund that stands still"].story(ledger) for _ in range(3)]
    run_id = ledger.start().run.id
    checkpoint = ledger.runs.checkpoint

    waiting = list(refunds)

    def pushed(at: Any, cursor: Any, *rest: Any) -> Any:
        if cursor["shard"] >= 1:
            while waiting:
                one = waiting.pop()
                stored = ledger.load(f"dep_{one[4:30]}")
                now = ledger.clock.now
                ledger.store.touch(stored, (stored.due or now) + 5 * DAY, owner="job/x", until=now, now=now)
        return checkpoint(at, cursor, *rest)

    monkeypatch.setattr(ledger.runs, "checkpoint", pushed)
    assert ledger.work() == (1, True)
    noted = Counter(found_break.found.refund for found_break in ledger.breaks(run_id))
    assert noted == Counter(refunds)


def test_a_run_over_a_lease_of_its_deposits_changes_no_due_time_that_it_need_not(compact: ReconciliationShop) -> None:
    """Settling goes through the one way in; a second run writes nothing at all."""
    compact.run_to_end()
    before = dict(compact.tables.client.items)  # type: ignore[attr-defined]
    compact.run_to_end()
    after = compact.tables.client.items  # type: ignore[attr-defined]
    assert {pk: item for pk, item in after.items() if pk.startswith("dep_")} == {
        pk: item for pk, item in before.items() if pk.startswith("dep_")
    }


# What a person makes of a break.


def broken(ledger: ReconciliationShop, name: str) -> str:
    """The id of the one break that a story leaves."""
    DIFFERENCES[name].story(ledger)
    run_id = ledger.start().run.id
    ledger.work()
    [one] = ledger.breaks(run_id)
    return one.id


def resolved(
    ledger: ReconciliationShop,
    break_id: str,
    action: Action,
    key_text: str | None = None,
    note: str | None = "Ask Li Lei",
) -> tuple[Break, bool]:
    ledger.clock.now += 1
    asked = ledger.request_context(PLATFORM, f"resolve {break_id}", key_text or fresh(), f"{action} {note}")
    return ledger.reconciliation.resolve(break_id, action, note, asked)


def test_a_break_is_written_off_with_a_note_that_only_the_vault_reads() -> None:
    ledger = shop_in_memory()
    break_id = broken(ledger, "a deposit that is nobody's")
    one, again = resolved(ledger, break_id, "write_off")
    assert (one.resolved is not None, again) == (True, False)
    assert fold_break(ledger.reconciliation.find_break(break_id)) == one
    assert ledger.reconciliation.read_notes([one]) == ["Ask Li Lei"]
    assert "Li Lei" not in str(ledger.tables.client.items)  # type: ignore[attr-defined]


def test_a_break_is_resolved_once() -> None:
    ledger = shop_in_memory()
    break_id = broken(ledger, "old enough to be missed")
    first, _ = resolved(ledger, break_id, "write_off", "press")
    assert resolved(ledger, break_id, "write_off", "press") == (first, True)
    assert catch_refusal(lambda: resolved(ledger, break_id, "write_off")).reason is Reason.WRONG_STATE
    other = catch_refusal(lambda: resolved(ledger, break_id, "accept_provider", "press"))
    assert other.reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert catch_refusal(lambda: resolved(ledger, "brk_nonsense", "write_off")).reason is Reason.NOT_FOUND


def test_what_the_provider_says_by_now_is_taken_over() -> None:
    ledger = shop_in_memory()
    break_id = broken(ledger, "taken, and not even there")
    found = fold_break(ledger.reconciliation.find_break(break_id)).found
    assert found.payment is not None
    ledger.bank.capture(found.payment)
    resolved(ledger, break_id, "accept_provider", note=None)
    assert ledger.deposit(str(found.deposit)).money.captured == EARNEST


def test_a_break_without_a_refund_has_nothing_to_send_again() -> None:
    ledger = shop_in_memory()
    break_id = broken(ledger, "old enough to be missed")
    no = catch_refusal(lambda: resolved(ledger, break_id, "retry"))
    assert list(no.faults) == [FieldError("/action", "nothing_to_retry")]


@pytest.mark.parametrize("dies", [False, True])
def test_a_refund_that_stands_still_is_sent_again_by_a_persons_word(dies: bool) -> None:
    """Also when the worker dies between the retry and the word about the break: the same key ends both."""
    ledger = shop_in_memory()
    break_id = broken(ledger, "a refund that stands still")
    found = fold_break(ledger.reconciliation.find_break(break_id)).found
    assert catch_refusal(lambda: resolved(ledger, break_id, "retry")).reason is Reason.WRONG_STATE
    ledger.deposit_worker.process_due(str(found.deposit), "job/7")  # the provider forgot the key: a person has it now
    assert ledger.refund_status(str(found.refund)) == "manual_review"
    if dies:
        asked = ledger.request_context(PLATFORM, f"resolve {break_id}", "press", f"retry {None}")
        ledger.refunds.retry(str(found.refund), asked)
    one, _ = resolved(ledger, break_id, "retry", "press", note=None)
    assert one.resolved is not None
    ledger.deposit_worker.process_due(str(found.deposit), "job/8")
    assert ledger.bank.executed == [f"{found.refund}.1"]


def test_of_two_people_at_a_break_one_resolves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = shop_in_memory()
    break_id = broken(ledger, "old enough to be missed")
    other = ledger.share()
    resolve = ledger.runs.resolve

    def slow(*args: Any) -> None:
        resolved(other, break_id, "write_off", note=None)
        resolve(*args)

    monkeypatch.setattr(ledger.runs, "resolve", slow)
    assert catch_refusal(lambda: resolved(ledger, break_id, "accept_provider")).reason is Reason.WRONG_STATE
    one = fold_break(ledger.reconciliation.find_break(break_id))
    assert one.resolved is not None
    assert one.resolved.action == "write_off"
    assert ledger.reconciliation.read_notes([one]) == [None]


# What cannot be.


def test_a_report_that_cannot_be_read_ends_the_run_at_once(compact: ReconciliationShop) -> None:
    run_id = compact.start().run.id

    def unreadable(_: int) -> None:
        raise ValueError("row 7: amount")

    compact.bank.on_page = unreadable
    assert compact.work() == (1, True)
    failed = compact.reconciliation.find(run_id, "en").run
    assert failed.status is RunStatus.FAILED
    assert compact.load_run(run_id)[-1].why == "report_unreadable"
    compact.bank.on_page = None
    compact.run_to_end()


def test_a_run_that_is_not_there_is_not_found() -> None:
    desk = shop_in_memory().reconciliation
    for run_id in ("rec_nonsense", fresh_id("rec"), ""):
        for act in (partial(desk.find, run_id, "en"), partial(desk.list_breaks, run_id, 10, None)):
            assert catch_refusal(act).reason is Reason.NOT_FOUND


def test_a_table_that_is_contended_is_tried_again(compact: ReconciliationShop, monkeypatch: pytest.MonkeyPatch) -> None:
    create, tries = compact.runs.create, iter([True, True, False])

    def contended(*args: Any) -> None:
        if next(tries):
            raise WriteContention
        create(*args)

    monkeypatch.setattr(compact.runs, "create", contended)
    assert compact.start().run.status is RunStatus.RUNNING
    assert compact.clock.pauses == [0, 1]


def test_a_daily_run_that_cannot_begin_for_another_reason_says_so(
    compact: ReconciliationShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: Any) -> None:
        raise Refused(Reason.BUSY, retry_after=1)

    monkeypatch.setattr(compact.runs, "create", busy)
    compact.clock.now = TODAY
    assert catch_refusal(compact.reconciliation.daily).reason is Reason.BUSY


@pytest.mark.parametrize("lost", [0, 1])
def test_what_a_repair_brings_to_light_is_in_the_same_certificate(lost: int) -> None:
    """Two captures of one payment that nobody told us of, and the report has one of them: both are judged at once."""
    ledger = shop_in_memory()
    deposit_id = ledger.place_order()
    payment_id = child("pay", deposit_id, 1)
    for amount in (EARNEST, Money(100, "CNY")):
        ledger.bank.capture(payment_id, amount)
        ledger.clock.now += HOUR
    del ledger.bank.lines[lost]
    (first, breaks), (again, same) = ledger.run_to_end(), ledger.run_to_end()
    assert [found_break.kind for found_break in breaks] == ["missing_at_provider"] == [one.kind for one in same]
    assert (first["ours"], first["provider"], first["repaired"]) == (2, 1, 1)
    assert (again["ours"], again["provider"], again["matched"]) == (2, 1, 1)
    assert (first["digest"], first["totals"]) == (again["digest"], again["totals"])


def test_what_the_provider_says_of_a_missing_line_is_settled_whatever_it_is() -> None:
    """Neither the refund nor its return stands in the report: who asks for the one is told of the other."""
    ledger = shop_in_memory()
    deposit_id = lost_return(ledger)
    ledger.bank.lines = [line for line in ledger.bank.lines if line.kind == "c"]
    (first, breaks), (again, same) = ledger.run_to_end(), ledger.run_to_end()
    assert ledger.deposit(f"dep_{deposit_id[4:30]}").refunds[0].status.value == "returned"
    assert [found_break.kind for found_break in breaks] == ["missing_at_provider", "missing_at_provider"]
    assert [one.kind for one in same] == ["missing_at_provider", "missing_at_provider"]
    assert (first["digest"], first["totals"]) == (again["digest"], again["totals"])
