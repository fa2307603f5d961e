"""Proofs of refunds: a refund decided again from its journal, its terms and the dated rules, by whoever doubts it.

A proof is the journal up to the approval, the frozen terms and what came out, under one digest. Checking it asks the rules
for every figure that they decide; what only the world knows (captures, shipments, words of people) is taken as told.
Rules that are not frozen in the terms are asked for each event's own instant, never for today.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, ParamSpec, TypeVar, get_args

import rfc8785
from msgspec import Struct
from msgspec.structs import replace
from pydantic import ValidationError

from chalicelib import policies
from chalicelib.core.claims import answering, opening, remedy
from chalicelib.core.claims.answering import AcceptOffer, Claiming, Escalate, Respond, RuleClaim
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common import instants
from chalicelib.core.common.field_errors import field_errors_of
from chalicelib.core.common.fields import lists_to_tuples
from chalicelib.core.common.ids import child, parse_child, well_formed
from chalicelib.core.common.instants import DAY, format_instant
from chalicelib.core.common.money import Money, total
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deadlines import overdue
from chalicelib.core.delivery import fulfilment, trade_in
from chalicelib.core.delivery.fulfilment import Deliver, PayBalance, Ready, Ship
from chalicelib.core.delivery.trade_in import CancelTradeIn, Inspect
from chalicelib.core.deposit import claim
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.event_json import below, read_json, to_json, unreadable
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.events.claim import (
    ClaimAccepted,
    ClaimEscalated,
    ClaimGranted,
    ClaimOffered,
    ClaimOpened,
    ClaimPartlyUpheld,
    ClaimRejected,
    ClaimReminded,
    ClaimReversed,
    ClaimUpheld,
)
from chalicelib.core.deposit.events.ending import Cancelled, Completed, Expired, WithdrawalConfirmed
from chalicelib.core.deposit.events.goods import (
    GoodsDelivered,
    GoodsReady,
    GoodsReceived,
    GoodsShipped,
    TradeInCancelled,
    TradeInInspected,
)
from chalicelib.core.deposit.events.lock import (
    LockBecameFinal,
    LockConfirmed,
    LockedByPayment,
    LockedByWindowEnd,
    LockReminded,
    LockUndone,
)
from chalicelib.core.deposit.events.order import Created, ItemsChanged, Line
from chalicelib.core.deposit.events.payment import (
    BalanceOpened,
    BalanceOverdue,
    BalancePaid,
    ChargebackLost,
    ChargebackOpened,
    PaymentNotCounted,
    PaymentSucceeded,
)
from chalicelib.core.deposit.events.refund import RefundApproved, RefundCovered, RefundLine
from chalicelib.core.deposit.fold import evolve, fold
from chalicelib.core.deposit.payment import CaptureSeen, DisputeSeen
from chalicelib.core.deposit.refund import COMPENSATION, NO_CAPTURE
from chalicelib.core.ending import end, entitlement
from chalicelib.core.ending.entitlement import Leg
from chalicelib.core.locking import lock
from chalicelib.core.merchant import cancellation
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.paying import chargeback
from chalicelib.core.paying.captures import reminders, why_not_counted
from chalicelib.core.policy.claim_rules import ClaimKind
from chalicelib.core.policy.terms import Terms, terms_hash
from chalicelib.core.selling import changes, ordering
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import HandedIn, Order, Ordered, traded_in

Json = dict[str, Any]
P = ParamSpec("P")
T = TypeVar("T")

REVISION: Final = 1  # of the rules: raised when the same journal would give another amount
CALCULATOR: Final = f"earnest/{REVISION}"
OBJECT: Final = "refund_proof"
MAX_WORDS: Final = 2_000  # characters of a note
# They say nothing about money: where stock was drawn, the key to a receipt, and until when a withdrawal was possible
# (that it was confirmed in time stands in the journal, see _judged_at).
UNSHOWN: Final = frozenset({"batch", "stock", "limit_units", "token_key", "withdrawal_ends_at"})
KINDS: Final[Mapping[str, type[DepositEvent]]] = MappingProxyType({kind.TYPE: kind for kind in get_args(DepositEvent)})
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


class History(Struct, frozen=True):
    """A journal as far as it is told, with the deposit after each of its events."""

    events: Sequence[DepositEvent]
    states: Sequence[Deposit]
    terms: Terms

    def before(self, place: int) -> Deposit:
        """The deposit that the event at ``place`` meets."""
        if place < 1:
            raise LookupError("nothing stands before the creation")
        return self.states[place - 1]


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
        "cause": approved.cause,
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
    yield from _apart("/cause", last.cause, document["cause"])
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
    history = History(events, states, terms)
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
    return _approved(History(events, states, terms), len(events) - 1)


def _after(deposit_id: str, states: Sequence[Deposit], event: DepositEvent) -> Deposit:
    return evolve(states[-1], event) if states else fold(deposit_id, [event])


def _given(  # noqa: PLR0912 - a table of events
    history: History, place: int
) -> DepositEvent | None:
    """The event at ``place`` with the figures that the rules give it; as it stands where nothing but the world knows."""
    event, terms = history.events[place], history.terms
    if isinstance(event, Created):
        return _created(event, terms)
    before = history.before(place)
    if _is_owed(history, place) and not _sends_back(event):
        return None
    match event:
        case PaymentSucceeded() | BalancePaid() | PaymentNotCounted():
            return _arrived(before, event, terms)
        case LockConfirmed():
            return replace(event, undo_until=_undo_until(event.at, terms))
        case LockedByPayment():
            paid = before.paid if terms.lock.at == "payment" else None
            return LockedByPayment(paid.at, _undo_until(paid.at, terms)) if paid is not None else None
        case LockUndone():
            return lock.unlock(before, event.at)
        case LockReminded() | LockedByWindowEnd() | LockBecameFinal() | BalanceOverdue() | Expired():
            return event if event in overdue(before, event.at, event.at) else None
        case ClaimReminded() | ClaimGranted():
            return event if event in overdue(before, event.at, event.at, event.at) else None
        case ClaimEscalated():
            return _escalated(before, event, terms)
        case ItemsChanged():
            return next(_change(history, place))
        case BalanceOpened():
            return fulfilment.pay_balance(before, PayBalance(event.method), event.at, terms)
        case GoodsReady():
            return fulfilment.ready(before, Ready(event.lines, event.inspect_at, event.evidence), event.at, terms)
        case GoodsShipped():
            return next(fulfilment.ship(before, Ship(event.lines), event.at))
        case GoodsDelivered():
            word = Deliver(event.lines, event.delivered_at, event.evidence)
            return _as_ended(fulfilment.deliver(before, word, event.at, terms), event)
        case GoodsReceived():
            return _as_ended(fulfilment.receive(before, event.at, terms), event)
        case Completed():
            return event if fulfilment.all_left(before) else None
        case TradeInInspected():
            return next(trade_in.inspect(before, _inspection(event), event.at, terms))
        case TradeInCancelled():
            return next(trade_in.cancel(before, _fallen_through(event), event.at, terms))
        case Cancelled():
            return next(_end(history, place))
        case RefundApproved():
            return _approved(history, place)
        case ClaimOpened():
            return opening.open_claim(before, _claimed_as(event), event.at, terms)
        case ClaimOffered():
            command = Respond(event.claim, "offer", event.amount, event.statement)
            return answering.decide(before, command, event.at, terms)[0]
        case ClaimRejected():
            rejection = Respond(event.claim, "reject", statement=event.statement)
            return answering.decide(before, rejection, event.at, terms)[0]
        case ClaimAccepted() | ClaimUpheld() | ClaimPartlyUpheld():
            return _decided(before, event, terms)[0]
        case ClaimReversed():
            return next((one for one in _paid_claim(history, place) if isinstance(one, ClaimReversed)), None)
        case ChargebackOpened():
            known = any(one.capture == event.capture for one in before.captures)
            return replace(event, dispute=len(before.disputes) + 1) if known else None
        case ChargebackLost():
            return next(_lose(history, place))
        case _:
            return event


Arrived = TypeVar("Arrived", GoodsDelivered, GoodsReceived)


def _as_ended(given: Arrived, event: Arrived) -> Arrived:
    """With the end that was written down, or none: a later release may count its days otherwise."""
    return replace(given, withdrawal_ends_at=event.withdrawal_ends_at)


def _created(event: Created, terms: Terms) -> Created:
    """At the offer's prices, with its shipping, deposit and credit."""
    items, traded = _ordered(event.lines), event.trade_in
    old = HandedIn(traded.category, traded.model) if traded is not None else None
    order = Order(event.offer, items, event.method, event.terms_hash, trade_in=old)
    ordering.refuse_fields(order, terms, event.at)
    lines, given = ordering.priced(items, terms), traded_in(order, terms)
    whole = total((line.value for line in lines), terms.currency) + terms.shipping
    due_now = ordering.due_now(order.units, whole - given.credit if given is not None else whole, terms)
    due_at = event.at + instants.duration_ms(terms.payment.due_within)
    return replace(
        event,
        terms_hash=terms_hash(terms),
        lines=lines,
        shipping=terms.shipping,
        due_now=due_now,
        due_at=due_at,
        trade_in=given,
    )


