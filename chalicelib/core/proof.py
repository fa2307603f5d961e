"""Proofs of refunds: a refund decided again from its journal, its terms and the dated rules, by whoever doubts it.

A proof is the journal up to the approval, the frozen terms and what came out, under one digest. Checking it asks the rules
for every figure that they decide; what only the world knows (captures, shipments, words of people) is taken as told.
Rules that are not frozen in the terms are asked for each event's own instant, never for today.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

import rfc8785
from msgspec.structs import replace
from pydantic import ValidationError

from chalicelib import policies
from chalicelib.core.claims import replay as claims
from chalicelib.core.common import instants
from chalicelib.core.common.field_errors import field_errors_of
from chalicelib.core.common.fields import lists_to_tuples
from chalicelib.core.common.ids import child, parse_child, well_formed
from chalicelib.core.common.instants import DAY, format_instant
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deadlines import NEVER, overdue
from chalicelib.core.delivery import replay as delivery
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.event_json import below, read_json, to_json, unreadable
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.refund import RefundApproved
from chalicelib.core.deposit.fold import KINDS, evolve, fold
from chalicelib.core.deposit.history import CauseRules, History, Replays
from chalicelib.core.deposit.refund import NO_CAPTURE
from chalicelib.core.ending import replay as ending
from chalicelib.core.locking import replay as locking
from chalicelib.core.merchant import replay as merchant
from chalicelib.core.paying import replay as paying
from chalicelib.core.paying.replay import owes_arrival, sends_back
from chalicelib.core.policy.terms import Terms, terms_hash
from chalicelib.core.refunding import replay as refunding
from chalicelib.core.selling import replay as selling

Json = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")

REVISION: Final = 1  # of the rules: raised when the same journal would give another amount
CALCULATOR: Final = f"earnest/{REVISION}"
OBJECT: Final = "refund_proof"
# They say nothing about money: where stock was drawn, the key to a receipt, and until when a withdrawal was possible
# (that it was confirmed in time stands in the journal, see _judged_at).
UNSHOWN: Final = frozenset({"batch", "stock", "limit_units", "token_key", "withdrawal_ends_at"})
# How the rules say that something cannot be: refusals, tables without such a step, sums that do not add up. Journals in
# proofs come from anybody, so none of it may escape.
IMPOSSIBLE: Final = (
    ArithmeticError,
    AssertionError,
    LookupError,
    Refused,
    RuntimeError,
    StopIteration,
    ValueError,
)


class Difference(NamedTuple):
    """Where a proof says something else than the rules: JSON values, None where there is nothing."""

    pointer: str
    expected: Any
    found: Any


def expected(deposit_id: str, events: Sequence[DepositEvent], n: int, terms: Terms) -> RefundApproved | None:
    """The approval of refund ``n`` as the rules give it when they are asked again; None when they give no such refund."""
    place = _place(events, n)
    if place is None:
        return None
    return _possible(_again, deposit_id, events[: place + 1], terms)


def differs(deposit_id: str, events: Sequence[DepositEvent], n: int, terms: Terms) -> bool:
    """Whether the approval in the journal is not what the rules give: then nothing is sent."""
    place = _place(events, n)
    return place is None or expected(deposit_id, events, n, terms) != events[place]


def made(deposit_id: str, events: Sequence[DepositEvent], n: int, terms: Terms) -> Json:
    """The proof of refund ``n`` as JSON; NOT_FOUND when the journal has none."""
    place = _place(events, n)
    if place is None:
        raise Refused(Reason.NOT_FOUND)
    approved = events[place]
    assert isinstance(approved, RefundApproved), "_place finds approvals"
    told = {
        "object": OBJECT,
        "calculator": CALCULATOR,
        "refund": child("ref", deposit_id, n),
        "deposit": deposit_id,
        "cause": approved.cause.value,
        "terms_hash": terms_hash(terms),
        "terms": terms.model_dump(mode="json", exclude={"items": {"__all__": {"stock"}}}),
        "events": [{"type": event.TYPE, "data": _shown(event)} for event in events[: place + 1]],
        "result": _result(deposit_id, approved),
    }
    return {**told, "digest": _digest(told)}


def differences(proof: object) -> list[Difference]:
    """Everything in which a proof is not what the rules give, in the order of the document. Nothing in it is trusted.

    The journal is followed as far as the first event that cannot be: what comes after it follows from nothing.
    INVALID_REQUEST with pointers when it is no proof at all.
    """
    document = _document(proof)
    found = list(_apart("/calculator", CALCULATOR, document["calculator"]))
    if found:
        return [*found, *_of_digest(document)]  # another calculator's events may mean something else
    terms, events = _terms(document["terms"]), _events(document["events"])
    found += _of_names(document, terms, events)
    unpublished = list(_unpublished(terms))
    found += unpublished or _of_history(document, terms, events)
    return [*found, *_of_digest(document)]


# --- The document ---


def _shown(event: DepositEvent) -> Json:
    return {name: part for name, part in to_json(event).items() if name not in UNSHOWN}


def _result(deposit_id: str, approved: RefundApproved) -> Json:
    return {
        "amount": to_json(approved.amount),
        "lines": [to_json(line) for line in approved.lines],
        "promised_by": format_instant(approved.promised_by),
        "payment": child("pay", deposit_id, approved.payment),
        "capture": approved.capture,
    }


def _digest(document: Mapping[str, Any]) -> str:
    """``sha256:<hex>`` over canonical JSON (RFC 8785) of everything but the digest."""
    covered = {name: part for name, part in document.items() if name != "digest"}
    return "sha256:" + hashlib.sha256(bytes(rfc8785.dumps(covered))).hexdigest()


SHAPE: Final[Mapping[str, tuple[type, str]]] = MappingProxyType(
    {
        "object": (str, "not_text"),
        "calculator": (str, "not_text"),
        "refund": (str, "not_text"),
        "deposit": (str, "not_text"),
        "cause": (str, "not_text"),
        "terms_hash": (str, "not_text"),
        "terms": (dict, "not_object"),
        "events": (list, "not_list"),
        "result": (dict, "not_object"),
        "digest": (str, "not_text"),
    }
)


def _document(proof: object) -> Json:
    """The outer shape: every member there, none unknown, ids well formed, all of it within canonical JSON."""
    if not isinstance(proof, dict):
        raise unreadable("", "not_object")
    for name in proof:
        if name not in SHAPE:
            raise unreadable(below("", str(name)), "unknown_field")
    for name, (kind, why) in SHAPE.items():
        if name not in proof:
            raise unreadable(below("", name), "missing")
        if not isinstance(proof[name], kind):
            raise unreadable(below("", name), why)
    if proof["object"] != OBJECT:
        raise unreadable("/object", "choice")
    if not well_formed("dep", proof["deposit"]):
        raise unreadable("/deposit", "not_well_formed")
    if parse_child("ref", proof["refund"]) is None:
        raise unreadable("/refund", "not_well_formed")
    if not proof["events"]:
        raise unreadable("/events", "too_few")
    try:
        _digest(proof)
    except (RecursionError, ValueError):
        raise unreadable("", "invalid") from None
    return proof


def _terms(value: Json) -> Terms:
    try:
        return Terms.model_validate(lists_to_tuples(value))
    except ValidationError as invalid:
        raise Refused(Reason.INVALID_REQUEST, field_errors_of(invalid, "/terms")) from None


def _events(values: Sequence[object]) -> tuple[DepositEvent, ...]:
    return tuple(_event(value, below("/events", place)) for place, value in enumerate(values))


def _event(value: object, pointer: str) -> DepositEvent:
    if not isinstance(value, dict):
        raise unreadable(pointer, "not_object")
    for name in value:
        if name not in {"type", "data"}:
            raise unreadable(below(pointer, name), "unknown_field")
    for name in ("type", "data"):
        if name not in value:
            raise unreadable(below(pointer, name), "missing")
    kind = KINDS.get(value["type"]) if isinstance(value["type"], str) else None
    if kind is None:
        raise unreadable(below(pointer, "type"), "choice")
    data = value["data"]
    hidden = next((name for name in data if name in UNSHOWN), None) if isinstance(data, dict) else None
    if hidden is not None:
        raise unreadable(below(below(pointer, "data"), hidden), "unknown_field")
    return read_json(kind, data, below(pointer, "data"))


# --- What is different ---


def _of_digest(document: Json) -> Iterator[Difference]:
    yield from _apart("/digest", _digest(document), document["digest"])


def _of_names(document: Json, terms: Terms, events: Sequence[DepositEvent]) -> Iterator[Difference]:
    """What stands at the top of a proof, against what follows."""
    last = events[-1]
    if not isinstance(last, RefundApproved):
        yield Difference(f"/events/{len(events) - 1}/type", RefundApproved.TYPE, last.TYPE)
        return
    if parse_child("ref", document["refund"]) != (document["deposit"].partition("_")[2], last.refund):
        yield Difference("/refund", _possible(child, "ref", document["deposit"], last.refund), document["refund"])
    yield from _apart("/cause", last.cause.value, document["cause"])
    yield from _apart("/terms_hash", terms_hash(terms), document["terms_hash"])


def _unpublished(terms: Terms) -> Iterator[Difference]:
    """Rules that this release does not have: nothing can be asked of them. Names of files are looked up, never opened."""
    if terms.market_policy not in policies.names("markets"):
        yield Difference("/terms/market_policy", None, terms.market_policy)
    traded = terms.trade_in
    if traded is not None and f"{traded.schedule}-{traded.version}" not in policies.names("fees"):
        yield Difference("/terms/trade_in/schedule", None, traded.name)


def _of_history(document: Json, terms: Terms, events: Sequence[DepositEvent]) -> Iterator[Difference]:
    """The first event that the rules do not give or that cannot happen, and a result that is not theirs."""
    states: list[Deposit] = []
    history = History(events, states, terms, _overdue)
    for place, event in enumerate(events):
        given = _possible(_given, history, place)
        if given is not None and given != event:
            yield from _apart(f"/events/{place}/data", _shown(given), _shown(event))
        if given == event:
            after = _possible(_after, document["deposit"], states, event)
            given = event if after is not None else None
            states += [after] if after is not None else []
        if given is None:
            yield Difference(f"/events/{place}", None, event.TYPE)
        if isinstance(given, RefundApproved) and place == len(events) - 1:
            yield from _apart("/result", _result(document["deposit"], given), document["result"])
        if given != event:
            return


def _apart(pointer: str, wanted: Any, found: Any) -> Iterator[Difference]:
    """The places in which two JSON values are not the same."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in sorted({*wanted, *found}):
            inside = below(pointer, name)
            if name in wanted and name in found:
                yield from _apart(inside, wanted[name], found[name])
            else:
                yield Difference(inside, wanted.get(name), found.get(name))
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for place, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _apart(below(pointer, place), one, other)
    elif type(wanted) is not type(found) or wanted != found:
        yield Difference(pointer, wanted, found)


