"""Statutory withdrawal over HTTP, without a login wall: state it, confirm it, keep the receipt."""

from typing import Final

from chalice.app import Blueprint

from chalicelib.core.common.fields import Frozen, Text
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deposit.withdrawal import Withdrawal
from chalicelib.core.ending.withdrawal import Receipt, Sender
from chalicelib.flows.snapshot import Outcome
from chalicelib.web.deposits.common import visible
from chalicelib.web.edge.common import READ, WRITES, EmptyBody, replay_header
from chalicelib.web.edge.route import HOLDER, Answer, Call, endpoint
from chalicelib.web.withdrawals import render
from chalicelib.web.withdrawals.answers import WithdrawalAnswer

routes = Blueprint(__name__)
PATH: Final = "/v1/deposits/{deposit_id}/withdrawals"
SENDERS: Final = {"buyer", HOLDER}
ENDED: Final = (Reason.ALREADY_CANCELLED, Reason.WRONG_STATE, Reason.WITHDRAWAL_NOT_AVAILABLE)


class WithdrawalBody(Frozen):
    """Who withdraws, and where the confirmation can reach them."""

    name: Text
    reach: Text


@endpoint(
    routes,
    "POST",
    PATH,
    summary="Step one: state the withdrawal from the contract",
    roles=SENDERS,
    body=WithdrawalBody,
    answers={201: WithdrawalAnswer},
    reasons=(*READ, *ENDED, *WRITES),
    tag="withdrawals",
    guard=visible,
)
def state(call: Call) -> Answer:
    """By the buyer's token, or by the `withdrawal_token` of the order. Nothing is decided before it is confirmed."""
    body: WithdrawalBody = call.fields
    sender = Sender(body.name, body.reach, call.locale)
    outcome, one, receipt = call.services.withdrawals.state(call.params["deposit_id"], sender, call.asked)
    location = PATH.format(deposit_id=outcome.deposit.id) + f"/{receipt.id}"
    return _receipt(outcome, one, receipt, 201, {"Location": location})


@endpoint(
    routes,
    "POST",
    f"{PATH}/{{withdrawal_id}}/confirm",
    summary="Step two: confirm it; the refund is decided, standard shipping included",
    roles=SENDERS,
    body=EmptyBody,
    answers={200: WithdrawalAnswer},
    reasons=(*READ, *ENDED, *WRITES),
    tag="withdrawals",
    guard=visible,
)
def confirm(call: Call) -> Answer:
    deposit_id, withdrawal_id = call.params["deposit_id"], call.params["withdrawal_id"]
    return _receipt(*call.services.withdrawals.confirm(deposit_id, withdrawal_id, call.asked), 200, {})


@endpoint(
    routes,
    "GET",
    f"{PATH}/{{withdrawal_id}}",
    summary="The latest receipt again",
    roles=SENDERS,
    answers={200: WithdrawalAnswer},
    reasons=READ,
    tag="withdrawals",
    guard=visible,
)
def show(call: Call) -> Answer:
    deposit_id, withdrawal_id = call.params["deposit_id"], call.params["withdrawal_id"]
    return _receipt(*call.services.withdrawals.find(deposit_id, withdrawal_id, call.asked), 200, {})


def _receipt(outcome: Outcome, one: Withdrawal, receipt: Receipt, status: int, headers: dict[str, str]) -> Answer:
    return Answer(render.withdrawal(outcome.deposit, one, receipt), status, {**headers, **replay_header(outcome)})
