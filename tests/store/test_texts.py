"""Texts of people: written in the transaction of the event that names them or not at all, and never overwritten."""

from typing import Any, Final

import pytest

from chalicelib.core.common.journal import Entry
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.events.ending import WithdrawalStated
from chalicelib.core.deposit.events.payment import PaymentPending
from chalicelib.flows.ports.effects import SealedText, TransactionEffect
from chalicelib.flows.ports.store import StockShort, VersionConflict
from chalicelib.store.deposits import DepositStore
from chalicelib.store.requests import MAX_BATCH_KEYS, ConditionFailed
from chalicelib.store.texts import MAX_ATTEMPTS, TextStore
from tests.conftest import Tables
from tests.store.builders import (
    T0,
    apply_events,
    draft,
    entry,
    fresh,
    move,
    new_deposit,
    publish_offer,
    shards,
    take_stock,
)

GRACE: Final = 60_000
STATED: Final = WithdrawalStated(T0 + 1, 1, "sha256:1")


class Desk:
    """A deposit and what is kept beside it."""

    def __init__(self, table: Tables) -> None:
        self.store = DepositStore(table.client, table.name, GRACE)
        self.texts = TextStore(table.client, table.name, lambda _: None)
        deposit, entries = new_deposit()
        self.store.create(deposit, entries, [], 0)
        self.id = deposit.id
        self.key = f"text#{fresh('wdr')}_1#1"

    def state(self, *also: TransactionEffect, stale: bool = False, sealed: bytes = b"sealed") -> None:
        stored = self.store.get(self.id)
        assert stored is not None
        if stale:
            self.store.append(stored, [entry(PaymentPending(T0, 1))], apply_events(stored, PaymentPending(T0, 1)), [])
        entries: list[Entry[WithdrawalStated]] = [entry(STATED)]
        self.store.append(stored, entries, apply_events(stored, STATED), [SealedText(self.key, sealed), *also])

    def types(self) -> list[str]:
        stored = self.store.get(self.id)
        assert stored is not None
        return [one.event.TYPE for one in stored.journal]


@pytest.fixture
def desk(table: Tables) -> Desk:
    return Desk(table)


@pytest.mark.parametrize("sealed", [b"\0", b"sealed", bytes(range(256)), b"x" * 8_000])
def test_a_text_is_there_with_its_event_byte_for_byte(desk: Desk, sealed: bytes) -> None:
    assert desk.texts.get(desk.key) is None
    desk.state(sealed=sealed)
    assert desk.texts.get(desk.key) == sealed
    assert desk.types() == ["deposit.created", "withdrawal.stated"]


def test_an_event_that_somebody_overtook_leaves_no_text(desk: Desk) -> None:
    with pytest.raises(VersionConflict):
        desk.state(stale=True)
    assert desk.texts.get(desk.key) is None
    assert desk.types() == ["deposit.created", "payment.pending"]


def test_a_text_whose_neighbour_is_refused_is_not_there_either(desk: Desk, table: Tables) -> None:
    offer = publish_offer(table, draft(4))
    with pytest.raises(StockShort):
        desk.state(take_stock(offer, 0, 5))
    assert desk.texts.get(desk.key) is None
    assert desk.types() == ["deposit.created"]
    assert shards(table, offer) == [(4, 0, 0, 4)]


def test_a_text_is_never_overwritten_and_its_event_not_written_then(desk: Desk, table: Tables) -> None:
    assert move(table, SealedText(desk.key, b"first"))
    with pytest.raises(ConditionFailed):
        desk.state(sealed=b"second")
    assert desk.texts.get(desk.key) == b"first"
    assert desk.types() == ["deposit.created"]


def test_a_text_that_was_never_written_is_not_found(desk: Desk) -> None:
    desk.state()
    assert desk.texts.get(f"{desk.key}2") is None


# Many at once.


class Reluctant:
    """A table that answers only so many keys of a batch and hands the others back."""

    def __init__(self, table: Tables, most: int) -> None:
        self._table = table
        self._most = most
        self.asked: list[int] = []

    def batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803 - DynamoDB's own name
        [(name, wanted)] = RequestItems.items()
        assert wanted["ConsistentRead"]
        now, later = wanted["Keys"][: self._most], wanted["Keys"][self._most :]
        self.asked.append(len(wanted["Keys"]))
        found: Any = {"Responses": {}}
        if now:
            found = self._table.client.batch_get_item(RequestItems={name: {"Keys": now}})
        left: Any = {name: {"Keys": later}} if later else {}
        return {"Responses": found["Responses"], "UnprocessedKeys": left}


def keep(table: Tables, count: int) -> dict[str, bytes]:
    texts = {f"text#{fresh('qst')}": f"sealed {n}".encode() for n in range(count)}
    for key, sealed in texts.items():
        assert move(table, SealedText(key, sealed))
    return texts


def test_many_texts_are_read_together_and_what_is_not_there_is_left_out(desk: Desk, table: Tables) -> None:
    texts = keep(table, 3)
    assert desk.texts.get_many([*texts, "text#none", *texts]) == texts
    assert desk.texts.get_many([]) == {}


def test_a_batch_has_a_hundred_keys_at_most(table: Tables) -> None:
    texts = keep(table, 5)
    client = Reluctant(table, 100)
    keys = [*(f"text#none{n}" for n in range(MAX_BATCH_KEYS + 45)), *texts]
    assert TextStore(client, table.name, lambda _: None).get_many(keys) == texts
    assert client.asked == [MAX_BATCH_KEYS, 50]


def test_what_a_batch_leaves_is_asked_for_again_after_a_pause(table: Tables) -> None:
    texts = keep(table, 5)
    pauses: list[int] = []
    client = Reluctant(table, 2)
    assert TextStore(client, table.name, pauses.append).get_many(list(texts)) == texts
    assert (client.asked, pauses) == ([5, 3, 1], [0, 1])


def test_a_table_that_leaves_keys_again_and_again_is_busy(table: Tables) -> None:
    texts = keep(table, 2)
    pauses: list[int] = []
    client = Reluctant(table, 0)
    with pytest.raises(Refused) as refused:
        TextStore(client, table.name, pauses.append).get_many(list(texts))
    assert refused.value.reason is Reason.BUSY
    assert client.asked == [2] * MAX_ATTEMPTS
    assert pauses == list(range(MAX_ATTEMPTS))
