"""What the sandbox alone does: faults of its settlement report, chargebacks, banks, and its rule against over-refunds."""

import csv
from collections.abc import Sequence
from typing import Any

import pytest

from chalicelib.core.common.ids import child, digest_id
from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.refund import route_key
from chalicelib.core.paying.provider_answers import DisputeSeen, PaymentSeen
from chalicelib.core.reconciliation.lines import SHARDS, Line, build_place, compute_shard
from chalicelib.core.refunding.destination import Payee
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.flows.ports.provider import NotFound, ReportPage, Unknown
from chalicelib.gateways.sandbox.provider import Sandbox
from tests.gateways.paper import T0, Inbox, Paper, sandbox

DEPOSIT = digest_id("dep", "sandbox")
PAYMENT = child("pay", DEPOSIT, 1)
CAPTURE = f"{PAYMENT}.1"
FIRST, SECOND = (child("ref", DEPOSIT, n) for n in (1, 2))
DUE = Money(500_000, "CNY")
HALF = Money(250_000, "CNY")
ANA = Payee("Ana Lim", "ICBC", "6222020200112233445")
EVER = (0, T0 + 400 * DAY)


@pytest.fixture
def paid() -> Sandbox:
    """A provider with one payment, whose line has appeared."""
    provider = sandbox()
    provider.open_session(PAYMENT, DUE, "card")
    provider.pay(PAYMENT, "succeeded", None)
    provider.forward(DAY)
    return provider


def refund(provider: Sandbox, amount: Money = DUE, key: str = FIRST) -> Any:
    return provider.refund(key, PAYMENT, CAPTURE, amount)


def report(provider: Sandbox) -> list[Line]:
    """Every line that has appeared."""
    found: list[Line] = []
    for shard in range(SHARDS):
        page = provider.page(*EVER, shard, "", 1_000)
        assert isinstance(page, ReportPage)
        found += page.lines
    return found


def kinds(provider: Sandbox) -> str:
    return "".join(line.kind for line in report(provider))


def settled(provider: Sandbox, key: str = FIRST) -> bool:
    seen = provider.find_refund(key)
    assert isinstance(seen, RefundSeen)
    return seen.settled


# The settlement report.


# fault             lines  minor units less  the refund is settled
SETTLEMENT_FAULTS = [
    ("line_missing", 0, 0, False),
    ("wrong_amount", 1, 1, True),
    ("duplicate_line", 2, 0, True),
]


@pytest.mark.parametrize(("fault", "lines", "less", "seen"), SETTLEMENT_FAULTS)
def test_a_fault_hits_the_line_of_what_is_executed_next(
    paid: Sandbox, fault: str, lines: int, less: int, *, seen: bool
) -> None:
    paid.arm("settlement", fault, 1)
    answer = refund(paid)
    refund(paid, HALF, key=SECOND)  # not covered, so not executed
    paid.forward(DAY)
    line = Line(build_place("refund", FIRST), answer.provider_ref, DUE.minor - less, "CNY", answer.at)
    assert [one for one in report(paid) if one.kind == "r"] == [line] * lines
    assert settled(paid) == seen
    paid.forward(40 * DAY)
    assert settled(paid) == seen
    assert kinds(paid) == "c" + "r" * lines


@pytest.mark.parametrize(("fault", "lines", "less", "seen"), SETTLEMENT_FAULTS)
def test_without_an_execution_it_hits_the_next_line_that_appears(
    paid: Sandbox, fault: str, lines: int, less: int, *, seen: bool
) -> None:
    refund(paid)
    paid.arm("settlement", fault, 1)
    paid.forward(DAY)
    assert [one.minor for one in report(paid) if one.kind == "r"] == [DUE.minor - less] * lines
    assert settled(paid) == seen


def test_a_fault_meets_no_line_that_was_due_before(paid: Sandbox) -> None:
    refund(paid)
    paid.forward(DAY)
    paid.arm("settlement", "line_missing", 1)
    assert settled(paid)


