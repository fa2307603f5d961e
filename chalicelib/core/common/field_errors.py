"""From a model's findings to faults that name a field and a reason a person can read."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from chalicelib.core.common.refusal import FieldError, Reason, Refused


def build_refusal(faults: tuple[FieldError, ...]) -> Refused:
    """INVALID_REQUEST, or CURRENCY_MISMATCH when nothing but currencies is wrong."""
    only_currency = all(found.why == "currency_mismatch" for found in faults)
    return Refused(Reason.CURRENCY_MISMATCH if only_currency else Reason.INVALID_REQUEST, faults)


def read_field_errors(invalid: ValidationError, root: str = "") -> tuple[FieldError, ...]:
    """pydantic's findings as JSON pointers with the reason's text id; what was sent is never repeated."""
    errors = invalid.errors(include_url=False, include_input=False)
    around = {error["loc"][:depth] for error in errors for depth in range(len(error["loc"]))}
    return tuple(
        FieldError(
            root + "".join(f"/{_escape_pointer(part)}" for part in error["loc"] if part != "[key]"), _find_reason(error)
        )
        for error in errors
        # pydantic leaves faulty members out before it counts: such a list is not too short as well
        if error["type"] != "too_short" or error["loc"] not in around
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
