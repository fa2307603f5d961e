"""Query parameters that several routes share, and how a page's cursor travels."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from chalicelib.core.common import ids, instants
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.web.edge.cursors import seal, unseal
from chalicelib.web.edge.route import Answer, Call, Parameter

MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = 20
MAX_ROWS: Final = 1_000_000_000  # no journal, and no deposit, has as many
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


# The form of a position: its members, and what each of them may be. A cursor's check is no secret, so anybody can make
# a cursor: a position that the list would not have written itself is refused.
Member = Callable[[str | int], bool]
Form = Mapping[str, Member]


def _is_instant(value: str | int) -> bool:
    return isinstance(value, int) and 0 <= value <= instants.LAST_INSTANT


def _is_ordinal(value: str | int) -> bool:
    return isinstance(value, int) and 1 <= value <= MAX_ROWS


def _is_id(value: str | int) -> bool:
    return isinstance(value, str) and ids.is_well_formed(value.partition("_")[0], value)


PLACE: Final[Form] = {"at": _is_instant, "id": _is_id}  # of a row in an index, by its instant or number
VERSION: Final[Form] = {"v": _is_ordinal}
NUMBER: Final[Form] = {"n": _is_ordinal}


def position(call: Call, scope: Callable[[Call], str], *forms: Form) -> Mapping[str, object] | None:
    """Where the page begins, in one of the forms of its list; a cursor of another caller, list or filter is refused.

    A list without forms has one page only, and takes no cursor.
    """
    cursor = call.query.get("cursor")
    if cursor is None:
        return None
    begin = unseal(_scoped(call, scope), cursor)
    if not any(_has_form(begin, form) for form in forms):
        raise Refused(Reason.INVALID_CURSOR)
    return {**begin}


def _has_form(begin: Mapping[str, str | int], form: Form) -> bool:
    return begin.keys() == form.keys() and all(fits(begin[name]) for name, fits in form.items())


def next_cursor(call: Call, scope: Callable[[Call], str], after: Mapping[str, object] | None) -> str | None:
    if after is None:
        return None
    plain = {name: value if isinstance(value, int) else str(value) for name, value in after.items()}
    return seal(_scoped(call, scope), plain)


def page_size(call: Call) -> int:
    return int(call.query.get("limit", DEFAULT_LIMIT))


def write_page(
    call: Call, scope: Callable[[Call], str], rows: Iterable[Mapping[str, Any]], after: Mapping[str, object] | None
) -> Answer:
    """A page of rows. ``after`` is the position of the last one, None on the last page."""
    return Answer({"data": list(rows), "next_cursor": next_cursor(call, scope, after)})


def no_filter(_call: Call) -> str:
    """The scope of the cursors of a list without a filter."""
    return ""


def _scoped(call: Call, scope: Callable[[Call], str]) -> str:
    return f"{call.endpoint.path}|{call.caller.id}|{scope(call)}"


def _limit(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError("not_integer")
    number = int(text)
    if number < 1:
        raise ValueError("too_small")
    if number > MAX_LIMIT:
        raise ValueError("too_large")
    return number


def _instant(text: str) -> Any:
    try:
        return instants.parse_instant(text)
    except ValueError:
        raise ValueError("instant") from None
