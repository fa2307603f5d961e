"""What merchants cancel: units and limits afterwards, the public count, questions, and many at once by two people."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

import pytest

from chalicelib.core.common.ids import child
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.merchant.bulk import Bulk
from chalicelib.flows.cancellations import CHUNK_DEPOSITS, BulkView
from chalicelib.flows.images import fold_stored
from chalicelib.flows.offers import Offered
from chalicelib.flows.ports.store import VersionConflict, WriteContention
from chalicelib.flows.snapshot import Outcome
from tests.conftest import Tables
from tests.flows.concurrency import run_at_once
from tests.flows.shop import (
    DAY,
    HOUR,
    MINUTE,
    REAL,
    FaultyShop,
    Shop,
    catch_refusal,
    fresh_key,
    new_buyer,
    rendered_state,
    retry_while_busy,
)
from tests.store.builders import STAFF, T0, counted, fresh, shards
from tests.store.faults import FaultInjector, inject_faults

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
TOGETHER: Final = "TransactWriteItems"
SECOND: Final = Caller("usr_00000000000000000000000003", "merchant", "mer_shop")
STRANGER: Final = Caller("usr_00000000000000000000000004", "merchant", "mer_other")
EVIDENCE: Final = ("record:1", "record:2")


class Desk(FaultyShop):
    """A merchant's own desk, with one offer of ten units in one shard."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.offered = self.fill_caches(self.publish(units=10, per_buyer=3))

    def sold(self, count: int = 1, offered: Offered | None = None) -> list[str]:
        """Deposits of as many buyers; they are not paid yet."""
        return [self.order(offered or self.offered, new_buyer()).deposit.id for _ in range(count)]

    def units(self) -> list[tuple[int, int, int, int]]:
        return shards(self.table, self.offered.offer)

    def tally(self, offered: Offered | None = None) -> dict[tuple[str, str], int]:
        return dict(self.second_shop.cancellations.count_cancellations((offered or self.offered).offer.id))

    def start(
        self, deposits: list[str], reason: str = "OUT_OF_STOCK", key_text: str | None = None, by: Caller = STAFF
    ) -> BulkView:
        offer_id = self.offered.offer.id
        asked = self.request_context(by, f"bulk {offer_id}", key_text or fresh_key(), f"{deposits} {reason}")
        return self.cancellations.start(offer_id, deposits, reason, EVIDENCE, None, asked)

    def approve(self, bulk_id: str, by: Caller = SECOND, key_text: str | None = None) -> BulkView:
        asked = self.request_context(by, f"approve {bulk_id}", key_text or fresh_key())
        return self.cancellations.approve(self.offered.offer.id, bulk_id, asked)

    def find(self, bulk_id: str, by: Caller = STAFF) -> Bulk:
        return self.second_shop.cancellations.find(self.offered.offer.id, bulk_id, self.request_context(by)).bulk

    def work(self, bulk_id: str, most: int = 50) -> None:
        """As sweeps do: whatever goes wrong, the next run goes on."""
        for _ in range(most):
            with suppress(VersionConflict, WriteContention, Refused):
                self.cancellations.process_due(bulk_id, "job/1")
            if self.find(bulk_id).due is None:
                return
        raise AssertionError("it never comes to rest")


@pytest.fixture
def desk(table: Tables) -> Iterator[Desk]:
    with Desk.open(table) as desk:
        yield desk


# --- One by itself ---


@pytest.mark.parametrize(
    ("reason", "stays"),
    [("LIMIT_ACCOUNT", 2), ("LIMIT_IDENTITY", 2), ("LIMIT_PAYMENT", 2), ("LIMIT_ADDRESS", 2), ("BOT_AUTOMATION", 2),
     ("RESALE_LISTING", 2), ("PAYMENT_FRAUD", 2), ("OUT_OF_STOCK", 0), ("QUEUE_BYPASS", 0), ("FORCE_MAJEURE", 0)],
)  # fmt: skip
def test_units_come_back_to_their_shard_and_the_limit_unless_the_reason_is_the_buyers(
    desk: Desk, reason: str, stays: int
) -> None:
    by = new_buyer()
    one = desk.order(desk.offered, by, quantity=2).deposit.id
    assert (desk.units(), counted(desk.table, desk.offered.offer.id, by.id)) == ([(8, 2, 0, 10)], 2)
    desk.merchant_cancel(one, reason)
    assert (desk.units(), counted(desk.table, desk.offered.offer.id, by.id)) == ([(10, 0, 0, 10)], stays)
    assert desk.tally() == {("cancelled", reason): 1}


