"""Events of goods and trade-ins: ready, shipped, delivered, received, inspected."""

from typing import ClassVar

from msgspec import Struct

from chalicelib.core.common.instants import Instant
from chalicelib.core.deposit.events.base import DepositEvent


class GoodsReady(DepositEvent, frozen=True):
    """The merchant says that these lines can be inspected.

    With the last line the balance falls due, never before: ``balance_due_at``, and ``cure_until`` after one notice.
    """

    TYPE: ClassVar[str] = "goods.ready"
    lines: tuple[int, ...]
    inspect_at: Instant
    evidence: tuple[str, ...]
    balance_due_at: Instant | None = None
    cure_until: Instant | None = None


class Units(Struct, frozen=True):
    """Some units of one line."""

    line: int
    quantity: int


class GoodsShipped(DepositEvent, frozen=True):
    """The merchant handed these units to a carrier."""

    TYPE: ClassVar[str] = "goods.shipped"
    lines: tuple[Units, ...]


class GoodsDelivered(DepositEvent, frozen=True):
    """The merchant's word that these units arrived, and when.

    ``withdrawal_ends_at`` is the end of the statutory period, if these are the last to arrive; None where a market has none.
    """

    TYPE: ClassVar[str] = "goods.delivered"
    lines: tuple[Units, ...]
    delivered_at: Instant
    evidence: tuple[str, ...]
    withdrawal_ends_at: Instant | None = None


class GoodsReceived(DepositEvent, frozen=True):
    """The buyer's word that everything shipped so far arrived. ``withdrawal_ends_at`` as for the merchant's word."""

    TYPE: ClassVar[str] = "goods.received"
    lines: tuple[Units, ...]
    withdrawal_ends_at: Instant | None = None


class TradeInInspected(DepositEvent, frozen=True):
    """An inspector's word on the old device: ``matched``, or ``mismatched`` for these grounds, with what proves them."""

    TYPE: ClassVar[str] = "trade_in.inspected"
    outcome: str
    grounds: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class TradeInCancelled(DepositEvent, frozen=True):
    """The trade-in fell through, and not by the buyer: ``by`` seller or courier."""

    TYPE: ClassVar[str] = "trade_in.cancelled"
    by: str


GoodsEvent = GoodsReady | GoodsShipped | GoodsDelivered | GoodsReceived
