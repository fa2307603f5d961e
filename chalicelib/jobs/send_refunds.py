"""Schedule: send what was approved, look for what is unknown, hand over to a person what stays open too long."""

from collections.abc import Callable, Sequence

from chalicelib.jobs.sweep import Report, Sweep
from chalicelib.wiring import Services


def run(found: Services, time_left: Callable[[], int], shards: Sequence[int] | None = None) -> Report:
    sweep = Sweep("send_refunds", "work", found.deposits, {"dep": found.deposit_worker()}, found.clock)
    return sweep.run(found.run_id("send_refunds"), time_left, shards)