def test_units_of_several_shards_come_back_to_each(desk: Desk) -> None:
    wide = desk.publish(units=37)
    one = desk.order(wide, new_buyer(), quantity=35).deposit
    before = [total for *_, total in shards(desk.table, wide.offer)]
    assert len(one.stock) == 4
    desk.merchant_cancel(one.id)
    assert shards(desk.table, wide.offer) == [(total, 0, 0, total) for total in before]


def test_a_buyer_whose_units_go_on_counting_has_no_more_room_than_before(desk: Desk) -> None:
    by = new_buyer()
    desk.merchant_cancel(desk.order(desk.offered, by, quantity=3).deposit.id, "LIMIT_ADDRESS")
    assert catch_refusal(lambda: desk.order(desk.offered, by)).reason is Reason.LIMIT_REACHED
    other = new_buyer()
    desk.merchant_cancel(desk.order(desk.offered, other, quantity=3).deposit.id, "SYSTEM_ERROR")
    assert desk.order(desk.offered, other, quantity=3).deposit.limit_units == 3


def test_the_same_key_cancels_and_counts_once(desk: Desk) -> None:
    [one] = desk.sold()
    press = fresh_key()
    first = desk.merchant_cancel(one, key_text=press)
    desk.clock.now += MINUTE
    again = desk.merchant_cancel(one, key_text=press)
    assert again.replayed
    assert rendered_state(again) == rendered_state(first)
    assert catch_refusal(lambda: desk.merchant_cancel(one)).reason is Reason.ALREADY_CANCELLED
    assert (desk.tally(), desk.units()) == ({("cancelled", "OUT_OF_STOCK"): 1}, [(10, 0, 0, 10)])


@pytest.mark.parametrize("throttled", [False, True])
def test_a_lost_answer_counts_once(desk: Desk, throttled: bool) -> None:
    [one] = desk.sold()
    press = fresh_key()
    faults = desk.faults
    faults.lose(TOGETHER)
    if throttled:
        faults.fail("GetItem", "ThrottlingException")
    ended = retry_while_busy(lambda: desk.merchant_cancel(one, key_text=press))
    assert isinstance(ended, Outcome)
    assert ended.replayed
    assert (desk.tally(), desk.units()) == ({("cancelled", "OUT_OF_STOCK"): 1}, [(10, 0, 0, 10)])
    assert desk.event_types(one) == ["deposit.created", "deposit.cancelled", "priority_pass.granted"]


def test_the_count_is_of_each_offer_and_reason_and_never_of_buyers(desk: Desk) -> None:
    other = desk.publish(units=None)
    for taken in desk.sold(2):
        desk.merchant_cancel(taken)
    [third] = desk.sold()
    desk.merchant_cancel(third, "REGULATORY")
    [elsewhere] = desk.sold(1, other)
    desk.merchant_cancel(elsewhere)
    by = new_buyer()
    desk.cancel(desk.order(desk.offered, by).deposit.id, by)
    assert desk.tally() == {("cancelled", "OUT_OF_STOCK"): 2, ("cancelled", "REGULATORY"): 1}
    assert desk.tally(other) == {("cancelled", "OUT_OF_STOCK"): 1}
    assert catch_refusal(lambda: desk.cancellations.count_cancellations("off_1")).reason is Reason.NOT_FOUND


def test_another_merchant_finds_nothing_to_cancel(desk: Desk) -> None:
    [one] = desk.sold()
    assert catch_refusal(lambda: desk.merchant_cancel(one, by=STRANGER)).reason is Reason.NOT_FOUND
    assert desk.tally() == {}


