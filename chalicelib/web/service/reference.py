"""The reference page: its HTML, and where the files of Swagger UI are, which only a developer's machine has."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

# The package that brings Swagger UI is not deployed: it weighs more than everything else together.
PACKAGE: Final = "swagger_ui"
ASSETS: Final[Mapping[str, str]] = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
CACHED_FOR_A_WEEK: Final = "public, max-age=604800"
# Nothing from elsewhere, whatever a script would like; the page's own few lines and the styles it writes excepted.
SAME_ORIGIN: Final = (
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


def find_assets() -> Path | None:
    """The folder of the files, without importing the package; None where it is not installed."""
    package = find_spec(PACKAGE)
    folders = package.submodule_search_locations if package is not None else None
    return Path(next(iter(folders))) / "static" if folders else None
