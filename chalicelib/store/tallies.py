"""The public count of an offer's cancellations: one item, counted up in the transaction of each cancellation."""

from collections.abc import Mapping
from typing import Any

from chalicelib.flows.ports.effects import ReasonCounted
from chalicelib.store.journals import key
from chalicelib.store.requests import send

MARK = "#"  # between what happened and the reason, in an attribute's name


class TallyStore:
    """Reads what ``tallied`` wrote."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def of(self, offer: str) -> Mapping[tuple[str, str], int]:
        found = send(self._client.get_item, TableName=self._table, Key=key(_pk(offer)))
        counts = ((name.partition(MARK), value) for name, value in found.get("Item", {}).items() if MARK in name)
        return {(what, reason): int(value["N"]) for (what, _, reason), value in counts}


def tallied(table: str, one: ReasonCounted) -> dict[str, Any]:
    """The action that counts one more."""
    return {
        "Update": {
            "TableName": table,
            "Key": key(_pk(one.offer)),
            "UpdateExpression": "ADD #one :one",
            "ExpressionAttributeNames": {"#one": f"{one.what}{MARK}{one.reason}"},
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }


def _pk(offer: str) -> str:
    return f"tally#{offer}"
