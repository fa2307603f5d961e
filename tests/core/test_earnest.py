"""The earnest rule: the cases a lawyer could check, and what holds for every price, deposit and default."""

import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.money import Money
from chalicelib.core.ending.earnest_money import Default, Settlement, cap_earnest_money, settle_earnest_money
from chalicelib.core.policy import market
from chalicelib.core.policy.market import Market
from tests.core.stories import T0, money

TABLES = Path(__file__).parents[1] / "cases"
CASES = tomllib.loads(TABLES.joinpath("earnest.toml").read_text("utf-8"))["case"]
ENDINGS = tomllib.loads(TABLES.joinpath("entitlements.toml").read_text("utf-8"))["case"]
PARTS = ("forfeited", "refund", "credited", "compensation")
CN, EU, ID = (market.find_policy(code, T0) for code in ("CN", "EU", "ID"))
LAWS = st.sampled_from([CN, EU, ID])
DEFAULTS: st.SearchStrategy[Default] = st.sampled_from(get_args(Default))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_deposit_goes_where_the_case_says(case: dict[str, Any]) -> None:
    price, deposit = money(case["price"]), money(case["deposit"])
    settled = settle_earnest_money(
        deposit,
        price,
        money(case.get("undelivered", case["price"])),
        default=case["default"],
        earnest=case["nature"] == "earnest",
        keepable=case.get("keepable", True),
        law=market.find_policy(case["market"], T0),
    )
    nothing = f"0 {price.currency}"
    assert settled == Settlement(*(money(case.get(part, nothing)) for part in PARTS))


def test_every_published_deposit_is_a_case_here_or_among_the_endings() -> None:
    """DP1 to DP12 are the rows of facts/domain.md section 2.3."""
    published = {case["from"] for case in (*CASES, *ENDINGS) if "from" in case}
    assert published == {f"DP{number}" for number in range(1, 13)}
    assert {case["from"] for case in CASES if "from" in case} == {"DP6", "DP7", "DP9"}


def test_names_of_cases_are_unique() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


def test_the_cases_meet_every_default_and_every_market() -> None:
    assert {case["default"] for case in CASES} == set(get_args(Default))
    assert {case["market"] for case in CASES} == set(market.find_policies(T0))


def test_whose_default_costs_nobody_anything_is_a_matter_of_the_market() -> None:
    strict = CN.model_copy(update={"default": CN.default.model_copy(update={"excused": ()})})
    for default in ("both", "force_majeure"):
        assert default in CN.default.excused
        for law in (CN, strict):
            kept = whole(default, law)
            assert (kept.forfeited, kept.compensation) == (money("0 CNY"), money("0 CNY"))
    lenient = CN.model_copy(update={"default": CN.default.model_copy(update={"excused": ("buyer", "seller")})})
    assert whole("buyer", lenient).refund == whole("seller", lenient).refund == money("20 CNY")
    assert not whole("buyer", lenient).forfeited
    assert not whole("seller", lenient).compensation


def whole(default: Default, law: Market) -> Settlement:
    """DP2 and DP3 in small: 20 of 100, nothing came."""
    hundred = money("100 CNY")
    return settle_earnest_money(
        money("20 CNY"), hundred, hundred, default=default, earnest=True, keepable=True, law=law
    )


def test_a_market_without_proportion_keeps_the_whole_of_what_counts_but_never_more_than_is_left() -> None:
    law = CN.model_copy(update={"default": CN.default.model_copy(update={"proportional": False})})
    buyer = settle_earnest_money(
        money("30 CNY"),
        money("100 CNY"),
        money("90 CNY"),
        default="buyer",
        earnest=True,
        keepable=True,
        law=law,
    )
    assert buyer == Settlement(money("20 CNY"), money("7 CNY"), money("3 CNY"), money("0 CNY"))
    little_left = settle_earnest_money(
        money("30 CNY"),
        money("100 CNY"),
        money("40 CNY"),
        default="buyer",
        earnest=True,
        keepable=True,
        law=law,
    )
    assert little_left == Settlement(money("12 CNY"), money("0 CNY"), money("18 CNY"), money("0 CNY"))


@given(
    st.integers(1, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    DEFAULTS,
    st.booleans(),
    st.booleans(),
    LAWS,
)
def test_the_deposit_is_always_somewhere_and_nobody_is_treated_worse_than_the_law_says(
    price: int, deposit: int, undelivered: int, default: Default, earnest: bool, keepable: bool, law: Market
) -> None:
    price_, paid = Money(price, "CNY"), Money(min(deposit, price), "CNY")
    missing = Money(min(undelivered, price), "CNY")
    settled = settle_earnest_money(paid, price_, missing, default=default, earnest=earnest, keepable=keepable, law=law)
    assert settled.forfeited + settled.refund + settled.credited == paid
    assert min(getattr(settled, part).minor for part in PARTS) >= 0
    share = Fraction(missing.minor, price)
    cap = Fraction(price * law.forfeit.cap_percent, 100) if law.forfeit.cap_percent is not None else Fraction(price)
    assert settled.forfeited.minor <= min(Fraction(paid.minor), cap) * share
    assert (settled.forfeited + settled.refund).minor >= paid.minor * share
    assert settled.compensation <= cap_earnest_money(paid, price_, law)
    if default != "seller" or not earnest:
        assert not settled.compensation
    if default != "buyer" or not earnest or not keepable:
        assert not settled.forfeited


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_the_more_came_the_less_is_lost_and_the_less_comes_back(price: int, deposit: int, more: int, less: int) -> None:
    """Of two deliveries of the same goods the fuller one never gives the buyer more back, nor the merchant more to keep."""
    price_, paid = Money(price, "CNY"), Money(min(deposit, price), "CNY")
    fuller, emptier = sorted((min(more, price), min(less, price)))
    for default in get_args(Default):
        one, other = (
            settle_earnest_money(
                paid, price_, Money(missing, "CNY"), default=default, earnest=True, keepable=True, law=CN
            )
            for missing in (fuller, emptier)
        )
        assert one.forfeited <= other.forfeited
        assert one.compensation <= other.compensation
        assert one.forfeited + one.refund <= other.forfeited + other.refund
