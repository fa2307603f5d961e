"""A claim's life: what its table refuses, and that what the clock says is so before and after it is written."""

from collections.abc import Callable
from itertools import product
from typing import Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.claims.schedule import compute_reminders
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, SECOND
from chalicelib.core.deadlines import NEVER, due_at, next_due, overdue
from chalicelib.core.deposit.claim import OPEN, TRANSITIONS, ClaimStatus, begin_claim, evolve_claim
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import (
    ClaimEscalated,
    ClaimEvidenceAdded,
    ClaimGranted,
    ClaimOpened,
    ClaimReminded,
    ClaimStep,
)
from chalicelib.core.deposit.fold import evolve, fold
from chalicelib.core.policy import claim_rules
from chalicelib.core.policy.claim_rules import ClaimKind
from tests.core.stories import (
    ACCEPT,
    CLAIM_EVENTS,
    DISMISS,
    ESCALATE,
    FIVE,
    GRACE,
    PAID,
    REJECT,
    TAKE,
    TAKE_BACK,
    UPHOLD,
    Story,
    bought,
    money,
    offer,
    partly,
)

OPENED: Final = PAID + DAY
ANSWER_BY: Final = OPENED + 72 * HOUR
OFFERED: Final = OPENED + HOUR
TAKE_BY: Final = OFFERED + 48 * HOUR
REVIEWED: Final = TAKE_BY + 72 * HOUR


def opened(kind: ClaimKind = "short_shipment") -> Story:
    story = bought(FIVE)
    assert story.claim(kind, OPENED, *([(1, 1)] if kind == "short_shipment" else [])) == "claim.opened"
    return story


def offered(amount: str = "80000 IDR") -> Story:
    story = opened()
    story.ask(offer(amount), OFFERED)
    return story


def rejected() -> Story:
    story = opened()
    story.ask(REJECT, OFFERED)
    return story


def escalated() -> Story:
    story = offered()
    story.ask(ESCALATE, OFFERED + HOUR)
    return story


def after(made: Callable[[], Story], command: object, at: int) -> Callable[[], Story]:
    def told() -> Story:
        story = made()
        story.ask(command, at)  # type: ignore[arg-type] # one of the commands below
        return story

    return told


STANDING: Final[dict[ClaimStatus, Callable[[], Story]]] = {
    ClaimStatus.AWAITING_MERCHANT: opened,
    ClaimStatus.OFFERED: offered,
    ClaimStatus.IN_REVIEW: rejected,
    ClaimStatus.ACCEPTED: after(opened, ACCEPT, OFFERED),
    ClaimStatus.UPHELD: after(rejected, UPHOLD, OFFERED),
    ClaimStatus.PARTLY: after(rejected, partly("1 IDR"), OFFERED),
    ClaimStatus.DISMISSED: after(rejected, DISMISS, OFFERED),
    ClaimStatus.WITHDRAWN: after(opened, TAKE_BACK, OFFERED),
    ClaimStatus.GRANTED_BY_DEADLINE: lambda: opened().write(ANSWER_BY),
}
STEPS: Final[list[ClaimStep]] = [event for event in CLAIM_EVENTS if isinstance(event, ClaimStep)]


# --- The table ---


def test_every_status_is_met_and_every_step_has_a_sample() -> None:
    assert set(STANDING) == set(ClaimStatus)
    assert {type(event) for event in STEPS} == set(get_args(ClaimStep))
    for status, made in STANDING.items():
        assert made().latest_claim.status is status


@pytest.mark.parametrize(("status", "event"), [*product(STANDING, STEPS)], ids=lambda one: getattr(one, "TYPE", one))
def test_what_the_table_does_not_know_is_a_fault_of_ours(status: ClaimStatus, event: ClaimStep) -> None:
    one = STANDING[status]().latest_claim
    if (status, type(event)) in TRANSITIONS:
        assert evolve_claim(one, event).status is TRANSITIONS[status, type(event)]
        return
    with pytest.raises(KeyError):
        evolve_claim(one, event)


def test_a_decided_claim_waits_for_nobody() -> None:
    for status, made in STANDING.items():
        one = made().latest_claim
        assert one.open is (status in OPEN)
        assert (one.due_at is None) is (status not in OPEN)
        assert one.open or not one.remind_at


def test_only_what_pays_leaves_an_amount() -> None:
    paid = {status: made().latest_claim.paid for status, made in STANDING.items()}
    assert {str(status): str(amount) for status, amount in paid.items() if amount is not None} == {
        "accepted": "75000 IDR",
        "upheld": "75000 IDR",
        "partly": "1 IDR",
        "granted_by_deadline": "75000 IDR",
    }


