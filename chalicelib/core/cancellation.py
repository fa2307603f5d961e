"""Cancellation by the merchant: only for a published reason with its evidence, and never at the buyer's cost.

The reasons with their labels, evidence and remedies are data: policies/reasons/cancellation.toml, with its source. Everything
that is not shipped comes back whatever the reason; what the merchant owes on top, and a second chance, say the remedies.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Final, Literal

from pydantic import Field

from chalicelib import policies
from chalicelib.core import ending, entitlement, instants, priority
from chalicelib.core.deposit import Deposit, Status, status_at
from chalicelib.core.events import Cancelled, DepositEvent, QuestionAnswered, QuestionAsked
from chalicelib.core.ids import child
from chalicelib.core.question import Kind, QuestionStatus
from chalicelib.core.refusal import Fault, Reason, Refused
from chalicelib.core.terms import Terms
from chalicelib.core.wire import Duration, Frozen, from_json

Whole = Annotated[int, Field(ge=0)]
Texts = dict[str, str]
MOST_QUESTIONS: Final = 10
CAUSE: Final = "merchant_cancel"


class Published(Frozen):
    """One reason. ``evidence`` is the least number of items, ``least_note`` of characters in plain words."""

    code: str
    label: Texts
    evidence: Whole
    evidence_required: Texts
    appealable: bool
    remedy: Literal["none", "pass", "seller_default", "seller_default_and_pass"]
    buyer_side: bool
    second_approver: bool
    question: Kind | None = None
    unpaid_only: bool = False
    least_note: Whole = 0

    @property
    def compensates(self) -> bool:
        return "seller_default" in self.remedy

    @property
    def grants_pass(self) -> bool:
        return "pass" in self.remedy


class QuestionRule(Frozen):
    """How long a buyer has to answer."""

    answer_within: Duration


class BulkRule(Frozen):
    """How many deposits one person may cancel at once without a second one, and how long that one has."""

    most_alone: Whole
    most_alone_percent: Whole
    always_alone: Whole
    approve_within: Duration
    most_deposits: Whole


class Catalogue(Frozen):
    """The whole file."""

    version: str
    source: str
    not_evidence: tuple[str, ...]
    question: QuestionRule
    bulk: BulkRule
    reason: tuple[Published, ...]


@cache
def catalogue() -> Catalogue:
    return Catalogue.model_validate(from_json(policies.read("reasons/cancellation.toml")))


@cache
def reasons() -> Mapping[str, Published]:
    return {one.code: one for one in catalogue().reason}


@dataclass(frozen=True, slots=True)
class MerchantCancel:
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


@dataclass(frozen=True, slots=True)
class Ask:
    """The merchant asks the buyer; the text is kept elsewhere."""

    kind: Kind
    digest: str


@dataclass(frozen=True, slots=True)
class AnswerQuestion:
    """The buyer answers."""

    question: int
    digest: str


def refuse(deposit: Deposit, at: int) -> None:
    """Whether a merchant could still cancel it, for whatever reason."""
    entitlement.refuse_ended(status_at(deposit, at))


def cancel(deposit: Deposit, command: MerchantCancel, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """Evidence first, then the state of the deposit, then the published list, then the second person."""
    refuse_fields(command)
    published = reasons().get(command.reason)
    if published is not None:
        _refuse_unasked(deposit, published, command.evidence, at - command.grace_ms)
    refuse(deposit, at)
    if published is None or command.reason not in terms.cancellation_reasons:
        raise Refused(Reason.REASON_NOT_PUBLISHED, code=command.reason)
    refuse_alone(command)
    if published.unpaid_only and deposit.paid is not None:
        raise Refused(Reason.WRONG_STATE, state=status_at(deposit, at).value)
    owed = entitlement.of(deposit, terms, CAUSE, at, compensated=published.compensates)
    ended, *refunds = ending.end(deposit, CAUSE, owed, at, terms.refund.deadline)
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
        yield priority.grant(len(deposit.passes) + 1, deposit.lines, command.reason, at)


def refuse_fields(command: MerchantCancel) -> None:
    """Fewer items than the reason needs; the same one twice is one, and an automated score is none."""
    published = reasons().get(command.reason)
    if published is None:
        return  # it cannot be in anybody's list: that is said behind the faults of fields
    if len(counting(command.evidence)) < published.evidence:
        raise Refused(Reason.EVIDENCE_REQUIRED, [Fault("/evidence", "too_few")], least=published.evidence)
    longest = max([command.note_length, *map(len, filter(_in_words, command.evidence))])
    if longest < published.least_note:
        raise Refused(Reason.EVIDENCE_REQUIRED, [Fault("/note", "too_short")], least_characters=published.least_note)


def refuse_alone(command: MerchantCancel) -> None:
    """Some reasons need another person of the merchant."""
    if reasons()[command.reason].second_approver and command.approver is None:
        raise Refused(Reason.APPROVAL_REQUIRED, code=command.reason)


def counting(evidence: Sequence[str]) -> tuple[str, ...]:
    """What counts as evidence, each item once."""
    scores = catalogue().not_evidence
    return tuple(dict.fromkeys(item for item in evidence if item.partition(":")[0].strip().casefold() not in scores))


def _in_words(item: str) -> bool:
    """The id of a record is no explanation, however long it is."""
    return not item.isascii() or " " in item


def _refuse_unasked(deposit: Deposit, published: Published, evidence: Sequence[str], at: int) -> None:
    """Address and contact reasons need a question of that kind that this buyer did not answer in time."""
    if published.question is None:
        return
    lapsed = {
        child("qst", deposit.id, one.n)
        for one in deposit.questions
        if one.asked.kind == published.question and one.status_at(at) is QuestionStatus.LAPSED
    }
    if lapsed.isdisjoint(evidence):
        raise Refused(Reason.EVIDENCE_REQUIRED, [Fault("/evidence", "question_needed")], question=published.question)


def refuse_question(deposit: Deposit, at: int) -> None:
    """While the order lives, and not without end."""
    status = status_at(deposit, at)
    if status not in {Status.AWAITING_PAYMENT, Status.COOLING_OFF, Status.LOCKED}:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    if len(deposit.questions) >= MOST_QUESTIONS:
        raise Refused(Reason.RATE_LIMITED, most=MOST_QUESTIONS)


def ask(deposit: Deposit, command: Ask, at: int) -> QuestionAsked:
    refuse_question(deposit, at)
    due_at = at + instants.duration_ms(catalogue().question.answer_within)
    return QuestionAsked(at, len(deposit.questions) + 1, command.kind, due_at, command.digest)


def answer(deposit: Deposit, command: AnswerQuestion, at: int) -> QuestionAnswered:
    """In time or late: what was not decided on the silence by then cannot be decided on it any more."""
    if command.question > len(deposit.questions):
        raise Refused(Reason.NOT_FOUND)
    one = deposit.questions[command.question - 1]
    if one.status is QuestionStatus.ANSWERED:
        raise Refused(Reason.WRONG_STATE, state=one.status.value)
    return QuestionAnswered(at, command.question, command.digest)
