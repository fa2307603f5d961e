"""The refund proof as a JSON document: its members, its digest, and how it is read.

A proof holds the journal up to the approval, the frozen terms and the result, under one digest. Readers raise Refused
(INVALID_REQUEST) with a JSON pointer for anything that is no proof.
"""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import rfc8785
from pydantic import ValidationError

from chalicelib.core.common.field_errors import read_field_errors
from chalicelib.core.common.fields import lists_to_tuples
from chalicelib.core.common.ids import child, is_well_formed, parse_child
from chalicelib.core.common.instants import format_instant
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.event_json import below, read_json, to_json, unreadable
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.refund import RefundApproved
from chalicelib.core.deposit.fold import KINDS
from chalicelib.core.policy.terms import Terms

Json = dict[str, Any]

REVISION: Final = 1  # of the rules: increased when the same journal gives another amount
CALCULATOR: Final = f"earnest/{REVISION}"
OBJECT: Final = "refund_proof"
# Fields without effect on money: stock draws, the key to a receipt, and the end of the period to withdraw (the journal
# itself records that a withdrawal was confirmed in time).
HIDDEN_FIELDS: Final = frozenset({"batch", "stock", "limit_units", "token_key", "withdrawal_ends_at"})


def event_data(event: DepositEvent) -> Json:
    """The fields of an event that a proof shows."""
    return {name: part for name, part in to_json(event).items() if name not in HIDDEN_FIELDS}


def build_result(deposit_id: str, approved: RefundApproved) -> Json:
    """The member ``result``: amount, lines, promised date, payment and capture of the refund."""
    return {
        "amount": to_json(approved.amount),
        "lines": [to_json(line) for line in approved.lines],
        "promised_by": format_instant(approved.promised_by),
        "payment": child("pay", deposit_id, approved.payment),
        "capture": approved.capture,
    }


def compute_digest(document: Mapping[str, Any]) -> str:
    """``sha256:<hex>`` over canonical JSON (RFC 8785) of everything but the digest."""
    covered = {name: part for name, part in document.items() if name != "digest"}
    return "sha256:" + hashlib.sha256(bytes(rfc8785.dumps(covered))).hexdigest()


MEMBERS: Final[Mapping[str, tuple[type, str]]] = MappingProxyType(
    {
        "object": (str, "not_text"),
        "calculator": (str, "not_text"),
        "refund": (str, "not_text"),
        "deposit": (str, "not_text"),
        "cause": (str, "not_text"),
        "terms_hash": (str, "not_text"),
        "terms": (dict, "not_object"),
        "events": (list, "not_list"),
        "result": (dict, "not_object"),
        "digest": (str, "not_text"),
    }
)


def read_document(proof: object) -> Json:
    """The proof, if all members are present, none is unknown, the ids are well formed, and it has canonical JSON."""
    if not isinstance(proof, dict):
        raise unreadable("", "not_object")
    for name in proof:
        if name not in MEMBERS:
            raise unreadable(below("", str(name)), "unknown_field")
    for name, (kind, why) in MEMBERS.items():
        if name not in proof:
            raise unreadable(below("", name), "missing")
        if not isinstance(proof[name], kind):
            raise unreadable(below("", name), why)
    if proof["object"] != OBJECT:
        raise unreadable("/object", "choice")
    if not is_well_formed("dep", proof["deposit"]):
        raise unreadable("/deposit", "not_well_formed")
    if parse_child("ref", proof["refund"]) is None:
        raise unreadable("/refund", "not_well_formed")
    if not proof["events"]:
        raise unreadable("/events", "too_few")
    try:
        compute_digest(proof)
    except (RecursionError, ValueError):
        raise unreadable("", "invalid") from None
    return proof


def read_terms(value: Json) -> Terms:
    try:
        return Terms.model_validate(lists_to_tuples(value))
    except ValidationError as invalid:
        raise Refused(Reason.INVALID_REQUEST, read_field_errors(invalid, "/terms")) from None


def read_events(values: Sequence[object]) -> tuple[DepositEvent, ...]:
    return tuple(_read_event(value, below("/events", place)) for place, value in enumerate(values))


def _read_event(value: object, pointer: str) -> DepositEvent:
    if not isinstance(value, dict):
        raise unreadable(pointer, "not_object")
    for name in value:
        if name not in {"type", "data"}:
            raise unreadable(below(pointer, name), "unknown_field")
    for name in ("type", "data"):
        if name not in value:
            raise unreadable(below(pointer, name), "missing")
    kind = KINDS.get(value["type"]) if isinstance(value["type"], str) else None
    if kind is None:
        raise unreadable(below(pointer, "type"), "choice")
    data = value["data"]
    hidden = next((name for name in data if name in HIDDEN_FIELDS), None) if isinstance(data, dict) else None
    if hidden is not None:
        raise unreadable(below(below(pointer, "data"), hidden), "unknown_field")
    return read_json(kind, data, below(pointer, "data"))
