"""The contract as OpenAPI 3.1, put together from the declared routes and the models behind them."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from importlib import import_module
from typing import Any, Final

from chalicelib.core.common.refusal import Reason
from chalicelib.core.policy import market
from chalicelib.core.policy.texts import read_text
from chalicelib.web.deposits.answers import DepositAnswer, NewDepositAnswer
from chalicelib.web.edge.bodies import IDEMPOTENCY_KEY
from chalicelib.web.edge.common import EmptyBody
from chalicelib.web.edge.languages import DEFAULT, LOCALES
from chalicelib.web.edge.problems import STATUS
from chalicelib.web.edge.route import ENDPOINTS, Endpoint, Example, raw_only
from chalicelib.web.offers.answers import OfferAnswer
from chalicelib.web.refunds.answers import RefundAnswer
from chalicelib.web.service import examples
from chalicelib.web.service.reference import ASSETS
from chalicelib.web.service.schemas import REFERENCE, Schema, Schemas
from chalicelib.web.tradeins.answers import TradeInAnswer
from chalicelib.web.withdrawals.answers import WithdrawalAnswer

VERSION: Final = "0.6.0"
PROBLEM: Final = "application/problem+json"
COMPONENTS: Final = "#/components/"
PARAMETER: Final = re.compile(r"\{(\w+)\}")

ABOUT: Final = """
Earnest takes earnest money (定金, uang muka) for pre-orders and gives it back.

### Money
An amount is `{"amount":"4999.50","currency":"CNY"}`: a decimal string in **major** units, never a number, with no more
decimals than ISO 4217 gives the currency; IDR only in whole rupiah. Answers have one form: no fraction when whole, else
exactly the currency's decimals (`5000`, `4999.50`, `0`); `5000.00` in a request is the same amount. Only lines of
refunds may be negative. A deposit's money always adds up:
`captured = held + refunding + refunded + forfeited + fees`, after every write. The lines of a refund sum to its amount.

### Time
Instants are RFC 3339 in UTC with milliseconds and `Z`, durations ISO 8601 (`PT168H`, `P7D`). Windows and all other
spans are **half-open**: `[starts_at, ends_at)`. A request is judged at the instant it reached the edge, not when a
queue or a retry got to it.

### Sending again
`Idempotency-Key` is required where it is listed. The same key with the same body answers what the first success
answered, with `Idempotent-Replayed: true`, in the language of the first request, and causes nothing. The same key with
another body is `idempotency-key-reused`. A refusal changed nothing and is not kept: the same key is judged anew. So
after no answer, a 429 or a 503, send the same request with the same key again, after `Retry-After` where it is given.

### Concurrency
A resource carries `version` and an `ETag` that names its state. Send it as `If-Match` to change only what you saw;
else 412 `stale-version`.

### Lists
`limit` and `cursor`; `next_cursor` is null on the last page. A filtered page may hold fewer rows than `limit`, also
none, and go on. Unknown query parameters and unknown fields are refused.

### Languages
`Accept-Language` chooses every text for people: LANGUAGES; without a match `en`. Codes, field names and
problem types are the same in every language.

