"""Priority passes over HTTP: what a buyer holds."""

from chalicelib.web.edge.declare import listing
from chalicelib.web.edge.query import DEFAULT_LIMIT, PLACE, next_cursor, position
from chalicelib.web.edge.route import Answer, Call, Routes
from chalicelib.web.passes import render
from chalicelib.web.passes.answers import PassAnswer

routes = Routes(__name__, "cancellations")


@listing(
    routes,
    "/v1/priority-passes",
    "A buyer's priority passes, of the newest deposits first",
    PassAnswer,
    roles={"buyer"},
    example="listed",
)
def list_passes(call: Call) -> Answer:
    """Send one as `priority_pass` with an order: one unit, before the sale opens, beside its limits, from its reserve."""
    size = call.query.get("limit", DEFAULT_LIMIT)
    found, after = call.services.passes.listed(call.asked, size, position(call, _all, PLACE))
    rows = [render.priority_pass(outcome.deposit, one) for outcome, one in found]
    return Answer({"data": rows, "next_cursor": next_cursor(call, _all, after)})


def _all(_call: Call) -> str:
    return ""
