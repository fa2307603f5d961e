"""Every fault of the sandbox in turn, from the payment to the certificate: money moves once, and the books agree.

A life is paid for, cancelled, refunded, and compared with the provider's report; a fault is armed on its way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY
from chalicelib.gateways.sandbox.faults import FAULTS
from tests.web.answer_checks import (
    ACCOUNT,
    accepted,
    amount_of,
    breaks_of,
    check_refusal,
    cny,
    identity_holds,
    instant,
    now_of,
    path_of,
    refund_at,
    refunds_of,
)
from tests.world import Client, Json, World, rupiah

DONE, SETTLED, ASKED, CAME_BACK = "succeeded", "settled", "requires_action", "returned"
# What a shop's clock does while somebody waits: seconds for answers, minutes for late ones, days for what may come back.
SOON: Final = ("PT0S", "PT2M", "PT10M")
A_DAY: Final = "PT25H"
MAX_DAYS: Final = 8


@dataclass
class Life:
    """One deposit, its buyer, and the provider's books; each look at it checks the money."""

    world: World
    buyer: Client
    began: str
    deposit: Json

    def look(self) -> Json:
        found = accepted(self.buyer.get(path_of(self.deposit)))
        assert identity_holds(found)
        assert len(self.executed()) <= len(refunds_of(self.buyer, self.deposit))
        return found

    def executed(self) -> list[Json]:
        """What the provider paid and was not given back."""
        return [row for row in self.world.books(self.deposit) if row["status"] == "succeeded"]

    def work(self, *jobs: str) -> None:
        for job in jobs or ("close_windows", "send_refunds"):
            report = self.world.run(job)
            assert report["failed"] == 0, report

    def pay(self) -> Json:
        """The buyer tries, and tries again when nothing comes of it; what came is found when time runs out."""
        for waits in (("PT2M", "PT4M"), ("PT2M", "PT8M")):
            if self.look()["status"] == "awaiting_payment":
                self.world.pay(self.deposit)
            for wait in waits:
                if self.look()["status"] == "awaiting_payment":
                    self.world.advance(wait)
                    self.work("close_windows")
        found = self.look()
        assert found["status"] == "cooling_off"
        return found

    def cancel(self) -> Json:
        accepted(self.buyer.post(f"{path_of(self.deposit)}/cancel"))
        found: Json = self.look()["refund"]
        return found

    def go_on(self, refund: Json) -> list[str]:
        """Jobs by the minute, then by the day, until nothing changes; the buyer names an account when asked.

        Gives the states that were seen on the way.
        """
        seen = [refund["status"]]
        for wait in (*SOON, *[A_DAY] * MAX_DAYS):
            self.world.advance(wait)
            self.work()
            self.look()
            status = refund_at(self.buyer, refund)["status"]
            if status in {ASKED, CAME_BACK}:
                accepted(self.buyer.post(f"/v1/refunds/{refund['id']}/destination", ACCOUNT))
            if wait == A_DAY and status == seen[-1]:
                break
            seen += [status] if status != seen[-1] else []
        return seen

    def compared(self) -> Json:
        """A certificate over the whole life, once every line had its day."""
        self.world.advance("P2D")
        return self.world.reconciled(self.began, now_of(self.buyer))

    def breaks(self, run: Json) -> list[Json]:
        return breaks_of(self.world.person("platform"), run)

    def balanced(self) -> None:
        """Line by line; what had succeeded is then final."""
        run = self.compared()
        assert (run["status"], self.breaks(run)) == ("balanced", [])
        assert all(total["difference"] == "0" for total in run["totals"])
        assert run["counts"]["in_transit"] == 0
        assert {refund["status"] for refund in refunds_of(self.buyer, self.deposit)} <= {SETTLED}