### Problems
Every refusal is `application/problem+json` (RFC 9457). `type` is `/problems/<name>`, an address that explains it; the
facts that matter stand beside the members named here, and `errors` names each field that cannot be accepted. Another
owner's resource answers 404, never 403.
""".strip().replace("LANGUAGES", " or ".join([", ".join(f"`{code}`" for code in LOCALES[:-1]), f"`{LOCALES[-1]}`"]))

TAGS: Final[Mapping[str, str]] = {
    "offers": "What is pre-sold, and under which terms.",
    "deposits": "The buyer's money on an offer.",
    "locking": "A commitment that no slip of a thumb can make: shown, read, typed, undone.",
    "fulfilment": "Ready, balance, shipment, arrival, and a default.",
    "withdrawals": "The statutory right, in two steps, without a login.",
    "trade-in": "An old device for a credit; published fees, and nothing else.",
    "cancellations": "By merchants: published reasons, questions, many at once, public counts, and a second chance.",
    "claims": "A buyer's disputes and appeals: what is owed is computed, low offers are refused, silence decides.",
    "refunds": "Money on its way back, and proofs of every amount.",
    "reconciliation": "Our books against the provider's, line by line, in both directions.",
    "provider-events": "What payment providers tell us.",
    "service": "Health, payment page, this contract and what each problem means.",
    "sandbox": "Only on a developer's machine: tokens, the clock, the provider's side.",
}

# In the order of checks: what every route may say, what those with a token, a body or a key may say.
ANYWHERE: Final = (Reason.RATE_LIMITED, Reason.UNKNOWN_PARAMETER, Reason.BUSY, Reason.INTERNAL_ERROR)
WITH_TOKEN: Final = (Reason.UNAUTHENTICATED, Reason.INVALID_TOKEN, Reason.TOKEN_EXPIRED, Reason.FORBIDDEN)
WITH_JSON: Final = (Reason.UNSUPPORTED_MEDIA_TYPE, Reason.MALFORMED_BODY)
WITH_KEY: Final = (Reason.IDEMPOTENCY_KEY_MISSING, Reason.IDEMPOTENCY_KEY_INVALID, Reason.IDEMPOTENCY_KEY_REUSED)


def problems_of(endpoint: Endpoint) -> tuple[Reason, ...]:
    """Every reason that a route may refuse with: what it declares, and what the edge checks before it."""
    reasons = {*ANYWHERE, *endpoint.reasons}
    if endpoint.roles is not None:
        reasons.update(WITH_TOKEN)
    if endpoint.method != "GET":
        reasons.add(Reason.BODY_TOO_LARGE)
    if endpoint.reads_json:
        reasons.update(WITH_JSON)
    if endpoint.keyed:
        reasons.update(WITH_KEY)
    if endpoint.query or endpoint.body is not None:
        reasons.add(Reason.INVALID_REQUEST)
    return tuple(reason for reason in Reason if reason in reasons)


def document() -> str:
    """The whole contract. Routes that were registered later than the first call are not in it."""
    schemas = Schemas(ENDPOINTS)
    paths: dict[str, Schema] = {}
    for endpoint in sorted(ENDPOINTS, key=lambda endpoint: list(TAGS).index(endpoint.tag)):
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    contract = {
        "openapi": "3.1.0",
        "info": {"title": "Earnest", "version": VERSION, "summary": "Pre-order deposits", "description": ABOUT},
        "servers": [{"url": "/", "description": "Where this document comes from."}],
        "tags": [{"name": name, "description": words} for name, words in TAGS.items() if _is_used(name)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "parameters": HEADERS_IN,
            "headers": HEADERS_OUT,
            "examples": {reason.value: _problem_example(reason) for reason in Reason},
            "securitySchemes": {
                "bearerAuth": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Claims: `sub`, `role`, and `merchant` for a merchant's staff. "
                    "`x-roles` of a route says which roles may call it.",
                }
            },
        },
    }
    return json.dumps(contract, ensure_ascii=False)


def _is_used(tag: str) -> bool:
    return any(endpoint.tag == tag for endpoint in ENDPOINTS)


HEADERS_IN: Final[Mapping[str, Schema]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": True,
        "description": "Names this request, so that it can be sent again without a second effect.",
        "schema": {"type": "string", "pattern": f"^{IDEMPOTENCY_KEY.pattern}$"},
        "example": "order-2f6c1d0a",
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The `ETag` of the state you saw; 412 when it is no longer the state.",
        "schema": {"type": "string"},
        "example": '"2-cooling_off"',
    },
    "AcceptLanguage": {
        "name": "Accept-Language",
        "in": "header",
        "description": "Chooses the language of every text for people.",
        "schema": {"type": "string", "default": DEFAULT},
        "example": "id, en;q=0.5",
    },
}
SIGNED_HEADERS: Final = {
    "webhook-id": "The event's own id.",
    "webhook-timestamp": "When it was signed, in seconds since 1970.",
    "webhook-signature": "`v1,<base64>`, HMAC-SHA256 over id, timestamp and body; several with blanks between.",
}
HEADERS_OUT: Final[Mapping[str, Schema]] = {
    "ETag": {"description": "Names the state: version and status.", "schema": {"type": "string"}, "required": True},
    "Location": {"description": "Where it is.", "schema": {"type": "string"}, "required": True},
    "Idempotent-Replayed": {
        "description": "`true` where the same key has been answered before.",
        "schema": {"type": "string", "const": "true"},
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}},
}
# Lazily: the enumerations are read from data.
PATH_PARAMETERS: Final[Mapping[str, Callable[[], Schema]]] = {
    "offer_id": lambda: _path("An offer: `off_` and 26 characters."),
    "deposit_id": lambda: _path("A deposit: `dep_` and 26 characters."),
    "trade_in_id": lambda: _path("A trade-in: `trd_`, its deposit's 26 characters and `1`."),
    "withdrawal_id": lambda: _path("A withdrawal: `wdr_`, its deposit's 26 characters and its number."),
    "question_id": lambda: _path("A question: `qst_`, its deposit's 26 characters and its number."),
    "claim_id": lambda: _path("A claim: `clm_`, its deposit's 26 characters and its number."),
    "bulk_id": lambda: _path("A bulk cancellation: `bmc_` and 26 characters."),
    "run_id": lambda: _path("A reconciliation run: `rec_` and 26 characters."),
    "break_id": lambda: _path("A break: `brk_` and 26 characters."),
    "refund_id": lambda: _path("A refund: `ref_`, its deposit's 26 characters and its number."),
    "payment_id": lambda: _path("A payment: `pay_`, its deposit's 26 characters and its number."),
    "code": lambda: _path("A market.", market.list_codes()),
    "provider": lambda: _path("The payment provider's name."),
    "name": lambda: _path("A problem's name.", [reason.value for reason in Reason]),
    "asset": lambda: _path("A file of the reference page.", sorted(ASSETS)),
    "job": lambda: _path("A job's name."),
}


def _path(description: str, values: Iterable[str] = ()) -> Schema:
    known = list(values)
    return {"description": description, "schema": {"type": "string", **({"enum": known} if known else {})}}


def _operation(endpoint: Endpoint, schemas: Schemas) -> Schema:
    operation: Schema = {
        "operationId": _operation_id(endpoint.view),
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": _description(endpoint),
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.body is not None or endpoint.raw_body is not None:
        operation["requestBody"] = _request_body(endpoint, schemas)
    if endpoint.roles is not None:
        operation["security"] = [{"bearerAuth": []}]
        operation["x-roles"] = sorted(endpoint.roles)
    return operation


def _operation_id(view: Callable[..., Any]) -> str:
    """``<capability>_<function>``: the folder of a ``routes`` module, else the module."""
    parts = view.__module__.split(".")
    return f"{parts[-2] if parts[-1] == 'routes' else parts[-1]}_{view.__name__}"


def _description(endpoint: Endpoint) -> str:
    parts = [(endpoint.view.__doc__ or "").strip()]
    if endpoint.roles is not None:
        parts.append(f"For: {', '.join(sorted(endpoint.roles))}.")
    if endpoint.keyed:
        parts.append("Safe to send again with the same key.")
    return "\n\n".join(filter(None, parts)) or "For everybody."


def _parameters(endpoint: Endpoint) -> list[Schema]:
    in_path: list[Schema] = [
        {"name": name, "in": "path", "required": True, **PATH_PARAMETERS[name]()}
        for name in PARAMETER.findall(endpoint.path)
    ]
    in_query: list[Schema] = [
        {
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.description,
            "schema": dict(parameter.schema),
        }
        for parameter in endpoint.query
    ]
    signed: list[Schema] = [
        {"name": name, "in": "header", "required": True, "description": words, "schema": {"type": "string"}}
        for name, words in SIGNED_HEADERS.items()
        if endpoint.guard is raw_only
    ]
    shared = (
        ["IdempotencyKey"] * endpoint.keyed
        + ["IfMatch"] * (Reason.STALE_VERSION in endpoint.reasons)
        + ["AcceptLanguage"]
    )
    return [*in_path, *in_query, *signed, *({"$ref": f"{COMPONENTS}parameters/{name}"} for name in shared)]


def _request_body(endpoint: Endpoint, schemas: Schemas) -> Schema:
    schema = schemas.body(endpoint)
    content: Schema = {"schema": schema}
    example = load_example(endpoint).body
    if endpoint.body is EmptyBody:
        content["example"] = {}
    elif example is not None:
        content["example"] = example
    required = schemas.components[schema["$ref"].removeprefix(REFERENCE)].get("required")
    return {"required": bool(required), "content": {"application/json": content}}


def _responses(endpoint: Endpoint, schemas: Schemas) -> Schema:
    responses = {str(status): _answer(endpoint, status, answer, schemas) for status, answer in endpoint.answers.items()}
    statuses: dict[int, list[Reason]] = {}
    for reason in problems_of(endpoint):
        statuses.setdefault(STATUS[reason], []).append(reason)
    for status, reasons in statuses.items():
        refusal = _refusal(status, reasons)
        page = responses.get(str(status), {}).get("content", {})  # a payment page says some refusals in HTML
        responses[str(status)] = {**refusal, "content": {**page, **refusal["content"]}}
    return dict(sorted(responses.items()))


def load_example(endpoint: Endpoint) -> Example:
    """As declared; a name is that of a function in ``examples.py`` of the view's folder."""
    if not isinstance(endpoint.example, str):
        return endpoint.example or Example()
    folder = endpoint.view.__module__.rpartition(".")[0]
    example: Example = getattr(import_module(f"{folder}.examples"), endpoint.example)()
    return example


