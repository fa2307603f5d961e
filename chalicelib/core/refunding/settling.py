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
    """A refund that the rules do not give when they are asked again: nothing is sent, a person looks."""

    refund: int


def record_seen(deposit: Deposit, seen: RefundSeen, at: int) -> Iterator[DepositEvent]:
    """What is new of a refund; where a bank has given its money meanwhile, that is its end."""
    for event in derive_steps(deposit.refunds[seen.refund - 1], seen):
        yield event
        deposit = evolve(deposit, event)
    yield from covering.cover_refunds(deposit, at)


def record_step(deposit: Deposit, event: RefundUnknown | RefundReviewNeeded, way: int) -> tuple[DepositEvent, ...]:
    """The step, or nothing when the refund has moved on meanwhile, or takes another way by now."""
    refund = deposit.refunds[event.refund - 1]
    asked_for = refund.status in UNANSWERED and refund.route_no == way
    return (event,) if asked_for and (refund.status, type(event)) in REFUND_TRANSITIONS else ()


def flag_mismatch(deposit: Deposit, n: int, at: int) -> tuple[DepositEvent, ...]:
    unsent = deposit.refunds[n - 1].status is RefundStatus.APPROVED
    return (RefundReviewNeeded(at, n, "proof_differs"),) if unsent else ()


COMMANDS: Final[Commands] = (
    CommandRow(RefundSeen, lambda deposit, seen, at, _terms: record_seen(deposit, seen, at), None, needed),
    CommandRow(
        RecordUnknownOutcome,
        lambda deposit, command, at, _terms: record_step(deposit, RefundUnknown(at, command.refund), command.way),
        None,
        needed,
    ),
    CommandRow(
        RecordNotFound,
        lambda deposit, command, at, _terms: record_step(
            deposit, RefundReviewNeeded(at, command.refund, "not_found"), command.way
        ),
        None,
        needed,
    ),
    CommandRow(
        FlagProofMismatch,
        lambda deposit, command, at, _terms: flag_mismatch(deposit, command.refund, at),
        None,
        needed,
    ),
)
