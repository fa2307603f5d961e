"""Events of an order: what was ordered, with the stock and limit units taken for it."""

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
    """Units drawn from one stock shard; they go back to the same one."""

    sku: str
    shard: int
    units: int


class TradedIn(Struct, frozen=True):
    """The old device that pays a part: its credit, the fee schedule (``id@version``) and the price a fee is measured by."""

    category: str
    model: str
    credit: Money
    schedule: str
    fee_base: Money
    fee_if_mismatched: Money | None = None


class Priority(Struct, frozen=True):
    """The priority pass an order was made with: one unit of one of these goods, at most at this price."""

    id: str
    skus: tuple[str, ...]
    price_cap: Money


class Created(DepositEvent, frozen=True):
    """A buyer ordered. The units and the limit units were taken in the same write, from the offer's ``batch`` of shards."""

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
    """The buyer changed what is ordered. ``stock`` is all that the deposit holds from now on, ``shipping`` as recomputed."""

    TYPE: ClassVar[str] = "items.changed"
    lines: tuple[Line, ...]
    shipping: Money
    stock: tuple[TakenStock, ...] = ()
    limit_units: int = 0
