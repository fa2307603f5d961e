"""Locking over HTTP: shown, read, typed, used once, undone while the undo is open; and everything that is no lock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import pytest

from chalicelib.core.common.instants import DAY, HOUR, MINUTE, SECOND, format_instant
from tests.web.answer_checks import (
    accepted,
    amount_of,
    attend,
    check_refusal,
    cny,
    events_of,
    identity_holds,
    instant,
    path_of,
    refunds_of,
    same,
)
from tests.world import Client, Json, Reply, World

REVIEW: Final = 10 * SECOND
LIFE: Final = 15 * MINUTE
UNDO: Final = HOUR
ALWAYS_FREE: Final[Json] = {"window": None, "lock": {"at": "never"}}  # whatever other tests do to the clock
OVERPAID: Final = cny("5001")


def shown(buyer: Client, deposit: Json, **options: Any) -> Json:
    """What a lock would mean, and what to type for it."""
    return accepted(buyer.post(f"{path_of(deposit)}/lock-intents", {}, **options), 201)


def words(seen: Json, **changes: Any) -> Json:
    """The body of a lock as the contract wants it."""
    good = {
        "intent": seen["id"],
        "disclosure_hash": seen["disclosure_hash"],
        "acknowledgement": seen["acknowledgement"],
    }
    return {**good, **changes}


def lock(buyer: Client, deposit: Json, seen: Json, asked: int | None = None, **changes: Any) -> Reply:
    """A lock by what was seen, at the earliest instant unless another is named."""
    at = instant(seen["confirmable_at"]) if asked is None else asked
    return buyer.post(f"{path_of(deposit)}/lock", words(seen, **changes), asked=at)


def locked(buyer: Client, deposit: Json) -> tuple[Json, Json]:
    intent = shown(buyer, deposit)
    return accepted(lock(buyer, deposit, intent)), intent


def unlock(buyer: Client, deposit: Json, asked: int) -> Reply:
    return buyer.post(f"{path_of(deposit)}/unlock", {}, asked=asked)


# The conversation.

LANGUAGES: Final = [
    # asked for   locale  to type           somewhere in the text
    ("en-GB",     "en",   "LOCK 5000 CNY",  "CNY 5,000 is kept"),
    ("id",        "id",   "KUNCI 5000 CNY", "CNY 5.000 ditahan"),
    ("zh-CN",     "zh",   "锁单 5000 CNY",   "5,000 元 (CNY) 将不予退还"),
    ("fr",        "en",   "LOCK 5000 CNY",  "CNY 299,900"),
]  # fmt: skip


@pytest.mark.parametrize(("wish", "locale", "typed", "told"), LANGUAGES, ids=[row[0] for row in LANGUAGES])
def test_the_whole_conversation_in_each_language(world: World, wish: str, locale: str, typed: str, told: str) -> None:
    buyer = world.buyer(accept_language=wish)
    deposit = world.paid(buyer)
    window = deposit["window"]
    at = instant(window["starts_at"]) + MINUTE
    intent = shown(buyer, deposit, asked=at)
    assert set(intent) == {
        *("id", "disclosure", "disclosure_hash", "acknowledgement", "confirmable_at", "expires_at"),
        *("object", "deposit"),
    }
    assert (intent["id"], intent["deposit"]) == (f"lki_{deposit['id'][4:]}_1", deposit["id"])
    text = intent["disclosure"].pop("text")
    assert intent["disclosure"] == {
        "amount_at_stake": cny("5000"),
        "window_ends_at": window["ends_at"],
        "locale": locale,
    }
    assert told in text
    assert "SU7 Max" in text
    assert "UTC+08:00" in text
    assert intent["acknowledgement"] == typed
    assert instant(intent["confirmable_at"]) == at + REVIEW
    assert instant(intent["expires_at"]) == at + LIFE

    early = check_refusal(lock(buyer, deposit, intent, at + REVIEW - 1), 409, "lock-review-pending")
    assert early["confirmable_at"] == intent["confirmable_at"]
    wrong = check_refusal(lock(buyer, deposit, intent, acknowledgement="yes"), 409, "lock-acknowledgement-mismatch")
    assert wrong["acknowledgement"] == typed
    done = accepted(lock(buyer, deposit, intent))
    assert done["status"] == "locked"
    assert done["lock"] == {
        "by": "buyer",
        "at": format_instant(at + REVIEW),
        "undo_until": format_instant(at + REVIEW + UNDO),
        "final": False,
    }

    undone = accepted(unlock(buyer, deposit, at + REVIEW + UNDO - 1))
    assert (undone["status"], undone["lock"]) == ("cooling_off", None)
    assert undone["window"]["ends_at"] == window["ends_at"]
    check_refusal(lock(buyer, deposit, intent, at + REVIEW + UNDO - 1), 409, "lock-intent-used")
    second = shown(buyer, deposit, asked=at + 2 * HOUR)
    again = accepted(lock(buyer, deposit, second))
    until = instant(again["lock"]["undo_until"])
    assert accepted(buyer.get(path_of(deposit), asked=until - 1))["lock"]["final"] is False
    assert accepted(buyer.get(path_of(deposit), asked=until))["lock"]["final"] is True
    late = check_refusal(unlock(buyer, deposit, until), 409, "undo-closed")
    assert late["undo_until"] == format_instant(until)
    assert identity_holds(again)


TYPED: Final = [
    # typed                 counts
    ("LOCK 5000 CNY",       True),
    ("lock 5000 cny",       True),
    ("  Lock 5000 Cny\t\n", True),
    ("LOCK 5000",           False),
    ("LOCK  5000 CNY",      False),
    ("LOCK 5,000 CNY",      False),
    ("LOCK 5000.00 CNY",    False),
    ("KUNCI 5000 CNY",      False),
    ("LOCK 5001 CNY",       False),
    (" ",                   False),
]  # fmt: skip


@pytest.fixture(scope="module")
def typing(world: World) -> tuple[Client, Json]:
    buyer = world.buyer()
    return buyer, world.paid(buyer, world.offer(**ALWAYS_FREE))


@pytest.mark.parametrize(("typed", "counts"), TYPED)
def test_capitals_and_outer_blanks_do_not_matter_and_everything_else_does(
    typing: tuple[Client, Json], typed: str, counts: bool
) -> None:
    buyer, deposit = typing
    intent = shown(buyer, deposit)
    reply = lock(buyer, deposit, intent, acknowledgement=typed)
    if not counts:
        check_refusal(reply, 409, "lock-acknowledgement-mismatch")
        reply = lock(buyer, deposit, intent)  # a refusal does not use the intent up
    accepted(reply)
    accepted(unlock(buyer, deposit, instant(intent["confirmable_at"])))


def test_an_intent_lives_to_the_millisecond(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    intent = shown(buyer, deposit)
    ends = instant(intent["expires_at"])
    late = check_refusal(lock(buyer, deposit, intent, ends), 409, "lock-intent-expired")
    assert late["expires_at"] == intent["expires_at"]
    accepted(lock(buyer, deposit, intent, ends - 1))


def test_a_lock_waits_for_its_undo_before_anything_is_made(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.paid(buyer, world.offer(merchant))
    done, _ = locked(buyer, deposit)
    until = instant(done["lock"]["undo_until"])
    ready = {"lines": [1], "inspect_at": done["updated_at"], "evidence": ["photo:1"]}
    for path, asking, body in (("ready", merchant, ready), ("balance-payments", buyer, {"payment_method": "card"})):
        told = check_refusal(asking.post(f"{path_of(deposit)}/{path}", body, asked=until - 1), 409, "wrong-state")
        assert told["final_at"] == format_instant(until)
        accepted(asking.post(f"{path_of(deposit)}/{path}", body, asked=until))
    final = next(event for event in events_of(buyer, deposit) if event["type"] == "lock.final")
    assert (final["at"], final["data"]) == (format_instant(until), {})


def test_a_lock_that_outlives_its_window_leaves_only_the_cancel_when_undone(world: World) -> None:
    """TM11: what is undone after the window's end gives freedom until the former end of the undo, cancel only."""
    buyer = world.buyer()
    deposit = world.paid(buyer)
    ends_at = instant(deposit["window"]["ends_at"])
    intent = shown(buyer, deposit, asked=ends_at - REVIEW - 1)
    done = accepted(lock(buyer, deposit, intent, ends_at - 1))
    until = ends_at - 1 + UNDO
    assert done["lock"]["undo_until"] == format_instant(until)
    undone = accepted(unlock(buyer, deposit, ends_at))
    assert undone["window"]["ends_at"] == format_instant(until)
    assert undone["actions"] == ["cancel", "withdrawals"]
    check_refusal(buyer.post(f"{path_of(deposit)}/lock-intents", {}, asked=until - 1), 409, "lock-not-allowed")
    change = {"items": [{"sku": "su7-max", "quantity": 2}]}
    assert check_refusal(buyer.post(f"{path_of(deposit)}/changes", change, asked=until - 1), 409, "wrong-state")
    late = accepted(buyer.get(path_of(deposit), asked=until))
    assert (late["lock"]["by"], late["lock"]["final"]) == ("window_end", True)
    cancelled = accepted(buyer.post(f"{path_of(deposit)}/cancel", {}, asked=until - 1))
    assert cancelled["refund"]["amount"] == cny("5000")


