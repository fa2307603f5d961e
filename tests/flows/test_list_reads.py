"""Lists read the words of people together: one batch for a hundred texts, never one read for each."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from chalicelib.core.common.ids import child
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.money import Money
from tests.conftest import Tables
from tests.flows.ledger import KillSwitch, shop_in_memory
from tests.flows.planted import old_enough
from tests.flows.refund_shop import PLATFORM
from tests.flows.shop import DAY, PRICE, STATEMENT, FaultyShop, fresh_key, new_buyer
from tests.store.builders import STAFF

LOCKED_WHEN_PAID: Final[dict[str, Any]] = {
    "preset": "su7_founders_2024",
    "payment": {"take": "full", "nature": "advance"},
    "lock": {"undo": None},
    "delivery": {"within": None},
}
ON_ENGINE: Final = pytest.mark.parametrize("dynamodb", ["ministack"], indirect=True)


class Desk(FaultyShop):
    """An offer whose terms are in memory, and its buyers."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.offered = self.fill_caches(self.publish(units=None, **LOCKED_WHEN_PAID))

    def paid(self, by: Caller) -> str:
        deposit_id = self.order(self.offered, by).deposit.id
        self.pay(deposit_id, amount=PRICE)
        return deposit_id

    def reads(self, act: Callable[[], object]) -> dict[str, int]:
        return dict(Counter(self.faults.measure(act)[0]))

    def claim_with_two_texts(self, deposit_id: str, by: Caller) -> None:
        told = self.claim(deposit_id, by, amount=Money(100, "CNY"))
        self.respond(child("clm", deposit_id, told.claim.n), "reject")


@pytest.fixture
def desk(table: Tables) -> Iterator[Desk]:
    with Desk.open(table) as desk:
        yield desk


@ON_ENGINE
def test_a_page_of_open_claims_reads_its_texts_in_one_batch(desk: Desk) -> None:
    for _ in range(12):
        by = new_buyer()
        desk.claim_with_two_texts(desk.paid(by), by)
    found: list[Any] = []
    reads = desk.reads(lambda: found.extend(desk.claims.list_undecided(desk.request_context(STAFF), 12, None)[0]))
    assert [[step.words for step in told.history] for told in found] == [[STATEMENT, STATEMENT]] * 12
    assert reads == {"Query": 1, "BatchGetItem": 2}, "the journals, and the texts"


@ON_ENGINE
def test_all_claims_of_a_deposit_read_their_texts_in_one_batch(desk: Desk) -> None:
    by = new_buyer()
    deposit_id = desk.paid(by)
    desk.claim_with_two_texts(deposit_id, by)
    reads = desk.reads(lambda: desk.claims.list_claims(deposit_id, desk.request_context(by)))
    assert reads == {"GetItem": 1, "BatchGetItem": 1}


@ON_ENGINE
def test_all_questions_of_a_deposit_read_their_texts_in_one_batch(desk: Desk) -> None:
    by = new_buyer()
    deposit_id = desk.paid(by)
    for n in (1, 2):
        desk.questions.ask(
            deposit_id, "address", f"Which street, {n}?", desk.request_context(STAFF, "ask", fresh_key(), f"{n}")
        )
        asked = desk.request_context(by, "answer", fresh_key(), f"{n}")
        desk.questions.answer(child("qst", deposit_id, n), f"Long Street {n}", asked)
        desk.clock.now += DAY
    found: list[Any] = []
    reads = desk.reads(lambda: found.extend(desk.questions.list_questions(deposit_id, desk.request_context(by))))
    assert [(words.asked, words.answered) for _, _, words in found] == [
        ("Which street, 2?", "Long Street 2"),
        ("Which street, 1?", "Long Street 1"),
    ]
    assert reads == {"GetItem": 1, "BatchGetItem": 1}


def test_a_page_of_breaks_reads_its_notes_in_one_batch() -> None:
    ledger = shop_in_memory()
    for _ in range(5):
        old_enough(ledger)
    run_id = ledger.start().run.id
    ledger.work()
    for one in ledger.breaks(run_id)[:4]:
        asked = ledger.request_context(PLATFORM, f"resolve {one.id}", fresh_key(), one.id)
        ledger.reconciliation.resolve(one.id, "write_off", f"Note of {one.id}", asked)
    switch = KillSwitch()
    desk = ledger.share(switch).reconciliation
    rows, _ = desk.list_breaks(run_id, 100, None)
    switch.calls.clear()
    notes = desk.read_notes(rows)
    assert notes == [f"Note of {row.id}" for row in rows[:4]] + [None]
    assert switch.calls == ["batch_get_item"]
