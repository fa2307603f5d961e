"""What was shown before a lock, once it has been through the store: the same words, byte for byte."""

import pytest

from chalicelib.core.common.journal import Caller, Entry
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.lock import LockIntentOpened
from chalicelib.core.deposit.fold import KINDS
from chalicelib.core.locking import disclosure
from chalicelib.core.locking.disclosure import hash_disclosure
from chalicelib.core.policy.terms import Terms
from chalicelib.store.journals import Journals
from tests.core.stories import DEPOSIT_ID, NEVER, SU7, paid, terms
from tests.core.test_disclosure import LOCALES, opened


def through_the_store(event: DepositEvent) -> DepositEvent:
    """As the journal keeps it and gives it back."""
    journals: Journals[DepositEvent] = Journals(None, "earnest", KINDS)
    entry = Entry(event, event.at, Caller("usr_" + "0" * 26, "buyer"), locale="zh")
    return journals.read(journals.begin_action(DEPOSIT_ID, [entry], {})["Item"]).journal[0].event


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(
    "under", [SU7, NEVER, terms(lock={"undo": None}), terms(after_lock={"buyer_cancel": "refund"})]
)
def test_the_evidence_says_again_what_was_shown_byte_for_byte(under: Terms, locale: str) -> None:
    story = paid(under)
    was_shown = disclosure.build_disclosure(story.deposit, under, locale)
    kept = through_the_store(opened(story, locale))
    assert isinstance(kept, LockIntentOpened)
    assert kept == story.events[-1]
    assert disclosure.render_intent_text(kept).encode() == was_shown.text.encode()
    assert kept.disclosure_hash == hash_disclosure(story.deposit, was_shown)
    assert (kept.amount_at_stake, kept.window_ends_at) == (was_shown.amount_at_stake, was_shown.window_ends_at)
    assert (kept.locale, kept.acknowledgement) == (locale, was_shown.acknowledgement)
