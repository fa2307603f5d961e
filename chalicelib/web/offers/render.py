"""An offer as an answer."""

from typing import Any

from msgspec.structs import asdict

from chalicelib.core.common.instants import format_instant
from chalicelib.core.selling.offer import status_at as offer_status_at
from chalicelib.flows.offers import Offered


def offer(view: Offered) -> dict[str, Any]:
    """The whole resolved offer: the frozen terms, with stock and what is available beside each item."""
    made, at = view.offer.made, view.at
    terms = view.terms.model_dump(mode="json")
    available = {counted.sku: counted.units for counted in view.available}
    stock = {counted.sku: counted.units for counted in view.offer.stock}
    items = [
        {**item, "stock": stock.get(item["sku"]), "available": available.get(item["sku"])} for item in terms["items"]
    ]
    return {
        "id": view.offer.id,
        "object": "offer",
        "version": view.offer.version,
        "status": offer_status_at(view.offer, at).value,
        "merchant": made.merchant,
        **terms,
        "items": items,
        "terms_hash": made.terms_hash,
        "constrained_by": [asdict(constrained) for constrained in made.constrained_by],
        "created_at": format_instant(view.offer.created_at),
        "updated_at": format_instant(view.offer.updated_at),
    }
