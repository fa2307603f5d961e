"""The keys under which sealed texts stand in the table. They are part of its format."""

from chalicelib.core.common.ids import child


def event_text(deposit_id: str, version: int) -> str:
    """What was written to a claim with the deposit's event of that version."""
    return f"text#{child('evt', deposit_id, version)}"


def cancellation_note(deposit_id: str, version: int) -> str:
    """The note of a merchant's cancellation. ``version`` is the deposit's before it."""
    return f"text#{deposit_id}#cancelled{version}"


def bulk_note(bulk_id: str) -> str:
    return f"text#{bulk_id}#note"


def refund_note(deposit_id: str, refund: int, version: int) -> str:
    """The note of a decision on a refund. ``version`` is the deposit's before it."""
    return f"text#{child('ref', deposit_id, refund)}#note{version}"


def payee(deposit_id: str, refund: int, destination: int) -> str:
    """The account that was named as a refund's ``destination``, counted from 1."""
    return f"text#{child('ref', deposit_id, refund)}#{destination}"


def question_text(question_id: str, step: str) -> str:
    """``step`` is ``asked`` or ``answered``."""
    return f"text#{question_id}#{step}"


def withdrawal_text(withdrawal_id: str, step: int) -> str:
    """``step`` is 1 when stated and 2 when confirmed: a receipt never changes."""
    return f"text#{withdrawal_id}#{step}"


def break_note(break_id: str) -> str:
    return f"text#{break_id}"
