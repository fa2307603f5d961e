"""Payments at the sandbox: sessions, captures and chargebacks."""

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from chalicelib.core.common.instants import HOUR, MINUTE
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.paying.provider_answers import CaptureSeen, DisputeSeen, PaymentSeen
from chalicelib.gateways.sandbox.books import Row, money_row, parse_subject, payments_partition, read_money
from chalicelib.gateways.sandbox.effects import Effects
from chalicelib.gateways.sandbox.faults import Faults
from chalicelib.gateways.sandbox.report import Report
from chalicelib.gateways.sandbox.state import SandboxState

PENDING_MS: Final = 5 * MINUTE
LATE_MS: Final = 90_000
RETURN_MS: Final = 24 * HOUR


class Payments(Struct, frozen=True):
    """Payment rows: ``{status, asked, method, captures, disputes}``. Called under the sandbox's lock."""

    state: SandboxState
    faults: Faults
    report: Report
    effects: Effects

    def get(self, payment_id: str) -> Row | None:
        return self.state.books.get(payments_partition(payment_id), payment_id)

    def _put(self, payment_id: str, row: Row) -> None:
        self.state.books.put(payments_partition(payment_id), payment_id, row)

    def open(self, payment_id: str, amount: Money, method: str) -> None:
        """Begin a payment that does not exist yet."""
        if self.get(payment_id) is None:
            row = {"status": "open", "asked": money_row(amount), "method": method, "captures": [], "disputes": []}
            self._put(payment_id, row)

    def pay(self, payment_id: str, outcome: str, amount: Money | None) -> None:
        """The buyer pays, or the provider declines. The same outcome again changes nothing."""
        row = self.get(payment_id)
        assert row is not None, "a session was opened before"
        if outcome == "failed":
            self._fail(payment_id, row)
        elif not _is_complete(row) and row["status"] != "pending":
            self._take(payment_id, row, amount or read_money(row["asked"]))

    def charge_back(self, payment_id: str, outcome: Literal["opened", "won", "lost"], amount: Money | None) -> None:
        """The buyer's bank takes the latest capture back, or ends that. The same outcome again changes nothing."""
        row = self.get(payment_id)
        if row is None or not row["captures"]:
            raise Refused(Reason.WRONG_STATE, state="not_captured")
        disputes = _open_dispute(row, amount) if outcome == "opened" else _end_dispute(row["disputes"], outcome)
        if disputes != row["disputes"]:
            self._put(payment_id, {**row, "disputes": disputes})
            self.effects.announce(payment_id, self.state.now())

    def carry_out(self, effect: Row, row: Row) -> None:
        """An effect of kind ``capture`` (money comes late) or ``reverse`` (the bank takes it back unannounced)."""
        payment_id = effect["subject"]
        if effect["kind"] == "capture":
            self._capture(payment_id, row, read_money(row["awaited"]), effect["at"])
        else:
            disputes = _end_dispute(_open_dispute(row, None), "lost")
            self._put(payment_id, {**row, "disputes": disputes})

    def _take(self, payment_id: str, row: Row, amount: Money) -> None:
        fault = self.faults.take("payment")
        if fault in {"timeout_before", "error_500"}:
            return
        if fault == "declined":
            self._fail(payment_id, row)
        elif fault in {"pending", "succeeds_later"}:
            self._put(payment_id, {**row, "status": "pending", "awaited": money_row(amount)})
            self._schedule("capture", payment_id, PENDING_MS if fault == "pending" else LATE_MS)
            if fault == "pending":
                self.effects.announce(payment_id, self.state.now())
        else:
            self._take_now(payment_id, row, amount, fault)

    def _take_now(self, payment_id: str, row: Row, amount: Money, fault: str | None) -> None:
        taken = Money(amount.minor - 1, amount.currency) if fault == "wrong_amount" else amount
        self._capture(payment_id, row, taken, self.state.now())
        if fault == "returned_later":
            self._schedule("reverse", payment_id, RETURN_MS)
        if fault not in {"timeout_after", "lost_event"}:
            self.effects.announce(payment_id, self.state.now(), fault)

    def _schedule(self, kind: str, payment_id: str, delay_ms: int) -> None:
        key = {"page": payments_partition(payment_id), "line": payment_id, "subject": payment_id}
        self.effects.schedule({"kind": kind, "at": self.state.now() + delay_ms, **key})

    def _capture(self, payment_id: str, row: Row, amount: Money, at: int) -> None:
        capture = {"ref": f"{payment_id}.{len(row['captures']) + 1}", "amount": money_row(amount), "at": at}
        self._put(payment_id, {**row, "status": "succeeded", "captures": [*row["captures"], capture]})
        self.report.expect("capture", payment_id, str(capture["ref"]), amount, at)

    def _fail(self, payment_id: str, row: Row) -> None:
        if row["status"] not in {"failed", "succeeded"}:
            self._put(payment_id, {**row, "status": "failed"})
            self.effects.announce(payment_id, self.state.now())


def payment_seen(payment_id: str, row: Row) -> PaymentSeen:
    captures = (
        CaptureSeen(capture["ref"], read_money(capture["amount"]), capture["at"]) for capture in row["captures"]
    )
    disputes = (
        DisputeSeen(dispute["ref"], dispute["capture"], read_money(dispute["amount"]), dispute["status"])
        for dispute in row["disputes"]
    )
    return PaymentSeen(parse_subject(payment_id)[1], row["status"], tuple(captures), tuple(disputes))


def _is_complete(row: Row) -> bool:
    """Whether one capture has what the session asked for; a payment with less stays open."""
    asked = read_money(row["asked"])
    amounts = [read_money(capture["amount"]) for capture in row["captures"]]
    return any(amount.currency == asked.currency and amount >= asked for amount in amounts)


def _open_dispute(row: Row, amount: Money | None) -> list[Row]:
    """The chargebacks of a payment with one against its latest capture; ``amount`` None is the whole capture."""
    capture = row["captures"][-1]
    captured = read_money(capture["amount"])
    disputed = captured if amount is None else amount
    if disputed.currency != captured.currency:
        raise Refused(Reason.CURRENCY_MISMATCH, [FieldError("/amount", "currency_mismatch")])
    if disputed > captured:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/amount", "too_large")])
    disputes: list[Row] = row["disputes"]
    if any(dispute["capture"] == capture["ref"] for dispute in disputes):
        return disputes
    ref = f"{capture['ref']}.d1"
    return [*disputes, {"ref": ref, "capture": capture["ref"], "amount": money_row(disputed), "status": "open"}]


def _end_dispute(disputes: Sequence[Row], outcome: str) -> list[Row]:
    """The chargebacks with the open one ended. Refused(WRONG_STATE) when none is open or ended with this outcome."""
    if any(dispute["status"] == "open" for dispute in disputes):
        return [{**dispute, "status": outcome} if dispute["status"] == "open" else dispute for dispute in disputes]
    if not disputes or disputes[-1]["status"] != outcome:
        raise Refused(Reason.WRONG_STATE, state="no_open_chargeback")
    return [*disputes]
