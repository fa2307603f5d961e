"""The shapes of answers: what a renderer must produce, and what OpenAPI says of it, from one declaration."""

from typing import Annotated, Any, Final, Literal, NotRequired, get_args

from pydantic import ConfigDict, Field, WithJsonSchema, with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core import bulk, claim, market, question, reconcile, run, terms
from chalicelib.core.events import ClaimOpened, ClaimReminded, ClaimStep
from chalicelib.core.wire import INSTANT_SCHEMA, MONEY_SCHEMA

CLOSED = ConfigDict(extra="forbid")
CAUSES: Final = (
    "buyer_cancel",
    "withdrawal",
    "merchant_cancel",
    "buyer_default",
    "trade_in_mismatch",
    "trade_in_cancel",
    "change",
    "claim",
    "goodwill",
    "amount_mismatch",
    "overpayment",
    "duplicate_payment",
    "late_payment",
    "chargeback",
    "seller_default_compensation",
)
CODES: Final = (
    "paid",
    "already_refunded",
    "shipping_kept",
    "trade_in_fee",
    "forfeited",
    "goods_kept",
    "goodwill",
    "owed",
    "compensation",
)
# What was deducted from a refund stands in its lines with a minus; nothing else is ever negative.
SIGNED_MONEY_SCHEMA: Final = {
    **MONEY_SCHEMA,
    "title": "SignedMoney",
    "description": "As Money; a deduction is negative.",
    "properties": {
        "amount": {
            "type": "string",
            "pattern": r"^-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,3})?$",
            "examples": ["5000", "-18000"],
        },
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["CNY", "IDR", "EUR"]},
    },
}


class Amount(TypedDict):
    """An amount as ``render.money`` writes it."""

    amount: str
    currency: str


MoneyAnswer = Annotated[Amount, WithJsonSchema(MONEY_SCHEMA)]
SignedMoneyAnswer = Annotated[Amount, WithJsonSchema(SIGNED_MONEY_SCHEMA)]
InstantAnswer = Annotated[str, WithJsonSchema(INSTANT_SCHEMA)]
CauseAnswer = Annotated[str, Field(json_schema_extra={"enum": list(CAUSES)})]
CodeAnswer = Annotated[str, Field(json_schema_extra={"enum": list(CODES)})]
BreakKindAnswer = Annotated[str, Field(json_schema_extra={"enum": list(get_args(reconcile.BreakKind))})]
ActionAnswer = Annotated[str, Field(json_schema_extra={"enum": list(get_args(run.Action))})]
QuestionKindAnswer = Annotated[str, Field(json_schema_extra={"enum": list(get_args(question.Kind))})]
ClaimKindAnswer = Annotated[str, Field(json_schema_extra={"enum": list(get_args(claim.Kind))})]
STEPS: Final = [kind.TYPE.partition(".")[2] for kind in get_args(ClaimOpened | ClaimStep) if kind is not ClaimReminded]
ClaimStepKindAnswer = Annotated[str, Field(json_schema_extra={"enum": STEPS})]
PartyAnswer = Annotated[str, Field(json_schema_extra={"enum": ["buyer", "merchant", "platform", "clock"]})]
ClaimStatusAnswer = Annotated[str, Field(json_schema_extra={"enum": list(claim.ClaimStatus)})]
OutcomeAnswer = Annotated[str, Field(json_schema_extra={"enum": [bulk.CANCELLED, bulk.SKIPPED]})]
HashAnswer = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]


@with_config(CLOSED)
class RuleAnswer(TypedDict):
    """The rule that decided: which one, in which version, in words."""

    id: str
    version: str
    text: str


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
    status: Literal["requires_action", "pending", "succeeded", "failed", "replaced"]
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

    by: Literal["buyer", "window_end", "payment"]
    at: InstantAnswer
    undo_until: InstantAnswer | None
    final: bool


@with_config(CLOSED)
class RefundLineAnswer(TypedDict):
    """One line of the explanation. A deduction is negative and names its rule."""

    code: CodeAnswer
    amount: SignedMoneyAnswer
    rule: NotRequired[RuleAnswer]
    evidence: NotRequired[list[str]]
    text: str


@with_config(CLOSED)
class DestinationAnswer(TypedDict):
    """Where the money goes; ``payout``: to an account that is still to be named. Nothing is paid before ``payable_from``."""

    kind: Literal["original_method", "bank_account", "payout"]
    payable_from: NotRequired[InstantAnswer]


