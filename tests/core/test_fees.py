"""Published fees: the tables as they were published, every edge of every band, and what a schedule must not be."""

import re
from copy import deepcopy
from typing import Any, Final

import pytest
from pydantic import ValidationError

from chalicelib import policies
from chalicelib.core.common.fields import lists_to_tuples
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason
from chalicelib.core.policy import fees
from chalicelib.core.policy.fees import Band, Schedule
from tests.core.stories import T0, money, refused

NAME: Final = "id-tukar-tambah@2025-01-01"
PUBLISHED: Final = fees.read_schedule(NAME)
# The tables of facts/domain.md section 3.2, typed from there and not read from our data: from, to (both inside), fee.
TABLES: Final[dict[str, list[tuple[int, int, int]]]] = {
    "phone": [
        (    50_000,   1_000_000,  35_000),
        ( 1_000_001,   3_000_000,  40_000),
        ( 3_000_001,   7_000_000,  45_000),
        ( 7_000_001,  30_000_000,  50_000),
    ],
    "tv": [
        ( 1_000_001,   3_000_000,  40_000),
        ( 3_000_001,   5_000_000,  50_000),
        ( 5_000_001,   7_000_000,  60_000),
        ( 7_000_001,   9_000_000,  70_000),
        ( 9_000_001,  10_000_000,  80_000),
        (10_000_001,  99_999_999, 100_000),
    ],
    "washing_machine": [
        (   100_000,   1_000_000,  20_000),
        ( 1_000_001,   3_000_000,  45_000),
        ( 3_000_001,   6_000_000,  65_000),
        ( 6_000_001,  10_000_000,  85_000),
        (10_000_001,  99_999_999, 100_000),
    ],
    "fridge": [
        (   100_000,   1_000_000,  20_000),
        ( 1_000_001,   3_000_000,  45_000),
        ( 3_000_001,   6_000_000,  65_000),
        ( 6_000_001,  10_000_000,  85_000),
        (10_000_001,  99_999_999, 100_000),
    ],
}  # fmt: skip
# The catalogue of section 3.3.
GROUNDS: Final = {
    "phone": {"PH_DATA_WIPE_REFUSED", "PH_CONDITION_MISMATCH", "PH_BUYER_NOT_FOUND"},
    "tv": {
        "TV_CRT", "TV_SCREEN_DEAD", "TV_PHYSICAL_DAMAGE", "TV_SCREEN_DEFECT", "TV_ACCOUNT_LOCKED", "TV_BRAND_SIZE_MISMATCH",
    },
    "washing_machine": {
        "WM_NO_POWER_OR_SPIN", "WM_WALKS", "WM_DRUM_WOBBLE", "WM_SPEED_STUCK", "WM_SEVERE_CORROSION", "WM_TWIN_TUB",
        "WM_STILL_INSTALLED", "WM_DOOR_NOT_TIGHT", "WM_BODY_BROKEN_OR_LEAKING",
    },
    "fridge": {"FR_NO_POWER", "FR_DOOR_NOT_TIGHT", "FR_GASKET_DAMAGED", "FR_NO_COMPRESSOR", "FR_NOT_COLD"},
}  # fmt: skip


def rupiah(whole: int) -> Money:
    return money(f"{whole} IDR")


def edges(category: str) -> list[tuple[int, tuple[int, int, int] | None]]:
    """The prices at and around both bounds of every band, and the row of the table that holds each."""
    rows = TABLES[category]
    found: list[tuple[int, tuple[int, int, int] | None]] = [(0, None), (200_000_000, None)]
    for before, row, after in zip([None, *rows[:-1]], rows, [*rows[1:], None], strict=True):
        lowest, highest, _ = row
        found += [(lowest - 1, before), (lowest, row), (lowest + 1, row)]
        found += [(highest - 1, row), (highest, row), (highest + 1, after)]
    return found


EDGES: Final = [(category, price, row) for category in TABLES for price, row in edges(category)]


# --- The published tables ---


