"""Statutory withdrawal over HTTP, without a login wall: state it, confirm it, keep the receipt."""

from typing import Final

from chalicelib.core.common.fields import Frozen, Text
from chalicelib.core.common.refusal import Reason
from chalicelib.core.deposit.withdrawal import Withdrawal
from chalicelib.core.ending.withdrawal import Receipt, Sender
from chalicelib.flows.snapshot import Outcome
from chalicelib.web.deposits.common import check_deposit_access
from chalicelib.web.edge.common import replay_header
from chalicelib.web.edge.declare import command, resource
from chalicelib.web.edge.route import HOLDER, Answer, Call, Routes
from chalicelib.web.withdrawals import render
from chalicelib.web.withdrawals.answers import WithdrawalAnswer

routes = Routes(__name__, "withdrawals")
PATH: Final = "/v1/deposits/{deposit_id}/withdrawals"
SENDERS: Final = {"buyer", HOLDER}
ENDED: Final = (Reason.ALREADY_CANCELLED, Reason.WITHDRAWAL_NOT_AVAILABLE)


class WithdrawalBody(Frozen):
    """Who withdraws, and where the confirmation can reach them."""

    name: Text
    reach: Text


@command(
    routes,
    PATH,
    "Step one: state the withdrawal from the contract",
    WithdrawalAnswer,
    status=201,
    roles=SENDERS,
    body=WithdrawalBody,
    guard=check_deposit_access,
    reasons=ENDED,
    example="stated",
)
def state(call: Call) -> Answer:
    """By the buyer's token, or by the `withdrawal_token` of the order. Nothing is decided before it is confirmed."""
    body: WithdrawalBody = call.fields
    sender = Sender(body.name, body.reach, call.locale)
    outcome, withdrawal, receipt = call.services.withdrawals.state(call.params["deposit_id"], sender, call.asked)
    location = PATH.format(deposit_id=outcome.deposit.id) + f"/{receipt.id}"
    return _write_receipt(outcome, withdrawal, receipt, 201, {"Location": location})


@command(
    routes,
    f"{PATH}/{{withdrawal_id}}/confirm",
    "Step two: confirm it; the refund is decided, standard shipping included",
    WithdrawalAnswer,
    roles=SENDERS,
    guard=check_deposit_access,
    reasons=ENDED,
    example="confirmed",
)
def confirm(call: Call) -> Answer:
    deposit_id, withdrawal_id = call.params["deposit_id"], call.params["withdrawal_id"]
    return _write_receipt(*call.services.withdrawals.confirm(deposit_id, withdrawal_id, call.asked), 200, {})


@resource(
    routes,
    f"{PATH}/{{withdrawal_id}}",
    "The latest receipt again",
    WithdrawalAnswer,
    roles=SENDERS,
    guard=check_deposit_access,
    example="confirmed",
)
def show(call: Call) -> Answer:
    deposit_id, withdrawal_id = call.params["deposit_id"], call.params["withdrawal_id"]
    return _write_receipt(*call.services.withdrawals.find(deposit_id, withdrawal_id, call.asked), 200, {})


def _write_receipt(
    outcome: Outcome, withdrawal: Withdrawal, receipt: Receipt, status: int, headers: dict[str, str]
) -> Answer:
    return Answer(
        render.withdrawal(outcome.deposit, withdrawal, receipt), status, {**headers, **replay_header(outcome)}
    )
