"""Claims over one table: who was faster, what arrives late, and when silence is written."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib.core.claims.answering import AcceptOffer, Escalate, RuleClaim, WithdrawClaim
from chalicelib.core.common.ids import child
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason
from chalicelib.core.delivery.fulfilment import Ship
from chalicelib.core.deposit.claim import ClaimStatus
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.status import Status
from chalicelib.core.paying.provider_answers import DisputeSeen
from chalicelib.flows.claims import ClaimView
from chalicelib.flows.images import fold_stored
from chalicelib.flows.ports.provider import NotFound
from tests.conftest import Tables
from tests.flows.concurrency import run_at_once, slow_timing
from tests.flows.shop import (
    DAY,
    GRACE,
    HOUR,
    PRICE,
    STATEMENT,
    FaultyShop,
    Shop,
    captured,
    catch_refusal,
    fresh_key,
    new_buyer,
    rendered_state,
    retry_while_busy,
)
from tests.store.builders import STAFF

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
NOTHING: Final = Money.zero("CNY")
WHOLE: Final = PRICE * 2  # two cars of one line, paid in full
LITTLE: Final = Money(100, "CNY")
SOLD: Final[dict[str, Any]] = {
    "preset": "su7_founders_2024",
    "payment": {"take": "full", "nature": "advance"},
    "lock": {"undo": None},
    "delivery": {"within": None},
}
PLATFORM: Final = Caller("usr_platform", "platform")
APPEND: Final = "TransactWriteItems"  # words are kept beside what is opened and rejected
PLAIN: Final = "UpdateItem"


class Counter(FaultyShop):
    """A buyer has paid two cars, one of which has left."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.offered = self.publish(units=None, **SOLD)
        self.buyer = new_buyer()
        self.id = self.shipped()

    def shipped(self, quantity: int = 1) -> str:
        deposit_id = self.order(self.offered, self.buyer, quantity=2).deposit.id
        self.pay(deposit_id, amount=WHOLE)
        if quantity:
            self.command(deposit_id, Ship((Units(1, quantity),)), STAFF)
        return deposit_id

    def missing(self) -> str:
        """A claim for the other one."""
        return id_of(self.claim(self.id, self.buyer, (1, 1)))

    def now(self, deposit_id: str | None = None) -> Deposit:
        return fold_stored(self.load(deposit_id or self.id))

    def seen(self, claim_id: str) -> ClaimView:
        return self.claims.find(claim_id, self.request_context(self.buyer))

    def due_at(self, claim_id: str) -> int:
        due_at = self.seen(claim_id).claim.due_at
        assert due_at is not None
        return due_at

    def ships(self, at: Shop | None = None) -> None:
        """The other car leaves."""
        (at or self).command(self.id, Ship((Units(1, 1),)), STAFF)

    def twin_ships(self) -> None:
        self.ships(self.second_shop)


def id_of(told: ClaimView) -> str:
    return child("clm", told.outcome.deposit.id, told.claim.n)


@pytest.fixture
def desk(table: Tables) -> Iterator[Counter]:
    with Counter.open(table) as desk:
        yield desk


# The grace: asked in time wins, however late it arrives.


def test_a_reply_asked_in_time_wins_though_it_arrives_late_and_another_append_came_between(desk: Counter) -> None:
    one = desk.missing()
    due_at = desk.due_at(one)
    desk.clock.now = due_at + 20_000
    desk.faults.before(PLAIN, desk.twin_ships)
    told = desk.respond(one, "offer", PRICE, at=due_at - 1, received=due_at - 1)
    assert told.claim.status is ClaimStatus.OFFERED
    types = desk.event_types(desk.id)
    assert types[-1] == "claim.offered"
    assert "goods.shipped" in types[-3:]
    assert "claim.granted_by_deadline" not in types
    desk.clock.now = due_at + GRACE + HOUR
    assert desk.seen(one).claim.status is ClaimStatus.OFFERED


def test_a_reply_asked_at_the_deadline_is_late_also_before_silence_is_written(desk: Counter) -> None:
    one = desk.missing()
    due_at = desk.clock.now = desk.due_at(one)
    told = desk.respond(one, "accept")
    assert told.claim.status_at(due_at) is ClaimStatus.GRANTED_BY_DEADLINE
    assert (desk.event_types(desk.id)[-1], desk.now().refunds) == ("claim.answered_late", ())
    desk.clock.now = due_at + GRACE
    assert desk.deposit_worker.process_due(desk.id, "job/1")
    assert desk.event_types(desk.id)[-3:] == ["claim.granted_by_deadline", "refund.approved", "deposit.completed"]
    assert [refund.amount for refund in desk.now().refunds] == [PRICE]


