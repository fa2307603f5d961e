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
from chalicelib.core.policy.cancellation_reasons import QuestionKind, catalogue

MAX_QUESTIONS: Final = 10


class Ask(Command, frozen=True):
    """The merchant asks the buyer; the text is kept elsewhere."""

    kind: QuestionKind
    digest: str


class AnswerQuestion(Command, frozen=True):
    """The buyer answers."""

    question: int
    digest: str


def refuse_question(deposit: Deposit, at: int) -> None:
    """While the order lives, and not without end."""
    status = status_at(deposit, at)
    if status not in {Status.AWAITING_PAYMENT, Status.COOLING_OFF, Status.LOCKED}:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    if len(deposit.questions) >= MAX_QUESTIONS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_QUESTIONS)


def ask(deposit: Deposit, command: Ask, at: int) -> QuestionAsked:
    refuse_question(deposit, at)
    due_at = at + instants.duration_ms(catalogue(at).question.answer_within)
    return QuestionAsked(at, len(deposit.questions) + 1, command.kind, due_at, command.digest)


def answer(deposit: Deposit, command: AnswerQuestion, at: int) -> QuestionAnswered:
    """In time or late: what was not decided on the silence by then cannot be decided on it any more."""
    if command.question > len(deposit.questions):
        raise Refused(Reason.NOT_FOUND)
    one = deposit.questions[command.question - 1]
    if one.status is QuestionStatus.ANSWERED:
        raise Refused(Reason.WRONG_STATE, state=one.status.value)
    return QuestionAnswered(at, command.question, command.digest)


COMMANDS: Final[Commands] = (
    CommandRow(
        Ask,
        lambda deposit, command, at, _terms: ask(deposit, command, at),
        Action("merchant", "questions", lambda deposit, at, _terms: refuse_question(deposit, at)),
        optional,
    ),
    CommandRow(AnswerQuestion, lambda deposit, command, at, _terms: answer(deposit, command, at), None, needed),
)
