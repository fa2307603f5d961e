"""Every way of saying no: each has a status, an address that explains it in three languages, and a fixed name."""

import pytest

from chalicelib.core.common.refusal import Reason
from chalicelib.web.edge.problems import STATUS
from chalicelib.web.edge.route import ENDPOINTS
from tests.web.answer_checks import check_answer, check_refusal
from tests.world import World

STATES = """offer-not-open sold-out limit-reached terms-changed already-cancelled wrong-state lock-intent-invalid
lock-intent-expired lock-intent-used lock-review-pending lock-acknowledgement-mismatch lock-not-allowed undo-closed
refund-in-progress refund-exceeds-refundable funds-in-dispute fee-band-undefined reason-not-published pass-not-valid
below-owed claim-closed withdrawal-not-available identity-required open-obligation"""
FIELDS = """invalid-request unknown-parameter amount-mismatch currency-mismatch payment-method-not-offered
invalid-ground evidence-required invalid-national-id consent-required invalid-callback-url idempotency-key-reused"""
CONTRACT = {
    400: "malformed-body invalid-cursor idempotency-key-missing idempotency-key-invalid",
    401: "unauthenticated invalid-token token-expired invalid-signature stale-webhook",
    403: "forbidden approval-required",
    404: "not-found",
    405: "method-not-allowed",
    409: STATES,
    412: "stale-version",
    413: "body-too-large",
    415: "unsupported-media-type",
    422: FIELDS,
    429: "rate-limited",
    500: "internal-error",
    503: "busy",
}


def test_names_and_statuses_are_those_of_the_contract() -> None:
    expected = {name: status for status, names in CONTRACT.items() for name in names.split()}
    assert {reason.value: STATUS[reason] for reason in Reason} == expected


@pytest.mark.parametrize("reason", Reason)
def test_every_problem_has_a_page_in_three_languages(world: World, reason: Reason) -> None:
    pages = {}
    for locale in ("en", "id", "zh"):
        reply = check_answer(world.anyone().get(f"/problems/{reason.value}", accept_language=locale))
        assert reply.status == 200
        assert reply.headers["content-type"] == "text/html; charset=utf-8"
        pages[locale] = reply.raw.decode()
        assert f'<html lang="{locale}">' in pages[locale]
        assert reason.value in pages[locale]
        assert str(STATUS[reason]) in pages[locale]
    assert len(set(pages.values())) == 3


def test_other_names_have_no_page(world: World) -> None:
    for name in ("nothing", "NOT-FOUND", "not_found", "%3Cb%3E"):
        check_refusal(world.anyone().get(f"/problems/{name}"), 404, "not-found")


@pytest.mark.usefixtures("world")
def test_every_route_says_which_reasons_it_may_give() -> None:
    for endpoint in ENDPOINTS:
        assert set(endpoint.reasons) <= set(Reason)
        if endpoint.keyed and endpoint.path.startswith("/v1/"):
            assert Reason.IDEMPOTENCY_KEY_REUSED in endpoint.reasons, endpoint.path
