"""Events from payment providers: the signature is proved, the content is a hint, the state is fetched and settled."""

import json
from typing import Any, Final

from chalice.app import Blueprint

from chalicelib.core.refusal import Reason, Refused
from chalicelib.web import signatures
from chalicelib.web.edge import Answer, Call, endpoint, raw_only

routes = Blueprint(__name__)
SECOND: Final = 1_000
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
    tag="provider events",
    guard=raw_only,
)
def receive(call: Call) -> Answer:
    found = call.services
    if call.params["provider"] != found.provider.name:
        raise Refused(Reason.NOT_FOUND)
    received = call.asked.received
    secrets = found.settings.webhook_secrets
    event_id = signatures.verify(call.headers, call.raw, secrets, received // SECOND)
    subject = _subject(call.raw)
    known = found.attendant("provider").hear(subject, f"{found.provider.name}/{event_id}")
    sent_at = int(call.headers["webhook-timestamp"]) * SECOND
    if not known and received - sent_at < NOT_YET_OURS and subject.startswith(("pay_", "ref_")):
        raise Refused(Reason.BUSY, retry_after=60)
    return Answer("", 204)


def _subject(raw: bytes) -> str:
    """The id that the event is about; a signed event we cannot read is nobody's, and not worth a retry."""
    try:
        event: Any = json.loads(raw)
        return str(event["data"]["id"])
    except (ValueError, KeyError, TypeError):
        return ""
