"""The printed diagrams: current, complete, and true about what the clock does."""

import re
from itertools import pairwise

import pytest

from chalicelib.core.deadlines import overdue
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.events.refund import RefundApproved, RefundReviewNeeded
from chalicelib.core.refunding.schedule import compute_review_at
from chalicelib.core.selling.offer import OfferStatus
from chalicelib.core.selling.offer import status_at as offer_status_at
from tests.core.stories import (
    ASK,
    BALANCE_BY_CARD,
    DUE,
    END,
    FIVE,
    LATER,
    OUT_OF_STOCK,
    PAID,
    SU7,
    T0,
    bought,
    final,
    locked,
    offer_of,
    ordered,
    paid,
)
from tests.core.test_claim import STANDING
from tests.core.test_refund import REACHED, standing
from tests.diagrams import LIVES, PAGE, WRITTEN_BY_THE_CLOCK, Life, page


def diagrams() -> dict[str, str]:
    """What the page draws, by title."""
    return dict(re.findall(r"^## (\w+)\n.*?```mermaid\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE))


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: python -m tests.diagrams > docs/states.md"


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.title)
def test_every_state_and_every_transition_is_drawn(life: Life) -> None:
    drawn = diagrams()[life.title]
    for status in life.statuses:
        assert re.search(rf"^    {status}$", drawn, re.MULTILINE)
    for (status, event), to in life.transitions.items():
        assert re.search(rf"^    {status} --> {to} : .*\b{re.escape(event.TYPE)}\b", drawn, re.MULTILINE)
    arrows = set(re.findall(r"^    (\w+) --> (\w+) :", drawn, re.MULTILINE))
    assert arrows == {(status.value, to.value) for (status, _), to in life.transitions.items()}


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.title)
def test_every_state_can_be_reached(life: Life) -> None:
    reached = {*life.first, *life.transitions.values(), *(to for *_, to in life.by_the_clock)}
    assert set(life.statuses) == reached


def by_the_clock(title: str) -> set[tuple[str, str]]:
    return {(str(status), str(to)) for life in LIVES if life.title == title for status, _, to in life.by_the_clock}


def test_what_the_clock_does_to_a_deposit_is_told() -> None:
    moved = {
        (status_at(story.deposit, at - 1), status_at(story.deposit, at))
        for story, at in ((ordered(), DUE), (paid(), END))
    }
    assert by_the_clock("Deposit") == moved


def test_what_the_clock_writes_of_a_deposit_is_marked() -> None:
    """Found by letting time pass, not by a list of ours."""
    ready = final()
    ready.ask(ready.ready(), LATER)
    asked, granted, disputed = paid(), paid(), bought(FIVE)
    asked.ask(ASK, PAID)
    granted.ask(OUT_OF_STOCK, PAID)
    disputed.claim("short_shipment", PAID, (1, 1))
    found = {
        type(event)
        for story in (ordered(), paid(), locked(), ready, asked, granted, disputed)
        for event in overdue(story.deposit, END * 2, END * 2, END * 2)
        if not isinstance(event, RefundApproved | RefundReviewNeeded)
    }
    assert found == WRITTEN_BY_THE_CLOCK
    drawn = "".join(diagrams()[title] for title in ("Deposit", "Question", "Pass", "Claim"))
    marked = set(re.findall(r"([a-z_.]+) \(clock\)", drawn))
    assert marked == {event.TYPE for event in WRITTEN_BY_THE_CLOCK}


def test_what_the_clock_does_to_a_question_and_to_a_pass_is_told() -> None:
    story = paid()
    story.ask(ASK, PAID)
    [question] = story.deposit.questions
    assert by_the_clock("Question") == {
        (question.status_at(at).value, "lapsed") for at in (PAID, question.asked.due_at - 1)
    }
    story.ask(OUT_OF_STOCK, PAID)
    story.write(story.deposit.passes[0].granted.valid_until - 1)
    [before] = story.deposit.passes
    [after] = story.write(before.granted.valid_until).deposit.passes
    assert by_the_clock("Pass") == {(before.status.value, after.status.value)}


def test_what_the_clock_does_to_a_claim_is_told() -> None:
    moved = set()
    for made in STANDING.values():
        one = made().latest_claim
        if one.due_at is not None:
            moved.add((one.status_at(one.due_at - 1).value, one.status_at(one.due_at).value))
    assert by_the_clock("Claim") == moved


def test_a_balance_acts_on_the_payment_before_it_as_another_method_does() -> None:
    story = final()
    for _ in range(2):
        story.ask(BALANCE_BY_CARD, LATER)
    assert [payment.status.value for payment in story.deposit.payments] == ["succeeded", "replaced", "requires_action"]


def test_what_the_clock_does_to_a_refund_is_told() -> None:
    waiting = {status for status, steps in REACHED.items() if compute_review_at(standing(*steps).refund) is not None}
    assert by_the_clock("Refund") == {(status.value, "manual_review") for status in waiting}


def test_what_the_clock_does_to_an_offer_is_told() -> None:
    usual = offer_of(SU7, opens_at=T0 + 1, closes_at=T0 + 2)
    path = [offer_status_at(usual, at) for at in (T0, T0 + 1, T0 + 2)]
    assert path == [OfferStatus.SCHEDULED, OfferStatus.OPEN, OfferStatus.CLOSED]
    assert by_the_clock("Offer") == set(pairwise(path))
