"""Questions to the buyer: before an address or contact reason may be cited, the buyer is asked and has time to answer.

An automated score may open one and nothing more. The time to answer stands in policies/reasons/cancellation.toml.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal

from chalicelib.core.events import QuestionAnswered, QuestionAsked, QuestionEvent, QuestionLapsed

Kind = Literal["address", "contact", "verification"]


class QuestionStatus(StrEnum):
    """Where a question stands."""

    OPEN = "open"
    ANSWERED = "answered"
    LAPSED = "lapsed"


_S = QuestionStatus
# A late answer still counts as one: what was decided on the silence meanwhile stays decided.
TRANSITIONS: Final[Mapping[tuple[QuestionStatus, type[QuestionEvent]], QuestionStatus]] = MappingProxyType(
    {
        (_S.OPEN, QuestionAnswered): _S.ANSWERED,
        (_S.OPEN, QuestionLapsed): _S.LAPSED,
        (_S.LAPSED, QuestionAnswered): _S.ANSWERED,
    }
)


@dataclass(frozen=True, slots=True)
class Question:
    """``answered_at`` is None until the buyer answered."""

    n: int
    asked: QuestionAsked
    status: QuestionStatus = QuestionStatus.OPEN
    answered_at: int | None = None

    def status_at(self, at: int) -> QuestionStatus:
        """By the clock: the same before and after the lapse was written down."""
        if self.status is QuestionStatus.ANSWERED:
            return self.status
        return QuestionStatus.LAPSED if at >= self.asked.due_at else QuestionStatus.OPEN


def step(one: Question, event: QuestionAnswered | QuestionLapsed) -> Question:
    """The question after the event; KeyError when the table has no such step."""
    after = replace(one, status=TRANSITIONS[one.status, type(event)])
    return replace(after, answered_at=event.at) if isinstance(event, QuestionAnswered) else after
