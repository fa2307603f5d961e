"""What all routes on one deposit share: access, commands, the full answer and its headers."""

from chalicelib.core.deposit.command_row import Command
from chalicelib.flows.snapshot import Outcome
from chalicelib.web.deposits import render
from chalicelib.web.edge.common import replay_header
from chalicelib.web.edge.route import Answer, Call


def check_deposit_access(call: Call) -> None:
    """Refuse another's deposit before faults of the request."""
    call.services.desk.authorize(call.params["deposit_id"], call.caller)


def write_deposit(call: Call, outcome: Outcome) -> Answer:
    """The deposit as this caller sees it, with its headers."""
    return Answer(render.deposit(outcome, call.caller), 200, state_headers(outcome))


def state_headers(outcome: Outcome) -> dict[str, str]:
    """The deposit's ETag, and whether the answer was given before."""
    return {"ETag": outcome.snapshot.etag, **replay_header(outcome)}


def run_command(call: Call, wanted: Command) -> Answer:
    """Run a command on the deposit of the path, and write the deposit after it."""
    return write_deposit(call, call.services.desk.command(call.params["deposit_id"], wanted, call.asked))
