"""Priority passes over HTTP: what a buyer holds."""

from chalice.app import Blueprint

from chalicelib.core.common.refusal import Reason
from chalicelib.web.edge.query import CURSOR, DEFAULT_LIMIT, PLACE, limit, next_cursor, position
from chalicelib.web.edge.route import Answer, Call, endpoint
from chalicelib.web.passes import render
from chalicelib.web.passes.answers import PassListAnswer

routes = Blueprint(__name__)


@endpoint(
    routes,
    "GET",
    "/v1/priority-passes",
    summary="A buyer's priority passes, of the newest deposits first",
    roles={"buyer"},
    answers={200: PassListAnswer},
    query=(limit(), CURSOR),
    reasons=(Reason.FORBIDDEN, Reason.INVALID_CURSOR),
    tag="cancellations",
)
def list_passes(call: Call) -> Answer:
    """Send one as `priority_pass` with an order: one unit, before the sale opens, beside its limits, from its reserve."""
    size = call.query.get("limit", DEFAULT_LIMIT)
    found, after = call.services.passes.list_passes(call.asked, size, position(call, _all, PLACE))
    rows = [render.priority_pass(outcome.deposit, one) for outcome, one in found]
    return Answer({"data": rows, "next_cursor": next_cursor(call, _all, after)})


def _all(_call: Call) -> str:
    return ""
