"""What the platform may do with a refund that is stuck: never before the provider was asked, never while it may be executed."""

from collections.abc import Callable, Iterator
from typing import Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deposit.refund import RefundSeen
from tests.conftest import Tables
from tests.flows.bank import AFTER, BEFORE, DECLINED, PENDING
from tests.flows.refund_shop import HAN, PLATFORM, Payback
from tests.flows.shop import EARNEST, answer, fresh_key, refused
from tests.store.builders import STAFF

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
NOTE: Final = "Rang the bank of Li Lei"
MISSED: Final = 7 * DAY
WAYS: Final[dict[str, Callable[[Payback], object]]] = {"reroute": Payback.reroute, "retry": Payback.retry}


@pytest.fixture
def desk(table: Tables) -> Iterator[Payback]:
    with Payback.over(table) as desk:
        yield desk


def in_doubt(desk: Payback, fault: str) -> None:
    """Sent; nobody could say what became of it until its promise was missed."""
    desk.owed()
    desk.bank.faults.append(fault)
    desk.attend()
    desk.bank.mute = True
    desk.attend(desk.clock.now + MISSED)
    desk.bank.mute = False
    assert (desk.status, desk.refund.review) == ("manual_review", "promise_missed")
    desk.bank.asked.clear()


def never_found(desk: Payback) -> None:
    """Sent without an answer and never executed; the provider has forgotten its key."""
    desk.owed()
    desk.bank.faults.append(BEFORE)
    desk.attend()
    desk.attend(desk.clock.now + DAY)
    assert (desk.status, desk.refund.review) == ("manual_review", "not_found")
    desk.bank.asked.clear()


# Free to take another way.


def test_an_approved_refund_is_rerouted_and_waits_for_an_account(desk: Payback) -> None:
    desk.owed()
    outcome, refund = desk.reroute(note=NOTE)
    assert (refund.status.value, refund.goes_to, refund.waiting_on) == ("requires_action", "payout", "buyer")
    assert outcome.deposit.money.refunding == EARNEST
    assert desk.bank.asked == []
    assert not desk.attend()
    desk.name()
    desk.quietly()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.bought_back()


def test_the_note_is_sealed(desk: Payback) -> None:
    desk.owed()
    version = desk.deposit.version
    desk.reroute(note=NOTE)
    key = f"text#{desk.ref}#note{version}"
    sealed = desk.texts.get(key)
    assert sealed is not None
    assert desk.vault.unseal(key, sealed).decode() == NOTE
    assert "Li Lei" not in desk.everything()
    assert desk.load(desk.id).journal[-1].event.note == desk.vault.fingerprint(NOTE.encode())
    assert desk.load(desk.id).journal[-1].by == PLATFORM


def test_a_named_account_is_given_up_for_another(desk: Payback) -> None:
    desk.owed("virtual_account")
    desk.name()
    desk.reroute()
    assert (desk.status, desk.refund.goes_to) == ("requires_action", "payout")
    _, refund = desk.name(HAN)
    assert refund.payable_from == desk.clock.now + DAY, "another account than before: it waits"
    desk.quietly()
    assert desk.bank.executed == [f"{desk.ref}.2"]


def test_what_came_back_is_rerouted(desk: Payback) -> None:
    desk.owed()
    desk.attend()
    desk.bank.give_back(desk.ref)
    desk.deposit_worker.handle_provider_event(desk.ref, "event/1")
    desk.reroute()
    desk.name()
    desk.quietly()
    assert desk.bank.executed == [desk.ref, f"{desk.ref}.1"]
    desk.bought_back()


# On its way.


ON_ITS_WAY: Final = {"unknown": BEFORE, "pending": PENDING, "succeeded": ""}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("status", "fault"), ON_ITS_WAY.items())
def test_what_may_be_executed_is_left_where_it_is(desk: Payback, way: str, status: str, fault: str) -> None:
    desk.owed()
    desk.bank.faults.append(fault)
    desk.attend()
    before, asked = desk.load(desk.id).journal, len(desk.bank.asked)
    no = refused(lambda: WAYS[way](desk))
    assert (no.reason, no.facts["state"]) == (Reason.WRONG_STATE, status)
    assert desk.load(desk.id).journal == before
    assert len(desk.bank.asked) == asked


