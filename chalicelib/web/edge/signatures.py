"""Webhook signatures, verified and made: Standard Webhooks v1, HMAC-SHA256 over id, timestamp and body."""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

from chalicelib.core.common.refusal import Reason, Refused

TOLERANCE_SECONDS: Final = 300
SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - a prefix, not a secret
# The standard's lower bound for a symmetric secret.
MIN_SECRET_BYTES: Final = 24
# A full stop in an id would let its tail pass for the timestamp, and the timestamp for the body.
WEBHOOK_ID: Final = re.compile(r"[!-\-/-~]{1,255}")
TIMESTAMP: Final = re.compile(r"0|[1-9][0-9]{0,11}")


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now_seconds: int) -> str:
    """The webhook's id, if one of the secrets signed exactly this within the tolerance. During a rotation there are two secrets."""
    lower = {name.lower(): value for name, value in headers.items()}
    webhook_id, timestamp = lower.get("webhook-id", ""), lower.get("webhook-timestamp", "")
    if not WEBHOOK_ID.fullmatch(webhook_id) or not TIMESTAMP.fullmatch(timestamp):
        raise Refused(Reason.INVALID_SIGNATURE)
    signed_at = int(timestamp)
    expected = [sign(webhook_id, signed_at, body, secret) for secret in secrets]
    if not _any_equal(lower.get("webhook-signature", "").split(" "), expected):
        raise Refused(Reason.INVALID_SIGNATURE)
    if abs(now_seconds - signed_at) > TOLERANCE_SECONDS:
        raise Refused(Reason.STALE_WEBHOOK)
    return webhook_id


def sign(webhook_id: str, timestamp_seconds: int, body: bytes, secret: str) -> str:
    """One signature as it stands in the header: ``v1,<base64>``."""
    content = f"{webhook_id}.{timestamp_seconds}.".encode() + body
    digest = hmac.digest(_key(secret), content, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(secret: str) -> bytes:
    """The secret's bytes. ValueError for a secret that is misconfigured: it is never a caller's fault."""
    text = secret.removeprefix(SECRET_PREFIX).rstrip("=")
    key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    if len(key) < MIN_SECRET_BYTES:
        raise ValueError("a webhook secret has at least 24 bytes")
    return key


def _any_equal(received: Sequence[str], expected: Sequence[str]) -> bool:
    # What is not ASCII becomes a question mark, which no base64 contains.
    encoded = [signature.encode("ascii", "replace") for signature in received]
    return any(hmac.compare_digest(signature, ours.encode()) for signature in encoded for ours in expected)
