"""What is wrong or unwise about an offer, also about a whole trade-in schedule that a merchant would like to publish."""

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from chalicelib.core.common.field_errors import read_field_errors
from chalicelib.core.common.fields import Category, Frozen, MoneyField, Sku, field_error, lists_to_tuples
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Refused
from chalicelib.core.policy import fees, offer_terms, texts
from chalicelib.core.policy.texts import read_text
from chalicelib.web.offers.answers import FindingAnswer


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
        if len({amount.currency for band in self.bands for amount in (band.lowest, band.highest, band.fee)}) > 1:
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

    def bands(self) -> list[tuple[fees.Band, ...]]:
        """Of each category, in its order."""
        return [category.published() for category in self.schedule.categories]

    def currencies(self) -> set[str]:
        bands = (band for category in self.schedule.categories for band in category.bands)
        return {band.fee.currency for band in bands} | {value.currency for value in self.values.values()}


def check_offer(body: dict[str, Any], at: int, locale: str) -> list[FindingAnswer]:
    """Errors that would stop the offer from being published at ``at``; without errors, what is unwise about it."""
    offer, trade_in, findings = _take_out_schedule(body, locale)
    try:
        draft, _ = offer_terms.merge_market_policy(offer_terms.read_offer(offer, at), at)
    except Refused as refused:
        return [*findings, *(_finding("error", fault.pointer, fault.why, locale) for fault in refused.faults)]
    if trade_in is not None and trade_in.currencies() - {draft.currency}:
        findings.append(_finding("error", "/trade_in", "currency_mismatch", locale))
    warnings = offer_terms.find_warnings(draft, at)
    return [*findings, *(_finding("warning", warning.pointer, warning.why, locale) for warning in warnings)]


def _take_out_schedule(
    body: dict[str, Any], locale: str
) -> tuple[dict[str, Any], SentTradeIn | None, list[FindingAnswer]]:
    """The offer without a whole schedule that stands in place of an id, that schedule, and what is wrong with it."""
    trade_in = body.get("trade_in")
    if not isinstance(trade_in, dict) or not isinstance(trade_in.get("schedule"), dict):
        return body, None, []
    rest = {**body, "trade_in": None}
    try:
        sent = SentTradeIn.model_validate(lists_to_tuples(trade_in))
    except ValidationError as invalid:
        faults = read_field_errors(invalid, "/trade_in")
        return rest, None, [_finding("error", fault.pointer, fault.why, locale) for fault in faults]
    return rest, sent, [_band_finding(finding, locale) for finding in fees.check_bands(sent.bands())]


def _band_finding(finding: fees.Finding, locale: str) -> FindingAnswer:
    pointer = f"/trade_in/schedule/categories/{finding.category}/bands/{finding.band}"
    words = {"here": _span(finding.here.lowest, finding.here.highest, locale)}
    if finding.before is not None:
        words["before"] = _span(finding.before.lowest, finding.before.highest, locale)
    if finding.why == "band_gap":
        lowest, highest = fees.compute_gap(finding)
        words |= {"gap_from": texts.format_amount(lowest, locale), "gap_to": texts.format_amount(highest, locale)}
    message = read_text("findings", finding.why, locale=locale).format(**words)
    return {"severity": "error" if finding.error else "warning", "pointer": pointer, "message": message}


def _span(lowest: Money, highest: Money, locale: str) -> str:
    return f"{texts.format_amount(lowest, locale)} – {texts.format_amount(highest, locale)}"  # noqa: RUF001 - a dash between amounts


def _finding(severity: str, pointer: str, why: str, locale: str) -> FindingAnswer:
    return {
        "severity": "error" if severity == "error" else "warning",
        "pointer": pointer,
        "message": read_text("faults", why, locale=locale),
    }
