"""Questions to buyers: who may ask while the order lives, how long an answer has, and what a late one still does."""

from collections.abc import Callable
from itertools import product
from typing import Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deadlines import due_at
from chalicelib.core.deposit.events.ending import QuestionAnswered, QuestionAsked, QuestionEvent, QuestionLapsed
from chalicelib.core.deposit.question import TRANSITIONS, Question, QuestionStatus, evolve_question
from chalicelib.core.merchant.question import MAX_QUESTIONS, AnswerQuestion, Ask
from chalicelib.core.policy.cancellation_reasons import QuestionKind
from tests.core.stories import (
    ASK,
    CANCEL,
    DUE,
    END,
    GRACE,
    LATER,
    PAID,
    T0,
    Story,
    cancelled,
    completed,
    final,
    locked,
    ordered,
    paid,
    refused,
)

BY: Final = PAID + 48 * HOUR
ASKED: Final = QuestionAsked(PAID, 1, "address", BY, "sha256:asked")
ANSWERED, LAPSED = QuestionAnswered(PAID + 1, 1, "sha256:answered"), QuestionLapsed(BY, 1)
OPEN: Final = Question(1, ASKED)
ANSWER: Final = AnswerQuestion(1, "sha256:answered")
STANDING: Final[dict[QuestionStatus, Question]] = {
    QuestionStatus.OPEN: OPEN,
    QuestionStatus.ANSWERED: evolve_question(OPEN, ANSWERED),
    QuestionStatus.LAPSED: evolve_question(OPEN, LAPSED),
}


# --- The table ---


@pytest.mark.parametrize(
    ("status", "event"), list(product(STANDING, [ANSWERED, LAPSED])), ids=lambda one: getattr(one, "TYPE", one)
)
def test_a_step_is_what_the_table_says(status: QuestionStatus, event: QuestionAnswered | QuestionLapsed) -> None:
    then = TRANSITIONS.get((status, type(event)))
    if then is None:
        with pytest.raises(KeyError):
            evolve_question(STANDING[status], event)
        return
    after = evolve_question(STANDING[status], event)
    assert after.status is then
    assert after.answered_at == (event.at if isinstance(event, QuestionAnswered) else None)


def test_the_table_knows_a_late_answer_and_no_second_one() -> None:
    assert {(str(status), event.TYPE, str(then)) for (status, event), then in TRANSITIONS.items()} == {
        ("open", "question.answered", "answered"),
        ("open", "question.lapsed", "lapsed"),
        ("lapsed", "question.answered", "answered"),
    }
    kinds: set[type[QuestionEvent]] = {event for _, event in TRANSITIONS}
    assert kinds == {QuestionAnswered, QuestionLapsed}


@pytest.mark.parametrize(
    ("one", "at", "status"),
    [
        (OPEN,                                 PAID,   "open"),
        (OPEN,                                 BY - 1, "open"),
        (OPEN,                                 BY,     "lapsed"),  # whether or not anybody wrote it down
        (STANDING[QuestionStatus.LAPSED],      BY,     "lapsed"),
        (STANDING[QuestionStatus.ANSWERED],    BY - 1, "answered"),
        (STANDING[QuestionStatus.ANSWERED],    BY,     "answered"),
    ],
)  # fmt: skip
def test_the_status_at_an_instant(one: Question, at: int, status: str) -> None:
    assert one.status_at(at).value == status


# --- Asking ---


@pytest.mark.parametrize("kind", ["address", "contact", "verification"])
def test_an_answer_has_48_hours(kind: QuestionKind) -> None:
    story = paid()
    assert story.ask(Ask(kind, "sha256:asked"), PAID) == (QuestionAsked(PAID, 1, kind, BY, "sha256:asked"),)
    assert story.deposit.questions == (Question(1, QuestionAsked(PAID, 1, kind, BY, "sha256:asked")),)


@pytest.mark.parametrize(
    ("made", "at", "state"),
    [
        (ordered,   T0,      None),
        (ordered,   DUE - 1, None),
        (ordered,   DUE,     "expired"),
        (paid,      PAID,    None),
        (paid,      END,     None),
        (locked,    LATER,   None),
        (final,     LATER,   None),
        (completed, LATER,   "completed"),
        (cancelled, LATER,   "cancelled"),
    ],
)  # fmt: skip
def test_a_merchant_asks_while_the_order_lives(made: Callable[[], Story], at: int, state: str | None) -> None:
    if state is None:
        assert made().said(ASK, at) == "question.asked"
        return
    with refused(Reason.WRONG_STATE, state=state):
        made().ask(ASK, at)


def test_ten_questions_are_the_most() -> None:
    story = paid()
    for n in range(MAX_QUESTIONS):
        assert story.said(ASK, PAID + n) == "question.asked"
    with refused(Reason.RATE_LIMITED, most=MAX_QUESTIONS):
        story.ask(ASK, PAID + MAX_QUESTIONS)
    assert [question.n for question in story.deposit.questions] == list(range(1, MAX_QUESTIONS + 1))


# --- Answering ---


def asked() -> Story:
    story = paid()
    story.ask(ASK, PAID)
    return story


@pytest.mark.parametrize("at", [PAID, BY - 1, BY, BY + 1, END, LATER])
@pytest.mark.parametrize("written", [False, True])
def test_an_answer_counts_in_time_and_late(at: int, written: bool) -> None:
    story = asked()
    if written:
        story.write(at)
    assert story.ask(ANSWER, at) == (QuestionAnswered(at, 1, "sha256:answered"),)
    [one] = story.deposit.questions
    assert (one.status, one.answered_at) == (QuestionStatus.ANSWERED, at)


def test_a_second_answer_is_none() -> None:
    story = asked()
    story.ask(ANSWER, PAID)
    with refused(Reason.WRONG_STATE, state="answered"):
        story.ask(ANSWER, PAID + 1)


@pytest.mark.parametrize("n", [2, 11])
def test_what_was_not_asked_cannot_be_answered(n: int) -> None:
    with refused(Reason.NOT_FOUND):
        asked().ask(AnswerQuestion(n, "sha256:answered"), PAID)


def test_each_question_is_answered_by_itself() -> None:
    story = asked()
    story.ask(Ask("contact", "sha256:asked"), PAID + 1)
    story.ask(AnswerQuestion(2, "sha256:answered"), PAID + 2)
    assert [str(question.status_at(BY)) for question in story.deposit.questions] == ["lapsed", "answered"]


# --- The clock ---


def test_its_lapse_is_written_at_its_hour_and_once() -> None:
    story = asked()
    assert due_at(story.deposit, GRACE) == BY
    assert [event.TYPE for event in story.write(BY - 1).events].count("question.lapsed") == 0
    assert story.write(BY).events[-1] == LAPSED
    assert story.write(LATER).events.count(LAPSED) == 1


def test_an_answer_in_time_leaves_nothing_to_lapse() -> None:
    story = asked()
    story.ask(ANSWER, BY - 1)
    assert not any(isinstance(event, QuestionLapsed) for event in story.write(LATER).events)


def test_an_order_that_has_ended_waits_for_no_answer() -> None:
    story = asked()
    story.ask(CANCEL, PAID + DAY)
    assert not any(isinstance(event, QuestionLapsed) for event in story.write(LATER).events)
    assert story.said(ANSWER, PAID + 2 * DAY) == "question.answered"
