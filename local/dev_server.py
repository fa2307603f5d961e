"""The service on one machine: tables, seeds, gateway, jobs each second, and the ``/sandbox`` calls."""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final

from app import app
from chalicelib.core.common.instants import SECOND
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.jobs import close_windows, reconcile, send_refunds
from chalicelib.web.edge import route, signatures
from chalicelib.wiring import Services, machine_clock, services
from local import sandbox
from local.issuer import Issuer
from local.seed import seed
from local.server import Gateway, Headers, serve
from local.wiring import sandbox_of

log = logging.getLogger("earnest.local")

JOBS: Final[dict[str, Callable[[Services, Callable[[], int]], Any]]] = {
    "send_refunds": send_refunds.run,
    "close_windows": close_windows.run,
    "reconcile": reconcile.run,
}


class DevServer:
    """Everything that ``make run`` serves."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self.first_offer = ""
        self._gateway: Gateway | None = None

    def prepare(self) -> None:
        """Add the sandbox's routes to the app and seed offers. The tables exist already."""
        built = services()
        sandbox.install(app, sandbox.Context(built, self._issuer, JOBS))
        self._gateway = Gateway(app, problem)
        sandbox_of(built).deliver = self._deliver
        self.first_offer = seed(built)

    def serve(self, port: int) -> None:
        stop = threading.Event()
        jobs = threading.Thread(target=run_jobs_loop, args=(services(), stop), name="jobs", daemon=True)
        jobs.start()
        try:
            serve(app, port, machine_clock, problem)
        finally:
            stop.set()
            jobs.join(timeout=10)

    def request(
        self, method: str, path: str, headers: Headers, body: bytes, *, asked: int | None = None
    ) -> tuple[int, Headers, bytes]:
        """One request in this process, as API Gateway would pass it on.

        ``asked`` is the instant of its arrival on the sandbox's clock, None for now.
        """
        assert self._gateway is not None, "prepare comes first"
        received = None if asked is None else asked - services().at(0)
        return self._gateway.request(method, path, headers, body, asked=received)

    def _deliver(self, event_id: str, body: bytes) -> int:
        """Post a signed event of the provider to the route that a real one would use."""
        secret = services().settings.webhook_secrets[0]
        now = machine_clock() // SECOND
        headers = {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(now),
            "webhook-signature": signatures.sign(event_id, now, body, secret),
        }
        return self.request("POST", "/v1/provider-events/sandbox", headers, body)[0]


def problem(name: str, headers: Headers) -> tuple[int, Headers, bytes]:
    """The answer to a request that reaches no route of the app."""
    response = route.unroutable(
        Reason(name), headers, headers.get("x-earnest-path", ""), headers.get("x-amzn-requestid", "")
    )
    return (
        response.status_code,
        {name: str(value) for name, value in response.headers.items()},
        str(response.body).encode(),
    )


def run_jobs_loop(built: Services, stop: threading.Event) -> None:
    """Every second until ``stop``: deliver the provider's events and run all jobs."""
    while not stop.wait(1):
        try:
            sandbox_of(built).pump()
            for job in JOBS.values():
                job(built, lambda: sandbox.JOB_TIMEOUT_MS)
        except Refused:
            continue
        except Exception:
            log.exception("a job failed; it runs again in a second")
