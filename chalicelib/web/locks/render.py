"""A lock intent as an answer."""

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import format_instant
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.lock import Intent
from chalicelib.core.locking import disclosure
from chalicelib.web.edge.values import money
from chalicelib.web.locks.answers import LockIntentAnswer


def lock_intent(deposit: Deposit, intent: Intent) -> LockIntentAnswer:
    """What the buyer must be shown before they may lock, word by word from the evidence."""
    shown = intent.opened
    ends_at = shown.window_ends_at
    return {
        "id": child("lki", deposit.id, intent.n),
        "object": "lock_intent",
        "deposit": deposit.id,
        "disclosure": {
            "text": disclosure.render_intent_text(shown),
            "amount_at_stake": money(shown.amount_at_stake),
            "window_ends_at": format_instant(ends_at) if ends_at is not None else None,
            "locale": shown.locale,
        },
        "disclosure_hash": shown.disclosure_hash,
        "acknowledgement": shown.acknowledgement,
        "confirmable_at": format_instant(shown.confirmable_at),
        "expires_at": format_instant(shown.expires_at),
    }
