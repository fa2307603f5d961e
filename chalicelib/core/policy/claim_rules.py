"""Deadlines and limits of claims. Figures and their source: policies/claims, by date."""

from typing import Annotated, Literal

from pydantic import Field

from chalicelib.core.common.fields import Duration
from chalicelib.core.policy import dated
from chalicelib.core.policy.dated import Date, Source, Version

Whole = Annotated[int, Field(ge=1)]
ClaimKind = Literal[
    "short_shipment", "merchant_cancellation", "trade_in", "mistaken_lock", "refund_amount", "privacy", "other"
]


class ClaimRules(Version):
    """One version of policies/claims.

    ``open_for``: how long after its end a deposit takes claims. ``answer_at_least`` and ``answer_at_most`` bound the
    deadlines in terms. ``kinds_end``: kinds that can no longer be opened, with the instant from which on.
    """

    version: str
    source: Source
    open_for: Duration
    mistaken_lock_for: Duration
    offer_stands: Duration
    most_offers: Whole
    most_claims: Whole
    most_evidence: Whole
    answer_at_least: Duration
    answer_at_most: Duration
    remind_before: tuple[Duration, ...]
    kinds_end: dict[ClaimKind, Date] = Field(default_factory=dict)

    def accepts_kind(self, kind: ClaimKind, at: int) -> bool:
        """Whether claims of a kind can be opened at an instant."""
        return kind not in self.kinds_end or at < self.kinds_end[kind]


def find_claim_rules(at: int) -> ClaimRules:
    return dated.find_version("claims", ClaimRules, at)
