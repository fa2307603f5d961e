"""The shapes of deposits, previews and histories in answers."""

from typing import Annotated, Literal

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core.deposit.lock import LockedBy
from chalicelib.core.deposit.payment import PaymentStatus
from chalicelib.core.deposit.status import Status
from chalicelib.web.edge.values import (
    CLOSED,
    ActorAnswer,
    HashAnswer,
    InstantAnswer,
    MoneyAnswer,
    RuleAnswer,
    _From,
    one_of,
)
from chalicelib.web.reconciliation.answers import RunAnswer
from chalicelib.web.refunds.answers import CauseAnswer, RefundAnswer, RefundLineAnswer
from chalicelib.web.tradeins.answers import TradeInPartAnswer


@with_config(CLOSED)
class ItemAnswer(TypedDict):
    """One line of the order. ``paid`` is the goods money captured for it, without shipping."""

    line: int
    sku: str
    quantity: int
    unit_price: MoneyAnswer
    paid: MoneyAnswer
    shipped: int


@with_config(CLOSED)
class NextActionAnswer(TypedDict):
    """Send the buyer there to pay."""

    type: Literal["redirect"]
    url: str


@with_config(CLOSED)
class PaymentAnswer(TypedDict):
    """The latest payment. ``failed`` may be tried again until ``due_at``."""

    id: str
    method: str
    status: Annotated[str, one_of(PaymentStatus)]
    amount: MoneyAnswer
    due_at: InstantAnswer
    next_action: NextActionAnswer | None


@with_config(CLOSED)
class WindowAnswer(TypedDict):
    """Half-open; ``ends_at`` null: open until the buyer locks."""

    starts_at: InstantAnswer
    ends_at: InstantAnswer | None
    remaining_seconds: int | None


@with_config(CLOSED)
class LockAnswer(TypedDict):
    """The commitment. ``final`` is true from ``undo_until`` on."""

    by: LockedBy
    at: InstantAnswer
    undo_until: InstantAnswer | None
    final: bool


@with_config(CLOSED)
class MoneyStateAnswer(TypedDict):
    """captured = held + refunding + refunded + forfeited + fees, always."""

    captured: MoneyAnswer
    held: MoneyAnswer
    refunding: MoneyAnswer
    refunded: MoneyAnswer
    forfeited: MoneyAnswer
    fees: MoneyAnswer
    compensation: MoneyAnswer


@with_config(CLOSED)
class RefundPathAnswer(TypedDict):
    """How the current method gives money back, until when, and whether this order may outlive that way."""

    kind: Literal["original_method", "payout"]
    ends_at: InstantAnswer | None
    outlived: bool


@with_config(CLOSED)
class CancellationAnswer(TypedDict):
    """How a deposit was cancelled. ``reason`` to ``priority_pass`` are the merchant's; null when somebody else did it."""

    cause: CauseAnswer
    at: InstantAnswer
    reason: str | None
    label: str | None
    evidence: list[str]
    appealable: bool
    priority_pass: str | None


@with_config(CLOSED)
class DepositAnswer(TypedDict):
    """A buyer's money on an offer. ``actions`` is what this caller may do now."""

    id: str
    object: Literal["deposit"]
    version: int
    status: Annotated[str, one_of(Status)]
    offer: str
    merchant: str
    buyer: str
    items: list[ItemAnswer]
    items_total: MoneyAnswer
    shipping: MoneyAnswer
    total: MoneyAnswer
    due_now: MoneyAnswer
    balance: MoneyAnswer
    balance_due_at: InstantAnswer | None
    terms_hash: HashAnswer
    payment: PaymentAnswer
    window: WindowAnswer | None
    lock: LockAnswer | None
    trade_in: TradeInPartAnswer | None
    refund: RefundAnswer | None
    money: MoneyStateAnswer
    refundable: MoneyAnswer
    refund_path: RefundPathAnswer
    cancellation: CancellationAnswer | None
    priority_pass: str | None
    actions: list[str]
    created_at: InstantAnswer
    updated_at: InstantAnswer


@with_config(CLOSED)
class NewDepositAnswer(DepositAnswer):
    """A deposit as its creation answers it. ``withdrawal_token`` is told this once, for a withdrawal without a login."""

    withdrawal_token: str | None


with_config(CLOSED)(RunAnswer)


@with_config(CLOSED)
class PreviewAnswer(TypedDict):
    """What a command would decide at ``at``."""

    at: InstantAnswer
    cause: CauseAnswer
    amount: MoneyAnswer
    lines: list[RefundLineAnswer]
    forfeited: MoneyAnswer
    fees: MoneyAnswer
    compensation: MoneyAnswer
    rule: RuleAnswer


@with_config(CLOSED)
class CurvePointAnswer(_From):
    """What a cancel gives back in ``[from, to)``; ``to`` null is for ever."""

    to: InstantAnswer | None
    amount: MoneyAnswer
    lines: list[RefundLineAnswer]


@with_config(CLOSED)
class CurveAnswer(TypedDict):
    """Free until ..., then ...: half-open spans, the last one without an end."""

    points: list[CurvePointAnswer]


@with_config(CLOSED)
class EventAnswer(TypedDict):
    """One fact of a deposit's history. ``at`` is when it happened, ``received_at`` when we learned of it."""

    id: str
    type: str
    at: InstantAnswer
    received_at: InstantAnswer
    actor: ActorAnswer
    version: int
    data: dict[str, object]