@pytest.mark.parametrize(("category", "price", "row"), EDGES, ids=[f"{one[0]}-{one[1]}" for one in EDGES])
def test_a_price_costs_the_fee_of_the_band_that_holds_it(
    category: str, price: int, row: tuple[int, int, int] | None
) -> None:
    if row is None:
        with refused(Reason.FEE_BAND_UNDEFINED, category=category, price=rupiah(price)):
            PUBLISHED.charge(category, rupiah(price))
        return
    lowest, highest, fee = row
    charge = PUBLISHED.charge(category, rupiah(price))
    assert charge.fee == rupiah(fee)
    assert charge.band == Band(rupiah(lowest), rupiah(highest), rupiah(fee))
    assert charge.rule == f"{NAME}/{category}/{lowest}-{highest}"


def test_the_data_are_the_published_tables_and_nothing_else() -> None:
    assert [one.code for one in PUBLISHED.category] == list(TABLES)
    for category, rows in TABLES.items():
        assert PUBLISHED.bands(category) == tuple(Band(*map(rupiah, row)) for row in rows)


def test_the_published_bands_have_neither_gap_nor_overlap_and_their_fees_rise() -> None:
    assert list(fees.check_bands([PUBLISHED.bands(category) for category in TABLES])) == []


@pytest.mark.parametrize("category", ["tablet", "", "Phone", "vehicle"])
def test_other_goods_have_no_fee(category: str) -> None:
    assert PUBLISHED.bands(category) == ()
    assert PUBLISHED.grounds(category) == ()
    with refused(Reason.FEE_BAND_UNDEFINED, category=category, price=rupiah(3_000_000)):
        PUBLISHED.charge(category, rupiah(3_000_000))


def test_a_price_in_another_currency_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="do not mix"):
        PUBLISHED.charge("phone", money("3000 CNY"))


def test_the_23_grounds_are_those_of_the_page_and_all_are_the_buyers() -> None:
    assert {one: {ground.code for ground in PUBLISHED.grounds(one)} for one in TABLES} == GROUNDS
    assert len(PUBLISHED.ground) == sum(map(len, GROUNDS.values())) == 23
    assert {ground.at_fault for ground in PUBLISHED.ground} == {"buyer"}


def test_a_buyer_who_is_not_met_pays_for_a_phone_only() -> None:
    assert [ground.category for ground in PUBLISHED.ground if "NOT_FOUND" in ground.code] == ["phone"]


def test_one_fee_at_most_by_the_price_of_the_new_thing_and_shipping_is_kept() -> None:
    rules = PUBLISHED.rules
    assert (rules.fee_base, rules.most_fees, rules.shipping_kept) == ("new_item_unit_price", 1, True)


def test_a_rule_is_found_again_by_its_id() -> None:
    rule = PUBLISHED.charge("phone", rupiah(3_000_000)).rule
    assert fees.split_rule(rule) == (PUBLISHED, "phone/1000001-3000000")
    assert fees.split_rule(f"{NAME}/{fees.SHIPPING_RULE}") == (PUBLISHED, "shipping")


# --- Files ---


def test_a_file_is_named_after_what_it_holds() -> None:
    for stem in policies.names("fees"):
        data = policies.read(f"fees/{stem}.toml")
        assert stem == f"{data['id']}-{data['version']}"
        assert fees.read_schedule(f"{data['id']}@{data['version']}").source


def test_the_schedules_in_force_are_found_by_their_programme() -> None:
    assert fees.find_schedules(T0) == {"id-tukar-tambah": PUBLISHED}


@pytest.mark.parametrize("name", ["id-tukar-tambah@2024-01-01", "id-tukar-tambah", "moon@2025-01-01", "@"])
def test_a_version_that_was_never_published_is_not_found(name: str) -> None:
    with pytest.raises(FileNotFoundError):
        fees.read_schedule(name)


# --- What can be wrong with bands ---


def band(written: str) -> Band:
    """``1000-1999: 10 IDR``."""
    bounds, fee, currency = re.split(r":? ", written)
    lowest, highest = bounds.split("-")
    return Band(*(Money.parse(amount, currency) for amount in (lowest, highest, fee)))


