"""What the flows rely on in a payment provider, asked of the sandbox's and of the simulator's alike."""

import json
from collections.abc import Callable
from itertools import count, product
from random import Random
from typing import Any, Final, Literal, Protocol

import pytest

from chalicelib.core.common.ids import child, digest_id
from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.refund import route_key
from chalicelib.core.paying.provider_answers import CaptureSeen, DisputeSeen, PaymentSeen
from chalicelib.core.reconciliation.lines import SHARDS, Line, LineKind, build_place, compute_shard
from chalicelib.core.refunding.destination import Payee
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.flows.ports.provider import NotFound, Provider, ReportPage, Session, Settlement, Unknown
from chalicelib.gateways.sandbox.books import Books
from chalicelib.gateways.sandbox.provider import Sandbox
from chalicelib.gateways.settlement_file import SettlementFile
from chalicelib.store import schema
from tests.gateways.paper import T0
from tests.gateways.paper import sandbox as on_paper
from tests.simulator.faults import CLASSES, Faults
from tests.simulator.provider import SimulatedProvider
from tests.simulator.scheduler import Actor, Scheduler

DEPOSIT: Final = digest_id("dep", "provider")
PAYMENT: Final = child("pay", DEPOSIT, 1)
REFUND: Final = child("ref", DEPOSIT, 1)
DUE: Final = Money(500_000, "CNY")
HALF: Final = Money(250_000, "CNY")
PAYEE: Final = Payee("Ana Lim", "ICBC", "6222020200112233445")
ALWAYS: Final = (0, T0 + 400 * DAY)
_numbers: Final = count(1)


class Reporting(Provider, Settlement, Protocol):
    """Both providers of ours report too."""


class Desk(Protocol):
    """A provider, and what a test does on its other side. ``ask`` calls the port; a trip may take it a second."""

    retention_ms: int

    def ask(self, call: Callable[[Reporting], Any]) -> Any: ...

    def now(self) -> int: ...

    def wait(self, milliseconds: int) -> None: ...

    def pay(self, amount: Money, payment_id: str = PAYMENT) -> int:
        """Money arrives for the payment; the instant of it."""

    def dispute(self, status: Literal["open", "won", "lost"]) -> None:
        """The buyer's bank takes the latest capture back, or decides."""

    def told(self) -> list[str]:
        """What its events were about so far."""

    def spoil(self, fault: str) -> None:
        """What the next refund meets, by the sandbox's name for it."""

    def executed(self) -> int:
        """How often the refund stands in the provider's own books as moved."""


class SandboxDesk:
    retention_ms = Sandbox.key_retention_ms

    def __init__(self, client: Any) -> None:
        name = f"provider-{next(_numbers)}"
        schema.create_tables(client, name, f"{name}-sandbox")
        self._sandbox = Sandbox(Books(client, f"{name}-sandbox"), lambda: T0, self._deliver)
        self._told: list[str] = []

    def _deliver(self, _id: str, body: bytes) -> int:
        self._told.append(json.loads(body)["data"]["id"])
        return 200

    def ask(self, call: Callable[[Reporting], Any]) -> Any:
        return call(self._sandbox)

    def now(self) -> int:
        return self._sandbox.now()

    def wait(self, milliseconds: int) -> None:
        self._sandbox.advance(self.now() + milliseconds)

    def pay(self, amount: Money, payment_id: str = PAYMENT) -> int:
        self._sandbox.pay(payment_id, "succeeded", amount)
        return self.now()

    def dispute(self, status: Literal["open", "won", "lost"]) -> None:
        self._sandbox.charge_back(PAYMENT, "opened" if status == "open" else status)

    def told(self) -> list[str]:
        self._sandbox.pump()
        return self._told

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
        self._told: list[str] = []
        self._provider = SimulatedProvider(self._scheduler, self._faults, self.retention_ms, self._told.append)

    def ask(self, call: Callable[[Reporting], Any]) -> Any:
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

    def pay(self, amount: Money, payment_id: str = PAYMENT) -> int:
        self._provider.pay(payment_id, amount, self.now())
        return self.now()

    def dispute(self, status: Literal["open", "won", "lost"]) -> None:
        self._provider.dispute(PAYMENT, status)

    def told(self) -> list[str]:
        return self._told

    def spoil(self, fault: str) -> None:
        self._faults.rates[FAULTS[fault]] = 100

    def executed(self) -> int:
        moved = {"pending", "succeeded", "returned"}
        return sum(row.refund_id == REFUND and row.status in moved for row in self._provider.refunds)


