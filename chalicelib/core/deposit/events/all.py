"""All events of a deposit's journal, as one union.

Every event is a fact with its instant ``at`` (milliseconds since the epoch, UTC); figures stand in it as they were decided.
``TYPE`` is the public name. A field that was added later has a default, so that old journals keep their meaning.
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
