"""The public count of an offer's cancellations: one item, counted up in the transaction of each cancellation."""

from collections.abc import Mapping
from typing import Any

from chalicelib.flows.ports.effects import ReasonCounted
from chalicelib.store.requests import key, send

SEPARATOR = "#"  # between what happened and the reason, in an attribute's name


class TallyStore:
    """Reads what ``count_reason`` wrote."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def of(self, offer: str) -> Mapping[tuple[str, str], int]:
        """Counts by what happened and its reason, eventually consistent."""
        item = send(self._client.get_item, TableName=self._table, Key=key(_pk(offer))).get("Item", {})
        counts = ((name.partition(SEPARATOR), value) for name, value in item.items() if SEPARATOR in name)
        return {(what, reason): int(value["N"]) for (what, _, reason), value in counts}


def count_reason(table: str, effect: ReasonCounted) -> dict[str, Any]:
    """The action that adds one to a count."""
    return {
        "Update": {
            "TableName": table,
            "Key": key(_pk(effect.offer)),
            "UpdateExpression": "ADD #one :one",
            "ExpressionAttributeNames": {"#one": f"{effect.what}{SEPARATOR}{effect.reason}"},
            "ExpressionAttributeValues": {":one": {"N": "1"}},
        }
    }


def _pk(offer: str) -> str:
    return f"tally#{offer}"
