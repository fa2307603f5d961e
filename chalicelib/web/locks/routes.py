"""Locking over HTTP: see what it means, lock by typing it, take it back."""

from chalicelib.core.common.fields import Frozen, Text
from chalicelib.core.common.refusal import Reason
from chalicelib.core.locking.lock import ConfirmLock, OpenIntent, Unlock
from chalicelib.web.deposits.common import run_command
from chalicelib.web.deposits.declare import deposit_command
from chalicelib.web.edge.common import replay_header
from chalicelib.web.edge.route import Answer, Call, Routes
from chalicelib.web.locks import render
from chalicelib.web.locks.answers import LockIntentAnswer

routes = Routes(__name__, "locking")


class LockBody(Frozen):
    """The intent, the hash of what was shown, and the words that the buyer typed.

    An id that is not well formed answers like one that does not exist, so any text will do here.
    """

    intent: str
    disclosure_hash: Text
    acknowledgement: Text


@deposit_command(
    routes,
    "lock-intents",
    "See what a lock would mean, in the buyer's language; a former intent is closed",
    LockIntentAnswer,
    status=201,
    reasons=(Reason.LOCK_NOT_ALLOWED,),
    example="intended",
)
def lock_intents(call: Call) -> Answer:
    """Show `disclosure.text` as it is and let the buyer type `acknowledgement`. At most 20 for a deposit, then 429."""
    outcome = call.services.desk.command(call.params["deposit_id"], OpenIntent(call.locale), call.asked)
    intent = outcome.deposit.intents[-1]
    return Answer(render.lock_intent(outcome.deposit, intent), 201, replay_header(outcome))


@deposit_command(
    routes,
    "lock",
    "Lock, by an intent that was shown, read, typed and not used before",
    body=LockBody,
    reasons=(
        Reason.LOCK_INTENT_INVALID,
        Reason.LOCK_INTENT_USED,
        Reason.LOCK_INTENT_EXPIRED,
        Reason.TERMS_CHANGED,
        Reason.REFUND_IN_PROGRESS,
        Reason.LOCK_REVIEW_PENDING,
        Reason.LOCK_ACKNOWLEDGEMENT_MISMATCH,
    ),
    example="locked",
)
def lock(call: Call) -> Answer:
    """A refusal does not use the intent up. Capitals and outer blanks of the words do not matter."""
    body: LockBody = call.fields
    return run_command(call, ConfirmLock(body.intent, body.disclosure_hash, body.acknowledgement))


@deposit_command(
    routes, "unlock", "Take a lock back while its undo is open", reasons=(Reason.UNDO_CLOSED,), example="unlocked"
)
def unlock(call: Call) -> Answer:
    """The same window goes on; when it has ended meanwhile, the buyer may only cancel, in full, until `window.ends_at`."""
    return run_command(call, Unlock())
