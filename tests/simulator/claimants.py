"""Who asks for money back in other ways: goodwill, an account, another way, a bank; and who keeps the books.

Each kind of action is a method here. A refusal that is not expected breaks the contract.
"""

from typing import TYPE_CHECKING, Any, Final, Literal

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE, format_instant
from chalicelib.core.common.money import Money
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.refund import Refund, RefundStatus
from tests.simulator.persons import ONE, REFUSED, ROOT, Persons
from tests.simulator.plan import Action
from tests.simulator.request_patterns import TRIES, IntendedRequest
from tests.simulator.tokens import token

if TYPE_CHECKING:
    from tests.simulator.history import Reply

REFUNDS: Final = "/v1/refunds"
RUNS: Final = "/v1/reconciliation-runs"
BREAKS: Final = "/v1/breaks"
# Stands in every account and in every holder's name, and must stand nowhere else.
CANARY: Final = "kestrel"
LEAST: Final = {"IDR": 100, "CNY": 1, "EUR": 1}  # rupiah amounts are whole
STUCK: Final = frozenset({RefundStatus.MANUAL_REVIEW})
# A person who finds a refund stuck lets so much time pass before anything else is done: what was sent may still land.
UNTIL_IT_LANDED: Final = (11 * MINUTE, 5 * HOUR)
ASKED_FOR: Final = frozenset({RefundStatus.REQUIRES_ACTION, RefundStatus.RETURNED})


