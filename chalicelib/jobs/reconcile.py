"""Schedule: go on with every reconciliation run from its cursor, then start the daily one when it is time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chalicelib.wiring import Services

# A chunk may need repairs, each a provider call; what does not fit is left to the next slice.
RESERVE: Final = 60_000


@dataclass(slots=True)
class Report:
    """What a run of this job did. ``finished`` False: the next one goes on from the cursors."""

    job: str
    completed: int = 0
    started: bool = False
    finished: bool = True


def run(found: Services, time_left: Callable[[], int]) -> Report:
    report = Report("reconcile")
    owner = found.run_id("reconcile")
    report.completed, report.finished = found.reconciliation.work(owner, time_left, RESERVE)
    if report.finished and found.reconciliation.daily():
        report.started = True
        completed, report.finished = found.reconciliation.work(owner, time_left, RESERVE)
        report.completed += completed
    return report
