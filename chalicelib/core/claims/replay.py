"""Claims decided again, for proofs."""

from collections.abc import Iterator, Sequence
from typing import Final, cast, get_args

from chalicelib.core.claims import answering, opening, remedy
from chalicelib.core.claims.answering import AcceptOffer, Escalate, Respond, RuleClaim
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.claim import Payer
from chalicelib.core.deposit.command_row import Command, as_events
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import (
    ClaimAccepted,
    ClaimAnsweredLate,
    ClaimDismissed,
    ClaimEscalated,
    ClaimEvidenceAdded,
    ClaimGranted,
    ClaimOffered,
    ClaimOpened,
    ClaimPartlyUpheld,
    ClaimRejected,
    ClaimReminded,
    ClaimReversed,
    ClaimUpheld,
    ClaimWithdrawn,
)
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.history import CauseRules, History, Replays, decide_claim_by_clock, take_as_recorded
from chalicelib.core.policy.claim_rules import ClaimKind
from chalicelib.core.policy.terms import Terms

_ROWS: Final = {row.type: row for row in answering.COMMANDS}
Answer = ClaimOffered | ClaimRejected | ClaimAccepted | ClaimUpheld | ClaimPartlyUpheld


def _replay_opened(history: History, place: int) -> DepositEvent | None:
    event = cast(ClaimOpened, history.events[place])
    kind = next((kind for kind in get_args(ClaimKind) if kind == event.kind), None)
    if kind is None:
        raise LookupError("no such kind")
    command = OpenClaim(kind, event.statement, event.lines, event.amount, event.evidence)
    return opening.open_claim(history.before(place), command, event.at, history.terms)


def _replay_answer(history: History, place: int) -> DepositEvent | None:
    event = cast(Answer, history.events[place])
    return _decide_answer_again(history.before(place), event, history.terms)[0]


def _replay_escalated(history: History, place: int) -> DepositEvent | None:
    event = cast(ClaimEscalated, history.events[place])
    if event.by == "silence":
        return decide_claim_by_clock(history, place)
    return _decide_command(history.before(place), Escalate(event.claim), event.at, history.terms)[0]


def _replay_reversed(history: History, place: int) -> DepositEvent | None:
    return next((event for event in _replay_payment(history, place) if isinstance(event, ClaimReversed)), None)


def _decide_answer_again(before: Deposit, event: Answer | ClaimGranted, terms: Terms) -> Sequence[DepositEvent]:
    """The answer and the events that follow from it."""
    if isinstance(event, ClaimGranted):
        return remedy.grant_by_silence(before, answering.find_claim(before, event.claim))
    return _decide_command(before, _restore_command(event), event.at, terms)


def _decide_command(before: Deposit, command: Command, at: int, terms: Terms) -> Sequence[DepositEvent]:
    return as_events(_ROWS[type(command)].decide(before, command, at, terms))


def _restore_command(event: Answer) -> answering.Claiming:
    """The command that led to an answer."""
    match event:
        case ClaimOffered():
            return Respond(event.claim, "offer", event.amount, event.statement)
        case ClaimRejected():
            return Respond(event.claim, "reject", statement=event.statement)
        case ClaimUpheld():
            return RuleClaim(event.claim, "uphold", event.reason)
        case ClaimPartlyUpheld():
            return RuleClaim(event.claim, "partly", event.reason, event.amount)
        case ClaimAccepted() if event.by == "merchant":
            return Respond(event.claim, "accept", statement=event.statement)
        case ClaimAccepted():
            return AcceptOffer(event.claim)


def _replay_payment(history: History, place: int) -> Iterator[DepositEvent]:
    """The decision that pays, at or before ``place``, and the events that follow from it."""
    while not isinstance(history.events[place], Payer):
        place -= 1
    event = cast(Payer, history.events[place])
    yield from _decide_answer_again(history.before(place), event, history.terms)


def _replay_end(history: History, place: int) -> Iterator[DepositEvent]:
    """The end that a decision on a claim causes, and the events after it."""
    events = list(_replay_payment(history, place))
    end = next(n for n, event in enumerate(events) if isinstance(event, Cancelled))
    return iter(events[end:])


REPLAYS: Final[Replays] = {
    ClaimOpened: _replay_opened,
    ClaimEvidenceAdded: take_as_recorded,
    ClaimOffered: _replay_answer,
    ClaimRejected: _replay_answer,
    ClaimEscalated: _replay_escalated,
    ClaimAccepted: _replay_answer,
    ClaimUpheld: _replay_answer,
    ClaimPartlyUpheld: _replay_answer,
    ClaimDismissed: take_as_recorded,
    ClaimWithdrawn: take_as_recorded,
    ClaimGranted: decide_claim_by_clock,
    ClaimAnsweredLate: take_as_recorded,
    ClaimReminded: decide_claim_by_clock,
    ClaimReversed: _replay_reversed,
}
ENDS: Final[CauseRules] = {Cause.CLAIM: _replay_end}
REFUNDS: Final[CauseRules] = {Cause.CLAIM: _replay_payment}
