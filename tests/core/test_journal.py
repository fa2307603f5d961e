"""How a request is found again in a journal."""

import pytest

from chalicelib.core.common.journal import RENDERER, Caller, Entry, Key, RequestContext, find_version
from chalicelib.core.deposit.events.payment import PaymentPending

BUYER = Caller("usr_1", "buyer")


def key(scope: str, body: str = "body") -> Key:
    return Key(scope.encode(), body.encode())


JOURNAL = [
    Entry(PaymentPending(0, 1), 0, BUYER, key("first")),
    Entry(PaymentPending(1, 1), 1, BUYER),
    Entry(PaymentPending(2, 1), 2, BUYER, key("second")),
]


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        (key("first"), 1),
        (key("second"), 3),
        (key("first", "another body"), 1),  # who judges the body must find the entry first
        (key("third"), None),
        (None, None),
    ],
)
def test_a_key_leads_to_the_version_it_made(asked: Key | None, version: int | None) -> None:
    assert find_version(JOURNAL, asked) == version


def test_an_empty_journal_has_seen_no_key() -> None:
    assert find_version([], key("first")) is None


def test_what_is_not_said_is_said_by_default() -> None:
    entry = JOURNAL[1]
    assert (entry.key, entry.locale, entry.renderer) == (None, "en", RENDERER)
    asked = RequestContext(1, BUYER, 2)
    assert (asked.locale, asked.key, asked.if_match) == ("en", None, None)
