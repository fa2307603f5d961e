"""An offer as an answer."""

from typing import Any

from chalicelib.core.common.instants import format_instant
from chalicelib.core.selling.offer import status_at as offer_status_at
from chalicelib.flows.offers import Offered


def offer(shown: Offered) -> dict[str, Any]:
    """The whole resolved offer: the frozen terms, with stock and what is available beside each item."""
    made, at = shown.offer.made, shown.at
    terms = shown.terms.model_dump(mode="json")
    available = {one.sku: one.units for one in shown.available}
    stock = {one.sku: one.units for one in shown.offer.stock}
    items = [
        {**item, "stock": stock.get(item["sku"]), "available": available.get(item["sku"])} for item in terms["items"]
    ]
    return {
        "id": shown.offer.id,
        "object": "offer",
        "version": shown.offer.version,
        "status": offer_status_at(shown.offer, at).value,
        "merchant": made.merchant,
        **terms,
        "items": items,
        "terms_hash": made.terms_hash,
        "constrained_by": [{"field": one.field, "rule": one.rule, "source": one.source} for one in made.constrained_by],
        "created_at": format_instant(shown.offer.created_at),
        "updated_at": format_instant(shown.offer.updated_at),
    }
