"""Locks meet everything else that a buyer may tap: exactly one wins, nothing is locked after a cancel, money goes once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from chalicelib.core.common.ids import child
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deposit.events.lock import LockIntentOpened
from chalicelib.core.deposit.status import Status
from chalicelib.core.locking.lock import MAX_INTENTS, ConfirmLock, Unlock
from chalicelib.flows.images import fold_stored
from chalicelib.flows.snapshot import Outcome
from tests.conftest import Tables
from tests.flows.concurrency import outcomes, retrying, run_at_once, slow_timing
from tests.flows.shop import DAY, EARNEST, HOUR, FaultyShop, Shop, catch_refusal, fresh_key, new_buyer, rendered_state
from tests.store.builders import T0
from tests.store.faults import inject_faults

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
REVIEW: Final = 10_000
WINDOW: Final = 7 * DAY
ROUNDS: Final = 24


class Buyer:
    """One who has paid and was shown what a lock means. ``at`` is when it may be confirmed first."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.by = new_buyer()
        self.id = shop.order(shop.publish(units=None), self.by).deposit.id
        shop.pay(self.id)
        self.shown = shop.open_intent(self.id, self.by)
        self.at = self.shown.confirmable_at

    def seen(self) -> str:
        """What a reader's ETag is."""
        shown = self.shop.desk.get(self.id, self.shop.request_context(self.by))
        return shown.snapshot.etag

    def money_is_back_once(self) -> None:
        deposit = fold_stored(self.shop.load(self.id))
        assert [refund.amount for refund in deposit.refunds] == [EARNEST]
        assert deposit.money.captured == deposit.money.refunding == EARNEST
        assert deposit.status is Status.CANCELLED


@contextmanager
def on_real_time(table: Tables) -> Iterator[Shop]:
    with inject_faults(table) as (own, _):
        yield Shop(own, slow_timing())


