"""Planted differences: a story of a deposit, and what a run must find of it.

The run looks at eight days on the ninth. Cards show in a report after five days, payouts after two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR
from chalicelib.core.common.journal import Caller
from chalicelib.core.common.money import Money
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.core.paying.provider_answers import PaymentSeen
from chalicelib.core.refunding.destination import Payee
from tests.flows.bank import AFTER, BEFORE, DECLINED
from tests.flows.ledger import TODAY, ReconciliationShop, fresh
from tests.flows.shop import EARNEST
from tests.store.builders import T0
from tests.store.builders import fresh as fresh_id

LI: Final = Payee("Li Lei", "Bank of China", "6217000010001234567")


def fits(ledger: ReconciliationShop) -> str:
    return ledger.sell_and_refund()


def young(ledger: ReconciliationShop) -> str:
    """Captured four days and some hours ago, and in no report yet."""
    deposit_id = ledger.sell(TODAY - 5 * DAY + HOUR)
    ledger.bank.remove_lines(child("pay", deposit_id, 1))
    return deposit_id


def old_enough(ledger: ReconciliationShop) -> str:
    """Captured exactly five days ago: its line should be in the report."""
    deposit_id = ledger.sell(TODAY - 5 * DAY)
    ledger.bank.remove_lines(child("pay", deposit_id, 1))
    return deposit_id


def vanished(ledger: ReconciliationShop) -> str:
    """The provider does not know the payment any more."""
    deposit_id = ledger.sell()
    ledger.bank.remove_lines(child("pay", deposit_id, 1))
    del ledger.bank.payments[child("pay", deposit_id, 1)]
    return deposit_id


def refund_missing(ledger: ReconciliationShop) -> str:
    refund_id = ledger.sell_and_refund()
    ledger.bank.remove_lines(refund_id)
    return refund_id


def in_another_span(ledger: ReconciliationShop) -> str:
    """The provider says that the capture was before the span; the report of that span shows it."""
    deposit_id = ledger.sell()
    payment_id = child("pay", deposit_id, 1)
    seen = ledger.bank.payments[payment_id]
    assert isinstance(seen, PaymentSeen)
    earlier = replace(seen.captures[0], at=T0 - 3 * DAY)
    ledger.bank.payments[payment_id] = replace(seen, captures=(earlier,))
    ledger.bank.lines = [
        line._replace(at=T0 - 3 * DAY) if line.ref == earlier.ref else line for line in ledger.bank.lines
    ]
    return deposit_id


def nobody(ledger: ReconciliationShop) -> str:
    deposit_id = fresh_id("dep")
    ledger.bank.report("capture", child("pay", deposit_id, 1), "cap_nobody", EARNEST, T0)
    return deposit_id


def by_hand(ledger: ReconciliationShop) -> str:
    ledger.bank.report("refund", f"by hand {fresh()}", "by-hand", Money(77, "CNY"), T0)
    return ""


def no_such_payment(ledger: ReconciliationShop) -> str:
    deposit_id = ledger.sell()
    ledger.bank.report("capture", child("pay", deposit_id, 7), "cap_7", EARNEST, T0)
    return deposit_id


def no_such_refund(ledger: ReconciliationShop) -> str:
    deposit_id = ledger.sell()
    ledger.bank.report("refund", child("ref", deposit_id, 1), "ref_1", EARNEST, T0 + DAY)
    return deposit_id


def other_capture(ledger: ReconciliationShop) -> str:
    return _changed(ledger, ledger.sell(), "c")


def other_refund(ledger: ReconciliationShop) -> str:
    return _changed(ledger, f"dep_{ledger.sell_and_refund()[4:30]}", "r")


def _changed(ledger: ReconciliationShop, deposit_id: str, kind: str) -> str:
    """The report's amount is a fen less."""
    ledger.bank.lines = [
        line._replace(minor=line.minor - 1) if (line.body, line.kind) == (deposit_id[4:], kind) else line
        for line in ledger.bank.lines
    ]
    return deposit_id


