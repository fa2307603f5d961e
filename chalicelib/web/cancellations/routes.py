"""Cancellations by merchants over HTTP: published reasons, one deposit or many, and counts that everybody can see."""

from typing import Annotated, Final

from chalice.app import Blueprint
from pydantic import Field, StringConstraints

from chalicelib.core.common.fields import Frozen
from chalicelib.core.common.ids import well_formed
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.policy import cancellation_reasons
from chalicelib.flows.cancellations import BulkView, etag
from chalicelib.web.cancellations import render
from chalicelib.web.cancellations.answers import BulkAnswer, CancellationCountsAnswer, CancellationReasonListAnswer
from chalicelib.web.deposits.answers import DepositAnswer
from chalicelib.web.deposits.common import visible, whole
from chalicelib.web.edge.common import READ, WRITES, EmptyBody, Evidence
from chalicelib.web.edge.route import Answer, Call, endpoint

routes = Blueprint(__name__)
PATH: Final = "/v1/offers/{offer_id}/merchant-cancellations"
Code = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z_]{0,39}$")]
Note = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
MAX_DEPOSITS: Final = cancellation_reasons.max_bulk_deposits()
CANNOT: Final = (
    Reason.EVIDENCE_REQUIRED,
    Reason.REASON_NOT_PUBLISHED,
    Reason.APPROVAL_REQUIRED,
)


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


@endpoint(
    routes,
    "GET",
    "/v1/cancellation-reasons",
    summary="The reasons for which a merchant may cancel, what shows them, and what follows",
    answers={200: CancellationReasonListAnswer},
    tag="cancellations",
)
def list_reasons(call: Call) -> Answer:
    """An offer publishes the codes it may use before it opens; no other can be cited."""
    found = cancellation_reasons.reasons(call.asked.at).values()
    return Answer({"data": [render.reason(one, call.locale) for one in found]})


@endpoint(
    routes,
    "POST",
    "/v1/deposits/{deposit_id}/merchant-cancel",
    summary="Cancel as the merchant, for a published reason and with its evidence; everything not shipped comes back",
    roles={"merchant"},
    body=MerchantCancelBody,
    answers={200: DepositAnswer},
    reasons=(*READ, Reason.ALREADY_CANCELLED, Reason.WRONG_STATE, *CANNOT, *WRITES),
    tag="cancellations",
    guard=visible,
)
def merchant_cancel(call: Call) -> Answer:
    """Shipping comes back, nothing is ever forfeited. A seller's default pays compensation where the market doubles;
    a reason at the merchant's fault grants the buyer a priority pass."""
    body: MerchantCancelBody = call.fields
    outcome = call.services.cancellations.cancel(
        call.params["deposit_id"], body.reason, body.evidence, body.note, call.asked
    )
    return whole(call, outcome)


@endpoint(
    routes,
    "GET",
    "/v1/offers/{offer_id}/cancellations",
    summary="How many orders the merchant cancelled, by reason; how many were appealed and overturned",
    answers={200: CancellationCountsAnswer},
    reasons=(Reason.NOT_FOUND,),
    tag="cancellations",
)
def count(call: Call) -> Answer:
    offer_id = call.params["offer_id"]
    return Answer(render.counts(offer_id, call.services.cancellations.count_cancellations(offer_id), call.locale))


def own_offer(call: Call) -> None:
    """Ownership is told before faults of the body."""
    call.services.cancellations.own(call.params["offer_id"], call.asked)


@endpoint(
    routes,
    "POST",
    PATH,
    summary="Cancel many deposits of an offer; where they are many, a second person must agree first",
    roles={"merchant"},
    body=BulkBody,
    answers={202: BulkAnswer},
    reasons=(
        *READ,
        Reason.INVALID_REQUEST,
        Reason.EVIDENCE_REQUIRED,
        Reason.REASON_NOT_PUBLISHED,
        Reason.IDEMPOTENCY_KEY_REUSED,
        Reason.BUSY,
    ),
    tag="cancellations",
    guard=own_offer,
)
def start(call: Call) -> Answer:
    """Each deposit is judged by itself: one that has ended, or whose evidence is not enough, is skipped and named."""
    body: BulkBody = call.fields
    own_offer(call)
    strange = [FieldError(f"/deposits/{n}", "not_well_formed") for n, one in enumerate(body.deposits) if _no_id(one)]
    if strange:
        raise Refused(Reason.INVALID_REQUEST, strange)
    shown = call.services.cancellations.start(
        call.params["offer_id"], body.deposits, body.reason, body.evidence, body.note, call.asked
    )
    return _bulk(shown, 202, {"Location": f"{PATH.format(offer_id=shown.bulk.asked.offer)}/{shown.bulk.id}"})


def found(call: Call) -> None:
    """Ownership is told before faults of the request."""
    _found(call)


@endpoint(
    routes,
    "GET",
    f"{PATH}/{{bulk_id}}",
    summary="Show a bulk cancellation: how far it is, and what became of each deposit",
    roles={"merchant", "platform"},
    answers={200: BulkAnswer},
    reasons=READ,
    tag="cancellations",
    guard=found,
)
def show(call: Call) -> Answer:
    return _bulk(_found(call), 200, {})


@endpoint(
    routes,
    "POST",
    f"{PATH}/{{bulk_id}}/approve",
    summary="Agree as a second person of the merchant",
    roles={"merchant"},
    body=EmptyBody,
    answers={200: BulkAnswer},
    reasons=(*READ, Reason.APPROVAL_REQUIRED, Reason.WRONG_STATE, *WRITES),
    tag="cancellations",
    guard=found,
)
def approve(call: Call) -> Answer:
    shown = call.services.cancellations.approve(call.params["offer_id"], call.params["bulk_id"], call.asked)
    return _bulk(shown, 200, {})


def _found(call: Call) -> BulkView:
    return call.services.cancellations.find(call.params["offer_id"], call.params["bulk_id"], call.asked)


def _bulk(shown: BulkView, status: int, headers: dict[str, str]) -> Answer:
    replayed = {"Idempotent-Replayed": "true"} if shown.replayed else {}
    return Answer(render.bulk(shown), status, {**headers, "ETag": etag(shown.bulk), **replayed})


def _no_id(text: str) -> bool:
    return not well_formed("dep", text)
