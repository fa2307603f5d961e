"""A new deposit: its units and limits come with it or not at all, and no refusal contradicts an earlier success."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import FieldError, Reason
from chalicelib.core.selling.offer import Available
from chalicelib.core.selling.ordering import HandedIn, Order, Ordered
from chalicelib.flows.offers import Offered
from tests.conftest import Tables
from tests.flows.shop import DAY, GRACE, MINUTE, SKU, FaultyShop, catch_refusal, fresh_key, new_buyer, rendered_state
from tests.store.builders import STAFF, T0, counted, shards

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
TOGETHER: Final = "TransactWriteItems"
CONFLICT: Final[dict[str, Any]] = {
    "code": "TransactionCanceledException",
    "reasons": ["None", "TransactionConflict", "None"],
}


class Counter(FaultyShop):
    """Orders are taken here."""

    def left(self, offered: Offered) -> list[int]:
        return [left for left, *_ in shards(self.table, offered.offer)]

    def stored(self, by: Caller) -> int:
        """How many deposits a buyer has."""
        return len(self.second_shop.store.of_buyer(by.id, 100, None).rows)


@pytest.fixture
def shop(table: Tables) -> Iterator[Counter]:
    with Counter.open(table) as shop:
        yield shop


def test_a_deposit_records_what_it_took_and_where(shop: Counter) -> None:
    offered = shop.publish(units=37, per_buyer=3)
    by = new_buyer()
    outcome = shop.order(offered, by, "a key", quantity=3)
    created = outcome.deposit.created
    [taken] = created.stock
    assert (taken.sku, taken.units, created.limit_units) == (SKU, 3, 3)
    assert shop.left(offered)[taken.shard] == (10, 9, 9, 9)[taken.shard] - 3
    assert counted(shop.table, offered.offer.id, by.id) == 3
    assert outcome.deposit.id == digest_id("dep", by.id, "a key")
    assert not outcome.replayed


def test_what_is_not_counted_touches_no_second_item(shop: Counter) -> None:
    outcome = shop.order(shop.publish(units=None), new_buyer(), quantity=1_000)
    assert outcome.deposit.created.stock == ()
    assert outcome.deposit.created.limit_units == 0


def test_the_same_key_makes_one_deposit_with_one_answer(shop: Counter) -> None:
    offered = shop.publish(units=37, per_buyer=3)
    by, press = new_buyer(), fresh_key()
    first = shop.order(offered, by, press, locale="id")
    shop.clock.now += 3 * MINUTE
    again = shop.order(offered, by, press, locale="en")
    assert again.replayed
    assert rendered_state(again) == rendered_state(first)
    assert sum(shop.left(offered)) == 36
    assert counted(shop.table, offered.offer.id, by.id) == 1


def test_the_same_key_of_another_buyer_is_another_deposit(shop: Counter) -> None:
    offered = shop.publish(units=37)
    press = fresh_key()
    assert shop.order(offered, new_buyer(), press).deposit.id != shop.order(offered, new_buyer(), press).deposit.id


@pytest.mark.parametrize("quantity", [2, 1_000_000])
def test_the_same_key_with_another_body_is_refused_whatever_the_body(shop: Counter, quantity: int) -> None:
    offered = shop.publish(units=37, per_buyer=3)
    by, press = new_buyer(), fresh_key()
    shop.order(offered, by, press)
    assert catch_refusal(lambda: shop.order(offered, by, press, quantity)).reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert sum(shop.left(offered)) == 36


def test_a_creation_whose_answer_was_lost_finds_itself(shop: Counter) -> None:
    offered = shop.publish(units=37, per_buyer=1)
    by = new_buyer()
    shop.faults.lose(TOGETHER)
    outcome = shop.order(offered, by)
    assert outcome.replayed
    assert shop.stored(by) == 1
    assert sum(shop.left(offered)) == 36


def test_another_body_is_refused_also_when_the_first_answer_was_lost(shop: Counter) -> None:
    offered = shop.fill_caches(shop.publish(units=37, per_buyer=3))
    by, press = new_buyer(), fresh_key()
    faults = shop.faults
    faults.lose(TOGETHER)
    faults.lose("GetItem")
    assert catch_refusal(lambda: shop.order(offered, by, press, 1)).reason is Reason.BUSY
    assert catch_refusal(lambda: shop.order(offered, by, press, 2)).reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert sum(shop.left(offered)) == 36


LOST_LAST: Final = [
    # what stands in the way of the second try of the one who took the last unit
    "nothing", "a look that showed nothing left", "a closed offer", "a full limit",
]  # fmt: skip


@pytest.mark.parametrize("obstacle", LOST_LAST)
def test_a_refusal_never_contradicts_an_earlier_success_that_was_lost(shop: Counter, obstacle: str) -> None:
    offered = shop.fill_caches(shop.publish(units=1, per_buyer=1))
    by, press = new_buyer(), fresh_key()
    faults = shop.faults
    faults.lose(TOGETHER)
    faults.fail("GetItem", "ThrottlingException")
    assert catch_refusal(lambda: shop.order(offered, by, press)).reason is Reason.BUSY
    assert faults.trips == [TOGETHER, "GetItem"]
    shop.clock.now += 1
    if obstacle == "a look that showed nothing left":
        shop.set_seen_stock(offered, [0])
    if obstacle == "a closed offer":
        shop.catalogue.close(offered.offer.id, shop.request_context(STAFF, "close", "close"))
    if obstacle == "a full limit":
        assert catch_refusal(lambda: shop.order(offered, by)).reason in {Reason.LIMIT_REACHED, Reason.SOLD_OUT}
    assert shop.order(offered, by, press).replayed
    assert catch_refusal(lambda: shop.order(offered, new_buyer(), press)).reason in {
        Reason.SOLD_OUT,
        Reason.OFFER_NOT_OPEN,
    }


def test_an_order_that_was_written_is_not_too_thinly_spread_afterwards(shop: Counter) -> None:
    offered = shop.fill_caches(shop.publish(units=1_024, expected_peak_per_second=1_280))
    by, press = new_buyer(), fresh_key()
    shop.set_seen_stock(offered, [8] * 128)
    faults = shop.faults
    faults.lose(TOGETHER)
    faults.fail("GetItem", "ThrottlingException")
    assert catch_refusal(lambda: shop.order(offered, by, press, 100)).reason is Reason.BUSY
    shop.clock.now += 1
    shop.set_seen_stock(offered, [1] * 128)
    assert shop.order(offered, by, press, 100).replayed
    assert catch_refusal(lambda: shop.order(offered, by, fresh_key(), 100)).reason is Reason.SOLD_OUT


def test_sold_out_is_said_after_a_look_at_every_shard(shop: Counter) -> None:
    offered = shop.publish(units=16, per_buyer=None)  # two shards
    assert shop.left(offered) == [8, 8]
    for _ in range(16):
        shop.order(offered, new_buyer())
    no = catch_refusal(lambda: shop.order(offered, new_buyer()))
    assert (no.reason, no.facts) == (Reason.SOLD_OUT, {"sku": SKU})
    assert shop.left(offered) == [0, 0]


@pytest.mark.parametrize(("later", "remembered"), [(999, True), (1_000, False)])
def test_sold_out_is_remembered_for_a_second(shop: Counter, later: int, remembered: bool) -> None:
    offered = shop.publish(units=1)
    first = shop.order(offered, new_buyer())
    buyer = new_buyer()
    assert catch_refusal(lambda: shop.order(offered, buyer)).reason is Reason.SOLD_OUT
    shop.second_shop.cancel(first.deposit.id, Caller(first.deposit.created.buyer, "buyer"))
    shop.clock.now += later
    if remembered:
        assert catch_refusal(lambda: shop.order(offered, buyer)).reason is Reason.SOLD_OUT
    else:
        assert shop.order(offered, buyer).deposit.version == 1


def test_an_order_spans_shards_when_none_has_enough(shop: Counter) -> None:
    offered = shop.publish(units=37)
    outcome = shop.order(offered, new_buyer(), quantity=35)
    assert sorted(taken.units for taken in outcome.deposit.stock) == [7, 9, 9, 10]
    assert sum(shop.left(offered)) == 2
    assert catch_refusal(lambda: shop.order(offered, new_buyer(), quantity=3)).reason is Reason.SOLD_OUT
    shop.clock.now += 1_000
    by = new_buyer()
    two = shop.order(offered, by, quantity=2)
    shop.cancel(two.deposit.id, by)
    assert sum(shop.left(offered)) == 2


def test_two_lines_of_one_sku_draw_together(shop: Counter) -> None:
    offered = shop.publish(units=7)  # one shard
    by, asked = new_buyer(), "two lines"
    order = Order(offered.offer.id, (Ordered(SKU, 3), Ordered(SKU, 4)), "card", offered.offer.made.terms_hash)
    outcome = shop.orders.create(order, shop.request_context(by, asked, fresh_key()))
    assert [taken.units for taken in outcome.deposit.stock] == [7]


DRAWS: Final = [
    # units asked of 128 shards of 8, and the shards they come from: the write takes 30 actions, deposit and limit in it
    (224, 28), (225, None), (1_000, None),
]  # fmt: skip


@pytest.mark.parametrize(("quantity", "drawn"), DRAWS)
def test_an_order_over_more_shards_than_one_write_takes_is_refused(
    shop: Counter, quantity: int, drawn: int | None
) -> None:
    offered = shop.publish(units=1_024, per_buyer=1_000, expected_peak_per_second=1_280)
    if drawn is None:
        no = catch_refusal(lambda: shop.order(offered, new_buyer(), quantity=quantity))
        assert (no.reason, no.facts) == (Reason.SOLD_OUT, {"sku": SKU})
    else:
        assert len(shop.order(offered, new_buyer(), quantity=quantity).deposit.stock) == drawn
    assert sum(shop.left(offered)) == 1_024 - (quantity if drawn else 0)


def test_a_conflict_on_a_shard_sends_the_order_to_another(shop: Counter) -> None:
    offered = shop.publish(units=37, per_buyer=1)
    shop.order(offered, new_buyer())
    asked: list[str] = []
    faults = shop.faults
    faults.fail(TOGETHER, **CONFLICT, times=3)
    faults.watch(TOGETHER, lambda body: asked.append(json.loads(body)["TransactItems"][1]["Update"]["Key"]["pk"]["S"]))
    shop.order(offered, new_buyer())
    assert len(asked) == len(set(asked)) == 4, "each try at another shard"
    assert sum(shop.left(offered)) == 35


def test_conflicts_without_end_are_busy_and_take_nothing(shop: Counter) -> None:
    offered = shop.publish(units=37, per_buyer=1)
    by = new_buyer()
    shop.faults.fail(TOGETHER, **CONFLICT, times=99)
    assert catch_refusal(lambda: shop.order(offered, by)).reason is Reason.BUSY
    assert shop.clock.now - T0 in range(2_000, 2_801)
    assert shop.stored(by) == 0
    assert sum(shop.left(offered)) == 37


@pytest.mark.parametrize(("most", "quantity", "fits"), [(3, 3, True), (3, 4, False)])
def test_the_first_order_is_measured_by_the_limit(shop: Counter, most: int, quantity: int, fits: bool) -> None:
    offered = shop.publish(units=37, per_buyer=most)
    if fits:
        shop.order(offered, new_buyer(), quantity=quantity)
    else:
        no = catch_refusal(lambda: shop.order(offered, new_buyer(), quantity=quantity))
        assert (no.reason, no.facts) == (Reason.LIMIT_REACHED, {"per_buyer": most})


@pytest.mark.parametrize("ends", ["cancelled", "expired"])
def test_units_and_limits_come_back_with_the_end_of_an_unpaid_deposit(shop: Counter, ends: str) -> None:
    offered = shop.publish(units=37, per_buyer=12)
    by = new_buyer()
    one = shop.order(offered, by, quantity=12).deposit
    before = shards(shop.table, offered.offer)
    assert len(one.stock) == 2
    assert catch_refusal(lambda: shop.order(offered, by)).reason is Reason.LIMIT_REACHED
    if ends == "cancelled":
        shop.cancel(one.id, by)
    else:
        shop.clock.now += 15 * MINUTE + GRACE
        shop.deposit_worker.process_due(one.id, "job/1")
    after = shards(shop.table, offered.offer)
    assert after == [(total, 0, 0, total) for *_, total in before]
    assert counted(shop.table, offered.offer.id, by.id) == 0
    assert shop.order(offered, by, quantity=12).deposit.limit_units == 12


def test_what_came_back_once_does_not_come_back_again(shop: Counter) -> None:
    offered = shop.publish(units=37, per_buyer=1)
    by = new_buyer()
    one = shop.order(offered, by).deposit.id
    shop.cancel(one, by)
    shop.clock.now += DAY
    shop.deposit_worker.process_due(one, "job/1")
    shop.pay(one)  # too late: it goes back by itself, the unit does not come twice
    assert sum(shop.left(offered)) == 37
    assert counted(shop.table, offered.offer.id, by.id) == 0


@pytest.mark.parametrize(("age", "written"), [(30_000, True), (30_001, False)])
def test_an_order_older_than_thirty_seconds_takes_nothing(shop: Counter, age: int, written: bool) -> None:
    offered = shop.publish(units=37)
    by, received = new_buyer(), shop.clock.now
    shop.clock.now += age
    if written:
        shop.order(offered, by, at=received, received=received)
    else:
        assert catch_refusal(lambda: shop.order(offered, by, at=received, received=received)).reason is Reason.BUSY
    assert shop.stored(by) == written


FIELDS: Final = [
    ({"offer": "off_1"}, Reason.INVALID_REQUEST, "/offer"),
    ({"items": (Ordered("other", 1),)}, Reason.INVALID_REQUEST, "/items/0/sku"),
    ({"priority_pass": "pas_1"}, Reason.INVALID_REQUEST, "/priority_pass"),
    ({"trade_in": HandedIn("phone", "old")}, Reason.INVALID_REQUEST, "/trade_in"),
    ({"payment_method": "gopay"}, Reason.PAYMENT_METHOD_NOT_OFFERED, "/payment_method"),
    ({"items": (Ordered(SKU, 10**9),)}, Reason.INVALID_REQUEST, "/items"),
    ({"terms_hash": "sha256:other"}, Reason.TERMS_CHANGED, None),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason", "pointer"), FIELDS)
def test_an_order_that_cannot_be_taken_writes_nothing(
    shop: Counter, change: dict[str, Any], reason: Reason, pointer: str | None
) -> None:
    offered = shop.publish(units=None)
    by = new_buyer()
    order = Order(offered.offer.id, (Ordered(SKU, 1),), "card", offered.offer.made.terms_hash)
    no = catch_refusal(lambda: shop.orders.create(replace(order, **change), shop.request_context(by, "", fresh_key())))
    assert no.reason is reason
    assert [fault.pointer for fault in no.faults] == ([pointer] if pointer else [])
    assert shop.stored(by) == 0


def test_an_offer_that_cannot_be_read_is_busy_and_not_unknown(shop: Counter) -> None:
    offered = shop.publish(units=None)
    shop.faults.fail("GetItem", "ThrottlingException")
    assert catch_refusal(lambda: shop.order(offered, new_buyer())).reason is Reason.BUSY


OPENING: Final = [
    (T0 - 1, Reason.OFFER_NOT_OPEN), (T0, None), (T0 + DAY - 1, None), (T0 + DAY, Reason.OFFER_NOT_OPEN),
]  # fmt: skip


@pytest.mark.parametrize(("at", "reason"), OPENING)
def test_an_order_is_judged_by_the_instant_it_was_asked(shop: Counter, at: int, reason: Reason | None) -> None:
    hours: Any = {"opens_at": "2026-11-21T14:00:00.000Z", "closes_at": "2026-11-22T14:00:00.000Z"}
    offered = shop.publish(units=None, **hours)
    if reason is None:
        assert shop.order(offered, new_buyer(), at=at).deposit.created_at == at
    else:
        assert catch_refusal(lambda: shop.order(offered, new_buyer(), at=at)).reason is reason


def test_stock_of_a_new_offer_is_what_was_published(shop: Counter) -> None:
    assert shop.publish(units=37).available == (Available(SKU, 37),)
    assert FieldError("/offer", "unknown_offer") in catch_refusal(lambda: shop.orders._offer_of("off_1")).faults
