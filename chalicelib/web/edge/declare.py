"""Declarations that routes share: public reads, one resource, a page of a list, a command on a resource, a creation.

Each of them is ``endpoint`` with its method, its usual answer and its usual refusals filled in.
"""

from typing import Any, Final, Unpack

from chalicelib.core.common.refusal import Reason
from chalicelib.web.edge.common import READ, READERS, WRITES, EmptyBody
from chalicelib.web.edge.query import CURSOR, limit
from chalicelib.web.edge.route import Decorator, Options, Routes, endpoint
from chalicelib.web.edge.values import Page

PAGE: Final = (limit(), CURSOR)
PAGE_OF: Final[Any] = Page


def public(routes: Routes, path: str, summary: str, answer: Any, **options: Unpack[Options]) -> Decorator:
    """GET, by default for everybody."""
    return endpoint(routes, "GET", path, summary, {200: answer}, **options)


def resource(routes: Routes, path: str, summary: str, answer: Any, **options: Unpack[Options]) -> Decorator:
    """GET of one resource, by default for ``READERS``. Another owner's does not exist."""
    options.setdefault("roles", READERS)
    options["reasons"] = (*READ, *options.get("reasons", ()))
    return public(routes, path, summary, answer, **options)


def listing(routes: Routes, path: str, summary: str, row: Any, **options: Unpack[Options]) -> Decorator:
    """GET of a page of rows, by default for ``READERS`` and without a filter."""
    options.setdefault("roles", READERS)
    options.setdefault("query", PAGE)
    options["reasons"] = (Reason.INVALID_CURSOR, *options.get("reasons", ()))
    return public(routes, path, summary, PAGE_OF[row], **options)


def command(
    routes: Routes, path: str, summary: str, answer: Any, *, status: int = 200, **options: Unpack[Options]
) -> Decorator:
    """POST to a resource that may be in a state which does not allow it; by default with an empty body."""
    options.setdefault("body", EmptyBody)
    options["reasons"] = (*READ, Reason.WRONG_STATE, *options.get("reasons", ()), *WRITES)
    return endpoint(routes, "POST", path, summary, {status: answer}, **options)


def creation(
    routes: Routes, path: str, summary: str, answer: Any, *, status: int = 201, **options: Unpack[Options]
) -> Decorator:
    """POST that makes something, once for each key."""
    options["reasons"] = (*options.get("reasons", ()), Reason.IDEMPOTENCY_KEY_REUSED, Reason.BUSY)
    return endpoint(routes, "POST", path, summary, {status: answer}, **options)
