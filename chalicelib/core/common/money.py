"""Money: whole minor units and a currency. Arithmetic refuses to mix currencies; no float exists."""

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final, NamedTuple

from msgspec import Struct

from chalicelib import policies

AMOUNT: Final = re.compile(r"^(0|[1-9][0-9]{0,12})(\.[0-9]{1,3})?$")


class Currency(NamedTuple):
    """ISO 4217 facts: how many decimals, and the smallest step of trade in minor units (IDR: 100, whole rupiah)."""

    decimals: int
    step: int


@cache
def currencies() -> dict[str, Currency]:
    """Every currency we know, by its ISO 4217 code. Source: policies/currencies.toml."""
    data = policies.read("currencies.toml")
    steps = data["step"]
    return {
        code: Currency(decimals=group["decimals"], step=steps.get(code, 1))
        for group in data["group"]
        for code in group["codes"]
    }


class Money(Struct, frozen=True):
    """An amount in minor units (rupiah cents, fen, euro cents) of one currency. May be negative in ledger lines only."""

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
        """The one output form: no fraction when whole, else exactly the currency's decimals."""
        decimals = currencies()[self.currency].decimals
        whole, fraction = divmod(abs(self.minor), 10**decimals)
        sign = "-" if self.minor < 0 else ""
        return f"{sign}{whole}.{fraction:0{decimals}d}" if fraction else f"{sign}{whole}"

    @classmethod
    def zero(cls, currency: str) -> "Money":
        return cls(0, currency)

    @classmethod
    def parse(cls, amount: str, currency: str) -> "Money":
        """Read a decimal string in major units. ValueError names the fault: ``currency``, ``amount`` or ``decimals``."""
        known = currencies().get(currency)
        if known is None:
            raise ValueError("currency")
        if not AMOUNT.fullmatch(amount):
            raise ValueError("amount")
        whole, _, fraction = amount.partition(".")
        if len(fraction) > known.decimals:
            raise ValueError("decimals")
        minor = int(whole + fraction.ljust(known.decimals, "0"))
        if minor % known.step:
            raise ValueError("decimals")
        return cls(minor, currency)

    def percent_floor(self, percent: int) -> "Money":
        """That many percent, floored to the currency's step: caps never round against the buyer."""
        return self.share_floor(percent, 100)

    def share_floor(self, part: int, whole: int) -> "Money":
        """``part`` of ``whole`` of the amount, floored: what is kept never rounds against the buyer."""
        return Money(self.minor * part // (whole * self._step) * self._step, self.currency)

    def share_ceil(self, part: int, whole: int) -> "Money":
        """The same, rounded up: what is owed to the buyer."""
        return Money(-(-self.minor * part // (whole * self._step)) * self._step, self.currency)

    def split(self, weights: Sequence[int]) -> tuple["Money", ...]:
        """Parts in proportion to the weights that sum to the whole: largest remainder, ties to the lowest index.

        All are whole steps of the currency; what a provider took in smaller change stays with the first that has a weight.
        """
        total = sum(weights)
        assert min(weights, default=0) >= 0, weights
        if total == 0:
            assert not self, "money needs somewhere to go"
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
        """The smallest amount that is traded, in minor units."""
        return currencies()[self.currency].step

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not mix")
        return other.minor


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum, zero of the currency when there is nothing to add."""
    return sum(amounts, Money.zero(currency))
