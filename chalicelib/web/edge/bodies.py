"""What is checked of a request before any field: size, media type, strict JSON, the idempotency key."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from chalicelib.core.common.refusal import Reason, Refused

MAX_BODY_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 32
# Above it not every whole number has a double of its own, so 1.0 and 1 may no longer mean the same.
MAX_EXACT_INTEGER: Final = 2**53
IDEMPOTENCY_KEY: Final = re.compile(r"[!-~]{1,255}")
# A string (closed or not, so that no quote is looked at twice), or one bracket.
_NESTING: Final = re.compile(r'"(?:[^"\\]+|\\.)*+"?|[\[\]{}]', re.DOTALL)


def check_size(raw: bytes) -> None:
    if len(raw) > MAX_BODY_BYTES:
        raise Refused(Reason.BODY_TOO_LARGE)


def check_media_type(content_type: str | None, content_encoding: str | None, has_body: bool) -> None:
    """With a body: plain JSON in UTF-8, not compressed. Without one the headers say nothing."""
    if not has_body:
        return
    if (content_encoding or "identity").strip().lower() != "identity" or not _is_json(content_type or ""):
        raise Refused(Reason.UNSUPPORTED_MEDIA_TYPE)


def idempotency_key(headers: Mapping[str, str]) -> str:
    key = next((value for name, value in headers.items() if name.lower() == "idempotency-key"), None)
    if key is None:
        raise Refused(Reason.IDEMPOTENCY_KEY_MISSING)
    if not IDEMPOTENCY_KEY.fullmatch(key):
        raise Refused(Reason.IDEMPOTENCY_KEY_INVALID)
    return key


def parse(raw: bytes) -> dict[str, object]:
    """The one JSON object that the bytes can mean; a text that two parsers could read differently is malformed."""
    if not raw:
        return {}
    try:
        text = raw.decode()
        _check_depth(text)
        body = json.loads(
            text, object_pairs_hook=_read_members, parse_constant=_refuse_constant, parse_float=_read_number
        )
        _check_text(text, body)
    except ValueError:
        raise Refused(Reason.MALFORMED_BODY) from None
    if not isinstance(body, dict):
        raise Refused(Reason.MALFORMED_BODY)
    return body


def _is_json(content_type: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    allowed = ("charset=utf-8", 'charset="utf-8"')
    return media_type == "application/json" and all(parameter in allowed for parameter in parameters)


def _check_depth(text: str) -> None:
    """Before parsing, because the parser has no limit of its own."""
    depth = 0
    for token in _NESTING.findall(text):
        if token in ("{", "["):
            depth += 1
        elif token in ("}", "]"):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError("too deep")


def _check_text(text: str, body: object) -> None:
    r"""Half a surrogate pair, which only a \u escape can bring in, has no bytes: encoding it is a ValueError."""
    if "\\u" in text:
        json.dumps(body, ensure_ascii=False).encode()


def _read_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _read_number(text: str) -> int | float:
    """1.0 and 1e3 are whole numbers to those who send them. All else stays a float, which every field refuses."""
    number = float(text)
    if number.is_integer() and abs(number) < MAX_EXACT_INTEGER:
        # 1.00000000000000000001 rounds to a whole number without being one.
        with suppress(InvalidOperation):
            return int(number) if Decimal(text) == int(number) else number
    return number
