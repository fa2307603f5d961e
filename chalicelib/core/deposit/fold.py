"""Folds a journal into a deposit, with the event rows of all modules."""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from msgspec.structs import replace

from chalicelib.core.deposit import (
    claim,
    dispute,
    ending,
    goods,
    lock,
    order,
    payment,
    priority_pass,
    question,
    refund,
    trade_in,
    withdrawal,
)
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.event_row import ANY_STATUS, EventRow, Transitions
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.lock import LockedByWindowEnd
from chalicelib.core.deposit.events.order import Created
from chalicelib.core.deposit.ledger import Posting, RefundAmounts, no_postings
from chalicelib.core.deposit.order import begin_deposit
from chalicelib.core.deposit.status import FINAL, Status

_CAPABILITIES: Final = (
    order,
    payment,
    lock,
    goods,
    trade_in,
    withdrawal,
    ending,
    refund,
    dispute,
    question,
    priority_pass,
    claim,
)
ROWS: Final[Mapping[type[DepositEvent], EventRow[Any]]] = MappingProxyType(
    {row.type: row for capability in _CAPABILITIES for row in capability.EVENTS}
)
# By public name, as in journals and proofs.
KINDS: Final[Mapping[str, type[DepositEvent]]] = MappingProxyType({kind.TYPE: kind for kind in ROWS})
# (status, event) to the next status. Events that may happen in every status are in ``FREE``.
TRANSITIONS: Final[Mapping[tuple[Status, type[DepositEvent]], Status]] = MappingProxyType(
    {
        (status, kind): row.transitions[status]
        for status in Status
        for kind, row in ROWS.items()
        if status in row.transitions and row.transitions is not ANY_STATUS
    }
)
FREE: Final = frozenset(kind for kind, row in ROWS.items() if row.transitions is ANY_STATUS)


def evolve(deposit: Deposit, event: DepositEvent) -> Deposit:
    """The deposit after the event. KeyError when a transition table does not allow it."""
    row = ROWS[type(event)]
    entries = tuple(row.postings(event, deposit.refund_amounts())) if row.postings is not no_postings else ()
    after = replace(
        deposit,
        status=_find_next_status(deposit, event, row.transitions),
        version=deposit.version + 1,
        updated_at=max(deposit.updated_at, event.at),
        money=deposit.money.after(entries) if entries else deposit.money,
    )
    return row.evolve(after, event)


def postings(event: DepositEvent, refunds: RefundAmounts) -> Iterator[Posting]:
    """The double entry of an event. ``refunds``: amounts of the refunds of captured money approved before it, by number."""
    return ROWS[type(event)].postings(event, refunds)


def _find_next_status(deposit: Deposit, event: DepositEvent, transitions: Transitions) -> Status:
    """The next status by the table. An event that does not change the status leaves the recorded one."""
    if transitions is ANY_STATUS:
        return deposit.status
    effective = _find_effective_status(deposit, event)
    status = transitions[effective]
    return deposit.status if status is effective else status


def _find_effective_status(deposit: Deposit, event: DepositEvent) -> Status:
    """The status at the event's instant. A window that has ended by then counts as LOCKED even without an event.

    A command sent inside the window counts as inside, even if the window's end was written before it was processed.
    """
    if deposit.status in FINAL or deposit.paid is None:
        return deposit.status
    if deposit.lock is not None:
        return Status.LOCKED
    ends_at = deposit.window.ends_at if deposit.window is not None else None
    ended = ends_at is not None and event.at >= ends_at and not isinstance(event, LockedByWindowEnd)
    return Status.LOCKED if ended else Status.COOLING_OFF


def fold(deposit_id: str, events: Iterable[DepositEvent]) -> Deposit:
    """The deposit of a journal. ValueError when the journal is empty or does not begin with ``Created``."""
    deposit: Deposit | None = None
    for event in events:
        if deposit is not None:
            deposit = evolve(deposit, event)
        elif isinstance(event, Created):
            deposit = begin_deposit(deposit_id, event)
        else:
            raise ValueError("a journal begins with its creation")
    if deposit is None:
        raise ValueError("an empty journal is no deposit")
    return deposit
