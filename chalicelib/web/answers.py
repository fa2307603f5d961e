"""The shapes of answers: what a renderer must produce, and what OpenAPI says of it, from one declaration."""

from typing import Literal, NotRequired, TypedDict

from pydantic import ConfigDict, with_config

CLOSED = ConfigDict(extra="forbid")


@with_config(CLOSED)
class MoneyAnswer(TypedDict):
    amount: str
    currency: str


@with_config(CLOSED)
class RuleAnswer(TypedDict):
    """The rule that decided: which one, in which version, in words."""

    id: str
    version: str
    text: str


@with_config(CLOSED)
class ItemAnswer(TypedDict):
    line: int
    sku: str
    quantity: int
    unit_price: MoneyAnswer
    paid: MoneyAnswer
    shipped: int


@with_config(CLOSED)
class NextActionAnswer(TypedDict):
    type: Literal["redirect"]
    url: str


@with_config(CLOSED)
class PaymentAnswer(TypedDict):
    id: str
    method: str
    status: Literal["requires_action", "pending", "succeeded", "failed", "replaced"]
    amount: MoneyAnswer
    due_at: str
    next_action: NextActionAnswer | None


@with_config(CLOSED)
class WindowAnswer(TypedDict):
    """Half-open; ``ends_at`` null: open until the buyer locks."""

    starts_at: str
    ends_at: str | None
    remaining_seconds: int | None


@with_config(CLOSED)
class LockAnswer(TypedDict):
    by: Literal["buyer", "window_end", "payment"]
    at: str
    undo_until: str | None
    final: bool


@with_config(CLOSED)
class RefundLineAnswer(TypedDict):
    code: str
    amount: MoneyAnswer
    rule: NotRequired[RuleAnswer]
    text: str


@with_config(CLOSED)
class DestinationAnswer(TypedDict):
    kind: Literal["original_method", "bank_account", "payout"]


@with_config(CLOSED)
class AttemptAnswer(TypedDict):
    n: int
    status: str
    provider_ref: str | None
    at: str


@with_config(CLOSED)
class RefundAnswer(TypedDict):
    """Money on its way back. ``lines`` sum to ``amount``."""

    id: str
    object: Literal["refund"]
    deposit: str
    cause: str
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
    promised_by: str
    waiting_on: Literal["provider", "bank", "buyer", "platform", "nobody"]
    destination: DestinationAnswer
    review: str | None
    attempts: list[AttemptAnswer]
    created_at: str
    updated_at: str


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
    balance_due_at: str | None
    terms_hash: str
    payment: PaymentAnswer
    window: WindowAnswer | None
    lock: LockAnswer | None
    trade_in: None
    refund: RefundAnswer | None
    money: MoneyStateAnswer
    actions: list[str]
    created_at: str
    updated_at: str


@with_config(CLOSED)
class DepositListAnswer(TypedDict):
    data: list[DepositAnswer]
    next_cursor: str | None


@with_config(CLOSED)
class RefundListAnswer(TypedDict):
    data: list[RefundAnswer]
    next_cursor: str | None


@with_config(CLOSED)
class PreviewAnswer(TypedDict):
    """What a command would decide at ``at``."""

    at: str
    cause: str
    amount: MoneyAnswer
    lines: list[RefundLineAnswer]
    forfeited: MoneyAnswer
    fees: MoneyAnswer
    compensation: MoneyAnswer
    rule: RuleAnswer


# ``from`` is a Python keyword, hence the other notation.
CurvePointAnswer = TypedDict(
    "CurvePointAnswer",
    {"from": str, "to": str | None, "amount": MoneyAnswer, "lines": list[RefundLineAnswer]},
)


@with_config(CLOSED)
class CurveAnswer(TypedDict):
    """Free until ..., then ...: half-open spans, the last one without an end."""

    points: list[CurvePointAnswer]


@with_config(CLOSED)
class ActorAnswer(TypedDict):
    role: str
    id: str | None


@with_config(CLOSED)
class EventAnswer(TypedDict):
    """One fact of a deposit's history. ``at`` is when it happened, ``received_at`` when we learned of it."""

    id: str
    type: str
    at: str
    received_at: str
    actor: ActorAnswer
    version: int
    data: dict[str, object]


@with_config(CLOSED)
class EventListAnswer(TypedDict):
    data: list[EventAnswer]
    next_cursor: str | None


class OfferAnswer(TypedDict):
    """The whole resolved offer. The members beside these are the terms, as ``POST /v1/offers`` takes them."""

    id: str
    object: Literal["offer"]
    version: int
    status: Literal["scheduled", "open", "closed"]
    merchant: str
    terms_hash: str
    constrained_by: list[dict[str, str]]
    created_at: str
    updated_at: str


@with_config(CLOSED)
class OfferListAnswer(TypedDict):
    data: list[OfferAnswer]
    next_cursor: str | None


@with_config(CLOSED)
class FindingAnswer(TypedDict):
    severity: Literal["error", "warning"]
    pointer: str
    message: str


@with_config(CLOSED)
class CheckAnswer(TypedDict):
    ok: bool
    findings: list[FindingAnswer]


@with_config(CLOSED)
class PresetListAnswer(TypedDict):
    data: list[dict[str, object]]


@with_config(CLOSED)
class MarketListAnswer(TypedDict):
    data: list[dict[str, object]]


@with_config(CLOSED)
class HealthAnswer(TypedDict):
    status: Literal["ok"]


@with_config(CLOSED)
class FaultAnswer(TypedDict):
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