def other_currency(ledger: ReconciliationShop) -> str:
    deposit_id = ledger.sell()
    ledger.bank.lines = [
        line._replace(currency="IDR") if line.body == deposit_id[4:] else line for line in ledger.bank.lines
    ]
    return deposit_id


def told_twice(ledger: ReconciliationShop) -> str:
    deposit_id = ledger.sell()
    ledger.bank.lines += [line for line in ledger.bank.lines if line.body == deposit_id[4:]]
    return deposit_id


def executed_twice(ledger: ReconciliationShop) -> str:
    refund_id = ledger.sell_and_refund()
    first = ledger.bank.refunds[refund_id]
    ledger.bank.execute(refund_id)
    ledger.bank.refunds[refund_id] = first
    return refund_id


def never_sent(ledger: ReconciliationShop) -> str:
    """The report shows a refund that was never sent, because it waits for an account."""
    deposit_id = ledger.sell(method="virtual_account")
    refund_id = ledger.cancel_and_send(deposit_id, T0 + 3 * DAY)
    ledger.bank.report("refund", refund_id, "ref_1", EARNEST, T0 + 4 * DAY)
    return refund_id


def not_at_the_provider(ledger: ReconciliationShop) -> str:
    """The report has a capture of a payment that the provider does not find."""
    deposit_id = ledger.place_order()
    ledger.bank.report("capture", child("pay", deposit_id, 1), "cap_1", EARNEST, T0)
    return deposit_id


def came_back_by_report_only(ledger: ReconciliationShop) -> str:
    refund_id = ledger.sell_and_refund()
    seen = ledger.bank.refunds[refund_id]
    ledger.bank.return_refund(refund_id)
    ledger.bank.refunds[refund_id] = seen
    return refund_id


def overdue(ledger: ReconciliationShop) -> str:
    """Declined, and the buyer named no account before the promised date."""
    return ledger.cancel_and_send(ledger.sell(), T0 + DAY, DECLINED)


def stands_still(ledger: ReconciliationShop) -> str:
    """Unknown for more than two days, and never queried."""
    return ledger.sell_and_refund(BEFORE, at=TODAY - 3 * DAY)


def waits(ledger: ReconciliationShop) -> str:
    """Unknown since yesterday; a query is due."""
    return ledger.cancel_and_send(ledger.sell(T0 + 3 * DAY), TODAY - DAY, BEFORE)


def lost_capture(ledger: ReconciliationShop) -> str:
    deposit_id = ledger.place_order()
    ledger.bank.capture(child("pay", deposit_id, 1))
    return deposit_id


def late_capture(ledger: ReconciliationShop) -> str:
    """The buyer changed the method and cancelled; then the first payment was captured."""
    deposit_id = ledger.place_order()
    by = Caller(ledger.deposit(deposit_id).created.buyer, "buyer")
    ledger.command(deposit_id, ChangePaymentMethod("alipay"), by)
    ledger.cancel(deposit_id, by)
    ledger.clock.now += HOUR
    ledger.bank.capture(child("pay", deposit_id, 1))
    return deposit_id


def second_capture(ledger: ReconciliationShop) -> str:
    deposit_id = ledger.sell()
    ledger.clock.now += HOUR
    ledger.bank.capture(child("pay", deposit_id, 1), Money(100, "CNY"))
    return deposit_id


def lost_refund(ledger: ReconciliationShop) -> str:
    """Executed; the answer and the event were lost."""
    return ledger.sell_and_refund(AFTER)


def lost_return(ledger: ReconciliationShop) -> str:
    refund_id = ledger.sell_and_refund()
    ledger.clock.now += DAY
    ledger.bank.return_refund(refund_id)
    return refund_id


