"""The edge: how a route is declared, and the order of checks on a request.

Each request passes size, token, rate, media type and syntax, key, role, then fields; a route with a guard tells ownership
before faults of fields. What comes after (replay, If-Match, state) is checked by the flows.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, Final, NamedTuple, TypedDict, Unpack

from chalice.app import Blueprint, Request, Response
from msgspec import Struct, field
from pydantic import BaseModel, ValidationError

from chalicelib.core.common.field_errors import build_refusal, read_field_errors
from chalicelib.core.common.fields import lists_to_tuples, write_money
from chalicelib.core.common.journal import Caller, Key, RequestContext
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.web.edge import bodies
from chalicelib.web.edge.rates import Rates
from chalicelib.web.edge.responses import Envelope, answer_preflight, build, read_envelope, respond, write_refusal
from chalicelib.web.edge.tokens import Verifier
from chalicelib.wiring import Services, Settings, services

log = logging.getLogger("earnest.web")

JSON: Final = "application/json"
HOLDER: Final = "holder"  # the role of who sends the withdrawal token of one deposit
ANONYMOUS: Final = Caller("", "anonymous")


# --- Declarations ---


class Parameter(NamedTuple):
    """One query parameter: how it is read (ValueError names the fault) and how OpenAPI describes it."""

    name: str
    read: Callable[[str], object]
    schema: Mapping[str, Any]
    description: str
    required: bool = False


class Answer(Struct, frozen=True):
    """What a view returns; a mapping is written as JSON."""

    body: Mapping[str, Any] | str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Example(Struct, frozen=True):
    """For OpenAPI: answers of a route by their titles, and a body to send to it."""

    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


class Routes(Blueprint):
    """The routes of one module, under one tag of the contract."""

    def __init__(self, import_name: str, tag: str) -> None:
        super().__init__(import_name)
        self.tag = tag


class Options(TypedDict, total=False):
    """What a declaration may add; ``Endpoint`` explains each member."""

    roles: AbstractSet[str] | None
    body: type[BaseModel] | None
    raw_body: str
    query: tuple[Parameter, ...]
    keyed: bool
    reasons: tuple[Reason, ...]
    media_type: str
    guard: Callable[["Call"], None]
    example: str | Example


class Endpoint(Struct, frozen=True, kw_only=True):
    """A route as it is declared once: for the edge, for OpenAPI and for the tests that walk all routes.

    ``answers``: the shape of each status; None is no body. ``roles`` None: public. ``raw_body`` names the schema of a body
    that the view reads from ``Call.json`` itself. ``keyed``: needs an Idempotency-Key. ``reasons``: refusals that the edge
    does not add by itself. ``guard`` refuses what the caller may not see, before faults of fields. ``example``: an Example,
    or the name of the function that makes one in ``examples.py`` of the same folder; only OpenAPI imports that.
    """

    method: str
    path: str
    summary: str
    answers: Mapping[int, Any]
    tag: str
    view: Callable[["Call"], Answer]
    keyed: bool
    roles: AbstractSet[str] | None = None
    body: type[BaseModel] | None = None
    raw_body: str | None = None
    query: tuple[Parameter, ...] = ()
    reasons: tuple[Reason, ...] = ()
    media_type: str = JSON
    guard: Callable[["Call"], None] | None = None
    example: str | Example | None = None

    @property
    def reads_json(self) -> bool:
        return self.method != "GET" and self.media_type == JSON and self.guard is not raw_only


ENDPOINTS: Final[list[Endpoint]] = []
_PATHS_WITH_OPTIONS: Final[set[str]] = set()  # each path answers OPTIONS once, whatever methods it has


class Call(Struct):
    """One request on its way through the checks. ``fields`` is the validated body, ``query`` the read parameters."""

    endpoint: Endpoint
    services: Services
    headers: Mapping[str, str]
    raw: bytes
    params: Mapping[str, str]
    source_ip: str
    locale: str
    asked: RequestContext
    json: dict[str, Any] = field(default_factory=dict)
    fields: Any = None
    query: dict[str, Any] = field(default_factory=dict)

    @property
    def caller(self) -> Caller:
        return self.asked.caller


View = Callable[[Call], Answer]
Decorator = Callable[[View], View]


def endpoint(
    routes: Routes, method: str, path: str, summary: str, answers: Mapping[int, Any], **options: Unpack[Options]
) -> Decorator:
    """Declare a route. A key is needed, unless ``keyed`` says otherwise, for each write by a caller with a token."""
    options.setdefault("keyed", method != "GET" and options.get("roles") is not None)

    def declare(view: View) -> View:
        declared = Endpoint(
            method=method, path=path, summary=summary, answers=answers, tag=routes.tag, view=view, **options
        )
        ENDPOINTS.append(declared)
        _register(routes, declared)
        return view

    return declare


def raw_only(_call: Call) -> None:
    """The guard of a route whose view reads the raw body and verifies it (signed events)."""


def _register(routes: Routes, declared: Endpoint) -> None:
    def handler(**params: str) -> Response:
        # The request is one attribute of the app: it is read once, before anything else.
        return _handle(declared, routes.current_request, params)

    view = declared.view
    handler.__name__ = f"{declared.method.lower()}_{view.__module__.rpartition('.')[2]}_{view.__name__}"
    _route(routes, declared.method, declared.path, handler.__name__, handler)
    if declared.path not in _PATHS_WITH_OPTIONS:
        _PATHS_WITH_OPTIONS.add(declared.path)
        _route(
            routes,
            "OPTIONS",
            declared.path,
            f"options_{declared.path}",
            lambda **_params: answer_preflight(routes.current_request.headers),
        )


def _route(routes: Routes, method: str, path: str, name: str, handler: Callable[..., Response]) -> None:
    routes.route(path, methods=[method], content_types=["*/*"], name=name)(handler)


# --- From a request to its answer ---


def unroutable(reason: Reason, headers: Mapping[str, str], path: str, request_id: str) -> Response:
    """The answer where no route fits. A caller under /v1 needs a valid token first, as everywhere; size is judged before."""
    envelope = read_envelope(headers, path, request_id)
    try:
        if path.startswith("/v1/") and reason is not Reason.BODY_TOO_LARGE:
            _verify_token(build(services), envelope.headers.get("authorization"))
        raise Refused(reason)
    except Refused as refusal:
        return write_refusal(refusal, envelope)


def _handle(declared: Endpoint, request: Request, params: Mapping[str, str]) -> Response:
    path = str(request.context.get("path") or request.path)
    envelope = read_envelope(request.headers, path, str(request.context.get("requestId", "")))
    try:
        call = _accept(declared, request, params, envelope)
        _check(call, request)
        answer = declared.view(call)
    except Refused as refusal:
        return write_refusal(refusal, envelope)
    except Exception:
        route = f"{declared.method} {declared.path}"
        log.exception("unexpected", extra={"request_id": envelope.request_id, "route": route})
        return write_refusal(Refused(Reason.INTERNAL_ERROR), envelope)
    return _write_answer(answer, declared.media_type, envelope.headers)


def _accept(declared: Endpoint, request: Request, params: Mapping[str, str], envelope: Envelope) -> Call:
    """The request as a call, once its size and its token are accepted."""
    raw = request.raw_body
    raw = raw.encode() if isinstance(raw, str) else raw or b""
    bodies.check_size(raw)
    container, headers, locale = build(services), envelope.headers, envelope.locale
    caller = ANONYMOUS if declared.roles is None else _identify(declared.roles, container, headers.get("authorization"))
    received = int(request.context.get("requestTimeEpoch") or container.machine())
    asked = RequestContext(container.at(received), caller, received, locale, if_match=headers.get("if-match"))
    source_ip = str(request.context.get("identity", {}).get("sourceIp", ""))
    return Call(declared, container, headers, raw, params, source_ip, locale, asked)


def _identify(roles: AbstractSet[str], container: Services, authorization: str | None) -> Caller:
    """The caller. Where a withdrawal token is accepted, its holder needs no login."""
    scheme, _, token = (authorization or "").partition(" ")
    if HOLDER in roles and scheme.lower() == "bearer":
        deposit_id = container.vault.holder(token.strip())
        if deposit_id is not None:
            return Caller(deposit_id, HOLDER)
    return _verify_token(container, authorization)


def _verify_token(container: Services, authorization: str | None) -> Caller:
    return build(lambda: _verifier(container.settings)).caller(authorization)


def _write_answer(answer: Answer, media_type: str, headers: Mapping[str, str]) -> Response:
    body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body, ensure_ascii=False)
    return respond(headers, answer.status, {"Content-Type": media_type, **answer.headers}, body)


# --- The checks, in their order ---


def _check(call: Call, request: Request) -> None:
    """Rate, media type and syntax, key, role, then ownership and fields. Fills in what each step reads."""
    _check_rate(call)
    _check_syntax(call)
    key_text = bodies.idempotency_key(call.headers) if call.endpoint.keyed else ""
    _check_role(call)
    _check_fields(call, request)
    if call.endpoint.keyed:
        call.asked = _with_key(call, key_text)


def _check_rate(call: Call) -> None:
    rates = _rates(call.services.settings)
    rates.take(call.caller.id or call.source_ip, call.endpoint.method != "GET", call.asked.received)


def _check_syntax(call: Call) -> None:
    if call.endpoint.reads_json:
        headers = call.headers
        bodies.check_media_type(headers.get("content-type"), headers.get("content-encoding"), bool(call.raw))
        call.json = bodies.parse(call.raw)


def _check_role(call: Call) -> None:
    roles = call.endpoint.roles
    if roles is not None and call.caller.role not in roles:
        raise Refused(Reason.FORBIDDEN)


def _check_fields(call: Call, request: Request) -> None:
    """Faults of query and body. The guard comes first, so that faults do not reveal whether another's resource exists."""
    declared = call.endpoint
    try:
        call.query = _read_query(declared.query, request.query_params)
        call.fields = _read_body(declared.body, call.json) if declared.reads_json else None
    except Refused:
        if declared.guard is not None:
            declared.guard(call)
        raise


