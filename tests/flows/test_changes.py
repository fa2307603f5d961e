"""Changes of configuration: old units go back and new ones come in one write, and nobody is told "sold out" in vain."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

import pytest

from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Reason
from chalicelib.core.selling.ordering import Order, Ordered
from chalicelib.flows.offers import Offered
from chalicelib.flows.snapshot import Outcome
from tests.conftest import Tables
from tests.flows.concurrency import outcomes, retrying, run_at_once, slow_timing
from tests.flows.shop import (
    DAY,
    EARNEST,
    REAL,
    SKU,
    FaultyShop,
    Shop,
    catch_refusal,
    fresh_key,
    new_buyer,
    rendered_state,
)
from tests.store.builders import counted, shards
from tests.store.faults import inject_faults

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
PRO: Final = "su7-pro"
ANY: Final = "paint"
TOGETHER: Final = "TransactWriteItems"


def two_cars(many: int = 100, few: int = 8) -> dict[str, Any]:
    """An offer of two counted cars, and of something that is not counted."""
    price = {"amount": "299900", "currency": "CNY"}
    cars = [(SKU, many, price), (PRO, few, price), (ANY, None, {"amount": "9000", "currency": "CNY"})]
    return {"items": [{"sku": sku, "name": sku, "price": price, "stock": units} for sku, units, price in cars]}


class Showroom(FaultyShop):
    """A buyer has ordered one car and paid for it."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.by = new_buyer()

    def sold(self, quantity: int = 1, per_buyer: int | None = None, **terms: Any) -> Offered:
        self.offered = self.publish(per_buyer=per_buyer, **{**two_cars(), **terms})
        self.id = self.order(self.offered, self.by, quantity=quantity).deposit.id
        self.pay(self.id, amount=EARNEST * quantity)
        return self.offered

    def to(self, *items: tuple[str, int], key_text: str | None = None, **changes: Any) -> Outcome:
        return self.change_items(self.id, self.by, *items, key_text=key_text, **changes)

    def left(self) -> dict[str, int]:
        """Units left of both cars; each shard's own sum is checked by ``shards``."""
        return units_left(self.table, self.offered)


def taken(shop: Shop, offered: Offered, sku: str, by: Caller, key_text: str, quantity: int = 1) -> Outcome:
    """Somebody orders that car."""
    order = Order(offered.offer.id, (Ordered(sku, quantity),), "card", offered.offer.made.terms_hash)
    return shop.orders.create(order, shop.request_context(by, "order", key_text))


def units_left(table: Tables, offered: Offered) -> dict[str, int]:
    found = iter(shards(table, offered.offer))
    return {taken.sku: sum(next(found)[0] for _ in range(taken.shards)) for taken in offered.offer.made.stock}


def units_live(table: Tables, offered: Offered) -> dict[str, int]:
    found = iter(shards(table, offered.offer))
    return {taken.sku: sum(next(found)[1] for _ in range(taken.shards)) for taken in offered.offer.made.stock}


@pytest.fixture
def shop(table: Tables) -> Iterator[Showroom]:
    with Showroom.open(table) as shop:
        yield shop


def test_the_old_unit_goes_back_and_the_new_one_comes_in_one_write(shop: Showroom) -> None:
    shop.sold(per_buyer=1)
    assert shop.left() == {SKU: 99, PRO: 8}
    faults = shop.faults
    outcome = shop.to((PRO, 1))
    assert faults.trips.count(TOGETHER) == 1
    assert "UpdateItem" not in faults.trips
    assert shop.left() == {SKU: 100, PRO: 7}
    assert [(taken.sku, taken.units) for taken in outcome.deposit.stock] == [(PRO, 1)]
    assert counted(shop.table, shop.offered.offer.id, shop.by.id) == 1


def test_what_stays_wanted_stays_on_its_shard(shop: Showroom) -> None:
    shop.sold(quantity=3)
    before = shop.load(shop.id).journal[0].event.stock
    after = shop.to((SKU, 3), (ANY, 1)).deposit.stock
    assert after == before
    assert shop.left() == {SKU: 97, PRO: 8}


def test_a_change_between_goods_that_nobody_counts_touches_no_second_item(shop: Showroom) -> None:
    shop.sold()
    faults = shop.faults
    shop.to((SKU, 1), (ANY, 2))
    assert faults.trips == ["GetItem", "UpdateItem"]


