"""Statutory withdrawal over HTTP: two steps, no login wall, receipts that last, everything back, and nobody named."""

import hashlib
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from chalicelib.core.common.instants import DAY, format_instant
from chalicelib.web.edge.route import ENDPOINTS
from tests.web.answer_checks import (
    accepted,
    amount_of,
    attend,
    check_refusal,
    cny,
    events_of,
    identity_holds,
    instant,
    pages,
    path_of,
    refunds_of,
    same,
)
from tests.world import Client, Json, Reply, World

NAME: Final = "Anastasia Wijayakusuma"
REACH: Final = "anastasia.w@example.com"
WHO: Final = {"name": NAME, "reach": REACH}
EURO: Final = {"amount": "1000", "currency": "EUR"}
LONG_AGO: Final = "2020-01-01T00:00:00Z"


def state(client: Client, deposit: Json, **options: Any) -> Reply:
    return client.post(f"{path_of(deposit)}/withdrawals", WHO, **options)


def confirm(client: Client, deposit: Json, receipt: Json, **options: Any) -> Reply:
    return client.post(f"{path_of(deposit)}/withdrawals/{receipt['id']}/confirm", {}, **options)


def show(client: Client, deposit: Json, receipt: Json) -> Reply:
    return client.get(f"{path_of(deposit)}/withdrawals/{receipt['id']}")


def digest(receipt: Json) -> str:
    """As anybody can compute it: canonical JSON of the three members, SHA-256."""
    kept = {name: receipt[name] for name in ("id", "content", "at")}
    canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


def europe(world: World, **changes: Any) -> Json:
    """A European offer with shipping; nothing is made to specification unless it says so."""
    terms: Json = {
        "market": "EU",
        "currency": "EUR",
        "preset": "recommended",
        "items": [{"sku": "a", "name": "A", "price": EURO, "stock": 10}],
        "payment": {"deposit": {"amount": "100", "currency": "EUR"}},
        "shipping": {"amount": "9", "currency": "EUR"},
        "delivery": {"within": None},
    }
    return world.offer(**{**terms, **changes})


def by_login(_world: World, buyer: Client, _deposit: Json) -> Client:
    return buyer


def by_token(world: World, _buyer: Client, deposit: Json) -> Client:
    """The holder of the token of the order's answer, without a login."""
    return world.anyone(deposit["withdrawal_token"])


SENDERS: Final = [by_login, by_token]


@pytest.mark.parametrize("sender", SENDERS, ids=["by login", "by token"])
def test_both_steps_and_their_receipts(world: World, sender: Any) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer, europe(world))
    world.pay(deposit)
    asking = sender(world, buyer, deposit)
    first = state(asking, deposit, idempotency_key="s")
    stated = accepted(first, 201)
    assert set(stated) == {"id", "content", "at", "digest", "object", "deposit", "status"}
    assert (stated["id"], stated["status"]) == (f"wdr_{deposit['id'][4:]}_1", "stated")
    assert first.headers["location"] == f"{path_of(deposit)}/withdrawals/{stated['id']}"
    assert all(word in stated["content"] for word in (NAME, REACH, deposit["id"], "1 x A", "UTC+0"))
    assert stated["digest"] == digest(stated)
    assert accepted(show(asking, deposit, stated)) == stated
    seen = accepted(buyer.get(path_of(deposit)))
    assert (seen["status"], seen["refund"]) == ("cooling_off", None)  # stated is not yet withdrawn

    second = confirm(asking, deposit, stated, idempotency_key="c")
    confirmed = accepted(second)
    assert (confirmed["id"], confirmed["status"]) == (stated["id"], "confirmed")
    assert confirmed["digest"] == digest(confirmed) != stated["digest"]
    assert "€109 (EUR)" in confirmed["content"]
    assert accepted(show(asking, deposit, stated)) == confirmed
    ended = accepted(buyer.get(path_of(deposit)))
    assert (ended["status"], ended["refund"]["cause"]) == ("cancelled", "withdrawal")
    assert ended["refund"]["amount"] == {"amount": "109", "currency": "EUR"}
    attend(deposit)
    assert [row["amount"] for row in world.books(deposit)] == [ended["refund"]["amount"]]
    assert identity_holds(accepted(buyer.get(path_of(deposit))))

    same(first, state(asking, deposit, idempotency_key="s"))
    same(second, confirm(asking, deposit, stated, idempotency_key="c"))
    check_refusal(confirm(asking, deposit, stated), 409, "already-cancelled")
    check_refusal(state(asking, deposit), 409, "already-cancelled")
    digests = [
        event["data"]["digest"] for event in events_of(buyer, deposit) if event["type"].startswith("withdrawal.")
    ]
    assert digests == [stated["digest"], confirmed["digest"]]


