"""What can happen to a deposit. Every event is a fact with its instant; figures stand in it as they were decided.

``TYPE`` is the public name. Fields that were added later have a default, so that old journals keep their meaning.
"""

from dataclasses import dataclass
from typing import ClassVar

from chalicelib.core.money import Money


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a deposit. ``unit_price`` is the offer's price when the line was ordered."""

    sku: str
    quantity: int
    unit_price: Money
    made_to_spec: bool = False

    @property
    def value(self) -> Money:
        return self.unit_price * self.quantity


@dataclass(frozen=True, slots=True)
class TakenStock:
    """Units drawn from one stock shard; they go back to the same one."""

    sku: str
    shard: int
    units: int


@dataclass(frozen=True, slots=True)
class RefundLine:
    """One line of a refund's explanation. A negative amount cites the rule that allows it."""

    code: str
    amount: Money
    rule: str | None = None
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TradedIn:
    """The old device that pays a part: its credit, the fee schedule (``id@version``) and the price a fee is measured by."""

    category: str
    model: str
    credit: Money
    schedule: str
    fee_base: Money
    fee_if_mismatched: Money | None = None


@dataclass(frozen=True, slots=True)
class Priority:
    """The priority pass an order was made with: one unit of one of these goods, at most at this price."""

    id: str
    skus: tuple[str, ...]
    price_cap: Money


@dataclass(frozen=True, slots=True)
class Created:
    """A buyer ordered. The units and the limit units were taken in the same write, from the offer's ``batch`` of shards."""

    TYPE: ClassVar[str] = "deposit.created"
    at: int
    offer: str
    merchant: str
    buyer: str
    terms_hash: str
    lines: tuple[Line, ...]
    shipping: Money
    due_now: Money
    due_at: int
    method: str
    batch: str = ""
    stock: tuple[TakenStock, ...] = ()
    limit_units: int = 0
    token_key: str = ""
    trade_in: TradedIn | None = None
    priority: Priority | None = None


@dataclass(frozen=True, slots=True)
class ItemsChanged:
    """The buyer changed what is ordered. ``stock`` is all that the deposit holds from now on, ``shipping`` as recomputed."""

    TYPE: ClassVar[str] = "items.changed"
    at: int
    lines: tuple[Line, ...]
    shipping: Money
    stock: tuple[TakenStock, ...] = ()
    limit_units: int = 0


@dataclass(frozen=True, slots=True)
class PaymentMethodChanged:
    """The buyer chose again: a new payment is opened, the former one is replaced."""

    TYPE: ClassVar[str] = "payment.method_changed"
    at: int
    method: str


@dataclass(frozen=True, slots=True)
class PaymentPending:
    """The provider works on it."""

    TYPE: ClassVar[str] = "payment.pending"
    at: int
    payment: int


@dataclass(frozen=True, slots=True)
class PaymentFailed:
    """The provider declined. The buyer may try again until the deposit is due."""

    TYPE: ClassVar[str] = "payment.failed"
    at: int
    payment: int


@dataclass(frozen=True, slots=True)
class PaymentSucceeded:
    """What was due arrived. ``at`` is the provider's capture instant; the window starts there.

    ``window_ends_at`` None means no window, or one without an end (``lock.at: never``); ``windowed`` tells them apart.
    ``remind_at`` are the instants, earliest first, at which the buyer is reminded that the window ends.
    """

    TYPE: ClassVar[str] = "payment.succeeded"
    at: int
    payment: int
    capture: str
    amount: Money
    windowed: bool
    window_ends_at: int | None = None
    remind_at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class BalanceOpened:
    """The buyer wants to pay the rest, and says how; a balance payment that was open is replaced."""

    TYPE: ClassVar[str] = "balance.opened"
    at: int
    method: str
    amount: Money
    due_at: int


@dataclass(frozen=True, slots=True)
class BalancePaid:
    """The rest arrived. ``at`` is the provider's capture instant."""

    TYPE: ClassVar[str] = "balance.paid"
    at: int
    payment: int
    capture: str
    amount: Money


@dataclass(frozen=True, slots=True)
class PaymentNotCounted:
    """Money arrived that is not what was due; it goes back by itself. ``cause`` is the refund's."""

    TYPE: ClassVar[str] = "payment.not_counted"
    at: int
    payment: int
    capture: str
    amount: Money
    cause: str