HELD: Final = [
    # units held, then wanted of the one and of the other car; what is left of 100 and 8; units against the limit
    (2, ((SKU, 1),),           {SKU: 99, PRO: 8}, 1),
    (1, ((SKU, 5),),           {SKU: 95, PRO: 8}, 5),
    (2, ((SKU, 1), (PRO, 1)),  {SKU: 99, PRO: 7}, 2),
    (2, ((PRO, 5),),           {SKU: 100, PRO: 3}, 5),
    (2, ((PRO, 3), (PRO, 2)),  {SKU: 100, PRO: 3}, 5),
    (3, ((ANY, 1),),           {SKU: 100, PRO: 8}, 1),
]  # fmt: skip


@pytest.mark.parametrize(("held", "wanted", "left", "units"), HELD)
def test_shelves_and_limits_are_right_after_a_change_and_as_before_after_a_cancel(
    shop: Showroom, held: int, wanted: tuple[tuple[str, int], ...], left: dict[str, int], units: int
) -> None:
    shop.sold(quantity=held, per_buyer=5)
    shop.to(*wanted)
    assert shop.left() == left
    assert counted(shop.table, shop.offered.offer.id, shop.by.id) == units
    shop.cancel(shop.id, shop.by)
    assert shop.left() == {SKU: 100, PRO: 8}
    assert counted(shop.table, shop.offered.offer.id, shop.by.id) == 0


@pytest.mark.parametrize(("wanted", "fits"), [(8, True), (9, False)])
def test_sold_out_is_said_after_a_look_and_takes_nothing(shop: Showroom, wanted: int, fits: bool) -> None:
    shop.sold()
    if fits:
        shop.to((PRO, wanted))
    else:
        no = catch_refusal(lambda: shop.to((PRO, wanted)))
        assert (no.reason, no.facts) == (Reason.SOLD_OUT, {"sku": PRO})
    assert shop.left() == ({SKU: 100, PRO: 0} if fits else {SKU: 99, PRO: 8})


def test_units_that_were_given_back_a_moment_ago_are_found_by_the_look(shop: Showroom) -> None:
    shop.sold(**two_cars(few=1))
    other = new_buyer()
    theirs = shop.second_shop.order(shop.offered, other).deposit.id
    shop.second_shop.pay(theirs)
    shop.second_shop.change_items(theirs, other, (PRO, 1))
    assert catch_refusal(lambda: shop.to((PRO, 1))).reason is Reason.SOLD_OUT
    shop.second_shop.cancel(theirs, other)
    assert shop.to((PRO, 1)).deposit.lines[0].sku == PRO
    assert shop.left() == {SKU: 100, PRO: 0}


def test_units_that_others_took_meanwhile_are_looked_for_on_all_shards(shop: Showroom) -> None:
    shop.sold(**two_cars(few=16))  # two shards of eight

    def faster() -> None:
        """Others take six of each."""
        for hint in ([6, 0], [0, 6]):
            shop.second_shop.set_seen_stock(shop.offered, hint, PRO)
            taken(shop.second_shop, shop.offered, PRO, new_buyer(), fresh_key(), quantity=6)

    faults = shop.faults
    faults.before(TOGETHER, faster)
    outcome = shop.to((PRO, 4))
    assert faults.trips.count(TOGETHER) == 2
    assert sorted((one.shard, one.units) for one in outcome.deposit.stock) == [(0, 2), (1, 2)]
    assert shop.left() == {SKU: 100, PRO: 0}


def test_a_conflict_is_tried_again_and_moves_the_units_once(shop: Showroom) -> None:
    shop.sold()
    shop.faults.fail(TOGETHER, "TransactionCanceledException", reasons=["None", "TransactionConflict", "None"], times=2)
    shop.to((PRO, 1))
    assert shop.left() == {SKU: 100, PRO: 7}


# Replays and versions.


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_change_whose_answer_was_lost_is_found_again_and_moved_its_units_once(table: Tables, attempts: int) -> None:
    with Showroom.open(table, attempts) as shop:
        shop.sold(per_buyer=1, **two_cars(few=1))
        press = fresh_key()
        shop.faults.lose(TOGETHER)
        if attempts == 1:
            assert catch_refusal(lambda: shop.to((PRO, 1), key_text=press)).reason is Reason.BUSY
        again = shop.to((PRO, 1), key_text=press)
        assert again.replayed == (attempts == 1) or again.deposit.changes == 1
        assert rendered_state(shop.to((PRO, 1), key_text=press)) == rendered_state(again)
        assert shop.event_types(shop.id).count("items.changed") == 1
        assert shop.left() == {SKU: 100, PRO: 0}, "the last unit is never refused to the one who has it"
        assert counted(table, shop.offered.offer.id, shop.by.id) == 1


