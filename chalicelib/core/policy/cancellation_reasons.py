"""The published reasons for which a merchant may cancel. Data and sources: policies/reasons/cancellation.toml."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Literal

from pydantic import Field

from chalicelib import policies
from chalicelib.core.common.fields import Duration, Frozen, lists_to_tuples

Whole = Annotated[int, Field(ge=0)]
Texts = dict[str, str]
QuestionKind = Literal["address", "contact", "verification"]


class CancellationReason(Frozen):
    """One reason. ``evidence`` is the least number of items, ``least_note`` of characters in plain words."""

    code: str
    label: Texts
    evidence: Whole
    evidence_required: Texts
    appealable: bool
    remedy: Literal["none", "pass", "seller_default", "seller_default_and_pass"]
    buyer_side: bool
    second_approver: bool
    question: QuestionKind | None = None
    unpaid_only: bool = False
    least_note: Whole = 0

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


class Catalogue(Frozen):
    """The whole file."""

    version: str
    source: str
    not_evidence: tuple[str, ...]
    question: QuestionRule
    bulk: BulkRule
    reason: tuple[CancellationReason, ...]


@cache
def catalogue() -> Catalogue:
    return Catalogue.model_validate(lists_to_tuples(policies.read("reasons/cancellation.toml")))


@cache
def reasons() -> Mapping[str, CancellationReason]:
    return {one.code: one for one in catalogue().reason}
