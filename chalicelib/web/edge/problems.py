"""Refusals as RFC 9457 problems: the one table from reason to status, and how a problem is written."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from chalicelib.core.common import instants
from chalicelib.core.common.fields import write_money
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.policy.texts import read_text

_R = Reason

STATUS: Final[Mapping[Reason, int]] = MappingProxyType(
    {
        **dict.fromkeys(
            (_R.MALFORMED_BODY, _R.INVALID_CURSOR, _R.IDEMPOTENCY_KEY_MISSING, _R.IDEMPOTENCY_KEY_INVALID), 400
        ),
        **dict.fromkeys(
            (_R.UNAUTHENTICATED, _R.INVALID_TOKEN, _R.TOKEN_EXPIRED, _R.INVALID_SIGNATURE, _R.STALE_WEBHOOK), 401
        ),
        **dict.fromkeys((_R.FORBIDDEN, _R.APPROVAL_REQUIRED), 403),
        _R.NOT_FOUND: 404,
        _R.METHOD_NOT_ALLOWED: 405,
        **dict.fromkeys(
            (
                _R.OFFER_NOT_OPEN,
                _R.TERMS_CHANGED,
                _R.IDENTITY_REQUIRED,
                _R.PASS_NOT_VALID,
                _R.LIMIT_REACHED,
                _R.SOLD_OUT,
                _R.ALREADY_CANCELLED,
                _R.WRONG_STATE,
                _R.LOCK_NOT_ALLOWED,
                _R.LOCK_INTENT_INVALID,
                _R.LOCK_INTENT_USED,
                _R.LOCK_INTENT_EXPIRED,
                _R.REFUND_IN_PROGRESS,
                _R.LOCK_REVIEW_PENDING,
                _R.LOCK_ACKNOWLEDGEMENT_MISMATCH,
                _R.UNDO_CLOSED,
                _R.FUNDS_IN_DISPUTE,
                _R.REFUND_EXCEEDS_REFUNDABLE,
                _R.FEE_BAND_UNDEFINED,
                _R.REASON_NOT_PUBLISHED,
                _R.BELOW_OWED,
                _R.CLAIM_CLOSED,
                _R.WITHDRAWAL_NOT_AVAILABLE,
                _R.OPEN_OBLIGATION,
            ),
            409,
        ),
        _R.STALE_VERSION: 412,
        _R.BODY_TOO_LARGE: 413,
        _R.UNSUPPORTED_MEDIA_TYPE: 415,
        **dict.fromkeys(
            (
                _R.UNKNOWN_PARAMETER,
                _R.INVALID_REQUEST,
                _R.AMOUNT_MISMATCH,
                _R.CURRENCY_MISMATCH,
                _R.PAYMENT_METHOD_NOT_OFFERED,
                _R.INVALID_GROUND,
                _R.EVIDENCE_REQUIRED,
                _R.INVALID_NATIONAL_ID,
                _R.CONSENT_REQUIRED,
                _R.INVALID_CALLBACK_URL,
                _R.IDEMPOTENCY_KEY_REUSED,
            ),
            422,
        ),
        _R.RATE_LIMITED: 429,
        _R.INTERNAL_ERROR: 500,
        _R.BUSY: 503,
    }
)


def problem(refused: Refused, *, locale: str, instance: str, request_id: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of a refusal, in the reader's language."""
    reason = refused.reason
    status = STATUS[reason]
    body: dict[str, Any] = {
        "type": f"/problems/{reason.value}",
        "title": read_text("problems", reason.value, "title", locale=locale),
        "status": status,
        "detail": read_text("problems", reason.value, "detail", locale=locale),
        "instance": instance,
        "request_id": request_id,
        **{name: _fact(name, value) for name, value in refused.facts.items()},
    }
    if refused.faults:
        body["errors"] = [
            {"pointer": fault.pointer, "detail": read_text("faults", fault.why, locale=locale)}
            for fault in refused.faults
        ]
    headers = {"Content-Type": "application/problem+json"}
    if "retry_after" in refused.facts:
        headers["Retry-After"] = str(refused.facts["retry_after"])
    if reason is Reason.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    return status, headers, json.dumps(body, ensure_ascii=False)


def _fact(name: str, value: object) -> object:
    """Instants and amounts as everywhere else in the contract."""
    if isinstance(value, Money):
        return write_money(value)
    if isinstance(value, int) and instants.names_instant(name):
        return instants.format_instant(value)
    return value
