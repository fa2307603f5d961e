"""Many deposits cancelled at once: when a second person is needed, who that may be, and how it is worked off."""

from itertools import product
from typing import Any, Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.instants import HOUR
from chalicelib.core.common.refusal import Reason
from chalicelib.core.merchant.bulk import (
    TRANSITIONS,
    Bulk,
    BulkApproved,
    BulkAsked,
    BulkEvent,
    BulkLapsed,
    BulkStatus,
    BulkWorked,
    Result,
    approve_bulk,
    catch_up,
    compute_approve_until,
    compute_min_live_deposits,
    evolve,
    find_lapse,
    fold,
    refuse_bulk_fields,
)
from chalicelib.core.merchant.cancellation import MerchantCancel
from tests.core.stories import OUT_OF_STOCK, SU7, T0, refused, terms

ID: Final = "bmc_" + "0" * 26
FIRST, SECOND = "usr_first", "usr_second"
UNTIL: Final = T0 + 72 * HOUR
DEPOSITS: Final = ("dep_a", "dep_b", "dep_c")


def asked(until: int | None = UNTIL, **changes: Any) -> BulkAsked:
    told = {"offer": "off_1", "merchant": "mer_shop", "by": FIRST, "deposits": DEPOSITS, "reason": "OUT_OF_STOCK"}
    return BulkAsked(T0, **{**told, "evidence": ("stock:1",), "approve_until": until, **changes})


def done(*deposits: str) -> tuple[Result, ...]:
    return tuple(Result(deposit, "cancelled") for deposit in deposits)


APPROVED: Final = BulkApproved(T0 + 1, SECOND)
LAPSED: Final = BulkLapsed(UNTIL)
SOME, REST = BulkWorked(T0 + 2, done("dep_a")), BulkWorked(T0 + 3, done("dep_b", "dep_c"))
WAITING: Final = fold(ID, [asked()])
RUNNING: Final = fold(ID, [asked(None)])
DONE: Final = evolve(RUNNING, BulkWorked(T0, done(*DEPOSITS)))
STANDING: Final[dict[BulkStatus, Bulk]] = {one.status: one for one in (WAITING, RUNNING, DONE)}


# --- When a second person is needed ---


@pytest.mark.parametrize(
    ("deposits", "live"),
    [
        (1,   0),       # one is nobody else's business
        (2,   200),     # more than one in a hundred, of at least two
        (3,   300),
        (99,  9_900),
        (100, 10_000),
        (101, None),    # more than a hundred, however many there are
    ],
)  # fmt: skip
def test_how_many_must_be_live_for_one_person_to_do_it_alone(deposits: int, live: int | None) -> None:
    assert compute_min_live_deposits(deposits, T0) == live
    if live is not None:
        assert most_alone(live) >= deposits
    if live:
        assert most_alone(live - 1) < deposits


