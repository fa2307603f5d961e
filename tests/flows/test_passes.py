"""A priority pass and the deposit that it buys: one write, once, and given back in the write that says why."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import format_instant
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deposit.priority_pass import Pass, PassStatus
from chalicelib.flows.images import fold_stored
from chalicelib.flows.snapshot import Outcome
from tests.conftest import Tables
from tests.flows.concurrency import outcomes, retrying, run_at_once
from tests.flows.shop import (
    DAY,
    GRACE,
    MINUTE,
    REAL,
    SKU,
    FaultyShop,
    Shop,
    catch_refusal,
    fresh_key,
    new_buyer,
    rendered_state,
    retry_while_busy,
)
from tests.store.builders import STAFF, T0, counted, shards
from tests.store.faults import inject_faults

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
TOGETHER: Final = "TransactWriteItems"
DUE: Final = 15 * MINUTE
KEPT: Final[dict[str, Any]] = {"units": 4, "priority": {"reserved": {SKU: 2}}}


class Gate(FaultyShop):
    """A buyer holds a pass, and a sale keeps two of its four units for passes: the shards are [2] and [2]."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.by = new_buyer()
        self.held = self.second_shop.create_pass(self.by)
        self.origin = f"dep_{self.held[4:30]}"
        self.offered = self.fill_caches(self.publish(**KEPT, per_buyer=3, opens_at=format_instant(T0 + DAY)))

    def buy(self, key_text: str | None = None, by: Caller | None = None, **changes: Any) -> Outcome:
        return self.order(self.offered, by or self.by, key_text, priority_pass=self.held, **changes)

    @property
    def one(self) -> Pass:
        [held] = fold_stored(self.second_shop.load(self.origin)).passes
        return held

    def steps(self) -> list[str]:
        """What happened to the pass."""
        return [
            one.removeprefix("priority_pass.")
            for one in self.second_shop.event_types(self.origin)
            if one.startswith("priority")
        ]

    def left(self) -> list[int]:
        return [left for left, *_ in shards(self.table, self.offered.offer)]

    def bought(self) -> list[str]:
        """The deposits that the buyer has, but for the one that the pass came from."""
        rows = self.second_shop.store.of_buyer(self.by.id, 100, None).rows
        return [row.id for row in rows if row.id != self.origin]


@pytest.fixture
def gate(table: Tables) -> Iterator[Gate]:
    with Gate.open(table) as gate:
        yield gate


# --- Using ---


def test_a_pass_buys_a_kept_unit_before_the_sale_opens_and_beside_the_limit(gate: Gate) -> None:
    assert catch_refusal(lambda: gate.order(gate.offered, gate.by)).reason is Reason.OFFER_NOT_OPEN
    faults = gate.faults
    made = gate.buy().deposit
    assert faults.trips == ["GetItem", TOGETHER]
    assert made.created.priority is not None
    assert (made.created.priority.id, made.limit_units, made.stock[0].shard) == (gate.held, 0, 1)
    assert gate.left() == [2, 1]
    assert (gate.one.status, gate.one.used_for, gate.steps()) == (PassStatus.USED, made.id, ["granted", "used"])
    gate.clock.now = T0 + DAY
    assert gate.order(gate.offered, gate.by).deposit.limit_units == 1, "the limit is still whole"


def test_the_rest_is_everybodys_a_day_after_the_opening(gate: Gate) -> None:
    gate.buy()
    gate.clock.now = T0 + DAY
    for _ in range(2):
        gate.order(gate.offered, new_buyer())
    gate.clock.now = T0 + 2 * DAY - 1
    assert catch_refusal(lambda: gate.order(gate.offered, new_buyer())).reason is Reason.SOLD_OUT
    gate.clock.now = T0 + 2 * DAY
    gate.order(gate.offered, new_buyer())
    assert gate.left() == [0, 0]


def test_a_pass_is_used_once(gate: Gate) -> None:
    gate.buy()
    no = catch_refusal(gate.buy)
    assert (no.reason, no.facts) == (Reason.PASS_NOT_VALID, {"state": "used"})
    assert (gate.left(), gate.steps(), len(gate.bought())) == ([2, 1], ["granted", "used"], 1)


def test_the_same_key_makes_one_deposit_with_one_answer(gate: Gate) -> None:
    press = fresh_key()
    first = gate.buy(press)
    gate.clock.now += MINUTE
    again = gate.buy(press)
    assert again.replayed
    assert rendered_state(again) == rendered_state(first)
    assert (gate.left(), gate.steps(), len(gate.bought())) == ([2, 1], ["granted", "used"], 1)


