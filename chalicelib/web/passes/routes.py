"""Priority passes over HTTP: what a buyer holds."""

from chalicelib.web.edge.declare import listing
from chalicelib.web.edge.query import PLACE, no_filter, page_size, position, write_page
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
    passes, after = call.services.passes.list_passes(call.asked, page_size(call), position(call, no_filter, PLACE))
    rows = [render.priority_pass(outcome.deposit, priority_pass) for outcome, priority_pass in passes]
    return write_page(call, no_filter, rows, after)
