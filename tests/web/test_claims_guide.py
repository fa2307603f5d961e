"""docs/claims.md: its conversation over a real socket, its diagram, its figures, and the promises that are easily broken."""

import json
import re
from pathlib import Path
from typing import Final

import pytest

from chalicelib.core.claims.answering import MAX_LATE_ANSWERS
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common.instants import DAY, HOUR, duration_ms, format_instant
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.delivery.fulfilment import Deliver
from chalicelib.core.deposit.claim import OPEN, TRANSITIONS, ClaimStatus, begin_claim
from chalicelib.core.deposit.events.claim import ClaimOpened
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.policy.claim_rules import find_claim_rules
from chalicelib.web.edge.problems import problem
from tests.core.stories import (
    ACCEPT,
    BALANCE_BY_CARD,
    CANCEL,
    FOUNDERS,
    LATER,
    PAID,
    Story,
    bought,
    claimed,
    final,
    money,
    offer,
    paid,
    shop,
    terms,
)
from tests.local.test_run import block, conversation, free_port, lasting, rows, running

GUIDE: Final = Path(__file__).parents[2] / "docs/claims.md"
PAGE: Final = GUIDE.read_text("utf-8")
NUMBERS: Final = {5: "Five", 10: "ten", 20: "twenty"}


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_conversation_prints_what_the_guide_says(tmp_path: Path) -> None:
    port = free_port()
    with running(port, tmp_path / "state"):
        printed = conversation(GUIDE, f"http://127.0.0.1:{port}", tmp_path)
    assert lasting(printed) == lasting(block(GUIDE, "text").splitlines())


def test_the_life_of_a_claim_is_drawn_whole() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+)", block(GUIDE, "mermaid"), re.MULTILINE))
    moves = {(before.value, after.value) for (before, _), after in TRANSITIONS.items() if before is not after}
    assert drawn == moves


@pytest.mark.parametrize(
    ("kind", "first"), [("privacy", ClaimStatus.IN_REVIEW), ("other", ClaimStatus.AWAITING_MERCHANT)]
)
def test_a_claim_begins_where_the_diagram_says(kind: str, first: ClaimStatus) -> None:
    nothing = Money.zero("IDR")
    opened = ClaimOpened(
        0, 1, kind, nothing, contested=False, statement="", due_at=1, decide_within="PT72H", refund_deadline="P7D"
    )
    assert begin_claim(opened).status is first
    assert f"[*] --> {first} : opened" in block(GUIDE, "mermaid")


def test_the_table_names_every_status_once() -> None:
    named = [name for row in rows(PAGE, "| `status` | waits for") for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(ClaimStatus)
    waiting = {
        name for row in rows(PAGE, "| `status` | waits for") if "nobody" not in row for name in [row.split("`")[1]]
    }
    assert waiting == set(OPEN)


def test_the_figures_of_the_guide_are_the_data() -> None:
    rules = find_claim_rules(0)
    hours = [duration_ms(before) // HOUR for before in rules.remind_before]
    told = (
        f"{duration_ms(rules.open_for) // DAY} days after the last shipment",
        f"within {duration_ms(rules.mistaken_lock_for) // DAY} days of a lock",
        f"{duration_ms(rules.offer_stands) // HOUR} h after the offer",
        f"{NUMBERS[rules.most_claims]} claims of this deposit, {NUMBERS[rules.most_evidence]} items of evidence",
        f"{NUMBERS[MAX_LATE_ANSWERS]} of them are kept",
        f"{hours[0]} and {hours[1]} hours before each `due_at`",
    )
    assert [sentence for sentence in told if sentence not in " ".join(PAGE.split())] == []


# --- Promises of the guide ---

PROMISED: Final = terms(delivery={"within": "P1D"})


@pytest.mark.parametrize(
    ("story", "at", "opened"),
    [
        (final(PROMISED), LATER + DAY, claimed("short_shipment", (1, 1))),
        (paid(FOUNDERS), PAID + DAY, claimed("mistaken_lock")),
    ],
    ids=["nothing came", "locked by mistake"],
)
def test_a_balance_that_arrives_meanwhile_comes_back_too(story: Story, at: int, opened: OpenClaim) -> None:
    story.ask(opened, at)
    story.ask(BALANCE_BY_CARD, at + HOUR)
    story.pay(at=at + HOUR)
    story.write(at + 72 * HOUR)
    balances = story.deposit.money
    assert (story.deposit.status.value, balances.refunding) == ("cancelled", balances.captured)
    assert story.latest_claim.paid == balances.captured


def test_shipping_goes_back_once_although_a_cancel_came_between() -> None:
    told = final(PROMISED)
    told.claim("short_shipment", LATER + DAY, (1, 1))
    told.ask(CANCEL, LATER + DAY + HOUR)
    before = told.deposit.money
    told.write(LATER + DAY + 72 * HOUR)
    assert (told.latest_claim.paid, told.deposit.money) == (money("0 CNY"), before)


def test_a_merchant_cannot_accept_below_its_own_offer() -> None:
    told = bought(shop(75_000, 25_000))
    told.claim("short_shipment", PAID + HOUR, (1, 1))
    told.ask(offer("90000 IDR"), PAID + 2 * HOUR)
    assert told.said(ACCEPT, PAID + 3 * HOUR) == "wrong-state"


def test_the_days_do_not_run_while_something_is_still_to_be_sent() -> None:
    told = bought(shop(75_000, 25_000, delivery={"within": "P210D"}))
    told.ask(told.ship((1, 1)), PAID + HOUR)
    assert told.claim("short_shipment", PAID + 210 * DAY - 1, (2, 1)) == "wrong-state"
    assert told.claim("short_shipment", PAID + 210 * DAY, (2, 1)) == "claim.opened"


def test_what_a_claim_paid_back_is_not_waited_for() -> None:
    told = bought(shop(75_000, 25_000))
    told.ask(told.ship(), PAID + HOUR)
    told.claim("short_shipment", PAID + 2 * HOUR, (2, 1))
    told.ask(Deliver((Units(1, 1),), PAID + 2 * HOUR, ("pod:1",)), PAID + 3 * HOUR)
    assert told.deposit.arrived_at is None
    told.ask(ACCEPT, PAID + 4 * HOUR)
    assert told.deposit.arrived_at == PAID + 2 * HOUR


def test_until_is_told_as_an_instant() -> None:
    closed = Refused(Reason.CLAIM_CLOSED, until=LATER)
    told = json.loads(problem(closed, locale="en", instance="/v1/claims", request_id="r")[2])
    assert told["until"] == format_instant(LATER)