WRITTEN: Final = [
    # after the due time   the status is shown      the refund, and an append writes it
    (-1,                   "awaiting_merchant",     False),
    (0,                    "granted_by_deadline",   False),
    (GRACE - 1,            "granted_by_deadline",   False),
    (GRACE,                "granted_by_deadline",   True),
]  # fmt: skip


@pytest.mark.parametrize(("after", "status", "written"), WRITTEN)
def test_the_status_is_shown_at_once_and_the_refund_when_it_can_be_written(
    desk: Counter, after: int, status: str, written: bool
) -> None:
    one = desk.missing()
    due_at = desk.due_at(one)
    desk.clock.now = due_at + after
    seen = desk.seen(one)
    assert (seen.claim.status_at(seen.outcome.at).value, bool(seen.claim.refunds)) == (status, written)
    desk.claim(desk.id, desk.buyer, amount=LITTLE)
    assert ("claim.granted_by_deadline" in desk.event_types(desk.id)) == written
    granted = [entry.event.at for entry in desk.load(desk.id).journal if entry.event.TYPE.endswith("by_deadline")]
    assert granted == ([due_at] if written else [])


def test_a_job_waits_for_the_grace(desk: Counter) -> None:
    one = desk.missing()
    due_at = desk.due_at(one)
    for after, done in ((GRACE - 1, False), (GRACE, True)):
        desk.clock.now = due_at + after
        desk.deposit_worker.process_due(desk.id, "job/1")
        assert ("claim.granted_by_deadline" in desk.event_types(desk.id)) == done


def test_a_reply_that_is_older_than_an_answer_may_take_writes_nothing(desk: Counter) -> None:
    """So that nothing asked in time can come after the grace."""
    one = desk.missing()
    due_at = desk.due_at(one)
    desk.clock.now = due_at + 30_000
    before = desk.load(desk.id)
    no = catch_refusal(lambda: desk.respond(one, "accept", at=due_at - 1, received=due_at - 1))
    assert no.reason is Reason.BUSY
    assert desk.load(desk.id) == before


def test_an_acceptance_on_its_way_is_not_overtaken_by_a_ruling(desk: Counter) -> None:
    """The buyer's silence on the offer has made it a review by the clock, and within the grace nobody knows for sure."""
    one = desk.missing()
    desk.respond(one, "offer", PRICE + LITTLE)
    due_at = desk.due_at(one)
    desk.clock.now = due_at + 20_000
    ruling = RuleClaim(1, "uphold", desk.claims.digest(STATEMENT) or "")
    no = catch_refusal(lambda: desk.run_claim_command(one, ruling, PLATFORM, words=STATEMENT))
    assert no.reason is Reason.BUSY
    told = desk.run_claim_command(one, AcceptOffer(1), desk.buyer, at=due_at - 1, received=due_at - 1)
    assert told.claim.paid == PRICE + LITTLE


# Two at once.

Say = Callable[[Shop, str], ClaimView]


def agreed(at: Shop, one: str) -> ClaimView:
    return at.respond(one, "accept")


def declined(at: Shop, one: str) -> ClaimView:
    return at.respond(one, "reject")


def taken_back(at: Shop, one: str) -> ClaimView:
    buyer = fold_stored(at.load(f"dep_{one[4:30]}")).created.buyer
    return at.run_claim_command(one, WithdrawClaim(1), Caller(buyer, "buyer"))


PAIRS: Final[list[tuple[Say, Say, str, Reason]]] = [
    # faster     slower       then         the slower one is told
    (agreed,     declined,    "accepted",  Reason.CLAIM_CLOSED),
    (declined,   agreed,      "in_review", Reason.WRONG_STATE),
    (agreed,     agreed,      "accepted",  Reason.CLAIM_CLOSED),
    (taken_back, agreed,      "withdrawn", Reason.CLAIM_CLOSED),
    (agreed,     taken_back,  "accepted",  Reason.CLAIM_CLOSED),
]  # fmt: skip


@pytest.mark.parametrize(("faster", "slower", "status", "reason"), PAIRS)
def test_of_two_answers_at_once_one_counts(
    desk: Counter, faster: Say, slower: Say, status: str, reason: Reason
) -> None:
    one = desk.missing()
    desk.faults.before(APPEND if slower is declined else PLAIN, lambda: faster(desk.second_shop, one))
    assert catch_refusal(lambda: slower(desk, one)).reason is reason
    assert desk.seen(one).claim.status.value == status
    assert len(desk.now().refunds) == (status == "accepted")


