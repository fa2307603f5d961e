"""Priority passes: the record, its transition table, and how events change it.

A pass stands in the journal of the cancelled deposit for which it was granted. Only that deposit's buyer can use it.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.deposit.event_row import ANY_STATUS, EventRow, Rows
from chalicelib.core.deposit.events.ending import (
    PassGranted,
    PassLapsed,
    PassReminded,
    PassReturned,
    PassStep,
    PassUsed,
)
from chalicelib.core.deposit.ledger import no_postings
from chalicelib.core.deposit.rows import with_row

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


class PassStatus(StrEnum):
    """The status of a pass."""

    GRANTED = "granted"
    USED = "used"
    LAPSED = "lapsed"


_S = PassStatus
TRANSITIONS: Final[Mapping[tuple[PassStatus, type[PassStep]], PassStatus]] = MappingProxyType(
    {
        (_S.GRANTED, PassUsed): _S.USED,
        (_S.GRANTED, PassReminded): _S.GRANTED,
        (_S.GRANTED, PassLapsed): _S.LAPSED,
        (_S.USED, PassReturned): _S.GRANTED,
    }
)


class Pass(Struct, frozen=True):
    """A pass. ``remind_at``: reminders not written yet. ``used_for``: the deposit last ordered with it; None before that."""

    n: int
    granted: PassGranted
    changed_at: int
    remind_at: tuple[int, ...]
    status: PassStatus = PassStatus.GRANTED
    used_for: str | None = None


def begin_pass(event: PassGranted) -> Pass:
    return Pass(event.priority_pass, event, event.at, event.remind_at)


def evolve_pass(priority_pass: Pass, event: PassStep) -> Pass:
    """The pass after the event; KeyError when the table has no such step."""
    after = replace(priority_pass, status=TRANSITIONS[priority_pass.status, type(event)], changed_at=event.at)
    match event:
        case PassUsed():
            return replace(after, used_for=event.deposit)
        case PassReminded() | PassReturned():
            return replace(after, remind_at=tuple(at for at in priority_pass.remind_at if at > event.at))
        case PassLapsed():
            return after


def add_pass(deposit: "Deposit", event: PassGranted) -> "Deposit":
    return replace(deposit, passes=(*deposit.passes, begin_pass(event)))


def step_pass(deposit: "Deposit", event: PassStep) -> "Deposit":
    return replace(
        deposit, passes=with_row(deposit.passes, evolve_pass(deposit.passes[event.priority_pass - 1], event))
    )


EVENTS: Final[Rows] = (
    EventRow(PassGranted, ANY_STATUS, add_pass, no_postings),
    EventRow(PassUsed, ANY_STATUS, step_pass, no_postings),
    EventRow(PassReturned, ANY_STATUS, step_pass, no_postings),
    EventRow(PassReminded, ANY_STATUS, step_pass, no_postings),
    EventRow(PassLapsed, ANY_STATUS, step_pass, no_postings),
)
