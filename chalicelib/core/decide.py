"""Decide: from a deposit, a command and the instant it was asked, the events that follow, or a refusal.

A command is judged at ``at``, the instant it reached the edge. No decision reads a deadline event. Each capability has
its own room; this one is the way in, and says what a caller may do now.
"""

from collections.abc import Callable, Mapping
from typing import Final

from chalicelib.core.claims import answering, opening
from chalicelib.core.claims.answering import Claiming
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.delivery import fulfilment, trade_in
from chalicelib.core.delivery.fulfilment import DeclareDefault, Deliver, PayBalance, Ready, Receive, Ship
from chalicelib.core.delivery.trade_in import CancelTradeIn, Inspect
from chalicelib.core.deposit.clock import status_at
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.events.refund import RefundReviewNeeded, RefundUnknown
from chalicelib.core.deposit.payment import PaymentSeen
from chalicelib.core.deposit.refund import RefundSeen
from chalicelib.core.ending import end, entitlement, withdrawal
from chalicelib.core.ending.end import Cancel
from chalicelib.core.ending.withdrawal import ConfirmWithdrawal, StateWithdrawal
from chalicelib.core.locking import lock
from chalicelib.core.locking.lock import ConfirmLock, OpenIntent, Unlock
from chalicelib.core.merchant import cancellation, question
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.merchant.question import AnswerQuestion, Ask
from chalicelib.core.paying import captures
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.core.policy.terms import Terms
from chalicelib.core.refunding import destination, goodwill
from chalicelib.core.refunding.destination import NameDestination, Reroute, Retry, SendRefund
from chalicelib.core.refunding.goodwill import Grant
from chalicelib.core.refunding.settling import (
    FlagProofMismatch,
    RecordNotFound,
    RecordUnknownOutcome,
    flag_mismatch,
    record_seen,
    record_step,
)
from chalicelib.core.selling import changes
from chalicelib.core.selling.changes import ChangeItems

MAX_EVENTS: Final = 400  # after so many a deposit takes no more optional commands; what finishes it gets through


Elective = ChangePaymentMethod | ChangeItems | OpenIntent | Ready | PayBalance | Ship | Deliver | Grant | Ask
Command = (
    Elective
    | Claiming
    | Cancel
    | MerchantCancel
    | AnswerQuestion
    | ConfirmLock
    | Unlock
    | Receive
    | DeclareDefault
    | Inspect
    | CancelTradeIn
    | StateWithdrawal
    | ConfirmWithdrawal
    | SendRefund
    | RecordUnknownOutcome
    | RecordNotFound
    | FlagProofMismatch
    | NameDestination
    | Reroute
    | Retry
    | PaymentSeen
    | RefundSeen
)


