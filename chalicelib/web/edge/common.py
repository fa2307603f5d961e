"""Bodies, roles, refusal reasons and headers that routes of several capabilities share."""

from typing import Annotated, Final, Protocol

from pydantic import Field, StringConstraints

from chalicelib.core.common.fields import Frozen, Text
from chalicelib.core.common.refusal import Reason

READERS: Final = {"buyer", "merchant", "platform"}
BACK_OFFICE: Final = {"merchant", "platform"}

READ: Final = (Reason.FORBIDDEN, Reason.NOT_FOUND)
WRITES: Final = (Reason.IDEMPOTENCY_KEY_REUSED, Reason.STALE_VERSION, Reason.BUSY)
FIELD_REASONS: Final = (Reason.INVALID_REQUEST, Reason.CURRENCY_MISMATCH)

LineNumber = Annotated[int, Field(ge=1, le=10)]
Evidence = Annotated[tuple[Text, ...], Field(max_length=20, json_schema_extra={"examples": [["photo:8f14e45f"]]})]
Note = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]  # a person's words, kept encrypted


class EmptyBody(Frozen):
    """No fields."""


class UnitsBody(Frozen):
    """Some units of one line."""

    line: LineNumber
    quantity: Annotated[int, Field(ge=1, le=1_000)]


class Replayable(Protocol):
    """What a flow returns for a request with a key."""

    @property
    def replayed(self) -> bool:
        """Whether the same request was answered before."""


def replay_header(result: Replayable) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if result.replayed else {}
