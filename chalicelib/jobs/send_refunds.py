"""Scheduled job: send approved refunds, query unknown ones, and hand those over their promised date to a person."""

from collections.abc import Callable, Sequence

from chalicelib.jobs.sweep import Report, Sweep
from chalicelib.wiring import Services


def run(services: Services, time_left: Callable[[], int], shards: Sequence[int] | None = None) -> Report:
    sweep = Sweep("send_refunds", "work", services.deposits, {"dep": services.deposit_worker()}, services.clock)
    return sweep.run(services.run_id("send_refunds"), time_left, shards)
