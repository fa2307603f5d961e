"""Sealed texts of people: an item each, written once, in the transaction of the event that names it."""

from typing import Any

from chalicelib.flows.ports.effects import SealedText
from chalicelib.store.journals import key
from chalicelib.store.requests import send


class TextStore:
    """Reads what ``kept`` wrote."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, pk: str) -> bytes | None:
        found = send(self._client.get_item, TableName=self._table, Key=key(pk), ConsistentRead=True)
        return bytes(found["Item"]["sealed"]["B"]) if "Item" in found else None


def kept(table: str, keep: SealedText) -> dict[str, Any]:
    """The action that writes it. A retry of the same request finds its journal moved on before it gets here."""
    return {
        "Put": {
            "TableName": table,
            "Item": {**key(keep.key), "sealed": {"B": keep.sealed}},
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }
