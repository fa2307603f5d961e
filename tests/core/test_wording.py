"""Amounts, instants and durations inside a text, as the reader of each language writes them."""

import re
from datetime import datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import policies
from chalicelib.core.common.instants import (
    DAY,
    HOUR,
    LAST_INSTANT,
    MINUTE,
    SECOND,
    duration_ms,
    in_milliseconds,
    parse_instant,
)
from chalicelib.core.common.money import Money, currencies
from chalicelib.core.policy import texts
from tests.core.stories import money

LOCALES: Final = ("en", "id", "zh")
ZONES: Final = ("Asia/Shanghai", "Asia/Jakarta", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "UTC")

AMOUNTS: Final = [
    # money               English                Indonesian              Chinese
    ("2160000 IDR",       "IDR 2,160,000",       "Rp2.160.000 (IDR)",    "2,160,000 印尼盾 (IDR)"),
    ("1000 IDR",          "IDR 1,000",           "Rp1.000 (IDR)",        "1,000 印尼盾 (IDR)"),
    ("999 IDR",           "IDR 999",             "Rp999 (IDR)",          "999 印尼盾 (IDR)"),
    ("0 IDR",             "IDR 0",               "Rp0 (IDR)",            "0 印尼盾 (IDR)"),
    ("5000 CNY",          "CNY 5,000",           "CNY 5.000",            "5,000 元 (CNY)"),
    ("4999.50 CNY",       "CNY 4,999.50",        "CNY 4.999,50",         "4,999.50 元 (CNY)"),
    ("0.01 CNY",          "CNY 0.01",            "CNY 0,01",             "0.01 元 (CNY)"),
    ("0 CNY",             "CNY 0",               "CNY 0",                "0 元 (CNY)"),
    ("299988 CNY",        "CNY 299,988",         "CNY 299.988",          "299,988 元 (CNY)"),
    ("1234567.89 EUR",    "€1,234,567.89 (EUR)", "1.234.567,89 euro (EUR)", "1,234,567.89 欧元 (EUR)"),
    ("1234567 JPY",       "JPY 1,234,567",       "JPY 1.234.567",        "JPY 1,234,567"),
    ("1234.567 KWD",      "KWD 1,234.567",       "KWD 1.234,567",        "KWD 1,234.567"),
    ("9999999999999 USD", "USD 9,999,999,999,999", "USD 9.999.999.999.999", "USD 9,999,999,999,999"),
]  # fmt: skip


@pytest.mark.parametrize(("amount", *LOCALES), AMOUNTS, ids=[case[0] for case in AMOUNTS])
def test_an_amount_is_written_as_its_reader_writes_it(amount: str, en: str, id: str, zh: str) -> None:  # noqa: A002
    assert {locale: texts.format_amount(money(amount), locale) for locale in LOCALES} == {"en": en, "id": id, "zh": zh}


@pytest.mark.parametrize(
    ("locale", "text"),
    [("en", "IDR -2,160,000"), ("id", "Rp-2.160.000 (IDR)"), ("zh", "-2,160,000 印尼盾 (IDR)")],
)
def test_a_deduction_keeps_its_sign_at_the_digits(locale: str, text: str) -> None:
    assert texts.format_amount(-money("2160000 IDR"), locale) == text


ANY_MONEY: Final = st.builds(Money, st.integers(-(10**16), 10**16), st.sampled_from(sorted(currencies())))


@given(amount=ANY_MONEY, locale=st.sampled_from(LOCALES))
def test_no_digit_of_an_amount_is_lost_and_its_currency_is_named(amount: Money, locale: str) -> None:
    text = texts.format_amount(amount, locale)
    assert re.sub(r"\D", "", text) == re.sub(r"\D", "", amount.amount)
    assert ("-" in text) == (amount.minor < 0)
    assert text.count(amount.currency) == 1


@given(amount=ANY_MONEY, locale=st.sampled_from(LOCALES))
def test_an_amount_can_be_read_back_by_the_signs_of_its_language(amount: Money, locale: str) -> None:
    group, decimal = (policies.read(f"texts/{locale}/wording.toml")[sign] for sign in ("group", "decimal"))
    (number,) = re.findall(r"-?\d[\d.,]*", texts.format_amount(amount, locale))
    whole, _, fraction = number.partition(decimal)
    assert re.fullmatch(rf"-?\d{{1,3}}({re.escape(group)}\d{{3}})*", whole)
    assert whole.replace(group, "") + ("." + fraction if fraction else "") == amount.amount


