"""The shapes of priority passes in answers."""

from typing import Annotated, Literal

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.core.deposit.priority_pass import PassStatus
from chalicelib.web.edge.values import CLOSED, InstantAnswer, MoneyAnswer, one_of


@with_config(CLOSED)
class PassAnswer(TypedDict):
    """One unit of one of ``skus`` at that merchant, at most at ``price_cap``; ``origin`` is the cancelled deposit."""

    id: str
    object: Literal["priority_pass"]
    merchant: str
    skus: list[str]
    price_cap: MoneyAnswer
    valid_until: InstantAnswer
    status: Annotated[str, one_of(PassStatus)]
    origin: str
    reason: str
    used_for: str | None
    created_at: InstantAnswer
