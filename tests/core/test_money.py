"""Money: every way to write it wrong is refused, and no unit appears or disappears."""

import operator
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.money import Currency, Money, currencies, total

LARGEST = 9_999_999_999_999
CODES = st.sampled_from(sorted(currencies()))
MINOR = st.integers(0, LARGEST)
WEIGHTS = st.lists(st.integers(0, 10**12), min_size=1, max_size=20).filter(any)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("0",                "CNY", 0),
        ("5000",             "CNY", 500_000),
        ("5000.00",          "CNY", 500_000),
        ("5000.5",           "CNY", 500_050),
        ("4999.99",          "CNY", 499_999),
        ("0.01",             "EUR", 1),
        ("150000",           "IDR", 15_000_000),
        ("150000.00",        "IDR", 15_000_000),
        ("1",                "JPY", 1),
        ("50.000",           "KWD", 50_000),  # fifty dinar, where three decimals are the rule
        ("0.001",            "KWD", 1),
        ("9999999999999",    "JPY", LARGEST),
        ("9999999999999.99", "EUR", 999_999_999_999_999),
    ],
)  # fmt: skip
def test_an_amount_is_read(amount: str, currency: str, minor: int) -> None:
    assert Money.parse(amount, currency) == Money(minor, currency)


@pytest.mark.parametrize("currency", ["IDR", "CNY", "EUR", "JPY"])
@pytest.mark.parametrize("amount", [
    "50.000", "Rp50.000", "50,000", "1.000.000,50", "5e3", "¥5000", "5000元", "2万", "-5000", "+5000",
    "５０００",  # noqa: RUF001 - full-width digits are the point
    " 5000 ", "05000", "5000.", ".50", "NaN", "1_000",
])  # fmt: skip
def test_an_amount_that_a_person_could_mean_otherwise_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(ValueError, match=r"^(amount|decimals)$"):
        Money.parse(amount, currency)


@pytest.mark.parametrize(
    ("amount", "currency", "fault"),
    [
        # the last that is read above, the first that is not here
        ("10000000000000", "JPY", "amount"),
        ("1.0000",         "KWD", "amount"),
        ("00",             "CNY", "amount"),
        ("00.5",           "CNY", "amount"),
        ("5000\n",         "CNY", "amount"),
        ("",               "CNY", "amount"),
        ("-0",             "CNY", "amount"),
        ("Infinity",       "CNY", "amount"),
        ("0x10",           "CNY", "amount"),
        ("٥٠٠٠",           "CNY", "amount"),  # noqa: RUF001 - Arabic digits are the point
        ("5000.005",       "CNY", "decimals"),
        ("5000.000",       "CNY", "decimals"),
        ("5000.0",         "JPY", "decimals"),
        ("150000.50",      "IDR", "decimals"),
        ("150000.01",      "IDR", "decimals"),
        ("5000",           "cny", "currency"),
        ("5000",           "XXX", "currency"),
        ("5000",           "",    "currency"),
        ("x",              "XXX", "currency"),
    ],
)  # fmt: skip
def test_a_refused_amount_names_its_fault(amount: str, currency: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        Money.parse(amount, currency)


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [
        (0,         "CNY", "0"),
        (500_000,   "CNY", "5000"),
        (499_950,   "CNY", "4999.50"),
        (1,         "CNY", "0.01"),
        (-1,        "CNY", "-0.01"),
        (-500_000,  "CNY", "-5000"),
        (-100,      "IDR", "-1"),
        (5_000,     "JPY", "5000"),
        (50_000,    "KWD", "50"),
        (50_001,    "KWD", "50.001"),
    ],
)  # fmt: skip
def test_an_amount_has_one_output_form(minor: int, currency: str, amount: str) -> None:
    assert Money(minor, currency).amount == amount
    assert str(Money(minor, currency)) == f"{amount} {currency}"


@given(MINOR, CODES)
def test_what_is_written_is_read_back(minor: int, code: str) -> None:
    money = Money(minor - minor % currencies()[code].step, code)
    assert Money.parse(money.amount, code) == money


