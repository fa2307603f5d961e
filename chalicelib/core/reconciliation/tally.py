"""Counts, sums and digest of a reconciliation run."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.core.reconciliation.lines import KIND_SIGNS, BreakKind, Line, read_kind

ZERO_TOTALS: Final = (0, 0)
EMPTY_DIGEST: Final = hashlib.sha256().hexdigest()


@dataclass(slots=True)
class Tally:
    """What a run has counted so far; as JSON it is a part of the run's cursor, and at the end its certificate.

    ``totals`` are minor units by currency, ours and the provider's. ``digest`` chains every verdict in its order: two
    runs with the same digest compared the same lines to the same end. A repaired line counts as matched there.
    ``unreadable`` are the breaks of deposits that could not be read or judged.
    """

    ours: int = 0
    provider: int = 0
    matched: int = 0
    repaired: int = 0
    in_transit: int = 0
    breaks: int = 0
    unreadable: int = 0
    totals: dict[str, list[int]] = field(default_factory=dict)
    digest: str = EMPTY_DIGEST

    def match(self, line: Line, *, repaired: bool = False) -> None:
        """On both sides, with the same amount."""
        self.ours += 1
        self.provider += 1
        self.matched += not repaired
        self.repaired += repaired
        self._sum(line, (1, 1))
        self._chain("matched", line)

    def wait(self, mine: Line) -> None:
        """Ours, and still on its way into a report: in no total."""
        self.ours += 1
        self.in_transit += 1
        self._chain("in_transit", mine)

    def differ(self, kind: BreakKind, mine: Line | None, other: Line | None) -> None:
        self._add(mine, other)
        self._break(kind)
        found = other if other is not None else mine
        assert found is not None, "a difference has at least one side"
        self._chain(kind, found)

    def note(self, kind: BreakKind, reference: str) -> None:
        """A break that is in no report: it moved no money."""
        self._break(kind)
        self._link(f"{kind}|{reference}")

    def _break(self, kind: BreakKind) -> None:
        self.breaks += 1
        self.unreadable += kind == "unreadable"

    def _add(self, mine: Line | None, other: Line | None) -> None:
        if mine is not None:
            self.ours += 1
            self._sum(mine, (1, 0))
        if other is not None:
            self.provider += 1
            self._sum(other, (0, 1))

    def _sum(self, line: Line, sides: tuple[int, int]) -> None:
        place, _, minor, currency, *_ = line
        moved = KIND_SIGNS[read_kind(place)] * minor
        ours, theirs = self.totals.get(currency, ZERO_TOTALS)
        self.totals[currency] = [ours + moved * sides[0], theirs + moved * sides[1]]

    def _chain(self, verdict: str, line: Line) -> None:
        place, ref, minor, currency, *_ = line
        self._link(f"{verdict}|{place}|{ref}|{minor}|{currency}")

    def _link(self, text: str) -> None:
        self.digest = hashlib.sha256(f"{self.digest}|{text}".encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def balanced(self) -> bool:
        return not self.breaks and all(ours == theirs for ours, theirs in self.totals.values())

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in FIELDS}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Tally":
        return cls(**plain)


FIELDS: Final = ("ours", "provider", "matched", "repaired", "in_transit", "breaks", "unreadable", "totals", "digest")
