"""What the platform may do with a refund that is stuck: never before the provider was asked, never while it may be executed."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.refusal import Reason
from chalicelib.core.refunding.provider_answers import RefundSeen
from tests.conftest import Tables
from tests.flows.bank import AFTER, BEFORE, DECLINED, PENDING
from tests.flows.refund_shop import HAN, PLATFORM, RefundShop
from tests.flows.shop import EARNEST, catch_refusal, fresh_key, rendered_state
from tests.store.builders import STAFF

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
NOTE: Final = "Rang the bank of Li Lei"
MISSED: Final = 7 * DAY
WAYS: Final[dict[str, Callable[[RefundShop], object]]] = {"reroute": RefundShop.reroute, "retry": RefundShop.retry}


@pytest.fixture
def desk(table: Tables) -> Iterator[RefundShop]:
    with RefundShop.open(table) as desk:
        yield desk


def in_doubt(desk: RefundShop, fault: str) -> None:
    """Sent; nobody could say what became of it until its promise was missed."""
    desk.create_refund()
    desk.bank.faults.append(fault)
    desk.attend()
    desk.bank.answers_no_queries = True
    desk.attend(desk.clock.now + MISSED)
    desk.bank.answers_no_queries = False
    assert (desk.status, desk.refund.review) == ("manual_review", "promise_missed")
    desk.bank.calls.clear()


def never_found(desk: RefundShop) -> None:
    """Sent without an answer and never executed; the provider has forgotten its key."""
    desk.create_refund()
    desk.bank.faults.append(BEFORE)
    desk.attend()
    desk.attend(desk.clock.now + DAY)
    assert (desk.status, desk.refund.review) == ("manual_review", "not_found")
    desk.bank.calls.clear()


# Free to take another way.


def test_an_approved_refund_is_rerouted_and_waits_for_an_account(desk: RefundShop) -> None:
    desk.create_refund()
    outcome, refund = desk.reroute(note=NOTE)
    assert (refund.status.value, refund.destination_kind, refund.waiting_on) == ("requires_action", "payout", "buyer")
    assert outcome.deposit.money.refunding == EARNEST
    assert desk.bank.calls == []
    assert not desk.attend()
    desk.name_account()
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.check_refunded_once()


def test_the_note_is_sealed(desk: RefundShop) -> None:
    desk.create_refund()
    version = desk.deposit.version
    desk.reroute(note=NOTE)
    key = f"text#{desk.ref}#note{version}"
    sealed = desk.texts.get(key)
    assert sealed is not None
    assert desk.vault.unseal(key, sealed).decode() == NOTE
    assert "Li Lei" not in desk.table_text()
    assert desk.load(desk.id).journal[-1].event.note == desk.vault.fingerprint(NOTE.encode())
    assert desk.load(desk.id).journal[-1].by == PLATFORM


def test_a_named_account_is_given_up_for_another(desk: RefundShop) -> None:
    desk.create_refund("virtual_account")
    desk.name_account()
    desk.reroute()
    assert (desk.status, desk.refund.destination_kind) == ("requires_action", "payout")
    _, refund = desk.name_account(HAN)
    assert refund.payable_from == desk.clock.now + DAY, "another account than before: it waits"
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.2"]


def test_what_came_back_is_rerouted(desk: RefundShop) -> None:
    desk.create_refund()
    desk.attend()
    desk.bank.return_refund(desk.ref)
    desk.deposit_worker.handle_provider_event(desk.ref, "event/1")
    desk.reroute()
    desk.name_account()
    desk.run_until_quiet()
    assert desk.bank.executed == [desk.ref, f"{desk.ref}.1"]
    desk.check_refunded_once()


# On its way.


ON_ITS_WAY: Final = {"unknown": BEFORE, "pending": PENDING, "succeeded": ""}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("status", "fault"), ON_ITS_WAY.items())
def test_what_may_be_executed_is_left_where_it_is(desk: RefundShop, way: str, status: str, fault: str) -> None:
    desk.create_refund()
    desk.bank.faults.append(fault)
    desk.attend()
    before, asked = desk.load(desk.id).journal, len(desk.bank.calls)
    no = catch_refusal(lambda: WAYS[way](desk))
    assert (no.reason, no.facts["state"]) == (Reason.WRONG_STATE, status)
    assert desk.load(desk.id).journal == before
    assert len(desk.bank.calls) == asked


@pytest.mark.parametrize("status", ["approved", "requires_action", "returned"])
def test_what_waits_for_nobody_s_look_is_not_sent_again_by_a_person(desk: RefundShop, status: str) -> None:
    desk.create_refund("card" if status != "requires_action" else "virtual_account")
    if status == "returned":
        desk.attend()
        desk.bank.return_refund(desk.ref)
        desk.deposit_worker.handle_provider_event(desk.ref, "event/1")
    no = catch_refusal(desk.retry)
    assert (no.reason, no.facts["state"]) == (Reason.WRONG_STATE, status)


# In a person's hands.


@pytest.mark.parametrize("way", WAYS)
def test_what_the_provider_knows_after_all_is_settled_instead(desk: RefundShop, way: str) -> None:
    in_doubt(desk, AFTER)
    no = catch_refusal(lambda: WAYS[way](desk))
    assert no.reason is Reason.WRONG_STATE
    assert desk.bank.calls == [desk.ref]
    assert desk.status == "succeeded"
    assert desk.deposit.money.refunded == EARNEST
    assert desk.bank.executed == [desk.ref]


@pytest.mark.parametrize("way", WAYS)
def test_while_the_provider_says_nothing_nothing_is_decided(desk: RefundShop, way: str) -> None:
    in_doubt(desk, AFTER)
    desk.bank.answers_no_queries = True
    before = desk.load(desk.id).journal
    assert catch_refusal(lambda: WAYS[way](desk)).reason is Reason.BUSY
    assert desk.load(desk.id).journal == before
    assert desk.bank.calls == [desk.ref]


@pytest.mark.parametrize("way", WAYS)
def test_what_the_provider_may_still_remember_is_left_to_the_job(desk: RefundShop, way: str) -> None:
    """An hour before the key is forgotten we stop trusting it; until then the same key has no second effect."""
    never_found(desk)
    desk.bank.key_retention_ms = 3 * DAY
    sent_at = desk.refund.sent_at
    assert sent_at is not None
    desk.clock.now = sent_at + 3 * DAY - HOUR - 1
    no = catch_refusal(lambda: WAYS[way](desk))
    assert (no.reason, no.facts["state"]) == (Reason.WRONG_STATE, "manual_review")
    assert desk.bank.calls == [desk.ref]
    desk.clock.now += 1
    WAYS[way](desk)
    assert desk.status == ("approved" if way == "retry" else "requires_action")


def test_after_the_key_is_forgotten_a_retry_goes_out_under_a_new_one(desk: RefundShop) -> None:
    never_found(desk)
    _, refund = desk.retry()
    assert (refund.status.value, refund.route_no, refund.sent_at, refund.review) == ("approved", 1, None, None)
    assert desk.bank.calls == [desk.ref]
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    assert [attempt.status for attempt in desk.refund.attempts] == ["unknown", "succeeded"]
    desk.check_refunded_once()


def test_a_refund_that_was_never_found_goes_to_an_account(desk: RefundShop) -> None:
    never_found(desk)
    desk.reroute()
    desk.name_account()
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.check_refunded_once()


@pytest.mark.parametrize("fault", [BEFORE, DECLINED])
def test_a_retry_goes_out_also_when_its_promise_was_missed(desk: RefundShop, fault: str) -> None:
    in_doubt(desk, fault)
    _, refund = desk.retry()
    assert refund.status.value == "approved"
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]


@pytest.mark.parametrize("fault", [BEFORE, DECLINED])
def test_a_reroute_asks_for_an_account_also_when_its_promise_was_missed(desk: RefundShop, fault: str) -> None:
    in_doubt(desk, fault)
    _, refund = desk.reroute()
    assert refund.status.value == "requires_action"
    desk.name_account()
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]


def test_a_person_names_another_account_for_what_was_declined_and_missed(desk: RefundShop) -> None:
    in_doubt(desk, DECLINED)
    desk.name_account()
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.check_refunded_once()


def declined_unheard(desk: RefundShop) -> None:
    """Nobody could find it; the provider then says that it had declined."""
    never_found(desk)
    desk.bank.refunds[desk.ref] = RefundSeen(1, "declined", EARNEST, "bank/1", desk.clock.now, code="closed")


def test_what_the_provider_declined_and_nobody_heard_is_rerouted(desk: RefundShop) -> None:
    declined_unheard(desk)
    desk.reroute()
    assert desk.bank.calls == [desk.ref]
    desk.name_account()
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.check_refunded_once()


def test_what_the_provider_declined_and_nobody_heard_is_the_buyers_turn_and_not_sent_again(desk: RefundShop) -> None:
    declined_unheard(desk)
    assert catch_refusal(desk.retry).reason is Reason.WRONG_STATE
    assert (desk.status, desk.refund.waiting_on) == ("requires_action", "buyer")
    desk.name_account()
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]


@pytest.mark.parametrize("way", WAYS)
def test_a_replay_asks_nobody_and_answers_the_same(desk: RefundShop, way: str) -> None:
    never_found(desk)
    press = fresh_key()
    first, refund = desk.reroute(press) if way == "reroute" else desk.retry(press)
    assert desk.bank.calls == [desk.ref]
    if way == "reroute":
        desk.name_account()
    desk.attend()
    looks = desk.bank.calls.count(desk.ref)
    again, same = desk.reroute(press) if way == "reroute" else desk.retry(press)
    assert again.replayed
    assert (rendered_state(again), same) == (rendered_state(first), refund)
    assert desk.bank.calls.count(desk.ref) == looks


@pytest.mark.parametrize("operation", ["GetItem", "UpdateItem"])
def test_a_lost_answer_is_decided_once(desk: RefundShop, operation: str) -> None:
    never_found(desk)
    press = fresh_key()
    desk.faults.lose(operation)
    assert catch_refusal(lambda: desk.retry(press)).reason is Reason.BUSY
    desk.retry(press)
    assert desk.event_types(desk.id).count("refund.retried") == 1
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]


def test_of_two_people_at_once_one_retries(desk: RefundShop) -> None:
    never_found(desk)
    asked = desk.request_context(PLATFORM, "retry", fresh_key())
    desk.faults.before("UpdateItem", lambda: desk.second_shop.refunds.retry(desk.ref, asked))
    assert catch_refusal(desk.retry).reason is Reason.WRONG_STATE
    assert desk.event_types(desk.id).count("refund.retried") == 1


def test_an_account_named_while_a_person_retries_is_paid_once(desk: RefundShop) -> None:
    never_found(desk)
    asked = desk.request_context(PLATFORM, "reroute", fresh_key())
    desk.faults.before("UpdateItem", lambda: desk.second_shop.refunds.reroute(desk.ref, None, asked))
    assert catch_refusal(desk.retry).reason is Reason.WRONG_STATE
    desk.name_account()
    desk.run_until_quiet()
    assert desk.bank.executed == [f"{desk.ref}.1"]


def test_who_is_not_there_cannot_be_rerouted(desk: RefundShop) -> None:
    desk.create_refund()
    stranger = desk.request_context(replace(STAFF, merchant="mer_other"), "reroute", fresh_key())
    for refund_id in (f"{desk.ref[:-1]}2", "ref_nonsense", ""):
        asked = desk.request_context(PLATFORM, "r", fresh_key())
        no = catch_refusal(partial(desk.refunds.reroute, refund_id, None, asked))
        assert no.reason is Reason.NOT_FOUND
    assert catch_refusal(lambda: desk.refunds.reroute(desk.ref, None, stranger)).reason is Reason.NOT_FOUND
