"""Computes when a window ends, by elapsed time, calendar days, working days or months.

A window is half-open, ``[start, end)``. Windows in days or months end at midnight in the market's time zone. Record the
computed end in the journal: holidays are announced year by year, so a later release may know other ones.
"""

from calendar import monthrange
from datetime import date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

from chalicelib.core.common.instants import Instant, duration_ms, in_milliseconds, in_utc, whole_days, whole_months

if TYPE_CHECKING:
    from holidays import HolidayBase

ONE_DAY: Final = timedelta(days=1)
MONTHS_PER_YEAR: Final = 12


class Calendar(NamedTuple):
    """An IANA time zone, and a country code of the ``holidays`` package for working days."""

    time_zone: str
    holidays: str


def compute_window_end(kind: str, length: str, start: Instant, calendar: Calendar) -> Instant:
    """The first instant after the window. ValueError ``kind`` or ``duration`` for an unknown kind or length.

    Calendar days that end on a day off are extended to the next working day; months are not.
    """
    match kind:
        case "elapsed":
            return start + duration_ms(length)
        case "calendar_days":
            last = _local_day(start, calendar) + timedelta(days=whole_days(length))
            return _end_of_day(_next_working_day(last, calendar), calendar)
        case "working_days":
            return _end_of_day(_nth_working_day(_local_day(start, calendar), whole_days(length), calendar), calendar)
        case "calendar_months":
            return _end_of_day(_add_months(_local_day(start, calendar), whole_months(length)), calendar)
        case _:
            raise ValueError("kind")


def _local_day(instant: Instant, calendar: Calendar) -> date:
    return in_utc(instant).astimezone(ZoneInfo(calendar.time_zone)).date()


def _end_of_day(day: date, calendar: Calendar) -> Instant:
    following = day + ONE_DAY
    # Where clocks skip midnight, the offset before the change gives the instant at which the next day begins.
    midnight = datetime(following.year, following.month, following.day, tzinfo=ZoneInfo(calendar.time_zone))
    return in_milliseconds(midnight)


def _next_working_day(day: date, calendar: Calendar) -> date:
    while not _is_working_day(day, calendar):
        day += ONE_DAY
    return day


def _nth_working_day(day: date, number: int, calendar: Calendar) -> date:
    for _ in range(number):
        day = _next_working_day(day + ONE_DAY, calendar)
    return day


def _add_months(day: date, months: int) -> date:
    """The same day of a later month, or the last day of a shorter month. Never extended, as it is a duty of ours."""
    years, month = divmod(day.month - 1 + months, MONTHS_PER_YEAR)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def _is_working_day(day: date, calendar: Calendar) -> bool:
    return _load_year(calendar.holidays, day.year).is_working_day(day)


@cache
def _load_year(country: str, year: int) -> "HolidayBase":
    """The holidays of a country in one year, loaded completely: the package's lazy loading is not thread-safe."""
    from holidays import country_holidays  # noqa: PLC0415 - a slow import that only windows in days need

    return country_holidays(country, years=year, expand=False)
