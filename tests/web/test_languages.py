"""Languages: what a phone sends, and which of ours it gets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import policies
from chalicelib.core.policy import texts as wording
from chalicelib.web.edge import languages

CASES = [
    # header                                   language
    (None,                                     "en"),
    ("",                                       "en"),
    ("id",                                     "id"),
    ("ID",                                     "id"),
    ("in",                                     "id"),
    ("in-ID",                                  "id"),
    ("id-ID,id;q=0.9,en-US;q=0.8,en;q=0.7",    "id"),
    ("zh",                                     "zh"),
    ("zh-CN",                                  "zh"),
    ("zh-Hans-CN",                             "zh"),
    ("zh-Hant-TW",                             "zh"),
    ("zh_CN",                                  "en"),
    ("fr",                                     "en"),
    ("fr, zh;q=0.1",                           "zh"),
    ("en;q=0.5, id;q=0.8",                     "id"),
    ("en;q=0.5, id;q=0.50",                    "en"),
    ("id;q=0.5, en;q=0.500",                   "id"),
    ("en;q=0.998, zh;q=0.999",                 "zh"),
    ("zh;q=1.000, id;q=1.",                    "zh"),
    ("id;Q=0.3, en;q=0.2",                     "id"),
    ("id ; q=0.3 , en;q=0.2",                  "id"),
    ("en;q=0",                                 "en"),
    ("en;q=0, *",                              "id"),
    ("en;q=0, id;q=0, *;q=0.1",                "zh"),
    ("*",                                      "en"),
    ("*;q=0",                                  "en"),
    ("*;q=0.5, id;q=0.5",                      "id"),
    ("*, id;q=0.5",                            "en"),
    ("id;q=0, zh",                             "zh"),
    ("zh-TW;q=0, zh-CN",                       "zh"),
    ("zh-CN, zh-TW;q=0, id;q=0.5",             "zh"),
    ("english, id",                            "id"),
    ("id;q=2, zh;q=0.1",                       "zh"),
    ("id;q=-1, zh;q=0.1",                      "zh"),
    ("id;q=0.1234, zh;q=0.1",                  "zh"),
    ("id;q=nan, zh;q=0.1",                     "zh"),
    ("id;q=٣, zh;q=0.1",                       "zh"),
    ("id;level=1, zh;q=0.1",                   "zh"),
    (";;;,,, ,*-,-,zh",                        "zh"),
    ("id" * 9000,                              "en"),
]  # fmt: skip


@pytest.mark.parametrize(("header", "language"), CASES)
def test_the_best_wish_that_we_can_grant(header: str | None, language: str) -> None:
    assert languages.negotiate(header) == language


@given(st.text() | st.text("enidzh*-;,=q.019 "))
def test_no_header_breaks_the_choice(header: str) -> None:
    assert languages.negotiate(header) in languages.LOCALES


TEXTS: dict[str, dict[str, Any]] = {
    "texts/en/problems.toml": {"sold-out": {"title": "Sold out"}, "plain": "Plain"},
    "texts/zh/problems.toml": {"sold-out": {"title": "已售罄"}},
}


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "read", TEXTS.__getitem__)


@pytest.mark.usefixtures("texts")
def test_a_text_is_found_at_any_depth() -> None:
    assert wording.read_text("problems", "sold-out", "title", locale="zh") == "已售罄"
    assert wording.read_text("problems", "plain", locale="en") == "Plain"


@pytest.mark.usefixtures("texts")
def test_a_missing_text_is_a_bug_and_not_another_text() -> None:
    with pytest.raises(KeyError):
        wording.read_text("problems", "plain", locale="zh")
    with pytest.raises(AssertionError):
        wording.read_text("problems", "sold-out", locale="zh")
