"""Events of an order: its lines, and the stock and limit units taken for them."""

from typing import ClassVar

from msgspec import Struct

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.events.base import DepositEvent


class Line(Struct, frozen=True):
    """One line of a deposit. ``unit_price`` is the offer's price when the line was ordered."""

    sku: str
    quantity: int
    unit_price: Money
    made_to_spec: bool = False

    @property
    def value(self) -> Money:
        return self.unit_price * self.quantity


class TakenStock(Struct, frozen=True):
    """Units taken from one stock shard. They are released to the same shard."""

    sku: str
    shard: int
    units: int


class TradedIn(Struct, frozen=True):
    """The old device that pays a part of the order.

    ``schedule`` is the fee schedule (``id@version``), ``fee_base`` the price that the fee is computed from.
    ``fee_if_mismatched`` is the fee when the device is not as declared; None when no band contains the price.
    """

    category: str
    model: str
    credit: Money
    schedule: str
    fee_base: Money
    fee_if_mismatched: Money | None = None


class Priority(Struct, frozen=True):
    """The priority pass that the order used: for one unit of one of ``skus`` at most at ``price_cap``."""

    id: str
    skus: tuple[str, ...]
    price_cap: Money


class Created(DepositEvent, frozen=True):
    """A buyer ordered. Stock and limit units were taken in the same transaction.

    ``batch`` names the offer's set of stock shards. ``token_key`` names the key of the withdrawal token.
    """

    TYPE: ClassVar[str] = "deposit.created"
    offer: str
    merchant: str
    buyer: str
    terms_hash: str
    lines: tuple[Line, ...]
    shipping: Money
    due_now: Money
    due_at: Instant
    method: str
    batch: str = ""
    stock: tuple[TakenStock, ...] = ()
    limit_units: int = 0
    token_key: str = ""
    trade_in: TradedIn | None = None
    priority: Priority | None = None


class ItemsChanged(DepositEvent, frozen=True):
    """The buyer changed the items. ``stock`` is all that the deposit now holds; ``shipping`` is computed anew."""

    TYPE: ClassVar[str] = "items.changed"
    lines: tuple[Line, ...]
    shipping: Money
    stock: tuple[TakenStock, ...] = ()
    limit_units: int = 0
