"""Deadlines and limits of claims. Figures and their source: policies/claims.toml."""

from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from chalicelib import policies
from chalicelib.core.common.fields import Duration, Frozen, lists_to_tuples

Whole = Annotated[int, Field(ge=1)]
ClaimKind = Literal[
    "short_shipment", "merchant_cancellation", "trade_in", "mistaken_lock", "refund_amount", "privacy", "other"
]


class ClaimRules(Frozen):
    """The whole file."""

    version: str
    source: str
    open_for: Duration
    mistaken_lock_for: Duration
    offer_stands: Duration
    most_offers: Whole
    most_claims: Whole
    most_evidence: Whole
    answer_at_least: Duration
    answer_at_most: Duration
    remind_before: tuple[Duration, ...]


@cache
def claim_rules() -> ClaimRules:
    return ClaimRules.model_validate(lists_to_tuples(policies.read("claims.toml")))