def _read_body(model: type[BaseModel] | None, body: dict[str, Any]) -> BaseModel | None:
    if model is None:
        return None
    try:
        return model.model_validate(lists_to_tuples(body))
    except ValidationError as invalid:
        raise build_refusal(read_field_errors(invalid)) from None


def _read_query(parameters: tuple[Parameter, ...], sent: Any) -> dict[str, Any]:
    """The parameters as their readers return them; unknown, repeated and missing ones are refused."""
    known = {parameter.name: parameter for parameter in parameters}
    values = {name: _read_parameter(known.get(name), name, sent.getlist(name)) for name in sent or {}}
    for parameter in parameters:
        if parameter.required and parameter.name not in values:
            raise Refused(Reason.INVALID_REQUEST, [FieldError(f"/{parameter.name}", "missing")])
    return values


def _read_parameter(parameter: Parameter | None, name: str, texts: list[str]) -> object:
    if parameter is None:
        raise Refused(Reason.UNKNOWN_PARAMETER, [FieldError(f"/{name}", "unknown_field")])
    if len(texts) > 1:
        raise Refused(Reason.INVALID_REQUEST, [FieldError(f"/{name}", "duplicate")])
    try:
        return parameter.read(texts[0])
    except ValueError as unreadable:
        raise Refused(Reason.INVALID_REQUEST, [FieldError(f"/{name}", str(unreadable))]) from None


