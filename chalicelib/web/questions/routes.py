"""Questions to buyers over HTTP: the merchant asks, the buyer answers, both can read it again."""

from typing import Annotated

from chalice.app import Blueprint
from pydantic import StringConstraints

from chalicelib.core.common.fields import Frozen
from chalicelib.core.common.refusal import Reason
from chalicelib.core.policy.cancellation_reasons import QuestionKind
from chalicelib.flows.questions import QuestionView
from chalicelib.web.deposits.common import visible
from chalicelib.web.edge.common import READ, READERS, WRITES, replay_header
from chalicelib.web.edge.query import text
from chalicelib.web.edge.route import Answer, Call, endpoint
from chalicelib.web.questions import render
from chalicelib.web.questions.answers import QuestionAnswer, QuestionListAnswer

routes = Blueprint(__name__)
Words = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]


class AskBody(Frozen):
    """What the merchant wants to know. An address or contact reason needs a question that stayed unanswered."""

    kind: QuestionKind
    text: Words


class AnswerBody(Frozen):
    """The buyer's answer, in the buyer's own words."""

    text: Words


@endpoint(
    routes,
    "POST",
    "/v1/deposits/{deposit_id}/questions",
    summary="Ask the buyer; the answer is due in 48 hours",
    roles={"merchant"},
    body=AskBody,
    answers={201: QuestionAnswer},
    reasons=(*READ, Reason.WRONG_STATE, *WRITES),
    tag="cancellations",
    guard=visible,
)
def ask(call: Call) -> Answer:
    """At most ten for a deposit. An automated score may open a `verification` question; it is no evidence by itself."""
    body: AskBody = call.fields
    told = call.services.questions.ask(call.params["deposit_id"], body.kind, body.text, call.asked)
    shown = _shown(told)
    return Answer(shown, 201, {"Location": f"/v1/questions/{shown['id']}", **replay_header(told[0])})


@endpoint(
    routes,
    "GET",
    "/v1/questions",
    summary="The questions of a deposit, newest first",
    roles=READERS,
    answers={200: QuestionListAnswer},
    query=(text("deposit", "Whose questions.", required=True),),
    reasons=READ,
    tag="cancellations",
)
def list_questions(call: Call) -> Answer:
    """At most ten, so there are no pages."""
    rows = call.services.questions.list_questions(call.query["deposit"], call.asked)
    return Answer({"data": [_shown(told) for told in rows], "next_cursor": None})


def found(call: Call) -> None:
    """Ownership is told before faults of the body."""
    call.services.questions.find(call.params["question_id"], call.asked)


@endpoint(
    routes,
    "GET",
    "/v1/questions/{question_id}",
    summary="Show a question and its answer",
    roles=READERS,
    answers={200: QuestionAnswer},
    reasons=READ,
    tag="cancellations",
    guard=found,
)
def show(call: Call) -> Answer:
    return Answer(_shown(call.services.questions.find(call.params["question_id"], call.asked)))


@endpoint(
    routes,
    "POST",
    "/v1/questions/{question_id}/answer",
    summary="Answer a question",
    roles={"buyer"},
    body=AnswerBody,
    answers={200: QuestionAnswer},
    reasons=(*READ, Reason.WRONG_STATE, *WRITES),
    tag="cancellations",
    guard=found,
)
def answer(call: Call) -> Answer:
    """Late is better than never: what was not decided on the silence by then cannot be any more."""
    body: AnswerBody = call.fields
    told = call.services.questions.answer(call.params["question_id"], body.text, call.asked)
    return Answer(_shown(told), 200, replay_header(told[0]))


def _shown(told: QuestionView) -> QuestionAnswer:
    outcome, one, words = told
    return render.question(outcome.deposit, one, words, outcome.at)
