"""A payment provider with books of its own and the faults of real ones. It does not prevent mistakes of the service.

A key is remembered for ``key_retention_ms``; after that the same key executes again.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from random import Random
from typing import Any, Literal

from msgspec.structs import replace

from chalicelib.core.common.ids import parse_child
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.refund import parse_refund_key
from chalicelib.core.paying.provider_answers import CaptureSeen, DisputeSeen, PaymentSeen
from chalicelib.core.reconciliation.lines import UNATTRIBUTED, Line, LineKind, build_place, compute_shard
from chalicelib.core.refunding.destination import Payee
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.flows.ports.provider import Declined, NotFound, ReportPage, Session, Unknown
from chalicelib.gateways.settlement_file import paged
from tests.simulator.faults import Faults
from tests.simulator.scheduler import Scheduler

HOUR = 3_600_000
SETTLES = 24 * HOUR
LATEST = 72 * HOUR  # by then a line shows that was late
Way = Literal["refund", "payout"]
# What may be wrong with a line of the report.
FLAWS = ("report.line_missing", "report.wrong_amount", "report.line_twice", "report.line_late")
Flaw = Literal["", "report.line_missing", "report.wrong_amount", "report.line_twice", "report.line_late"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request for money as it reached the provider; ``payee`` None is the source."""

    key: str
    capture: str
    amount: Money
    payee: Payee | None


@dataclass
class Executed:
    """One refund or payout in the books. ``refund_id`` is that of its key without the way; ``moves`` is what moved."""

    key: str
    kind: Way
    ref: str
    amount: Money
    asked_at: int
    at: int
    status: Literal["pending", "succeeded", "declined", "returned"]
    capture: str = ""
    moves: list[tuple[LineKind, int]] = field(default_factory=list)

    @property
    def refund_id(self) -> str:
        return self.key.partition(".")[0]

    def become(self, status: Literal["pending", "succeeded", "declined", "returned"], at: int) -> None:
        self.status, self.at = status, at
        if status in {"succeeded", "returned"}:
            self.moves.append(("refund" if status == "succeeded" else "return", at))


@dataclass
class Paid:
    """One payment session in the books."""

    amount: Money
    status: Literal["open", "pending", "failed", "succeeded"] = "open"
    captures: list[CaptureSeen] = field(default_factory=list)
    disputes: list[DisputeSeen] = field(default_factory=list)


