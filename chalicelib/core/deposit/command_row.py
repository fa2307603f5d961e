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
    """A request to change a deposit. Each command is declared in one ``CommandRow``."""


C = TypeVar("C", bound=Command)
# Raises Refused where the deposit's state at that instant does not allow the command.
Check = Callable[["Deposit", int, Terms], object]


class Action(Struct, frozen=True):
    """How a command is listed in ``actions`` of a deposit: for which role and name, and while ``check`` does not raise."""

    role: str
    name: str
    check: Check


class CommandRow(Struct, Generic[C], frozen=True):
    """One command.

    ``decide`` gives the events of the command at an instant, none when nothing changes, or raises Refused. ``action`` is
    None for commands that are not listed in ``actions``. ``elective``: whether a full journal refuses the command.
    """

    type: type[C]
    decide: Callable[["Deposit", C, int, Terms], DepositEvent | Iterable[DepositEvent]]
    action: Action | None
    elective: Callable[["Deposit", C], bool]


Commands = tuple[CommandRow[Any], ...]


def as_events(decided: DepositEvent | Iterable[DepositEvent]) -> tuple[DepositEvent, ...]:
    """The result of a row's ``decide`` as a tuple."""
    return tuple(decided) if isinstance(decided, Iterable) else (decided,)


def optional(_deposit: "Deposit", _command: object) -> bool:
    """``elective`` of commands that a full journal refuses."""
    return True


def needed(_deposit: "Deposit", _command: object) -> bool:
    """``elective`` of commands that end a deposit or pay the buyer. A full journal accepts them."""
    return False
