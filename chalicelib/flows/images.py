"""A deposit as it was read: its stored journal beside the deposit folded from it, so that nobody folds it twice."""

from collections.abc import Sequence

from msgspec import Struct

from chalicelib.core.deposit import fold
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.flows.ports.effects import Stored


class Image(Struct, frozen=True):
    """One read or one write of a journal. ``deposit`` holds the events of ``stored`` and no others."""

    stored: Stored[DepositEvent]
    deposit: Deposit

    @property
    def id(self) -> str:
        return self.stored.id


def fold_image(stored: Stored[DepositEvent]) -> Image:
    return Image(stored, fold_stored(stored))


def fold_stored(stored: Stored[DepositEvent]) -> Deposit:
    return fold.fold(stored.id, [entry.event for entry in stored.journal])


def evolve_all(deposit: Deposit, events: Sequence[DepositEvent]) -> Deposit:
    for event in events:
        deposit = fold.evolve(deposit, event)
    return deposit
