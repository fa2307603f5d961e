"""Events of goods and trade-ins: ready, shipped, delivered, received, inspected."""

from typing import ClassVar

from msgspec import Struct


class GoodsReady(Struct, frozen=True):
    """The merchant reports that these lines can be inspected from ``inspect_at``.

    With the last line the balance falls due at ``balance_due_at``; ``cure_until`` ends the time to pay after a notice. Both
    are None before the last line and when nothing remains to be paid.
    """

    TYPE: ClassVar[str] = "goods.ready"
    at: int
    lines: tuple[int, ...]
    inspect_at: int
    evidence: tuple[str, ...]
    balance_due_at: int | None = None
    cure_until: int | None = None


class Units(Struct, frozen=True):
    """``quantity`` units of one line, counted from 1."""

    line: int
    quantity: int


class GoodsShipped(Struct, frozen=True):
    """The merchant handed these units to a carrier."""

    TYPE: ClassVar[str] = "goods.shipped"
    at: int
    lines: tuple[Units, ...]


class GoodsDelivered(Struct, frozen=True):
    """The merchant reports that these units arrived at ``delivered_at``.

    ``withdrawal_ends_at`` is the end of the statutory withdrawal period if these are the last units to arrive; None where
    the market has no such period.
    """

    TYPE: ClassVar[str] = "goods.delivered"
    at: int
    lines: tuple[Units, ...]
    delivered_at: int
    evidence: tuple[str, ...]
    withdrawal_ends_at: int | None = None


class GoodsReceived(Struct, frozen=True):
    """The buyer confirms that all units shipped so far arrived. ``withdrawal_ends_at`` as in ``GoodsDelivered``."""

    TYPE: ClassVar[str] = "goods.received"
    at: int
    lines: tuple[Units, ...]
    withdrawal_ends_at: int | None = None


class TradeInInspected(Struct, frozen=True):
    """An inspector's result for the old device: ``matched``, or ``mismatched`` on ``grounds`` with ``evidence``."""

    TYPE: ClassVar[str] = "trade_in.inspected"
    at: int
    outcome: str
    grounds: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class TradeInCancelled(Struct, frozen=True):
    """The seller or the courier (``by``) caused the trade-in to fail."""

    TYPE: ClassVar[str] = "trade_in.cancelled"
    at: int
    by: str


GoodsEvent = GoodsReady | GoodsShipped | GoodsDelivered | GoodsReceived
