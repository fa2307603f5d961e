"""The row that declares a command on a deposit: who may send it, what checks it, what decides it.

``decide`` puts the rows of all capabilities together.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Struct

from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.policy.terms import Terms

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


class Command(Struct, frozen=True):
    """What somebody asks of a deposit."""


C = TypeVar("C", bound=Command)
# Raises Refused where the command would be refused for its state at that instant.
Check = Callable[["Deposit", int, Terms], object]


class Action(Struct, frozen=True):
    """How a command is listed in a deposit's ``actions``: whose list, under which name, and when."""

    role: str
    name: str
    check: Check


class CommandRow(Struct, Generic[C], frozen=True):
    """One command.

    ``decide`` gives the events asked for at an instant (none where there is nothing new to say), or raises Refused.
    ``elective`` says whether it is refused once the journal is full.
    """

    type: type[C]
    decide: Callable[["Deposit", C, int, Terms], DepositEvent | Iterable[DepositEvent]]
    action: Action | None
    elective: Callable[["Deposit", C], bool]


Commands = tuple[CommandRow[Any], ...]


def as_events(decided: DepositEvent | Iterable[DepositEvent]) -> tuple[DepositEvent, ...]:
    """What ``decide`` of a row gives, as a tuple."""
    return tuple(decided) if isinstance(decided, Iterable) else (decided,)


def optional(_deposit: "Deposit", _command: object) -> bool:
    """A full journal takes no more of these."""
    return True


def needed(_deposit: "Deposit", _command: object) -> bool:
    """It brings the deposit nearer to its end, or the buyer to their money: it is always taken."""
    return False
