"""What the schedule does at a deposit: write what the clock made true, and look for a balance whose news was lost."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import MINUTE
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.delivery.fulfilment import PayBalance, Ready
from chalicelib.core.locking.lock import Unlock
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.flows.entries import SYSTEM
from chalicelib.flows.images import fold_stored
from chalicelib.flows.ports.provider import Unknown
from chalicelib.flows.ports.store import Leased
from chalicelib.jobs.sweep import Sweep
from tests.conftest import Tables
from tests.flows.shop import DAY, EARNEST, HOUR, PRICE, FaultyShop, captured, new_buyer
from tests.store.builders import STAFF, T0

pytestmark = pytest.mark.parametrize("dynamodb", ["memory", "ministack"], indirect=True)
END: Final = T0 + 7 * DAY
BALANCE: Final = PRICE - EARNEST
TOLD: Final = {"lock.reminder", "lock.by_window_end", "lock.final", "balance.overdue"}
REMINDERS: Final = [("lock.reminder", END - before * HOUR) for before in (72, 24, 2)]


class Yard(FaultyShop):
    """A buyer has paid for a car."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.by = new_buyer()
        self.id = self.order(self.publish(units=None), self.by).deposit.id
        self.pay(self.id)

    def ready(self, at: int = END) -> None:
        self.clock.now = at
        self.command(self.id, Ready((1,), at, ("photo:1",)), STAFF)

    def open_balance(self, at: int) -> str:
        self.clock.now = at
        deposit = self.command(self.id, PayBalance("card"), self.by).deposit
        return child("pay", self.id, deposit.payment.n)

    def attend(self, at: int, owner: str = "job/1") -> bool:
        self.clock.now = at
        return self.deposit_worker.process_due(self.id, owner)

    def told(self) -> list[tuple[str, int]]:
        """What the clock said, and when; each entry is the clock's own."""
        said = [entry for entry in self.load(self.id).journal if entry.event.TYPE in TOLD]
        assert all((one.by, one.key, one.received_at) == (SYSTEM, None, one.event.at) for one in said)
        return [(one.event.TYPE, one.event.at) for one in said]

    def due(self) -> int | None:
        return self.load(self.id).due

    def sweep(self, at: int) -> int:
        """What close_windows does everywhere."""
        self.clock.now = at
        job = Sweep("close_windows", "time", self.store, {"dep": self.deposit_worker}, self.clock)
        return job.run("job/1", lambda: 60_000).attended


@pytest.fixture
def yard(table: Tables) -> Iterator[Yard]:
    with Yard.open(table) as yard:
        yield yard


# Events of the provider.