def test_a_note_is_sealed_beside_the_journal(desk: Desk) -> None:
    [one] = desk.sold()
    note = "the warehouse burned down last night"
    desk.cancellations.cancel(
        one, "FORCE_MAJEURE", EVIDENCE, note, desk.request_context(STAFF, "cancel", fresh_key(), "note")
    )
    ended = fold_stored(desk.load(one)).cancelled
    assert ended is not None
    assert ended.note == desk.vault.fingerprint(note.encode())
    sealed = desk.texts.get(f"text#{one}#cancelled1")
    assert sealed is not None
    assert desk.vault.unseal(f"text#{one}#cancelled1", sealed).decode() == note
    assert note not in str(desk.table.client.scan(TableName=desk.table.name)["Items"])


# --- Questions ---


def test_a_question_and_its_answer_are_read_again(desk: Desk) -> None:
    by = new_buyer()
    one = desk.order(desk.offered, by).deposit.id
    desk.pay(one)
    question_id = child("qst", one, 1)
    press = fresh_key()
    for replayed in (False, True):
        outcome, question, words = desk.questions.ask(
            one, "address", "Which street?", desk.request_context(STAFF, "q", press, "q")
        )
        assert (question.asked.due_at, words.asked, words.answered) == (T0 + 48 * HOUR, "Which street?", None)
        assert outcome.replayed is replayed
    desk.clock.now += DAY
    desk.questions.answer(question_id, "Long Street 1", desk.request_context(by, "a", fresh_key(), "a"))
    _, read, told = desk.questions.find(question_id, desk.request_context(STAFF))
    assert (read.answered_at, told.asked, told.answered) == (T0 + DAY, "Which street?", "Long Street 1")
    assert [question.n for _, question, _ in desk.questions.list_questions(one, desk.request_context(by))] == [1]
    assert desk.event_types(one)[2:] == ["question.asked", "question.answered"]
    everything = str(desk.table.client.scan(TableName=desk.table.name)["Items"])
    assert "Long Street" not in everything
    assert "Which street" not in everything


def test_a_silent_buyer_is_cancelled_after_48_hours_and_not_before(desk: Desk) -> None:
    [one] = desk.sold()
    desk.pay(one)
    desk.questions.ask(one, "address", "Which street?", desk.request_context(STAFF, "q", fresh_key(), "q"))
    cited = ("carrier:1", child("qst", one, 1))

    def cancel() -> object:
        return desk.cancellations.cancel(
            one, "ADDRESS_INVALID", cited, None, desk.request_context(STAFF, "c", fresh_key(), "c")
        )

    # An answer that was sent in time may still be on its way: the silence is certain only after the grace.
    desk.clock.now = T0 + 48 * HOUR + desk.cancellations.commits.timing.grace_ms - 1
    assert catch_refusal(cancel).reason is Reason.EVIDENCE_REQUIRED
    desk.clock.now += 1
    cancel()
    assert desk.event_types(one)[2:5] == ["question.asked", "question.lapsed", "deposit.cancelled"]


def test_strangers_neither_ask_nor_answer_nor_read(desk: Desk) -> None:
    [one] = desk.sold()
    desk.questions.ask(one, "contact", "Hello?", desk.request_context(STAFF, "q", fresh_key(), "q"))
    question_id = child("qst", one, 1)
    for act in (
        lambda: desk.questions.ask(one, "contact", "Hello?", desk.request_context(STRANGER, "q", fresh_key(), "q")),
        lambda: desk.questions.answer(question_id, "Hi", desk.request_context(new_buyer(), "a", fresh_key(), "a")),
        lambda: desk.questions.find(question_id, desk.request_context(new_buyer())),
        lambda: desk.questions.find(child("qst", one, 2), desk.request_context(STAFF)),
        lambda: desk.questions.find("qst_1", desk.request_context(STAFF)),
    ):
        assert catch_refusal(act).reason is Reason.NOT_FOUND


# --- Many at once ---


def test_one_deposit_needs_no_second_person_and_two_of_a_few_do(desk: Desk) -> None:
    deposits = desk.sold(3)
    assert desk.start(deposits[:1]).bulk.status.value == "running"
    waiting = desk.start(deposits[1:]).bulk
    assert (waiting.status.value, waiting.asked.approve_until) == ("awaiting_approval", T0 + 72 * HOUR)
    assert not desk.cancellations.process_due(waiting.id, "job/1")
    assert desk.find(waiting.id).results == ()