class SimulatedProvider:
    """The port, called from actors; ``tell`` schedules an event to our service."""

    name = "sandbox"
    settle_days: int | None = 1

    def __init__(self, scheduler: Scheduler, faults: Faults, key_retention_ms: int, tell: Any) -> None:
        self.key_retention_ms = key_retention_ms
        self.refunds: list[Executed] = []
        self.payments: dict[str, Paid] = {}
        self.refund_answers: dict[str, list[RefundSeen]] = defaultdict(list)  # all answers for a key
        self.payment_answers: dict[str, list[PaymentSeen]] = defaultdict(list)  # and for a payment
        self.on_call: Callable[[Call], None] = lambda _call: None
        self._scheduler = scheduler
        self._faults = faults
        self._tell = tell
        self._flaws: dict[tuple[str, str], tuple[Flaw, int]] = {}
        self._strange: list[Line] = []

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
        seen = PaymentSeen(ordinal(payment_id), found.status, tuple(found.captures), tuple(found.disputes))
        self.payment_answers[payment_id].append(seen)
        return seen

    def refund(self, key: str, payment_id: str, capture: str, amount: Money) -> RefundSeen | Unknown:  # noqa: ARG002
        return self._ask(Call(key, capture, amount, None))

    def pay_out(self, key: str, amount: Money, payee: Payee) -> RefundSeen | Unknown:
        return self._ask(Call(key, "", amount, payee))

    def find_refund(self, key: str) -> RefundSeen | NotFound | Unknown:
        self._travel()
        if self._strikes("look.unavailable"):
            return Unknown()
        rows = [row for row in self.refunds if row.key == key]
        # What happened within the last minute may not show yet.
        if rows and self._scheduler.now - rows[0].asked_at < 60_000 and self._strikes("look.stale"):
            return NotFound()
        if not rows:
            return NotFound()
        self.refund_answers[key].append(self._seen(rows[-1]))
        return self._seen(rows[-1])

    def holder_of(self, bank: str, account: str) -> str | NotFound | Unknown:  # noqa: ARG002
        """Its banks do not tell names, mostly; what one says of an account it says every time."""
        self._travel()
        if self._strikes("bank.no_answer"):
            return Unknown()
        always = Random(account)
        if self._faults.strikes("bank.unknown_account", always):
            return NotFound()
        return "SOMEBODY ELSE" if self._faults.strikes("bank.other_name", always) else ""

    def page(self, start: int, end: int, shard: int, after: str, limit: int) -> ReportPage | Unknown:
        self._travel()
        if self._strikes("report.unavailable"):
            return Unknown()
        mine = [line for line in self.reported(start, end) if compute_shard(line.place) == shard and line.place > after]
        return ReportPage(*paged(iter(sorted(mine)), limit, attrgetter("place")))

    def reported(self, start: int, end: int) -> Iterator[Line]:
        """The report as it shows by now, with all that is wrong in it."""
        now = self._scheduler.now
        for line in (*self.moved(), *self._strange):
            flaw, late = self.flaw_of(line)
            if not start <= line.at < end or line.at + SETTLES + late > now or flaw == "report.line_missing":
                continue
            yield line._replace(minor=line.minor - 1) if flaw == "report.wrong_amount" else line
            if flaw == "report.line_twice":
                yield line

    def moved(self) -> Iterator[Line]:
        """Everything that moved money, as a flawless report would tell it."""
        for payment_id, row in self.payments.items():
            for capture in row.captures:
                yield _line("capture", payment_id, capture.ref, capture.amount, capture.at)
        for sent in self.refunds:
            for kind, at in sent.moves:
                yield _line(kind, sent.key, sent.ref, sent.amount, at)

    def flaw_of(self, line: Line) -> tuple[Flaw, int]:
        """What is wrong with a line, and by how much it is late; drawn once, when it is born."""
        known = (line.ref, line.kind)
        if known not in self._flaws:
            random = Random(f"{line.ref}/{line.kind}/{line.at}")
            found: Any = next((flaw for flaw in FLAWS if self._faults.strikes(flaw, random)), "")
            late = random.randrange(HOUR, LATEST - SETTLES) if found == "report.line_late" else 0
            self._flaws[known] = found, late
            if self._faults.strikes("report.stranger", random):
                strange = line._replace(place=f"{UNATTRIBUTED}{line.kind}by-hand-{line.ref}", ref=f"hand-{line.ref}")
                self._flaws[strange.ref, strange.kind] = "", 0
                self._strange.append(strange)
        return self._flaws[known]

    def pay(self, payment_id: str, amount: Money, at: int) -> None:
        """Money arrives for a payment."""
        row = self.payments[payment_id]
        row.captures.append(CaptureSeen(f"{payment_id}.{len(row.captures) + 1}", amount, at))
        row.status = "succeeded"
        self._born()
        self._tell(payment_id)

    def dispute(self, payment_id: str, status: Literal["open", "won", "lost"]) -> None:
        """The buyer's bank takes the latest capture back, or decides about it."""
        row = self.payments[payment_id]
        capture = row.captures[-1]
        others = [dispute for dispute in row.disputes if dispute.capture != capture.ref]
        row.disputes = [*others, DisputeSeen(f"{capture.ref}.d1", capture.ref, capture.amount, status)]
        self._tell(payment_id)

    def _born(self) -> None:
        """New lines get their flaws at once: later the weather may be another."""
        for line in self.moved():
            self.flaw_of(line)

    def _ask(self, call: Call) -> RefundSeen | Unknown:
        self._travel()
        for before in ("refund.fails_before", "refund.error_before", "refund.rate_limited"):
            if self._strikes(before):
                return Unknown()
        self._faults.happened("keys.kept_a_day" if self.key_retention_ms >= SETTLES else "keys.kept_a_minute")
        self.on_call(call)
        known = self._remembered(call.key)
        if known is None:
            known = self._new(call)
            if known is None:
                return Unknown()
        self._travel()
        if call.payee is not None and self._strikes("payout.executes_then_times_out"):
            return Unknown()
        if self._strikes("refund.executes_then_times_out") or self._strikes("refund.error_after"):
            return Unknown()
        seen = self._seen(known)
        if self._strikes("refund.wrong_amount"):
            return replace(seen, amount=Money(seen.amount.minor - 1, seen.amount.currency))
        self.refund_answers[call.key].append(seen)
        return seen

    def _new(self, call: Call) -> Executed | None:
        now = self._scheduler.now
        kind: Way = "refund" if call.payee is None else "payout"
        ref = f"sbx_{call.key}.{len(self.refunds)}"
        row = Executed(call.key, kind, ref, call.amount, now, now, "pending", call.capture)
        if self._strikes("refund.executes_late"):
            self._scheduler.at(now + self._random().randrange(1_000, 600_000), lambda: self._arrive(row))
            return None
        self.refunds.append(row)
        if self._strikes("refund.declined"):
            row.become("declined", now)
        elif self._strikes("refund.pending"):
            ends: Any = "declined" if self._strikes("refund.pending_then_declined") else "succeeded"
            self._scheduler.at(now + self._random().randrange(60_000, 2 * HOUR), lambda: self._become(row, ends))
        else:
            row.become("succeeded", now)
            if self._strikes("refund.returned_later"):
                back = now + self._random().randrange(HOUR, 48 * HOUR)
                self._scheduler.at(back, lambda: self._become(row, "returned"))
        self._born()
        self._tell(row.refund_id)
        return row

    def _arrive(self, row: Executed) -> None:
        """Executed long after we stopped waiting, unless the key was used meanwhile."""
        if self._remembered(row.key) is None:
            row.asked_at = self._scheduler.now
            self.refunds.append(row)
            self._become(row, "succeeded")

    def _become(self, row: Executed, status: Literal["succeeded", "declined", "returned"]) -> None:
        row.become(status, self._scheduler.now)
        self._born()
        self._tell(row.refund_id)

    def _remembered(self, key: str) -> Executed | None:
        now = self._scheduler.now
        return next(
            (row for row in self.refunds if row.key == key and now - row.asked_at < self.key_retention_ms),
            None,
        )

    def _seen(self, row: Executed) -> RefundSeen:
        settled = row.status == "succeeded" and self._scheduler.now - row.at >= SETTLES
        executed = next((at for kind, at in row.moves if kind == "refund"), None)
        return RefundSeen(
            ordinal(row.key), row.status, row.amount, row.ref, row.at, settled, "declined", way_of(row.key), executed
        )

    def _travel(self) -> None:
        """The way to the provider and back takes time; others act meanwhile."""
        self._scheduler.sleep(self._random().randrange(1, 300))

    def _strikes(self, name: str) -> bool:
        return self._faults.strikes(name, self._random())

    def _random(self) -> Random:
        actor = self._scheduler.actor
        assert actor is not None, "the provider is called by actors"
        return actor.random


def _line(kind: LineKind, reference: str, ref: str, amount: Money, at: int) -> Line:
    return Line(build_place(kind, reference), ref, amount.minor, amount.currency, at)


def ordinal(subject: str) -> int:
    """Of a payment's id or a refund's key."""
    parsed = parse_child("pay", subject) or parse_refund_key(subject)
    assert parsed is not None, subject
    return parsed[1]


def way_of(key: str) -> int:
    parsed = parse_refund_key(key)
    assert parsed is not None, key
    return parsed[2]
