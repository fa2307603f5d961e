"""The shapes of questions in answers."""

from typing import Annotated, Literal, get_args

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core.deposit.question import QuestionStatus
from chalicelib.core.policy import cancellation_reasons
from chalicelib.web.edge.values import CLOSED, InstantAnswer, one_of

QuestionKindAnswer = Annotated[str, one_of(get_args(cancellation_reasons.QuestionKind))]


@with_config(CLOSED)
class QuestionAnswer(TypedDict):
    """A merchant's question. Without an answer it lapses at ``due_at``."""

    id: str
    object: Literal["question"]
    deposit: str
    kind: QuestionKindAnswer
    status: Annotated[str, one_of(QuestionStatus)]
    text: str
    answer: str | None
    due_at: InstantAnswer
    answered_at: InstantAnswer | None
    created_at: InstantAnswer
