"""Turns pydantic's validation errors into field errors with a JSON pointer and a text key."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from chalicelib.core.common.refusal import FieldError, Reason, Refused


def build_refusal(faults: tuple[FieldError, ...]) -> Refused:
    """The refusal for field errors: INVALID_REQUEST, or CURRENCY_MISMATCH when all of them are about currencies."""
    only_currency = all(fault.why == "currency_mismatch" for fault in faults)
    return Refused(Reason.CURRENCY_MISMATCH if only_currency else Reason.INVALID_REQUEST, faults)


def read_field_errors(invalid: ValidationError, root: str = "") -> tuple[FieldError, ...]:
    """pydantic's errors as field errors below ``root``. They never contain the value that was sent."""
    errors = invalid.errors(include_url=False, include_input=False)
    parents = {error["loc"][:depth] for error in errors for depth in range(len(error["loc"]))}
    return tuple(
        FieldError(
            root + "".join(f"/{_escape_pointer(part)}" for part in error["loc"] if part != "[key]"), _find_reason(error)
        )
        for error in errors
        # pydantic counts a list without its faulty members, so a list with faulty members is not reported as too short
        if error["type"] != "too_short" or error["loc"] not in parents
    )


def _escape_pointer(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


_REASONS: Final = {
    "missing": "missing",
    "extra_forbidden": "unknown_field",
    "string_type": "not_text",
    "int_type": "not_integer",
    "int_from_float": "not_integer",
    "bool_type": "not_boolean",
    "model_type": "not_object",
    "model_attributes_type": "not_object",
    "dict_type": "not_object",
    "tuple_type": "not_list",
    "list_type": "not_list",
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "greater_than_equal": "too_small",
    "less_than_equal": "too_large",
    "too_short": "too_few",
    "too_long": "too_many",
    "string_pattern_mismatch": "pattern",
    "literal_error": "choice",
}


def _find_reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "fault":
        return str(error["ctx"]["why"])
    return _REASONS.get(error["type"], "invalid")
