"""The shapes of refunds and proofs in answers."""

from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import Field, with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.web.edge.values import CLOSED, HashAnswer, InstantAnswer, MoneyAnswer, RuleAnswer, SignedMoneyAnswer

CAUSES: Final = tuple(cause.value for cause in Cause)
CODES: Final = tuple(code.value for code in LineCode)
CauseAnswer = Annotated[str, Field(json_schema_extra={"enum": list(CAUSES)})]
CodeAnswer = Annotated[str, Field(json_schema_extra={"enum": list(CODES)})]


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
