"""Priority passes over HTTP: what a buyer holds."""

from chalice.app import Blueprint

from chalicelib.core.refusal import Reason
from chalicelib.web import cancelled
from chalicelib.web.answers import PassListAnswer
from chalicelib.web.edge import Answer, Call, endpoint
from chalicelib.web.parameters import CURSOR, LIMIT_DEFAULT, limit, next_cursor, position

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
    size = call.query.get("limit", LIMIT_DEFAULT)
    found, after = call.services.passes.listed(call.asked, size, position(call, _all))
    rows = [cancelled.priority_pass(outcome.deposit, one) for outcome, one in found]
    return Answer({"data": rows, "next_cursor": next_cursor(call, _all, after)})


def _all(_call: Call) -> str:
    return ""
