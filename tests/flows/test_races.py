"""Many at once, on the engine with real sockets: everything happens exactly once, whatever answers are lost."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import pytest

from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.flows.deposit_worker import DepositWorker
from chalicelib.flows.images import fold_stored
from chalicelib.flows.offers import Offered
from chalicelib.flows.ports.store import Leased, VersionConflict
from chalicelib.flows.snapshot import Outcome
from tests.conftest import Tables
from tests.flows.concurrency import THREADS, outcomes, retrying, run_at_once, slow_timing, stock_sums
from tests.flows.shop import EARNEST, GRACE, REAL, Clock, Shop, captured, fresh_key, new_buyer, rendered_state
from tests.store.builders import counted, shards
from tests.store.faults import inject_faults

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)


@pytest.fixture
def shop(table: Tables) -> Iterator[Shop]:
    """A shop on real time with a good line."""
    with inject_faults(table) as (own, _):
        yield Shop(own, REAL)


@pytest.mark.real_engine
@pytest.mark.parametrize("attempts", [1, 2])
def test_double_taps_with_lost_answers_happen_exactly_once(table: Tables, attempts: int) -> None:
    """Every tap comes four times at once, through containers of their own; one answer in five is lost."""
    with inject_faults(table, attempts=attempts, lost_of_100=20) as (lossy, faults):
        offered = Shop(table, REAL).publish(units=64, per_buyer=1)
        taps = [(new_buyer(), fresh_key()) for _ in range(6)]

        def tapped(act: Callable[[Shop, Caller, str], Outcome]) -> dict[Caller, list[Outcome]]:
            """The four answers that each buyer got."""
            many = taps * 4
            results = outcomes(run_at_once([retrying(act, Shop(lossy, REAL), by, key) for by, key in many]))
            return {by: results[n :: len(taps)] for n, (by, _) in enumerate(taps)}

        made = tapped(lambda shop, by, key: shop.order(offered, by, key))
        assert stock_sums(table, offered) == (58, 6)
        ended = tapped(lambda shop, by, key: shop.cancel(made[by][0].deposit.id, by, key))
        assert stock_sums(table, offered) == (64, 0)
        assert faults.lost > len(faults.trips) // 10

    for answers in [*made.values(), *ended.values()]:
        assert len(answers) == 4
        assert all(rendered_state(answer) == rendered_state(answers[0]) for answer in answers)
    for by, _ in taps:
        deposit_id = made[by][0].deposit.id
        assert Shop(table, REAL).event_types(deposit_id) == ["deposit.created", "deposit.cancelled"]
        assert counted(table, offered.offer.id, by.id) == 0


def test_a_cancel_racing_a_payment_ends_once_and_gives_the_money_back(shop: Shop, table: Tables) -> None:
    offered = shop.publish(units=64, per_buyer=1)
    for _ in range(8):
        by = new_buyer()
        one = shop.order(offered, by).deposit.id
        paid = captured(shop.timing.now())
        outcomes(
            run_at_once(
                [retrying(shop.cancel, one, by, fresh_key()), retrying(shop.deposit_worker.settle, one, paid, "event")]
            )
        )
        happened = Counter(shop.event_types(one))
        money = fold_stored(shop.load(one)).money
        assert happened["deposit.cancelled"] == happened["refund.approved"] == 1
        assert happened["payment.succeeded"] + happened["payment.not_counted"] == 1
        assert money.captured == money.refunding == EARNEST
    assert stock_sums(table, offered) == (64, 0)


@pytest.mark.real_engine
def test_of_two_cancels_with_different_keys_one_wins(shop: Shop, table: Tables) -> None:
    offered = shop.publish(units=64, per_buyer=1)
    for _ in range(8):
        by = new_buyer()
        one = shop.order(offered, by).deposit.id
        results = run_at_once(
            [retrying(shop.cancel, one, by, fresh_key()), retrying(shop.cancel, one, by, fresh_key())]
        )
        assert sum(isinstance(result, Outcome) for result in results) == 1
        assert Reason.ALREADY_CANCELLED in results
        assert shop.event_types(one) == ["deposit.created", "deposit.cancelled"]
    assert stock_sums(table, offered) == (64, 0)


def test_the_same_payment_heard_from_all_sides_counts_once(shop: Shop) -> None:
    one = shop.order(shop.publish(units=None), new_buyer()).deposit.id
    paid = captured(shop.timing.now())
    outcomes(run_at_once([retrying(shop.deposit_worker.settle, one, paid, f"event/{n}") for n in range(THREADS)]))
    assert shop.event_types(one) == ["deposit.created", "payment.succeeded"]


ROUNDS: Final = 20
BUYERS: Final = 64


Round = tuple[Offered, list[Caller], list[Outcome]]


def rush(table: Tables, shops: list[Shop]) -> Round:
    """An offer of 37, 64 buyers at once, and what must be true of every shard afterwards."""
    buyers = [new_buyer() for _ in range(BUYERS)]
    offered = shops[0].publish(units=37, per_buyer=1)
    acts = [partial(_once, shops[n % len(shops)], offered, by) for n, by in enumerate(buyers)]
    results = run_at_once(acts, BUYERS)
    made = outcomes([result for result in results if isinstance(result, Outcome)])
    assert Counter(result for result in results if isinstance(result, Reason)) == {Reason.SOLD_OUT: 27}
    assert len({one.deposit.created.buyer for one in made}) == 37
    assert shards(table, offered.offer) == [(0, units, 0, units) for units in (10, 9, 9, 9)]
    assert Counter(part.shard for one in made for part in one.deposit.stock) == {0: 10, 1: 9, 2: 9, 3: 9}
    return offered, buyers, made


def test_twenty_times_sixty_four_buyers_and_thirty_seven_units(table: Tables) -> None:
    """Nobody is oversold, no unit is lost, everyone else is told sold-out and nobody to wait; unpaid units come back."""
    with inject_faults(table) as (own, _):
        timing = slow_timing()
        rounds = [rush(table, [Shop(own, timing) for _ in range(4)]) for _ in range(ROUNDS)]
        offered, buyers, made = rounds[-1]
        assert sum(counted(table, offered.offer.id, by.id) for by in buyers) == 37
        late = Clock(max(one.deposit.created.due_at for one in made) + GRACE).timing()
        workers = [("job/1", Shop(own, late).deposit_worker), ("job/2", Shop(own, late).deposit_worker)]
        run_at_once([partial(_process_due, at, one.deposit.id, owner) for one in made for owner, at in workers])
        assert stock_sums(table, offered) == (37, 0)
        assert {counted(table, offered.offer.id, by.id) for by in buyers} == {0}
        assert Shop(own, REAL).order(offered, buyers[0]).deposit.limit_units == 1


def _once(shop: Shop, offered: Offered, by: Caller) -> Outcome | Reason:
    """A buyer who asks once and takes the answer."""
    try:
        return shop.order(offered, by)
    except Refused as no:
        return no.reason


def _process_due(worker: DepositWorker, deposit_id: str, owner: str) -> bool:
    """As a sweep does: another worker being at it is no fault."""
    try:
        return worker.process_due(deposit_id, owner)
    except (Leased, VersionConflict):
        return False


def test_orders_that_span_shards_share_what_is_there(shop: Shop, table: Tables) -> None:
    offered = shop.publish(units=37)  # shards of 10, 9, 9 and 9
    results = run_at_once([retrying(shop.order, offered, new_buyer(), fresh_key(), quantity=12) for _ in range(5)])
    assert Counter(result for result in results if isinstance(result, Reason)) == {Reason.SOLD_OUT: 2}
    assert stock_sums(table, offered) == (1, 36)


def test_a_buyer_racing_the_own_limit_gets_exactly_the_limit(shop: Shop, table: Tables) -> None:
    offered = shop.publish(units=64, per_buyer=3)
    by = new_buyer()
    results = run_at_once([retrying(shop.order, offered, by, fresh_key()) for _ in range(8)])
    assert Counter(result for result in results if isinstance(result, Reason)) == {Reason.LIMIT_REACHED: 5}
    assert counted(table, offered.offer.id, by.id) == 3
    assert stock_sums(table, offered) == (61, 3)


@pytest.mark.parametrize(("units", "rounds"), [(64, 4), (1, 1), (None, 4)])
def test_the_same_tap_twice_at_once_is_one_deposit(shop: Shop, table: Tables, units: int | None, rounds: int) -> None:
    offered = shop.publish(units=units, per_buyer=1)
    for _ in range(rounds):
        by, key = new_buyer(), fresh_key()
        one, other = outcomes(run_at_once([retrying(shop.order, offered, by, key)] * 2))
        assert rendered_state(one) == rendered_state(other)
        assert counted(table, offered.offer.id, by.id) == 1


def test_the_same_key_for_two_orders_at_once_is_one_deposit_and_one_refusal(shop: Shop, table: Tables) -> None:
    offered = shop.publish(units=64, per_buyer=3)
    for _ in range(4):
        by, key = new_buyer(), fresh_key()
        results = run_at_once([retrying(shop.order, offered, by, key, quantity=units) for units in (1, 2)])
        [made] = [result for result in results if isinstance(result, Outcome)]
        assert Reason.IDEMPOTENCY_KEY_REUSED in results
        assert counted(table, offered.offer.id, by.id) == made.deposit.limit_units


@pytest.mark.parametrize("time", range(3))
def test_the_last_unit_is_never_refused_to_the_one_who_has_it(table: Tables, time: int) -> None:
    """Half of all answers are lost: whoever insists with the same key learns that the unit is theirs."""
    with inject_faults(table, lost_of_100=50, seed=time) as (lossy, _):
        offered = Shop(table, REAL).publish(units=1, per_buyer=1)
        buyers = [(Shop(lossy, REAL), new_buyer(), fresh_key()) for _ in range(4)]
        acts = [retrying(at.order, offered, by, key) for at, by, key in buyers]
        results = run_at_once(acts * 2)
    assert len({result.deposit.id for result in results if isinstance(result, Outcome)}) == 1
    assert sum(isinstance(result, Outcome) for result in results) == 2, "both taps of the one who has it"
    assert {result for result in results if isinstance(result, Reason)} == {Reason.SOLD_OUT}
    assert stock_sums(table, offered) == (0, 1)
