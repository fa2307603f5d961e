"""Questions to buyers over HTTP: the merchant asks, the buyer answers, both can read it again."""

from chalicelib.core.common.fields import Frozen
from chalicelib.core.policy.cancellation_reasons import QuestionKind
from chalicelib.flows.questions import QuestionView
from chalicelib.web.deposits.declare import deposit_command
from chalicelib.web.edge.common import Note, replay_header
from chalicelib.web.edge.declare import command, resource
from chalicelib.web.edge.query import text
from chalicelib.web.edge.route import Answer, Call, Routes
from chalicelib.web.edge.values import Page
from chalicelib.web.questions import render
from chalicelib.web.questions.answers import QuestionAnswer

routes = Routes(__name__, "cancellations")


class AskBody(Frozen):
    """What the merchant wants to know. An address or contact reason needs a question that stayed unanswered."""

    kind: QuestionKind
    text: Note


class AnswerBody(Frozen):
    """The buyer's answer, in the buyer's own words."""

    text: Note


@deposit_command(
    routes,
    "questions",
    "Ask the buyer; the answer is due in 48 hours",
    QuestionAnswer,
    status=201,
    roles={"merchant"},
    body=AskBody,
    example="asked",
)
def ask(call: Call) -> Answer:
    """At most ten for a deposit. An automated score may open a `verification` question; it is no evidence by itself."""
    body: AskBody = call.fields
    view = call.services.questions.ask(call.params["deposit_id"], body.kind, body.text, call.asked)
    answer = _render(view)
    return Answer(answer, 201, {"Location": f"/v1/questions/{answer['id']}", **replay_header(view[0])})


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
    views = call.services.questions.list_questions(call.query["deposit"], call.asked)
    return Answer({"data": [_render(view) for view in views], "next_cursor": None})


def check_access(call: Call) -> None:
    """Refuse another's question before faults of the body."""
    call.services.questions.find(call.params["question_id"], call.asked)


@resource(
    routes,
    "/v1/questions/{question_id}",
    "Show a question and its answer",
    QuestionAnswer,
    guard=check_access,
    example="answered",
)
def show(call: Call) -> Answer:
    return Answer(_render(call.services.questions.find(call.params["question_id"], call.asked)))


@command(
    routes,
    "/v1/questions/{question_id}/answer",
    "Answer a question",
    QuestionAnswer,
    roles={"buyer"},
    body=AnswerBody,
    guard=check_access,
    example="answered",
)
def answer(call: Call) -> Answer:
    """Late is better than never: what was not decided on the silence by then cannot be any more."""
    body: AnswerBody = call.fields
    view = call.services.questions.answer(call.params["question_id"], body.text, call.asked)
    return Answer(_render(view), 200, replay_header(view[0]))


def _render(view: QuestionView) -> QuestionAnswer:
    outcome, question, words = view
    return render.question(outcome.deposit, question, words, outcome.at)