def _answer(endpoint: Endpoint, status: int, answer: Any, schemas: Schemas) -> Schema:
    response: Schema = {"description": HTTPStatus(status).phrase}
    names = _headers(endpoint, status, answer)
    if names:
        response["headers"] = {name: {"$ref": f"{COMPONENTS}headers/{name}"} for name in names}
    if answer is not None:
        content: Schema = {"schema": schemas.answer(answer)}
        examples_of_answer = load_example(endpoint).answers
        if examples_of_answer:
            content["examples"] = {title: {"value": value} for title, value in examples_of_answer.items()}
        response["content"] = {endpoint.media_type.partition(";")[0]: content}
    return response


WITH_LOCATION: Final = (WithdrawalAnswer, RefundAnswer)


def _headers(endpoint: Endpoint, status: int, answer: Any) -> list[str]:
    versioned = (
        answer in {DepositAnswer, NewDepositAnswer, OfferAnswer, TradeInAnswer} if isinstance(answer, type) else False
    )
    created = status == HTTPStatus.CREATED and (versioned or answer in WITH_LOCATION)
    return (
        ["ETag"] * versioned
        + ["Location"] * (created or status in {HTTPStatus.SEE_OTHER, HTTPStatus.ACCEPTED})
        + ["Idempotent-Replayed"] * endpoint.keyed
    )


def _refusal(status: int, reasons: Iterable[Reason]) -> Schema:
    titles = [f"`{reason.value}`: {read_text('problems', reason.value, 'title', locale=DEFAULT)}" for reason in reasons]
    response: Schema = {
        "description": "; ".join(titles),
        "content": {
            PROBLEM: {
                "schema": {
                    "allOf": [
                        {"$ref": f"{REFERENCE}Problem"},
                        {
                            "properties": {
                                "type": {"enum": [f"/problems/{reason.value}" for reason in reasons]},
                                "status": {"const": status},
                            }
                        },
                    ]
                },
                "examples": {reason.value: {"$ref": f"{COMPONENTS}examples/{reason.value}"} for reason in reasons},
            }
        },
    }
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        response["headers"] = {"Retry-After": {"$ref": f"{COMPONENTS}headers/Retry-After"}}
    return response


def _problem_example(reason: Reason) -> Schema:
    return {"summary": read_text("problems", reason.value, "title", locale=DEFAULT), "value": examples.problem(reason)}
