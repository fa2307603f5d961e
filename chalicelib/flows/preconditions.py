"""``If-Match``: a command names the state that its caller saw, and is refused when that is not the current state."""

import re
from collections.abc import Callable
from typing import Final, TypeVar

from chalicelib.core.common.journal import RequestContext
from chalicelib.core.common.refusal import Reason, Refused

ENTITY_TAG: Final = re.compile(r'(?:W/)?"[^"]*"')
T = TypeVar("T")


def decide_in_order(decision: Callable[[], T], check_state: Callable[[], None]) -> T:
    """The decision, after the caller's state was checked. Refusals that rank before STALE_VERSION come before the check."""
    try:
        decided = decision()
    except Refused as refused:
        if not refused.reason.comes_before(Reason.STALE_VERSION):
            check_state()
        raise
    check_state()
    return decided


def refuse_stale(request: RequestContext, compute_etag: Callable[[], str]) -> None:
    """Refused(STALE_VERSION) unless ``If-Match`` names the state that a read at this instant would show."""
    if request.if_match is None:
        return
    current = compute_etag()
    if not matches(request.if_match, current):
        raise Refused(Reason.STALE_VERSION, etag=current)


def matches(if_match: str, current: str) -> bool:
    """Whether an ``If-Match`` header names the current state: ``*``, or a list of entity tags with it (RFC 9110, 13.1.1).

    A weak tag matches nothing here, and neither does a list that is not well formed.
    """
    if if_match.strip() == "*":
        return True
    parts = ENTITY_TAG.sub("\0", if_match).split(",")
    well_formed_list = all(part.strip() in {"", "\0"} for part in parts)
    return well_formed_list and current in ENTITY_TAG.findall(if_match)