def test_a_second_person_lets_it_run_and_the_first_one_cannot(desk: Desk) -> None:
    deposits = desk.sold(2)
    bulk_id = desk.start(deposits).bulk.id
    assert catch_refusal(lambda: desk.approve(bulk_id, STAFF)).reason is Reason.APPROVAL_REQUIRED
    assert catch_refusal(lambda: desk.approve(bulk_id, STRANGER)).reason is Reason.NOT_FOUND
    press = fresh_key()
    approved = desk.approve(bulk_id, key_text=press)
    assert (approved.bulk.approver, approved.bulk.status.value) == (SECOND.id, "running")
    assert desk.approve(bulk_id, key_text=press).replayed
    assert catch_refusal(lambda: desk.approve(bulk_id)).reason is Reason.WRONG_STATE
    desk.work(bulk_id)
    assert desk.find(bulk_id).count_outcomes("cancelled") == 2
    ended = [fold_stored(desk.load(deposit)).cancelled for deposit in deposits]
    assert [end.approver for end in ended if end is not None] == [SECOND.id] * 2


def test_what_nobody_agrees_to_lapses_and_cancels_nothing(desk: Desk) -> None:
    deposits = desk.sold(2)
    bulk_id = desk.start(deposits).bulk.id
    desk.clock.now = T0 + 72 * HOUR - 1
    assert not desk.cancellations.process_due(bulk_id, "job/1")
    assert desk.find(bulk_id).status.value == "awaiting_approval"
    desk.clock.now += 1
    assert desk.find(bulk_id).status.value == "done", "by the clock, before anybody wrote it"
    assert catch_refusal(lambda: desk.approve(bulk_id)).reason is Reason.WRONG_STATE
    desk.cancellations.process_due(bulk_id, "job/1")
    assert [result.reason for result in desk.find(bulk_id).results] == ["approval-required"] * 2
    assert desk.tally() == {}


def test_what_is_unknown_or_of_others_is_skipped_as_not_found(desk: Desk) -> None:
    [one] = desk.sold()
    [other_offers] = desk.sold(1, desk.publish(units=None))
    named = [fresh("dep"), other_offers, "dep_1", one]
    bulk_id = desk.start(named).bulk.id
    desk.approve(bulk_id)
    desk.work(bulk_id)
    told = [(result.deposit, result.outcome, result.reason) for result in desk.find(bulk_id).results]
    assert told == [*((name, "skipped", "not-found") for name in named[:3]), (one, "cancelled", None)]
    assert fold_stored(desk.load(other_offers)).cancelled is None


def test_what_has_ended_is_skipped_with_its_reason(desk: Desk) -> None:
    by = new_buyer()
    left = desk.order(desk.offered, by).deposit.id
    desk.cancel(left, by)
    [one] = desk.sold()
    bulk_id = desk.start([left, one]).bulk.id
    desk.approve(bulk_id)
    desk.work(bulk_id)
    assert [result.reason for result in desk.find(bulk_id).results] == ["already-cancelled", None]
    assert desk.tally() == {("cancelled", "OUT_OF_STOCK"): 1}


def test_the_same_key_asks_once_and_another_body_is_refused(desk: Desk) -> None:
    deposits, press = desk.sold(2), fresh_key()
    first = desk.start(deposits, key_text=press)
    again = desk.start(deposits, key_text=press)
    assert (again.bulk, again.replayed) == (first.bulk, True)
    assert catch_refusal(lambda: desk.start(deposits[:1], key_text=press)).reason is Reason.IDEMPOTENCY_KEY_REUSED


def test_another_merchant_asks_for_nothing(desk: Desk) -> None:
    deposits = desk.sold(2)
    assert catch_refusal(lambda: desk.start(deposits, by=STRANGER)).reason is Reason.NOT_FOUND


def lose_both(faults: FaultInjector) -> None:
    faults.lose(TOGETHER)
    faults.lose("UpdateItem")


