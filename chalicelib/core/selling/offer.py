"""An offer: what a merchant pre-sells, its stock in shards, and its life by the clock."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.instants import Instant
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.policy import pass_rules
from chalicelib.core.policy.terms import Draft, Terms

# One shard is safe for about ten transactional writes a second; more shards than an eighth of the stock run dry early.
SHARD_WRITES_PER_SECOND: Final = 10
MIN_SHARDS: Final = 8
MIN_UNITS_PER_SHARD: Final = 8
# One partition of an index takes 1,000 writes a second; a quarter of that leaves room for a bad minute.
INDEX_WRITES_PER_SECOND: Final = 250
# Shards that one change of stock moves: with the offer itself it stays within ten actions.
MAX_CHANGED_SHARDS: Final = 8


class OfferStatus(StrEnum):
    """Where an offer stands."""

    SCHEDULED = "scheduled"
    OPEN = "open"
    CLOSED = "closed"


class Constrained(Struct, frozen=True):
    """A term that was changed in the buyer's favour when the offer was made."""

    field: str
    rule: str
    source: str


class Stock(Struct, frozen=True):
    """A counted SKU: how many units, in how many shards.

    ``reserved`` of them are kept for priority passes, in ``reserved_shards`` behind the others.
    """

    sku: str
    units: int
    shards: int
    reserved: int = 0
    reserved_shards: int = 0

    @property
    def all_shards(self) -> int:
        return self.shards + self.reserved_shards

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many units each shard begins with."""
        return (
            *spread_units(self.units - self.reserved, self.shards),
            *spread_units(self.reserved, self.reserved_shards),
        )


class Available(Struct, frozen=True):
    """What was left of a SKU when an event was decided; the event's answer shows it again on a replay."""

    sku: str
    units: int


class OfferMade(Struct, frozen=True):
    """A merchant published an offer. ``batch`` names its stock shards: a retry with another body never shares them."""

    TYPE: ClassVar[str] = "offer.made"
    at: Instant
    merchant: str
    terms_hash: str
    opens_at: Instant | None
    closes_at: Instant | None
    stock: tuple[Stock, ...]
    batch: str
    constrained_by: tuple[Constrained, ...] = ()


class OfferClosed(Struct, frozen=True):
    """The merchant ended it; deposits already made live on."""

    TYPE: ClassVar[str] = "offer.closed"
    at: Instant
    available: tuple[Available, ...] = ()


class StockChanged(Struct, frozen=True):
    """The merchant added units or took unsold ones away."""

    TYPE: ClassVar[str] = "offer.stock_changed"
    at: Instant
    sku: str
    change: int
    available: tuple[Available, ...] = ()


OfferEvent = OfferMade | OfferClosed | StockChanged

_S = OfferStatus
TRANSITIONS: Final[Mapping[tuple[OfferStatus, type[OfferEvent]], OfferStatus]] = MappingProxyType(
    {
        (_S.SCHEDULED, StockChanged): _S.SCHEDULED,
        (_S.SCHEDULED, OfferClosed): _S.CLOSED,
        (_S.OPEN, StockChanged): _S.OPEN,
        (_S.OPEN, OfferClosed): _S.CLOSED,
    }
)


class Offer(Struct, frozen=True):
    """The fold of an offer's journal."""

    id: str
    made: OfferMade
    version: int
    created_at: Instant
    updated_at: Instant
    stock: tuple[Stock, ...]
    available: tuple[Available, ...]
    closed: bool = False

    def counted(self, sku: str) -> Stock | None:
        return next((stock for stock in self.stock if stock.sku == sku), None)


def fold(offer_id: str, events: Iterable[OfferEvent]) -> Offer:
    """The offer that a journal tells. ValueError when it does not begin with ``OfferMade``."""
    offer: Offer | None = None
    for event in events:
        if offer is not None:
            offer = evolve(offer, event)
        elif isinstance(event, OfferMade):
            available = tuple(Available(stock.sku, stock.units - stock.reserved) for stock in event.stock)
            offer = Offer(offer_id, event, 1, event.at, event.at, event.stock, available)
        else:
            raise ValueError("a journal begins with its creation")
    if offer is None:
        raise ValueError("an empty journal is no offer")
    return offer


def evolve(offer: Offer, event: OfferEvent) -> Offer:
    after = replace(offer, version=offer.version + 1, updated_at=event.at)
    match event:
        case OfferClosed():
            return replace(after, closed=True, available=event.available)
        case StockChanged():
            stock = (replace(s, units=s.units + event.change) if s.sku == event.sku else s for s in offer.stock)
            return replace(after, stock=tuple(stock), available=event.available)
        case OfferMade():
            raise KeyError(event)


def status_at(offer: Offer, at: int) -> OfferStatus:
    """scheduled, open or closed, from the clock and ``close``."""
    if offer.closed or (offer.made.closes_at is not None and at >= offer.made.closes_at):
        return OfferStatus.CLOSED
    if offer.made.opens_at is not None and at < offer.made.opens_at:
        return OfferStatus.SCHEDULED
    return OfferStatus.OPEN


