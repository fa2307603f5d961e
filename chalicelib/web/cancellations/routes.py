"""Cancellations by merchants over HTTP: published reasons, one deposit or many, and counts that everybody can see."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from chalicelib.core.common.fields import Frozen
from chalicelib.core.common.ids import is_well_formed
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.policy import cancellation_reasons
from chalicelib.flows.cancellations import BulkView, etag
from chalicelib.web.cancellations import render
from chalicelib.web.cancellations.answers import BulkAnswer, CancellationCountsAnswer, CancellationReasonAnswer
from chalicelib.web.deposits.common import write_deposit
from chalicelib.web.deposits.declare import deposit_command
from chalicelib.web.edge.common import READ, Evidence, Note, replay_header
from chalicelib.web.edge.declare import command, creation, public, resource
from chalicelib.web.edge.route import Answer, Call, Routes
from chalicelib.web.edge.values import Rows

routes = Routes(__name__, "cancellations")
PATH: Final = "/v1/offers/{offer_id}/merchant-cancellations"
Code = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z_]{0,39}$")]
MAX_DEPOSITS: Final = cancellation_reasons.compute_max_bulk_deposits()
NOT_JUSTIFIED: Final = (Reason.EVIDENCE_REQUIRED, Reason.REASON_NOT_PUBLISHED, Reason.APPROVAL_REQUIRED)


class MerchantCancelBody(Frozen):
    """Why, and what shows it. ``note`` is kept sealed; some reasons need one."""

    reason: Code
    evidence: Evidence = ()
    note: Note | None = None


class BulkBody(Frozen):
    """The same for many deposits of one offer."""

    deposits: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_DEPOSITS)]
    reason: Code
    evidence: Evidence = ()
    note: Note | None = None


@public(
    routes,
    "/v1/cancellation-reasons",
    "The reasons for which a merchant may cancel, what shows them, and what follows",
    Rows[CancellationReasonAnswer],
    example="catalogue",
)
def list_reasons(call: Call) -> Answer:
    """An offer publishes the codes it may use before it opens; no other can be cited."""
    published = cancellation_reasons.find_reasons(call.asked.at).values()
    return Answer({"data": [render.reason(reason, call.locale) for reason in published]})


@deposit_command(
    routes,
    "merchant-cancel",
    "Cancel as the merchant, for a published reason and with its evidence; everything not shipped comes back",
    roles={"merchant"},
    body=MerchantCancelBody,
    reasons=(Reason.ALREADY_CANCELLED, *NOT_JUSTIFIED),
    example="called_off",
)
def merchant_cancel(call: Call) -> Answer:
    """Shipping comes back, nothing is ever forfeited. A seller's default pays compensation where the market doubles;
    a reason at the merchant's fault grants the buyer a priority pass."""
    body: MerchantCancelBody = call.fields
    outcome = call.services.cancellations.cancel(
        call.params["deposit_id"], body.reason, body.evidence, body.note, call.asked
    )
    return write_deposit(call, outcome)


@public(
    routes,
    "/v1/offers/{offer_id}/cancellations",
    "How many orders the merchant cancelled, by reason; how many were appealed and overturned",
    CancellationCountsAnswer,
    reasons=(Reason.NOT_FOUND,),
    example="counted",
)
def count(call: Call) -> Answer:
    offer_id = call.params["offer_id"]
    return Answer(render.counts(offer_id, call.services.cancellations.count_cancellations(offer_id), call.locale))


def check_offer_access(call: Call) -> None:
    """Refuse another merchant's offer before faults of the body."""
    call.services.cancellations.own(call.params["offer_id"], call.asked)


@creation(
    routes,
    PATH,
    "Cancel many deposits of an offer; where they are many, a second person must agree first",
    BulkAnswer,
    status=202,
    roles={"merchant"},
    body=BulkBody,
    guard=check_offer_access,
    reasons=(*READ, Reason.EVIDENCE_REQUIRED, Reason.REASON_NOT_PUBLISHED),
    example="bulk_asked",
)
def start(call: Call) -> Answer:
    """Each deposit is judged by itself: one that has ended, or whose evidence is not enough, is skipped and named."""
    body: BulkBody = call.fields
    check_offer_access(call)
    faults = [
        FieldError(f"/deposits/{n}", "not_well_formed")
        for n, deposit_id in enumerate(body.deposits)
        if not is_well_formed("dep", deposit_id)
    ]
    if faults:
        raise Refused(Reason.INVALID_REQUEST, faults)
    view = call.services.cancellations.start(
        call.params["offer_id"], body.deposits, body.reason, body.evidence, body.note, call.asked
    )
    return _write_bulk(view, 202, {"Location": f"{PATH.format(offer_id=view.bulk.asked.offer)}/{view.bulk.id}"})


def check_bulk_access(call: Call) -> None:
    """Refuse another merchant's bulk cancellation before faults of the request."""
    _find_bulk(call)


@resource(
    routes,
    f"{PATH}/{{bulk_id}}",
    "Show a bulk cancellation: how far it is, and what became of each deposit",
    BulkAnswer,
    roles={"merchant", "platform"},
    guard=check_bulk_access,
    example="bulk_done",
)
def show(call: Call) -> Answer:
    return _write_bulk(_find_bulk(call), 200, {})


@command(
    routes,
    f"{PATH}/{{bulk_id}}/approve",
    "Agree as a second person of the merchant",
    BulkAnswer,
    roles={"merchant"},
    guard=check_bulk_access,
    reasons=(Reason.APPROVAL_REQUIRED,),
    example="bulk_approved",
)
def approve(call: Call) -> Answer:
    view = call.services.cancellations.approve(call.params["offer_id"], call.params["bulk_id"], call.asked)
    return _write_bulk(view, 200, {})


def _find_bulk(call: Call) -> BulkView:
    return call.services.cancellations.find(call.params["offer_id"], call.params["bulk_id"], call.asked)


def _write_bulk(view: BulkView, status: int, headers: dict[str, str]) -> Answer:
    return Answer(render.bulk(view), status, {**headers, "ETag": etag(view.bulk), **replay_header(view)})
