"""The life of a refund: what each piece of news changes in each status, in any order, and when it is looked at again."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.refusal import Refused
from chalicelib.core.deadlines import overdue
from chalicelib.core.decide import decide
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.refund import RefundStep
from chalicelib.core.deposit.refund import (
    OPEN,
    TRANSITIONS,
    WAITING_ON,
    Attempt,
    Refund,
    RefundStatus,
    WaitingOn,
    evolve_refund,
)
from chalicelib.core.refunding.destination import NameDestination, Reroute, Retry
from chalicelib.core.refunding.schedule import QUERY_DELAYS_MS, compute_due_at, compute_next_query_at, compute_review_at
from tests.core.stories import (
    CANCEL,
    END,
    LOSE,
    MISS,
    NO_WAY_BACK,
    PAID,
    SEND,
    Story,
    cancelled,
    money,
    ordered,
    paid,
    refund_news,
    terms,
)

APPROVED = PAID + DAY
PROMISED = APPROVED + 7 * DAY
SENT = APPROVED + HOUR

Step = Callable[[Story], tuple[DepositEvent, ...]]


def told(status: str, **known: Any) -> Step:
    """The provider's word on the refund."""
    return lambda story: story.ask(refund_news(story, status, SENT + MINUTE, **known), SENT + MINUTE)


def promise_passes(story: Story) -> tuple[DepositEvent, ...]:
    late = overdue(story.deposit, PROMISED, PROMISED)
    story.tell(*late)
    return late


def wanted(command: Command, at: int) -> Step:
    """What the buyer or the platform wants of it, as far as it is accepted."""

    def made(story: Story) -> tuple[DepositEvent, ...]:
        try:
            return story.ask(command, at)
        except Refused:
            return ()

    return made


def bank_decides_for_the_buyer(story: Story) -> tuple[DepositEvent, ...]:
    """A chargeback of the whole capture is lost; of its events, those of the refund."""
    return tuple(event for event in story.ask(story.disputed("lost"), SENT + DAY) if isinstance(event, RefundStep))


STEPS: dict[str, Step] = {
    "send": lambda story: story.ask(SEND, SENT),
    "lose": lambda story: story.ask(LOSE, SENT + 1),
    "miss": lambda story: story.ask(MISS, SENT + DAY),
    "pending": told("pending"),
    "succeeded": told("succeeded"),
    "settled": told("succeeded", settled=True),
    "declined": told("declined", code="account_closed"),
    "returned": told("returned"),
    "differs": told("succeeded", amount=money("5087.99 CNY")),
    "promise": promise_passes,
    "name": wanted(NameDestination(1, "digest"), SENT + HOUR),
    "reroute": wanted(Reroute(1, absent=True), SENT + HOUR),
    "retry": wanted(Retry(1, absent=True), SENT + HOUR),
    "lost": bank_decides_for_the_buyer,
}

# How a refund of an ordinary cancel gets into each status.
REACHED: dict[RefundStatus, tuple[str, ...]] = {
    RefundStatus.APPROVED: (),
    RefundStatus.SENT: ("send",),
    RefundStatus.UNKNOWN: ("send", "lose"),
    RefundStatus.PENDING: ("send", "pending"),
    RefundStatus.SUCCEEDED: ("send", "succeeded"),
    RefundStatus.SETTLED: ("send", "settled"),
    RefundStatus.REQUIRES_ACTION: ("send", "declined"),
    RefundStatus.RETURNED: ("send", "returned"),
    RefundStatus.MANUAL_REVIEW: ("send", "miss"),
}

