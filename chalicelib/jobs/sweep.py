"""One sweep over the shards of a queue: do what is due, and let no failing or busy item stop the others.

The shards take turns, each giving its oldest item, so no shard waits until another one is empty. Runs that overlap begin
at different shards, and a run may be given some of the shards only: many of them then share a long queue.
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
ALARM: Final = 5  # failures in a row after which a person should look
# An attended deposit may need a provider call of some seconds; what does not fit is left to the next run.
RESERVE: Final = 15_000


@dataclass(slots=True)
class Report:
    """What a run did. ``failed`` items were pushed back and will be tried again.

    ``finished`` False: something that was due is left, because time was over, an item was busy or a shard not readable.
    """

    job: str
    attended: int = 0
    busy: int = 0
    failed: int = 0
    finished: bool = True


class Worker(Protocol):
    """Who does what is due at one kind of item."""

    def process_due(self, item_id: str, owner: str, /) -> bool: ...

    def push_back(self, item_id: str, owner: str, /) -> int: ...


class Sweep(Struct, frozen=True):
    """A job over one queue. ``time_left`` gives the milliseconds that this run may still take.

    ``workers`` by the kind that an id begins with.
    """

    job: str
    queue: str
    deposits: Deposits
    workers: Mapping[str, Worker]
    clock: Clock

    def run(self, owner: str, time_left: Callable[[], int], shards: Sequence[int] | None = None) -> Report:
        """Over the named shards, or all of them."""
        report = Report(self.job)
        order = rotated(range(DUE_SHARDS) if shards is None else shards, owner)
        for item_id in taking_turns([self._items(shard, report) for shard in order]):
            if time_left() < RESERVE:
                report.finished = False
                break
            self._one(item_id, owner, report)
        return report

    def _items(self, shard: int, report: Report) -> Iterator[str]:
        """What is due in a shard, oldest first. An item seen twice in a run waits for the next one."""
        seen: set[str] = set()
        page: DuePage | None = None
        while page is None or page.position is not None:
            page = self._page(shard, page.position if page is not None else None, report)
            for item_id in page.ids:
                if item_id not in seen:
                    seen.add(item_id)
                    yield item_id

    def _page(self, shard: int, position: Mapping[str, Any] | None, report: Report) -> DuePage:
        """A shard that cannot be read now must not stop the others."""
        try:
            return self.deposits.due(self.queue, shard, self.clock(), PAGE_ITEMS, position)
        except Refused:
            _left(report)
            return DuePage((), None)

    def _one(self, item_id: str, owner: str, report: Report) -> None:
        try:
            report.attended += self._worker(item_id).process_due(item_id, owner)
        except (Leased, VersionConflict, WriteContention, Refused):
            _left(report)
        except Exception as fault:  # noqa: BLE001 - one broken item must not stop the others
            report.failed += 1
            report.finished &= self._pushed_back(item_id, owner, fault)

    def _worker(self, item_id: str) -> Worker:
        return self.workers[item_id.partition("_")[0]]

    def _pushed_back(self, item_id: str, owner: str, fault: Exception) -> bool:
        """Whether it is due later now; an item that cannot be pushed back stays due."""
        try:
            failures = self._worker(item_id).push_back(item_id, owner)
        except Exception:
            log.exception("push back failed", extra={"item": item_id})
            return False
        level = logging.ERROR if failures >= ALARM else logging.WARNING
        log.log(level, "%s failed %d times", self.job, failures, exc_info=fault, extra={"item": item_id})
        return True


def _left(report: Report) -> None:
    """Somebody else is at it, or the table is busy: it stays due."""
    report.busy += 1
    report.finished = False


def rotated(shards: Sequence[int], owner: str) -> list[int]:
    """All of them, from a place that depends on the run: two at once do not meet at every item."""
    start = zlib.crc32(owner.encode()) % max(len(shards), 1)
    return [*shards[start:], *shards[:start]]


def taking_turns(queues: Sequence[Iterator[str]]) -> Iterator[str]:
    """One from each in turn, until all are empty."""
    waiting = deque(queues)
    while waiting:
        queue = waiting.popleft()
        item_id = next(queue, None)
        if item_id is not None:
            yield item_id
            waiting.append(queue)


def named_shards(detail: Mapping[str, Any]) -> list[int] | None:
    """The shards that an event's ``detail`` names, as in ``{"shards": [0, 1, 2, 3]}``; None, for all, when it names none.

    ValueError when they are no shards: such a schedule would leave refunds lying.
    """
    shards = detail.get("shards")
    if shards is None:
        return None
    known = isinstance(shards, list) and all(type(one) is int and 0 <= one < DUE_SHARDS for one in shards)
    if not known or not shards or len(set(shards)) < len(shards):
        raise ValueError(f"no shards: {shards!r}")
    return list(shards)
