"""Refunds and payouts at the sandbox. A key executes at most once for as long as it is remembered."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.common.instants import HOUR
from chalicelib.core.common.money import Money, total
from chalicelib.core.reconciliation.lines import build_place
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.flows.ports.provider import NotFound, Unknown
from chalicelib.gateways.sandbox.books import Row, money_row, parse_subject, read_money, refunds_partition
from chalicelib.gateways.sandbox.effects import Effects
from chalicelib.gateways.sandbox.faults import Faults
from chalicelib.gateways.sandbox.payments import LATE_MS, PENDING_MS, RETURN_MS, Payments
from chalicelib.gateways.sandbox.report import Report
from chalicelib.gateways.sandbox.state import SandboxState

KEY_RETENTION_MS: Final = 24 * HOUR


class Refunds(Struct, frozen=True):
    """Refund rows: ``{kind, ref, key, line, capture, amount, asked_at, at, status}``. Called under the sandbox's lock."""

    state: SandboxState
    faults: Faults
    report: Report
    effects: Effects
    payments: Payments

    def refund(self, key: str, payment_id: str, capture: str, amount: Money) -> RefundSeen | Unknown:
        code = None if self._is_covered(payment_id, capture, amount) else "not_covered"
        return self.execute("refund", key, amount, capture, code)

    def execute(
        self, kind: str, key: str, amount: Money, capture: str | None, decline_code: str | None
    ) -> RefundSeen | Unknown:
        """Answer for a known key again; otherwise execute, or decline with ``decline_code``, under the next fault."""
        known = self._remembered(key)
        if known is not None:
            return self._seen(key, known) if known["status"] != "in_flight" else Unknown()
        fault = self.faults.take("refund")
        if fault in {"timeout_before", "error_500"}:
            return Unknown()
        row = self._new_row(kind, key, amount, capture)
        code = "declined" if fault == "declined" else decline_code
        if code is not None:
            row |= {"status": "declined", "code": code}
            self._put(row)
            return self._seen(key, row)
        if fault in {"pending", "succeeds_later"}:
            return self._execute_later(key, row, fault == "pending")
        return self._execute_now(key, row, fault)

    def find(self, key: str) -> RefundSeen | NotFound:
        self.report.enter_due()
        rows = [row for row in self._rows(key) if row["status"] != "in_flight"]
        return self._seen(key, rows[-1]) if rows else NotFound()

    def carry_out(self, effect: Row, row: Row) -> None:
        """An effect of kind ``execute`` or ``return``."""
        if effect["kind"] == "execute":
            self._complete(row, effect["at"])
        else:
            self._put({**row, "status": "returned", "at": effect["at"]})
            self.report.expect("return", row["key"], row["ref"], read_money(row["amount"]), effect["at"])

    def _rows(self, key: str) -> list[Row]:
        return [row for name, row in self.state.books.rows(refunds_partition(key)) if name.startswith(f"{key}#")]

    def _put(self, row: Row) -> None:
        self.state.books.put(refunds_partition(row["key"]), row["line"], row)

    def _remembered(self, key: str) -> Row | None:
        """What the key already did, unless it is too old to be remembered."""
        now = self.state.now()
        return next((row for row in self._rows(key) if now - row["asked_at"] < KEY_RETENTION_MS), None)

    def _new_row(self, kind: str, key: str, amount: Money, capture: str | None) -> Row:
        n = len(self._rows(key)) + 1
        now = self.state.now()
        return {
            "kind": kind,
            "ref": f"sbx_{key}.{n}",
            "key": key,
            "line": f"{key}#{n:03d}",
            "capture": capture,
            "amount": money_row(amount),
            "asked_at": now,
            "at": now,
            "status": "in_flight",
        }

    def _is_covered(self, payment_id: str, capture_ref: str, amount: Money) -> bool:
        """The provider's own limit: refunds and lost chargebacks of a capture never exceed it."""
        payment = self.payments.get(payment_id)
        captures = payment["captures"] if payment else []
        capture = next((capture for capture in captures if capture["ref"] == capture_ref), None)
        if payment is None or capture is None or capture["amount"]["currency"] != amount.currency:
            return False
        lost = [dispute for dispute in payment["disputes"] if dispute["status"] == "lost"]
        sent = [
            row
            for _, row in self.state.books.rows(refunds_partition(payment_id))
            if row["kind"] == "refund" and row["status"] not in {"declined", "returned"}
        ]
        taken = [read_money(row["amount"]) for row in (*lost, *sent) if row["capture"] == capture_ref]
        return total((amount, *taken), amount.currency) <= read_money(capture["amount"])

    def _execute_later(self, key: str, row: Row, is_pending: bool) -> RefundSeen | Unknown:
        row["status"] = "pending" if is_pending else "in_flight"
        self._put(row)
        self._schedule("execute", row, self.state.now() + (PENDING_MS if is_pending else LATE_MS))
        return self._seen(key, row) if is_pending else Unknown()

    def _execute_now(self, key: str, row: Row, fault: str | None) -> RefundSeen | Unknown:
        now = self.state.now()
        self._complete(row, now)
        if fault == "returned_later":
            self._schedule("return", row, now + RETURN_MS)
        if fault != "lost_event":
            self.effects.announce(refund_id(key), now, fault)
        if fault == "timeout_after":
            return Unknown()
        seen = self._seen(key, row)
        if fault == "wrong_amount":
            return replace(seen, amount=Money(seen.amount.minor - 1, seen.amount.currency))
        return seen

    def _complete(self, row: Row, at: int) -> None:
        row |= {"status": "succeeded", "at": at, "executed_at": at}
        self._put(row)
        self.report.expect(row["kind"], row["key"], row["ref"], read_money(row["amount"]), at)

    def _schedule(self, kind: str, row: Row, at: int) -> None:
        key = row["key"]
        where = {"page": refunds_partition(key), "line": row["line"], "subject": refund_id(key)}
        self.effects.schedule({"kind": kind, "at": at, **where})

    def _seen(self, key: str, row: Row) -> RefundSeen:
        _, ordinal, way = parse_subject(key)
        return RefundSeen(
            refund=ordinal,
            status=row["status"],
            amount=read_money(row["amount"]),
            provider_ref=row["ref"],
            at=row["at"],
            settled=self.report.shows(build_place("refund", key), row["ref"]),
            code=row.get("code", ""),
            route_no=way,
            executed_at=row.get("executed_at"),
        )


def refund_id(key: str) -> str:
    """The refund's id of a key or of a row's name, as events and the books give it."""
    return key.partition("#")[0].partition(".")[0]
