"""A steady pace for calls of a provider, below the rate that it allows."""

from collections.abc import Callable

from chalicelib.flows.ports import Clock


class Pace:
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