@dataclass(frozen=True, slots=True)
class LockReminded:
    """Announcement: the window ends soon. ``window_ends_at`` is when."""

    TYPE: ClassVar[str] = "lock.reminder"
    at: int
    window_ends_at: int


@dataclass(frozen=True, slots=True)
class Argument:
    """What filled one place of a published sentence, as it was shown."""

    name: str
    words: str


@dataclass(frozen=True, slots=True)
class LockIntentOpened:
    """A buyer was shown what a lock means, word by word: this is the evidence.

    ``text`` names the published sentences, ``arguments`` fill them, ``locale`` is the language they were shown in;
    ``disclosure_hash`` is over all that was shown. A newer intent closes this one.
    """

    TYPE: ClassVar[str] = "lock.intent_opened"
    at: int
    intent: int
    text: tuple[str, ...]
    arguments: tuple[Argument, ...]
    locale: str
    amount_at_stake: Money
    disclosure_hash: str
    acknowledgement: str
    confirmable_at: int
    expires_at: int
    window_ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class LockConfirmed:
    """The buyer locked it, by an intent that was read, typed and in time."""

    TYPE: ClassVar[str] = "lock.confirmed"
    at: int
    intent: int
    disclosure_hash: str
    undo_until: int | None = None


@dataclass(frozen=True, slots=True)
class LockedByPayment:
    """The terms lock at payment. Undo, where the terms give it, is open until ``undo_until``."""

    TYPE: ClassVar[str] = "lock.by_payment"
    at: int
    undo_until: int | None = None


@dataclass(frozen=True, slots=True)
class LockedByWindowEnd:
    """Announcement: the window ended. The status follows from the clock, whether this was written or not."""

    TYPE: ClassVar[str] = "lock.by_window_end"
    at: int


@dataclass(frozen=True, slots=True)
class LockBecameFinal:
    """Announcement: the undo is over. Production, shipment and balance may begin."""

    TYPE: ClassVar[str] = "lock.final"
    at: int


@dataclass(frozen=True, slots=True)
class LockUndone:
    """The buyer took the lock back. ``window_ends_at`` is set when no window runs any more: then only cancel is left."""

    TYPE: ClassVar[str] = "lock.undone"
    at: int
    window_ends_at: int | None = None


@dataclass(frozen=True, slots=True)
class GoodsReady:
    """The merchant says that these lines can be inspected.

    With the last line the balance falls due, never before: ``balance_due_at``, and ``cure_until`` after one notice.
    """

    TYPE: ClassVar[str] = "goods.ready"
    at: int
    lines: tuple[int, ...]
    inspect_at: int
    evidence: tuple[str, ...]
    balance_due_at: int | None = None
    cure_until: int | None = None


@dataclass(frozen=True, slots=True)
class BalanceOverdue:
    """Announcement: the balance was not paid when it was due. Until ``cure_until`` nothing else happens."""

    TYPE: ClassVar[str] = "balance.overdue"
    at: int
    cure_until: int


@dataclass(frozen=True, slots=True)
class Units:
    """Some units of one line."""

    line: int
    quantity: int


@dataclass(frozen=True, slots=True)
class GoodsShipped:
    """The merchant handed these units to a carrier."""

    TYPE: ClassVar[str] = "goods.shipped"
    at: int
    lines: tuple[Units, ...]


@dataclass(frozen=True, slots=True)
class GoodsDelivered:
    """The merchant's word that these units arrived, and when."""

    TYPE: ClassVar[str] = "goods.delivered"
    at: int
    lines: tuple[Units, ...]
    delivered_at: int
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GoodsReceived:
    """The buyer's word that everything shipped so far arrived."""

    TYPE: ClassVar[str] = "goods.received"
    at: int
    lines: tuple[Units, ...]


@dataclass(frozen=True, slots=True)
class Completed:
    """Fully paid, and every unit is shipped."""

    TYPE: ClassVar[str] = "deposit.completed"
    at: int


@dataclass(frozen=True, slots=True)
class TradeInInspected:
    """An inspector's word on the old device: ``matched``, or ``mismatched`` for these grounds, with what proves them."""

    TYPE: ClassVar[str] = "trade_in.inspected"
    at: int
    outcome: str
    grounds: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TradeInCancelled:
    """The trade-in fell through, and not by the buyer: ``by`` seller or courier."""

    TYPE: ClassVar[str] = "trade_in.cancelled"
    at: int
    by: str


