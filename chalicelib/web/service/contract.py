"""The contract for machines, ``/openapi.json``, and for people, ``/docs``: both from disk, nothing from elsewhere."""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.web.edge.declare import public
from chalicelib.web.edge.languages import DEFAULT
from chalicelib.web.edge.page import HTML, page
from chalicelib.web.edge.route import Answer, Call, Routes

routes = Routes(__name__, "service")

# The package that carries Swagger UI is not deployed: it weighs more than everything else together.
CARRIER: Final = "swagger_ui"
ASSETS: Final[Mapping[str, str]] = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
A_WEEK: Final = "public, max-age=604800"
# Nothing from elsewhere, whatever a script would like; the page's own few lines and the styles it writes excepted.
FROM_HERE: Final = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
REFERENCE: Final = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Earnest API</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css"><style>body{margin:0}</style>
<div id="reference"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#reference", validatorUrl: null, persistAuthorization: true, deepLinking: true,
  docExpansion: "list", defaultModelsExpandDepth: 0, displayRequestDuration: true
});
</script></html>"""
NO_REFERENCE: Final = '<p>The contract of this service: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>'


@public(routes, "/openapi.json", "This contract as OpenAPI 3.1", dict[str, Any])
def openapi(_call: Call) -> Answer:
    return Answer(_document())


@cache
def _document() -> str:
    """Once per container, and only where somebody asks: no other request imports or builds any of it."""
    from chalicelib.web.service import openapi as told  # noqa: PLC0415 - see the docstring

    return told.document()


@public(routes, "/docs", "This contract as a page", str, media_type=HTML)
def docs(_call: Call) -> Answer:
    if _carried() is None:
        return Answer(page("Earnest API", NO_REFERENCE, DEFAULT))
    return Answer(REFERENCE, headers={"Content-Security-Policy": FROM_HERE})


@public(routes, "/docs/assets/{asset}", "A file of that page", str, media_type="text/*", reasons=(Reason.NOT_FOUND,))
def asset(call: Call) -> Answer:
    name, folder = call.params["asset"], _carried()
    if folder is None or name not in ASSETS:
        raise Refused(Reason.NOT_FOUND)
    headers = {"Content-Type": ASSETS[name], "Cache-Control": A_WEEK}
    return Answer((folder / name).read_text("utf-8"), headers=headers)


def _carried() -> Path | None:
    """Where the files are, without importing the package; None where it is not installed."""
    found = find_spec(CARRIER)
    places = found.submodule_search_locations if found is not None else None
    return Path(next(iter(places))) / "static" if places else None
