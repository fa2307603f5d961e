"""Bodies, roles and refusal reasons that routes of several capabilities share."""

from typing import Annotated, Final

from pydantic import (
    Field,
    StringConstraints,
)

from chalicelib.core.common.fields import (
    Frozen,
    Text,
)
from chalicelib.core.common.refusal import Reason
from chalicelib.flows.snapshot import Outcome

READERS: Final = {"buyer", "merchant", "platform"}
READ: Final = (Reason.FORBIDDEN, Reason.NOT_FOUND)


def replay_header(outcome: Outcome) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if outcome.replayed else {}


LineNumber = Annotated[int, Field(ge=1, le=10)]
Evidence = Annotated[tuple[Text, ...], Field(max_length=20, json_schema_extra={"examples": [["photo:8f14e45f"]]})]


class UnitsBody(Frozen):
    """Some units of one line."""

    line: LineNumber
    quantity: Annotated[int, Field(ge=1, le=1_000)]


FIELD_REASONS: Final = (Reason.INVALID_REQUEST, Reason.CURRENCY_MISMATCH)
WRITES: Final = (Reason.IDEMPOTENCY_KEY_REUSED, Reason.STALE_VERSION, Reason.BUSY)


class EmptyBody(Frozen):
    """No fields."""


BACK_OFFICE: Final = {"merchant", "platform"}
Note = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
