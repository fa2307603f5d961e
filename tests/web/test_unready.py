"""A container that cannot be built, for want of its settings above all: it says so in the contract's words, everywhere."""

import json
import logging
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Final

import pytest

import app as lambda_app
from chalicelib import wiring
from chalicelib.core.common.refusal import Reason
from chalicelib.web.edge import responses
from chalicelib.web.edge.responses import EXPOSED
from chalicelib.web.edge.route import ENDPOINTS, Endpoint
from tests.corpus.reading import Reading
from tests.corpus.records import Json

SHOP: Final = "https://shop.example"
ROUTES: Final = [endpoint for endpoint in ENDPOINTS if not endpoint.path.startswith("/sandbox")]
SECRET: Final = "s3cr3t-of-the-service"


def call(method: str, template: str, **headers: str) -> Json:
    """One request; header names of the answer in lower case."""
    names = [part[1:-1] for part in template.split("/") if part.startswith("{")]
    event: Json = {
        "httpMethod": method,
        "resource": template,
        "path": template,
        "headers": {"origin": SHOP, **headers},
        "multiValueQueryStringParameters": None,
        "pathParameters": dict.fromkeys(names, "x") or None,
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
        "requestContext": {
            "resourcePath": template,
            "httpMethod": method,
            "path": template,
            "requestId": "unready",
            "requestTimeEpoch": 1_800_000_000_000,
            "identity": {"sourceIp": "127.0.0.1"},
        },
    }
    told = lambda_app.app(event, SimpleNamespace(aws_request_id="", function_name=""))
    return {**told, "headers": {name.lower(): str(value) for name, value in told["headers"].items()}}


def busy(reply: Json) -> None:
    """503 as the contract has it, and nothing of how we are set up."""
    assert reply["statusCode"] == 503, reply
    assert reply["headers"]["content-type"] == "application/problem+json"
    assert reply["headers"]["retry-after"] == str(responses.REBUILT_AFTER_SECONDS)
    told = json.loads(reply["body"])
    assert told["type"] == f"/problems/{Reason.BUSY.value}"
    assert told["status"] == 503
    for word in ("EARNEST", "secret", SECRET, "Traceback", "LookupError"):
        assert word not in reply["body"]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A container as it is built, whose environment says nothing but the origins."""
    for name in list(os.environ):
        if name.startswith("EARNEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EARNEST_ORIGINS", SHOP)
    with wiring.installed(lambda: wiring.build(wiring.settings(), object())):
        yield


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("one", ROUTES, ids=lambda one: f"{one.method} {one.path}")
def test_every_route_says_that_it_is_busy_and_names_the_origin_back(one: Endpoint) -> None:
    reply = call(one.method, one.path)
    busy(reply)
    assert reply["headers"]["access-control-allow-origin"] == SHOP
    assert reply["headers"]["access-control-expose-headers"] == EXPOSED


@pytest.mark.usefixtures("bare")
def test_so_does_a_wrong_method_and_a_browser_that_asks_before_it_asks_is_answered() -> None:
    busy(call("PUT", "/v1/deposits/{deposit_id}"))
    asked_first = call("OPTIONS", "/v1/deposits")
    assert asked_first["statusCode"] == 204
    assert asked_first["headers"]["access-control-allow-origin"] == SHOP
    assert "access-control-allow-origin" not in call("GET", "/healthz", origin="https://else.example")["headers"]


@pytest.mark.usefixtures("bare")
def test_settings_that_cannot_be_read_name_no_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EARNEST_WRITES_PER_MINUTE", "many")
    reply = call("GET", "/healthz")
    busy(reply)
    assert "access-control-allow-origin" not in reply["headers"]


@pytest.mark.usefixtures("bare")
def test_why_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "earnest.web"):
        call("GET", "/healthz")
    assert "EARNEST_SECRETS is not set" in caplog.text


@pytest.mark.usefixtures("bare")
def test_a_secret_without_a_provider_is_told_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("EARNEST_SECRETS", SECRET)
    with caplog.at_level(logging.DEBUG):
        busy(call("GET", "/v1/deposits/{deposit_id}"))
    assert SECRET not in caplog.text


def test_without_keys_for_tokens_the_public_routes_answer() -> None:
    reading = Reading()
    with wiring.installed(lambda: reading.services):
        assert call("GET", "/healthz")["statusCode"] == 200
        busy(call("GET", "/v1/deposits", authorization="Bearer x"))
