"""Commands whose body names the deposit: whether the caller may see it, and the key that belongs to it from then on."""

from chalicelib.core.events import DepositEvent
from chalicelib.core.journal import Asked
from chalicelib.core.refusal import Fault, Reason, Refused
from chalicelib.flows.commit import Commits, fold, refuse_strangers
from chalicelib.flows.ports import Keys, KeyTaken, Stored


def taken(commits: Commits, keys: Keys, deposit_id: str, asked: Asked) -> tuple[Stored[DepositEvent], KeyTaken]:
    """The journal as it was read, and what binds the key to it.

    A deposit that the caller may not see is one that does not exist; the same key for another one is refused.
    """
    try:
        stored = commits.load(deposit_id)
        refuse_strangers(fold(stored), asked.caller)
    except Refused as refused:
        if refused.reason is not Reason.NOT_FOUND:
            raise
        raise Refused(Reason.INVALID_REQUEST, [Fault("/deposit", "unknown_deposit")]) from None
    assert asked.key is not None, "commands of this kind are retry-safe"
    if keys.deposit_of(asked.key.scope) not in {None, deposit_id}:
        raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
    return stored, KeyTaken(asked.key.scope, deposit_id)