@pytest.mark.parametrize(("wish", "words"), [("en", "states the"), ("id", "menyatakan"), ("zh", "声明撤回")])
def test_a_receipt_stays_in_the_language_of_its_statement(world: World, wish: str, words: str) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    first = state(buyer, deposit, idempotency_key="s", accept_language=wish)
    stated = accepted(first, 201)
    assert words in stated["content"]
    same(first, state(buyer, deposit, idempotency_key="s", accept_language="fr"))
    confirmed = accepted(confirm(buyer, deposit, stated, accept_language="fr"))
    assert (confirmed["status"], "CNY" in confirmed["content"]) == ("confirmed", True)
    assert words not in confirmed["content"]
    again = accepted(buyer.get(f"{path_of(deposit)}/withdrawals/{stated['id']}", accept_language="fr"))
    assert again == confirmed


def completed(world: World, buyer: Client) -> Json:
    """Deposit and balance paid, everything shipped."""
    merchant = world.merchant()
    offer = world.offer(merchant, preset="su7_founders_2024", lock={"undo": None}, shipping=cny("88"))
    deposit = world.ordered(buyer, offer)
    world.pay(deposit)
    world.pay(accepted(buyer.post(f"{path_of(deposit)}/balance-payments", {"payment_method": "alipay"})))
    accepted(merchant.post(f"{path_of(deposit)}/shipments", {"lines": [{"line": 1, "quantity": 1}]}))
    return deposit


def test_after_completion_both_captures_come_back_whole(world: World) -> None:
    buyer = world.buyer()
    deposit = completed(world, buyer)
    preview = accepted(buyer.get(f"{path_of(deposit)}/refund-preview?cause=withdrawal"))
    holder = world.anyone(deposit["withdrawal_token"])
    receipt = accepted(confirm(holder, deposit, accepted(state(holder, deposit), 201)))
    assert "299,988" in receipt["content"]
    rows = refunds_of(buyer, deposit)
    assert [(row["cause"], row["amount"]) for row in rows] == [
        ("withdrawal", cny("20088")),
        ("withdrawal", cny("279900")),
    ]
    assert (preview["amount"], preview["forfeited"]) == (cny("299988"), cny("0"))
    assert [line["code"] for line in preview["lines"]] == ["paid"]
    attend(deposit)
    seen = accepted(buyer.get(path_of(deposit)))
    assert (seen["status"], seen["refund"]["amount"]) == ("cancelled", cny("20088"))
    assert (amount_of(seen, "refunded"), amount_of(seen, "held")) == ("299988", "0")
    assert sorted(row["amount"]["amount"] for row in world.books(deposit)) == ["20088", "279900"]
    assert identity_holds(seen)


@pytest.mark.parametrize("paid", [True, False], ids=["paid", "not paid"])
def test_a_preview_says_what_the_confirmation_decides(world: World, paid: bool) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer, europe(world))
    if paid:
        world.pay(deposit)
    preview = accepted(buyer.get(f"{path_of(deposit)}/refund-preview?cause=withdrawal"))
    accepted(confirm(buyer, deposit, accepted(state(buyer, deposit), 201)))
    ended = accepted(buyer.get(path_of(deposit)))
    if not paid:
        assert (ended["refund"], preview["amount"]["amount"]) == (None, "0")
        return
    assert (preview["amount"], preview["lines"]) == (ended["refund"]["amount"], ended["refund"]["lines"])


