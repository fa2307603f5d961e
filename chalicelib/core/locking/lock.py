"""Locking, which no slip of a thumb can do: shown, read, typed, used once, undone while the undo is open.

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

MAX_INTENTS: Final = 20


class OpenIntent(Command, frozen=True):
    """The buyer wants to see, in their language, what a lock would mean."""

    locale: str


class ConfirmLock(Command, frozen=True):
    """The buyer locks: the intent's id, the hash of what was shown, and the words as typed."""

    intent: str
    disclosure_hash: str
    acknowledgement: str


class Unlock(Command, frozen=True):
    """The buyer takes a lock back while its undo is open."""


def refuse_intent(deposit: Deposit, at: int, terms: Terms) -> None:
    """Whether a lock can be asked for now at all."""
    refuse_unless_free(deposit, at)
    if not terms.lock.early or (deposit.window is not None and deposit.window.cancel_only):
        raise Refused(Reason.LOCK_NOT_ALLOWED)
    if len(deposit.intents) >= MAX_INTENTS:
        raise Refused(Reason.RATE_LIMITED, most=MAX_INTENTS)


def refuse_unless_free(deposit: Deposit, at: int) -> None:
    """A choice needs an open window and no lock.

    A lock that was written counts, whenever the choice was asked, and so does what somebody did relying on one.
    """
    status = status_at(deposit, at)
    locked = status is Status.COOLING_OFF and (deposit.lock is not None or deposit.begun)
    if locked or status is not Status.COOLING_OFF:
        raise Refused(Reason.WRONG_STATE, state=Status.LOCKED.value if locked else status.value)


def open_intent(deposit: Deposit, command: OpenIntent, at: int, terms: Terms) -> LockIntentOpened:
    """Show what a lock means; the former intent is closed by this one."""
    refuse_intent(deposit, at, terms)
    review, ttl = terms.lock.review, terms.lock.intent_ttl
    assert review is not None, "an offer that lets buyers lock says how long they read"
    assert ttl is not None, "and how long an intent lives"
    shown = disclosure.build_disclosure(deposit, terms, command.locale)
    return LockIntentOpened(
        at=at,
        intent=len(deposit.intents) + 1,
        text=shown.sentences,
        arguments=shown.arguments,
        locale=shown.locale,
        amount_at_stake=shown.amount_at_stake,
        disclosure_hash=disclosure.disclosure_hash(deposit, shown),
        acknowledgement=shown.acknowledgement,
        confirmable_at=at + instants.duration_ms(review),
        expires_at=at + instants.duration_ms(ttl),
        window_ends_at=shown.window_ends_at,
    )


def confirm(deposit: Deposit, command: ConfirmLock, at: int, terms: Terms) -> LockConfirmed:
    """Lock it. The checks stand in the order in which the contract names them."""
    intent = _named(deposit, command.intent)
    _refuse(deposit, intent, command.disclosure_hash, at, terms)
    assert intent is not None, "an unknown intent was refused"
    shown = intent.shown
    if _typed(command.acknowledgement) != _typed(shown.acknowledgement):
        raise Refused(Reason.LOCK_ACKNOWLEDGEMENT_MISMATCH, acknowledgement=shown.acknowledgement)
    undo = terms.lock.undo
    undo_until = at + instants.duration_ms(undo) if undo is not None else None
    return LockConfirmed(at, intent.n, shown.disclosure_hash, undo_until)


def _refuse(deposit: Deposit, intent: Intent | None, shown_hash: str, at: int, terms: Terms) -> None:
    """Everything but the words, in the contract's order."""
    if intent is None or intent.state == "superseded":
        raise Refused(Reason.LOCK_INTENT_INVALID)
    if intent.state == "used":
        raise Refused(Reason.LOCK_INTENT_USED)
    refuse_unless_free(deposit, at)
    shown = intent.shown
    if at >= shown.expires_at:
        raise Refused(Reason.LOCK_INTENT_EXPIRED, expires_at=shown.expires_at)
    if intent.state == "changed" or shown_hash != shown.disclosure_hash or _outdated(deposit, intent, terms):
        raise Refused(Reason.TERMS_CHANGED)
    if deposit.open_refunds:
        raise Refused(Reason.REFUND_IN_PROGRESS)
    if at < shown.confirmable_at:
        raise Refused(Reason.LOCK_REVIEW_PENDING, confirmable_at=shown.confirmable_at)


def refuse_lock(deposit: Deposit, at: int, terms: Terms) -> None:
    """Whether the latest intent could be confirmed now, with the right hash and words."""
    if not deposit.intents:
        raise Refused(Reason.LOCK_INTENT_INVALID)
    latest = deposit.intents[-1]
    _refuse(deposit, latest, latest.shown.disclosure_hash, at, terms)


def refuse_undo(deposit: Deposit, at: int) -> int:
    """Until when the lock can be taken back; refuses when it cannot."""
    status = status_at(deposit, at)
    if status is not Status.LOCKED:
        raise Refused(Reason.WRONG_STATE, state=status.value)
    lock = lock_at(deposit, at)
    assert lock is not None, "what is locked has a lock"
    if lock.undo_until is None or lock.final(at):
        raise Refused(Reason.UNDO_CLOSED, undo_until=lock.undo_until)
    return lock.undo_until


def unlock(deposit: Deposit, at: int) -> LockUndone:
    """The same window goes on; when none runs any more, the buyer is free to cancel until the undo would have ended."""
    undo_until = refuse_undo(deposit, at)
    runs = deposit.window is not None and (deposit.window.ends_at is None or at < deposit.window.ends_at)
    return LockUndone(at, None if runs else undo_until)


def _named(deposit: Deposit, intent_id: str) -> Intent | None:
    parsed = parse_child("lki", intent_id)
    if parsed is None or f"dep_{parsed[0]}" != deposit.id or parsed[1] > len(deposit.intents):
        return None
    return deposit.intents[parsed[1] - 1]


def _outdated(deposit: Deposit, intent: Intent, terms: Terms) -> bool:
    """Whether the same buyer would be shown something else by now."""
    now_shown = disclosure.build_disclosure(deposit, terms, intent.shown.locale)
    return disclosure.disclosure_hash(deposit, now_shown) != intent.shown.disclosure_hash


def _typed(words: str) -> str:
    return words.strip().casefold()


COMMANDS: Final[Commands] = (
    CommandRow(OpenIntent, open_intent, Action("buyer", "lock-intents", refuse_intent), optional),
    CommandRow(ConfirmLock, confirm, Action("buyer", "lock", refuse_lock), needed),
    CommandRow(
        Unlock,
        lambda deposit, _command, at, _terms: unlock(deposit, at),
        Action("buyer", "unlock", lambda deposit, at, _terms: refuse_undo(deposit, at)),
        needed,
    ),
)