def test_the_same_key_finds_its_deposit_also_when_the_pass_came_back_since(gate: Gate) -> None:
    press = fresh_key()
    first = gate.buy(press)
    gate.cancel(first.deposit.id, gate.by)
    again = gate.buy(press)
    assert again.replayed
    assert rendered_state(again) == rendered_state(first)
    assert gate.steps() == ["granted", "used", "returned"]


WRONG: Final[list[tuple[Callable[[Gate], object], Reason]]] = [
    (lambda gate: gate.buy(by=new_buyer()),                                            Reason.NOT_FOUND),
    (lambda gate: gate.order(gate.offered, gate.by, priority_pass=f"{gate.held}0"), Reason.NOT_FOUND),
    (lambda gate: gate.order(gate.offered, gate.by, priority_pass="pas_1"),         Reason.INVALID_REQUEST),
    (lambda gate: gate.order(gate.offered, gate.by, priority_pass=gate.origin),     Reason.INVALID_REQUEST),
    (lambda gate: gate.buy(quantity=2),                                             Reason.PASS_NOT_VALID),
]  # fmt: skip


@pytest.mark.parametrize(("act", "reason"), WRONG)
def test_what_a_pass_does_not_buy_uses_nothing(gate: Gate, act: Callable[[Gate], object], reason: Reason) -> None:
    assert catch_refusal(partial(act, gate)).reason is reason
    assert (gate.left(), gate.steps(), gate.bought()) == ([2, 2], ["granted"], [])


def test_a_pass_of_another_merchant_buys_nothing(gate: Gate) -> None:
    elsewhere = Caller("usr_other", "merchant", "mer_other")
    item = {"sku": SKU, "name": "SU7 Max", "price": {"amount": "299900", "currency": "CNY"}}
    body = {"title": "SU7", "market": "CN", "preset": "su7_2024", "items": [item]}
    offered = gate.catalogue.publish(body, gate.request_context(elsewhere, "publish", fresh_key(), "body"))
    no = catch_refusal(lambda: gate.order(offered, gate.by, priority_pass=gate.held))
    assert (no.reason, no.facts) == (Reason.PASS_NOT_VALID, {"merchant": "mer_shop"})


@pytest.mark.parametrize(("before", "taken"), [(1, True), (0, False)])
def test_a_pass_is_good_until_its_date_to_the_millisecond(gate: Gate, before: int, taken: bool) -> None:
    gate.clock.now = gate.one.granted.valid_until - before
    offered = gate.publish(units=None)
    if taken:
        gate.order(offered, gate.by, priority_pass=gate.held)
        assert gate.steps() == ["granted", "reminder", "reminder", "used"]
        return
    no = catch_refusal(lambda: gate.order(offered, gate.by, priority_pass=gate.held))
    assert (no.reason, no.facts) == (Reason.PASS_NOT_VALID, {"state": "lapsed"})
    gate.deposit_worker.process_due(gate.origin, "job/1")
    assert gate.steps() == ["granted", "reminder", "reminder", "lapsed"]


# --- Coming back ---


def expire(gate: Gate, deposit_id: str, owner: str = "job/1") -> None:
    gate.clock.now = max(gate.clock.now, T0 + DUE + GRACE)
    gate.deposit_worker.process_due(deposit_id, owner)


def cancel(gate: Gate, deposit_id: str) -> None:
    gate.cancel(deposit_id, gate.by)


def revoke(gate: Gate, deposit_id: str) -> None:
    gate.merchant_cancel(deposit_id, "FORCE_MAJEURE")


@pytest.mark.parametrize("end", [expire, cancel, revoke])
def test_a_pass_comes_back_with_the_unit_when_what_it_bought_ends_unpaid(
    gate: Gate, end: Callable[[Gate, str], None]
) -> None:
    first = gate.buy().deposit
    end(gate, first.id)
    assert (gate.left(), gate.steps(), gate.one.status) == ([2, 2], ["granted", "used", "returned"], PassStatus.GRANTED)
    second = gate.buy().deposit
    assert second.id != first.id
    assert (gate.steps(), gate.one.used_for) == (["granted", "used", "returned", "used"], second.id)


def test_a_new_pass_takes_the_place_of_the_one_that_was_used(gate: Gate) -> None:
    made = gate.buy().deposit
    gate.merchant_cancel(made.id)
    assert len(fold_stored(gate.second_shop.load(made.id)).passes) == 1
    assert (gate.left(), gate.steps()) == ([2, 2], ["granted", "used"])


def test_what_was_paid_keeps_its_pass(gate: Gate) -> None:
    made = gate.buy().deposit
    gate.pay(made.id)
    gate.cancel(made.id, gate.by)
    assert (gate.left(), gate.steps()) == ([2, 2], ["granted", "used"])


