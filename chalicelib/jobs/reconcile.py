"""Scheduled job: continue every reconciliation run from its cursor, and start the daily run when it is due."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chalicelib.wiring import Services

# Milliseconds left below which no further slice is begun: a deposit may need repairs, each a provider call.
RESERVE_MS: Final = 60_000


@dataclass(slots=True)
class Report:
    """Counts of one run of this job. ``finished`` is False when the next one goes on from the cursors.

    ``failed`` reconciliation runs raised an unexpected error, which is logged; they are tried again.
    """

    job: str
    completed: int = 0
    started: bool = False
    failed: int = 0
    finished: bool = True


def run(services: Services, time_left: Callable[[], int]) -> Report:
    report = Report("reconcile")
    owner = services.run_id("reconcile")
    _work(services, owner, time_left, report)
    if time_left() >= RESERVE_MS and services.reconciliation.daily():
        report.started = True
        _work(services, owner, time_left, report)
    return report


def _work(services: Services, owner: str, time_left: Callable[[], int], report: Report) -> None:
    worked = services.run_worker.work(owner, time_left, RESERVE_MS)
    report.completed += worked.finished
    report.finished, report.failed = worked.all_done, worked.failed
