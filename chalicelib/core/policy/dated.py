"""Dated rules: a folder of versions, each in force from its date until the date of the next.

A rule is read for the instant of what it decides (an event, an opening, a capture), never for today, so that a change of
a rule does not change old decisions. A published version is never edited: a change is a new file with a later ``from``.
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
    """The instant of a TOML date (midnight UTC) or of a date-time with an offset, used where a local law decides."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a date-time needs an offset from UTC")
        return in_milliseconds(value)
    if isinstance(value, date):
        return in_milliseconds(datetime.combine(value, time(), UTC))
    raise ValueError("a date")


Date = Annotated[int, BeforeValidator(_read_date)]


class Version(Frozen):
    """Base of one version of a dated rule. ``from_`` is when it comes into force; answers do not show it."""

    from_: Annotated[Date, Field(alias="from", exclude=True)]

    @property
    def codes(self) -> frozenset[str]:
        """The codes that deposits refer to. A later version may end a code, but must contain it."""
        return frozenset()


V = TypeVar("V", bound=Version)


class Ending(Frozen):
    """Base of what can be chosen until it ends. Who chose it before keeps it. ``until`` None: no end."""

    until: Annotated[Date | None, Field(exclude=True)] = None

    def is_offered(self, at: Instant) -> bool:
        return self.until is None or at < self.until


class EndingVersion(Version, Ending):
    """Base of a version that can be chosen until it ends."""


VE = TypeVar("VE", bound=EndingVersion)


class Series(Struct, Generic[V], frozen=True):
    """The versions of one rule, earliest first. ValueError when dates repeat or a version lacks an earlier code."""

    name: str
    versions: tuple[V, ...]

    def __post_init__(self) -> None:
        for earlier, later in pairwise(self.versions):
            if later.from_ <= earlier.from_:
                raise ValueError(f"{self.name}: each version begins later than the one before it")
            if earlier.codes - later.codes:
                raise ValueError(f"{self.name}: {sorted(earlier.codes - later.codes)} must stay, with an end date")

    def find(self, at: Instant) -> V | None:
        """The version in force at an instant; None before the first one."""
        count = bisect_right(self.versions, at, key=lambda version: version.from_)
        return self.versions[count - 1] if count else None

    @property
    def latest(self) -> V:
        """The last version, in force or not. It contains every code ever published."""
        return self.versions[-1]


def read_series(folder: str, shape: type[V]) -> Series[V]:
    """The versions of a folder. ValueError unless the first is in force from 1970-01-01, so that every instant has one."""
    versions: Series[V] = _read_series(folder, shape)
    return versions


def find_version(folder: str, shape: type[V], instant: Instant) -> V:
    """The version of a rule in force at an instant. LookupError before 1970."""
    version = read_series(folder, shape).find(instant)
    if version is None:
        raise LookupError(f"{folder}: nothing is published for instants before 1970")
    return version


def read_series_by_member(folder: str, shape: type[V], member: str) -> Mapping[str, Series[V]]:
    """A series for each value of a member, such as a market's code. Each may begin at any date."""
    series: Mapping[str, Series[V]] = _read_series_by_member(folder, shape, member)
    return series


def find_offered(folder: str, shape: type[VE], member: str, instant: Instant) -> dict[str, VE]:
    """For each value of a member, the version in force at an instant that has not ended."""
    versions = ((name, series.find(instant)) for name, series in read_series_by_member(folder, shape, member).items())
    return {name: version for name, version in versions if version is not None and version.is_offered(instant)}


def read_version(folder: str, name: str, shape: type[V]) -> V:
    """One version by its file name, in force or not. FileNotFoundError when there is none."""
    version: V = _read_version(folder, name, shape)
    return version


@cache
def _read_version(folder: str, name: str, shape: type[V]) -> V:
    return shape.model_validate(lists_to_tuples(policies.read(f"{folder}/{name}.toml")))


@cache
def _read_series(folder: str, shape: type[V]) -> Series[V]:
    series = Series(folder, _read_folder(folder, shape))
    if not series.versions or series.versions[0].from_ != 0:
        raise ValueError(f"{folder}: the first version holds from 1970-01-01")
    return series


@cache
def _read_series_by_member(folder: str, shape: type[V], member: str) -> Mapping[str, Series[V]]:
    groups: dict[str, list[V]] = {}
    for version in _read_folder(folder, shape):
        groups.setdefault(getattr(version, member), []).append(version)
    return {name: Series(f"{folder}/{name}", tuple(versions)) for name, versions in groups.items()}


def _read_folder(folder: str, shape: type[V]) -> tuple[V, ...]:
    """Every version of a folder, by date."""
    versions = (read_version(folder, name, shape) for name in policies.names(folder))
    return tuple(sorted(versions, key=lambda version: version.from_))
