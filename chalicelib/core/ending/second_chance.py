"""Priority passes: granted when a merchant at fault cancels an order, used for a new order.

A pass buys one unit of the same goods at most at the same price, from the merchant's reserve, before the sale opens and
without its limits per buyer.
"""

from collections.abc import Iterator

from chalicelib.core.common import instants
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.events.ending import PassGranted, PassLapsed, PassReminded, PassUsed
from chalicelib.core.deposit.events.order import Line, Priority
from chalicelib.core.deposit.priority_pass import Pass, PassStatus
from chalicelib.core.policy.pass_rules import find_pass_rules


def grant_pass(n: int, lines: tuple[Line, ...], reason: str, at: int) -> PassGranted:
    """The ``n``-th pass of a deposit: for any of its goods, at most at the highest of their prices."""
    rules = find_pass_rules(at)
    valid_until = at + instants.duration_ms(rules.valid)
    remind_at = tuple(sorted(valid_until - instants.duration_ms(before) for before in rules.remind_before))
    skus = tuple(dict.fromkeys(line.sku for line in lines))
    return PassGranted(at, n, skus, max(line.unit_price for line in lines), valid_until, remind_at, reason)


def use_pass(granted: Pass, merchant: str, offered_by: str, at: int, deposit_id: str) -> PassUsed:
    """The use of a pass for the deposit ``deposit_id``. PASS_NOT_VALID at another merchant than the one who granted it."""
    if offered_by != merchant:
        raise Refused(Reason.PASS_NOT_VALID, merchant=merchant)
    refuse_pass(granted, at)
    return PassUsed(at, granted.n, deposit_id)


def refuse_pass(granted: Pass, at: int) -> None:
    """PASS_NOT_VALID where the pass was used, or has lapsed by ``at``."""
    lapsed = granted.status is PassStatus.GRANTED and at >= granted.granted.valid_until
    if lapsed or granted.status is not PassStatus.GRANTED:
        raise Refused(Reason.PASS_NOT_VALID, state=PassStatus.LAPSED.value if lapsed else granted.status.value)


def refuse_goods(priority: Priority, lines: tuple[Line, ...]) -> None:
    """PASS_NOT_VALID unless the order is one unit of the pass's goods, at most at its price cap."""
    if sum(line.quantity for line in lines) != 1:
        raise Refused(Reason.PASS_NOT_VALID, most_units=1)
    line = lines[0]
    if line.sku not in priority.skus:
        raise Refused(Reason.PASS_NOT_VALID, sku=line.sku)
    if is_dearer(line.unit_price, priority.price_cap):
        raise Refused(Reason.PASS_NOT_VALID, price_cap=priority.price_cap)


def is_dearer(price: Money, cap: Money) -> bool:
    """Whether a price exceeds the cap. Another currency cannot be compared and counts as higher."""
    return price.currency != cap.currency or price > cap


def list_deadlines(priority_pass: Pass) -> Iterator[PassReminded | PassLapsed]:
    """The deadline events of a pass that was not used: its reminders and its lapse. None while it is used."""
    if priority_pass.status is PassStatus.GRANTED:
        valid_until = priority_pass.granted.valid_until
        yield from (PassReminded(at, priority_pass.n, valid_until) for at in priority_pass.remind_at)
        yield PassLapsed(max(valid_until, priority_pass.changed_at), priority_pass.n)
