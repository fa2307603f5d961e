"""Lines of money movements, ours and the provider's, with the sort key by which both are read."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.payment import Capture
from chalicelib.core.deposit.refund import Refund, RefundStatus, parse_refund_key
from chalicelib.core.policy import payment_routes

SHARDS: Final = 16
BODY_LENGTH: Final = 26  # characters of a deposit's id in a place
UNATTRIBUTED: Final = "~"  # prefix of places without a deposit of ours; sorts after every deposit
AFTER_LAST_PLACE: Final = "\U0010ffff"  # sorts after every place of a deposit
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
    """One movement. ``place`` is ``<26>c0001``: deposit id, letter of the kind, number of the payment or refund.

    ``ref`` is the provider's reference. ``at`` is the provider's instant. Lines sort by ``place``, then ``ref``. Only on our
    lines: ``days`` until a settlement report shows the movement, and ``settled``: whether one did.
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
        """The id of the payment or refund; empty when the line names none of ours."""
        if self.place.startswith(UNATTRIBUTED):
            return ""
        return child("pay" if self.kind == "c" else "ref", f"dep_{self.body}", self.n)


def build_place(kind: LineKind, reference: str) -> str:
    """The place of a report's line, from the payment id or refund key that it names."""
    parsed = parse_child("pay", reference) if kind == "capture" else parse_refund_key(reference)
    if parsed is None:
        return UNATTRIBUTED + KIND_LETTERS[kind] + reference
    return f"{parsed[0]}{KIND_LETTERS[kind]}{parsed[1]:04d}"


def read_kind(place: str) -> str:
    """The letter of the kind in a place: after the deposit's id, or after ``UNATTRIBUTED``."""
    return place[1:2] if place.startswith(UNATTRIBUTED) else place[BODY_LENGTH : BODY_LENGTH + 1]


def find_group(place: str) -> str:
    """The lines compared together: those of a deposit, or a line without one. A run stops only between groups."""
    return place if place.startswith(UNATTRIBUTED) else place[:BODY_LENGTH]


def find_group_end(group: str) -> str:
    """A place after all lines of the group, from which a report is read on."""
    return group if not group or group.startswith(UNATTRIBUTED) else group + AFTER_LAST_PLACE


def compute_shard(place: str) -> int:
    """The shard of a place. All lines of a deposit are in one shard."""
    return zlib.crc32(place[:BODY_LENGTH].encode("utf-8", "surrogatepass")) % SHARDS


def list_lines(deposit: Deposit) -> tuple[Line, ...]:
    """Every movement in the journal of a deposit, sorted."""
    body = deposit.id.partition("_")[2]
    lines = [_build_capture_line(body, deposit, capture) for capture in deposit.captures]
    for refund in deposit.refunds:
        lines += _list_refund_lines(body, refund)
    return tuple(sorted(lines))


def _build_capture_line(body: str, deposit: Deposit, capture: Capture) -> Line:
    amount, method = capture.amount, deposit.payments[capture.payment - 1].method
    days = payment_routes.find_route(method, capture.at).settle_days
    return Line(f"{body}c{capture.payment:04d}", capture.capture, amount.minor, amount.currency, capture.at, days)


def _list_refund_lines(body: str, refund: Refund) -> Iterator[Line]:
    money = refund.amount
    for number, movement in enumerate(refund.movements, start=1):
        last = number == len(refund.movements)
        settled = not (last and refund.status is RefundStatus.SUCCEEDED)
        days = (
            payment_routes.find_payout(movement.at).settle_days
            if movement.paid_out
            else payment_routes.find_route(refund.method, movement.at).settle_days
        )
        letter = KIND_LETTERS[movement.kind]
        yield Line(
            f"{body}{letter}{refund.n:04d}", movement.ref, money.minor, money.currency, movement.at, days, settled
        )


def find_latest_movement(lines: Iterable[Line]) -> int | None:
    """The instant of the latest movement; None without one."""
    return max((line.at for line in lines), default=None)
