"""How the creation of an order and changes of its items build the deposit."""

from typing import Final

from msgspec.structs import replace

from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.event_row import EventRow, Rows, stays, unchanged
from chalicelib.core.deposit.events.order import Created, ItemsChanged
from chalicelib.core.deposit.goods import Progress
from chalicelib.core.deposit.ledger import Balances, no_postings
from chalicelib.core.deposit.lock import close_intents
from chalicelib.core.deposit.payment import Payment
from chalicelib.core.deposit.status import Status
from chalicelib.core.deposit.trade_in import TradeIn


def begin_deposit(deposit_id: str, event: Created) -> Deposit:
    """The deposit of a journal that holds only its creation."""
    first = Payment(n=1, method=event.method, amount=event.due_now, due_at=event.due_at, opened_at=event.at)
    return Deposit(
        id=deposit_id,
        created=event,
        status=Status.AWAITING_PAYMENT,
        version=1,
        created_at=event.at,
        updated_at=event.at,
        lines=event.lines,
        shipping=event.shipping,
        progress=(Progress(),) * len(event.lines),
        payments=(first,),
        money=Balances.none(event.due_now.currency),
        stock=event.stock,
        limit_units=event.limit_units,
        trade_in=TradeIn() if event.trade_in is not None else None,
    )


def change_items(deposit: Deposit, event: ItemsChanged) -> Deposit:
    return replace(
        deposit,
        lines=event.lines,
        shipping=event.shipping,
        progress=(Progress(),) * len(event.lines),
        stock=event.stock,
        limit_units=event.limit_units,
        intents=close_intents(deposit.intents, "changed"),
        changes=deposit.changes + 1,
    )


EVENTS: Final[Rows] = (
    EventRow(Created, {}, unchanged, no_postings),  # the first event of a journal: possible in no status
    EventRow(ItemsChanged, stays(Status.COOLING_OFF), change_items, no_postings),
)
