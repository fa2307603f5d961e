"""Examples of a question to a buyer, and its answer."""

from typing import Final

from chalicelib.core.common.instants import duration_ms
from chalicelib.core.merchant.question import AnswerQuestion
from chalicelib.flows.questions import QuestionText
from chalicelib.web.edge.route import Example
from chalicelib.web.questions import render as questions_render
from chalicelib.web.service import stories
from chalicelib.web.service.stories import (
    Json,
    Story,
    page,
)

QUESTION: Final = "Which entrance is yours?"
ANSWER: Final = "The blue door, left of the gate."


def asked() -> Example:
    return Example({"asked": _question(stories.asked(), None)}, {"kind": "address", "text": QUESTION})


def listed() -> Example:
    return Example({"all of a deposit": page(_question(stories.asked(), None))})


def answered() -> Example:
    before = stories.asked()
    story = before.then(AnswerQuestion(1, "example"), before.outcome.at + duration_ms("PT3H"))
    return Example({"answered": _question(story, ANSWER)}, {"text": ANSWER})


def _question(story: Story, answer: str | None) -> Json:
    words = QuestionText(QUESTION, answer)
    return questions_render.question(story.deposit, story.deposit.questions[0], words, story.outcome.at)
