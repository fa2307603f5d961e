"""Questions of a merchant to the buyer, and the buyer's answers."""

from typing import Final

from chalicelib.core.common import instants
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.command_row import Action, Command, CommandRow, Commands, needed, optional
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.ending import QuestionAnswered, QuestionAsked
from chalicelib.core.deposit.question import QuestionStatus
from chalicelib.core.deposit.status import Status
from chalicelib.core.policy.cancellation_reasons import QuestionKind, find_catalogue
from chalicelib.core.policy.terms import Terms

MAX_QUESTIONS: Final = 10  # of one deposit


class Ask(Command, frozen=True):
    """The merchant asks the buyer. ``digest`` is that of the text, which is stored elsewhere."""

    kind: QuestionKind
    digest: str


class AnswerQuestion(Command, frozen=True):
    """The buyer answers. ``digest`` is that of the text, which is stored elsewhere."""

    question: int
    digest: str


def refuse_question(deposit: Deposit, at: int, _terms: Terms) -> None:
    """WRONG_STATE for an ended deposit, RATE_LIMITED after ``MAX_QUESTIONS`` questions."""
    status = status_at(deposit, at)
    if status not in {Status.AWAITING_PAYMENT, Status.COOLING_OFF, Status.LOCKED}:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    if len(deposit.questions) >= MAX_QUESTIONS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_QUESTIONS)


def ask_question(deposit: Deposit, command: Ask, at: int, terms: Terms) -> QuestionAsked:
    refuse_question(deposit, at, terms)
    due_at = at + instants.duration_ms(find_catalogue(at).question.answer_within)
    return QuestionAsked(at, len(deposit.questions) + 1, command.kind, due_at, command.digest)


def answer_question(deposit: Deposit, command: AnswerQuestion, at: int, _terms: Terms) -> QuestionAnswered:
    """The answer, in time or late. An answered question is no longer evidence of silence. NOT_FOUND, WRONG_STATE."""
    if command.question > len(deposit.questions):
        raise Refused(Reason.NOT_FOUND)
    question = deposit.questions[command.question - 1]
    if question.status is QuestionStatus.ANSWERED:
        raise Refused(Reason.WRONG_STATE, state=question.status.value)
    return QuestionAnswered(at, command.question, command.digest)


COMMANDS: Final[Commands] = (
    CommandRow(Ask, ask_question, Action("merchant", "questions", refuse_question), optional),
    CommandRow(AnswerQuestion, answer_question, None, needed),
)
