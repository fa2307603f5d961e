"""All events of a deposit's journal, as one union.

``at`` is the event's instant in milliseconds since 1970, UTC. Amounts and instants stand as they were decided. ``TYPE`` is
the public name. Fields that were added later have a default, so that old journals can be read. Digests (``note``,
``statement``, ``reason`` of a ruling and others) are over texts that are stored encrypted outside the journal.
"""

from chalicelib.core.deposit.events.claim import ClaimEvent
from chalicelib.core.deposit.events.ending import (
    Cancelled,
    Completed,
    Expired,
    PassGranted,
    PassStep,
    QuestionEvent,
    WithdrawalConfirmed,
    WithdrawalStated,
)
from chalicelib.core.deposit.events.goods import GoodsEvent, TradeInCancelled, TradeInInspected
from chalicelib.core.deposit.events.lock import (
    LockBecameFinal,
    LockConfirmed,
    LockedByPayment,
    LockedByWindowEnd,
    LockIntentOpened,
    LockReminded,
    LockUndone,
)
from chalicelib.core.deposit.events.order import Created, ItemsChanged
from chalicelib.core.deposit.events.payment import BalanceOverdue, ChargebackEvent, PaymentEvent
from chalicelib.core.deposit.events.refund import RefundApproved, RefundStep

DepositEvent = (
    Created
    | ItemsChanged
    | PaymentEvent
    | LockReminded
    | LockIntentOpened
    | LockConfirmed
    | LockedByPayment
    | LockedByWindowEnd
    | LockBecameFinal
    | LockUndone
    | GoodsEvent
    | BalanceOverdue
    | Completed
    | TradeInInspected
    | TradeInCancelled
    | WithdrawalStated
    | WithdrawalConfirmed
    | Cancelled
    | Expired
    | RefundApproved
    | RefundStep
    | ChargebackEvent
    | QuestionEvent
    | PassGranted
    | PassStep
    | ClaimEvent
)
