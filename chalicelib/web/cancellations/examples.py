"""Examples of cancellations by a merchant: the catalogue, one deposit, many at once, and the public counts."""

from typing import Final

from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.instants import duration_ms
from chalicelib.core.merchant import bulk as bulks
from chalicelib.core.merchant.bulk import BulkApproved, BulkAsked, BulkEvent, BulkWorked, Result, compute_approve_until
from chalicelib.core.policy.cancellation_reasons import find_reasons
from chalicelib.flows.cancellations import BulkView as Called
from chalicelib.web.cancellations import render as cancelled_
from chalicelib.web.edge.languages import DEFAULT
from chalicelib.web.edge.route import Example
from chalicelib.web.service import stories
from chalicelib.web.service.stories import (
    DEPOSIT_ID,
    MERCHANT,
    OFFER_ID,
    ORDERED,
    OUT_OF_STOCK,
    SHOP,
    Json,
)

CODE: Final = "OUT_OF_STOCK"
REASON: Final[Json] = {"reason": CODE, "evidence": ["stock:ledger-2026-11-22"], "note": None}
BULK_ID: Final = digest_id("bmc", "example", "bulk")
ANOTHER: Final = digest_id("dep", "example", "another")
ASKED_AT: Final = ORDERED + duration_ms("P1D")
APPROVED: Final = BulkApproved(ORDERED + duration_ms("P1DT1H"), digest_id("usr", "example", "colleague"))


def catalogue() -> Example:
    published = find_reasons(ORDERED).values()
    return Example({"the catalogue": {"data": [cancelled_.reason(reason, DEFAULT) for reason in published]}})


def called_off() -> Example:
    return Example({"everything back, and more": stories.called_off().shown()}, REASON)


def bulk_asked() -> Example:
    return Example({"waits for a second person": _bulk()}, {"deposits": [DEPOSIT_ID], **REASON})


def bulk_done() -> Example:
    results = (Result(DEPOSIT_ID, "cancelled"), Result(ANOTHER, "skipped", "already-cancelled"))
    return Example({"done": _bulk(APPROVED, BulkWorked(APPROVED.at, results))})


def bulk_approved() -> Example:
    return Example({"running": _bulk(APPROVED)})


def counted() -> Example:
    return Example({"so far": cancelled_.counts(OFFER_ID, {("cancelled", CODE): 12}, DEFAULT)})


def _bulk(*later: BulkEvent) -> Json:
    asked = BulkAsked(
        ASKED_AT,
        OFFER_ID,
        MERCHANT,
        SHOP.id,
        (DEPOSIT_ID, ANOTHER),
        CODE,
        OUT_OF_STOCK.evidence,
        approve_until=compute_approve_until(ASKED_AT),
    )
    return cancelled_.bulk(Called(bulks.fold(BULK_ID, [asked, *later]), ASKED_AT, DEFAULT))
