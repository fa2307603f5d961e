"""Published fee schedules, and the checks of their bands. A price outside every band has no fee and is refused.

A schedule is a dated file in policies/fees. Terms freeze its id and version, so a later version changes no deposit.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from chalicelib.core.common.fields import Category, CurrencyCode, Frozen, Text
from chalicelib.core.common.money import Money, currencies
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.policy import dated
from chalicelib.core.policy.dated import EndingVersion, Source

WholeUnits = Annotated[int, Field(ge=0, le=10**13)]


class BandData(Frozen):
    """Inclusive bounds and the fee, in whole major units of the schedule's currency."""

    lowest: WholeUnits = Field(alias="from")
    highest: WholeUnits = Field(alias="to")
    fee: WholeUnits


class CategoryData(Frozen):
    """A category of goods with its bands, lowest price first."""

    code: Category
    bands: Annotated[tuple[BandData, ...], Field(min_length=1)]


class Ground(Frozen):
    """A reason why an old device is not as declared, and who is at fault. Its texts say which evidence is needed."""

    code: str
    category: Category
    at_fault: Literal["buyer", "seller", "courier"]


class Rules(Frozen):
    """How the fee is computed. ``most_fees``: fees for one order. ``shipping_kept``: shipping is kept besides the fee."""

    fee_base: Literal["new_item_unit_price"]
    most_fees: Literal[1]
    shipping_kept: bool


class Band(NamedTuple):
    """A band: a price from ``lowest`` to ``highest``, both inclusive, costs ``fee``."""

    lowest: Money
    highest: Money
    fee: Money

    def __str__(self) -> str:
        return f"{self.lowest.amount}-{self.highest.amount}"


class Finding(NamedTuple):
    """An error or warning about a band. ``why`` is a key of texts/findings.toml; ``category`` and ``band`` are indices."""

    category: int
    band: int
    why: Literal["band_reversed", "bands_overlap", "fee_falls", "fee_above_price", "band_gap"]
    here: Band
    before: Band | None = None

    @property
    def error(self) -> bool:
        return self.why != "band_gap"


class Charge(NamedTuple):
    """A fee with its band, and the rule to cite: ``<schedule>@<version>/<category>/<from>-<to>``."""

    fee: Money
    band: Band
    rule: str


class Schedule(EndingVersion):
    """One version of a fee schedule."""

    id: Text
    version: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    currency: CurrencyCode
    source: Source
    rules: Rules
    category: tuple[CategoryData, ...]
    ground: tuple[Ground, ...]

    @model_validator(mode="after")
    def _check_bands_and_grounds(self) -> Self:
        """ValueError unless bands fit together, codes are unique, and each ground's category exists."""
        bands = [self.bands(category.code) for category in self.category]
        errors = [finding for finding in check_bands(bands) if finding.error]
        codes = [ground.code for ground in self.ground]
        categories = {category.code for category in self.category}
        repeated = len(set(codes)) != len(codes) or len(categories) != len(self.category)
        if errors or repeated or any(ground.category not in categories for ground in self.ground):
            raise ValueError(f"{self.name} is not sound: {errors}")
        return self

    @property
    def name(self) -> str:
        return f"{self.id}@{self.version}"

    def bands(self, category: str) -> tuple[Band, ...]:
        rows = next((data.bands for data in self.category if data.code == category), ())
        return tuple(Band(self._money(row.lowest), self._money(row.highest), self._money(row.fee)) for row in rows)

    def grounds(self, category: str) -> tuple[Ground, ...]:
        return tuple(ground for ground in self.ground if ground.category == category)

    def charge(self, category: str, price: Money) -> Charge:
        """The published fee for a price. FEE_BAND_UNDEFINED when no band contains it; nothing is extrapolated."""
        for band in self.bands(category):
            if band.lowest <= price <= band.highest:
                return Charge(band.fee, band, f"{self.name}/{category}/{band}")
        raise Refused(Reason.FEE_BAND_UNDEFINED, category=category, price=price)

    def _money(self, whole: int) -> Money:
        return Money.parse(str(whole), self.currency)


def check_bands(categories: Sequence[Sequence[Band]]) -> Iterator[Finding]:
    """The findings on bands, category by category, in the order of the bands."""
    for category, bands in enumerate(categories):
        for index, band in enumerate(bands):
            if band.lowest > band.highest:
                yield Finding(category, index, "band_reversed", band)
            if band.fee > band.lowest:
                yield Finding(category, index, "fee_above_price", band)
        for index, (before, band) in enumerate(pairwise(bands), start=1):
            if band.lowest <= before.highest:
                yield Finding(category, index, "bands_overlap", band, before)
            elif band.lowest > before.highest + find_price_step(before.highest.currency):
                yield Finding(category, index, "band_gap", band, before)
            if band.fee < before.fee:
                yield Finding(category, index, "fee_falls", band, before)


def find_price_step(currency: str) -> Money:
    """The smallest difference between two prices of the currency."""
    return Money(currencies()[currency].step, currency)


def read_schedule(name: str) -> Schedule:
    """The schedule named ``<id>@<version>``. FileNotFoundError when there is none."""
    programme, _, version = name.partition("@")
    return dated.read_version("fees", f"{programme}-{version}", Schedule)


def find_schedules(at: int) -> dict[str, Schedule]:
    """The schedules in force at an instant, by id. An offer made then freezes their version."""
    return dated.find_offered("fees", Schedule, "id", at)


SHIPPING_RULE: Final = "shipping"


def split_rule(rule: str) -> tuple[Schedule, str]:
    """The schedule that a rule cites, and the rest of the rule's id."""
    name, _, rest = rule.partition("/")
    return read_schedule(name), rest


def compute_gap(finding: Finding) -> tuple[Money, Money]:
    """The lowest and the highest price between two bands of a ``band_gap`` finding."""
    assert finding.before is not None, "a gap has two bands"
    unit = find_price_step(finding.here.lowest.currency)
    return finding.before.highest + unit, finding.here.lowest - unit
