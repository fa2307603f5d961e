"""Locking over HTTP: see what it means, lock by typing it, take it back."""

from chalice.app import Blueprint

from chalicelib.core.common.fields import Frozen, Text
from chalicelib.core.common.refusal import Reason
from chalicelib.core.locking.lock import ConfirmLock, OpenIntent, Unlock
from chalicelib.web.deposits.answers import DepositAnswer
from chalicelib.web.deposits.common import command, visible
from chalicelib.web.edge.common import READ, WRITES, EmptyBody, replay_header
from chalicelib.web.edge.route import Answer, Call, endpoint
from chalicelib.web.locks import render
from chalicelib.web.locks.answers import LockIntentAnswer

routes = Blueprint(__name__)


class LockBody(Frozen):
    """The intent, the hash of what was shown, and the words that the buyer typed.

    An id that is not well formed answers like one that does not exist, so any text will do here.
    """

    intent: str
    disclosure_hash: Text
    acknowledgement: Text


@endpoint(
    routes,
    "POST",
    "/v1/deposits/{deposit_id}/lock-intents",
    summary="See what a lock would mean, in the buyer's language; a former intent is closed",
    roles={"buyer"},
    body=EmptyBody,
    answers={201: LockIntentAnswer},
    reasons=(*READ, Reason.WRONG_STATE, Reason.LOCK_NOT_ALLOWED, *WRITES),
    tag="locking",
    guard=visible,
)
def lock_intents(call: Call) -> Answer:
    """Show `disclosure.text` as it is and let the buyer type `acknowledgement`. At most 20 for a deposit, then 429."""
    outcome = call.services.desk.command(call.params["deposit_id"], OpenIntent(call.locale), call.asked)
    intent = outcome.deposit.intents[-1]
    return Answer(render.lock_intent(outcome.deposit, intent), 201, replay_header(outcome))


@endpoint(
    routes,
    "POST",
    "/v1/deposits/{deposit_id}/lock",
    summary="Lock, by an intent that was shown, read, typed and not used before",
    roles={"buyer"},
    body=LockBody,
    answers={200: DepositAnswer},
    reasons=(
        *READ,
        Reason.LOCK_INTENT_INVALID,
        Reason.LOCK_INTENT_USED,
        Reason.WRONG_STATE,
        Reason.LOCK_INTENT_EXPIRED,
        Reason.TERMS_CHANGED,
        Reason.REFUND_IN_PROGRESS,
        Reason.LOCK_REVIEW_PENDING,
        Reason.LOCK_ACKNOWLEDGEMENT_MISMATCH,
        *WRITES,
    ),
    tag="locking",
    guard=visible,
)
def lock(call: Call) -> Answer:
    """A refusal does not use the intent up. Capitals and outer blanks of the words do not matter."""
    body: LockBody = call.fields
    return command(call, ConfirmLock(body.intent, body.disclosure_hash, body.acknowledgement))


@endpoint(
    routes,
    "POST",
    "/v1/deposits/{deposit_id}/unlock",
    summary="Take a lock back while its undo is open",
    roles={"buyer"},
    body=EmptyBody,
    answers={200: DepositAnswer},
    reasons=(*READ, Reason.WRONG_STATE, Reason.UNDO_CLOSED, *WRITES),
    tag="locking",
    guard=visible,
)
def unlock(call: Call) -> Answer:
    """The same window goes on; when it has ended meanwhile, the buyer may only cancel, in full, until `window.ends_at`."""
    return command(call, Unlock())
