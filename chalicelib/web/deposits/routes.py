"""Deposit routes: order, list, read, change, cancel, previews, history."""

from typing import Annotated

from pydantic import Field

from chalicelib.core.common.fields import Category, Frozen, Sku, Text
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.status import Status
from chalicelib.core.ending.end import Cancel
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.core.policy import cancellation_reasons
from chalicelib.core.selling.ordering import HandedIn, Order, Ordered
from chalicelib.flows.snapshot import Outcome
from chalicelib.web.deposits import render
from chalicelib.web.deposits.answers import CurveAnswer, DepositAnswer, EventAnswer, NewDepositAnswer, PreviewAnswer
from chalicelib.web.deposits.common import check_deposit_access, run_command, write_deposit
from chalicelib.web.deposits.declare import deposit_command
from chalicelib.web.edge.common import READ
from chalicelib.web.edge.declare import PAGE, creation, listing, resource
from chalicelib.web.edge.query import (
    CURSOR,
    MAX_LIMIT,
    PLACE,
    VERSION,
    choice,
    instant,
    limit,
    page_size,
    position,
    text,
    write_page,
)
from chalicelib.web.edge.route import Answer, Call, Routes

routes = Routes(__name__, "deposits")


class OrderedBody(Frozen):
    """One line of an order."""

    sku: Sku
    quantity: Annotated[int, Field(ge=1, le=1_000)]


class TradeInBody(Frozen):
    """The old device a buyer hands in."""

    category: Category
    model: Sku


class OrderBody(Frozen):
    """An order. ``terms_hash`` is what the buyer was shown; ``payment_method`` is the buyer's own word."""

    offer: Text
    items: Annotated[tuple[OrderedBody, ...], Field(min_length=1, max_length=10)]
    payment_method: Text
    terms_hash: Text
    priority_pass: Text | None = None
    trade_in: TradeInBody | None = None

    def order(self) -> Order:
        return Order(
            offer=self.offer,
            items=tuple(Ordered(item.sku, item.quantity) for item in self.items),
            payment_method=self.payment_method,
            terms_hash=self.terms_hash,
            priority_pass=self.priority_pass,
            trade_in=HandedIn(self.trade_in.category, self.trade_in.model) if self.trade_in is not None else None,
        )


class PaymentMethodBody(Frozen):
    """Another method of those the offer lists."""

    payment_method: Text


class ChangesBody(Frozen):
    """Everything that is wanted from now on, not the difference."""

    items: Annotated[tuple[OrderedBody, ...], Field(min_length=1, max_length=10)]


class CancelBody(Frozen):
    """``note`` must be null: people's free text is kept encrypted or not at all, and its store is not built yet."""

    note: None = None


@creation(
    routes,
    "/v1/deposits",
    "Order under an offer's terms; the unit is reserved, nothing is taken yet",
    NewDepositAnswer,
    roles={"buyer"},
    body=OrderBody,
    reasons=(
        Reason.PAYMENT_METHOD_NOT_OFFERED,
        Reason.OFFER_NOT_OPEN,
        Reason.TERMS_CHANGED,
        Reason.IDENTITY_REQUIRED,
        Reason.NOT_FOUND,
        Reason.PASS_NOT_VALID,
        Reason.LIMIT_REACHED,
        Reason.SOLD_OUT,
    ),
    example="ordered",
)
def create(call: Call) -> Answer:
    ordered: OrderBody = call.fields
    outcome = call.services.orders.create(ordered.order(), call.asked)
    answer = write_deposit(call, outcome)
    body = {**render.deposit(outcome, call.caller), "withdrawal_token": _withdrawal_token(call, outcome)}
    return Answer(body, 201, {**answer.headers, "Location": f"/v1/deposits/{outcome.deposit.id}"})


def _withdrawal_token(call: Call, outcome: Outcome) -> str | None:
    """The token for a withdrawal without a login; None where the market has no withdrawal."""
    if outcome.terms.policy.withdrawal is None:
        return None
    return call.services.vault.token(outcome.deposit.id, outcome.deposit.created.token_key)


@listing(
    routes,
    "/v1/deposits",
    "List deposits, newest first: a buyer's own, or those of an offer",
    DepositAnswer,
    query=(
        *PAGE,
        choice("status", tuple(Status), "Only deposits in this status; a page may then be short."),
        text("offer", "Only deposits of this offer; required for merchant and platform."),
    ),
    example="listed",
)
def list_deposits(call: Call) -> Answer:
    outcomes, after = call.services.desk.list_deposits(
        call.asked,
        offer=call.query.get("offer"),
        status=call.query.get("status"),
        limit=page_size(call),
        position=position(call, _filter, PLACE),
    )
    rows = [render.deposit(outcome, call.caller) for outcome in outcomes]
    return write_page(call, _filter, rows, after)


