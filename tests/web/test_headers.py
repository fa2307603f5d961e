"""What stands in the headers: versions, languages, origins, and what keeps browsers and caches from guessing."""

from typing import Final

import pytest

from chalicelib.web.edge import responses
from chalicelib.web.edge.responses import ALLOWED, EXPOSED, SECURITY_HEADERS
from chalicelib.web.edge.route import ENDPOINTS
from tests.web.answer_checks import accepted, check_answer, check_refusal, instant, path_of
from tests.world import Json, World

SHOP: Final = "https://shop.example"


def test_an_etag_names_version_and_status_and_the_status_follows_the_clock(world: World) -> None:
    buyer, offer = world.buyer(), world.offer()
    made = buyer.post("/v1/deposits", world.order(offer))
    deposit = accepted(made, 201)
    assert made.headers["etag"] == buyer.get(path_of(deposit)).headers["etag"] == '"1-awaiting_payment"'
    due = instant(deposit["payment"]["due_at"])
    assert buyer.get(path_of(deposit), asked=due).headers["etag"] == '"2-expired"'
    world.pay(deposit)
    seen = buyer.get(path_of(deposit))
    assert seen.headers["etag"] == '"2-cooling_off"'
    ends_at = instant(seen.json["window"]["ends_at"])
    assert buyer.get(path_of(deposit), asked=ends_at).headers["etag"] == '"6-locked"'
    offered = world.anyone().get(f"/v1/offers/{offer['id']}")
    assert offered.headers["etag"] == '"1-open"'


SEEN: Final = '"1-awaiting_payment"'
# RFC 9110, section 13.1.1: any of a list, compared strongly. A tag of somebody else's may hold a comma.
LISTS: Final = [f'"old", {SEEN}', f'{SEEN},"old"', f'W/"old" , , {SEEN}', f'"a,b", {SEEN}', " * "]
NO_MATCH: Final = [
    f"W/{SEEN}",
    f'"old", W/{SEEN}',
    '"old", "older"',
    f'"old" {SEEN}',
    f"old, {SEEN}",
    f"*, {SEEN}",
    f'{SEEN}, "',
]


@pytest.mark.parametrize("match", [SEEN, "*", None, *LISTS])
def test_a_command_on_what_was_seen_is_accepted(world: World, match: str | None) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    headers: Json = {"if_match": match} if match else {}
    reply = buyer.post(f"{path_of(deposit)}/cancel", {}, **headers)
    accepted(reply)
    assert reply.headers["etag"] == '"2-cancelled"'


@pytest.mark.parametrize(
    "match", ['"2-cooling_off"', '"1-cancelled"', "1-awaiting_payment", "1", '""', '"*"', "", *NO_MATCH]
)
def test_a_command_on_something_else_is_refused(world: World, match: str) -> None:
    buyer = world.buyer()
    deposit = world.ordered(buyer)
    told = check_refusal(buyer.post(f"{path_of(deposit)}/cancel", {}, if_match=match), 412, "stale-version")
    assert told["etag"] == '"1-awaiting_payment"'
    assert buyer.get(path_of(deposit)).json["version"] == 1


def test_what_the_clock_changed_makes_an_etag_stale(world: World) -> None:
    """The buyer pressed the button of a deposit that was still free to cancel."""
    buyer = world.buyer()
    deposit = world.paid(buyer)
    ends_at = instant(deposit["window"]["ends_at"])
    path = f"{path_of(deposit)}/cancel"
    reminded = buyer.get(path_of(deposit), asked=ends_at - 1).headers["etag"]
    assert reminded == '"5-cooling_off"'
    check_refusal(buyer.post(path, {}, if_match=reminded, asked=ends_at), 412, "stale-version")
    accepted(buyer.post(path, {}, if_match=reminded, asked=ends_at - 1))


def test_offers_honour_if_match_too(world: World) -> None:
    merchant = world.merchant()
    path = f"/v1/offers/{world.offer(merchant)['id']}"
    change = {"sku": "su7-max", "change": 1}
    check_refusal(merchant.post(f"{path}/stock", change, if_match='"2-open"'), 412, "stale-version")
    check_refusal(merchant.post(f"{path}/stock", change, if_match='"2-open", W/"1-open"'), 412, "stale-version")
    accepted(merchant.post(f"{path}/stock", change, if_match='"1-open"'))
    check_refusal(merchant.post(f"{path}/close", {}, if_match='"1-open"'), 412, "stale-version")
    assert merchant.post(f"{path}/close", {}, if_match='"2-open"').headers["etag"] == '"3-closed"'


LANGUAGES: Final = [
    # asked for               title of a 404     line of a refund
    (None,                    "Not found",       "What you paid"),
    ("en",                    "Not found",       "What you paid"),
    ("id",                    "Tidak ditemukan", "Yang Anda bayar"),
    ("zh-CN,zh;q=0.9,en;q=0.8", "未找到",         "您支付的金额"),
    ("fr, id;q=0.5",          "Tidak ditemukan", "Yang Anda bayar"),
    ("fr",                    "Not found",       "What you paid"),
    ("\x00;;;q=9",            "Not found",       "What you paid"),
]  # fmt: skip


