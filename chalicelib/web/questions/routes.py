"""Questions to buyers over HTTP: the merchant asks, the buyer answers, both can read it again."""

from typing import Annotated

from pydantic import StringConstraints

from chalicelib.core.common.fields import Frozen
from chalicelib.core.common.refusal import Reason
from chalicelib.core.policy.cancellation_reasons import QuestionKind
from chalicelib.flows.questions import QuestionView
from chalicelib.web.deposits.declare import deposit_command
from chalicelib.web.edge.common import replay_header
from chalicelib.web.edge.declare import command, resource
from chalicelib.web.edge.query import text
from chalicelib.web.edge.route import Answer, Call, Routes
from chalicelib.web.edge.values import Page
from chalicelib.web.questions import render
from chalicelib.web.questions.answers import QuestionAnswer

routes = Routes(__name__, "cancellations")
Words = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]


class AskBody(Frozen):
    """What the merchant wants to know. An address or contact reason needs a question that stayed unanswered."""

    kind: QuestionKind
    text: Words


class AnswerBody(Frozen):
    """The buyer's answer, in the buyer's own words."""

    text: Words


@deposit_command(
    routes,
    "questions",
    "Ask the buyer; the answer is due in 48 hours",
    QuestionAnswer,
    status=201,
    roles={"merchant"},
    body=AskBody,
    reasons=(Reason.WRONG_STATE,),
    example="asked",
)
def ask(call: Call) -> Answer:
    """At most ten for a deposit. An automated score may open a `verification` question; it is no evidence by itself."""
    body: AskBody = call.fields
    told = call.services.questions.ask(call.params["deposit_id"], body.kind, body.text, call.asked)
    shown = _shown(told)
    return Answer(shown, 201, {"Location": f"/v1/questions/{shown['id']}", **replay_header(told[0])})


@resource(
    routes,
    "/v1/questions",
    "The questions of a deposit, newest first",
    Page[QuestionAnswer],
    query=(text("deposit", "Whose questions.", required=True),),
    example="listed",
)
def list_questions(call: Call) -> Answer:
    """At most ten, so there are no pages."""
    rows = call.services.questions.of(call.query["deposit"], call.asked)
    return Answer({"data": [_shown(told) for told in rows], "next_cursor": None})


def found(call: Call) -> None:
    """Ownership is told before faults of the body."""
    call.services.questions.find(call.params["question_id"], call.asked)


@resource(
    routes,
    "/v1/questions/{question_id}",
    "Show a question and its answer",
    QuestionAnswer,
    guard=found,
    example="answered",
)
def show(call: Call) -> Answer:
    return Answer(_shown(call.services.questions.find(call.params["question_id"], call.asked)))


@command(
    routes,
    "/v1/questions/{question_id}/answer",
    "Answer a question",
    QuestionAnswer,
    roles={"buyer"},
    body=AnswerBody,
    guard=found,
    reasons=(Reason.WRONG_STATE,),
    example="answered",
)
def answer(call: Call) -> Answer:
    """Late is better than never: what was not decided on the silence by then cannot be any more."""
    body: AnswerBody = call.fields
    told = call.services.questions.answer(call.params["question_id"], body.text, call.asked)
    return Answer(_shown(told), 200, replay_header(told[0]))


def _shown(told: QuestionView) -> QuestionAnswer:
    outcome, one, words = told
    return render.question(outcome.deposit, one, words, outcome.at)
