"""Facts as JSON and back: every event there can be comes through, and nothing else is read."""

import json
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from chalicelib import policies
from chalicelib.core.common.instants import LAST_INSTANT, names_instant
from chalicelib.core.common.money import Money, currencies
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.event_json import SIGNED, below, instant_fields, read_json, to_json
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import Cancelled, WithdrawalStated
from chalicelib.core.deposit.events.lock import LockConfirmed
from chalicelib.core.deposit.events.order import Created, Line
from chalicelib.core.deposit.events.payment import PaymentPending, PaymentSucceeded
from chalicelib.core.deposit.events.refund import RefundApproved, RefundLine
from chalicelib.core.deposit.fold import ROWS
from chalicelib.core.merchant.bulk import BulkEvent
from chalicelib.core.reconciliation.run import BreakEvent, RunEvent, RunStarted
from chalicelib.core.selling.offer import OfferEvent
from tests.core.stories import PAID, T0, money, ordered, refused, wire
from tests.scope import examples

KINDS: Final[tuple[type[Any], ...]] = tuple(ROWS)
TEXTS: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
COUNTS: Final = st.integers(-(2**40), 2**40)
INSTANTS: Final = st.integers(0, LAST_INSTANT)
CURRENCIES: Final = st.sampled_from(sorted(currencies()))


