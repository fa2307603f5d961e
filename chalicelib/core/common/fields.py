"""Field types for JSON: money, instants, durations, SKUs. Terms and request bodies use them."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from chalicelib.core.common import instants
from chalicelib.core.common.money import AMOUNT, Money


class Frozen(BaseModel):
    """Base of models read from JSON: immutable, strict types, unknown members are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


def field_error(why: str) -> PydanticCustomError:
    """A validation error. ``why`` is a key of policies/texts/faults.toml."""
    return PydanticCustomError("fault", "{why}", {"why": why})


def read_money(value: Any) -> Money:
    """``{"amount":"150000","currency":"IDR"}`` as Money. The validation error names the fault."""
    if isinstance(value, Money):
        return value
    if not isinstance(value, dict):
        raise field_error("not_object")
    if set(value) != {"amount", "currency"}:
        raise field_error("unknown_field" if set(value) - {"amount", "currency"} else "missing")
    amount, currency = value["amount"], value["currency"]
    if not isinstance(amount, str):
        raise field_error("amount")
    try:
        return Money.parse(amount, currency if isinstance(currency, str) else "")
    except ValueError as unreadable:
        raise field_error(str(unreadable)) from None


def write_money(money: Money) -> dict[str, str]:
    return {"amount": money.amount, "currency": money.currency}


def lists_to_tuples(value: Any) -> Any:
    """The value with all lists as tuples, at every depth: strict models accept only tuples."""
    if isinstance(value, dict):
        return {name: lists_to_tuples(part) for name, part in value.items()}
    return tuple(lists_to_tuples(part) for part in value) if isinstance(value, list) else value


def _readable(read: Callable[[str], object], why: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        try:
            read(value if isinstance(value, str) else "")
        except ValueError:
            raise field_error(why) from None
        return value

    return BeforeValidator(check)


def _read_instant(value: Any) -> Any:
    try:
        return instants.parse_instant(value if isinstance(value, str) else "")
    except ValueError:
        raise field_error("instant") from None


MONEY_SCHEMA: Final = {
    "type": "object",
    "title": "Money",
    "description": "A decimal string in major units and an ISO 4217 code.",
    "properties": {
        "amount": {"type": "string", "pattern": AMOUNT.pattern, "examples": ["5000", "4999.50", "150000"]},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["CNY", "IDR", "EUR"]},
    },
    "required": ["amount", "currency"],
    "additionalProperties": False,
}
INSTANT_SCHEMA: Final = {"type": "string", "format": "date-time", "examples": ["2026-11-21T14:00:00.000Z"]}

MoneyField = Annotated[Money, PlainValidator(read_money), PlainSerializer(write_money), WithJsonSchema(MONEY_SCHEMA)]
InstantField = Annotated[
    int,
    BeforeValidator(_read_instant),
    PlainSerializer(instants.format_instant, when_used="json"),
    WithJsonSchema(INSTANT_SCHEMA),
]
Duration = Annotated[
    str, _readable(instants.duration_ms, "duration"), Field(json_schema_extra={"examples": ["PT168H", "P7D"]})
]
Days = Annotated[str, _readable(instants.whole_days, "duration_days"), Field(json_schema_extra={"examples": ["P7D"]})]
CurrencyCode = Annotated[str, _readable(lambda code: Money.parse("0", code), "currency")]
Sku = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Category = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
