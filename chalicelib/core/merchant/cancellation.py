"""A merchant's cancellation: only for a published reason, with the evidence that the reason requires."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from chalicelib.core.common.ids import child
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.command_row import Action, Command, CommandRow, Commands, needed
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import Cancelled
from chalicelib.core.deposit.question import QuestionStatus
from chalicelib.core.ending import end, entitlement, second_chance
from chalicelib.core.policy.cancellation_reasons import CancellationReason, find_catalogue, find_reasons
from chalicelib.core.policy.terms import Terms


def find_cited_reason(ended: Cancelled) -> CancellationReason | None:
    """The reason of a merchant's cancellation as it was published at that instant; None for other ends."""
    return next((reason for reason in find_catalogue(ended.at).reason if reason.code == ended.reason), None)


class MerchantCancel(Command, frozen=True):
    """The merchant ends the deposit. ``note`` is the digest of a note of ``note_length`` characters.

    ``approver`` is the second person of the merchant who approved it. A question counts as lapsed only ``grace_ms`` after its
    due time: an answer sent in time may not be recorded yet.
    """

    reason: str
    evidence: tuple[str, ...]
    note: str | None = None
    note_length: int = 0
    approver: str | None = None
    grace_ms: int = 0


def refuse_cancellation(deposit: Deposit, at: int, _terms: Terms) -> None:
    """ALREADY_CANCELLED or WRONG_STATE where the deposit has ended."""
    entitlement.refuse_ended(status_at(deposit, at))


def cancel_by_merchant(deposit: Deposit, command: MerchantCancel, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The end. It checks evidence, then the deposit's state, then the published list, then the second person."""
    refuse_evidence(command, at)
    published = find_reasons(at).get(command.reason)
    if published is not None:
        _refuse_without_question(deposit, published, command.evidence, at - command.grace_ms)
    refuse_cancellation(deposit, at, terms)
    if published is None or command.reason not in terms.cancellation_reasons:
        raise Refused(Reason.REASON_NOT_PUBLISHED, code=command.reason)
    refuse_without_approver(command, published)
    if published.unpaid_only and deposit.paid is not None:
        raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)
    ended, *refunds = end.end_by_terms(deposit, Cause.MERCHANT_CANCEL, at, terms, compensated=published.compensates)
    assert isinstance(ended, Cancelled), "end_deposit gives the end first"
    yield replace(
        ended,
        reason=command.reason,
        evidence=command.evidence,
        note=command.note,
        approver=command.approver,
        counted=published.buyer_side,
    )
    yield from refunds
    if published.grants_pass:
        yield second_chance.grant_pass(len(deposit.passes) + 1, deposit.lines, command.reason, at)


def refuse_evidence(command: MerchantCancel, at: int) -> None:
    """EVIDENCE_REQUIRED for fewer items or a shorter explanation than the reason requires.

    A repeated item counts once, an automated score not at all.
    """
    published = find_reasons(at).get(command.reason)
    if published is None:
        return  # REASON_NOT_PUBLISHED follows later: errors of fields come first
    if len(filter_evidence(command.evidence, at)) < published.evidence:
        raise Refused(Reason.EVIDENCE_REQUIRED, [FieldError("/evidence", "too_few")], least=published.evidence)
    longest_text = max([command.note_length, *map(len, filter(_is_text, command.evidence))])
    if longest_text < published.least_note:
        raise Refused(
            Reason.EVIDENCE_REQUIRED, [FieldError("/note", "too_short")], least_characters=published.least_note
        )


def refuse_without_approver(command: MerchantCancel, published: CancellationReason) -> None:
    """APPROVAL_REQUIRED where the reason needs a second person of the merchant and none has approved."""
    if published.second_approver and command.approver is None:
        raise Refused(Reason.APPROVAL_REQUIRED, code=command.reason)


def filter_evidence(evidence: Sequence[str], at: int) -> tuple[str, ...]:
    """The items that count as evidence, each once."""
    scores = find_catalogue(at).not_evidence
    return tuple(dict.fromkeys(item for item in evidence if item.partition(":")[0].strip().casefold() not in scores))


def _is_text(item: str) -> bool:
    """Whether an item is an explanation in words and not the id of a record."""
    return not item.isascii() or " " in item


def _refuse_without_question(deposit: Deposit, published: CancellationReason, evidence: Sequence[str], at: int) -> None:
    """EVIDENCE_REQUIRED unless the evidence names a lapsed question of the kind that the reason requires."""
    if published.question is None:
        return
    lapsed = {
        child("qst", deposit.id, question.n)
        for question in deposit.questions
        if question.asked.kind == published.question and question.status_at(at) is QuestionStatus.LAPSED
    }
    if lapsed.isdisjoint(evidence):
        raise Refused(
            Reason.EVIDENCE_REQUIRED, [FieldError("/evidence", "question_needed")], question=published.question
        )


COMMANDS: Final[Commands] = (
    CommandRow(MerchantCancel, cancel_by_merchant, Action("merchant", "merchant-cancel", refuse_cancellation), needed),
)
