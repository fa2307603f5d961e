"""Offer routes: publish, check, list, read, close, restock; presets and markets."""

from typing import Annotated, Any, Self

from chalice.app import Blueprint
from pydantic import ConfigDict, Field, ValidationError, model_validator

from chalicelib import policies
from chalicelib.core.common.field_errors import field_errors_of
from chalicelib.core.common.fields import Category, Frozen, MoneyField, Sku, field_error, lists_to_tuples
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.policy import fees, market, offer_terms, texts
from chalicelib.core.policy.texts import text
from chalicelib.flows import offers as flow
from chalicelib.flows.offers import Offered
from chalicelib.web.edge.common import FIELD_REASONS, WRITES, EmptyBody
from chalicelib.web.edge.query import CURSOR, DEFAULT_LIMIT, PLACE, limit, next_cursor, position
from chalicelib.web.edge.route import Answer, Call, endpoint
from chalicelib.web.offers import render
from chalicelib.web.offers.answers import (
    CheckAnswer,
    FindingAnswer,
    MarketAnswer,
    MarketListAnswer,
    OfferAnswer,
    OfferListAnswer,
    PresetListAnswer,
)

routes = Blueprint(__name__)


class StockBody(Frozen):
    """Units to add (positive) or to take away (negative)."""

    sku: Sku
    change: int = Field(ge=-1_000_000_000, le=1_000_000_000)


class SentBand(Frozen):
    """A band as ``GET /v1/trade-in/schedules`` gives it."""

    lowest: MoneyField = Field(alias="from")
    highest: MoneyField = Field(alias="to")
    fee: MoneyField


