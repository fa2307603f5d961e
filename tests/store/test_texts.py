"""Texts of people: written in the transaction of the event that names them or not at all, and never overwritten."""

from typing import Final

import pytest

from chalicelib.core.common.journal import Entry
from chalicelib.core.deposit.events.ending import WithdrawalStated
from chalicelib.core.deposit.events.payment import PaymentPending
from chalicelib.flows.ports.effects import SealedText, TransactionEffect
from chalicelib.flows.ports.store import StockShort, VersionConflict
from chalicelib.store.deposits import DepositStore
from chalicelib.store.requests import ConditionFailed
from chalicelib.store.texts import TextStore
from tests.conftest import Tables
from tests.store.builders import T0, after, begun, draft, drawn, entry, fresh, lay_out, move, shards

GRACE: Final = 60_000
STATED: Final = WithdrawalStated(T0 + 1, 1, "sha256:1")


class Desk:
    """A deposit and what is kept beside it."""

    def __init__(self, table: Tables) -> None:
        self.store = DepositStore(table.client, table.name, GRACE)
        self.texts = TextStore(table.client, table.name)
        deposit, entries = begun()
        self.store.create(deposit, entries, [], 0)
        self.id = deposit.id
        self.key = f"text#{fresh('wdr')}_1#1"

    def state(self, *also: TransactionEffect, stale: bool = False, sealed: bytes = b"sealed") -> None:
        stored = self.store.get(self.id)
        assert stored is not None
        if stale:
            self.store.append(stored, [entry(PaymentPending(T0, 1))], after(stored, PaymentPending(T0, 1)), [])
        entries: list[Entry[WithdrawalStated]] = [entry(STATED)]
        self.store.append(stored, entries, after(stored, STATED), [SealedText(self.key, sealed), *also])

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
    offer = lay_out(table, draft(4))
    with pytest.raises(StockShort):
        desk.state(drawn(offer, 0, 5))
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
