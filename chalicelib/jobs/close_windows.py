"""Schedule: write down what the clock alone made true, look for payments before a deposit expires, free its units."""

from collections.abc import Callable

from chalicelib.jobs.sweep import Report, Sweep
from chalicelib.wiring import Services


def run(found: Services, time_left: Callable[[], int]) -> Report:
    sweep = Sweep("close_windows", "time", found.deposits, found.attendant(), found.clock)
    return sweep.run(found.run_id("close_windows"), time_left)