def test_the_same_key_with_other_goods_is_refused(shop: Showroom) -> None:
    shop.sold()
    press = fresh_key()
    shop.to((PRO, 1), key_text=press)
    assert catch_refusal(lambda: shop.to((PRO, 2), key_text=press)).reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert catch_refusal(lambda: shop.to((PRO, 99), key_text=press)).reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert shop.left() == {SKU: 100, PRO: 7}


def test_a_change_is_made_only_to_the_version_that_was_seen(shop: Showroom) -> None:
    shop.sold()
    shown = shop.desk.get(shop.id, shop.request_context(shop.by))
    seen = shown.snapshot.etag
    assert seen == '"2-cooling_off"'
    shop.open_intent(shop.id, shop.by)
    for items in (((PRO, 1),), ((PRO, 99),)):  # also where the shelves would say no
        no = catch_refusal(lambda items=items: shop.to(*items, if_match=seen))  # type: ignore[misc]
        assert (no.reason, no.facts) == (Reason.STALE_VERSION, {"etag": '"3-cooling_off"'})
    assert shop.left() == {SKU: 99, PRO: 8}
    assert shop.to((PRO, 1), if_match='"3-cooling_off"').deposit.version == 4
    assert shop.left() == {SKU: 100, PRO: 7}


def test_a_version_overtaken_on_the_way_moves_nothing(shop: Showroom) -> None:
    shop.sold()
    shop.faults.before(TOGETHER, lambda: shop.second_shop.open_intent(shop.id, shop.by))
    assert catch_refusal(lambda: shop.to((PRO, 1), if_match='"2-cooling_off"')).reason is Reason.STALE_VERSION
    assert shop.left() == {SKU: 99, PRO: 8}


def test_a_change_overtaken_by_a_cancel_moves_nothing(shop: Showroom) -> None:
    shop.sold()
    shop.faults.before(TOGETHER, lambda: shop.second_shop.cancel(shop.id, shop.by))
    no = catch_refusal(lambda: shop.to((PRO, 1)))
    assert (no.reason, no.facts) == (Reason.WRONG_STATE, {"state": "cancelled"})
    assert shop.left() == {SKU: 100, PRO: 8}


# Limits.


@pytest.mark.parametrize(("wanted", "fits"), [(2, True), (3, False)])
def test_a_change_is_measured_by_what_the_buyer_has_elsewhere(shop: Showroom, wanted: int, fits: bool) -> None:
    shop.sold(per_buyer=3)
    shop.order(shop.offered, shop.by)
    if fits:
        shop.to((PRO, wanted))
    else:
        assert catch_refusal(lambda: shop.to((PRO, wanted))).reason is Reason.LIMIT_REACHED
    assert counted(shop.table, shop.offered.offer.id, shop.by.id) == (3 if fits else 2)
    assert shop.left() == ({SKU: 99, PRO: 6} if fits else {SKU: 98, PRO: 8})


@pytest.mark.parametrize(("wanted", "fits"), [(3, True), (4, False)])
def test_a_change_alone_is_measured_by_the_limit(shop: Showroom, wanted: int, fits: bool) -> None:
    shop.sold(per_buyer=3)
    if fits:
        shop.to((PRO, wanted))
    else:
        no = catch_refusal(lambda: shop.to((PRO, wanted)))
        assert (no.reason, no.facts) == (Reason.LIMIT_REACHED, {"per_buyer": 3})


@pytest.mark.parametrize(("at", "done"), [(7 * DAY - 1, True), (7 * DAY, False)])
def test_units_move_only_inside_the_window(shop: Showroom, at: int, done: bool) -> None:
    shop.sold()
    shop.clock.now += at
    if done:
        shop.to((PRO, 1))
    else:
        assert catch_refusal(lambda: shop.to((PRO, 1))).reason is Reason.WRONG_STATE
    assert shop.left() == ({SKU: 100, PRO: 7} if done else {SKU: 99, PRO: 8})


# Many at once.


