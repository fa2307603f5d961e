"""A merchant's goodwill: decided once for a key, never more than is there, and the note is for the vault alone."""

from collections.abc import Callable, Iterator
from functools import partial
from threading import Barrier
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib.core.common.ids import child
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason
from chalicelib.core.delivery.fulfilment import PayBalance
from chalicelib.core.deposit.events.refund import RefundApproved
from chalicelib.core.deposit.refund import Refund, RefundStatus
from chalicelib.core.paying.provider_answers import DisputeSeen
from chalicelib.flows.images import fold_stored
from chalicelib.flows.ports.provider import NotFound
from chalicelib.flows.snapshot import Outcome
from chalicelib.store.requests import key
from tests.conftest import Tables
from tests.flows.concurrency import run_at_once, slow_timing
from tests.flows.shop import (
    DAY,
    EARNEST,
    HOUR,
    PRICE,
    FaultyShop,
    Shop,
    captured,
    catch_refusal,
    fresh_key,
    rendered_state,
    retry_while_busy,
)
from tests.flows.shop import new_buyer as somebody
from tests.store.builders import STAFF, fresh

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
NOTHING: Final = Money.zero("CNY")
PART: Final = Money(300_000, "CNY")  # 60 of 100
NOTE: Final = "Kunde Li Lei 李雷, angerufen"
OTHER_SHOP: Final = Caller("usr_other", "merchant", "mer_other")
PAIRS: Final = 250


def grant(
    shop: Shop,
    deposit_id: str,
    amount: Money = PART,
    expected: Money = EARNEST,
    key_text: str | None = None,
    *,
    note: str | None = None,
    by: Caller = STAFF,
    **changes: Any,
) -> tuple[Outcome, Refund]:
    """The deposit stands in the body: the same key means the same request, whatever deposit it names."""
    body = f"{deposit_id} {amount} {expected} {note}"
    asked = shop.request_context(by, "goodwill", key_text or fresh_key(), body, **changes)
    return shop.refunds.grant(deposit_id, amount, expected, note, asked)