def life(world: World, method: str = "card", **changes: Any) -> Life:
    began, buyer = now_of(world.anyone()), world.buyer()
    terms: Json = {"shipping": cny("88"), "payment": {"methods": [method, "alipay"]}, **changes}
    return Life(world, buyer, began, world.ordered(buyer, world.offer(**terms)))


def paid(world: World, method: str = "card", **changes: Any) -> Life:
    one = life(world, method, **changes)
    one.pay()
    return one


# --- The provider's faults at a refund ---

AT_REFUNDS: Final = {
    # fault            states on the way, besides approved and the end
    "timeout_before":  [],
    "timeout_after":   [],
    "error_500":       [],
    "declined":        [ASKED],
    "pending":         ["pending"],
    "succeeds_later":  [],
    "returned_later":  [CAME_BACK],
    "duplicate_event": [],
    "lost_event":      [],
    "wrong_amount":    [],
}  # fmt: skip


@pytest.mark.parametrize("times", [1])
@pytest.mark.parametrize("fault", AT_REFUNDS)
def test_a_fault_at_the_refund_ends_with_the_money_once_with_the_buyer(own: World, fault: str, times: int) -> None:
    one = paid(own)
    refund = one.cancel()
    own.arm("refund", fault, times)
    seen = one.go_on(refund)
    assert seen[0] == "approved"
    assert seen[-1] in {DONE, SETTLED}, seen
    assert set(AT_REFUNDS[fault]) <= set(seen)
    assert len(one.executed()) == 1
    ended = one.look()
    assert (amount_of(ended, "refunded"), amount_of(ended, "refunding"), amount_of(ended, "held")) == ("5088", "0", "0")
    one.balanced()


def test_every_fault_of_the_contract_is_tried() -> None:
    assert set(AT_REFUNDS) == set(FAULTS["refund"]) == set(FAULTS["payment"])
    assert set(AT_WEBHOOKS) == set(FAULTS["webhook"])
    assert {fault for fault, _ in PLANTED} == set(FAULTS["settlement"])


# --- At a payment ---


@pytest.mark.parametrize("fault", AT_REFUNDS)
def test_a_fault_at_the_payment_takes_the_money_once_and_gives_it_back_once(own: World, fault: str) -> None:
    """One fen too little goes back by itself, and the buyer pays again."""
    one = life(own)
    own.arm("payment", fault)
    captured, refunds = ("10175.99", ["5088", "5087.99"]) if fault == "wrong_amount" else ("5088", ["5088"])
    assert amount_of(one.pay(), "captured") == captured
    assert one.go_on(one.cancel())[-1] in {DONE, SETTLED}
    assert sorted(row["amount"]["amount"] for row in one.executed()) == sorted(refunds)
    assert amount_of(one.look(), "captured") == captured
    one.balanced()


@pytest.mark.parametrize("fault", ["timeout_after", "lost_event"])
def test_money_whose_news_was_lost_is_found_before_the_deposit_expires(own: World, fault: str) -> None:
    one = life(own)
    own.arm("payment", fault)
    own.pay(one.deposit)
    assert one.look()["status"] == "awaiting_payment"
    own.advance("PT16M")
    one.work("close_windows")
    assert one.look()["status"] == "cooling_off"
    one.balanced()


@pytest.mark.parametrize("fault", ["timeout_after", "lost_event"])
def test_late_money_whose_news_was_lost_is_found_by_the_comparison_and_goes_back(own: World, fault: str) -> None:
    one = life(own)
    own.advance("PT16M")
    one.work("close_windows")
    assert one.look()["status"] == "expired"
    own.arm("payment", fault)
    own.pay(one.deposit)
    assert amount_of(one.look(), "captured") == "0"
    own.advance("P2D")
    run = own.reconciled(one.began, now_of(one.buyer))
    assert (run["status"], run["counts"]["repaired"]) == ("balanced", 1)
    (refund,) = refunds_of(one.buyer, one.deposit)
    assert refund["cause"] == "late_payment"
    assert one.go_on(refund)[-1] in {DONE, SETTLED}
    assert len(one.executed()) == 1
    one.balanced()


