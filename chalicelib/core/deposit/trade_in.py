"""Trade-ins: an old device that pays a part of the order, and how events change it."""

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.deposit.event_row import EventRow, Rows, stays
from chalicelib.core.deposit.events.goods import TradeInCancelled, TradeInInspected
from chalicelib.core.deposit.ledger import no_postings
from chalicelib.core.deposit.status import Status

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


TradeInStatus = Literal["awaiting_handover", "matched", "mismatched", "cancelled"]


class TradeIn(Struct, frozen=True):
    """The status of a trade-in. ``inspection`` is None until the device was inspected."""

    status: TradeInStatus = "awaiting_handover"
    inspection: TradeInInspected | None = None


def inspect_trade_in(deposit: "Deposit", event: TradeInInspected) -> "Deposit":
    status: Literal["matched", "mismatched"] = "matched" if event.outcome == "matched" else "mismatched"
    return replace(deposit, trade_in=TradeIn(status, event))


def cancel_trade_in(deposit: "Deposit", _event: TradeInCancelled) -> "Deposit":
    inspection = deposit.trade_in.inspection if deposit.trade_in is not None else None
    return replace(deposit, trade_in=TradeIn("cancelled", inspection))


_LIVE = stays(Status.COOLING_OFF, Status.LOCKED)
EVENTS: Final[Rows] = (
    EventRow(TradeInInspected, _LIVE, inspect_trade_in, no_postings),
    EventRow(TradeInCancelled, _LIVE, cancel_trade_in, no_postings),
)
