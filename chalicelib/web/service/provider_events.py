"""Events from payment providers: the signature is verified, then the provider is asked for the state of the subject."""

import json
from typing import Any, Final

from chalicelib.core.common.instants import SECOND, parse_instant
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.web.edge import signatures
from chalicelib.web.edge.route import Answer, Call, Routes, endpoint, raw_only

routes = Routes(__name__, "provider-events")
# How long an event with an unknown subject is asked for again: the write that makes it known may not be visible yet.
RETRY_UNKNOWN_MS: Final = 15 * 60 * SECOND


@endpoint(
    routes,
    "POST",
    "/v1/provider-events/{provider}",
    "Take a provider's signed event (Standard Webhooks) as a hint and settle what the provider then says",
    {204: None},
    raw_body="ProviderEvent",
    keyed=False,
    guard=raw_only,
    reasons=(Reason.INVALID_SIGNATURE, Reason.STALE_WEBHOOK, Reason.NOT_FOUND, Reason.BUSY),
    example="payment_updated",
)
def receive(call: Call) -> Answer:
    services = call.services
    if call.params["provider"] != services.provider.name:
        raise Refused(Reason.NOT_FOUND)
    event_id = signatures.verify(
        call.headers, call.raw, services.settings.webhook_secrets, call.asked.received // SECOND
    )
    subject, happened_at = _read_hint(call.raw, call.asked.at)
    is_ours = services.deposit_worker("provider").handle_provider_event(subject, f"{services.provider.name}/{event_id}")
    if not is_ours and call.asked.at - happened_at < RETRY_UNKNOWN_MS and subject.startswith(("pay_", "ref_")):
        raise Refused(Reason.BUSY, retry_after=60)
    return Answer("", 204)


def _read_hint(raw: bytes, now: int) -> tuple[str, int]:
    """The event's subject, and when it happened: each delivery is signed anew, so the signature does not say.

    The subject of an event that cannot be read is empty; an event without an instant counts as new.
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
