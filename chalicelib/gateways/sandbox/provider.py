"""A payment provider for one machine, with durable books, signed events and the faults of real providers.

It never reads the service's journals. What it executes, it executes at most once for a key, as long as it remembers the
key. It is not part of the deployed package.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, Literal

from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.instants import DAY
from chalicelib.core.common.money import Money
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.reconciliation.lines import Line
from chalicelib.core.refunding.destination import Payee
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.flows.ports.provider import Declined, NotFound, ReportPage, Session, Unknown
from chalicelib.gateways.sandbox.books import Books, Row
from chalicelib.gateways.sandbox.effects import Deliver, Effects
from chalicelib.gateways.sandbox.faults import FAULTS, Faults
from chalicelib.gateways.sandbox.payments import Payments, payment_seen
from chalicelib.gateways.sandbox.refunds import KEY_RETENTION_MS, Refunds, refund_id
from chalicelib.gateways.sandbox.report import SETTLEMENT_MS, Report
from chalicelib.gateways.sandbox.state import SandboxState

# Endings of accounts that no bank keeps, and that are kept in another name.
NO_ACCOUNT: Final = "404"
OTHER_HOLDER: Final = "409"


class Sandbox:
    """The provider port, and what people do at the provider. ``machine_clock`` gives milliseconds."""

    name = "sandbox"
    key_retention_ms = KEY_RETENTION_MS
    settle_days: int | None = SETTLEMENT_MS // DAY

    def __init__(self, books: Books, machine_clock: Callable[[], int], deliver: Deliver | None = None) -> None:
        self.deliver = deliver
        self._books = books
        self._state = SandboxState(books, machine_clock)
        self._lock = self._state.lock
        self._faults = Faults(self._state)
        self._report = Report(self._state, self._faults)
        self._effects = Effects(self._state, self._faults)
        self._payments = Payments(self._state, self._faults, self._report, self._effects)
        self._refunds = Refunds(self._state, self._faults, self._report, self._effects, self._payments)

    # Clock and faults.

    @property
    def offset(self) -> int:
        """Milliseconds that the sandbox is ahead of the machine."""
        return self._state.offset

    def now(self) -> int:
        return self._state.now()

    def advance(self, to: int) -> None:
        """Set the clock to a later instant. ValueError for the past."""
        with self._lock:
            ahead = to - self.now()
            if ahead < 0:
                raise ValueError("the clock only moves forward")
            self.forward(ahead)

    def forward(self, milliseconds: int) -> None:
        """Move the clock, then carry out and deliver what fell due."""
        self._state.forward(milliseconds)
        self.pump()

    def arm(self, on: str, fault: str, times: int) -> None:
        """Queue a fault. ValueError for a pair that does not exist. Lines that are already due do not meet it."""
        if fault not in FAULTS.get(on, ()):
            raise ValueError(on)
        with self._lock:
            self._report.enter_due()
            self._faults.arm(on, fault, times)

    def disarm(self) -> None:
        """Drop all faults, after the lines that are already due have met them."""
        with self._lock:
            self._report.enter_due()
            self._faults.disarm()

    # The provider port.

    def open_session(self, payment_id: str, amount: Money, method: str) -> Session | Declined | Unknown:
        with self._lock:
            self._payments.open(payment_id, amount, method)
        return Session(f"/sandbox/checkout/{payment_id}")

    def find_payment(self, payment_id: str) -> PaymentSeen | NotFound | Unknown:
        with self._lock:
            row = self._payments.get(payment_id)
        return NotFound() if row is None else payment_seen(payment_id, row)

    def refund(self, key: str, payment_id: str, capture: str, amount: Money) -> RefundSeen | Unknown:
        with self._lock:
            return self._refunds.refund(key, payment_id, capture, amount)

    def pay_out(self, key: str, amount: Money, payee: Payee) -> RefundSeen | Unknown:
        """Pay to an account. No capture covers it, and nothing of the payee is stored."""
        code = "account_not_found" if payee.account.endswith(NO_ACCOUNT) else None
        with self._lock:
            return self._refunds.execute("payout", key, amount, None, code)

    def find_refund(self, key: str) -> RefundSeen | NotFound | Unknown:
        with self._lock:
            return self._refunds.find(key)

    def holder_of(self, bank: str, account: str) -> str | NotFound | Unknown:
        """The name in which an account is kept; empty when this bank does not give names.

        An account ending in 404 is unknown, one ending in 409 is somebody else's; others have a name once registered.
        """
        if account.endswith(NO_ACCOUNT):
            return NotFound()
        if account.endswith(OTHER_HOLDER):
            return "SOMEBODY ELSE"
        row = self._books.get("accounts", digest_id("acc", bank, account))
        return str(row["holder"]) if row is not None else ""

    def page(self, start: int, end: int, shard: int, after: str, limit: int) -> ReportPage | Unknown:
        rows, last = self.report_rows(start, end, shard, after, limit)
        lines = [Line(row["place"], row["ref"], row["minor"], row["currency"], row["at"]) for row in rows]
        return ReportPage(lines, last)

    def report_rows(self, start: int, end: int, shard: int, after: str, limit: int) -> tuple[list[Row], str | None]:
        """A page of the report with all fields of its rows, and the place to go on from."""
        return self._report.page(start, end, shard, after, limit)

    def settlement_csv(self, start: int, end: int) -> Iterator[str]:
        """The report of [start, end) as the lines of a CSV file, by instant of execution."""
        return self._report.csv(start, end)

    # What people do at the provider and at banks.

    def book_by_hand(self, amount: Money, ref: str) -> None:
        """Take money in the provider's dashboard, under any reference."""
        with self._lock:
            self._report.expect("capture", ref, ref, amount, self.now())

    def register_holder(self, bank: str, account: str, holder: str) -> None:
        """Let a bank give the name in which it keeps an account."""
        with self._lock:
            self._books.put("accounts", digest_id("acc", bank, account), {"holder": holder})

    def charge_back(
        self, payment_id: str, outcome: Literal["opened", "won", "lost"], amount: Money | None = None
    ) -> None:
        """See ``Payments.charge_back``."""
        with self._lock:
            self._payments.charge_back(payment_id, outcome, amount)
        self.pump()

    def pay(self, payment_id: str, outcome: str, amount: Money | None) -> None:
        """See ``Payments.pay``."""
        with self._lock:
            self._payments.pay(payment_id, outcome, amount)
        self.pump()

    def books(self, deposit_body: str) -> list[dict[str, Any]]:
        """What was executed, is pending or was declined for a deposit, by the 26 characters of its id."""
        with self._lock:
            rows = self._books.rows(f"refunds#{deposit_body}")
        return [
            {
                "id": row["ref"],
                "refund": refund_id(name),
                **{field: row[field] for field in ("kind", "amount", "status")},
            }
            for name, row in rows
            if row["status"] != "in_flight"
        ]

    def pump(self) -> None:
        """Carry out what is due, in the order of its instants, and deliver events. Safe from any thread."""
        while (effect := self._effects.take_due()) is not None:
            if effect["kind"] != "event":
                self._carry_out(effect)
            elif self.deliver is not None:
                self._effects.deliver(effect, self.deliver)

    def _carry_out(self, effect: Row) -> None:
        with self._lock:
            row = self._books.get(effect["page"], effect["line"])
            assert row is not None, "effects belong to a row"
            owner = self._payments if effect["kind"] in {"capture", "reverse"} else self._refunds
            owner.carry_out(effect, row)
            self._effects.announce(effect["subject"], effect["at"])
