"""Ids of what belongs to a deposit: refunds, claims, questions, passes, withdrawals."""

from chalicelib.core.common.ids import parse_child
from chalicelib.core.common.refusal import Reason, Refused


def locate(prefix: str, child_id: str) -> tuple[str, int]:
    """The deposit's id and the row's number from 1. Refused(NOT_FOUND) for a text that cannot be such an id."""
    parsed = parse_child(prefix, child_id)
    if parsed is None:
        raise Refused(Reason.NOT_FOUND)
    return f"dep_{parsed[0]}", parsed[1]
