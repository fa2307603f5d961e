"""From models and shapes of answers to the named schemas of the contract."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from chalicelib import policies
from chalicelib.core import market, terms
from chalicelib.core.wire import INSTANT_SCHEMA, MONEY_SCHEMA
from chalicelib.web.answers import SIGNED_MONEY_SCHEMA, ProblemAnswer
from chalicelib.web.edge import Endpoint

Schema = dict[str, Any]
REFERENCE: Final = "#/components/schemas/"

INSTANT: Final = "Instant"
SHARED: Final[Mapping[str, Schema]] = {
    "Money": MONEY_SCHEMA,
    "SignedMoney": SIGNED_MONEY_SCHEMA,
    INSTANT: INSTANT_SCHEMA,
}


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
        bodies = {one.body for one in endpoints if one.body is not None}
        shapes = [answer for one in endpoints for answer in one.answers.values() if answer is not None]
        unlike = {repr(shape): shape for shape in [*shapes, ProblemAnswer]}
        found, definitions = TypeAdapter.json_schemas(
            [
                *((body.__name__, "validation", TypeAdapter(body)) for body in bodies),
                *((name, "serialization", TypeAdapter(shape)) for name, shape in unlike.items()),
            ],
            ref_template=REFERENCE + "{model}",
            schema_generator=_Plain,
        )
        self._found = {name: _public(schema) for (name, _), schema in found.items()}
        self.components: dict[str, Schema] = {
            **SHARED,
            INSTANT: {**INSTANT_SCHEMA, "description": "RFC 3339 in UTC, with milliseconds."},
            **{_name(name): _public(schema) for name, schema in definitions["$defs"].items()},
            **_offer_body(),
            "ProviderEvent": PROVIDER_EVENT,
        }

    def answer(self, shape: Any) -> Schema:
        return dict(self._found[repr(shape)])

    def body(self, one: Endpoint) -> Schema:
        name = one.raw_body if one.body is None else one.body.__name__
        return {"$ref": f"{REFERENCE}{name}"}


def _name(name: str) -> str:
    """The public name: answers without the ending, parts of the terms with what they are part of."""
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


def _offer_body() -> dict[str, Schema]:
    """An offer as a merchant writes it: the preset fills what is left out, member by member, also inside objects."""
    prefix = "OfferBody"
    whole = terms.Draft.model_json_schema(ref_template=f"{REFERENCE}{prefix}{{model}}", schema_generator=_Plain)
    parts: dict[str, Schema] = whole.pop("$defs")
    for name, part in parts.items():
        if name != terms.StockedItem.__name__:
            part.pop("required", None)
            _forget_defaults(part)
    members: Schema = whole["properties"]
    del members["market_policy"]
    _forget_defaults(whole)
    members["preset"] |= {"enum": list(policies.names("presets")), "default": terms.PRESET}
    members["market"]["enum"] = sorted(market.current())
    codes = [reason["code"] for reason in policies.read("reasons/cancellation.toml")["reason"]]
    members["cancellation_reasons"]["items"] = {"type": "string", "enum": codes}
    whole |= {"description": (_offer_body.__doc__ or ""), "required": ["title", "market", "items"]}
    named = {prefix: whole, **{f"{prefix}{name}": part for name, part in parts.items()}}
    return {name: _public_body(schema) for name, schema in named.items()}


def _forget_defaults(schema: Schema) -> None:
    """What a member is when it is left out stands in the preset."""
    for member in schema["properties"].values():
        member.pop("default", None)


def _public_body(schema: Any) -> Schema:
    found: Schema = _public(schema)
    return found


PROVIDER_EVENT: Final[Schema] = {
    "type": "object",
    "description": "A hint: what is settled is what the provider says when it is asked.",
    "properties": {
        "type": {"type": "string", "examples": ["payment.updated"]},
        "data": {
            "type": "object",
            "properties": {"id": {"type": "string", "description": "Our payment or refund."}},
            "required": ["id"],
        },
    },
    "required": ["data"],
}
