"""Claims as people work on them: buyers open, take, escalate and withdraw; merchants answer; the platform rules; all may be silent."""

from typing import TYPE_CHECKING, Any, Final

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, parse_instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.deposit import Deposit
from tests.simulator.cancellation_invariants import GRACE
from tests.simulator.claim_invariants import (
    APPEAL,
    AWAITING,
    GOODS,
    GRANTED,
    MAX_OFFERS,
    MISTAKE,
    MISTAKEN,
    OFFERED,
    OPEN,
    OPEN_FOR,
    REVIEW,
    ClaimInvariants,
    ClaimRecord,
)
from tests.simulator.claimants import LEAST, money
from tests.simulator.merchants import EDGES, SHOP, Merchants
from tests.simulator.persons import LONGEST, REFUSED
from tests.simulator.plan import Action
from tests.simulator.request_patterns import IntendedRequest
from tests.simulator.tokens import token

if TYPE_CHECKING:
    from tests.simulator.history import Reply

CLAIMS: Final = "/v1/claims"
WORDS: Final = "One of them never came."
PATIENCE: Final = 7 * DAY  # how long anybody waits for a claim to come to them
KINDS: Final = {"goods": GOODS, "part": GOODS, "again": GOODS, "appeal": APPEAL, "mistake": MISTAKE}
GOODS_KINDS: Final = frozenset(name for name, kind in KINDS.items() if kind == GOODS)
# Who does it, under which name, and while the claim stands where.
DEEDS: Final = {
    "respond": ("shop", "responses", frozenset({AWAITING, OFFERED})),
    "rule": ("desk", "ruling", frozenset({REVIEW})),
    "accept": ("buyer", "accept-offer", frozenset({OFFERED})),
    "escalate": ("buyer", "escalate", frozenset({OFFERED})),
    "withdraw": ("buyer", "withdraw", OPEN),
    "evidence": ("either", "evidence", OPEN),
}
# About the instant at which silence decides, and about the one at which that is written down.
AROUND: Final = (*EDGES, GRACE - 1, GRACE, GRACE + 1)