@resource(
    routes,
    "/v1/deposits/{deposit_id}",
    "Show a deposit as it stands at this instant",
    DepositAnswer,
    guard=check_deposit_access,
    example="shown",
)
def show(call: Call) -> Answer:
    return write_deposit(call, call.services.desk.get(call.params["deposit_id"], call.asked))


@deposit_command(
    routes,
    "cancel",
    "End the deposit; what comes back is decided by the instant of asking",
    body=CancelBody,
    reasons=(Reason.ALREADY_CANCELLED,),
    example="cancelled",
)
def cancel(call: Call) -> Answer:
    return run_command(call, Cancel())


@deposit_command(
    routes,
    "payment-method",
    "Pay another way; the payment opened before is replaced",
    body=PaymentMethodBody,
    reasons=(Reason.PAYMENT_METHOD_NOT_OFFERED,),
    example="method_changed",
)
def payment_method(call: Call) -> Answer:
    body: PaymentMethodBody = call.fields
    return run_command(call, ChangePaymentMethod(body.payment_method))


@deposit_command(
    routes,
    "changes",
    "Change what is ordered while cooling off; prices are the offer's frozen ones, the window goes on",
    body=ChangesBody,
    reasons=(Reason.PASS_NOT_VALID, Reason.LIMIT_REACHED, Reason.SOLD_OUT, Reason.REFUND_IN_PROGRESS),
    example="items_changed",
)
def changes(call: Call) -> Answer:
    """Open lock intents die. What was paid stays; when the new total is less, the rest is refunded."""
    body: ChangesBody = call.fields
    items = [Ordered(item.sku, item.quantity) for item in body.items]
    return write_deposit(call, call.services.changes.change(call.params["deposit_id"], items, call.asked))


@resource(
    routes,
    "/v1/deposits/{deposit_id}/refund-preview",
    "Exactly what a command would decide at an instant",
    PreviewAnswer,
    query=(
        choice(
            "cause",
            (Cause.BUYER_CANCEL, Cause.WITHDRAWAL, Cause.MERCHANT_CANCEL),
            "Why the deposit would end.",
            required=True,
        ),
        instant("at", "From now to two years ahead; now when left out."),
        choice(
            "reason",
            tuple(reason.code for reason in cancellation_reasons.list_all_reasons()),
            "Of a merchant's cancellation; without it as for a default of the seller.",
        ),
    ),
    guard=check_deposit_access,
    reasons=(Reason.ALREADY_CANCELLED, Reason.WRONG_STATE, Reason.WITHDRAWAL_NOT_AVAILABLE),
    example="previewed",
)
def refund_preview(call: Call) -> Answer:
    cause, at = Cause(call.query["cause"]), call.query.get("at")
    reason = call.query.get("reason")
    if reason is not None and cause != Cause.MERCHANT_CANCEL:
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/reason", "only_with_merchant_cancel")])
    entitlement = call.services.desk.preview(call.params["deposit_id"], cause, at, call.asked, reason)
    return Answer(render.preview(entitlement, cause, call.asked.at if at is None else at, call.locale))


@resource(
    routes,
    "/v1/deposits/{deposit_id}/refund-curve",
    "What a buyer's cancel gives back from now on: free until, then",
    CurveAnswer,
    guard=check_deposit_access,
    reasons=(Reason.ALREADY_CANCELLED, Reason.WRONG_STATE),
    example="curve",
)
def refund_curve(call: Call) -> Answer:
    steps = call.services.desk.curve(call.params["deposit_id"], call.asked)
    return Answer({"points": [render.curve_point(step, call.locale) for step in steps]})


@listing(
    routes,
    "/v1/deposits/{deposit_id}/events",
    "The append-only history, oldest first",
    EventAnswer,
    query=(limit(MAX_LIMIT), CURSOR),
    guard=check_deposit_access,
    reasons=READ,
    example="history",
)
def events(call: Call) -> Answer:
    deposit_id = call.params["deposit_id"]
    begin = position(call, _one_deposit, VERSION)
    after = int(str(begin["v"])) if begin is not None else 0
    size = call.query.get("limit", MAX_LIMIT)
    journal = call.services.desk.get(deposit_id, call.asked).journal
    page = journal[after : after + size]
    rows = [render.event(deposit_id, after + n, entry) for n, entry in enumerate(page, start=1)]
    return write_page(call, _one_deposit, rows, {"v": after + size} if after + size < len(journal) else None)


def _one_deposit(call: Call) -> str:
    return call.params["deposit_id"]


def _filter(call: Call) -> str:
    return f"{call.query.get('offer')}|{call.query.get('status')}"