def _ordered(lines: Sequence[Line]) -> tuple[Ordered, ...]:
    if any(line.quantity < 1 for line in lines):
        raise ValueError("a line has at least one unit")
    return tuple(Ordered(line.sku, line.quantity) for line in lines)


def _undo_until(at: int, terms: Terms) -> int | None:
    return at + instants.duration_ms(terms.lock.undo) if terms.lock.undo is not None else None


def _inspection(event: TradeInInspected) -> Inspect:
    outcome: Literal["matched", "mismatched"] = "mismatched" if event.outcome == "mismatched" else "matched"
    return Inspect(outcome, event.grounds, event.evidence)


def _fallen_through(event: TradeInCancelled) -> CancelTradeIn:
    by: Literal["seller", "courier"] = "courier" if event.by == "courier" else "seller"
    return CancelTradeIn(by)


# --- Money that arrived ---

Arrival = PaymentSucceeded | BalancePaid | PaymentNotCounted


def _arrived(before: Deposit, event: Arrival, terms: Terms) -> DepositEvent | None:
    cause = _why(before, event)
    if isinstance(event, PaymentNotCounted):
        at = max(event.at, before.created_at)
        return replace(event, at=at, cause=cause) if cause is not None else None
    if cause is not None or (before.payments[event.payment - 1].kind == "balance") != isinstance(event, BalancePaid):
        return None
    if isinstance(event, BalancePaid):
        return replace(event, at=max(event.at, before.payments[event.payment - 1].opened_at))
    return _window(replace(event, at=max(event.at, before.created_at)), terms)