# Rows: where the refund stands. Columns: what happens, or what the provider is seen to have done. A dot changes
# nothing: the news is old, or cannot be of this refund, because nobody has asked for it yet; or it is refused.
TABLE = """
                 send  lose     miss           pending  succeeded  settled  declined         returned  differs        promise        name      reroute          retry     lost
approved         sent  .        .              .        .          .        .                .         .              manual_review  .         requires_action  .         settled
sent             .     unknown  manual_review  pending  succeeded  settled  requires_action  returned  manual_review  manual_review  .         .                .         manual_review
unknown          .     .        manual_review  pending  succeeded  settled  requires_action  returned  manual_review  manual_review  .         .                .         manual_review
pending          .     .        manual_review  .        succeeded  settled  requires_action  returned  manual_review  manual_review  .         .                .         manual_review
requires_action  .     .        .              .        succeeded  settled  .                returned  manual_review  manual_review  approved  requires_action  .         settled
succeeded        .     .        .              .        .          settled  .                returned  .              .              .         .                .         .
settled          .     .        .              .        .          .        .                returned  .              .              .         .                .         .
returned         .     .        .              .        .          .        .                .         .              manual_review  approved  requires_action  .         settled
manual_review    .     .        .              .        succeeded  settled  requires_action  returned  .              .              .         requires_action  approved  .
"""
HEADER, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [(row[0], news, then) for row in ROWS for news, then in zip(HEADER, row[1:], strict=True)]
# The same statuses reached in another way, where that matters: an account was named, or a person waits for nothing but time.
ELSEWHERE = [
    (("reroute", "name"),            "name",    "approved"),
    (("reroute", "name"),            "reroute", "requires_action"),
    (("reroute",),                   "lost",    "settled"),
    (("reroute", "promise"),         "name",    "approved"),
    (("promise",),                   "lost",    "settled"),
    (("send", "declined", "promise"), "name",   "approved"),
    (("send", "returned", "promise"), "lost",   "settled"),
    # the bank gave this money already: what comes back, or never went, is not sent once more
    (("send", "succeeded", "lost"),   "returned", "settled"),
    (("send", "declined", "lost"),    "returned", "."),
    (("send", "lost"),                "declined", "settled"),
    # it was taken off its way: it is not sent there again
    (("reroute", "promise"),          "retry",  "."),
]  # fmt: skip
PATHS = [*((REACHED[RefundStatus(status)], news, then) for status, news, then in CELLS), *ELSEWHERE]


def standing(*steps: str) -> Story:
    story = cancelled(at=APPROVED)
    for name in steps:
        STEPS[name](story)
    return story


def edges(story: Story, events: tuple[DepositEvent, ...], before: Refund) -> set[tuple[RefundStatus, type[RefundStep]]]:
    """The edges of the table that these events took."""
    taken = set()
    for event in events:
        assert isinstance(event, RefundStep)
        taken.add((before.status, type(event)))
        before = evolve_refund(before, event)
    assert before == story.refund
    return taken


def test_the_table_has_every_status_and_every_piece_of_news() -> None:
    assert {row[0] for row in ROWS} == set(RefundStatus) == set(REACHED)
    assert list(STEPS) == HEADER


@pytest.mark.parametrize("status", RefundStatus)
def test_a_status_is_reached(status: RefundStatus) -> None:
    assert standing(*REACHED[status]).refund.status is status


@pytest.mark.parametrize(("steps", "news", "then"), PATHS, ids=[f"{' '.join(path[0])}: {path[1]}" for path in PATHS])
def test_news_changes_a_refund_as_the_table_says(steps: tuple[str, ...], news: str, then: str) -> None:
    story = standing(*steps)
    before = story.refund.status.value
    events = STEPS[news](story)
    assert story.refund.status.value == (before if then == "." else then)
    assert bool(events) is (then != ".")


def test_every_transition_is_reached_by_a_case() -> None:
    reached: set[tuple[RefundStatus, type[RefundStep]]] = set()
    for steps, news, _ in PATHS:
        story = standing(*steps)
        before = story.refund
        reached |= edges(story, STEPS[news](story), before)
    for story in (nothing_to_pay(), no_way_back()):
        approved, closed = story.events[-2:]
        assert getattr(approved, "refund", None) == 1
        assert isinstance(closed, RefundStep)
        reached.add((RefundStatus.APPROVED, type(closed)))
    assert reached == set(TRANSITIONS)


# --- What is decided without a provider ---


def nothing_to_pay() -> Story:
    story = paid(terms(shipping={"amount": "0", "currency": "CNY"}))
    story.ask(CANCEL, END)
    return story


def no_way_back() -> Story:
    story = paid(NO_WAY_BACK)
    story.ask(CANCEL, APPROVED)
    return story


def test_a_refund_of_nothing_is_settled_when_it_is_written() -> None:
    refund = nothing_to_pay().refund
    assert (refund.status, refund.attempts, compute_due_at(refund)) == (RefundStatus.SETTLED, (), None)
    assert not refund.amount


def test_a_method_that_cannot_refund_asks_the_buyer_at_once() -> None:
    refund = no_way_back().refund
    assert (refund.status, refund.attempts) == (RefundStatus.REQUIRES_ACTION, ())
    assert WAITING_ON[refund.status] == "buyer"
    assert compute_due_at(refund) == PROMISED


def test_a_provider_has_nothing_to_tell_of_what_nobody_asked_for() -> None:
    story = no_way_back()
    assert story.said(refund_news(story, "succeeded", APPROVED + 1, settled=True), APPROVED + 1) == "nothing"