def test_rupiah_are_traded_whole_and_yen_have_no_decimals() -> None:
    assert currencies()["IDR"] == Currency(decimals=2, step=100)
    assert currencies()["JPY"] == Currency(decimals=0, step=1)
    assert currencies()["KWD"] == Currency(decimals=3, step=1)


@pytest.mark.parametrize(
    ("minor", "percent", "floored"),
    [
        (10_000,     20,  2_000),  # the cap of DP4
        (3_333,      20,  666),    # DP10: never rounded against the buyer
        (4,          20,  0),
        (5,          20,  1),
        (21_590_000, 20,  4_318_000),
        (9_999,      100, 9_999),
        (9_999,      0,   0),
    ],
)  # fmt: skip
def test_caps_floor(minor: int, percent: int, floored: int) -> None:
    assert Money(minor, "CNY").percent_floor(percent) == Money(floored, "CNY")


@given(MINOR, st.integers(0, 100))
def test_a_cap_is_less_than_one_unit_below_the_exact_share(minor: int, percent: int) -> None:
    exact = Fraction(minor * percent, 100)
    assert 0 <= exact - Money(minor, "EUR").percent_floor(percent).minor < 1


@pytest.mark.parametrize(
    ("minor", "part", "whole", "kept", "owed"),
    [
        (2_000, 4_000, 10_000, 800,   800),    # DP6: two fifths, without a rest
        (1_000, 1,     3,      333,   334),    # a rest is never against the buyer
        (1_000, 2,     3,      666,   667),
        (1,     1,     2,      0,     1),
        (1_000, 0,     3,      0,     0),
        (1_000, 3,     3,      1_000, 1_000),
        (0,     1,     3,      0,     0),
    ],
)  # fmt: skip
def test_a_share_that_is_kept_floors_and_one_that_is_owed_rounds_up(
    minor: int, part: int, whole: int, kept: int, owed: int
) -> None:
    amount = Money(minor, "CNY")
    assert (amount.share_floor(part, whole), amount.share_ceil(part, whole)) == (Money(kept, "CNY"), Money(owed, "CNY"))


@given(MINOR, st.integers(0, 10**12), st.integers(1, 10**12))
def test_the_two_shares_lie_around_the_exact_one(minor: int, part: int, whole: int) -> None:
    amount, exact = Money(minor, "EUR"), Fraction(minor * part, whole)
    floor, ceil = amount.share_floor(part, whole).minor, amount.share_ceil(part, whole).minor
    assert floor <= exact <= ceil
    assert ceil - floor == (0 if exact.denominator == 1 else 1)


@pytest.mark.parametrize(
    ("minor", "weights", "parts"),
    [
        # a voucher over five lines, as published: what is left goes to the largest fraction, ties to the first line
        (10_000, [75_000, 75_000, 60_000, 45_000, 45_000], [2_500, 2_500, 2_000, 1_500, 1_500]),
        (10_001, [75_000, 75_000, 60_000, 45_000, 45_000], [2_501, 2_500, 2_000, 1_500, 1_500]),
        (1,      [1, 1],                                   [1, 0]),
        (2,      [1, 1],                                   [1, 1]),
        (100,    [1, 1, 1],                                [34, 33, 33]),
        (1,      [1, 2],                                   [0, 1]),
        (5,      [0, 1, 0],                                [0, 5, 0]),
        (0,      [3, 4],                                   [0, 0]),
        (0,      [0, 0],                                   [0, 0]),
        (0,      [],                                       []),
    ],
)  # fmt: skip
def test_a_split_follows_the_largest_remainder(minor: int, weights: list[int], parts: list[int]) -> None:
    assert Money(minor, "CNY").split(weights) == tuple(Money(part, "CNY") for part in parts)