def _why(before: Deposit, event: Arrival) -> str | None:
    """Why it was not counted, as the rules say; None when it pays."""
    if before.payments[event.payment - 1].n != event.payment:
        raise LookupError("no such payment")
    if any(one.capture == event.capture for one in before.captures):
        raise LookupError("a capture counts once")
    return why_not_counted(before, event.payment, CaptureSeen(event.capture, event.amount, event.at))


def _window(event: PaymentSucceeded, terms: Terms) -> PaymentSucceeded:
    """Hours are counted again. Days are as they stand: a later release may know holidays that this one did not."""
    ends_at = None
    if terms.window is not None and terms.lock.at == "window_end":
        elapsed = terms.window.kind == "elapsed"
        ends_at = event.at + instants.duration_ms(terms.window.length) if elapsed else event.window_ends_at
        if ends_at is None or ends_at <= event.at:
            raise ValueError("a window has an end")
    windowed = terms.lock.at != "payment"
    return replace(event, windowed=windowed, window_ends_at=ends_at, remind_at=reminders(terms, event.at, ends_at))


# --- Refunds, by their causes ---


def _approved(history: History, place: int) -> RefundApproved | None:
    """What the rules give where the journal has an approval; None when they give no refund there."""
    found, before = history.events[place], history.before(place)
    rule = RULES.get(found.cause) if isinstance(found, RefundApproved) else None
    if rule is None or not isinstance(found, RefundApproved) or found.refund != len(before.refunds) + 1:
        return None
    approvals = (event for event in rule(history, place) if isinstance(event, RefundApproved))
    given = next((event for event in approvals if event.refund == found.refund), None)
    return _promised(given, found, before, history.terms) if given is not None else None


