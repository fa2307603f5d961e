"""The shapes of cancellation reasons, counts and bulk cancellations in answers."""

from typing import Annotated, Literal

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core.merchant import bulk
from chalicelib.web.edge.values import CLOSED, InstantAnswer, one_of
from chalicelib.web.questions.answers import QuestionKindAnswer

OutcomeAnswer = Annotated[str, one_of([bulk.CANCELLED, bulk.SKIPPED])]


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
    status: Annotated[str, one_of(bulk.BulkStatus)]
    reason: str
    evidence: list[str]
    asked_by: str
    approved_by: str | None
    approve_until: InstantAnswer | None
    counts: BulkCountsAnswer
    results: list[BulkResultAnswer]
    created_at: InstantAnswer
    updated_at: InstantAnswer