class Desk(FaultyShop):
    """A buyer on a clock moved by hand: the review time is over."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.buyer = Buyer(self)
        self.id, self.by, self.shown = self.buyer.id, self.buyer.by, self.buyer.shown
        self.clock.now += REVIEW


@pytest.fixture
def shop(table: Tables) -> Iterator[Desk]:
    with Desk.open(table) as shop:
        yield shop


# A lock and a cancel.


def test_of_a_lock_and_a_cancel_that_saw_the_same_version_exactly_one_wins(table: Tables) -> None:
    won: Counter[str] = Counter()
    with on_real_time(table) as shop:
        for _ in range(ROUNDS):
            buyer = Buyer(shop)
            stamp: dict[str, Any] = {"if_match": buyer.seen(), "at": buyer.at}
            locked, cancelled = run_at_once(
                [
                    retrying(shop.lock, buyer.id, buyer.by, buyer.shown, fresh_key(), **stamp),
                    retrying(shop.cancel, buyer.id, buyer.by, fresh_key(), **stamp),
                ]
            )
            types = shop.event_types(buyer.id)[3:]
            if isinstance(locked, Outcome):
                assert (cancelled, types) == (Reason.STALE_VERSION, ["lock.confirmed"])
                won["lock"] += 1
            else:
                assert isinstance(cancelled, Outcome)
                assert (locked, types) == (Reason.STALE_VERSION, ["deposit.cancelled", "refund.approved"])
                buyer.money_is_back_once()
                won["cancel"] += 1
    assert won.total() == ROUNDS


def test_a_cancel_that_races_a_lock_returns_everything_whoever_is_faster(table: Tables) -> None:
    """A lock that came first is still in its undo; one that comes second meets a cancelled deposit."""
    with on_real_time(table) as shop:
        for _ in range(ROUNDS):
            buyer = Buyer(shop)
            locked, cancelled = run_at_once(
                [
                    retrying(shop.lock, buyer.id, buyer.by, buyer.shown, fresh_key(), at=buyer.at),
                    retrying(shop.cancel, buyer.id, buyer.by, fresh_key(), at=buyer.at),
                ]
            )
            assert isinstance(cancelled, Outcome)
            end = ["deposit.cancelled", "refund.approved"]
            if isinstance(locked, Outcome):
                assert shop.event_types(buyer.id)[3:] == ["lock.confirmed", *end]
            else:
                assert (locked, shop.event_types(buyer.id)[3:]) == (Reason.WRONG_STATE, end)
            buyer.money_is_back_once()


@pytest.mark.parametrize("matched", [False, True])
def test_a_lock_overtaken_by_a_cancel_is_refused(shop: Desk, matched: bool) -> None:
    seen = shop.buyer.seen() if matched else None
    shop.faults.before("UpdateItem", lambda: shop.second_shop.cancel(shop.id, shop.by))
    no = catch_refusal(lambda: shop.lock(shop.id, shop.by, shop.shown, if_match=seen))
    assert no.reason is (Reason.STALE_VERSION if matched else Reason.WRONG_STATE)
    assert "lock.confirmed" not in shop.event_types(shop.id)
    shop.buyer.money_is_back_once()


@pytest.mark.parametrize("matched", [False, True])
def test_a_cancel_overtaken_by_a_lock_returns_everything_or_says_that_it_saw_something_else(
    shop: Desk, matched: bool
) -> None:
    seen = shop.buyer.seen() if matched else None
    shop.faults.before("UpdateItem", lambda: shop.second_shop.lock(shop.id, shop.by, shop.shown))
    if matched:
        no = catch_refusal(lambda: shop.cancel(shop.id, shop.by, if_match=seen))
        assert (no.reason, no.facts) == (Reason.STALE_VERSION, {"etag": '"4-locked"'})
        assert shop.event_types(shop.id)[-1] == "lock.confirmed"
    else:
        shop.cancel(shop.id, shop.by)
        shop.buyer.money_is_back_once()


UNDO: Final = [
    # how long after the lock the buyer cancels, and what goes back
    (HOUR - 1, EARNEST.minor), (HOUR, 0),
]  # fmt: skip


@pytest.mark.parametrize(("later", "back"), UNDO)
def test_after_a_lock_everything_goes_back_until_the_undo_is_over(shop: Desk, later: int, back: int) -> None:
    shop.lock(shop.id, shop.by, shop.shown)
    shop.clock.now += later
    cancelled = shop.cancel(shop.id, shop.by).deposit
    assert cancelled.refund is not None
    assert cancelled.refund.amount.minor == back
    assert cancelled.money.forfeited.minor == EARNEST.minor - back


def test_a_cancel_asked_before_the_lock_and_written_after_it_returns_everything(shop: Desk) -> None:
    asked = shop.clock.now - 1
    shop.lock(shop.id, shop.by, shop.shown)
    shop.clock.now += 20_000
    shop.cancel(shop.id, shop.by, at=asked, received=asked)
    shop.buyer.money_is_back_once()


# A lock and a lock.


def test_the_same_tap_twice_at_once_is_one_lock_with_one_answer(table: Tables) -> None:
    with on_real_time(table) as shop:
        for _ in range(ROUNDS // 3):
            buyer, press = Buyer(shop), fresh_key()
            tap = retrying(shop.lock, buyer.id, buyer.by, buyer.shown, press, at=buyer.at)
            one, other = outcomes(run_at_once([tap, tap]))
            assert rendered_state(one) == rendered_state(other)
            assert {one.replayed, other.replayed} == {True, False}
            assert shop.event_types(buyer.id)[3:] == ["lock.confirmed"]


def test_two_taps_with_keys_of_their_own_are_one_lock_and_one_refusal(table: Tables) -> None:
    with on_real_time(table) as shop:
        for _ in range(ROUNDS // 3):
            buyer = Buyer(shop)
            results = run_at_once(
                [
                    retrying(shop.lock, buyer.id, buyer.by, buyer.shown, fresh_key(), at=buyer.at),
                    retrying(shop.lock, buyer.id, buyer.by, buyer.shown, fresh_key(), at=buyer.at),
                ]
            )
            assert sum(isinstance(result, Outcome) for result in results) == 1
            assert Reason.LOCK_INTENT_USED in results
            assert shop.event_types(buyer.id)[3:] == ["lock.confirmed"]


def test_a_lock_whose_answer_was_lost_is_answered_again(shop: Desk) -> None:
    press = fresh_key()
    shop.faults.lose("UpdateItem")
    assert catch_refusal(lambda: shop.lock(shop.id, shop.by, shop.shown, press)).reason is Reason.BUSY
    again = shop.lock(shop.id, shop.by, shop.shown, press)
    assert again.replayed
    shop.clock.now += HOUR
    assert rendered_state(shop.lock(shop.id, shop.by, shop.shown, press)) == rendered_state(again)
    assert catch_refusal(lambda: shop.lock(shop.id, shop.by, shop.shown)).reason is Reason.LOCK_INTENT_USED


@pytest.mark.parametrize(("later", "done"), [(REVIEW - 1, False), (REVIEW, True)])
def test_nothing_is_locked_before_it_was_read(shop: Desk, later: int, done: bool) -> None:
    at = shop.shown.at + later
    if done:
        assert shop.lock(shop.id, shop.by, shop.shown, at=at).deposit.lock is not None
    else:
        no = catch_refusal(lambda: shop.lock(shop.id, shop.by, shop.shown, at=at))
        assert (no.reason, no.facts) == (Reason.LOCK_REVIEW_PENDING, {"confirmable_at": at + 1})
        assert shop.lock(shop.id, shop.by, shop.shown).deposit.lock is not None, "a refusal uses no intent up"


@pytest.mark.parametrize(("later", "done"), [(15 * 60_000 - 1, True), (15 * 60_000, False)])
def test_nothing_is_locked_by_an_intent_that_has_expired(shop: Desk, later: int, done: bool) -> None:
    shop.clock.now = shop.shown.at + later
    if done:
        shop.lock(shop.id, shop.by, shop.shown)
    else:
        assert catch_refusal(lambda: shop.lock(shop.id, shop.by, shop.shown)).reason is Reason.LOCK_INTENT_EXPIRED


def test_an_intent_of_another_deposit_locks_nothing(shop: Desk) -> None:
    other = Buyer(shop.second_shop)
    shop.clock.now += REVIEW
    intent = child("lki", other.id, 1)
    typed = ConfirmLock(intent, other.shown.disclosure_hash, other.shown.acknowledgement)
    assert catch_refusal(lambda: shop.command(shop.id, typed, shop.by)).reason is Reason.LOCK_INTENT_INVALID


def test_a_lock_overtaken_by_a_change_is_not_made(shop: Desk) -> None:
    """What was shown is no longer what would be locked."""
    shop.faults.before("UpdateItem", lambda: shop.second_shop.change_items(shop.id, shop.by, ("su7-max", 2)))
    assert catch_refusal(lambda: shop.lock(shop.id, shop.by, shop.shown)).reason is Reason.TERMS_CHANGED
    assert shop.event_types(shop.id)[3:] == ["items.changed"]


def test_a_change_overtaken_by_a_lock_is_not_made(shop: Desk) -> None:
    shop.faults.before("UpdateItem", lambda: shop.second_shop.lock(shop.id, shop.by, shop.shown))
    no = catch_refusal(lambda: shop.change_items(shop.id, shop.by, ("su7-max", 2)))
    assert (no.reason, no.facts) == (Reason.WRONG_STATE, {"state": "locked"})
    assert shop.event_types(shop.id)[3:] == ["lock.confirmed"]


# Undo.


def test_of_an_undo_and_a_cancel_at_once_the_money_goes_back_once(table: Tables) -> None:
    with on_real_time(table) as shop:
        for _ in range(ROUNDS // 3):
            buyer = Buyer(shop)
            shop.lock(buyer.id, buyer.by, buyer.shown, at=buyer.at)
            undone, cancelled = run_at_once(
                [
                    retrying(shop.command, buyer.id, Unlock(), buyer.by, fresh_key(), at=buyer.at),
                    retrying(shop.cancel, buyer.id, buyer.by, fresh_key(), at=buyer.at),
                ]
            )
            assert isinstance(cancelled, Outcome)
            assert isinstance(undone, Outcome) or undone is Reason.WRONG_STATE
            buyer.money_is_back_once()


def test_two_undos_at_once_are_one(table: Tables) -> None:
    with on_real_time(table) as shop:
        for _ in range(ROUNDS // 3):
            buyer = Buyer(shop)
            shop.lock(buyer.id, buyer.by, buyer.shown, at=buyer.at)
            undo = [retrying(shop.command, buyer.id, Unlock(), buyer.by, fresh_key(), at=buyer.at) for _ in range(2)]
            results = run_at_once(undo)
            assert Counter(isinstance(result, Outcome) for result in results) == {True: 1, False: 1}
            assert Reason.WRONG_STATE in results
            assert shop.event_types(buyer.id)[3:] == ["lock.confirmed", "lock.undone"]


# Intents.


def test_of_many_intents_at_once_at_most_twenty_are_opened_and_only_the_last_is_open(table: Tables) -> None:
    with on_real_time(table) as shop:
        buyer = Buyer(shop)
        results = run_at_once([retrying(_shown, shop, buyer.id, buyer.by, fresh_key()) for _ in range(MAX_INTENTS + 3)])
        assert sum(isinstance(result, Outcome) for result in results) == MAX_INTENTS - 1
        assert [result for result in results if isinstance(result, Reason)] == [Reason.RATE_LIMITED] * 4
        intents = fold_stored(shop.load(buyer.id)).intents
        assert [intent.n for intent in intents] == list(range(1, MAX_INTENTS + 1))
        assert [intent.state for intent in intents] == ["superseded"] * (MAX_INTENTS - 1) + ["open"]
        later = intents[-1].opened.confirmable_at
        for one in intents[:-1]:
            no = catch_refusal(lambda shown=one.opened: shop.lock(buyer.id, buyer.by, shown, at=later))  # type: ignore[misc]
            assert no.reason is Reason.LOCK_INTENT_INVALID
        assert shop.lock(buyer.id, buyer.by, intents[-1].opened, at=later).deposit.lock is not None


def _shown(shop: Shop, deposit_id: str, by: Caller, key_text: str) -> Outcome:
    """As ``show``, with the whole answer."""
    shop.open_intent(deposit_id, by, key_text)
    return shop.desk.get(deposit_id, shop.request_context(by))


def test_an_intent_whose_answer_was_lost_is_shown_again_and_counts_once(shop: Desk) -> None:
    press = fresh_key()
    shop.faults.lose("UpdateItem")
    assert catch_refusal(lambda: shop.open_intent(shop.id, shop.by, press)).reason is Reason.BUSY
    shop.clock.now += 1
    shown: LockIntentOpened = shop.open_intent(shop.id, shop.by, press)
    assert shown.intent == 2
    assert shown.at == shop.clock.now - 1
    assert len(fold_stored(shop.load(shop.id)).intents) == 2


# The clock.


@pytest.mark.parametrize(("asked", "kept"), [(WINDOW - 1, 0), (WINDOW, EARNEST.minor)])
@pytest.mark.parametrize("written_first", [True, False])
def test_a_cancel_around_the_end_of_the_window_is_judged_by_its_instant_in_either_order(
    shop: Desk, asked: int, kept: int, written_first: bool
) -> None:
    shop.clock.now = T0 + WINDOW + 10_000
    if written_first:
        shop.deposit_worker.process_due(shop.id, "job/1")
        assert shop.event_types(shop.id)[-1] == "lock.by_window_end"
    cancelled = shop.cancel(shop.id, shop.by, at=T0 + asked, received=shop.clock.now - 10_000).deposit
    shop.deposit_worker.process_due(shop.id, "job/2")
    assert cancelled.money.forfeited.minor == kept
    assert fold_stored(shop.load(shop.id)).money.forfeited.minor == kept
    assert shop.event_types(shop.id).count("lock.by_window_end") == (1 if written_first or kept else 0)


@pytest.mark.parametrize(("asked", "done"), [(WINDOW - 1, True), (WINDOW, False)])
def test_a_lock_asked_inside_the_window_is_made_though_its_end_was_written(shop: Desk, asked: int, done: bool) -> None:
    shop.clock.now = T0 + WINDOW - 60_000
    shown = shop.open_intent(shop.id, shop.by)
    shop.clock.now = T0 + WINDOW + 10_000
    shop.deposit_worker.process_due(shop.id, "job/1")
    stamp: dict[str, Any] = {"at": T0 + asked, "received": shop.clock.now - 10_000}
    if done:
        lock = shop.lock(shop.id, shop.by, shown, **stamp).deposit.lock
        assert lock is not None
        assert (lock.by, lock.undo_until) == ("buyer", T0 + asked + HOUR)
    else:
        assert catch_refusal(lambda: shop.lock(shop.id, shop.by, shown, **stamp)).reason is Reason.WRONG_STATE
