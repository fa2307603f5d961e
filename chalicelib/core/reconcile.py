"""Reconciliation: our lines against the provider's settlement report, in both directions, line by line.

Both sides come sorted by place, so one pass joins them with a page of each in memory. What is compared is what moved
money: captures, refunds and payouts, returns. A line that fits on neither side is a break; what can be repaired is.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from chalicelib.core import routes
from chalicelib.core.deposit import Deposit
from chalicelib.core.ids import child, parse_child
from chalicelib.core.instants import DAY
from chalicelib.core.money import Money
from chalicelib.core.refund import ASKED_FOR, Refund, RefundStatus, parse_key

SHARDS: Final = 16
BODY: Final = 26  # characters of a deposit's id in a place
STRANGE: Final = "~"  # sorts behind every deposit: what names nothing of ours
LAST: Final = "\U0010ffff"  # sorts behind every place of a deposit
LETTERS: Final = {"capture": "c", "refund": "r", "return": "x"}
SIGNS: Final = {"c": 1, "r": -1, "x": 1}

Kind = Literal["capture", "refund", "return"]
BreakKind = Literal[
    "missing_at_provider",
    "unknown_here",
    "amount_mismatch",
    "status_mismatch",
    "duplicate",
    "late_payment",
    "returned_after_success",
    "stale",
    "promise_missed",
]


class Line(NamedTuple):
    """One movement. ``place`` is ``<26>c0001``: deposit, kind, number of the payment or refund; ``ref`` the provider's.

    Lines sort by place, then by reference. ``days`` and ``settled`` are ours: by when a report shows it, whether one did.
    """

    place: str
    ref: str
    minor: int
    currency: str
    at: int
    days: int = 0
    settled: bool = True

    @property
    def body(self) -> str:
        return self.place[:BODY]

    @property
    def kind(self) -> str:
        """``c`` capture, ``r`` refund or payout, ``x`` return."""
        return kind_of(self.place)

    @property
    def n(self) -> int:
        return int(self.place[BODY + 1 :])

    @property
    def money(self) -> Money:
        return Money(self.minor, self.currency)

    @property
    def reference(self) -> str:
        """The id of the payment or refund that moved; empty when it names none of ours."""
        if self.place.startswith(STRANGE):
            return ""
        return child("pay" if self.kind == "c" else "ref", f"dep_{self.body}", self.n)


def placed(kind: Kind, reference: str) -> str:
    """The place of a report's line by what it says it was made for."""
    parsed = parse_child("pay", reference) if kind == "capture" else parse_key(reference)
    if parsed is None:
        return STRANGE + LETTERS[kind] + reference
    return f"{parsed[0]}{LETTERS[kind]}{parsed[1]:04d}"


def kind_of(place: str) -> str:
    """The letter of a place: behind the deposit, or at once where there is none."""
    return place[1:2] if place.startswith(STRANGE) else place[BODY : BODY + 1]


def group(place: str) -> str:
    """What is compared together: a deposit, or a line that names none. A run stops only between two of them."""
    return place if place.startswith(STRANGE) else place[:BODY]


def behind(found: str) -> str:
    """The last place of a group: a report goes on behind it."""
    return found if not found or found.startswith(STRANGE) else found + LAST


def shard_of(place: str) -> int:
    """All lines of a deposit fall into one shard."""
    return zlib.crc32(place[:BODY].encode("utf-8", "surrogatepass")) % SHARDS


def lines_of(deposit: Deposit) -> tuple[Line, ...]:
    """Every movement of a deposit that its journal knows of, sorted."""
    body = deposit.id.partition("_")[2]
    found = [
        Line(
            f"{body}c{one.payment:04d}",
            one.capture,
            one.amount.minor,
            one.amount.currency,
            one.at,
            routes.route(deposit.payments[one.payment - 1].method).settle_days,
        )
        for one in deposit.captures
    ]
    for refund in deposit.refunds:
        found += _refund_lines(body, refund)
    return tuple(sorted(found))


def _refund_lines(body: str, refund: Refund) -> Iterator[Line]:
    money = refund.amount
    for place, move in enumerate(refund.moves, start=1):
        last = place == len(refund.moves)
        settled = not (last and refund.status is RefundStatus.SUCCEEDED)
        days = routes.payout().settle_days if move.paid_out else routes.route(refund.method).settle_days
        letter = LETTERS[move.kind]
        yield Line(f"{body}{letter}{refund.n:04d}", move.ref, money.minor, money.currency, move.at, days, settled)


