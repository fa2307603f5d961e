"""What merchants' cancellations, their questions, bulk runs, counts and priority passes look like in an answer."""

from collections.abc import Mapping

from chalicelib.core import cancellation
from chalicelib.core.bulk import Bulk
from chalicelib.core.cancellation import Published
from chalicelib.core.deposit import Deposit
from chalicelib.core.ids import child
from chalicelib.core.instants import format_instant
from chalicelib.core.priority import Pass
from chalicelib.core.question import Question
from chalicelib.flows.cancellations import Shown
from chalicelib.flows.questions import Words
from chalicelib.web.answers import (
    BulkAnswer,
    CancellationCountAnswer,
    CancellationCountsAnswer,
    CancellationReasonAnswer,
    PassAnswer,
    QuestionAnswer,
)
from chalicelib.web.render import money


def reason(one: Published, locale: str) -> CancellationReasonAnswer:
    return {
        "code": one.code,
        "label": one.label[locale],
        "evidence": one.evidence,
        "evidence_required": one.evidence_required[locale],
        "appealable": one.appealable,
        "remedy": one.remedy,
        "question": one.question,
        "second_approver": one.second_approver,
    }


def question(of: Deposit, one: Question, words: Words, at: int) -> QuestionAnswer:
    return {
        "id": child("qst", of.id, one.n),
        "object": "question",
        "deposit": of.id,
        "kind": one.asked.kind,
        "status": one.status_at(at).value,
        "text": words.asked,
        "answer": words.answered,
        "due_at": format_instant(one.asked.due_at),
        "answered_at": format_instant(one.answered_at) if one.answered_at is not None else None,
        "created_at": format_instant(one.asked.at),
    }


def priority_pass(of: Deposit, one: Pass) -> PassAnswer:
    granted = one.granted
    return {
        "id": child("pas", of.id, one.n),
        "object": "priority_pass",
        "merchant": of.created.merchant,
        "skus": list(granted.skus),
        "price_cap": money(granted.price_cap),
        "valid_until": format_instant(granted.valid_until),
        "status": one.status.value,
        "origin": of.id,
        "reason": granted.reason,
        "used_for": one.used_for if one.status.value == "used" else None,
        "created_at": format_instant(granted.at),
    }


def bulk(shown: Shown) -> BulkAnswer:
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
            "cancelled": one.told("cancelled"),
            "skipped": one.told("skipped"),
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
            "label": one.label[locale],
            "cancelled": found.get(("cancelled", one.code), 0),
            "appealed": found.get(("appealed", one.code), 0),
            "overturned": found.get(("overturned", one.code), 0),
        }
        for one in cancellation.catalogue().reason
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