FINDINGS: Final[list[tuple[list[str], list[str]]]] = [
    # bands                                                             what is found, at which band
    ([],                                                                []),
    (["1000-1999: 10 IDR"],                                             []),
    (["1000-1000: 10 IDR"],                                             []),
    (["1000-1999: 10 IDR", "2000-2999: 20 IDR"],                        []),
    (["1000-1999: 10 IDR", "2001-2999: 20 IDR"],                        ["1 band_gap"]),
    (["1000-1999: 10 IDR", "9000-9999: 20 IDR"],                        ["1 band_gap"]),
    (["1000-1999: 10 IDR", "1999-2999: 20 IDR"],                        ["1 bands_overlap"]),
    (["1000-1999: 10 IDR", "1000-1999: 10 IDR"],                        ["1 bands_overlap"]),
    (["2000-2999: 10 IDR", "1000-1999: 20 IDR"],                        ["1 bands_overlap"]),     # out of order
    (["1000-1999: 10 IDR", "2000-2999: 10 IDR"],                        []),                      # the same is no fall
    (["1000-1999: 10 IDR", "2000-2999: 9 IDR"],                         ["1 fee_falls"]),
    (["1000-1999: 1000 IDR"],                                           []),
    (["1000-1999: 1001 IDR"],                                           ["0 fee_above_price"]),
    (["1000-999: 10 IDR"],                                              ["0 band_reversed"]),
    (["0-999: 0 IDR", "1000-1999: 10 IDR"],                             []),
    (["0-999: 1 IDR"],                                                  ["0 fee_above_price"]),
    (["1000-1999: 10 IDR", "2000-2999: 20 IDR", "3001-3999: 15 IDR"],   ["2 band_gap", "2 fee_falls"]),
    (["1000-1999: 10 IDR", "1500-1400: 1501 IDR"],                      ["1 band_reversed", "1 fee_above_price", "1 bands_overlap"]),
    # The next price is one fen away, or one cent.
    (["10-19.99: 1 CNY", "20-29.99: 2 CNY"],                            []),
    (["10-19.99: 1 CNY", "20.01-29.99: 2 CNY"],                         ["1 band_gap"]),
    (["10-19.99: 1 EUR", "19.99-29.99: 2 EUR"],                         ["1 bands_overlap"]),
]  # fmt: skip


@pytest.mark.parametrize(("bands", "found"), FINDINGS)
def test_what_is_wrong_with_bands_is_said_with_the_band(bands: list[str], found: list[str]) -> None:
    said = list(fees.check_bands([[band(one) for one in bands]]))
    assert [f"{one.band} {one.why}" for one in said] == found
    for one in said:
        assert one.here == band(bands[one.band])
        assert one.before == (
            band(bands[one.band - 1]) if one.why in {"band_gap", "bands_overlap", "fee_falls"} else None
        )
        assert one.error is (one.why != "band_gap")


def test_one_kind_of_goods_says_nothing_about_the_next() -> None:
    dear, cheap = [band("1000-1999: 50 IDR")], [band("1000-1999: 10 IDR"), band("2001-2999: 20 IDR")]
    assert [(one.category, one.band, one.why) for one in fees.check_bands([dear, cheap, cheap])] == [
        (1, 1, "band_gap"),
        (2, 1, "band_gap"),
    ]


@pytest.mark.parametrize(
    ("below", "above", "gap"),
    [
        ("1000-1999: 1 IDR", "2001-2999: 1 IDR", ("2000 IDR", "2000 IDR")),
        ("1000-1999: 1 IDR", "3000-3999: 1 IDR", ("2000 IDR", "2999 IDR")),
        ("10-20: 1 EUR",     "21-30: 1 EUR",     ("20.01 EUR", "20.99 EUR")),
    ],
)  # fmt: skip
def test_a_gap_is_named_by_the_prices_that_lie_in_it(below: str, above: str, gap: tuple[str, str]) -> None:
    (found,) = fees.check_bands([[band(below), band(above)]])
    assert fees.compute_gap(found) == tuple(map(money, gap))