def decide(  # noqa: PLR0912 - a table of commands
    deposit: Deposit, command: Command, at: int, terms: Terms
) -> tuple[DepositEvent, ...]:
    """The events of a command asked at ``at``. Nothing new to say is an empty tuple; a no is Refused."""
    if isinstance(command, Elective) and deposit.version >= MAX_EVENTS and not fulfilment.finishes(deposit, command):
        raise Refused(Reason.RATE_LIMITED, most=MAX_EVENTS)
    if isinstance(command, Claiming):
        return answering.decide(deposit, command, at, terms)
    match command:
        case Cancel():
            return tuple(end.cancel(deposit, at, terms))
        case MerchantCancel():
            return tuple(cancellation.cancel(deposit, command, at, terms))
        case Ask():
            return (question.ask(deposit, command, at),)
        case AnswerQuestion():
            return (question.answer(deposit, command, at),)
        case ChangePaymentMethod():
            return (captures.change_method(deposit, command.method, at, terms),)
        case ChangeItems():
            return tuple(changes.change(deposit, command, at, terms))
        case OpenIntent():
            return (lock.open_intent(deposit, command, at, terms),)
        case ConfirmLock():
            return (lock.confirm(deposit, command, at, terms),)
        case Unlock():
            return (lock.unlock(deposit, at),)
        case Ready():
            return (fulfilment.ready(deposit, command, at, terms),)
        case PayBalance():
            return (fulfilment.pay_balance(deposit, command, at, terms),)
        case Ship():
            return tuple(fulfilment.ship(deposit, command, at))
        case Deliver():
            return (fulfilment.deliver(deposit, command, at, terms),)
        case Receive():
            return (fulfilment.receive(deposit, at, terms),)
        case DeclareDefault():
            return tuple(fulfilment.declare_default(deposit, at, terms))
        case Inspect():
            return tuple(trade_in.inspect(deposit, command, at, terms))
        case CancelTradeIn():
            return tuple(trade_in.cancel(deposit, command, at, terms))
        case StateWithdrawal():
            return (withdrawal.state(deposit, command, at, terms),)
        case ConfirmWithdrawal():
            return tuple(withdrawal.confirm(deposit, command, at, terms))
        case SendRefund():
            return destination.send(deposit, command.refund, at)
        case RecordUnknownOutcome():
            return record_step(deposit, RefundUnknown(at, command.refund), command.way)
        case RecordNotFound():
            return record_step(deposit, RefundReviewNeeded(at, command.refund, "not_found"), command.way)
        case FlagProofMismatch():
            return flag_mismatch(deposit, command.refund, at)
        case Grant():
            return tuple(goodwill.grant(deposit, command, at, terms))
        case NameDestination():
            return (destination.name(deposit, command, at, terms),)
        case Reroute():
            return (destination.reroute(deposit, command, at, terms),)
        case Retry():
            return (destination.retry(deposit, command, at, terms),)
        case PaymentSeen():
            return tuple(captures.see(deposit, command, at, terms))
        case RefundSeen():
            return tuple(record_seen(deposit, command, at))


Check = Callable[[Deposit, int, Terms], object]

# What each role may do, named after the paths, with the very check that the command makes.
ACTIONS: Final[Mapping[str, Mapping[str, Check]]] = {
    "buyer": {
        "balance-payments": lambda deposit, at, _terms: fulfilment.refuse_balance(deposit, at),
        "cancel": lambda deposit, at, _terms: entitlement.refuse_ended(status_at(deposit, at)),
        "claims": lambda deposit, at, _terms: opening.refuse(deposit, at),
        "changes": lambda deposit, at, _terms: changes.refuse(deposit, at),
        "lock": lock.refuse_lock,
        "lock-intents": lock.refuse_intent,
        "payment-method": lambda deposit, at, _terms: captures.refuse_method(deposit, at),
        "receipt": lambda deposit, at, _terms: fulfilment.refuse_receive(deposit, at),
        "unlock": lambda deposit, at, _terms: lock.refuse_undo(deposit, at),
        "withdrawals": withdrawal.refuse,
    },
    "merchant": {
        "buyer-default": lambda deposit, at, _terms: fulfilment.refuse_default(deposit, at),
        "merchant-cancel": lambda deposit, at, _terms: cancellation.refuse(deposit, at),
        "questions": lambda deposit, at, _terms: question.refuse_question(deposit, at),
        "deliveries": lambda deposit, at, _terms: fulfilment.refuse_deliver(deposit, at),
        "ready": lambda deposit, at, _terms: fulfilment.refuse_ready(deposit, at),
        "refunds": lambda deposit, _at, _terms: goodwill.refuse(deposit),
        "shipments": lambda deposit, at, _terms: fulfilment.refuse_ship(deposit, at),
    },
}


# What is left to do with a deposit that has taken its share of events.
ALWAYS: Final = frozenset(
    {
        "cancel",
        "claims",
        "merchant-cancel",
        "lock",
        "unlock",
        "receipt",
        "buyer-default",
        "withdrawals",
        "shipments",
        "deliveries",
    }
)


def actions(deposit: Deposit, role: str, at: int, terms: Terms) -> tuple[str, ...]:
    """What a caller of this role may do now, sorted. Nothing in it is refused for its state, nothing else accepted."""
    named = sorted(ACTIONS.get(role, {}).items())
    open_names = [(name, check) for name, check in named if name in ALWAYS or deposit.version < MAX_EVENTS]
    return tuple(name for name, check in open_names if _allowed(check, deposit, at, terms))


def _allowed(check: Check, deposit: Deposit, at: int, terms: Terms) -> bool:
    try:
        check(deposit, at, terms)
    except Refused:
        return False
    return True
