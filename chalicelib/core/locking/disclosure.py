"""The text that a buyer is shown before a lock, and the hash that binds a lock to that text."""

import hashlib
from typing import Any

import rfc8785
from msgspec import Struct

from chalicelib.core.common.money import Money
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.description import describe_goods
from chalicelib.core.deposit.events.lock import Argument, LockIntentOpened
from chalicelib.core.ending import entitlement
from chalicelib.core.policy import texts
from chalicelib.core.policy.terms import Terms


class Disclosure(Struct, frozen=True):
    """A disclosure in one language. ``sentences`` are keys of published texts, ``arguments`` fill them."""

    sentences: tuple[str, ...]
    arguments: tuple[Argument, ...]
    locale: str
    amount_at_stake: Money
    window_ends_at: int | None
    acknowledgement: str

    @property
    def text(self) -> str:
        return render_text(self.sentences, self.arguments, self.locale)


def build_disclosure(deposit: Deposit, terms: Terms, locale: str) -> Disclosure:
    """What a lock means for the deposit in its present state, in the language ``locale``."""
    ends_at = deposit.window.ends_at if deposit.window is not None else None
    stake = entitlement.compute_cancel_cost(deposit, terms)
    undo = texts.format_duration(terms.lock.undo, locale) if terms.lock.undo is not None else ""
    words = {
        "goods": describe_goods(deposit, terms),
        "total": texts.format_amount(deposit.total, locale),
        "paid": texts.format_amount(deposit.amount_paid, locale),
        "stake": texts.format_amount(stake, locale),
    }
    if ends_at is not None:
        words["until"] = texts.format_local_time(ends_at, terms.policy.time_zone)
    if undo:
        words["undo"] = undo
    return Disclosure(
        sentences=(
            "lock_goods/1",
            _choose_rights_sentence(deposit, ends_at),
            "lock_undo/1" if undo else "lock_no_undo/1",
            "lock_stake/1" if stake else "lock_no_stake/1",
        ),
        arguments=tuple(Argument(name, word) for name, word in words.items()),
        locale=locale,
        amount_at_stake=stake,
        window_ends_at=ends_at,
        acknowledgement=texts.read_text("disclosures", "lock_acknowledgement", locale=locale).format(amount=str(stake)),
    )


def _choose_rights_sentence(deposit: Deposit, ends_at: int | None) -> str:
    """The key of the sentence on the rights without a lock: an order with a trade-in can be cancelled, not changed."""
    if deposit.trade_in is not None:
        return "lock_cancel_always/1" if ends_at is None else "lock_cancel_until/1"
    return "lock_free_always/1" if ends_at is None else "lock_free_until/1"


def render_intent_text(intent: LockIntentOpened) -> str:
    """The text of an intent as it was shown, rendered from its event."""
    return render_text(intent.text, intent.arguments, intent.locale)


def hash_disclosure(deposit: Deposit, disclosure: Disclosure) -> str:
    """``sha256:<hex>`` over canonical JSON of text, language, phrase to type, terms, goods, prices, stake and window."""
    covered: dict[str, Any] = {
        "text": disclosure.text,
        "sentences": list(disclosure.sentences),
        "locale": disclosure.locale,
        "acknowledgement": disclosure.acknowledgement,
        "terms_hash": deposit.created.terms_hash,
        "items": [[line.sku, line.quantity, str(line.unit_price)] for line in deposit.lines],
        "amount_at_stake": str(disclosure.amount_at_stake),
        "window_ends_at": disclosure.window_ends_at,
    }
    return "sha256:" + hashlib.sha256(bytes(rfc8785.dumps(covered))).hexdigest()


def render_text(sentences: tuple[str, ...], arguments: tuple[Argument, ...], locale: str) -> str:
    words = {argument.name: argument.words for argument in arguments}
    parts = (texts.read_text("disclosures", key, locale=locale).format(**words) for key in sentences)
    return texts.read_text("language", "separator", locale=locale).join(parts)