def test_sixteen_who_change_and_sixteen_who_order_share_nine_units(table: Tables) -> None:
    """No unit is sold twice, none is lost, none is left while somebody is told that there are none."""
    with ExitStack() as lines:
        timing = slow_timing()
        shops = [Shop(lines.enter_context(inject_faults(table))[0], timing) for _ in range(4)]
        offered = shops[0].publish(per_buyer=1, **two_cars(many=64, few=9))
        owners = [new_buyer() for _ in range(16)]
        ids = [shops[0].order(offered, by).deposit.id for by in owners]
        for one in ids:
            shops[0].pay(one)
        others = [new_buyer() for _ in range(16)]
        changing = [
            retrying(shops[n % 4].change_items, one, by, (PRO, 1), key_text=fresh_key())
            for n, (one, by) in enumerate(zip(ids, owners, strict=True))
        ]
        ordering = [retrying(taken, shops[n % 4], offered, PRO, by, fresh_key()) for n, by in enumerate(others)]
        results = run_at_once([act for pair in zip(changing, ordering, strict=True) for act in pair])

        changed = [result for result in results[0::2] if isinstance(result, Outcome)]
        ordered = [result for result in results[1::2] if isinstance(result, Outcome)]
        assert Counter(result for result in results if isinstance(result, Reason)) == {Reason.SOLD_OUT: 32 - 9}
        assert len(changed) + len(ordered) == 9
        assert units_left(table, offered) == {SKU: 64 - 16 + len(changed), PRO: 0}
        assert units_live(table, offered) == {SKU: 16 - len(changed), PRO: 9}
        assert {counted(table, offered.offer.id, by.id) for by in owners} == {1}
        assert sum(counted(table, offered.offer.id, by.id) for by in others) == len(ordered)

        mine = {one.deposit.id: Caller(one.deposit.created.buyer, "buyer") for one in ordered}
        everybody = [*zip(ids, owners, strict=True), *mine.items()]
        outcomes(run_at_once([retrying(shops[0].cancel, one, by, fresh_key()) for one, by in everybody]))
        assert units_left(table, offered) == {SKU: 64, PRO: 9}
        assert {counted(table, offered.offer.id, by.id) for by in (*owners, *others)} == {0}


def test_buyers_who_change_to_and_fro_with_lost_answers_leave_every_unit_where_it_belongs(table: Tables) -> None:
    with inject_faults(table, lost_of_100=10) as (lossy, faults):
        shop = Shop(lossy, slow_timing())
        offered = Shop(table, REAL).publish(per_buyer=2, **two_cars(many=16, few=4))
        good = Shop(table, REAL)
        owners = [new_buyer() for _ in range(8)]
        ids = [good.order(offered, by).deposit.id for by in owners]
        for one in ids:
            good.pay(one)
        wanted: list[tuple[tuple[str, int], ...]] = [((PRO, 1),), ((SKU, 1),), ((SKU, 1), (PRO, 1)), ((PRO, 2),)]
        taps = [
            retrying(shop.change_items, one, by, *items, key_text=f"{one} {n}")
            for n, items in enumerate(wanted)
            for one, by in zip(ids, owners, strict=True)
        ]
        results = run_at_once([tap for tap in taps for _ in range(2)])
        assert faults.lost
    assert {result for result in results if isinstance(result, Reason)} <= {Reason.SOLD_OUT}
    held: Counter[str] = Counter()
    for one, by in zip(ids, owners, strict=True):
        deposit = good.desk.get(one, good.request_context(by)).deposit
        held.update({taken.sku: 0 for taken in deposit.stock})
        for line_ in deposit.lines:
            held[line_.sku] += line_.quantity
        assert sum(taken.units for taken in deposit.stock) == sum(line_.quantity for line_ in deposit.lines)
        assert counted(table, offered.offer.id, by.id) == deposit.limit_units
    live = units_live(table, offered)
    assert live == {SKU: held[SKU], PRO: held[PRO]}
    outcomes(run_at_once([partial(good.cancel, one, by) for one, by in zip(ids, owners, strict=True)]))
    assert units_left(table, offered) == {SKU: 16, PRO: 4}


def test_the_same_tap_many_times_at_once_is_one_change(table: Tables) -> None:
    with inject_faults(table) as (own, _):
        shop = Shop(own, slow_timing())
        offered = shop.publish(per_buyer=1, **two_cars(few=1))
        for _ in range(3):
            by, press = new_buyer(), fresh_key()
            one = shop.order(offered, by).deposit.id
            shop.pay(one)
            results = outcomes(run_at_once([retrying(shop.change_items, one, by, (PRO, 1), key_text=press)] * 6))
            assert all(rendered_state(result) == rendered_state(results[0]) for result in results)
            assert shop.event_types(one).count("items.changed") == 1
            assert units_left(table, offered)[PRO] == 0
            shop.cancel(one, by)
            assert units_left(table, offered)[PRO] == 1
