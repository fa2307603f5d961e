"""What a merchant takes back, rightly and wrongly: cancellations, questions, bulk runs; and what buyers do with their passes."""

from typing import TYPE_CHECKING, Any, Final

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import DAY, HOUR, MINUTE
from tests.simulator.cancellation_invariants import GRACE
from tests.simulator.claimants import Claimants
from tests.simulator.expected_reasons import APPROVE_WITHIN, REASON_RULES, RESERVE_LASTS, UNLISTED, USUAL, VALID
from tests.simulator.persons import LONGEST, ONE, REFUSED, ROOT
from tests.simulator.plan import Action
from tests.simulator.request_patterns import IntendedRequest
from tests.simulator.sales import SALES
from tests.simulator.tokens import token

if TYPE_CHECKING:
    from tests.simulator.cancellation_invariants import OpenQuestion
    from tests.simulator.history import Reply

SHOP: Final = "mer_shop"
NOTE: Final = "The supplier told us on Monday that none will come."
PASSES: Final = "/v1/priority-passes"
QUESTIONS: Final = "/v1/questions"
OF_OFFER: Final = "/v1/offers/{offer_id}"
BULKS: Final = f"{OF_OFFER}/merchant-cancellations"
EDGES: Final = (-1, -1, 0, 0, 1)
# Reasons that ask for nothing but their evidence.
PLAIN: Final = tuple(sorted(one for one in USUAL if not REASON_RULES[one].question and not REASON_RULES[one].unpaid))
PROOF: Final = tuple(f"record:{n}" for n in range(3))
# How a merchant cites what does not hold, and what is said of it as long as the order lives.
WRONG: Final = {
    "unproved": 422,
    "score": 422,
    "same": 422,
    "unasked": 422,
    "alone": 403,
    "unpublished": 409,
}


