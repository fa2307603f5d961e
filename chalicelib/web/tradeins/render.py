"""Trade-ins and fee schedules as answers."""

from typing import Any

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import format_instant
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.policy import fees
from chalicelib.core.policy.fees import CategoryData, Charge, Schedule
from chalicelib.core.policy.texts import read_text
from chalicelib.web.edge.values import money
from chalicelib.web.refunds.render import refund, rule
from chalicelib.web.tradeins.answers import FeeAnswer, GroundAnswer, TradeInAnswer, TradeInPartAnswer


def schedule(published: Schedule, locale: str) -> dict[str, Any]:
    """A fee schedule as published, with the gaps between its bands."""
    return {
        "id": published.id,
        "object": "fee_schedule",
        "version": published.version,
        "currency": published.currency,
        "source": published.source,
        "categories": [_category(published, category, locale) for category in published.category],
    }


def _category(schedule: Schedule, category: CategoryData, locale: str) -> dict[str, Any]:
    bands = schedule.bands(category.code)
    gaps = [finding for finding in fees.check_bands([bands]) if finding.why == "band_gap"]
    return {
        "code": category.code,
        "label": read_text("fees", schedule.name, "category", category.code, locale=locale),
        "bands": [{"from": money(band.lowest), "to": money(band.highest), "fee": money(band.fee)} for band in bands],
        "gaps": [{"from": money(lowest), "to": money(highest)} for lowest, highest in map(fees.compute_gap, gaps)],
        "grounds": [
            {
                "code": ground.code,
                "label": read_text("fees", schedule.name, "ground", ground.code, "label", locale=locale),
                "at_fault": ground.at_fault,
                "evidence": read_text("fees", schedule.name, "ground", ground.code, "evidence", locale=locale),
            }
            for ground in schedule.grounds(category.code)
        ],
    }


def charge(charged: Charge, locale: str) -> FeeAnswer:
    """What the band of a price charges."""
    return {
        "fee": money(charged.fee),
        "band": {"from": money(charged.band.lowest), "to": money(charged.band.highest)},
        "rule": rule(charged.rule, locale),
    }


def trade_in(deposit: Deposit) -> TradeInPartAnswer | None:
    """The trade-in as it stands in its deposit."""
    traded, current = deposit.created.trade_in, deposit.trade_in
    if traded is None or current is None:
        return None
    return {
        "id": child("trd", deposit.id, 1),
        "category": traded.category,
        "model": traded.model,
        "credit": money(traded.credit),
        "fee_base": money(traded.fee_base),
        "fee_if_mismatched": money(traded.fee_if_mismatched) if traded.fee_if_mismatched is not None else None,
        "status": current.status,
    }


def trade_in_full(deposit: Deposit, locale: str) -> TradeInAnswer:
    """The trade-in by itself, with its inspection and the refund that followed."""
    part, inspection = trade_in(deposit), deposit.trade_in.inspection if deposit.trade_in is not None else None
    assert part is not None, "only a deposit with a trade-in has one to show"
    return {
        **part,
        "object": "trade_in",
        "deposit": deposit.id,
        "inspection": {
            "outcome": inspection.outcome,
            "grounds": [_ground(deposit, code, locale) for code in inspection.grounds],
            "evidence": list(inspection.evidence),
            "at": format_instant(inspection.at),
        }
        if inspection is not None
        else None,
        "refund": refund(deposit, deposit.refund, locale) if deposit.refund is not None else None,
    }


def _ground(deposit: Deposit, code: str, locale: str) -> GroundAnswer:
    traded = deposit.created.trade_in
    assert traded is not None
    return {"code": code, "label": read_text("fees", traded.schedule, "ground", code, "label", locale=locale)}
