"""Where units and limits are when a deposit has ended: sold what is with the buyer, on its shelf what is not."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from chalicelib.core.common.refusal import Reason
from chalicelib.core.delivery.fulfilment import PayBalance, Receive, Ship
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.status import Status
from chalicelib.core.ending.withdrawal import Sender
from chalicelib.core.selling.ordering import Order, Ordered
from chalicelib.flows.images import fold_stored
from chalicelib.flows.snapshot import Outcome
from tests.conftest import Tables
from tests.flows.shop import DAY, EARNEST, PRICE, SKU, FaultyShop, catch_refusal, fresh_key, new_buyer
from tests.store.builders import STAFF, counted, shards

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
FULL: Final[dict[str, Any]] = {"preset": "flash_sale", "currency": "CNY", "payment": {"methods": ["card"]}}


class Depot(FaultyShop):
    """Goods leave from here."""

    def sold(self, quantity: int, units: int = 20, **terms: Any) -> None:
        """A deposit that is fully paid and locked for good."""
        self.by = new_buyer()
        self.offered = self.publish(units=units, per_buyer=quantity, **{**FULL, **terms})
        self.id = self.order(self.offered, self.by, quantity=quantity).deposit.id
        self.pay(self.id, amount=PRICE * quantity)

    def ship(self, units: int, line: int = 1, key_text: str | None = None) -> Outcome:
        return self.command(self.id, Ship((Units(line, units),)), STAFF, key_text)

    def units(self) -> tuple[int, int, int]:
        """Left, live and sold of all shards; each shard's own sum is checked by ``shards``."""
        left, live, sold, _ = map(sum, zip(*shards(self.table, self.offered.offer), strict=True))
        return left, live, sold

    def limit(self) -> int:
        return counted(self.table, self.offered.offer.id, self.by.id)


@pytest.fixture
def depot(table: Tables) -> Iterator[Depot]:
    with Depot.open(table) as depot:
        yield depot


def test_units_are_sold_with_the_last_shipment_in_one_write(depot: Depot) -> None:
    depot.sold(3)
    assert depot.units() == (17, 3, 0)
    depot.ship(2)
    assert depot.units() == (17, 3, 0)
    faults = depot.faults
    outcome = depot.ship(1)
    assert faults.trips == ["GetItem", "TransactWriteItems"]
    assert outcome.deposit.status is Status.COMPLETED
    assert depot.units() == (17, 0, 3)
    assert depot.limit() == 3, "who has bought has bought"


def test_units_from_several_shards_are_sold_on_each(depot: Depot) -> None:
    depot.sold(15)  # two shards of ten
    assert len(fold_stored(depot.load(depot.id)).stock) == 2
    depot.ship(15)
    assert depot.units() == (5, 0, 15)


def test_a_last_shipment_whose_answer_was_lost_sells_its_units_once(depot: Depot) -> None:
    depot.sold(2)
    press = fresh_key()
    depot.faults.lose("TransactWriteItems")
    assert catch_refusal(lambda: depot.ship(2, key_text=press)).reason is Reason.BUSY
    assert depot.ship(2, key_text=press).replayed
    assert depot.units() == (18, 0, 2)
    assert catch_refusal(lambda: depot.ship(1)).reason is Reason.WRONG_STATE


def test_what_comes_after_the_end_moves_no_unit(depot: Depot) -> None:
    depot.sold(2)
    depot.ship(2)
    faults = depot.faults
    depot.command(depot.id, Receive(), depot.by)
    assert faults.trips == ["GetItem", "UpdateItem"]
    assert depot.units() == (18, 0, 2)


PARTS: Final = [
    # units bought, shipped before the cancel, and the shelf of 20 after it
    (3, 0, (20, 0, 0)), (3, 1, (19, 0, 1)), (3, 2, (18, 0, 2)), (15, 4, (16, 0, 4)), (15, 14, (6, 0, 14)),
]  # fmt: skip


@pytest.mark.parametrize(("bought", "shipped", "shelf"), PARTS)
def test_a_cancel_after_a_part_was_shipped_sells_that_part_and_gives_the_rest_back(
    depot: Depot, bought: int, shipped: int, shelf: tuple[int, int, int]
) -> None:
    depot.sold(bought)
    if shipped:
        depot.ship(shipped)
    cancelled = depot.cancel(depot.id, depot.by).deposit
    assert depot.units() == shelf
    assert depot.limit() == 0
    assert cancelled.money.refunding == PRICE * (bought - shipped)
    assert cancelled.money.held == PRICE * shipped


