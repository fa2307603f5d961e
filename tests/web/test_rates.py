"""Rates: so many at once, then as many as flow back; each caller alone; memory has an end."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.web.edge import rates
from chalicelib.web.edge.rates import Rates

T0 = 1_800_000_000_000
MINUTE = 60_000


def passes(limits: Rates, now_ms: int = T0, caller: str = "usr_a", write: bool = True) -> bool:
    try:
        limits.take(caller, write, now_ms)
    except Refused:
        return False
    return True


def retry_after(limits: Rates, now_ms: int) -> int:
    with pytest.raises(Refused) as refused:
        limits.take("usr_a", True, now_ms)
    assert refused.value.reason == Reason.RATE_LIMITED
    wait = refused.value.facts["retry_after"]
    assert type(wait) is int
    return wait


def test_a_full_bucket_then_one_by_one() -> None:
    limits = Rates(60, None)
    assert [passes(limits) for _ in range(61)] == [True] * 60 + [False]
    assert not passes(limits, T0 + 999)
    assert passes(limits, T0 + 1000)
    assert not passes(limits, T0 + 1000)


def test_a_refusal_says_when_to_come_back_and_that_is_true() -> None:
    limits = Rates(7, None)
    assert all(passes(limits) for _ in range(7))
    waits = [retry_after(limits, T0 + after) for after in (0, 500, 600, 7570, 7580, 8571)]
    assert waits == [9, 9, 8, 2, 1, 1]  # the next one is there after 60 s / 7 = 8.572 s
    assert passes(limits, T0 + 8572)


@given(st.integers(1, 1000))
def test_whoever_waits_as_told_passes(per_minute: int) -> None:
    limits = Rates(per_minute, None)
    while passes(limits):
        pass
    wait = retry_after(limits, T0)
    assert wait == -(-60 // per_minute)
    assert passes(limits, T0 + wait * 1000)


@given(st.lists(st.integers(0, 5000), max_size=200), st.integers(1, 100))
def test_never_more_than_the_burst_and_what_flowed_back(pauses: list[int], per_minute: int) -> None:
    limits, now, passed = Rates(per_minute, None), T0, 0
    for pause in pauses:
        now += pause
        passed += passes(limits, now)
    assert passed * MINUTE <= per_minute * MINUTE + (now - T0) * per_minute


def test_callers_and_kinds_do_not_share() -> None:
    limits = Rates(1, 1)
    assert passes(limits)
    assert not passes(limits)
    assert passes(limits, write=False)
    assert passes(limits, caller="usr_b")


def test_an_idle_caller_saves_up_one_bucket_and_no_more() -> None:
    limits = Rates(2, None)
    assert passes(limits)
    later = T0 + 1000 * MINUTE
    assert [passes(limits, later) for _ in range(3)] == [True, True, False]


def test_a_clock_set_back_locks_nobody_out() -> None:
    limits = Rates(1, None)
    assert passes(limits)
    assert not passes(limits, T0 - 60 * MINUTE)
    assert passes(limits, T0 - 59 * MINUTE)


def test_no_limit_is_no_limit() -> None:
    limits = Rates(None, None)
    assert all(passes(limits) and passes(limits, write=False) for _ in range(1000))


def test_the_longest_idle_is_forgotten_first() -> None:
    limits = Rates(1, None)
    for number in range(rates.MAX_CALLERS):
        assert passes(limits, caller=f"usr_{number}")
    assert not passes(limits, caller="usr_0")
    assert passes(limits, caller="usr_new")
    assert not passes(limits, caller="usr_0")
    assert passes(limits, caller="usr_1")
    assert not passes(limits, caller="usr_3")


def test_threads_share_one_bucket() -> None:
    limit = 500
    limits = Rates(limit, None)
    with ThreadPoolExecutor(16) as threads:
        passed = sum(threads.map(lambda _: passes(limits), range(2000)))
    assert passed == limit
