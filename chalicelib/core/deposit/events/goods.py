"""Events of goods and trade-ins: ready, shipped, delivered, received, inspected."""

from typing import ClassVar

from msgspec import Struct

from chalicelib.core.common.instants import Instant
from chalicelib.core.deposit.events.base import DepositEvent


class GoodsReady(DepositEvent, frozen=True):
    """The merchant reports that these lines can be inspected from ``inspect_at``.

    With the last line the balance falls due at ``balance_due_at``; ``cure_until`` ends the time to pay after a notice. Both
    are None before the last line and when nothing remains to be paid.
    """

    TYPE: ClassVar[str] = "goods.ready"
    lines: tuple[int, ...]
    inspect_at: Instant
    evidence: tuple[str, ...]
    balance_due_at: Instant | None = None
    cure_until: Instant | None = None


class Units(Struct, frozen=True):
    """``quantity`` units of one line, counted from 1."""

    line: int
    quantity: int


class GoodsShipped(DepositEvent, frozen=True):
    """The merchant handed these units to a carrier."""

    TYPE: ClassVar[str] = "goods.shipped"
    lines: tuple[Units, ...]


class GoodsDelivered(DepositEvent, frozen=True):
    """The merchant reports that these units arrived at ``delivered_at``.

    ``withdrawal_ends_at`` is the end of the statutory withdrawal period if these are the last units to arrive; None where
    the market has no such period.
    """

    TYPE: ClassVar[str] = "goods.delivered"
    lines: tuple[Units, ...]
    delivered_at: Instant
    evidence: tuple[str, ...]
    withdrawal_ends_at: Instant | None = None


class GoodsReceived(DepositEvent, frozen=True):
    """The buyer confirms that all units shipped so far arrived. ``withdrawal_ends_at`` as in ``GoodsDelivered``."""

    TYPE: ClassVar[str] = "goods.received"
    lines: tuple[Units, ...]
    withdrawal_ends_at: Instant | None = None


class TradeInInspected(DepositEvent, frozen=True):
    """An inspector's result for the old device: ``matched``, or ``mismatched`` on ``grounds`` with ``evidence``."""

    TYPE: ClassVar[str] = "trade_in.inspected"
    outcome: str
    grounds: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class TradeInCancelled(DepositEvent, frozen=True):
    """The seller or the courier (``by``) caused the trade-in to fail."""

    TYPE: ClassVar[str] = "trade_in.cancelled"
    by: str


GoodsEvent = GoodsReady | GoodsShipped | GoodsDelivered | GoodsReceived