@pytest.mark.parametrize("after", [-1, 0], ids=["a millisecond before the end", "at the end"])
@pytest.mark.parametrize("written", [True, False], ids=["end written first", "end not written"])
def test_a_lock_asked_in_time_counts_although_the_end_was_written(world: World, written: bool, after: int) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    ends_at = instant(deposit["window"]["ends_at"])
    intent = shown(buyer, deposit, asked=ends_at - MINUTE)
    world.set_clock(format_instant(ends_at + 2 * SECOND))
    if written:
        attend(deposit)
        assert events_of(buyer, deposit)[-1]["type"] == "lock.by_window_end"
    reply = lock(buyer, deposit, intent, ends_at + after)
    if after < 0:
        assert accepted(reply)["lock"]["by"] == "buyer"
        assert accepted(buyer.get(path_of(deposit)))["actions"] == ["cancel", "claims", "unlock", "withdrawals"]
    else:
        assert check_refusal(reply, 409, "wrong-state")["state"] == "locked"
        assert accepted(buyer.get(path_of(deposit)))["lock"]["by"] == "window_end"
    attend(deposit)
    assert identity_holds(accepted(buyer.get(path_of(deposit))))


# The same key again.


def test_every_step_is_answered_again_whatever_came_later(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    path = path_of(deposit)
    opened = buyer.post(f"{path}/lock-intents", {}, idempotency_key="i", accept_language="zh")
    intent = accepted(opened, 201)
    at = instant(intent["confirmable_at"])
    done = buyer.post(f"{path}/lock", words(intent), idempotency_key="l", asked=at)
    undone = buyer.post(f"{path}/unlock", {}, idempotency_key="u", asked=at + 1)
    accepted(done)
    accepted(undone)

    def again() -> None:
        far = at + DAY
        other = buyer.post(f"{path}/lock-intents", {}, idempotency_key="i", accept_language="id", asked=far)
        same(opened, other)
        same(done, buyer.post(f"{path}/lock", words(intent), idempotency_key="l", asked=far))
        same(undone, buyer.post(f"{path}/unlock", {}, idempotency_key="u", asked=far))

    again()
    accepted(buyer.post(f"{path}/changes", {"items": [{"sku": "su7-max", "quantity": 2}]}, asked=at + 2))
    again()
    second = shown(buyer, deposit, asked=at + 3)
    again()
    accepted(lock(buyer, deposit, second))
    again()
    before = buyer.get(path, asked=at + HOUR).json["version"]
    again()
    assert buyer.get(path, asked=at + HOUR).json["version"] == before
    other = {**words(intent), "acknowledgement": "another"}
    check_refusal(buyer.post(f"{path}/lock", other, idempotency_key="l", asked=at), 422, "idempotency-key-reused")


# Bad input and abuse: rows 16, 17 and 55 to 67 of the catalogue, answered as the contract says.


@dataclass(frozen=True)
class Scene:
    """A free deposit with an intent that can be confirmed, and others beside it. Refusals change nothing."""

    world: World
    buyer: Client
    deposit: Json
    intent: Json
    other: Json
    others_intent: Json
    stranger: Client

    def lock(self, **changes: Any) -> Reply:
        return lock(self.buyer, self.deposit, self.intent, **changes)


@pytest.fixture(scope="module")
def scene(world: World) -> Scene:
    buyer, offer = world.buyer(), world.offer(**ALWAYS_FREE)
    deposit, other = world.paid(buyer, offer), world.paid(buyer, offer, quantity=2)
    intent, others_intent = shown(buyer, deposit), shown(buyer, other)
    return Scene(world, buyer, deposit, intent, other, others_intent, world.buyer())


def without(name: str) -> Callable[[Scene], Reply]:
    def ask(scene: Scene) -> Reply:
        body = {key: value for key, value in words(scene.intent).items() if key != name}
        return scene.buyer.post(f"{path_of(scene.deposit)}/lock", body)

    return ask


BAD: Final = "invalid-request"
NONE: Final = "lock-intent-invalid"
ROWS: Final[list[tuple[int, str, Callable[[Scene], Reply], int, str, str | None]]] = [
    # row what                         ask                                                     status problem pointer
    (16, "lock another's",             lambda s: lock(s.stranger, s.deposit, s.intent),         404, "not-found", None),
    (16, "another's intent to lock",   lambda s: s.stranger.post(f"{path_of(s.deposit)}/lock-intents"), 404, "not-found", None),
    (16, "unlock another's",           lambda s: s.stranger.post(f"{path_of(s.deposit)}/unlock"), 404, "not-found", None),
    (16, "another's, and a bad body",  lambda s: s.stranger.post(f"{path_of(s.deposit)}/lock", {"x": 1}), 404, "not-found", None),
    (17, "another deposit's intent",   lambda s: s.lock(intent=s.others_intent["id"]),          409, NONE, None),
    (17, "its whole disclosure",       lambda s: lock(s.buyer, s.deposit, s.others_intent),     409, NONE, None),
    (18, "5 kB of deposit",            lambda s: s.buyer.post("/v1/deposits/dep_" + "0" * 5_000 + "/lock", words(s.intent)), 404, "not-found", None),
    (18, "5 kB of deposit, unlocked",  lambda s: s.buyer.post("/v1/deposits/dep_" + "0" * 5_000 + "/unlock"), 404, "not-found", None),
    (18, "an offer for a deposit",     lambda s: s.buyer.post(f"/v1/deposits/{s.deposit['offer']}/lock-intents"), 404, "not-found", None),
    (59, "an instant of one's own",    lambda s: s.lock(requested_at="2020-01-01T00:00:00Z"),   422, BAD, "/requested_at"),
    (59, "final at once",              lambda s: s.buyer.post(f"{path_of(s.deposit)}/lock-intents", {"review": "PT0S"}), 422, BAD, "/review"),
    (59, "unlock with an instant",     lambda s: s.buyer.post(f"{path_of(s.deposit)}/unlock", {"until": None}), 422, BAD, "/until"),
    (61, "no intent",                  without("intent"),                                       422, BAD, "/intent"),
    (61, "no hash",                    without("disclosure_hash"),                              422, BAD, "/disclosure_hash"),
    (61, "no words",                   without("acknowledgement"),                              422, BAD, "/acknowledgement"),
    (61, "an intent nobody opened",    lambda s: s.lock(intent=f"lki_{s.deposit['id'][4:]}_9"), 409, NONE, None),
    (61, "intent number 0",            lambda s: s.lock(intent=f"lki_{s.deposit['id'][4:]}_0"), 409, NONE, None),
    (61, "intent number -1",           lambda s: s.lock(intent=f"lki_{s.deposit['id'][4:]}_-1"), 409, NONE, None),
    (61, "with a leading zero",        lambda s: s.lock(intent=f"lki_{s.deposit['id'][4:]}_01"), 409, NONE, None),
    (61, "in capitals",                lambda s: s.lock(intent=s.intent["id"].upper()),         409, NONE, None),
    (61, "a newline after it",         lambda s: s.lock(intent=s.intent["id"] + "\n"),          409, NONE, None),
    (61, "another kind of id",         lambda s: s.lock(intent=s.deposit["id"]),                409, NONE, None),
    (61, "no id at all",               lambda s: s.lock(intent="x"),                            409, NONE, None),
    (61, "an empty id",                lambda s: s.lock(intent=""),                             409, NONE, None),
    (61, "5 kB of intent",             lambda s: s.lock(intent="lki_" + "0" * 5_000),           409, NONE, None),
    (61, "a number too long to count", lambda s: s.lock(intent=f"lki_{s.deposit['id'][4:]}_" + "9" * 100), 409, NONE, None),
    (61, "intent null",                lambda s: s.lock(intent=None),                           422, BAD, "/intent"),
    (61, "intent true",                lambda s: s.lock(intent=True),                           422, BAD, "/intent"),
    (61, "intent as a number",         lambda s: s.lock(intent=1),                              422, BAD, "/intent"),
    (61, "intents in a list",          lambda s: s.lock(intent=[s.intent["id"]]),               422, BAD, "/intent"),
    (61, "words as a number",          lambda s: s.lock(acknowledgement=5000),                  422, BAD, "/acknowledgement"),
    (61, "words of 5 kB",              lambda s: s.lock(acknowledgement="LOCK" * 1_250),        422, BAD, "/acknowledgement"),
    (61, "hash as an object",          lambda s: s.lock(disclosure_hash={}),                    422, BAD, "/disclosure_hash"),
    (64, "faster than one can read",   lambda s: s.lock(asked=instant(s.intent["confirmable_at"]) - 1), 409, "lock-review-pending", None),
    (66, "another hash",               lambda s: s.lock(disclosure_hash="sha256:" + "0" * 64),  409, "terms-changed", None),
    (66, "another's hash",             lambda s: s.lock(disclosure_hash=s.others_intent["disclosure_hash"]), 409, "terms-changed", None),
    (66, "the hash of the terms",      lambda s: s.lock(disclosure_hash=s.deposit["terms_hash"]), 409, "terms-changed", None),
    (66, "the hash in capitals",       lambda s: s.lock(disclosure_hash=s.intent["disclosure_hash"].upper()), 409, "terms-changed", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "what", "ask", "status", "problem", "pointer"), ROWS, ids=[f"{row}-{what}" for row, what, *_ in ROWS]
)
def test_row(
    scene: Scene,
    row: int,
    what: str,
    ask: Callable[[Scene], Reply],
    status: int,
    problem: str,
    pointer: str | None,
) -> None:
    del row, what
    check_refusal(ask(scene), status, problem, pointer)


def test_nothing_of_all_this_changed_anything(scene: Scene) -> None:
    seen = accepted(scene.buyer.get(path_of(scene.deposit), asked=instant(scene.intent["confirmable_at"])))
    assert (seen["version"], seen["status"]) == (3, "cooling_off")
    assert "lock" in seen["actions"]


def test_row_60_a_phones_clock_changes_no_instant(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    far: Json = {"date": "Thu, 01 Jan 2099 00:00:00 GMT", "x_request_time": "4070908800"}
    intent = shown(buyer, deposit, **far)
    reply = buyer.post(f"{path_of(deposit)}/lock", words(intent), **far)
    check_refusal(reply, 409, "lock-review-pending")


def test_row_63_a_double_tap_locks_once(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    intent = shown(buyer, deposit)
    at = instant(intent["confirmable_at"])
    first, second = (
        buyer.post(f"{path_of(deposit)}/lock", words(intent), idempotency_key="tap", asked=at + n) for n in (0, 1)
    )
    accepted(first)
    same(first, second)
    check_refusal(lock(buyer, deposit, intent, at + 2), 409, "lock-intent-used")
    assert buyer.get(path_of(deposit), asked=at + 2).json["version"] == first.json["version"]


def test_row_65_while_a_refund_is_open_nothing_is_locked(world: World) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    world.pay(deposit, amount=OVERPAID)
    intent = shown(buyer, deposit)
    check_refusal(lock(buyer, deposit, intent), 409, "refund-in-progress")
    seen = buyer.get(path_of(deposit), asked=instant(intent["confirmable_at"])).json
    assert "lock" not in seen["actions"]
    attend(deposit)
    assert [one["status"] for one in refunds_of(buyer, deposit)] == ["succeeded"]
    done = accepted(lock(buyer, deposit, intent))
    assert (amount_of(done, "held"), amount_of(done, "refunded")) == ("5000", "1")


def test_row_66_what_was_changed_must_be_shown_again(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    old = shown(buyer, deposit)
    accepted(buyer.post(f"{path_of(deposit)}/changes", {"items": [{"sku": "su7-max", "quantity": 2}]}))
    check_refusal(lock(buyer, deposit, old), 409, "terms-changed")
    accepted(buyer.post(f"{path_of(deposit)}/changes", {"items": [{"sku": "su7-max", "quantity": 1}]}))
    check_refusal(
        lock(buyer, deposit, old), 409, "terms-changed"
    )  # closed for good, though the goods are the former ones
    new = shown(buyer, deposit)
    accepted(lock(buyer, deposit, new))


def test_a_newer_intent_closes_the_former(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    former, latest = shown(buyer, deposit), shown(buyer, deposit)
    check_refusal(lock(buyer, deposit, former, instant(latest["confirmable_at"])), 409, "lock-intent-invalid")
    accepted(lock(buyer, deposit, latest))


def test_of_two_faults_the_contract_tells_the_first(world: World) -> None:
    """Used before expired, expired before changed, changed before unread, unread before the words."""
    buyer = world.buyer()
    deposit = world.paid(buyer)
    intent = shown(buyer, deposit)
    early, late = instant(intent["confirmable_at"]) - 1, instant(intent["expires_at"])
    other, wrong = {"disclosure_hash": "sha256:0"}, {"acknowledgement": "no"}
    check_refusal(lock(buyer, deposit, intent, early, **wrong), 409, "lock-review-pending")
    check_refusal(lock(buyer, deposit, intent, early, **wrong, **other), 409, "terms-changed")
    check_refusal(lock(buyer, deposit, intent, late, **wrong, **other), 409, "lock-intent-expired")
    accepted(lock(buyer, deposit, intent))
    check_refusal(lock(buyer, deposit, intent, late, **wrong, **other), 409, "lock-intent-used")


@pytest.mark.parametrize("undo", ["PT1H", None], ids=["undo open", "no undo"])
def test_row_67_a_lock_racing_a_cancel(world: World, undo: str | None) -> None:
    """Whoever is first, it ends cancelled, once, and every fen is somewhere; a lock after the cancel is refused."""
    for _ in range(3):
        buyer = world.buyer()
        deposit = world.paid(buyer, world.offer(lock={"undo": undo}))
        intent = shown(buyer, deposit)
        at = instant(intent["confirmable_at"])
        asks = [("lock", words(intent)), ("cancel", {})]
        with ThreadPoolExecutor(2) as pool:
            tap = [pool.submit(buyer.post, f"{path_of(deposit)}/{name}", body, asked=at) for name, body in asks]
            first, second = (one.result() for one in tap)
        accepted(second)
        if first.status != 200:
            assert check_refusal(first, 409, "wrong-state")["state"] == "cancelled"
        seen = accepted(buyer.get(path_of(deposit), asked=at))
        assert seen["status"] == "cancelled"
        assert identity_holds(seen)
        kinds = [event["type"] for event in events_of(buyer, deposit)]
        assert kinds.count("deposit.cancelled") == 1
        assert kinds.count("lock.confirmed") == (first.status == 200)
        kept = undo is None and first.status == 200
        assert (seen["refund"]["amount"], amount_of(seen, "forfeited")) == (
            (cny("0"), "5000") if kept else (cny("5000"), "0")
        )


def test_twenty_intents_are_enough(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    intent = [shown(buyer, deposit) for _ in range(20)][-1]
    assert check_refusal(buyer.post(f"{path_of(deposit)}/lock-intents"), 429, "rate-limited")["most"] == 20
    at = instant(intent["confirmable_at"])
    assert accepted(buyer.get(path_of(deposit), asked=at))["actions"] == ["cancel", "changes", "lock", "withdrawals"]
    accepted(lock(buyer, deposit, intent))


# Who may lock when, and what it means to leave.


def test_the_lock_is_offered_when_its_words_may_be_typed(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    assert "lock" not in deposit["actions"]
    intent = shown(buyer, deposit)
    at = instant(intent["confirmable_at"])
    spans = (
        (at - 1, False),
        (at, True),
        (instant(intent["expires_at"]) - 1, True),
        (instant(intent["expires_at"]), False),
    )
    for instant_of_asking, offered in spans:
        seen = accepted(buyer.get(path_of(deposit), asked=instant_of_asking))
        assert ("lock" in seen["actions"]) == offered


OFFERS: Final[list[tuple[str, Json, str]]] = [
    # the offer                            terms                                            the answer
    ("locked by its window's end alone",   {"lock": {"early": False}},                      "lock-not-allowed"),
    ("locked by its payment",              {"preset": "su7_founders_2024"},                 "wrong-state"),
    ("locked by its payment for good",     {"preset": "su7_founders_2024", "lock": {"undo": None}}, "wrong-state"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "terms", "problem"), OFFERS, ids=[row[0] for row in OFFERS])
def test_some_offers_have_no_lock_of_the_buyers(world: World, what: str, terms: Json, problem: str) -> None:
    del what
    buyer = world.buyer()
    deposit = world.paid(buyer, world.offer(**terms))
    check_refusal(buyer.post(f"{path_of(deposit)}/lock-intents"), 409, problem)
    assert "lock-intents" not in deposit["actions"]


def test_without_an_end_a_deposit_is_free_until_its_buyer_locks(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer, world.offer(**ALWAYS_FREE))
    assert deposit["window"]["ends_at"] is None
    intent = shown(buyer, deposit)
    assert intent["disclosure"]["window_ends_at"] is None
    done = accepted(lock(buyer, deposit, intent))
    until = instant(done["lock"]["undo_until"])
    free = accepted(unlock(buyer, deposit, until - 1))
    assert (free["status"], free["window"]["ends_at"]) == ("cooling_off", None)


def test_where_nothing_is_kept_the_words_say_so(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer, world.offer(payment={"nature": "reservation"}))
    intent = shown(buyer, deposit)
    assert intent["disclosure"]["amount_at_stake"] == cny("0")
    assert intent["acknowledgement"] == "LOCK 0 CNY"
    done = accepted(lock(buyer, deposit, intent))
    until = instant(done["lock"]["undo_until"])
    cancelled = accepted(buyer.post(f"{path_of(deposit)}/cancel", {}, asked=until))
    assert (cancelled["refund"]["amount"], amount_of(cancelled, "forfeited")) == (cny("5000"), "0")


@pytest.mark.parametrize(("after", "back", "kept"), [(-1, "5000", "0"), (0, "0", "5000")])
def test_a_cancel_after_the_lock_is_free_until_the_undo_ends(world: World, after: int, back: str, kept: str) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    done, _ = locked(buyer, deposit)
    at = instant(done["lock"]["undo_until"]) + after
    preview = f"{path_of(deposit)}/refund-preview?cause=buyer_cancel&at={format_instant(at)}"
    told = accepted(buyer.get(preview))
    cancelled = accepted(buyer.post(f"{path_of(deposit)}/cancel", {}, asked=at))
    assert (cancelled["refund"]["amount"], amount_of(cancelled, "forfeited")) == (cny(back), kept)
    assert (told["amount"], told["lines"]) == (cancelled["refund"]["amount"], cancelled["refund"]["lines"])
    assert identity_holds(cancelled)


def test_the_curve_after_a_lock_has_its_edge_where_the_undo_ends(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    done, _ = locked(buyer, deposit)
    until = done["lock"]["undo_until"]
    path = f"{path_of(deposit)}/refund-curve"

    def points(at: int) -> list[tuple[str | None, Json]]:
        return [(point["to"], point["amount"]) for point in accepted(buyer.get(path, asked=at))["points"]]

    assert points(instant(until) - 1) == [(until, cny("5000")), (None, cny("0"))]
    assert points(instant(until)) == [(None, cny("0"))]
    accepted(unlock(buyer, deposit, instant(until) - 1))
    ends_at = deposit["window"]["ends_at"]
    assert points(instant(until)) == [(ends_at, cny("5000")), (None, cny("0"))]


# The evidence.


def test_the_history_keeps_what_was_shown_and_nothing_of_the_shelves(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.paid(buyer, world.offer(merchant))
    done, intent = locked(buyer, deposit)
    at = instant(done["lock"]["at"])
    accepted(unlock(buyer, deposit, at + 1))
    events = accepted(merchant.get(f"{path_of(deposit)}/events", asked=at + 1))["data"]
    assert [event["type"] for event in events] == [
        *("deposit.created", "payment.succeeded"),
        *("lock.intent_opened", "lock.confirmed", "lock.undone"),
    ]
    opened, confirmed, undone = events[2:]
    disclosure = intent["disclosure"]
    assert opened["data"] == {
        "intent": 1,
        "text": ["lock_goods/1", "lock_free_until/1", "lock_undo/1", "lock_stake/1"],
        "arguments": opened["data"]["arguments"],
        "locale": "en",
        "amount_at_stake": disclosure["amount_at_stake"],
        "disclosure_hash": intent["disclosure_hash"],
        "acknowledgement": intent["acknowledgement"],
        "confirmable_at": intent["confirmable_at"],
        "expires_at": intent["expires_at"],
        "window_ends_at": disclosure["window_ends_at"],
    }
    filled = {argument["name"]: argument["words"] for argument in opened["data"]["arguments"]}
    assert set(filled) == {"goods", "total", "paid", "stake", "until", "undo"}
    assert all(word in disclosure["text"] for word in filled.values())
    assert confirmed["data"] == {
        "intent": 1,
        "disclosure_hash": intent["disclosure_hash"],
        "undo_until": done["lock"]["undo_until"],
    }
    assert undone["data"] == {"window_ends_at": None}
    assert [event["actor"]["id"] for event in events[2:]] == [deposit["buyer"]] * 3
    shelves = {"stock", "batch", "limit_units", "token_key"}
    assert not [event for event in events if shelves & set(event["data"])]


def test_the_founders_edition_is_final_an_hour_after_its_payment(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer, world.offer(preset="su7_founders_2024"))
    until = deposit["lock"]["undo_until"]
    world.set_clock(until)
    before = events_of(buyer, deposit)
    attend(deposit)
    events = events_of(buyer, deposit)
    assert events == before
    assert [event["type"] for event in events[1:]] == ["payment.succeeded", "lock.by_payment", "lock.final"]
    assert events[2]["data"] == {"undo_until": until}
    assert (events[3]["at"], events[3]["actor"]["id"]) == (until, None)
    check_refusal(buyer.post(f"{path_of(deposit)}/unlock"), 409, "undo-closed")
    assert accepted(buyer.get(path_of(deposit)))["lock"]["final"] is True


def test_reminders_come_at_the_distances_that_the_terms_name(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer, world.offer(lock={"remind_before": ["PT3H", "PT200H", "PT1H"]}))
    ends_at = instant(deposit["window"]["ends_at"])
    done = accepted(buyer.get(f"{path_of(deposit)}/events", asked=ends_at - 2 * HOUR))["data"][2:]
    assert [(event["type"], event["at"], event["data"]) for event in done] == [
        ("lock.reminder", format_instant(ends_at - 3 * HOUR), {"window_ends_at": deposit["window"]["ends_at"]})
    ]
