"""A payment provider with books of its own and every misbehaviour of a real one. It never guards our mistakes.

A key is remembered for ``key_retention_ms``; after that the same key executes again, which is how money is lost.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from chalicelib.core.ids import parse_child
from chalicelib.core.money import Money
from chalicelib.core.payment import CaptureSeen, PaymentSeen
from chalicelib.core.refund import RefundSeen
from chalicelib.flows.ports import Declined, NotFound, Session, Unknown
from tests.simulator.faults import Faults
from tests.simulator.scheduler import Scheduler

HOUR = 3_600_000
SETTLES = 24 * HOUR


@dataclass
class Executed:
    """One refund in the books."""

    refund_id: str
    ref: str
    amount: Money
    asked_at: int
    at: int
    status: Literal["pending", "succeeded", "declined", "returned"]
    capture: str = ""


@dataclass
class Paid:
    """One payment session in the books."""

    amount: Money
    status: Literal["open", "pending", "failed", "succeeded"] = "open"
    captures: list[CaptureSeen] = field(default_factory=list)


class SimulatedProvider:
    """The port, called from actors; ``tell`` schedules an event to our service."""

    name = "sandbox"

    def __init__(self, scheduler: Scheduler, faults: Faults, key_retention_ms: int, tell: Any) -> None:
        self.key_retention_ms = key_retention_ms
        self.refunds: list[Executed] = []
        self.payments: dict[str, Paid] = {}
        self._scheduler = scheduler
        self._faults = faults
        self._tell = tell

    def open_session(self, payment_id: str, amount: Money, method: str) -> Session | Declined | Unknown:
        self._travel()
        self.payments.setdefault(payment_id, Paid(amount))
        return Session(f"https://provider/{payment_id}/{method}")

    def find_payment(self, payment_id: str) -> PaymentSeen | NotFound | Unknown:
        self._travel()
        if self._strikes("look.unavailable"):
            return Unknown()
        found = self.payments.get(payment_id)
        if found is None:
            return NotFound()
        return PaymentSeen(ordinal("pay", payment_id), found.status, tuple(found.captures))

    def refund(self, refund_id: str, payment_id: str, capture: str, amount: Money) -> RefundSeen | Unknown:  # noqa: ARG002
        self._travel()
        for before in ("refund.fails_before", "refund.error_before", "refund.rate_limited"):
            if self._strikes(before):
                return Unknown()
        known = self._remembered(refund_id)
        if known is None:
            known = self._new(refund_id, capture, amount)
            if known is None:
                return Unknown()
        self._travel()
        if self._strikes("refund.executes_then_times_out") or self._strikes("refund.error_after"):
            return Unknown()
        seen = self._seen(known)
        if self._strikes("refund.wrong_amount"):
            less = Money(seen.amount.minor - 1, seen.amount.currency)
            return RefundSeen(seen.refund, seen.status, less, seen.provider_ref, seen.at)
        return seen

    def find_refund(self, refund_id: str) -> RefundSeen | NotFound | Unknown:
        self._travel()
        if self._strikes("look.unavailable"):
            return Unknown()
        rows = [row for row in self.refunds if row.refund_id == refund_id]
        # What happened within the last minute may not show yet.
        if rows and self._scheduler.now - rows[0].asked_at < 60_000 and self._strikes("look.stale"):
            return NotFound()
        return self._seen(rows[-1]) if rows else NotFound()

    def pay(self, payment_id: str, amount: Money, at: int) -> None:
        """Money arrives for a payment."""
        row = self.payments[payment_id]
        row.captures.append(CaptureSeen(f"{payment_id}.{len(row.captures) + 1}", amount, at))
        row.status = "succeeded"
        self._tell(payment_id)

    def _new(self, refund_id: str, capture: str, amount: Money) -> Executed | None:
        now = self._scheduler.now
        row = Executed(refund_id, f"sbx_{refund_id}.{len(self.refunds)}", amount, now, now, "succeeded", capture)
        if self._strikes("refund.executes_late"):
            self._scheduler.at(now + self._random().randrange(1_000, 600_000), lambda: self._arrive(row))
            return None
        if self._strikes("refund.declined"):
            row.status = "declined"
        elif self._strikes("refund.pending"):
            row.status = "pending"
            ends = "declined" if self._strikes("refund.pending_then_declined") else "succeeded"
            self._scheduler.at(now + self._random().randrange(60_000, 2 * HOUR), lambda: self._become(row, ends))
        elif self._strikes("refund.returned_later"):
            self._scheduler.at(now + self._random().randrange(HOUR, 48 * HOUR), lambda: self._become(row, "returned"))
        self.refunds.append(row)
        self._tell(refund_id)
        return row

    def _arrive(self, row: Executed) -> None:
        """Executed long after we stopped waiting, unless the key was used meanwhile."""
        if self._remembered(row.refund_id) is None:
            row.asked_at = row.at = self._scheduler.now
            self.refunds.append(row)
            self._tell(row.refund_id)

    def _become(self, row: Executed, status: Any) -> None:
        row.status, row.at = status, self._scheduler.now
        self._tell(row.refund_id)

    def _remembered(self, refund_id: str) -> Executed | None:
        now = self._scheduler.now
        return next(
            (row for row in self.refunds if row.refund_id == refund_id and now - row.asked_at < self.key_retention_ms),
            None,
        )

    def _seen(self, row: Executed) -> RefundSeen:
        settled = row.status == "succeeded" and self._scheduler.now - row.at >= SETTLES
        return RefundSeen(ordinal("ref", row.refund_id), row.status, row.amount, row.ref, row.at, settled, "declined")

    def _travel(self) -> None:
        """The way to the provider and back takes time; others act meanwhile."""
        self._scheduler.sleep(self._random().randrange(1, 300))

    def _strikes(self, name: str) -> bool:
        return self._faults.strikes(name, self._random())

    def _random(self) -> Random:
        actor = self._scheduler.actor
        assert actor is not None, "the provider is called by actors"
        return actor.random


def ordinal(prefix: str, child_id: str) -> int:
    parsed = parse_child(prefix, child_id)
    assert parsed is not None, child_id
    return parsed[1]
