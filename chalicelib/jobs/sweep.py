"""One sweep over the shards of a queue: process what is due. A failing or busy item does not stop the others.

The shards take turns, each giving its oldest item, so that no shard waits until another is empty. Overlapping runs begin
at different shards. A run may be limited to some shards, so that several runs share a long queue.
"""

import logging
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from msgspec import Struct

from chalicelib.core.common.refusal import Refused
from chalicelib.flows.ports.store import DUE_SHARDS, Clock, Deposits, DuePage, Leased, VersionConflict, WriteContention

log = logging.getLogger("earnest.jobs")

PAGE_ITEMS: Final = 50  # ids read from a shard at once
ALARM_FAILURES: Final = 5  # failures in a row after which a failure is logged as an error
# Milliseconds left below which no further item is begun: one item may need a provider call of some seconds.
RESERVE_MS: Final = 15_000


@dataclass(slots=True)
class Report:
    """Counts of a run. ``failed`` items were postponed and will be tried again.

    ``finished`` is False when due items are left: time was over, an item was busy or a shard could not be read.
    """

    job: str
    attended: int = 0
    busy: int = 0
    failed: int = 0
    finished: bool = True


class Worker(Protocol):
    """Processes the due items of one kind."""

    def process_due(self, item_id: str, owner: str, /) -> bool: ...

    def push_back(self, item_id: str, owner: str, /) -> int: ...


class Sweep(Struct, frozen=True):
    """A job over one queue. ``workers`` by the prefix of the ids they process."""

    job: str
    queue: str
    deposits: Deposits
    workers: Mapping[str, Worker]
    clock: Clock

    def run(self, owner: str, time_left: Callable[[], int], shards: Sequence[int] | None = None) -> Report:
        """Sweep some shards, None for all. ``time_left`` gives the milliseconds that this run may still take."""
        report = Report(self.job)
        order = rotate(range(DUE_SHARDS) if shards is None else shards, owner)
        for item_id in take_turns([self._due_items(shard, report) for shard in order]):
            if time_left() < RESERVE_MS:
                report.finished = False
                break
            self._process(item_id, owner, report)
        return report

    def _due_items(self, shard: int, report: Report) -> Iterator[str]:
        """The due ids of a shard, oldest first. An id that comes again waits for the next run."""
        seen: set[str] = set()
        page: DuePage | None = None
        while page is None or page.position is not None:
            page = self._page(shard, page.position if page is not None else None, report)
            for item_id in page.ids:
                if item_id not in seen:
                    seen.add(item_id)
                    yield item_id

    def _page(self, shard: int, position: Mapping[str, Any] | None, report: Report) -> DuePage:
        """One page of due ids; empty when the shard cannot be read now."""
        try:
            return self.deposits.due(self.queue, shard, self.clock(), PAGE_ITEMS, position)
        except Refused:
            _count_busy(report)
            return DuePage((), None)

    def _process(self, item_id: str, owner: str, report: Report) -> None:
        try:
            report.attended += self._worker(item_id).process_due(item_id, owner)
        except (Leased, VersionConflict, WriteContention, Refused):
            _count_busy(report)
        except Exception as error:  # noqa: BLE001 - one broken item must not stop the others
            report.failed += 1
            report.finished &= self._push_back(item_id, owner, error)

    def _worker(self, item_id: str) -> Worker:
        return self.workers[item_id.partition("_")[0]]

    def _push_back(self, item_id: str, owner: str, error: Exception) -> bool:
        """Postpone a failed item and log it. False when it cannot be postponed and stays due."""
        try:
            failures = self._worker(item_id).push_back(item_id, owner)
        except Exception:
            log.exception("push back failed", extra={"item": item_id})
            return False
        level = logging.ERROR if failures >= ALARM_FAILURES else logging.WARNING
        log.log(level, "%s failed %d times", self.job, failures, exc_info=error, extra={"item": item_id})
        return True


def _count_busy(report: Report) -> None:
    """Another worker has the item, or the table is busy: it stays due."""
    report.busy += 1
    report.finished = False


def rotate(shards: Sequence[int], owner: str) -> list[int]:
    """All shards, beginning at one that depends on the owner, so that two runs do not meet at every item."""
    start = zlib.crc32(owner.encode()) % max(len(shards), 1)
    return [*shards[start:], *shards[:start]]


def take_turns(queues: Sequence[Iterator[str]]) -> Iterator[str]:
    """One item of each queue in turn, until all are empty."""
    waiting = deque(queues)
    while waiting:
        queue = waiting.popleft()
        item_id = next(queue, None)
        if item_id is not None:
            yield item_id
            waiting.append(queue)


def read_shards(detail: Mapping[str, Any]) -> list[int] | None:
    """The shards of a scheduled event's ``detail``, as in ``{"shards": [0, 1, 2, 3]}``; None, for all, without any.

    ValueError for anything that is not a list of different shards: such a schedule would skip refunds.
    """
    shards = detail.get("shards")
    if shards is None:
        return None
    known = isinstance(shards, list) and all(type(shard) is int and 0 <= shard < DUE_SHARDS for shard in shards)
    if not known or not shards or len(set(shards)) < len(shards):
        raise ValueError(f"no shards: {shards!r}")
    return list(shards)
