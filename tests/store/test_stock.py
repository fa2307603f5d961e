"""Stock shards and limits on both engines: units move with what they belong to, never below nothing, never above."""

from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib.core.selling.offer import Offer, spread_units
from chalicelib.core.selling.stock import StockDelta
from chalicelib.flows.ports.effects import LimitCount, StockMove
from chalicelib.store import stock
from tests.conftest import Tables
from tests.store.builders import BUYER, counted, draft, move, publish_offer, shards, take_stock, write
from tests.store.faults import inject_faults


def shelved(offer: Offer, left: int, live: int, sold: int) -> StockMove:
    return StockMove(offer.id, offer.made.batch, StockDelta("su7-max", 0, left, live, sold))


SPREAD: Final = [
    (37, 4, [10, 9, 9, 9]),
    (8, 8, [1] * 8),
    (7, 1, [7]),
    (3, 4, [1, 1, 1, 0]),
]  # fmt: skip


@pytest.mark.parametrize(("units", "parts", "expected"), SPREAD)
def test_units_are_spread_evenly(units: int, parts: int, expected: list[int]) -> None:
    assert list(spread_units(units, parts)) == expected


def test_a_shard_gives_what_it_has_and_takes_back_what_is_out(table: Tables) -> None:
    offer = publish_offer(table, draft(4))

    def draws(units: int) -> bool:
        return move(table, take_stock(offer, 0, units))

    assert not draws(5)
    assert draws(3)
    assert not draws(2)
    assert draws(1)
    assert shards(table, offer) == [(0, 4, 0, 4)]
    assert not draws(-5)
    assert draws(-4)
    assert not draws(-1)
    assert shards(table, offer) == [(4, 0, 0, 4)]


FULL: Final = (4, 3, 2)
MOVES: Final = [
    # left, live and sold change by   and then a shard of 4, 3 and 2 holds
    ((-4, 4, 0),  (0, 7, 2)),   # taken by a deposit
    ((-5, 5, 0),  None),
    ((3, -3, 0),  (7, 0, 2)),   # given back
    ((4, -4, 0),  None),
    ((0, -3, 3),  (4, 0, 5)),   # a deposit that ends with everything shipped
    ((0, -4, 4),  None),
    ((1, -3, 2),  (5, 0, 4)),   # one that ends with a part shipped
    ((1, -4, 3),  None),
    ((2, 0, -2),  (6, 3, 0)),   # sold, and taken back
    ((3, 0, -3),  None),
    ((-4, 0, 4),  (0, 3, 6)),   # sold from the shelf
    ((-5, 0, 5),  None),
    ((0, 2, -2),  (4, 5, 0)),
    ((0, 3, -3),  None),
    ((5, -3, -2), (9, 0, 0)),   # two of them fall: each is held by a condition of its own
    ((6, -4, -2), None),
    ((6, -3, -3), None),
    ((-4, 6, -2), (0, 9, 0)),
    ((-5, 7, -2), None),
    ((-4, 7, -3), None),
    ((-4, -3, 7), (0, 0, 9)),
    ((-5, -3, 8), None),
    ((-4, -4, 8), None),
]  # fmt: skip


@pytest.mark.parametrize(("by", "then"), MOVES)
def test_units_move_between_left_live_and_sold_and_none_falls_below_zero(
    table: Tables, by: tuple[int, int, int], then: tuple[int, int, int] | None
) -> None:
    offer = publish_offer(table, draft(sum(FULL), expected_peak_per_second=1))
    assert move(table, shelved(offer, -5, 3, 2))
    assert shards(table, offer) == [(*FULL, 9)]
    assert move(table, shelved(offer, *by)) == (then is not None)
    assert shards(table, offer) == [(*(then or FULL), 9)]


def test_a_shard_that_is_not_there_gives_nothing(table: Tables) -> None:
    offer = publish_offer(table, draft(4))
    assert not move(table, take_stock(offer, 1, 1))
    assert not move(table, take_stock(offer, 0, 1, "another"))
    assert not move(table, replace(take_stock(offer, 0, 1), batch="other"))
    assert shards(table, offer) == [(4, 0, 0, 4)]


def test_a_limit_counts_up_to_the_most_and_down_to_nothing(table: Tables) -> None:
    def count(units: int, most: int | None = None) -> bool:
        return move(table, LimitCount("off_1", BUYER.id, units, most))

    assert not count(-1)
    assert count(2, 3)
    assert not count(2, 3)
    assert count(1, 3)
    assert counted(table, "off_1") == 3
    assert not count(-4)
    assert count(-3)
    assert counted(table, "off_1") == 0
    assert count(3, 3)


def test_limits_of_buyers_and_offers_are_apart(table: Tables) -> None:
    for offer, buyer in (("off_1", "usr_1"), ("off_1", "usr_2"), ("off_2", "usr_1")):
        assert move(table, LimitCount(offer, buyer, 1, 1))
        assert not move(table, LimitCount(offer, buyer, 1, 1))


def test_stock_grows_and_shrinks_by_what_is_left(table: Tables) -> None:
    offer = publish_offer(table, draft(4))

    def change(units: int) -> bool:
        return write(table, stock.change_shard(table.name, offer, "su7-max", 0, units))

    assert move(table, take_stock(offer, 0, 1))
    assert not change(-4)
    assert change(-3)
    assert shards(table, offer) == [(0, 1, 0, 1)]
    assert change(5)
    assert shards(table, offer) == [(5, 1, 0, 6)]


@pytest.mark.parametrize("consistent", [True, False])
def test_a_look_shows_every_shard_of_every_counted_sku(table: Tables, consistent: bool) -> None:
    price = {"amount": "100", "currency": "CNY"}
    items = [
        {"sku": "many", "name": "Many", "price": price, "stock": 1_024},
        {"sku": "endless", "name": "Endless", "price": price, "stock": None},
        {"sku": "few", "name": "Few", "price": price, "stock": 3},
    ]
    cheap: Any = {"payment": {"deposit": {"amount": "1", "currency": "CNY"}}}
    offer = publish_offer(table, draft(items=items, expected_peak_per_second=1_280, **cheap))  # 128 shards: two batches
    assert move(table, take_stock(offer, 101, 2, "many"))
    other = publish_offer(table, draft(2))
    left = stock.read_left(table.client, table.name, [offer, other], consistent=consistent)
    assert left == {offer.id: {"many": [8] * 101 + [6] + [8] * 26, "few": [3]}, other.id: {"su7-max": [2]}}


@pytest.mark.parametrize("dynamodb", ["ministack"], indirect=True)
def test_a_look_goes_on_where_a_batch_was_cut_short(table: Tables) -> None:
    offer = publish_offer(table, draft(37))
    with inject_faults(table) as (tables, faults):
        faults.withhold()
        left = stock.read_left(tables.client, tables.name, [offer], consistent=True)
        assert left == {offer.id: {"su7-max": [10, 9, 9, 9]}}
        assert faults.trips == ["BatchGetItem"] * 2
