"""Delivery routes: ready, balance payment, shipments, deliveries, receipt, buyer default."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from chalicelib.core.common.fields import Frozen, InstantField
from chalicelib.core.common.refusal import Reason
from chalicelib.core.delivery.fulfilment import Deliver, PayBalance, Ready, Receive, Ship
from chalicelib.core.deposit.events.goods import Units
from chalicelib.web.deposits.common import run_command, write_deposit
from chalicelib.web.deposits.declare import deposit_command
from chalicelib.web.deposits.routes import PaymentMethodBody
from chalicelib.web.edge.common import Evidence, LineNumber, UnitsBody
from chalicelib.web.edge.route import Answer, Call, Routes

routes = Routes(__name__, "fulfilment")


class ArrivedBody(Frozen):
    """Units of one line; without a quantity all that were shipped of it."""

    line: LineNumber
    quantity: Annotated[int, Field(ge=1, le=1_000)] | None = None


def _whole_line(value: Any) -> Any:
    return {"line": value} if type(value) is int else value


ARRIVED_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": 10, "description": "A line, with all that was shipped of it."},
        {
            "type": "object",
            "properties": {
                "line": {"type": "integer", "minimum": 1, "maximum": 10},
                "quantity": {"type": "integer", "minimum": 1, "maximum": 1_000},
            },
            "required": ["line"],
            "additionalProperties": False,
        },
    ]
}
Arrived = Annotated[ArrivedBody, BeforeValidator(_whole_line), WithJsonSchema(ARRIVED_SCHEMA)]


class ReadyBody(Frozen):
    """Which lines can be inspected, and from when."""

    lines: Annotated[tuple[LineNumber, ...], Field(min_length=1, max_length=10)]
    inspect_at: InstantField
    evidence: Evidence = ()


class ShipmentBody(Frozen):
    """What left."""

    lines: Annotated[tuple[UnitsBody, ...], Field(min_length=1, max_length=10)]


class DeliveryBody(Frozen):
    """What arrived, and when."""

    lines: Annotated[tuple[Arrived, ...], Field(min_length=1, max_length=10)]
    delivered_at: InstantField
    evidence: Evidence = ()


@deposit_command(
    routes,
    "ready",
    "Say that goods can be inspected; with the last line the balance falls due",
    roles={"merchant"},
    body=ReadyBody,
    reasons=(Reason.EVIDENCE_REQUIRED,),
    example="ready",
)
def ready(call: Call) -> Answer:
    body: ReadyBody = call.fields
    return run_command(call, Ready(body.lines, body.inspect_at, body.evidence))


@deposit_command(
    routes,
    "balance-payments",
    "Pay the rest, by the buyer's own choice of method",
    body=PaymentMethodBody,
    reasons=(Reason.PAYMENT_METHOD_NOT_OFFERED,),
    example="balance_opened",
)
def balance_payments(call: Call) -> Answer:
    """Opens a payment of the whole balance: `payment.next_action` says where to go. A former one is replaced."""
    body: PaymentMethodBody = call.fields
    return run_command(call, PayBalance(body.payment_method))


@deposit_command(
    routes,
    "shipments",
    "Record what left; with the last unit the deposit is completed",
    roles={"merchant"},
    body=ShipmentBody,
    example="shipped",
)
def shipments(call: Call) -> Answer:
    """Only when everything is paid and the lock is final."""
    body: ShipmentBody = call.fields
    return run_command(call, Ship(tuple(Units(units.line, units.quantity) for units in body.lines)))


@deposit_command(
    routes,
    "deliveries",
    "The merchant's word on when goods arrived",
    roles={"merchant"},
    body=DeliveryBody,
    reasons=(Reason.EVIDENCE_REQUIRED,),
    example="delivered",
)
def deliveries(call: Call) -> Answer:
    """Statutory periods run from the later of the two words, the merchant's and the buyer's, for the last line."""
    body: DeliveryBody = call.fields
    units = tuple(Units(arrived.line, arrived.quantity or 0) for arrived in body.lines)
    return run_command(call, Deliver(units, body.delivered_at, body.evidence))


@deposit_command(routes, "receipt", "The buyer's word that everything shipped so far has arrived", example="received")
def receipt(call: Call) -> Answer:
    return run_command(call, Receive())


@deposit_command(
    routes,
    "buyer-default",
    "End a deposit whose balance was not paid when it was due, nor in the time to cure that",
    roles={"merchant"},
    example="defaulted",
)
def buyer_default(call: Call) -> Answer:
    """Decided as a buyer's cancel after the lock. The provider is asked first: money on its way is never lost."""
    return write_deposit(call, call.services.defaults.declare(call.params["deposit_id"], call.asked))