# --- In its events ---

AT_WEBHOOKS: Final = ("duplicate_event", "lost_event", "error_500")


@pytest.mark.parametrize("at", ["payment", "refund"])
@pytest.mark.parametrize("fault", AT_WEBHOOKS)
def test_an_event_that_comes_thrice_or_late_or_never_changes_nothing(own: World, fault: str, at: str) -> None:
    one = life(own)
    if at == "payment":
        own.arm("webhook", fault)
    one.pay()
    if at == "refund":
        own.arm("webhook", fault, 3)
    assert one.go_on(one.cancel())[-1] in {DONE, SETTLED}
    assert len(one.executed()) == 1
    one.balanced()


def test_a_return_whose_event_was_lost_is_found(own: World) -> None:
    """By the comparison: nothing else still looks at a refund that was settled."""
    one = paid(own)
    refund = one.cancel()
    own.arm("refund", "returned_later")
    one.work()
    own.advance("PT23H")
    one.work()
    assert refund_at(one.buyer, refund)["status"] == "succeeded"
    own.arm("webhook", "lost_event", 5)
    own.advance("PT2H")
    assert refund_at(one.buyer, refund)["status"] == "succeeded"
    own.anyone().call("DELETE", "/sandbox/faults")
    own.advance("PT26H")
    run = own.reconciled(one.began, now_of(one.buyer))
    assert (run["status"], run["counts"]["breaks"]) == ("balanced", 0)
    assert refund_at(one.buyer, refund)["status"] == CAME_BACK
    assert one.go_on(refund)[-1] in {DONE, SETTLED}
    assert len(one.executed()) == 1
    one.balanced()


# --- In its settlement report ---

PLANTED: Final = {
    # fault, at                     break                    ours     provider
    ("line_missing", "refund"):    ("missing_at_provider",  "5088",   None),
    ("line_missing", "payment"):   ("missing_at_provider",  "5088",   None),
    ("wrong_amount", "refund"):    ("amount_mismatch",      "5088",   "5087.99"),
    ("wrong_amount", "payment"):   ("amount_mismatch",      "5088",   "5087.99"),
    ("duplicate_line", "refund"):  ("duplicate",            None,     "5088"),
    ("duplicate_line", "payment"): ("duplicate",            None,     "5088"),
}  # fmt: skip
MISSING: Final = ("line_missing", "refund")


@pytest.mark.parametrize(("fault", "at"), PLANTED)
def test_a_fault_in_the_report_is_the_one_break_of_the_comparison(own: World, fault: str, at: str) -> None:
    kind, ours, provider = PLANTED[fault, at]
    one = life(own)
    if at == "payment":
        own.arm("settlement", fault)
    one.pay()
    refund = one.cancel()
    if at == "refund":
        own.arm("settlement", fault)
    one.go_on(refund)
    assert len(one.executed()) == 1
    run = one.compared()
    (found,) = one.breaks(run)
    assert (run["status"], found["kind"], found["status"]) == ("breaks_open", kind, "open")
    assert (found["deposit"], found["run"]) == (one.deposit["id"], run["id"])
    assert (found["payment"], found["refund"])[at == "refund"] == (
        refund["id"] if at == "refund" else one.deposit["payment"]["id"]
    )
    assert (found["payment"], found["refund"])[at != "refund"] is None
    assert (found["ours"], found["provider"]) == tuple(cny(one) if one else None for one in (ours, provider))
    own.advance("P4D")
    one.work()
    # Final only once a report showed it.
    if at == "payment" or fault != "wrong_amount":
        assert refund_at(one.buyer, refund)["status"] == (DONE if (fault, at) == MISSING else SETTLED)
    again = own.reconciled(one.began, run["to"])
    assert again["id"] != run["id"]
    told = ("status", "digest", "totals", "counts")
    assert [run[name] for name in told] == [again[name] for name in told]


