"""One sweep over the shards of a queue: attend to what is due, and let no failing item stop the others."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from chalicelib.core.common.refusal import Refused
from chalicelib.flows.ports.store import DUE_SHARDS, Clock, Deposits, Leased, VersionConflict, WriteContention

log = logging.getLogger("earnest.jobs")

BATCH: Final = 50  # ids read from a shard at once
ALARM: Final = 5  # failures in a row after which a person should look


@dataclass(slots=True)
class Report:
    """What a run did. ``failed`` items were pushed back and will be tried again."""

    job: str
    attended: int = 0
    busy: int = 0
    failed: int = 0
    finished: bool = True


class Worker(Protocol):
    """Who does what is due at one kind of item."""

    def attend(self, item_id: str, owner: str, /) -> bool: ...

    def push_back(self, item_id: str, owner: str, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Sweep:
    """A job over one queue. ``time_left`` gives the milliseconds that this run may still take.

    ``workers`` by the kind that an id begins with.
    """

    job: str
    queue: str
    deposits: Deposits
    workers: Mapping[str, Worker]
    clock: Clock

    def run(self, owner: str, time_left: Callable[[], int]) -> Report:
        report = Report(self.job)
        for shard in range(DUE_SHARDS):
            self._shard(shard, owner, time_left, report)
        return report

    def _shard(self, shard: int, owner: str, time_left: Callable[[], int], report: Report) -> None:
        """Head after head until nothing new is due; an item seen twice in a run waits for the next one."""
        seen: set[str] = set()
        while True:
            due = [one for one in self._due(shard, report) if one not in seen]
            if not due:
                return
            for item_id in due:
                if time_left() < RESERVE:
                    report.finished = False
                    return
                seen.add(item_id)
                self._one(item_id, owner, report)

    def _due(self, shard: int, report: Report) -> Sequence[str]:
        """The head of a shard; one that cannot be read now must not stop the others."""
        try:
            return self.deposits.due(self.queue, shard, self.clock(), BATCH)
        except Refused:
            report.busy += 1
            return ()

    def _one(self, item_id: str, owner: str, report: Report) -> None:
        try:
            report.attended += self._worker(item_id).attend(item_id, owner)
        except (Leased, VersionConflict, WriteContention, Refused):
            report.busy += 1
        except Exception as fault:  # noqa: BLE001 - one broken item must not stop the others
            report.failed += 1
            self._failed(item_id, owner, fault)

    def _worker(self, item_id: str) -> Worker:
        return self.workers[item_id.partition("_")[0]]

    def _failed(self, item_id: str, owner: str, fault: Exception) -> None:
        try:
            failures = self._worker(item_id).push_back(item_id, owner)
        except Exception:
            log.exception("push back failed", extra={"item": item_id})
            return
        level = logging.ERROR if failures >= ALARM else logging.WARNING
        log.log(level, "%s failed %d times", self.job, failures, exc_info=fault, extra={"item": item_id})


# An attended deposit may need a provider call of some seconds; what does not fit is left to the next run.
RESERVE: Final = 15_000
