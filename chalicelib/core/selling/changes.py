"""A change of the ordered goods inside the window, priced by the frozen terms. An excess payment is refunded."""

from collections.abc import Iterator
from typing import Final

from chalicelib.core.common.money import Money, total
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.causes import SENT_BACK, Cause, LineCode
from chalicelib.core.deposit.command_row import Action, Command, CommandRow, Commands, optional
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.order import ItemsChanged, TakenStock
from chalicelib.core.deposit.events.refund import RefundLine
from chalicelib.core.deposit.refund import RefundStatus
from chalicelib.core.ending import end, entitlement, second_chance
from chalicelib.core.ending.entitlement import Leg
from chalicelib.core.locking import lock
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling import ordering
from chalicelib.core.selling.ordering import Ordered

MAX_CHANGES: Final = 20  # of one deposit


class ChangeItems(Command, frozen=True):
    """The goods that the buyer wants instead. ``stock`` are the units that the flow drew for them."""

    items: tuple[Ordered, ...]
    stock: tuple[TakenStock, ...] = ()


def refuse_change(deposit: Deposit, at: int, _terms: Terms) -> None:
    """Raises Refused outside an open window, with a trade-in, after a refund or a claim, after ``MAX_CHANGES`` changes."""
    lock.refuse_unless_in_window(deposit, at)
    if deposit.trade_in is not None:
        raise Refused(Reason.WRONG_STATE, state="cooling_off", trade_in=deposit.trade_in.status)
    if deposit.window is not None and deposit.window.cancel_only:
        raise Refused(Reason.WRONG_STATE, state="cooling_off", cancel_only=True)
    refunds = [refund for refund in deposit.refunds if refund.cause not in SENT_BACK]
    if any(refund.open or refund.status is RefundStatus.SUCCEEDED for refund in refunds):
        raise Refused(Reason.REFUND_IN_PROGRESS)
    if refunds:
        raise Refused(Reason.WRONG_STATE, state="cooling_off", refunded=True)
    if deposit.claims:
        raise Refused(Reason.WRONG_STATE, state="cooling_off", claimed=True)
    if deposit.changes >= MAX_CHANGES:
        raise Refused(Reason.RATE_LIMITED, most=MAX_CHANGES)


def change_items(deposit: Deposit, command: ChangeItems, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The new lines at the offer's frozen prices. The window goes on; open lock intents become invalid."""
    lines = ordering.price_lines(command.items, terms)
    price = total((line.value for line in lines), terms.currency) + terms.shipping
    ordering.refuse_too_large(price)
    refuse_change(deposit, at, terms)
    units = sum(line.quantity for line in lines)
    priority = deposit.created.priority
    if priority is not None:
        second_chance.refuse_goods(priority, lines)
    else:
        ordering.refuse_limit(units, terms)
    counted = units if terms.limits.per_buyer is not None and priority is None else 0
    yield ItemsChanged(at, lines, terms.shipping, command.stock, counted)
    if deposit.paid is not None and deposit.amount_paid > price:
        yield from _refund_excess(deposit, deposit.amount_paid - price, at, terms)


def _refund_excess(deposit: Deposit, excess: Money, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The refund of what was paid above the new price."""
    counted = deposit.counted_captures[0]
    refunded = entitlement.sum_decided_refunds(deposit, counted)
    kept = counted.amount - refunded - excess
    deducted = (RefundLine(LineCode.ALREADY_REFUNDED, -refunded),) if refunded else ()
    lines = (
        RefundLine(LineCode.PAID, counted.amount),
        *deducted,
        RefundLine(LineCode.GOODS_KEPT, -kept, "terms/change"),
    )
    leg = Leg(counted.payment, counted.capture, lines)
    yield from end.approve_refund(deposit, len(deposit.refunds) + 1, Cause.CHANGE, leg, at, terms.refund.deadline)


COMMANDS: Final[Commands] = (
    CommandRow(ChangeItems, change_items, Action("buyer", "changes", refuse_change), optional),
)
