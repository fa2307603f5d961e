"""What anybody may see: health, offers, presets, markets, and the payment page."""

import pytest

from tests.web.answer_checks import accepted, check_answer, check_refusal
from tests.world import World

PRESETS = {"recommended", "su7_2024", "su7_founders_2024", "flash_sale", "trade_in_id"}


def test_the_service_is_well(world: World) -> None:
    assert accepted(world.anyone().get("/healthz")) == {"status": "ok"}
    head = world.anyone().call("HEAD", "/healthz")
    assert (head.status, head.raw) == (200, b"")


def test_a_broken_token_does_not_matter_where_none_is_needed(world: World) -> None:
    for token in ("x", "", "ey.ey.ey"):
        accepted(world.anyone(token).get("/v1/offers"))


def test_presets_are_told_with_their_source(world: World) -> None:
    rows = accepted(world.anyone().get("/v1/presets"))["data"]
    assert {row["id"] for row in rows} == PRESETS
    for row in rows:
        assert row["object"] == "preset"
        assert row["source"]
        assert row["offer"]["payment"]["take"] in {"deposit", "full"}


@pytest.mark.parametrize(("locale", "word"), [("en", "Earnest"), ("id", "Uang muka"), ("zh", "定金")])
def test_markets_are_told_with_their_law_in_the_readers_language(world: World, locale: str, word: str) -> None:
    rows = accepted(world.anyone().get("/v1/markets", accept_language=locale))["data"]
    assert [row["code"] for row in rows] == ["CN", "EU", "ID"]
    china = accepted(world.anyone().get("/v1/markets/CN", accept_language=locale))
    assert china == rows[0]
    assert china["object"] == "market"
    assert china["forfeit"]["cap_percent"] == 20
    assert word in china["forfeit"]["text"]
    for row in rows:
        assert row["source"]


def test_a_market_we_do_not_serve_is_not_there(world: World) -> None:
    for code in ("US", "cn", "CN-2026", "..%2fCN"):
        check_refusal(world.anyone().get(f"/v1/markets/{code}"), 404, "not-found")


@pytest.mark.parametrize("payment", ["pay_x", "pay_" + "0" * 26 + "_1", "pay_" + "0" * 26, "dep_" + "0" * 26 + "_1"])
def test_a_payment_that_is_not_there_has_no_page(world: World, payment: str) -> None:
    check_refusal(world.anyone().get(f"/pay/{payment}"), 404, "not-found")


def test_the_payment_page_tells_a_stranger_nothing(world: World) -> None:
    """Its address is in nobody's hands but the buyer's, and all it does is lead on or say no."""
    deposit = world.paid(world.buyer())
    told = check_answer(world.anyone().get(f"/pay/{deposit['payment']['id']}"))
    assert told.status == 409
    for secret in (deposit["buyer"], deposit["merchant"], "5000"):
        assert secret not in told.raw.decode()