def end_of_period(arrived: str, days: int, zone: str) -> int:
    """24:00 local of the ``days``-th day after the arrival, when that is no Saturday, Sunday or holiday."""
    local = datetime.fromisoformat(arrived).astimezone(ZoneInfo(zone))
    end = (local + timedelta(days=days + 1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return int(end.astimezone(UTC).timestamp()) * 1_000


def test_the_period_runs_from_the_later_word_on_the_arrival(world: World) -> None:
    """China: 7 days after the arrival, the first day not counted; longer where the last day is a holiday."""
    buyer = world.buyer()
    deposit = completed(world, buyer)
    arrived = accepted(buyer.post(f"{path_of(deposit)}/receipt", {}))["updated_at"]
    ends_at = end_of_period(arrived, 7, "Asia/Shanghai")
    assert "withdrawals" in accepted(buyer.get(path_of(deposit), asked=ends_at - 1))["actions"]
    far = ends_at + 60 * DAY
    assert "withdrawals" not in accepted(buyer.get(path_of(deposit), asked=far))["actions"]
    told = check_refusal(state(buyer, deposit, asked=far), 409, "withdrawal-not-available")
    end = instant(told["ended_at"])
    assert ends_at <= end <= far
    check_refusal(state(buyer, deposit, asked=end), 409, "withdrawal-not-available")
    stated = accepted(state(buyer, deposit, asked=end - 1), 201)
    check_refusal(confirm(buyer, deposit, stated, asked=end), 409, "withdrawal-not-available")
    accepted(confirm(buyer, deposit, stated, asked=end - 1))


def test_where_goods_are_made_to_specification_there_is_none(world: World) -> None:
    buyer = world.buyer()
    items = [{"sku": "a", "name": "A", "price": EURO, "stock": 10, "made_to_spec": True}]
    deposit = world.ordered(buyer, europe(world, items=items))
    world.pay(deposit)
    check_refusal(state(buyer, deposit), 409, "withdrawal-not-available")
    check_refusal(buyer.get(f"{path_of(deposit)}/refund-preview?cause=withdrawal"), 409, "withdrawal-not-available")
    assert "withdrawals" not in accepted(buyer.get(path_of(deposit)))["actions"]


def test_a_statement_may_be_made_again_and_one_confirmation_ends_it(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    receipts = [accepted(state(buyer, deposit), 201) for _ in range(10)]
    assert [receipt["id"].rpartition("_")[2] for receipt in receipts] == [str(n) for n in range(1, 11)]
    assert check_refusal(state(buyer, deposit), 429, "rate-limited")["most"] == 10
    assert "withdrawals" not in accepted(buyer.get(path_of(deposit)))["actions"]
    accepted(confirm(buyer, deposit, receipts[3]))
    check_refusal(confirm(buyer, deposit, receipts[4]), 409, "already-cancelled")
    statuses = [accepted(show(buyer, deposit, receipt))["status"] for receipt in receipts]
    assert statuses == ["stated"] * 3 + ["confirmed"] + ["stated"] * 6


# The token.


def test_the_token_is_told_once_and_never_shown(world: World) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    offer = world.offer(merchant)
    first = buyer.post("/v1/deposits", world.order(offer), idempotency_key="o")
    deposit = accepted(first, 201)
    token = deposit["withdrawal_token"]
    assert token.startswith("wdt_")
    same(first, buyer.post("/v1/deposits", world.order(offer), idempotency_key="o"))
    for who in (buyer, merchant, world.person("platform")):
        for path in ("", "/events"):
            assert token.encode() not in who.get(f"{path_of(deposit)}{path}").raw
    assert "withdrawal_token" not in accepted(buyer.get(path_of(deposit)))
    listed = pages(buyer, "/v1/deposits", 100)
    assert not [row for row in listed if "withdrawal_token" in row]


def test_the_token_opens_nothing_else(world: World) -> None:
    """Every other route that asks for a login is closed, another deposit does not exist."""
    buyer = world.buyer()
    deposit, other = world.ordered(buyer), world.ordered(buyer)
    holder = world.anyone(deposit["withdrawal_token"])
    names = {"deposit_id": deposit["id"], "offer_id": deposit["offer"]}
    children = ("refund", "withdrawal", "trade_in", "run", "break", "question", "bulk", "claim")
    names |= {f"{child}_id": "x" for child in children}
    closed = [endpoint for endpoint in ENDPOINTS if endpoint.roles and "withdrawals" not in endpoint.path]
    assert len(closed) > 20
    for one in closed:
        check_refusal(holder.call(one.method, one.path.format(**names)), 401, "invalid-token")
    stated = accepted(state(buyer, other), 201)
    check_refusal(state(holder, other), 404, "not-found")
    check_refusal(confirm(holder, other, stated), 404, "not-found")
    check_refusal(show(holder, other, stated), 404, "not-found")
    check_refusal(confirm(holder, deposit, stated), 404, "not-found")
    check_refusal(show(holder, deposit, stated), 404, "not-found")
    assert accepted(buyer.get(path_of(deposit)))["version"] == 1


@pytest.fixture(scope="module")
def held(world: World) -> tuple[Json, Json]:
    """Two deposits with their tokens."""
    buyer = world.buyer()
    return world.ordered(buyer), world.ordered(buyer)


def swapped(token: str, other: str) -> str:
    """The proof of one deposit under the name of another."""
    return other[: other.rindex("_")] + token[token.rindex("_") :]


def last_changed(token: str, _other: str) -> str:
    return token[:-1] + ("0" if token[-1] != "0" else "1")


FORGED: Final = [
    # what                             token
    ("one character changed",          last_changed),
    ("another deposit's proof",        swapped),
    ("in capitals",                    lambda token, _other: token.upper()),
    ("cut off",                        lambda token, _other: token[:-1]),
    ("something behind it",            lambda token, _other: token + "0"),
    ("another underscore",             lambda token, _other: token + "_"),
    ("without a proof",                lambda token, _other: token[: token.rindex("_") + 1]),
    ("without a secret's name",        lambda token, _other: "_".join([*token.split("_")[:2], "", token.split("_")[3]])),
    ("the deposit's id",               lambda token, _other: f"wdt_{token.split('_')[1]}"),
    ("only the beginning",             lambda _token, _other: "wdt_"),
    ("5 kB",                           lambda _token, _other: "wdt_" + "0" * 5_000),
    ("letters beyond ASCII",           lambda token, _other: token[:-1] + "é"),
    ("a login that is none",           lambda _token, _other: "ey.ey.ey"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "forge"), FORGED, ids=[row[0] for row in FORGED])
def test_a_token_that_is_not_ours_opens_nothing(world: World, held: tuple[Json, Json], what: str, forge: Any) -> None:
    del what
    deposit, other = held
    token = forge(deposit["withdrawal_token"], other["withdrawal_token"])
    stranger = world.anyone(token)
    check_refusal(state(stranger, deposit), 401, "invalid-token")
    check_refusal(stranger.get(f"{path_of(deposit)}/withdrawals/wdr_{deposit['id'][4:]}_1"), 401, "invalid-token")


def test_without_a_token_there_is_a_login_to_be_asked_for(world: World, held: tuple[Json, Json]) -> None:
    deposit, _ = held
    check_refusal(state(world.anyone(), deposit), 401, "unauthenticated")
    basic: Json = {"authorization": f"Basic {deposit['withdrawal_token']}"}
    check_refusal(state(world.anyone(), deposit, **basic), 401, "unauthenticated")


# Bad input.

BODIES: Final[list[tuple[str, Json, str]]] = [
    # what                     body                                   pointer
    ("nobody",                 {"reach": REACH},                      "/name"),
    ("an empty name",          {**WHO, "name": ""},                   "/name"),
    ("a name of 201",          {**WHO, "name": "x" * 201},            "/name"),
    ("a name as a number",     {**WHO, "name": 5},                    "/name"),
    ("a name in a list",       {**WHO, "name": [NAME]},               "/name"),
    ("nowhere",                {"name": NAME},                        "/reach"),
    ("reach null",             {**WHO, "reach": None},                "/reach"),
    ("a reason",               {**WHO, "reason": "colour"},           "/reason"),
    ("an instant of one's own", {**WHO, "at": LONG_AGO},              "/at"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "body", "pointer"), BODIES, ids=[row[0] for row in BODIES])
def test_a_bad_statement_is_told_where(
    world: World, held: tuple[Json, Json], what: str, body: Json, pointer: str
) -> None:
    del what
    deposit, other = held
    holder = world.anyone(deposit["withdrawal_token"])
    path = f"{path_of(deposit)}/withdrawals"
    told = check_refusal(holder.post(path, body), 422, "invalid-request", pointer)
    assert NAME not in json.dumps(told, ensure_ascii=False)
    check_refusal(world.anyone(other["withdrawal_token"]).post(path, body), 404, "not-found")


IDS: Final = [
    "x",
    "wdr_",
    "wdr_{id}_0",
    "wdr_{id}_2",
    "wdr_{id}_01",
    "wdr_{id}_-1",
    "ref_{id}_1",
    "WDR_{id}_1",
    "wdr_{id}_" + "9" * 5_000,
]


@pytest.mark.parametrize("withdrawal", IDS, ids=[one[:16] for one in IDS])
def test_a_withdrawal_that_is_not_there_is_not_found(world: World, withdrawal: str) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    accepted(state(buyer, deposit), 201)
    found = {"id": withdrawal.format(id=deposit["id"][4:])}
    check_refusal(show(buyer, deposit, found), 404, "not-found")
    check_refusal(confirm(buyer, deposit, found), 404, "not-found")


# Nobody is named.


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_name_and_reach_stand_in_the_receipt_and_nowhere_else(world: World, logged: pytest.LogCaptureFixture) -> None:
    buyer, merchant = world.buyer(), world.merchant()
    deposit = world.ordered(buyer, world.offer(merchant))
    world.pay(deposit)
    holder = world.anyone(deposit["withdrawal_token"])
    stated = accepted(state(holder, deposit, idempotency_key="s"), 201)
    problems = [
        holder.post(f"{path_of(deposit)}/withdrawals", {**WHO, "x": NAME}),
        holder.post(f"{path_of(deposit)}/withdrawals", {**WHO, "name": NAME * 20}),
        holder.post(f"{path_of(deposit)}/withdrawals", {"name": NAME, "reach": "x"}, idempotency_key="s"),
        merchant.post(f"{path_of(deposit)}/withdrawals", WHO),
        confirm(merchant, deposit, stated),
        show(merchant, deposit, stated),
        show(world.person("platform"), deposit, stated),
    ]
    assert [reply.status for reply in problems] == [422, 422, 422, 403, 403, 403, 403]
    confirmed = accepted(confirm(holder, deposit, stated))
    attend(deposit)
    told = [reply.raw for reply in problems]
    for who in (buyer, merchant, world.person("platform")):
        told += [who.get(f"{path_of(deposit)}{path}").raw for path in ("", "/events")]
        told.append(who.get(f"/v1/refunds?deposit={deposit['id']}").raw)
    everything = b"\n".join([*told, *(record.getMessage().encode() for record in logged.records)])
    everything += logged.text.encode()
    assert not [word for word in (NAME, REACH, deposit["withdrawal_token"]) if word.encode() in everything]
    assert [NAME in receipt["content"] for receipt in (stated, confirmed)] == [True, True]
    actors = {event["actor"]["role"] for event in events_of(merchant, deposit) if "withdrawal" in event["type"]}
    assert actors == {"holder"}


def test_what_is_written_tells_a_digest_and_no_words(world: World) -> None:
    buyer = world.buyer()
    deposit = world.paid(buyer)
    stated = accepted(state(buyer, deposit), 201)
    event = events_of(buyer, deposit)[-1]
    assert (event["type"], event["at"]) == ("withdrawal.stated", stated["at"])
    assert event["data"] == {"withdrawal": 1, "digest": stated["digest"]}
    assert event["received_at"] == format_instant(instant(stated["at"]))
