"""Idempotency keys of routes that name a deposit in their body: an item each, written with the deposit's event."""

from typing import Any

from chalicelib.flows.ports.effects import KeyTaken
from chalicelib.store.journals import key
from chalicelib.store.requests import send


class KeyStore:
    """Reads what ``taken`` wrote."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def deposit_of(self, scope: bytes) -> str | None:
        found = send(self._client.get_item, TableName=self._table, Key=key(_pk(scope)), ConsistentRead=True)
        return str(found["Item"]["deposit"]["S"]) if "Item" in found else None


def taken(table: str, claim: KeyTaken) -> dict[str, Any]:
    """The action that binds a key to its deposit. A retry finds its deposit's journal moved on before it gets here."""
    return {
        "Put": {
            "TableName": table,
            "Item": {**key(_pk(claim.scope)), "deposit": {"S": claim.deposit}},
            "ConditionExpression": "attribute_not_exists(pk)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
    }


def _pk(scope: bytes) -> str:
    return f"key#{scope.hex()}"
