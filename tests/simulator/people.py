"""Buyers and the merchant: each kind of action is a method here. A refusal that is not expected breaks the contract."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from chalicelib.core.common.ids import child
from chalicelib.core.common.instants import HOUR, MINUTE, format_instant, parse_instant
from chalicelib.core.common.money import Money
from tests.simulator.cancellation_invariants import GRACE
from tests.simulator.disputants import Disputants
from tests.simulator.persons import ONE, REFUSED, ROOT
from tests.simulator.plan import Action
from tests.simulator.provider import Paid
from tests.simulator.request_patterns import TRIES, IntendedRequest
from tests.simulator.sales import SALES
from tests.simulator.tokens import token

if TYPE_CHECKING:
    from tests.simulator.history import Reply

GROUND: Final = "PH_CONDITION_MISMATCH"
OTHER_WORDS: Final = "LOCK 1 CNY"


class People(Disputants):
    """Everybody outside. Each action is an actor that calls one method."""

    # Ordering and looking.

    def _order(self, action: Action) -> None:
        self._wait_for_sale(action)
        offer = self._history.offers[action.offer]
        body = {
            "offer": offer["id"],
            "items": [{"sku": offer["items"][0]["sku"], "quantity": action.quantity}],
            "payment_method": action.method,
            "terms_hash": offer["terms_hash"],
        }
        if SALES[action.offer].credit:
            body["items"][0]["quantity"] = 1
            body["trade_in"] = {"category": "phone", "model": "old"}
        reply = self._sender.send_until_answered(self._buyer_request(action, ROOT, ROOT, body))
        if reply is not None and reply.status == 201:
            self._orders[action.id] = reply.json
        else:
            self._history.expect(reply, REFUSED)

    def _look(self, action: Action) -> None:
        deposit = self._ordered(action)
        if deposit is None:
            return
        thief = self._history.strikes("client.not_the_owner")
        buyer = (action.buyer + 1) % 3 if thief else action.buyer
        reply = self._history.ask("GET", f"{ROOT}/{deposit['id']}", token("buyer", f"b{buyer}"), template=ONE)
        if reply is not None and reply.status not in ({404, 503} if thief else {200, 503}):
            self._violated("P9" if thief else "contract", f"look answered {reply.status} {reply.body}")

    def _list(self, action: Action) -> None:
        """A buyer's list shows nobody else's deposits (P9); the index may lag, so some may be missing."""
        reply = self._history.ask("GET", ROOT, token("buyer", f"b{action.buyer}"))
        self._history.expect(reply, {200, 503})
        if reply is not None and reply.status == 200:
            buyers = {row["buyer"] for row in reply.json["data"]}
            mine = {self._history.invariants.states[row["id"]].created.buyer for row in reply.json["data"]}
            if len(buyers) > 1 or buyers != mine:
                self._violated("P9", f"{action.buyer} was shown {buyers}")

    def _close(self, action: Action) -> None:
        """The merchant ends a sale; orders accepted before must stay accepted (P8)."""
        offer = self._history.offers.get(action.offer)
        if offer is None:
            return
        path, merchant = f"/v1/offers/{offer['id']}/close", token("merchant", "shop", "mer_shop")
        for _ in range(TRIES):
            reply = self._history.ask("POST", path, merchant, {}, key="close", template="/v1/offers/{offer_id}/close")
            self._history.expect(reply, {200, 503})
            if reply is not None and reply.status == 200:
                return
            self._sleep(200, 5_000)

    # Paying.

    def _pay(self, action: Action) -> None:
        """The buyer opens the provider's page through us and pays there, more or less as asked."""
        deposit = self._ordered(action)
        if deposit is None:
            return
        latest = self._history.invariants.states[deposit["id"]].payment.n
        n = self._random.randrange(1, latest + 1) if self._history.strikes("payment.on_replaced") else latest
        payment_id = child("pay", deposit["id"], n)
        for _ in range(TRIES):
            reply = self._history.ask("GET", f"/pay/{payment_id}", None, template="/pay/{payment_id}")
            if reply is not None and reply.status in {303, 409}:
                break
            self._sleep(1_000, 5_000)
        session = self._history.provider.payments.get(payment_id)
        if session is not None:
            due_at = self._history.invariants.states[deposit["id"]].payments[n - 1].due_at
            self._settle_payment(action, payment_id, session, due_at)

    def _settle_payment(self, action: Action, payment_id: str, session: Paid, due_at: int) -> None:
        history, now, amount = self._history, self._now, session.amount
        if session.captures:
            return
        if action.how == "surely":
            history.undisturbed_payments.add(payment_id)
            self._arrive(payment_id, amount)
            return
        if history.strikes("payment.failed"):
            session.status = "failed"
            history.tell(payment_id)
            return
        if history.strikes("payment.too_little"):
            amount = Money(amount.minor - 100, amount.currency)
        elif history.strikes("payment.too_much"):
            amount = Money(amount.minor + 100, amount.currency)
        elif history.strikes("payment.other_currency"):
            amount = Money(amount.minor, "USD")
        arrive = partial(self._arrive, payment_id, amount)
        if history.strikes("payment.pending"):
            session.status = "pending"
            history.tell(payment_id)
            history.scheduler.at(now + self._random.randrange(1_000, 20 * MINUTE), arrive)
            return
        at = now
        if history.strikes("payment.late"):
            at = max(now, due_at + self._random.choice((-1, 0, 1, 30_000, HOUR)))
        history.scheduler.at(at, arrive)
        if history.strikes("payment.twice"):
            history.scheduler.at(at + 5_000, arrive)

    def _arrive(self, payment_id: str, amount: Money) -> None:
        self._history.provider.pay(payment_id, amount, self._now)

    def _method(self, action: Action) -> None:
        self._buyer_commands(action, "payment-method", {"payment_method": self._some_method(action)})

    def _some_method(self, action: Action) -> str:
        return str(self._random.choice(("card", *SALES[action.offer].methods)))

    def _balance(self, action: Action) -> None:
        """The rest, when the lock is final; paid at once, some time later, or about when the time to cure ends."""
        if not self._wait_for_final(action):
            return
        reply = self._buyer_commands(action, "balance-payments", {"payment_method": self._some_method(action)})
        if reply is None or reply.status != 200:
            return
        record = self._record(action)
        if action.how == "in_time" and record is not None:
            self._wait_until(action, lambda record: record.cure_until is not None)
            self._sleep_to(record.cure_until, (-MINUTE, -1_000, -300, -100, -1, 0, 1))
        else:
            self._sleep(1_000, 6 * HOUR if action.how == "late" else 10 * MINUTE)
        self._pay(action)

    # Leaving.

    def _cancel(self, action: Action, *, plainly: bool = False) -> None:
        record = self._record(action)
        if action.how == "edge" and record is not None and record.locked is not None:
            self._sleep_to(record.final_at, (-2, -1, 0, 1))
            plainly = True
        asked = self._now
        reply = self._buyer_commands(action, "cancel", {}, plainly=plainly)
        if reply is not None and reply.status == 409 and reply.problem != "already-cancelled":
            self._refused_cancel(self._orders[self._order_number(action)]["id"], asked, reply)

    def _refused_cancel(self, deposit_id: str, asked: int, reply: "Reply") -> None:
        """P6: a paid deposit can be cancelled until it is completed; only one never paid in time is over by itself.

        Whoever asks while a payment is still being told may be answered by what stood here then.
        """
        record = self._history.invariants.records[deposit_id]
        if record.paid_at is not None and asked >= record.paid_known_at and not record.completed:
            self._violated("P6", f"{deposit_id} could not be cancelled: {reply.body}")

    def _edge_cancel(self, action: Action) -> None:
        """Within milliseconds of the window's end, and at once: no slip of the client moves the instant of asking."""
        self._wait_for_window_end(action, (-2, -1, -1, 0, 0, 1))
        self._cancel(action, plainly=True)

    def _withdraw(self, action: Action) -> None:
        """Both steps, by the buyer or by whoever holds the token, and the receipt once more."""
        deposit = self._ordered(action)
        if deposit is None:
            return
        path, template = f"{ROOT}/{deposit['id']}/withdrawals", f"{ONE}/withdrawals"
        body = {"name": f"Buyer {action.buyer}", "reach": f"b{action.buyer}@example.org"}
        stated = self._sender.send_until_answered(self._withdrawal_request(action, path, template, body))
        self._history.expect(stated, {201, 409, 429, 503})
        if stated is None or stated.status != 201:
            return
        self._sleep(1_000, 20 * MINUTE)
        mine = f"{path}/{stated.json['id']}"
        step = self._withdrawal_request(
            action, f"{mine}/confirm", f"{template}/{{withdrawal_id}}/confirm", {}, "confirm"
        )
        confirmed = self._sender.send_until_answered(step)
        self._history.expect(confirmed, {200, 409, 503})
        again = self._history.ask("GET", mine, step.bearer, template=f"{template}/{{withdrawal_id}}")
        self._history.expect(again, {200, 503})
        read = [one.json["content"] for one in (confirmed, again) if one is not None and one.status == 200]
        if len(set(read)) > 1 and confirmed is not None and confirmed.status == 200:
            self._violated("contract", f"another receipt: {read}")

    def _merchant_race(self, action: Action) -> None:
        """The merchant's cancel and something else at the same instant, or where the time to pay ends."""
        deposit = self._ordered(action)
        if deposit is None:
            return
        rivals: dict[str, Callable[[], object]] = {
            "cancel": lambda: self._buyer_commands(action, "cancel", {}, plainly=True),
            "unlock": lambda: self._buyer_commands(action, "unlock", {}, plainly=True),
            "intent": lambda: self._buyer_commands(action, "lock-intents", {}, plainly=True),
            "pay": lambda: self._pay(action),
            "expiry": lambda: self._history.schedule_job("close_windows", 0),
            "twice": lambda: self._history.expect(
                self._sender.send_once(
                    self._of_shop(action, "merchant-cancel", deposit["id"], self._cited(action), "-2")
                ),
                REFUSED | {200},
            ),
        }
        if action.how == "expiry":
            due_at = self._history.invariants.states[deposit["id"]].created.due_at
            self._sleep_to(due_at, (-1, 0, GRACE - 10, GRACE, GRACE + 5))
        self._history.spawn(f"a{action.id}-rival", rivals[action.how])
        self._merchant_cancel(action, plainly=True)

    # Locking.

    def _intent(self, action: Action) -> None:
        record = self._record(action)
        if record is not None and (record.paid_at is not None or not self._random.randrange(4)):
            self._keep_shown(action, self._buyer_commands(action, "lock-intents", {}))

    def _keep_shown(self, action: Action, reply: "Reply | None") -> None:
        if reply is not None and reply.status == 201:
            self._shown.setdefault(self._order_number(action), []).append(reply.json)

    def _lock(self, action: Action) -> None:
        """The right way, and every wrong one."""
        shown = self._latest_intent(action)
        if shown is None:
            return
        if action.how == "right":
            self._sleep_to(parse_instant(shown["confirmable_at"]), (-1, 0, 0, 1, 5_000))
        if action.how == "expiring":
            self._sleep_to(parse_instant(shown["expires_at"]), (-1, 0, 1))
        body = _answer_to(shown)
        if action.how == "words":
            body["acknowledgement"] = OTHER_WORDS
        if action.how == "hash":
            body["disclosure_hash"] = "sha256:" + "0" * 64
        if action.how == "old":
            body = _answer_to(self._shown[self._order_number(action)][0])
        if action.how == "foreign":
            others = [one[-1] for order, one in sorted(self._shown.items()) if order != self._order_number(action)]
            body["intent"] = others[0]["id"] if others else f"lki_{'0' * 26}_1"
        reply = self._buyer_commands(action, "lock", body, plainly=action.how in {"right", "expiring"})
        if action.how in {"words", "hash", "foreign"} and reply is not None and reply.status == 200:
            self._violated("P5", f"{action.told()} was accepted: {reply.body}")

    def _unlock(self, action: Action) -> None:
        record = self._record(action)
        if action.how == "edge" and record is not None and record.locked is not None:
            self._sleep_to(record.final_at, (-2, -1, 0, 1))
        self._buyer_commands(action, "unlock", {}, plainly=action.how == "edge")

    def _change(self, action: Action, *, plainly: bool = False) -> None:
        """Other goods, more or fewer of them, or the very same again."""
        self._buyer_commands(action, "changes", {"items": self._other_goods(action)}, plainly=plainly)

    def _other_goods(self, action: Action) -> list[dict[str, Any]]:
        skus = sorted(SALES[action.offer].prices)
        chosen = self._random.sample(skus, self._random.randrange(1, len(skus) + 1))
        return [{"sku": sku, "quantity": self._random.choice((1, 1, 2))} for sku in chosen]

    def _edge_lock(self, action: Action) -> None:
        """Shown just before the window ends, locked within milliseconds of it."""
        self._wait_for_window_end(action, (-10 * MINUTE, -MINUTE, -11_000))
        self._intent(action)
        self._wait_for_window_end(action, (-2, -1, -1, 0, 0, 1))
        shown = self._latest_intent(action)
        if shown is not None:
            self._buyer_commands(action, "lock", _answer_to(shown), plainly=True)

    def _edge_change(self, action: Action) -> None:
        self._wait_for_window_end(action, (-2, -1, -1, 0, 0, 1))
        self._change(action, plainly=True)

    def _race(self, action: Action) -> None:
        """A lock and its opposite at the same instant."""
        self._intent(action)
        shown = self._latest_intent(action)
        if shown is None:
            return
        self._sleep_to(parse_instant(shown["confirmable_at"]), (0, 1, 1_000))
        rivals: dict[str, Callable[[], object]] = {
            "cancel": lambda: self._cancel(action, plainly=True),
            "change": lambda: self._change(action, plainly=True),
            "unlock": lambda: self._buyer_commands(action, "unlock", {}, plainly=True),
        }
        self._history.spawn(f"a{action.id}-rival", rivals[action.how])
        self._buyer_commands(action, "lock", _answer_to(shown), plainly=True)

    # What the merchant does.

    def _ready(self, action: Action) -> None:
        record = self._record(action)
        if not self._wait_for_final(action) or record is None:
            return
        inspect_at = self._now + self._random.choice((0, MINUTE, HOUR))
        lines = list(range(1, len(record.lines) + 1))
        body = {"lines": lines, "inspect_at": format_instant(inspect_at), "evidence": ["photo:ready"]}
        self._merchant_commands(action, "ready", body)

    def _ship(self, action: Action) -> None:
        """One unit, all that is left, or more than there is; mostly when everything is paid."""
        paid = action.how == "at_once" or self._wait_until(
            action, lambda record: record.owed == 0 and record.final(self._now)
        )
        record = self._record(action)
        if not paid or record is None:
            return
        left = {line: record.to_ship(line) for line in range(1, len(record.lines) + 1)}
        lines = [{"line": line, "quantity": units} for line, units in left.items() if units > 0]
        if action.how == "one":
            lines = [{"line": one["line"], "quantity": 1} for one in lines[:1]]
        if action.how == "too_many":
            lines = [{"line": line, "quantity": ordered} for line, ordered in enumerate(record.quantities, start=1)]
        if lines:
            asked, gone, dropped = self._now, record.shipped.copy(), record.dropped.copy()
            may = record.final(asked) and not record.owed and record.ended_at is None and action.how != "too_many"
            reply = self._merchant_commands(action, "shipments", {"lines": lines})
            still = (record.shipped, record.dropped) == (gone, dropped) and not record.owed and record.ended_at is None
            unsaid = self._claims.is_due(record.id)
            if may and still and not unsaid and reply is not None and reply.status == 409:
                self._violated("P7", f"{record.id} is paid and record, and could not be shipped: {reply.body}")

    def _deliver(self, action: Action) -> None:
        self._wait_until(action, lambda record: record.shipped.total() > 0)
        self._sleep(MINUTE, HOUR)
        record = self._record(action)
        if record is None or not record.shipped.total():
            return
        arrived = max(record.shipped_at, self._now - MINUTE)
        body = {"lines": sorted(+record.shipped), "delivered_at": format_instant(arrived), "evidence": ["scan:1"]}
        self._merchant_commands(action, "deliveries", body)

    def _receipt(self, action: Action) -> None:
        if self._wait_until(action, lambda record: record.shipped.total() > 0):
            self._sleep(MINUTE, HOUR)
            self._buyer_commands(action, "receipt", {})

    def _default(self, action: Action) -> None:
        """At once, which is too early; at the very end of the cure; or later."""
        if action.how != "at_once":
            late = self._wait_until(action, lambda record: record.due_at is not None)
            record = self._record(action)
            if not late or record is None:
                return
            self._sleep_to(record.cure_until, (-1, -1, 0, 1) if action.how == "edge" else (MINUTE, HOUR))
        self._merchant_commands(action, "buyer-default", {}, plainly=action.how == "edge")

    # The old device.

    def _inspect(self, action: Action, *, plainly: bool = False) -> None:
        """The inspector's word, right and wrong."""
        body: dict[str, Any] = {"outcome": "mismatched", "grounds": [GROUND], "evidence": ["photo:1"]}
        if action.how == "matched":
            body = {"outcome": "matched"}
        wrong: dict[str, dict[str, Any]] = {
            "unproved": {"evidence": []},
            "no_ground": {"grounds": []},
            "other_category": {"grounds": ["TV_CRT"]},
        }
        body |= wrong.get(action.how, {})
        inspector = token("inspector", "eye", "mer_shop")
        intended = self._at_trade_in(
            action, "inspection", body, "eye", inspector, token("inspector", "eye", "mer_thief")
        )
        if intended is None:
            return
        if action.how in wrong:
            self._history.expect(self._sender.send_once(intended), {422, 503})
            return
        self._send_command("inspection", intended, plainly=plainly)

    def _fall_through(self, action: Action, *, plainly: bool = False) -> None:
        """Seller or courier let it fail."""
        shop, thief = token("merchant", "shop", "mer_shop"), token("merchant", "thief", "mer_thief")
        body = {"by": self._random.choice(("seller", "courier"))}
        intended = self._at_trade_in(action, "cancel", body, "shop", shop, thief)
        if intended is not None:
            self._send_command("trade-in cancel", intended, plainly=plainly)

    def _inspect_race(self, action: Action) -> None:
        """An inspection and what contradicts it, at the same instant."""
        rivals: dict[str, Callable[[], object]] = {
            "cancel": lambda: self._cancel(action, plainly=True),
            "fall_through": lambda: self._fall_through(action, plainly=True),
            "inspect": lambda: self._inspect(action, plainly=True),
        }
        self._history.spawn(f"a{action.id}-rival", rivals[action.how])
        self._inspect(action, plainly=True)

    def _at_trade_in(
        self, action: Action, name: str, body: dict[str, Any], who: str, bearer: str, stranger: str
    ) -> IntendedRequest | None:
        deposit = self._ordered(action)
        if deposit is None or deposit["trade_in"] is None:
            return None
        path = f"/v1/trade-ins/{deposit['trade_in']['id']}/{name}"
        template = f"/v1/trade-ins/{{trade_in_id}}/{name}"
        return IntendedRequest(who, bearer, stranger, path, template, body, f"k{action.id}-{name}")


def _answer_to(shown: dict[str, Any]) -> dict[str, Any]:
    """What a buyer sends who means it."""
    return {
        "intent": shown["id"],
        "disclosure_hash": shown["disclosure_hash"],
        "acknowledgement": shown["acknowledgement"],
    }
