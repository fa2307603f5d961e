"""The terms of an offer, and the hash that identifies them."""

import hashlib
from typing import Annotated, Final, Literal, Self

import rfc8785
from pydantic import Field, model_validator

from chalicelib.core.common import instants
from chalicelib.core.common.fields import (
    Category,
    CurrencyCode,
    Duration,
    Frozen,
    InstantField,
    MoneyField,
    Sku,
    Text,
    field_error,
)
from chalicelib.core.policy import market, payment_routes
from chalicelib.core.policy.market import Market

Method = Literal[
    "card",
    "alipay",
    "wechat_pay",
    "gopay",
    "ovo",
    "shopeepay",
    "dana",
    "qris",
    "virtual_account",
    "cash_on_delivery",
]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
DEFAULT_PRESET: Final = "recommended"  # for offers that name no preset


# The API contract shows the docstrings of these models.
class Item(Frozen):
    """An item on pre-sale."""

    sku: Sku
    name: Text
    category: Category = "general"
    price: MoneyField
    made_to_spec: bool = False


class StockedItem(Item):
    """An item as the merchant offers it; ``stock`` null means without limit and without a counter."""

    stock: Count | None = None


class Payment(Frozen):
    """What is taken at once, by which methods, and how long the buyer has to pay it."""

    take: Literal["deposit", "full"]
    deposit: MoneyField | None = None
    nature: Literal["earnest", "advance", "reservation"]
    methods: Annotated[tuple[Method, ...], Field(min_length=1, max_length=10)]
    due_within: Duration


class Window(Frozen):
    """The cooling-off time."""

    kind: Literal["elapsed", "calendar_days", "working_days"]
    length: Duration

    @model_validator(mode="after")
    def _days_are_whole(self) -> Self:
        if self.kind != "elapsed":
            try:
                instants.whole_days(self.length)
            except ValueError:
                raise field_error("duration_days") from None
        return self


class Lock(Frozen):
    """When the deposit becomes a commitment, and how a buyer's own lock is slowed down and undone."""

    at: Literal["window_end", "payment", "never"]
    # ``early``: the buyer may lock before ``at``, after the reading time ``review``. ``undo`` None: no undo.
    early: bool
    review: Duration | None = None
    intent_ttl: Duration | None = None
    undo: Duration | None = None
    remind_before: Annotated[tuple[Duration, ...], Field(max_length=10)] = ()


class AfterLock(Frozen):
    """What a buyer's cancel after the lock costs: the deposit (``forfeit``) or nothing (``refund``)."""

    buyer_cancel: Literal["forfeit", "refund"]


class Balance(Frozen):
    """When the rest falls due: only once the goods are ready to be inspected."""

    starts: Literal["ready"]
    due_within: Duration
    cure: Duration


class Delivery(Frozen):
    """The promised time from the lock to delivery, if one is promised."""

    within: Duration | None = None


class Limits(Frozen):
    """Most units for one buyer, and for one verified person across accounts."""

    per_buyer: Count | None = None
    per_identity: Count | None = None


class TradeIn(Frozen):
    """The fee schedule, its version as frozen with the offer, and the credit for each old model."""

    schedule: Text
    version: Text | None = None
    values: dict[Sku, MoneyField]

    @property
    def name(self) -> str:
        """The name of the frozen schedule, ``<schedule>@<version>``."""
        return f"{self.schedule}@{self.version}"


class Claims(Frozen):
    """How long the merchant and the platform may be silent before silence decides for the buyer."""

    merchant_response: Duration
    platform_decision: Duration


class Priority(Frozen):
    """Units of each SKU kept for holders of a priority pass."""

    reserved: dict[Sku, Count] = Field(default_factory=dict)


class Refund(Frozen):
    """How long a refund may take, from its decision."""

    deadline: Duration


class Terms(Frozen):
    """All terms of an offer. Immutable; ``compute_terms_hash`` identifies them."""

    title: Text
    market: Text
    market_policy: str = ""
    currency: CurrencyCode
    preset: str = DEFAULT_PRESET
    opens_at: InstantField | None = None
    closes_at: InstantField | None = None
    items: Annotated[tuple[Item, ...], Field(min_length=1, max_length=100)]
    shipping: MoneyField
    payment: Payment
    window: Window | None = None
    lock: Lock
    after_lock: AfterLock
    balance: Balance
    delivery: Delivery
    limits: Limits
    transfer: Literal["none"] = "none"
    trade_in: TradeIn | None = None
    claims: Claims
    cancellation_reasons: tuple[Text, ...]
    priority: Priority
    expected_peak_per_second: Annotated[int, Field(ge=1, le=100_000)]
    refund: Refund

    def find_item(self, sku: str) -> Item | None:
        return next((item for item in self.items if item.sku == sku), None)

    def offers_method(self, method: str, at: int) -> bool:
        """Whether a buyer may choose the method at an instant: the terms name it and its route has not ended."""
        return method in self.payment.methods and payment_routes.is_offered(method, at)

    @property
    def policy(self) -> Market:
        return market.read_policy(self.market_policy)


class Draft(Terms):
    """Terms as the merchant sends them, with stock."""

    items: Annotated[tuple[StockedItem, ...], Field(min_length=1, max_length=100)]

    @property
    def stock(self) -> dict[str, int | None]:
        return {item.sku: item.stock for item in self.items}


def compute_terms_hash(terms: Terms) -> str:
    """``sha256:<hex>`` over the canonical JSON of the terms."""
    return "sha256:" + hashlib.sha256(to_canonical_json(terms)).hexdigest()


def to_canonical_json(terms: Terms) -> bytes:
    """The terms as canonical JSON (RFC 8785), as hashed and stored. Without stock, which is not a term."""
    members = terms.model_dump(mode="json", exclude={"items": {"__all__": {"stock"}}})
    return bytes(rfc8785.dumps(members))
