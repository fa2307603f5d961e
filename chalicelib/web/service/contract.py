"""The contract for machines, ``/openapi.json``, and for people, ``/docs``: both from disk, nothing from elsewhere."""

from functools import cache
from typing import Any

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.web.edge.declare import public
from chalicelib.web.edge.languages import DEFAULT
from chalicelib.web.edge.page import HTML, page
from chalicelib.web.edge.route import Answer, Call, Routes
from chalicelib.web.service import reference

routes = Routes(__name__, "service")


@public(routes, "/openapi.json", "This contract as OpenAPI 3.1", dict[str, Any])
def openapi(_call: Call) -> Answer:
    return Answer(_document())


@cache
def _document() -> str:
    """Once per container, and only where somebody asks: no other request imports or builds any of it."""
    from chalicelib.web.service.openapi import document  # noqa: PLC0415 - see the docstring

    return document()


@public(routes, "/docs", "This contract as a page", str, media_type=HTML)
def docs(_call: Call) -> Answer:
    if reference.find_assets() is None:
        return Answer(page("Earnest API", reference.NO_REFERENCE, DEFAULT))
    return Answer(reference.REFERENCE, headers={"Content-Security-Policy": reference.SAME_ORIGIN})


@public(routes, "/docs/assets/{asset}", "A file of that page", str, media_type="text/*", reasons=(Reason.NOT_FOUND,))
def asset(call: Call) -> Answer:
    name, folder = call.params["asset"], reference.find_assets()
    if folder is None or name not in reference.ASSETS:
        raise Refused(Reason.NOT_FOUND)
    headers = {"Content-Type": reference.ASSETS[name], "Cache-Control": reference.CACHED_FOR_A_WEEK}
    return Answer((folder / name).read_text("utf-8"), headers=headers)
