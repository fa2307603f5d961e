"""A merchant's cancellations decided again, for proofs."""

from collections.abc import Iterator
from typing import Final, cast

from chalicelib.core.deposit.causes import Cause
from chalicelib.core.deposit.events.all import DepositEvent
from chalicelib.core.deposit.events.ending import Cancelled, QuestionAnswered, QuestionAsked, QuestionLapsed
from chalicelib.core.deposit.history import CauseRules, History, Replays, as_recorded
from chalicelib.core.merchant import cancellation
from chalicelib.core.merchant.cancellation import MerchantCancel

MAX_NOTE_CHARS: Final = 2_000


def _cancelled(history: History, place: int) -> Iterator[DepositEvent]:
    """A proof holds only the digest of a note, so the note counts as long enough."""
    event = cast(Cancelled, history.events[place])
    length = MAX_NOTE_CHARS if event.note is not None else 0
    command = MerchantCancel(event.reason or "", event.evidence, event.note, length, event.approver)
    return cancellation.cancel(history.before(place), command, event.at, history.terms)


REPLAYS: Final[Replays] = {
    QuestionAsked: as_recorded,
    QuestionAnswered: as_recorded,
    QuestionLapsed: as_recorded,
}
ENDS: Final[CauseRules] = {Cause.MERCHANT_CANCEL: _cancelled}
REFUNDS: Final[CauseRules] = {}
