"""Keys of routes that name a deposit in their body: written with the event or not at all, and never taken over."""

import pytest

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.events.payment import PaymentMethodChanged
from chalicelib.flows.ports.effects import KeyTaken, LimitCount, SealedText, TransactionEffect
from chalicelib.flows.ports.store import VersionConflict
from chalicelib.store.deposits import DepositStore
from chalicelib.store.keys import KeyStore
from tests.conftest import Tables
from tests.store.builders import T0, apply_events, counted, entry, new_deposit

SCOPE = b"8 bytes."
CHOSEN = PaymentMethodChanged(T0 + 1, "alipay")


class Desk:
    """Deposits, and the keys that belong to them."""

    def __init__(self, table: Tables) -> None:
        self.store = DepositStore(table.client, table.name, 60_000)
        self.keys = KeyStore(table.client, table.name)
        self.one, self.other = self._begun(), self._begun()

    def _begun(self) -> str:
        deposit, entries = new_deposit()
        self.store.create(deposit, entries, [], 0)
        return deposit.id

    def take(self, deposit_id: str, scope: bytes = SCOPE, *, stale: bool = False, count: int = 0) -> None:
        stored = self.store.get(deposit_id)
        assert stored is not None
        if stale:
            self.store.append(stored, [entry(CHOSEN)], apply_events(stored, CHOSEN), [])
        also: list[TransactionEffect] = [
            KeyTaken(scope, deposit_id),
            *([LimitCount("off_1", deposit_id, 1, count - 1)] if count else []),
        ]
        self.store.append(stored, [entry(CHOSEN)], apply_events(stored, CHOSEN), also)

    def version(self, deposit_id: str) -> int:
        stored = self.store.get(deposit_id)
        assert stored is not None
        return stored.version


@pytest.fixture
def desk(table: Tables) -> Desk:
    return Desk(table)


def test_a_key_belongs_to_its_deposit_from_the_event_on(desk: Desk) -> None:
    assert desk.keys.deposit_of(SCOPE) is None
    desk.take(desk.one)
    assert desk.keys.deposit_of(SCOPE) == desk.one
    assert desk.keys.deposit_of(b"8 bytes!") is None


@pytest.mark.parametrize("scope", [b"", b"\0" * 8, bytes(range(248, 256)), b"#########"])
def test_any_bytes_are_a_key(desk: Desk, scope: bytes) -> None:
    desk.take(desk.one, scope)
    assert desk.keys.deposit_of(scope) == desk.one


@pytest.mark.parametrize("which", ["one", "other"])
def test_a_key_is_taken_once_and_nothing_else_is_written_with_it(desk: Desk, which: str) -> None:
    desk.take(desk.one)
    deposit_id = getattr(desk, which)
    before = desk.version(deposit_id)
    with pytest.raises(Refused) as no:
        desk.take(deposit_id)
    assert no.value.reason is Reason.IDEMPOTENCY_KEY_REUSED
    assert (desk.version(deposit_id), desk.keys.deposit_of(SCOPE)) == (before, desk.one)


def test_the_deposits_own_reason_is_read_first(desk: Desk) -> None:
    """Ours was written and its answer lost: the journal tells, not the key."""
    desk.take(desk.one)
    with pytest.raises(VersionConflict):
        desk.take(desk.one, stale=True)


def test_an_append_that_was_overtaken_takes_no_key(desk: Desk) -> None:
    with pytest.raises(VersionConflict):
        desk.take(desk.one, stale=True)
    assert desk.keys.deposit_of(SCOPE) is None


def test_a_key_that_is_taken_is_said_before_a_limit_that_is_full(desk: Desk, table: Tables) -> None:
    desk.take(desk.one)
    with pytest.raises(Refused):
        desk.take(desk.other, count=1)
    assert counted(table, "off_1", desk.other) == 0


def test_a_key_is_no_text_and_no_deposit(desk: Desk) -> None:
    stored = desk.store.get(desk.one)
    assert stored is not None
    keep = SealedText("text#1", b"sealed")
    desk.store.append(stored, [entry(CHOSEN)], apply_events(stored, CHOSEN), [KeyTaken(SCOPE, desk.one), keep])
    assert desk.keys.deposit_of(SCOPE) == desk.one
    assert desk.store.get(f"key#{SCOPE.hex()}x") is None
