"""Localised texts from policies/texts, and localised amounts, times and durations."""

from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from chalicelib import policies
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, SECOND, duration_ms, in_utc
from chalicelib.core.common.money import Money

UNITS_MS: Final = (("days", DAY), ("hours", HOUR), ("minutes", MINUTE), ("seconds", SECOND))
DIGITS_PER_GROUP: Final = 3  # digits of a group


def read_text(file: str, *path: str, locale: str) -> str:
    """One text of ``policies/texts/<locale>``. KeyError when it is missing; a test checks completeness."""
    node: Any = policies.read(f"texts/{locale}/{file}.toml")
    for step in path:
        node = node[step]
    assert isinstance(node, str)
    return node


def format_amount(money: Money, locale: str) -> str:
    """``Rp2.160.000 (IDR)``: grouped as usual in the locale, with the ISO code."""
    forms = policies.read(f"texts/{locale}/wording.toml")
    special = f"amount/{money.currency}"
    form = forms[special if special in forms else "amount"]
    return str(form).format(code=money.currency, number=_format_number(money.amount, locale))


def format_local_time(at: int, zone: str) -> str:
    """``2024-04-04 22:00:00 UTC+08:00``: local time with its offset from UTC."""
    local = in_utc(at).astimezone(ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M:%S} UTC{_format_utc_offset(local.utcoffset() or timedelta())}"


def format_duration(length: str, locale: str) -> str:
    """``1 h 30 min``: the units that are not zero."""
    rest = duration_ms(length)
    parts: list[str] = []
    for unit, milliseconds in UNITS_MS:
        n, rest = divmod(rest, milliseconds)
        if n:
            parts.append(read_text("wording", unit, locale=locale).format(n=n))
    return " ".join(parts)


def _format_number(plain: str, locale: str) -> str:
    whole, _, fraction = plain.partition(".")
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    head = len(digits) % DIGITS_PER_GROUP
    groups = ([digits[:head]] if head else []) + [
        digits[i : i + DIGITS_PER_GROUP] for i in range(head, len(digits), DIGITS_PER_GROUP)
    ]
    grouped = sign + read_text("wording", "group", locale=locale).join(groups)
    return grouped + read_text("wording", "decimal", locale=locale) + fraction if fraction else grouped


def _format_utc_offset(offset: timedelta) -> str:
    minutes = offset // timedelta(minutes=1)
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}"
