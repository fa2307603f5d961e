"""Money in whole minor units of a currency, without floats. Arithmetic on two currencies raises ValueError."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final, NamedTuple

from msgspec import Struct

from chalicelib import policies

AMOUNT: Final = re.compile(r"^(0|[1-9][0-9]{0,12})(\.[0-9]{1,3})?$")


class Currency(NamedTuple):
    """``decimals`` by ISO 4217, and ``step``: the smallest tradable amount in minor units (IDR: 100, a whole rupiah)."""

    decimals: int
    step: int


@cache
def currencies() -> dict[str, Currency]:
    """Every known currency, by its ISO 4217 code. Source: policies/currencies.toml."""
    data = policies.read("currencies.toml")
    steps = data["step"]
    return {
        code: Currency(decimals=group["decimals"], step=steps.get(code, 1))
        for group in data["group"]
        for code in group["codes"]
    }


class Money(Struct, frozen=True):
    """An amount in minor units (fen, euro cents) of one currency. Negative only in refund lines and postings."""

    minor: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other), self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.minor, self.currency)

    def __mul__(self, times: int) -> "Money":
        return Money(self.minor * times, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same(other)

    def __gt__(self, other: "Money") -> bool:
        return self.minor > self._same(other)

    def __ge__(self, other: "Money") -> bool:
        return self.minor >= self._same(other)

    def __bool__(self) -> bool:
        return self.minor != 0

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    @property
    def amount(self) -> str:
        """The amount in major units as text: without a fraction when whole, else with all decimals of the currency."""
        decimals = currencies()[self.currency].decimals
        whole, fraction = divmod(abs(self.minor), 10**decimals)
        sign = "-" if self.minor < 0 else ""
        return f"{sign}{whole}.{fraction:0{decimals}d}" if fraction else f"{sign}{whole}"

    @classmethod
    def zero(cls, currency: str) -> "Money":
        return cls(0, currency)

    @classmethod
    def parse(cls, amount: str, currency: str) -> "Money":
        """Read a decimal string in major units. ValueError: ``currency``, ``amount`` or ``decimals``."""
        rules = currencies().get(currency)
        if rules is None:
            raise ValueError("currency")
        if not AMOUNT.fullmatch(amount):
            raise ValueError("amount")
        whole, _, fraction = amount.partition(".")
        if len(fraction) > rules.decimals:
            raise ValueError("decimals")
        minor = int(whole + fraction.ljust(rules.decimals, "0"))
        if minor % rules.step:
            raise ValueError("decimals")
        return cls(minor, currency)

    def percent_floor(self, percent: int) -> "Money":
        """``percent`` of the amount, rounded down to the currency's step, so that caps round in the buyer's favour."""
        return self.share_floor(percent, 100)

    def share_floor(self, part: int, whole: int) -> "Money":
        """``part / whole`` of the amount, rounded down to the currency's step: for amounts that are kept from the buyer."""
        return Money(self.minor * part // (whole * self._step) * self._step, self.currency)

    def share_ceil(self, part: int, whole: int) -> "Money":
        """``part / whole`` of the amount, rounded up to the currency's step: for amounts that are owed to the buyer."""
        return Money(-(-self.minor * part // (whole * self._step)) * self._step, self.currency)

    def split(self, weights: Sequence[int]) -> tuple["Money", ...]:
        """Parts in proportion to the weights that sum to the amount: largest remainder, ties to the lowest index.

        Parts are whole steps of the currency. A rest smaller than a step goes to the first part with a weight.
        AssertionError for a negative weight, and when all weights are zero and the amount is not.
        """
        total = sum(weights)
        assert min(weights, default=0) >= 0, weights
        if total == 0:
            assert not self, "an amount without weights"
            return tuple(Money.zero(self.currency) for _ in weights)
        steps, change = divmod(self.minor, self._step)
        floors = [steps * weight // total for weight in weights]
        by_remainder = sorted(range(len(weights)), key=lambda i: (-(steps * weights[i] % total), i))
        for i in by_remainder[: steps - sum(floors)]:
            floors[i] += 1
        parts = [part * self._step for part in floors]
        parts[next(i for i, weight in enumerate(weights) if weight)] += change
        return tuple(Money(part, self.currency) for part in parts)

    @property
    def _step(self) -> int:
        """The smallest tradable amount, in minor units."""
        return currencies()[self.currency].step

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not mix")
        return other.minor


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum; zero of the currency for no amounts."""
    return sum(amounts, Money.zero(currency))