def test_a_buyer_who_takes_an_offer_that_was_raised_meanwhile_gets_the_better_one(desk: Counter) -> None:
    one = desk.missing()
    desk.respond(one, "offer", PRICE)
    desk.faults.before(PLAIN, lambda: desk.second_shop.respond(one, "offer", PRICE + LITTLE))
    assert desk.run_claim_command(one, AcceptOffer(1), desk.buyer).claim.paid == PRICE + LITTLE


def test_an_offer_that_was_escalated_meanwhile_is_not_raised(desk: Counter) -> None:
    one = desk.missing()
    desk.respond(one, "offer", PRICE)
    desk.faults.before(PLAIN, lambda: desk.second_shop.run_claim_command(one, Escalate(1), desk.buyer))
    assert catch_refusal(lambda: desk.respond(one, "offer", PRICE + LITTLE)).reason is Reason.WRONG_STATE


def test_what_leaves_while_a_claim_is_opened_makes_it_contested(desk: Counter) -> None:
    desk.faults.before(APPEND, desk.twin_ships)
    told = desk.claim(desk.id, desk.buyer, (1, 1))
    assert told.claim.opened.contested
    assert told.claim.owed == PRICE
    assert desk.now().status is Status.COMPLETED


def test_what_a_claim_has_paid_back_does_not_leave_any_more(desk: Counter) -> None:
    one = desk.missing()
    desk.faults.before(PLAIN, lambda: desk.second_shop.respond(one, "accept"))
    assert catch_refusal(desk.ships).reason is Reason.WRONG_STATE
    assert desk.event_types(desk.id).count("goods.shipped") == 1


def test_what_left_while_a_merchant_agreed_is_paid_back_all_the_same(desk: Counter) -> None:
    one = desk.missing()
    desk.faults.before(PLAIN, desk.twin_ships)
    assert desk.respond(one, "accept").claim.paid == PRICE
    progress = desk.now().progress[0]
    assert (progress.shipped, progress.dropped, progress.refuted) == (2, 0, 1)


def granted(at: Shop, deposit_id: str, amount: Money, expected: Money) -> object:
    return at.refunds.grant(
        deposit_id, amount, expected, None, at.request_context(STAFF, "goodwill", fresh_key(), f"{amount}")
    )


def test_goodwill_does_not_take_what_a_claim_is_about(desk: Counter) -> None:
    everything = desk.now().refundable
    desk.faults.before(APPEND, lambda: desk.second_shop.claim(desk.id, desk.buyer, (1, 1)))
    no = catch_refusal(lambda: granted(desk, desk.id, everything, everything))
    assert no.reason is Reason.STALE_VERSION
    assert desk.now().refundable == everything - PRICE
    granted(desk, desk.id, everything - PRICE, everything - PRICE)
    assert desk.respond(child("clm", desk.id, 1), "accept").claim.paid == PRICE


def test_a_claim_of_what_goodwill_took_meanwhile_is_refused(desk: Counter) -> None:
    everything = desk.now().refundable
    desk.faults.before(APPEND, lambda: granted(desk.second_shop, desk.id, everything, everything))
    no = catch_refusal(lambda: desk.claim(desk.id, desk.buyer, amount=LITTLE))
    assert no.reason is Reason.REFUND_EXCEEDS_REFUNDABLE
    assert desk.now().claims == ()


@pytest.mark.parametrize("first", ["cancel", "accept"])
def test_a_cancel_beside_an_agreement_pays_everything_once(desk: Counter, first: str) -> None:
    """Founders keep nothing of an advance: all of it comes back, but for the car that has left."""
    one = desk.missing()
    if first == "cancel":
        desk.faults.before(PLAIN, lambda: desk.second_shop.cancel(desk.id, desk.buyer))
        told = desk.respond(one, "accept")
        assert told.claim.paid == NOTHING
    else:
        desk.faults.before(PLAIN, lambda: desk.second_shop.respond(one, "accept"))
        catch_refusal(lambda: desk.cancel(desk.id, desk.buyer))
    money = desk.now().money
    assert (money.captured, money.refunding) == (WHOLE, PRICE)


def test_a_claim_beside_a_cancel_of_the_whole_order_finds_nothing_left(desk: Counter) -> None:
    one = desk.shipped(0)
    desk.faults.before(APPEND, lambda: desk.second_shop.cancel(one, desk.buyer))
    no = catch_refusal(lambda: desk.claim(one, desk.buyer, (1, 2)))
    assert (no.reason, desk.now(one).claims) == (Reason.WRONG_STATE, ())
    assert desk.now(one).money.refunding == WHOLE