@pytest.mark.parametrize(
    ("minor", "weights", "parts"),
    [
        (1_000_000, [75_000, 75_000, 60_000, 45_000, 45_000], [250_000, 250_000, 200_000, 150_000, 150_000]),
        (1_000_100, [75_000, 75_000, 60_000, 45_000, 45_000], [250_100, 250_000, 200_000, 150_000, 150_000]),
        (100,       [1, 1],                                   [100, 0]),
        (200,       [1, 1],                                   [100, 100]),
        (10_000,    [1, 1, 1],                                [3_400, 3_300, 3_300]),
        (100,       [1, 2],                                   [0, 100]),
        (150,       [1, 1],                                   [150, 0]),  # less than a rupiah stays with the first
        (99,        [1, 1],                                   [99, 0]),
        (199,       [0, 1, 1],                                [0, 199, 0]),
    ],
)  # fmt: skip
def test_rupiah_are_split_in_whole_ones(minor: int, weights: list[int], parts: list[int]) -> None:
    assert Money(minor, "IDR").split(weights) == tuple(Money(part, "IDR") for part in parts)


@pytest.mark.parametrize(
    ("minor", "part", "whole", "kept", "owed"),
    [
        (100_000, 1, 3, 33_300, 33_400),
        (100_000, 2, 4, 50_000, 50_000),
        (100,     1, 2, 0,      100),
        (99,      1, 1, 0,      100),
        (0,       1, 3, 0,      0),
    ],
)  # fmt: skip
def test_rupiah_are_shared_in_whole_ones(minor: int, part: int, whole: int, kept: int, owed: int) -> None:
    amount = Money(minor, "IDR")
    assert (amount.share_floor(part, whole), amount.share_ceil(part, whole)) == (Money(kept, "IDR"), Money(owed, "IDR"))


@given(MINOR, WEIGHTS)
def test_parts_of_rupiah_sum_to_the_whole(minor: int, weights: list[int]) -> None:
    parts = Money(minor, "IDR").split(weights)
    assert total(parts, "IDR") == Money(minor, "IDR")
    assert sum(part.minor % 100 != 0 for part in parts) <= 1


@given(MINOR, WEIGHTS)
def test_parts_sum_to_the_whole(minor: int, weights: list[int]) -> None:
    whole = Money(minor, "CNY")
    assert total(whole.split(weights), "CNY") == whole


@given(MINOR, WEIGHTS)
def test_each_part_is_less_than_one_unit_from_its_exact_share(minor: int, weights: list[int]) -> None:
    for part, weight in zip(Money(minor, "CNY").split(weights), weights, strict=True):
        assert abs(part.minor - Fraction(minor * weight, sum(weights))) < 1


@given(MINOR, st.lists(st.integers(1, 100), min_size=2, max_size=8))
def test_equal_weights_never_favour_a_later_line(minor: int, weights: list[int]) -> None:
    parts = [part.minor for part in Money(minor, "CNY").split([weights[0]] * len(weights))]
    assert parts == sorted(parts, reverse=True)


@pytest.mark.parametrize(
    "mix",
    [operator.add, operator.sub, operator.lt, operator.le, operator.gt, operator.ge, lambda *both: total(both, "CNY")],
)
def test_currencies_do_not_mix(mix: Callable[[Money, Money], object]) -> None:
    with pytest.raises(ValueError, match=r"^CNY and IDR do not mix$"):
        mix(Money(1, "CNY"), Money(1, "IDR"))


def test_nothing_in_one_currency_is_not_nothing_in_another() -> None:
    assert Money.zero("CNY") != Money.zero("IDR")


@given(MINOR, MINOR, st.integers(0, 100))
def test_arithmetic_is_that_of_whole_numbers(one: int, other: int, times: int) -> None:
    a, b = Money(one, "EUR"), Money(other, "EUR")
    assert a + b - b == a
    assert -a + a == Money.zero("EUR")
    assert a * times == total([a] * times, "EUR")
    assert (a < b, a <= b, a > b, a >= b) == (one < other, one <= other, one > other, one >= other)
    assert bool(a) == (one != 0)