@pytest.mark.parametrize(("fault", "lines", "less"), [row[:3] for row in SETTLEMENT_FAULTS])
def test_a_capture_meets_faults_too(fault: str, lines: int, less: int) -> None:
    provider = sandbox()
    provider.open_session(PAYMENT, DUE, "card")
    provider.arm("settlement", fault, 1)
    provider.pay(PAYMENT, "succeeded", None)
    refund(provider)
    provider.forward(DAY)
    found = report(provider)
    assert [one.minor for one in found if one.kind == "c"] == [DUE.minor - less] * lines
    assert [one.minor for one in found if one.kind == "r"] == [DUE.minor]


def test_faults_are_used_up_one_by_one_and_cleared_together(paid: Sandbox) -> None:
    paid.arm("settlement", "line_missing", 2)
    for n in range(1, 4):
        paid.pay_out(child("ref", DEPOSIT, n), HALF, ANA)
    paid.arm("settlement", "line_missing", 5)
    paid.disarm()
    paid.forward(DAY)
    assert [line.n for line in report(paid) if line.kind == "r"] == [3]


def test_a_return_has_a_line_of_its_own_a_day_later(paid: Sandbox) -> None:
    paid.arm("refund", "returned_later", 1)
    sent = refund(paid)
    paid.forward(2 * DAY - 1)
    assert kinds(paid) == "cr"
    paid.forward(1)
    assert report(paid)[-1] == Line(build_place("return", FIRST), sent.provider_ref, DUE.minor, "CNY", sent.at + DAY)


@pytest.mark.parametrize(("fault", "after"), [("pending", 5 * MINUTE), ("succeeds_later", 90_000)])
def test_the_day_begins_with_the_execution_and_not_with_the_call(paid: Sandbox, fault: str, after: int) -> None:
    paid.arm("refund", fault, 1)
    refund(paid)
    paid.forward(DAY)
    assert kinds(paid) == "c"
    paid.forward(after)
    assert report(paid)[-1].at == T0 + DAY + after


def test_what_was_not_executed_has_no_line(paid: Sandbox) -> None:
    for fault in ("timeout_before", "error_500", "declined"):
        paid.arm("refund", fault, 1)
        refund(paid)
    paid.forward(3 * DAY)
    assert kinds(paid) == "c"


def test_what_somebody_took_by_hand_is_in_the_report_and_nothing_of_ours(paid: Sandbox) -> None:
    for _ in range(2):
        paid.book_by_hand(HALF, 'order "7", spring')
    paid.book_by_hand(HALF, child("pay", DEPOSIT, 2))
    paid.forward(DAY)
    strange = [line for line in report(paid) if not line.reference]
    assert {line.place for line in strange} == {'~corder "7", spring'}
    assert len(strange) == 2
    assert child("pay", DEPOSIT, 2) in {line.reference for line in report(paid)}


def test_a_report_is_read_in_ranges_and_not_whole() -> None:
    """Turning the pages of a shard reads each line about once, whatever else there is."""
    books = Paper()
    provider = sandbox(books)
    for n in range(150):
        provider.book_by_hand(HALF, str(n))
    provider.forward(DAY)
    assert len(report(provider)) == 150
    read: list[int] = []
    rows_after = books.rows_after

    def counted(partition: str, name: str, limit: int) -> Any:
        rows = rows_after(partition, name, limit)
        read.append(len(rows))
        return rows

    books.rows_after = counted  # type: ignore[method-assign]
    provider.page(*EVER, compute_shard("~7"), "~7", 10)
    assert sum(read) <= 100


def test_the_file_is_in_the_order_of_execution(paid: Sandbox) -> None:
    provider = paid
    provider.arm("refund", "returned_later", 1)
    sent = refund(provider, HALF)
    provider.forward(HOUR)
    out = provider.pay_out(route_key(SECOND, 2), Money(123_45, "CNY"), ANA)
    assert isinstance(out, RefundSeen)
    provider.forward(3 * DAY)
    at = "2026-11-{}.000Z".format
    assert list(csv.reader(provider.settlement_csv(*EVER))) == [
        ["type", "reference", "provider_reference", "amount", "currency", "executed_at"],
        ["capture", PAYMENT, CAPTURE, "5000", "CNY", at("21T14:00:00")],
        ["refund", FIRST, sent.provider_ref, "2500", "CNY", at("22T14:00:00")],
        ["payout", f"{SECOND}.2", out.provider_ref, "123.45", "CNY", at("22T15:00:00")],
        ["return", FIRST, sent.provider_ref, "2500", "CNY", at("23T14:00:00")],
    ]
    assert len(list(provider.settlement_csv(T0 + DAY, T0 + DAY + HOUR))) == 2


