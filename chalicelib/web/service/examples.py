"""Examples of a provider's event and of every problem."""

import json
from collections.abc import Mapping
from typing import Final

from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.web.edge.languages import DEFAULT
from chalicelib.web.edge.problems import problem as written
from chalicelib.web.edge.route import Example
from chalicelib.web.service.stories import (
    DEPOSIT_ID,
    ORDERED,
    PAYMENT_ID,
    Json,
)

FACTS: Final[Mapping[Reason, Json]] = {
    Reason.RATE_LIMITED: {"retry_after": 12},
    Reason.BUSY: {"retry_after": 1},
    Reason.STALE_VERSION: {"etag": '"2-cooling_off"'},
    Reason.OFFER_NOT_OPEN: {"state": "scheduled", "opens_at": ORDERED},
    Reason.LIMIT_REACHED: {"per_buyer": 1},
    Reason.WRONG_STATE: {"state": "expired"},
    Reason.PASS_NOT_VALID: {"state": "used"},
    Reason.REASON_NOT_PUBLISHED: {"code": "MERCHANT_OTHER"},
    Reason.APPROVAL_REQUIRED: {"code": "MERCHANT_OTHER"},
    Reason.FEE_BAND_UNDEFINED: {"category": "phone", "price": Money.parse("49999", "IDR")},
    Reason.REFUND_EXCEEDS_REFUNDABLE: {"refundable": Money.parse("5088", "CNY")},
    Reason.FUNDS_IN_DISPUTE: {"refundable": Money.parse("0", "CNY")},
    Reason.UNDO_CLOSED: {"undo_until": ORDERED},
    Reason.LOCK_INTENT_EXPIRED: {"expires_at": ORDERED},
    Reason.LOCK_REVIEW_PENDING: {"confirmable_at": ORDERED},
    Reason.LOCK_ACKNOWLEDGEMENT_MISMATCH: {"acknowledgement": "LOCK 5000 CNY"},
}
FAULTS: Final[Mapping[Reason, tuple[FieldError, ...]]] = {
    Reason.INVALID_REQUEST: (FieldError("/items/0/sku", "unknown_sku"),),
    Reason.INVALID_GROUND: (FieldError("/grounds/0", "unknown_ground"),),
    Reason.EVIDENCE_REQUIRED: (FieldError("/evidence", "missing"),),
    Reason.CONSENT_REQUIRED: (FieldError("/consent", "consent_needed"),),
    Reason.UNKNOWN_PARAMETER: (FieldError("/colour", "unknown_field"),),
    Reason.CURRENCY_MISMATCH: (FieldError("/shipping", "currency_mismatch"),),
    Reason.PAYMENT_METHOD_NOT_OFFERED: (FieldError("/payment_method", "unknown_method"),),
}


def payment_updated() -> Example:
    return Example(body={"type": "payment.updated", "data": {"id": PAYMENT_ID}})


def problem(reason: Reason) -> Json:
    """A refusal as it is answered, with the facts it comes with."""
    facts, faults = FACTS.get(reason, {}), FAULTS.get(reason, ())
    refused = Refused(reason, faults, **facts)
    _, _, body = written(refused, locale=DEFAULT, instance=f"/v1/deposits/{DEPOSIT_ID}", request_id="5f0c2a9e")
    example: Json = json.loads(body)
    return example