# --- The journal again ---


def _overdue(deposit: Deposit, at: int, claims: bool) -> tuple[DepositEvent, ...]:
    return overdue(deposit, at, at, at if claims else NEVER)


def _possible(decide: Callable[P, T], *args: P.args, **named: P.kwargs) -> T | None:
    """What comes out, or None when it cannot be."""
    try:
        return decide(*args, **named)
    except IMPOSSIBLE:
        return None


def _place(events: Sequence[DepositEvent], n: int) -> int | None:
    found = (place for place, event in enumerate(events) if isinstance(event, RefundApproved) and event.refund == n)
    return next(found, None)


def _again(deposit_id: str, events: Sequence[DepositEvent], terms: Terms) -> RefundApproved | None:
    """The last event of a journal, an approval, decided again."""
    states: list[Deposit] = []
    for event in events[:-1]:
        states.append(_after(deposit_id, states, event))
    return _approved(History(events, states, terms, _overdue), len(events) - 1)


def _after(deposit_id: str, states: Sequence[Deposit], event: DepositEvent) -> Deposit:
    return evolve(states[-1], event) if states else fold(deposit_id, [event])


def _given(history: History, place: int) -> DepositEvent | None:
    """The event at ``place`` as the rules give it; None when they give no such event there."""
    event = history.events[place]
    if place and owes_arrival(history, place) and not sends_back(event):
        return None
    return REPLAYS[type(event)](history, place)


