"""Texts and reasons for people: nothing missing, nothing stray, each in three languages of its own."""

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import pytest

import chalicelib
from chalicelib import policies
from chalicelib.core.claims.opening import KINDS_WITHOUT_MONEY
from chalicelib.core.common import field_errors
from chalicelib.core.common.money import currencies
from chalicelib.core.common.refusal import Reason
from chalicelib.core.ending import withdrawal
from chalicelib.core.locking import disclosure
from chalicelib.core.policy import fees, market
from chalicelib.core.policy import texts as wording
from chalicelib.core.policy.claim_rules import ClaimKind
from chalicelib.web.edge import languages
from tests.core.stories import A_WEEK, NEVER, PAID, money, paid, terms, traded, trading, wire

LOCALES: Final = {"en", "id", "zh"}
FILES: Final = (
    *("disclosures", "faults", "fees", "findings", "language", "lines", "markets", "pages"),
    *("problems", "reasons", "receipts", "rules", "wording"),
)
PARTS: Final = {"title", "detail", "about"}
REASON_TEXTS: Final = ("label", "evidence_required")
PLAIN: Final = ("faults", "lines", "pages", "problems", "rules")
# What fills each published sentence. One that is gone from here was published once, and stays for the evidence that names it.
FILLED: Final = {
    "disclosures": {
        "lock_goods/1":           {"goods", "total", "paid"},
        "lock_free_until/1":      {"until"},
        "lock_free_always/1":     set[str](),
        "lock_cancel_until/1":    {"until"},
        "lock_cancel_always/1":   set[str](),
        "lock_undo/1":            {"undo"},
        "lock_no_undo/1":         set[str](),
        "lock_stake/1":           {"stake"},
        "lock_no_stake/1":        set[str](),
        "lock_acknowledgement":   {"amount"},
    },
    "findings": {
        "band_reversed":          {"here"},
        "bands_overlap":          {"here", "before"},
        "fee_falls":              {"here", "before"},
        "fee_above_price":        {"here"},
        "band_gap":               {"gap_from", "gap_to"},
    },
    "receipts": {
        "withdrawal_stated/1":    {"name", "deposit", "goods", "at", "reach"},
        "withdrawal_confirmed/1": {"name", "deposit", "goods", "at", "refund", "promised", "reach"},
    },
    "wording": {
        "group":                  set[str](),
        "decimal":                set[str](),
        "amount":                 {"code", "number"},
        "amount/IDR":             {"number"},
        "amount/CNY":             {"number"},
        "amount/EUR":             {"number"},
        "days":                   {"n"},
        "hours":                  {"n"},
        "minutes":                {"n"},
        "seconds":                {"n"},
    },
}  # fmt: skip
SIGNS: Final = {"group", "decimal"}
LINE_CODES: Final = {
    "paid", "already_refunded", "shipping_kept", "trade_in_fee", "forfeited", "goods_kept", "goodwill", "owed", "compensation",
}  # fmt: skip
NOT_DUE: Final = {"amount_mismatch", "overpayment", "duplicate_payment", "late_payment"}
BUYER_SIDE: Final = {
    "LIMIT_ACCOUNT", "LIMIT_IDENTITY", "LIMIT_PAYMENT", "LIMIT_ADDRESS", "BOT_AUTOMATION", "RESALE_LISTING", "PAYMENT_FRAUD",
}  # fmt: skip
REASON_FIELDS: Final = {
    "code": str,
    "evidence": int,
    "appealable": bool,
    "remedy": str,
    "buyer_side": bool,
    "second_approver": bool,
}
# What only some reasons say, and which.
SOME_SAY: Final = {
    "unpaid_only": {"PAYMENT_TIMEOUT": True},
    "question": {"ADDRESS_INVALID": "address", "BUYER_UNREACHABLE": "contact"},
    "least_note": {"MERCHANT_OTHER": 40},
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


Keys = tuple[str, ...]


def entries(node: dict[str, Any], path: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Every text below a table of one language, with its keys."""
    for name, below in node.items():
        if isinstance(below, str):
            yield (*path, name), below
        else:
            assert isinstance(below, dict), f"{path}/{name} is neither a text nor a table of texts"
            assert below, f"{path}/{name} holds nothing"
            yield from entries(below, (*path, name))


def texts(file: str) -> list[tuple[str, dict[str, str]]]:
    """Every text of a file in each language that has it, with its path."""
    found: dict[str, dict[str, str]] = {}
    for locale in policies.languages():
        for path, words in entries(policies.read(f"texts/{locale}/{file}.toml")):
            found.setdefault("/".join(path), {})[locale] = words
    return list(found.items())


def files(locale: str) -> tuple[str, ...]:
    return policies.names(f"texts/{locale}")


def reasons() -> list[dict[str, Any]]:
    """Of every version that was ever published."""
    return [reason for name in policies.names("reasons") for reason in policies.read(f"reasons/{name}.toml")["reason"]]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def code() -> Iterator[ast.AST]:
    for file in Path(chalicelib.__file__).parent.rglob("*.py"):
        yield from ast.walk(ast.parse(file.read_text("utf-8")))


def whys_in_code() -> Iterator[str]:
    """The text ids that our code names: ``Fault(pointer, "why")`` and ``fault("why")``."""
    for node in code():
        match node:
            case ast.Call(ast.Name("Fault"), [_, ast.Constant(str(why))]) | ast.Call(
                ast.Name("fault"), [ast.Constant(str(why))]
            ):
                yield why
            case _:
                pass


def named_in_code(form: str) -> set[str]:
    """The whole strings of this form that our code holds."""
    strings = (node.value for node in code() if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {found for found in strings if re.fullmatch(form, found)}


def test_a_language_is_a_folder_with_every_file() -> None:
    assert set(policies.languages()) == set(languages.LOCALES) == LOCALES
    assert {locale: files(locale) for locale in LOCALES} == dict.fromkeys(LOCALES, FILES)
    assert policies.names("texts") == (), "a text stands in the folder of its language"


@pytest.mark.parametrize("file", [name for name in FILES if name != "language"])
def test_every_text_is_there_in_exactly_our_languages(file: str) -> None:
    for path, text in texts(file):
        assert set(text) == LOCALES, path
        assert all(words and words == words.strip() for words in text.values()), path
        assert len({frozenset(placeholders(words)) for words in text.values()}) == 1, path


def test_what_belongs_to_a_language_stands_in_its_folder() -> None:
    for locale in LOCALES:
        told = policies.read(f"texts/{locale}/language.toml")
        assert {name: type(value) for name, value in told.items()} == {"names": list, "separator": str}
        assert locale in told["names"]
    names = [name for locale in LOCALES for name in policies.read(f"texts/{locale}/language.toml")["names"]]
    assert len(names) == len(set(names)), "no name is that of two languages"


def test_texts_are_keyed_by_the_codes_of_the_rules_and_there_is_no_other() -> None:
    """Of every version that was published, in force or not: a code that ended is read on."""
    laws = map(market.read_policy, policies.names("markets"))
    wanted = {
        "reasons": {f"{reason.get('text', reason['code'])}/{part}" for reason in reasons() for part in REASON_TEXTS},
        "markets": {f"{law.id}/{law.forfeit.rule}" for law in laws},
        "fees": {path for stem in policies.names("fees") for path in schedule_keys(stem)},
    }
    for file, keys in wanted.items():
        assert {path for path, _ in texts(file)} == keys, file


def schedule_keys(stem: str) -> Iterator[str]:
    data = policies.read(f"fees/{stem}.toml")
    name = f"{data['id']}@{data['version']}"
    yield from (f"{name}/fee", f"{name}/shipping")
    yield from (f"{name}/category/{one['code']}" for one in data["category"])
    yield from (f"{name}/ground/{one['code']}/{part}" for one in data["ground"] for part in ("label", "evidence"))


@pytest.mark.parametrize("file", PLAIN)
def test_a_plain_text_has_no_placeholder_and_is_translated(file: str) -> None:
    for path, text in texts(file):
        assert not any(sign in words for words in text.values() for sign in "{}"), path
        assert len(set(text.values())) == len(LOCALES), path
        assert re.search("[一-鿿]", text["zh"]), path
        assert not re.search("[一-鿿]", text["en"] + text["id"]), path


def test_every_refusal_is_explained_and_nothing_else_is() -> None:
    for locale in LOCALES:
        problems = policies.read(f"texts/{locale}/problems.toml")
        assert list(problems) == [reason.value for reason in Reason]
        assert all(set(problem) == PARTS for problem in problems.values())


@pytest.mark.parametrize("reason", Reason)
def test_title_detail_and_page_have_their_form(reason: Reason) -> None:
    for locale, ending in ENDINGS.items():
        problem = policies.read(f"texts/{locale}/problems.toml")[reason.value]
        assert len(problem["title"]) <= 60
        assert not ending.search(problem["title"])
        assert 1 <= len(ending.findall(problem["detail"])) <= 2
        assert 2 <= len(ending.findall(problem["about"])) <= 4
        assert ending.fullmatch(problem["detail"][-1])
        assert ending.fullmatch(problem["about"][-1])


def test_every_fault_that_code_can_name_has_a_text() -> None:
    named = {*whys_in_code(), *field_errors._REASONS.values(), "invalid", "amount", "decimals", "currency"}
    assert named <= set(policies.read("texts/en/faults.toml"))


def test_a_fault_is_a_sentence() -> None:
    for path, text in texts("faults"):
        assert all(ENDINGS[locale].fullmatch(words[-1]) for locale, words in text.items()), path


def test_every_refund_line_has_a_text_and_nothing_else_has() -> None:
    assert {path for path, _ in texts("lines")} == LINE_CODES | {f"paid/{cause}" for cause in NOT_DUE}


def test_there_are_21_reasons_each_complete() -> None:
    codes = [reason["code"] for reason in reasons()]
    assert len(codes) == len(set(codes)) == 21
    for reason in reasons():
        fields = {name: type(value) for name, value in reason.items() if name not in SOME_SAY}
        assert fields == REASON_FIELDS, reason["code"]
        assert re.fullmatch("[A-Z]+(_[A-Z]+)*", reason["code"])
        assert reason["evidence"] >= 1, reason["code"]


@pytest.mark.parametrize("name", SOME_SAY)
def test_what_only_some_reasons_say(name: str) -> None:
    assert {reason["code"]: reason[name] for reason in reasons() if name in reason} == SOME_SAY[name]


@pytest.mark.parametrize(("path", "text"), texts("reasons"), ids=[path for path, _ in texts("reasons")])
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
    catalogue = policies.read("reasons/2026.toml")
    assert set(catalogue) == {"version", "from", "source", "not_evidence", "question", "bulk", "reason"}
    assert catalogue["version"]
    assert catalogue["source"]


# --- What a buyer is shown before a lock, receipts, and how amounts are written ---


@pytest.mark.parametrize("file", FILLED)
def test_every_sentence_is_there_in_every_language_with_the_places_that_our_code_fills(file: str) -> None:
    for locale in LOCALES:
        found = {path: placeholders(text[locale]) for path, text in texts(file)}
        assert found == FILLED[file], locale


@pytest.mark.parametrize("file", FILLED)
def test_a_sentence_is_translated_and_chinese_is_chinese(file: str) -> None:
    for key, text in texts(file):
        if key in SIGNS or key.startswith("amount"):
            continue
        assert len(set(text.values())) == len(LOCALES), key
        assert re.search("[一-鿿]", text["zh"]), key
        assert not re.search("[一-鿿]", text["en"] + text["id"]), key


@pytest.mark.parametrize("file", ["disclosures", "findings", "receipts"])
def test_what_is_shown_ends_as_a_sentence(file: str) -> None:
    for key, text in texts(file):
        if key != "lock_acknowledgement":
            assert all(ENDINGS[locale].fullmatch(words[-1]) for locale, words in text.items()), key


def test_every_published_sentence_that_our_code_names_exists() -> None:
    published = {key for file in ("disclosures", "receipts") for key in FILLED[file] if "/" in key}
    assert named_in_code(r"[a-z_]+/[0-9]+") <= published
    assert named_in_code(r"lock_[a-z_]+/[0-9]+|withdrawal_[a-z]+/[0-9]+") == published


def test_every_key_of_the_wording_is_used() -> None:
    units = {unit for unit, _ in wording.UNITS_MS}
    assert set(FILLED["wording"]) == units | SIGNS | {"amount"} | {f"amount/{code}" for code in ("IDR", "CNY", "EUR")}
    assert set(FILLED["wording"]) - {f"amount/{code}" for code in currencies()} == units | SIGNS | {"amount"}


def test_an_amount_always_names_its_currency_by_its_code() -> None:
    for key, text in texts("wording"):
        if key.startswith("amount/"):
            assert all(key.removeprefix("amount/") in form for form in text.values()), key


def test_the_signs_of_a_language_cannot_be_mistaken_for_each_other() -> None:
    for locale in LOCALES:
        signs = policies.read(f"texts/{locale}/wording.toml")
        assert {signs["group"], signs["decimal"]} == {".", ","}


def test_sentences_are_joined_in_every_language() -> None:
    found = {locale: wording.read_text("language", "separator", locale=locale) for locale in LOCALES}
    assert found == {"en": " ", "id": " ", "zh": ""}


# Deposits that between them are shown every sentence: with and without an end of the window, an undo, a stake.
NO_END: Final = {**A_WEEK, "lock": {**A_WEEK["lock"], "at": "never"}}
SHOWN: Final = (
    *(paid(), paid(NEVER), paid(terms(lock={"undo": None})), paid(terms(payment={"nature": "advance"}))),
    *(traded(trading(**A_WEEK)), traded(trading(**NO_END))),
)


@pytest.mark.parametrize("locale", sorted(LOCALES))
def test_every_disclosure_can_be_written(locale: str) -> None:
    named: set[str] = set()
    for story in SHOWN:
        shown = disclosure.build_disclosure(story.deposit, story.terms, locale)
        assert not set(shown.text + shown.acknowledgement) & set("{}")
        named |= set(shown.sentences)
    assert named == set(FILLED["disclosures"]) - {"lock_acknowledgement"}


@pytest.mark.parametrize("locale", sorted(LOCALES))
def test_every_receipt_can_be_written_and_holds_who_what_when_and_where_to(locale: str) -> None:
    standard = [{"sku": "pen", "name": "Pen", "price": wire("9999 CNY")}]
    story = paid(terms(items=standard))
    sender = withdrawal.Sender("Ana {Lim}", "ana@example.org", locale)
    stated = withdrawal.build_statement_receipt(story.deposit, sender, PAID, story.terms).content
    story.ask(withdrawal.StateWithdrawal(sender), PAID)
    confirmed = withdrawal.build_confirmation_receipt(story.deposit, 1, sender, PAID, story.terms).content
    for content in (stated, confirmed):
        for words in ("Ana {Lim}", "ana@example.org", story.deposit.id, "1 x Pen", "2024-03-28 22:01:00 UTC+08:00"):
            assert words in content
        assert not set(content.replace("{Lim}", "")) & set("{}")
    assert wording.format_amount(money("5088 CNY"), locale) in confirmed
    assert "2024-04-04 22:01:00 UTC+08:00" in confirmed


# --- Fees of a trade-in ---

SCHEDULES: Final = policies.names("fees")


def schedule_texts(stem: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every text that a reader of a schedule meets, with where it stands."""
    data = policies.read(f"fees/{stem}.toml")
    name = f"{data['id']}@{data['version']}/"
    yield from ((path.removeprefix(name), text) for path, text in texts("fees") if path.startswith(name))


@pytest.mark.parametrize("stem", SCHEDULES)
def test_a_schedule_speaks_three_languages(stem: str) -> None:
    for path, text in schedule_texts(stem):
        assert set(text) == LOCALES, path
        assert all(words and words == words.strip() for words in text.values()), path
        assert len(set(text.values())) == len(LOCALES), path
        assert re.search("[一-鿿]", text["zh"]), path
        assert not re.search("[一-鿿]", text["en"] + text["id"]), path


@pytest.mark.parametrize("stem", SCHEDULES)
def test_only_the_rule_of_a_fee_has_places_to_fill_and_they_are_those_of_its_band(stem: str) -> None:
    for path, text in schedule_texts(stem):
        expected = {"from_", "to"} if path == "fee" else set()
        assert all(placeholders(words) == expected for words in text.values()), path


@pytest.mark.parametrize("stem", SCHEDULES)
def test_the_rules_of_a_schedule_are_sentences(stem: str) -> None:
    rules = {path: text for path, text in schedule_texts(stem) if "/" not in path}
    assert set(rules) == {"fee", "shipping"}
    for name, text in rules.items():
        assert all(ENDINGS[locale].fullmatch(words[-1]) for locale, words in text.items()), name


@pytest.mark.parametrize("stem", SCHEDULES)
def test_no_two_grounds_of_a_kind_of_goods_read_the_same(stem: str) -> None:
    grounds, told = policies.read(f"fees/{stem}.toml")["ground"], dict(schedule_texts(stem))
    for locale in LOCALES:
        said = [(ground["category"], told[f"ground/{ground['code']}/label"][locale]) for ground in grounds]
        assert len(set(said)) == len(said), locale


def test_everything_that_can_be_wrong_with_a_band_is_said_and_nothing_else() -> None:
    assert set(FILLED["findings"]) == set(get_args(get_type_hints(fees.Finding)["why"]))


# --- What decided a refund ---


def test_every_rule_of_the_terms_that_our_code_names_is_explained_and_nothing_else_is() -> None:
    rules = dict(texts("rules"))
    paying = set(get_args(ClaimKind)) - KINDS_WITHOUT_MONEY
    assert named_in_code("terms/[a-z_]+") | {f"claims/{kind}" for kind in paying} == set(rules)
    for rule, text in rules.items():
        assert all(ENDINGS[locale].fullmatch(words[-1]) for locale, words in text.items()), rule