@with_config(CLOSED)
class AttemptAnswer(TypedDict):
    """One call of the provider; never deleted."""

    n: int
    status: str
    provider_ref: str | None
    at: InstantAnswer


@with_config(CLOSED)
class RefundAnswer(TypedDict):
    """Money on its way back. ``lines`` sum to ``amount``; ``waiting_on`` says whose turn it is.

    ``review``: why a person looks. ``declined``: why its way is closed, and the buyer is asked for an account.
    """

    id: str
    object: Literal["refund"]
    deposit: str
    cause: CauseAnswer
    status: Literal[
        "approved",
        "sent",
        "pending",
        "unknown",
        "succeeded",
        "settled",
        "requires_action",
        "returned",
        "manual_review",
    ]
    amount: MoneyAnswer
    lines: list[RefundLineAnswer]
    promised_by: InstantAnswer
    waiting_on: Literal["provider", "bank", "buyer", "platform", "nobody"]
    destination: DestinationAnswer
    review: str | None
    declined: str | None
    attempts: list[AttemptAnswer]
    created_at: InstantAnswer
    updated_at: InstantAnswer


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
class TradeInPartAnswer(TypedDict):
    """An old device for a credit. ``fee_if_mismatched`` null: the price is in no band, so there is no fee."""

    id: str
    category: str
    model: str
    credit: MoneyAnswer
    fee_base: MoneyAnswer
    fee_if_mismatched: MoneyAnswer | None
    status: Literal["awaiting_handover", "matched", "mismatched", "cancelled"]


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
    status: Literal["awaiting_payment", "cooling_off", "locked", "completed", "cancelled", "expired"]
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


@with_config(CLOSED)
class DisclosureAnswer(TypedDict):
    """What the buyer must see before locking: show ``text`` as it is."""

    text: str
    amount_at_stake: MoneyAnswer
    window_ends_at: InstantAnswer | None
    locale: Annotated[str, Field(json_schema_extra={"enum": ["en", "id", "zh"]})]


@with_config(CLOSED)
class LockIntentAnswer(TypedDict):
    """The way to a lock: what to show, what the buyer must type, and from when until when it can be confirmed."""

    id: str
    object: Literal["lock_intent"]
    deposit: str
    disclosure: DisclosureAnswer
    disclosure_hash: HashAnswer
    acknowledgement: str
    confirmable_at: InstantAnswer
    expires_at: InstantAnswer


@with_config(CLOSED)
class WithdrawalAnswer(TypedDict):
    """A receipt to keep. ``digest`` is SHA-256 over canonical JSON (RFC 8785) of ``{id, content, at}``."""

    id: str
    object: Literal["withdrawal"]
    deposit: str
    status: Literal["stated", "confirmed"]
    content: str
    at: InstantAnswer
    digest: HashAnswer


@with_config(CLOSED)
class GroundAnswer(TypedDict):
    """Why the device is not what was declared."""

    code: str
    label: str


@with_config(CLOSED)
class InspectionAnswer(TypedDict):
    """The inspector's word."""

    outcome: str
    grounds: list[GroundAnswer]
    evidence: list[str]
    at: InstantAnswer


@with_config(CLOSED)
class TradeInAnswer(TradeInPartAnswer):
    """A trade-in by itself, with what was found and what went back."""

    object: Literal["trade_in"]
    deposit: str
    inspection: InspectionAnswer | None
    refund: RefundAnswer | None


@with_config(CLOSED)
class DepositListAnswer(TypedDict):
    data: list[DepositAnswer]
    next_cursor: str | None


@with_config(CLOSED)
class RefundListAnswer(TypedDict):
    data: list[RefundAnswer]
    next_cursor: str | None


@with_config(CLOSED)
class ProvedEventAnswer(TypedDict):
    """A fact of the deposit's history that the refund was computed from."""

    type: str
    data: dict[str, Any]


@with_config(CLOSED)
class ProofAnswer(TypedDict):
    """Inputs, rules and result of a refund. ``digest`` is over RFC 8785 canonical JSON of everything else."""

    object: Literal["refund_proof"]
    calculator: str
    refund: str
    deposit: str
    cause: CauseAnswer
    terms_hash: HashAnswer
    terms: dict[str, Any]
    events: list[ProvedEventAnswer]
    result: dict[str, Any]
    digest: HashAnswer