@dataclass(frozen=True, slots=True)
class WithdrawalStated:
    """Step one of a statutory withdrawal. Name and address stand encrypted elsewhere; ``digest`` is over the receipt."""

    TYPE: ClassVar[str] = "withdrawal.stated"
    at: int
    withdrawal: int
    digest: str


@dataclass(frozen=True, slots=True)
class WithdrawalConfirmed:
    """Step two: the withdrawal takes effect. ``digest`` is over the receipt with this instant."""

    TYPE: ClassVar[str] = "withdrawal.confirmed"
    at: int
    withdrawal: int
    digest: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """It ended before its time. What is kept under the terms is in ``forfeited``, by ``rule``; ``fees`` by their bands.

    A merchant's cancellation has a published ``reason`` and its ``evidence``; ``note`` is the digest of what was written to
    it, encrypted elsewhere. ``counted``: its units go on counting against the buyer's limit.
    """

    TYPE: ClassVar[str] = "deposit.cancelled"
    at: int
    cause: str
    rule: str
    forfeited: Money
    fees: Money | None = None
    reason: str | None = None
    evidence: tuple[str, ...] = ()
    note: str | None = None
    approver: str | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Expired:
    """Nothing was paid in time. Irreversible: written only after a grace, and units go back with it."""

    TYPE: ClassVar[str] = "deposit.expired"
    at: int


@dataclass(frozen=True, slots=True)
class RefundApproved:
    """Money is owed back; the amount is reserved by this write. ``capture`` is the provider's capture it returns.

    ``note`` is the digest of what a person wrote to it, encrypted elsewhere.
    """

    TYPE: ClassVar[str] = "refund.approved"
    at: int
    refund: int
    cause: str
    amount: Money
    lines: tuple[RefundLine, ...]
    promised_by: int
    payment: int
    capture: str
    review: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class RefundDestinationNamed:
    """The buyer named an account, encrypted elsewhere; ``digest`` is keyed, so that it tells nothing but a change.

    Nothing is paid before ``payable_from``, and the promise counts from there: until now it waited for the buyer.
    """

    TYPE: ClassVar[str] = "refund.destination_named"
    at: int
    refund: int
    destination: int
    digest: str
    payable_from: int
    promised_by: int


@dataclass(frozen=True, slots=True)
class RefundRerouted:
    """The platform took it off its way: it goes to an account that the buyer will name, and is promised anew.

    ``note`` is a digest.
    """

    TYPE: ClassVar[str] = "refund.rerouted"
    at: int
    refund: int
    promised_by: int
    note: str | None = None


@dataclass(frozen=True, slots=True)
class RefundRetried:
    """It was never executed, as a person or a bank says: it is sent anew, under a new key, and promised anew."""

    TYPE: ClassVar[str] = "refund.retried"
    at: int
    refund: int
    promised_by: int


@dataclass(frozen=True, slots=True)
class RefundCovered:
    """The buyer has this money by a chargeback: it is settled without being sent."""

    TYPE: ClassVar[str] = "refund.covered"
    at: int
    refund: int
    dispute: int


@dataclass(frozen=True, slots=True)
class RefundSent:
    """About to be asked of the provider for the first time: from here on it may have been executed."""

    TYPE: ClassVar[str] = "refund.sent"
    at: int
    refund: int


@dataclass(frozen=True, slots=True)
class RefundUnknown:
    """No answer, or one that cannot be read. The money may have moved: look, never send a new one."""

    TYPE: ClassVar[str] = "refund.unknown"
    at: int
    refund: int


@dataclass(frozen=True, slots=True)
class RefundPending:
    """The provider accepted it and has not finished."""

    TYPE: ClassVar[str] = "refund.pending"
    at: int
    refund: int
    provider_ref: str


@dataclass(frozen=True, slots=True)
class RefundSucceeded:
    """The provider executed it."""

    TYPE: ClassVar[str] = "refund.succeeded"
    at: int
    refund: int
    provider_ref: str


@dataclass(frozen=True, slots=True)
class RefundSettled:
    """Seen in the provider's settlement: final. A refund of nothing is settled when decided."""

    TYPE: ClassVar[str] = "refund.settled"
    at: int
    refund: int


@dataclass(frozen=True, slots=True)
class RefundDeclined:
    """The way back is closed; the buyer must name another destination."""

    TYPE: ClassVar[str] = "refund.declined"
    at: int
    refund: int
    code: str
    provider_ref: str | None = None


