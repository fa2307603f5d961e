"""A payment provider for one machine: its own durable books, signed events, and every fault a real one has.

It never looks into our journals. What it executes it does at most once for a key, as long as it remembers the key.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import RLock
from typing import Any, Final, Literal

from msgspec.structs import replace

from chalicelib.core.common.ids import digest_id, parse_child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, format_instant
from chalicelib.core.common.money import Money, total
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.refund import parse_refund_key
from chalicelib.core.paying.provider_answers import CaptureSeen, DisputeSeen, PaymentSeen
from chalicelib.core.reconciliation.lines import Line, build_place
from chalicelib.core.refunding.destination import Payee
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.flows.ports.provider import Declined, NotFound, ReportPage, Session, Unknown
from chalicelib.gateways.books import SETTLES, Books, Report, Row
from chalicelib.gateways.settlement_file import COLUMNS, KINDS

PENDING: Final = 5 * MINUTE
LATE: Final = 90_000
COMES_BACK: Final = 24 * HOUR
KEYS_KEPT: Final = 24 * HOUR
REDELIVERY: Final = MINUTE
MAX_DELIVERIES: Final = 10
# The ends of accounts that no bank keeps, and that it keeps in another name.
NO_ACCOUNT: Final = "404"
OTHER_HOLDER: Final = "409"

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
    settle_days: int | None = SETTLES // DAY

    def __init__(self, books: Books, machine: Callable[[], int], deliver: Deliver | None = None) -> None:
        self._books = books
        self._report = Report(books, lambda: self._next_fault("settlement"))
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
            self._report.enter(self.now())  # what is already due does not meet it any more
            self._books.put(f"faults#{on}", f"{self._serial():012d}", {"fault": fault, "left": times})

    def disarm(self) -> None:
        with self._lock:
            self._report.enter(self.now())
            for on in FAULTS:
                for line, _ in self._books.lines(f"faults#{on}"):
                    self._books.drop(f"faults#{on}", line)

    # What the service asks.

    def open_session(self, payment_id: str, amount: Money, method: str) -> Session | Declined | Unknown:
        with self._lock:
            if self._payment(payment_id) is None:
                self._write_payment(
                    payment_id,
                    {"status": "open", "asked": _written(amount), "method": method, "captures": [], "disputes": []},
                )
        return Session(f"/sandbox/checkout/{payment_id}")

    def find_payment(self, payment_id: str) -> PaymentSeen | NotFound | Unknown:
        with self._lock:
            row = self._payment(payment_id)
        if row is None:
            return NotFound()
        captures = tuple(CaptureSeen(one["ref"], _read(one["amount"]), one["at"]) for one in row["captures"])
        disputes = tuple(
            DisputeSeen(one["ref"], one["capture"], _read(one["amount"]), one["status"]) for one in row["disputes"]
        )
        return PaymentSeen(_ordinal(payment_id), row["status"], captures, disputes)

    def refund(self, key: str, payment_id: str, capture: str, amount: Money) -> RefundSeen | Unknown:
        with self._lock:
            uncovered = None if self._covered(payment_id, capture, amount) else "not_covered"
            return self._ask("refund", key, amount, capture, uncovered)

    def pay_out(self, key: str, amount: Money, payee: Payee) -> RefundSeen | Unknown:
        """To an account. No capture covers it, and nothing of the payee is written anywhere."""
        with self._lock:
            unknown = "account_not_found" if payee.account.endswith(NO_ACCOUNT) else None
            return self._ask("payout", key, amount, None, unknown)

    def find_refund(self, key: str) -> RefundSeen | NotFound | Unknown:
        with self._lock:
            self._report.enter(self.now())
            rows = [row for _, row in self._refunds(key) if row["status"] != "in_flight"]
            return self._seen(key, rows[-1]) if rows else NotFound()

    def holder_of(self, bank: str, account: str) -> str | NotFound | Unknown:
        """In whose name an account is kept; empty when this bank does not tell names.

        An account ending in 404 is unknown, one ending in 409 is somebody else's; others are told once registered.
        """
        if account.endswith(NO_ACCOUNT):
            return NotFound()
        if account.endswith(OTHER_HOLDER):
            return "SOMEBODY ELSE"
        found = self._books.get("accounts", digest_id("acc", bank, account))
        return str(found["holder"]) if found is not None else ""

    # The settlement report.

    def page(self, start: int, end: int, shard: int, after: str, limit: int) -> ReportPage | Unknown:
        rows, last = self.settled(start, end, shard, after, limit)
        lines = [Line(row["place"], row["ref"], row["minor"], row["currency"], row["at"]) for row in rows]
        return ReportPage(lines, last)

    def settled(self, start: int, end: int, shard: int, after: str, limit: int) -> tuple[list[Row], str | None]:
        """The same with everything that the report says of a line."""
        self._enter()
        return self._report.page(start, end, shard, after, limit)

    def settlement_csv(self, start: int, end: int) -> Iterator[str]:
        """The report of a span as the file that other providers give: by instant of execution."""
        self._enter()
        writer = csv.writer(_Echo(), lineterminator="\n")
        yield str(writer.writerow(COLUMNS))
        for row in self._report.in_order(start, end):
            money = Money(row["minor"], row["currency"])
            told = (row["type"], row["reference"], row["ref"], money.amount, money.currency)
            yield str(writer.writerow((*told, format_instant(row["at"]))))

    def _enter(self) -> None:
        with self._lock:
            self._report.enter(self.now())

    def _expect(self, type_: str, reference: str, ref: str, money: Money, at: int) -> None:
        """What was executed gets its line a day later."""
        place = build_place(KINDS[type_], reference)
        row = {"n": self._serial(), "type": type_, "reference": reference, "ref": ref, "place": place, "at": at}
        self._report.expect({**row, "minor": money.minor, "currency": money.currency})

    # What people do at the provider and its banks.

    def book_by_hand(self, amount: Money, ref: str) -> None:
        """Somebody takes money in the provider's dashboard, under a reference of his own."""
        with self._lock:
            self._expect("capture", ref, ref, amount, self.now())

    def register_holder(self, bank: str, account: str, holder: str) -> None:
        """From now on this bank tells in whose name it keeps the account."""
        with self._lock:
            self._books.put("accounts", digest_id("acc", bank, account), {"holder": holder})

    def charge_back(
        self, payment_id: str, outcome: Literal["opened", "won", "lost"], amount: Money | None = None
    ) -> None:
        """The buyer's bank takes the latest capture back, or ends that. The same outcome again changes nothing."""
        with self._lock:
            row = self._payment(payment_id)
            if row is None or not row["captures"]:
                raise Refused(Reason.WRONG_STATE, state="not_captured")
            disputes = _disputed(row, amount) if outcome == "opened" else _decided(row["disputes"], outcome)
            if disputes != row["disputes"]:
                self._write_payment(payment_id, {**row, "disputes": disputes})
                self._tell(payment_id, self.now())
        self.pump()

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
            {"id": row["ref"], "refund": _refund_id(line), **{name: row[name] for name in ("kind", "amount", "status")}}
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
            row = self._books.get(effect["page"], effect["line"])
            assert row is not None, "effects belong to a row"
            if effect["kind"] == "capture":
                self._capture(effect["subject"], row, _read(row["awaited"]), effect["at"])
            elif effect["kind"] == "reverse":  # the bank took a payment back without a word before
                disputes = _decided(_disputed(row, None), "lost")
                self._write_payment(effect["subject"], {**row, "disputes": disputes})
            elif effect["kind"] == "execute":
                self._executed(row, effect["at"])
            else:
                self._return(row, effect["at"])
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
        if status >= 300 and tries < MAX_DELIVERIES:  # noqa: PLR2004 - not a success
            self._later({**effect, "at": self.now() + REDELIVERY, "tries": tries})

    # Payments.

    def _take(self, payment_id: str, row: Row, amount: Money) -> None:
        if _complete(row) or row["status"] == "pending":
            return
        fault = self._next_fault("payment")
        if fault in {"timeout_before", "error_500"}:
            return
        if fault == "declined":
            self._fail(payment_id, row)
        elif fault in {"pending", "succeeds_later"}:
            self._write_payment(payment_id, {**row, "status": "pending", "awaited": _written(amount)})
            self._payment_effect("capture", payment_id, PENDING if fault == "pending" else LATE)
            if fault == "pending":
                self._tell(payment_id, self.now())
        else:
            taken = Money(amount.minor - 1, amount.currency) if fault == "wrong_amount" else amount
            self._capture(payment_id, row, taken, self.now())
            if fault == "returned_later":
                self._payment_effect("reverse", payment_id, COMES_BACK)
            if fault not in {"timeout_after", "lost_event"}:
                self._tell(payment_id, self.now(), times=3 if fault == "duplicate_event" else 1)

    def _payment_effect(self, kind: str, payment_id: str, after: int) -> None:
        place = {"page": _payments(payment_id), "line": payment_id, "subject": payment_id}
        self._later({"kind": kind, "at": self.now() + after, **place})

    def _capture(self, payment_id: str, row: Row, amount: Money, at: int) -> None:
        taken = {"ref": f"{payment_id}.{len(row['captures']) + 1}", "amount": _written(amount), "at": at}
        self._write_payment(payment_id, {**row, "status": "succeeded", "captures": [*row["captures"], taken]})
        self._expect("capture", payment_id, str(taken["ref"]), amount, at)

    def _fail(self, payment_id: str, row: Row) -> None:
        if row["status"] not in {"failed", "succeeded"}:
            self._write_payment(payment_id, {**row, "status": "failed"})
            self._tell(payment_id, self.now())

    def _payment(self, payment_id: str) -> Row | None:
        return self._books.get(_payments(payment_id), payment_id)

    def _write_payment(self, payment_id: str, row: Row) -> None:
        self._books.put(_payments(payment_id), payment_id, row)

    # Refunds and payouts.

    def _refunds(self, key: str) -> list[tuple[str, Row]]:
        return [(line, row) for line, row in self._books.lines(_refunds(key)) if line.startswith(f"{key}#")]

    def _remembered(self, key: str) -> Row | None:
        """What the key already did, unless it is too old to be remembered."""
        return next(
            (row for _, row in self._refunds(key) if self.now() - row["asked_at"] < self.key_retention_ms), None
        )

    def _ask(
        self, kind: str, key: str, amount: Money, capture: str | None, impossible: str | None
    ) -> RefundSeen | Unknown:
        known = self._remembered(key)
        if known is not None:
            return self._seen(key, known) if known["status"] != "in_flight" else Unknown()
        fault = self._next_fault("refund")
        if fault in {"timeout_before", "error_500"}:
            return Unknown()
        row = self._new_row(kind, key, amount, capture)
        code = "declined" if fault == "declined" else impossible
        if code is not None:
            row |= {"status": "declined", "code": code}
            self._save(row)
            return self._seen(key, row)
        return self._execute_as_told(key, row, fault)

    def _new_row(self, kind: str, key: str, amount: Money, capture: str | None) -> Row:
        n = len(self._refunds(key)) + 1
        now = self.now()
        return {
            "kind": kind,
            "ref": f"sbx_{key}.{n}",
            "key": key,
            "line": f"{key}#{n:03d}",
            "capture": capture,
            "amount": _written(amount),
            "asked_at": now,
            "at": now,
            "status": "in_flight",
        }

    def _covered(self, payment_id: str, capture: str, amount: Money) -> bool:
        """A provider's last line of defence: refunds and lost chargebacks of a capture never exceed it."""
        payment = self._payment(payment_id)
        taken = next((one for one in payment["captures"] if one["ref"] == capture), None) if payment else None
        if payment is None or taken is None or taken["amount"]["currency"] != amount.currency:
            return False
        lost = [one for one in payment["disputes"] if one["status"] == "lost"]
        sent = [
            row
            for _, row in self._books.lines(_refunds(payment_id))
            if row["kind"] == "refund" and row["status"] not in {"declined", "returned"}
        ]
        gone = [_read(one["amount"]) for one in (*lost, *sent) if one["capture"] == capture]
        return total((amount, *gone), amount.currency) <= _read(taken["amount"])

    def _execute_as_told(self, key: str, row: Row, fault: str | None) -> RefundSeen | Unknown:
        now = self.now()
        if fault in {"pending", "succeeds_later"}:
            row["status"] = "pending" if fault == "pending" else "in_flight"
            self._save(row)
            self._refund_effect("execute", row, now + (PENDING if fault == "pending" else LATE))
            return self._seen(key, row) if fault == "pending" else Unknown()
        self._executed(row, now)
        if fault == "returned_later":
            self._refund_effect("return", row, now + COMES_BACK)
        if fault != "lost_event":
            self._tell(_refund_id(key), now, times=3 if fault == "duplicate_event" else 1)
        if fault == "timeout_after":
            return Unknown()
        seen = self._seen(key, row)
        if fault == "wrong_amount":
            return replace(seen, amount=Money(seen.amount.minor - 1, seen.amount.currency))
        return seen

    def _executed(self, row: Row, at: int) -> None:
        row |= {"status": "succeeded", "at": at, "executed_at": at}
        self._save(row)
        self._expect(row["kind"], row["key"], row["ref"], _read(row["amount"]), at)

    def _return(self, row: Row, at: int) -> None:
        self._save({**row, "status": "returned", "at": at})
        self._expect("return", row["key"], row["ref"], _read(row["amount"]), at)

    def _refund_effect(self, kind: str, row: Row, at: int) -> None:
        key = row["key"]
        self._later({"kind": kind, "at": at, "page": _refunds(key), "line": row["line"], "subject": _refund_id(key)})

    def _save(self, row: Row) -> None:
        self._books.put(_refunds(row["key"]), row["line"], row)

    def _seen(self, key: str, row: Row) -> RefundSeen:
        return RefundSeen(
            refund=_ordinal(key),
            status=row["status"],
            amount=_read(row["amount"]),
            provider_ref=row["ref"],
            at=row["at"],
            settled=self._report.shows(build_place("refund", key), row["ref"]),
            code=row.get("code", ""),
            route_no=_way(key),
            executed_at=row.get("executed_at"),
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


def _disputed(row: Row, amount: Money | None) -> list[Row]:
    """The chargebacks of a payment with one against its latest capture, by its whole amount unless told otherwise."""
    capture = row["captures"][-1]
    taken = _read(capture["amount"])
    asked = taken if amount is None else amount
    if asked.currency != taken.currency:
        raise Refused(Reason.CURRENCY_MISMATCH, [FieldError("/amount", "currency_mismatch")])
    if asked > taken:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/amount", "too_large")])
    known: list[Row] = row["disputes"]
    if any(one["capture"] == capture["ref"] for one in known):
        return known
    ref = f"{capture['ref']}.d1"
    return [*known, {"ref": ref, "capture": capture["ref"], "amount": _written(asked), "status": "open"}]


def _decided(disputes: Sequence[Row], outcome: str) -> list[Row]:
    """The chargebacks with the open one ended."""
    if any(one["status"] == "open" for one in disputes):
        return [{**one, "status": outcome} if one["status"] == "open" else one for one in disputes]
    if not disputes or disputes[-1]["status"] != outcome:
        raise Refused(Reason.WRONG_STATE, state="no_open_chargeback")
    return [*disputes]


class _Echo:
    """What the csv module takes for a file: it gives each row back."""

    def write(self, text: str) -> str:
        return text


def _named(subject: str) -> tuple[str, int, int]:
    """The deposit's 26 characters, the ordinal and the way, of a payment's id or a refund's key."""
    paid = parse_child("pay", subject)
    parsed = parse_refund_key(subject) if paid is None else (*paid, 0)
    assert parsed is not None, subject
    return parsed


def _ordinal(subject: str) -> int:
    return _named(subject)[1]


def _way(key: str) -> int:
    return _named(key)[2]


def _refund_id(key: str) -> str:
    """The refund's id of a key or of a line of it: what events and the books name."""
    return key.partition("#")[0].partition(".")[0]


def _payments(payment_id: str) -> str:
    return f"payments#{_named(payment_id)[0]}"


def _refunds(subject: str) -> str:
    return f"refunds#{_named(subject)[0]}"