def test_what_no_report_shows_yet_is_in_transit_and_no_break(own: World) -> None:
    one = paid(own)
    one.cancel()
    one.work()
    run = own.reconciled(one.began, now_of(one.buyer))
    assert (run["status"], run["counts"]) == (
        "balanced",
        {"matched": 0, "repaired": 0, "in_transit": 2, "breaks": 0, "unreadable": 0},
    )
    one.balanced()


# --- Chargebacks ---


def charge_back(one: Life, *outcomes: str, amount: Json | None = None) -> None:
    for outcome in outcomes:
        body = {"outcome": f"chargeback_{outcome}", "amount": amount}
        accepted(one.world.anyone().post(f"/sandbox/payments/{one.deposit['payment']['id']}", body))
        one.look()


def statuses(one: Life) -> list[tuple[str, str]]:
    return [(refund["cause"], refund["status"]) for refund in refunds_of(one.buyer, one.deposit)]


def test_a_chargeback_that_was_won_before_the_cancel_leaves_the_refund_as_it_is(own: World) -> None:
    one = paid(own)
    charge_back(one, "opened")
    assert one.look()["refundable"] == cny("0")
    charge_back(one, "won")
    assert one.look()["refundable"] == cny("5088")
    assert one.go_on(one.cancel())[-1] in {DONE, SETTLED}
    assert len(one.executed()) == 1
    one.balanced()


def test_a_chargeback_that_was_lost_before_the_cancel_leaves_nothing_to_refund(own: World) -> None:
    one = paid(own)
    charge_back(one, "opened", "lost")
    assert statuses(one) == [("chargeback", "settled")]
    seen = one.look()
    assert (amount_of(seen, "refunded"), seen["refundable"]) == ("5088", cny("0"))
    refund = one.cancel()
    assert (refund["amount"], refund["status"]) == (cny("0"), "settled")
    one.work()
    assert own.books(one.deposit) == []
    one.balanced()


def test_a_refund_waits_for_the_bank_and_goes_its_way_when_the_shop_wins(own: World) -> None:
    one = paid(own)
    charge_back(one, "opened")
    refund = one.cancel()
    for wait in ("PT0S", "PT2M", "PT25H"):
        own.advance(wait)
        one.work()
        assert (refund_at(one.buyer, refund)["status"], own.books(one.deposit)) == ("approved", [])
    charge_back(one, "won")
    assert one.go_on(refund)[-1] in {DONE, SETTLED}
    assert len(one.executed()) == 1
    one.balanced()


@pytest.mark.parametrize("first", ["opened", "cancelled"])
def test_a_refund_that_waited_is_covered_by_the_banks_money(own: World, first: str) -> None:
    one = paid(own)
    if first == "opened":
        charge_back(one, "opened")
    refund = one.cancel()
    charge_back(one, "opened", "lost")
    for wait in ("PT0S", "PT25H"):
        own.advance(wait)
        one.work()
    covered = refund_at(one.buyer, refund)
    assert (covered["status"], covered["attempts"]) == ("settled", [])
    assert own.books(one.deposit) == []
    assert amount_of(one.look(), "refunded") == "5088"
    one.balanced()


def test_a_chargeback_after_the_money_is_back_is_told_and_changes_no_refund(own: World) -> None:
    one = paid(own)
    refund = one.cancel()
    one.go_on(refund)
    charge_back(one, "opened", "lost")
    assert refund_at(one.buyer, refund)["status"] in {DONE, SETTLED}
    assert len(one.executed()) == 1
    assert amount_of(one.look(), "refunded") == "5088"
    one.balanced()


