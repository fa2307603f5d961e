"""Every event, command and cause is declared once, with all of its parts."""

import pkgutil
from collections import Counter
from importlib import import_module
from typing import Any

import pytest

from chalicelib import core
from chalicelib.core import decide, journal_replay
from chalicelib.core.deposit import fold
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.event_row import ANY_STATUS
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.status import Status

EVENTS = tuple(fold.ROWS)


def classes(kind: type[Any]) -> set[type[Any]]:
    """Every class below this one, wherever in core it stands."""
    for module in pkgutil.walk_packages(core.__path__, f"{core.__name__}."):
        import_module(module.name)
    return {found for sub in kind.__subclasses__() for found in (sub, *classes(sub))}


def test_every_event_has_one_row() -> None:
    declared = Counter(row.type for capability in fold._CAPABILITIES for row in capability.EVENTS)
    assert declared == Counter(classes(DepositEvent))


def test_every_event_has_a_public_name_of_its_own() -> None:
    assert len({kind.TYPE for kind in EVENTS}) == len(EVENTS)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.TYPE)
def test_every_part_of_an_event_is_declared(kind: type[Any]) -> None:
    row = fold.ROWS[kind]
    assert callable(row.evolve)
    assert callable(row.postings)
    assert row.transitions is ANY_STATUS or set(row.transitions) <= set(Status)
    assert callable(journal_replay.REPLAYS[kind]), "how it is decided again, or that it is taken as recorded"


def test_nothing_is_decided_again_twice() -> None:
    declared = Counter(kind for capability in journal_replay._CAPABILITIES for kind in capability.REPLAYS)
    assert set(declared.values()) == {1}
    assert set(journal_replay.REPLAYS) == set(EVENTS)


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_one_rule(cause: Cause) -> None:
    """A refund whose cause had none would be approved and never sent."""
    assert callable(journal_replay.CAUSES[cause])
    assert sum(cause in capability.REFUNDS for capability in journal_replay._CAPABILITIES) <= 1
    assert sum(cause in capability.ENDS for capability in journal_replay._CAPABILITIES) <= 1


def test_every_command_has_one_row() -> None:
    declared = Counter(row.type for capability in decide._CAPABILITIES for row in capability.COMMANDS)
    assert declared == Counter(classes(Command))


def test_every_action_is_named_once() -> None:
    named = Counter((row.action.role, row.action.name) for row in decide.ROWS.values() if row.action is not None)
    assert set(named.values()) == {1}