@pytest.fixture(params=["sandbox", "simulated"])
def desk(request: pytest.FixtureRequest) -> Desk:
    return SandboxDesk(request.getfixturevalue("memory")) if request.param == "sandbox" else SimulatedDesk()


@pytest.fixture
def paid(desk: Desk) -> Desk:
    """What was due has been paid."""
    open_session(desk)
    desk.pay(DUE)
    return desk


def open_session(desk: Desk, payment_id: str = PAYMENT) -> Any:
    return desk.ask(lambda provider: provider.open_session(payment_id, DUE, "card"))


def payment(desk: Desk) -> Any:
    return desk.ask(lambda provider: provider.find_payment(PAYMENT))


class Send(Protocol):
    """Asks for a refund or a payout under a key."""

    def __call__(self, desk: Desk, amount: Money = DUE, key: str = REFUND) -> Any: ...


def refund(desk: Desk, amount: Money = DUE, key: str = REFUND) -> Any:
    return desk.ask(lambda provider: provider.refund(key, PAYMENT, f"{PAYMENT}.1", amount))


def pay_out(desk: Desk, amount: Money = DUE, key: str = REFUND) -> Any:
    return desk.ask(lambda provider: provider.pay_out(key, amount, PAYEE))


@pytest.fixture(params=[refund, pay_out], ids=["refund", "payout"])
def send(request: pytest.FixtureRequest) -> Send:
    """What holds for a refund holds for a payout."""
    found: Send = request.param
    return found


def found(desk: Desk, key: str = REFUND) -> Any:
    return desk.ask(lambda provider: provider.find_refund(key))


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


def test_a_refund_is_executed_once_for_its_key(paid: Desk, send: Send) -> None:
    answers = [send(paid) for _ in range(3)]
    assert answers[0] == RefundSeen(
        1, "succeeded", DUE, answers[0].provider_ref, answers[0].at, code=answers[0].code, executed_at=answers[0].at
    )
    assert answers == [found(paid)] * 3
    assert paid.executed() == 1


def test_a_refund_is_settled_a_day_after(paid: Desk, send: Send) -> None:
    at = send(paid).at
    paid.wait(at + 24 * HOUR - 2_000 - paid.now())
    assert not found(paid).settled
    paid.wait(2_000)
    assert found(paid).settled


def test_a_declined_refund_stays_declined(paid: Desk, send: Send) -> None:
    paid.spoil("declined")
    answers = [send(paid), send(paid), found(paid)]
    assert [answer.status for answer in answers] == ["declined"] * 3
    assert answers[0].code
    assert paid.executed() == 0


def test_a_pending_refund_succeeds_later_and_is_the_same_one(paid: Desk, send: Send) -> None:
    paid.spoil("pending")
    first = send(paid)
    assert (first.status, found(paid).status) == ("pending", "pending")
    paid.wait(2 * HOUR)
    later = found(paid)
    assert (later.status, later.provider_ref) == ("succeeded", first.provider_ref)
    assert later.at > first.at
    assert paid.executed() == 1


def test_a_refund_may_come_back_after_it_succeeded(paid: Desk, send: Send) -> None:
    paid.spoil("returned_later")
    first = send(paid)
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
def test_no_answer_may_mean_anything_and_a_look_tells(paid: Desk, send: Send, fault: str, now: int, later: int) -> None:
    paid.spoil(fault)
    assert isinstance(send(paid), Unknown)
    assert paid.executed() == now
    assert isinstance(found(paid), RefundSeen) == bool(now)
    paid.wait(15 * MINUTE)
    assert isinstance(found(paid), RefundSeen) == bool(later)
    assert paid.executed() == later


@pytest.mark.parametrize("fault", [fault for fault, _, _ in NO_ANSWER])
def test_the_same_key_after_no_answer_never_pays_twice(paid: Desk, send: Send, fault: str) -> None:
    paid.spoil(fault)
    send(paid)
    paid.wait(15 * MINUTE)
    assert send(paid).status == "succeeded"
    assert paid.executed() == 1


def test_an_answer_may_name_another_amount_than_its_books(paid: Desk, send: Send) -> None:
    paid.spoil("wrong_amount")
    assert send(paid).amount != DUE
    assert found(paid).amount == DUE


