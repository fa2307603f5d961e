"""Instants and durations: what is read, what is refused, and that nothing is lost on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.instants import (
    DAY,
    HOUR,
    LAST_INSTANT,
    MINUTE,
    SECOND,
    duration_ms,
    format_instant,
    parse_instant,
    whole_days,
    whole_months,
)

LOCK_AT = 1_712_239_200_000


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-04-04T14:00:00Z",          LOCK_AT),
        ("2024-04-04T14:00:00.000Z",      LOCK_AT),
        ("2024-04-04T14:00:00.001Z",      LOCK_AT + 1),
        ("2024-04-04T13:59:59.999Z",      LOCK_AT - 1),
        ("2024-04-04T14:00:00.5Z",        LOCK_AT + 500),
        ("2024-04-04T22:00:00+08:00",     LOCK_AT),
        ("2024-04-04T10:30:00-03:30",     LOCK_AT),
        ("2024-04-04T14:00:00+00:00",     LOCK_AT),
        ("2024-04-04T14:00:00-00:00",     LOCK_AT),
        ("2024-04-05T13:59:00+23:59",     LOCK_AT),
        ("1970-01-01T00:00:00Z",          0),
        ("1970-01-01T08:00:00+08:00",     0),
        ("1969-12-31T20:00:00-04:00",     0),
        ("2028-02-29T00:00:00Z",          1_835_395_200_000),
        ("9999-12-31T23:59:59.999Z",      LAST_INSTANT),
    ],
)  # fmt: skip
def test_an_instant_is_read(text: str, instant: int) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-04-04",
        "2024-04-04T14:00:00",  # no zone: whose two o'clock?
        "2024-04-04T14:00Z",
        "2024-04-04 14:00:00Z",
        "2024-04-04t14:00:00z",
        "20240404T140000Z",
        "2024-W14-4T14:00:00Z",
        "2024-04-04T14:00:00.0000Z",
        "2024-04-04T14:00:00.Z",
        "2024-04-04T14:00:00,5Z",
        "2024-04-04T14:00:00+0800",
        "2024-04-04T14:00:00+08",
        "2024-04-04T14:00:00+24:00",
        "2024-04-04T14:00:00+08:60",
        "2024-04-04T24:00:00Z",
        "2024-04-04T23:60:00Z",
        "2016-12-31T23:59:60Z",  # a leap second that did happen
        "2027-02-29T00:00:00Z",
        "2024-04-31T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-00-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "+2024-04-04T14:00:00Z",
        " 2024-04-04T14:00:00Z",
        "2024-04-04T14:00:00Z\n",
        "２０２４-04-04T14:00:00Z",  # noqa: RUF001 - full-width digits are the point
        "1712239200000",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^instant$"):
        parse_instant(text)


def test_there_is_one_output_form() -> None:
    assert format_instant(LOCK_AT) == "2024-04-04T14:00:00.000Z"
    assert format_instant(LOCK_AT - 1) == "2024-04-04T13:59:59.999Z"
    assert format_instant(0) == "1970-01-01T00:00:00.000Z"


@given(st.integers(0, LAST_INSTANT))
def test_what_is_written_is_read_back(instant: int) -> None:
    assert parse_instant(format_instant(instant)) == instant


@given(st.integers(0, LAST_INSTANT), st.integers(0, LAST_INSTANT))
def test_texts_sort_as_instants_do(one: int, other: int) -> None:
    assert (format_instant(one) < format_instant(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("PT168H",      168 * HOUR),
        ("P7D",         168 * HOUR),
        ("P1DT12H",     36 * HOUR),
        ("P2W",         14 * DAY),
        ("PT15M",       15 * MINUTE),
        ("PT10S",       10 * SECOND),
        ("P1DT2H3M4S",  DAY + 2 * HOUR + 3 * MINUTE + 4 * SECOND),
        ("PT1H1S",      HOUR + SECOND),
        ("P0DT1S",      SECOND),
        ("PT90M",       90 * MINUTE),
        ("PT0S",        0),
        ("P3653D",      3653 * DAY),
        ("P521W",       3647 * DAY),
        ("PT87672H",    3653 * DAY),
    ],
)  # fmt: skip
def test_a_duration_is_read(text: str, milliseconds: int) -> None:
    assert duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    [
        "", "P", "PT", "P1DT", "T1H", "1D", "P1Y", "P1M", "P1Y2M", "PT1.5H", "PT1,5H", "PT0.5S", "-P1D", "+P1D",
        "P-1D", "P+1D", "P0D", "P0W", "PT0H", "PT0M", "PT00S", "P0DT0S", "P07D", "P1W1D", "P1WT1H", "PT1D", "P1H",
        "PT1M1H", "PT1S1M", "pt1h", "P1d", " P1D", "P1D ", "P1D\n", "P 1D", "P１D", "P1D2D",  # noqa: RUF001 - see above
        "P3654D", "P522W", "P3653DT1S", "PT87672H1S", "PT999999999H", "P9999999999D", "P7DT168", "168", "PT168",
    ],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^duration$"):
        duration_ms(text)


@given(st.integers(1, 3652), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_units_of_a_duration_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    expected = days * DAY + hours * HOUR + minutes * MINUTE + seconds * SECOND
    assert duration_ms(f"P{days}DT{hours}H{minutes}M{seconds}S") == expected


@pytest.mark.parametrize(("text", "days"), [("P1D", 1), ("P7D", 7), ("P1W", 7), ("P2W", 14), ("P3653D", 3653)])
def test_days_are_counted_whole(text: str, days: int) -> None:
    assert whole_days(text) == days


@pytest.mark.parametrize("text", ["P0D", "P0W", "PT24H", "P1DT0H", "P1M", "P1.0D", "P3654D", "P522W", "-P1D", "P", ""])
def test_what_is_no_number_of_days_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^duration$"):
        whole_days(text)


@pytest.mark.parametrize(("text", "months"), [("P1M", 1), ("P12M", 12), ("P120M", 120)])
def test_months_are_counted_whole(text: str, months: int) -> None:
    assert whole_months(text) == months


@pytest.mark.parametrize("text", ["P0M", "P121M", "PT1M", "P1Y", "P1M1D", "P30D", "P01M", "-P1M", ""])
def test_what_is_no_number_of_months_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^duration$"):
        whole_months(text)