@with_config(CLOSED)
class DifferenceAnswer(TypedDict):
    """Where a proof does not hold: what the rules give, and what it says."""

    pointer: str
    expected: Any
    found: Any


@with_config(CLOSED)
class VerdictAnswer(TypedDict):
    """Whether a proof holds."""

    valid: bool
    differences: list[DifferenceAnswer]


@with_config(CLOSED)
class ProgressAnswer(TypedDict):
    """Lines compared so far, and how much that is of all."""

    ours: int
    provider: int
    percent: int


@with_config(CLOSED)
class CountsAnswer(TypedDict):
    """Verdicts. Young lines of ours that no report shows yet are ``in_transit``: neither matched nor a break."""

    matched: int
    repaired: int
    in_transit: int
    breaks: int


@with_config(CLOSED)
class TotalAnswer(TypedDict):
    """Control totals of one currency in major units: captures and returns less refunds and payouts."""

    currency: str
    ours: str
    provider: str
    difference: str


# ``from`` is no name in Python, so this one is written as a call.
RunAnswer = TypedDict(
    "RunAnswer",
    {
        "id": str,
        "object": Literal["reconciliation_run"],
        "status": Literal["running", "balanced", "breaks_open", "failed"],
        "from": InstantAnswer,
        "to": InstantAnswer,
        "progress": ProgressAnswer,
        "counts": CountsAnswer,
        "totals": list[TotalAnswer],
        "digest": str | None,
        "failure": str | None,
        "report_url": str,
        "created_at": InstantAnswer,
        "updated_at": InstantAnswer,
    },
)
with_config(CLOSED)(RunAnswer)


@with_config(CLOSED)
class RunListAnswer(TypedDict):
    data: list[RunAnswer]
    next_cursor: str | None


@with_config(CLOSED)
class BreakAnswer(TypedDict):
    """A difference that could not be repaired; null where a side has nothing."""

    id: str
    object: Literal["break"]
    run: str
    kind: BreakKindAnswer
    deposit: str | None
    payment: str | None
    refund: str | None
    provider_ref: str | None
    ours: MoneyAnswer | None
    provider: MoneyAnswer | None
    status: Literal["open", "resolved"]
    action: ActionAnswer | None
    note: str | None
    created_at: InstantAnswer
    resolved_at: InstantAnswer | None


@with_config(CLOSED)
class BreakListAnswer(TypedDict):
    data: list[BreakAnswer]
    next_cursor: str | None


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


# ``from`` is a Python keyword, hence the other notation.
_From = TypedDict("_From", {"from": InstantAnswer})
_MoneyFrom = TypedDict("_MoneyFrom", {"from": MoneyAnswer})


@with_config(CLOSED)
class CurvePointAnswer(_From):
    """What a cancel gives back in ``[from, to)``; ``to`` null is for ever."""

    to: InstantAnswer | None
    amount: MoneyAnswer
    lines: list[RefundLineAnswer]


@with_config(CLOSED)
class SpanAnswer(_MoneyFrom):
    """Prices from ``from`` to ``to``, both inside."""

    to: MoneyAnswer


@with_config(CLOSED)
class BandAnswer(_MoneyFrom):
    """Prices from ``from`` to ``to``, both inside, cost ``fee``."""

    to: MoneyAnswer
    fee: MoneyAnswer


@with_config(CLOSED)
class FeeAnswer(TypedDict):
    """What a published band charges."""

    fee: MoneyAnswer
    band: SpanAnswer
    rule: RuleAnswer


@with_config(CLOSED)
class PublishedGroundAnswer(TypedDict):
    """A ground, whose fault it is, and what must prove it."""

    code: str
    label: str
    at_fault: Literal["buyer", "seller", "courier"]
    evidence: str


@with_config(CLOSED)
class CategoryAnswer(TypedDict):
    """One kind of goods: its bands, the gaps between them, its grounds."""

    code: str
    label: str
    bands: list[BandAnswer]
    gaps: list[SpanAnswer]
    grounds: list[PublishedGroundAnswer]


@with_config(CLOSED)
class ScheduleAnswer(TypedDict):
    """A fee schedule in force, with its source."""

    id: str
    object: Literal["fee_schedule"]
    version: str
    currency: str
    source: str
    categories: list[CategoryAnswer]


@with_config(CLOSED)
class ScheduleListAnswer(TypedDict):
    data: list[ScheduleAnswer]


