"""The shapes of refunds and proofs in answers."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core.deposit.causes import Cause, LineCode
from chalicelib.core.deposit.refund import RefundStatus, WaitingOn
from chalicelib.web.edge.values import (
    CLOSED,
    HashAnswer,
    InstantAnswer,
    MoneyAnswer,
    RuleAnswer,
    SignedMoneyAnswer,
    one_of,
)

CauseAnswer = Annotated[str, one_of(tuple(cause.value for cause in Cause))]
CodeAnswer = Annotated[str, one_of(tuple(code.value for code in LineCode))]


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
    status: Annotated[str, one_of(RefundStatus)]
    amount: MoneyAnswer
    lines: list[RefundLineAnswer]
    promised_by: InstantAnswer
    waiting_on: WaitingOn
    destination: DestinationAnswer
    review: str | None
    declined: str | None
    attempts: list[AttemptAnswer]
    created_at: InstantAnswer
    updated_at: InstantAnswer


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
