"""A question as an answer."""

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import format_instant
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.question import Question
from chalicelib.flows.questions import QuestionText
from chalicelib.web.questions.answers import QuestionAnswer


def question(of: Deposit, one: Question, words: QuestionText, at: int) -> QuestionAnswer:
    return {
        "id": child("qst", of.id, one.n),
        "object": "question",
        "deposit": of.id,
        "kind": one.asked.kind,
        "status": one.status_at(at).value,
        "text": words.asked,
        "answer": words.answered,
        "due_at": format_instant(one.asked.due_at),
        "answered_at": format_instant(one.answered_at) if one.answered_at is not None else None,
        "created_at": format_instant(one.asked.at),
    }
