"""What the flows rely on in a payment provider, asked of the sandbox's and of the simulator's alike."""

from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any, Final, Protocol

import pytest

from chalicelib.core.ids import child, digest_id
from chalicelib.core.instants import HOUR, MINUTE
from chalicelib.core.money import Money
from chalicelib.core.payment import CaptureSeen, PaymentSeen
from chalicelib.core.refund import RefundSeen
from chalicelib.flows.ports import NotFound, Provider, Session, Unknown
from chalicelib.gateways.books import Books
from chalicelib.gateways.sandbox import Sandbox
from chalicelib.store import schema
from tests.simulator.faults import CLASSES, Faults
from tests.simulator.provider import SimulatedProvider
from tests.simulator.scheduler import Actor, Scheduler

T0: Final = 1_795_269_600_000
DEPOSIT: Final = digest_id("dep", "provider")
PAYMENT: Final = child("pay", DEPOSIT, 1)
REFUND: Final = child("ref", DEPOSIT, 1)
DUE: Final = Money(500_000, "CNY")
HALF: Final = Money(250_000, "CNY")
_numbers: Final = count(1)


class Desk(Protocol):
    """A provider, and what a test does on its other side. ``ask`` calls the port; a trip may take it a second."""

    retention_ms: int

    def ask(self, call: Callable[[Provider], Any]) -> Any: ...

    def now(self) -> int: ...

    def wait(self, milliseconds: int) -> None: ...

    def pay(self, amount: Money) -> int:
        """Money arrives for the payment; the instant of it."""

    def spoil(self, fault: str) -> None:
        """What the next refund meets, by the sandbox's name for it."""

    def executed(self) -> int:
        """How often the refund stands in the provider's own books as moved."""


class SandboxDesk:
    retention_ms = Sandbox.key_retention_ms

    def __init__(self, client: Any) -> None:
        name = f"provider-{next(_numbers)}"
        schema.create_tables(client, name, f"{name}-sandbox")
        self._sandbox = Sandbox(Books(client, f"{name}-sandbox"), lambda: T0)

    def ask(self, call: Callable[[Provider], Any]) -> Any:
        return call(self._sandbox)

    def now(self) -> int:
        return self._sandbox.now()

    def wait(self, milliseconds: int) -> None:
        self._sandbox.advance(self.now() + milliseconds)

    def pay(self, amount: Money) -> int:
        self._sandbox.pay(PAYMENT, "succeeded", amount)
        return self.now()

    def spoil(self, fault: str) -> None:
        self._sandbox.arm("refund", fault, 1)

    def executed(self) -> int:
        rows = self._sandbox.books(DEPOSIT.removeprefix("dep_"))
        return sum(row["refund"] == REFUND and row["status"] in {"pending", "succeeded", "returned"} for row in rows)


# The sandbox's name of a fault, and the simulator's.
FAULTS: Final = {
    "timeout_before": "refund.fails_before",
    "timeout_after": "refund.executes_then_times_out",
    "error_500": "refund.error_before",
    "declined": "refund.declined",
    "pending": "refund.pending",
    "succeeds_later": "refund.executes_late",
    "returned_later": "refund.returned_later",
    "wrong_amount": "refund.wrong_amount",
}


class SimulatedDesk:
    retention_ms = 24 * HOUR

    def __init__(self) -> None:
        self._scheduler = Scheduler(T0)
        self._faults = Faults(dict.fromkeys(CLASSES, 0))
        self._provider = SimulatedProvider(self._scheduler, self._faults, self.retention_ms, tell=lambda _subject: None)

    def ask(self, call: Callable[[Provider], Any]) -> Any:
        answers: list[Any] = []
        random = Random("desk")  # noqa: S311 - the time that a trip takes
        actor = Actor("desk", random, lambda: answers.append(call(self._provider)))
        self._scheduler.spawn(actor, self.now())
        self._scheduler.drain(self.now() + 1_000)
        self._faults.rates = dict.fromkeys(CLASSES, 0)
        return answers[0]

    def now(self) -> int:
        return self._scheduler.now

    def wait(self, milliseconds: int) -> None:
        self._scheduler.drain(self.now() + milliseconds)

    def pay(self, amount: Money) -> int:
        self._provider.pay(PAYMENT, amount, self.now())
        return self.now()

    def spoil(self, fault: str) -> None:
        self._faults.rates[FAULTS[fault]] = 100

    def executed(self) -> int:
        moved = {"pending", "succeeded", "returned"}
        return sum(row.refund_id == REFUND and row.status in moved for row in self._provider.refunds)


@pytest.fixture(params=["sandbox", "simulated"])
def desk(request: pytest.FixtureRequest) -> Desk:
    return SandboxDesk(request.getfixturevalue("in_process")) if request.param == "sandbox" else SimulatedDesk()


@pytest.fixture
def paid(desk: Desk) -> Desk:
    """What was due has been paid."""
    open_session(desk)
    desk.pay(DUE)
    return desk


def open_session(desk: Desk) -> Any:
    return desk.ask(lambda provider: provider.open_session(PAYMENT, DUE, "card"))


def payment(desk: Desk) -> Any:
    return desk.ask(lambda provider: provider.find_payment(PAYMENT))


