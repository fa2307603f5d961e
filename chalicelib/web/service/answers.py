"""Answers of the service itself."""

from typing import Literal

from pydantic import with_config

# Before Python 3.12 pydantic reads only this one; it comes with pydantic.
from typing_extensions import TypedDict

from chalicelib.web.edge.values import CLOSED


@with_config(CLOSED)
class HealthAnswer(TypedDict):
    """It answers."""

    status: Literal["ok"]
