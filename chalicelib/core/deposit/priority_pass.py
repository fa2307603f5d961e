"""A priority pass: its transition table.

A pass lives in the journal of the cancelled deposit that it makes up for, and is bound to that deposit's buyer.
"""

from collections.abc import Iterator, Mapping
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
    """Where a pass stands."""

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
    """``remind_at`` are the notices still to be given. ``used_for`` is the deposit that was ordered with it last."""

    n: int
    granted: PassGranted
    changed_at: int
    remind_at: tuple[int, ...]
    status: PassStatus = PassStatus.GRANTED
    used_for: str | None = None


def grant_pass(event: PassGranted) -> Pass:
    return Pass(event.priority_pass, event, event.at, event.remind_at)


def step(one: Pass, event: PassStep) -> Pass:
    """The pass after the event; KeyError when the table has no such step."""
    after = replace(one, status=TRANSITIONS[one.status, type(event)], changed_at=event.at)
    match event:
        case PassUsed():
            return replace(after, used_for=event.deposit)
        case PassReminded() | PassReturned():
            return replace(after, remind_at=tuple(at for at in one.remind_at if at > event.at))
        case PassLapsed():
            return after


def deadlines(one: Pass) -> Iterator[PassReminded | PassLapsed]:
    """What the clock will say of it: a notice or two, and its end. Nothing while it is used."""
    if one.status is PassStatus.GRANTED:
        yield from (PassReminded(at, one.n, one.granted.valid_until) for at in one.remind_at)
        yield PassLapsed(max(one.granted.valid_until, one.changed_at), one.n)


def add_pass(deposit: "Deposit", event: PassGranted) -> "Deposit":
    return replace(deposit, passes=(*deposit.passes, grant_pass(event)))


def step_pass(deposit: "Deposit", event: PassStep) -> "Deposit":
    return replace(deposit, passes=with_row(deposit.passes, step(deposit.passes[event.priority_pass - 1], event)))


EVENTS: Final[Rows] = (
    EventRow(PassGranted, ANY_STATUS, add_pass, no_postings),
    EventRow(PassUsed, ANY_STATUS, step_pass, no_postings),
    EventRow(PassReturned, ANY_STATUS, step_pass, no_postings),
    EventRow(PassReminded, ANY_STATUS, step_pass, no_postings),
    EventRow(PassLapsed, ANY_STATUS, step_pass, no_postings),
)
