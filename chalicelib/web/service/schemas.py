"""From models and shapes of answers to the named schemas of the contract."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from chalicelib import policies
from chalicelib.core.common.fields import INSTANT_SCHEMA, MONEY_SCHEMA
from chalicelib.core.common.money import Money
from chalicelib.core.policy import cancellation_reasons, market, terms
from chalicelib.web.edge.route import Endpoint
from chalicelib.web.edge.values import SIGNED_MONEY_SCHEMA, Amount, ProblemAnswer

Schema = dict[str, Any]
REFERENCE: Final = "#/components/schemas/"

INSTANT: Final = "Instant"
SHARED: Final[Mapping[str, Schema]] = {
    "Money": MONEY_SCHEMA,
    "SignedMoney": SIGNED_MONEY_SCHEMA,
    INSTANT: INSTANT_SCHEMA,
}
# pydantic also lists the types behind them, which nobody refers to.
BY_HAND: Final = (Amount.__name__, Money.__name__)


LIST: Final = re.compile(r"(?:Page|Rows)_(\w+)Answer_")


class _Plain(GenerateJsonSchema):
    """No titles made up from names; and what is written is written whole, so a member with a default is there too."""

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self.mode == "serialization" and field["type"] == "model-field":
            return True
        return super().field_is_required(field, total)


class Schemas:
    """The schemas of all routes, named once, each reference resolved to its public name."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        bodies = {repr(endpoint.body): endpoint.body for endpoint in endpoints if endpoint.body is not None}
        shapes = [
            ProblemAnswer,
            *(answer for endpoint in endpoints for answer in endpoint.answers.values() if answer is not None),
        ]
        answers = {repr(shape): shape for shape in shapes}
        found, definitions = TypeAdapter.json_schemas(
            [
                *((name, "validation", TypeAdapter(body)) for name, body in bodies.items()),
                *((name, "serialization", TypeAdapter(shape)) for name, shape in answers.items()),
            ],
            ref_template=REFERENCE + "{model}",
            schema_generator=_Plain,
        )
        self._found: dict[str, Schema] = {name: _public(schema) for (name, _), schema in found.items()}
        self.components: dict[str, Schema] = {
            **{_name(name): _public(schema) for name, schema in definitions["$defs"].items() if name not in BY_HAND},
            **SHARED,
            INSTANT: {**INSTANT_SCHEMA, "description": "RFC 3339 in UTC, with milliseconds."},
            **_offer_body(),
            "ProviderEvent": PROVIDER_EVENT,
            "RefundProof": {"type": "object", "description": "A proof as `GET /v1/refunds/{refund_id}/proof` gave it."},
        }

    def answer(self, shape: Any) -> Schema:
        return self._found[repr(shape)]

    def body(self, endpoint: Endpoint) -> Schema:
        return (
            self._found[repr(endpoint.body)]
            if endpoint.body is not None
            else {"$ref": f"{REFERENCE}{endpoint.raw_body}"}
        )


def _name(name: str) -> str:
    """The public name: answers without the ending, lists by their rows, parts of the terms by what they are part of."""
    rows = LIST.fullmatch(name)
    if rows is not None:
        return f"{rows[1]}List"
    for module in (terms, market):
        if hasattr(module, name):
            return f"{module.__name__.rpartition('.')[2].capitalize()}{name}"
    return name.removesuffix("Answer")


def _public(schema: Any) -> Any:
    """The schema with public names, and with references where it repeats what is described once."""
    if isinstance(schema, list):
        return [_public(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    for name, shared in SHARED.items():
        if schema == shared:
            return {"$ref": f"{REFERENCE}{name}"}
    plain = {key: _public(part) for key, part in schema.items() if key != "title" or not isinstance(part, str)}
    if "$ref" in plain:
        plain["$ref"] = REFERENCE + _name(plain["$ref"].removeprefix(REFERENCE))
    return plain


OFFER_WORDS: Final = (
    "The preset fills what is left out: objects are merged member by member, lists and amounts replaced whole, and an "
    "explicit null wins. A preset without a currency (`recommended`) needs one, and the deposit, from the body."
)


WHOLE_SCHEDULE: Final[Schema] = {
    "type": "object",
    "description": "Only for `offers/check`: a whole schedule, shaped as `GET /v1/trade-in/schedules` gives it.",
    "properties": {"categories": {"type": "array", "items": {"type": "object"}, "minItems": 1}},
    "required": ["categories"],
}


def _offer_body() -> dict[str, Schema]:
    """An offer as a merchant writes it: three members, and whatever the preset shall not decide."""
    prefix = "OfferBody"
    draft = terms.Draft.model_json_schema(ref_template=f"{REFERENCE}{prefix}{{model}}", schema_generator=_Plain)
    parts: dict[str, Schema] = draft.pop("$defs")
    for name, part in parts.items():
        if name != terms.StockedItem.__name__:
            part.pop("required", None)
            _forget_defaults(part)
    trade_in = parts[terms.TradeIn.__name__]["properties"]
    del trade_in["version"]
    trade_in["schedule"] = {"anyOf": [trade_in["schedule"], WHOLE_SCHEDULE]}
    members: Schema = draft["properties"]
    del members["market_policy"]
    _forget_defaults(draft)
    members["preset"] |= {"enum": list(policies.names("presets")), "default": terms.DEFAULT_PRESET}
    members["market"]["enum"] = list(market.list_codes())
    codes = [reason.code for reason in cancellation_reasons.list_all_reasons()]
    members["cancellation_reasons"]["items"] = {"type": "string", "enum": codes}
    draft |= {"description": OFFER_WORDS, "required": ["title", "market", "items"]}
    named: dict[str, Schema] = _public({prefix: draft, **{f"{prefix}{name}": part for name, part in parts.items()}})
    return named


def _forget_defaults(schema: Schema) -> None:
    """What a member is when it is left out stands in the preset."""
    for member in schema["properties"].values():
        member.pop("default", None)


PROVIDER_EVENT: Final[Schema] = {
    "type": "object",
    "description": "A hint: what is settled is what the provider says when it is asked.",
    "properties": {
        "type": {"type": "string", "examples": ["payment.updated"]},
        "timestamp": {"type": "string", "format": "date-time", "description": "When it happened; without it, now."},
        "data": {
            "type": "object",
            "properties": {"id": {"type": "string", "description": "Our payment or refund."}},
            "required": ["id"],
        },
    },
    "required": ["data"],
}
