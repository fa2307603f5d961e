"""Counts, sums and digest of a reconciliation run."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.core.reconciliation.lines import KIND_SIGNS, BreakKind, Line, read_kind

ZERO_TOTALS: Final = (0, 0)
EMPTY_DIGEST: Final = hashlib.sha256().hexdigest()


@dataclass(slots=True)
class Tally:
    """The counts of a run so far. As JSON it is a part of the run's cursor; at the end it becomes ``RunFinished``.

    ``totals``: minor units by currency, ours and the provider's. ``digest`` chains the verdicts in order, so equal digests
    mean equal lines and verdicts; a repaired line counts as matched there. ``unreadable``: breaks of deposits that could
    not be read or compared.
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
        """Count a line that both sides have with the same amount."""
        self.ours += 1
        self.provider += 1
        self.matched += not repaired
        self.repaired += repaired
        self._sum(line, (1, 1))
        self._chain("matched", line)

    def wait(self, our_line: Line) -> None:
        """Count a line of ours that is not due in a report yet. It is in no total."""
        self.ours += 1
        self.in_transit += 1
        self._chain("in_transit", our_line)

    def differ(self, kind: BreakKind, our_line: Line | None, their_line: Line | None) -> None:
        """Count a break of one or two lines; the digest takes the provider's if there is one."""
        self._add(our_line, their_line)
        self._break(kind)
        line = their_line if their_line is not None else our_line
        assert line is not None, "a difference has at least one side"
        self._chain(kind, line)

    def note(self, kind: BreakKind, reference: str) -> None:
        """Count a break without a line, as no money moved."""
        self._break(kind)
        self._link(f"{kind}|{reference}")

    def _break(self, kind: BreakKind) -> None:
        self.breaks += 1
        self.unreadable += kind == "unreadable"

    def _add(self, our_line: Line | None, their_line: Line | None) -> None:
        if our_line is not None:
            self.ours += 1
            self._sum(our_line, (1, 0))
        if their_line is not None:
            self.provider += 1
            self._sum(their_line, (0, 1))

    def _sum(self, line: Line, sides: tuple[int, int]) -> None:
        place, _, minor, currency, *_ = line
        signed_minor = KIND_SIGNS[read_kind(place)] * minor
        ours, theirs = self.totals.get(currency, ZERO_TOTALS)
        self.totals[currency] = [ours + signed_minor * sides[0], theirs + signed_minor * sides[1]]

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