def _promised(given: RefundApproved, found: RefundApproved, before: Deposit, terms: Terms) -> RefundApproved:
    """Within the deadline, or on the earlier day on which the way back closed, as routes were then."""
    latest = given.at + instants.duration_ms(terms.refund.deadline)
    if given.capture == NO_CAPTURE:
        return given
    since = found.promised_by - before.captured(given.capture).at
    closes = given.at < found.promised_by < latest and since % DAY == 0
    return replace(given, promised_by=found.promised_by if closes else latest)


def _ended(history: History, place: int) -> Iterator[DepositEvent]:
    ends = [n for n, event in enumerate(history.events[:place]) if isinstance(event, Cancelled)]
    return _end(history, ends[-1])


# What stands before an end that is not asked for by itself.
STEPS: Final[Mapping[str, type[DepositEvent]]] = MappingProxyType(
    {
        "withdrawal": WithdrawalConfirmed,
        "trade_in_mismatch": TradeInInspected,
        "trade_in_cancel": TradeInCancelled,
    }
)


def _end(history: History, place: int) -> Iterator[DepositEvent]:
    """The end that is written at ``place``, judged at its own instant, whatever was written before it meanwhile."""
    event, before, terms = history.events[place], history.before(place), history.terms
    if isinstance(event, Cancelled) and event.cause == remedy.CAUSE:
        ended = list(_paid_claim(history, place))
        return iter(ended[next(n for n, one in enumerate(ended) if isinstance(one, Cancelled)) :])
    if not isinstance(event, Cancelled) or RULES.get(event.cause) is not _ended:
        raise LookupError("nothing ends for this cause")
    step = STEPS.get(event.cause)
    if step is not None and not isinstance(history.events[place - 1], step):
        raise LookupError("nothing led to this end")
    if event.cause == cancellation.CAUSE:
        return cancellation.cancel(before, _by_merchant(event), event.at, terms)
    if event.cause == "buyer_default":
        fulfilment.refuse_default(before, event.at)
    owed = entitlement.compute_entitlement(before, terms, event.cause, _judged_at(event, before))
    return end.end(before, event.cause, owed, event.at, terms.refund.deadline)


def _by_merchant(event: Cancelled) -> MerchantCancel:
    """The command that led to it. Of a note only its digest is told, so it is taken to be as long as it has to be."""
    length = MAX_WORDS if event.note is not None else 0
    return MerchantCancel(event.reason or "", event.evidence, event.note, length, event.approver)


def _judged_at(event: Cancelled, before: Deposit) -> int:
    """When a withdrawal's period is over, its days say, which a later release may count otherwise.

    That it was confirmed in time stands in the journal, so it is asked at its beginning.
    """
    if event.cause == "withdrawal" and before.arrived_at is not None:
        return min(event.at, before.arrived_at)
    return event.at


def _is_owed(history: History, place: int) -> bool:
    """Whether money that was not due stands right before: nothing may follow but its way back."""
    arrival = _arrival(history, place)
    event = history.events[arrival]
    if isinstance(event, PaymentSucceeded | BalancePaid):
        return event.amount != history.before(arrival).payments[event.payment - 1].amount
    return isinstance(event, PaymentNotCounted)


def _sends_back(event: DepositEvent) -> bool:
    """Whether it gives such money back, or is the lock that comes with it."""
    if isinstance(event, RefundApproved):
        return RULES.get(event.cause) is _sent_back
    return isinstance(event, LockedByPayment)


def _arrival(history: History, place: int) -> int:
    """Where the capture would stand that made what stands at ``place``: right before, with at most its own lock between."""
    return place - 2 if isinstance(history.events[place - 1], LockedByPayment) else place - 1


def _sent_back(history: History, place: int) -> Iterator[DepositEvent]:
    arrival = _arrival(history, place)
    event, before, after = history.events[arrival], history.before(arrival), history.before(place)
    if not isinstance(event, PaymentSucceeded | BalancePaid | PaymentNotCounted):
        return
    cause, excess = _why(before, event), event.amount
    if not isinstance(event, PaymentNotCounted):
        if cause is not None:
            return
        cause, excess = "overpayment", event.amount - before.payments[event.payment - 1].amount
    if cause is not None and excess:
        leg = Leg(event.payment, event.capture, (RefundLine("paid", excess),))
        n, at = len(after.refunds) + 1, history.events[place].at
        yield from end.refund(after, n, cause, leg, at, history.terms.refund.deadline)


def _changed(history: History, place: int) -> Iterator[DepositEvent]:
    return _change(history, place - 1)


