"""Deposits in the table: what finds them, what travels with them, and how large they are."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from chalicelib.core.common.instants import LAST_INSTANT
from chalicelib.core.common.journal import Caller, Key
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.claim import ClaimGranted, ClaimOffered, ClaimOpened, ClaimRejected, ClaimWithdrawn
from chalicelib.core.deposit.events.ending import Cancelled, Expired
from chalicelib.core.deposit.events.lock import LockedByWindowEnd
from chalicelib.core.deposit.events.order import Created
from chalicelib.core.deposit.events.payment import (
    PaymentFailed,
    PaymentMethodChanged,
    PaymentNotCounted,
    PaymentPending,
    PaymentSucceeded,
)
from chalicelib.core.deposit.events.refund import (
    RefundApproved,
    RefundLine,
    RefundPending,
    RefundReturned,
    RefundReviewNeeded,
    RefundSent,
    RefundSettled,
    RefundSucceeded,
    RefundUnknown,
)
from chalicelib.core.deposit.fold import KINDS, fold
from chalicelib.flows.ports.effects import LimitCount, Stored, TransactionEffect
from chalicelib.flows.ports.store import DUE_SHARDS, LimitFull, StockShort, VersionConflict
from chalicelib.store.deposits import DepositStore
from chalicelib.store.journals import Journals
from chalicelib.store.requests import key
from tests.conftest import Tables
from tests.store.builders import (
    BUYER,
    DEPOSIT,
    T0,
    any_journal,
    apply_events,
    counted,
    draft,
    entry,
    fresh,
    new_deposit,
    publish_offer,
    read_all_pages,
    shards,
    size,
    take_stock,
    taken_stock,
)

GRACE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 24 * HOUR
WINDOW: Final = 7 * DAY

PAID = PaymentSucceeded(T0 + 1, 1, "cap_1", DEPOSIT, windowed=True, window_ends_at=T0 + 1 + WINDOW)
CANCELLED = Cancelled(T0 + 2, Cause.BUYER_CANCEL, "terms/window", Money.zero("CNY"))
OWED = RefundApproved(
    T0 + 2, 1, Cause.BUYER_CANCEL, DEPOSIT, (RefundLine(LineCode.PAID, DEPOSIT),), T0 + WINDOW, 1, "cap_1"
)


@pytest.fixture
def store(table: Tables) -> DepositStore:
    return DepositStore(table.client, table.name, GRACE)


def create(
    store: DepositStore, *also: TransactionEffect, shard: int = 0, deposit_id: str | None = None, **changes: Any
) -> Any:
    """A new deposit as it is stored."""
    deposit, entries = new_deposit(deposit_id, **changes)
    store.create(deposit, entries, also, shard)
    return load(store, deposit.id)


def load(store: DepositStore, deposit_id: str) -> Stored[DepositEvent]:
    found = store.get(deposit_id)
    assert found is not None
    return found


def add(
    store: DepositStore, stored: Stored[DepositEvent], *events: DepositEvent, also: Sequence[TransactionEffect] = ()
) -> Any:
    """The journal with these events, as it is stored."""
    store.append(stored, [entry(event) for event in events], apply_events(stored, *events), also)
    return load(store, stored.id)


def shard_of(store: DepositStore, deposit_id: str) -> int:
    """Where a new deposit waits for its time."""
    [shard] = [shard for shard in range(DUE_SHARDS) if deposit_id in store.due("time", shard, T0 + DAY, 100).ids]
    return shard


@given(journal=any_journal(sorted(KINDS.values(), key=lambda kind: kind.TYPE)))
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_history_comes_back_as_it_was_written(table: Tables, store: DepositStore, journal: Any) -> None:
    journals: Journals[DepositEvent] = Journals(table.client, table.name, KINDS)
    deposit_id = fresh("dep")
    journals.put(journals.begin_action(deposit_id, journal, {}))
    assert load(store, deposit_id).journal == journal


STORY: Final[list[tuple[tuple[DepositEvent, ...], int | None, str, int | None]]] = [
    # after these events             due at               in      open since
    ((),                             T0 + 900_000 + GRACE, "time", None),
    ((PaymentPending(T0, 1),),       T0 + 900_000 + GRACE, "time", None),
    ((PAID,),                        T0 + 1 + WINDOW,      "time", None),
    ((CANCELLED, OWED),              T0 + 2,               "work", T0 + WINDOW),
    ((RefundSent(T0 + 3, 1),),       T0 + 3 + 60_000,      "work", T0 + WINDOW),
    ((RefundSucceeded(T0 + 4, 1, "sbx"),), T0 + 4 + 3 * DAY, "time", None),
    ((RefundSettled(T0 + 5, 1),),    None,                 "",     None),
    ((RefundReturned(T0 + 6, 1),),   T0 + WINDOW,          "work", T0 + WINDOW),
    ((RefundReviewNeeded(T0 + WINDOW, 1, "promise_missed"),), LAST_INSTANT, "work", T0 + WINDOW),
]  # fmt: skip


def test_a_deposit_enters_and_leaves_the_indexes_with_its_state(store: DepositStore) -> None:
    stored = create(store)
    shard = shard_of(store, stored.id)
    for events, due, queue, promised in STORY:
        stored = add(store, stored, *events) if events else stored
        assert stored.due == due, events
        found = [name for name in ("time", "work") if store.due(name, shard, LAST_INSTANT, 100).ids == [stored.id]]
        assert found == ([queue] if queue else []), events
        waiting = store.open_of("mer_shop", 100, None).rows
        assert [row.id for row in waiting] == ([stored.id] if promised else []), events


def test_a_deposit_stays_in_the_shard_of_its_queue(store: DepositStore) -> None:
    one = create(store)
    shard = shard_of(store, one.id)
    add(store, add(store, one, PAID), CANCELLED, OWED)
    assert store.due("work", shard, T0 + 2, 100).ids == [one.id]
    assert store.due("work", shard, T0 + 1, 100).ids == []


def test_deposits_spread_over_the_queue(store: DepositStore) -> None:
    for number in range(24):
        create(store, at=T0 + number)
    filled = [shard for shard in range(DUE_SHARDS) if store.due("time", shard, T0 + DAY, 100).ids]
    assert len(filled) > DUE_SHARDS // 2


def test_a_buyer_and_an_offer_find_their_deposits_newest_first(store: DepositStore) -> None:
    ids = [create(store, at=T0 + n // 2, shard=n % 3, offer="off_a").id for n in range(7)]
    stranger = create(store, at=T0, offer="off_b", buyer="usr_other").id
    of_buyer = [row.id for row in read_all_pages(lambda at: store.of_buyer(BUYER.id, 2, at))]
    of_offer = [row.id for row in read_all_pages(lambda at: store.of_offer("off_a", 3, 2, at))]
    assert sorted(of_buyer) == sorted(of_offer) == sorted(ids)
    assert of_buyer[0] == of_offer[0] == ids[6]
    assert [row.id for row in store.of_buyer("usr_other", 20, None).rows] == [stranger]
    assert [row.id for row in store.of_offer("off_b", 1, 20, None).rows] == [stranger]


def test_open_refunds_are_listed_the_earliest_promise_first(store: DepositStore) -> None:
    ids = {}
    for promised in (T0 + 3 * DAY, T0 + DAY, T0 + 2 * DAY):
        owed = replace(OWED, promised_by=promised)
        ids[promised] = add(store, create(store), PAID, CANCELLED, owed).id
    add(store, create(store, merchant="mer_other"), PAID, CANCELLED, OWED)
    expected = [ids[promised] for promised in sorted(ids)]
    assert [row.id for row in read_all_pages(lambda at: store.open_of("mer_shop", 2, at))] == expected
    everywhere = [row.id for row in read_all_pages(lambda at: store.open_everywhere(3, at))]
    assert len(everywhere) == len(set(everywhere)) == 4


LOCKED: Final = PaymentSucceeded(T0 + 1, 1, "cap_1", DEPOSIT, windowed=False)


def opened(n: int, due_at: int) -> ClaimOpened:
    """A claim of 1 fen that silence decides then."""
    little = Money(1, "CNY")
    return ClaimOpened(T0 + 2, n, "other", little, False, "digest", due_at, "PT72H", "P7D", little)


DISPUTED: Final[list[tuple[DepositEvent, int | None]]] = [
    # after this event                                        silence decides the first of them at
    (opened(1, T0 + 3 * DAY),                                  T0 + 3 * DAY),
    (opened(2, T0 + 5 * DAY),                                  T0 + 3 * DAY),
    (ClaimOffered(T0 + 3, 1, Money(1, "CNY"), T0 + 4 * DAY),   T0 + 4 * DAY),
    (ClaimRejected(T0 + 4, 2, T0 + 2 * DAY, "digest"),         T0 + 2 * DAY),
    (ClaimGranted(T0 + 2 * DAY, 2, "platform", Money(0, "CNY")), T0 + 4 * DAY),
    (ClaimWithdrawn(T0 + 2 * DAY, 1),                          None),
]  # fmt: skip


def test_a_deposit_is_found_by_its_open_claim_that_is_due_first(table: Tables, store: DepositStore) -> None:
    merchant = fresh("mer")
    stored = add(store, create(store, merchant=merchant), LOCKED)
    for event, due in DISPUTED:
        stored = add(store, stored, event)
        found = [row.id for row in store.claims_of(merchant, 100, None).rows]
        assert found == ([stored.id] if due is not None else []), event
        assert (stored.id in [row.id for row in read_all_pages(lambda at: store.claims_everywhere(100, at))]) == bool(
            found
        )
        item: Any = table.client.get_item(TableName=table.name, Key=key(stored.id))["Item"]
        assert item.get("claim_due") == ({"N": str(due)} if due is not None else None), event


def test_open_claims_are_listed_what_silence_decides_first_at_the_head(store: DepositStore) -> None:
    merchant, ids = fresh("mer"), {}
    for days in (3, 1, 2):
        paid = add(store, create(store, merchant=merchant), LOCKED)
        ids[days] = add(store, paid, opened(1, T0 + days * DAY)).id
    other = add(store, create(store, merchant=fresh("mer")), LOCKED, opened(1, T0 + DAY)).id
    expected = [ids[days] for days in (1, 2, 3)]
    for limit in (1, 2, 100):
        assert [row.id for row in read_all_pages(lambda at: store.claims_of(merchant, limit, at))] == expected  # noqa: B023
        everywhere = [row.id for row in read_all_pages(lambda at: store.claims_everywhere(limit, at))]  # noqa: B023
        assert sorted(everywhere) == sorted([*expected, other])


def test_an_append_under_the_second_best_image_writes_nothing_anywhere(table: Tables, store: DepositStore) -> None:
    offer = publish_offer(table, draft(4))
    stored = create(store, take_stock(offer, 0, 1), offer=offer.id, batch="batch", stock=(taken_stock(0, 1),))
    newer = add(store, stored, PaymentPending(T0, 1))
    with pytest.raises(VersionConflict) as faster:
        add(store, stored, Expired(T0 + 900_000), also=[take_stock(offer, 0, -1)])
    assert faster.value.stored == newer == load(store, stored.id)
    assert shards(table, offer) == [(3, 1, 0, 4)]


def test_a_creation_takes_stock_and_limit_with_it(table: Tables, store: DepositStore) -> None:
    offer = publish_offer(table, draft(4))
    stored = create(store, take_stock(offer, 0, 3), LimitCount(offer.id, BUYER.id, 3, 3))
    assert shards(table, offer) == [(1, 3, 0, 4)]
    assert counted(table, offer.id) == 3
    add(store, stored, Expired(T0 + 900_000), also=[
        take_stock(offer, 0, -3), LimitCount(offer.id, BUYER.id, -3)
    ])  # fmt: skip
    assert shards(table, offer) == [(4, 0, 0, 4)]
    assert counted(table, offer.id) == 0


WHY: Final = [
    # units of a stock of 4, units of a limit of 2 of which 1 is counted, what is said
    (5, 1, StockShort),
    (4, 1, None),
    (1, 2, LimitFull),
]  # fmt: skip


@pytest.mark.parametrize(("units", "counts", "why"), WHY)
def test_a_creation_is_written_with_all_its_effects_or_not_at_all(
    table: Tables, store: DepositStore, units: int, counts: int, why: type[Exception] | None
) -> None:
    offer = publish_offer(table, draft(4))
    create(store, LimitCount(offer.id, BUYER.id, 1, 2))
    also: list[TransactionEffect] = [take_stock(offer, 0, units), LimitCount(offer.id, BUYER.id, counts, 2)]
    deposit_id = fresh("dep")
    with pytest.raises(why) if why else nullcontext():
        create(store, *also, deposit_id=deposit_id)
    assert (store.get(deposit_id) is None) == (why is not None)
    assert shards(table, offer) == ([(4, 0, 0, 4)] if why else [(4 - units, units, 0, 4)])
    assert counted(table, offer.id) == (1 if why else 1 + counts)


def test_the_own_reason_is_read_first(table: Tables, store: DepositStore) -> None:
    offer = publish_offer(table, draft(1))
    also: list[TransactionEffect] = [take_stock(offer, 0, 1), LimitCount(offer.id, BUYER.id, 1, 1)]
    stored = create(store, *also, deposit_id=fresh("dep"))
    deposit, entries = new_deposit(stored.id, at=T0 + 1)  # the last unit and the limit are gone, to ourselves
    with pytest.raises(VersionConflict) as ours:
        store.create(deposit, entries, also, 0)
    assert ours.value.stored == stored


def test_no_transaction_grows_over_thirty_actions(store: DepositStore) -> None:
    deposit, entries = new_deposit()
    with pytest.raises(AssertionError):
        store.create(deposit, entries, [LimitCount("off_1", f"usr_{n}", 1, 1) for n in range(30)], 0)


LIFE: Final[tuple[DepositEvent, ...]] = (
    PaymentPending(T0 + 1, 1),
    PaymentFailed(T0 + 2, 1),
    PaymentMethodChanged(T0 + 3, "alipay"),
    PaymentPending(T0 + 4, 2),
    PaymentNotCounted(T0 + 5, 2, "pay_00000000000000000000000000_2.1", Money(1, "CNY"), Cause.AMOUNT_MISMATCH),
    RefundApproved(
        T0 + 5, 1, Cause.AMOUNT_MISMATCH, Money(1, "CNY"), (RefundLine(LineCode.PAID, Money(1, "CNY")),), T0 + DAY, 2,
        "pay_00000000000000000000000000_2.1",
    ),
    RefundSent(T0 + 6, 1),
    RefundPending(T0 + 7, 1, "sbx_ref_00000000000000000000000000_1.1"),
    RefundSucceeded(T0 + 8, 1, "sbx_ref_00000000000000000000000000_1.1"),
    PaymentSucceeded(T0 + 9, 2, "pay_00000000000000000000000000_2.2", DEPOSIT, windowed=True, window_ends_at=T0 + DAY),
    RefundSettled(T0 + 10, 1),
    LockedByWindowEnd(T0 + DAY),
    Cancelled(T0 + DAY, Cause.BUYER_CANCEL, "CN-2026/forfeit", Money(100, "CNY")),
    RefundApproved(
        T0 + DAY, 2, Cause.BUYER_CANCEL, DEPOSIT - Money(100, "CNY"),
        (RefundLine(LineCode.PAID, DEPOSIT), RefundLine(LineCode.FORFEITED, Money(-100, "CNY"), "CN-2026/forfeit")),
        T0 + WINDOW, 2, "pay_00000000000000000000000000_2.2",
    ),
    RefundSent(T0 + DAY, 2),
    RefundUnknown(T0 + DAY, 2),
    RefundPending(T0 + DAY, 2, "sbx_ref_00000000000000000000000000_2.1"),
    RefundSucceeded(T0 + DAY, 2, "sbx_ref_00000000000000000000000000_2.1"),
    RefundSettled(T0 + 2 * DAY, 2),
)  # fmt: skip


def test_twenty_events_stay_below_four_kilobytes(table: Tables, store: DepositStore) -> None:
    whole: dict[str, Any] = {
        "offer": fresh("off"), "buyer": fresh("usr"), "terms_hash": "sha256:" + "0" * 64, "batch": "01234567",
        "stock": (taken_stock(3, 1),), "limit_units": 1,
    }  # fmt: skip
    deposit, first = new_deposit(fresh("dep"), **whole)
    by = Caller(deposit.created.buyer, "buyer")
    envelope: dict[str, Any] = {"by": by, "key": Key(b"8 bytes.", b"8 bytes!"), "locale": "zh", "received_at": T0 + 99}
    assert fold(deposit.id, [deposit.created, *LIFE]).version == 20
    assert {type(event) for event in LIFE} | {Created} < set(KINDS.values())
    store.create(deposit, [replace(one, **envelope) for one in first], [], 0)
    stored = load(store, deposit.id)
    store.append(stored, [entry(event, **envelope) for event in LIFE], apply_events(stored, *LIFE), [])
    item: Any = table.client.get_item(TableName=table.name, Key=key(deposit.id))["Item"]
    assert len(item["journal"]["L"]) == 20
    assert size(item["journal"]) < 4_096