@pytest.mark.parametrize("kind", get_args(ClaimKind))
def test_only_a_privacy_claim_begins_with_the_platform(kind: ClaimKind) -> None:
    (sample,) = (event for event in CLAIM_EVENTS if isinstance(event, ClaimOpened))
    begun = begin_claim(replace(sample, kind=kind, evidence=("photo:1", "photo:2")))
    assert begun.status is (ClaimStatus.IN_REVIEW if kind == "privacy" else ClaimStatus.AWAITING_MERCHANT)
    assert (begun.evidence_count, begun.late_answers, begun.paid, begun.refunds) == (2, 0, None, ())


def test_the_published_figures() -> None:
    rules = claim_rules.find_claim_rules(OPENED)
    assert (rules.open_for, rules.mistaken_lock_for, rules.offer_stands) == ("P180D", "P7D", "PT48H")
    assert (rules.most_offers, rules.most_claims, rules.most_evidence) == (2, 10, 20)


# --- Due times ---


@pytest.mark.parametrize(
    ("made", "due"),
    [
        (opened,                       ANSWER_BY),
        (lambda: opened("privacy"),    ANSWER_BY),  # the platform's own hours, which are as long here
        (offered,                      TAKE_BY),
        (rejected,                     OFFERED + 72 * HOUR),
        (escalated,                    OFFERED + 73 * HOUR),
        (lambda: offered().write(TAKE_BY), REVIEWED),
        (STANDING[ClaimStatus.ACCEPTED], None),
    ],
)  # fmt: skip
def test_when_silence_decides(made: Callable[[], Story], due: int | None) -> None:
    assert made().latest_claim.due_at == due


def test_hours_are_those_of_the_terms_at_the_opening() -> None:
    story = opened()
    assert story.latest_claim.opened.decide_within == story.terms.claims.platform_decision
    assert story.latest_claim.opened.refund_deadline == story.terms.refund.deadline


def test_a_second_offer_gives_the_buyer_the_hours_again() -> None:
    story = offered()
    story.ask(offer("90000 IDR"), OFFERED + DAY)
    one = story.latest_claim
    assert (one.due_at, str(one.latest_offer), len(one.offers)) == (TAKE_BY + DAY, "90000 IDR", 2)
    assert str(one.amount_in_question) == "90000 IDR"
    assert (str(opened().latest_claim.amount_in_question), opened().latest_claim.latest_offer) == ("75000 IDR", None)


def test_evidence_and_late_answers_move_no_due_time() -> None:
    story = opened()
    story.tell(ClaimEvidenceAdded(OFFERED, 1, "buyer", ("photo:1", "photo:2")))
    assert (story.latest_claim.evidence_count, story.latest_claim.due_at) == (2, ANSWER_BY)
    story.ask(REJECT, ANSWER_BY)
    assert (story.latest_claim.late_answers, story.latest_claim.due_at) == (1, ANSWER_BY)


# --- By the clock, and as it is written ---

CLOCKS: Final = [
    # a claim that waits     asked at        then it stands at               and the next time is
    (opened,                 ANSWER_BY - 1,  ClaimStatus.AWAITING_MERCHANT,   ANSWER_BY),
    (opened,                 ANSWER_BY,      ClaimStatus.GRANTED_BY_DEADLINE, None),
    (opened,                 ANSWER_BY + 1,  ClaimStatus.GRANTED_BY_DEADLINE, None),
    (offered,                TAKE_BY - 1,    ClaimStatus.OFFERED,             TAKE_BY),
    (offered,                TAKE_BY,        ClaimStatus.IN_REVIEW,           REVIEWED),
    (offered,                REVIEWED - 1,   ClaimStatus.IN_REVIEW,           REVIEWED),
    (offered,                REVIEWED,       ClaimStatus.GRANTED_BY_DEADLINE, None),
    (rejected,               ANSWER_BY + HOUR - 1, ClaimStatus.IN_REVIEW,     ANSWER_BY + HOUR),
    (rejected,               ANSWER_BY + HOUR, ClaimStatus.GRANTED_BY_DEADLINE, None),
    (STANDING[ClaimStatus.DISMISSED], REVIEWED * 2, ClaimStatus.DISMISSED,    None),
]  # fmt: skip


@pytest.mark.parametrize(("made", "at", "status", "due"), CLOCKS)
@pytest.mark.parametrize("written", [False, True])
def test_the_clock_decides_whoever_writes_it_down(
    made: Callable[[], Story], at: int, status: ClaimStatus, due: int | None, written: bool
) -> None:
    story = made()
    if written:
        story.write(at)
    one = story.latest_claim
    assert (one.status_at(at), one.find_due_at(at)) == (status, due)


@given(
    status=st.sampled_from(sorted(STANDING)),
    at=st.integers(OPENED, REVIEWED + DAY),
    until=st.integers(0, REVIEWED - OPENED),
)
def test_the_status_is_the_same_before_and_after_any_part_of_it_is_written(
    status: ClaimStatus, at: int, until: int
) -> None:
    deposit = STANDING[status]().deposit
    asked = max(at, deposit.updated_at)
    written = deposit
    for event in overdue(deposit, asked, NEVER, asked - until):
        written = evolve(written, event)
    for later in (asked, asked + HOUR, asked + 3 * DAY):
        assert written.claims[0].status_at(later) is deposit.claims[0].status_at(later)
        assert written.claims[0].find_due_at(later) == deposit.claims[0].find_due_at(later)