@with_config(CLOSED)
class CurveAnswer(TypedDict):
    """Free until ..., then ...: half-open spans, the last one without an end."""

    points: list[CurvePointAnswer]


@with_config(CLOSED)
class ActorAnswer(TypedDict):
    """Who did it: a person's id, or null for the service, the clock and the provider."""

    role: str
    id: str | None


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


@with_config(CLOSED)
class EventListAnswer(TypedDict):
    data: list[EventAnswer]
    next_cursor: str | None


@with_config(CLOSED)
class OfferItemAnswer(TypedDict):
    """One thing that is pre-sold. ``available`` is approximate; both numbers are null without a limit."""

    sku: str
    name: str
    category: str
    price: MoneyAnswer
    made_to_spec: bool
    stock: int | None
    available: int | None


@with_config(CLOSED)
class ConstrainedAnswer(TypedDict):
    """A term that the market changed in the buyer's favour."""

    field: str
    rule: str
    source: str


@with_config(CLOSED)
class OfferAnswer(TypedDict):
    """The whole resolved offer: the frozen terms, named by ``terms_hash``, and what surrounds them."""

    id: str
    object: Literal["offer"]
    version: int
    status: Literal["scheduled", "open", "closed"]
    merchant: str
    title: str
    market: str
    market_policy: str
    currency: str
    preset: str
    opens_at: InstantAnswer | None
    closes_at: InstantAnswer | None
    items: list[OfferItemAnswer]
    shipping: MoneyAnswer
    payment: terms.Payment
    window: terms.Window | None
    lock: terms.Lock
    after_lock: terms.AfterLock
    balance: terms.Balance
    delivery: terms.Delivery
    limits: terms.Limits
    transfer: Literal["none"]
    trade_in: terms.TradeIn | None
    claims: terms.Claims
    cancellation_reasons: list[str]
    priority: terms.Priority
    expected_peak_per_second: int
    refund: terms.Refund
    terms_hash: HashAnswer
    constrained_by: list[ConstrainedAnswer]
    created_at: InstantAnswer
    updated_at: InstantAnswer


@with_config(CLOSED)
class OfferListAnswer(TypedDict):
    data: list[OfferAnswer]
    next_cursor: str | None


@with_config(CLOSED)
class FindingAnswer(TypedDict):
    """One remark on an offer: an error stops it, a warning does not."""

    severity: Literal["error", "warning"]
    pointer: str
    message: str


@with_config(CLOSED)
class CheckAnswer(TypedDict):
    """Whether the offer could be published as it is, and what is to be said about it."""

    ok: bool
    findings: list[FindingAnswer]


@with_config(CLOSED)
class PresetAnswer(TypedDict):
    """What fills the members that an offer leaves out, shaped like an offer."""

    id: str
    object: Literal["preset"]
    source: str
    offer: dict[str, Any]


@with_config(CLOSED)
class PresetListAnswer(TypedDict):
    data: list[PresetAnswer]


@with_config(CLOSED)
class ForfeitAnswer(TypedDict):
    """When a deposit may be kept, how much of the goods' value at most, and the rule in the reader's language."""

    allowed: Literal["always", "made_to_spec", "never"]
    cap_percent: int | None
    rule: str
    source: str
    text: str


@with_config(CLOSED)
class MarketAnswer(TypedDict):
    """The policy in force in a market, with its sources."""

    object: Literal["market"]
    id: str
    code: str
    version: str
    time_zone: str
    holidays: str
    source: str
    forfeit: ForfeitAnswer
    seller_default: market.SellerDefault
    default: market.Default
    refund_deadline: market.RefundDeadline
    withdrawal: market.Withdrawal | None


@with_config(CLOSED)
class MarketListAnswer(TypedDict):
    data: list[MarketAnswer]


@with_config(CLOSED)
class CancellationReasonAnswer(TypedDict):
    """A reason for which a merchant may cancel. ``evidence`` is the least number of items, an automated score is none."""

    code: str
    label: str
    evidence: int
    evidence_required: str
    appealable: bool
    remedy: Literal["none", "pass", "seller_default", "seller_default_and_pass"]
    question: QuestionKindAnswer | None
    second_approver: bool


@with_config(CLOSED)
class CancellationReasonListAnswer(TypedDict):
    data: list[CancellationReasonAnswer]


@with_config(CLOSED)
class CancellationCountAnswer(TypedDict):
    """How often one reason was given, contested and overturned."""

    reason: str
    label: str
    cancelled: int
    appealed: int
    overturned: int


