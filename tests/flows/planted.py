"""Differences planted on purpose: what was done to a deposit, and what a run must then find, and what it must not.

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
from chalicelib.core.deposit.payment import PaymentSeen
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.core.refunding.destination import Payee
from tests.flows.bank import AFTER, BEFORE, DECLINED
from tests.flows.ledger import TODAY, Ledger, fresh
from tests.flows.shop import EARNEST
from tests.store.builders import T0
from tests.store.builders import fresh as fresh_id

LI: Final = Payee("Li Lei", "Bank of China", "6217000010001234567")


def fits(ledger: Ledger) -> str:
    return ledger.refunded()


def young(ledger: Ledger) -> str:
    """Captured four days and some hours ago, and in no report yet."""
    deposit_id = ledger.sold(TODAY - 5 * DAY + HOUR)
    ledger.bank.unreported(child("pay", deposit_id, 1))
    return deposit_id


def old_enough(ledger: Ledger) -> str:
    """Captured five days ago to the millisecond: it should stand there."""
    deposit_id = ledger.sold(TODAY - 5 * DAY)
    ledger.bank.unreported(child("pay", deposit_id, 1))
    return deposit_id


def vanished(ledger: Ledger) -> str:
    """The provider does not even know of it any more."""
    deposit_id = ledger.sold()
    ledger.bank.unreported(child("pay", deposit_id, 1))
    del ledger.bank.payments[child("pay", deposit_id, 1)]
    return deposit_id


def refund_missing(ledger: Ledger) -> str:
    refund_id = ledger.refunded()
    ledger.bank.unreported(refund_id)
    return refund_id


def in_another_span(ledger: Ledger) -> str:
    """The provider says that it took the money before the span; its report of that one shows it."""
    deposit_id = ledger.sold()
    payment_id = child("pay", deposit_id, 1)
    seen = ledger.bank.payments[payment_id]
    assert isinstance(seen, PaymentSeen)
    earlier = replace(seen.captures[0], at=T0 - 3 * DAY)
    ledger.bank.payments[payment_id] = replace(seen, captures=(earlier,))
    ledger.bank.lines = [one._replace(at=T0 - 3 * DAY) if one.ref == earlier.ref else one for one in ledger.bank.lines]
    return deposit_id


def nobody(ledger: Ledger) -> str:
    strange = fresh_id("dep")
    ledger.bank.report("capture", child("pay", strange, 1), "cap_nobody", EARNEST, T0)
    return strange


def by_hand(ledger: Ledger) -> str:
    ledger.bank.report("refund", f"by hand {fresh()}", "by-hand", Money(77, "CNY"), T0)
    return ""


def no_such_payment(ledger: Ledger) -> str:
    deposit_id = ledger.sold()
    ledger.bank.report("capture", child("pay", deposit_id, 7), "cap_7", EARNEST, T0)
    return deposit_id


def no_such_refund(ledger: Ledger) -> str:
    deposit_id = ledger.sold()
    ledger.bank.report("refund", child("ref", deposit_id, 1), "ref_1", EARNEST, T0 + DAY)
    return deposit_id


def other_capture(ledger: Ledger) -> str:
    return _changed(ledger, ledger.sold(), "c")


def other_refund(ledger: Ledger) -> str:
    return _changed(ledger, f"dep_{ledger.refunded()[4:30]}", "r")


def _changed(ledger: Ledger, deposit_id: str, kind: str) -> str:
    """The report has a fen less."""
    ledger.bank.lines = [
        one._replace(minor=one.minor - 1) if (one.body, one.kind) == (deposit_id[4:], kind) else one
        for one in ledger.bank.lines
    ]
    return deposit_id


def other_currency(ledger: Ledger) -> str:
    deposit_id = ledger.sold()
    ledger.bank.lines = [
        one._replace(currency="IDR") if one.body == deposit_id[4:] else one for one in ledger.bank.lines
    ]
    return deposit_id


def told_twice(ledger: Ledger) -> str:
    deposit_id = ledger.sold()
    ledger.bank.lines += [one for one in ledger.bank.lines if one.body == deposit_id[4:]]
    return deposit_id


def executed_twice(ledger: Ledger) -> str:
    refund_id = ledger.refunded()
    first = ledger.bank.refunds[refund_id]
    ledger.bank.execute(refund_id)
    ledger.bank.refunds[refund_id] = first
    return refund_id


def never_sent(ledger: Ledger) -> str:
    """A report shows what was never asked for: the refund waits for its account."""
    deposit_id = ledger.sold(method="virtual_account")
    refund_id = ledger.ended(deposit_id, T0 + 3 * DAY)
    ledger.bank.report("refund", refund_id, "ref_1", EARNEST, T0 + 4 * DAY)
    return refund_id


def not_at_the_provider(ledger: Ledger) -> str:
    """A capture for a payment of ours that the provider itself does not know."""
    deposit_id = ledger.ordered()
    ledger.bank.report("capture", child("pay", deposit_id, 1), "cap_1", EARNEST, T0)
    return deposit_id


def came_back_by_report_only(ledger: Ledger) -> str:
    refund_id = ledger.refunded()
    seen = ledger.bank.refunds[refund_id]
    ledger.bank.give_back(refund_id)
    ledger.bank.refunds[refund_id] = seen
    return refund_id


def overdue(ledger: Ledger) -> str:
    """Declined, and the buyer named no account until its promise was missed."""
    return ledger.ended(ledger.sold(), T0 + DAY, DECLINED)


def stands_still(ledger: Ledger) -> str:
    """Without an answer for longer than two days, and nobody looked."""
    return ledger.refunded(BEFORE, at=TODAY - 3 * DAY)


def waits(ledger: Ledger) -> str:
    """Without an answer since yesterday: somebody will look."""
    return ledger.ended(ledger.sold(T0 + 3 * DAY), TODAY - DAY, BEFORE)


def lost_capture(ledger: Ledger) -> str:
    deposit_id = ledger.ordered()
    ledger.bank.take(child("pay", deposit_id, 1))
    return deposit_id


def late_capture(ledger: Ledger) -> str:
    """The buyer chose another way, gave up, and then the first one was captured after all."""
    deposit_id = ledger.ordered()
    by = Caller(ledger.deposit(deposit_id).created.buyer, "buyer")
    ledger.command(deposit_id, ChangePaymentMethod("alipay"), by)
    ledger.cancel(deposit_id, by)
    ledger.clock.now += HOUR
    ledger.bank.take(child("pay", deposit_id, 1))
    return deposit_id


def second_capture(ledger: Ledger) -> str:
    deposit_id = ledger.sold()
    ledger.clock.now += HOUR
    ledger.bank.take(child("pay", deposit_id, 1), Money(100, "CNY"))
    return deposit_id


def lost_refund(ledger: Ledger) -> str:
    """Executed; the answer and the event were lost."""
    return ledger.refunded(AFTER)


def lost_return(ledger: Ledger) -> str:
    refund_id = ledger.refunded()
    ledger.clock.now += DAY
    ledger.bank.give_back(refund_id)
    return refund_id


def lost_both(ledger: Ledger) -> str:
    """Executed and returned, and nobody heard of either."""
    refund_id = ledger.refunded(AFTER)
    ledger.clock.now += DAY
    ledger.bank.give_back(refund_id)
    return refund_id


def there_and_back_and_there(ledger: Ledger) -> str:
    refund_id = lost_return(ledger)
    ledger.deposit_worker.handle_provider_event(refund_id, "event")
    deposit_id = f"dep_{refund_id[4:30]}"
    by = Caller(ledger.deposit(deposit_id).created.buyer, "buyer")
    ledger.refunds.name_destination(refund_id, LI, ledger.asked(by, "destination", fresh()))
    ledger.deposit_worker.process_due(deposit_id, "job/2")
    return refund_id


@dataclass(frozen=True)
class Plant:
    """``breaks`` are the kinds that must be found, in this order; the other figures are what a run counts."""

    story: Callable[[Ledger], str]
    breaks: tuple[str, ...] = ()
    matched: int = 0
    repaired: int = 0
    in_transit: int = 0
    then: str = ""  # how its first refund stands afterwards


PLANTS: Final[dict[str, Plant]] = {
    "everything fits":                     Plant(fits, (), 2, then="settled"),
    "too young to be missed":              Plant(young, (), 0, in_transit=1),
    "old enough to be missed":             Plant(old_enough, ("missing_at_provider",)),
    "unknown to the provider itself":      Plant(vanished, ("missing_at_provider",)),
    "a refund that is missing":            Plant(refund_missing, ("missing_at_provider",), 1, then="succeeded"),
    "executed in another span":            Plant(in_another_span),
    "a deposit that is nobody's":          Plant(nobody, ("unknown_here",)),
    "made by hand":                        Plant(by_hand, ("unknown_here",)),
    "a payment that was never opened":     Plant(no_such_payment, ("unknown_here",), 1),
    "a refund that was never decided":     Plant(no_such_refund, ("unknown_here",), 1),
    "another amount taken":                Plant(other_capture, ("amount_mismatch",)),
    "another amount given back":           Plant(other_refund, ("amount_mismatch",), 1, then="succeeded"),
    "another currency":                    Plant(other_currency, ("amount_mismatch",)),
    "one line twice":                      Plant(told_twice, ("duplicate",), 1),
    "executed twice":                      Plant(executed_twice, ("duplicate",), 2, then="settled"),
    "executed and never asked for":        Plant(never_sent, ("status_mismatch",), 1, then="requires_action"),
    "taken, and not even there":           Plant(not_at_the_provider, ("late_payment",)),
    "returned by the report alone":        Plant(came_back_by_report_only, ("returned_after_success",), 2, then="settled"),
    "a promise that was missed":           Plant(overdue, ("promise_missed",), 1, then="requires_action"),
    "a refund that stands still":          Plant(stands_still, ("stale",), 1, then="unknown"),
    "a refund that waits":                 Plant(waits, (), 1, then="unknown"),
    "a capture nobody heard of":           Plant(lost_capture, (), 0, 1),
    "a late capture of a replaced payment": Plant(late_capture, (), 0, 1, then="approved"),
    "a second capture":                    Plant(second_capture, (), 1, 1, then="approved"),
    "a refund nobody heard of":            Plant(lost_refund, (), 1, 1, then="settled"),
    "a return nobody heard of":            Plant(lost_return, (), 2, 1, then="returned"),
    "a refund and its return, both unheard": Plant(lost_both, (), 2, 1, then="returned"),
    "there and back and there again":      Plant(there_and_back_and_there, (), 4, then="settled"),
}  # fmt: skip


def planted(ledger: Ledger) -> dict[str, str]:
    """All of them in one world; the deposit of each story."""
    return {name: f"dep_{plant.story(ledger)[4:30]}" for name, plant in PLANTS.items()}
