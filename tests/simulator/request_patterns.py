"""How people send a request: again and again, twice at once, with another key or another body, a day later."""

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
    """A POST as somebody means it. ``who`` scopes the key; ``stranger`` is a token that must find nothing there.

    ``denied`` is what a stranger is told, ``also`` what may be said before If-Match is; ``matches`` whether it is read.
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
    """Sends what is intended, with all that thumbs do; what was accepted once stays accepted (P8)."""

    def __init__(self, history: "History") -> None:
        self._history = history
        self._accepted: dict[tuple[str, str], str] = {}

    def send_until_answered(self, one: IntendedRequest) -> "Reply | None":
        """A client with a key: sends again while there is no answer or ``busy``."""
        history = self._history
        if one.names_deposit and one.reads_if_match and history.strikes("client.stale_version"):
            stale = replace(one, key=f"{one.key}-stale")
            history.expect(self.send(stale, if_match='"0-none"'), {412, 503} | one.other_statuses)
        if one.names_deposit and history.strikes("client.not_the_owner"):
            history.expect(self.send(replace(one, bearer=one.stranger)), {one.stranger_status, 503})
        if history.strikes("client.double_tap"):
            history.spawn(f"{one.key}-tap", lambda: self.send_once(one))
        if history.strikes("client.new_key"):
            again = replace(one, key=f"{one.key}-new")
            history.spawn(again.key, lambda: self.send_once(again))
        reply = None
        for _ in range(TRIES):
            reply = self.send_once(one)
            if (reply is not None and reply.status != 503) or history.strikes("client.gives_up"):
                break
            history.scheduler.sleep(history.actor().random.randrange(200, 20_000))
        self._send_variants(one, reply)
        return reply

    def send_once(self, one: IntendedRequest) -> "Reply | None":
        """One request; an answer that was accepted before must come again byte for byte (P8)."""
        reply = self.send(one)
        known = (one.path, f"{one.who}/{one.key}")
        accepted = self._accepted.get(known)
        if reply is not None and reply.status in ACCEPTED:
            self._accepted[known] = reply.body
            if accepted not in {None, reply.body}:
                self._history.invariants.violated("P8", f"{one.path} {one.key}: {accepted} then {reply.body}")
        elif reply is not None and reply.status != 503:
            self._check_refusal(one, accepted, reply)
        return reply

    def send(self, one: IntendedRequest, if_match: str | None = None) -> "Reply | None":
        """One request, and nothing remembered of its answer."""
        self._history.invariants.record_request(one.path, one.body)
        return self._history.ask(
            "POST", one.path, one.bearer, one.body, key=one.key, template=one.template, if_match=if_match
        )

    def _check_refusal(self, one: IntendedRequest, accepted: str | None, reply: "Reply") -> None:
        """What was accepted is never refused later, not even when the first answer never arrived."""
        made = digest_id("dep", digest_id("usr", ISSUER, one.who), one.key)
        ordered = not one.names_deposit and made in self._history.invariants.states
        if accepted is not None or ordered:
            told = f"{one.path} {one.key} was accepted and is now refused: {reply.body}"
            self._history.invariants.violated("P8", told)

    def _send_variants(self, one: IntendedRequest, reply: "Reply | None") -> None:
        history = self._history
        if history.strikes("client.replay_after_a_day"):
            history.spawn(f"{one.key}-day", lambda: self.send_once(one), after=25 * HOUR)
        accepted = reply is not None and reply.status in ACCEPTED
        if accepted and not one.names_deposit and history.strikes("client.other_body"):
            others = (method for method in history.methods(one.body) if method != one.body["payment_method"])
            for other in list(others)[:1]:
                again = replace(one, body={**one.body, "payment_method": other})
                history.expect(self.send(again), {422, 503})
