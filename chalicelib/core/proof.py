"""Proofs of refunds: built from a journal, and compared with what the rules give.

Anybody can compare a proof without access to the table. ``proof_document`` has the format, ``journal_replay`` the decisions.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from chalicelib import policies
from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.event_json import below
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.refund import RefundApproved
from chalicelib.core.deposit.history import History
from chalicelib.core.journal_replay import apply_event, decide_event_again, find_approval, list_overdue, try_rule
from chalicelib.core.policy.terms import Terms, compute_terms_hash
from chalicelib.core.proof_document import (
    CALCULATOR,
    OBJECT,
    Json,
    build_result,
    compute_digest,
    event_data,
    read_document,
    read_events,
    read_terms,
)


class Difference(NamedTuple):
    """A place where a proof differs from the rules: two JSON values, None where one has no value."""

    pointer: str
    expected: Any
    found: Any


def build_proof(deposit_id: str, events: Sequence[DepositEvent], n: int, terms: Terms) -> Json:
    """The proof of refund ``n``; NOT_FOUND when the journal has no such refund."""
    place = find_approval(events, n)
    if place is None:
        raise Refused(Reason.NOT_FOUND)
    approved = events[place]
    assert isinstance(approved, RefundApproved), "find_approval gives the place of an approval"
    document = {
        "object": OBJECT,
        "calculator": CALCULATOR,
        "refund": child("ref", deposit_id, n),
        "deposit": deposit_id,
        "cause": approved.cause.value,
        "terms_hash": compute_terms_hash(terms),
        "terms": terms.model_dump(mode="json", exclude={"items": {"__all__": {"stock"}}}),
        "events": [{"type": event.TYPE, "data": event_data(event)} for event in events[: place + 1]],
        "result": build_result(deposit_id, approved),
    }
    return {**document, "digest": compute_digest(document)}


def find_differences(proof: object) -> list[Difference]:
    """Where a proof differs from what the rules give, in the order of the document. Nothing in the proof is trusted.

    The comparison of events stops at the first impossible one, because the rest depends on it. INVALID_REQUEST with pointers
    for a document that is no proof.
    """
    document = read_document(proof)
    differences = list(_compare_json("/calculator", CALCULATOR, document["calculator"]))
    if differences:
        return [*differences, *_compare_digest(document)]  # events of another calculator may have another meaning
    terms, events = read_terms(document["terms"]), read_events(document["events"])
    differences += _compare_header(document, terms, events)
    unpublished = list(_find_unpublished_rules(terms))
    differences += unpublished or _compare_history(document, terms, events)
    return [*differences, *_compare_digest(document)]


def _compare_digest(document: Json) -> Iterator[Difference]:
    yield from _compare_json("/digest", compute_digest(document), document["digest"])


def _compare_header(document: Json, terms: Terms, events: Sequence[DepositEvent]) -> Iterator[Difference]:
    """The header members against the terms and the last event."""
    last = events[-1]
    if not isinstance(last, RefundApproved):
        yield Difference(f"/events/{len(events) - 1}/type", RefundApproved.TYPE, last.TYPE)
        return
    if parse_child("ref", document["refund"]) != (document["deposit"].partition("_")[2], last.refund):
        yield Difference("/refund", try_rule(child, "ref", document["deposit"], last.refund), document["refund"])
    yield from _compare_json("/cause", last.cause.value, document["cause"])
    yield from _compare_json("/terms_hash", compute_terms_hash(terms), document["terms_hash"])


def _find_unpublished_rules(terms: Terms) -> Iterator[Difference]:
    """Rule versions that this release does not have. Their names are only looked up: no file of that name is opened."""
    if terms.market_policy not in policies.names("markets"):
        yield Difference("/terms/market_policy", None, terms.market_policy)
    traded = terms.trade_in
    if traded is not None and f"{traded.schedule}-{traded.version}" not in policies.names("fees"):
        yield Difference("/terms/trade_in/schedule", None, traded.name)


def _compare_history(document: Json, terms: Terms, events: Sequence[DepositEvent]) -> Iterator[Difference]:
    """The first event that the rules do not give or that cannot happen, and a different result."""
    states: list[Deposit] = []
    history = History(events, states, terms, list_overdue)
    for place, event in enumerate(events):
        expected = try_rule(decide_event_again, history, place)
        if expected is not None and expected != event:
            yield from _compare_json(f"/events/{place}/data", event_data(expected), event_data(event))
        if expected == event:
            after = try_rule(apply_event, document["deposit"], states, event)
            expected = event if after is not None else None
            states += [after] if after is not None else []
        if expected is None:
            yield Difference(f"/events/{place}", None, event.TYPE)
        if isinstance(expected, RefundApproved) and place == len(events) - 1:
            yield from _compare_json("/result", build_result(document["deposit"], expected), document["result"])
        if expected != event:
            return


def _compare_json(pointer: str, expected: Any, actual: Any) -> Iterator[Difference]:
    """The places in which two JSON values differ."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in sorted({*expected, *actual}):
            inside = below(pointer, name)
            if name in expected and name in actual:
                yield from _compare_json(inside, expected[name], actual[name])
            else:
                yield Difference(inside, expected.get(name), actual.get(name))
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for place, pair in enumerate(zip(expected, actual, strict=True)):
            yield from _compare_json(below(pointer, place), *pair)
    elif type(expected) is not type(actual) or expected != actual:
        yield Difference(pointer, expected, actual)