def test_what_came_back_does_not_come_back_again(gate: Gate) -> None:
    made = gate.buy().deposit
    expire(gate, made.id)
    for owner in ("job/2", "job/3"):
        expire(gate, made.id, owner)
    gate.pay(made.id, gate.clock.now)  # too late
    assert catch_refusal(lambda: gate.cancel(made.id, gate.by)).reason is Reason.WRONG_STATE
    assert (gate.left(), gate.steps()) == ([2, 2], ["granted", "used", "returned"])


def test_a_pass_that_comes_back_after_its_date_lapses_at_once(gate: Gate) -> None:
    gate.clock.now = gate.one.granted.valid_until - 1
    made = gate.order(gate.publish(units=None), gate.by, priority_pass=gate.held).deposit
    gate.clock.now += DUE + GRACE
    gate.deposit_worker.process_due(made.id, "job/1")
    assert gate.steps()[-1] == "returned"
    assert catch_refusal(lambda: gate.order(gate.publish(units=None), gate.by, priority_pass=gate.held)).facts == {
        "state": "lapsed"
    }
    gate.deposit_worker.process_due(gate.origin, "job/1")
    assert gate.steps()[-1] == "lapsed"


def test_the_order_that_a_pass_bought_is_not_changed_to_more(gate: Gate) -> None:
    gate.clock.now = T0 + DAY
    made = gate.buy().deposit
    gate.pay(made.id)
    assert catch_refusal(lambda: gate.change_items(made.id, gate.by, (SKU, 2))).reason is Reason.PASS_NOT_VALID
    assert gate.change_items(made.id, gate.by, (SKU, 1)).deposit.stock == made.stock
    assert (gate.left(), gate.steps()) == ([2, 1], ["granted", "used"])


# --- Lost answers and races ---


@pytest.mark.parametrize("then", ["nothing", "throttled", "conflict"])
def test_an_order_whose_answer_was_lost_finds_itself_and_not_a_used_pass(gate: Gate, then: str) -> None:
    press = fresh_key()
    faults = gate.faults
    faults.lose(TOGETHER)
    if then == "throttled":
        faults.fail("GetItem", "ThrottlingException", times=1)
    if then == "conflict":
        faults.fail(TOGETHER, "TransactionCanceledException", reasons=["None", "TransactionConflict", "None"])
    made = retry_while_busy(lambda: gate.buy(press))
    assert isinstance(made, Outcome)
    assert (gate.left(), gate.steps(), gate.bought()) == ([2, 1], ["granted", "used"], [made.deposit.id])


@pytest.mark.parametrize("end", [cancel, revoke, expire])
def test_an_end_whose_answer_was_lost_gives_the_pass_back_once(gate: Gate, end: Callable[[Gate, str], None]) -> None:
    made = gate.buy().deposit
    gate.faults.lose(TOGETHER)
    if end is expire:
        with pytest.raises(Exception):  # noqa: B017, PT011 - a sweep counts it, whatever it is
            end(gate, made.id)
    else:
        assert catch_refusal(partial(end, gate, made.id)).reason is Reason.BUSY
    if end is expire:
        end(gate, made.id)
    else:
        assert catch_refusal(partial(end, gate, made.id)).reason is Reason.ALREADY_CANCELLED
    assert (gate.left(), gate.steps()) == ([2, 2], ["granted", "used", "returned"])


def test_a_use_that_loses_to_another_use_of_what_came_back_is_told(gate: Gate) -> None:
    """The first order is due. While a second one is written, the job ends the first, and a third one has the pass."""
    first = gate.buy().deposit
    gate.clock.now = T0 + DUE + GRACE
    assert catch_refusal(gate.buy).facts == {"state": "used"}, "until it is written that the first one ended"
    gate.deposit_worker.process_due(first.id, "job/1")
    gate.faults.before(TOGETHER, lambda: gate.second_shop.order(gate.offered, gate.by, priority_pass=gate.held))
    assert catch_refusal(gate.buy).facts == {"state": "used"}
    assert (gate.left(), gate.steps()) == ([2, 1], ["granted", "used", "returned", "used"])


def test_a_pass_that_was_used_meanwhile_is_told(gate: Gate) -> None:
    faults = gate.faults
    faults.before(TOGETHER, lambda: gate.second_shop.order(gate.offered, gate.by, priority_pass=gate.held))
    no = catch_refusal(gate.buy)
    assert (no.reason, no.facts) == (Reason.PASS_NOT_VALID, {"state": "used"})
    assert (gate.left(), gate.steps(), len(gate.bought())) == ([2, 1], ["granted", "used"], 1)