class Counter(FaultyShop):
    """Two buyers have paid."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.offered = self.publish(units=None)
        self.id, self.other = (self.paid() for _ in range(2))

    def paid(self) -> str:
        deposit_id = self.order(self.offered, somebody()).deposit.id
        self.pay(deposit_id)
        return deposit_id

    def raw(self, pk: str) -> Any:
        found: Any = self.table.client.get_item(TableName=self.table.name, Key=key(pk), ConsistentRead=True)
        return found.get("Item")

    def everything(self) -> str:
        return str(self.table.client.scan(TableName=self.table.name, ConsistentRead=True)["Items"])


@pytest.fixture
def desk(table: Tables) -> Iterator[Counter]:
    with Counter.open(table) as desk:
        yield desk


def test_a_grant_reserves_its_amount_and_changes_nothing_else(desk: Counter) -> None:
    before = fold_stored(desk.load(desk.id))
    outcome, refund = grant(desk, desk.id)
    after = outcome.deposit
    assert (refund.n, refund.cause, refund.amount, refund.status) == (1, "goodwill", PART, RefundStatus.APPROVED)
    assert [(line.code, line.amount, line.rule) for line in refund.lines] == [("goodwill", PART, None)]
    assert refund.promised_by == desk.clock.now + 7 * DAY
    assert (after.refundable, after.money.refunding) == (EARNEST - PART, PART)
    assert (after.status, after.lines, after.balance) == (before.status, before.lines, before.balance)
    assert desk.load(desk.id).journal[-1].by == STAFF


def test_the_same_key_gives_the_same_answer_also_after_the_money_went(desk: Counter) -> None:
    press = fresh_key()
    first, refund = grant(desk, desk.id, key_text=press, note=NOTE)
    desk.clock.now += HOUR
    desk.deposit_worker.process_due(desk.id, "job/1")
    again, same = grant(desk, desk.id, key_text=press, note=NOTE)
    assert again.replayed
    assert (rendered_state(again), same) == (rendered_state(first), refund)
    assert desk.event_types(desk.id).count("refund.approved") == 1


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_answer_is_given_when_it_is_asked_for_again(desk: Counter, lost: int) -> None:
    press = fresh_key()
    desk.faults.lose("TransactWriteItems", lost)
    for _ in range(lost):
        insisted = retry_while_busy(lambda: grant(desk, desk.id, key_text=press, note=NOTE)[0], most=3)
        assert isinstance(insisted, Outcome)
    outcome, refund = grant(desk, desk.id, key_text=press, note=NOTE)
    assert outcome.replayed
    assert refund.n == 1
    assert desk.event_types(desk.id).count("refund.approved") == 1


def test_the_same_key_with_another_body_is_refused(desk: Counter) -> None:
    press = fresh_key()
    grant(desk, desk.id, key_text=press)
    again = catch_refusal(lambda: grant(desk, desk.id, Money(100, "CNY"), EARNEST - PART, press))
    assert again.reason is Reason.IDEMPOTENCY_KEY_REUSED


def test_the_same_key_for_another_deposit_is_refused_before_anything_is_judged(desk: Counter) -> None:
    press = fresh_key()
    grant(desk, desk.id, key_text=press)
    for amount, expected in [(PART, EARNEST), (EARNEST * 9, EARNEST), (PART, NOTHING)]:
        no = catch_refusal(lambda: grant(desk, desk.other, amount, expected, press))  # noqa: B023 - called at once
        assert no.reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert "refund.approved" not in desk.event_types(desk.other)


def test_the_same_key_for_two_deposits_at_once_is_one_grant_and_nothing_of_the_other(desk: Counter) -> None:
    """Both found the key free; the transaction decides."""
    press = fresh_key()
    desk.faults.before("TransactWriteItems", lambda: grant(desk.second_shop, desk.other, key_text=press))
    no = catch_refusal(lambda: grant(desk, desk.id, key_text=press, note=NOTE))
    assert no.reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert [desk.event_types(one).count("refund.approved") for one in (desk.id, desk.other)] == [0, 1]
    assert desk.raw(f"text#{child('ref', desk.id, 1)}#note2") is None


def test_the_same_key_of_another_merchant_is_a_key_of_its_own(desk: Counter) -> None:
    press = fresh_key()
    grant(desk, desk.id, key_text=press)
    colleague = Caller("usr_colleague", "merchant", "mer_shop")
    grant(desk, desk.other, key_text=press, by=colleague)
    assert [desk.event_types(one).count("refund.approved") for one in (desk.id, desk.other)] == [1, 1]


ORDER: Final[list[tuple[Money, Money, Reason]]] = [
    # the amount, what the merchant saw as refundable, and the first thing that is wrong
    (Money(1, "IDR"),              EARNEST,              Reason.CURRENCY_MISMATCH),
    (PART,                         Money(1, "IDR"),      Reason.CURRENCY_MISMATCH),
    (EARNEST + Money(1, "CNY"),    EARNEST - PART,       Reason.STALE_VERSION),
    (PART,                         EARNEST - PART,       Reason.STALE_VERSION),
    (PART,                         NOTHING,              Reason.STALE_VERSION),
    (EARNEST + Money(1, "CNY"),    EARNEST,              Reason.REFUND_EXCEEDS_REFUNDABLE),
]  # fmt: skip


@pytest.mark.parametrize(("amount", "expected", "why"), ORDER)
def test_what_is_stale_is_said_before_what_is_too_much(
    desk: Counter, amount: Money, expected: Money, why: Reason
) -> None:
    before = desk.load(desk.id)
    press = fresh_key()
    no = catch_refusal(lambda: grant(desk, desk.id, amount, expected, press, note=NOTE))
    assert no.reason is why
    if why in {Reason.STALE_VERSION, Reason.REFUND_EXCEEDS_REFUNDABLE}:
        assert no.facts["refundable"] == EARNEST
    assert desk.load(desk.id) == before
    grant(desk, desk.other, key_text=press)  # a refused request left no trace, also not of its key


def test_after_everything_went_back_nothing_is_left_to_grant(desk: Counter) -> None:
    grant(desk, desk.id, EARNEST)
    no = catch_refusal(lambda: grant(desk, desk.id, Money(100, "CNY"), NOTHING))
    assert no.reason is Reason.REFUND_EXCEEDS_REFUNDABLE


def test_what_a_bank_disputes_cannot_be_given_away(desk: Counter) -> None:
    pay_id = child("pay", desk.id, 1)
    seen = captured(desk.clock.now)
    desk.provider.payments[pay_id] = seen

    opened = replace(seen, disputes=(DisputeSeen("d1", seen.captures[0].ref, EARNEST, "open"),))
    desk.deposit_worker.settle(desk.id, opened, "event/1")
    assert catch_refusal(lambda: grant(desk, desk.id, PART, NOTHING)).reason is Reason.FUNDS_IN_DISPUTE
    assert catch_refusal(lambda: grant(desk, desk.id, PART, EARNEST)).reason is Reason.STALE_VERSION


@pytest.mark.parametrize("named", ["stranger's", fresh("dep"), "dep_nonsense", ""])
def test_a_deposit_of_somebody_else_is_one_that_does_not_exist(desk: Counter, named: str) -> None:
    by, deposit_id = (OTHER_SHOP, desk.id) if named == "stranger's" else (STAFF, named)
    no = catch_refusal(lambda: grant(desk, deposit_id, by=by))
    assert (no.reason, list(no.faults)) == (Reason.INVALID_REQUEST, [FieldError("/deposit", "unknown_deposit")])


def test_the_note_is_sealed_and_can_be_read_through_the_vault_only(desk: Counter) -> None:
    _, refund = grant(desk, desk.id, note=NOTE)
    [approved] = [entry.event for entry in desk.load(desk.id).journal if isinstance(entry.event, RefundApproved)]
    assert approved.note == desk.vault.fingerprint(NOTE.encode())
    text = f"text#{child('ref', desk.id, refund.n)}#note2"
    sealed = desk.texts.get(text)
    assert sealed is not None
    assert desk.vault.unseal(text, sealed).decode() == NOTE
    lies = desk.everything()
    assert not [word for word in (*NOTE.split(), NOTE) if word in lies]
    assert not [part for part in (NOTE.encode(), "李雷".encode()) if repr(part)[2:-1] in lies]


def test_without_a_note_nothing_is_kept(desk: Counter) -> None:
    grant(desk, desk.id)
    assert "text#" not in desk.everything()


def test_the_note_is_decided_again_with_the_grant(desk: Counter) -> None:
    """Somebody else grants in between: the number and the version under which the note is kept move on."""
    desk.faults.before("TransactWriteItems", lambda: grant(desk.second_shop, desk.id, PART, key_text=fresh_key()))
    no = catch_refusal(lambda: grant(desk, desk.id, PART, EARNEST, note=NOTE))
    assert no.reason is Reason.STALE_VERSION
    _, refund = grant(desk, desk.id, Money(100, "CNY"), EARNEST - PART, note=NOTE)
    assert refund.n == 2
    assert desk.texts.get(f"text#{child('ref', desk.id, 2)}#note3") is not None


def test_more_than_one_capture_gives_two_refunds_and_the_latest_gives_first(desk: Counter) -> None:
    desk.clock.now += 7 * DAY
    desk.deposit_worker.process_due(desk.id, "job/1")
    by = Caller(fold_stored(desk.load(desk.id)).created.buyer, "buyer")
    desk.command(desk.id, PayBalance("card"), by)
    desk.pay(desk.id, amount=PRICE - EARNEST, payment=2, ref="rest")
    press = fresh_key()
    first, refund = grant(desk, desk.id, PRICE - PART, PRICE, press, note=NOTE)
    amounts = [(one.capture, one.amount) for one in first.deposit.refunds]
    assert amounts == [("rest_2", PRICE - EARNEST), ("cap_1", EARNEST - PART)]
    again, same = grant(desk, desk.id, PRICE - PART, PRICE, press, note=NOTE)
    assert (rendered_state(again), same) == (rendered_state(first), refund)


def copies(shop: Shop, table: Tables, number: int) -> list[str]:
    """So many paid deposits, written as they lie in the table."""
    deposit_id = shop.order(shop.publish(units=None), somebody()).deposit.id
    shop.pay(deposit_id)
    item: Any = table.client.get_item(TableName=table.name, Key=key(deposit_id))["Item"]
    ids = [fresh("dep") for _ in range(number)]
    for start in range(0, number, 25):
        puts: Any = [{"PutRequest": {"Item": {**item, **key(id_)}}} for id_ in ids[start : start + 25]]
        assert not table.client.batch_write_item(RequestItems={table.name: puts})["UnprocessedItems"]
    return ids


@pytest.mark.sample(1)
@pytest.mark.parametrize("quarter", range(4))
def test_of_a_thousand_pairs_that_together_ask_too_much_one_wins_each(table: Tables, quarter: int) -> None:
    """60 and 60 of 100 at the same moment. Two pairs in five are the same tap twice: one grant, one answer."""
    shops = [Shop(table, slow_timing()) for _ in range(2)]
    pairs = copies(shops[0], table, PAIRS)
    acts: list[Callable[[], Outcome | Reason]] = []
    for n, deposit_id in enumerate(pairs):
        same = f"tap-{quarter}-{n}" if n % 5 < 2 else None
        acts += [partial(_tapped, shop, deposit_id, same, start) for start in [Barrier(2)] for shop in shops]
    results = run_at_once(acts)

    stored = shops[0].store._journals.get_many(pairs)
    for n, deposit_id in enumerate(pairs):
        got = results[2 * n : 2 * n + 2]
        won = [one for one in got if isinstance(one, Outcome)]
        deposit = fold_stored(stored[deposit_id])
        if n % 5 < 2:
            assert len(won) == 2, got
            assert rendered_state(won[0]) == rendered_state(won[1])
        else:
            assert len(won) == 1, got
            assert Reason.STALE_VERSION in got
        assert (len(deposit.refunds), deposit.money.refunding, deposit.refundable) == (1, PART, EARNEST - PART)


def _tapped(shop: Shop, deposit_id: str, same: str | None, start: Barrier) -> Outcome | Reason:
    press = same or fresh_key()
    start.wait(20)
    return retry_while_busy(lambda: grant(shop, deposit_id, key_text=press)[0])


def test_a_refund_is_found_by_who_may_see_its_deposit(desk: Counter) -> None:
    grant(desk, desk.id)
    refund_id = child("ref", desk.id, 1)
    outcome, refund = desk.refunds.find(refund_id, desk.request_context(STAFF))
    assert (outcome.deposit.id, refund.amount) == (desk.id, PART)
    nobody = (child("ref", desk.id, 2), "ref_nonsense", child("ref", fresh("dep"), 1))
    for one, by in [(refund_id, OTHER_SHOP), *((one, STAFF) for one in nobody)]:
        assert catch_refusal(lambda: desk.refunds.find(one, desk.request_context(by))).reason is Reason.NOT_FOUND  # noqa: B023
    assert isinstance(desk.provider.find_refund(refund_id), NotFound), "nothing was asked of the provider"