@pytest.mark.parametrize(("currency", "step"), [("IDR", "1 IDR"), ("CNY", "0.01 CNY"), ("EUR", "0.01 EUR")])
def test_prices_differ_by_what_the_currency_is_traded_in(currency: str, step: str) -> None:
    assert fees.find_price_step(currency) == money(step)


# --- What is not loaded ---


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """The published file with one thing changed."""
    data: Any = deepcopy(policies.read("fees/id-tukar-tambah-2025-01-01.toml"))
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return dict(data)


def loaded(data: dict[str, Any]) -> Schedule:
    return Schedule.model_validate(lists_to_tuples(data))


PHONE: Final = ("category", 0, "bands")
UNSOUND: Final[dict[str, dict[str, Any]]] = {
    "bands that overlap by one rupiah": changed(*PHONE, 1, "from", to=1_000_000),
    "a fee that falls":                 changed(*PHONE, 1, "fee", to=34_999),
    "a fee above the lowest price":     changed(*PHONE, 0, "fee", to=50_001),
    "a band that ends before it begins": changed(*PHONE, 3, "to", to=7_000_000),
    "a kind of goods without bands":    changed(*PHONE, to=[]),
    "a price below nothing":            changed(*PHONE, 0, "from", to=-1),
    "half a rupiah":                    changed(*PHONE, 0, "fee", to=35_000.5),
    "a figure as a text":               changed(*PHONE, 0, "fee", to="35000"),
    "a band without a fee":             changed(*PHONE, 0, to={"from": 50_000, "to": 1_000_000}),
    "a field that nobody knows":        changed(*PHONE, 0, "percent", to=3),
    "a ground twice":                   changed("ground", 1, "code", to="PH_DATA_WIPE_REFUSED"),
    "a ground of no kind of goods":     changed("ground", 0, "category", to="tablet"),
    "a ground that is nobody's fault":  changed("ground", 0, "at_fault", to="nobody"),
    "a kind of goods twice":            changed("category", 1, "code", to="phone") | {"ground": []},
    "a version that is no date":        changed("version", to="1"),
    "a beginning that is no date":      changed("from", to="2025-01-01"),
    "no beginning":                     {name: value for name, value in changed("id", to="x").items() if name != "from"},
    "an empty source":                  changed("source", to=""),
    "money that we do not know":        changed("currency", to="ABC"),
    "no source":                        {name: value for name, value in changed("id", to="x").items() if name != "source"},
    "two fees for one order":           changed("rules", "most_fees", to=2),
    "a fee by another price":           changed("rules", "fee_base", to="old_item_value"),
}  # fmt: skip


@pytest.mark.parametrize("what", UNSOUND)
def test_a_schedule_that_is_not_sound_is_not_loaded(what: str) -> None:
    with pytest.raises(ValidationError):
        loaded(UNSOUND[what])


SOUND: Final[dict[str, dict[str, Any]]] = {
    "as it was published":              changed("id", to="id-tukar-tambah"),
    "bands with a gap":                 changed(*PHONE, 1, "from", to=1_000_002),
    "a fee that stays the same":        changed(*PHONE, 1, "fee", to=35_000),
    "a fee of the whole lowest price":  changed(*PHONE, 0, "fee", to=50_000) | {"category": [
        {"code": "phone", "bands": [{"from": 50_000, "to": 50_000, "fee": 50_000}]},
    ], "ground": []},
    "a ground at the courier's door":   changed("ground", 0, "at_fault", to="courier"),
}  # fmt: skip


@pytest.mark.parametrize("what", SOUND)
def test_what_is_only_unusual_is_loaded(what: str) -> None:
    assert loaded(SOUND[what]).name == NAME


def test_a_price_in_a_gap_has_no_fee() -> None:
    holed = loaded(SOUND["bands with a gap"])
    assert holed.charge("phone", rupiah(1_000_000)).fee == rupiah(35_000)
    assert holed.charge("phone", rupiah(1_000_002)).fee == rupiah(40_000)
    with refused(Reason.FEE_BAND_UNDEFINED, category="phone", price=rupiah(1_000_001)):
        holed.charge("phone", rupiah(1_000_001))
