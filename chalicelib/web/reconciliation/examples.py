"""Examples of a reconciliation run: begun, at its end with one difference, and that difference resolved."""

from typing import Final

from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.instants import duration_ms, parse_instant
from chalicelib.core.reconciliation import run as runs
from chalicelib.core.reconciliation.lines import Line, build_place
from chalicelib.core.reconciliation.run import BreakFound, BreakResolved, Run
from chalicelib.core.reconciliation.tally import Tally
from chalicelib.flows.reconciliation.runs import RunView
from chalicelib.web.edge.languages import DEFAULT
from chalicelib.web.edge.route import Example
from chalicelib.web.reconciliation import render as reconciliation_render
from chalicelib.web.service.stories import (
    DEPOSIT_ID,
    OPENED,
    ORDERED,
    PAYMENT_ID,
    REFUND_ID,
    Json,
    page,
)

RUN_ID: Final = digest_id("rec", "example", "run")
BREAK_ID: Final = digest_id("brk", RUN_ID, "1")
DAY_BEGAN: Final = parse_instant("2026-11-20T00:00:00.000Z")
DAY_ENDED: Final = parse_instant("2026-11-21T00:00:00.000Z")
PAID: Final = Line(build_place("capture", PAYMENT_ID), f"{PAYMENT_ID}.1", 500_000, "CNY", DAY_BEGAN)
REFUNDED: Final = Line(build_place("refund", REFUND_ID), "re_7c1f", 500_000, "CNY", DAY_BEGAN)
REPORTED: Final = REFUNDED._replace(minor=499_900)
DIFFERENCE: Final = BreakFound(
    at=OPENED,
    run=RUN_ID,
    kind="amount_mismatch",
    n=1,
    deposit=DEPOSIT_ID,
    refund=REFUND_ID,
    provider_ref=REFUNDED.ref,
    ours=REFUNDED.money,
    provider=REPORTED.money,
)


def begun() -> Example:
    return Example({"begun": _begun()}, {"from": "2026-11-20T00:00:00.000Z", "to": "2026-11-21T00:00:00.000Z"})


def listed() -> Example:
    return Example({"one page": page(_compared())})


def shown() -> Example:
    return Example({"running": _begun(), "one difference": _compared()})


def breaks() -> Example:
    found = runs.fold_break(BREAK_ID, [DIFFERENCE])
    return Example({"one page": page(reconciliation_render.difference(found, None))})


def resolved() -> Example:
    action = "accept_provider"
    found = runs.fold_break(BREAK_ID, [DIFFERENCE, BreakResolved(ORDERED, action)])
    return Example({"resolved": reconciliation_render.difference(found, None)}, {"action": action, "note": None})


def _begun() -> Json:
    return reconciliation_render.run(RunView(_run(), Tally(), DEFAULT))


def _compared() -> Json:
    tally = Tally()
    tally.match(PAID)
    tally.differ("amount_mismatch", REFUNDED, REPORTED)
    done = runs.evolve_run(_run(), runs.finish_run(OPENED + duration_ms("PT1M"), tally))
    return reconciliation_render.run(RunView(done, tally, DEFAULT))


def _run() -> Run:
    return runs.fold_run(RUN_ID, [runs.start_run(OPENED, DAY_BEGAN, DAY_ENDED)])
