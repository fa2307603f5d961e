"""A journal decided again: for each event, end and refund, what the rules give.

A refund is checked so before it is sent, and a proof lets anybody check it. Facts from outside (captures, shipments, texts of
people) are taken as recorded. Rules that the terms do not freeze are asked for each event's own instant, never for today.
"""

from collections.abc import Callable, Iterator, Sequence
from types import MappingProxyType
from typing import Final, ParamSpec, TypeVar

from msgspec.structs import replace

from chalicelib.core.claims import replay as claims
from chalicelib.core.common import instants
from chalicelib.core.common.instants import DAY
from chalicelib.core.common.refusal import Refused
from chalicelib.core.deadlines import NEVER, overdue
from chalicelib.core.delivery import replay as delivery
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.events.refund import RefundApproved
from chalicelib.core.deposit.fold import evolve, fold
from chalicelib.core.deposit.history import CauseRules, History, Replays
from chalicelib.core.deposit.refund import NO_CAPTURE
from chalicelib.core.ending import replay as ending
from chalicelib.core.locking import replay as locking
from chalicelib.core.merchant import replay as merchant
from chalicelib.core.paying import replay as paying
from chalicelib.core.paying.replay import must_return_money, returns_money
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding import replay as refunding
from chalicelib.core.selling import replay as selling

P = ParamSpec("P")
T = TypeVar("T")
# What rules raise for an impossible journal: refusals, missing steps in tables, sums that do not add up. Journals in proofs
# come from anybody, so none of these may escape.
IMPOSSIBLE: Final = (ArithmeticError, AssertionError, LookupError, Refused, RuntimeError, StopIteration, ValueError)


def decide_approval_again(
    deposit_id: str, events: Sequence[DepositEvent], n: int, terms: Terms
) -> RefundApproved | None:
    """The approval of refund ``n`` as the rules give it now; None when they give no such refund."""
    place = find_approval(events, n)
    if place is None:
        return None
    return try_rule(_decide_last_again, deposit_id, events[: place + 1], terms)


def approval_differs(deposit_id: str, events: Sequence[DepositEvent], n: int, terms: Terms) -> bool:
    """Whether the journal's approval of refund ``n`` is missing or not what the rules give. Such a refund is not sent."""
    place = find_approval(events, n)
    return place is None or decide_approval_again(deposit_id, events, n, terms) != events[place]


def list_overdue(deposit: Deposit, at: int, claims: bool) -> tuple[DepositEvent, ...]:
    """The deadline events at ``at`` without grace; with ``claims``, also decisions of claims by silence."""
    return overdue(deposit, at, at, at if claims else NEVER)


def try_rule(decide: Callable[P, T], *args: P.args, **named: P.kwargs) -> T | None:
    """The result of ``decide``, or None where it raises one of ``IMPOSSIBLE``."""
    try:
        return decide(*args, **named)
    except IMPOSSIBLE:
        return None


def find_approval(events: Sequence[DepositEvent], n: int) -> int | None:
    """The place of the approval of refund ``n``; None without one."""
    places = (place for place, event in enumerate(events) if isinstance(event, RefundApproved) and event.refund == n)
    return next(places, None)


def _decide_last_again(deposit_id: str, events: Sequence[DepositEvent], terms: Terms) -> RefundApproved | None:
    """The last event of a journal, an approval, decided again."""
    states: list[Deposit] = []
    for event in events[:-1]:
        states.append(apply_event(deposit_id, states, event))
    return _replay_approval(History(events, states, terms, list_overdue), len(events) - 1)


def apply_event(deposit_id: str, states: Sequence[Deposit], event: DepositEvent) -> Deposit:
    """The deposit after the event; ``states`` are those after each event before it."""
    return evolve(states[-1], event) if states else fold(deposit_id, [event])


def decide_event_again(history: History, place: int) -> DepositEvent | None:
    """The event at ``place`` as the rules give it; None when they give no such event there."""
    event = history.events[place]
    if place and must_return_money(history, place) and not returns_money(event):
        return None
    return REPLAYS[type(event)](history, place)


def _replay_approval(history: History, place: int) -> RefundApproved | None:
    """The approval that the rules give at ``place``; None when they give no refund there."""
    recorded, before = history.events[place], history.before(place)
    if not isinstance(recorded, RefundApproved) or recorded.refund != len(before.refunds) + 1:
        return None
    approvals = (event for event in CAUSES[recorded.cause](history, place) if isinstance(event, RefundApproved))
    approval = next((event for event in approvals if event.refund == recorded.refund), None)
    return _with_promise(approval, recorded, before, history.terms) if approval is not None else None


def _with_promise(approval: RefundApproved, recorded: RefundApproved, before: Deposit, terms: Terms) -> RefundApproved:
    """The promised date: the deadline of the terms, or the recorded earlier day on which the payment route closed."""
    latest = approval.at + instants.duration_ms(terms.refund.deadline)
    if approval.capture == NO_CAPTURE:
        return approval
    since_capture = recorded.promised_by - before.find_capture(approval.capture).at
    route_closes = approval.at < recorded.promised_by < latest and since_capture % DAY == 0
    return replace(approval, promised_by=recorded.promised_by if route_closes else latest)


def _replay_cancelled(history: History, place: int) -> DepositEvent | None:
    return next(_replay_end(history, place))


def _replay_end(history: History, place: int) -> Iterator[DepositEvent]:
    """The end at ``place`` by the rule of its cause. LookupError where the event is no end or its cause has no rule."""
    event = history.events[place]
    if not isinstance(event, Cancelled):
        raise LookupError("no end")  # noqa: TRY004 - as a table without such a step
    return ENDS[event.cause](history, place)


def _replay_refunds_of_end(history: History, place: int) -> Iterator[DepositEvent]:
    """The latest end before ``place``, with its refunds."""
    ends = [n for n, event in enumerate(history.events[:place]) if isinstance(event, Cancelled)]
    return _replay_end(history, ends[-1])


_CAPABILITIES: Final = (selling, paying, locking, delivery, ending, refunding, merchant, claims)
# How each event is decided again, and each end and each refund by its cause.
ENDS: Final[CauseRules] = MappingProxyType(
    {cause: rule for capability in _CAPABILITIES for cause, rule in capability.ENDS.items()}
)
CAUSES: Final[CauseRules] = MappingProxyType(
    {
        **dict.fromkeys((*ENDS, Cause.COMPENSATION), _replay_refunds_of_end),
        **{cause: rule for capability in _CAPABILITIES for cause, rule in capability.REFUNDS.items()},
    }
)
REPLAYS: Final[Replays] = MappingProxyType(
    {
        Cancelled: _replay_cancelled,
        RefundApproved: _replay_approval,
        **{event: rule for capability in _CAPABILITIES for event, rule in capability.REPLAYS.items()},
    }
)
