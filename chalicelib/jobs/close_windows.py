"""Scheduled job: write deadline events, query payments before a deposit expires, run bulk cancellations."""

from collections.abc import Callable, Mapping, Sequence

from chalicelib.jobs.sweep import Report, Sweep, Worker
from chalicelib.wiring import Services


def run(services: Services, time_left: Callable[[], int], shards: Sequence[int] | None = None) -> Report:
    workers: Mapping[str, Worker] = {"dep": services.deposit_worker(), "bmc": services.cancellations}
    sweep = Sweep("close_windows", "time", services.deposits, workers, services.clock)
    return sweep.run(services.run_id("close_windows"), time_left, shards)
