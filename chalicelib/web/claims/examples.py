"""Examples of a claim: what was recorded as shipped never came."""

from collections.abc import Mapping
from typing import Final

from chalicelib.core.claims.answering import (
    AcceptOffer,
    AddEvidence,
    Claiming,
    Escalate,
    Respond,
    RuleClaim,
    WithdrawClaim,
)
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common.instants import duration_ms
from chalicelib.core.deposit.events.claim import ClaimEvent
from chalicelib.core.deposit.events.goods import Units
from chalicelib.flows.claims import ClaimStepView, ClaimView
from chalicelib.web.claims import render as claims_render
from chalicelib.web.edge.route import Example
from chalicelib.web.service import stories
from chalicelib.web.service.stories import (
    BUYER,
    DEPOSIT_ID,
    PLATFORM,
    SHOP,
    Json,
    page,
)

WORDS: Final[Mapping[type, str]] = {
    OpenClaim: "The parcel never came.",
    Respond: "Here is the courier's photograph of the door.",
    RuleClaim: "The photograph shows another door.",
    AddEvidence: "The door in the picture is not mine.",
}
OPEN: Final = OpenClaim("short_shipment", "example", (Units(1, 1),), evidence=("photo:2c26b46b",))
REJECT: Final = Respond(1, "reject", statement="example")


def opened() -> Example:
    body = {
        "deposit": DEPOSIT_ID,
        "kind": "short_shipment",
        "statement": WORDS[OpenClaim],
        "lines": [{"line": 1, "quantity": 1}],
        "evidence": ["photo:2c26b46b"],
    }
    return Example({"computed": _claim()}, body)


def listed() -> Example:
    return Example({"of a deposit": page(_claim(REJECT))})


def in_review() -> Example:
    return Example({"in review": _claim(REJECT)})


def answered() -> Example:
    body = {"decision": "reject", "statement": WORDS[Respond]}
    return Example({"offered": _claim(_offer()), "rejected": _claim(REJECT)}, body)


def offer_accepted() -> Example:
    return Example({"paid": _claim(_offer(), AcceptOffer(1))})


def escalated() -> Example:
    return Example({"in review": _claim(_offer(), Escalate(1))})


def withdrawn() -> Example:
    return Example({"over": _claim(WithdrawClaim(1))})


def evidence_added() -> Example:
    command = AddEvidence(1, "buyer", ("photo:8f14e45f",), "example")
    return Example({"added": _claim(command)}, {"evidence": ["photo:8f14e45f"], "statement": WORDS[AddEvidence]})


def ruled() -> Example:
    command = RuleClaim(1, "uphold", "example")
    return Example({"for the buyer": _claim(REJECT, command)}, {"decision": "uphold", "reason": WORDS[RuleClaim]})


def _offer() -> Respond:
    return Respond(1, "offer", stories.shipped().deposit.money.held)


def _claim(*commands: Claiming) -> Json:
    """The claim after these commands, one an hour."""
    story, statements = stories.shipped(), list[str | None]()
    at = story.outcome.at + duration_ms("P20D")
    for n, command in enumerate((OPEN, *commands)):
        by = {Respond: SHOP, RuleClaim: PLATFORM}.get(type(command), BUYER)
        story = story.then(command, at + n * duration_ms("PT1H"), by)
        statements.append(WORDS.get(type(command)))
    steps = [entry for entry in story.outcome.journal if isinstance(entry.event, ClaimEvent)]
    history = (ClaimStepView(entry, statement) for entry, statement in zip(steps, statements, strict=True))
    return claims_render.claim(ClaimView(story.outcome, story.deposit.claims[0], tuple(history)))
