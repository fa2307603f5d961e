"""Decide: from a deposit, a command and the instant it was asked, the events that follow, or a refusal.

A command is judged at ``at``, the instant it reached the edge. No decision reads a deadline event. Each capability has
its own room; this one is the way in, and says what a caller may do now.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from chalicelib.core import (
    cancellation,
    changes,
    chargeback,
    claiming,
    destination,
    ending,
    entitlement,
    fulfilment,
    goodwill,
    lock,
    paying,
    tradein,
    withdrawal,
)
from chalicelib.core.cancellation import AnswerQuestion, Ask, MerchantCancel
from chalicelib.core.changes import ChangeItems
from chalicelib.core.claiming import Claiming
from chalicelib.core.deposit import Deposit, evolve, status_at
from chalicelib.core.destination import NameDestination, Reroute, Retry, SendRefund
from chalicelib.core.ending import Cancel
from chalicelib.core.events import DepositEvent, RefundReviewNeeded, RefundUnknown
from chalicelib.core.fulfilment import DeclareDefault, Deliver, PayBalance, Ready, Receive, Ship
from chalicelib.core.goodwill import Grant
from chalicelib.core.lock import ConfirmLock, OpenIntent, Unlock
from chalicelib.core.payment import PaymentSeen
from chalicelib.core.refund import ASKED_FOR, RefundSeen, RefundStatus, steps_seen
from chalicelib.core.refund import TRANSITIONS as REFUND_TRANSITIONS
from chalicelib.core.refusal import Reason, Refused
from chalicelib.core.terms import Terms
from chalicelib.core.tradein import CancelTradeIn, Inspect
from chalicelib.core.withdrawal import ConfirmWithdrawal, StateWithdrawal

MOST_EVENTS: Final = 400  # after so many a deposit takes no more optional commands; what finishes it gets through


@dataclass(frozen=True, slots=True)
class ChangePaymentMethod:
    """The buyer pays another way; nobody else can say so."""

    method: str


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """The provider gave no answer that can be read."""

    refund: int
    way: int = 0


@dataclass(frozen=True, slots=True)
class MissRefund:
    """The provider does not know the refund and no longer remembers its key."""

    refund: int
    way: int = 0


@dataclass(frozen=True, slots=True)
class DoubtRefund:
    """A refund that the rules do not give when they are asked again: nothing is sent, a person looks."""

    refund: int


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
    | LoseAnswer
    | MissRefund
    | DoubtRefund
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
    if isinstance(command, Elective) and deposit.version >= MOST_EVENTS and not fulfilment.finishes(deposit, command):
        raise Refused(Reason.RATE_LIMITED, most=MOST_EVENTS)
    if isinstance(command, Claiming):
        return claiming.decide(deposit, command, at, terms)
    match command:
        case Cancel():
            return tuple(ending.cancel(deposit, at, terms))
        case MerchantCancel():
            return tuple(cancellation.cancel(deposit, command, at, terms))
        case Ask():
            return (cancellation.ask(deposit, command, at),)
        case AnswerQuestion():
            return (cancellation.answer(deposit, command, at),)
        case ChangePaymentMethod():
            return (paying.change_method(deposit, command.method, at, terms),)
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
            return (fulfilment.deliver(deposit, command, at),)
        case Receive():
            return (fulfilment.receive(deposit, at),)
        case DeclareDefault():
            return tuple(fulfilment.declare_default(deposit, at, terms))
        case Inspect():
            return tuple(tradein.inspect(deposit, command, at, terms))
        case CancelTradeIn():
            return tuple(tradein.cancel(deposit, command, at, terms))
        case StateWithdrawal():
            return (withdrawal.state(deposit, command, at, terms),)
        case ConfirmWithdrawal():
            return tuple(withdrawal.confirm(deposit, command, at, terms))
        case SendRefund():
            return destination.send(deposit, command.refund, at)
        case LoseAnswer():
            return _refund_step(deposit, RefundUnknown(at, command.refund), command.way)
        case MissRefund():
            return _refund_step(deposit, RefundReviewNeeded(at, command.refund, "not_found"), command.way)
        case DoubtRefund():
            return _doubted(deposit, command.refund, at)
        case Grant():
            return tuple(goodwill.grant(deposit, command, at, terms))
        case NameDestination():
            return (destination.name(deposit, command, at, terms),)
        case Reroute():
            return (destination.reroute(deposit, command, at, terms),)
        case Retry():
            return (destination.retry(deposit, command, at, terms),)
        case PaymentSeen():
            return tuple(paying.see(deposit, command, at, terms))
        case RefundSeen():
            return tuple(_seen(deposit, command, at))


Check = Callable[[Deposit, int, Terms], object]

# What each role may do, named after the paths, with the very check that the command makes.
ACTIONS: Final[Mapping[str, Mapping[str, Check]]] = {
    "buyer": {
        "balance-payments": lambda deposit, at, _terms: fulfilment.refuse_balance(deposit, at),
        "cancel": lambda deposit, at, _terms: entitlement.refuse_ended(status_at(deposit, at)),
        "claims": lambda deposit, at, _terms: claiming.refuse(deposit, at),
        "changes": lambda deposit, at, _terms: changes.refuse(deposit, at),
        "lock": lock.refuse_lock,
        "lock-intents": lock.refuse_intent,
        "payment-method": lambda deposit, at, _terms: paying.refuse_method(deposit, at),
        "receipt": lambda deposit, at, _terms: fulfilment.refuse_receive(deposit, at),
        "unlock": lambda deposit, at, _terms: lock.refuse_undo(deposit, at),
        "withdrawals": withdrawal.refuse,
    },
    "merchant": {
        "buyer-default": lambda deposit, at, _terms: fulfilment.refuse_default(deposit, at),
        "merchant-cancel": lambda deposit, at, _terms: cancellation.refuse(deposit, at),
        "questions": lambda deposit, at, _terms: cancellation.refuse_question(deposit, at),
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
    open_names = [(name, check) for name, check in named if name in ALWAYS or deposit.version < MOST_EVENTS]
    return tuple(name for name, check in open_names if _allowed(check, deposit, at, terms))


def _allowed(check: Check, deposit: Deposit, at: int, terms: Terms) -> bool:
    try:
        check(deposit, at, terms)
    except Refused:
        return False
    return True


def _seen(deposit: Deposit, seen: RefundSeen, at: int) -> Iterator[DepositEvent]:
    """What is new of a refund; where a bank has given its money meanwhile, that is its end."""
    for event in steps_seen(deposit.refunds[seen.refund - 1], seen):
        yield event
        deposit = evolve(deposit, event)
    yield from chargeback.cover(deposit, at)


def _refund_step(deposit: Deposit, event: RefundUnknown | RefundReviewNeeded, way: int) -> tuple[DepositEvent, ...]:
    """The step, or nothing when the refund has moved on meanwhile, or takes another way by now."""
    refund = deposit.refunds[event.refund - 1]
    asked_for = refund.status in ASKED_FOR and refund.way == way
    return (event,) if asked_for and (refund.status, type(event)) in REFUND_TRANSITIONS else ()


def _doubted(deposit: Deposit, n: int, at: int) -> tuple[DepositEvent, ...]:
    unsent = deposit.refunds[n - 1].status is RefundStatus.APPROVED
    return (RefundReviewNeeded(at, n, "proof_differs"),) if unsent else ()
