"""The row that declares an event of a deposit: its transitions, its effect and its postings.

``fold`` puts the rows of all modules together. How a proof decides an event again is declared in the ``replay`` module of
the capability that decides it.
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
# The event may happen in every status and does not change it. The table of its payment, refund or claim limits it.
ANY_STATUS: Final[Transitions] = {status: status for status in Status}


class EventRow(Struct, Generic[E], frozen=True):
    """One event. ``transitions``: the next status for each status in which it may happen. ``evolve``: the new deposit.

    ``postings``: its double entry, from the event and the amounts of the refunds approved before it.
    """

    type: type[E]
    transitions: Transitions
    evolve: Callable[["Deposit", E], "Deposit"]
    postings: Callable[[E, RefundAmounts], Iterator[Posting]]


Rows = tuple[EventRow[Any], ...]


def stays(*statuses: Status) -> Transitions:
    """Transitions of an event that may happen in these statuses and changes none of them."""
    return {status: status for status in statuses}


def unchanged(deposit: "Deposit", _event: object) -> "Deposit":
    """``evolve`` of announcements: they repeat what the clock implies and change nothing."""
    return deposit
