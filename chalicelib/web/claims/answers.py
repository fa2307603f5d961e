"""The shapes of claims in answers."""

from typing import Annotated, Final, Literal, get_args

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core.deposit import claim
from chalicelib.core.deposit.events.claim import ClaimOpened, ClaimReminded, ClaimStep
from chalicelib.core.policy import claim_rules
from chalicelib.web.edge.values import CLOSED, InstantAnswer, MoneyAnswer, PartyAnswer, one_of

ClaimKindAnswer = Annotated[str, one_of(get_args(claim_rules.ClaimKind))]
STEPS: Final = [kind.TYPE.partition(".")[2] for kind in get_args(ClaimOpened | ClaimStep) if kind is not ClaimReminded]
ClaimStepKindAnswer = Annotated[str, one_of(STEPS)]
ClaimStatusAnswer = Annotated[str, one_of(claim.ClaimStatus)]


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
