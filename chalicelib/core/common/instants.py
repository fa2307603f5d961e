"""Instants and durations: whole milliseconds since 1970, UTC, and the texts callers write them as."""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Final, TypeAlias

# Milliseconds since 1970. Serializers know an instant by this annotation; every other whole number counts something.
Instant: TypeAlias = Annotated[int, "instant"]
# The names of instants. Facts of refusals carry no types, so there the name decides; fields of events obey it too.
INSTANT_NAMES: Final = ("at", "until")
INSTANT_ENDINGS: Final = ("_at", "_by", "_until", "_from")

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
DAYS_OF_WEEK: Final = 7

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LAST_INSTANT: Final = (datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)

# Ten years with three leap days. Longer terms are a slip of the pen, and nobody can promise them.
MAX_DAYS: Final = 3_653
MAX_MONTHS: Final = 120

# Seconds stop at 59: a leap second names no instant of this count.
INSTANT: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-5][0-9])(?:\.([0-9]{1,3}))?"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
COUNT: Final = "(0|[1-9][0-9]{0,8})"
DURATION: Final = re.compile(f"P(?=.)(?:{COUNT}D)?(?:T(?=.)(?:{COUNT}H)?(?:{COUNT}M)?(?:{COUNT}S)?)?")
DAYS: Final = re.compile(f"P{COUNT}([DW])")
MONTHS: Final = re.compile(f"P{COUNT}M")
NO_TIME: Final = "PT0S"


def names_instant(name: str) -> bool:
    """Whether a field of that name holds an instant."""
    return name in INSTANT_NAMES or name.endswith(INSTANT_ENDINGS)


def parse_instant(text: str) -> Instant:
    """Read RFC 3339 with ``Z`` or an offset, milliseconds at most, years 1970 to 9999. Else ValueError ``instant``."""
    found = INSTANT.fullmatch(text)
    if found is None:
        raise ValueError("instant")
    *clock, fraction, sign, hours, minutes = found.groups()
    year, month, day, hour, minute, second = map(int, clock)
    ahead = timedelta(hours=int(hours), minutes=int(minutes)) if sign else timedelta()
    zone = timezone(-ahead if sign == "-" else ahead)
    try:
        whole = in_milliseconds(datetime(year, month, day, hour, minute, second, tzinfo=zone))
    except ValueError:
        raise ValueError("instant") from None
    instant = whole + int((fraction or "").ljust(3, "0"))
    if not 0 <= instant <= LAST_INSTANT:
        raise ValueError("instant")
    return instant


def format_instant(instant: Instant) -> str:
    """The one output form: ``2024-04-04T14:00:00.000Z``."""
    return in_utc(instant).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def in_utc(instant: Instant) -> datetime:
    return EPOCH + timedelta(milliseconds=instant)


def in_milliseconds(moment: datetime) -> Instant:
    """The instant of a zoned date and time, exact: no float is on the way."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def duration_ms(text: str) -> int:
    """Weeks, or days with hours, minutes and seconds, whole, ten years at most. Else ValueError ``duration``."""
    if text == NO_TIME:
        return 0
    if DAYS.fullmatch(text):
        return whole_days(text) * DAY
    found = DURATION.fullmatch(text)
    if found is None:
        raise ValueError("duration")
    counts = (int(count or 0) for count in found.groups())
    return _within(sum(count * unit for count, unit in zip(counts, (DAY, HOUR, MINUTE, SECOND), strict=True)))


def whole_days(text: str) -> int:
    """``P7D`` or ``P1W`` as days, at least one: a window counted in days has no hours. Else ValueError ``duration``."""
    found = DAYS.fullmatch(text)
    if found is None:
        raise ValueError("duration")
    days = int(found[1]) * (DAYS_OF_WEEK if found[2] == "W" else 1)
    return _within(days * DAY) // DAY


def whole_months(text: str) -> int:
    """``P1M`` as months, at least one, ten years at most. Else ValueError ``duration``."""
    found = MONTHS.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= MAX_MONTHS:
        raise ValueError("duration")
    return int(found[1])


def _within(milliseconds: int) -> int:
    if not 1 <= milliseconds <= MAX_DAYS * DAY:
        raise ValueError("duration")
    return milliseconds
