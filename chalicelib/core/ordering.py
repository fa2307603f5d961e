"""Ordering: what a new deposit costs, whether the offer takes it, and which stock shards its units come from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chalicelib.core import instants
from chalicelib.core.events import Created, Line, TakenStock
from chalicelib.core.money import Money, total
from chalicelib.core.offer import Offer, OfferStatus, status_at
from chalicelib.core.refusal import Fault, Reason, Refused
from chalicelib.core.terms import Terms

MOST_DIGITS: Final = 13  # of an amount's whole part on the wire
MOST_DRAWS: Final = 28  # shards of one order: with the deposit and its limit they are the most that one write takes


@dataclass(frozen=True, slots=True)
class Ordered:
    """One line as the buyer asks for it."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Order:
    """A buyer's order. The payment method is the buyer's word."""

    offer: str
    items: tuple[Ordered, ...]
    payment_method: str
    terms_hash: str
    priority_pass: str | None = None
    trade_in: bool = False

    @property
    def units(self) -> int:
        return sum(item.quantity for item in self.items)


def place(order: Order, offer: Offer, terms: Terms, buyer: str, at: int) -> Created:
    """The creation that this order makes, without its stock. Refuses fields first, then the state of the offer."""
    refuse_fields(order, terms)
    refuse_state(order, offer, terms, at)
    lines = tuple(_line(item, terms) for item in order.items)
    goods = total((line.value for line in lines), terms.currency)
    whole = goods + terms.shipping
    _refuse_overflow(whole)
    return Created(
        at=at,
        offer=offer.id,
        merchant=offer.made.merchant,
        buyer=buyer,
        terms_hash=offer.made.terms_hash,
        lines=lines,
        shipping=terms.shipping,
        due_now=due_now(order.units, whole, terms),
        due_at=at + instants.duration_ms(terms.payment.due_within),
        method=order.payment_method,
        batch=offer.made.batch,
        limit_units=order.units if terms.limits.per_buyer is not None else 0,
    )


def due_now(units: int, whole: Money, terms: Terms) -> Money:
    """What is taken at once: everything, or the deposit for each unit and shipping, at most everything."""
    if terms.payment.take == "full" or terms.payment.deposit is None:
        return whole
    return min(terms.payment.deposit * units + terms.shipping, whole)


def refuse_fields(order: Order, terms: Terms) -> None:
    """What no state could make right: unknown goods, methods, models and passes."""
    unknown = [
        Fault(f"/items/{index}/sku", "unknown_sku")
        for index, item in enumerate(order.items)
        if terms.item(item.sku) is None
    ]
    if order.trade_in and terms.trade_in is None:
        unknown.append(Fault("/trade_in", "no_trade_in"))
    if order.priority_pass is not None:
        unknown.append(Fault("/priority_pass", "invalid"))
    if unknown:
        raise Refused(Reason.INVALID_REQUEST, unknown)
    if order.payment_method not in terms.payment.methods:
        raise Refused(Reason.PAYMENT_METHOD_NOT_OFFERED, [Fault("/payment_method", "unknown_method")])


def refuse_state(order: Order, offer: Offer, terms: Terms, at: int) -> None:
    """Whether the offer takes this order at this instant."""
    status = status_at(offer, at)
    if status is not OfferStatus.OPEN:
        raise Refused(Reason.OFFER_NOT_OPEN, state=status.value, opens_at=offer.made.opens_at)
    if order.terms_hash != offer.made.terms_hash:
        raise Refused(Reason.TERMS_CHANGED, terms_hash=offer.made.terms_hash)
    if terms.limits.per_identity is not None:
        raise Refused(Reason.IDENTITY_REQUIRED)
    most = terms.limits.per_buyer
    if most is not None and order.units > most:
        raise Refused(Reason.LIMIT_REACHED, per_buyer=most)


def draw(order: Order, offer: Offer, start: int, left: Mapping[str, Sequence[int]] | None) -> tuple[TakenStock, ...]:
    """The shards that an order's units come from, beginning at ``start``. SOLD_OUT when they are not there, or too thin.

    Without a look at what is ``left`` the first shard is tried: the write itself finds out.
    """
    wanted: Counter[str] = Counter()
    for item in order.items:
        wanted[item.sku] += item.quantity
    taken: list[TakenStock] = []
    for sku, units in wanted.items():
        stock = offer.counted(sku)
        if stock is not None:
            taken += _from_shards(sku, units, start % stock.shards, left[sku] if left else [units] * stock.shards)
    if len(taken) > MOST_DRAWS:
        # What is left lies too thin for so many units. It depends on what others took, so it is no fault of the fields.
        raise Refused(Reason.SOLD_OUT, sku=Counter(one.sku for one in taken).most_common(1)[0][0])
    return tuple(taken)


def _from_shards(sku: str, units: int, start: int, left: Sequence[int]) -> list[TakenStock]:
    """One shard that has them all, else the fullest ones until there are enough."""
    if sum(left) < units:
        raise Refused(Reason.SOLD_OUT, sku=sku)
    from_start = [*range(start, len(left)), *range(start)]
    for shard in from_start:
        if left[shard] >= units:
            return [TakenStock(sku, shard, units)]
    taken: list[TakenStock] = []
    for shard in sorted(from_start, key=lambda shard: -left[shard]):
        part = min(left[shard], units)
        if part:
            taken.append(TakenStock(sku, shard, part))
            units -= part
    return taken


def _line(item: Ordered, terms: Terms) -> Line:
    offered = terms.item(item.sku)
    assert offered is not None, "unknown goods were refused before"
    return Line(item.sku, item.quantity, offered.price, offered.made_to_spec)


def _refuse_overflow(whole: Money) -> None:
    if len(whole.amount.partition(".")[0]) > MOST_DIGITS:
        raise Refused(Reason.INVALID_REQUEST, [Fault("/items", "too_large")])
