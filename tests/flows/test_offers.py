"""Offers as merchants use them: published once, closed once, and stock that is never below what is sold."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Reason
from chalicelib.core.selling.offer import Available
from chalicelib.flows.offers import Offered
from tests.conftest import Tables
from tests.flows.shop import SKU, FaultyShop, catch_refusal, fresh_key, new_buyer
from tests.store.builders import STAFF, T0, shards

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
COLLEAGUE: Final = Caller("usr_colleague", "merchant", "mer_shop")
RIVAL: Final = Caller("usr_rival", "merchant", "mer_rival")
CONFLICT: Final[dict[str, Any]] = {
    "code": "TransactionCanceledException",
    "reasons": ["None", "TransactionConflict", "None", "None", "None"],
}


class Counter(FaultyShop):
    """A merchant at work."""

    def close(self, offered: Offered, key_text: str | None = None, by: Caller = STAFF, **changes: Any) -> Offered:
        offer_id = offered.offer.id
        return self.catalogue.close(offer_id, self.request_context(by, "close", key_text or fresh_key(), **changes))

    def change(self, offered: Offered, units: int, key_text: str | None = None, by: Caller = STAFF) -> Offered:
        asked = self.request_context(by, "stock", key_text or fresh_key(), f"{units}")
        return self.catalogue.change_stock(offered.offer.id, SKU, units, asked)


@pytest.fixture
def shop(table: Tables) -> Iterator[Counter]:
    with Counter.open(table) as shop:
        yield shop


def units(offered: Offered) -> int:
    [one] = offered.available
    assert one.sku == SKU
    return one.units


def test_the_same_key_publishes_once(shop: Counter) -> None:
    press = fresh_key()
    first = shop.publish(units=37, key_text=press)
    shop.order(first, new_buyer())
    shop.clock.now += 1
    again = shop.publish(units=37, key_text=press)
    assert again == replace(first, replayed=True)
    assert sum(left for left, *_ in shards(shop.table, first.offer)) == 36


@pytest.mark.parametrize(("units", "title"), [(38, "SU7"), (37, "Another")])
def test_the_same_key_with_another_body_is_refused_and_shares_no_stock(shop: Counter, units: int, title: str) -> None:
    press = fresh_key()
    first = shop.publish(units=37, key_text=press)
    no = catch_refusal(lambda: shop.publish(units=units, key_text=press, title=title))
    assert no.reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert [total for *_, total in shards(shop.table, first.offer)] == [10, 9, 9, 9]


def test_a_publication_whose_answer_was_lost_is_there(shop: Counter) -> None:
    press = fresh_key()
    shop.faults.lose("PutItem", times=2)
    assert catch_refusal(lambda: shop.publish(key_text=press)).reason is Reason.BUSY, "the terms"
    assert catch_refusal(lambda: shop.publish(key_text=press)).reason is Reason.BUSY, "the terms again"
    assert not shop.publish(key_text=press).replayed
    assert shop.publish(key_text=press).replayed


def test_a_publication_that_meets_its_own_double_tap_is_not_a_fault(shop: Counter) -> None:
    faults = shop.faults
    faults.fail("TransactWriteItems", **CONFLICT)
    offered = shop.publish(units=37)
    assert [left for left, *_ in shards(shop.table, offered.offer)] == [10, 9, 9, 9]
    assert len(shop.clock.pauses) == 1


def test_a_publication_that_meets_conflicts_without_end_is_busy(shop: Counter) -> None:
    shop.faults.fail("TransactWriteItems", **CONFLICT, times=99)
    assert catch_refusal(lambda: shop.publish(units=37)).reason is Reason.BUSY


@pytest.mark.parametrize(("age", "written"), [(30_000, True), (30_001, False)])
def test_a_publication_older_than_thirty_seconds_writes_nothing(shop: Counter, age: int, written: bool) -> None:
    asked = shop.request_context(STAFF, "publish", "old")
    shop.clock.now += age
    item = {"sku": SKU, "name": "SU7", "price": {"amount": "299900", "currency": "CNY"}, "stock": None}
    body = {"title": "SU7", "market": "CN", "preset": "su7_2024", "items": [item]}
    if written:
        assert shop.catalogue.publish(body, asked).offer.version == 1
    else:
        assert catch_refusal(lambda: shop.catalogue.publish(body, asked)).reason is Reason.BUSY
    found, _ = shop.catalogue.list_offers(shop.request_context(STAFF), 20, None)
    assert len(found) == written


def test_a_closed_offer_sells_nothing_and_closes_once(shop: Counter) -> None:
    offered = shop.publish(units=37)
    press = fresh_key()
    closed = shop.close(offered, press)
    assert catch_refusal(lambda: shop.order(offered, new_buyer())).reason is Reason.OFFER_NOT_OPEN
    assert shop.close(offered, press) == replace(closed, replayed=True)
    no = catch_refusal(lambda: shop.close(offered))
    assert (no.reason, no.facts) == (Reason.WRONG_STATE, {"state": "closed"})


@pytest.mark.parametrize(("later", "sells"), [(999, True), (1_000, False)])
def test_another_container_hears_of_a_close_within_a_second(shop: Counter, later: int, sells: bool) -> None:
    offered = shop.publish(units=37)
    shop.fill_caches(offered)
    shop.second_shop.catalogue.close(offered.offer.id, shop.request_context(STAFF, "close", fresh_key()))
    shop.clock.now += later
    if sells:
        assert shop.order(offered, new_buyer()).deposit.version == 1
    else:
        assert catch_refusal(lambda: shop.order(offered, new_buyer())).reason is Reason.OFFER_NOT_OPEN


CHANGES: Final = [
    # 7 of 37 are sold: the change, and what is available then; None is refused
    (1, 31), (100, 130), (-1, 29), (-30, 0), (-31, None), (-1_000, None),
]  # fmt: skip


@pytest.mark.parametrize(("change", "left"), CHANGES)
def test_stock_is_never_below_what_is_sold(shop: Counter, change: int, left: int | None) -> None:
    offered = shop.publish(units=37)
    shop.order(offered, new_buyer(), quantity=7)
    if left is None:
        no = catch_refusal(lambda: shop.change(offered, change))
        assert [(fault.pointer, fault.why) for fault in no.faults] == [("/change", "below_sold")]
    else:
        assert units(shop.change(offered, change)) == left
    now = shards(shop.table, offered.offer)
    assert sum(shard[0] for shard in now) == (30 if left is None else left)
    assert sum(shard[1] for shard in now) == 7


def test_a_change_is_made_once_and_shows_the_same_when_it_is_replayed(shop: Counter) -> None:
    offered = shop.publish(units=37)
    press = fresh_key()
    first = shop.change(offered, 5, press)
    shop.order(offered, new_buyer())
    shop.clock.now += 1
    assert shop.change(offered, 5, press) == replace(first, replayed=True)
    assert units(first) == 42
    assert catch_refusal(lambda: shop.change(offered, 6, press)).reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert sum(total for *_, total in shards(shop.table, offered.offer)) == 42


def test_a_change_that_was_overtaken_is_decided_again_on_what_is_left_now(shop: Counter) -> None:
    offered = shop.publish(units=37)
    faults = shop.faults
    faults.before("TransactWriteItems", lambda: shop.second_shop.order(offered, new_buyer(), quantity=30))
    no = catch_refusal(lambda: shop.change(offered, -10))
    assert [(fault.pointer, fault.why) for fault in no.faults] == [("/change", "below_sold")]
    assert sum(left for left, *_ in shards(shop.table, offered.offer)) == 7
    assert len(shop.clock.pauses) == 1


def test_of_two_changes_at_once_both_are_made(shop: Counter) -> None:
    offered = shop.publish(units=37)
    faults = shop.faults
    asked = shop.request_context(STAFF, "stock", fresh_key(), "2")
    faults.before(
        "TransactWriteItems", lambda: shop.second_shop.catalogue.change_stock(offered.offer.id, SKU, 2, asked)
    )
    after = shop.change(offered, 3)
    assert (units(after), after.offer.version) == (42, 3)
    assert after.offer.stock[0].units == 42
    assert shop.clock.pauses == []


def test_a_lost_answer_of_a_change_is_found_again(shop: Counter) -> None:
    offered = shop.publish(units=37)
    press = fresh_key()
    shop.faults.lose("TransactWriteItems")
    assert catch_refusal(lambda: shop.change(offered, 5, press)).reason is Reason.BUSY
    assert shop.change(offered, 5, press).replayed
    assert sum(total for *_, total in shards(shop.table, offered.offer)) == 42


@pytest.mark.parametrize("fault", ["conflict", "throttle"])
def test_a_change_that_meets_a_conflict_waits_and_one_that_is_throttled_is_busy(shop: Counter, fault: str) -> None:
    offered = shop.publish(units=37)
    if fault == "conflict":
        shop.faults.fail("TransactWriteItems", **CONFLICT)
        assert units(shop.change(offered, 5)) == 42
        assert len(shop.clock.pauses) == 1
    else:
        shop.faults.fail("TransactWriteItems", "ThrottlingException")
        assert catch_refusal(lambda: shop.change(offered, 5)).reason is Reason.BUSY


def test_a_merchants_staff_see_their_own_offers_and_nobody_elses(shop: Counter) -> None:
    offered = shop.publish(units=37)
    press = fresh_key()
    shop.change(offered, 1, press)
    assert shop.change(offered, 1, by=COLLEAGUE).offer.version == 3
    assert catch_refusal(lambda: shop.change(offered, 1, press, RIVAL)).reason is Reason.NOT_FOUND
    assert catch_refusal(lambda: shop.close(offered, by=RIVAL)).reason is Reason.NOT_FOUND
    assert catch_refusal(lambda: shop.catalogue.load("off_1")).reason is Reason.NOT_FOUND


@pytest.mark.parametrize(
    ("match", "taken"), [('"1-open"', True), ("*", True), ('"2-open"', False), ('"1-closed"', False)]
)
def test_a_change_of_another_version_is_stale(shop: Counter, match: str, taken: bool) -> None:
    offered = shop.publish(units=37)
    if taken:
        assert shop.close(offered, if_match=match).offer.closed
    else:
        no = catch_refusal(lambda: shop.close(offered, if_match=match))
        assert (no.reason, no.facts) == (Reason.STALE_VERSION, {"etag": '"1-open"'})


def test_reading_shows_what_is_available_now(shop: Counter) -> None:
    offered = shop.publish(units=37)
    shop.order(offered, new_buyer(), quantity=30)
    asked = shop.request_context(new_buyer())
    assert shop.catalogue.get(offered.offer.id, asked).available == (Available(SKU, 7),)
    [one], position = shop.catalogue.list_offers(asked, 20, None)
    assert (one.offer.id, one.available, position) == (offered.offer.id, (Available(SKU, 7),), None)


def test_an_offer_is_read_once_a_second_for_all_its_buyers(shop: Counter) -> None:
    offered = shop.fill_caches(shop.publish(units=None))
    faults = shop.faults
    for _ in range(3):
        shop.order(offered, new_buyer())
    assert faults.trips == ["PutItem"] * 3
    assert shop.clock.now == T0