def test_a_bank_that_takes_the_money_meanwhile_is_not_paid_twice(desk: Counter) -> None:
    one = desk.missing()
    seen = captured(desk.clock.now, WHOLE)
    lost = replace(seen, disputes=(DisputeSeen("d1", seen.captures[0].ref, WHOLE, "lost"),))
    desk.faults.before(PLAIN, lambda: desk.second_shop.deposit_worker.settle(desk.id, lost, "t"))
    told = desk.respond(one, "accept")
    money = desk.now().money
    assert money.refunding + money.refunded <= WHOLE
    assert told.claim.status is ClaimStatus.ACCEPTED


# Retry-safe.


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_answer_is_given_when_it_is_asked_for_again(desk: Counter, lost: int) -> None:
    press = fresh_key()
    desk.faults.lose(APPEND, lost)
    first = retry_while_busy(lambda: desk.claim(desk.id, desk.buyer, (1, 1), key_text=press).outcome, most=3)
    assert not isinstance(first, Reason)
    again = desk.claim(desk.id, desk.buyer, (1, 1), key_text=press)
    assert again.outcome.replayed
    assert rendered_state(again.outcome) == rendered_state(first)
    assert [said.words for said in again.history] == [STATEMENT]
    assert desk.event_types(desk.id).count("claim.opened") == 1


def test_the_same_key_for_two_deposits_at_once_is_one_claim_and_no_word_of_the_other(desk: Counter) -> None:
    """Both found the key free; the transaction decides."""
    press, other = fresh_key(), desk.shipped()
    desk.faults.before(APPEND, lambda: desk.second_shop.claim(other, desk.buyer, (1, 1), key_text=press))
    no = catch_refusal(lambda: desk.claim(desk.id, desk.buyer, (1, 1), key_text=press))
    assert no.reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert [len(desk.now(one).claims) for one in (desk.id, other)] == [0, 1]


def test_many_at_once_open_one_claim(desk: Counter) -> None:
    """With one key it is the same; with many only the first is about money that no other claim is about."""
    shops = [Shop(desk.table, slow_timing()) for _ in range(8)]
    at = desk.clock.now
    press = fresh_key()

    def ask(shop: Shop, key_text: str, deposit_id: str) -> Callable[[], Any]:
        act = partial(shop.claim, deposit_id, desk.buyer, (1, 1), key_text=key_text, at=at)
        return lambda: retry_while_busy(lambda: act().outcome)

    one_key = run_at_once([ask(shop, press, desk.id) for shop in shops])
    assert not [one for one in one_key if isinstance(one, Reason)]
    assert len({str(rendered_state(one)) for one in one_key if not isinstance(one, Reason)}) == 1
    other = desk.shipped()
    many = run_at_once([ask(shop, fresh_key(), other) for shop in shops])
    assert sorted(str(one) for one in many if isinstance(one, Reason)) == [str(Reason.FUNDS_IN_DISPUTE)] * 7
    assert [len(desk.now(one).claims) for one in (desk.id, other)] == [1, 1]


def test_words_of_who_was_slower_are_kept_under_their_own_event(desk: Counter) -> None:
    """The key of a text is its event's number: whoever decides anew writes under the new one."""
    one = desk.missing()
    desk.faults.before(APPEND, lambda: desk.second_shop.respond(one, "offer", PRICE))
    assert catch_refusal(lambda: desk.respond(one, "reject")).reason is Reason.WRONG_STATE
    other = desk.shipped()
    claim = id_of(desk.claim(other, desk.buyer, (1, 1)))
    desk.faults.before(APPEND, lambda: desk.second_shop.command(other, Ship((Units(1, 1),)), STAFF))
    told = desk.respond(claim, "reject")
    assert [said.words for said in told.history] == [STATEMENT, STATEMENT]
    assert [said.words for said in desk.seen(claim).history] == [STATEMENT, STATEMENT]


def test_nothing_of_the_words_stands_readable_in_the_table(desk: Counter) -> None:
    desk.missing()
    assert STATEMENT not in str(desk.table.client.scan(TableName=desk.table.name, ConsistentRead=True)["Items"])


def test_a_claim_is_paid_by_the_job_that_pays_everything(desk: Counter) -> None:
    one = desk.missing()
    desk.clock.now = desk.due_at(one) + GRACE
    desk.deposit_worker.process_due(desk.id, "job/1")
    desk.deposit_worker.process_due(desk.id, "job/1")
    refund = child("ref", desk.id, 1)
    assert [asked for asked in desk.provider.calls if asked.startswith(refund)]
    assert isinstance(desk.provider.find_refund("x"), NotFound)
    assert desk.clock.now < desk.now().refunds[0].promised_by <= desk.clock.now + 7 * DAY
