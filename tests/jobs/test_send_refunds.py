"""Whatever the provider does, the refund ends right, and its books show the money moved once.

Most tests do what the jobs do at their own deposit, so that an armed fault meets no other test's refund.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.web.answer_checks import attend
from tests.world import Client, Json, World

EXECUTED = {"succeeded", "returned", "pending"}


@pytest.fixture(autouse=True)
def _no_faults(world: World) -> None:
    world.anyone().call("DELETE", "/sandbox/faults")


def cancelled(world: World, buyer: Client) -> Json:
    """A deposit whose refund is approved and not yet sent."""
    deposit = world.paid(buyer)
    answer = buyer.post(f"/v1/deposits/{deposit['id']}/cancel", {})
    assert answer.json["refund"]["status"] == "approved"
    return answer.json


def work(world: World, deposit: Json) -> None:
    """What the jobs do at this deposit; then the provider's events arrive."""
    attend(deposit)
    world.advance("PT0S")


def refund_of(buyer: Client, deposit: Json) -> Json:
    found: Json = buyer.get(f"/v1/deposits/{deposit['id']}").json["refund"]
    return found


def executed(world: World, deposit: Json) -> int:
    return sum(row["status"] in EXECUTED for row in world.books(deposit))


# fault             after the first run   how long until it has succeeded
FAULTS = [
    ("timeout_before", "unknown", "PT2M"),
    ("timeout_after", "succeeded", "PT2M"),  # its event came although its answer did not
    ("error_500", "unknown", "PT2M"),
    ("pending", "pending", "PT6M"),
    ("succeeds_later", "unknown", "PT6M"),
    ("duplicate_event", "succeeded", "PT2M"),
    ("lost_event", "succeeded", "PT2M"),
    ("wrong_amount", "succeeded", "PT2M"),  # the answer cannot be read; the event makes us look
]


@pytest.mark.parametrize(("fault", "first", "later"), FAULTS, ids=[fault for fault, _, _ in FAULTS])
def test_the_refund_ends_right_and_is_executed_once(world: World, fault: str, first: str, later: str) -> None:
    buyer = world.buyer()
    deposit = cancelled(world, buyer)
    world.arm("refund", fault)
    work(world, deposit)
    assert refund_of(buyer, deposit)["status"] == first
    world.advance(later)
    work(world, deposit)
    assert refund_of(buyer, deposit)["status"] == "succeeded"
    assert executed(world, deposit) == 1
    world.advance("P3DT1H")  # reconciliation had three days to see it settle; now the provider is asked
    work(world, deposit)
    settled = refund_of(buyer, deposit)
    assert (settled["status"], settled["waiting_on"]) == ("settled", "nobody")
    assert executed(world, deposit) == 1


def test_two_lost_answers_and_a_lost_event_still_move_the_money_once(world: World) -> None:
    buyer = world.buyer()
    deposit = cancelled(world, buyer)
    world.arm("refund", "timeout_before", 2)
    world.arm("refund", "lost_event")
    for _ in range(4):
        work(world, deposit)
        world.advance("PT3H")  # looks come after 1, 5 and 30 minutes, 2, 6 and 24 hours
    assert refund_of(buyer, deposit)["status"] == "succeeded"
    assert executed(world, deposit) == 1


def test_a_declined_refund_waits_for_the_buyer_and_then_for_a_person(world: World) -> None:
    buyer = world.buyer()
    deposit = cancelled(world, buyer)
    world.arm("refund", "declined")
    work(world, deposit)
    refund = refund_of(buyer, deposit)
    assert (refund["status"], refund["waiting_on"]) == ("requires_action", "buyer")
    assert [attempt["status"] for attempt in refund["attempts"]] == ["declined"]
    world.advance("P8D")
    before = refund_of(buyer, deposit)
    work(world, deposit)
    after = refund_of(buyer, deposit)
    assert (before["status"], before["review"], before["waiting_on"]) == ("manual_review", "promise_missed", "platform")
    assert before == after  # the clock had decided; the job only wrote it down


def test_money_that_comes_back_after_success_is_owed_again(world: World) -> None:
    buyer = world.buyer()
    deposit = cancelled(world, buyer)
    world.arm("refund", "returned_later")
    work(world, deposit)
    assert refund_of(buyer, deposit)["status"] == "succeeded"
    world.advance("PT24H")
    shown = buyer.get(f"/v1/deposits/{deposit['id']}").json
    assert shown["refund"]["status"] == "returned"
    assert shown["money"]["refunding"] == {"amount": "5000", "currency": "CNY"}
    assert shown["money"]["refunded"] == {"amount": "0", "currency": "CNY"}


def test_a_refund_whose_settlement_line_never_comes_is_looked_for_every_day(world: World) -> None:
    buyer = world.buyer()
    deposit = cancelled(world, buyer)
    world.arm("settlement", "line_missing")
    work(world, deposit)
    for _ in range(3):
        world.advance("PT25H")
        work(world, deposit)
    assert refund_of(buyer, deposit)["status"] == "succeeded"


def test_a_forgotten_key_is_never_sent_again(world: World) -> None:
    buyer = world.buyer()
    deposit = cancelled(world, buyer)
    world.arm("refund", "timeout_before")
    work(world, deposit)
    world.advance("PT23H1M")  # the provider keeps keys for a day; an hour before that we stop trusting it
    work(world, deposit)
    refund = refund_of(buyer, deposit)
    assert (refund["status"], refund["review"]) == ("manual_review", "not_found")
    assert executed(world, deposit) == 0


def test_two_workers_at_once_send_once(world: World) -> None:
    buyer = world.buyer()
    deposit = cancelled(world, buyer)
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(world.run, ["send_refunds", "send_refunds"]))
    assert sum(report["failed"] for report in reports) == 0
    assert executed(world, deposit) == 1


PAYMENT_FAULTS = [
    ("timeout_after", "PT0S", "cooling_off"),
    ("lost_event", "PT0S", "cooling_off"),
    ("pending", "PT6M", "cooling_off"),
    ("succeeds_later", "PT2M", "cooling_off"),
    ("timeout_before", "PT0S", "expired"),
    ("error_500", "PT0S", "expired"),
    ("declined", "PT0S", "expired"),
]


@pytest.mark.parametrize(("fault", "wait", "then"), PAYMENT_FAULTS, ids=[fault for fault, _, _ in PAYMENT_FAULTS])
def test_a_payment_is_looked_up_before_its_deposit_expires(world: World, fault: str, wait: str, then: str) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    world.arm("payment", fault)
    world.pay(deposit)
    world.advance(wait)
    world.advance("PT16M")
    work(world, deposit)
    shown = buyer.get(f"/v1/deposits/{deposit['id']}").json
    assert shown["status"] == then
    assert shown["refund"] is None


def test_the_jobs_find_what_is_due(world: World) -> None:
    buyer = world.buyer()
    deposit = cancelled(world, buyer)
    unpaid = world.ordered(buyer)
    assert world.run("send_refunds")["failed"] == 0
    assert refund_of(buyer, deposit)["status"] == "succeeded"
    world.advance("PT16M")
    assert world.run("close_windows")["failed"] == 0
    events = buyer.get(f"/v1/deposits/{unpaid['id']}/events").json["data"]
    assert [event["type"] for event in events] == ["deposit.created", "deposit.expired"]
