"""Stock shards and limits on both engines: units move with what they belong to, never below nothing, never above."""

from typing import Any, Final

import pytest

from chalicelib.flows.ports import Count, Draw
from chalicelib.store import stock
from tests.conftest import Tables
from tests.store.builders import BUYER, counted, draft, lay_out, move, shards, taken, write
from tests.store.faults import line

SPREAD: Final = [
    (37, 4, [10, 9, 9, 9]),
    (8, 8, [1] * 8),
    (7, 1, [7]),
    (3, 4, [1, 1, 1, 0]),
]  # fmt: skip


@pytest.mark.parametrize(("units", "parts", "expected"), SPREAD)
def test_units_are_spread_evenly(units: int, parts: int, expected: list[int]) -> None:
    assert stock.spread(units, parts) == expected


def test_a_shard_gives_what_it_has_and_takes_back_what_is_out(table: Tables) -> None:
    offer = lay_out(table, draft(4))

    def drawn(units: int, *, back: bool = False) -> bool:
        return move(table, Draw(offer.id, "batch", taken(0, units), back=back))

    assert not drawn(5)
    assert drawn(3)
    assert not drawn(2)
    assert drawn(1)
    assert shards(table, offer) == [(0, 4, 0, 4)]
    assert not drawn(5, back=True)
    assert drawn(4, back=True)
    assert not drawn(1, back=True)
    assert shards(table, offer) == [(4, 0, 0, 4)]


def test_a_limit_counts_up_to_the_most_and_down_to_nothing(table: Tables) -> None:
    def count(units: int, most: int | None = None) -> bool:
        return move(table, Count("off_1", BUYER.id, units, most))

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
        assert move(table, Count(offer, buyer, 1, 1))
        assert not move(table, Count(offer, buyer, 1, 1))


def test_stock_grows_and_shrinks_by_what_is_left(table: Tables) -> None:
    offer = lay_out(table, draft(4))

    def change(units: int) -> bool:
        return write(table, stock.shard_changed(table.name, offer, "su7-max", 0, units))

    assert move(table, Draw(offer.id, "batch", taken(0, 1)))
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
    offer = lay_out(table, draft(items=items, expected_peak_per_second=1_280, **cheap))  # 128 shards: two batches
    assert move(table, Draw(offer.id, "batch", taken(101, 2, "many")))
    other = lay_out(table, draft(2))
    left = stock.left(table.client, table.name, [offer, other], consistent=consistent)
    assert left == {offer.id: {"many": [8] * 101 + [6] + [8] * 26, "few": [3]}, other.id: {"su7-max": [2]}}


@pytest.mark.parametrize("dynamodb", ["ministack"], indirect=True)
def test_a_look_goes_on_where_a_batch_was_cut_short(table: Tables) -> None:
    offer = lay_out(table, draft(37))
    with line(table) as (tables, wire):
        wire.withhold()
        left = stock.left(tables.client, tables.name, [offer], consistent=True)
        assert left == {offer.id: {"su7-max": [10, 9, 9, 9]}}
        assert wire.trips == ["BatchGetItem"] * 2
