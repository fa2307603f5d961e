"""Examples of offers: published, listed, closed, restocked."""

from chalicelib.core.selling import offer as offers_
from chalicelib.core.selling.offer import Offer
from chalicelib.web.edge.route import Example
from chalicelib.web.service import stories
from chalicelib.web.service.stories import (
    OFFER_BODY,
    ORDERED,
    Json,
    Sale,
    page,
)


def published() -> Example:
    return Example({"published": _sale().shown()}, OFFER_BODY)


def checked() -> Example:
    return Example({"fine": {"ok": True, "findings": []}}, OFFER_BODY)


def listed() -> Example:
    return Example({"one page": page(stories.sale("su7_founders_2024").shown(), _sale().shown())})


def shown() -> Example:
    return Example({"open": _sale().shown()})


def closed() -> Example:
    sold = _sale()
    event = offers_.close_offer(sold.offer, ORDERED, _units_left(sold.offer))
    return Example({"closed": _evolve(sold, event)})


def restocked() -> Example:
    sold, sku, change = _sale(), "su7-max", 10
    event = offers_.change_stock(sold.offer, sku, change, ORDERED, _units_left(sold.offer))
    return Example({"ten more": _evolve(sold, event)}, {"sku": sku, "change": change})


def _sale() -> Sale:
    return stories.sale("su7_2024")


def _units_left(offer: Offer) -> dict[str, list[int]]:
    return {available.sku: [available.units] for available in offer.available}


def _evolve(sold: Sale, event: offers_.OfferEvent) -> Json:
    return Sale(offers_.evolve(sold.offer, event), sold.terms).shown()
