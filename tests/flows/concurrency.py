"""Concurrent calls: threads that begin together, clients that retry, and sums of the stock afterwards."""

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
from tests.flows.shop import GRACE, retry_while_busy
from tests.store.builders import shards

THREADS: Final = 16
T = TypeVar("T")


def run_at_once(acts: Sequence[Callable[[], T]], most: int = THREADS) -> list[T]:
    """Run all calls in at most ``most`` threads, the first ones at the same moment. Results in order."""
    together = min(len(acts), most)
    start = Barrier(together)

    def run(numbered: tuple[int, Callable[[], T]]) -> T:
        number, act = numbered
        if number < together:
            start.wait()
        return act()

    with ThreadPoolExecutor(most) as threads:
        return list(threads.map(run, enumerate(acts)))


def slow_timing() -> Timing:
    """A clock at a fifth of the speed, so that retry budgets hold on a machine that is five times as slow."""
    began = machine_clock()
    return Timing(lambda: began + (machine_clock() - began) // 5, pause, GRACE)


def retrying(act: Callable[..., Outcome], *args: Any, **more: Any) -> Callable[[], Outcome | Reason]:
    """A call that retries with the same key while it is BUSY."""
    return lambda: retry_while_busy(lambda: act(*args, **more))


def outcomes(results: Sequence[Outcome | Reason]) -> list[Outcome]:
    assert all(isinstance(result, Outcome) for result in results), [
        result for result in results if isinstance(result, Reason)
    ]
    return [result for result in results if isinstance(result, Outcome)]


def stock_sums(table: Tables, offered: Offered) -> tuple[int, int]:
    """Units left and live over all shards; ``shards`` checks each shard's sum."""
    counts = shards(table, offered.offer)
    return sum(left for left, *_ in counts), sum(live for _, live, *_ in counts)