def values(hint: Any, name: str, owner: Any) -> st.SearchStrategy[Any]:
    """Whatever an annotation allows."""
    if get_origin(hint) in {Union, UnionType}:
        (one,) = (kind for kind in get_args(hint) if kind is not NoneType)
        return st.none() | values(one, name, owner)
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0], name, owner), max_size=2).map(tuple)
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if hint is Money:
        least = -(10**15) if owner in SIGNED else 0
        return st.builds(Money, st.integers(least, 10**15), CURRENCIES)
    if isinstance(hint, type) and issubclass(hint, Struct):
        return events(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    if hint is int:
        return INSTANTS if name in instant_fields(owner) else COUNTS
    return {str: TEXTS, bool: st.booleans()}[hint]


def events(kind: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, **{name: values(hint, name, kind) for name, hint in hints(kind).items()})


def hints(kind: Any) -> dict[str, Any]:
    found = get_type_hints(kind)
    return {field.name: found[field.name] for field in fields(kind)}


@settings(max_examples=examples(150))
@given(event=st.sampled_from(KINDS).flatmap(events))
def test_every_event_comes_back_as_it_was(event: Any) -> None:
    assert read_json(type(event), json.loads(json.dumps(to_json(event)))) == event


@settings(max_examples=examples(150))
@given(event=st.sampled_from(KINDS).flatmap(events), data=st.data())
def test_what_is_read_is_what_would_be_written(event: Any, data: st.DataObject) -> None:
    """One form for every value; only members with a default of their own may be missing."""
    told = to_json(event)
    name = data.draw(st.sampled_from(sorted(told)))
    told[name] = data.draw(
        st.none() | st.booleans() | st.floats() | TEXTS | COUNTS | st.just([]) | st.just({}) | st.just(wire("1 CNY"))
    )
    try:
        found = read_json(type(event), told, "/here")
    except Refused as refusal:
        unlike = refusal
    else:
        assert to_json(found) == told
        return
    (fault,) = unlike.faults
    assert fault.pointer.startswith(f"/here/{name}")
    assert fault.why in policies.read("texts/en/faults.toml")


def numbers(kind: Any) -> set[str]:
    """The members that are whole numbers, inside too."""
    found: set[str] = set()
    for name, hint in hints(kind).items():
        inner = [hint, *get_args(hint)]
        found |= {name} if int in inner else set()
        found |= {
            deep
            for one in inner
            if isinstance(one, type) and issubclass(one, Struct) and one is not Money
            for deep in numbers(one)
        }
    return found


def records(kind: type[Any]) -> set[type[Any]]:
    """A record and the records inside it."""
    inner = {part for hint in hints(kind).values() for part in (hint, *get_args(hint))} - {Money}
    parts = [part for part in inner if isinstance(part, type) and issubclass(part, Struct)]
    return {kind}.union(*(records(part) for part in parts))


ALL_EVENTS: Final[set[type[Any]]] = {
    record
    for union in (DepositEvent, OfferEvent, BulkEvent, RunEvent, BreakEvent)
    for kind in get_args(union)
    for record in records(kind)
}
# The bounds of a run's span are instants whose names are part of the stored form.
NAMED_OTHERWISE: Final = {(RunStarted, "start"), (RunStarted, "end")}


@pytest.mark.parametrize("kind", sorted(ALL_EVENTS, key=repr))
def test_instants_have_the_name_and_the_type_of_an_instant(kind: Any) -> None:
    numbers = {name for name, hint in hints(kind).items() if int in (hint, *get_args(hint))}
    named = {name for name in numbers if names_instant(name) or (kind, name) in NAMED_OTHERWISE}
    assert instant_fields(kind) == named


def test_every_number_of_an_event_is_known_as_an_instant_or_a_count() -> None:
    named = {name for kind in KINDS for name in numbers(kind)}
    assert {name for name in named if not names_instant(name)} == {
        *(
            "claim",
            "destination",
            "dispute",
            "intent",
            "limit_units",
            "line",
            "lines",
            "payment",
            "priority_pass",
            "quantity",
        ),
        *("question", "refund", "refunds", "shard", "units", "withdrawal"),
    }


def test_an_event_as_people_read_it() -> None:
    line = RefundLine(LineCode.FORFEITED, money("10 CNY") - money("5010 CNY"), "CN-2026/earnest_cap")
    event = RefundApproved(T0, 1, Cause.BUYER_CANCEL, money("88.50 CNY"), (line,), T0 + 1, 1, "cap_1")
    assert to_json(event) == {
        "at": "2024-03-28T14:00:00.000Z",
        "refund": 1,
        "cause": "buyer_cancel",
        "amount": {"amount": "88.50", "currency": "CNY"},
        "lines": [
            {"code": "forfeited", "amount": {"amount": "-5000", "currency": "CNY"}, "rule": "CN-2026/earnest_cap"}
        ],
        "promised_by": "2024-03-28T14:00:00.001Z",
        "payment": 1,
        "capture": "cap_1",
    }


def test_nothing_is_written_as_nothing() -> None:
    paid = PaymentSucceeded(PAID, 1, "cap_1", money("1 CNY"), windowed=True, remind_at=(PAID, PAID + 1))
    assert "window_ends_at" not in to_json(paid)
    assert to_json(paid)["remind_at"] == ["2024-03-28T14:01:00.000Z", "2024-03-28T14:01:00.001Z"]
    assert "undo_until" not in to_json(LockConfirmed(PAID, 1, "sha256:0"))
    assert "stock" not in to_json(ordered().deposit.created)


def test_the_history_writes_what_is_empty() -> None:
    written = to_json(PaymentSucceeded(PAID, 1, "cap_1", money("1 CNY"), windowed=True), write_empty=True)
    assert written["window_ends_at"] is None
    assert written["remind_at"] == []
    assert to_json(RefundLine(LineCode.PAID, money("1 CNY")), write_empty=True) == {
        "code": "paid",
        "amount": wire("1 CNY"),
        "rule": None,
        "evidence": [],
    }


@pytest.mark.parametrize("value", [1.0, None, b"", {"a": 1}, Money])
def test_what_no_event_holds_is_not_written(value: object) -> None:
    with pytest.raises(TypeError):
        to_json(value)


def test_a_member_that_came_later_may_be_missing() -> None:
    told = {"sku": "a", "quantity": 1, "unit_price": wire("1 CNY")}
    assert read_json(Line, told) == Line("a", 1, money("1 CNY"))
    late = {field.name for kind in KINDS for field in fields(kind) if field.default is not NODEFAULT}
    assert {"batch", "limit_units", "token_key"} <= late


PENDING: Final = {"at": "2024-03-28T14:00:00.000Z", "payment": 1}
ENDED: Final = {"at": PENDING["at"], "cause": "buyer_cancel", "rule": "terms/window"}


@pytest.mark.parametrize(
    ("kind", "told", "pointer", "why"),
    [
        (PaymentPending, [],                                        "",          "not_object"),
        (PaymentPending, {"at": PENDING["at"]},                     "/payment",  "missing"),
        (PaymentPending, {**PENDING, "a/b~": 1},                    "/a~1b~0",   "unknown_field"),
        (PaymentPending, {**PENDING, "payment": True},              "/payment",  "not_integer"),
        (PaymentPending, {**PENDING, "payment": 1.0},               "/payment",  "not_integer"),
        (PaymentPending, {**PENDING, "payment": "1"},               "/payment",  "not_integer"),
        (PaymentPending, {**PENDING, "at": 1711634400000},          "/at",       "instant"),
        (PaymentPending, {**PENDING, "at": "2024-03-28"},           "/at",       "instant"),
        (PaymentPending, {**PENDING, "at": "2024-03-28T14:00:00Z"}, "/at",       "instant"),
        (PaymentPending, {**PENDING, "at": "2024-03-28T22:00:00.000+08:00"}, "/at", "instant"),
        (WithdrawalStated, {"at": PENDING["at"], "withdrawal": 1, "digest": 1},  "/digest",    "not_text"),
        (Cancelled, {**ENDED},                                      "/forfeited", "missing"),
        (Cancelled, {**ENDED, "forfeited": "0 CNY"},                "/forfeited", "not_object"),
        (Cancelled, {**ENDED, "forfeited": {}},                     "/forfeited/amount", "missing"),
        (Cancelled, {**ENDED, "forfeited": {"amount": "0"}},        "/forfeited/currency", "missing"),
        (Cancelled, {**ENDED, "forfeited": {**wire("0 CNY"), "minor": 0}}, "/forfeited/minor", "unknown_field"),
        (Cancelled, {**ENDED, "forfeited": wire("0 XXL")},          "/forfeited/currency", "currency"),
        (Cancelled, {**ENDED, "forfeited": {"amount": "0", "currency": []}}, "/forfeited/currency", "currency"),
        (Cancelled, {**ENDED, "forfeited": {"amount": 0, "currency": "CNY"}}, "/forfeited/amount", "amount"),
        (Cancelled, {**ENDED, "forfeited": wire("1,5 CNY")},        "/forfeited/amount", "amount"),
        (Cancelled, {**ENDED, "forfeited": wire("5.00 CNY")},       "/forfeited/amount", "amount"),
        (Cancelled, {**ENDED, "forfeited": wire("-1 CNY")},         "/forfeited/amount", "amount"),
        (Cancelled, {**ENDED, "forfeited": wire("-0 CNY")},         "/forfeited/amount", "amount"),
        (Cancelled, {**ENDED, "forfeited": wire("0.125 CNY")},      "/forfeited/amount", "decimals"),
        (Cancelled, {**ENDED, "forfeited": wire("0 CNY"), "fees": None}, "/fees",  "not_object"),
        (RefundLine, {"code": "paid", "amount": wire("-0 CNY")},    "/amount/amount", "amount"),
        (RefundLine, {"code": "paid", "amount": wire("1 CNY"), "evidence": "photo"}, "/evidence", "not_list"),
        (RefundLine, {"code": "paid", "amount": wire("1 CNY"), "evidence": []},      "/evidence", "too_few"),
        (RefundLine, {"code": "paid", "amount": wire("1 CNY"), "evidence": ["a", 1]}, "/evidence/1", "not_text"),
        (Line, {"sku": "a", "quantity": 1, "unit_price": wire("1 CNY"), "made_to_spec": 1}, "/made_to_spec", "not_boolean"),
    ],
)  # fmt: skip
def test_what_is_not_so_written_is_refused_where_it_stands(kind: type, told: Any, pointer: str, why: str) -> None:
    with refused(Reason.INVALID_REQUEST, (pointer, why)):
        read_json(kind, told)
    with refused(Reason.INVALID_REQUEST, (f"/events/0/data{pointer}", why)):
        read_json(kind, told, "/events/0/data")
    assert why in policies.read("texts/en/faults.toml")


def test_pointers_are_escaped() -> None:
    assert below(below("", "a/b~c"), 0) == "/a~1b~0c/0"
    assert read_json(Created, to_json(ordered().deposit.created)) == ordered().deposit.created
