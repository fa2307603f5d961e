"""The shapes of offers, presets and markets in answers."""

from typing import Annotated, Any, Literal

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core.policy import market, terms
from chalicelib.core.selling.offer import OfferStatus
from chalicelib.web.edge.values import CLOSED, HashAnswer, InstantAnswer, MoneyAnswer, one_of


@with_config(CLOSED)
class OfferItemAnswer(TypedDict):
    """One thing that is pre-sold. ``available`` is approximate; both numbers are null without a limit."""

    sku: str
    name: str
    category: str
    price: MoneyAnswer
    made_to_spec: bool
    stock: int | None
    available: int | None


@with_config(CLOSED)
class ConstrainedAnswer(TypedDict):
    """A term that the market changed in the buyer's favour."""

    field: str
    rule: str
    source: str


@with_config(CLOSED)
class OfferAnswer(TypedDict):
    """The whole resolved offer: the frozen terms, named by ``terms_hash``, and what surrounds them."""

    id: str
    object: Literal["offer"]
    version: int
    status: Annotated[str, one_of(OfferStatus)]
    merchant: str
    title: str
    market: str
    market_policy: str
    currency: str
    preset: str
    opens_at: InstantAnswer | None
    closes_at: InstantAnswer | None
    items: list[OfferItemAnswer]
    shipping: MoneyAnswer
    payment: terms.Payment
    window: terms.Window | None
    lock: terms.Lock
    after_lock: terms.AfterLock
    balance: terms.Balance
    delivery: terms.Delivery
    limits: terms.Limits
    transfer: Literal["none"]
    trade_in: terms.TradeIn | None
    claims: terms.Claims
    cancellation_reasons: list[str]
    priority: terms.Priority
    expected_peak_per_second: int
    refund: terms.Refund
    terms_hash: HashAnswer
    constrained_by: list[ConstrainedAnswer]
    created_at: InstantAnswer
    updated_at: InstantAnswer


@with_config(CLOSED)
class FindingAnswer(TypedDict):
    """One remark on an offer: an error stops it, a warning does not."""

    severity: Literal["error", "warning"]
    pointer: str
    message: str


@with_config(CLOSED)
class CheckAnswer(TypedDict):
    """Whether the offer could be published as it is, and what is to be said about it."""

    ok: bool
    findings: list[FindingAnswer]


@with_config(CLOSED)
class PresetAnswer(TypedDict):
    """What fills the members that an offer leaves out, shaped like an offer."""

    id: str
    object: Literal["preset"]
    source: str
    offer: dict[str, Any]


@with_config(CLOSED)
class ForfeitAnswer(TypedDict):
    """When a deposit may be kept, how much of the goods' value at most, and the rule in the reader's language."""

    allowed: Literal["always", "made_to_spec", "never"]
    cap_percent: int | None
    rule: str
    source: str
    text: str


@with_config(CLOSED)
class MarketAnswer(TypedDict):
    """The policy in force in a market, with its sources."""

    object: Literal["market"]
    id: str
    code: str
    version: str
    time_zone: str
    holidays: str
    source: str
    forfeit: ForfeitAnswer
    seller_default: market.SellerDefault
    default: market.Default
    refund_deadline: market.RefundDeadline
    withdrawal: market.Withdrawal | None
