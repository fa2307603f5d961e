"""A merchant's cancellations decided again, for proofs."""

from collections.abc import Iterator
from typing import Final, cast

from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import Cancelled, QuestionAnswered, QuestionAsked, QuestionLapsed
from chalicelib.core.deposit.history import CauseRules, History, Replays, take_as_recorded
from chalicelib.core.merchant import cancellation
from chalicelib.core.merchant.cancellation import MerchantCancel

MAX_NOTE_CHARS: Final = 2_000


def _replay_merchant_cancel(history: History, place: int) -> Iterator[DepositEvent]:
    """A proof holds only the digest of a note, so the note counts as long enough."""
    event = cast(Cancelled, history.events[place])
    length = MAX_NOTE_CHARS if event.note is not None else 0
    command = MerchantCancel(event.reason or "", event.evidence, event.note, length, event.approver)
    return cancellation.cancel_by_merchant(history.before(place), command, event.at, history.terms)


REPLAYS: Final[Replays] = {
    QuestionAsked: take_as_recorded,
    QuestionAnswered: take_as_recorded,
    QuestionLapsed: take_as_recorded,
}
ENDS: Final[CauseRules] = {Cause.MERCHANT_CANCEL: _replay_merchant_cancel}
REFUNDS: Final[CauseRules] = {}