@dataclass(frozen=True, slots=True)
class RefundReturned:
    """It came back after success."""

    TYPE: ClassVar[str] = "refund.returned"
    at: int
    refund: int


@dataclass(frozen=True, slots=True)
class RefundReviewNeeded:
    """A person has to look.

    ``why``: ``promise_missed``, ``not_found``, ``amount_differs``, ``proof_differs``, ``double_exposure``,
    ``below_route_min``, ``above_route_max``.
    """

    TYPE: ClassVar[str] = "refund.review_needed"
    at: int
    refund: int
    why: str


@dataclass(frozen=True, slots=True)
class ChargebackOpened:
    """The buyer's bank disputes a capture. What of it is held cannot move until the bank has decided."""

    TYPE: ClassVar[str] = "chargeback.opened"
    at: int
    dispute: int
    ref: str
    payment: int
    capture: str
    amount: Money


@dataclass(frozen=True, slots=True)
class ChargebackWon:
    """The bank decided for the merchant: nothing moved."""

    TYPE: ClassVar[str] = "chargeback.won"
    at: int
    dispute: int


@dataclass(frozen=True, slots=True)
class ChargebackLost:
    """The bank gave the buyer the money. ``excess`` is what the buyer had back already, or what was kept by right."""

    TYPE: ClassVar[str] = "chargeback.lost"
    at: int
    dispute: int
    excess: Money | None = None


@dataclass(frozen=True, slots=True)
class QuestionAsked:
    """The merchant asks before an address or contact reason may be cited. ``digest`` is over the text, encrypted elsewhere."""

    TYPE: ClassVar[str] = "question.asked"
    at: int
    question: int
    kind: str
    due_at: int
    digest: str


@dataclass(frozen=True, slots=True)
class QuestionAnswered:
    """The buyer answered; late is better than never, as long as nothing was decided on the silence."""

    TYPE: ClassVar[str] = "question.answered"
    at: int
    question: int
    digest: str


@dataclass(frozen=True, slots=True)
class QuestionLapsed:
    """No answer came in time. An announcement: the clock alone decides it."""

    TYPE: ClassVar[str] = "question.lapsed"
    at: int
    question: int


@dataclass(frozen=True, slots=True)
class PassGranted:
    """A second chance for the buyer of this deposit: one unit of one of ``skus``, before and beside everybody else."""

    TYPE: ClassVar[str] = "priority_pass.granted"
    at: int
    priority_pass: int
    skus: tuple[str, ...]
    price_cap: Money
    valid_until: int
    remind_at: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class PassUsed:
    """Written together with the deposit that was ordered with it."""

    TYPE: ClassVar[str] = "priority_pass.used"
    at: int
    priority_pass: int
    deposit: str


@dataclass(frozen=True, slots=True)
class PassReturned:
    """That deposit ended unpaid: the pass is granted again until its date."""

    TYPE: ClassVar[str] = "priority_pass.returned"
    at: int
    priority_pass: int
    deposit: str


@dataclass(frozen=True, slots=True)
class PassReminded:
    """A notice that it will lapse. An announcement."""

    TYPE: ClassVar[str] = "priority_pass.reminder"
    at: int
    priority_pass: int
    valid_until: int


@dataclass(frozen=True, slots=True)
class PassLapsed:
    """Its time is over. An announcement: the clock alone decides it."""

    TYPE: ClassVar[str] = "priority_pass.lapsed"
    at: int
    priority_pass: int


