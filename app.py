"""The Chalice app: registers the routes and the schedules, and nothing else."""

from dataclasses import asdict
from typing import Any

from chalice.app import Chalice, Rate, Request, Response

from chalicelib.core.refusal import Reason
from chalicelib.jobs import close_windows as close_windows_job
from chalicelib.jobs import reconcile as reconcile_job
from chalicelib.jobs import send_refunds as send_refunds_job
from chalicelib.web import (
    cancellations,
    claims,
    contract,
    deposits,
    edge,
    fulfilment,
    locks,
    offers,
    passes,
    provider_events,
    public,
    questions,
    reconciliation,
    refunds,
    tradeins,
    withdrawals,
)
from chalicelib.wiring import services

app = Chalice(app_name="earnest")
for blueprint in (
    offers.routes,
    deposits.routes,
    locks.routes,
    fulfilment.routes,
    withdrawals.routes,
    tradeins.routes,
    refunds.routes,
    reconciliation.routes,
    cancellations.routes,
    questions.routes,
    passes.routes,
    claims.routes,
    provider_events.routes,
    public.routes,
    contract.routes,
):
    app.register_blueprint(blueprint)


@app.middleware("http")
def problems_of_the_router(event: Request, get_response: Any) -> Response:
    """Chalice answers a wrong method by itself, in words of its own."""
    response: Response = get_response(event)
    if response.status_code == 405:  # noqa: PLR2004 - method not allowed
        context = event.context
        return edge.unroutable(
            Reason.METHOD_NOT_ALLOWED,
            dict(event.headers),
            str(context.get("path", "")),
            str(context.get("requestId", "")),
        )
    return response


@app.schedule(Rate(1, unit=Rate.MINUTES))
def send_refunds(event: Any) -> dict[str, Any]:
    return asdict(send_refunds_job.run(services(), event.context.get_remaining_time_in_millis))


@app.schedule(Rate(1, unit=Rate.MINUTES))
def close_windows(event: Any) -> dict[str, Any]:
    return asdict(close_windows_job.run(services(), event.context.get_remaining_time_in_millis))


@app.schedule(Rate(1, unit=Rate.MINUTES))
def reconcile(event: Any) -> dict[str, Any]:
    return asdict(reconcile_job.run(services(), event.context.get_remaining_time_in_millis))