def test_the_method_that_was_paid_with_counts_not_the_latest_one() -> None:
    story = ordered(NO_WAY_BACK, payment_method="card")
    story.pay()
    story.ask(CANCEL, APPROVED)
    assert story.refund.status is RefundStatus.APPROVED


def test_a_refund_of_nothing_on_a_method_that_cannot_refund_asks_nobody() -> None:
    story = paid(terms(shipping={"amount": "0", "currency": "CNY"}, payment={"methods": ["virtual_account"]}))
    story.ask(CANCEL, END)
    assert story.refund.status is RefundStatus.SETTLED


# --- Attempts, and who is waited for ---


@pytest.mark.parametrize(
    ("steps", "attempt"),
    [
        (("send",),                            ("sent", None)),
        (("send", "lose"),                     ("unknown", None)),
        (("send", "lose", "pending"),          ("pending", "re_1")),
        (("send", "pending", "succeeded"),     ("succeeded", "re_1")),
        (("send", "settled"),                  ("settled", "re_1")),
        (("send", "settled", "returned"),      ("returned", "re_1")),
        (("send", "declined"),                 ("declined", "re_1")),
        (("send", "pending", "declined"),      ("declined", "re_1")),
        (("send", "miss"),                     ("sent", None)),
    ],
)  # fmt: skip
def test_the_attempt_shows_the_last_thing_seen_of_it(steps: tuple[str, ...], attempt: tuple[str, str | None]) -> None:
    refund = standing(*steps).refund
    assert refund.attempts == (Attempt(1, attempt[0], SENT, attempt[1]),)


@pytest.mark.parametrize(
    ("steps", "why"),
    [
        (("send", "miss"),    "not_found"),
        (("send", "differs"), "amount_differs"),
        (("send", "promise"), "promise_missed"),
        (("send", "pending"), None),
    ],
)  # fmt: skip
def test_a_person_is_told_why(steps: tuple[str, ...], why: str | None) -> None:
    assert standing(*steps).refund.review == why


def test_somebody_is_waited_for_by_name_in_every_status() -> None:
    assert set(WAITING_ON) == set(RefundStatus)
    assert set(WAITING_ON.values()) == set(get_args(WaitingOn))


def test_open_is_what_is_not_yet_with_the_buyer() -> None:
    assert {status for status in RefundStatus if status not in OPEN} == {RefundStatus.SUCCEEDED, RefundStatus.SETTLED}


# --- Any order ---

HISTORIES = [
    ("succeeded",),
    ("pending", "succeeded"),
    ("pending", "succeeded", "settled"),
    ("pending", "declined"),
    ("declined",),
    ("declined", "succeeded", "settled"),
    ("succeeded", "returned"),
    ("pending", "succeeded", "settled", "returned"),
]


@given(st.data())
def test_news_in_any_order_and_number_leads_to_the_same_refund(data: st.DataObject) -> None:
    """P11. What the provider did happened in one order; we hear of it, and lose an answer, in any other."""
    history = data.draw(st.sampled_from(HISTORIES))
    heard = data.draw(st.lists(st.sampled_from([*history, "lose", "send"]), max_size=6))
    shuffled = data.draw(st.permutations([*heard, *history]))
    straight, crooked = standing("send", *history), standing("send", *shuffled)
    assert replace(crooked.refund, changed_at=0) == replace(straight.refund, changed_at=0)
    assert crooked.deposit.money == straight.deposit.money


@given(st.permutations(["succeeded", "differs", "pending"]))
def test_an_amount_that_differs_never_stops_the_right_one(news: list[str]) -> None:
    assert standing("send", *news).refund.status is RefundStatus.SUCCEEDED


@pytest.mark.parametrize("news", ["pending", "succeeded", "settled", "declined", "returned", "differs"])
def test_old_news_changes_nothing_once_the_money_has_come_back(news: str) -> None:
    story = standing("send", "returned", "promise")
    assert story.refund.status is RefundStatus.MANUAL_REVIEW
    assert STEPS[news](story) == ()


def test_news_of_another_execution_after_a_return_is_for_a_person_to_judge() -> None:
    story = standing("send", "returned", "promise")
    story.ask(refund_news(story, "succeeded", PROMISED + 1, provider_ref="re_2"), PROMISED + 1)
    assert (story.refund.status, story.refund.provider_ref) == (RefundStatus.SUCCEEDED, "re_2")


def test_a_decline_is_believed_whatever_amount_it_names() -> None:
    story = standing("send")
    story.ask(refund_news(story, "declined", SENT, amount=money("0 CNY"), code="closed"), SENT)
    assert story.refund.status is RefundStatus.REQUIRES_ACTION