def test_units_that_came_back_from_a_cancel_can_be_sold_again(depot: Depot) -> None:
    depot.sold(5, units=5)
    depot.ship(2)
    depot.cancel(depot.id, depot.by)
    first = (depot.id, depot.by)
    depot.by = new_buyer()
    depot.id = depot.order(depot.offered, depot.by, quantity=3).deposit.id
    depot.pay(depot.id, amount=PRICE * 3)
    depot.ship(3)
    assert depot.units() == (0, 0, 5)
    assert catch_refusal(lambda: depot.cancel(*first)).reason is Reason.ALREADY_CANCELLED


def test_a_withdrawal_after_delivery_returns_the_money_and_leaves_the_units_sold(depot: Depot) -> None:
    """The return of the goods is outside this service: whether they can be sold again is the merchant's word."""
    depot.sold(2)
    depot.ship(2)
    sender = Sender("A", "a@example.test", "en")
    stated = depot.withdrawals.state(depot.id, sender, depot.request_context(depot.by, "state", fresh_key()))[2]
    confirming = depot.request_context(depot.by, "confirm", fresh_key())
    after = depot.withdrawals.confirm(depot.id, stated.id, confirming)[0].deposit
    assert after.status is Status.CANCELLED
    assert after.money.refunding == PRICE * 2
    assert depot.units() == (18, 0, 2)


def test_a_car_is_sold_when_its_balance_is_paid_and_it_has_left(depot: Depot) -> None:
    by = depot.by = new_buyer()
    depot.offered = depot.publish(units=5, per_buyer=1)
    depot.id = depot.order(depot.offered, by).deposit.id
    depot.pay(depot.id)
    depot.clock.now += 7 * DAY
    assert catch_refusal(lambda: depot.ship(1)).reason is Reason.WRONG_STATE
    depot.command(depot.id, PayBalance("card"), by)
    depot.pay(depot.id, amount=PRICE - EARNEST, payment=2)
    assert depot.units() == (4, 1, 0)
    depot.ship(1)
    assert depot.units() == (4, 0, 1)
    assert depot.event_types(depot.id)[-2:] == ["goods.shipped", "deposit.completed"]


def test_of_a_cancel_and_the_last_shipment_at_once_units_go_one_way_only(depot: Depot) -> None:
    depot.sold(2)
    depot.faults.before("TransactWriteItems", lambda: depot.second_shop.cancel(depot.id, depot.by))
    assert catch_refusal(lambda: depot.ship(2)).reason is Reason.WRONG_STATE
    assert depot.units() == (20, 0, 0)
    depot.sold(2)
    shipping = Ship((Units(1, 2),))
    depot.faults.before("TransactWriteItems", lambda: depot.second_shop.command(depot.id, shipping, STAFF))
    assert catch_refusal(lambda: depot.cancel(depot.id, depot.by)).reason is Reason.WRONG_STATE
    assert depot.units() == (18, 0, 2)


@pytest.mark.parametrize(("first", "second", "shelf"), [(2, 1, (17, 0, 3)), (1, 1, (18, 0, 2)), (0, 2, (18, 0, 2))])
def test_two_lines_of_one_sku_are_sold_from_the_same_units(
    depot: Depot, first: int, second: int, shelf: tuple[int, int, int]
) -> None:
    depot.by = new_buyer()
    offered = depot.offered = depot.publish(units=20, per_buyer=4, **FULL)
    order = Order(offered.offer.id, (Ordered(SKU, 2), Ordered(SKU, 2)), "card", offered.offer.made.terms_hash)
    depot.id = depot.orders.create(order, depot.request_context(depot.by, "order", fresh_key())).deposit.id
    depot.pay(depot.id, amount=PRICE * 4)
    for line, units in ((1, first), (2, second)):
        if units:
            depot.ship(units, line)
    depot.cancel(depot.id, depot.by)
    assert depot.units() == (20 - first - second, 0, first + second) == shelf
