"""Events with their envelopes, as they stand in a journal."""

from collections.abc import Sequence
from typing import Final

from chalicelib.core.common.journal import Caller, Entry, RequestContext
from chalicelib.core.deposit.events.base import DepositEvent

SYSTEM: Final = Caller("earnest", "service")  # the author of deadline events


def to_entries(events: Sequence[DepositEvent], request: RequestContext, by: Caller) -> tuple[Entry[DepositEvent], ...]:
    """Entries of a request. The last one carries its key: the journal up to there is the request's answer."""
    last = len(events) - 1
    return tuple(
        Entry(event, request.at, by, request.key if i == last else None, request.locale)
        for i, event in enumerate(events)
    )


def system_entries(events: Sequence[DepositEvent]) -> tuple[Entry[DepositEvent], ...]:
    """Entries of deadlines: received at the deadline, whoever writes them and whenever."""
    return tuple(Entry(event, event.at, SYSTEM) for event in events)
