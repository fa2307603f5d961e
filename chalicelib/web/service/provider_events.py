"""Events from payment providers: the signature is proved, the content is a hint, the state is fetched and settled."""

import json
from typing import Any, Final

from chalice.app import Blueprint

from chalicelib.core.common.instants import SECOND, parse_instant
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.web.edge import signatures
from chalicelib.web.edge.route import Answer, Call, endpoint, raw_only

routes = Blueprint(__name__)
# How long we ask for an unknown subject again: our own write may not be visible to us yet. After that it is not ours.
NOT_YET_OURS: Final = 15 * 60 * SECOND


@endpoint(
    routes,
    "POST",
    "/v1/provider-events/{provider}",
    summary="Take a provider's signed event (Standard Webhooks) as a hint and settle what the provider then says",
    raw_body="ProviderEvent",
    answers={204: None},
    keyed=False,
    reasons=(Reason.INVALID_SIGNATURE, Reason.STALE_WEBHOOK, Reason.NOT_FOUND, Reason.BUSY),
    tag="provider-events",
    guard=raw_only,
)
def receive(call: Call) -> Answer:
    found = call.services
    if call.params["provider"] != found.provider.name:
        raise Refused(Reason.NOT_FOUND)
    event_id = signatures.verify(call.headers, call.raw, found.settings.webhook_secrets, call.asked.received // SECOND)
    subject, happened_at = _hint(call.raw, call.asked.at)
    known = found.deposit_worker("provider").handle_provider_event(subject, f"{found.provider.name}/{event_id}")
    if not known and call.asked.at - happened_at < NOT_YET_OURS and subject.startswith(("pay_", "ref_")):
        raise Refused(Reason.BUSY, retry_after=60)
    return Answer("", 204)


def _hint(raw: bytes, now: int) -> tuple[str, int]:
    """What the event is about and when it happened: a later delivery is signed anew, so the signature cannot tell.

    A signed event we cannot read is nobody's, and not worth a retry; one without an instant counts as new.
    """
    try:
        event: Any = json.loads(raw)
        subject = str(event["data"]["id"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", now
    try:
        return subject, parse_instant(event["timestamp"])
    except (ValueError, KeyError, TypeError):
        return subject, now
