"""Rate limits: a token bucket per caller, in the memory of one container."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from chalicelib.core.common.instants import SECOND
from chalicelib.core.common.refusal import Reason, Refused

# One request in the unit of the levels: with it a bucket gains exactly its rate per millisecond, without fractions.
MINUTE_MS: Final = 60_000
MAX_CALLERS: Final = 10_000


class Rates:
    """Limits per caller for writes and for reads; None is no limit. A bucket starts full and refills steadily."""

    def __init__(self, writes_per_minute: int | None, reads_per_minute: int | None) -> None:
        self._writes = None if writes_per_minute is None else _Buckets(writes_per_minute)
        self._reads = None if reads_per_minute is None else _Buckets(reads_per_minute)

    def take(self, caller_id: str, write: bool, now_ms: int) -> None:
        """Count one request, or refuse it and say in how many seconds the next one may pass."""
        buckets = self._writes if write else self._reads
        missing_ms = buckets.take(caller_id, now_ms) if buckets else 0
        if missing_ms:
            raise Refused(Reason.RATE_LIMITED, retry_after=-(-missing_ms // SECOND))


class _Buckets:
    """Each caller's level and when it was last looked at, the longest idle first."""

    def __init__(self, per_minute: int) -> None:
        assert per_minute > 0
        self._per_minute = per_minute
        self._full = per_minute * MINUTE_MS
        self._levels: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = Lock()

    def take(self, caller_id: str, now_ms: int) -> int:
        """Zero when the request may pass, else the milliseconds until it could. A refusal costs nothing."""
        with self._lock:
            level = self._level(caller_id, now_ms)
            missing = max(0, MINUTE_MS - level)
            self._levels[caller_id] = (level if missing else level - MINUTE_MS, now_ms)
            self._levels.move_to_end(caller_id)
            # The longest idle bucket is the likeliest to be full again, and forgetting a bucket fills it.
            if len(self._levels) > MAX_CALLERS:
                self._levels.popitem(last=False)
            return -(-missing // self._per_minute)

    def _level(self, caller_id: str, now_ms: int) -> int:
        level, seen_ms = self._levels.get(caller_id, (self._full, now_ms))
        # A clock that was set back lowers no level.
        return min(self._full, level + max(0, now_ms - seen_ms) * self._per_minute)