def most_alone(live: int) -> int:
    """The rule as it is published: one in a hundred, at least one, at most a hundred."""
    return min(max(live // 100, 1), 100)


@pytest.mark.parametrize(
    ("live", "alone"),
    [(0, 1), (1, 1), (199, 1), (200, 2), (299, 2), (300, 3), (9_999, 99), (10_000, 100), (10_001, 100), (10**6, 100)],
)
def test_how_many_one_person_may_cancel_of_so_many(live: int, alone: int) -> None:
    assert most_alone(live) == alone


@given(st.integers(1, 200), st.integers(0, 20_000))
def test_both_ways_of_counting_say_the_same(deposits: int, live: int) -> None:
    needed = compute_min_live_deposits(deposits, T0)
    assert (needed is not None and live >= needed) is (deposits <= most_alone(live))


# --- What is wrong with it whatever the deposits are ---


def test_a_deposit_named_twice_is_a_fault_at_its_place() -> None:
    with refused(Reason.INVALID_REQUEST, ("/deposits/1", "duplicate"), ("/deposits/3", "duplicate")):
        refuse_bulk_fields(["dep_a", "dep_a", "dep_b", "dep_a"], OUT_OF_STOCK, SU7, T0)
    refuse_bulk_fields(DEPOSITS, OUT_OF_STOCK, SU7, T0)


def test_evidence_comes_before_the_published_list() -> None:
    one = terms(cancellation_reasons=["FORCE_MAJEURE"])
    with refused(Reason.EVIDENCE_REQUIRED, ("/evidence", "too_few"), least=1):
        refuse_bulk_fields(DEPOSITS, MerchantCancel("OUT_OF_STOCK", ()), one, T0)
    with refused(Reason.REASON_NOT_PUBLISHED, code="OUT_OF_STOCK"):
        refuse_bulk_fields(DEPOSITS, OUT_OF_STOCK, one, T0)
    with refused(Reason.REASON_NOT_PUBLISHED, code="NO_SUCH_REASON"):
        refuse_bulk_fields(DEPOSITS, MerchantCancel("NO_SUCH_REASON", ()), one, T0)


# --- The second person ---


def test_a_second_person_has_72_hours() -> None:
    assert compute_approve_until(T0) == UNTIL


@pytest.mark.parametrize("at", [T0, UNTIL - 1, UNTIL])
def test_the_same_person_is_not_a_second_one(at: int) -> None:
    with refused(Reason.APPROVAL_REQUIRED, code="OUT_OF_STOCK"):
        approve_bulk(catch_up(WAITING, at), FIRST, at)


@pytest.mark.parametrize(("at", "state"), [(T0, None), (UNTIL - 1, None), (UNTIL, "done"), (UNTIL + 1, "done")])
def test_another_person_agrees_in_time(at: int, state: str | None) -> None:
    if state is not None:
        with refused(Reason.WRONG_STATE, state=state):
            approve_bulk(catch_up(WAITING, at), SECOND, at)
        return
    event = approve_bulk(catch_up(WAITING, at), SECOND, at)
    after = evolve(WAITING, event)
    assert (event, after.status, after.approver, after.command.approver) == (
        BulkApproved(at, SECOND),
        BulkStatus.RUNNING,
        SECOND,
        SECOND,
    )


@pytest.mark.parametrize(
    ("one", "state"), [(RUNNING, "running"), (DONE, "done"), (evolve(WAITING, APPROVED), "running")]
)
def test_what_does_not_wait_needs_nobody(one: Bulk, state: str) -> None:
    with refused(Reason.WRONG_STATE, state=state):
        approve_bulk(one, SECOND, T0)


@pytest.mark.parametrize(("at", "lapsed"), [(T0, None), (UNTIL - 1, None), (UNTIL, LAPSED), (UNTIL + HOUR, LAPSED)])
def test_what_nobody_agreed_to_lapses_at_its_hour(at: int, lapsed: BulkLapsed | None) -> None:
    assert find_lapse(WAITING, at) == lapsed
    assert find_lapse(RUNNING, at) is find_lapse(DONE, at) is None
    seen = catch_up(WAITING, at)
    if lapsed is None:
        assert seen == WAITING
        return
    assert (seen.status, seen.left, seen.due) == (BulkStatus.DONE, (), None)
    assert seen.results == tuple(Result(one, "skipped", "approval-required") for one in DEPOSITS)
    assert catch_up(seen, at) == seen


# --- The table and the journal ---


@pytest.mark.parametrize(
    ("status", "event"), list(product(STANDING, [APPROVED, SOME, LAPSED])), ids=lambda one: getattr(one, "TYPE", one)
)
def test_a_step_is_what_the_table_says(status: BulkStatus, event: BulkEvent) -> None:
    then = TRANSITIONS.get((status, type(event)))
    if then is None:
        with pytest.raises(KeyError):
            evolve(STANDING[status], event)
        return
    assert evolve(STANDING[status], event).status in then


def test_every_event_and_every_status_is_in_the_table() -> None:
    assert {event for _, event in TRANSITIONS} | {BulkAsked} == set(get_args(BulkEvent))
    assert {status for status, _ in TRANSITIONS} | {then for to in TRANSITIONS.values() for then in to} == set(
        BulkStatus
    )
    assert set(STANDING) == set(BulkStatus)


def test_a_journal_begins_with_its_creation_and_has_no_other() -> None:
    with pytest.raises(ValueError, match="begins with its creation"):
        fold(ID, [APPROVED])
    with pytest.raises(ValueError, match="empty"):
        fold(ID, [])
    with pytest.raises(KeyError):
        fold(ID, [asked(None), asked(None)])


def test_a_journal_tells_how_far_it_is() -> None:
    steps: list[BulkEvent] = [asked()]
    told = []
    for event in (APPROVED, SOME, REST):
        told.append(fold(ID, steps))
        steps.append(event)
    told.append(fold(ID, steps))
    assert [str(one.status) for one in told] == ["awaiting_approval", "running", "running", "done"]
    assert [one.left for one in told] == [DEPOSITS, DEPOSITS, ("dep_b", "dep_c"), ()]
    assert [one.due for one in told] == [UNTIL, T0 + 1, T0 + 2, None]
    assert [one.version for one in told] == [1, 2, 3, 4]
    assert told[-1].results == done(*DEPOSITS)


def test_what_became_of_them_is_counted() -> None:
    mixed = BulkWorked(
        T0, (Result("dep_a", "cancelled"), Result("dep_b", "skipped", "wrong-state"), Result("dep_c", "cancelled"))
    )
    one = evolve(RUNNING, mixed)
    assert (one.count_outcomes("cancelled"), one.count_outcomes("skipped"), str(one.status)) == (2, 1, "done")


def test_the_command_for_each_deposit_is_what_was_asked() -> None:
    one = fold(ID, [asked(None, note="sha256:note", note_length=40)])
    assert one.command == MerchantCancel("OUT_OF_STOCK", ("stock:1",), "sha256:note", 40, None)