def test_a_chargeback_of_a_part_leaves_the_rest_to_the_refund(own: World) -> None:
    one = paid(own)
    charge_back(one, "opened", "lost", amount=cny("1000"))
    assert one.look()["refundable"] == cny("4088")
    refund = one.cancel()
    assert refund["amount"] == cny("4088")
    assert [line["code"] for line in refund["lines"]] == ["paid", "already_refunded"]
    assert one.go_on(refund)[-1] in {DONE, SETTLED}
    assert [row["amount"] for row in one.executed()] == [cny("4088")]
    one.balanced()


def test_a_lost_event_of_a_chargeback_is_made_up_for_by_a_look(own: World) -> None:
    one = paid(own)
    charge_back(one, "opened")
    own.arm("webhook", "lost_event")
    charge_back(one, "lost")
    assert one.look()["money"]["refunded"] == cny("0")
    own.advance("PT25H")
    one.work()
    assert statuses(one) == [("chargeback", "settled")]
    one.balanced()


# --- Payments that are not what was asked ---

Paying = Callable[[World, Life], None]


def too_little(world: World, one: Life) -> None:
    world.pay(one.deposit, amount=cny("5087.99"))


def too_much(world: World, one: Life) -> None:
    world.pay(one.deposit, amount=cny("5088.01"))


def in_rupiah(world: World, one: Life) -> None:
    world.pay(one.deposit, amount=rupiah("5088"))


def twice(world: World, one: Life) -> None:
    """By a method that was replaced, and by the one that replaced it."""
    other = accepted(one.buyer.post(f"{path_of(one.deposit)}/payment-method", {"payment_method": "alipay"}))
    world.pay(other)
    world.pay(one.deposit)


def too_late(world: World, one: Life) -> None:
    world.advance("PT16M")
    one.work("close_windows")
    world.pay(one.deposit)


STRAY: Final[list[tuple[Paying, str, str, Json]]] = [
    (too_little, "amount_mismatch", "awaiting_payment", cny("5087.99")),
    (too_much, "overpayment", "cooling_off", cny("0.01")),
    (in_rupiah, "amount_mismatch", "awaiting_payment", rupiah("5088")),
    (twice, "duplicate_payment", "cooling_off", cny("5088")),
    (too_late, "late_payment", "expired", cny("5088")),
]


@pytest.mark.parametrize(("paying", "cause", "status", "amount"), STRAY, ids=[row[0].__name__ for row in STRAY])
def test_money_that_is_not_what_was_asked_goes_back_by_itself_and_balances(
    own: World, paying: Paying, cause: str, status: str, amount: Json
) -> None:
    one = life(own)
    paying(own, one)
    (refund,) = refunds_of(one.buyer, one.deposit)
    assert (refund["cause"], refund["amount"]) == (cause, amount)
    assert one.look()["status"] == status
    assert one.go_on(refund)[-1] in {DONE, SETTLED}
    assert [row["amount"] for row in one.executed()] == [amount]
    one.balanced()


# --- Ways that are closed ---


def test_a_bank_transfer_has_no_way_back_and_asks_for_an_account(own: World) -> None:
    one = paid(own, "virtual_account")
    refund = one.cancel()
    assert (refund["status"], refund["waiting_on"], refund["destination"]) == (ASKED, "buyer", {"kind": "payout"})
    one.work()
    assert own.books(one.deposit) == []
    assert one.go_on(refund)[-1] in {DONE, SETTLED}
    (row,) = one.executed()
    assert (row["kind"], row["amount"]) == ("payout", cny("5088"))
    one.balanced()


LATE: Final = [(7 * DAY - 1_000, "approved"), (7 * DAY, ASKED)]


@pytest.mark.parametrize(("after", "status"), LATE)
def test_a_wallet_takes_money_back_for_seven_days_and_then_asks_for_an_account(
    own: World, after: int, status: str
) -> None:
    one = paid(own, "ovo", window={"kind": "elapsed", "length": "P30D"})
    path = one.look()["refund_path"]
    captured = instant(path["ends_at"]) - 7 * DAY
    assert (path["kind"], path["outlived"]) == ("original_method", True)
    reply = one.buyer.post(f"{path_of(one.deposit)}/cancel", asked=captured + after)
    assert accepted(reply)["refund"]["status"] == status
    if status == ASKED:
        own.advance("P7D")
        assert one.go_on(one.look()["refund"])[-1] in {DONE, SETTLED}
        assert [row["kind"] for row in one.executed()] == ["payout"]
        one.balanced()