# Chargebacks.


def disputes(provider: Sandbox) -> tuple[DisputeSeen, ...]:
    seen = provider.find_payment(PAYMENT)
    assert isinstance(seen, PaymentSeen)
    return seen.disputes


def no(reason: Reason, faults: Sequence[FieldError] = (), **facts: object) -> Any:
    def same(refused: BaseException) -> bool:
        assert isinstance(refused, Refused)
        return (refused.reason, refused.faults, refused.facts) == (reason, tuple(faults), facts)

    return pytest.raises(Refused, check=same)


@pytest.mark.parametrize("ends", ["won", "lost"])
def test_the_same_outcome_again_changes_nothing(ends: Any) -> None:
    inbox = Inbox()
    provider = sandbox(deliver=inbox)
    provider.open_session(PAYMENT, DUE, "card")
    provider.pay(PAYMENT, "succeeded", None)
    inbox.bodies.clear()
    for outcome in ("opened", "opened", ends, ends, "opened"):
        provider.charge_back(PAYMENT, outcome)
    assert disputes(provider) == (DisputeSeen(f"{CAPTURE}.d1", CAPTURE, DUE, ends),)
    assert inbox.subjects == [PAYMENT, PAYMENT]


def test_an_event_of_a_chargeback_may_get_lost(paid: Sandbox) -> None:
    inbox = paid.deliver = Inbox()
    paid.arm("webhook", "lost_event", 1)
    paid.charge_back(PAYMENT, "opened", HALF)
    assert disputes(paid)[0].amount == HALF
    assert inbox.subjects == []
    paid.charge_back(PAYMENT, "lost")
    assert inbox.subjects == [PAYMENT]


def test_each_capture_may_be_charged_back_once_the_latest_first() -> None:
    provider = sandbox()
    provider.open_session(PAYMENT, DUE, "card")
    provider.pay(PAYMENT, "succeeded", HALF)
    provider.charge_back(PAYMENT, "opened")
    provider.charge_back(PAYMENT, "won")
    provider.pay(PAYMENT, "succeeded", DUE)
    provider.charge_back(PAYMENT, "opened")
    assert [(dispute.ref, dispute.amount, dispute.status) for dispute in disputes(provider)] == [
        (f"{CAPTURE}.d1", HALF, "won"),
        (f"{PAYMENT}.2.d1", DUE, "open"),
    ]
    provider.charge_back(PAYMENT, "lost")
    assert [dispute.status for dispute in disputes(provider)] == ["won", "lost"]


def test_a_chargeback_that_cannot_be_is_refused(paid: Sandbox) -> None:
    for outcome in ("won", "lost"):
        with no(Reason.WRONG_STATE, state="no_open_chargeback"):
            paid.charge_back(PAYMENT, outcome)
    with no(Reason.INVALID_REQUEST, [FieldError("/amount", "too_large")]):
        paid.charge_back(PAYMENT, "opened", Money(DUE.minor + 1, "CNY"))
    with no(Reason.CURRENCY_MISMATCH, [FieldError("/amount", "currency_mismatch")]):
        paid.charge_back(PAYMENT, "opened", Money(DUE.minor, "IDR"))
    assert disputes(paid) == ()
    paid.charge_back(PAYMENT, "opened")
    paid.charge_back(PAYMENT, "won")
    with no(Reason.WRONG_STATE, state="no_open_chargeback"):
        paid.charge_back(PAYMENT, "lost")
    assert disputes(paid)[0].status == "won"


@pytest.mark.parametrize("outcome", ["opened", "won", "lost"])
def test_nothing_is_charged_back_that_was_not_captured(outcome: Any) -> None:
    provider = sandbox()
    for _ in range(2):
        with no(Reason.WRONG_STATE, state="not_captured"):
            provider.charge_back(PAYMENT, outcome)
        provider.open_session(PAYMENT, DUE, "card")


# Banks and payouts.


