"""Cursors: where a list goes on. They are no secrets and give no access: the caller decides whose list is read."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Final

from chalicelib.core.common.refusal import Reason, Refused

MAX_CURSOR_CHARS: Final = 1024
CHECK_BYTES: Final = 8


def seal(scope: str, position: Mapping[str, str | int]) -> str:
    """A cursor that holds only in its scope: the caller, the list and its filter."""
    cursor = _sealed(scope, position)
    assert len(cursor) <= MAX_CURSOR_CHARS
    return cursor


def unseal(scope: str, cursor: str) -> dict[str, str | int]:
    """The position that was sealed in this scope. Refused(INVALID_CURSOR) for any other text."""
    try:
        position = _position(cursor)
    except (ValueError, RecursionError):
        raise Refused(Reason.INVALID_CURSOR) from None
    # One comparison finds all of it: altered, of another scope, or the same position written differently.
    if _sealed(scope, position) != cursor:
        raise Refused(Reason.INVALID_CURSOR)
    return position


def _sealed(scope: str, position: Mapping[str, str | int]) -> str:
    payload = json.dumps(dict(position), separators=(",", ":"), sort_keys=True).encode()
    encoded = scope.encode()
    check = hashlib.sha256(len(encoded).to_bytes(4, "big") + encoded + payload).digest()[:CHECK_BYTES]
    return base64.urlsafe_b64encode(check + payload).decode().rstrip("=")


def _position(cursor: str) -> dict[str, str | int]:
    """The position in the cursor, not yet verified."""
    if len(cursor) > MAX_CURSOR_CHARS:
        raise ValueError("too long")
    payload = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[CHECK_BYTES:]
    position = json.loads(payload)
    if not isinstance(position, dict) or any(type(value) not in (str, int) for value in position.values()):
        raise ValueError("not a position")
    return position
