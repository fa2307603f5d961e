"""Deliveries, balances and trade-ins decided again, for proofs."""

from collections.abc import Iterator
from typing import Final, Literal, TypeVar, cast

from msgspec.structs import replace

from chalicelib.core.delivery import fulfilment, trade_in
from chalicelib.core.delivery.fulfilment import Deliver, PayBalance, Ready, Ship
from chalicelib.core.delivery.trade_in import CancelTradeIn, Inspect
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.events.ending import Completed
from chalicelib.core.deposit.events.goods import (
    GoodsDelivered,
    GoodsReady,
    GoodsReceived,
    GoodsShipped,
    TradeInCancelled,
    TradeInInspected,
)
from chalicelib.core.deposit.events.payment import BalanceOpened, BalanceOverdue
from chalicelib.core.deposit.history import CauseRules, History, Replays, by_clock
from chalicelib.core.ending.replay import end_again, refuse_unless_after


def _balance_opened(history: History, place: int) -> DepositEvent | None:
    event = cast(BalanceOpened, history.events[place])
    return fulfilment.pay_balance(history.before(place), PayBalance(event.method), event.at, history.terms)


def _ready(history: History, place: int) -> DepositEvent | None:
    event = cast(GoodsReady, history.events[place])
    command = Ready(event.lines, event.inspect_at, event.evidence)
    return fulfilment.ready(history.before(place), command, event.at, history.terms)


def _shipped(history: History, place: int) -> DepositEvent | None:
    event = cast(GoodsShipped, history.events[place])
    return next(fulfilment.ship(history.before(place), Ship(event.lines), event.at))


def _delivered(history: History, place: int) -> DepositEvent | None:
    event = cast(GoodsDelivered, history.events[place])
    command = Deliver(event.lines, event.delivered_at, event.evidence)
    return _with_recorded_end(event, fulfilment.deliver(history.before(place), command, event.at, history.terms))


def _received(history: History, place: int) -> DepositEvent | None:
    event = cast(GoodsReceived, history.events[place])
    return _with_recorded_end(event, fulfilment.receive(history.before(place), event.at, history.terms))


Arrived = TypeVar("Arrived", GoodsDelivered, GoodsReceived)


def _with_recorded_end(event: Arrived, again: Arrived) -> Arrived:
    """With the recorded end of the withdrawal period: another release may count its days otherwise."""
    return replace(again, withdrawal_ends_at=event.withdrawal_ends_at)


def _completed(history: History, place: int) -> DepositEvent | None:
    return history.events[place] if fulfilment.all_left(history.before(place)) else None


def _inspected(history: History, place: int) -> DepositEvent | None:
    event = cast(TradeInInspected, history.events[place])
    outcome: Literal["matched", "mismatched"] = "mismatched" if event.outcome == "mismatched" else "matched"
    command = Inspect(outcome, event.grounds, event.evidence)
    return next(trade_in.inspect(history.before(place), command, event.at, history.terms))


def _trade_in_cancelled(history: History, place: int) -> DepositEvent | None:
    event = cast(TradeInCancelled, history.events[place])
    by: Literal["seller", "courier"] = "courier" if event.by == "courier" else "seller"
    return next(trade_in.cancel(history.before(place), CancelTradeIn(by), event.at, history.terms))


def _defaulted(history: History, place: int) -> Iterator[DepositEvent]:
    fulfilment.refuse_default(history.before(place), history.events[place].at)
    return end_again(history, place, Cause.BUYER_DEFAULT)


def _mismatched(history: History, place: int) -> Iterator[DepositEvent]:
    refuse_unless_after(history, place, TradeInInspected)
    return end_again(history, place, Cause.TRADE_IN_MISMATCH)


def _fell_through(history: History, place: int) -> Iterator[DepositEvent]:
    refuse_unless_after(history, place, TradeInCancelled)
    return end_again(history, place, Cause.TRADE_IN_CANCEL)


REPLAYS: Final[Replays] = {
    BalanceOpened: _balance_opened,
    BalanceOverdue: by_clock,
    GoodsReady: _ready,
    GoodsShipped: _shipped,
    GoodsDelivered: _delivered,
    GoodsReceived: _received,
    Completed: _completed,
    TradeInInspected: _inspected,
    TradeInCancelled: _trade_in_cancelled,
}
ENDS: Final[CauseRules] = {
    Cause.BUYER_DEFAULT: _defaulted,
    Cause.TRADE_IN_MISMATCH: _mismatched,
    Cause.TRADE_IN_CANCEL: _fell_through,
}
REFUNDS: Final[CauseRules] = {}