@pytest.mark.parametrize("status", ["approved", "requires_action", "returned"])
def test_what_waits_for_nobody_s_look_is_not_sent_again_by_a_person(desk: Payback, status: str) -> None:
    desk.owed("card" if status != "requires_action" else "virtual_account")
    if status == "returned":
        desk.attend()
        desk.bank.give_back(desk.ref)
        desk.deposit_worker.handle_provider_event(desk.ref, "event/1")
    no = refused(desk.retry)
    assert (no.reason, no.facts["state"]) == (Reason.WRONG_STATE, status)


# In a person's hands.


@pytest.mark.parametrize("way", WAYS)
def test_what_the_provider_knows_after_all_is_settled_instead(desk: Payback, way: str) -> None:
    in_doubt(desk, AFTER)
    no = refused(lambda: WAYS[way](desk))
    assert no.reason is Reason.WRONG_STATE
    assert desk.bank.asked == [desk.ref]
    assert desk.status == "succeeded"
    assert desk.deposit.money.refunded == EARNEST
    assert desk.bank.executed == [desk.ref]


@pytest.mark.parametrize("way", WAYS)
def test_while_the_provider_says_nothing_nothing_is_decided(desk: Payback, way: str) -> None:
    in_doubt(desk, AFTER)
    desk.bank.mute = True
    before = desk.load(desk.id).journal
    assert refused(lambda: WAYS[way](desk)).reason is Reason.BUSY
    assert desk.load(desk.id).journal == before
    assert desk.bank.asked == [desk.ref]


@pytest.mark.parametrize("way", WAYS)
def test_what_the_provider_may_still_remember_is_left_to_the_job(desk: Payback, way: str) -> None:
    """An hour before the key is forgotten we stop trusting it; until then the same key has no second effect."""
    never_found(desk)
    desk.bank.key_retention_ms = 3 * DAY
    sent_at = desk.refund.sent_at
    assert sent_at is not None
    desk.clock.now = sent_at + 3 * DAY - HOUR - 1
    no = refused(lambda: WAYS[way](desk))
    assert (no.reason, no.facts["state"]) == (Reason.WRONG_STATE, "manual_review")
    assert desk.bank.asked == [desk.ref]
    desk.clock.now += 1
    WAYS[way](desk)
    assert desk.status == ("approved" if way == "retry" else "requires_action")


def test_after_the_key_is_forgotten_a_retry_goes_out_under_a_new_one(desk: Payback) -> None:
    never_found(desk)
    _, refund = desk.retry()
    assert (refund.status.value, refund.way, refund.sent_at, refund.review) == ("approved", 1, None, None)
    assert desk.bank.asked == [desk.ref]
    desk.quietly()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    assert [one.status for one in desk.refund.attempts] == ["unknown", "succeeded"]
    desk.bought_back()


def test_a_refund_that_was_never_found_goes_to_an_account(desk: Payback) -> None:
    never_found(desk)
    desk.reroute()
    desk.name()
    desk.quietly()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.bought_back()


@pytest.mark.parametrize("fault", [BEFORE, DECLINED])
def test_a_retry_goes_out_also_when_its_promise_was_missed(desk: Payback, fault: str) -> None:
    in_doubt(desk, fault)
    _, refund = desk.retry()
    assert refund.status.value == "approved"
    desk.quietly()
    assert desk.bank.executed == [f"{desk.ref}.1"]


@pytest.mark.parametrize("fault", [BEFORE, DECLINED])
def test_a_reroute_asks_for_an_account_also_when_its_promise_was_missed(desk: Payback, fault: str) -> None:
    in_doubt(desk, fault)
    _, refund = desk.reroute()
    assert refund.status.value == "requires_action"
    desk.name()
    desk.quietly()
    assert desk.bank.executed == [f"{desk.ref}.1"]


