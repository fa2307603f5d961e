"""Every event, command and cause is declared once, with all of its parts."""

import pkgutil
from collections import Counter
from importlib import import_module
from typing import Any, get_args

import pytest

from chalicelib.core import decide, proof
from chalicelib.core.deposit import events, fold
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.event_row import ANY_STATUS
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.status import Status

EVENTS = get_args(DepositEvent)


def event_classes() -> set[type[Any]]:
    """Every class with a public name in the folder of events, in whichever file it stands."""
    modules = [import_module(f"{events.__name__}.{found.name}") for found in pkgutil.iter_modules(events.__path__)]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return {found for found in classes if hasattr(found, "TYPE")}


def commands(kind: type[Command]) -> set[type[Command]]:
    return {found for sub in kind.__subclasses__() for found in (sub, *commands(sub))}


def test_every_event_class_is_in_the_union() -> None:
    assert set(EVENTS) == event_classes()


def test_every_event_has_one_row() -> None:
    declared = Counter(row.type for capability in fold._CAPABILITIES for row in capability.EVENTS)
    assert declared == Counter(EVENTS)


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.TYPE)
def test_every_part_of_an_event_is_declared(kind: type[Any]) -> None:
    row = fold.ROWS[kind]
    assert callable(row.evolve)
    assert callable(row.postings)
    assert row.transitions is ANY_STATUS or set(row.transitions) <= set(Status)
    assert callable(proof.REPLAYS[kind]), "how it is decided again, or that it is taken as recorded"


def test_nothing_is_decided_again_twice() -> None:
    declared = Counter(kind for capability in proof._CAPABILITIES for kind in capability.REPLAYS)
    assert set(declared.values()) == {1}
    assert set(proof.REPLAYS) == set(EVENTS)


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_one_rule(cause: Cause) -> None:
    """A refund whose cause had none would be approved and never sent."""
    assert callable(proof.CAUSES[cause])
    assert sum(cause in capability.REFUNDS for capability in proof._CAPABILITIES) <= 1
    assert sum(cause in capability.ENDS for capability in proof._CAPABILITIES) <= 1


def test_every_command_has_one_row() -> None:
    declared = Counter(row.type for capability in decide._CAPABILITIES for row in capability.COMMANDS)
    assert declared == Counter(commands(Command))


def test_every_action_is_named_once() -> None:
    named = Counter((row.action.role, row.action.name) for row in decide.ROWS.values() if row.action is not None)
    assert set(named.values()) == {1}
