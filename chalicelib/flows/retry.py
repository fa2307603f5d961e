"""Optimistic-lock retry: the first conflict retries on the returned image, later ones back off and re-read."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.flows.ports.store import Clock

# How long a writer races before it says busy: most races are over after one image.
RETRY_BUDGET_MS: Final = 2_000


class Timing(Struct, frozen=True):
    """What wiring gives for races: the machine's clock, a jittered sleep, and the grace of irreversible deadlines."""

    now: Clock
    pause: Callable[[int], None]
    grace_ms: int


class ConflictRetry:
    """One writer's luck: the image that a first loss hands back is used at once, later ones only after a sleep."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._began = timing.now()
        self._lost = False
        self._sleeps = 0

    def lost(self) -> bool:
        """Whether to decide at once on the image; False means: slept, read again. Refused(BUSY) when patience ends."""
        if not self._lost:
            self._lost = True
            return True
        self.wait()
        return False

    def wait(self) -> None:
        """Sleep, each time longer."""
        if self._timing.now() - self._began > RETRY_BUDGET_MS:
            raise Refused(Reason.BUSY, retry_after=1)
        self._timing.pause(self._sleeps)
        self._sleeps += 1