DURATIONS: Final = [
    # terms      English               Indonesian                   Chinese
    ("PT1H",     "1 h",                "1 jam",                     "1 小时"),
    ("PT90M",    "1 h 30 min",         "1 jam 30 menit",            "1 小时 30 分钟"),
    ("PT45S",    "45 s",               "45 detik",                  "45 秒"),
    ("PT168H",   "7 d",                "7 hari",                    "7 天"),
    ("P7D",      "7 d",                "7 hari",                    "7 天"),
    ("P1W",      "7 d",                "7 hari",                    "7 天"),
    ("PT25H",    "1 d 1 h",            "1 hari 1 jam",              "1 天 1 小时"),
    ("P1DT1S",   "1 d 1 s",            "1 hari 1 detik",            "1 天 1 秒"),
    ("P1DT2H3M4S", "1 d 2 h 3 min 4 s", "1 hari 2 jam 3 menit 4 detik", "1 天 2 小时 3 分钟 4 秒"),
]  # fmt: skip


@pytest.mark.parametrize(("text", *LOCALES), DURATIONS, ids=[case[0] for case in DURATIONS])
def test_a_duration_is_told_in_the_units_that_are_not_zero(text: str, en: str, id: str, zh: str) -> None:  # noqa: A002
    assert {locale: texts.format_duration(text, locale) for locale in LOCALES} == {"en": en, "id": id, "zh": zh}


@given(seconds=st.integers(1, 3_653 * 86_400), locale=st.sampled_from(LOCALES))
def test_a_duration_adds_up_to_what_the_terms_say(seconds: int, locale: str) -> None:
    units = {texts.read_text("wording", unit, locale=locale).format(n=""): length for unit, length in texts.UNITS_MS}
    text = texts.format_duration(f"PT{seconds}S", locale)
    parts = re.findall(r"(\d+)( \D+?)(?= \d|$)", text)
    assert sum(int(n) * units[unit] for n, unit in parts) == duration_ms(f"PT{seconds}S")
    assert len(parts) == len({unit for _, unit in parts})
    assert all(int(n) for n, _ in parts)


def test_the_units_of_a_duration_are_all_there() -> None:
    assert [length for _, length in texts.UNITS_MS] == [DAY, HOUR, MINUTE, SECOND]


INSTANTS: Final = [
    # instant                        zone                what is written
    ("2024-04-04T14:00:00Z",         "Asia/Shanghai",    "2024-04-04 22:00:00 UTC+08:00"),
    ("2024-04-04T15:59:59Z",         "Asia/Shanghai",    "2024-04-04 23:59:59 UTC+08:00"),
    ("2024-04-04T16:00:00Z",         "Asia/Shanghai",    "2024-04-05 00:00:00 UTC+08:00"),
    ("2024-04-04T15:00:00Z",         "Asia/Jakarta",     "2024-04-04 22:00:00 UTC+07:00"),
    ("2026-03-29T00:59:59Z",         "Europe/Berlin",    "2026-03-29 01:59:59 UTC+01:00"),
    ("2026-03-29T01:00:00Z",         "Europe/Berlin",    "2026-03-29 03:00:00 UTC+02:00"),
    ("2026-10-25T00:30:00Z",         "Europe/Berlin",    "2026-10-25 02:30:00 UTC+02:00"),
    ("2026-10-25T01:30:00Z",         "Europe/Berlin",    "2026-10-25 02:30:00 UTC+01:00"),
    ("2026-12-31T23:59:59Z",         "UTC",              "2026-12-31 23:59:59 UTC+00:00"),
    ("2026-01-01T00:00:00Z",         "America/St_Johns", "2025-12-31 20:30:00 UTC-03:30"),
    ("2026-07-01T00:00:00Z",         "America/St_Johns", "2026-06-30 21:30:00 UTC-02:30"),
    ("2026-07-01T00:00:00Z",         "Asia/Kathmandu",   "2026-07-01 05:45:00 UTC+05:45"),
    ("2024-04-04T14:00:00.999Z",     "Asia/Shanghai",    "2024-04-04 22:00:00 UTC+08:00"),
]  # fmt: skip


@pytest.mark.parametrize(("at", "zone", "text"), INSTANTS)
def test_an_instant_is_local_time_with_its_distance_from_utc(at: str, zone: str, text: str) -> None:
    assert texts.format_local_time(parse_instant(at), zone) == text


@given(at=st.integers(0, LAST_INSTANT - DAY), zone=st.sampled_from(ZONES))
def test_an_instant_names_its_second_and_never_a_later_one(at: int, zone: str) -> None:
    read = datetime.strptime(texts.format_local_time(at, zone), "%Y-%m-%d %H:%M:%S UTC%z")
    assert in_milliseconds(read) == at - at % SECOND


def test_a_text_that_nobody_published_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        texts.read_text("disclosures", "lock_goods/0", locale="en")
