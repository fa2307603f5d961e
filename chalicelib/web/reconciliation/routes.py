"""Reconciliation over HTTP: start a run, follow it, read its certificate, and deal with what is left."""

import csv
import io
from typing import Final, Literal

from pydantic import Field

from chalicelib.core.common.fields import Frozen, InstantField
from chalicelib.core.common.refusal import Reason
from chalicelib.core.reconciliation.run import Break
from chalicelib.flows.reconciliation.runs import RunView
from chalicelib.web.edge.common import READ, Note, replay_header
from chalicelib.web.edge.declare import creation, listing, resource
from chalicelib.web.edge.page import HTML
from chalicelib.web.edge.query import PLACE, page_size, position, write_page
from chalicelib.web.edge.route import Answer, Call, Routes, endpoint
from chalicelib.web.reconciliation import render
from chalicelib.web.reconciliation.answers import BreakAnswer, RunAnswer

routes = Routes(__name__, "reconciliation")
STYLES_ONLY: Final = "default-src 'none'; style-src 'unsafe-inline'"
BOOKKEEPERS: Final = {"platform", "service"}


class RunBody(Frozen):
    """A half-open span that is over: provider lines by execution, ours by success."""

    start: InstantField = Field(alias="from")
    end: InstantField = Field(alias="to")


class ResolveBody(Frozen):
    """What a person decided about a break."""

    action: Literal["accept_provider", "retry", "write_off"]
    note: Note | None = None


@creation(
    routes,
    "/v1/reconciliation-runs",
    "Compare a span with the provider's settlement report",
    RunAnswer,
    status=202,
    roles=BOOKKEEPERS,
    body=RunBody,
    reasons=(Reason.WRONG_STATE,),
    example="begun",
)
def start(call: Call) -> Answer:
    """The schedule works it off, slice by slice; a daily run starts by itself. One running run for each span."""
    body: RunBody = call.fields
    view = call.services.reconciliation.start(body.start, body.end, call.asked)
    location = f"/v1/reconciliation-runs/{view.run.id}"
    return Answer(render.run(view), 202, {"Location": location, **replay_header(view)})


@listing(routes, "/v1/reconciliation-runs", "List runs, newest first", RunAnswer, roles=BOOKKEEPERS, example="listed")
def list_runs(call: Call) -> Answer:
    begin = position(call, _filter, PLACE)
    runs, after = call.services.reconciliation.list_runs(page_size(call), begin, call.locale)
    return write_page(call, _filter, map(render.run, runs), after)


def check_run_exists(call: Call) -> None:
    """Refuse a run that does not exist before faults of the query."""
    _find_run(call)


@resource(
    routes,
    "/v1/reconciliation-runs/{run_id}",
    "Show a run: its progress, and at the end its certificate",
    RunAnswer,
    roles=BOOKKEEPERS,
    guard=check_run_exists,
    example="shown",
)
def show(call: Call) -> Answer:
    return Answer(render.run(_find_run(call)))


@listing(
    routes,
    "/v1/reconciliation-runs/{run_id}/breaks",
    "List what fits on neither side, in the order in which it was found",
    BreakAnswer,
    roles=BOOKKEEPERS,
    guard=check_run_exists,
    reasons=READ,
    example="breaks",
)
def breaks(call: Call) -> Answer:
    reconciliation, begin = call.services.reconciliation, position(call, _filter, PLACE)
    breaks, after = reconciliation.list_breaks(call.params["run_id"], page_size(call), begin)
    return write_page(call, _filter, map(render.difference, breaks, reconciliation.read_notes(breaks)), after)


@resource(
    routes,
    "/v1/reconciliation-runs/{run_id}/report.csv",
    "The certificate and the breaks as a file for a spreadsheet",
    str,
    roles=BOOKKEEPERS,
    media_type="text/csv; charset=utf-8",
    guard=check_run_exists,
)
def report_csv(call: Call) -> Answer:
    """One row for each total, count and break. After 10,000 breaks it says how many more there are."""
    view = _find_run(call)
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows(render.rows(view, _all_breaks(call)))
    return Answer(file.getvalue())


@resource(
    routes,
    "/v1/reconciliation-runs/{run_id}/report.html",
    "The certificate and the breaks as a page",
    str,
    roles=BOOKKEEPERS,
    media_type=HTML,
    guard=check_run_exists,
)
def report_page(call: Call) -> Answer:
    return Answer(
        render.page(_find_run(call), _all_breaks(call), call.locale), 200, {"Content-Security-Policy": STYLES_ONLY}
    )


def check_break_exists(call: Call) -> None:
    """Refuse a break that does not exist before faults of the body."""
    call.services.reconciliation.find_break(call.params["break_id"])


@endpoint(
    routes,
    "POST",
    "/v1/breaks/{break_id}/resolve",
    "Deal with a break: take the provider's word, send a refund again, or write it off",
    {200: BreakAnswer},
    roles={"platform"},
    body=ResolveBody,
    guard=check_break_exists,
    reasons=(*READ, Reason.WRONG_STATE, Reason.IDEMPOTENCY_KEY_REUSED, Reason.BUSY),
    example="resolved",
)
def resolve(call: Call) -> Answer:
    """`accept_provider` settles what the provider says now. `retry` sends a refund under a new key, and only where

    the provider, asked first, knows nothing of the old one and has forgotten it.
    """
    body: ResolveBody = call.fields
    difference, replayed = call.services.reconciliation.resolve(
        call.params["break_id"], body.action, body.note, call.asked
    )
    return Answer(render.difference(difference, body.note), 200, {"Idempotent-Replayed": "true"} if replayed else {})


def _find_run(call: Call) -> RunView:
    return call.services.reconciliation.find(call.params["run_id"], call.locale)


def _all_breaks(call: Call) -> list[Break]:
    """Of the run; at most about ``MAX_ROWS``."""
    reconciliation, run_id = call.services.reconciliation, call.params["run_id"]
    breaks, after = reconciliation.list_breaks(run_id, 100, None)
    while after is not None and len(breaks) < render.MAX_ROWS:
        more, after = reconciliation.list_breaks(run_id, 100, after)
        breaks += more
    return breaks


def _filter(call: Call) -> str:
    return str(call.params.get("run_id"))
