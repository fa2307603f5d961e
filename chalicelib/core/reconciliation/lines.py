"""Lines of money movements, ours and the provider's, and the order in which both sides are read."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.refund import Refund, RefundStatus, parse_refund_key
from chalicelib.core.policy import payment_routes

SHARDS: Final = 16
BODY_LENGTH: Final = 26  # characters of a deposit's id in a place
UNATTRIBUTED: Final = "~"  # sorts behind every deposit: what names nothing of ours
AFTER_LAST_PLACE: Final = "\U0010ffff"  # sorts behind every place of a deposit
KIND_LETTERS: Final = {"capture": "c", "refund": "r", "return": "x"}
KIND_SIGNS: Final = {"c": 1, "r": -1, "x": 1}

LineKind = Literal["capture", "refund", "return"]
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
    "unreadable",
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
        return self.place[:BODY_LENGTH]

    @property
    def kind(self) -> str:
        """``c`` capture, ``r`` refund or payout, ``x`` return."""
        return read_kind(self.place)

    @property
    def n(self) -> int:
        return int(self.place[BODY_LENGTH + 1 :])

    @property
    def money(self) -> Money:
        return Money(self.minor, self.currency)

    @property
    def reference(self) -> str:
        """The id of the payment or refund that moved; empty when it names none of ours."""
        if self.place.startswith(UNATTRIBUTED):
            return ""
        return child("pay" if self.kind == "c" else "ref", f"dep_{self.body}", self.n)


def build_place(kind: LineKind, reference: str) -> str:
    """The place of a report's line by what it says it was made for."""
    parsed = parse_child("pay", reference) if kind == "capture" else parse_refund_key(reference)
    if parsed is None:
        return UNATTRIBUTED + KIND_LETTERS[kind] + reference
    return f"{parsed[0]}{KIND_LETTERS[kind]}{parsed[1]:04d}"


def read_kind(place: str) -> str:
    """The letter of a place: behind the deposit, or at once where there is none."""
    return place[1:2] if place.startswith(UNATTRIBUTED) else place[BODY_LENGTH : BODY_LENGTH + 1]


def find_group(place: str) -> str:
    """What is compared together: a deposit, or a line that names none. A run stops only between two of them."""
    return place if place.startswith(UNATTRIBUTED) else place[:BODY_LENGTH]


def find_group_end(found: str) -> str:
    """The last place of a group: a report goes on behind it."""
    return found if not found or found.startswith(UNATTRIBUTED) else found + AFTER_LAST_PLACE


def compute_shard(place: str) -> int:
    """All lines of a deposit fall into one shard."""
    return zlib.crc32(place[:BODY_LENGTH].encode("utf-8", "surrogatepass")) % SHARDS


def list_lines(deposit: Deposit) -> tuple[Line, ...]:
    """Every movement of a deposit that its journal knows of, sorted."""
    body = deposit.id.partition("_")[2]
    found = [
        Line(
            f"{body}c{one.payment:04d}",
            one.capture,
            one.amount.minor,
            one.amount.currency,
            one.at,
            payment_routes.find_route(deposit.payments[one.payment - 1].method, one.at).settle_days,
        )
        for one in deposit.captures
    ]
    for refund in deposit.refunds:
        found += _refund_lines(body, refund)
    return tuple(sorted(found))


def _refund_lines(body: str, refund: Refund) -> Iterator[Line]:
    money = refund.amount
    for place, move in enumerate(refund.movements, start=1):
        last = place == len(refund.movements)
        settled = not (last and refund.status is RefundStatus.SUCCEEDED)
        days = (
            payment_routes.find_payout(move.at).settle_days
            if move.paid_out
            else payment_routes.find_route(refund.method, move.at).settle_days
        )
        letter = KIND_LETTERS[move.kind]
        yield Line(f"{body}{letter}{refund.n:04d}", move.ref, money.minor, money.currency, move.at, days, settled)


def find_latest_movement(lines: Iterable[Line]) -> int | None:
    """When money moved last."""
    return max((line.at for line in lines), default=None)
