"""Many at once: threads that begin together, clients who insist, and what is left on the shelves afterwards."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, Final, TypeVar

from chalicelib.core.common.refusal import Reason
from chalicelib.flows.offers import Offered
from chalicelib.flows.retry import Timing
from chalicelib.flows.snapshot import Outcome
from chalicelib.wiring import machine_clock, pause
from tests.conftest import Tables
from tests.flows.shop import GRACE, insisting
from tests.store.builders import shards

THREADS: Final = 16
T = TypeVar("T")


def at_once(acts: Sequence[Callable[[], T]], most: int = THREADS) -> list[T]:
    """All of them from as many threads as there are, the first ones at the same moment."""
    together = min(len(acts), most)
    start = Barrier(together)

    def run(numbered: tuple[int, Callable[[], T]]) -> T:
        number, act = numbered
        if number < together:
            start.wait()
        return act()

    with ThreadPoolExecutor(most) as threads:
        return list(threads.map(run, enumerate(acts)))


def unhurried() -> Timing:
    """Patience by a clock at a fifth of the speed: this machine may be five times as busy as a table in the cloud."""
    began = machine_clock()
    return Timing(lambda: began + (machine_clock() - began) // 5, pause, GRACE)


def insist(act: Callable[..., Outcome], *args: Any, **more: Any) -> Callable[[], Outcome | Reason]:
    """A client who asks again with the same key until there is an answer."""
    return lambda: insisting(lambda: act(*args, **more))


def outcomes(results: Sequence[Outcome | Reason]) -> list[Outcome]:
    assert all(isinstance(one, Outcome) for one in results), [one for one in results if isinstance(one, Reason)]
    return [one for one in results if isinstance(one, Outcome)]


def sums(table: Tables, offered: Offered) -> tuple[int, int]:
    """Left and live of all shards; each shard's own sum is checked by ``shards``."""
    found = shards(table, offered.offer)
    return sum(left for left, *_ in found), sum(live for _, live, *_ in found)
