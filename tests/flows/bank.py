"""A provider with books of its own: it executes once for a key, with planned faults, and has a settlement report."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from msgspec.structs import replace

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.refund import parse_refund_key
from chalicelib.core.paying.provider_answers import CaptureSeen, DisputeSeen, PaymentSeen
from chalicelib.core.reconciliation.lines import Line, LineKind, build_place, compute_shard
from chalicelib.core.refunding.destination import Payee
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.flows.ports.provider import NotFound, ReportPage, Unknown
from chalicelib.gateways.settlement_file import paged
from tests.flows.shop import EARNEST, Clock, ScriptedProvider

# Faults of the next refund.
BEFORE: Final = "before"  # no answer, and nothing is executed
AFTER: Final = "after"  # executed, and the answer is lost
DECLINED: Final = "declined"
PENDING: Final = "pending"


@dataclass
class Bank(ScriptedProvider):
    """``executed`` has the keys of all executions, ``lines`` the report. ``answers_no_queries`` makes queries Unknown."""

    clock: Clock = field(default_factory=Clock)
    faults: deque[str] = field(default_factory=deque)
    executed: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    settle_days: int | None = None
    answers_no_queries: bool = False
    failing_pages: int = 0
    on_page: Callable[[int], object] | None = None
    pages: int = 0

    # The port.

    def refund(self, key: str, payment_id: str, capture: str, amount: Money) -> RefundSeen | Unknown:
        super().refund(key, payment_id, capture, amount)
        return self._execute_once(key, amount)

    def pay_out(self, key: str, amount: Money, payee: Payee) -> RefundSeen | Unknown:
        super().pay_out(key, amount, payee)
        return self._execute_once(key, amount)

    def find_refund(self, key: str) -> RefundSeen | NotFound | Unknown:
        answer = super().find_refund(key)
        return Unknown() if self.answers_no_queries else answer

    def find_payment(self, payment_id: str) -> PaymentSeen | NotFound | Unknown:
        answer = super().find_payment(payment_id)
        return Unknown() if self.answers_no_queries else answer

    def page(self, start: int, end: int, shard: int, after: str, limit: int) -> ReportPage | Unknown:
        """A page of the report. The next ``failing_pages`` are Unknown; ``on_page`` is called with each page's number."""
        self.pages += 1
        if self.on_page is not None:
            self.on_page(self.pages)
        if self.failing_pages:
            self.failing_pages -= 1
            return Unknown()
        rows = sorted(line for line in self.lines if compute_shard(line.place) == shard and start <= line.at < end)
        lines, last = paged((line for line in rows if line.place > after), limit, attrgetter("place"))
        return ReportPage(lines, last)

    # What tests do at the bank.

    def capture(self, payment_id: str, amount: Money = EARNEST, at: int | None = None) -> PaymentSeen:
        """The buyer pays; no event is sent."""
        known = self.payments.get(payment_id)
        before = known.captures if isinstance(known, PaymentSeen) else ()
        when = self.clock.now if at is None else at
        capture = CaptureSeen(f"{payment_id}.{len(before) + 1}", amount, when)
        seen = PaymentSeen(int(payment_id.rpartition("_")[2]), "succeeded", (*before, capture))
        self.payments[payment_id] = seen
        self.report("capture", payment_id, capture.ref, amount, when)
        return seen

    def dispute(self, payment_id: str, status: str) -> PaymentSeen:
        """The buyer's bank disputes the first capture, or ends that; no event is sent."""
        seen = self.payments[payment_id]
        assert isinstance(seen, PaymentSeen)
        [capture, *_] = seen.captures
        dispute = DisputeSeen(f"{capture.ref}.d1", capture.ref, capture.amount, status)  # type: ignore[arg-type]
        self.payments[payment_id] = replace(seen, disputes=(dispute,))
        return replace(seen, disputes=(dispute,))

    def execute(self, key: str, amount: Money = EARNEST) -> RefundSeen:
        """Execute, even if the key was executed before."""
        self.executed.append(key)
        ref = f"bank_{key}/{self.executed.count(key)}"
        seen = self._seen(key, "succeeded", amount, ref)
        self.report("refund", key, ref, amount, self.clock.now)
        return seen

    def return_refund(self, key: str) -> RefundSeen:
        """An executed refund comes back from the buyer's bank; no event is sent."""
        seen = self.refunds[key]
        assert isinstance(seen, RefundSeen)
        self.report("return", key, seen.provider_ref, seen.amount, self.clock.now)
        return self._seen(key, "returned", seen.amount, seen.provider_ref)

    def report(self, kind: LineKind, reference: str, ref: str, amount: Money, at: int) -> None:
        self.lines.append(Line(build_place(kind, reference), ref, amount.minor, amount.currency, at))

    def remove_lines(self, reference: str) -> None:
        """Remove all lines of a reference from the report."""
        places = {build_place(kind, reference) for kind in ("capture", "refund", "return")}
        self.lines = [line for line in self.lines if line.place not in places]

    def _execute_once(self, key: str, amount: Money) -> RefundSeen | Unknown:
        known = self.refunds.get(key)
        if isinstance(known, RefundSeen) and self.clock.now - known.at < self.key_retention_ms:
            return known
        fault = self.faults.popleft() if self.faults else ""
        if fault == BEFORE:
            return Unknown()
        if fault in {DECLINED, PENDING}:
            return self._seen(key, fault, amount, f"bank_{key}/1", code="account_closed" if fault == DECLINED else "")
        seen = self.execute(key, amount)
        return Unknown() if fault == AFTER else seen

    def _seen(self, key: str, status: str, amount: Money, ref: str, code: str = "") -> RefundSeen:
        parsed = parse_refund_key(key)
        assert parsed is not None, key
        before = self.refunds.get(key)
        executed = before.at if isinstance(before, RefundSeen) and status == "returned" else None
        seen = RefundSeen(
            parsed[1],
            status,  # type: ignore[arg-type]
            amount,
            ref,
            self.clock.now,
            code=code,
            route_no=parsed[2],
            executed_at=executed,
        )
        self.refunds[key] = seen
        return seen


def settle(bank: Bank, key: str) -> None:
    """Mark a refund as shown in the provider's report."""
    seen = bank.refunds[key]
    assert isinstance(seen, RefundSeen)
    bank.refunds[key] = replace(seen, settled=True)
