"""Commands whose body names the deposit: whether the caller may see it, and the key that belongs to it from then on."""

from chalicelib.core.common.journal import RequestContext
from chalicelib.core.common.refusal import FieldError, Reason, Refused
from chalicelib.flows.access import authorize_access
from chalicelib.flows.commit import Commits
from chalicelib.flows.images import Image
from chalicelib.flows.ports.effects import KeyTaken
from chalicelib.flows.ports.store import Keys


def take_key(commits: Commits, keys: Keys, deposit_id: str, request: RequestContext) -> tuple[Image, KeyTaken]:
    """The deposit as it was read, and the effect that binds the request's key to it.

    Refused(INVALID_REQUEST) for a deposit that the caller may not see, as for one that does not exist.
    Refused(IDEMPOTENCY_KEY_REUSED) when the key belongs to another deposit.
    """
    try:
        image = commits.load(deposit_id)
        authorize_access(image.deposit, request.caller)
    except Refused as refused:
        if refused.reason is not Reason.NOT_FOUND:
            raise
        raise Refused(Reason.INVALID_REQUEST, [FieldError("/deposit", "unknown_deposit")]) from None
    assert request.key is not None, "commands of this kind are retry-safe"
    if keys.deposit_of(request.key.scope) not in {None, deposit_id}:
        raise Refused(Reason.IDEMPOTENCY_KEY_REUSED)
    return image, KeyTaken(request.key.scope, deposit_id)
