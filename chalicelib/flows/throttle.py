"""A steady pace for calls of a provider, and pauses after failures that grow each time."""

from collections.abc import Callable
from typing import Final

from chalicelib.core.common.instants import SECOND
from chalicelib.flows.ports.store import Clock

MAX_DOUBLINGS: Final = 12  # failures after which the pause grows no longer: a little above an hour


def back_off(now: int, failures: int) -> int:
    """The instant of the next attempt after that many failures."""
    return now + (SECOND << min(failures, MAX_DOUBLINGS))


class Throttle:
    """Sleeps before a call until ``interval_ms`` have passed since the one before."""

    def __init__(self, interval_ms: int, now: Clock, sleep: Callable[[int], None]) -> None:
        self._interval = interval_ms
        self._now = now
        self._sleep = sleep
        self._next = 0

    def __call__(self) -> None:
        now = self._now()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(self._next, now) + self._interval