def _approved(history: History, place: int) -> RefundApproved | None:
    """What the rules give where the journal has an approval; None when they give no refund there."""
    found, before = history.events[place], history.before(place)
    if not isinstance(found, RefundApproved) or found.refund != len(before.refunds) + 1:
        return None
    approvals = (event for event in CAUSES[found.cause](history, place) if isinstance(event, RefundApproved))
    given = next((event for event in approvals if event.refund == found.refund), None)
    return _promised(given, found, before, history.terms) if given is not None else None


def _promised(given: RefundApproved, found: RefundApproved, before: Deposit, terms: Terms) -> RefundApproved:
    """Within the deadline, or on the earlier day on which the route closed, as routes were then."""
    latest = given.at + instants.duration_ms(terms.refund.deadline)
    if given.capture == NO_CAPTURE:
        return given
    since = found.promised_by - before.captured(given.capture).at
    closes = given.at < found.promised_by < latest and since % DAY == 0
    return replace(given, promised_by=found.promised_by if closes else latest)


def _cancelled(history: History, place: int) -> DepositEvent | None:
    return next(_end(history, place))


def _end(history: History, place: int) -> Iterator[DepositEvent]:
    """The end that is written at ``place``, by the rule of its cause. LookupError where nothing ends for that cause."""
    event = history.events[place]
    if not isinstance(event, Cancelled):
        raise LookupError("no end")  # noqa: TRY004 - a step that the tables do not have
    return ENDS[event.cause](history, place)


def _refunds_of_end(history: History, place: int) -> Iterator[DepositEvent]:
    """The end before an approval, with all that it gives back."""
    ends = [n for n, event in enumerate(history.events[:place]) if isinstance(event, Cancelled)]
    return _end(history, ends[-1])


_CAPABILITIES: Final = (
    selling,
    paying,
    locking,
    delivery,
    ending,
    refunding,
    merchant,
    claims,
)
# How each event is decided again, and each end and each refund by its cause.
ENDS: Final[CauseRules] = MappingProxyType(
    {cause: rule for capability in _CAPABILITIES for cause, rule in capability.ENDS.items()}
)
CAUSES: Final[CauseRules] = MappingProxyType(
    {
        **dict.fromkeys((*ENDS, Cause.COMPENSATION), _refunds_of_end),
        **{cause: rule for capability in _CAPABILITIES for cause, rule in capability.REFUNDS.items()},
    }
)
REPLAYS: Final[Replays] = MappingProxyType(
    {
        Cancelled: _cancelled,
        RefundApproved: _approved,
        **{event: rule for capability in _CAPABILITIES for event, rule in capability.REPLAYS.items()},
    }
)
