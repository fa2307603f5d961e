"""Questions to the buyer: the record, its transition table, and how events change it.

A merchant may cite an address or contact reason only after asking the buyer and waiting for the time to answer.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.deposit.event_row import ANY_STATUS, EventRow, Rows
from chalicelib.core.deposit.events.ending import (
    QuestionAnswered,
    QuestionAsked,
    QuestionEvent,
    QuestionLapsed,
)
from chalicelib.core.deposit.ledger import no_postings
from chalicelib.core.deposit.rows import with_row

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


class QuestionStatus(StrEnum):
    """The status of a question."""

    OPEN = "open"
    ANSWERED = "answered"
    LAPSED = "lapsed"


_S = QuestionStatus
# A late answer counts as an answer. A decision made after the lapse and before the answer stands.
TRANSITIONS: Final[Mapping[tuple[QuestionStatus, type[QuestionEvent]], QuestionStatus]] = MappingProxyType(
    {
        (_S.OPEN, QuestionAnswered): _S.ANSWERED,
        (_S.OPEN, QuestionLapsed): _S.LAPSED,
        (_S.LAPSED, QuestionAnswered): _S.ANSWERED,
    }
)


class Question(Struct, frozen=True):
    """A question. ``answered_at`` is None until the buyer answers."""

    n: int
    asked: QuestionAsked
    status: QuestionStatus = QuestionStatus.OPEN
    answered_at: int | None = None

    def status_at(self, at: int) -> QuestionStatus:
        """The status at an instant. The same before and after the lapse is written."""
        if self.status is QuestionStatus.ANSWERED:
            return self.status
        return QuestionStatus.LAPSED if at >= self.asked.due_at else QuestionStatus.OPEN


def evolve_question(question: Question, event: QuestionAnswered | QuestionLapsed) -> Question:
    """The question after the event; KeyError when the table has no such step."""
    after = replace(question, status=TRANSITIONS[question.status, type(event)])
    return replace(after, answered_at=event.at) if isinstance(event, QuestionAnswered) else after


def add_question(deposit: "Deposit", event: QuestionAsked) -> "Deposit":
    return replace(deposit, questions=(*deposit.questions, Question(event.question, event)))


def step_question(deposit: "Deposit", event: QuestionAnswered | QuestionLapsed) -> "Deposit":
    stepped = evolve_question(deposit.questions[event.question - 1], event)
    return replace(deposit, questions=with_row(deposit.questions, stepped))


EVENTS: Final[Rows] = (
    EventRow(QuestionAsked, ANY_STATUS, add_question, no_postings),
    EventRow(QuestionAnswered, ANY_STATUS, step_question, no_postings),
    EventRow(QuestionLapsed, ANY_STATUS, step_question, no_postings),
)
