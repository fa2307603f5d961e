"""A journal for proofs, and what a capability declares so that a proof can decide its events again.

Each capability has a module ``replay``. Its ``REPLAYS`` gives the function that decides an event type again, ``ENDS`` the
events of each cause that ends a deposit, ``REFUNDS`` the approvals of every other cause.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.policy.terms import Terms


class History(Struct, frozen=True):
    """A journal, with the deposit after each of its events.

    ``overdue`` gives the deadline events at an instant; with ``claims``, also those that a claim's silence decides.
    """

    events: Sequence[DepositEvent]
    states: Sequence[Deposit]
    terms: Terms
    overdue: Callable[[Deposit, int, bool], tuple[DepositEvent, ...]]

    def before(self, place: int) -> Deposit:
        """The deposit before the event at ``place``, counted from 0; LookupError for the first event."""
        if place < 1:
            raise LookupError("no deposit before the creation")
        return self.states[place - 1]


# The event at a place as the rules give it; None when they give no such event there.
Replay = Callable[[History, int], DepositEvent | None]
Replays = Mapping[type[DepositEvent], Replay]
# All events that the rules give for a cause, from the place of its end or its approval.
CauseRule = Callable[[History, int], Iterator[DepositEvent]]
CauseRules = Mapping[Cause, CauseRule]


def take_as_recorded(history: History, place: int) -> DepositEvent:
    """The recorded event, for facts that no rule computes: statements of people, shipments, answers of the provider."""
    return history.events[place]


def decide_by_clock(history: History, place: int) -> DepositEvent | None:
    """The recorded deadline event if it was overdue at its own instant, else None."""
    event = history.events[place]
    return event if event in history.overdue(history.before(place), event.at, False) else None


def decide_claim_by_clock(history: History, place: int) -> DepositEvent | None:
    """As ``decide_by_clock``, with the deadlines after which claims are granted or escalated."""
    event = history.events[place]
    return event if event in history.overdue(history.before(place), event.at, True) else None
