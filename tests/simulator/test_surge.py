"""A launch in small: a fiftieth of the orders, of the units and of the peak, in the same time; the same promises."""

import pytest

from tests.simulator.surge import Surge, table


@pytest.fixture(scope="module")
def rush() -> Surge:
    return Surge(orders=2_000, seconds=90, units=500).play()


def test_everybody_is_told_the_truth(rush: Surge) -> None:
    """Nothing is oversold, no unit is lost, and sold-out is said only when nothing is left."""
    totals = rush.stock_totals()
    assert (totals["total"], totals["left"], totals["live"]) == (500, 0, 500), table(rush)
    assert len(rush.sold()) == 500
    assert {buyer.problem for buyer in rush.buyers} == {"", "sold-out"}, table(rush)
    assert rush.false_sold_out == 0


def test_buyers_are_answered_at_once_and_units_are_found_with_few_writes(rush: Surge) -> None:
    """Also while the last ones are sold: the last tenth here, five units would be no measure."""
    assert rush.first_try() >= 0.99, table(rush)
    over_all, late = rush.writes_per_success(10)
    assert over_all <= 1.2, table(rush)
    assert late <= 2, table(rush)


def test_the_same_seed_gives_the_same_rush() -> None:
    once, again = (table(Surge(orders=200, seconds=9, units=60).play()) for _ in range(2))
    assert once == again