def test_a_person_names_another_account_for_what_was_declined_and_missed(desk: Payback) -> None:
    in_doubt(desk, DECLINED)
    desk.name()
    desk.quietly()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.bought_back()


def declined_unheard(desk: Payback) -> None:
    """Nobody could find it; the provider then says that it had declined."""
    never_found(desk)
    desk.bank.refunds[desk.ref] = RefundSeen(1, "declined", EARNEST, "bank/1", desk.clock.now, code="closed")


def test_what_the_provider_declined_and_nobody_heard_is_rerouted(desk: Payback) -> None:
    declined_unheard(desk)
    desk.reroute()
    assert desk.bank.asked == [desk.ref]
    desk.name()
    desk.quietly()
    assert desk.bank.executed == [f"{desk.ref}.1"]
    desk.bought_back()


def test_what_the_provider_declined_and_nobody_heard_is_the_buyers_turn_and_not_sent_again(desk: Payback) -> None:
    declined_unheard(desk)
    assert refused(desk.retry).reason is Reason.WRONG_STATE
    assert (desk.status, desk.refund.waiting_on) == ("requires_action", "buyer")
    desk.name()
    desk.quietly()
    assert desk.bank.executed == [f"{desk.ref}.1"]


@pytest.mark.parametrize("way", WAYS)
def test_a_replay_asks_nobody_and_answers_the_same(desk: Payback, way: str) -> None:
    never_found(desk)
    press = fresh_key()
    first, refund = desk.reroute(press) if way == "reroute" else desk.retry(press)
    assert desk.bank.asked == [desk.ref]
    if way == "reroute":
        desk.name()
    desk.attend()
    looks = desk.bank.asked.count(desk.ref)
    again, same = desk.reroute(press) if way == "reroute" else desk.retry(press)
    assert again.replayed
    assert (answer(again), same) == (answer(first), refund)
    assert desk.bank.asked.count(desk.ref) == looks


@pytest.mark.parametrize("operation", ["GetItem", "UpdateItem"])
def test_a_lost_answer_is_decided_once(desk: Payback, operation: str) -> None:
    never_found(desk)
    press = fresh_key()
    desk.wire.lose(operation)
    assert refused(lambda: desk.retry(press)).reason is Reason.BUSY
    desk.retry(press)
    assert desk.types(desk.id).count("refund.retried") == 1
    desk.quietly()
    assert desk.bank.executed == [f"{desk.ref}.1"]


def test_of_two_people_at_once_one_retries(desk: Payback) -> None:
    never_found(desk)
    asked = desk.asked(PLATFORM, "retry", fresh_key())
    desk.wire.before("UpdateItem", lambda: desk.twin.refunds.retry(desk.ref, asked))
    assert refused(desk.retry).reason is Reason.WRONG_STATE
    assert desk.types(desk.id).count("refund.retried") == 1


def test_an_account_named_while_a_person_retries_is_paid_once(desk: Payback) -> None:
    never_found(desk)
    asked = desk.asked(PLATFORM, "reroute", fresh_key())
    desk.wire.before("UpdateItem", lambda: desk.twin.refunds.reroute(desk.ref, None, asked))
    assert refused(desk.retry).reason is Reason.WRONG_STATE
    desk.name()
    desk.quietly()
    assert desk.bank.executed == [f"{desk.ref}.1"]


def test_who_is_not_there_cannot_be_rerouted(desk: Payback) -> None:
    desk.owed()
    stranger = desk.asked(replace(STAFF, merchant="mer_other"), "reroute", fresh_key())
    for refund_id in (f"{desk.ref[:-1]}2", "ref_nonsense", ""):
        no = refused(lambda: desk.refunds.reroute(refund_id, None, desk.asked(PLATFORM, "r", fresh_key())))  # noqa: B023
        assert no.reason is Reason.NOT_FOUND
    assert refused(lambda: desk.refunds.reroute(desk.ref, None, stranger)).reason is Reason.NOT_FOUND
