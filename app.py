"""The Chalice app: registers the routes and the schedules, and nothing else."""

from dataclasses import asdict
from typing import Any

from chalice.app import Chalice, Rate, Request, Response

from chalicelib.core.common.refusal import Reason
from chalicelib.jobs import close_windows as close_windows_job
from chalicelib.jobs import reconcile as reconcile_job
from chalicelib.jobs import send_refunds as send_refunds_job
from chalicelib.jobs.sweep import read_shards
from chalicelib.web.cancellations import routes as cancellations_routes
from chalicelib.web.claims import routes as claims_routes
from chalicelib.web.deposits import routes as deposits_routes
from chalicelib.web.edge import route
from chalicelib.web.fulfilment import routes as delivery_routes
from chalicelib.web.locks import routes as locks_routes
from chalicelib.web.offers import routes as offers_routes
from chalicelib.web.passes import routes as passes_routes
from chalicelib.web.questions import routes as questions_routes
from chalicelib.web.reconciliation import routes as reconciliation_routes
from chalicelib.web.refunds import routes as refunds_routes
from chalicelib.web.service import contract, provider_events, public
from chalicelib.web.tradeins import routes as trade_ins_routes
from chalicelib.web.withdrawals import routes as withdrawals_routes
from chalicelib.wiring import services

app = Chalice(app_name="earnest")
for blueprint in (
    offers_routes.routes,
    deposits_routes.routes,
    locks_routes.routes,
    delivery_routes.routes,
    withdrawals_routes.routes,
    trade_ins_routes.routes,
    refunds_routes.routes,
    reconciliation_routes.routes,
    cancellations_routes.routes,
    questions_routes.routes,
    passes_routes.routes,
    claims_routes.routes,
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
        return route.unroutable(
            Reason.METHOD_NOT_ALLOWED,
            dict(event.headers),
            str(context.get("path", "")),
            str(context.get("requestId", "")),
        )
    return response


@app.schedule(Rate(1, unit=Rate.MINUTES))
def send_refunds(event: Any) -> dict[str, Any]:
    shards = read_shards(event.detail)
    return asdict(send_refunds_job.run(services(), event.context.get_remaining_time_in_millis, shards))


@app.schedule(Rate(1, unit=Rate.MINUTES))
def close_windows(event: Any) -> dict[str, Any]:
    shards = read_shards(event.detail)
    return asdict(close_windows_job.run(services(), event.context.get_remaining_time_in_millis, shards))


@app.schedule(Rate(1, unit=Rate.MINUTES))
def reconcile(event: Any) -> dict[str, Any]:
    return asdict(reconcile_job.run(services(), event.context.get_remaining_time_in_millis))
