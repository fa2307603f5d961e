"""Schedule: write down what the clock alone made true, look for payments before a deposit expires, free its units.

Bulk cancellations are worked off here, too.
"""

from collections.abc import Callable, Mapping, Sequence

from chalicelib.jobs.sweep import Report, Sweep, Worker
from chalicelib.wiring import Services


def run(found: Services, time_left: Callable[[], int], shards: Sequence[int] | None = None) -> Report:
    workers: Mapping[str, Worker] = {"dep": found.deposit_worker(), "bmc": found.cancellations}
    sweep = Sweep("close_windows", "time", found.deposits, workers, found.clock)
    return sweep.run(found.run_id("close_windows"), time_left, shards)