@with_config(CLOSED)
class CancellationCountsAnswer(TypedDict):
    """What everybody can see of a merchant's cancellations under one offer."""

    offer: str
    object: Literal["cancellation_counts"]
    cancelled: int
    appealed: int
    overturned: int
    data: list[CancellationCountAnswer]


@with_config(CLOSED)
class QuestionAnswer(TypedDict):
    """A merchant's question. Without an answer it lapses at ``due_at``."""

    id: str
    object: Literal["question"]
    deposit: str
    kind: QuestionKindAnswer
    status: Literal["open", "answered", "lapsed"]
    text: str
    answer: str | None
    due_at: InstantAnswer
    answered_at: InstantAnswer | None
    created_at: InstantAnswer


@with_config(CLOSED)
class QuestionListAnswer(TypedDict):
    data: list[QuestionAnswer]
    next_cursor: str | None


@with_config(CLOSED)
class ClaimLineAnswer(TypedDict):
    line: int
    quantity: int


@with_config(CLOSED)
class ClaimStepAnswer(TypedDict):
    """One step. ``applied`` is false for an answer that came after silence had decided; ``decision`` says what it was."""

    what: ClaimStepKindAnswer
    at: InstantAnswer
    by: PartyAnswer
    decision: str | None
    amount: MoneyAnswer | None
    statement: str | None
    evidence: list[str]
    applied: bool


@with_config(CLOSED)
class ClaimAnswer(TypedDict):
    """A buyer's dispute or appeal. ``owed`` is computed; silence at ``due_at`` decides, never against the buyer.

    ``contested``: the merchant recorded units of it as shipped. ``refunds`` pay it, ``refund`` is the last of them.
    """

    id: str
    object: Literal["claim"]
    deposit: str
    kind: ClaimKindAnswer
    status: ClaimStatusAnswer
    due_at: InstantAnswer | None
    lines: list[ClaimLineAnswer]
    amount: MoneyAnswer | None
    owed: MoneyAnswer
    offered: MoneyAnswer | None
    paid: MoneyAnswer | None
    contested: bool
    statement: str
    evidence: list[str]
    refund: str | None
    refunds: list[str]
    history: list[ClaimStepAnswer]
    created_at: InstantAnswer
    updated_at: InstantAnswer


@with_config(CLOSED)
class ClaimListAnswer(TypedDict):
    data: list[ClaimAnswer]
    next_cursor: str | None


@with_config(CLOSED)
class PassAnswer(TypedDict):
    """One unit of one of ``skus`` at that merchant, at most at ``price_cap``; ``origin`` is the cancelled deposit."""

    id: str
    object: Literal["priority_pass"]
    merchant: str
    skus: list[str]
    price_cap: MoneyAnswer
    valid_until: InstantAnswer
    status: Literal["granted", "used", "lapsed"]
    origin: str
    reason: str
    used_for: str | None
    created_at: InstantAnswer


@with_config(CLOSED)
class PassListAnswer(TypedDict):
    data: list[PassAnswer]
    next_cursor: str | None


@with_config(CLOSED)
class BulkResultAnswer(TypedDict):
    """What became of one deposit; ``reason`` is the problem type where it was skipped."""

    deposit: str
    outcome: OutcomeAnswer
    reason: str | None


@with_config(CLOSED)
class BulkCountsAnswer(TypedDict):
    total: int
    cancelled: int
    skipped: int
    pending: int


@with_config(CLOSED)
class BulkAnswer(TypedDict):
    """Many deposits cancelled at once. ``approve_until`` is null where one person may do it alone."""

    id: str
    object: Literal["bulk_cancellation"]
    offer: str
    status: Literal["awaiting_approval", "running", "done"]
    reason: str
    evidence: list[str]
    asked_by: str
    approved_by: str | None
    approve_until: InstantAnswer | None
    counts: BulkCountsAnswer
    results: list[BulkResultAnswer]
    created_at: InstantAnswer
    updated_at: InstantAnswer


@with_config(CLOSED)
class HealthAnswer(TypedDict):
    """It answers."""

    status: Literal["ok"]


@with_config(CLOSED)
class FaultAnswer(TypedDict):
    """One field that cannot be accepted: where, as a JSON pointer, and why, in words."""

    pointer: str
    detail: str


class ProblemAnswer(TypedDict):
    """RFC 9457. The facts that matter stand beside these members."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: NotRequired[list[FaultAnswer]]