class Claimants(Persons):
    """Merchant, buyer, bank and platform, as far as refunds go."""

    # Goodwill.

    def _goodwill(self, action: Action) -> None:
        """Some of it, all, too much, by an old figure, twice at once, or by a key of another deposit."""
        seen = self._seen_by_merchant(action)
        if seen is None:
            return
        refundable, least = int(seen["refundable"]), LEAST[seen["currency"]]
        units = refundable // least
        amount = refundable if action.how == "all" else least * self._random.randrange(1, max(units, 2))
        expected = refundable
        if action.how == "too_much":
            amount = refundable + least
        if action.how == "stale":
            expected += least
        if action.how == "race":
            amount = least * (units // 2 + 1)
            rival = self._grant(action, seen, amount, expected, "rival")
            self._history.spawn(f"a{action.id}-rival", lambda: self._granted(self._sender.send_once(rival)))
        granted = self._sender.send_until_answered(self._grant(action, seen, amount, expected))
        self._granted(granted)
        wrong = action.how in {"too_much", "stale"}
        if wrong and granted is not None and granted.status == 201:
            self._violated("P3", f"{action.told()} was granted: {granted.body}")
        if action.how == "other_deposit" and granted is not None and granted.status == 201:
            self._by_the_same_key(action, amount, expected)

    def _by_the_same_key(self, action: Action, amount: int, expected: int) -> None:
        """A key belongs to one deposit for ever."""
        mine = self._orders[self._order_number(action)]["id"]
        others = [one for one in self._orders.values() if one["id"] != mine and one["due_now"]["currency"] == "CNY"]
        for other in others[:1]:
            seen = {"id": other["id"], "currency": other["due_now"]["currency"]}
            reply = self._sender.send(self._grant(action, seen, amount, expected))
            self._history.expect(reply, {422, 503})

    def _granted(self, reply: "Reply | None") -> None:
        self._history.expect(reply, {201, 409, 412, 429, 503})

    def _grant(
        self, action: Action, seen: dict[str, Any], amount: int, expected: int, step: str = "grant"
    ) -> IntendedRequest:
        body = {
            "deposit": seen["id"],
            "amount": money(amount, seen["currency"]),
            "expected_refundable": money(expected, seen["currency"]),
            "note": "for the trouble",
        }
        shop, thief = token("merchant", "shop", "mer_shop"), token("merchant", "thief", "mer_thief")
        return IntendedRequest("shop", shop, thief, REFUNDS, REFUNDS, body, f"k{action.id}-{step}", stranger_status=422)

    def _seen_by_merchant(self, action: Action) -> dict[str, Any] | None:
        """What can be granted, as an answer shows it; None when nothing can."""
        deposit = self._ordered(action)
        if deposit is None:
            return None
        reply = self._read(f"{ROOT}/{deposit['id']}", ONE, token("merchant", "shop", "mer_shop"))
        if reply is None:
            return None
        shown = reply.json["refundable"]
        money = Money.parse(shown["amount"], shown["currency"])
        if not money and action.how not in {"too_much", "stale"}:
            return None
        return {"id": deposit["id"], "refundable": money.minor, "currency": money.currency}

    def _read(self, path: str, template: str, bearer: str | None) -> "Reply | None":
        """Again while it is busy; None when it stays so."""
        for _ in range(TRIES):
            reply = self._history.ask("GET", path, bearer, template=template)
            self._history.expect(reply, {200, 503})
            if reply is not None and reply.status == 200:
                return reply
            self._sleep(200, 5_000)
        return None

    # An account.

    def _destination(self, action: Action) -> None:
        """Where a refund asks for an account: rightly, without consent, twice at once, another one soon after."""
        if action.how != "early":
            self._wait_until(action, lambda _bound: self._waiting_refund(action, ASKED_FOR) is not None)
        found = self._waiting_refund(action, ASKED_FOR if action.how != "early" else frozenset(RefundStatus))
        if found is None:
            return
        if action.how == "no_consent":
            reply = self._sender.send(self._naming(action, found, "a", consent=False))
            self._history.expect(reply, {422, 503})
        if action.how == "twice":
            rival = self._naming(action, found, "b")
            self._history.spawn(f"a{action.id}-rival", lambda: self._named(self._sender.send_once(rival)))
        for account in ("a", "aa", "aaa"):
            reply = self._sender.send_until_answered(self._naming(action, found, account))
            self._named(reply)
            if reply is None or reply.status != 422:
                break
        if action.how == "hurried":
            self._come_round("send_refunds", 2, (1, 600))
            self._named(self._sender.send_until_answered(self._naming(action, found, "h")))
        if action.how == "changed":
            self._sleep(MINUTE, 3 * HOUR)
            self._named(self._sender.send_until_answered(self._naming(action, found, "c")))
            self._come_round("send_refunds", 2, (DAY - 4 * HOUR, DAY + 4 * HOUR))
        self._come_round("send_refunds", 3, (1_000, 40 * MINUTE))

    def _named(self, reply: "Reply | None") -> None:
        """422 is the bank's word: no such account, or another name."""
        self._history.expect(reply, {200, 409, 422, 429, 503})

    def _naming(self, action: Action, refund_id: str, account: str, *, consent: bool = True) -> IntendedRequest:
        own = f"{action.id}{account}"
        body = {
            "kind": "bank_account",
            "holder": f"Kestrel O'Hara {own}",
            "bank": "Bank A",
            "account": f"77 KESTREL {own}",
            "consent": consent,
        }
        who = f"b{action.buyer}"
        path, template = f"{REFUNDS}/{refund_id}/destination", f"{REFUNDS}/{{refund_id}}/destination"
        key = f"k{action.id}-{account}-{consent}"
        bank = frozenset({422})
        return IntendedRequest(
            who, token("buyer", who), token("buyer", "thief"), path, template, body, key, other_statuses=bank
        )

    # Another way.

    def _reroute(self, action: Action) -> None:
        """At any state; only where nothing can be executed any more it may be done."""
        if action.how == "stuck":
            self._wait_until(action, lambda _bound: self._waiting_refund(action, STUCK) is not None)
            self._sleep(*UNTIL_IT_LANDED)
        found = self._waiting_refund(action, frozenset(RefundStatus) if action.how != "stuck" else STUCK)
        if found is None:
            return
        path, template = f"{REFUNDS}/{found}/reroute", f"{REFUNDS}/{{refund_id}}/reroute"
        intended = self._by_platform(action, path, template, {"kind": "payout", "note": "the way is closed"})
        reply = self._sender.send_until_answered(intended)
        self._history.expect(reply, REFUSED | {200})
        if reply is not None and reply.status == 200 and self._random.randrange(3):
            self._sleep(MINUTE, HOUR)
            self._named(self._sender.send_until_answered(self._naming(action, found, "r")))
            self._come_round("send_refunds", 2, (1_000, 40 * MINUTE))

    def _come_round(self, job: str, times: int, between: tuple[int, int]) -> None:
        """The schedule comes, as it does in life."""
        for _ in range(times):
            self._history.schedule_job(job, self._random.randrange(*between))

    def _by_platform(
        self, action: Action, path: str, template: str, body: dict[str, Any], step: str = "", denied: int = 403
    ) -> IntendedRequest:
        desk, other = token("platform", "desk"), token("merchant", "thief", "mer_thief")
        key, matches = f"k{action.id}{step}", template.startswith(REFUNDS)
        return IntendedRequest(
            "desk", desk, other, path, template, body, key, stranger_status=denied, reads_if_match=matches
        )

    # The buyer's bank.

    def _chargeback(self, action: Action) -> None:
        """The bank takes a payment back, and decides some time later."""
        self._wait_until(action, lambda record: record.paid_at is not None)
        state = self._state(action)
        provider = self._history.provider
        paid = [
            name
            for one in (state.payments if state is not None else ())
            if state is not None and (name := child("pay", state.id, one.n)) in provider.payments
            if provider.payments[name].captures
        ]
        if not paid:
            return
        payment_id = self._random.choice(paid)
        row = provider.payments[payment_id]
        if any(dispute.capture == row.captures[-1].ref for dispute in row.disputes):
            return
        self._disputed(payment_id, "open")
        self._come_round("send_refunds", 2, (1, 2_500))  # a job and the bank's word at once
        self._sleep(MINUTE, self._random.choice((10 * MINUTE, 8 * HOUR, 40 * HOUR)))
        self._disputed(payment_id, "won" if action.how == "won" else "lost")

    def _disputed(self, payment_id: str, status: Literal["open", "won", "lost"]) -> None:
        self._history.about_dispute = True
        self._history.provider.dispute(payment_id, status)
        self._history.about_dispute = False

    # Proofs.

    def _prove(self, action: Action) -> None:
        """A refund with its proof, which anybody can check."""
        found = self._waiting_refund(action, frozenset(RefundStatus))
        if found is None:
            return
        bearer = token("buyer", f"b{action.buyer}")
        reply = self._read(f"{REFUNDS}/{found}/proof", f"{REFUNDS}/{{refund_id}}/proof", bearer)
        if reply is None:
            return
        verdict = self._history.ask("POST", "/v1/refund-proofs/verify", None, reply.body)
        self._history.expect(verdict, {200, 503})
        if verdict is not None and verdict.status == 200 and not verdict.json["valid"]:
            self._violated("P1", f"our own proof of {found} is not valid: {verdict.body}")

    # The books.

    def _run(self, action: Action) -> None:
        """A run on demand over a span that is over, sometimes over one that is not; then its breaks, one after the other."""
        day = self._now - self._now % DAY
        spans = {
            "whole": (self._history.plan.start - DAY, self._now),
            "day": (day - DAY, day),
            "hour": (self._now - 30 * HOUR, self._now - 29 * HOUR),
            "future": (day, day + 2 * DAY),
        }
        start, end = spans[action.how]
        body = {"from": format_instant(start), "to": format_instant(end)}
        reply = self._sender.send_until_answered(self._by_platform(action, RUNS, RUNS, body))
        self._history.expect(reply, {422, 503} if action.how == "future" else {202, 409, 503})
        if reply is None or reply.status != 202:
            return
        self._come_round("reconcile", 4, (1_000, 30 * MINUTE))
        self._sleep(31 * MINUTE, 2 * HOUR)
        self._resolve(action, reply.json["id"])
        self._come_round("send_refunds", 2, (1_000, 40 * MINUTE))

    def _resolve(self, action: Action, run_id: str) -> None:
        desk, one = token("platform", "desk"), f"{RUNS}/{{run_id}}"
        self._read(f"{RUNS}/{run_id}", one, desk)
        told = self._read(f"{RUNS}/{run_id}/breaks", f"{one}/breaks", desk)
        if told is None:
            return
        for found in told.json["data"][:2]:
            deed = self._random.choice(("retry", "retry", "accept_provider", "write_off"))
            body = {"action": deed, **({"note": "looked at"} if self._random.randrange(2) else {})}
            path, template = f"{BREAKS}/{found['id']}/resolve", f"{BREAKS}/{{break_id}}/resolve"
            intended = self._by_platform(action, path, template, body, f"-{found['id'][-4:]}")
            right = {200} if deed != "retry" or found["refund"] is not None else {422}
            self._history.expect(self._sender.send_until_answered(intended), REFUSED | right)

    # What they know.

    def _state(self, action: Action) -> Deposit | None:
        deposit = self._ordered(action)
        return self._history.invariants.states.get(deposit["id"]) if deposit is not None else None

    def _waiting_refund(self, action: Action, statuses: frozenset[RefundStatus]) -> str | None:
        """The latest refund of the deposit in one of these statuses."""
        state = self._state(action)
        refunds: list[Refund] = (
            [refund for refund in state.refunds if refund.status in statuses] if state is not None else []
        )
        return child("ref", state.id, refunds[-1].n) if state is not None and refunds else None


def money(minor: int, currency: str) -> dict[str, str]:
    return {"amount": Money(minor, currency).amount, "currency": currency}
