"""Cancellation reasons, counts and bulk cancellations as answers."""

from collections.abc import Mapping

from chalicelib.core.common.instants import format_instant
from chalicelib.core.merchant.bulk import Bulk
from chalicelib.core.policy import cancellation_reasons
from chalicelib.core.policy.cancellation_reasons import CancellationReason
from chalicelib.core.policy.texts import read_text
from chalicelib.flows.cancellations import BulkView
from chalicelib.web.cancellations.answers import (
    BulkAnswer,
    CancellationCountAnswer,
    CancellationCountsAnswer,
    CancellationReasonAnswer,
)


def reason(one: CancellationReason, locale: str) -> CancellationReasonAnswer:
    return {
        "code": one.code,
        "label": read_text("reasons", one.texts, "label", locale=locale),
        "evidence": one.evidence,
        "evidence_required": read_text("reasons", one.texts, "evidence_required", locale=locale),
        "appealable": one.appealable,
        "remedy": one.remedy,
        "question": one.question,
        "second_approver": one.second_approver,
    }


def bulk(shown: BulkView) -> BulkAnswer:
    one: Bulk = shown.bulk
    until = one.asked.approve_until
    return {
        "id": one.id,
        "object": "bulk_cancellation",
        "offer": one.asked.offer,
        "status": one.status.value,
        "reason": one.asked.reason,
        "evidence": list(one.asked.evidence),
        "asked_by": one.asked.by,
        "approved_by": one.approver,
        "approve_until": format_instant(until) if until is not None else None,
        "counts": {
            "total": len(one.asked.deposits),
            "cancelled": one.count_outcomes("cancelled"),
            "skipped": one.count_outcomes("skipped"),
            "pending": len(one.left),
        },
        "results": [{"deposit": r.deposit, "outcome": r.outcome, "reason": r.reason} for r in one.results],
        "created_at": format_instant(one.asked.at),
        "updated_at": format_instant(one.updated_at),
    }


def counts(offer_id: str, found: Mapping[tuple[str, str], int], locale: str) -> CancellationCountsAnswer:
    """Every reason that was ever given, in the catalogue's order; none is left out because it looks bad."""
    rows: list[CancellationCountAnswer] = [
        {
            "reason": one.code,
            "label": read_text("reasons", one.texts, "label", locale=locale),
            "cancelled": found.get(("cancelled", one.code), 0),
            "appealed": found.get(("appealed", one.code), 0),
            "overturned": found.get(("overturned", one.code), 0),
        }
        for one in cancellation_reasons.list_all_reasons()
        if any(code == one.code for _, code in found)
    ]
    return {
        "offer": offer_id,
        "object": "cancellation_counts",
        "cancelled": sum(row["cancelled"] for row in rows),
        "appealed": sum(row["appealed"] for row in rows),
        "overturned": sum(row["overturned"] for row in rows),
        "data": rows,
    }
