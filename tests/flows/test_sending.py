"""What the job does at a refund: when it calls, when it must not, and when a person takes over."""

from collections.abc import Iterator
from typing import Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.policy import payment_routes
from chalicelib.core.refunding.schedule import QUERY_DELAYS_MS, SETTLEMENT_WAIT_MS
from chalicelib.flows.ports.provider import Unknown
from tests.conftest import Tables
from tests.flows.bank import AFTER, BEFORE, settle
from tests.flows.refund_shop import LI, RefundShop
from tests.flows.shop import EARNEST
from tests.store.builders import STAFF, T0

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
WEEK: Final = 7 * DAY


@pytest.fixture
def desk(table: Tables) -> Iterator[RefundShop]:
    with RefundShop.open(table) as desk:
        yield desk


def sent_to_source(desk: RefundShop) -> str:
    return f"{desk.ref} of {child('pay', desk.id, 1)}, {child('pay', desk.id, 1)}.1, {EARNEST.minor}"


def test_a_refund_goes_to_its_source_under_its_own_id(desk: RefundShop) -> None:
    desk.create_refund()
    assert desk.attend()
    assert desk.bank.calls == [sent_to_source(desk)]
    desk.check_refunded_once()
    assert desk.load(desk.id).due == desk.clock.now + SETTLEMENT_WAIT_MS


# Quiet hours: 23:55 to 06:00 seven hours ahead of UTC. T0 is 14:00 UTC.


FROM: Final = T0 + 2 * HOUR + 55 * MINUTE
TO: Final = T0 + 9 * HOUR
INSTANTS: Final = [
    # when it is decided and tried, and when it may go
    (FROM - 1, FROM - 1),
    (FROM, TO),
    (FROM + HOUR, TO),
    (TO - 1, TO),
    (TO, TO),
]


@pytest.mark.parametrize(("decided", "goes"), INSTANTS)
def test_nothing_is_asked_of_a_route_in_its_quiet_hours(desk: RefundShop, decided: int, goes: int) -> None:
    desk.pay_deposit("shopeepay")
    desk.clock.now = decided
    desk.cancel(desk.id, desk.by)
    assert desk.load(desk.id).due == goes
    if goes > decided:
        desk.attend(goes - 1)
        assert desk.bank.calls == []
        assert desk.status == "approved"
    assert desk.attend(goes)
    assert desk.bank.calls == [sent_to_source(desk)]


def test_a_job_that_was_late_into_the_quiet_hours_waits_for_their_end(desk: RefundShop) -> None:
    """It was due before them; nobody came in time."""
    desk.pay_deposit("shopeepay")
    desk.clock.now = FROM - MINUTE
    desk.cancel(desk.id, desk.by)
    assert desk.load(desk.id).due == FROM - MINUTE
    assert desk.attend(FROM + MINUTE)
    assert desk.bank.calls == []
    assert desk.load(desk.id).due == TO
    assert not desk.attend(TO - 1)
    desk.attend(TO, "job/2")
    desk.check_refunded_once()


def test_an_account_is_paid_at_any_hour(desk: RefundShop) -> None:
    desk.create_refund("shopeepay")
    desk.reroute()
    desk.clock.now = FROM + HOUR
    desk.name_account()
    desk.attend()
    assert desk.bank.executed == [f"{desk.ref}.1"]


# A way that closes.


@pytest.mark.parametrize(("early", "then"), [(1, "succeeded"), (0, "manual_review")])
def test_a_way_is_used_until_it_closes_and_its_promise_ends_with_it(desk: RefundShop, early: int, then: str) -> None:
    desk.pay_deposit("ovo")
    closes = desk.clock.now + WEEK
    desk.attend(closes - 2)
    desk.cancel(desk.id, desk.by)
    assert (desk.status, desk.refund.promised_by) == ("approved", closes)
    desk.attend(closes - early)
    assert desk.status == then
    assert desk.bank.executed == ([desk.ref] if early else [])
    if not early:
        desk.reroute()
        desk.name_account()
        desk.attend()
        assert desk.bank.executed == [f"{desk.ref}.1"]


