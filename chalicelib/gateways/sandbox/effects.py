"""Effects that happen later in the sandbox, and the events that tell the service of them."""

import json
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from chalicelib.core.common.instants import MINUTE, format_instant
from chalicelib.gateways.sandbox.books import Row
from chalicelib.gateways.sandbox.faults import Faults
from chalicelib.gateways.sandbox.state import SandboxState

REDELIVERY_MS: Final = MINUTE
MAX_DELIVERIES: Final = 10
DUPLICATES: Final = 3  # deliveries of one event under the fault duplicate_event

# Posts one event, id and body, to the service and gives back the HTTP status.
Deliver = Callable[[str, bytes], int]


class Effects(Struct, frozen=True):
    """A queue of effects, each ``{kind, at, …}``, in the order of their instants."""

    state: SandboxState
    faults: Faults

    def schedule(self, effect: Row) -> None:
        self.state.books.put("effects", f"{effect['at']:015d}#{self.state.next_serial():012d}", effect)

    def announce(self, subject: str, at: int, fault: str | None = None) -> None:
        """Queue the event that a payment or refund changed."""
        kind = "payment.updated" if subject.startswith("pay_") else "refund.updated"
        event = {"kind": "event", "type": kind, "subject": subject, "happened_at": at}
        event |= {"at": at, "tries": 0, "id": f"sev_{self.state.next_serial()}"}
        for _ in range(_deliveries(fault)):
            self.schedule(event)

    def take_due(self) -> Row | None:
        """The first effect whose instant has come, which is removed from the queue, or None."""
        with self.state.lock:
            entry = self.state.books.first("effects")
            if entry is None or entry[1]["at"] > self.state.now():
                return None
            self.state.books.delete("effects", entry[0])
            return entry[1]

    def deliver(self, event: Row, deliver: Deliver) -> None:
        """Post an event, and queue it again when the service did not answer 2xx. Called without the lock."""
        with self.state.lock:
            fault = self.faults.take("webhook")
        if fault == "lost_event":
            return
        status = 0
        for _ in range(_deliveries(fault)):
            status = 500 if fault == "error_500" else deliver(event["id"], _body(event))
        tries = event["tries"] + 1
        if status >= 300 and tries < MAX_DELIVERIES:  # noqa: PLR2004 - not a success
            self.schedule({**event, "at": self.state.now() + REDELIVERY_MS, "tries": tries})


def _deliveries(fault: str | None) -> int:
    return DUPLICATES if fault == "duplicate_event" else 1


def _body(event: Row) -> bytes:
    content = {"type": event["type"], "timestamp": format_instant(event["happened_at"])}
    return json.dumps({**content, "data": {"id": event["subject"]}}).encode()