@dataclass(frozen=True, slots=True)
class ClaimOpened:
    """A buyer disputes or appeals. ``owed`` is what the rules make of it, ``amount`` what the buyer asks where that decides.

    ``statement`` and those below are digests of what people wrote, encrypted elsewhere. ``contested``: the merchant had
    recorded units of it as shipped. The merchant's silence decides at ``due_at``, for a privacy claim the platform's.
    ``decide_within`` and ``refund_deadline`` are durations of the terms.
    """

    TYPE: ClassVar[str] = "claim.opened"
    at: int
    claim: int
    kind: str
    owed: Money
    contested: bool
    statement: str
    due_at: int
    decide_within: str
    refund_deadline: str
    amount: Money | None = None
    lines: tuple[Units, ...] = ()
    evidence: tuple[str, ...] = ()
    remind_at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimEvidenceAdded:
    """Buyer or merchant (``by``) hand in more."""

    TYPE: ClassVar[str] = "claim.evidence_added"
    at: int
    claim: int
    by: str
    evidence: tuple[str, ...]
    statement: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimOffered:
    """The merchant offers to pay ``amount``, never less than is owed. The buyer's silence at ``due_at`` accepts nothing."""

    TYPE: ClassVar[str] = "claim.offered"
    at: int
    claim: int
    amount: Money
    due_at: int
    remind_at: tuple[int, ...] = ()
    statement: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimRejected:
    """The merchant says no, so the platform decides by ``due_at``."""

    TYPE: ClassVar[str] = "claim.rejected"
    at: int
    claim: int
    due_at: int
    statement: str
    remind_at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimEscalated:
    """The buyer took no offer, ``by`` word (``buyer``) or by ``silence``: the platform decides by ``due_at``."""

    TYPE: ClassVar[str] = "claim.escalated"
    at: int
    claim: int
    by: str
    due_at: int
    remind_at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimAccepted:
    """Both agree: the merchant to the claim, or the buyer to the latest offer. ``refunds`` pay ``amount``."""

    TYPE: ClassVar[str] = "claim.accepted"
    at: int
    claim: int
    by: str
    amount: Money
    refunds: tuple[int, ...] = ()
    statement: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimUpheld:
    """The platform gave the buyer all that is owed. ``reason`` is a digest."""

    TYPE: ClassVar[str] = "claim.upheld"
    at: int
    claim: int
    amount: Money
    reason: str
    refunds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimPartlyUpheld:
    """The platform gave the buyer a part."""

    TYPE: ClassVar[str] = "claim.partly_upheld"
    at: int
    claim: int
    amount: Money
    reason: str
    refunds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimDismissed:
    """The platform gave the buyer nothing."""

    TYPE: ClassVar[str] = "claim.dismissed"
    at: int
    claim: int
    reason: str


@dataclass(frozen=True, slots=True)
class ClaimWithdrawn:
    """The buyer took it back."""

    TYPE: ClassVar[str] = "claim.withdrawn"
    at: int
    claim: int


@dataclass(frozen=True, slots=True)
class ClaimGranted:
    """Whoever had to answer (``silent``: merchant or platform) was silent. Irreversible: written only after a grace."""

    TYPE: ClassVar[str] = "claim.granted_by_deadline"
    at: int
    claim: int
    silent: str
    amount: Money
    refunds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimAnsweredLate:
    """An answer after silence had decided (``by`` merchant or platform): it is kept, and changes nothing."""

    TYPE: ClassVar[str] = "claim.answered_late"
    at: int
    claim: int
    by: str
    decision: str
    amount: Money | None = None
    statement: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimReminded:
    """Announcement: silence decides at ``due_at``."""

    TYPE: ClassVar[str] = "claim.reminder"
    at: int
    claim: int
    due_at: int


@dataclass(frozen=True, slots=True)
class ClaimReversed:
    """What was kept at the end of the deposit is held again, so that it can go back."""

    TYPE: ClassVar[str] = "claim.reversed"
    at: int
    claim: int
    forfeited: Money
    fees: Money


PaymentEvent = (
    PaymentMethodChanged
    | PaymentPending
    | PaymentFailed
    | PaymentSucceeded
    | BalanceOpened
    | BalancePaid
    | PaymentNotCounted
)
GoodsEvent = GoodsReady | GoodsShipped | GoodsDelivered | GoodsReceived
RefundStep = (
    RefundSent
    | RefundUnknown
    | RefundPending
    | RefundSucceeded
    | RefundSettled
    | RefundDeclined
    | RefundReturned
    | RefundReviewNeeded
    | RefundDestinationNamed
    | RefundRerouted
    | RefundRetried
    | RefundCovered
)
QuestionEvent = QuestionAsked | QuestionAnswered | QuestionLapsed
PassStep = PassUsed | PassReturned | PassReminded | PassLapsed
ClaimStep = (
    ClaimEvidenceAdded
    | ClaimOffered
    | ClaimRejected
    | ClaimEscalated
    | ClaimAccepted
    | ClaimUpheld
    | ClaimPartlyUpheld
    | ClaimDismissed
    | ClaimWithdrawn
    | ClaimGranted
    | ClaimAnsweredLate
    | ClaimReminded
)
ClaimEvent = ClaimOpened | ClaimStep | ClaimReversed
ChargebackEvent = ChargebackOpened | ChargebackWon | ChargebackLost
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
