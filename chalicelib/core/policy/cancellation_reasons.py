"""The published reasons for which a merchant may cancel. Data and sources: policies/reasons/cancellation.toml."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from chalicelib.core.common.fields import Duration, Frozen
from chalicelib.core.policy import dated
from chalicelib.core.policy.dated import Ending, Source, Version

Whole = Annotated[int, Field(ge=0)]
QuestionKind = Literal["address", "contact", "verification"]


class CancellationReason(Ending):
    """One reason. ``evidence`` is the least number of items, ``least_note`` of characters in plain words.

    ``text`` names its texts, for a version that tells another rule under the same code.
    """

    code: str
    text: str | None = None
    evidence: Whole
    appealable: bool
    remedy: Literal["none", "pass", "seller_default", "seller_default_and_pass"]
    buyer_side: bool
    second_approver: bool
    question: QuestionKind | None = None
    unpaid_only: bool = False
    least_note: Whole = 0

    @property
    def texts(self) -> str:
        return self.text or self.code

    @property
    def compensates(self) -> bool:
        return "seller_default" in self.remedy

    @property
    def grants_pass(self) -> bool:
        return "pass" in self.remedy


class QuestionRule(Frozen):
    """How long a buyer has to answer."""

    answer_within: Duration


class BulkRule(Frozen):
    """How many deposits one person may cancel at once without a second one, and how long that one has."""

    most_alone: Whole
    most_alone_percent: Whole
    always_alone: Whole
    approve_within: Duration
    most_deposits: Whole


class Catalogue(Version):
    """One version of policies/reasons."""

    version: str
    source: Source
    not_evidence: tuple[str, ...]
    question: QuestionRule
    bulk: BulkRule
    reason: tuple[CancellationReason, ...]

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(one.code for one in self.reason)


def find_catalogue(at: int) -> Catalogue:
    return dated.find_version("reasons", Catalogue, at)


def find_reasons(at: int) -> Mapping[str, CancellationReason]:
    """Those that can be cited at an instant, by code, in the catalogue's order."""
    return {one.code: one for one in find_catalogue(at).reason if one.is_offered(at)}


def list_all_reasons() -> tuple[CancellationReason, ...]:
    """Every reason that was ever published, as the last version has it: no code is ever left out."""
    return dated.read_series("reasons", Catalogue).latest.reason


def compute_max_bulk_deposits() -> int:
    """The most that one bulk cancellation could ever hold: what the contract says; each is judged by its own instant."""
    return max(one.bulk.most_deposits for one in dated.read_series("reasons", Catalogue).versions)
