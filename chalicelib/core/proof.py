"""Proofs of refunds: a refund decided again from its journal, its terms and the dated rules, by whoever doubts it.

A proof is the journal up to the approval, the frozen terms and what came out, under one digest. Checking it asks the rules
for every figure that they decide; what only the world knows (captures, shipments, words of people) is taken as told.
Rules that are not frozen in the terms are asked for each event's own instant, never for today.
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
from chalicelib.core.journal_replay import _list_overdue, apply_event, decide_event_again, find_approval, try_rule
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
    """Where a proof says something else than the rules: JSON values, None where there is nothing."""

    pointer: str
    expected: Any
    found: Any


def build_proof(deposit_id: str, events: Sequence[DepositEvent], n: int, terms: Terms) -> Json:
    """The proof of refund ``n`` as JSON; NOT_FOUND when the journal has none."""
    place = find_approval(events, n)
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
        "terms_hash": compute_terms_hash(terms),
        "terms": terms.model_dump(mode="json", exclude={"items": {"__all__": {"stock"}}}),
        "events": [{"type": event.TYPE, "data": event_data(event)} for event in events[: place + 1]],
        "result": build_result(deposit_id, approved),
    }
    return {**told, "digest": compute_digest(told)}


def find_differences(proof: object) -> list[Difference]:
    """Everything in which a proof is not what the rules give, in the order of the document. Nothing in it is trusted.

    The journal is followed as far as the first event that cannot be: what comes after it follows from nothing.
    INVALID_REQUEST with pointers when it is no proof at all.
    """
    document = read_document(proof)
    found = list(_compare_json("/calculator", CALCULATOR, document["calculator"]))
    if found:
        return [*found, *_compare_digest(document)]  # another calculator's events may mean something else
    terms, events = read_terms(document["terms"]), read_events(document["events"])
    found += _compare_header(document, terms, events)
    unpublished = list(_find_unpublished_rules(terms))
    found += unpublished or _compare_history(document, terms, events)
    return [*found, *_compare_digest(document)]


# --- What is different ---


def _compare_digest(document: Json) -> Iterator[Difference]:
    yield from _compare_json("/digest", compute_digest(document), document["digest"])


def _compare_header(document: Json, terms: Terms, events: Sequence[DepositEvent]) -> Iterator[Difference]:
    """What stands at the top of a proof, against what follows."""
    last = events[-1]
    if not isinstance(last, RefundApproved):
        yield Difference(f"/events/{len(events) - 1}/type", RefundApproved.TYPE, last.TYPE)
        return
    if parse_child("ref", document["refund"]) != (document["deposit"].partition("_")[2], last.refund):
        yield Difference("/refund", try_rule(child, "ref", document["deposit"], last.refund), document["refund"])
    yield from _compare_json("/cause", last.cause.value, document["cause"])
    yield from _compare_json("/terms_hash", compute_terms_hash(terms), document["terms_hash"])


def _find_unpublished_rules(terms: Terms) -> Iterator[Difference]:
    """Rules that this release does not have: nothing can be asked of them. Names of files are looked up, never opened."""
    if terms.market_policy not in policies.names("markets"):
        yield Difference("/terms/market_policy", None, terms.market_policy)
    traded = terms.trade_in
    if traded is not None and f"{traded.schedule}-{traded.version}" not in policies.names("fees"):
        yield Difference("/terms/trade_in/schedule", None, traded.name)


def _compare_history(document: Json, terms: Terms, events: Sequence[DepositEvent]) -> Iterator[Difference]:
    """The first event that the rules do not give or that cannot happen, and a result that is not theirs."""
    states: list[Deposit] = []
    history = History(events, states, terms, _list_overdue)
    for place, event in enumerate(events):
        given = try_rule(decide_event_again, history, place)
        if given is not None and given != event:
            yield from _compare_json(f"/events/{place}/data", event_data(given), event_data(event))
        if given == event:
            after = try_rule(apply_event, document["deposit"], states, event)
            given = event if after is not None else None
            states += [after] if after is not None else []
        if given is None:
            yield Difference(f"/events/{place}", None, event.TYPE)
        if isinstance(given, RefundApproved) and place == len(events) - 1:
            yield from _compare_json("/result", build_result(document["deposit"], given), document["result"])
        if given != event:
            return


def _compare_json(pointer: str, wanted: Any, found: Any) -> Iterator[Difference]:
    """The places in which two JSON values are not the same."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in sorted({*wanted, *found}):
            inside = below(pointer, name)
            if name in wanted and name in found:
                yield from _compare_json(inside, wanted[name], found[name])
            else:
                yield Difference(inside, wanted.get(name), found.get(name))
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for place, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _compare_json(below(pointer, place), one, other)
    elif type(wanted) is not type(found) or wanted != found:
        yield Difference(pointer, wanted, found)