class Merchants(Claimants):
    """Each kind of action is a method here. A refusal that is not expected breaks the contract."""

    # Cancelling.

    def _merchant_cancel(self, action: Action, *, plainly: bool = False) -> None:
        """For a published reason with its evidence, and in every wrong way; at the very edge of a question's time."""
        deposit = self._ordered(action)
        if deposit is None:
            return
        if action.how == "question":
            self._on_silence(action, deposit["id"])
            return
        body = self._cited(action)
        if action.how in WRONG:
            reply = self._sender.send_once(self._of_shop(action, "merchant-cancel", deposit["id"], body))
            ended = {409} if WRONG[action.how] == 403 else set()
            self._history.expect(reply, {WRONG[action.how], 503} | ended)
            return
        intended = self._of_shop(action, "merchant-cancel", deposit["id"], body)
        reply = self._sender.send_once(intended) if plainly else self._sender.send_until_answered(intended)
        self._history.expect(reply, REFUSED | {200})

    def _cited(self, action: Action) -> dict[str, Any]:
        codes, cited = SALES[action.offer].codes, list(PROOF)
        code = self._random.choice([one for one in PLAIN if one in codes])
        named = {
            "default": ("OUT_OF_STOCK", cited[:1]),
            "limit": ("LIMIT_ACCOUNT", cited[:1]),
            "unpaid": ("PAYMENT_TIMEOUT", cited[:1]),
            "unproved": (code, []),
            "score": ("BOT_AUTOMATION", ["Score:97", *cited[:1], "score:98"]),
            "same": ("BOT_AUTOMATION", [cited[0], cited[0]]),
            "unasked": ("ADDRESS_INVALID", cited[:2]),
            "alone": (UNLISTED, cited[:1]),
            "unpublished": (self._unpublished(action), cited),
        }
        reason, evidence = named.get(action.how, (code, cited[: REASON_RULES[code].evidence]))
        note = {"note": NOTE} if reason == UNLISTED or not self._random.randrange(4) else {}
        return {"reason": reason, "evidence": evidence, **note}

    def _unpublished(self, action: Action) -> str:
        codes = SALES[action.offer].codes
        rest = [one for one in sorted(REASON_RULES) if one not in codes and not REASON_RULES[one].question]
        return str(self._random.choice([*rest, "NO_SUCH_CODE"]))

    def _on_silence(self, action: Action, deposit_id: str) -> None:
        """By a question that this buyer did not answer, about the instant at which its time is over."""
        kinds = {"address": "ADDRESS_INVALID", "contact": "BUYER_UNREACHABLE"}
        asked = [
            (n, one)
            for (pk, n), one in self._history.invariants.cancellations.questions.items()
            if pk == deposit_id and (one.kind in kinds or self._random.randrange(2))
        ]
        if not asked:
            return
        n, one = self._random.choice(asked)
        silent_at = one.due_at + GRACE
        about = self._random.choice((one.due_at, silent_at, silent_at))
        self._sleep_to(about, self._random.choice((EDGES, EDGES, (-HOUR, HOUR))), 60 * HOUR)
        reason = kinds.get(one.kind, "ADDRESS_INVALID")
        items = [*PROOF[: REASON_RULES[reason].evidence - 1], child("qst", deposit_id, n)]
        intended = self._of_shop(action, "merchant-cancel", deposit_id, {"reason": reason, "evidence": items})
        at, silent = self._now, one.kind in kinds and not one.answered
        reply = self._sender.send_once(intended)
        self._history.expect(reply, REFUSED | {200, 422})
        if silent and at >= silent_at and not one.answered and reply is not None and reply.status == 422:
            self._violated("contract", f"{deposit_id} was asked, and nobody answered: {reply.body}")

    # Questions.

    def _ask(self, action: Action) -> None:
        deposit = self._ordered(action)
        if deposit is None:
            return
        body = {"kind": action.how, "text": "Where shall it go?"}
        reply = self._sender.send_until_answered(self._of_shop(action, "questions", deposit["id"], body))
        self._history.expect(reply, {201, 409, 429, 503})

    def _answer(self, action: Action) -> None:
        """Soon, about the end of its time, late, or twice."""
        deposit = self._ordered(action)
        if deposit is None:
            return
        mine = [
            (n, one) for (pk, n), one in self._history.invariants.cancellations.questions.items() if pk == deposit["id"]
        ]
        if not mine:
            return
        n, one = mine[-1]
        self._answer_at(action, one)
        question = child("qst", deposit["id"], n)
        path, template = f"{QUESTIONS}/{question}/answer", f"{QUESTIONS}/{{question_id}}/answer"
        intended = self._buyer_request(action, path, template, {"text": "To my sister's."}, "answer")
        reply = self._sender.send_once(intended) if action.how == "edge" else self._sender.send_until_answered(intended)
        self._history.expect(reply, REFUSED | {200})
        read = self._history.ask(
            "GET", f"{QUESTIONS}/{question}", intended.bearer, template=f"{QUESTIONS}/{{question_id}}"
        )
        self._history.expect(read, {200, 503})

    def _answer_at(self, action: Action, one: "OpenQuestion") -> None:
        if action.how == "edge":
            self._sleep_to(one.due_at, EDGES, 60 * HOUR)
        if action.how == "late":
            self._sleep_to(one.due_at, (MINUTE, 5 * HOUR), 60 * HOUR)

    # Many at once.

    def _bulk(self, action: Action) -> None:
        """All orders of a sale that are known by now, and sometimes one of another; then somebody agrees, or nobody does."""
        offer = self._history.offers.get(action.offer)
        if offer is None:
            return  # nobody ordered anything of it
        known = list(self._orders.values())
        mine = [one["id"] for one in known if one["offer"] == offer["id"]]
        named = mine + [one["id"] for one in known if one["offer"] != offer["id"]][:1] * self._random.randrange(2)
        if not named:
            return
        if action.how == "one":
            named = named[:1]
        reply = self._sender.send_until_answered(self._of_many(action, offer["id"], self._bulk_body(action, named)))
        wrong = {"unproved": 422, "unpublished": 409}.get(action.how, 202)
        self._history.expect(reply, {wrong, 503})
        if reply is None or reply.status != 202:
            return
        self._agree(action, offer["id"], reply.json)
        self._come_round("close_windows", 3, (1_000, 20 * MINUTE))
        self._sleep(MINUTE, 3 * HOUR)
        one = f"{BULKS}/{{bulk_id}}"
        self._read(_at(one, offer["id"], reply.json["id"]), one, token("merchant", "shop", SHOP))
        counts = f"{OF_OFFER}/cancellations"
        self._read(_at(counts, offer["id"]), counts, None)

    def _bulk_body(self, action: Action, named: list[str]) -> dict[str, Any]:
        codes = SALES[action.offer].codes
        plain = [one for one in PLAIN if one in codes]
        other = UNLISTED in codes and self._random.randrange(2)
        reason = UNLISTED if other else self._random.choice(("OUT_OF_STOCK", *plain))
        if action.how == "unpublished":
            reason = next((one for one in (*PLAIN, UNLISTED) if one not in codes), "NO_SUCH_CODE")
        evidence = [] if action.how == "unproved" else list(PROOF[: REASON_RULES[reason].evidence])
        note = {"note": NOTE} if reason == UNLISTED or self._random.randrange(2) else {}
        return {"deposits": named, "reason": reason, "evidence": evidence, **note}

    def _agree(self, action: Action, offer_id: str, shown: dict[str, Any]) -> None:
        """By who asked, by somebody else, by both at once, about when it is too late, or never."""
        waits = shown["status"] == "awaiting_approval"
        if action.how in {"same", "both"}:
            reply = self._sender.send_once(self._approving(action, offer_id, shown["id"], "shop"))
            self._history.expect(reply, {403, 503})
        if action.how == "never":
            return
        if action.how == "last":
            asked = self._history.invariants.cancellations.bulks[shown["id"]].asked.at
            self._sleep_to(asked + APPROVE_WITHIN, EDGES, 80 * HOUR)
        else:
            self._sleep(1_000, 2 * HOUR)
        if action.how != "same":
            approving = self._approving(action, offer_id, shown["id"], "deputy")
            agreed = (
                self._sender.send_once(approving)
                if action.how == "last"
                else self._sender.send_until_answered(approving)
            )
            self._history.expect(agreed, REFUSED | {200})
            if agreed is not None and agreed.status == 200 and not waits:
                self._violated("P12", f"{shown['id']} needed nobody: {agreed.body}")

    def _approving(self, action: Action, offer_id: str, bulk_id: str, who: str) -> IntendedRequest:
        template = f"{BULKS}/{{bulk_id}}/approve"
        bearer, thief = token("merchant", who, SHOP), token("merchant", "thief", "mer_thief")
        key = f"k{action.id}-{who}"
        path, also = _at(template, offer_id, bulk_id), frozenset({403})
        return IntendedRequest(who, bearer, thief, path, template, {}, key, other_statuses=also)

    def _of_many(self, action: Action, offer_id: str, body: dict[str, Any]) -> IntendedRequest:
        shop, thief = token("merchant", "shop", SHOP), token("merchant", "thief", "mer_thief")
        return IntendedRequest(
            "shop", shop, thief, _at(BULKS, offer_id), BULKS, body, f"k{action.id}", reads_if_match=False
        )

    def _of_shop(
        self, action: Action, name: str, deposit_id: str, body: dict[str, Any], step: str = ""
    ) -> IntendedRequest:
        shop, thief = token("merchant", "shop", SHOP), token("merchant", "thief", "mer_thief")
        path, key = f"{ROOT}/{deposit_id}/{name}", f"k{action.id}-{name}{step}"
        also = frozenset({403, 422, 429})
        return IntendedRequest("shop", shop, thief, path, f"{ONE}/{name}", body, key, other_statuses=also)

    # Passes.

    def _pass_order(self, action: Action) -> None:
        """With a pass that came of an order: before the sale opens, at its edges, twice at once, somebody else's, dearer."""
        held = self._awaited_pass(action)
        if held is None:
            return
        self._wait_for_sale(action)
        wrong = {"foreign": {404}, "two": {409}, "dear": {409}}.get(action.how)
        buyer = (action.buyer + 1) % 3 if action.how == "foreign" else action.buyer
        if action.how == "twice":
            rival = self._with_pass(action, action.buyer, held, "-rival")
            self._history.spawn(
                f"a{action.id}-rival", lambda: self._bought(action, self._sender.send_once(rival), None)
            )
        reply = self._sender.send_until_answered(self._with_pass(action, buyer, held))
        self._bought(action, reply, wrong)
        bearer = token("buyer", f"b{action.buyer}")
        self._only_own(self._read(PASSES, PASSES, bearer))

    def _bought(self, action: Action, reply: "Reply | None", wrong: set[int] | None) -> None:
        self._history.expect(reply, wrong | {503} if wrong else REFUSED | {201})
        if reply is not None and reply.status == 201:
            self._orders[action.id] = reply.json

    def _with_pass(self, action: Action, buyer: int, held: str, step: str = "") -> IntendedRequest:
        offer, who = self._history.offers[action.offer], f"b{buyer}"
        quantity = 2 if action.how == "two" else 1
        body = {
            "offer": offer["id"],
            "items": [{"sku": offer["items"][0]["sku"], "quantity": quantity}],
            "payment_method": action.method,
            "terms_hash": offer["terms_hash"],
            "priority_pass": held,
        }
        bearer = token("buyer", who)
        return IntendedRequest(who, bearer, token("buyer", "thief"), ROOT, ROOT, body, f"k{action.id}{step}")

    def _awaited_pass(self, action: Action) -> str | None:
        """The latest pass of an order, for which its buyer may wait for hours."""
        until = self._now + LONGEST
        while self._pass_of(action) is None and self._now < until:
            self._sleep(MINUTE, 40 * MINUTE)
        return self._pass_of(action)

    def _pass_of(self, action: Action) -> str | None:
        deposit = self._ordered(action)
        known = self._history.invariants.cancellations.passes.items()
        found = [name for name, one in known if deposit is not None and one.origin == deposit["id"]]
        return found[-1] if found else None

    def _wait_for_sale(self, action: Action) -> None:
        """About when everybody may order, when the reserve is everybody's, or when a pass lapses."""
        opens_at = self._history.plan.start + SALES[action.offer].opens_after
        if action.how == "opening":
            self._sleep_to(opens_at, EDGES, DAY)
        if action.how == "open":
            self._sleep_to(opens_at, (MINUTE, HOUR), 2 * DAY)
        if action.how == "ended":
            self._sleep_to(opens_at + RESERVE_LASTS, EDGES, 3 * DAY)
        held = self._history.invariants.cancellations.passes.get(self._pass_of(action) or "")
        if action.how == "lapsing" and held is not None:
            self._sleep_to(held.event.valid_until, EDGES, VALID + DAY)

    def _only_own(self, reply: "Reply | None") -> None:
        """P9: a buyer is shown no other one's passes."""
        created = self._history.invariants.cancellations.created
        buyers = {created[row["origin"]].buyer for row in reply.json["data"]} if reply is not None else set()
        if len(buyers) > 1:
            self._violated("P9", f"passes of {sorted(buyers)} are shown together")


def _at(template: str, offer_id: str, bulk_id: str = "") -> str:
    return template.replace("{offer_id}", offer_id).replace("{bulk_id}", bulk_id)