def _change(history: History, place: int) -> Iterator[DepositEvent]:
    event, before = history.events[place], history.before(place)
    if not isinstance(event, ItemsChanged):
        return
    command = ChangeItems(_ordered(event.lines), event.stock)
    for given in changes.change(before, command, event.at, history.terms):
        yield replace(given, limit_units=event.limit_units) if isinstance(given, ItemsChanged) else given


def _granted(history: History, place: int) -> Iterator[DepositEvent]:
    """The amount is the merchant's word; what was left of that capture and could be given bounds it."""
    event, before = history.events[place], history.before(place)
    assert isinstance(event, RefundApproved), "a rule is asked where an approval stands"
    captured = before.captured(event.capture)
    most = min(before.left_of(captured), before.refundable)
    if captured.counts and not before.disputed(captured.capture) and Money.zero(most.currency) < event.amount <= most:
        leg = Leg(captured.payment, captured.capture, (RefundLine("goodwill", event.amount),))
        yield from end.refund(
            before, event.refund, "goodwill", leg, event.at, history.terms.refund.deadline, note=event.note
        )


def _taken_by_bank(history: History, place: int) -> Iterator[DepositEvent]:
    """Behind the lost chargeback, and what it covered."""
    place -= 1
    while isinstance(history.events[place], RefundCovered):
        place -= 1
    return _lose(history, place)


def _lose(history: History, place: int) -> Iterator[DepositEvent]:
    event, before = history.events[place], history.before(place)
    if not isinstance(event, ChargebackLost):
        return
    dispute = before.disputes[event.dispute - 1]
    seen = DisputeSeen(dispute.ref, dispute.capture, dispute.amount, "lost")
    yield from chargeback.see(before, dispute.payment, seen, event.at, history.terms)


# --- Claims ---


def _claimed_as(event: ClaimOpened) -> OpenClaim:
    kind = next((kind for kind in get_args(ClaimKind) if kind == event.kind), None)
    if kind is None:
        raise LookupError("no such kind")
    return OpenClaim(kind, event.statement, event.lines, event.amount, event.evidence)


def _escalated(before: Deposit, event: ClaimEscalated, terms: Terms) -> DepositEvent | None:
    if event.by == "silence":
        return event if event in overdue(before, event.at, event.at, event.at) else None
    return answering.decide(before, Escalate(event.claim), event.at, terms)[0]


def _decided(before: Deposit, event: claim.Payer, terms: Terms) -> Sequence[DepositEvent]:
    """The decision that paid a claim, with all that follows from it."""
    if isinstance(event, ClaimGranted):
        return remedy.granted(before, answering.numbered(before, event.claim))
    return answering.decide(before, _answered_as(event), event.at, terms)


def _answered_as(event: ClaimAccepted | ClaimUpheld | ClaimPartlyUpheld) -> Claiming:
    if isinstance(event, ClaimUpheld):
        return RuleClaim(event.claim, "uphold", event.reason)
    if isinstance(event, ClaimPartlyUpheld):
        return RuleClaim(event.claim, "partly", event.reason, event.amount)
    if event.by == "merchant":
        return Respond(event.claim, "accept", statement=event.statement)
    return AcceptOffer(event.claim)


def _paid_claim(history: History, place: int) -> Iterator[DepositEvent]:
    """Behind the decision that it pays."""
    while not isinstance(history.events[place], claim.Payer):
        place -= 1
    event = history.events[place]
    assert isinstance(event, claim.Payer), "the loop ends there"
    yield from _decided(history.before(place), event, history.terms)


Rule = Callable[[History, int], Iterator[DepositEvent]]

# How each cause is decided again, from the place of its approval.
RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "buyer_cancel": _ended,
        "withdrawal": _ended,
        cancellation.CAUSE: _ended,
        COMPENSATION: _ended,
        "buyer_default": _ended,
        "trade_in_mismatch": _ended,
        "trade_in_cancel": _ended,
        "amount_mismatch": _sent_back,
        "late_payment": _sent_back,
        "duplicate_payment": _sent_back,
        "overpayment": _sent_back,
        "change": _changed,
        "goodwill": _granted,
        "chargeback": _taken_by_bank,
        remedy.CAUSE: _paid_claim,
    }
)
