"""Reconciliation over HTTP: start a run, follow it, read its certificate, and deal with what is left."""

import csv
import io
from typing import Annotated, Final, Literal

from chalice.app import Blueprint
from pydantic import Field, StringConstraints

from chalicelib.core.common.fields import Frozen, InstantField
from chalicelib.core.common.refusal import Reason
from chalicelib.core.reconciliation.run import Break
from chalicelib.flows.reconciliation.runs import RunView
from chalicelib.web.edge.page import HTML
from chalicelib.web.edge.query import CURSOR, DEFAULT_LIMIT, PLACE, limit, next_cursor, position
from chalicelib.web.edge.route import Answer, Call, endpoint
from chalicelib.web.reconciliation import render
from chalicelib.web.reconciliation.answers import BreakAnswer, BreakListAnswer, RunAnswer, RunListAnswer

routes = Blueprint(__name__)
STYLED: Final = "default-src 'none'; style-src 'unsafe-inline'"
BOOKKEEPERS: Final = {"platform", "service"}
READ: Final = (Reason.FORBIDDEN, Reason.NOT_FOUND)


class RunBody(Frozen):
    """A half-open span that is over: provider lines by execution, ours by success."""

    start: InstantField = Field(alias="from")
    end: InstantField = Field(alias="to")


class ResolveBody(Frozen):
    """What a person decided about a break."""

    action: Literal["accept_provider", "retry", "write_off"]
    note: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] | None = None


@endpoint(
    routes,
    "POST",
    "/v1/reconciliation-runs",
    summary="Compare a span with the provider's settlement report",
    roles=BOOKKEEPERS,
    body=RunBody,
    answers={202: RunAnswer},
    reasons=(Reason.INVALID_REQUEST, Reason.WRONG_STATE, Reason.IDEMPOTENCY_KEY_REUSED, Reason.BUSY),
    tag="reconciliation",
)
def start(call: Call) -> Answer:
    """The schedule works it off, slice by slice; a daily run starts by itself. One running run for each span."""
    body: RunBody = call.fields
    shown = call.services.reconciliation.start(body.start, body.end, call.asked)
    headers = {"Location": f"/v1/reconciliation-runs/{shown.run.id}"}
    if shown.replayed:
        headers["Idempotent-Replayed"] = "true"
    return Answer(render.run(shown), 202, headers)


@endpoint(
    routes,
    "GET",
    "/v1/reconciliation-runs",
    summary="List runs, newest first",
    roles=BOOKKEEPERS,
    answers={200: RunListAnswer},
    query=(limit(), CURSOR),
    reasons=(Reason.FORBIDDEN, Reason.INVALID_REQUEST, Reason.INVALID_CURSOR),
    tag="reconciliation",
)
def list_runs(call: Call) -> Answer:
    size = call.query.get("limit", DEFAULT_LIMIT)
    found, after = call.services.reconciliation.list_runs(size, position(call, _filter, PLACE), call.locale)
    return Answer({"data": [render.run(one) for one in found], "next_cursor": next_cursor(call, _filter, after)})


def visible(call: Call) -> None:
    """What does not exist is told before faults of the query."""
    _shown(call)


@endpoint(
    routes,
    "GET",
    "/v1/reconciliation-runs/{run_id}",
    summary="Show a run: its progress, and at the end its certificate",
    roles=BOOKKEEPERS,
    answers={200: RunAnswer},
    reasons=READ,
    tag="reconciliation",
    guard=visible,
)
def show(call: Call) -> Answer:
    return Answer(render.run(_shown(call)))


@endpoint(
    routes,
    "GET",
    "/v1/reconciliation-runs/{run_id}/breaks",
    summary="List what fits on neither side, in the order in which it was found",
    roles=BOOKKEEPERS,
    answers={200: BreakListAnswer},
    query=(limit(), CURSOR),
    reasons=(*READ, Reason.INVALID_REQUEST, Reason.INVALID_CURSOR),
    tag="reconciliation",
    guard=visible,
)
def breaks(call: Call) -> Answer:
    size = call.query.get("limit", DEFAULT_LIMIT)
    reconciliation = call.services.reconciliation
    found, after = reconciliation.list_breaks(call.params["run_id"], size, position(call, _filter, PLACE))
    rows = [render.difference(one, note) for one, note in zip(found, reconciliation.read_notes(found), strict=True)]
    return Answer({"data": rows, "next_cursor": next_cursor(call, _filter, after)})


@endpoint(
    routes,
    "GET",
    "/v1/reconciliation-runs/{run_id}/report.csv",
    summary="The certificate and the breaks as a file for a spreadsheet",
    roles=BOOKKEEPERS,
    answers={200: str},
    reasons=READ,
    tag="reconciliation",
    media_type="text/csv; charset=utf-8",
    guard=visible,
)
def report_csv(call: Call) -> Answer:
    """One row for each total, count and break. After 10,000 breaks it says how many more there are."""
    shown = _shown(call)
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(render.rows(shown, _all_breaks(call)))
    return Answer(written.getvalue())


@endpoint(
    routes,
    "GET",
    "/v1/reconciliation-runs/{run_id}/report.html",
    summary="The certificate and the breaks as a page",
    roles=BOOKKEEPERS,
    answers={200: str},
    reasons=READ,
    tag="reconciliation",
    media_type=HTML,
    guard=visible,
)
def report_page(call: Call) -> Answer:
    return Answer(render.page(_shown(call), _all_breaks(call), call.locale), 200, {"Content-Security-Policy": STYLED})


def known(call: Call) -> None:
    """The same for a break."""
    call.services.reconciliation.find_break(call.params["break_id"])


@endpoint(
    routes,
    "POST",
    "/v1/breaks/{break_id}/resolve",
    summary="Deal with a break: take the provider's word, send a refund again, or write it off",
    roles={"platform"},
    body=ResolveBody,
    answers={200: BreakAnswer},
    reasons=(*READ, Reason.WRONG_STATE, Reason.IDEMPOTENCY_KEY_REUSED, Reason.BUSY),
    tag="reconciliation",
    guard=known,
)
def resolve(call: Call) -> Answer:
    """`accept_provider` settles what the provider says now. `retry` sends a refund under a new key, and only where

    the provider, asked first, knows nothing of the old one and has forgotten it.
    """
    body: ResolveBody = call.fields
    one, replayed = call.services.reconciliation.resolve(call.params["break_id"], body.action, body.note, call.asked)
    return Answer(render.difference(one, body.note), 200, {"Idempotent-Replayed": "true"} if replayed else {})


def _shown(call: Call) -> RunView:
    return call.services.reconciliation.find(call.params["run_id"], call.locale)


def _all_breaks(call: Call) -> list[Break]:
    """As many as an answer can carry."""
    reconciliation, run_id = call.services.reconciliation, call.params["run_id"]
    found, after = reconciliation.list_breaks(run_id, 100, None)
    while after is not None and len(found) < render.MAX_ROWS:
        more, after = reconciliation.list_breaks(run_id, 100, after)
        found += more
    return found


def _filter(call: Call) -> str:
    return str(call.params.get("run_id"))