def refund(desk: Desk, amount: Money = DUE) -> Any:
    return desk.ask(lambda provider: provider.refund(REFUND, PAYMENT, f"{PAYMENT}.1", amount))


def found(desk: Desk) -> Any:
    return desk.ask(lambda provider: provider.find_refund(REFUND))


def test_it_says_how_long_it_remembers_a_key(desk: Desk) -> None:
    assert desk.ask(lambda provider: provider.key_retention_ms) == desk.retention_ms


def test_what_it_never_heard_of_is_not_found(desk: Desk) -> None:
    assert isinstance(payment(desk), NotFound)
    assert isinstance(found(desk), NotFound)


def test_a_session_is_opened_once_and_shown_again(desk: Desk) -> None:
    first = open_session(desk)
    assert isinstance(first, Session)
    assert open_session(desk) == first
    assert payment(desk) == PaymentSeen(1, "open")


def test_opening_again_does_not_forget_what_was_paid(paid: Desk) -> None:
    open_session(paid)
    assert payment(paid).status == "succeeded"


def test_every_capture_is_seen_once_with_its_own_instant(desk: Desk) -> None:
    open_session(desk)
    first = desk.pay(HALF)
    desk.wait(MINUTE)
    second = desk.pay(DUE)
    desk.wait(HOUR)
    captures = (CaptureSeen(f"{PAYMENT}.1", HALF, first), CaptureSeen(f"{PAYMENT}.2", DUE, second))
    assert second - first >= MINUTE
    assert payment(desk) == payment(desk) == PaymentSeen(1, "succeeded", captures)


def test_a_refund_is_executed_once_for_its_key(paid: Desk) -> None:
    answers = [refund(paid) for _ in range(3)]
    assert answers[0] == RefundSeen(1, "succeeded", DUE, answers[0].provider_ref, answers[0].at, code=answers[0].code)
    assert answers == [found(paid)] * 3
    assert paid.executed() == 1


def test_a_refund_is_settled_a_day_after(paid: Desk) -> None:
    at = refund(paid).at
    paid.wait(at + 24 * HOUR - 2_000 - paid.now())
    assert not found(paid).settled
    paid.wait(2_000)
    assert found(paid).settled


def test_a_declined_refund_stays_declined(paid: Desk) -> None:
    paid.spoil("declined")
    answers = [refund(paid), refund(paid), found(paid)]
    assert [answer.status for answer in answers] == ["declined"] * 3
    assert answers[0].code
    assert paid.executed() == 0


def test_a_pending_refund_succeeds_later_and_is_the_same_one(paid: Desk) -> None:
    paid.spoil("pending")
    first = refund(paid)
    assert (first.status, found(paid).status) == ("pending", "pending")
    paid.wait(2 * HOUR)
    later = found(paid)
    assert (later.status, later.provider_ref) == ("succeeded", first.provider_ref)
    assert later.at > first.at
    assert paid.executed() == 1


def test_a_refund_may_come_back_after_it_succeeded(paid: Desk) -> None:
    paid.spoil("returned_later")
    first = refund(paid)
    assert first.status == "succeeded"
    paid.wait(48 * HOUR)
    later = found(paid)
    assert (later.status, later.provider_ref) == ("returned", first.provider_ref)
    assert later.at > first.at


# fault             executed, seen at once  executed, in the end
NO_ANSWER: Final = [
    ("timeout_before", 0, 0),
    ("error_500", 0, 0),
    ("timeout_after", 1, 1),
    ("succeeds_later", 0, 1),
]


@pytest.mark.parametrize(("fault", "now", "later"), NO_ANSWER, ids=[fault for fault, _, _ in NO_ANSWER])
def test_no_answer_may_mean_anything_and_a_look_tells(paid: Desk, fault: str, now: int, later: int) -> None:
    paid.spoil(fault)
    assert isinstance(refund(paid), Unknown)
    assert paid.executed() == now
    assert isinstance(found(paid), RefundSeen) == bool(now)
    paid.wait(15 * MINUTE)
    assert isinstance(found(paid), RefundSeen) == bool(later)
    assert paid.executed() == later


@pytest.mark.parametrize("fault", [fault for fault, _, _ in NO_ANSWER])
def test_the_same_key_after_no_answer_never_pays_twice(paid: Desk, fault: str) -> None:
    paid.spoil(fault)
    refund(paid)
    paid.wait(15 * MINUTE)
    assert refund(paid).status == "succeeded"
    assert paid.executed() == 1


def test_an_answer_may_name_another_amount_than_its_books(paid: Desk) -> None:
    paid.spoil("wrong_amount")
    assert refund(paid).amount != DUE
    assert found(paid).amount == DUE


@pytest.mark.parametrize(("age", "times"), [(-1, 1), (0, 2)], ids=["remembered", "forgotten"])
def test_a_key_that_is_forgotten_executes_again(paid: Desk, age: int, times: int) -> None:
    """That is what providers do: it is ours never to send a key that old."""
    at = refund(paid, HALF).at
    paid.wait(at + paid.retention_ms + age * 2_000 - paid.now())
    again = refund(paid, HALF)
    assert again.status == "succeeded"
    assert paid.executed() == times
    assert found(paid).provider_ref == again.provider_ref