@pytest.mark.parametrize(("age", "times"), [(-1, 1), (0, 2)], ids=["remembered", "forgotten"])
def test_a_key_that_is_forgotten_executes_again(paid: Desk, send: Send, age: int, times: int) -> None:
    """That is what providers do: it is ours never to send a key that old."""
    at = send(paid, HALF).at
    paid.wait(at + paid.retention_ms + age * 2_000 - paid.now())
    again = send(paid, HALF)
    assert again.status == "succeeded"
    assert paid.executed() == times
    assert found(paid).provider_ref == again.provider_ref


def test_another_way_is_another_execution_of_the_same_refund(paid: Desk) -> None:
    paid.spoil("declined")
    assert refund(paid).status == "declined"
    key = route_key(REFUND, 2)
    assert isinstance(found(paid, key), NotFound)
    sent = pay_out(paid, DUE, key)
    assert (sent.refund, sent.route_no, sent.status, sent.amount) == (1, 2, "succeeded", DUE)
    assert pay_out(paid, DUE, key) == found(paid, key) == sent
    assert (found(paid).route_no, found(paid).status) == (0, "declined")
    assert paid.executed() == 1


def test_a_payout_needs_no_capture(desk: Desk) -> None:
    assert pay_out(desk).status == "succeeded"


def test_events_name_the_refund_whatever_its_way(paid: Desk) -> None:
    refund(paid, HALF)
    pay_out(paid, HALF, route_key(REFUND, 1))
    paid.spoil("returned_later")
    pay_out(paid, HALF, route_key(REFUND, 2))
    paid.wait(48 * HOUR)
    assert paid.told() == [PAYMENT, REFUND, REFUND, REFUND, REFUND]


def test_a_bank_that_tells_no_names_answers_nothing(desk: Desk) -> None:
    assert desk.ask(lambda provider: provider.holder_of(PAYEE.bank, PAYEE.account)) == ""


# Chargebacks.


@pytest.mark.parametrize("ends", ["won", "lost"])
def test_a_chargeback_is_seen_with_its_payment_until_it_ends(paid: Desk, ends: Literal["won", "lost"]) -> None:
    assert payment(paid).disputes == ()
    told = len(paid.told())
    for status in ("open", ends):
        paid.dispute(status)
        capture = f"{PAYMENT}.1"
        assert payment(paid).disputes == (DisputeSeen(f"{capture}.d1", capture, DUE, status),)
        assert payment(paid).status == "succeeded"
    assert paid.told()[told:] == [PAYMENT] * 2


# The settlement report.


def page(desk: Desk, shard: int, span: tuple[int, int] = ALWAYS, after: str = "", limit: int = 100) -> ReportPage:
    """One page, sound in itself."""
    answer = desk.ask(lambda provider: provider.page(*span, shard, after, limit))
    assert isinstance(answer, ReportPage)
    lines = list(answer.lines)
    assert lines == sorted(lines)
    assert {compute_shard(line.place) for line in lines} <= {shard}
    assert all(line.place > after and span[0] <= line.at < span[1] for line in lines)
    assert answer.after is None or answer.after == lines[-1].place
    return answer


def report(desk: Desk, shard: int, limit: int = 100) -> list[Line]:
    """Every line of a shard, page by page."""
    lines: list[Line] = []
    after: str | None = ""
    while after is not None:
        answer = page(desk, shard, after=after, limit=limit)
        lines += answer.lines
        after = answer.after
    return lines


def line(kind: LineKind, reference: str, ref: str, amount: Money, at: int) -> Line:
    return Line(build_place(kind, reference), ref, amount.minor, amount.currency, at)


OWN: Final = compute_shard(build_place("capture", PAYMENT))


def moved(desk: Desk) -> list[Line]:
    """Everything that can stand in a report, of one deposit: two captures of one payment, refunds, payouts, a return."""
    open_session(desk)
    lines = [line("capture", PAYMENT, f"{PAYMENT}.{n}", HALF, desk.pay(HALF)) for n in (1, 2)]
    desk.spoil("declined")
    refund(desk, HALF)
    desk.spoil("returned_later")
    keys = (route_key(REFUND, 1), route_key(child("ref", DEPOSIT, 2), 3))
    for key in keys:
        sent = pay_out(desk, HALF, key)
        lines.append(line("refund", key, sent.provider_ref, HALF, sent.at))
    back_to_source = child("ref", DEPOSIT, 3)
    sent = refund(desk, HALF, back_to_source)
    lines.append(line("refund", back_to_source, sent.provider_ref, HALF, sent.at))
    desk.wait(48 * HOUR)
    back = found(desk, keys[0])
    lines.append(line("return", keys[0], back.provider_ref, HALF, back.at))
    desk.wait(24 * HOUR)
    return sorted(lines)


