"""When windows end: the table a lawyer could check, and what holds for every window."""

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.common.instants import DAY, HOUR, in_utc, parse_instant
from chalicelib.core.policy import calendar
from chalicelib.core.policy.calendar import Calendar, compute_window_end

CASES = tomllib.loads(Path(__file__).parents[1].joinpath("cases", "windows.toml").read_text("utf-8"))["case"]
PUBLISHED = {f"TM{number}" for number in (*range(1, 10), 12)}

SHANGHAI = Calendar("Asia/Shanghai", "CN")
BERLIN = Calendar("Europe/Berlin", "DE")
CALENDARS = st.sampled_from([SHANGHAI, BERLIN, Calendar("Asia/Jakarta", "ID"), Calendar("America/New_York", "US")])
STARTS = st.integers(parse_instant("2015-01-01T00:00:00Z"), parse_instant("2060-01-01T00:00:00Z"))
COUNTED = st.sampled_from(["calendar_days", "working_days"])
DAYS = st.integers(1, 60)

# A day on which the clocks go forward is that much shorter than 24 hours.
CLOCK_CHANGE = HOUR


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_window_ends_when_the_table_says(case: dict[str, Any]) -> None:
    calendar = Calendar(case["time_zone"], case["holidays"])
    end = compute_window_end(case["kind"], case["length"], parse_instant(case["start"]), calendar)
    assert in_utc(end) == in_utc(parse_instant(case["ends_at"]))


def test_every_published_deadline_is_in_the_table() -> None:
    assert {case["from"] for case in CASES if "from" in case} == PUBLISHED


def test_names_of_cases_are_unique() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    ("kind", "length", "fault"),
    [
        ("elapsed",         "P1M",    "duration"),
        ("calendar_days",   "PT168H", "duration"),
        ("calendar_days",   "P7DT1H", "duration"),
        ("working_days",    "P0D",    "duration"),
        ("calendar_months", "P30D",   "duration"),
        ("calendar_weeks",  "P1W",    "kind"),
        ("",                "P1D",    "kind"),
    ],
)  # fmt: skip
def test_a_length_must_fit_its_kind(kind: str, length: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}$"):
        compute_window_end(kind, length, 0, BERLIN)


@settings(deadline=None)
@given(COUNTED, DAYS, STARTS, CALENDARS)
def test_a_window_of_days_ends_at_local_midnight_after_its_start(
    kind: str, days: int, start: int, calendar: Calendar
) -> None:
    end = compute_window_end(kind, f"P{days}D", start, calendar)
    local = in_utc(end).astimezone(ZoneInfo(calendar.time_zone))
    assert end > start
    assert (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0)


@settings(deadline=None)
@given(DAYS, STARTS, CALENDARS)
def test_calendar_days_are_kinder_than_hours_and_working_days_than_calendar_days(
    days: int, start: int, calendar: Calendar
) -> None:
    elapsed, calendar_days, working_days = (
        compute_window_end(kind, f"P{days}D", start, calendar) for kind in ("elapsed", "calendar_days", "working_days")
    )
    assert elapsed == start + days * DAY
    assert calendar_days >= elapsed - CLOCK_CHANGE
    assert working_days >= calendar_days


@settings(deadline=None)
@given(COUNTED, DAYS, DAYS, STARTS, CALENDARS)
def test_a_longer_window_never_ends_earlier(kind: str, one: int, other: int, start: int, calendar: Calendar) -> None:
    shorter, longer = sorted((one, other))
    assert compute_window_end(kind, f"P{shorter}D", start, calendar) <= compute_window_end(
        kind, f"P{longer}D", start, calendar
    )


@settings(deadline=None)
@given(COUNTED, DAYS, STARTS, st.integers(0, 3 * DAY), CALENDARS)
def test_a_later_start_never_ends_earlier(kind: str, days: int, start: int, later: int, calendar: Calendar) -> None:
    assert compute_window_end(kind, f"P{days}D", start, calendar) <= compute_window_end(
        kind, f"P{days}D", start + later, calendar
    )


@given(st.integers(1, 120), STARTS, CALENDARS)
def test_months_end_within_a_day_number(months: int, start: int, calendar: Calendar) -> None:
    zone = ZoneInfo(calendar.time_zone)
    first = in_utc(start).astimezone(zone)
    last = in_utc(compute_window_end("calendar_months", f"P{months}M", start, calendar) - 1).astimezone(zone)
    assert (last.year - first.year) * 12 + last.month - first.month == months
    assert last.day <= first.day


def test_threads_that_ask_for_a_new_year_at_once_get_the_same_answer() -> None:
    start = parse_instant("2026-02-10T10:00:00+08:00")
    for _ in range(20):
        calendar._load_year.cache_clear()  # as in a container that starts under load
        with ThreadPoolExecutor(8) as threads:
            ends = set(threads.map(lambda _: compute_window_end("calendar_days", "P5D", start, SHANGHAI), range(16)))
        assert ends == {parse_instant("2026-02-25T00:00:00+08:00")}
