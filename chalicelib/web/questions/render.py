"""A question as an answer."""

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import format_instant
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.question import Question
from chalicelib.flows.questions import QuestionText
from chalicelib.web.questions.answers import QuestionAnswer


def question(deposit: Deposit, question: Question, words: QuestionText, at: int) -> QuestionAnswer:
    return {
        "id": child("qst", deposit.id, question.n),
        "object": "question",
        "deposit": deposit.id,
        "kind": question.asked.kind,
        "status": question.status_at(at).value,
        "text": words.asked,
        "answer": words.answered,
        "due_at": format_instant(question.asked.due_at),
        "answered_at": format_instant(question.answered_at) if question.answered_at is not None else None,
        "created_at": format_instant(question.asked.at),
    }
