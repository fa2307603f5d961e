"""A payment provider for one machine: its own durable books, signed events, and every fault a real one has.

It never looks into our journals. What it executes it does at most once for a key, as long as it remembers the key.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Any, Final

from chalicelib.core.ids import parse_child
from chalicelib.core.instants import HOUR, MINUTE, format_instant
from chalicelib.core.money import Money
from chalicelib.core.payment import CaptureSeen, PaymentSeen
from chalicelib.core.refund import RefundSeen
from chalicelib.flows.ports import Declined, NotFound, Session, Unknown
from chalicelib.gateways.books import Books, Row

PENDING: Final = 5 * MINUTE
LATE: Final = 90_000
COMES_BACK: Final = 24 * HOUR
SETTLES: Final = 24 * HOUR
KEYS_KEPT: Final = 24 * HOUR
REDELIVERY: Final = MINUTE
MOST_DELIVERIES: Final = 10

_CALLS: Final = (
    "timeout_before",
    "timeout_after",
    "error_500",
    "declined",
    "pending",
    "succeeds_later",
    "returned_later",
    "duplicate_event",
    "lost_event",
    "wrong_amount",
)
FAULTS: Final[Mapping[str, Sequence[str]]] = {
    "refund": _CALLS,
    "payment": _CALLS,
    "webhook": ("duplicate_event", "lost_event", "error_500"),
    "settlement": ("line_missing", "wrong_amount", "duplicate_line"),
}

# Hands one event to the service, body and id, and gives back the HTTP status.
Deliver = Callable[[str, bytes], int]


class Sandbox:
    """The provider. ``machine`` is the machine's clock; ours is that plus an offset that only grows."""

    name = "sandbox"
    key_retention_ms = KEYS_KEPT

    def __init__(self, books: Books, machine: Callable[[], int], deliver: Deliver | None = None) -> None:
        self._books = books
        self._machine = machine
        self._lock = RLock()
        self._offset = int((books.get("clock", "offset") or {"ms": 0})["ms"])
        self.deliver = deliver

    @property
    def offset(self) -> int:
        """Milliseconds that the sandbox is ahead of the machine."""
        return self._offset

    def now(self) -> int:
        return self._machine() + self._offset

    def advance(self, to: int) -> None:
        """Set the clock to an instant that is still ahead. ValueError for the past."""
        with self._lock:
            ahead = to - self.now()
            if ahead < 0:
                raise ValueError("the clock only moves forward")
            self.forward(ahead)

    def forward(self, milliseconds: int) -> None:
        """Move the clock, then carry out and deliver what fell due."""
        with self._lock:
            self._offset += milliseconds
            self._books.put("clock", "offset", {"ms": self._offset})
        self.pump()

    def arm(self, on: str, fault: str, times: int) -> None:
        """Queue a fault. ValueError for a pair that does not exist."""
        if fault not in FAULTS.get(on, ()):
            raise ValueError(on)
        with self._lock:
            self._books.put(f"faults#{on}", f"{self._serial():012d}", {"fault": fault, "left": times})

    def disarm(self) -> None:
        with self._lock:
            for on in FAULTS:
                for line, _ in self._books.lines(f"faults#{on}"):
                    self._books.drop(f"faults#{on}", line)

    # What the service asks.

    def open_session(self, payment_id: str, amount: Money, method: str) -> Session | Declined | Unknown:
        with self._lock:
            if self._payment(payment_id) is None:
                self._write_payment(
                    payment_id,
                    {"status": "open", "asked": _written(amount), "method": method, "captures": []},
                )
        return Session(f"/sandbox/checkout/{payment_id}")

    def find_payment(self, payment_id: str) -> PaymentSeen | NotFound | Unknown:
        with self._lock:
            row = self._payment(payment_id)
        if row is None:
            return NotFound()
        captures = tuple(CaptureSeen(one["ref"], _read(one["amount"]), one["at"]) for one in row["captures"])
        return PaymentSeen(_ordinal("pay", payment_id), row["status"], captures)

    def refund(self, refund_id: str, payment_id: str, capture: str, amount: Money) -> RefundSeen | Unknown:
        with self._lock:
            known = self._remembered(refund_id)
            if known is not None:
                return self._seen(refund_id, known) if known["status"] != "in_flight" else Unknown()
            fault = self._next_fault("refund")
            if fault in {"timeout_before", "error_500"}:
                return Unknown()
            row = self._new_refund(refund_id, capture, amount)
            if fault == "declined" or not self._covered(payment_id, capture, row):
                return self._decline(refund_id, row, fault)
            return self._execute_as_told(refund_id, row, fault)

    def find_refund(self, refund_id: str) -> RefundSeen | NotFound | Unknown:
        with self._lock:
            rows = [row for _, row in self._refunds(refund_id) if row["status"] != "in_flight"]
            return self._seen(refund_id, rows[-1]) if rows else NotFound()

    # What a buyer does at the provider.

    def pay(self, payment_id: str, outcome: str, amount: Money | None) -> None:
        """The buyer pays, or the provider declines. The same outcome again changes nothing."""
        with self._lock:
            row = self._payment(payment_id)
            assert row is not None, "a session was opened before"
            if outcome == "failed":
                self._fail(payment_id, row)
            else:
                self._take(payment_id, row, amount or _read(row["asked"]))
        self.pump()

    def books(self, deposit_body: str) -> list[dict[str, Any]]:
        """What was executed, is pending or was declined for a deposit."""
        with self._lock:
            rows = self._books.lines(f"refunds#{deposit_body}")
        return [
            {"id": row["ref"], "refund": line.split("#")[0], "amount": row["amount"], "status": row["status"]}
            for line, row in rows
            if row["status"] != "in_flight"
        ]

    def pump(self) -> None:
        """Carry out what is due, in the order of its instants, and deliver events. Safe from any thread."""
        while True:
            with self._lock:
                found = self._books.first("effects")
                if found is None or found[1]["at"] > self.now():
                    return
                self._books.drop("effects", found[0])
            self._carry_out(found[1])

    def _carry_out(self, effect: Row) -> None:
        if effect["kind"] == "event":
            self._deliver(effect)
            return
        with self._lock:
            page, line = effect["page"], effect["line"]
            row = self._books.get(page, line)
            assert row is not None, "effects belong to a row"
            if effect["kind"] == "capture":
                self._capture(effect["subject"], row, _read(row["awaited"]), effect["at"])
            elif effect["kind"] == "execute":
                self._executed(row, effect["at"])
                self._books.put(page, line, row)
            else:
                self._books.put(page, line, {**row, "status": "returned", "at": effect["at"]})
            self._tell(effect["subject"], effect["at"])

    def _deliver(self, effect: Row) -> None:
        if self.deliver is None:
            return
        told = {"type": effect["type"], "timestamp": format_instant(effect["happened_at"])}
        body = json.dumps({**told, "data": {"id": effect["subject"]}}).encode()
        with self._lock:
            fault = self._next_fault("webhook")
        if fault == "lost_event":
            return
        status = 0
        for _ in range(3 if fault == "duplicate_event" else 1):
            status = 500 if fault == "error_500" else self.deliver(effect["id"], body)
        tries = effect["tries"] + 1
        if status >= 300 and tries < MOST_DELIVERIES:  # noqa: PLR2004 - not a success
            self._later({**effect, "at": self.now() + REDELIVERY, "tries": tries})

    # Payments.

    def _take(self, payment_id: str, row: Row, amount: Money) -> None:
        if _complete(row):
            return
        fault = self._next_fault("payment")
        if fault in {"timeout_before", "error_500"}:
            return
        if fault == "declined":
            self._fail(payment_id, row)
        elif fault in {"pending", "succeeds_later"}:
            self._write_payment(payment_id, {**row, "status": "pending", "awaited": _written(amount)})
            self._later(
                {
                    "kind": "capture",
                    "at": self.now() + (PENDING if fault == "pending" else LATE),
                    "page": _payments(payment_id),
                    "line": payment_id,
                    "subject": payment_id,
                }
            )
            if fault == "pending":
                self._tell(payment_id, self.now())
        else:
            self._capture(payment_id, row, amount, self.now())
            if fault not in {"timeout_after", "lost_event"}:
                self._tell(payment_id, self.now(), times=3 if fault == "duplicate_event" else 1)

    def _capture(self, payment_id: str, row: Row, amount: Money, at: int) -> None:
        taken = {"ref": f"{payment_id}.{len(row['captures']) + 1}", "amount": _written(amount), "at": at}
        self._write_payment(payment_id, {**row, "status": "succeeded", "captures": [*row["captures"], taken]})

    def _fail(self, payment_id: str, row: Row) -> None:
        if row["status"] not in {"failed", "succeeded"}:
            self._write_payment(payment_id, {**row, "status": "failed"})
            self._tell(payment_id, self.now())

    def _payment(self, payment_id: str) -> Row | None:
        return self._books.get(_payments(payment_id), payment_id)

    def _write_payment(self, payment_id: str, row: Row) -> None:
        self._books.put(_payments(payment_id), payment_id, row)

    # Refunds.

    def _refunds(self, refund_id: str) -> list[tuple[str, Row]]:
        page = f"refunds#{_body('ref', refund_id)}"
        return [(line, row) for line, row in self._books.lines(page) if line.startswith(f"{refund_id}#")]

    def _remembered(self, refund_id: str) -> Row | None:
        """What the key already did, unless it is too old to be remembered."""
        return next(
            (row for _, row in self._refunds(refund_id) if self.now() - row["asked_at"] < self.key_retention_ms), None
        )

    def _new_refund(self, refund_id: str, capture: str, amount: Money) -> Row:
        n = len(self._refunds(refund_id)) + 1
        now = self.now()
        return {
            "ref": f"sbx_{refund_id}.{n}",
            "line": f"{refund_id}#{n}",
            "capture": capture,
            "amount": _written(amount),
            "asked_at": now,
            "at": now,
            "status": "in_flight",
            "settles_at": None,
        }

    def _covered(self, payment_id: str, capture: str, row: Row) -> bool:
        """A provider's last line of defence: refunds of a capture never exceed it."""
        payment = self._payment(payment_id)
        taken = next((one for one in payment["captures"] if one["ref"] == capture), None) if payment else None
        if taken is None:
            return False
        page = f"refunds#{_body('pay', payment_id)}"
        gone = [
            _read(other["amount"]).minor
            for _, other in self._books.lines(page)
            if other["capture"] == capture and other["status"] not in {"declined", "returned"}
        ]
        return sum(gone) + _read(row["amount"]).minor <= _read(taken["amount"]).minor

    def _decline(self, refund_id: str, row: Row, fault: str | None) -> RefundSeen:
        row = {**row, "status": "declined", "code": "declined" if fault == "declined" else "not_covered"}
        self._save(refund_id, row)
        return self._seen(refund_id, row)

    def _execute_as_told(self, refund_id: str, row: Row, fault: str | None) -> RefundSeen | Unknown:
        now = self.now()
        if fault in {"pending", "succeeds_later"}:
            row["status"] = "pending" if fault == "pending" else "in_flight"
            self._save(refund_id, row)
            self._refund_effect("execute", refund_id, row, now + (PENDING if fault == "pending" else LATE))
            return self._seen(refund_id, row) if fault == "pending" else Unknown()
        self._executed(row, now)
        self._save(refund_id, row)
        if fault == "returned_later":
            self._refund_effect("return", refund_id, row, now + COMES_BACK)
        if fault != "lost_event":
            self._tell(refund_id, now, times=3 if fault == "duplicate_event" else 1)
        if fault == "timeout_after":
            return Unknown()
        seen = self._seen(refund_id, row)
        if fault == "wrong_amount":
            less = Money(seen.amount.minor - 1, seen.amount.currency)
            return RefundSeen(seen.refund, seen.status, less, seen.provider_ref, seen.at)
        return seen

    def _executed(self, row: Row, at: int) -> None:
        missing = self._next_fault("settlement") == "line_missing"
        row |= {"status": "succeeded", "at": at, "settles_at": None if missing else at + SETTLES}

    def _refund_effect(self, kind: str, refund_id: str, row: Row, at: int) -> None:
        page = f"refunds#{_body('ref', refund_id)}"
        self._later({"kind": kind, "at": at, "page": page, "line": row["line"], "subject": refund_id})

    def _save(self, refund_id: str, row: Row) -> None:
        self._books.put(f"refunds#{_body('ref', refund_id)}", row["line"], row)

    def _seen(self, refund_id: str, row: Row) -> RefundSeen:
        settles_at = row["settles_at"]
        return RefundSeen(
            refund=_ordinal("ref", refund_id),
            status=row["status"],
            amount=_read(row["amount"]),
            provider_ref=row["ref"],
            at=row["at"],
            settled=settles_at is not None and settles_at <= self.now(),
            code=row.get("code", ""),
        )

    # Effects, events and faults.

    def _tell(self, subject: str, at: int, times: int = 1) -> None:
        kind = "payment.updated" if subject.startswith("pay_") else "refund.updated"
        told = {"kind": "event", "type": kind, "subject": subject, "happened_at": at}
        event = {**told, "at": at, "tries": 0, "id": f"sev_{self._serial()}"}
        for _ in range(times):
            self._later(event)

    def _later(self, effect: Row) -> None:
        self._books.put("effects", f"{effect['at']:015d}#{self._serial():012d}", effect)

    def _next_fault(self, on: str) -> str | None:
        found = self._books.first(f"faults#{on}")
        if found is None:
            return None
        line, row = found
        if row["left"] > 1:
            self._books.put(f"faults#{on}", line, {**row, "left": row["left"] - 1})
        else:
            self._books.drop(f"faults#{on}", line)
        return str(row["fault"])

    def _serial(self) -> int:
        with self._lock:
            last = (self._books.get("serial", "last") or {"n": 0})["n"] + 1
            self._books.put("serial", "last", {"n": last})
            return int(last)


def _complete(row: Row) -> bool:
    """Whether the session has what it asked for; one that was paid too little stays open."""
    asked = _read(row["asked"])
    return any(
        taken.currency == asked.currency and taken >= asked
        for taken in (_read(one["amount"]) for one in row["captures"])
    )


def _written(money: Money) -> dict[str, str]:
    return {"amount": money.amount, "currency": money.currency}


def _read(written: Mapping[str, str]) -> Money:
    return Money.parse(written["amount"], written["currency"])


def _body(prefix: str, child_id: str) -> str:
    parsed = parse_child(prefix, child_id)
    assert parsed is not None, child_id
    return parsed[0]


def _ordinal(prefix: str, child_id: str) -> int:
    parsed = parse_child(prefix, child_id)
    assert parsed is not None, child_id
    return parsed[1]


def _payments(payment_id: str) -> str:
    return f"payments#{_body('pay', payment_id)}"
