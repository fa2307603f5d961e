"""A merchant's cancellation: only for a published reason, with the evidence that the reason asks for."""

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
    """The reason of a merchant's cancellation, as it was published at that instant."""
    return next((one for one in find_catalogue(ended.at).reason if one.code == ended.reason), None)


class MerchantCancel(Command, frozen=True):
    """The merchant ends it. ``note_length`` are the characters of a note that is kept elsewhere under its digest.

    ``approver`` is the second person, where somebody else of the merchant has approved it. A question has lapsed only
    ``grace_ms`` after its time: an answer that was sent in time may still be on its way.
    """

    reason: str
    evidence: tuple[str, ...]
    note: str | None = None
    note_length: int = 0
    approver: str | None = None
    grace_ms: int = 0


def refuse_cancellation(deposit: Deposit, at: int) -> None:
    """Whether a merchant could still cancel it, for whatever reason."""
    entitlement.refuse_ended(status_at(deposit, at))


def cancel_by_merchant(deposit: Deposit, command: MerchantCancel, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """Evidence first, then the state of the deposit, then the published list, then the second person."""
    refuse_evidence(command, at)
    published = find_reasons(at).get(command.reason)
    if published is not None:
        _refuse_without_question(deposit, published, command.evidence, at - command.grace_ms)
    refuse_cancellation(deposit, at)
    if published is None or command.reason not in terms.cancellation_reasons:
        raise Refused(Reason.REASON_NOT_PUBLISHED, code=command.reason)
    refuse_without_approver(command, published)
    if published.unpaid_only and deposit.paid is not None:
        raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)
    owed = entitlement.compute_entitlement(deposit, terms, Cause.MERCHANT_CANCEL, at, compensated=published.compensates)
    ended, *refunds = end.end_deposit(deposit, Cause.MERCHANT_CANCEL, owed, at, terms.refund.deadline)
    assert isinstance(ended, Cancelled), "an end begins with itself"
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
    """Fewer items than the reason needs; the same one twice is one, and an automated score is none."""
    published = find_reasons(at).get(command.reason)
    if published is None:
        return  # it cannot be in anybody's list: that is said behind the faults of fields
    if len(filter_evidence(command.evidence, at)) < published.evidence:
        raise Refused(Reason.EVIDENCE_REQUIRED, [FieldError("/evidence", "too_few")], least=published.evidence)
    longest = max([command.note_length, *map(len, filter(_is_text, command.evidence))])
    if longest < published.least_note:
        raise Refused(
            Reason.EVIDENCE_REQUIRED, [FieldError("/note", "too_short")], least_characters=published.least_note
        )


def refuse_without_approver(command: MerchantCancel, published: CancellationReason) -> None:
    """Some reasons need another person of the merchant."""
    if published.second_approver and command.approver is None:
        raise Refused(Reason.APPROVAL_REQUIRED, code=command.reason)


def filter_evidence(evidence: Sequence[str], at: int) -> tuple[str, ...]:
    """What counts as evidence, each item once."""
    scores = find_catalogue(at).not_evidence
    return tuple(dict.fromkeys(item for item in evidence if item.partition(":")[0].strip().casefold() not in scores))


def _is_text(item: str) -> bool:
    """The id of a record is no explanation, however long it is."""
    return not item.isascii() or " " in item


def _refuse_without_question(deposit: Deposit, published: CancellationReason, evidence: Sequence[str], at: int) -> None:
    """Address and contact reasons need a question of that kind that this buyer did not answer in time."""
    if published.question is None:
        return
    lapsed = {
        child("qst", deposit.id, one.n)
        for one in deposit.questions
        if one.asked.kind == published.question and one.status_at(at) is QuestionStatus.LAPSED
    }
    if lapsed.isdisjoint(evidence):
        raise Refused(
            Reason.EVIDENCE_REQUIRED, [FieldError("/evidence", "question_needed")], question=published.question
        )


COMMANDS: Final[Commands] = (
    CommandRow(
        MerchantCancel,
        cancel_by_merchant,
        Action("merchant", "merchant-cancel", lambda deposit, at, _terms: refuse_cancellation(deposit, at)),
        needed,
    ),
)