def test_a_way_that_closes_before_the_job_comes_is_for_a_person_who_asks_for_an_account(own: World) -> None:
    """Approved in time, worked off too late: the promise was made for as long as the way was open."""
    one = paid(own, "ovo", window={"kind": "elapsed", "length": "P30D"})
    refund = one.cancel()
    own.advance("P7D")
    one.work()
    assert refund_at(one.buyer, refund)["waiting_on"] == "platform"
    assert own.books(one.deposit) == []
    accepted(own.person("platform").post(f"/v1/refunds/{refund['id']}/reroute", {"kind": "payout"}))
    assert one.go_on(refund)[-1] in {DONE, SETTLED}
    assert [row["kind"] for row in one.executed()] == ["payout"]
    one.balanced()


# --- Goodwill ---


def grant(merchant: Client, deposit: Json, amount: str, refundable: str, **headers: Any) -> Any:
    body = {"deposit": deposit["id"], "amount": cny(amount), "expected_refundable": cny(refundable), "note": None}
    return merchant.post("/v1/refunds", body, **headers)


def test_of_two_grants_of_sixty_out_of_a_hundred_one_is_given(own: World) -> None:
    one = paid(own, shipping=cny("0"), payment={"deposit": cny("100"), "methods": ["card"]})
    merchant = own.merchant()
    refund = accepted(grant(merchant, one.deposit, "60", "100"), 201)
    stale = check_refusal(grant(merchant, one.deposit, "60", "100"), 412, "stale-version")
    assert stale["refundable"] == cny("40")
    over = check_refusal(grant(merchant, one.deposit, "60", "40"), 409, "refund-exceeds-refundable")
    assert over["refundable"] == cny("40")
    assert one.go_on(refund)[-1] in {DONE, SETTLED}
    seen = one.look()
    assert (amount_of(seen, "refunded"), amount_of(seen, "held"), seen["refundable"]) == ("60", "40", cny("40"))
    rest = one.cancel()
    assert rest["amount"] == cny("40")
    assert one.go_on(rest)[-1] in {DONE, SETTLED}
    one.balanced()


# --- Rerouting ---


def test_the_platform_takes_a_refund_off_its_way_and_the_buyer_names_another(own: World) -> None:
    one = paid(own)
    refund = one.cancel()
    platform = own.person("platform")
    moved = accepted(platform.post(f"/v1/refunds/{refund['id']}/reroute", {"kind": "payout", "note": "card closed"}))
    assert (moved["status"], moved["waiting_on"], moved["destination"]) == (ASKED, "buyer", {"kind": "payout"})
    one.work()
    assert own.books(one.deposit) == []
    assert one.go_on(refund)[-1] in {DONE, SETTLED}
    assert [row["kind"] for row in one.executed()] == ["payout"]
    one.balanced()


@pytest.mark.parametrize("fault", ["pending", "timeout_before", "succeeds_later"])
def test_what_may_still_be_executed_cannot_be_rerouted(own: World, fault: str) -> None:
    one = paid(own)
    refund = one.cancel()
    own.arm("refund", fault)
    own.run("send_refunds")
    platform = own.person("platform")
    check_refusal(platform.post(f"/v1/refunds/{refund['id']}/reroute", {"kind": "payout"}), 409, "wrong-state")
    assert one.go_on(refund)[-1] in {DONE, SETTLED}
    check_refusal(platform.post(f"/v1/refunds/{refund['id']}/reroute", {"kind": "payout"}), 409, "wrong-state")
    assert len(one.executed()) == 1
    one.balanced()
