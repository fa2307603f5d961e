"""Query parameters that several routes share, and how a page's cursor travels."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from chalicelib.core.common import instants
from chalicelib.web.edge.cursors import seal, unseal
from chalicelib.web.edge.route import Call, Parameter

MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = 20
_WHOLE: Final = re.compile(r"[0-9]{1,9}")


def limit(default: int = DEFAULT_LIMIT) -> Parameter:
    schema = {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": default}
    return Parameter("limit", _limit, schema, "How many rows a page holds at most.")


def choice(name: str, values: tuple[str, ...], description: str, *, required: bool = False) -> Parameter:
    def read(text: str) -> str:
        if text not in values:
            raise ValueError("choice")
        return text

    return Parameter(name, read, {"type": "string", "enum": list(values)}, description, required)


def text(name: str, description: str, *, required: bool = False) -> Parameter:
    return Parameter(name, str, {"type": "string"}, description, required)


def instant(name: str, description: str) -> Parameter:
    return Parameter(name, _instant, {"type": "string", "format": "date-time"}, description)


CURSOR: Final = Parameter("cursor", str, {"type": "string"}, "``next_cursor`` of the page before.")


def position(call: Call, scope: Callable[[Call], str]) -> Mapping[str, object] | None:
    """Where the page begins; a cursor of another caller, list or filter is refused."""
    cursor = call.query.get("cursor")
    if cursor is None:
        return None
    return {**unseal(_scoped(call, scope), cursor)}


def next_cursor(call: Call, scope: Callable[[Call], str], after: Mapping[str, object] | None) -> str | None:
    if after is None:
        return None
    plain = {name: value if isinstance(value, int) else str(value) for name, value in after.items()}
    return seal(_scoped(call, scope), plain)


def _scoped(call: Call, scope: Callable[[Call], str]) -> str:
    return f"{call.endpoint.path}|{call.caller.id}|{scope(call)}"


def _limit(given: str) -> int:
    if not _WHOLE.fullmatch(given):
        raise ValueError("not_integer")
    number = int(given)
    if number < 1:
        raise ValueError("too_small")
    if number > MAX_LIMIT:
        raise ValueError("too_large")
    return number


def _instant(given: str) -> Any:
    try:
        return instants.parse_instant(given)
    except ValueError:
        raise ValueError("instant") from None
