"""What a step costs in trips and write units, on the engine that counts as DynamoDB does. Caches are warm."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest

from chalicelib.core.claims.answering import AcceptOffer
from chalicelib.core.common.ids import child
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.money import Money
from chalicelib.core.delivery.fulfilment import Deliver, PayBalance, Ready, Receive, Ship
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.locking.lock import Unlock
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.flows.images import fold_stored
from chalicelib.flows.offers import Offered
from chalicelib.flows.ports.provider import Unknown
from chalicelib.store.requests import key
from tests.conftest import Tables
from tests.flows.shop import DAY, EARNEST, HOUR, MINUTE, PRICE, SKU, FaultyShop, captured, fresh_key, new_buyer
from tests.store.builders import STAFF, size

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
APPEND: Final = ["GetItem", "UpdateItem"]
TOGETHER: Final = "TransactWriteItems"
KB: Final = 1_024
REST: Final = PRICE * 2 - EARNEST


class Till(FaultyShop):
    """A shop whose trips and units are counted; its twin's are not."""

    language = "en"

    def opened(self, **terms: Any) -> Offered:
        return self.fill_caches(self.publish(**terms))

    def cost(self, act: Callable[[], object]) -> tuple[list[str], float]:
        return self.faults.measure(act)

    def moved(self, act: Callable[[], object]) -> float:
        """The units that the day's index alone took."""
        faults = self.faults
        before = len(faults.indexes)
        act()
        return sum(units for name, units in faults.indexes[before:] if name == "moved")

    def item(self, deposit_id: str) -> dict[str, Any]:
        found: Any = self.table.client.get_item(TableName=self.table.name, Key=key(deposit_id), ConsistentRead=True)
        return dict(found["Item"])

    def kilobytes(self, deposit_id: str) -> int:
        """What an append is charged for: names and values. What a map adds around its members an item does not have."""
        item = self.item(deposit_id)
        return -(-sum(len(name) + size(value) for name, value in item.items()) // KB)


@pytest.fixture
def till(table: Tables) -> Iterator[Till]:
    with Till.open(table) as till:
        yield till


def test_a_creation_with_nothing_counted_is_one_trip(till: Till) -> None:
    offered = till.opened(units=None)
    trips, units = till.cost(lambda: till.order(offered, new_buyer()))
    assert trips == ["PutItem"]
    assert units == 4  # the item, and three indexes: by buyer, by offer, due


def test_a_creation_with_one_shard_and_one_limit_is_one_trip(till: Till) -> None:
    offered = till.opened(units=37, per_buyer=5)
    trips, units = till.cost(lambda: till.order(offered, new_buyer()))
    assert trips == [TOGETHER]
    assert units <= 12


def test_each_further_action_of_a_creation_costs_two_more(till: Till) -> None:
    offered = till.opened(units=37, per_buyer=100)
    _, one_shard = till.cost(lambda: till.order(offered, new_buyer()))
    till.stock_cache.read(offered.offer, till.offers, till.timing.now())
    trips, two_shards = till.cost(lambda: till.order(offered, new_buyer(), quantity=12))
    assert trips == [TOGETHER]
    assert two_shards == one_shard + 2


def test_an_order_with_a_pass_is_a_look_at_it_and_one_write(till: Till) -> None:
    """Over an order without a pass: the other journal, which notes the use, twice; and a due time that goes."""
    by = new_buyer()
    held = till.second_shop.create_pass(by)
    origin = f"dep_{held[4:30]}"
    offered = till.opened(units=16, priority={"reserved": {SKU: 8}})
    trips, plain = till.cost(lambda: till.order(offered, new_buyer()))
    assert trips == [TOGETHER]
    trips, with_pass = till.cost(lambda: till.order(offered, by, priority_pass=held))
    assert trips == ["GetItem", TOGETHER]
    assert with_pass == plain + 2 * till.kilobytes(origin) + 1
    assert with_pass <= 12


def test_a_merchants_cancellation_is_two_trips_the_count_of_it_included(till: Till) -> None:
    by = new_buyer()
    one = till.order(till.opened(units=37, per_buyer=5), by).deposit.id
    trips, units = till.cost(lambda: till.merchant_cancel(one))
    assert trips == ["GetItem", TOGETHER]
    assert units <= 12


def test_a_claim_is_four_trips_and_each_answer_three(till: Till) -> None:
    """Opened: the deposit, the key, one write, and what was written to it.

    The write is the deposit, its key and its words, each twice over, and three indexes that it enters.
    """
    by = new_buyer()
    terms: Any = {"preset": "su7_founders_2024", "payment": {"take": "full", "nature": "advance"}}
    one = till.order(till.opened(units=None, lock={"undo": None}, **terms), by).deposit.id
    till.pay(one, amount=PRICE)
    trips, units = till.cost(lambda: till.claim(one, by, amount=EARNEST))
    assert trips == ["GetItem", "GetItem", TOGETHER, "BatchGetItem"]
    assert units == 2 * till.kilobytes(one) + 2 + 2 + 3
    claim = child("clm", one, 1)
    steps: list[tuple[Callable[[], object], int]] = [
        (lambda: till.respond(claim, "offer", EARNEST), 3 * 2),  # the due time moves in three indexes
        (
            lambda: till.run_claim_command(claim, AcceptOffer(1), by),
            2 + 3,
        ),  # leaves two of them, and is as due as after a cancel
    ]
    for step, indexes in steps:
        trips, units = till.cost(step)
        assert (trips, units) == ([*APPEND, "BatchGetItem"], till.kilobytes(one) + indexes)
    assert till.cost(lambda: till.claims.find(claim, till.request_context(by))) == (["GetItem", "BatchGetItem"], 0)


Step = Callable[[Till, str, Caller], object]


def seen(status: Any, **more: Any) -> Step:
    """The provider's word on the first refund."""

    def step(till: Till, deposit_id: str, _: Caller) -> object:
        till.clock.now += 1
        said = RefundSeen(1, status, EARNEST, f"sbx_{deposit_id}.1", till.clock.now, **more)
        return till.deposit_worker.settle(deposit_id, said, "job/1")

    return step


def sent(till: Till, deposit_id: str, _: Caller) -> object:
    """The refund goes out, and no answer comes."""
    till.clock.now += 1
    return till.deposit_worker.process_due(deposit_id, "job/1")


STEPS: Final[list[tuple[str, Step, int]]] = [
    # a step of an order without stock and limits; what it costs over the item's size: due moves 2, open or due turns 1,
    # money that moves is one more: its deposit enters the day's index, or what that shows of it changes
    ("pays another way", lambda till, one, by: till.command(one, ChangePaymentMethod("alipay"), by), 0),
    ("pending",          lambda till, one, _: till.deposit_worker.settle(one, PaymentSeen(2, "pending"), "t"), 0),
    ("paid",             lambda till, one, _: till.pay(one, payment=2), 3),
    ("cancelled",        lambda till, one, by: till.cancel(one, by), 3),
    ("sent",             sent, 2),
    ("pending at bank",  seen("pending"), 2),
    ("back",             seen("succeeded"), 4),
    ("settled",          seen("succeeded", settled=True), 2),
]  # fmt: skip


def test_an_append_is_two_trips_and_costs_its_item_and_the_indexes_that_move(till: Till) -> None:
    by = new_buyer()
    deposit_id = till.order(till.opened(units=None), by).deposit.id
    for name, step, indexes in STEPS:
        trips, units = till.cost(partial(step, till, deposit_id, by))
        kilobytes = till.kilobytes(deposit_id)
        if step is sent:  # looks, writes ``sent`` and, without an answer, ``unknown``: whose due time is the same
            assert (trips.count("UpdateItem"), units) == (2, 2 * kilobytes + indexes), name
        else:
            assert (trips, units) == (APPEND, kilobytes + indexes), name


def later(ms: int, step: Step) -> Step:
    def waited(till: Till, deposit_id: str, by: Caller) -> object:
        till.clock.now += ms
        return step(till, deposit_id, by)

    return waited


NEXT_DAY: Final[list[tuple[str, Step, int]]] = [
    # a step of an order, the day's index counted alone: 1 where a deposit enters it or shows something else there,
    # 2 where its latest money moved on another day than before
    ("paid",        lambda till, one, _: till.pay(one), 1),
    ("cancelled",   lambda till, one, by: till.cancel(one, by), 0),
    ("sent",        sent, 0),
    ("back",        later(DAY, seen("succeeded")), 2),
    ("settled",     later(DAY, seen("succeeded", settled=True)), 1),
    ("came again",  lambda till, one, _: till.pay(one, amount=Money(100, "CNY"), payment=1, ref="more"), 2),
    ("and again",   lambda till, one, _: till.pay(one, amount=Money(100, "CNY"), payment=1, ref="most"), 1),
]  # fmt: skip


def test_money_that_moves_on_another_day_leaves_one_day_of_the_index_and_enters_another(till: Till) -> None:
    by = new_buyer()
    deposit_id = till.order(till.opened(units=None), by).deposit.id
    for name, step, units in NEXT_DAY:
        assert till.moved(partial(step, till, deposit_id, by)) == units, name


def shown(till: Till, one: str, by: Caller) -> object:
    return till.open_intent(one, by, language=till.language)


def locked(till: Till, one: str, by: Caller) -> object:
    """By the latest intent, which the till knows as a storefront does."""
    intent = fold_stored(till.second_shop.load(one)).intents[-1].opened
    return till.lock(one, by, intent)


LOCK_LIFE: Final[list[tuple[str, Step, int]]] = [
    # a step of a locked order without stock and limits; what it costs over the item's size: 2 where due moves, 1 where
    # it goes or comes. Between the reminders the due time stands; a lock is due when its undo ends. Captured money is
    # one more, in the day's index
    ("pending",           lambda till, one, _: till.deposit_worker.settle(one, PaymentSeen(1, "pending"), "t"), 0),
    ("paid",              lambda till, one, _: till.pay(one), 3),
    ("shown",             shown, 0),
    ("another car",       lambda till, one, by: till.change_items(one, by, (SKU, 2)), 0),
    ("shown again",       shown, 0),
    ("locked",            later(10_000, locked), 2),
    ("undone",            later(MINUTE, lambda till, one, by: till.command(one, Unlock(), by)), 2),
    ("shown once more",   shown, 0),
    ("locked again",      later(10_000, locked), 2),
    ("final",             later(HOUR, lambda till, one, _: till.deposit_worker.process_due(one, "job/1")), 1),
    ("ready",             lambda till, one, _: till.command(one, Ready((1,), till.clock.now, ("photo:1",)), STAFF), 1),
    ("balance opened",    lambda till, one, by: till.command(one, PayBalance("card"), by), 2),
    ("balance paid",      lambda till, one, _: till.pay(one, amount=REST, payment=2), 2),
    ("a part shipped",    lambda till, one, _: till.command(one, Ship((Units(1, 1),)), STAFF), 0),
    ("arrived",           lambda till, one, _: till.command(one, delivered(till), STAFF), 0),
    ("the rest shipped",  lambda till, one, _: till.command(one, Ship((Units(1, 1),)), STAFF), 0),
    ("arrived too",       lambda till, one, _: till.command(one, delivered(till), STAFF), 0),
    ("received",          lambda till, one, by: till.command(one, Receive(), by), 0),
]  # fmt: skip


def delivered(till: Till) -> Deliver:
    return Deliver((Units(1, 0),), till.clock.now, ("scan:1",))


def test_each_step_of_a_lock_is_two_trips_and_costs_its_item_and_the_due_time_where_it_moves(till: Till) -> None:
    by = new_buyer()
    deposit_id = till.order(till.opened(units=None), by).deposit.id
    for name, step, indexes in LOCK_LIFE:
        trips, units = till.cost(partial(step, till, deposit_id, by))
        kilobytes = till.kilobytes(deposit_id)
        reads = ["GetItem"] * (len(trips) - len(APPEND))  # the job looks more often than once
        assert (trips, units) == ([*reads, *APPEND], kilobytes + indexes), name


def test_a_look_that_learns_nothing_is_one_touch(till: Till) -> None:
    by = new_buyer()
    deposit_id = till.order(till.opened(units=None), by).deposit.id
    till.pay(deposit_id)
    till.cancel(deposit_id, by)
    till.deposit_worker.process_due(deposit_id, "job/1")
    till.provider.refunds[f"ref_{deposit_id[4:]}_1"] = Unknown()
    before = till.load(deposit_id)
    till.clock.now += 2 * MINUTE
    trips, _ = till.cost(lambda: till.deposit_worker.process_due(deposit_id, "job/2"))
    assert trips.count("UpdateItem") == 1
    assert till.load(deposit_id).journal == before.journal


def test_a_life_of_twenty_events_costs_at_most_120_units(till: Till) -> None:
    """Reads included: an item below 4 kB is read for one unit."""
    offered = till.opened(units=37, per_buyer=5)
    by = new_buyer()
    faults = till.faults
    faults.units.clear()
    _life(till, offered, by)
    assert faults.total_units() <= 120
    [row] = till.second_shop.store.of_buyer(by.id, 20, None).rows
    assert row.version == 20


def _life(till: Till, offered: Offered, by: Caller) -> None:
    one = till.order(offered, by).deposit.id
    little = Money(100, "CNY")

    def refunded(n: int, amount: Money, *, answered: bool) -> None:
        """Sent, answered or not, pending, succeeded; each news comes by the provider's event."""
        ref = f"ref_{one[4:]}_{n}"
        till.clock.now += 1
        if answered:
            till.provider.refunds[ref] = RefundSeen(n, "pending", amount, f"sbx_{ref}", till.clock.now)
        till.deposit_worker.process_due(one, "job/1")
        for status in ("pending", "succeeded"):
            till.clock.now += 1
            till.provider.refunds[ref] = RefundSeen(n, status, amount, f"sbx_{ref}", till.clock.now)
            till.deposit_worker.handle_provider_event(ref, "event/1")

    def settled(n: int, amount: Money) -> None:
        ref = f"ref_{one[4:]}_{n}"
        till.clock.now += 3 * DAY
        till.provider.refunds[ref] = RefundSeen(n, "succeeded", amount, f"sbx_{ref}", till.clock.now, settled=True)
        till.deposit_worker.process_due(one, "job/2")

    for news in (PaymentSeen(1, "pending"), PaymentSeen(1, "failed")):
        till.deposit_worker.settle(one, news, "event/1")
    till.command(one, ChangePaymentMethod("alipay"), by)
    till.command(one, ChangePaymentMethod("wechat_pay"), by)
    till.deposit_worker.settle(one, PaymentSeen(3, "pending"), "event/2")
    till.deposit_worker.settle(one, captured(till.clock.now, little, 3, "little"), "event/3")
    refunded(1, little, answered=True)
    till.pay(one, payment=3)
    settled(1, little)
    till.cancel(one, by)
    refunded(2, EARNEST, answered=False)
    settled(2, EARNEST)


@pytest.mark.real_engine
@pytest.mark.parametrize("language", ["en", "id", "zh"])
def test_twenty_events_with_two_locks_and_a_change_cost_at_most_120_units(till: Till, language: str) -> None:
    """Every step of a lock with a counted car and a limit, reads included."""
    offered = till.opened(units=37, per_buyer=5)
    by = new_buyer()
    till.language = language
    faults = till.faults
    faults.units.clear()
    one = till.order(offered, by).deposit.id
    for _, step, _ in LOCK_LIFE:
        step(till, one, by)
    assert faults.total_units() <= 120
    assert till.event_types(one)[-1] == "goods.received"
    assert till.load(one).version == 20


def test_a_read_is_one_trip_and_a_list_of_twenty_two(till: Till) -> None:
    offered = till.opened(units=None)
    by = new_buyer()
    ids = [till.order(offered, by).deposit.id for _ in range(21)]
    assert till.cost(lambda: till.desk.get(ids[0], till.request_context(by))) == (["GetItem"], 0)

    def listed() -> None:
        found, position = till.desk.list_deposits(
            till.request_context(by), offer=None, status=None, limit=20, position=None
        )
        assert len(found) == 20
        assert position is not None

    assert till.cost(listed) == (["Query", "BatchGetItem"], 0)


def test_a_replay_is_one_trip_and_two_after_a_lost_race(till: Till) -> None:
    offered = till.opened(units=37, per_buyer=5)
    by = new_buyer()
    again, press = fresh_key(), fresh_key()
    deposit_id = till.order(offered, by, again).deposit.id
    till.clock.now += 1
    assert till.cost(lambda: till.order(offered, by, again))[0] == [TOGETHER]

    def faster() -> None:
        till.clock.now += 1
        till.second_shop.cancel(deposit_id, by, press)

    till.faults.before("TransactWriteItems", faster)
    assert till.cost(lambda: till.cancel(deposit_id, by, press))[0] == ["GetItem", TOGETHER]
    assert till.cost(lambda: till.cancel(deposit_id, by, press))[0] == ["GetItem"]
    assert till.event_types(deposit_id).count("deposit.cancelled") == 1
