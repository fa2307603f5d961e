"""Commands whose body names the deposit: whether the caller may see it, and the key that belongs to it from then on."""

from chalicelib.core.journal import Asked
from chalicelib.core.refusal import Fault, Reason, Refused
from chalicelib.flows.commit import Commits, fold, refuse_strangers
from chalicelib.flows.ports import Keys, KeyTaken


def taken(commits: Commits, keys: Keys, deposit_id: str, asked: Asked) -> KeyTaken:
    """A deposit that the caller may not see is one that does not exist; the same key for another one is refused."""
    try:
        refuse_strangers(fold(commits.load(deposit_id)), asked.caller)
    except Refused as refused:
        if refused.reason is not Reason.NOT_FOUND:
            raise
        raise Refused(Reason.INVALID_REQUEST, [Fault("/deposit", "unknown_deposit")]) from None
    assert asked.key is not None, "commands of this kind are retry-safe"
    if keys.deposit_of(asked.key.scope) not in {None, deposit_id}:
        raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
    return KeyTaken(asked.key.scope, deposit_id)
