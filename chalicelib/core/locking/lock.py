"""Locks: an intent is shown and read, its phrase typed, the lock confirmed once, and undone while the undo is open.

Promise P5: no lock without an unexpired, unused, reviewed intent for exactly what was shown.
"""

from typing import Final

from chalicelib.core.common import instants
from chalicelib.core.common.ids import parse_child
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.clock import lock_at, status_at
from chalicelib.core.deposit.command_row import Action, Command, CommandRow, Commands, needed, optional
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.lock import LockConfirmed, LockIntentOpened, LockUndone
from chalicelib.core.deposit.lock import Intent
from chalicelib.core.deposit.status import Status
from chalicelib.core.locking import disclosure
from chalicelib.core.policy.terms import Terms

MAX_INTENTS: Final = 20  # of one deposit


class OpenIntent(Command, frozen=True):
    """The buyer asks for the disclosure of a lock in a language."""

    locale: str


class ConfirmLock(Command, frozen=True):
    """The buyer locks: the intent's id, the hash of its disclosure, and the phrase as typed."""

    intent: str
    disclosure_hash: str
    acknowledgement: str


class Unlock(Command, frozen=True):
    """The buyer takes a lock back while its undo is open."""


def refuse_intent(deposit: Deposit, at: int, terms: Terms) -> None:
    """Raises Refused where no intent can be opened at ``at``: WRONG_STATE, LOCK_NOT_ALLOWED, RATE_LIMITED."""
    refuse_unless_in_window(deposit, at)
    if not terms.lock.early or (deposit.window is not None and deposit.window.cancel_only):
        raise Refused(Reason.LOCK_NOT_ALLOWED)
    if len(deposit.intents) >= MAX_INTENTS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_INTENTS)


def refuse_unless_in_window(deposit: Deposit, at: int) -> None:
    """WRONG_STATE unless the window is open and the deposit not locked.

    A recorded lock counts even if the request came before it, and so does anything done since in reliance on a lock.
    """
    status = status_at(deposit, at)
    locked = status is Status.COOLING_OFF and (deposit.lock is not None or deposit.fulfilment_begun)
    if locked or status is not Status.COOLING_OFF:
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value if locked else status.value)


def open_intent(deposit: Deposit, command: OpenIntent, at: int, terms: Terms) -> LockIntentOpened:
    """An intent with its disclosure. It supersedes the former intent."""
    refuse_intent(deposit, at, terms)
    review, ttl = terms.lock.review, terms.lock.intent_ttl
    assert review is not None, "terms with an early lock have a review time"
    assert ttl is not None, "terms with an early lock have a lifetime of intents"
    disclosed = disclosure.build_disclosure(deposit, terms, command.locale)
    return LockIntentOpened(
        at=at,
        intent=len(deposit.intents) + 1,
        text=disclosed.sentences,
        arguments=disclosed.arguments,
        locale=disclosed.locale,
        amount_at_stake=disclosed.amount_at_stake,
        disclosure_hash=disclosure.hash_disclosure(deposit, disclosed),
        acknowledgement=disclosed.acknowledgement,
        confirmable_at=at + instants.duration_ms(review),
        expires_at=at + instants.duration_ms(ttl),
        window_ends_at=disclosed.window_ends_at,
    )


def confirm_lock(deposit: Deposit, command: ConfirmLock, at: int, terms: Terms) -> LockConfirmed:
    """The lock. Its checks follow the order of the contract."""
    intent = _find_intent(deposit, command.intent)
    _refuse_confirmation(deposit, intent, command.disclosure_hash, at, terms)
    assert intent is not None, "an unknown intent was refused"
    shown = intent.opened
    if _normalize_phrase(command.acknowledgement) != _normalize_phrase(shown.acknowledgement):
        raise Refused(Reason.LOCK_ACKNOWLEDGEMENT_MISMATCH, acknowledgement=shown.acknowledgement)
    return LockConfirmed(at, intent.n, shown.disclosure_hash, compute_undo_until(at, terms))


def compute_undo_until(at: int, terms: Terms) -> int | None:
    """Until when a lock made at ``at`` can be undone; None where the terms allow no undo."""
    return at + instants.duration_ms(terms.lock.undo) if terms.lock.undo is not None else None


def _refuse_confirmation(deposit: Deposit, intent: Intent | None, shown_hash: str, at: int, terms: Terms) -> None:
    """All checks of a confirmation except the typed phrase, in the contract's order."""
    if intent is None or intent.state == "superseded":
        raise Refused(Reason.LOCK_INTENT_INVALID)
    if intent.state == "used":
        raise Refused(Reason.LOCK_INTENT_USED)
    refuse_unless_in_window(deposit, at)
    shown = intent.opened
    if at >= shown.expires_at:
        raise Refused(Reason.LOCK_INTENT_EXPIRED, expires_at=shown.expires_at)
    if intent.state == "changed" or shown_hash != shown.disclosure_hash or _is_outdated(deposit, intent, terms):
        raise Refused(Reason.TERMS_CHANGED)
    if deposit.open_refunds:
        raise Refused(Reason.REFUND_IN_PROGRESS)
    if at < shown.confirmable_at:
        raise Refused(Reason.LOCK_REVIEW_PENDING, confirmable_at=shown.confirmable_at)


def refuse_lock(deposit: Deposit, at: int, terms: Terms) -> None:
    """Raises Refused where the latest intent cannot be confirmed at ``at`` even with the right hash and phrase."""
    if not deposit.intents:
        raise Refused(Reason.LOCK_INTENT_INVALID)
    latest = deposit.intents[-1]
    _refuse_confirmation(deposit, latest, latest.opened.disclosure_hash, at, terms)


def refuse_undo(deposit: Deposit, at: int, _terms: Terms) -> int:
    """The instant until which the lock can be undone. WRONG_STATE or UNDO_CLOSED when it cannot."""
    status = status_at(deposit, at)
    if status is not Status.LOCKED:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    lock = lock_at(deposit, at)
    assert lock is not None, "a locked deposit has a lock"
    if lock.undo_until is None or lock.is_final(at):
        raise Refused(Reason.UNDO_CLOSED, undo_until=lock.undo_until)
    return lock.undo_until


def unlock(deposit: Deposit, _command: Unlock, at: int, terms: Terms) -> LockUndone:
    """The same window goes on. Where it has ended, the buyer may cancel freely until the end of the undo."""
    undo_until = refuse_undo(deposit, at, terms)
    runs = deposit.window is not None and (deposit.window.ends_at is None or at < deposit.window.ends_at)
    return LockUndone(at, None if runs else undo_until)


def _find_intent(deposit: Deposit, intent_id: str) -> Intent | None:
    parsed = parse_child("lki", intent_id)
    if parsed is None or f"dep_{parsed[0]}" != deposit.id or parsed[1] > len(deposit.intents):
        return None
    return deposit.intents[parsed[1] - 1]


def _is_outdated(deposit: Deposit, intent: Intent, terms: Terms) -> bool:
    """Whether the disclosure would differ by now."""
    current = disclosure.build_disclosure(deposit, terms, intent.opened.locale)
    return disclosure.hash_disclosure(deposit, current) != intent.opened.disclosure_hash


def _normalize_phrase(phrase: str) -> str:
    return phrase.strip().casefold()


COMMANDS: Final[Commands] = (
    CommandRow(OpenIntent, open_intent, Action("buyer", "lock-intents", refuse_intent), optional),
    CommandRow(ConfirmLock, confirm_lock, Action("buyer", "lock", refuse_lock), needed),
    CommandRow(Unlock, unlock, Action("buyer", "unlock", refuse_undo), needed),
)
