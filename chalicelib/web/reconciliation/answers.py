"""The shapes of reconciliation runs and breaks in answers."""

from typing import Annotated, Literal, get_args

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core.reconciliation import lines, run
from chalicelib.web.edge.values import CLOSED, InstantAnswer, MoneyAnswer, one_of

BreakKindAnswer = Annotated[str, one_of(get_args(lines.BreakKind))]
ActionAnswer = Annotated[str, one_of(get_args(run.Action))]


@with_config(CLOSED)
class ProgressAnswer(TypedDict):
    """Lines compared so far, and how much that is of all."""

    ours: int
    provider: int
    percent: int


@with_config(CLOSED)
class CountsAnswer(TypedDict):
    """Verdicts. Young lines of ours that no report shows yet are ``in_transit``: neither matched nor a break.

    ``unreadable`` of the breaks are of deposits that could not be read or judged.
    """

    matched: int
    repaired: int
    in_transit: int
    breaks: int
    unreadable: int


@with_config(CLOSED)
class TotalAnswer(TypedDict):
    """Control totals of one currency in major units: captures and returns less refunds and payouts."""

    currency: str
    ours: str
    provider: str
    difference: str


# ``from`` is no name in Python, so this one is written as a call.
RunAnswer = TypedDict(
    "RunAnswer",
    {
        "id": str,
        "object": Literal["reconciliation_run"],
        "status": Annotated[str, one_of(run.RunStatus)],
        "from": InstantAnswer,
        "to": InstantAnswer,
        "progress": ProgressAnswer,
        "counts": CountsAnswer,
        "totals": list[TotalAnswer],
        "digest": str | None,
        "failure": str | None,
        "report_url": str,
        "created_at": InstantAnswer,
        "updated_at": InstantAnswer,
    },
)


@with_config(CLOSED)
class BreakAnswer(TypedDict):
    """A difference that could not be repaired; null where a side has nothing."""

    id: str
    object: Literal["break"]
    run: str
    kind: BreakKindAnswer
    deposit: str | None
    payment: str | None
    refund: str | None
    provider_ref: str | None
    ours: MoneyAnswer | None
    provider: MoneyAnswer | None
    status: Literal["open", "resolved"]
    action: ActionAnswer | None
    note: str | None
    created_at: InstantAnswer
    resolved_at: InstantAnswer | None
