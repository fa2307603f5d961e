"""The headers of every response, refusals as responses, and what is answered where this container cannot be built."""

import logging
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeVar

from chalice.app import Response

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.web.edge.languages import negotiate
from chalicelib.web.edge.problems import problem
from chalicelib.wiring import services, settings

log = logging.getLogger("earnest.web")
T = TypeVar("T")

SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Strict-Transport-Security": "max-age=31536000",
}
EXPOSED: Final = "ETag, Idempotent-Replayed, Retry-After, Location"
ALLOWED: Final = "Idempotency-Key, If-Match, Authorization, Content-Type, Accept-Language"
PREFLIGHT_HEADERS: Final = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": ALLOWED,
    "Access-Control-Max-Age": "600",
}
REBUILT_AFTER_SECONDS: Final = 30  # until a container that cannot be built is replaced, or gets its settings


class Envelope(NamedTuple):
    """What is read of every request before its checks. ``headers`` have names in lower case."""

    headers: Mapping[str, str]
    path: str
    request_id: str
    locale: str


def read_envelope(headers: Mapping[str, str], path: str, request_id: str) -> Envelope:
    lower = lower_names(headers)
    return Envelope(lower, path, request_id, negotiate(lower.get("accept-language")))


def respond(headers: Mapping[str, str], status: int, extra: Mapping[str, str], body: str = "") -> Response:
    """A response with the headers of all responses. ``headers`` are the request's, in lower case."""
    return Response(body=body, status_code=status, headers={**SECURITY_HEADERS, **_cors(headers), **extra})


def write_refusal(refusal: Refused, envelope: Envelope) -> Response:
    status, extra, body = problem(
        refusal, locale=envelope.locale, instance=envelope.path, request_id=envelope.request_id
    )
    return respond(envelope.headers, status, extra, body)


def answer_preflight(headers: Mapping[str, str]) -> Response:
    """The answer to a browser's OPTIONS request."""
    return respond(lower_names(headers), 204, PREFLIGHT_HEADERS)


def build(part: Callable[[], T]) -> T:
    """A part of this container; Refused(BUSY) where it cannot be built, above all without its settings.

    The cause is in the log alone: a caller can do nothing about it, and learns nothing of how the service is set up.
    """
    try:
        return part()
    except Exception:
        log.exception("this container cannot be built")
        raise Refused(Reason.BUSY, retry_after=REBUILT_AFTER_SECONDS) from None


def lower_names(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _cors(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that allow the request's origin, if the settings list it. No cookies are used, so ``*`` gives no access."""
    origin = headers.get("origin")
    origins = _origins() if origin is not None else ()
    if origin is None or not ("*" in origins or origin in origins):
        return {"Vary": "Origin"}
    allowed = "*" if "*" in origins else origin
    return {"Access-Control-Allow-Origin": allowed, "Access-Control-Expose-Headers": EXPOSED, "Vary": "Origin"}


def _origins() -> tuple[str, ...]:
    """Those of this container; where it cannot be built, as far as the settings can be read."""
    try:
        return build(lambda: services().settings.origins)
    except Refused:
        pass
    try:
        return build(lambda: settings().origins)
    except Refused:
        return ()