KILLED: Final[list[tuple[str, Callable[[Desk], object]]]] = [
    ("an answer is lost at the first deposit",  lambda desk: desk.faults.lose(TOGETHER)),
    ("a write is refused at the first deposit", lambda desk: desk.faults.fail(TOGETHER, "ThrottlingException")),
    ("the note of how far it is is lost",       lambda desk: desk.faults.lose("UpdateItem")),
    ("the note of how far it is is refused",    lambda desk: desk.faults.fail("UpdateItem", "ThrottlingException")),
    ("both answers are lost",                   lambda desk: lose_both(desk.faults)),
    ("every read is refused for a while",       lambda desk: desk.faults.fail("GetItem", "ThrottlingException", times=3)),
]  # fmt: skip


@pytest.mark.parametrize("fault", [fault for _, fault in KILLED], ids=[name for name, _ in KILLED])
def test_a_worker_that_dies_anywhere_leaves_each_deposit_cancelled_once(
    desk: Desk, fault: Callable[[Desk], object]
) -> None:
    deposits = desk.sold(4)
    bulk_id = desk.start(deposits).bulk.id
    desk.approve(bulk_id)
    fault(desk)
    desk.work(bulk_id)
    assert [(result.deposit, result.outcome) for result in desk.find(bulk_id).results] == [
        (deposit, "cancelled") for deposit in deposits
    ]
    assert all(desk.event_types(deposit).count("deposit.cancelled") == 1 for deposit in deposits)
    assert (desk.tally(), desk.units()) == ({("cancelled", "OUT_OF_STOCK"): 4}, [(10, 0, 0, 10)])


class Killed(BaseException):
    """The power goes: nobody catches it."""


@pytest.mark.parametrize("write", range(5))
@pytest.mark.parametrize("carried_out", [False, True])
def test_a_worker_killed_before_or_after_any_of_its_writes_is_followed_by_another(
    desk: Desk, write: int, carried_out: bool
) -> None:
    """Four deposits and the note of how far it is are five writes."""
    deposits = desk.sold(4)
    bulk_id = desk.start(deposits).bulk.id
    desk.approve(bulk_id)
    operation = TOGETHER if write < len(deposits) else "UpdateItem"

    def die() -> None:
        if carried_out:  # its own write reached the table, its life did not go on
            desk.second_shop.cancellations.process_due(bulk_id, "job/0")
        raise Killed

    faults = desk.faults
    faults.before(operation, lambda: None, times=write if operation == TOGETHER else 0)
    faults.before(operation, die)
    with pytest.raises(Killed):
        desk.cancellations.process_due(bulk_id, "job/1")
    desk.work(bulk_id)
    assert [result.outcome for result in desk.find(bulk_id).results] == ["cancelled"] * 4
    assert (desk.tally(), desk.units()) == ({("cancelled", "OUT_OF_STOCK"): 4}, [(10, 0, 0, 10)])


def test_two_workers_at_once_judge_each_deposit_once(table: Tables) -> None:
    with inject_faults(table) as (own, _):
        shop = Shop(own, REAL)
        offered = shop.publish(units=64)
        deposits = [shop.order(offered, new_buyer()).deposit.id for _ in range(CHUNK_DEPOSITS + 5)]
        asked = shop.request_context(STAFF, "bulk", fresh_key(), "body")
        bulk_id = shop.cancellations.start(offered.offer.id, deposits, "OUT_OF_STOCK", EVIDENCE, None, asked).bulk.id
        shop.cancellations.approve(offered.offer.id, bulk_id, shop.request_context(SECOND, "approve", fresh_key()))

        def worked(by: Shop) -> None:
            for _ in range(10):
                with suppress(VersionConflict, WriteContention, Refused):
                    by.cancellations.process_due(bulk_id, "job")

        run_at_once([partial(worked, Shop(own, REAL)) for _ in range(2)])
        done = shop.cancellations.find(offered.offer.id, bulk_id, shop.request_context(STAFF)).bulk
        assert Counter((result.outcome, result.reason) for result in done.results) == {
            ("cancelled", None): len(deposits)
        }
        assert [result.deposit for result in done.results] == deposits
        assert shop.cancellations.count_cancellations(offered.offer.id) == {
            ("cancelled", "OUT_OF_STOCK"): len(deposits)
        }
        assert sum(left for left, *_ in shards(table, offered.offer)) == 64