def latest(lines: Iterable[Line]) -> int | None:
    """When money moved last."""
    return max((line.at for line in lines), default=None)


Pair = tuple[Line | None, Line | None]


def join(ours: Iterator[Line], theirs: Iterator[Line]) -> Iterator[Pair]:
    """Both sides side by side, ascending; what stands on one side only has None beside it."""
    mine, other = next(ours, None), next(theirs, None)
    while mine is not None and other is not None:
        left, right = (mine[0], mine[1]), (other[0], other[1])
        if left == right:
            yield mine, other
            mine, other = next(ours, None), next(theirs, None)
        elif left < right:
            yield mine, None
            mine = next(ours, None)
        else:
            yield None, other
            other = next(theirs, None)
    while mine is not None:
        yield mine, None
        mine = next(ours, None)
    while other is not None:
        yield None, other
        other = next(theirs, None)


def in_transit(line: Line, at: int, settle_days: int | None) -> bool:
    """Whether our line is too young to be missed."""
    days = settle_days if settle_days is not None else line.days
    return line.at + days * DAY > at


def why_strange(deposit: Deposit | None, line: Line) -> BreakKind:
    """What a report's line means that our journal does not have, after it was asked for in vain."""
    if deposit is None:
        return "unknown_here"
    if line.kind == "c":
        return "late_payment" if line.n <= len(deposit.payments) else "unknown_here"
    if line.n > len(deposit.refunds):
        return "unknown_here"
    refund = deposit.refunds[line.n - 1]
    if line.kind == "x":
        return "returned_after_success"
    return "duplicate" if any(move.kind == "refund" for move in refund.moves) else "status_mismatch"


# A refund that nobody has heard of for so long, though somebody should have looked.
STALE: Final = 2 * DAY


def overdue(refund: Refund, at: int) -> BreakKind | None:
    """Whether a refund that is still open broke its promise, or stands still."""
    if not refund.open:
        return None
    if refund.promised_by <= at:
        return "promise_missed"
    stands = refund.status in {*ASKED_FOR, RefundStatus.MANUAL_REVIEW}
    return "stale" if stands and refund.changed_at + STALE <= at else None


NONE: Final = (0, 0)
NOTHING: Final = hashlib.sha256().hexdigest()


@dataclass(slots=True)
class Tally:
    """What a run has counted so far; as JSON it is a part of the run's cursor, and at the end its certificate.

    ``totals`` are minor units by currency, ours and the provider's. ``digest`` chains every verdict in its order: two
    runs with the same digest compared the same lines to the same end. A repaired line counts as matched there.
    """

    ours: int = 0
    provider: int = 0
    matched: int = 0
    repaired: int = 0
    in_transit: int = 0
    breaks: int = 0
    totals: dict[str, list[int]] = field(default_factory=dict)
    digest: str = NOTHING

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
        self.breaks += 1
        found = other if other is not None else mine
        assert found is not None, "a difference has at least one side"
        self._chain(kind, found)

    def note(self, kind: BreakKind, reference: str) -> None:
        """A break that is in no report: it moved no money."""
        self.breaks += 1
        self._link(f"{kind}|{reference}")

    def _add(self, mine: Line | None, other: Line | None) -> None:
        if mine is not None:
            self.ours += 1
            self._sum(mine, (1, 0))
        if other is not None:
            self.provider += 1
            self._sum(other, (0, 1))

    def _sum(self, line: Line, sides: tuple[int, int]) -> None:
        place, _, minor, currency, *_ = line
        moved = SIGNS[kind_of(place)] * minor
        ours, theirs = self.totals.get(currency, NONE)
        self.totals[currency] = [ours + moved * sides[0], theirs + moved * sides[1]]

    def _chain(self, verdict: str, line: Line) -> None:
        place, ref, minor, currency, *_ = line
        self._link(f"{verdict}|{place}|{ref}|{minor}|{currency}")

    def _link(self, text: str) -> None:
        self.digest = hashlib.sha256(f"{self.digest}|{text}".encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def balanced(self) -> bool:
        return not self.breaks and all(ours == theirs for ours, theirs in self.totals.values())

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in TALLIED}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> "Tally":
        return cls(**plain)


TALLIED: Final = ("ours", "provider", "matched", "repaired", "in_transit", "breaks", "totals", "digest")
