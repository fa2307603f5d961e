"""A trade-in: an old device for a credit, one inspection, and at most one published fee.

Fees come from the schedule version that the terms froze, which names its source. Several grounds cost one fee, and a fee is
at most what was paid without shipping (domain facts, section 3.2).
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal

from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.command_row import Command, CommandRow, Commands, needed
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.goods import TradeInCancelled, TradeInInspected
from chalicelib.core.deposit.events.order import TradedIn
from chalicelib.core.deposit.fold import evolve
from chalicelib.core.deposit.status import Status
from chalicelib.core.ending import end, entitlement
from chalicelib.core.policy import fees
from chalicelib.core.policy.terms import Terms

INSPECTABLE: Final = frozenset({Status.COOLING_OFF, Status.LOCKED})


class Inspect(Command, frozen=True):
    """The inspector's result; possible once."""

    outcome: Literal["matched", "mismatched"]
    grounds: tuple[str, ...]
    evidence: tuple[str, ...]


class CancelTradeIn(Command, frozen=True):
    """The merchant reports that the hand-over failed because of the seller or the courier."""

    by: Literal["seller", "courier"]


def refuse_inspection(deposit: Deposit, at: int) -> None:
    """WRONG_STATE unless the device awaits its hand-over, the deposit has not ended, and no refund is open."""
    _refuse_unless_status(deposit, at, ("awaiting_handover",))
    if deposit.open_refunds:
        raise Refused(
            Reason.WRONG_STATE, state=status_at(deposit, at).value, refund=deposit.open_refunds[0].status.value
        )


def refuse_trade_in_cancel(deposit: Deposit, at: int) -> None:
    _refuse_unless_status(deposit, at, ("awaiting_handover", "matched"))


def inspect_trade_in(deposit: Deposit, command: Inspect, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The inspection; ``mismatched`` ends the deposit, less one fee."""
    traded = _find_trade_in(deposit)
    if command.outcome == "mismatched":
        _refuse_grounds(command, traded)
    elif command.grounds:
        raise Refused(Reason.INVALID_GROUND, [FieldError("/grounds", "no_grounds_when_matched")])
    refuse_inspection(deposit, at)
    inspected = TradeInInspected(at, command.outcome, command.grounds, command.evidence)
    yield inspected
    if command.outcome == "mismatched":
        yield from end.end_by_terms(evolve(deposit, inspected), Cause.TRADE_IN_MISMATCH, at, terms)


def cancel_trade_in(deposit: Deposit, command: CancelTradeIn, at: int, terms: Terms) -> Iterator[DepositEvent]:
    """The end of the deposit. The buyer is not at fault, so everything comes back, shipping too."""
    _find_trade_in(deposit)
    refuse_trade_in_cancel(deposit, at)
    owed = entitlement.compute_entitlement(deposit, terms, Cause.TRADE_IN_CANCEL, at)
    yield TradeInCancelled(at, command.by)
    yield from end.end_deposit(deposit, Cause.TRADE_IN_CANCEL, owed, at, terms.refund.deadline)


def _find_trade_in(deposit: Deposit) -> TradedIn:
    if deposit.created.trade_in is None:
        raise Refused(Reason.NOT_FOUND)
    return deposit.created.trade_in


def _refuse_unless_status(deposit: Deposit, at: int, statuses: Sequence[str]) -> None:
    status, trade_in = status_at(deposit, at), deposit.trade_in
    if trade_in is None:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    if status not in INSPECTABLE or trade_in.status not in statuses:
        raise Refused(Reason.WRONG_STATE, state=status.value, trade_in=trade_in.status)


def _refuse_grounds(command: Inspect, traded: TradedIn) -> None:
    """EVIDENCE_REQUIRED, then INVALID_GROUND: at least one ground, each once, all of this category."""
    if not command.evidence:
        raise Refused(Reason.EVIDENCE_REQUIRED, [FieldError("/evidence", "missing")])
    known = {ground.code for ground in fees.read_schedule(traded.schedule).grounds(traded.category)}
    if not command.grounds:
        raise Refused(Reason.INVALID_GROUND, [FieldError("/grounds", "missing")])
    for place, code in enumerate(command.grounds):
        if code not in known:
            raise Refused(Reason.INVALID_GROUND, [FieldError(f"/grounds/{place}", "unknown_ground")])
        if code in command.grounds[:place]:
            raise Refused(Reason.INVALID_GROUND, [FieldError(f"/grounds/{place}", "duplicate")])


COMMANDS: Final[Commands] = (
    CommandRow(Inspect, inspect_trade_in, None, needed),
    CommandRow(CancelTradeIn, cancel_trade_in, None, needed),
)
