"""What a buyer is shown before a lock: word by word in three languages, bound by a hash, and kept as evidence."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from msgspec.structs import replace

from chalicelib import policies
from chalicelib.core.common.instants import DAY, HOUR, SECOND
from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.lock import LockIntentOpened
from chalicelib.core.ending import entitlement
from chalicelib.core.locking import disclosure
from chalicelib.core.locking.disclosure import Disclosure, hash_disclosure
from chalicelib.core.locking.lock import OpenIntent
from chalicelib.core.policy.terms import Terms
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.ordering import Ordered
from chalicelib.store.codec import encode_fields, reader
from tests.core.stories import (
    A_WEEK,
    CANCEL,
    END,
    NEVER,
    PAID,
    SU7,
    Story,
    draft,
    final,
    money,
    paid,
    plain,
    terms,
    traded,
    trading,
    wire,
)

LOCALES: Final = ("en", "id", "zh")
ASKED: Final = PAID + HOUR
READ: Final = ASKED + 10 * SECOND


def opened(story: Story, locale: str = "en") -> LockIntentOpened:
    (intent,) = story.ask(OpenIntent(locale), ASKED)
    assert isinstance(intent, LockIntentOpened)
    return intent


def text(under: Terms, locale: str, *items: tuple[str, int]) -> str:
    return disclosure.render_intent_text(opened(paid(under, *items), locale))


# --- The words ---

WHOLE: Final = {
    "en": (
        "You are about to lock this order: 1 x SU7 Max. Its total is CNY 299,988, of which CNY 5,088 is paid. "
        "As long as you do not lock, you can change it or cancel it until 2024-04-04 22:01:00 UTC+08:00 and get everything "
        "back. "
        "After locking you can undo it for 1 h; then the lock is final, the order cannot be changed any more, and "
        "production may begin. "
        "If you cancel once the lock is final, CNY 5,000 is kept; the rest comes back."
    ),
    "id": (
        "Anda akan mengunci pesanan ini: 1 x SU7 Max. Totalnya CNY 299.988, dan CNY 5.088 sudah dibayar. "
        "Selama tidak dikunci, Anda dapat mengubah atau membatalkannya sampai 2024-04-04 22:01:00 UTC+08:00 dan semuanya "
        "dikembalikan. "
        "Setelah dikunci, Anda dapat menariknya kembali selama 1 jam; sesudah itu kunciannya final, pesanan tidak dapat "
        "diubah lagi, dan produksi boleh dimulai. "
        "Jika Anda membatalkan setelah kunciannya final, CNY 5.000 ditahan; sisanya dikembalikan."
    ),
    "zh": (
        "您即将锁定此订单：1 x SU7 Max。订单总额 299,988 元 (CNY)，已付 5,088 元 (CNY)。"  # noqa: RUF001 - Chinese stops
        "若不锁单，您可在 2024-04-04 22:01:00 UTC+08:00 之前更改或取消订单，并获得全额退款。"  # noqa: RUF001 - Chinese stops
        "锁单后 1 小时内可以撤销；此后锁单最终生效，订单不可更改，商家可开始生产。"  # noqa: RUF001 - Chinese stops
        "锁单最终生效后如取消订单，5,000 元 (CNY) 将不予退还，其余部分退还。"  # noqa: RUF001 - Chinese stops
    ),
}


@pytest.mark.parametrize("locale", LOCALES)
def test_the_whole_text_is_shown_in_the_buyers_language(locale: str) -> None:
    assert text(SU7, locale) == WHOLE[locale]


ACKNOWLEDGEMENTS: Final = {"en": "LOCK 5000 CNY", "id": "KUNCI 5000 CNY", "zh": "锁单 5000 CNY"}


@pytest.mark.parametrize("locale", LOCALES)
def test_the_words_to_type_name_the_amount_at_stake(locale: str) -> None:
    assert opened(paid(), locale).acknowledgement == ACKNOWLEDGEMENTS[locale]


STAKES: Final = [
    # what is offered                                                                      at stake       to type
    ({},                                                                                   "5000 CNY",    "LOCK 5000 CNY"),
    ({"payment": {"deposit": wire("4999.50 CNY")}},                                        "4999.50 CNY", "LOCK 4999.50 CNY"),
    ({"payment": {"deposit": wire("100000 CNY")}},                                         "59980 CNY",   "LOCK 59980 CNY"),
    ({"after_lock": {"buyer_cancel": "refund"}},                                           "0 CNY",       "LOCK 0 CNY"),
    ({"payment": {"nature": "reservation"}},                                               "0 CNY",       "LOCK 0 CNY"),
    ({"market": "ID"},                                                                     "0 CNY",       "LOCK 0 CNY"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "stake", "words"), STAKES)
def test_what_is_at_stake_is_what_a_cancel_after_the_lock_would_keep(
    changes: dict[str, Any], stake: str, words: str
) -> None:
    under = terms(**changes)
    intent = opened(paid(under))
    assert (intent.amount_at_stake, intent.acknowledgement) == (money(stake), words)
    left = final(under)
    left.ask(CANCEL, END)
    assert left.deposit.money.forfeited == money(stake)


def test_where_nothing_is_kept_the_text_says_so() -> None:
    under = terms(after_lock={"buyer_cancel": "refund"})
    assert text(under, "en").endswith("If you cancel once the lock is final, everything still comes back.")
    assert text(under, "id").endswith("semuanya tetap dikembalikan.")
    assert text(under, "zh").endswith("仍全额退还。")


def test_where_the_clock_never_locks_no_instant_is_named() -> None:
    intent = opened(paid(NEVER))
    assert intent.window_ends_at is None
    assert "at any time" in disclosure.render_intent_text(intent)
    assert "UTC" not in disclosure.render_intent_text(intent)


def test_where_there_is_no_undo_the_text_says_final_at_once() -> None:
    under = terms(lock={"undo": None})
    assert "The lock is final at once" in text(under, "en")
    assert "undo it" not in text(under, "en")


def test_an_undo_of_no_length_is_none() -> None:
    under = terms(lock={"undo": "PT0S"})
    assert "The lock is final at once" in text(under, "en")


@pytest.mark.parametrize(
    ("market", "currency", "freedom_ends"),
    [
        ("CN", "CNY", "2024-04-04 22:01:00 UTC+08:00"),
        ("ID", "IDR", "2024-04-04 21:01:00 UTC+07:00"),
        ("EU", "EUR", "2024-04-04 16:01:00 UTC+02:00"),  # the clocks went forward inside the window
    ],
)
@pytest.mark.parametrize("locale", LOCALES)
def test_the_instant_at_which_freedom_ends_is_told_in_the_markets_time(
    market: str, currency: str, freedom_ends: str, locale: str
) -> None:
    under = draft(plain("recommended", currency, market=market, payment={"deposit": wire(f"100 {currency}")}))
    assert freedom_ends in text(under, locale)


def test_every_line_is_named_with_its_quantity() -> None:
    assert "2 x One, 1 x Two" in text(two_things(), "en", ("one", 2), ("two", 1))


AWKWARD: Final = [
    "{x}",
    "{goods}",
    "{0}",
    "{",
    "}}",
    "%s",
    "a\\b",
    'a "b"',
    "  ",
    "名" * 200,
    "x" * 200,
    "\N{PILE OF POO}",
]


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("locale", LOCALES)
def test_the_name_of_an_item_is_shown_as_it_is(name: str, locale: str) -> None:
    car = {"sku": "car", "name": name, "price": wire("299900 CNY"), "made_to_spec": True}
    story = paid(terms(items=[car]))
    shown = disclosure.render_intent_text(opened(story, locale))
    assert f"1 x {name}" in shown
    assert shown == WHOLE[locale].replace("SU7 Max", name)
    assert story.said(story.confirm(), READ) == "lock.confirmed"


# --- The hash ---


def two_things(**changes: Any) -> Terms:
    one, two = (
        {"sku": sku, "name": name, "price": wire("20000 CNY")} for sku, name in (("one", "One"), ("two", "Two"))
    )
    return terms(items=[one, two], **changes)


def twins() -> Terms:
    """Two things that read alike and cost the same."""
    return terms(items=[{"sku": sku, "name": "Same", "price": wire("20000 CNY")} for sku in ("one", "two")])


def hashed(deposit: Deposit, shown: Disclosure) -> str:
    found = hash_disclosure(deposit, shown)
    assert found.startswith("sha256:")
    assert len(found) == len("sha256:") + 64
    return found


def with_line(**changes: Any) -> Callable[[Deposit], Deposit]:
    return lambda deposit: replace(deposit, lines=(replace(deposit.lines[0], **changes), *deposit.lines[1:]))


def with_terms(deposit: Deposit) -> Deposit:
    return replace(deposit, created=replace(deposit.created, terms_hash="sha256:" + "0" * 64))


OTHER_DEPOSIT: Final[dict[str, Callable[[Deposit], Deposit]]] = {
    "item": with_line(sku="two"),
    "quantity": with_line(quantity=2),
    "price": with_line(unit_price=money("20000.01 CNY")),
    "a line more": lambda deposit: replace(deposit, lines=deposit.lines * 2),
    "terms": with_terms,
}
OTHER_SHOWN: Final[dict[str, Callable[[Disclosure], Disclosure]]] = {
    "amount at stake": lambda shown: replace(shown, amount_at_stake=money("4999.99 CNY")),
    "end of the window by 1 ms": lambda shown: replace(shown, window_ends_at=END + 1),
    "no end of the window": lambda shown: replace(shown, window_ends_at=None),
    "sentences": lambda shown: replace(shown, sentences=(*shown.sentences[:-1], "lock_no_stake/1")),
    "one word": lambda shown: replace(shown, arguments=(replace(shown.arguments[0], words="?"), *shown.arguments[1:])),
    "language": lambda shown: replace(shown, locale="zh"),
    "words to type": lambda shown: replace(shown, acknowledgement="LOCK"),
}


@pytest.mark.parametrize("name", OTHER_DEPOSIT)
def test_the_hash_changes_with_the_order(name: str) -> None:
    deposit = paid(twins()).deposit
    shown = disclosure.build_disclosure(deposit, twins(), "en")
    assert hashed(deposit, shown) != hashed(OTHER_DEPOSIT[name](deposit), shown)


@pytest.mark.parametrize("name", OTHER_SHOWN)
def test_the_hash_changes_with_each_thing_that_is_shown(name: str) -> None:
    deposit = paid().deposit
    shown = disclosure.build_disclosure(deposit, SU7, "en")
    assert hashed(deposit, shown) != hashed(deposit, OTHER_SHOWN[name](shown))


def test_the_hash_changes_with_the_language_alone() -> None:
    deposit = paid().deposit
    wordless = replace(disclosure.build_disclosure(deposit, SU7, "en"), sentences=())
    same_words = replace(wordless, locale="id")
    assert wordless.text == same_words.text
    assert hashed(deposit, wordless) != hashed(deposit, same_words)


def test_the_hash_changes_with_a_published_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    deposit = paid().deposit
    before = disclosure.build_disclosure(deposit, SU7, "en")
    first = hashed(deposit, before)
    sentences = policies.read("texts/en/disclosures.toml")
    monkeypatch.setitem(sentences, "lock_stake/1", sentences["lock_stake/1"] + " ")
    assert hashed(deposit, before) != first


def test_the_hash_does_not_change_with_the_version() -> None:
    deposit = paid().deposit
    shown = disclosure.build_disclosure(deposit, SU7, "en")
    later = replace(deposit, version=deposit.version + 7, updated_at=deposit.updated_at + DAY)
    assert hashed(deposit, shown) == hashed(later, disclosure.build_disclosure(later, SU7, "en"))


def test_what_was_not_shown_may_change_and_the_intent_still_locks() -> None:
    story = paid()
    story.ask(OpenIntent("en"), END - 24 * HOUR - 5 * SECOND)
    version = story.deposit.version
    story.write(END - 24 * HOUR)
    assert story.deposit.version == version + 2  # two reminders
    assert story.said(story.confirm(), END - 24 * HOUR + 5 * SECOND) == "lock.confirmed"


def reordered(*items: tuple[str, int]) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        story.ask(ChangeItems(tuple(Ordered(*item) for item in items)), ASKED)

    return change


def under_other_terms(**changes: Any) -> Callable[[Story], None]:
    def change(story: Story) -> None:
        story.terms = two_things(**changes)

    return change


def longer_window(story: Story) -> None:
    assert story.deposit.window is not None
    story.deposit = replace(story.deposit, window=replace(story.deposit.window, ends_at=END + 1))


def dearer(story: Story) -> None:
    story.deposit = with_line(unit_price=money("20000.01 CNY"))(story.deposit)


SHOWN_CHANGES: Final[dict[str, Callable[[Story], None]]] = {
    "another item": reordered(("two", 1)),
    "another quantity": reordered(("one", 2)),
    "the same again": reordered(("one", 1)),
    "a price": dearer,
    "the amount at stake": under_other_terms(after_lock={"buyer_cancel": "refund"}),
    "the undo": under_other_terms(lock={"undo": "PT2H"}),
    "the end of the window": longer_window,
}


@pytest.mark.parametrize("name", SHOWN_CHANGES)
def test_what_was_shown_has_changed_so_nothing_is_locked(name: str) -> None:
    story = paid(two_things())
    story.ask(OpenIntent("en"), ASKED)
    SHOWN_CHANGES[name](story)
    assert story.said(story.confirm(), READ) == "terms-changed"


# --- The evidence ---


@pytest.mark.parametrize("name", AWKWARD)
def test_the_evidence_keeps_awkward_names(name: str) -> None:
    under = terms(items=[{"sku": "car", "name": name, "price": wire("299900 CNY")}])
    intent = opened(paid(under))
    kept = reader(LockIntentOpened)({"M": encode_fields(intent)})
    assert kept == intent
    assert disclosure.render_intent_text(kept) == disclosure.render_intent_text(intent)


def test_the_evidence_needs_neither_the_deposit_nor_its_terms() -> None:
    story = paid()
    intent = opened(story)
    story.ask(ChangeItems((Ordered("su7-max", 2),)), ASKED)
    story.ask(CANCEL, READ)
    assert disclosure.render_intent_text(intent) == WHOLE["en"]


def test_who_hands_in_an_old_device_is_told_of_shipping_and_not_of_changes() -> None:
    shown = disclosure.build_disclosure(traded(trading(**A_WEEK)).deposit, trading(**A_WEEK), "id")
    assert shown.amount_at_stake == money("18000 IDR")
    assert "Rp18.000 (IDR) ditahan" in shown.text
    assert "mengubah" not in shown.text


def test_every_sentence_has_all_its_places_filled() -> None:
    named = set(policies.read("texts/en/disclosures.toml"))
    used: set[str] = set()
    for under in (SU7, NEVER, terms(lock={"undo": None}), terms(after_lock={"buyer_cancel": "refund"})):
        shown = disclosure.build_disclosure(paid(under).deposit, under, "en")
        used |= set(shown.sentences)
        assert "{" not in shown.text
    for under in (trading(**A_WEEK), trading(**{**A_WEEK, "lock": {**A_WEEK["lock"], "at": "never"}})):
        shown = disclosure.build_disclosure(traded(under).deposit, under, "en")
        used |= set(shown.sentences)
        assert "{" not in shown.text
    assert used | {"lock_acknowledgement"} == named


def test_the_stake_that_is_shown_is_the_one_that_the_preview_forfeits() -> None:
    story = paid()
    stake = disclosure.build_disclosure(story.deposit, SU7, "en").amount_at_stake
    assert stake == entitlement.compute_entitlement(story.deposit, SU7, Cause.BUYER_CANCEL, END).forfeited
