"""Trade-ins over HTTP: published fees for everybody, one inspection, and what follows from it."""

from typing import Annotated, Final, Literal

from pydantic import Field

from chalicelib.core.common.fields import Frozen, Text
from chalicelib.core.common.ids import parse_child
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.delivery.trade_in import CancelTradeIn, Inspect
from chalicelib.core.policy import fees
from chalicelib.flows.snapshot import Outcome
from chalicelib.web.deposits.common import state_headers
from chalicelib.web.edge.common import READERS
from chalicelib.web.edge.declare import command, public, resource
from chalicelib.web.edge.query import text
from chalicelib.web.edge.route import Answer, Call, Routes
from chalicelib.web.edge.values import Rows
from chalicelib.web.tradeins import render as trade_ins_render
from chalicelib.web.tradeins.answers import FeeAnswer, ScheduleAnswer, TradeInAnswer

routes = Routes(__name__, "trade-in")
WITH_INSPECTOR: Final = READERS | {"inspector"}


class InspectionBody(Frozen):
    """What the inspector found. A mismatch needs its grounds, and evidence for them."""

    outcome: Literal["matched", "mismatched"]
    grounds: Annotated[tuple[Text, ...], Field(max_length=30)] = ()
    evidence: Annotated[tuple[Text, ...], Field(max_length=20)] = ()


class TradeInCancelBody(Frozen):
    """Whose fault it was that nothing was handed over."""

    by: Literal["seller", "courier"]


@public(
    routes,
    "/v1/trade-in/fees",
    "What the published bands charge for a price",
    FeeAnswer,
    query=(
        text("schedule", "A fee schedule's id.", required=True),
        text("category", "A category of the schedule.", required=True),
        text("price", "The new item's unit price, a whole amount in the schedule's currency.", required=True),
    ),
    reasons=(Reason.INVALID_REQUEST, Reason.FEE_BAND_UNDEFINED),
    example="fee",
)
def fee(call: Call) -> Answer:
    """A price in no band has no fee: nothing is extrapolated."""
    schedule = fees.find_schedules(call.asked.at).get(call.query["schedule"])
    if schedule is None:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/schedule", "unknown_schedule")])
    if not schedule.bands(call.query["category"]):
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/category", "unknown_category")])
    charge = schedule.charge(call.query["category"], _price(call.query["price"], schedule.currency))
    return Answer(trade_ins_render.charge(charge, call.locale))


@public(
    routes,
    "/v1/trade-in/schedules",
    "The fee schedules in force: bands, grounds, who is at fault, what must be proved",
    Rows[ScheduleAnswer],
    example="schedules",
)
def schedules(call: Call) -> Answer:
    published = sorted(fees.find_schedules(call.asked.at).items())
    return Answer({"data": [trade_ins_render.schedule(schedule, call.locale) for _, schedule in published]})


def check_access(call: Call) -> None:
    """Refuse another's trade-in before faults of the body."""
    _find(call)


@resource(
    routes,
    "/v1/trade-ins/{trade_in_id}",
    "Show a trade-in with its inspection and refund",
    TradeInAnswer,
    roles=WITH_INSPECTOR,
    guard=check_access,
    example="awaiting_handover",
)
def show(call: Call) -> Answer:
    return _write_trade_in(_find(call))


@command(
    routes,
    "/v1/trade-ins/{trade_in_id}/inspection",
    "The inspector's word, once; a mismatch ends the deposit, less one published fee",
    TradeInAnswer,
    roles={"inspector"},
    body=InspectionBody,
    guard=check_access,
    reasons=(Reason.INVALID_GROUND, Reason.EVIDENCE_REQUIRED),
    example="mismatched",
)
def inspection(call: Call) -> Answer:
    """`matched` changes nothing else. A buyer who could not be met is a ground like others, where the category has it."""
    body: InspectionBody = call.fields
    command = Inspect(body.outcome, body.grounds, body.evidence)
    return _write_trade_in(call.services.desk.command(_deposit_id(call), command, call.asked))


@command(
    routes,
    "/v1/trade-ins/{trade_in_id}/cancel",
    "Seller or courier let it fail: everything comes back, shipping too",
    TradeInAnswer,
    roles={"merchant"},
    body=TradeInCancelBody,
    guard=check_access,
    example="not_handed_over",
)
def cancel(call: Call) -> Answer:
    body: TradeInCancelBody = call.fields
    return _write_trade_in(call.services.desk.command(_deposit_id(call), CancelTradeIn(body.by), call.asked))


def _find(call: Call) -> Outcome:
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


def _price(text: str, currency: str) -> Money:
    try:
        price = Money.parse(text, currency)
    except ValueError as unreadable:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/price", str(unreadable))]) from None
    if "." in price.amount:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/price", "decimals")])
    return price


def _write_trade_in(outcome: Outcome) -> Answer:
    return Answer(trade_ins_render.trade_in_full(outcome.snapshot.deposit, outcome.locale), 200, state_headers(outcome))
