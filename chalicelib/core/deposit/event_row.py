"""The row that declares an event of a deposit: when it may happen, what it changes, what it posts.

``fold`` puts the rows of all capabilities together. How an event is decided again for a proof is declared by the capability
that decides it: see ``replay``.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from msgspec import Struct

from chalicelib.core.deposit.ledger import Posting, RefundAmounts
from chalicelib.core.deposit.status import Status

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit

E = TypeVar("E")
Transitions = Mapping[Status, Status]
# The event may happen in every status and never changes it; the tables of payments, refunds and claims bound it.
ANY_STATUS: Final[Transitions] = {status: status for status in Status}


class EventRow(Struct, Generic[E], frozen=True):
    """One event: the status it leads to from each status that it may meet, the new state, and the double entry."""

    type: type[E]
    transitions: Transitions
    evolve: Callable[["Deposit", E], "Deposit"]
    postings: Callable[[E, RefundAmounts], Iterator[Posting]]


Rows = tuple[EventRow[Any], ...]


def stays(*statuses: Status) -> Transitions:
    """The event may happen in these statuses and changes none of them."""
    return {status: status for status in statuses}


def unchanged(deposit: "Deposit", _event: object) -> "Deposit":
    """An announcement: the clock already says it."""
    return deposit