def test_an_end_that_meets_a_moved_journal_reads_it_again(gate: Gate) -> None:
    """A reminder is written to the pass's journal while the order it bought is cancelled."""
    made = gate.buy().deposit
    gate.faults.before(
        TOGETHER, lambda: gate.second_shop.commits.run(gate.origin, gate.request_context(gate.by), lambda *_: ())
    )
    gate.cancel(made.id, gate.by)
    assert gate.steps() == ["granted", "used", "returned"]


@pytest.fixture
def real(table: Tables) -> Iterator[Shop]:
    """On real time, with a good line."""
    with inject_faults(table) as (own, _):
        yield Shop(own, REAL)


def passed(shop: Shop, by: Caller, held: str) -> Counter[str]:
    """What happened to a pass, counted."""
    assert by.role == "buyer"
    return Counter(one for one in shop.event_types(f"dep_{held[4:30]}") if one.startswith("priority_pass"))


def test_of_two_orders_at_once_one_has_the_pass(real: Shop, table: Tables) -> None:
    offered = real.publish(units=64, priority={"reserved": {SKU: 32}}, per_buyer=1)
    for _ in range(6):
        by = new_buyer()
        held = real.create_pass(by)
        results = run_at_once([retrying(real.order, offered, by, fresh_key(), priority_pass=held) for _ in range(4)])
        assert sum(isinstance(result, Outcome) for result in results) == 1
        assert Counter(result for result in results if isinstance(result, Reason)) == {Reason.PASS_NOT_VALID: 3}
        assert passed(real, by, held) == {"priority_pass.granted": 1, "priority_pass.used": 1}
        assert counted(table, offered.offer.id, by.id) == 0
    assert sum(live for _, live, *_ in shards(table, offered.offer)) == 6


@pytest.mark.parametrize("attempts", [1, 2])
def test_the_same_tap_at_once_with_lost_answers_is_one_deposit(table: Tables, attempts: int) -> None:
    own = Shop(table, REAL)
    offered = own.publish(units=64, priority={"reserved": {SKU: 32}})
    with inject_faults(table, attempts=attempts, lost_of_100=25) as (lossy, faults):
        for _ in range(5):
            by, press = new_buyer(), fresh_key()
            held = own.create_pass(by)
            acts = [retrying(Shop(lossy, REAL).order, offered, by, press, priority_pass=held) for _ in range(3)]
            made = outcomes(run_at_once(acts))
            assert all(rendered_state(one) == rendered_state(made[0]) for one in made)
            assert passed(own, by, held) == {"priority_pass.granted": 1, "priority_pass.used": 1}
        assert faults.lost
    assert sum(live for _, live, *_ in shards(table, offered.offer)) == 5


def test_an_expiry_racing_a_second_use_gives_the_pass_to_at_most_one(table: Tables) -> None:
    with inject_faults(table) as (own, _):
        shop = Shop(own, REAL)
        offered = shop.publish(units=64, priority={"reserved": {SKU: 32}})
        for _ in range(5):
            by = new_buyer()
            held = shop.create_pass(by)
            first = shop.order(offered, by, priority_pass=held).deposit.id
            again = retrying(shop.order, offered, by, fresh_key(), priority_pass=held)
            ended, second = run_at_once([retrying(shop.cancel, first, by, fresh_key()), again])
            assert isinstance(ended, Outcome)
            used = 2 if isinstance(second, Outcome) else 1
            assert isinstance(second, Outcome) or second is Reason.PASS_NOT_VALID
            told = {"priority_pass.granted": 1, "priority_pass.used": used, "priority_pass.returned": 1}
            assert passed(shop, by, held) == told


def test_a_read_of_passes_is_of_the_buyers_own(gate: Gate) -> None:
    found, position = gate.passes.list_passes(gate.request_context(gate.by), 20, None)
    assert [child("pas", outcome.deposit.id, one.n) for outcome, one in found] == [gate.held]
    assert position is None
    assert gate.passes.list_passes(gate.request_context(new_buyer()), 20, None) == ([], None)


def test_what_comes_back_is_written_by_the_clockwork(gate: Gate) -> None:
    """Whoever ended the order: it is nobody's wish."""
    expire(gate, gate.buy().deposit.id)
    last = gate.second_shop.load(gate.origin).journal[-1]
    assert (last.event.TYPE, last.by.id, last.event.at) == ("priority_pass.returned", "earnest", T0 + DUE + GRACE)


def test_a_pass_is_shown_to_its_buyer_alone(gate: Gate) -> None:
    assert catch_refusal(lambda: gate.passes.find(gate.held, gate.request_context(STAFF))).reason is Reason.NOT_FOUND
