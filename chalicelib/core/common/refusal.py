"""The exception for refused requests, and its reasons in the order in which they are checked."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why a request is refused, in the order of the checks. The value is the problem's public name."""

    BODY_TOO_LARGE = "body-too-large"
    UNAUTHENTICATED = "unauthenticated"
    INVALID_TOKEN = "invalid-token"  # noqa: S105 - a name, not a secret
    TOKEN_EXPIRED = "token-expired"  # noqa: S105 - a name, not a secret
    INVALID_SIGNATURE = "invalid-signature"
    STALE_WEBHOOK = "stale-webhook"
    RATE_LIMITED = "rate-limited"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type"
    MALFORMED_BODY = "malformed-body"
    IDEMPOTENCY_KEY_MISSING = "idempotency-key-missing"
    IDEMPOTENCY_KEY_INVALID = "idempotency-key-invalid"
    INVALID_CURSOR = "invalid-cursor"
    FORBIDDEN = "forbidden"
    APPROVAL_REQUIRED = "approval-required"
    UNKNOWN_PARAMETER = "unknown-parameter"
    INVALID_REQUEST = "invalid-request"
    AMOUNT_MISMATCH = "amount-mismatch"
    CURRENCY_MISMATCH = "currency-mismatch"
    PAYMENT_METHOD_NOT_OFFERED = "payment-method-not-offered"
    INVALID_GROUND = "invalid-ground"
    EVIDENCE_REQUIRED = "evidence-required"
    INVALID_NATIONAL_ID = "invalid-national-id"
    CONSENT_REQUIRED = "consent-required"
    INVALID_CALLBACK_URL = "invalid-callback-url"
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused"
    STALE_VERSION = "stale-version"
    OFFER_NOT_OPEN = "offer-not-open"
    TERMS_CHANGED = "terms-changed"
    IDENTITY_REQUIRED = "identity-required"
    PASS_NOT_VALID = "pass-not-valid"  # noqa: S105 - a name, not a secret
    LIMIT_REACHED = "limit-reached"
    SOLD_OUT = "sold-out"
    ALREADY_CANCELLED = "already-cancelled"
    WRONG_STATE = "wrong-state"
    LOCK_NOT_ALLOWED = "lock-not-allowed"
    LOCK_INTENT_INVALID = "lock-intent-invalid"
    LOCK_INTENT_USED = "lock-intent-used"
    LOCK_INTENT_EXPIRED = "lock-intent-expired"
    REFUND_IN_PROGRESS = "refund-in-progress"
    LOCK_REVIEW_PENDING = "lock-review-pending"
    LOCK_ACKNOWLEDGEMENT_MISMATCH = "lock-acknowledgement-mismatch"
    UNDO_CLOSED = "undo-closed"
    FUNDS_IN_DISPUTE = "funds-in-dispute"
    REFUND_EXCEEDS_REFUNDABLE = "refund-exceeds-refundable"
    FEE_BAND_UNDEFINED = "fee-band-undefined"
    REASON_NOT_PUBLISHED = "reason-not-published"
    BELOW_OWED = "below-owed"
    CLAIM_CLOSED = "claim-closed"
    WITHDRAWAL_NOT_AVAILABLE = "withdrawal-not-available"
    OPEN_OBLIGATION = "open-obligation"
    BUSY = "busy"
    INTERNAL_ERROR = "internal-error"

    def comes_before(self, other: "Reason") -> bool:
        """Whether this reason is checked before ``other``."""
        return _ORDER[self] < _ORDER[other]


_ORDER = {reason: rank for rank, reason in enumerate(Reason)}


class FieldError(NamedTuple):
    """A field that is not accepted: its JSON pointer, and a key of policies/texts/faults.toml."""

    pointer: str
    why: str


class Refused(Exception):
    """A refused request. ``facts`` are rendered into the problem answer: str, int, bool or Money, never personal data."""

    def __init__(self, reason: Reason, faults: Sequence[FieldError] = (), **facts: object) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.faults = tuple(faults)
        self.facts = facts