def test_the_same_amount_in_another_currency_differs() -> None:
    story = standing("send")
    story.ask(refund_news(story, "succeeded", SENT, amount=money("5088 USD")), SENT)
    assert story.refund.review == "amount_differs"


def test_a_step_that_has_become_impossible_is_nothing_new() -> None:
    story = standing("send", "succeeded")
    for command in (SEND, LOSE, MISS):
        assert decide(story.deposit, command, END, story.terms) == ()


# --- When it is looked at again ---


@pytest.mark.parametrize(
    ("steps", "due"),
    [
        ((),                             APPROVED),
        (("send",),                      SENT + MINUTE),
        (("send", "lose"),               SENT + 1 + MINUTE),
        (("send", "pending"),            SENT + 2 * MINUTE),
        (("send", "succeeded"),          SENT + MINUTE + 3 * DAY),
        (("send", "settled"),            None),
        (("send", "declined"),           PROMISED),
        (("send", "returned"),           PROMISED),
        (("send", "miss"),               None),
    ],
)  # fmt: skip
def test_a_refund_is_due(steps: tuple[str, ...], due: int | None) -> None:
    assert compute_due_at(standing(*steps).refund) == due


@pytest.mark.parametrize(
    ("sent_at", "due"),
    [
        (PROMISED - MINUTE - 1, PROMISED - 1),
        (PROMISED - MINUTE,     PROMISED),
        (PROMISED - 1,          PROMISED),
        (PROMISED,              PROMISED),
        (PROMISED + 1,          PROMISED + 1),
    ],
)  # fmt: skip
def test_no_look_waits_beyond_the_promise(sent_at: int, due: int) -> None:
    story = cancelled(at=APPROVED)
    story.ask(SEND, sent_at)
    assert compute_due_at(story.refund) == due


@pytest.mark.parametrize(("at", "status"), [(PROMISED - 1, "sent"), (PROMISED, "manual_review")])
def test_when_the_promise_passes_a_person_takes_over(at: int, status: str) -> None:
    assert standing("send").write(at).refund.status.value == status


def test_what_comes_back_after_the_promise_is_a_persons_at_once() -> None:
    story = standing("send", "settled")
    returned_at = PROMISED + DAY
    story.ask(refund_news(story, "returned", returned_at), returned_at)
    assert compute_review_at(story.refund) == compute_due_at(story.refund) == returned_at
    assert story.write(returned_at).refund.status is RefundStatus.MANUAL_REVIEW


@pytest.mark.parametrize("status", RefundStatus)
def test_a_person_takes_over_only_where_the_table_has_the_step(status: RefundStatus) -> None:
    refund = standing(*REACHED[status]).refund
    handed_over = {row[0]: row[1 + HEADER.index("promise")] for row in ROWS}[status.value]
    assert (compute_review_at(refund) is not None) is (handed_over == "manual_review")


SECONDS_OF_LOOKS = [60, 5 * 60, 30 * 60, 2 * 3600, 6 * 3600, 24 * 3600]


def test_looks_come_after_a_minute_then_ever_later_for_a_day() -> None:
    assert [distance // 1000 for distance in QUERY_DELAYS_MS] == SECONDS_OF_LOOKS


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (0,                       QUERY_DELAYS_MS[0]),
        (QUERY_DELAYS_MS[0] - 1,            QUERY_DELAYS_MS[0]),
        (QUERY_DELAYS_MS[0],                QUERY_DELAYS_MS[1]),
        (QUERY_DELAYS_MS[1] - 1,            QUERY_DELAYS_MS[1]),
        (QUERY_DELAYS_MS[1],                QUERY_DELAYS_MS[2]),
        (QUERY_DELAYS_MS[2],                QUERY_DELAYS_MS[3]),
        (QUERY_DELAYS_MS[3],                QUERY_DELAYS_MS[4]),
        (QUERY_DELAYS_MS[4],                QUERY_DELAYS_MS[5]),
        (QUERY_DELAYS_MS[5] - 1,            QUERY_DELAYS_MS[5]),
        (QUERY_DELAYS_MS[5],                PROMISED - SENT),
        (PROMISED - SENT,         PROMISED - SENT + MINUTE),
    ],
)  # fmt: skip
def test_a_look_that_learned_nothing_is_repeated_ever_later_until_the_promise(now: int, then: int) -> None:
    assert compute_next_query_at(standing("send").refund, SENT + now) == SENT + then


@pytest.mark.parametrize("now", [SENT, PROMISED, PROMISED + 30 * DAY])
def test_a_settlement_that_was_not_seen_is_looked_for_once_a_day(now: int) -> None:
    assert compute_next_query_at(standing("send", "succeeded").refund, now) == now + DAY