def _with_key(call: Call, key_text: str) -> RequestContext:
    """The request with its key: a digest of caller, method, route, ids and key, and another one with the body."""
    declared, asked = call.endpoint, call.asked
    ids = (call.params[name] for name in sorted(call.params))
    scope = [asked.caller.id, asked.caller.merchant, declared.method, declared.path, *ids, key_text]
    body = json.dumps(_normalize_amounts(call.json), sort_keys=True, separators=(",", ":"))
    # The key, which is stored nowhere, salts the body's digest: who reads the table cannot guess an account from it.
    key = Key(_digest(json.dumps(scope)), _digest(json.dumps([*scope, body])))
    return RequestContext(asked.at, asked.caller, asked.received, asked.locale, key, key_text, asked.if_match)


def _normalize_amounts(value: Any) -> Any:
    """``5000.00`` and ``5000`` are the same amount, so they make the same body."""
    if isinstance(value, dict):
        if set(value) == {"amount", "currency"}:
            try:
                return write_money(Money.parse(str(value["amount"]), str(value["currency"])))
            except ValueError:
                return value
        return {name: _normalize_amounts(part) for name, part in value.items()}
    return [_normalize_amounts(part) for part in value] if isinstance(value, list) else value


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8]


@cache
def _verifier(configured: Settings) -> Verifier:
    return Verifier.from_jwks(configured.issuer, configured.audience, configured.jwks)


@cache
def _rates(configured: Settings) -> Rates:
    return Rates(configured.writes_per_minute, configured.reads_per_minute)
