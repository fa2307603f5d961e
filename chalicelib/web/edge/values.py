"""Shapes that answers of several capabilities share: money, instants, hashes, rules, pages, problems."""

from collections.abc import Iterable
from typing import Annotated, Any, Final, Generic, NotRequired, TypeVar

from pydantic import ConfigDict, Field, WithJsonSchema, with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core.common.fields import INSTANT_SCHEMA, MONEY_SCHEMA
from chalicelib.core.common.money import Money

CLOSED = ConfigDict(extra="forbid")
T = TypeVar("T")
# What was deducted from a refund stands in its lines with a minus; nothing else is ever negative.
SIGNED_MONEY_SCHEMA: Final = {
    **MONEY_SCHEMA,
    "title": "SignedMoney",
    "description": "As Money; a deduction is negative.",
    "properties": {
        "amount": {
            "type": "string",
            "pattern": r"^-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,3})?$",
            "examples": ["5000", "-18000"],
        },
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["CNY", "IDR", "EUR"]},
    },
}


def one_of(values: Iterable[str]) -> Any:
    """For ``Annotated[str, one_of(Status)]``: a text that is one of these."""
    return Field(json_schema_extra={"enum": [str(value) for value in values]})


# Schemas of lists carry no description, hence no docstrings: a page of a list, and a list that has only one page.
@with_config(CLOSED)
class Page(TypedDict, Generic[T]):
    data: list[T]
    next_cursor: str | None


@with_config(CLOSED)
class Rows(TypedDict, Generic[T]):
    data: list[T]


class Amount(TypedDict):
    """An amount as ``render.money`` writes it."""

    amount: str
    currency: str


MoneyAnswer = Annotated[Amount, WithJsonSchema(MONEY_SCHEMA)]
SignedMoneyAnswer = Annotated[Amount, WithJsonSchema(SIGNED_MONEY_SCHEMA)]
InstantAnswer = Annotated[str, WithJsonSchema(INSTANT_SCHEMA)]
PartyAnswer = Annotated[str, one_of(["buyer", "merchant", "platform", "clock"])]
HashAnswer = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]


@with_config(CLOSED)
class RuleAnswer(TypedDict):
    """The rule that decided: which one, in which version, in words."""

    id: str
    version: str
    text: str


# ``from`` is a Python keyword, hence the other notation.
_From = TypedDict("_From", {"from": InstantAnswer})
_MoneyFrom = TypedDict("_MoneyFrom", {"from": MoneyAnswer})


@with_config(CLOSED)
class ActorAnswer(TypedDict):
    """Who did it: a person's id, or null for the service, the clock and the provider."""

    role: str
    id: str | None


@with_config(CLOSED)
class FaultAnswer(TypedDict):
    """One field that cannot be accepted: where, as a JSON pointer, and why, in words."""

    pointer: str
    detail: str


class ProblemAnswer(TypedDict):
    """RFC 9457. The facts that matter stand beside these members."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: NotRequired[list[FaultAnswer]]


def money(amount: Money) -> MoneyAnswer:
    return {"amount": amount.amount, "currency": amount.currency}
