"""A pace keeps calls apart, and lets what comes late enough go at once."""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import pytest

from chalicelib.flows.throttle import Throttle

BETWEEN: Final = 40


@dataclass
class Watch:
    """Its sleeps take as long as they are told, or a little longer."""

    now: int = 1_000
    longer: int = 0
    slept: list[int] = field(default_factory=list)

    def __call__(self) -> int:
        return self.now

    def sleep(self, milliseconds: int) -> None:
        self.slept.append(milliseconds)
        self.now += milliseconds + self.longer


CALLS: Final = [
    # how long after the last one each call comes; how long each waits
    ([0],                   []),
    ([0, 0, 0],             [40, 40]),
    ([0, 39],               [1]),
    ([0, 40],               []),
    ([0, 1_000, 0],         [40]),
    ([0, 10, 10, 10],       [30, 30, 30]),
]  # fmt: skip


@pytest.mark.parametrize(("distances", "waits"), CALLS)
def test_between_two_calls_lies_at_least_the_interval(distances: list[int], waits: list[int]) -> None:
    watch = Watch()
    pace = Throttle(BETWEEN, watch, watch.sleep)
    called = []
    for distance in distances:
        watch.now += distance
        pace()
        called.append(watch.now)
    assert watch.slept == waits
    assert all(later - earlier >= BETWEEN for earlier, later in pairwise(called))


def test_after_a_long_pause_nothing_is_saved_up() -> None:
    watch = Watch()
    pace = Throttle(BETWEEN, watch, watch.sleep)
    pace()
    watch.now += 60_000
    for _ in range(3):
        pace()
    assert watch.slept == [40, 40]


def test_a_thousand_calls_take_a_thousand_intervals_also_when_sleeps_are_too_long() -> None:
    watch = Watch(longer=15)
    pace = Throttle(BETWEEN, watch, watch.sleep)
    began = watch.now
    for _ in range(1_000):
        pace()
    assert watch.now - began == pytest.approx(999 * BETWEEN, abs=BETWEEN + 15)


def test_without_an_interval_nobody_waits() -> None:
    watch = Watch()
    pace = Throttle(0, watch, watch.sleep)
    for _ in range(100):
        pace()
    assert watch.slept == []
