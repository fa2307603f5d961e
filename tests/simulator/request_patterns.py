"""Ways to send a request: retried, twice at once, with another key or body, a day later."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.instants import HOUR
from local.issuer import ISSUER

if TYPE_CHECKING:
    from tests.simulator.history import History, Reply

TRIES: Final = 4
ACCEPTED: Final = frozenset({200, 201, 202})


@dataclass(frozen=True, slots=True)
class IntendedRequest:
    """A POST. ``who`` scopes the key; ``stranger`` is a token of somebody without access, answered ``stranger_status``.

    ``other_statuses`` may come before If-Match is checked; ``reads_if_match`` tells whether it is checked.
    """

    who: str
    bearer: str
    stranger: str
    path: str
    template: str
    body: dict[str, Any]
    key: str
    stranger_status: int = 404
    other_statuses: frozenset[int] = frozenset()
    reads_if_match: bool = True

    @property
    def names_deposit(self) -> bool:
        return self.template != "/v1/deposits"


class RequestSender:
    """Sends requests in all patterns, and checks that an accepted request stays accepted (P8)."""

    def __init__(self, history: "History") -> None:
        self._history = history
        self._accepted: dict[tuple[str, str], str] = {}

    def send_until_answered(self, request: IntendedRequest) -> "Reply | None":
        """Send with the variants that strike, and retry while there is no answer or 503."""
        history = self._history
        if request.names_deposit and request.reads_if_match and history.strikes("client.stale_version"):
            stale = replace(request, key=f"{request.key}-stale")
            history.expect(self.send(stale, if_match='"0-none"'), {412, 503} | request.other_statuses)
        if request.names_deposit and history.strikes("client.not_the_owner"):
            history.expect(self.send(replace(request, bearer=request.stranger)), {request.stranger_status, 503})
        if history.strikes("client.double_tap"):
            history.spawn(f"{request.key}-tap", lambda: self.send_once(request))
        if history.strikes("client.new_key"):
            again = replace(request, key=f"{request.key}-new")
            history.spawn(again.key, lambda: self.send_once(again))
        reply = None
        for _ in range(TRIES):
            reply = self.send_once(request)
            if (reply is not None and reply.status != 503) or history.strikes("client.gives_up"):
                break
            history.scheduler.sleep(history.actor().random.randrange(200, 20_000))
        self._send_variants(request, reply)
        return reply

    def send_once(self, request: IntendedRequest) -> "Reply | None":
        """Send once, and check that an accepted answer comes again byte for byte (P8)."""
        reply = self.send(request)
        known = (request.path, f"{request.who}/{request.key}")
        accepted = self._accepted.get(known)
        if reply is not None and reply.status in ACCEPTED:
            self._accepted[known] = reply.body
            if accepted not in {None, reply.body}:
                self._history.invariants.violated("P8", f"{request.path} {request.key}: {accepted} then {reply.body}")
        elif reply is not None and reply.status != 503:
            self._check_refusal(request, accepted, reply)
        return reply

    def send(self, request: IntendedRequest, if_match: str | None = None) -> "Reply | None":
        """Send once without any check of the answer."""
        self._history.invariants.record_request(request.path, request.body)
        return self._history.ask(
            "POST",
            request.path,
            request.bearer,
            request.body,
            key=request.key,
            template=request.template,
            if_match=if_match,
        )

    def _check_refusal(self, request: IntendedRequest, accepted: str | None, reply: "Reply") -> None:
        """Check that the request was not accepted before, even when the first answer was lost."""
        made = digest_id("dep", digest_id("usr", ISSUER, request.who), request.key)
        ordered = not request.names_deposit and made in self._history.invariants.states
        if accepted is not None or ordered:
            text = f"{request.path} {request.key} was accepted and is now refused: {reply.body}"
            self._history.invariants.violated("P8", text)

    def _send_variants(self, request: IntendedRequest, reply: "Reply | None") -> None:
        history = self._history
        if history.strikes("client.replay_after_a_day"):
            history.spawn(f"{request.key}-day", lambda: self.send_once(request), after=25 * HOUR)
        accepted = reply is not None and reply.status in ACCEPTED
        if accepted and not request.names_deposit and history.strikes("client.other_body"):
            others = (method for method in history.methods(request.body) if method != request.body["payment_method"])
            for other in list(others)[:1]:
                again = replace(request, body={**request.body, "payment_method": other})
                history.expect(self.send(again), {422, 503})
