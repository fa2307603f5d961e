"""What is recorded of a refund after the provider was asked: answers, unknown outcomes, reviews."""

from collections.abc import Iterator
from typing import Final

from chalicelib.core.deposit.command_row import Command, CommandRow, Commands, needed
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.refund import RefundReviewNeeded, RefundUnknown
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.deposit.refund import TRANSITIONS as REFUND_TRANSITIONS
from chalicelib.core.deposit.refund import UNANSWERED, RefundStatus
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding import covering
from chalicelib.core.refunding.provider_answers import RefundSeen, derive_steps


class RecordUnknownOutcome(Command, frozen=True):
    """The provider gave no answer that can be read."""

    refund: int
    route_no: int = 0


class RecordNotFound(Command, frozen=True):
    """The provider does not know the refund and no longer remembers its key."""

    refund: int
    route_no: int = 0


class FlagProofMismatch(Command, frozen=True):
    """The rules do not give this refund when it is decided again: nothing is sent, a person reviews it."""

    refund: int


def record_seen(deposit: Deposit, seen: RefundSeen, at: int, _terms: Terms) -> Iterator[DepositEvent]:
    """What is new in the provider's record of a refund, and the refunds that a lost chargeback covers by now."""
    for event in derive_steps(deposit.refunds[seen.refund - 1], seen):
        yield event
        deposit = evolve(deposit, event)
    yield from covering.cover_refunds(deposit, at)


def record_unknown_outcome(
    deposit: Deposit, command: RecordUnknownOutcome, at: int, _terms: Terms
) -> tuple[DepositEvent, ...]:
    return _record_step(deposit, RefundUnknown(at, command.refund), command.route_no)


def record_not_found(deposit: Deposit, command: RecordNotFound, at: int, _terms: Terms) -> tuple[DepositEvent, ...]:
    return _record_step(deposit, RefundReviewNeeded(at, command.refund, "not_found"), command.route_no)


def _record_step(deposit: Deposit, event: RefundUnknown | RefundReviewNeeded, way: int) -> tuple[DepositEvent, ...]:
    """The step, or nothing where the refund has another status or another route by now."""
    refund = deposit.refunds[event.refund - 1]
    asked_for = refund.status in UNANSWERED and refund.route_no == way
    return (event,) if asked_for and (refund.status, type(event)) in REFUND_TRANSITIONS else ()


def flag_mismatch(deposit: Deposit, command: FlagProofMismatch, at: int, _terms: Terms) -> tuple[DepositEvent, ...]:
    unsent = deposit.refunds[command.refund - 1].status is RefundStatus.APPROVED
    return (RefundReviewNeeded(at, command.refund, "proof_differs"),) if unsent else ()


COMMANDS: Final[Commands] = (
    CommandRow(RefundSeen, record_seen, None, needed),
    CommandRow(RecordUnknownOutcome, record_unknown_outcome, None, needed),
    CommandRow(RecordNotFound, record_not_found, None, needed),
    CommandRow(FlagProofMismatch, flag_mismatch, None, needed),
)
