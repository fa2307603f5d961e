"""What all routes on one deposit share: access, commands, the full answer and its headers."""

from chalicelib.core.deposit.command_row import Command
from chalicelib.flows.snapshot import Outcome
from chalicelib.web.deposits import render
from chalicelib.web.edge.common import replay_header
from chalicelib.web.edge.route import Answer, Call


def visible(call: Call) -> None:
    """Ownership is told before faults of the body."""
    call.services.desk.authorize(call.params["deposit_id"], call.caller)


def whole(call: Call, outcome: Outcome) -> Answer:
    """The deposit as a command leaves it."""
    return Answer(render.deposit(outcome, call.caller), 200, state_headers(outcome))


def state_headers(outcome: Outcome) -> dict[str, str]:
    """The deposit's ETag, and whether the answer was given before."""
    return {"ETag": outcome.snapshot.etag, **replay_header(outcome)}


def command(call: Call, asked_for: Command) -> Answer:
    """A command on the deposit of the path, and the whole deposit after it."""
    return whole(call, call.services.desk.command(call.params["deposit_id"], asked_for, call.asked))
