"""Commands whose body names the deposit: whether the caller may see it, and the key that belongs to it from then on."""

from chalicelib.core.common.journal import RequestContext
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.flows.access import authorize_access
from chalicelib.flows.commit import Commits
from chalicelib.flows.effects import fold_stored
from chalicelib.flows.ports.effects import KeyTaken, Stored
from chalicelib.flows.ports.store import Keys


def take_key(
    commits: Commits, keys: Keys, deposit_id: str, asked: RequestContext
) -> tuple[Stored[DepositEvent], KeyTaken]:
    """The journal as it was read, and what binds the key to it.

    A deposit that the caller may not see is one that does not exist; the same key for another one is refused.
    """
    try:
        stored = commits.load(deposit_id)
        authorize_access(fold_stored(stored), asked.caller)
    except Refused as refused:
        if refused.reason is not Reason.NOT_FOUND:
            raise
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/deposit", "unknown_deposit")]) from None
    assert asked.key is not None, "commands of this kind are retry-safe"
    if keys.deposit_of(asked.key.scope) not in {None, deposit_id}:
        raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
    return stored, KeyTaken(asked.key.scope, deposit_id)
