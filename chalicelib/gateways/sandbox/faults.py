"""Faults of the provider that tests and developers arm. Each call, event or report line uses up one."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from chalicelib.gateways.sandbox.state import SandboxState

_CALLS: Final = (
    "timeout_before",
    "timeout_after",
    "error_500",
    "declined",
    "pending",
    "succeeds_later",
    "returned_later",
    "duplicate_event",
    "lost_event",
    "wrong_amount",
)
FAULTS: Final[Mapping[str, Sequence[str]]] = {
    "refund": _CALLS,
    "payment": _CALLS,
    "webhook": ("duplicate_event", "lost_event", "error_500"),
    "settlement": ("line_missing", "wrong_amount", "duplicate_line"),
}


class Faults(Struct, frozen=True):
    """Armed faults: one queue for each key of ``FAULTS``."""

    state: SandboxState

    def arm(self, on: str, fault: str, times: int) -> None:
        """Queue a fault."""
        self.state.books.put(f"faults#{on}", f"{self.state.next_serial():012d}", {"fault": fault, "left": times})

    def disarm(self) -> None:
        """Drop all faults."""
        for on in FAULTS:
            for name, _ in self.state.books.rows(f"faults#{on}"):
                self.state.books.delete(f"faults#{on}", name)

    def take(self, on: str) -> str | None:
        """The next fault of a queue, which is used up by this, or None."""
        entry = self.state.books.first(f"faults#{on}")
        if entry is None:
            return None
        name, row = entry
        if row["left"] > 1:
            self.state.books.put(f"faults#{on}", name, {**row, "left": row["left"] - 1})
        else:
            self.state.books.delete(f"faults#{on}", name)
        return str(row["fault"])
