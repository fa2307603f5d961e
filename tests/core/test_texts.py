"""Texts and reasons for people: nothing missing, nothing stray, each in three languages of its own."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import chalicelib
from chalicelib import policies
from chalicelib.core import faults
from chalicelib.core.refusal import Reason

LOCALES: Final = {"en", "id", "zh"}
PARTS: Final = {"title", "detail", "about"}
PLAIN: Final = ("faults", "lines", "pages", "problems")
LINE_CODES: Final = {
    "paid", "already_refunded", "shipping_kept", "trade_in_fee", "forfeited", "goods_kept", "goodwill", "owed", "compensation",
}  # fmt: skip
NOT_DUE: Final = {"amount_mismatch", "overpayment", "duplicate_payment", "late_payment"}
BUYER_SIDE: Final = {
    "LIMIT_ACCOUNT", "LIMIT_IDENTITY", "LIMIT_PAYMENT", "LIMIT_ADDRESS", "BOT_AUTOMATION", "RESALE_LISTING", "PAYMENT_FRAUD",
}  # fmt: skip
REASON_FIELDS: Final = {
    "code": str,
    "label": dict,
    "evidence": int,
    "evidence_required": dict,
    "appealable": bool,
    "remedy": str,
    "buyer_side": bool,
    "second_approver": bool,
}
REMEDIES: Final = {
    "ADDRESS_UNSERVED": "pass",
    "SYSTEM_ERROR":     "pass",
    "DISCONTINUED":     "seller_default",
    "DELIVERY_DELAY":   "seller_default",
    "OUT_OF_STOCK":     "seller_default_and_pass",
    "PRICE_ERROR":      "seller_default_and_pass",
    "MERCHANT_OTHER":   "seller_default_and_pass",
}  # fmt: skip
FULL_STOP: Final = re.compile(r"\.(?=\s|$)")
ENDINGS: Final = {"en": FULL_STOP, "id": FULL_STOP, "zh": re.compile("。")}


def entries(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """Every text below a table, with its path: a text is a table that holds a string or nothing."""
    if not node or any(isinstance(value, str) for value in node.values()):
        yield path, node
        return
    for name, below in node.items():
        assert isinstance(below, dict), f"{path}/{name} is neither a text nor a table of texts"
        yield from entries(below, f"{path}/{name}")


def texts(file: str) -> list[tuple[str, dict[str, str]]]:
    data = policies.read(f"texts/{file}.toml")
    return list(entries({name: below for name, below in data.items() if name not in {"source", "version"}}))


def reasons() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = policies.read("reasons/cancellation.toml")["reason"]
    return found


def reason_texts() -> list[tuple[str, dict[str, str]]]:
    return [
        (f"{reason['code']}/{part}", reason[part]) for reason in reasons() for part in ("label", "evidence_required")
    ]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def whys_in_code() -> Iterator[str]:
    """The text ids that our code names: ``Fault(pointer, "why")`` and ``fault("why")``."""
    for file in Path(chalicelib.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(ast.Name("Fault"), [_, ast.Constant(str(why))]) | ast.Call(
                    ast.Name("fault"), [ast.Constant(str(why))]
                ):
                    yield why
                case _:
                    pass


@pytest.mark.parametrize("file", policies.names("texts"))
def test_every_text_is_there_in_exactly_our_languages(file: str) -> None:
    for path, text in texts(file):
        assert set(text) == LOCALES, path
        assert all(words and words == words.strip() for words in text.values()), path
        assert len({frozenset(placeholders(words)) for words in text.values()}) == 1, path


@pytest.mark.parametrize("file", PLAIN)
def test_a_plain_text_has_no_placeholder_and_is_translated(file: str) -> None:
    for path, text in texts(file):
        assert not any(sign in words for words in text.values() for sign in "{}"), path
        assert len(set(text.values())) == len(LOCALES), path
        assert re.search("[一-鿿]", text["zh"]), path
        assert not re.search("[一-鿿]", text["en"] + text["id"]), path


def test_every_refusal_is_explained_and_nothing_else_is() -> None:
    problems = policies.read("texts/problems.toml")
    assert list(problems) == [reason.value for reason in Reason]
    assert all(set(problem) == PARTS for problem in problems.values())


@pytest.mark.parametrize("reason", Reason)
def test_title_detail_and_page_have_their_form(reason: Reason) -> None:
    problem = policies.read("texts/problems.toml")[reason.value]
    for locale, ending in ENDINGS.items():
        assert len(problem["title"][locale]) <= 60
        assert not ending.search(problem["title"][locale])
        assert 1 <= len(ending.findall(problem["detail"][locale])) <= 2
        assert 2 <= len(ending.findall(problem["about"][locale])) <= 4
        assert ending.fullmatch(problem["detail"][locale][-1])
        assert ending.fullmatch(problem["about"][locale][-1])


def test_every_fault_that_code_can_name_has_a_text() -> None:
    named = {*whys_in_code(), *faults._WHY.values(), "invalid", "amount", "decimals", "currency"}
    assert named <= set(policies.read("texts/faults.toml"))


def test_a_fault_is_a_sentence() -> None:
    for path, text in texts("faults"):
        assert all(ENDINGS[locale].fullmatch(words[-1]) for locale, words in text.items()), path


def test_every_refund_line_has_a_text_and_nothing_else_has() -> None:
    assert set(policies.read("texts/lines.toml")) == LINE_CODES | {f"paid/{cause}" for cause in NOT_DUE}


def test_there_are_21_reasons_each_complete() -> None:
    codes = [reason["code"] for reason in reasons()]
    assert len(codes) == len(set(codes)) == 21
    for reason in reasons():
        assert {name: type(value) for name, value in reason.items()} == REASON_FIELDS, reason["code"]
        assert re.fullmatch("[A-Z]+(_[A-Z]+)*", reason["code"])
        assert reason["evidence"] >= 1, reason["code"]


@pytest.mark.parametrize(("path", "text"), reason_texts(), ids=[path for path, _ in reason_texts()])
def test_a_reason_speaks_three_languages(path: str, text: dict[str, str]) -> None:
    assert set(text) == LOCALES == set(filter(text.get, text)), path
    assert len(set(text.values())) == len(LOCALES), path
    assert not any(sign in words for words in text.values() for sign in "{}"), path


def test_what_a_reason_costs_the_merchant() -> None:
    assert {reason["code"]: reason["remedy"] for reason in reasons() if reason["remedy"] != "none"} == REMEDIES


def test_which_reasons_lie_with_the_buyer() -> None:
    assert {reason["code"] for reason in reasons() if reason["buyer_side"]} == BUYER_SIDE


def test_a_reason_of_the_buyers_side_is_always_open_to_appeal_and_never_earns_a_pass() -> None:
    for reason in reasons():
        assert reason["appealable"] or not reason["buyer_side"], reason["code"]
        assert reason["remedy"] == "none" or not reason["buyer_side"], reason["code"]


def test_only_what_nobody_can_contest_is_closed_to_appeal() -> None:
    closed = {reason["code"] for reason in reasons() if not reason["appealable"]}
    assert closed == {"PAYMENT_TIMEOUT", "DUPLICATE_ORDER"}


def test_only_an_unpublished_reason_of_the_merchants_own_needs_a_second_person() -> None:
    assert [reason["code"] for reason in reasons() if reason["second_approver"]] == ["MERCHANT_OTHER"]


def test_the_catalogue_names_its_version_and_source() -> None:
    catalogue = policies.read("reasons/cancellation.toml")
    assert set(catalogue) == {"version", "source", "reason"}
    assert catalogue["version"]
    assert catalogue["source"]