def test_a_report_has_a_line_for_each_capture_refund_payout_and_return(desk: Desk) -> None:
    lines = moved(desk)
    assert [line.kind for line in lines] == ["c", "c", "r", "r", "r", "x"]
    assert report(desk, OWN) == lines


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_report_is_the_same_in_pages_of_any_size(desk: Desk, limit: int) -> None:
    lines = moved(desk)
    assert report(desk, OWN, limit) == lines
    for line in lines:
        assert list(page(desk, OWN, after=line.place).lines) == [other for other in lines if other.place > line.place]


def test_lines_of_one_place_are_not_parted(desk: Desk) -> None:
    both = moved(desk)[:2]
    assert page(desk, OWN, limit=1) == ReportPage(both, both[0].place)


def test_a_line_shows_a_day_after_its_execution(desk: Desk) -> None:
    open_session(desk)
    at = desk.pay(DUE)
    desk.wait(DAY - 2_000)
    assert page(desk, OWN) == ReportPage([], None)
    desk.wait(2_000)
    assert page(desk, OWN) == ReportPage([line("capture", PAYMENT, f"{PAYMENT}.1", DUE, at)], None)
    assert desk.ask(lambda provider: provider.settle_days) == 1


def test_a_span_has_its_first_instant_and_not_its_last(paid: Desk) -> None:
    (capture,) = payment(paid).captures
    paid.wait(DAY)
    for start, end, lines in ((0, 1, 1), (0, 0, 0), (-1, 0, 0), (1, 2, 0), (-1, 1, 1)):
        assert len(page(paid, OWN, (capture.at + start, capture.at + end)).lines) == lines


def test_every_line_is_in_its_shard_and_in_no_other(desk: Desk) -> None:
    payments = [child("pay", digest_id("dep", str(n)), 1) for n in range(2 * SHARDS)]
    for one in payments:
        open_session(desk, one)
        desk.pay(DUE, one)
    desk.wait(DAY)
    shards = [report(desk, shard) for shard in range(SHARDS)]
    assert sorted(line.reference for lines in shards for line in lines) == sorted(payments)


# The same report as a file.


def random_books(random: Random) -> Sandbox:
    """A sandbox whose report has everything that may stand in one."""
    sandbox = on_paper()
    for n in range(20):
        deposit_id = digest_id("dep", "books", str(random.random()))
        due = Money(random.randrange(100, 10_000) * 100, random.choice(["CNY", "IDR", "JPY", "KWD"]))
        payment_id, refund_id = child("pay", deposit_id, 1), child("ref", deposit_id, 1)
        sandbox.open_session(payment_id, due, "card")
        for fault in random.sample(["line_missing", "wrong_amount", "duplicate_line", "wrong_amount"], 2):
            sandbox.arm("settlement", fault, 1)
        sandbox.pay(payment_id, "succeeded", due)
        if random.random() < 0.5:
            sandbox.arm("refund", "returned_later", 1)
        sandbox.refund(refund_id, payment_id, f"{payment_id}.1", due)
        sandbox.pay_out(route_key(refund_id, 1), due, PAYEE)
        sandbox.book_by_hand(due, random.choice([f'order "{n}", by hand', f"订单 {n}", f"~{n}", "same"]))
        sandbox.forward(random.randrange(12 * HOUR))
    sandbox.forward(20 * HOUR)
    return sandbox


def of_shard(settlement: Settlement, span: tuple[int, int], shard: int, limit: int) -> list[ReportPage]:
    """All pages of a shard."""
    pages: list[ReportPage] = []
    after: str | None = ""
    while after is not None:
        answer = settlement.page(*span, shard, after, limit)
        assert isinstance(answer, ReportPage)
        pages.append(ReportPage(list(answer.lines), answer.after))
        after = answer.after
    return pages


@pytest.mark.parametrize("seed", range(8))
def test_a_file_gives_the_pages_that_the_provider_gives(seed: int) -> None:
    sandbox = random_books(Random(seed))  # noqa: S311 - a plan, no secret
    file = SettlementFile(sandbox.settlement_csv, sandbox.settle_days)
    seen = 0
    for span, shard, limit in product((ALWAYS, (T0 + 30 * HOUR, T0 + 75 * HOUR)), range(SHARDS), (1, 2, 7, 1_000)):
        pages = of_shard(sandbox, span, shard, limit)
        assert of_shard(file, span, shard, limit) == pages
        seen += sum(len(page.lines) for page in pages) if limit == 1 else 0
    assert seen > 60
    assert file.settle_days == sandbox.settle_days