def test_a_payout_to_no_account_is_declined(paid: Sandbox) -> None:
    nobody = Payee("Ana Lim", "ICBC", "6222404")
    for _ in range(2):
        answer = paid.pay_out(FIRST, DUE, nobody)
        assert isinstance(answer, RefundSeen)
        assert (answer.status, answer.code) == ("declined", "account_not_found")
    assert paid.pay_out(route_key(FIRST, 1), DUE, ANA) == paid.find_refund(route_key(FIRST, 1))
    rows = paid.books(DEPOSIT[4:])
    assert [(row["kind"], row["refund"], row["status"]) for row in rows] == [
        ("payout", FIRST, "declined"),
        ("payout", FIRST, "succeeded"),
    ]


def test_a_payout_that_never_reached_the_bank_is_not_declined_by_it(paid: Sandbox) -> None:
    paid.arm("refund", "timeout_before", 1)
    assert isinstance(paid.pay_out(FIRST, DUE, Payee("Ana Lim", "ICBC", "6222404")), Unknown)
    assert isinstance(paid.find_refund(FIRST), NotFound)


def test_a_bank_tells_whose_account_it_is_or_nothing(paid: Sandbox) -> None:
    assert isinstance(paid.holder_of("ICBC", "6222404"), NotFound)
    assert paid.holder_of("ICBC", "6222409") == "SOMEBODY ELSE"
    assert paid.holder_of(ANA.bank, ANA.account) == ""
    paid.register_holder(ANA.bank, ANA.account, "LIM ANA")
    assert paid.holder_of(ANA.bank, ANA.account) == "LIM ANA"
    assert paid.holder_of("BCA", ANA.account) == ""


def test_nothing_of_a_payee_stands_in_the_books_or_in_events() -> None:
    books, inbox = Paper(), Inbox()
    provider = sandbox(books, inbox)
    provider.arm("refund", "returned_later", 1)
    provider.pay_out(FIRST, DUE, ANA)
    provider.pay_out(SECOND, DUE, Payee(ANA.holder, ANA.bank, "6222404"))
    provider.forward(3 * DAY)
    shown = books.everything() + "".join(inbox.bodies) + "".join(provider.settlement_csv(*EVER))
    assert FIRST in shown
    for personal in (ANA.holder, "Lim", ANA.bank, ANA.account, ANA.account[-4:], "6222404"):
        assert personal not in shown


# The provider's last line of defence.


def test_refunds_of_a_capture_never_exceed_it(paid: Sandbox) -> None:
    assert refund(paid, HALF).status == "succeeded"
    too_much = refund(paid, HALF + Money(1, "CNY"), SECOND)
    assert (too_much.status, too_much.code) == ("declined", "not_covered")
    assert refund(paid, HALF, child("ref", DEPOSIT, 3)).status == "succeeded"
    assert refund(paid, Money(1, "CNY"), child("ref", DEPOSIT, 4)).code == "not_covered"
    assert paid.refund(child("ref", DEPOSIT, 5), PAYMENT, f"{PAYMENT}.2", HALF).code == "not_covered"  # type: ignore[union-attr]


@pytest.mark.parametrize("fault", ["declined", "returned_later"])
def test_a_payout_in_its_place_does_not_count_twice(paid: Sandbox, fault: str) -> None:
    paid.arm("refund", fault, 1)
    refund(paid, HALF)
    paid.forward(DAY)
    out = paid.pay_out(route_key(FIRST, 1), HALF, ANA)
    assert isinstance(out, RefundSeen)
    assert out.status == "succeeded"
    assert refund(paid, DUE, SECOND).status == "succeeded"  # the payout came out of no capture


def test_money_that_the_bank_took_back_covers_no_refund(paid: Sandbox) -> None:
    paid.charge_back(PAYMENT, "opened", HALF)
    assert refund(paid, Money(100, "CNY")).status == "succeeded"  # open: ours to know
    paid.charge_back(PAYMENT, "lost")
    assert refund(paid, HALF, SECOND).code == "not_covered"
    assert refund(paid, HALF - Money(100, "CNY"), child("ref", DEPOSIT, 3)).status == "succeeded"


def test_a_chargeback_that_was_won_counts_for_nothing(paid: Sandbox) -> None:
    paid.charge_back(PAYMENT, "opened")
    paid.charge_back(PAYMENT, "won")
    assert refund(paid).status == "succeeded"


def test_a_refund_in_another_currency_is_not_covered(paid: Sandbox) -> None:
    assert refund(paid, Money(100, "IDR")).code == "not_covered"
