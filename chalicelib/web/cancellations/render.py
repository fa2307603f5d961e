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


def reason(published: CancellationReason, locale: str) -> CancellationReasonAnswer:
    return {
        "code": published.code,
        "label": read_text("reasons", published.texts, "label", locale=locale),
        "evidence": published.evidence,
        "evidence_required": read_text("reasons", published.texts, "evidence_required", locale=locale),
        "appealable": published.appealable,
        "remedy": published.remedy,
        "question": published.question,
        "second_approver": published.second_approver,
    }


def bulk(view: BulkView) -> BulkAnswer:
    bulk: Bulk = view.bulk
    until = bulk.asked.approve_until
    return {
        "id": bulk.id,
        "object": "bulk_cancellation",
        "offer": bulk.asked.offer,
        "status": bulk.status.value,
        "reason": bulk.asked.reason,
        "evidence": list(bulk.asked.evidence),
        "asked_by": bulk.asked.by,
        "approved_by": bulk.approver,
        "approve_until": format_instant(until) if until is not None else None,
        "counts": {
            "total": len(bulk.asked.deposits),
            "cancelled": bulk.count_outcomes("cancelled"),
            "skipped": bulk.count_outcomes("skipped"),
            "pending": len(bulk.left),
        },
        "results": [
            {"deposit": result.deposit, "outcome": result.outcome, "reason": result.reason} for result in bulk.results
        ],
        "created_at": format_instant(bulk.asked.at),
        "updated_at": format_instant(bulk.updated_at),
    }


def counts(offer_id: str, counted: Mapping[tuple[str, str], int], locale: str) -> CancellationCountsAnswer:
    """Every reason that was ever given, in the catalogue's order; none is left out because it looks bad."""
    rows: list[CancellationCountAnswer] = [
        {
            "reason": reason.code,
            "label": read_text("reasons", reason.texts, "label", locale=locale),
            "cancelled": counted.get(("cancelled", reason.code), 0),
            "appealed": counted.get(("appealed", reason.code), 0),
            "overturned": counted.get(("overturned", reason.code), 0),
        }
        for reason in cancellation_reasons.list_all_reasons()
        if any(code == reason.code for _, code in counted)
    ]
    return {
        "offer": offer_id,
        "object": "cancellation_counts",
        "cancelled": sum(row["cancelled"] for row in rows),
        "appealed": sum(row["appealed"] for row in rows),
        "overturned": sum(row["overturned"] for row in rows),
        "data": rows,
    }
