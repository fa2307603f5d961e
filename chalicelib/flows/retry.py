"""Optimistic-lock retry: the first conflict retries on the returned image, later ones back off and re-read."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from msgspec import Struct

from chalicelib.core.common.journal import RequestContext
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.store import Clock, VersionConflict, WriteContention

# How long a write is retried before it is refused as busy; most conflicts are over after one retry.
RETRY_BUDGET_MS: Final = 2_000
# The edge gives up on an answer after 29 seconds; a request older than this writes nothing more.
MAX_REQUEST_AGE_MS: Final = 30_000

T = TypeVar("T")
ImageT = TypeVar("ImageT")


class Timing(Struct, frozen=True):
    """The machine's clock, a jittered sleep after that many sleeps, and the grace of irreversible deadlines."""

    now: Clock
    pause: Callable[[int], None]
    grace_ms: int


class ConflictRetry:
    """Counts the attempts of one write. Raises Refused(BUSY) instead of sleeping once the budget is used up."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._began = timing.now()
        self._had_conflict = False
        self._sleeps = 0

    def next_attempt(self) -> bool:
        """After a conflict: True to decide at once on the image that came with it, False when slept and to re-read."""
        if not self._had_conflict:
            self._had_conflict = True
            return True
        self.wait()
        return False

    def wait(self) -> None:
        """Sleep, each time longer."""
        if self._timing.now() - self._began > RETRY_BUDGET_MS:
            raise Refused(Reason.BUSY, retry_after=1)
        self._timing.pause(self._sleeps)
        self._sleeps += 1


def refuse_expired_request(timing: Timing, request: RequestContext) -> None:
    """Refused(BUSY) for a request whose caller no longer waits for the answer."""
    if timing.now() - request.received > MAX_REQUEST_AGE_MS:
        raise Refused(Reason.BUSY, retry_after=1)


def retry_on_conflict(
    timing: Timing,
    first: ImageT,
    attempt: Callable[[ImageT], T],
    from_conflict: Callable[[Stored[Any]], ImageT],
    reload: Callable[[], ImageT],
) -> T:
    """What ``attempt`` gives once nobody wrote in between. It decides and appends on an image, beginning with ``first``."""
    retry, image = ConflictRetry(timing), first
    while True:
        try:
            return attempt(image)
        except VersionConflict as conflict:
            image = from_conflict(conflict.stored) if retry.next_attempt() else reload()
        except WriteContention:
            retry.wait()
            image = reload()


def create_or_replay(
    timing: Timing, request: RequestContext, create: Callable[[], T], replay: Callable[[Stored[Any]], T]
) -> T:
    """What ``create`` gives, or ``replay`` of what stands there: an id made of the request's key exists once."""
    retry = ConflictRetry(timing)
    while True:
        refuse_expired_request(timing, request)
        try:
            return create()
        except VersionConflict as conflict:
            return replay(conflict.stored)
        except WriteContention:
            retry.wait()