class SentCategory(Frozen):
    """Its bands in the order in which they are checked; what else it has is for people."""

    model_config = ConfigDict(extra="ignore")

    code: Category
    bands: Annotated[tuple[SentBand, ...], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _one_currency(self) -> Self:
        if len({one.currency for band in self.bands for one in (band.lowest, band.highest, band.fee)}) > 1:
            raise field_error("currency_mismatch")
        return self

    def published(self) -> tuple[fees.Band, ...]:
        return tuple(fees.Band(band.lowest, band.highest, band.fee) for band in self.bands)


class SentSchedule(Frozen):
    """A schedule that a merchant wants to publish."""

    model_config = ConfigDict(extra="ignore")

    categories: Annotated[tuple[SentCategory, ...], Field(min_length=1, max_length=50)]


class SentTradeIn(Frozen):
    """What an offer says of trade-ins, with the whole schedule in place of its id."""

    schedule: SentSchedule
    values: dict[Sku, MoneyField]

    def currencies(self) -> set[str]:
        bands = (band for category in self.schedule.categories for band in category.bands)
        return {band.fee.currency for band in bands} | {value.currency for value in self.values.values()}


@endpoint(
    routes,
    "POST",
    "/v1/offers",
    summary="Publish an offer under resolved terms",
    roles={"merchant"},
    raw_body="OfferBody",
    answers={201: OfferAnswer},
    reasons=(*FIELD_REASONS, Reason.IDEMPOTENCY_KEY_REUSED, Reason.BUSY),
    tag="offers",
)
def publish(call: Call) -> Answer:
    return _whole(call.services.catalogue.publish(call.json, call.asked), created=True)


@endpoint(
    routes,
    "POST",
    "/v1/offers/check",
    summary="Say what is wrong or unwise about an offer, and publish nothing",
    roles={"merchant"},
    raw_body="OfferBody",
    answers={200: CheckAnswer},
    keyed=False,
    tag="offers",
)
def check(call: Call) -> Answer:
    findings = _findings(call)
    body: CheckAnswer = {"ok": not any(one["severity"] == "error" for one in findings), "findings": findings}
    return Answer(body)


@endpoint(
    routes,
    "GET",
    "/v1/offers",
    summary="List offers, newest first",
    answers={200: OfferListAnswer},
    query=(limit(), CURSOR),
    reasons=(Reason.INVALID_CURSOR,),
    tag="offers",
)
def list_offers(call: Call) -> Answer:
    size = call.query.get("limit", DEFAULT_LIMIT)
    shown, after = call.services.catalogue.list_offers(call.asked, size, position(call, _unfiltered, PLACE))
    rows = [render.offer(one) for one in shown]
    return Answer({"data": rows, "next_cursor": next_cursor(call, _unfiltered, after)})


@endpoint(
    routes,
    "GET",
    "/v1/offers/{offer_id}",
    summary="Show an offer",
    answers={200: OfferAnswer},
    reasons=(Reason.NOT_FOUND,),
    tag="offers",
)
def show(call: Call) -> Answer:
    return _whole(call.services.catalogue.get(call.params["offer_id"], call.asked))


def _own(call: Call) -> None:
    """Another merchant's offer is public to read, and none of theirs to write."""
    if flow.fold(call.services.catalogue.load(call.params["offer_id"])).made.merchant != call.caller.merchant:
        raise Refused(Reason.NOT_FOUND)


@endpoint(
    routes,
    "POST",
    "/v1/offers/{offer_id}/close",
    summary="End the sale; deposits already made live on",
    roles={"merchant"},
    body=EmptyBody,
    answers={200: OfferAnswer},
    reasons=(Reason.NOT_FOUND, Reason.WRONG_STATE, *WRITES),
    tag="offers",
    guard=_own,
)
def close(call: Call) -> Answer:
    return _whole(call.services.catalogue.close(call.params["offer_id"], call.asked))


@endpoint(
    routes,
    "POST",
    "/v1/offers/{offer_id}/stock",
    summary="Add units, or take unsold ones away",
    roles={"merchant"},
    body=StockBody,
    answers={200: OfferAnswer},
    reasons=(Reason.NOT_FOUND, Reason.INVALID_REQUEST, Reason.WRONG_STATE, *WRITES),
    tag="offers",
    guard=_own,
)
def change_stock(call: Call) -> Answer:
    body: StockBody = call.fields
    return _whole(call.services.catalogue.change_stock(call.params["offer_id"], body.sku, body.change, call.asked))


@endpoint(
    routes,
    "GET",
    "/v1/presets",
    summary="List the presets that fill what an offer leaves out",
    answers={200: PresetListAnswer},
    tag="offers",
)
def presets(_call: Call) -> Answer:
    rows = [
        {
            "id": name,
            "object": "preset",
            "source": policies.read(f"presets/{name}.toml")["source"],
            "offer": offer_terms.preset(name),
        }
        for name in policies.names("presets")
    ]
    return Answer({"data": rows})


@endpoint(
    routes,
    "GET",
    "/v1/markets",
    summary="List the markets and their policies",
    answers={200: MarketListAnswer},
    tag="offers",
)
def markets(call: Call) -> Answer:
    return Answer({"data": [_market(law, call.locale) for _, law in sorted(market.in_force(call.asked.at).items())]})


@endpoint(
    routes,
    "GET",
    "/v1/markets/{code}",
    summary="Show a market's policy with its sources",
    answers={200: MarketAnswer},
    reasons=(Reason.NOT_FOUND,),
    tag="offers",
)
def one_market(call: Call) -> Answer:
    return Answer(_market(market.named(call.params["code"], call.asked.at), call.locale))


def _unfiltered(_call: Call) -> str:
    return ""


def _market(law: market.Market, locale: str) -> dict[str, Any]:
    plain = law.model_dump(mode="json")
    plain["forfeit"]["text"] = text("markets", f"{law.id}/{law.forfeit.rule}", locale=locale)
    return {"object": "market", **plain}


def _findings(call: Call) -> list[FindingAnswer]:
    body, sent, found = _with_schedule(call.json, call.locale)
    try:
        draft, _ = offer_terms.resolve(offer_terms.read(body, call.asked.at), call.asked.at)
    except Refused as refused:
        return [*found, *(_finding("error", one.pointer, one.why, call.locale) for one in refused.faults)]
    if sent is not None and sent.currencies() - {draft.currency}:
        found.append(_finding("error", "/trade_in", "currency_mismatch", call.locale))
    warned = offer_terms.warnings(draft, call.asked.at)
    return [*found, *(_finding("warning", one.pointer, one.why, call.locale) for one in warned)]


def _with_schedule(body: dict[str, Any], locale: str) -> tuple[dict[str, Any], SentTradeIn | None, list[FindingAnswer]]:
    """A whole schedule may stand in place of an id: it is checked by itself, and the rest as an offer without one."""
    trade_in = body.get("trade_in")
    if not isinstance(trade_in, dict) or not isinstance(trade_in.get("schedule"), dict):
        return body, None, []
    rest = {**body, "trade_in": None}
    try:
        sent = SentTradeIn.model_validate(lists_to_tuples(trade_in))
    except ValidationError as invalid:
        faults = field_errors_of(invalid, "/trade_in")
        return rest, None, [_finding("error", one.pointer, one.why, locale) for one in faults]
    found = [
        _band_finding(f"/trade_in/schedule/categories/{one.category}/bands/{one.band}", one, locale)
        for one in fees.findings([category.published() for category in sent.schedule.categories])
    ]
    return rest, sent, found


def _band_finding(pointer: str, found: fees.Finding, locale: str) -> FindingAnswer:
    words = {"here": _span(found.here.lowest, found.here.highest, locale)}
    if found.before is not None:
        words["before"] = _span(found.before.lowest, found.before.highest, locale)
    if found.why == "band_gap":
        lowest, highest = fees.gap(found)
        words |= {"gap_from": texts.amount(lowest, locale), "gap_to": texts.amount(highest, locale)}
    message = text("findings", found.why, locale=locale).format(**words)
    return {"severity": "error" if found.error else "warning", "pointer": pointer, "message": message}


def _span(lowest: Money, highest: Money, locale: str) -> str:
    return f"{texts.amount(lowest, locale)} – {texts.amount(highest, locale)}"  # noqa: RUF001 - a dash between amounts


def _finding(severity: str, pointer: str, why: str, locale: str) -> FindingAnswer:
    return {
        "severity": "error" if severity == "error" else "warning",
        "pointer": pointer,
        "message": text("faults", why, locale=locale),
    }


def _whole(shown: Offered, *, created: bool = False) -> Answer:
    headers = {"ETag": flow.etag(shown.offer, shown.at)}
    if created:
        headers["Location"] = f"/v1/offers/{shown.offer.id}"
    if shown.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Answer(render.offer(shown), 201 if created else 200, headers)
