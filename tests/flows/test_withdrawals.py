"""Statutory withdrawals: two steps, each with a receipt that lasts, and no name anywhere but in the sealed text."""

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

import pytest
from cryptography.exceptions import InvalidTag
from msgspec.structs import replace

from chalicelib.core.common.ids import child
from chalicelib.core.common.journal import Caller, RequestContext
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.events.ending import WithdrawalConfirmed, WithdrawalStated
from chalicelib.core.ending.withdrawal import MAX_STATEMENTS, Receipt, Sender
from chalicelib.flows.images import fold_stored
from chalicelib.flows.snapshot import Outcome
from chalicelib.flows.text_keys import withdrawal_text
from chalicelib.flows.withdrawals import Withdrawals
from chalicelib.store.requests import key
from chalicelib.store.vault import Vault
from tests.conftest import Tables
from tests.flows.concurrency import THREADS, run_at_once, slow_timing
from tests.flows.shop import DAY, EARNEST, SECRET, FaultyShop, catch_refusal, fresh_key, new_buyer, rendered_state
from tests.store.builders import STAFF, shards

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
NAME: Final = "Li Lei 李雷"
REACH: Final = "lilei@example.test"
SENDER: Final = Sender(NAME, REACH, "en")


class Office(FaultyShop):
    """A buyer has paid, in a market where the law lets them withdraw."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.by = new_buyer()
        self.offered = self.publish(units=5, per_buyer=1)
        self.id = self.order(self.offered, self.by).deposit.id
        self.pay(self.id)

    def stated(self, key_text: str | None = None, by: Caller | None = None, sender: Sender = SENDER) -> Receipt:
        return self.state(key_text, by, sender)[1]

    def state(
        self, key_text: str | None = None, by: Caller | None = None, sender: Sender = SENDER, **changes: Any
    ) -> tuple[Outcome, Receipt]:
        asked = self._asked("state", key_text, by, f"{sender}", **changes)
        outcome, _, receipt = self.withdrawals.state(self.id, sender, asked)
        return outcome, receipt

    def confirm(
        self, withdrawal_id: str, key_text: str | None = None, by: Caller | None = None, **changes: Any
    ) -> tuple[Outcome, Receipt]:
        asked = self._asked(f"confirm {withdrawal_id}", key_text, by, "", **changes)
        outcome, _, receipt = self.withdrawals.confirm(self.id, withdrawal_id, asked)
        return outcome, receipt

    def patiently(self, name: str) -> tuple[str, Receipt]:
        """One of many who state at once, through the good client; busy is asked again with the same key."""
        press, sender = fresh_key(), replace(SENDER, name=name)
        desk = Withdrawals(
            replace(self.second_shop.commits, timing=slow_timing()), self.second_shop.texts, self.second_shop.vault
        )
        for _ in range(THREADS):
            asked = replace(self._asked("state", press, None, name), received=desk.commits.timing.now())
            with suppress(Refused):
                return name, desk.state(self.id, sender, asked)[2]
        raise AssertionError("busy for ever")

    def left(self) -> list[int]:
        return [left for left, *_ in shards(self.table, self.offered.offer)]

    def find(self, withdrawal_id: str, by: Caller | None = None) -> Receipt:
        return self.withdrawals.find(self.id, withdrawal_id, self.request_context(by or self.by))[2]

    def _asked(self, what: str, key_text: str | None, by: Caller | None, body: str, **changes: Any) -> RequestContext:
        return self.request_context(by or self.by, f"{what} {self.id}", key_text or fresh_key(), body, **changes)

    def raw(self, pk: str) -> Any:
        """An item as it lies in the table."""
        return self.table.client.get_item(TableName=self.table.name, Key=key(pk), ConsistentRead=True).get("Item")

    def everything(self) -> str:
        """All that lies in the table, bytes shown as they are."""
        return str(self.table.client.scan(TableName=self.table.name, ConsistentRead=True)["Items"])


@pytest.fixture
def office(table: Tables) -> Iterator[Office]:
    with Office.open(table) as office:
        yield office


# Step one.


def test_the_statement_is_answered_by_a_receipt_and_decides_nothing(office: Office) -> None:
    outcome, receipt = office.state()
    assert receipt.id == child("wdr", office.id, 1)
    assert receipt.at == office.clock.now
    assert NAME in receipt.content
    assert REACH in receipt.content
    assert outcome.deposit.refunds == ()
    [stated] = [entry.event for entry in outcome.journal if isinstance(entry.event, WithdrawalStated)]
    assert stated.digest == receipt.digest
    assert sum(office.left()) == 4


def test_a_replay_of_the_statement_gives_the_same_receipt_also_after_it_was_confirmed(office: Office) -> None:
    press = fresh_key()
    first, receipt = office.state(press)
    office.clock.now += 1
    again, same = office.state(press)
    assert (again.replayed, same) == (True, receipt)
    assert rendered_state(again) == rendered_state(first)
    office.confirm(receipt.id)
    office.clock.now += DAY
    later, still = office.state(press)
    assert still == receipt
    assert rendered_state(later) == rendered_state(first)


def test_a_replay_with_another_name_is_refused(office: Office) -> None:
    press = fresh_key()
    office.state(press)
    no = catch_refusal(lambda: office.state(press, sender=replace(SENDER, name="Han Meimei")))
    assert no.reason is Reason.IDEMPOTENCY_KEY_REUSED


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_statement_whose_answer_was_lost_is_there_once(table: Tables, attempts: int) -> None:
    with Office.open(table, attempts) as office:
        press = fresh_key()
        office.faults.lose("TransactWriteItems")
        if attempts == 1:
            assert catch_refusal(lambda: office.state(press)).reason is Reason.BUSY
        receipt = office.stated(press)
        assert receipt == office.stated(press) == office.find(receipt.id)
        assert office.event_types(office.id).count("withdrawal.stated") == 1


def test_the_receipt_is_in_the_language_of_its_sender(office: Office) -> None:
    texts = {locale: office.stated(sender=replace(SENDER, locale=locale)).content for locale in ("en", "id", "zh")}
    assert len(set(texts.values())) == 3
    assert all(NAME in text for text in texts.values())


@pytest.mark.parametrize("name", ["{deposit}", "{0}", "{", "%s", '"', "\\", "\u202e", "a" * 2_000])
def test_a_name_is_never_more_than_a_name(office: Office, name: str) -> None:
    receipt = office.stated(sender=replace(SENDER, name=name))
    assert name in receipt.content
    assert name in office.find(receipt.id).content
    assert name in office.confirm(receipt.id)[1].content


def test_ten_statements_are_enough(office: Office) -> None:
    receipts = [office.stated() for _ in range(MAX_STATEMENTS)]
    assert [receipt.id for receipt in receipts] == [child("wdr", office.id, n) for n in range(1, MAX_STATEMENTS + 1)]
    assert catch_refusal(office.state).reason is Reason.RATE_LIMITED
    assert [office.find(receipt.id) for receipt in receipts] == receipts
    office.confirm(receipts[3].id)
    assert fold_stored(office.load(office.id)).withdrawals[3].confirmed_at == office.clock.now


def test_statements_at_once_are_numbered_and_each_finds_its_own_words(office: Office) -> None:
    names = [f"Number {n}" for n in range(MAX_STATEMENTS)]
    found = run_at_once([partial(office.patiently, name) for name in names])
    assert len({receipt.id for _, receipt in found}) == MAX_STATEMENTS
    for name, receipt in found:
        assert name in receipt.content
        assert office.find(receipt.id) == receipt


# Step two.


def test_the_confirmation_decides_that_everything_comes_back(office: Office) -> None:
    receipt = office.stated()
    office.clock.now += 60_000
    outcome, confirmed = office.confirm(receipt.id)
    assert (confirmed.id, confirmed.at) == (receipt.id, office.clock.now)
    assert NAME in confirmed.content
    assert confirmed.content != receipt.content
    [event] = [entry.event for entry in outcome.journal if isinstance(entry.event, WithdrawalConfirmed)]
    assert event.digest == confirmed.digest == outcome.deposit.withdrawals[0].digest
    assert office.event_types(office.id)[-3:] == ["withdrawal.confirmed", "deposit.cancelled", "refund.approved"]
    assert outcome.deposit.money.refunding == EARNEST
    assert sum(office.left()) == 5


def test_a_replay_of_the_confirmation_gives_the_same_receipt(office: Office) -> None:
    receipt, press = office.stated(), fresh_key()
    first, confirmed = office.confirm(receipt.id, press)
    office.clock.now += DAY
    office.deposit_worker.process_due(office.id, "job/1")
    again, same = office.confirm(receipt.id, press)
    assert (again.replayed, same) == (True, confirmed)
    assert rendered_state(again) == rendered_state(first)
    assert office.find(receipt.id) == confirmed
    assert fold_stored(office.load(office.id)).money.refunding == EARNEST


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_confirmation_whose_answer_was_lost_moves_the_money_once(table: Tables, attempts: int) -> None:
    with Office.open(table, attempts) as office:
        receipt, press = office.stated(), fresh_key()
        office.faults.lose("TransactWriteItems")
        if attempts == 1:
            assert catch_refusal(lambda: office.confirm(receipt.id, press)).reason is Reason.BUSY
        office.confirm(receipt.id, press)
        assert office.event_types(office.id).count("refund.approved") == 1
        assert sum(office.left()) == 5


def test_what_was_confirmed_is_not_confirmed_again(office: Office) -> None:
    one, other = office.stated(), office.stated()
    office.confirm(one.id)
    for again in (one, other):
        no = catch_refusal(lambda again=again: office.confirm(again.id))  # type: ignore[misc]
        assert no.reason is Reason.ALREADY_CANCELLED
    assert office.find(other.id) == other
    assert catch_refusal(office.state).reason is Reason.ALREADY_CANCELLED


def test_a_confirmation_overtaken_by_a_cancel_returns_the_money_once(office: Office) -> None:
    receipt = office.stated()
    office.faults.before("TransactWriteItems", lambda: office.second_shop.cancel(office.id, office.by))
    assert catch_refusal(lambda: office.confirm(receipt.id)).reason is Reason.ALREADY_CANCELLED
    assert office.event_types(office.id).count("refund.approved") == 1
    assert office.raw(withdrawal_text(receipt.id, 2)) is None, "no receipt for what did not happen"
    assert office.find(receipt.id) == receipt


def test_a_statement_to_a_version_that_is_gone_writes_nothing(office: Office) -> None:
    assert catch_refusal(lambda: office.state(if_match='"1-awaiting_payment"')).reason is Reason.STALE_VERSION
    assert office.raw(withdrawal_text(child("wdr", office.id, 1), 1)) is None
    receipt = office.stated()
    assert catch_refusal(lambda: office.confirm(receipt.id, if_match='"2-cooling_off"')).reason is Reason.STALE_VERSION
    assert office.raw(withdrawal_text(receipt.id, 2)) is None


# Who may.


def test_the_holder_of_the_token_needs_no_login(office: Office) -> None:
    made = office.vault.token(office.id, fold_stored(office.load(office.id)).created.token_key)
    assert made is not None
    holder = Caller(str(office.vault.holder(made)), "holder")
    receipt = office.stated(by=holder)
    assert office.find(receipt.id, holder) == receipt
    assert office.confirm(receipt.id, by=holder)[0].deposit.money.refunding == EARNEST


def strangers(office: Office) -> list[Caller]:
    other = office.order(office.offered, new_buyer()).deposit.id
    return [new_buyer(), Caller(other, "holder"), Caller("usr_1", "merchant", "mer_other")]


def test_for_a_stranger_there_is_no_withdrawal(office: Office) -> None:
    receipt = office.stated()
    for stranger in strangers(office):
        for act in (
            lambda by=stranger: office.state(by=by),
            lambda by=stranger: office.confirm(receipt.id, by=by),
            lambda by=stranger: office.find(receipt.id, by),
        ):
            assert catch_refusal(act).reason is Reason.NOT_FOUND
    assert office.event_types(office.id).count("withdrawal.stated") == 1


def test_the_withdrawal_of_another_deposit_is_not_found(office: Office) -> None:
    receipt = office.stated()
    mine, office.id = office.id, office.order(office.offered, new_buyer()).deposit.id
    other = Caller(fold_stored(office.load(office.id)).created.buyer, "buyer")
    office.pay(office.id)
    for wrong in (receipt.id, child("wdr", office.id, 1)):
        assert catch_refusal(lambda wrong=wrong: office.confirm(wrong, by=other)).reason is Reason.NOT_FOUND  # type: ignore[misc]
        assert catch_refusal(lambda wrong=wrong: office.find(wrong, other)).reason is Reason.NOT_FOUND  # type: ignore[misc]
    assert fold_stored(office.load(mine)).refunds == ()


@pytest.mark.parametrize("ending", ["_2", "_0", "_01", "_-1", "", "_1_1", "_999999999999", "_1\n"])
def test_what_is_no_withdrawal_is_not_found(office: Office, ending: str) -> None:
    office.stated()
    wrong = f"wdr_{office.id[4:]}{ending}"
    assert catch_refusal(lambda: office.find(wrong)).reason is Reason.NOT_FOUND
    assert catch_refusal(lambda: office.confirm(wrong)).reason is Reason.NOT_FOUND


def test_where_the_law_has_none_nothing_is_written(office: Office) -> None:
    car = {"sku": "su7-max", "name": "SU7", "price": {"amount": "299900", "currency": "CNY"}, "stock": 5}
    office.id = office.order(office.publish(items=[{**car, "made_to_spec": True}]), office.by).deposit.id
    assert catch_refusal(office.state).reason is Reason.WITHDRAWAL_NOT_AVAILABLE
    assert office.raw(withdrawal_text(child("wdr", office.id, 1), 1)) is None


# What lies in the table.


def test_names_lie_in_the_table_only_sealed(office: Office) -> None:
    receipt = office.stated()
    office.confirm(receipt.id)
    everything = office.everything()
    for word in (NAME, REACH, "Li Lei", "lilei", "李雷", NAME.encode().hex(), f"{NAME.encode()!r}"[2:-1]):
        assert word not in everything
        assert word not in f"{office.load(office.id)}"
    for step in (1, 2):
        item = office.raw(withdrawal_text(receipt.id, step))
        assert set(item) == {"pk", "sealed"}
        for plain in (NAME.encode(), b"Li Lei", REACH.encode(), b"name", b"content", json.dumps(NAME).encode()):
            assert plain not in item["sealed"]["B"]


def test_a_text_moved_under_another_key_does_not_open(office: Office) -> None:
    one, other = office.stated(), office.stated(sender=Sender("Han Meimei", "han@example.test", "en"))
    theirs = office.raw(withdrawal_text(other.id, 1))
    office.table.client.put_item(TableName=office.table.name, Item={**theirs, "pk": {"S": withdrawal_text(one.id, 1)}})
    with pytest.raises(InvalidTag):
        office.find(one.id)


def test_receipts_outlive_a_change_of_secrets(office: Office) -> None:
    receipt = office.stated()
    later = Withdrawals(office.commits, office.texts, Vault(("a secret that nobody knew before 002", SECRET)))
    asked = office.request_context(office.by)
    assert later.find(office.id, receipt.id, asked)[2] == receipt
    confirming = office.request_context(office.by, "confirm", fresh_key())
    assert later.confirm(office.id, receipt.id, confirming)[0].deposit.money.refunding == EARNEST
    assert later.find(office.id, receipt.id, asked)[1].confirmed_at == office.clock.now
    with pytest.raises(LookupError):
        office.find(receipt.id)  # a container that does not know the new secret yet


def test_a_merchant_reads_no_name_in_the_deposit(office: Office) -> None:
    office.confirm(office.stated().id)
    shown = office.desk.get(office.id, office.request_context(STAFF))
    assert NAME not in f"{shown}"
    assert REACH not in f"{shown}"
