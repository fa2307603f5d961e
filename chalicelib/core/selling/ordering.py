"""Ordering: what goods cost, whether the offer takes the order, and which stock shards its units come from and go to."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from chalicelib.core.common import instants
from chalicelib.core.common.money import Money, total
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.events.order import Created, Line, Priority, TradedIn
from chalicelib.core.ending import second_chance
from chalicelib.core.policy import fees
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling.offer import Offer, OfferStatus, status_at

MAX_DIGITS: Final = 13  # of an amount's whole part on the wire


class Ordered(Struct, frozen=True):
    """One line as the buyer asks for it."""

    sku: str
    quantity: int


class HandedIn(Struct, frozen=True):
    """The old device that the buyer wants to hand in."""

    category: str
    model: str


class Order(Struct, frozen=True):
    """A buyer's order. The payment method is the buyer's word."""

    offer: str
    items: tuple[Ordered, ...]
    payment_method: str
    terms_hash: str
    priority_pass: str | None = None
    trade_in: HandedIn | None = None

    @property
    def units(self) -> int:
        return sum(item.quantity for item in self.items)


def create_deposit(
    order: Order, offer: Offer, terms: Terms, buyer: str, at: int, held: Priority | None = None
) -> Created:
    """The creation that this order makes, without its stock. Refuses fields first, then the state of the offer.

    ``held`` is the buyer's priority pass: it buys before the sale opens, and beside the limit.
    """
    refuse_order_fields(order, terms, at)
    refuse_offer_state(order, offer, terms, at, early=held is not None)
    lines = price_lines(order.items, terms)
    if held is not None:
        second_chance.refuse_goods(held, lines)
    traded = price_trade_in(order, terms)
    whole = total((line.value for line in lines), terms.currency) + terms.shipping
    if traded is not None:
        whole = whole - traded.credit
    refuse_too_large(whole)
    if not whole:
        raise Refused(
            Reason.INVALID_REQUEST, [FieldError("/trade_in/model", "too_large")]
        )  # nothing would be left to pay
    return Created(
        at=at,
        offer=offer.id,
        merchant=offer.made.merchant,
        buyer=buyer,
        terms_hash=offer.made.terms_hash,
        lines=lines,
        shipping=terms.shipping,
        due_now=compute_due_now(order.units, whole, terms),
        due_at=at + instants.duration_ms(terms.payment.due_within),
        method=order.payment_method,
        batch=offer.made.batch,
        limit_units=order.units if terms.limits.per_buyer is not None and held is None else 0,
        trade_in=traded,
        priority=held,
    )


def compute_due_now(units: int, whole: Money, terms: Terms) -> Money:
    """What is taken at once: everything, or the deposit for each unit and shipping, at most everything."""
    if terms.payment.take == "full" or terms.payment.deposit is None:
        return whole
    return min(terms.payment.deposit * units + terms.shipping, whole)


def refuse_order_fields(order: Order, terms: Terms, at: int) -> None:
    """What no state could make right: unknown goods and models, methods that are not offered, here or any more."""
    unknown = _find_unknown_skus(order.items, terms)
    unknown += _find_trade_in_errors(order, terms)
    if unknown:
        raise Refused(Reason.INVALID_REQUEST, unknown)
    if not terms.offers_method(order.payment_method, at):
        raise Refused(Reason.PAYMENT_METHOD_NOT_OFFERED, [FieldError("/payment_method", "unknown_method")])


def _find_trade_in_errors(order: Order, terms: Terms) -> list[FieldError]:
    """One line, one unit, of the old device's own category, and a model that the offer has a value for."""
    handed_in, offered = order.trade_in, terms.trade_in
    if handed_in is None:
        return []
    if offered is None:
        return [FieldError("/trade_in", "no_trade_in")]
    found: list[FieldError] = []
    if len(order.items) != 1 or order.units != 1:
        found.append(FieldError("/items", "one_unit_with_trade_in"))
    item = terms.find_item(order.items[0].sku)
    if item is not None and item.category != handed_in.category:
        found.append(FieldError("/trade_in/category", "category_differs"))
    if handed_in.model not in offered.values:
        found.append(FieldError("/trade_in/model", "unknown_model"))
    return found


def price_trade_in(order: Order, terms: Terms) -> TradedIn | None:
    """The credit, at most the price of its line; the fee is measured by that price, as it is now."""
    handed_in, offered = order.trade_in, terms.trade_in
    if handed_in is None or offered is None:
        return None
    price = price_lines(order.items, terms)[0].unit_price
    try:
        fee = fees.read_schedule(offered.name).charge(handed_in.category, price).fee
    except Refused:
        fee = None  # in no band: nothing is charged, and a person looks
    credit = min(offered.values[handed_in.model], price)
    return TradedIn(handed_in.category, handed_in.model, credit, offered.name, price, fee)


def refuse_offer_state(order: Order, offer: Offer, terms: Terms, at: int, *, early: bool) -> None:
    """Whether the offer takes this order at this instant; ``early`` ones need not wait, and stand beside the limit."""
    status = status_at(offer, at)
    if status is not OfferStatus.OPEN and not (early and status is OfferStatus.SCHEDULED):
        raise Refused(Reason.OFFER_NOT_OPEN, state=status.value, opens_at=offer.made.opens_at)
    if order.terms_hash != offer.made.terms_hash:
        raise Refused(Reason.TERMS_CHANGED, terms_hash=offer.made.terms_hash)
    if terms.limits.per_identity is not None:
        raise Refused(Reason.IDENTITY_REQUIRED)
    if not early:
        refuse_limit(order.units, terms)


def refuse_limit(units: int, terms: Terms) -> None:
    """More units at once than one buyer may have at all."""
    most = terms.limits.per_buyer
    if most is not None and units > most:
        raise Refused(Reason.LIMIT_REACHED, per_buyer=most)


def price_lines(items: Sequence[Ordered], terms: Terms) -> tuple[Line, ...]:
    """The lines at the offer's frozen prices; unknown goods are a fault of the fields."""
    unknown = _find_unknown_skus(items, terms)
    if unknown:
        raise Refused(Reason.INVALID_REQUEST, unknown)
    return tuple(_price_line(item, terms) for item in items)


def _find_unknown_skus(items: Sequence[Ordered], terms: Terms) -> list[FieldError]:
    return [
        FieldError(f"/items/{index}/sku", "unknown_sku")
        for index, item in enumerate(items)
        if terms.find_item(item.sku) is None
    ]


def _price_line(item: Ordered, terms: Terms) -> Line:
    offered = terms.find_item(item.sku)
    assert offered is not None, "unknown goods were refused before"
    return Line(item.sku, item.quantity, offered.price, offered.made_to_spec)


def refuse_too_large(whole: Money) -> None:
    if len(whole.amount.partition(".")[0]) > MAX_DIGITS:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/items", "too_large")])