@pytest.fixture(scope="module")
def cancelled_path(world: World) -> tuple[str, str]:
    """A cancelled deposit and the token of its buyer."""
    buyer = world.buyer()
    deposit = world.paid(buyer)
    accepted(buyer.post(f"{path_of(deposit)}/cancel"))
    return path_of(deposit), str(buyer.token)


@pytest.mark.parametrize(("asked_for", "title", "line"), LANGUAGES)
def test_every_text_speaks_the_callers_language(
    world: World, cancelled_path: tuple[str, str], asked_for: str | None, title: str, line: str
) -> None:
    path, token = cancelled_path
    headers: Json = {"accept_language": asked_for} if asked_for is not None else {}
    buyer = world.anyone(token)
    missing = check_refusal(buyer.get("/v1/deposits/x", **headers), 404, "not-found")
    assert missing["title"].startswith(title)
    refund = accepted(buyer.get(path, **headers))["refund"]
    assert refund["lines"][0]["text"] == line
    assert accepted(buyer.get(f"/v1/refunds/{refund['id']}", **headers))["lines"][0]["text"] == line


FAULTS: Final = [
    ("en", "This field is not known here; check its spelling."),
    ("id", "Kolom ini tidak dikenal di sini; periksa ejaannya."),
    ("zh", "此处没有这个字段，请检查拼写。"),  # noqa: RUF001 - Chinese has its own comma
]


@pytest.mark.parametrize(("asked_for", "text"), FAULTS)
def test_faults_of_fields_speak_it_too(world: World, asked_for: str, text: str) -> None:
    told = check_refusal(
        world.buyer().post("/v1/deposits", {"x": 1}, accept_language=asked_for), 422, "invalid-request"
    )
    assert {"pointer": "/x", "detail": text} in told["errors"]


ANSWERS: Final = [
    # method, path, status
    ("GET",  "/v1/offers",            200),
    ("GET",  "/v1/nothing",           401),
    ("GET",  "/v1/deposits",          401),
    ("GET",  "/nothing",              404),
    ("PUT",  "/healthz",              405),
    ("POST", "/v1/deposits",          413),
    ("GET",  "/v1/offers?limit=0",    422),
    ("POST", "/v1/provider-events/x", 404),
    ("GET",  "/problems/busy",        200),
    ("GET",  "/sandbox/clock",        200),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
def test_every_answer_carries_what_protects_it_and_names_the_origin_back(
    world: World, method: str, path: str, status: int
) -> None:
    body = b" " * 70_000 if status == 413 else b"{}" if method == "POST" else None
    reply = check_answer(world.anyone().call(method, path, body, origin=SHOP))
    assert reply.status == status
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["access-control-expose-headers"] == EXPOSED
    without = check_answer(world.anyone().call(method, path, body))
    assert "access-control-allow-origin" not in without.headers


def test_only_the_origins_of_the_settings_are_named_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responses, "_origins", lambda: (SHOP,))
    anyone = world.anyone()
    assert anyone.get("/v1/offers", origin=SHOP).headers["access-control-allow-origin"] == SHOP
    for stranger in ("https://shop.example.evil", "http://shop.example", "null", SHOP.upper(), f"{SHOP}/", ""):
        reply = check_answer(anyone.get("/v1/offers", origin=stranger))
        assert "access-control-allow-origin" not in reply.headers, stranger
        preflight = anyone.call("OPTIONS", "/v1/offers", None, origin=stranger)
        assert "access-control-allow-origin" not in preflight.headers, stranger


def test_no_cookie_is_ever_asked_for(world: World) -> None:
    reply = world.anyone().get("/v1/offers", origin=SHOP)
    assert "access-control-allow-credentials" not in reply.headers
    assert "set-cookie" not in reply.headers


@pytest.mark.usefixtures("world")
def test_the_names_that_browsers_may_send_and_read_are_those_of_the_contract() -> None:
    assert set(ALLOWED.split(", ")) == {
        "Idempotency-Key",
        "If-Match",
        "Authorization",
        "Content-Type",
        "Accept-Language",
    }
    assert set(EXPOSED.split(", ")) == {"ETag", "Idempotent-Replayed", "Retry-After", "Location"}


def test_a_browser_may_ask_before_every_route(world: World) -> None:
    for path in {endpoint.path for endpoint in ENDPOINTS if not endpoint.path.startswith("/sandbox/")}:
        reply = world.anyone().call(
            "OPTIONS", path.replace("{", "").replace("}", ""), None, origin=SHOP, access_control_request_method="POST"
        )
        assert reply.status == 204, path
        assert reply.raw == b""
        assert reply.headers["access-control-allow-origin"] == "*"
        assert reply.headers["access-control-allow-headers"] == ALLOWED
        for method in ("GET", "POST", "PUT", "DELETE"):
            assert method in reply.headers["access-control-allow-methods"]
        assert {name: reply.headers.get(name.lower()) for name in SECURITY_HEADERS} == SECURITY_HEADERS


def test_a_missing_token_says_how_to_bring_one(world: World) -> None:
    assert world.anyone().get("/v1/deposits").headers["www-authenticate"] == "Bearer"


def test_every_problem_names_its_request(world: World) -> None:
    first, second = (check_refusal(world.anyone().get("/v1/deposits"), 401, "unauthenticated") for _ in range(2))
    assert first["instance"] == "/v1/deposits"
    assert first["request_id"] != second["request_id"]
