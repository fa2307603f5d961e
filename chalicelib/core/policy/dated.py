"""Dated rules: a folder of versions, each in force from its date until the next one's.

A rule is read for the instant of what it decides (an event, an opening, a capture), never for today, so what was decided
stays decided when a figure changes. A published version is never edited: a change is a new file with a later ``from``.
"""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Generic, TypeVar

from msgspec import Struct
from pydantic import BeforeValidator, Field, StringConstraints

from chalicelib import policies
from chalicelib.core.common.fields import Frozen, lists_to_tuples
from chalicelib.core.common.instants import Instant, in_milliseconds

Source = Annotated[str, StringConstraints(min_length=1)]


def _read_date(value: Any) -> Instant:
    """A date begins at midnight UTC; where the law of a place decides, a date-time with its offset stands in the file."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without its distance from UTC is no instant")
        return in_milliseconds(value)
    if isinstance(value, date):
        return in_milliseconds(datetime.combine(value, time(), UTC))
    raise ValueError("a date")


Date = Annotated[int, BeforeValidator(_read_date)]


class Version(Frozen):
    """What every dated file says of itself. The date is no part of what answers show."""

    from_: Annotated[Date, Field(alias="from", exclude=True)]

    @property
    def codes(self) -> frozenset[str]:
        """What deposits refer to by name. A later version may end a code, and never leaves it out."""
        return frozenset()


V = TypeVar("V", bound=Version)


class Ending(Frozen):
    """What can be chosen, until it ends. After that nobody chooses it any more, and whoever did keeps it."""

    until: Annotated[Date | None, Field(exclude=True)] = None

    def is_offered(self, at: Instant) -> bool:
        return self.until is None or at < self.until


class Series(Struct, Generic[V], frozen=True):
    """The versions of one rule, earliest first. ValueError where dates repeat or a code has gone."""

    name: str
    versions: tuple[V, ...]

    def __post_init__(self) -> None:
        for former, later in pairwise(self.versions):
            if later.from_ <= former.from_:
                raise ValueError(f"{self.name}: each version begins later than the one before it")
            if former.codes - later.codes:
                raise ValueError(f"{self.name}: {sorted(former.codes - later.codes)} must stay, with an end")

    def find(self, at: Instant) -> V | None:
        """The version in force at an instant; None before the first one."""
        place = bisect_right(self.versions, at, key=lambda version: version.from_)
        return self.versions[place - 1] if place else None

    @property
    def latest(self) -> V:
        """The last one published, in force or not: it knows every code that there ever was."""
        return self.versions[-1]


def read_series(folder: str, shape: type[V]) -> Series[V]:
    """One rule for everything: its first version has to hold from the beginning, so that no instant is without one."""
    found: Series[V] = _read_series(folder, shape)
    return found


def find_version(folder: str, shape: type[V], instant: Instant) -> V:
    """The version of a rule that is in force at an instant."""
    found = read_series(folder, shape).find(instant)
    if found is None:
        raise LookupError(f"{folder}: nothing is published for instants before 1970")
    return found


def read_series_by_member(folder: str, shape: type[V], member: str) -> Mapping[str, Series[V]]:
    """A series for each value of a member, as markets and programmes have; each may begin whenever it does."""
    found: Mapping[str, Series[V]] = _read_series_by_member(folder, shape, member)
    return found


def read_version(folder: str, name: str, shape: type[V]) -> V:
    """One version by the name of its file, in force or not; FileNotFoundError when there is none."""
    found: V = _read_version(folder, name, shape)
    return found


@cache
def _read_version(folder: str, name: str, shape: type[V]) -> V:
    return shape.model_validate(lists_to_tuples(policies.read(f"{folder}/{name}.toml")))


@cache
def _read_series(folder: str, shape: type[V]) -> Series[V]:
    found = Series(folder, _read_folder(folder, shape))
    if not found.versions or found.versions[0].from_ != 0:
        raise ValueError(f"{folder}: the first version holds from 1970-01-01")
    return found


@cache
def _read_series_by_member(folder: str, shape: type[V], member: str) -> Mapping[str, Series[V]]:
    found: dict[str, list[V]] = {}
    for one in _read_folder(folder, shape):
        found.setdefault(getattr(one, member), []).append(one)
    return {name: Series(f"{folder}/{name}", tuple(versions)) for name, versions in found.items()}


def _read_folder(folder: str, shape: type[V]) -> tuple[V, ...]:
    """Every file of a folder, checked, by date."""
    found = (read_version(folder, name, shape) for name in policies.names(folder))
    return tuple(sorted(found, key=lambda one: one.from_))