def test_an_event_for_a_deposit_of_a_busy_store_is_refused_so_that_it_is_sent_again(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise Refused(Reason.BUSY, retry_after=1)

    monkeypatch.setattr(type(yard.store), "get", busy)
    with pytest.raises(Refused) as refused:
        yard.deposit_worker.handle_provider_event(child("pay", yard.id, 1), "event/1")
    assert refused.value.reason is Reason.BUSY


def test_an_event_for_a_deposit_that_is_not_ours_is_not_handled(yard: Yard) -> None:
    assert not yard.deposit_worker.handle_provider_event(child("pay", f"dep_{'0' * 26}", 1), "event/1")


# Announcements.


def test_each_reminder_is_written_at_its_own_instant_once(yard: Yard) -> None:
    for n, (_, at) in enumerate([*REMINDERS, ("lock.by_window_end", END)]):
        assert yard.due() == at
        assert yard.sweep(at - 1) == 0
        assert len(yard.told()) == n
        assert yard.sweep(at) == 1
        assert yard.sweep(at) == 0
        assert len(yard.told()) == n + 1
    assert yard.told() == [*REMINDERS, ("lock.by_window_end", END)]
    assert yard.due() is None


@pytest.mark.parametrize("late", [0, 1, 90 * DAY])
def test_when_everything_is_late_each_is_still_written_once_at_its_own_instant(yard: Yard, late: int) -> None:
    assert yard.attend(END + late)
    assert not yard.attend(END + late)
    assert yard.told() == [*REMINDERS, ("lock.by_window_end", END)]


def test_a_lock_becomes_final_when_its_undo_is_over(yard: Yard) -> None:
    shown = yard.open_intent(yard.id, yard.by)
    yard.clock.now = shown.confirmable_at
    yard.lock(yard.id, yard.by, shown)
    final = shown.confirmable_at + HOUR
    assert yard.due() == final
    assert yard.sweep(final - 1) == 0
    assert yard.sweep(final) == 1
    assert yard.sweep(END + DAY) == 0, "who has locked is reminded of nothing"
    assert yard.told() == [("lock.final", final)]


def test_after_an_undo_only_the_reminders_that_are_still_ahead_are_written(yard: Yard) -> None:
    yard.clock.now = END - 72 * HOUR - MINUTE
    shown = yard.open_intent(yard.id, yard.by)
    yard.clock.now = shown.confirmable_at
    yard.lock(yard.id, yard.by, shown)
    yard.clock.now = END - 72 * HOUR + MINUTE
    yard.command(yard.id, Unlock(), yard.by)
    yard.attend(END)
    assert yard.told() == [*REMINDERS[1:], ("lock.by_window_end", END)]


def test_an_unlock_after_the_window_leads_to_a_lock_for_good_at_the_end_of_the_undo(yard: Yard) -> None:
    yard.clock.now = END - 10 * MINUTE
    yard.attend(END - 10 * MINUTE)
    shown = yard.open_intent(yard.id, yard.by)
    yard.clock.now = shown.confirmable_at
    until = yard.clock.now + HOUR
    yard.lock(yard.id, yard.by, shown)
    yard.clock.now = END + MINUTE
    yard.command(yard.id, Unlock(), yard.by)
    assert yard.due() == until
    assert yard.sweep(until - 1) == 0
    assert yard.sweep(until) == 1
    assert yard.told() == [*REMINDERS, ("lock.by_window_end", until)]


def test_a_balance_is_told_to_be_overdue_when_it_falls_due_unpaid(yard: Yard) -> None:
    yard.ready()
    due = END + 7 * DAY
    assert yard.due() == due
    assert yard.sweep(due - 1) == 0
    assert yard.sweep(due) == 1
    assert yard.sweep(due + 30 * DAY) == 0
    assert yard.told()[-1] == ("balance.overdue", due)
    assert yard.load(yard.id).journal[-1].event.cure_until == due + 7 * DAY


@pytest.mark.parametrize(("paid_at", "told"), [(-1, False), (1, True)])
def test_a_balance_that_was_paid_in_time_is_never_told_to_be_overdue(yard: Yard, paid_at: int, told: bool) -> None:
    yard.ready()
    due = END + 7 * DAY
    yard.open_balance(due - MINUTE)
    yard.clock.now = due + paid_at
    yard.pay(yard.id, amount=BALANCE, payment=2)
    yard.attend(due + DAY)
    assert ("balance.overdue" in yard.event_types(yard.id)) == told
    assert not fold_stored(yard.load(yard.id)).balance


def test_a_reader_sees_the_same_announcements_before_and_after_they_are_written(yard: Yard) -> None:
    yard.ready()
    yard.clock.now = END + 8 * DAY
    asked = yard.request_context(yard.by)
    before = yard.desk.get(yard.id, asked)
    assert "balance.overdue" not in yard.event_types(yard.id)
    yard.attend(END + 8 * DAY)
    assert yard.desk.get(yard.id, asked) == before


def test_two_workers_at_once_tell_everything_once(yard: Yard) -> None:
    yard.clock.now = END
    yard.faults.before("UpdateItem", lambda: yard.second_shop.deposit_worker.process_due(yard.id, "job/2"))
    yard.attend(END)
    assert yard.told() == [*REMINDERS, ("lock.by_window_end", END)]


# A balance whose news was lost.


LOOKS: Final = [
    # how long after the balance was opened it is looked for
    5 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, DAY, 2 * DAY, 3 * DAY,
]  # fmt: skip


@pytest.mark.parametrize("known", [None, Unknown(), PaymentSeen(2, "open")], ids=str)
def test_an_opened_balance_is_looked_for_later_and_later_and_a_vain_look_is_no_event(yard: Yard, known: Any) -> None:
    yard.attend(END)
    opened = END + MINUTE
    payment = yard.open_balance(opened)
    if known is not None:
        yard.provider.payments[payment] = known
    before = yard.load(yard.id).journal
    for n, after in enumerate(LOOKS):
        assert yard.due() == opened + after
        assert not yard.attend(opened + after - 1)
        assert yard.attend(opened + after)
        assert yard.provider.calls == [payment] * (n + 1)
    assert yard.load(yard.id).journal == before


def test_a_late_worker_looks_once_and_goes_on_from_now(yard: Yard) -> None:
    yard.attend(END)
    payment = yard.open_balance(END)
    assert yard.sweep(END + 3 * HOUR) == 1
    assert yard.provider.calls == [payment]
    assert yard.due() == END + 6 * HOUR


def test_a_balance_whose_event_was_lost_is_found_and_settled(yard: Yard) -> None:
    yard.attend(END)
    payment = yard.open_balance(END)
    yard.provider.payments[payment] = captured(END + MINUTE, BALANCE, 2)
    yard.sweep(END + 5 * MINUTE)
    deposit = fold_stored(yard.load(yard.id))
    assert yard.load(yard.id).journal[-1].event.TYPE == "balance.paid"
    assert yard.load(yard.id).journal[-1].event.at == END + MINUTE
    assert deposit.money.held == PRICE
    assert yard.due() is None
    assert yard.sweep(END + 30 * DAY) == 0
    assert yard.provider.calls == [payment]


@pytest.mark.parametrize("status", ["pending", "failed"])
def test_what_is_new_is_written_once_and_looked_for_on(yard: Yard, status: Any) -> None:
    """Also a payment that failed may arrive after all."""
    yard.attend(END)
    payment = yard.open_balance(END)
    yard.provider.payments[payment] = PaymentSeen(2, status)
    for minutes in (5, 6, 30, 31):
        yard.sweep(END + minutes * MINUTE)
    assert yard.event_types(yard.id).count(f"payment.{status}") == 1
    yard.provider.payments[payment] = captured(END + 40 * MINUTE, BALANCE, 2)
    yard.sweep(END + 2 * HOUR)
    assert fold_stored(yard.load(yard.id)).money.held == PRICE


def test_only_the_balance_payment_that_may_still_arrive_is_looked_for(yard: Yard) -> None:
    yard.attend(END)
    former, latest = yard.open_balance(END), yard.open_balance(END + MINUTE)
    yard.sweep(END + 6 * MINUTE)
    assert yard.provider.calls == [latest] != [former]


def test_a_cancelled_deposit_looks_for_no_balance(yard: Yard) -> None:
    yard.attend(END)
    yard.open_balance(END)
    yard.cancel(yard.id, yard.by)
    assert yard.sweep(END + DAY) == 0
    assert yard.provider.calls == []


@pytest.mark.parametrize(("later", "looks"), [(MINUTE - 1, False), (MINUTE, True)])
def test_the_lease_of_another_worker_is_respected_until_it_is_past(yard: Yard, later: int, looks: bool) -> None:
    yard.attend(END)
    payment = yard.open_balance(END)
    yard.provider.payments[payment] = captured(END + MINUTE, BALANCE, 2)
    began = END + 5 * MINUTE
    yard.store.touch(yard.load(yard.id), began, owner="job/2", until=began + MINUTE, now=began)
    if looks:
        assert yard.attend(began + later)
        assert fold_stored(yard.load(yard.id)).money.held == PRICE
    else:
        with pytest.raises(Leased):
            yard.attend(began + later)
        assert yard.provider.calls == []


def test_two_workers_at_once_look_once(yard: Yard) -> None:
    yard.attend(END)
    payment = yard.open_balance(END)
    yard.provider.payments[payment] = Unknown()
    yard.second_shop.provider.payments = yard.provider.payments
    yard.clock.now = END + 5 * MINUTE
    yard.faults.before("UpdateItem", lambda: yard.second_shop.deposit_worker.process_due(yard.id, "job/2"))
    with pytest.raises(Leased):
        yard.attend(END + 5 * MINUTE)
    assert (yard.provider.calls, yard.second_shop.provider.calls) == ([], [payment])


def test_the_same_balance_found_and_heard_counts_once(yard: Yard) -> None:
    yard.attend(END)
    payment = yard.open_balance(END)
    seen = captured(END + MINUTE, BALANCE, 2)
    yard.provider.payments[payment] = seen
    yard.faults.before("UpdateItem", lambda: yard.second_shop.deposit_worker.settle(yard.id, seen, "event/1"))
    yard.sweep(END + 5 * MINUTE)
    yard.deposit_worker.handle_provider_event(payment, "event/2")
    assert yard.event_types(yard.id).count("balance.paid") == 1
    assert fold_stored(yard.load(yard.id)).money.captured == PRICE


def test_an_overdue_balance_is_told_also_while_the_provider_gives_no_answer(yard: Yard) -> None:
    yard.ready()
    due = END + 7 * DAY
    payment = yard.open_balance(due - HOUR)
    yard.provider.payments[payment] = Unknown()
    yard.sweep(due)
    assert yard.told()[-1] == ("balance.overdue", due)
    yard.sweep(due)  # an append knows the first distance only; the next look goes on from where it is
    assert yard.due() == due + HOUR
