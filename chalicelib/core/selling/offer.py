"""An offer: what a merchant pre-sells, its stock in shards, and its status by the clock."""

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

# A shard takes about ten transactional writes a second. With fewer units per shard, shards are empty too early.
SHARD_WRITES_PER_SECOND: Final = 10
MIN_SHARDS: Final = 8
MIN_UNITS_PER_SHARD: Final = 8
# A partition of an index takes 1,000 writes a second; three quarters of that are reserve.
INDEX_WRITES_PER_SECOND: Final = 250
# Shards that one change of stock writes. With the offer itself the transaction stays within ten actions.
MAX_CHANGED_SHARDS: Final = 8


class OfferStatus(StrEnum):
    """The status of an offer."""

    SCHEDULED = "scheduled"
    OPEN = "open"
    CLOSED = "closed"


class Constrained(Struct, frozen=True):
    """A term that market policy changed in the buyer's favour when the offer was made."""

    field: str
    rule: str
    source: str


class Stock(Struct, frozen=True):
    """A SKU with limited stock: how many units, in how many shards.

    ``reserved`` of the units are kept for priority passes, in ``reserved_shards`` after the public ones.
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
        """How many units each shard has at first."""
        return (
            *spread_units(self.units - self.reserved, self.shards),
            *spread_units(self.reserved, self.reserved_shards),
        )


class Available(Struct, frozen=True):
    """The units left of a SKU when an event was decided. A replayed answer shows them again."""

    sku: str
    units: int


class OfferMade(Struct, frozen=True):
    """A merchant published an offer. ``batch`` names its stock shards, so that a retry with another body has its own."""

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
    """The merchant closed the offer. Existing deposits continue."""

    TYPE: ClassVar[str] = "offer.closed"
    at: Instant
    available: tuple[Available, ...] = ()


class StockChanged(Struct, frozen=True):
    """The merchant added units or removed unsold ones."""

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
    """An offer, as its journal folds to."""

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
    """The offer that a journal gives. ValueError when it does not begin with ``OfferMade``."""
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
    """The status at an instant, from the offer's times and from ``OfferClosed``."""
    if offer.closed or (offer.made.closes_at is not None and at >= offer.made.closes_at):
        return OfferStatus.CLOSED
    if offer.made.opens_at is not None and at < offer.made.opens_at:
        return OfferStatus.SCHEDULED
    return OfferStatus.OPEN


def is_reserve_open(offer: Offer, at: int) -> bool:
    """Whether everybody may order the units reserved for passes by ``at``."""
    opens_at = offer.made.opens_at if offer.made.opens_at is not None else offer.created_at
    return at >= pass_rules.compute_reserve_end(opens_at)


def list_shards(offer: Offer, stock: Stock, at: int, *, with_pass: bool) -> tuple[range, ...]:
    """The shards that an order may draw from, in the order of preference."""
    public, reserved = range(stock.shards), range(stock.shards, stock.all_shards)
    if with_pass and reserved:
        return reserved, public
    return (range(stock.all_shards) if is_reserve_open(offer, at) else public,)


def close_offer(offer: Offer, at: int, left: Mapping[str, Sequence[int]]) -> OfferClosed:
    """The end of the sale. ``left``: units left in each shard, by SKU."""
    status = status_at(offer, at)
    if (status, OfferClosed) not in TRANSITIONS:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    return OfferClosed(at, count_available(offer, left, at))


def change_stock(offer: Offer, sku: str, change: int, at: int, left: Mapping[str, Sequence[int]]) -> StockChanged:
    """Adds or removes units. INVALID_REQUEST for an unlimited SKU, and below the units sold or reserved for passes."""
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
    """The units left in the shards that a merchant may change: reserved ones only once the reserve is open."""
    stock = offer.counted(sku)
    return left if stock is None or is_reserve_open(offer, at) else left[: stock.shards]


def split_change(change: int, left: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """A change as (shard, units) of at most ``MAX_CHANGED_SHARDS`` shards. INVALID_REQUEST where they have too few units."""
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
    """The units of each SKU that everybody can order."""
    reserved = {stock.sku: range(stock.shards, stock.all_shards) for stock in offer.stock}
    hidden = {sku: () if is_reserve_open(offer, at) else shards for sku, shards in reserved.items()}
    return tuple(Available(sku, sum(units) - sum(units[n] for n in hidden[sku])) for sku, units in left.items())


def count_shards(units: int, peak_per_second: int) -> int:
    """The number of shards of a stock: a power of two for the peak, at least 8, at most an eighth of the stock."""
    wanted = max(_power_of_two_at_least(-(-peak_per_second // SHARD_WRITES_PER_SECOND)), MIN_SHARDS)
    return min(wanted, _power_of_two_at_most(max(units // MIN_UNITS_PER_SHARD, 1)))


def index_shards(terms: Terms) -> int:
    """The number of index partitions for the list of an offer's deposits."""
    return _power_of_two_at_least(-(-terms.expected_peak_per_second // INDEX_WRITES_PER_SECOND))


def build_stock(draft: Draft) -> tuple[Stock, ...]:
    """The SKUs of a draft that have limited stock, with their shards."""
    peak = draft.expected_peak_per_second
    reserved = draft.priority.reserved
    return tuple(
        Stock(
            sku,
            units,
            count_shards(units - reserved.get(sku, 0), peak),
            reserved.get(sku, 0),
            count_shards(reserved[sku], peak) if sku in reserved else 0,
        )
        for sku, units in draft.stock.items()
        if units is not None
    )


def spread_units(units: int, shards: int) -> tuple[int, ...]:
    """The units divided over the shards as evenly as possible."""
    each, rest = divmod(units, shards) if shards else (0, 0)
    return tuple(each + (1 if shard < rest else 0) for shard in range(shards))


def _power_of_two_at_least(number: int) -> int:
    return 1 << (max(number, 1) - 1).bit_length()


def _power_of_two_at_most(number: int) -> int:
    return 1 << (number.bit_length() - 1)