class Disputants(Merchants):
    """Each kind of action is a method here. A refusal that is not expected breaks the contract."""

    # Opening.

    def _claim(self, action: Action) -> None:
        """About goods, money that was kept, a lock, a cancellation or anything else; rightly or not, as it happens."""
        kind, _, when = action.how.partition("/")
        if not self._wait(lambda: self._ordered(action) is not None, HOUR) or not self._wait_to_claim(
            action, kind, when
        ):
            return
        state = self._state(action)
        body = self._claimed(state, kind) if state is not None else None
        if state is None or body is None:
            return
        if kind == "wrong":
            reply = self._sender.send_once(self._claiming(action, {**body, "lines": [], "amount": None}))
            self._history.expect(reply, {422, 503})
            return
        right = self._may_open(state, body)
        steps, at = len(state_of(self._claims, state).claims), self._now
        intended = self._claiming(action, body)
        reply = self._sender.send_once(intended) if when else self._sender.send_until_answered(intended)
        self._history.expect(reply, REFUSED | {201, 429})
        after = state_of(self._claims, state)
        still = after.version == state.version or (self._may_open(after, body) and len(after.claims) == steps)
        refused = reply is not None and reply.status in {409, 429}
        if right and still and refused and (when or at == self._now or self._may_open(after, body)):
            self._violated("P13", f"{body} could not be claimed: {reply.body if reply else ''}")

    def _may_open(self, state: Deposit, body: dict[str, Any]) -> bool:
        lines = {one["line"]: one["quantity"] for one in body.get("lines", ())}
        return self._claims.find_fault(state, body["kind"], lines, _minor(body.get("amount")), self._now) is None

    def _wait_to_claim(self, action: Action, kind: str, when: str) -> bool:
        record = self._record(action)
        if record is None:
            return False
        if kind == "appeal":
            self._wait(lambda: record.ended_at is not None, 12 * HOUR)
        elif kind in GOODS_KINDS:
            self._wait(lambda: bool(record.shipped.total()) or record.ended_at is not None, 6 * HOUR)
        else:
            self._wait(lambda: record.lock_of(self._now) is not None or record.ended_at is not None, 12 * HOUR)
        lock = record.lock_of(self._now)
        ends = {
            "promised": lock.at + record.sale.promised if lock is not None and record.sale.promised else None,
            "mistaken": lock.at + MISTAKEN if lock is not None else None,
            "last": max(record.shipped_at, record.ended_at or 0) + OPEN_FOR,
        }
        if when:
            self._sleep_to(ends[when], EDGES, OPEN_FOR + DAY)
        return lock is not None or record.ended_at is not None or not self._random.randrange(6)

    def _claimed(self, state: Deposit, kind: str) -> dict[str, Any] | None:
        """What is asked for: mostly what there is, sometimes more."""
        record = self._history.invariants.records[state.id]
        body: dict[str, Any] = {"deposit": state.id, "kind": KINDS.get(kind, kind), "statement": WORDS}
        if kind in GOODS_KINDS:
            left = {line: record.claimable(line) for line in range(1, len(record.lines) + 1)}
            named = {line: units + (not self._random.randrange(8)) for line, units in left.items() if units}
            if kind == "again":
                named = dict(enumerate(record.quantities, start=1))
            if kind == "part":
                named = dict.fromkeys(list(named)[:1], 1)
            body["lines"] = [{"line": line, "quantity": units} for line, units in named.items() if units]
            return body if body["lines"] and all(0 < u <= record.quantities[n - 1] for n, u in named.items()) else None
        if kind == "wrong":
            body["kind"] = self._random.choice((GOODS, "other", "refund_amount"))
        if kind in {"other", "refund_amount"}:
            least = LEAST[state.currency]
            units = max(record.held // least, 2)
            some = self._random.choice((units, units + 1, self._random.randrange(1, units)))
            body["amount"] = money(some * least, state.currency)
        if self._random.randrange(2):
            body["evidence"] = [f"photo:{n}" for n in range(self._random.choice((1, 2, 20)))]
        return body

    def _claiming(self, action: Action, body: dict[str, Any]) -> IntendedRequest:
        who, also = f"b{action.buyer}", frozenset({422, 429})
        body = {name: value for name, value in body.items() if value is not None}
        key = f"k{action.id}"
        return IntendedRequest(who, token("buyer", who), token("buyer", "thief"), CLAIMS, CLAIMS, body, key, 422, also)

    # Answering.

    def _respond(self, action: Action) -> None:
        """The merchant: accepts, offers what is owed, less or more, or rejects; soon, at the very end, too late."""
        self._deed(action, "respond")

    def _take(self, action: Action) -> None:
        """The buyer: takes an offer or does not, hands in more, or takes the claim back."""
        self._deed(action, action.how.partition("/")[0])

    def _rule(self, action: Action) -> None:
        """The platform."""
        self._deed(action, "rule")

    def _deed(self, action: Action, name: str) -> None:
        who, step, statuses = DEEDS[name]
        how, _, when = action.how.partition("/")
        case = self._awaited(action, statuses)
        state = self._state(action)
        if case is None or state is None:
            return
        if when == "edge":
            self._sleep_to(case.due_at, EDGES, 4 * DAY)
        elif when == "late":
            self._sleep_to(case.due_at + GRACE, (-GRACE // 2, -1, 0, 1, HOUR), 4 * DAY)
        else:
            self._sleep(MINUTE, self._random.choice((10 * MINUTE, 30 * HOUR)))
        body = self._said(state, case, name, how)
        by = self._random.choice(("buyer", "shop")) if who == "either" else who
        self._sent_about(action, case, by, step, body, plainly=when == "edge")

    def _said(self, state: Deposit, case: ClaimRecord, name: str, how: str) -> dict[str, Any]:
        currency = state.currency
        if name == "evidence":
            return {"evidence": [f"photo:{self._random.randrange(30)}"], "statement": WORDS}
        if name == "rule":
            part = {"amount": money(self._part(case, currency), currency)} if how == "partly" else {}
            return {"decision": how, "reason": "The carrier's record is plain.", **part}
        if name != "respond":
            return {}
        if how not in {"low", "equal", "more"}:
            return {"decision": how, **({"statement": WORDS} if how == "reject" else {})}
        least, floor = LEAST[currency], max([case.owed, *case.offers])
        amount = {"low": floor - least, "equal": floor, "more": floor + least * self._random.choice((1, 1, 700))}[how]
        return {"decision": "offer", "amount": money(max(amount, least), currency)}

    def _part(self, case: ClaimRecord, currency: str) -> int:
        """Less than is owed, or by mistake all of it."""
        least = LEAST[currency]
        units = case.owed // least
        part: int = self._random.choice((max(units // 2, 1), max(units - 1, 1), max(units, 1)))
        return least * part

    def _sent_about(
        self, action: Action, case: ClaimRecord, by: str, step: str, body: dict[str, Any], *, plainly: bool
    ) -> None:
        state = self._state(action)
        assert state is not None, "a claim has a deposit"
        one = child("clm", state.id, case.n)
        who = f"b{action.buyer}" if by == "buyer" else by
        bearer = {"shop": token("merchant", "shop", SHOP), "desk": token("platform", "desk")}
        thief = token("buyer", "thief") if by == "buyer" else token("merchant", "thief", "mer_thief")
        denied = 403 if by == "desk" else 404
        path, template = f"{CLAIMS}/{one}/{step}", f"{CLAIMS}/{{claim_id}}/{step}"
        intended = IntendedRequest(
            who, bearer.get(by, token("buyer", who)), thief, path, template, body, f"k{action.id}-{step}", denied,
            frozenset({422, 429}),
        )  # fmt: skip
        asked, steps, version = self._now, case.steps, state.version
        status, right = case.status_at(asked), self._allowed(state, case, step, body, asked)
        reply = self._sender.send_once(intended) if plainly else self._sender.send_until_answered(intended)
        self._history.expect(reply, REFUSED | {200, 429} | ({422} if step == "ruling" else set()))
        if reply is None:
            return
        untouched = case.steps == steps and state_of(self._claims, state).version == version
        if plainly and right and untouched and reply.status in {409, 422}:
            self._violated("P13", f"{one} {step} {body} was sent at {asked}, in time, and refused: {reply.body}")
        mine = case.steps == steps + 1 and step in {"responses", "ruling"}
        if plainly and mine and status == GRANTED and reply.status == 200:
            self._too_late(one, step, reply)

    def _allowed(self, state: Deposit, case: ClaimRecord, step: str, body: dict[str, Any], at: int) -> bool:
        """Whether it must be taken, if nothing else happens."""
        status = case.status_at(at)
        amount = _minor(body.get("amount")) or 0
        if step == "responses" and body["decision"] == "offer":
            enough = amount >= case.owed and amount > max(case.offers, default=0) and len(case.offers) < MAX_OFFERS
            there = amount <= self._claims.max_payable(state, case)
            return status in {AWAITING, OFFERED} and enough and there
        if step == "responses":
            return status == AWAITING
        if step == "ruling":
            part = body["decision"] != "partly" or amount < case.owed
            return status == REVIEW == case.status and part
        if step == "evidence":
            return status in OPEN and case.evidence < 20
        return status in (OPEN if step == "withdraw" else {OFFERED})

    def _too_late(self, one: str, step: str, reply: "Reply") -> None:
        """P13: the answer shows what silence decided, and the latest word as one that changed nothing."""
        shown = reply.json
        last = shown["history"][-1]
        if shown["status"] != GRANTED or last["applied"] or shown["due_at"] is not None:
            self._violated("P13", f"{one} {step} came too late and was applied: {reply.body}")

    # Looking.

    def _look_at_claim(self, action: Action) -> None:
        """P13: whoever looks first, at whatever instant, sees what the clock has made of it."""
        case, state = self._awaited(action, OPEN), self._state(action)
        if case is None or state is None:
            return
        if action.how == "edge":
            self._sleep_to(case.due_at, AROUND, 4 * DAY)
        bearers = {
            "buyer": token("buyer", f"b{action.buyer}"),
            "shop": token("merchant", "shop", SHOP),
            "desk": token("platform", "desk"),
        }
        who = self._random.choice(sorted(bearers))
        one = child("clm", state.id, case.n)
        asked, steps = self._now, case.steps
        status, due_at = case.status_at(asked), case.due_at
        reply = self._history.ask("GET", f"{CLAIMS}/{one}", bearers[who], template=f"{CLAIMS}/{{claim_id}}")
        self._history.expect(reply, {200, 503})
        if reply is not None and reply.status == 200 and case.steps == steps:
            self._seen(one, case, reply.json, status, asked - due_at)
        if self._history.strikes("client.not_the_owner"):
            thief = self._history.ask(
                "GET", f"{CLAIMS}/{one}", token("buyer", "thief"), template=f"{CLAIMS}/{{claim_id}}"
            )
            self._history.expect(thief, {404, 503})
        self._listed(state, who, bearers[who])

    def _seen(self, one: str, case: ClaimRecord, shown: dict[str, Any], status: str, late: int) -> None:
        if shown["status"] != status:
            self._violated("P13", f"{one} is shown as {shown['status']}, {late} ms after its time: {case}")
        if status == GRANTED and late >= GRACE and case.owed and shown["paid"] is None:
            self._violated("P13", f"{one} is granted for {late} ms and pays nothing: {shown}")
        if status in OPEN and (shown["paid"] is not None or shown["due_at"] is None):
            self._violated("P13", f"{one} is decided before its time: {shown}")
        if status == case.status and status in OPEN and parse_instant(shown["due_at"]) != case.due_at:
            self._violated("P13", f"{one} is due at {case.due_at}: {shown}")

    def _listed(self, state: Deposit, who: str, bearer: str) -> None:
        """A deposit's own, or all that are undecided by the clock; the index may lag, so some may be missing."""
        query = {"deposit": state.id} if who == "buyer" else {"status": "open"}
        reply = self._history.ask("GET", CLAIMS, bearer, query=query)
        self._history.expect(reply, {200, 503})
        for shown in reply.json["data"] if reply is not None and reply.status == 200 else ():
            if who == "buyer" and shown["deposit"] != state.id:
                self._violated("P9", f"{state.id} lists {shown}")
            if who != "buyer" and shown["status"] not in OPEN:
                self._violated("P13", f"{shown} is listed as undecided")

    # What they know, and how they wait.

    @property
    def _claims(self) -> ClaimInvariants:
        return self._history.invariants.claims

    def _awaited(self, action: Action, statuses: frozenset[str]) -> ClaimRecord | None:
        """A claim of the order that stands there, once there is one."""
        state = self._state(action)
        found: list[ClaimRecord] = []

        def stands() -> bool:
            found[:] = [one for one in self._claims.cases_of(state.id) if one.status in statuses] if state else []
            return bool(found)

        if state is None or not self._wait(stands, PATIENCE):
            return None
        one: ClaimRecord = self._random.choice(found)
        return one

    def _wait(self, condition: Any, longest: int) -> bool:
        """As somebody waits who looks now and then."""
        until = self._now + longest
        while not condition() and self._now < until:
            self._sleep(10 * MINUTE, LONGEST if longest > DAY else HOUR)
        return bool(condition())


def state_of(claims: ClaimInvariants, state: Deposit) -> Deposit:
    """The same deposit as it stands now."""
    return claims.states[state.id]


def _minor(amount: dict[str, str] | None) -> int | None:
    return Money.parse(amount["amount"], amount["currency"]).minor if amount is not None else None