def is_reserve_open(offer: Offer, at: int) -> bool:
    """Whether the units kept for passes are everybody's by now."""
    opens_at = offer.made.opens_at if offer.made.opens_at is not None else offer.created_at
    return at >= pass_rules.compute_reserve_end(opens_at)


def list_shards(offer: Offer, stock: Stock, at: int, *, with_pass: bool) -> tuple[range, ...]:
    """The shards that an order may draw from, in the order of preference."""
    public, kept = range(stock.shards), range(stock.shards, stock.all_shards)
    if with_pass and kept:
        return kept, public
    return (range(stock.all_shards) if is_reserve_open(offer, at) else public,)


def close_offer(offer: Offer, at: int, left: Mapping[str, Sequence[int]]) -> OfferClosed:
    """End the sale. ``left`` is what the shards showed just now."""
    status = status_at(offer, at)
    if (status, OfferClosed) not in TRANSITIONS:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    return OfferClosed(at, count_available(offer, left, at))


def change_stock(offer: Offer, sku: str, change: int, at: int, left: Mapping[str, Sequence[int]]) -> StockChanged:
    """Add units, or take away what is left. Below what is sold or kept for passes, and no counted SKU: INVALID_REQUEST."""
    if offer.counted(sku) is None:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/sku", "unknown_sku")])
    if sum(list_changeable_units(offer, sku, left[sku], at)) + change < 0:
        why = "below_sold" if sum(left[sku]) + change < 0 else "below_reserved"
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/change", why)])
    status = status_at(offer, at)
    if (status, StockChanged) not in TRANSITIONS:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    after = {**left, sku: [*left[sku], change]}
    return StockChanged(at, sku, change, count_available(offer, after, at))


def list_changeable_units(offer: Offer, sku: str, left: Sequence[int], at: int) -> Sequence[int]:
    """What is left in the shards that a merchant may change: not the units kept for passes, until they are everybody's."""
    stock = offer.counted(sku)
    return left if stock is None or is_reserve_open(offer, at) else left[: stock.shards]


def split_change(change: int, left: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Which shards take or give the units of a change: few, and never more than a shard has left."""
    if change > 0:
        shards = min(len(left), MAX_CHANGED_SHARDS)
        parts = [change // shards + (1 if shard < change % shards else 0) for shard in range(shards)]
        return tuple((shard, units) for shard, units in enumerate(parts) if units)
    taken: list[tuple[int, int]] = []
    missing = -change
    for shard in sorted(range(len(left)), key=lambda shard: -left[shard])[:MAX_CHANGED_SHARDS]:
        part = min(left[shard], missing)
        if part:
            taken.append((shard, -part))
            missing -= part
    if missing:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/change", "too_large")])
    return tuple(taken)


def count_available(offer: Offer, left: Mapping[str, Sequence[int]], at: int) -> tuple[Available, ...]:
    """What everybody can order, for each SKU."""
    kept = {stock.sku: range(stock.shards, stock.all_shards) for stock in offer.stock}
    hidden = {sku: () if is_reserve_open(offer, at) else shards for sku, shards in kept.items()}
    return tuple(Available(sku, sum(units) - sum(units[n] for n in hidden[sku])) for sku, units in left.items())


def count_shards(units: int, peak: int) -> int:
    """How many shards a stock lives in: a power of two for the peak, at least 8, at most an eighth of the stock."""
    wanted = max(_power_of_two_at_least(-(-peak // SHARD_WRITES_PER_SECOND)), MIN_SHARDS)
    return min(wanted, _power_of_two_at_most(max(units // MIN_UNITS_PER_SHARD, 1)))


def index_shards(terms: Terms) -> int:
    """How many partitions the list of an offer's deposits is spread over."""
    return _power_of_two_at_least(-(-terms.expected_peak_per_second // INDEX_WRITES_PER_SECOND))


def build_stock(draft: Draft) -> tuple[Stock, ...]:
    """The counted SKUs of a draft with their shards."""
    peak = draft.expected_peak_per_second
    kept = draft.priority.reserved
    return tuple(
        Stock(
            sku,
            units,
            count_shards(units - kept.get(sku, 0), peak),
            kept.get(sku, 0),
            count_shards(kept[sku], peak) if sku in kept else 0,
        )
        for sku, units in draft.stock.items()
        if units is not None
    )


def spread_units(units: int, shards: int) -> tuple[int, ...]:
    """As even as whole units allow."""
    each, rest = divmod(units, shards) if shards else (0, 0)
    return tuple(each + (1 if shard < rest else 0) for shard in range(shards))


def _power_of_two_at_least(number: int) -> int:
    return 1 << (max(number, 1) - 1).bit_length()


def _power_of_two_at_most(number: int) -> int:
    return 1 << (number.bit_length() - 1)