def test_silence_is_written_only_after_the_grace_and_at_its_own_hour() -> None:
    story = opened()
    assert not silent(story.deposit, ANSWER_BY + GRACE - 1)
    written = silent(story.deposit, ANSWER_BY + GRACE)
    assert [(type(event), event.at) for event in written] == [(ClaimGranted, ANSWER_BY)]
    late = silent(story.deposit, ANSWER_BY + 400 * DAY)
    assert late == written


def silent(deposit: Deposit, at: int) -> list[DepositEvent]:
    found = overdue(deposit, at, at - GRACE, at - GRACE)
    return [event for event in found if isinstance(event, (ClaimGranted, ClaimEscalated))]


def test_without_a_grace_nothing_that_silence_decides_is_written() -> None:
    """A reader who folds what is overdue pays nobody."""
    assert all(isinstance(event, ClaimReminded) for event in overdue(offered().deposit, REVIEWED * 2, NEVER))


@pytest.mark.parametrize(
    ("made", "command", "due"), [(opened, REJECT, ANSWER_BY), (offered, TAKE, TAKE_BY), (rejected, DISMISS, ANSWER_BY + HOUR)]
)  # fmt: skip
def test_an_answer_asked_in_time_wins_however_late_it_is_worked_off(
    made: Callable[[], Story], command: object, due: int
) -> None:
    story = made()
    story.write(due + GRACE - 1, GRACE)  # a job was here meanwhile; it announced, and decided nothing
    decided = story.ask(command, due - 1)  # type: ignore[arg-type] # from the table
    assert decided[0].at == due - 1
    assert fold(story.deposit.id, story.events) == story.deposit


# --- Reminders ---


@pytest.mark.parametrize(
    ("left", "notices"),
    [
        (72 * HOUR,      [24 * HOUR, 2 * HOUR]),
        (24 * HOUR + 1,  [24 * HOUR, 2 * HOUR]),
        (24 * HOUR,      [2 * HOUR]),
        (2 * HOUR + 1,   [2 * HOUR]),
        (2 * HOUR,       []),
        (SECOND,         []),
    ],
)  # fmt: skip
def test_notices_that_still_lie_ahead(left: int, notices: list[int]) -> None:
    due = OPENED + left
    assert [due - at for at in compute_reminders(claim_rules.find_claim_rules(OPENED), OPENED, due)] == notices


@pytest.mark.parametrize(("made", "due"), [(opened, ANSWER_BY), (offered, TAKE_BY), (rejected, ANSWER_BY + HOUR)])
def test_each_notice_is_given_once(made: Callable[[], Story], due: int) -> None:
    story, told = made(), []
    for at in (due - DAY - 1, due - DAY, due - DAY, due - MINUTE, due - MINUTE):
        found = overdue(story.deposit, at, NEVER)
        told += [event.at for event in found if isinstance(event, ClaimReminded)]
        story.tell(*found)
    assert told == [due - DAY, due - 2 * HOUR]
    assert story.latest_claim.remind_at == ()


def test_a_notice_of_an_answered_step_is_not_given_any_more() -> None:
    story = opened()
    story.ask(offer("80000 IDR"), ANSWER_BY - DAY - 1)
    assert story.latest_claim.remind_at == (ANSWER_BY - 1, ANSWER_BY + 22 * HOUR - 1)
    assert overdue(story.deposit, ANSWER_BY - 2, NEVER) == ()


# --- When to come back ---


def test_what_is_irreversible_is_due_after_the_grace() -> None:
    story = opened()
    assert due_at(story.deposit, GRACE) == ANSWER_BY - DAY
    story.write(ANSWER_BY - 1)
    assert due_at(story.deposit, GRACE) == ANSWER_BY + GRACE
    assert next_due(story.deposit, ANSWER_BY, GRACE) == ANSWER_BY + GRACE
    story.write(ANSWER_BY + GRACE, GRACE)
    assert story.latest_claim.status is ClaimStatus.GRANTED_BY_DEADLINE


def test_two_silences_at_one_hour_are_both_written() -> None:
    story = opened()
    story.claim("short_shipment", OPENED, (2, 1))
    story.claim("other", OPENED, amount="165000 IDR")
    story.write(ANSWER_BY)
    assert {claim.status for claim in story.deposit.claims} == {ClaimStatus.GRANTED_BY_DEADLINE}
    assert [str(refund.amount) for refund in story.deposit.refunds] == ["75000 IDR", "75000 IDR", "165000 IDR"]
    assert story.deposit.money.held == money("0 IDR")
