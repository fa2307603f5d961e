"""What every event of a deposit has."""

from typing import ClassVar

from msgspec import Struct

from chalicelib.core.common.instants import Instant


class DepositEvent(Struct, frozen=True):
    """One fact in a deposit's journal, with its instant. Figures stand in it as they were decided.

    ``TYPE`` is the public name. A field that was added later has a default, so that old journals keep their meaning.
    """

    TYPE: ClassVar[str]
    at: Instant
