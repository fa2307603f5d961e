"""Published fee schedules: what a band charges for a price, and what is wrong with bands. Outside a band there is no fee.

A schedule is a dated file in policies/fees; terms freeze its id and version, so a later one changes no deposit.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from chalicelib.core.common.fields import Category, CurrencyCode, Frozen, Text
from chalicelib.core.common.money import Money, currencies
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.policy import dated
from chalicelib.core.policy.dated import Ending, Source, Version

WholeUnits = Annotated[int, Field(ge=0, le=10**13)]


class BandData(Frozen):
    """Bounds, inclusive, and the fee; in whole units of the schedule's currency."""

    lowest: WholeUnits = Field(alias="from")
    highest: WholeUnits = Field(alias="to")
    fee: WholeUnits


class CategoryData(Frozen):
    """One kind of goods with its bands, cheapest first."""

    code: Category
    bands: Annotated[tuple[BandData, ...], Field(min_length=1)]


class Ground(Frozen):
    """Why old goods are not what was declared, and whose fault that is; texts say what must prove it."""

    code: str
    category: Category
    at_fault: Literal["buyer", "seller", "courier"]


class Rules(Frozen):
    """How the fee is measured and taken."""

    fee_base: Literal["new_item_unit_price"]
    most_fees: Literal[1]
    shipping_kept: bool


class Band(NamedTuple):
    """A published band: a price from ``lowest`` to ``highest``, both inside, costs ``fee``."""

    lowest: Money
    highest: Money
    fee: Money

    def __str__(self) -> str:
        return f"{self.lowest.amount}-{self.highest.amount}"


class Finding(NamedTuple):
    """What is wrong or unwise about a band: ``why`` is a key of texts/findings.toml, filled with the bands."""

    category: int
    band: int
    why: Literal["band_reversed", "bands_overlap", "fee_falls", "fee_above_price", "band_gap"]
    here: Band
    before: Band | None = None

    @property
    def error(self) -> bool:
        return self.why != "band_gap"


class Charge(NamedTuple):
    """The fee of a band, and the rule to cite: ``<schedule>@<version>/<category>/<from>-<to>``."""

    fee: Money
    band: Band
    rule: str


class Schedule(Version, Ending):
    """One published version of one programme's fees."""

    id: Text
    version: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    currency: CurrencyCode
    source: Source
    rules: Rules
    category: tuple[CategoryData, ...]
    ground: tuple[Ground, ...]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        """Loading checks what a reader would trust: bands that fit together, grounds of known categories, once each."""
        wrong = [finding for finding in check_bands([self.bands(one.code) for one in self.category]) if finding.error]
        codes = [ground.code for ground in self.ground]
        known = {one.code for one in self.category}
        twice = len(set(codes)) != len(codes) or len(known) != len(self.category)
        if wrong or twice or any(ground.category not in known for ground in self.ground):
            raise ValueError(f"{self.name} is not sound: {wrong}")
        return self

    @property
    def name(self) -> str:
        return f"{self.id}@{self.version}"

    def bands(self, category: str) -> tuple[Band, ...]:
        found = next((one for one in self.category if one.code == category), None)
        rows = found.bands if found is not None else ()
        return tuple(Band(self._money(row.lowest), self._money(row.highest), self._money(row.fee)) for row in rows)

    def grounds(self, category: str) -> tuple[Ground, ...]:
        return tuple(ground for ground in self.ground if ground.category == category)

    def charge(self, category: str, price: Money) -> Charge:
        """The published fee for a price. FEE_BAND_UNDEFINED when no band holds it: never extrapolated."""
        for band in self.bands(category):
            if band.lowest <= price <= band.highest:
                return Charge(band.fee, band, f"{self.name}/{category}/{band}")
        raise Refused(Reason.FEE_BAND_UNDEFINED, category=category, price=price)

    def _money(self, whole: int) -> Money:
        return Money.parse(str(whole), self.currency)


def check_bands(categories: Sequence[Sequence[Band]]) -> Iterator[Finding]:
    """What does not fit together, category by category, in the order of the bands."""
    for place, bands in enumerate(categories):
        for index, band in enumerate(bands):
            if band.lowest > band.highest:
                yield Finding(place, index, "band_reversed", band)
            if band.fee > band.lowest:
                yield Finding(place, index, "fee_above_price", band)
        for index, (before, band) in enumerate(pairwise(bands), start=1):
            if band.lowest <= before.highest:
                yield Finding(place, index, "bands_overlap", band, before)
            elif band.lowest > before.highest + find_price_step(before.highest.currency):
                yield Finding(place, index, "band_gap", band, before)
            if band.fee < before.fee:
                yield Finding(place, index, "fee_falls", band, before)


def find_price_step(currency: str) -> Money:
    """The smallest amount that prices of the currency differ by."""
    return Money(currencies()[currency].step, currency)


def read_schedule(name: str) -> Schedule:
    """The version that ``<id>@<version>`` names; FileNotFoundError when there is none."""
    programme, _, version = name.partition("@")
    return dated.read_version("fees", f"{programme}-{version}", Schedule)


def find_schedules(at: int) -> dict[str, Schedule]:
    """The version of every programme that is in force at an instant: an offer made then freezes it."""
    found = (
        (name, versions.find(at)) for name, versions in dated.read_series_by_member("fees", Schedule, "id").items()
    )
    return {name: one for name, one in found if one is not None and one.is_offered(at)}


SHIPPING_RULE: Final = "shipping"


def split_rule(rule: str) -> tuple[Schedule, str]:
    """The schedule that a rule cites, and the rest of its id."""
    name, _, rest = rule.partition("/")
    return read_schedule(name), rest


def compute_gap(found: Finding) -> tuple[Money, Money]:
    """The prices that lie between two bands, both inside."""
    assert found.before is not None, "a gap lies between two bands"
    unit = find_price_step(found.here.lowest.currency)
    return found.before.highest + unit, found.here.lowest - unit
