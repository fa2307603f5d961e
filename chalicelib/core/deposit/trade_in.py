"""The old device that pays a part of a deposit, and how events change it."""

from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.deposit.events.goods import TradeInCancelled, TradeInInspected

if TYPE_CHECKING:
    from chalicelib.core.deposit.deposit import Deposit


TradeInStatus = Literal["awaiting_handover", "matched", "mismatched", "cancelled"]


class TradeIn(Struct, frozen=True):
    """What became of the old device."""

    status: TradeInStatus = "awaiting_handover"
    inspection: TradeInInspected | None = None


def evolve_trade_in(deposit: "Deposit", event: TradeInInspected | TradeInCancelled) -> "Deposit":
    if isinstance(event, TradeInCancelled):
        inspection = deposit.trade_in.inspection if deposit.trade_in is not None else None
        return replace(deposit, trade_in=TradeIn("cancelled", inspection))
    status: Literal["matched", "mismatched"] = "matched" if event.outcome == "matched" else "mismatched"
    return replace(deposit, trade_in=TradeIn(status, event))
