"""Trade-ins over HTTP: published fees for everybody, one inspection, and what follows from it."""

from typing import Annotated, Final, Literal

from chalice.app import Blueprint
from pydantic import Field

from chalicelib.core.common.fields import Frozen, Text
from chalicelib.core.common.ids import parse_child
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.delivery.trade_in import CancelTradeIn, Inspect
from chalicelib.core.policy import fees
from chalicelib.flows.snapshot import Outcome
from chalicelib.web.deposits.common import state_headers
from chalicelib.web.edge import values
from chalicelib.web.edge.common import READ, WRITES
from chalicelib.web.edge.query import text
from chalicelib.web.edge.route import Answer, Call, endpoint
from chalicelib.web.refunds import render as refunds_render
from chalicelib.web.tradeins import render as trade_ins_render
from chalicelib.web.tradeins.answers import FeeAnswer, ScheduleListAnswer, TradeInAnswer

routes = Blueprint(__name__)
READERS: Final = {"buyer", "merchant", "inspector", "platform"}


class InspectionBody(Frozen):
    """What the inspector found. A mismatch needs its grounds, and evidence for them."""

    outcome: Literal["matched", "mismatched"]
    grounds: Annotated[tuple[Text, ...], Field(max_length=30)] = ()
    evidence: Annotated[tuple[Text, ...], Field(max_length=20)] = ()


class TradeInCancelBody(Frozen):
    """Whose fault it was that nothing was handed over."""

    by: Literal["seller", "courier"]


@endpoint(
    routes,
    "GET",
    "/v1/trade-in/fees",
    summary="What the published bands charge for a price",
    answers={200: FeeAnswer},
    query=(
        text("schedule", "A fee schedule's id.", required=True),
        text("category", "A category of the schedule.", required=True),
        text("price", "The new item's unit price, a whole amount in the schedule's currency.", required=True),
    ),
    reasons=(Reason.INVALID_REQUEST, Reason.FEE_BAND_UNDEFINED),
    tag="trade-in",
)
def fee(call: Call) -> Answer:
    """A price in no band has no fee: nothing is extrapolated."""
    found = fees.in_force(call.asked.at).get(call.query["schedule"])
    if found is None:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/schedule", "unknown_schedule")])
    if not found.bands(call.query["category"]):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/category", "unknown_category")])
    charge = found.charge(call.query["category"], _price(call.query["price"], found.currency))
    return Answer(
        {
            "fee": values.money(charge.fee),
            "band": {"from": values.money(charge.band.lowest), "to": values.money(charge.band.highest)},
            "rule": refunds_render.rule(charge.rule, call.locale),
        }
    )


@endpoint(
    routes,
    "GET",
    "/v1/trade-in/schedules",
    summary="The fee schedules in force: bands, grounds, who is at fault, what must be proved",
    answers={200: ScheduleListAnswer},
    tag="trade-in",
)
def schedules(call: Call) -> Answer:
    found = sorted(fees.in_force(call.asked.at).items())
    return Answer({"data": [trade_ins_render.schedule(one, call.locale) for _, one in found]})


def visible(call: Call) -> None:
    """Ownership is told before faults of the body."""
    _outcome(call)


@endpoint(
    routes,
    "GET",
    "/v1/trade-ins/{trade_in_id}",
    summary="Show a trade-in with its inspection and refund",
    roles=READERS,
    answers={200: TradeInAnswer},
    reasons=READ,
    tag="trade-in",
    guard=visible,
)
def show(call: Call) -> Answer:
    return _whole(_outcome(call))


@endpoint(
    routes,
    "POST",
    "/v1/trade-ins/{trade_in_id}/inspection",
    summary="The inspector's word, once; a mismatch ends the deposit, less one published fee",
    roles={"inspector"},
    body=InspectionBody,
    answers={200: TradeInAnswer},
    reasons=(*READ, Reason.INVALID_GROUND, Reason.EVIDENCE_REQUIRED, Reason.WRONG_STATE, *WRITES),
    tag="trade-in",
    guard=visible,
)
def inspection(call: Call) -> Answer:
    """`matched` changes nothing else. A buyer who could not be met is a ground like others, where the category has it."""
    body: InspectionBody = call.fields
    command = Inspect(body.outcome, body.grounds, body.evidence)
    return _whole(call.services.desk.command(_deposit_id(call), command, call.asked))


@endpoint(
    routes,
    "POST",
    "/v1/trade-ins/{trade_in_id}/cancel",
    summary="Seller or courier let it fail: everything comes back, shipping too",
    roles={"merchant"},
    body=TradeInCancelBody,
    answers={200: TradeInAnswer},
    reasons=(*READ, Reason.WRONG_STATE, *WRITES),
    tag="trade-in",
    guard=visible,
)
def cancel(call: Call) -> Answer:
    body: TradeInCancelBody = call.fields
    return _whole(call.services.desk.command(_deposit_id(call), CancelTradeIn(body.by), call.asked))


def _outcome(call: Call) -> Outcome:
    outcome = call.services.desk.get(_deposit_id(call), call.asked)
    if outcome.deposit.trade_in is None:
        raise Refused(Reason.NOT_FOUND)
    return outcome


def _deposit_id(call: Call) -> str:
    """A deposit has one trade-in, the first."""
    parsed = parse_child("trd", call.params["trade_in_id"])
    if parsed is None or parsed[1] != 1:
        raise Refused(Reason.NOT_FOUND)
    return f"dep_{parsed[0]}"


def _price(given: str, currency: str) -> Money:
    try:
        price = Money.parse(given, currency)
    except ValueError as unreadable:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/price", str(unreadable))]) from None
    if "." in price.amount:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/price", "decimals")])
    return price


def _whole(outcome: Outcome) -> Answer:
    shown = trade_ins_render.trade_in_full(outcome.snapshot.deposit, outcome.locale)
    return Answer(shown, 200, state_headers(outcome))
