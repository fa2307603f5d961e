"""Deliveries, balances and trade-ins decided again, for proofs."""

from collections.abc import Iterator
from typing import Final, Literal, TypeVar, cast

from msgspec.structs import replace

from chalicelib.core.delivery import fulfilment, trade_in
from chalicelib.core.delivery.fulfilment import Deliver, PayBalance, Ready, Receive, Ship
from chalicelib.core.delivery.trade_in import CancelTradeIn, Inspect
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.events.base import DepositEvent
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
from chalicelib.core.deposit.history import CauseRules, History, Replays, decide_by_clock
from chalicelib.core.ending.replay import end_again, refuse_unless_after


def _replay_balance_opened(history: History, place: int) -> DepositEvent | None:
    event = cast(BalanceOpened, history.events[place])
    return fulfilment.pay_balance(history.before(place), PayBalance(event.method), event.at, history.terms)


def _replay_ready(history: History, place: int) -> DepositEvent | None:
    event = cast(GoodsReady, history.events[place])
    command = Ready(event.lines, event.inspect_at, event.evidence)
    return fulfilment.record_ready(history.before(place), command, event.at, history.terms)


def _replay_shipped(history: History, place: int) -> DepositEvent | None:
    event = cast(GoodsShipped, history.events[place])
    return next(fulfilment.record_shipment(history.before(place), Ship(event.lines), event.at, history.terms))


def _replay_delivered(history: History, place: int) -> DepositEvent | None:
    event = cast(GoodsDelivered, history.events[place])
    command = Deliver(event.lines, event.delivered_at, event.evidence)
    return _with_recorded_end(
        event, fulfilment.record_delivery(history.before(place), command, event.at, history.terms)
    )


def _replay_received(history: History, place: int) -> DepositEvent | None:
    event = cast(GoodsReceived, history.events[place])
    return _with_recorded_end(
        event, fulfilment.record_receipt(history.before(place), Receive(), event.at, history.terms)
    )


Arrived = TypeVar("Arrived", GoodsDelivered, GoodsReceived)


def _with_recorded_end(event: Arrived, again: Arrived) -> Arrived:
    """With the recorded end of the withdrawal period: another release may count its days differently."""
    return replace(again, withdrawal_ends_at=event.withdrawal_ends_at)


def _replay_completed(history: History, place: int) -> DepositEvent | None:
    return history.events[place] if fulfilment.is_all_shipped(history.before(place)) else None


def _replay_inspected(history: History, place: int) -> DepositEvent | None:
    event = cast(TradeInInspected, history.events[place])
    outcome: Literal["matched", "mismatched"] = "mismatched" if event.outcome == "mismatched" else "matched"
    command = Inspect(outcome, event.grounds, event.evidence)
    return next(trade_in.inspect_trade_in(history.before(place), command, event.at, history.terms))


def _replay_trade_in_cancelled(history: History, place: int) -> DepositEvent | None:
    event = cast(TradeInCancelled, history.events[place])
    by: Literal["seller", "courier"] = "courier" if event.by == "courier" else "seller"
    return next(trade_in.cancel_trade_in(history.before(place), CancelTradeIn(by), event.at, history.terms))


def _replay_default(history: History, place: int) -> Iterator[DepositEvent]:
    fulfilment.refuse_default(history.before(place), history.events[place].at, history.terms)
    return end_again(history, place, Cause.BUYER_DEFAULT)


def _replay_mismatch(history: History, place: int) -> Iterator[DepositEvent]:
    refuse_unless_after(history, place, TradeInInspected)
    return end_again(history, place, Cause.TRADE_IN_MISMATCH)


def _replay_trade_in_end(history: History, place: int) -> Iterator[DepositEvent]:
    refuse_unless_after(history, place, TradeInCancelled)
    return end_again(history, place, Cause.TRADE_IN_CANCEL)


REPLAYS: Final[Replays] = {
    BalanceOpened: _replay_balance_opened,
    BalanceOverdue: decide_by_clock,
    GoodsReady: _replay_ready,
    GoodsShipped: _replay_shipped,
    GoodsDelivered: _replay_delivered,
    GoodsReceived: _replay_received,
    Completed: _replay_completed,
    TradeInInspected: _replay_inspected,
    TradeInCancelled: _replay_trade_in_cancelled,
}
ENDS: Final[CauseRules] = {
    Cause.BUYER_DEFAULT: _replay_default,
    Cause.TRADE_IN_MISMATCH: _replay_mismatch,
    Cause.TRADE_IN_CANCEL: _replay_trade_in_end,
}
REFUNDS: Final[CauseRules] = {}
