"""A change of configuration inside the window: priced by the frozen terms; what was paid stays, too much goes back."""

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

MAX_CHANGES: Final = 20


class ChangeItems(Command, frozen=True):
    """What the buyer wants instead; ``stock`` is what the deposit will hold, as the flow found it on the shelves."""

    items: tuple[Ordered, ...]
    stock: tuple[TakenStock, ...] = ()


def refuse_change(deposit: Deposit, at: int) -> None:
    """Only while the buyer is free, not after an undo that leaves nothing but a cancel, and while nothing went back."""
    lock.refuse_unless_in_window(deposit, at)
    if deposit.trade_in is not None:
        raise Refused(Reason.WRONG_STATE, state="cooling_off", trade_in=deposit.trade_in.status)
    if deposit.window is not None and deposit.window.cancel_only:
        raise Refused(Reason.WRONG_STATE, state="cooling_off", cancel_only=True)
    given = [refund for refund in deposit.refunds if refund.cause not in SENT_BACK]
    if any(refund.open or refund.status is RefundStatus.SUCCEEDED for refund in given):
        raise Refused(Reason.REFUND_IN_PROGRESS)
    if given:
        raise Refused(Reason.WRONG_STATE, state="cooling_off", refunded=True)
    if deposit.claims:
        raise Refused(Reason.WRONG_STATE, state="cooling_off", claimed=True)
    if deposit.changes >= MAX_CHANGES:
        raise Refused(Reason.RATE_LIMITED, most=MAX_CHANGES)


def change_items(deposit: Deposit, command: ChangeItems, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The new lines at the offer's frozen prices. The window goes on, open intents die."""
    lines = ordering.price_lines(command.items, terms)
    ordering.refuse_too_large(total((line.value for line in lines), terms.currency) + terms.shipping)
    refuse_change(deposit, at)
    units = sum(line.quantity for line in lines)
    held = deposit.created.priority
    if held is not None:
        second_chance.refuse_goods(held, lines)
    else:
        ordering.refuse_limit(units, terms)
    counted = units if terms.limits.per_buyer is not None and held is None else 0
    yield ItemsChanged(at, lines, terms.shipping, command.stock, counted)
    whole = total((line.value for line in lines), deposit.currency) + terms.shipping
    if deposit.paid is not None and deposit.amount_paid > whole:
        yield from _refund_excess(deposit, deposit.amount_paid - whole, at, terms)


def _refund_excess(deposit: Deposit, excess: Money, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """Less than was paid: the rest goes back at once."""
    counted = deposit.counted_captures[0]
    gone = entitlement.sum_decided_refunds(deposit, counted)
    kept = counted.amount - gone - excess
    before = (RefundLine(LineCode.ALREADY_REFUNDED, -gone),) if gone else ()
    lines = (RefundLine(LineCode.PAID, counted.amount), *before, RefundLine(LineCode.GOODS_KEPT, -kept, "terms/change"))
    leg = Leg(counted.payment, counted.capture, lines)
    yield from end.approve_refund(deposit, len(deposit.refunds) + 1, Cause.CHANGE, leg, at, terms.refund.deadline)


COMMANDS: Final[Commands] = (
    CommandRow(
        ChangeItems,
        change_items,
        Action("buyer", "changes", lambda deposit, at, _terms: refuse_change(deposit, at)),
        optional,
    ),
)