def test_a_way_that_closed_meanwhile_asks_for_an_account_instead(
    desk: RefundShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider shortened its window after the promise was made: what counts is the route when it is sent."""
    desk.pay_deposit()
    desk.clock.now += 3 * DAY
    desk.cancel(desk.id, desk.by)
    shorter = payment_routes.find_route("card", T0).model_copy(update={"window_days": 3})
    monkeypatch.setattr(payment_routes, "find_route", lambda _method, _at: shorter)
    desk.attend()
    assert (desk.status, desk.refund.waiting_on) == ("requires_action", "buyer")
    assert desk.load(desk.id).journal[-1].event.code == payment_routes.ROUTE_WINDOW_ENDED
    assert desk.bank.calls == []
    assert desk.refund.attempts == ()


def test_a_way_that_is_closed_when_it_is_decided_asks_for_an_account_at_once(desk: RefundShop) -> None:
    desk.pay_deposit("ovo")
    desk.clock.now += WEEK
    desk.refunds.grant(desk.id, EARNEST, EARNEST, None, desk.request_context(STAFF, "goodwill", "key"))
    assert desk.status == "requires_action"
    desk.name_account()
    desk.attend()
    assert desk.bank.executed == [f"{desk.ref}.1"]


# The buyer's bank.


def disputed(desk: RefundShop, status: str = "open") -> None:
    desk.deposit_worker.settle(desk.id, desk.bank.dispute(child("pay", desk.id, 1), status), "event")


def test_while_the_buyers_bank_decides_nothing_is_sent_and_the_payment_is_looked_for_daily(desk: RefundShop) -> None:
    desk.create_refund()
    disputed(desk)
    opened = desk.clock.now
    pay_id = child("pay", desk.id, 1)
    for n in range(1, 7):
        assert desk.load(desk.id).due == opened + n * DAY
        assert not desk.attend(opened + n * DAY - 1)
        assert desk.attend(opened + n * DAY, f"job/{n}")
        assert desk.bank.calls == [pay_id] * n
    assert desk.status == "approved"


@pytest.mark.parametrize("status", ["won", "lost"])
def test_a_decision_whose_news_was_lost_is_found(desk: RefundShop, status: str) -> None:
    desk.create_refund()
    disputed(desk)
    desk.bank.dispute(child("pay", desk.id, 1), status)
    desk.attend(desk.clock.now + DAY)
    assert desk.deposit.disputes[0].status == status
    desk.run_until_quiet()
    if status == "won":
        assert desk.bank.executed == [desk.ref]
        desk.check_refunded_once()
    else:
        assert desk.bank.executed == []
        assert (desk.status, desk.deposit.money.refunded) == ("settled", EARNEST)


def test_without_an_answer_a_dispute_is_asked_about_the_next_day(desk: RefundShop) -> None:
    desk.create_refund()
    disputed(desk)
    desk.bank.answers_no_queries = True
    opened, before = desk.clock.now, desk.load(desk.id).journal
    desk.attend(opened + DAY)
    assert desk.load(desk.id).journal == before
    assert desk.load(desk.id).due == opened + 2 * DAY


def test_what_waited_for_the_bank_past_its_promise_goes_its_way_when_the_bank_decides_for_us(desk: RefundShop) -> None:
    desk.create_refund()
    disputed(desk)
    desk.attend(desk.clock.now + WEEK)
    assert (desk.status, desk.refund.review) == ("manual_review", "promise_missed")
    disputed(desk, "won")
    assert desk.status == "approved"
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.check_refunded_once()


def test_what_was_sent_before_the_dispute_is_looked_for_and_not_sent_again(desk: RefundShop) -> None:
    desk.create_refund()
    desk.bank.faults.append(BEFORE)
    desk.attend()
    disputed(desk)
    for n in range(3):
        due = desk.load(desk.id).due
        assert due is not None
        desk.attend(due, f"job/{n + 2}")
    assert [call for call in desk.bank.calls if " of " in call] == [sent_to_source(desk)]
    assert desk.bank.executed == []


def test_a_refund_of_another_capture_goes_its_way_meanwhile(desk: RefundShop) -> None:
    desk.pay_deposit()
    pay_id = child("pay", desk.id, 1)
    disputed(desk)
    seen = desk.bank.capture(pay_id)
    desk.bank.payments[pay_id] = replace(seen, disputes=desk.bank.dispute(pay_id, "open").disputes)
    desk.deposit_worker.handle_provider_event(pay_id, "event/2")
    [late] = desk.deposit.refunds
    assert (late.cause, late.capture) == ("duplicate_payment", f"{pay_id}.2")
    desk.attend()
    assert desk.bank.executed == [desk.ref]


# The proof.


def falsified(desk: RefundShop, minor: int) -> None:
    """Somebody changed what was approved, in the table itself: the amount and its line."""
    item = desk.stored_item()
    [approved] = [one for one in item["journal"]["L"] if one["M"]["t"]["S"] == "refund.approved"]
    data = approved["M"]["d"]["M"]
    data["amount"] = {"S": f"{minor}CNY"}
    data["lines"]["L"][0]["M"]["amount"] = {"S": f"{minor}CNY"}
    desk.table.client.put_item(TableName=desk.table.name, Item=item)


@pytest.mark.parametrize("minor", [EARNEST.minor - 1, 1])
def test_what_the_rules_do_not_give_is_not_sent_and_a_person_looks(desk: RefundShop, minor: int) -> None:
    desk.create_refund()
    falsified(desk, minor)
    assert desk.attend()
    assert (desk.status, desk.refund.review, desk.refund.waiting_on) == ("manual_review", "proof_differs", "platform")
    desk.run_until_quiet()
    assert desk.bank.calls == []
    assert desk.bank.executed == []


def test_the_proof_is_asked_for_again_before_every_first_call_of_a_way(desk: RefundShop) -> None:
    desk.create_refund("virtual_account")
    desk.name_account()
    falsified(desk, 1)
    desk.attend()
    assert (desk.status, desk.refund.review) == ("manual_review", "proof_differs")
    assert desk.bank.executed == []


# How long a provider remembers.


def test_while_the_key_is_remembered_the_same_key_goes_out_again(desk: RefundShop) -> None:
    desk.create_refund()
    desk.bank.faults.extend([BEFORE] * 3)
    desk.attend()
    for look, distance in zip(range(1, 4), QUERY_DELAYS_MS, strict=False):
        desk.attend(desk.refund.changed_at + distance, f"job/{look}")
    assert desk.bank.calls == [sent_to_source(desk), *[desk.ref, sent_to_source(desk)] * 3]
    assert desk.bank.executed == [desk.ref]
    desk.check_refunded_once()


@pytest.mark.parametrize(("kept", "late", "again"), [(DAY, DAY - HOUR - 1, True), (DAY, DAY - HOUR, False)])
def test_an_hour_before_the_key_is_forgotten_it_is_not_trusted_any_more(
    desk: RefundShop, kept: int, late: int, again: bool
) -> None:
    desk.bank.key_retention_ms = kept
    desk.create_refund()
    desk.bank.faults.append(BEFORE)
    desk.attend()
    desk.attend(desk.clock.now + late)
    assert bool(desk.bank.executed) == again
    assert desk.status == ("succeeded" if again else "manual_review")


@pytest.mark.parametrize("fault", [BEFORE, AFTER])
def test_a_provider_that_remembers_a_minute_is_never_asked_twice(desk: RefundShop, fault: str) -> None:
    desk.bank.key_retention_ms = MINUTE
    desk.create_refund()
    desk.bank.faults.append(fault)
    desk.attend()
    assert desk.status == "unknown"
    desk.attend(desk.clock.now + MINUTE, "job/2")
    assert desk.bank.calls == [sent_to_source(desk), desk.ref]
    assert desk.status == ("succeeded" if fault == AFTER else "manual_review")
    assert desk.bank.executed == ([desk.ref] if fault == AFTER else [])


def test_a_provider_that_says_nothing_is_asked_at_growing_distances_until_the_promise(desk: RefundShop) -> None:
    desk.create_refund()
    desk.bank.faults.append(BEFORE)
    desk.attend()
    desk.bank.answers_no_queries = True
    sent = desk.clock.now
    seen = []
    while desk.status == "unknown":
        due = desk.load(desk.id).due
        assert due is not None
        seen.append(due - sent)
        desk.attend(due, f"job/{len(seen)}")
    assert seen == [*QUERY_DELAYS_MS, WEEK]
    assert (desk.status, desk.refund.review) == ("manual_review", "promise_missed")
    assert [call for call in desk.bank.calls if " of " in call] == [sent_to_source(desk)]


# Settlement.


def test_a_refund_that_reconciliation_did_not_see_is_asked_about_after_three_days_then_daily(desk: RefundShop) -> None:
    desk.create_refund()
    desk.attend()
    done = desk.clock.now
    for n in range(3):
        assert desk.load(desk.id).due == done + SETTLEMENT_WAIT_MS + n * DAY
        desk.attend(done + SETTLEMENT_WAIT_MS + n * DAY, f"job/{n}")
    assert desk.status == "succeeded"
    settle(desk.bank, desk.ref)
    desk.attend(done + SETTLEMENT_WAIT_MS + 3 * DAY)
    assert desk.status == "settled"
    assert desk.load(desk.id).due is None


def test_what_the_daily_look_learns_and_cannot_write_stays_due(desk: RefundShop) -> None:
    """Put off for a day, a return whose event was lost would stand in nobody's books until then."""
    desk.create_refund()
    desk.attend()
    desk.clock.now = looked = desk.clock.now + SETTLEMENT_WAIT_MS
    settle(desk.bank, desk.ref)
    desk.faults.fail("UpdateItem", "ThrottlingException", times=2)
    tries = 0
    while not desk.attend(looked):
        assert desk.load(desk.id).due == looked
        tries += 1
    assert (tries, desk.status) == (2, "settled")


def test_an_answer_with_another_amount_cannot_be_read(desk: RefundShop) -> None:
    desk.create_refund()
    desk.bank.refunds[desk.ref] = replace(desk.bank.execute(desk.ref), amount=EARNEST * 2)
    desk.attend()
    assert desk.status == "unknown"
    desk.attend(desk.clock.now + MINUTE)
    assert (desk.status, desk.refund.review) == ("manual_review", "amount_differs")
    assert isinstance(desk.bank.payments[child("pay", desk.id, 1)], PaymentSeen)
    assert not isinstance(desk.bank.find_refund(desk.ref), Unknown)
    assert LI.holder not in str(desk.bank.calls)
