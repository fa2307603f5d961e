"""What is written is read back as it was, for every class of event, and nothing that cannot be is ever written."""

import inspect
import pkgutil
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import NODEFAULT
from msgspec.structs import fields

from chalicelib.core.common.money import Money
from chalicelib.core.deposit import events, fold
from chalicelib.core.deposit.events.lock import LockedByPayment
from chalicelib.core.merchant import bulk
from chalicelib.core.reconciliation import run
from chalicelib.core.selling import offer
from chalicelib.store import bulks, offers, runs
from chalicelib.store.codec import encode, encode_fields, reader
from chalicelib.store.journals import Journals
from tests.scope import examples
from tests.store.builders import any_journal, any_of, created

KINDS = {**fold.KINDS, **offers.KINDS, **runs.RUN_KINDS, **runs.BREAK_KINDS, **bulks.KINDS}
EVENTS = sorted(KINDS.values(), key=lambda kind: kind.TYPE)


def event_classes(module: Any) -> set[type[Any]]:
    classes = [found for _, found in inspect.getmembers(module, inspect.isclass) if found.__module__ == module.__name__]
    return {found for found in classes if hasattr(found, "TYPE")}


def deposit_event_classes() -> set[type[Any]]:
    """Every event class of the folder, in whichever file."""
    modules = [import_module(f"{events.__name__}.{found.name}") for found in pkgutil.iter_modules(events.__path__)]
    return {kind for module in modules for kind in event_classes(module)}


def test_every_event_class_is_in_its_union_and_has_a_name_of_its_own() -> None:
    assert set(fold.KINDS.values()) == deposit_event_classes()
    assert set(offers.KINDS.values()) == event_classes(offer)
    assert {*runs.RUN_KINDS.values(), *runs.BREAK_KINDS.values()} == event_classes(run)
    assert set(bulks.KINDS.values()) == event_classes(bulk)
    assert len(EVENTS) == sum(len(event_classes(module)) for module in (offer, run, bulk)) + len(
        deposit_event_classes()
    )


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.TYPE)
@given(data=st.data())
@settings(max_examples=examples(25))
def test_every_event_is_read_as_it_was_written(kind: Any, data: st.DataObject) -> None:
    event = data.draw(any_of(kind))
    assert reader(kind)({"M": encode_fields(event)}) == event


@given(journal=any_journal(EVENTS))
@settings(max_examples=examples(10))
def test_every_envelope_is_read_as_it_was_written(journal: Any) -> None:
    journals: Journals[Any] = Journals(None, "earnest", KINDS)
    stored = journals.read(journals.begin_action("dep_1", journal, {})["Item"])
    assert stored.journal == journal
    assert (stored.due, stored.failures, stored.version) == (None, 0, len(journal))


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.TYPE)
@given(data=st.data())
@settings(max_examples=examples(5))
def test_an_old_event_without_later_fields_has_their_defaults(kind: Any, data: st.DataObject) -> None:
    event = data.draw(any_of(kind))
    later = {field.name: field.default for field in fields(kind) if field.default is not NODEFAULT}
    old = {name: part for name, part in encode_fields(event).items() if name not in later}
    read = reader(kind)({"M": old})
    assert {name: getattr(read, name) for name in later} == later


def test_nothing_is_written_for_what_is_not_there() -> None:
    assert "stock" not in encode_fields(created())
    assert "undo_until" not in encode_fields(LockedByPayment(1))


@pytest.mark.parametrize("amount", [Money(0, "IDR"), Money(-3_500_000, "IDR"), Money(10**15, "JPY")])
def test_money_is_one_short_string(amount: Money) -> None:
    assert encode(amount) == {"S": f"{amount.minor}{amount.currency}"}
    assert reader(Money)(encode(amount)) == amount


@pytest.mark.parametrize("value", [0.1, None, {1}, object(), (1, 2.0), {"a": None}, int])
def test_what_no_event_may_hold_is_not_written(value: object) -> None:
    with pytest.raises(TypeError):
        encode(value)
