"""Orders and changes decided again, for proofs."""

from collections.abc import Iterator, Sequence
from typing import Final, cast

from msgspec.structs import replace

from chalicelib.core.common import instants
from chalicelib.core.common.money import total
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.order import Created, ItemsChanged, Line
from chalicelib.core.deposit.history import CauseRules, History, Replays
from chalicelib.core.policy.terms import compute_terms_hash
from chalicelib.core.selling import changes, ordering
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import HandedIn, Order, Ordered, price_trade_in


def _replay_created(history: History, place: int) -> DepositEvent | None:
    """At the offer's prices, with its shipping, deposit and credit."""
    event, terms = cast(Created, history.events[place]), history.terms
    items, traded = _to_order_lines(event.lines), event.trade_in
    old = HandedIn(traded.category, traded.model) if traded is not None else None
    order = Order(event.offer, items, event.method, event.terms_hash, trade_in=old)
    ordering.refuse_order_fields(order, terms, event.at)
    lines, credit = ordering.price_lines(items, terms), price_trade_in(order, terms)
    price = total((line.value for line in lines), terms.currency) + terms.shipping
    return replace(
        event,
        terms_hash=compute_terms_hash(terms),
        lines=lines,
        shipping=terms.shipping,
        due_now=ordering.compute_due_now(order.units, price - credit.credit if credit is not None else price, terms),
        due_at=event.at + instants.duration_ms(terms.payment.due_within),
        trade_in=credit,
    )


def _to_order_lines(lines: Sequence[Line]) -> tuple[Ordered, ...]:
    if any(line.quantity < 1 for line in lines):
        raise ValueError("a line has at least one unit")
    return tuple(Ordered(line.sku, line.quantity) for line in lines)


def _replay_items_changed(history: History, place: int) -> DepositEvent | None:
    return next(_replay_change(history, place))


def _replay_change_refund(history: History, place: int) -> Iterator[DepositEvent]:
    return _replay_change(history, place - 1)


def _replay_change(history: History, place: int) -> Iterator[DepositEvent]:
    event, before = history.events[place], history.before(place)
    if not isinstance(event, ItemsChanged):
        return
    command = ChangeItems(_to_order_lines(event.lines), event.stock)
    for again in changes.change_items(before, command, event.at, history.terms):
        yield replace(again, limit_units=event.limit_units) if isinstance(again, ItemsChanged) else again


REPLAYS: Final[Replays] = {Created: _replay_created, ItemsChanged: _replay_items_changed}
ENDS: Final[CauseRules] = {}
REFUNDS: Final[CauseRules] = {Cause.CHANGE: _replay_change_refund}
