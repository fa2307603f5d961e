"""The edge: one declaration for each route, the order of checks, and the shape of every answer.

Size, token, media type, syntax and key, role, ownership, fields: in this order, for every route. What comes after
(replay, If-Match, state) is the flows'.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

from chalice.app import Blueprint, Request, Response
from msgspec import Struct, field
from pydantic import BaseModel, ValidationError

from chalicelib.core.common.field_errors import build_refusal, read_field_errors
from chalicelib.core.common.fields import lists_to_tuples, write_money
from chalicelib.core.common.journal import Caller, Key, RequestContext
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.web.edge import bodies
from chalicelib.web.edge.languages import negotiate
from chalicelib.web.edge.problems import problem
from chalicelib.web.edge.rates import Rates
from chalicelib.web.edge.tokens import Verifier
from chalicelib.wiring import Services, Settings, services, settings

log = logging.getLogger("earnest.web")
T = TypeVar("T")

JSON: Final = "application/json"
SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=31536000",
}
EXPOSED: Final = "ETag, Idempotent-Replayed, Retry-After, Location"
ALLOWED: Final = "Idempotency-Key, If-Match, Authorization, Content-Type, Accept-Language"
REBUILT_AFTER_SECONDS: Final = 30  # until a container that cannot be built is replaced, or told its settings
HOLDER: Final = "holder"  # of the withdrawal token of one deposit
ANONYMOUS: Final = Caller("", "anonymous")


class Parameter(NamedTuple):
    """One query parameter: how it is read (ValueError names the fault) and how OpenAPI tells it."""

    name: str
    read: Callable[[str], object]
    schema: Mapping[str, Any]
    description: str
    required: bool = False


class Answer(Struct, frozen=True):
    """What a view gives back; a mapping is written as JSON."""

    body: Mapping[str, Any] | str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Endpoint(Struct, frozen=True):
    """A route as it is declared once: for the edge, for OpenAPI and for the tests that walk all routes."""

    method: str
    path: str
    summary: str
    answers: Mapping[int, Any]
    roles: frozenset[str] | None
    body: type[BaseModel] | None
    raw_body: str | None
    query: tuple[Parameter, ...]
    keyed: bool
    reasons: tuple[Reason, ...]
    tag: str
    media_type: str
    view: Callable[["Call"], Answer]
    guard: Callable[["Call"], None] | None

    @property
    def reads_json(self) -> bool:
        return self.method != "GET" and self.media_type == JSON and self.guard is not raw_only


ENDPOINTS: Final[list[Endpoint]] = []
_PREFLIGHTED: Final[set[str]] = set()  # paths whose browsers may ask before they ask


class Call(Struct):
    """One request on its way through the checks. ``fields`` is the validated body, ``query`` the read parameters."""

    endpoint: Endpoint
    services: Services
    headers: Mapping[str, str]
    raw: bytes
    params: Mapping[str, str]
    request_id: str
    source_ip: str
    path: str
    locale: str
    asked: RequestContext
    json: dict[str, Any] = field(default_factory=dict)
    fields: Any = None
    query: dict[str, Any] = field(default_factory=dict)

    @property
    def caller(self) -> Caller:
        return self.asked.caller


def endpoint(
    routes: Blueprint,
    method: str,
    path: str,
    *,
    summary: str,
    answers: Mapping[int, Any],
    roles: set[str] | None = None,
    body: type[BaseModel] | None = None,
    raw_body: str | None = None,
    query: tuple[Parameter, ...] = (),
    keyed: bool | None = None,
    reasons: tuple[Reason, ...] = (),
    tag: str = "deposits",
    media_type: str = JSON,
    guard: Callable[[Call], None] | None = None,
) -> Callable[[Callable[[Call], Answer]], Callable[[Call], Answer]]:
    """Declare a route. ``roles`` None is public; ``keyed`` defaults to writes under /v1 by a caller.

    ``raw_body`` names a schema where the view reads the JSON itself; ``guard`` tells ownership before faults of fields.
    """

    def declared(view: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
        one = Endpoint(
            method=method,
            path=path,
            summary=summary,
            answers=answers,
            roles=frozenset(roles) if roles is not None else None,
            body=body,
            raw_body=raw_body,
            query=query,
            keyed=(method != "GET" and roles is not None) if keyed is None else keyed,
            reasons=reasons,
            tag=tag,
            media_type=media_type,
            view=view,
            guard=guard,
        )
        ENDPOINTS.append(one)

        def handler(**params: str) -> Response:
            # The request is one attribute of the app: it is read once, before anything else.
            return _handled(one, routes.current_request, params)

        handler.__name__ = f"{method.lower()}_{view.__module__.rpartition('.')[2]}_{view.__name__}"
        routes.route(path, methods=[method], content_types=["*/*"], name=handler.__name__)(handler)
        if path not in _PREFLIGHTED:
            _PREFLIGHTED.add(path)
            asked_first = ["OPTIONS"]
            routes.route(path, methods=asked_first, content_types=["*/*"], name=f"options_{path}")(
                lambda **_params: _preflight(routes.current_request.headers)
            )
        return view

    return declared


def unroutable(reason: Reason, headers: Mapping[str, str], path: str, request_id: str) -> Response:
    """The answer where no route fits. A caller under /v1 is asked for a token first, as everywhere; size comes before."""
    given = _lower(headers)
    try:
        if path.startswith("/v1/") and reason is not Reason.BODY_TOO_LARGE:
            _proved(_ready(services), given.get("authorization"))
        raise Refused(reason)
    except Refused as no:
        return _refusal(no, given, path, request_id, negotiate(given.get("accept-language")))


def _preflight(headers: Mapping[str, str]) -> Response:
    """The answer to a browser that asks before it asks."""
    extra = {
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
        "Access-Control-Allow-Headers": ALLOWED,
        "Access-Control-Max-Age": "600",
    }
    return Response(body="", status_code=204, headers={**SECURITY_HEADERS, **_cors(_lower(headers)), **extra})


def _handled(one: Endpoint, request: Request, params: Mapping[str, str]) -> Response:
    headers = _lower(request.headers)
    locale = negotiate(headers.get("accept-language"))
    context = request.context
    request_id = str(context.get("requestId", ""))
    path = str(context.get("path") or request.path)
    try:
        call = _call(one, request, headers, params, locale, request_id, path)
        answer = _checked(call, request)
    except Refused as no:
        return _refusal(no, headers, path, request_id, locale)
    except Exception:
        log.exception("unexpected", extra={"request_id": request_id, "route": f"{one.method} {one.path}"})
        return _refusal(Refused(Reason.INTERNAL_ERROR), headers, path, request_id, locale)
    return _answered(answer, one.media_type, headers)


def _call(
    one: Endpoint,
    request: Request,
    headers: Mapping[str, str],
    params: Mapping[str, str],
    locale: str,
    request_id: str,
    path: str,
) -> Call:
    raw = request.raw_body
    raw = raw.encode() if isinstance(raw, str) else raw or b""
    bodies.check_size(raw)
    found = _ready(services)
    caller = ANONYMOUS if one.roles is None else _caller(one.roles, found, headers.get("authorization"))
    received = int(request.context.get("requestTimeEpoch") or found.machine())
    asked = RequestContext(found.at(received), caller, received, locale, if_match=headers.get("if-match"))
    source_ip = str(request.context.get("identity", {}).get("sourceIp", ""))
    return Call(one, found, headers, raw, params, request_id, source_ip, path, locale, asked)


def _caller(roles: frozenset[str], found: Services, authorization: str | None) -> Caller:
    """Who asks. Where a withdrawal token is good, its holder needs no login."""
    scheme, _, token = (authorization or "").partition(" ")
    if HOLDER in roles and scheme.lower() == "bearer":
        deposit_id = found.vault.holder(token.strip())
        if deposit_id is not None:
            return Caller(deposit_id, HOLDER)
    return _proved(found, authorization)


def _proved(found: Services, authorization: str | None) -> Caller:
    return _ready(lambda: _verifier(found.settings)).caller(authorization)


def _ready(part: Callable[[], T]) -> T:
    """A part of this container; Refused(BUSY) where it cannot be built, above all without its settings.

    Why stands in the log alone: a caller can do nothing about it, and learns nothing of how we are set up.
    """
    try:
        return part()
    except Exception:
        log.exception("this container cannot be built")
        raise Refused(Reason.BUSY, retry_after=REBUILT_AFTER_SECONDS) from None


def _checked(call: Call, request: Request) -> Answer:
    one, headers = call.endpoint, call.headers
    _rates(call.services.settings).take(call.caller.id or call.source_ip, one.method != "GET", call.asked.received)
    if one.reads_json:
        bodies.check_media_type(headers.get("content-type"), headers.get("content-encoding"), bool(call.raw))
        call.json = bodies.parse(call.raw)
    key_text = bodies.idempotency_key(headers) if one.keyed else ""
    if one.roles is not None and call.caller.role not in one.roles:
        raise Refused(Reason.FORBIDDEN)
    try:
        call.query = _query(one, request.query_params)
        call.fields = _fields(one, call.json) if one.reads_json else None
    except Refused:
        if one.guard is not None and one.guard is not raw_only:
            one.guard(call)
        raise
    if one.keyed:
        call.asked = _keyed(call, key_text)
    return one.view(call)


def raw_only(_call: Call) -> None:
    """Marks a route whose view reads and proves the raw body itself (signed events)."""


def _fields(one: Endpoint, body: dict[str, Any]) -> Any:
    if one.body is None:
        return None
    try:
        return one.body.model_validate(lists_to_tuples(body))
    except ValidationError as invalid:
        raise build_refusal(read_field_errors(invalid)) from None


def _query(one: Endpoint, given: Any) -> dict[str, Any]:
    """The parameters as their readers give them; unknown ones are refused, repeated ones too."""
    known = {parameter.name: parameter for parameter in one.query}
    found: dict[str, Any] = {}
    for name in given or {}:
        if name not in known:
            raise Refused(Reason.UNKNOWN_PARAMETER, [FieldError(f"/{name}", "unknown_field")])
        values = given.getlist(name)
        if len(values) > 1:
            raise Refused(Reason.INVALID_REQUEST, [FieldError(f"/{name}", "duplicate")])
        try:
            found[name] = known[name].read(values[0])
        except ValueError as unreadable:
            raise Refused(Reason.INVALID_REQUEST, [FieldError(f"/{name}", str(unreadable))]) from None
    for parameter in one.query:
        if parameter.required and parameter.name not in found:
            raise Refused(Reason.INVALID_REQUEST, [FieldError(f"/{parameter.name}", "missing")])
    return found


def _keyed(call: Call, key_text: str) -> RequestContext:
    """The request with its key: who, method, route and its ids, key; and the body as sent, amounts in their one form."""
    one = call.endpoint
    asked = call.asked
    scope = [
        asked.caller.id,
        asked.caller.merchant,
        one.method,
        one.path,
        *(call.params[name] for name in sorted(call.params)),
        key_text,
    ]
    body = json.dumps(_one_form(call.json), sort_keys=True, separators=(",", ":"))
    # The key, which is stored nowhere, salts the body's digest: who reads the table cannot guess an account from it.
    key = Key(_digest(json.dumps(scope)), _digest(json.dumps([*scope, body])))
    return RequestContext(asked.at, asked.caller, asked.received, asked.locale, key, key_text, asked.if_match)


def _one_form(value: Any) -> Any:
    """``5000.00`` and ``5000`` are the same amount, so they are the same body."""
    if isinstance(value, dict):
        if set(value) == {"amount", "currency"}:
            try:
                return write_money(Money.parse(str(value["amount"]), str(value["currency"])))
            except ValueError:
                return value
        return {name: _one_form(part) for name, part in value.items()}
    return [_one_form(part) for part in value] if isinstance(value, list) else value


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8]


def _answered(answer: Answer, media_type: str, headers: Mapping[str, str]) -> Response:
    body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body, ensure_ascii=False)
    return Response(
        body=body,
        status_code=answer.status,
        headers={"Content-Type": media_type, **SECURITY_HEADERS, **_cors(headers), **answer.headers},
    )


def _refusal(no: Refused, headers: Mapping[str, str], path: str, request_id: str, locale: str) -> Response:
    status, extra, body = problem(no, locale=locale, instance=path, request_id=request_id)
    return Response(body=body, status_code=status, headers={**SECURITY_HEADERS, **_cors(headers), **extra})


def _cors(headers: Mapping[str, str]) -> dict[str, str]:
    """An allowed origin is named back. No cookies are used, so ``*`` gives nobody anything."""
    origin = headers.get("origin")
    origins = _origins() if origin is not None else ()
    if origin is None or not ("*" in origins or origin in origins):
        return {"Vary": "Origin"}
    allowed = "*" if "*" in origins else origin
    return {"Access-Control-Allow-Origin": allowed, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@cache
def _verifier(found: Settings) -> Verifier:
    return Verifier.from_jwks(found.issuer, found.audience, found.jwks)


@cache
def _rates(found: Settings) -> Rates:
    return Rates(found.writes_per_minute, found.reads_per_minute)


def _origins() -> tuple[str, ...]:
    """Those of this container; where it cannot be built, as far as the settings can be read."""
    try:
        return _ready(lambda: services().settings.origins)
    except Refused:
        pass
    try:
        return _ready(lambda: settings().origins)
    except Refused:
        return ()
