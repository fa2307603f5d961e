"""Priority passes: granted when an order was cancelled at the merchant's fault, used for a new order.

A pass gives one unit of the same goods at no more than the same price, from the merchant's reserve, before a sale opens and
outside its limits.
"""

from chalicelib.core.common import instants
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.events.ending import PassGranted, PassUsed
from chalicelib.core.deposit.events.order import Line, Priority
from chalicelib.core.deposit.priority_pass import Pass, PassStatus
from chalicelib.core.policy.pass_rules import find_pass_rules


def grant_pass(n: int, lines: tuple[Line, ...], reason: str, at: int) -> PassGranted:
    """The pass for an order that was taken away: any of its goods, at most at the dearest of their prices."""
    rules = find_pass_rules(at)
    valid_until = at + instants.duration_ms(rules.valid)
    remind_at = tuple(sorted(valid_until - instants.duration_ms(before) for before in rules.remind_before))
    skus = tuple(dict.fromkeys(line.sku for line in lines))
    return PassGranted(at, n, skus, max(line.unit_price for line in lines), valid_until, remind_at, reason)


def use_pass(one: Pass, merchant: str, offered_by: str, at: int, deposit_id: str) -> PassUsed:
    """Written together with the deposit that it buys. Only at the merchant who owes it."""
    if offered_by != merchant:
        raise Refused(Reason.PASS_NOT_VALID, merchant=merchant)
    refuse_pass(one, at)
    return PassUsed(at, one.n, deposit_id)


def refuse_pass(one: Pass, at: int) -> None:
    """Whether it could be used at an instant at all."""
    lapsed = one.status is PassStatus.GRANTED and at >= one.granted.valid_until
    if lapsed or one.status is not PassStatus.GRANTED:
        raise Refused(Reason.PASS_NOT_VALID, state=PassStatus.LAPSED.value if lapsed else one.status.value)


def refuse_goods(held: Priority, lines: tuple[Line, ...]) -> None:
    """One unit of one of its goods, and not dearer than it says."""
    if sum(line.quantity for line in lines) != 1:
        raise Refused(Reason.PASS_NOT_VALID, most_units=1)
    line = lines[0]
    if line.sku not in held.skus:
        raise Refused(Reason.PASS_NOT_VALID, sku=line.sku)
    if is_dearer(line.unit_price, held.price_cap):
        raise Refused(Reason.PASS_NOT_VALID, price_cap=held.price_cap)


def is_dearer(price: Money, cap: Money) -> bool:
    """Another currency cannot be compared, so it is dearer."""
    return price.currency != cap.currency or price > cap
