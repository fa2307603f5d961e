"""Decides a command on a deposit: gives its events, or raises Refused.

``at`` is the instant at which the request arrived (milliseconds since the epoch, UTC). No decision reads an announcement.
The capabilities declare the rows (``COMMANDS``).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from chalicelib.core.claims import answering, opening
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.delivery import fulfilment, trade_in
from chalicelib.core.deposit.command_row import Check, Command, CommandRow, as_events, optional
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.ending import end, withdrawal
from chalicelib.core.locking import lock
from chalicelib.core.merchant import cancellation, question
from chalicelib.core.paying import captures
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding import destination, goodwill, settling
from chalicelib.core.selling import changes

MAX_EVENTS: Final = 400  # of one journal: after that only commands that are needed are taken
_CAPABILITIES: Final = (
    captures,
    changes,
    lock,
    fulfilment,
    trade_in,
    end,
    withdrawal,
    goodwill,
    destination,
    settling,
    cancellation,
    question,
    opening,
    answering,
)
ROWS: Final[Mapping[type[Command], CommandRow[Any]]] = MappingProxyType(
    {row.type: row for capability in _CAPABILITIES for row in capability.COMMANDS}
)


def decide(deposit: Deposit, command: Command, at: int, terms: Terms) -> tuple[DepositEvent, ...]:
    """The events of a command that arrived at ``at``; none where nothing new is to be recorded.

    Raises Refused; RATE_LIMITED for an elective command on a full journal.
    """
    row = ROWS[type(command)]
    if deposit.version >= MAX_EVENTS and row.elective(deposit, command):
        raise Refused(Reason.RATE_LIMITED, most=MAX_EVENTS)
    return as_events(row.decide(deposit, command, at, terms))


def actions(deposit: Deposit, role: str, at: int, terms: Terms) -> tuple[str, ...]:
    """The names of the actions of a role at ``at``, sorted: exactly those that the deposit's state does not refuse."""
    full = deposit.version >= MAX_EVENTS
    rows = (row for row in ROWS.values() if not (full and row.elective is optional))
    listed = (row.action for row in rows if row.action is not None and row.action.role == role)
    return tuple(sorted(action.name for action in listed if _is_allowed(action.check, deposit, at, terms)))


def _is_allowed(check: Check, deposit: Deposit, at: int, terms: Terms) -> bool:
    try:
        check(deposit, at, terms)
    except Refused:
        return False
    return True
