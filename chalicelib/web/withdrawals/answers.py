"""The shape of a withdrawal receipt."""

from typing import Literal

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.web.edge.values import CLOSED, HashAnswer, InstantAnswer


@with_config(CLOSED)
class WithdrawalAnswer(TypedDict):
    """A receipt to keep. ``digest`` is SHA-256 over canonical JSON (RFC 8785) of ``{id, content, at}``."""

    id: str
    object: Literal["withdrawal"]
    deposit: str
    status: Literal["stated", "confirmed"]
    content: str
    at: InstantAnswer
    digest: HashAnswer
