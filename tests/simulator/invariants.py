"""The promises, checked after every write against the whole store and the provider's own books.

Journals are read with the real fold. Everything that a mutant could change comes from elsewhere: windows and stakes from
the plan's sales (see deposit_invariants.py), stock from the shards, captures and executions from the provider.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalicelib.core.common.ids import child, parse_child
from chalicelib.core.common.journal import Entry
from chalicelib.core.deadlines import find_awaited_balance
from chalicelib.core.deposit import fold
from chalicelib.core.deposit import order as orders
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import Cancelled, Expired
from chalicelib.core.deposit.events.lock import LockBecameFinal
from chalicelib.core.deposit.events.order import Created, TakenStock
from chalicelib.core.deposit.events.refund import RefundApproved
from chalicelib.core.deposit.fold import KINDS, postings
from chalicelib.core.deposit.refund import Refund, RefundStatus
from chalicelib.core.deposit.status import Status
from chalicelib.store.journals import Journals
from tests.simulator.audit import explained
from tests.simulator.cancellation_invariants import GRACE, ON_TOP, CancellationInvariants
from tests.simulator.claim_invariants import ClaimInvariants
from tests.simulator.deposit_invariants import SKEW, DepositRecord, SentBodies
from tests.simulator.expressions import Item
from tests.simulator.provider import Executed, SimulatedProvider
from tests.simulator.refund_invariants import RefundInvariants
from tests.simulator.sales import Sale

DONE = {RefundStatus.SETTLED, RefundStatus.MANUAL_REVIEW}


@dataclass
class Invariants:
    """``sales`` gives what each offer's terms come to, by offer id."""

    now: Callable[[], int]
    sales: dict[str, Sale] = field(default_factory=dict)
    lost_events: set[str] = field(default_factory=set)  # subjects of lost events: only reconciliation can find those
    provider: SimulatedProvider | None = None
    refunds: RefundInvariants = field(init=False)
    cancellations: CancellationInvariants = field(init=False)
    claims: ClaimInvariants = field(init=False)
    violations: list[str] = field(default_factory=list)
    states: dict[str, Deposit] = field(default_factory=dict)
    records: dict[str, DepositRecord] = field(default_factory=dict)
    bodies: dict[tuple[str, int], SentBodies] = field(default_factory=dict)
    shards: dict[str, Item] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    _reader: Journals[DepositEvent] = field(default_factory=lambda: Journals(None, "", KINDS))

    def __post_init__(self) -> None:
        self.refunds = RefundInvariants(self.violated, self.now, self.states, bodies=self.bodies)
        self.cancellations = CancellationInvariants(self.violated, self.now, self.sales, self.records)
        self.claims = ClaimInvariants(
            self.violated, self.now, self.states, self.records, self.cancellations, self.refunds
        )
        self.refunds.claimed = self.claims.claimed

    def watch(self, provider: SimulatedProvider) -> None:
        """Compare this provider's books, and check the calls that it gets."""
        self.provider = self.refunds.provider = provider
        provider.on_call = self.refunds.check_call

    def violated(self, promise: str, what: str) -> None:
        self.violations.append(f"{promise} at {self.now()}: {what}")

    def record_request(self, path: str, body: dict[str, Any]) -> None:
        """Record the body of a request that is sent now."""
        self.bodies.setdefault((path, self.now()), []).append(body)

    def check_write(self, changes: list[tuple[str, Item | None, Item]]) -> None:
        """Check the items that one call of the store changed."""
        for pk, before, after in changes:
            if pk.startswith("dep_"):
                self._deposit(pk, before, after)
            elif pk.startswith(("brk_", "rec_")):
                self._check_book_item(pk, before, after)
            elif pk.startswith("stock#"):
                self.shards[pk] = after
            elif pk.startswith("limit#"):
                self.limits[pk] = int(after["units"]["N"])
        if any(pk.startswith(("dep_", "stock#", "limit#")) for pk, _, _ in changes):
            self._stock()
            self._limits()
        self.cancellations.check_write(changes)
        self.claims.check_write(changes)
        self._books()

    def _check_book_item(self, pk: str, before: Item | None, after: Item) -> None:
        """Check that a run or break was not rewritten, and that an injected difference explains each break."""
        assert self.provider is not None, "set before the history begins"
        old = before["journal"]["L"] if before is not None else []
        if after["journal"]["L"][: len(old)] != old:
            self.violated("history", f"{pk} was rewritten")
        unexplained = explained(after, self.provider) if pk.startswith("brk_") else None
        if unexplained is not None:
            self.violated("books", f"nothing explains {unexplained}")

    def _deposit(self, pk: str, before: Item | None, after: Item) -> None:
        old = before["journal"]["L"] if before is not None else []
        new = after["journal"]["L"]
        if new[: len(old)] != old:
            self.violated("history", f"{pk} was rewritten")
        if int(after["v"]["N"]) != len(new):
            self.violated("history", f"{pk} says version {after['v']['N']} and has {len(new)} events")
        added = self._reader.read({**after, "journal": {"L": new[len(old) :]}}).journal
        try:
            self._evolve(pk, added)
        except (AssertionError, KeyError, ValueError, IndexError) as broken:
            self.violated("P1", f"{pk} cannot be folded: {broken!r}")
            return
        self._waiting(pk, after)

    def _evolve(self, pk: str, added: Sequence[Entry[DepositEvent]]) -> None:
        for entry in added:
            event, state = entry.event, self.states.get(pk)
            if state is None:
                self._begin(pk, event, entry.received_at)
                continue
            self._zero_sum(state, event)
            self._in_time(pk, state, event, entry.received_at)
            self.claims.observe(pk, state, entry)
            self.cancellations.observe(pk, entry)
            self.records[pk].observe(event, entry.received_at)
            self.refunds.observe(pk, state, event, entry.received_at)
            self.states[pk] = fold.evolve(state, event)
            self.refunds.record_state(pk, self.states[pk], event)
            self._money(pk, self.states[pk])
            self._units(pk, self.states[pk])

    def _begin(self, pk: str, event: DepositEvent, asked: int) -> None:
        assert isinstance(event, Created), event
        self.states[pk] = orders.begin_deposit(pk, event)
        self.cancellations.begin(pk, event, asked)
        self.records[pk] = DepositRecord.begin(
            pk,
            event,
            self.sales[event.offer],
            violated=self.violated,
            now=self.now,
            captured_at=self._captured_at,
            bodies_at=lambda deposit_id, at: self.bodies.get((f"/v1/deposits/{deposit_id}/lock", at), []),
        )

    def _zero_sum(self, state: Deposit, event: DepositEvent) -> None:
        sums: Counter[str] = Counter()
        for _, amount in postings(event, state.refund_amounts()):
            sums[amount.currency] += amount.minor
        if any(sums.values()):
            self.violated("P1", f"{event} does not sum to zero")

    def _money(self, pk: str, state: Deposit) -> None:
        """P1 and P3, counted again from the parts; what the merchant pays on top is no part of what was taken."""
        money = state.money
        parts = (money.held, money.refunding, money.refunded, money.forfeited, money.fees)
        if money.captured.minor != sum(part.minor for part in parts) or min(part.minor for part in parts) < 0:
            self.violated("P1", f"{pk} {money}")
        on_top = sum(refund.amount.minor for refund in state.refunds if refund.cause == ON_TOP)
        if money.compensation.minor != on_top:
            self.violated("P1", f"{pk} owes {on_top} on top and says {money}")
        owed = sum(refund.amount.minor for refund in state.refunds if refund.amount.currency == state.currency) - on_top
        if owed > money.captured.minor:
            self.violated("P3", f"{pk} owes {owed} of {money.captured}")

    def _in_time(self, pk: str, state: Deposit, event: DepositEvent, asked: int) -> None:
        if isinstance(event, Expired) and self.now() < event.at + GRACE - SKEW:
            self.violated("P15", f"{pk} expired {self.now() - event.at} ms after its deadline")
        if isinstance(event, Expired):
            self._paid_in_time(pk, state)
        if isinstance(event, Cancelled) and event.cause == "buyer_default":
            self._no_balance_came(pk, state, asked)
        if isinstance(event, RefundApproved) and any(refund.n == event.refund for refund in state.refunds):
            self.violated("P3", f"{pk} approved refund {event.refund} twice")

    def _paid_in_time(self, pk: str, state: Deposit) -> None:
        """A deposit never expires over money that its provider took in time: we look before."""
        assert self.provider is not None, "set before the history begins"
        current = child("pay", pk, state.payment.n)
        paid = self.provider.payments.get(current)
        for capture in paid.captures if paid is not None else ():
            exact = capture.amount.currency == state.currency and capture.amount >= state.created.due_now
            if exact and capture.at < state.created.due_at:
                self.violated("P6", f"{pk} expired although {capture.ref} came in time")

    def _no_balance_came(self, pk: str, state: Deposit, asked: int) -> None:
        """Nobody is in default whose balance the provider had when that was said: we look before."""
        assert self.provider is not None, "set before the history begins"
        paid = self.provider.payments.get(child("pay", pk, state.payment.n))
        for capture in paid.captures if paid is not None and state.payment.kind == "balance" else ():
            exact = capture.amount.currency == state.currency and capture.amount >= state.payment.amount
            if exact and capture.at <= asked:
                self.violated("P6", f"{pk} was in default although {capture.ref} had come")

    def _captured_at(self, ref: str) -> int:
        """The provider's own word on when it took the money."""
        assert self.provider is not None, "set before the history begins"
        return next(
            capture.at for paid in self.provider.payments.values() for capture in paid.captures if capture.ref == ref
        )

    def _waiting(self, pk: str, after: Item) -> None:
        """P7: nothing waits without a due entry."""
        state = self.states[pk]
        waits = any(refund.status not in DONE for refund in state.refunds) or state.status is Status.AWAITING_PAYMENT
        if state.status is Status.COOLING_OFF and state.window is not None and state.window.ends_at is not None:
            waits = True
        locked = self.records[pk].locked
        if state.status is Status.LOCKED and locked is not None and locked.undo_until is not None:
            told = (LockBecameFinal.TYPE, locked.undo_until) in self.records[pk].announced
            waits = waits or (not told and self.now() < locked.undo_until)
        if find_awaited_balance(state) is not None:
            waits = True
        if any(dispute.status == "open" for dispute in state.disputes):
            waits = True
        if waits and "due" not in after:
            self.violated("P7", f"{pk} waits and nobody will come")
        if any(refund.open for refund in state.refunds) != ("open" in after):
            self.violated("P7", f"{pk} is not listed as it should be")

    def _units(self, pk: str, state: Deposit) -> None:
        """P4: a living deposit holds what it ordered; of one that has ended, what was shipped is sold."""
        record = self.records[pk]
        live, sold = _by_sku(state.stock), _by_sku(state.sold)
        gone = record.ended_at is not None
        ordered, shipped = record.units_of(), record.shipped_of()
        over = gone or record.completed
        for sku in record.sale.counted:
            if (live[sku], sold[sku]) != (0 if over else ordered[sku], shipped[sku] if over else 0):
                self.violated("P4", f"{pk} {sku}: {live} live, {sold} sold, {ordered} ordered, {shipped} shipped")
        counts = record.sale.limited and not record.with_pass and (not gone or record.counts_on)
        if state.limit_units != (ordered.total() if counts else 0):
            self.violated("P4", f"{pk} counts {state.limit_units} of {ordered} against the limit")

    def _stock(self) -> None:
        """P4: what is live and sold in the shards is what deposits took and kept, and every shard adds up."""
        taken: Counter[tuple[str, str, int]] = Counter()
        gone: Counter[tuple[str, str, int]] = Counter()
        for state in self.states.values():
            for one in state.stock:
                taken[state.created.offer, one.sku, one.shard] += one.units
            for one in state.sold:
                gone[state.created.offer, one.sku, one.shard] += one.units
        for pk, item in self.shards.items():
            left, live, sold, whole = (int(item[name]["N"]) for name in ("left", "live", "sold", "total"))
            _, offer, _, sku, shard = pk.split("#")
            place = (offer, sku, int(shard))
            if min(left, live, sold) < 0 or left + live + sold != whole:
                self.violated("P4", f"{pk}: {left} left, {live} live, {sold} sold of {whole}")
            if (taken[place], gone[place]) != (live, sold):
                self.violated("P4", f"{pk}: {live} live, {taken[place]} taken; {sold} sold, {gone[place]} gone")

    def _limits(self) -> None:
        counted: Counter[str] = Counter()
        for state in self.states.values():
            if state.limit_units:
                counted[f"limit#{state.created.offer}#{state.created.buyer}"] += state.limit_units
        for pk, units in self.limits.items():
            if counted[pk] != units:
                self.violated("P4", f"{pk} says {units}, living deposits have {counted[pk]}")

    def _books(self) -> None:
        """P2 and P3 from the provider's side."""
        if self.provider is None:
            return
        moved = [row for row in self.provider.refunds if row.status in {"pending", "succeeded"}]
        for refund_id, times in Counter(row.refund_id for row in moved).items():
            if times > 1:
                self.violated("P2", f"{refund_id} was executed {times} times")
        for row in moved:
            self._decided(row)
        gone: Counter[str] = Counter()
        for row in moved:
            gone[row.capture] += row.amount.minor
        for payment in self.provider.payments.values():
            for capture in payment.captures:
                if gone[capture.ref] > capture.amount.minor:
                    self.violated("P3", f"{capture.ref} gave back {gone[capture.ref]} of {capture.amount}")

    def _decided(self, row: Executed) -> None:
        """The provider moves only what was decided here, by that amount, and only after ``sent`` was written."""
        parsed = parse_child("ref", row.refund_id)
        assert parsed is not None, row.refund_id
        body, n = parsed
        refunds = self.states[f"dep_{body}"].refunds
        if n > len(refunds) or refunds[n - 1].amount != row.amount or refunds[n - 1].sent_at is None:
            self.violated("P2", f"{row.refund_id} moved {row.amount}, which nobody had decided and sent")

    def check_finished(self) -> None:
        """When faults are over, every job has had its time and the books were compared: nothing is left open.

        What no event, no look and no line of a report told is the only thing that may be unknown here.
        """
        assert self.provider is not None, "set before the history begins"
        executed = {row.refund_id: row for row in self.provider.refunds if row.status == "succeeded"}
        self.refunds.check_finished()
        self.cancellations.check_finished()
        self.claims.check_finished()
        for pk, state in self.states.items():
            if state.status is Status.AWAITING_PAYMENT:
                self.violated("P7", f"{pk} never expired")
            for refund in state.refunds:
                self._ended(pk, refund, executed)
            self._captured(pk, state)
            self._nothing_left_over(pk, state)
            for untold in self.records[pk].missing_announcements(self.now()):
                self.violated("P7", f"{pk} never told {untold}")

    def _ended(self, pk: str, refund: Refund, executed: dict[str, Executed]) -> None:
        refund_id = f"ref_{pk.removeprefix('dep_')}_{refund.n}"
        row = executed.get(refund_id)
        if refund.status not in DONE:
            self.violated("P7", f"{refund_id} ended as {refund.status}")
        paid = row is not None or (pk, refund.n) in self.refunds.covered or not refund.amount
        if refund.status is RefundStatus.SETTLED and not paid and refund_id not in self.lost_events:
            self.violated("P2", f"{refund_id} is settled here and not executed there")
        if row is not None and refund.status is not RefundStatus.SETTLED and not self._unreported(row.ref):
            self.violated("P7", f"{refund_id} was executed and ended as {refund.status}")

    def _unreported(self, ref: str) -> bool:
        assert self.provider is not None, "set before the history begins"
        lines = (line for line in self.provider.moved() if line.ref == ref)
        return any(self.provider.flaw_of(line)[0] == "report.line_missing" for line in lines)

    def _nothing_left_over(self, pk: str, state: Deposit) -> None:
        """A deposit that lives or was completed holds what counted, no more; one that has ended only what was shipped."""
        record = self.records[pk]
        expected = record.held
        if record.ended_at is not None:
            kept = 0 if record.ended_by == "withdrawal" else _goods_kept(state)
            if kept > record.shipped_value():
                self.violated("P1", f"{pk} keeps {kept} for goods worth {record.shipped_value()}")
            expected = kept - record.given_after
        if state.money.held.minor != expected:
            self.violated("P1", f"{pk} {state.status} holds {state.money.held} at rest, not {expected}")

    def _captured(self, pk: str, state: Deposit) -> None:
        """Every capture of the provider is known here, by an event, a look or a line of its report."""
        assert self.provider is not None, "set before the history begins"
        body = pk.removeprefix("dep_")
        for payment_id, payment in self.provider.payments.items():
            watched = find_awaited_balance(state) is not None and payment_id == child("pay", pk, state.payment.n)
            known = {one.capture for one in state.captures}
            for capture in payment.captures if payment_id.startswith(f"pay_{body}_") else ():
                told = watched or payment_id not in self.lost_events or not self._unreported(capture.ref)
                if told and capture.ref not in known:
                    self.violated("P7", f"{capture.ref} was taken and is not known here")


def _by_sku(taken: Sequence[TakenStock]) -> Counter[str]:
    units: Counter[str] = Counter()
    for one in taken:
        units[one.sku] += one.units
    return units


def _goods_kept(state: Deposit) -> int:
    """What the refunds at the end left with the merchant for units that were shipped."""
    ends = {"buyer_cancel", "buyer_default", "merchant_cancel", "claim"}
    lines = (line for refund in state.refunds if refund.cause in ends for line in refund.lines)
    return sum(-line.amount.minor for line in lines if line.code == "goods_kept")
