"""When to come again: a steady pace for calls of a provider, and longer and longer pauses after failures."""

from collections.abc import Callable
from typing import Final

from chalicelib.core.common.instants import SECOND
from chalicelib.flows.ports.store import Clock

MAX_DOUBLINGS: Final = 12  # failures after which the pause grows no longer: a little above an hour


def back_off(now: int, failures: int) -> int:
    """When what has failed so often is tried again."""
    return now + (SECOND << min(failures, MAX_DOUBLINGS))


class Throttle:
    """Waits before a call until a slot is free. ``interval_ms`` lies between two calls."""

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