def lost_both(ledger: ReconciliationShop) -> str:
    """Executed and returned; both events were lost."""
    refund_id = ledger.sell_and_refund(AFTER)
    ledger.clock.now += DAY
    ledger.bank.return_refund(refund_id)
    return refund_id


def there_and_back_and_there(ledger: ReconciliationShop) -> str:
    refund_id = lost_return(ledger)
    ledger.deposit_worker.handle_provider_event(refund_id, "event")
    deposit_id = f"dep_{refund_id[4:30]}"
    by = Caller(ledger.deposit(deposit_id).created.buyer, "buyer")
    ledger.refunds.name_destination(refund_id, LI, ledger.request_context(by, "destination", fresh()))
    ledger.deposit_worker.process_due(deposit_id, "job/2")
    return refund_id


@dataclass(frozen=True)
class Difference:
    """``breaks`` are the kinds that must be found, in this order; the other figures are what a run counts."""

    story: Callable[[ReconciliationShop], str]
    breaks: tuple[str, ...] = ()
    matched: int = 0
    repaired: int = 0
    in_transit: int = 0
    then: str = ""  # how its first refund stands afterwards


DIFFERENCES: Final[dict[str, Difference]] = {
    "everything fits":                     Difference(fits, (), 2, then="settled"),
    "too young to be missed":              Difference(young, (), 0, in_transit=1),
    "old enough to be missed":             Difference(old_enough, ("missing_at_provider",)),
    "unknown to the provider itself":      Difference(vanished, ("missing_at_provider",)),
    "a refund that is missing":            Difference(refund_missing, ("missing_at_provider",), 1, then="succeeded"),
    "executed in another span":            Difference(in_another_span),
    "a deposit that is nobody's":          Difference(nobody, ("unknown_here",)),
    "made by hand":                        Difference(by_hand, ("unknown_here",)),
    "a payment that was never opened":     Difference(no_such_payment, ("unknown_here",), 1),
    "a refund that was never decided":     Difference(no_such_refund, ("unknown_here",), 1),
    "another amount taken":                Difference(other_capture, ("amount_mismatch",)),
    "another amount given back":           Difference(other_refund, ("amount_mismatch",), 1, then="succeeded"),
    "another currency":                    Difference(other_currency, ("amount_mismatch",)),
    "one line twice":                      Difference(told_twice, ("duplicate",), 1),
    "executed twice":                      Difference(executed_twice, ("duplicate",), 2, then="settled"),
    "executed and never asked for":        Difference(never_sent, ("status_mismatch",), 1, then="requires_action"),
    "taken, and not even there":           Difference(not_at_the_provider, ("late_payment",)),
    "returned by the report alone":        Difference(came_back_by_report_only, ("returned_after_success",), 2, then="settled"),
    "a promise that was missed":           Difference(overdue, ("promise_missed",), 1, then="requires_action"),
    "a refund that stands still":          Difference(stands_still, ("stale",), 1, then="unknown"),
    "a refund that waits":                 Difference(waits, (), 1, then="unknown"),
    "a capture nobody heard of":           Difference(lost_capture, (), 0, 1),
    "a late capture of a replaced payment": Difference(late_capture, (), 0, 1, then="approved"),
    "a second capture":                    Difference(second_capture, (), 1, 1, then="approved"),
    "a refund nobody heard of":            Difference(lost_refund, (), 1, 1, then="settled"),
    "a return nobody heard of":            Difference(lost_return, (), 2, 1, then="returned"),
    "a refund and its return, both unheard": Difference(lost_both, (), 2, 1, then="returned"),
    "there and back and there again":      Difference(there_and_back_and_there, (), 4, then="settled"),
}  # fmt: skip


def plant_all(ledger: ReconciliationShop) -> dict[str, str]:
    """Plant all differences in one shop. Returns the deposit's id by the name of the difference."""
    return {name: f"dep_{difference.story(ledger)[4:30]}" for name, difference in DIFFERENCES.items()}
