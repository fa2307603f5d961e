"""Schedule: go on with every reconciliation run from its cursor, and start the daily one when it is time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chalicelib.wiring import Services

# A deposit may need repairs, each a provider call; what does not fit is left to the next slice.
RESERVE: Final = 60_000


@dataclass(slots=True)
class Report:
    """What a run of this job did. ``finished`` False: the next one goes on from the cursors.

    ``failed`` runs raised what nobody expected; they are tried again, and the log says why.
    """

    job: str
    completed: int = 0
    started: bool = False
    failed: int = 0
    finished: bool = True


def run(found: Services, time_left: Callable[[], int]) -> Report:
    report = Report("reconcile")
    owner = found.run_id("reconcile")
    _work(found, owner, time_left, report)
    if time_left() >= RESERVE and found.reconciliation.daily():
        report.started = True
        _work(found, owner, time_left, report)
    return report


def _work(found: Services, owner: str, time_left: Callable[[], int], report: Report) -> None:
    worked = found.run_worker.work(owner, time_left, RESERVE)
    report.completed += worked.finished
    report.finished, report.failed = worked.all_done, worked.failed
