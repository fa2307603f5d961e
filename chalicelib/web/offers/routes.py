"""Offer routes: publish, check, list, read, close, restock; presets and markets."""

from typing import Any

from pydantic import Field

from chalicelib import policies
from chalicelib.core.common.fields import Frozen, Sku
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.policy import market, offer_terms
from chalicelib.core.policy.texts import read_text
from chalicelib.flows import offers as flow
from chalicelib.flows.offers import Offered
from chalicelib.web.edge.common import FIELD_REASONS, replay_header
from chalicelib.web.edge.declare import command, creation, listing, public
from chalicelib.web.edge.query import PLACE, no_filter, page_size, position, write_page
from chalicelib.web.edge.route import Answer, Call, Routes, endpoint
from chalicelib.web.edge.values import Rows
from chalicelib.web.offers import render
from chalicelib.web.offers.answers import CheckAnswer, MarketAnswer, OfferAnswer, PresetAnswer
from chalicelib.web.offers.check import check_offer

routes = Routes(__name__, "offers")


class StockBody(Frozen):
    """Units to add (positive) or to take away (negative)."""

    sku: Sku
    change: int = Field(ge=-1_000_000_000, le=1_000_000_000)


@creation(
    routes,
    "/v1/offers",
    "Publish an offer under resolved terms",
    OfferAnswer,
    roles={"merchant"},
    raw_body="OfferBody",
    reasons=FIELD_REASONS,
    example="published",
)
def publish(call: Call) -> Answer:
    return _write_offer(call.services.catalogue.publish(call.json, call.asked), created=True)


@endpoint(
    routes,
    "POST",
    "/v1/offers/check",
    "Say what is wrong or unwise about an offer, and publish nothing",
    {200: CheckAnswer},
    roles={"merchant"},
    raw_body="OfferBody",
    keyed=False,
    example="checked",
)
def check(call: Call) -> Answer:
    findings = check_offer(call.json, call.asked.at, call.locale)
    body: CheckAnswer = {"ok": not any(finding["severity"] == "error" for finding in findings), "findings": findings}
    return Answer(body)


@listing(routes, "/v1/offers", "List offers, newest first", OfferAnswer, roles=None, example="listed")
def list_offers(call: Call) -> Answer:
    offers, after = call.services.catalogue.list_offers(call.asked, page_size(call), position(call, no_filter, PLACE))
    return write_page(call, no_filter, map(render.offer, offers), after)


@public(routes, "/v1/offers/{offer_id}", "Show an offer", OfferAnswer, reasons=(Reason.NOT_FOUND,), example="shown")
def show(call: Call) -> Answer:
    return _write_offer(call.services.catalogue.get(call.params["offer_id"], call.asked))


def check_access(call: Call) -> None:
    """Another merchant's offer is public to read, and none of theirs to write."""
    if flow.fold(call.services.catalogue.load(call.params["offer_id"])).made.merchant != call.caller.merchant:
        raise Refused(Reason.NOT_FOUND)


@command(
    routes,
    "/v1/offers/{offer_id}/close",
    "End the sale; deposits already made live on",
    OfferAnswer,
    roles={"merchant"},
    guard=check_access,
    example="closed",
)
def close(call: Call) -> Answer:
    return _write_offer(call.services.catalogue.close(call.params["offer_id"], call.asked))


@command(
    routes,
    "/v1/offers/{offer_id}/stock",
    "Add units, or take unsold ones away",
    OfferAnswer,
    roles={"merchant"},
    body=StockBody,
    guard=check_access,
    example="restocked",
)
def change_stock(call: Call) -> Answer:
    body: StockBody = call.fields
    return _write_offer(
        call.services.catalogue.change_stock(call.params["offer_id"], body.sku, body.change, call.asked)
    )


@public(routes, "/v1/presets", "List the presets that fill what an offer leaves out", Rows[PresetAnswer])
def presets(_call: Call) -> Answer:
    rows = [
        {
            "id": name,
            "object": "preset",
            "source": policies.read(f"presets/{name}.toml")["source"],
            "offer": offer_terms.read_preset(name),
        }
        for name in policies.names("presets")
    ]
    return Answer({"data": rows})


@public(routes, "/v1/markets", "List the markets and their policies", Rows[MarketAnswer])
def markets(call: Call) -> Answer:
    return Answer(
        {"data": [_market(law, call.locale) for _, law in sorted(market.find_policies(call.asked.at).items())]}
    )


@public(
    routes, "/v1/markets/{code}", "Show a market's policy with its sources", MarketAnswer, reasons=(Reason.NOT_FOUND,)
)
def one_market(call: Call) -> Answer:
    return Answer(_market(market.find_policy(call.params["code"], call.asked.at), call.locale))


def _market(law: market.Market, locale: str) -> dict[str, Any]:
    plain = law.model_dump(mode="json")
    plain["forfeit"]["text"] = read_text("markets", f"{law.id}/{law.forfeit.rule}", locale=locale)
    return {"object": "market", **plain}


def _write_offer(view: Offered, *, created: bool = False) -> Answer:
    location = {"Location": f"/v1/offers/{view.offer.id}"} if created else {}
    headers = {"ETag": flow.etag(view.offer, view.at), **location, **replay_header(view)}
    return Answer(render.offer(view), 201 if created else 200, headers)
