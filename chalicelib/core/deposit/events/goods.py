"""Events of goods and trade-ins: ready, shipped, delivered, received, inspected."""

from typing import ClassVar

from msgspec import Struct


class GoodsReady(Struct, frozen=True):
    """The merchant says that these lines can be inspected.

    With the last line the balance falls due, never before: ``balance_due_at``, and ``cure_until`` after one notice.
    """

    TYPE: ClassVar[str] = "goods.ready"
    at: int
    lines: tuple[int, ...]
    inspect_at: int
    evidence: tuple[str, ...]
    balance_due_at: int | None = None
    cure_until: int | None = None


class Units(Struct, frozen=True):
    """Some units of one line."""

    line: int
    quantity: int


class GoodsShipped(Struct, frozen=True):
    """The merchant handed these units to a carrier."""

    TYPE: ClassVar[str] = "goods.shipped"
    at: int
    lines: tuple[Units, ...]


class GoodsDelivered(Struct, frozen=True):
    """The merchant's word that these units arrived, and when.

    ``withdrawal_ends_at`` is the end of the statutory period, if these are the last to arrive; None where a market has none.
    """

    TYPE: ClassVar[str] = "goods.delivered"
    at: int
    lines: tuple[Units, ...]
    delivered_at: int
    evidence: tuple[str, ...]
    withdrawal_ends_at: int | None = None


class GoodsReceived(Struct, frozen=True):
    """The buyer's word that everything shipped so far arrived. ``withdrawal_ends_at`` as for the merchant's word."""

    TYPE: ClassVar[str] = "goods.received"
    at: int
    lines: tuple[Units, ...]
    withdrawal_ends_at: int | None = None


class TradeInInspected(Struct, frozen=True):
    """An inspector's word on the old device: ``matched``, or ``mismatched`` for these grounds, with what proves them."""

    TYPE: ClassVar[str] = "trade_in.inspected"
    at: int
    outcome: str
    grounds: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class TradeInCancelled(Struct, frozen=True):
    """The trade-in fell through, and not by the buyer: ``by`` seller or courier."""

    TYPE: ClassVar[str] = "trade_in.cancelled"
    at: int
    by: str


GoodsEvent = GoodsReady | GoodsShipped | GoodsDelivered | GoodsReceived
