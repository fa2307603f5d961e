"""Orders: the price of goods, and whether an offer takes an order."""

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
    """One line of an order."""

    sku: str
    quantity: int


class HandedIn(Struct, frozen=True):
    """The old device of a trade-in."""

    category: str
    model: str


class Order(Struct, frozen=True):
    """A buyer's order."""

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
    order: Order, offer: Offer, terms: Terms, buyer: str, at: int, priority: Priority | None = None
) -> Created:
    """The ``Created`` event of an order, without its stock. It checks fields first, then the state of the offer.

    ``priority``: the buyer's priority pass. It allows an order before the sale opens and without the limit per buyer.
    """
    refuse_order_fields(order, terms, at)
    refuse_offer_state(order, offer, terms, at, early=priority is not None)
    lines = price_lines(order.items, terms)
    if priority is not None:
        second_chance.refuse_goods(priority, lines)
    traded = price_trade_in(order, terms)
    price = total((line.value for line in lines), terms.currency) + terms.shipping
    if traded is not None:
        price = price - traded.credit
    refuse_too_large(price)
    if not price:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/trade_in/model", "too_large")])  # nothing is left to pay
    return Created(
        at=at,
        offer=offer.id,
        merchant=offer.made.merchant,
        buyer=buyer,
        terms_hash=offer.made.terms_hash,
        lines=lines,
        shipping=terms.shipping,
        due_now=compute_due_now(order.units, price, terms),
        due_at=at + instants.duration_ms(terms.payment.due_within),
        method=order.payment_method,
        batch=offer.made.batch,
        limit_units=order.units if terms.limits.per_buyer is not None and priority is None else 0,
        trade_in=traded,
        priority=priority,
    )


def compute_due_now(units: int, price: Money, terms: Terms) -> Money:
    """The amount due at once: the full price, or the deposit for each unit plus shipping, at most the full price."""
    if terms.payment.take == "full" or terms.payment.deposit is None:
        return price
    return min(terms.payment.deposit * units + terms.shipping, price)


def refuse_order_fields(order: Order, terms: Terms, at: int) -> None:
    """INVALID_REQUEST for unknown goods and trade-ins, PAYMENT_METHOD_NOT_OFFERED for methods not offered at ``at``."""
    errors = _find_unknown_skus(order.items, terms) + _find_trade_in_errors(order, terms)
    if errors:
        raise Refused(Reason.INVALID_REQUEST, errors)
    if not terms.offers_method(order.payment_method, at):
        raise Refused(Reason.PAYMENT_METHOD_NOT_OFFERED, [FieldError("/payment_method", "unknown_method")])


def _find_trade_in_errors(order: Order, terms: Terms) -> list[FieldError]:
    """Errors unless the order is one unit of the device's category and the offer has a value for the model."""
    handed_in, offered = order.trade_in, terms.trade_in
    if handed_in is None:
        return []
    if offered is None:
        return [FieldError("/trade_in", "no_trade_in")]
    errors: list[FieldError] = []
    if len(order.items) != 1 or order.units != 1:
        errors.append(FieldError("/items", "one_unit_with_trade_in"))
    item = terms.find_item(order.items[0].sku)
    if item is not None and item.category != handed_in.category:
        errors.append(FieldError("/trade_in/category", "category_differs"))
    if handed_in.model not in offered.values:
        errors.append(FieldError("/trade_in/model", "unknown_model"))
    return errors


def price_trade_in(order: Order, terms: Terms) -> TradedIn | None:
    """The credit, at most the price of the line, and the fee for that price; None without a trade-in."""
    handed_in, offered = order.trade_in, terms.trade_in
    if handed_in is None or offered is None:
        return None
    price = price_lines(order.items, terms)[0].unit_price
    try:
        fee = fees.read_schedule(offered.name).charge(handed_in.category, price).fee
    except Refused:
        fee = None  # no band fits: no fee is charged, and a person reviews a mismatch
    credit = min(offered.values[handed_in.model], price)
    return TradedIn(handed_in.category, handed_in.model, credit, offered.name, price, fee)


def refuse_offer_state(order: Order, offer: Offer, terms: Terms, at: int, *, early: bool) -> None:
    """Raises Refused where the offer does not take the order at ``at``.

    ``early`` orders (with a pass) may come before the sale opens and have no limit per buyer.
    """
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
    """LIMIT_REACHED for more units than one buyer may have."""
    limit = terms.limits.per_buyer
    if limit is not None and units > limit:
        raise Refused(Reason.LIMIT_REACHED, per_buyer=limit)


def price_lines(items: Sequence[Ordered], terms: Terms) -> tuple[Line, ...]:
    """The lines at the offer's frozen prices. INVALID_REQUEST for unknown goods."""
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


def refuse_too_large(price: Money) -> None:
    """INVALID_REQUEST for a price that has more digits than an amount may have."""
    if len(price.amount.partition(".")[0]) > MAX_DIGITS:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/items", "too_large")])
