"""The published reasons for which a merchant may cancel. Data and sources: policies/reasons, by date."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from chalicelib.core.common.fields import Duration, Frozen
from chalicelib.core.policy import dated
from chalicelib.core.policy.dated import Ending, Source, Version

Whole = Annotated[int, Field(ge=0)]
QuestionKind = Literal["address", "contact", "verification"]


class CancellationReason(Ending):
    """One reason. ``evidence``: minimum number of evidence items. ``least_note``: minimum length of the note in characters.

    ``text``: key of its texts, for a version with another rule under the same code; None: the code. ``unpaid_only``: only
    for unpaid deposits. ``buyer_side``: the reason lies with the buyer. ``question``: the question to ask first, if any.
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
    """The time that a buyer has to answer."""

    answer_within: Duration


class BulkRule(Frozen):
    """How many deposits one person may cancel at once without a second approver, and the time to approve.

    ``most_alone`` and ``most_alone_percent`` limit what one person may cancel; up to ``always_alone`` is always allowed.
    """

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
        return frozenset(reason.code for reason in self.reason)


def find_catalogue(at: int) -> Catalogue:
    return dated.find_version("reasons", Catalogue, at)


def find_reasons(at: int) -> Mapping[str, CancellationReason]:
    """The reasons that can be cited at an instant, by code, in the catalogue's order."""
    return {reason.code: reason for reason in find_catalogue(at).reason if reason.is_offered(at)}


def list_all_reasons() -> tuple[CancellationReason, ...]:
    """Every reason ever published, from the last version, which must hold all codes."""
    return dated.read_series("reasons", Catalogue).latest.reason


def compute_max_bulk_deposits() -> int:
    """The highest limit of a bulk cancellation in any version, for the API contract. Requests use the limit in force."""
    return max(catalogue.bulk.most_deposits for catalogue in dated.read_series("reasons", Catalogue).versions)
