"""Idempotency keys of routes that name a deposit in their body: an item each, written with the deposit's event."""

from typing import Any

from chalicelib.flows.ports.effects import KeyTaken
from chalicelib.store.requests import get_item, key, put_new


class KeyStore:
    """Reads what ``put_key`` wrote."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def deposit_of(self, scope: bytes) -> str | None:
        item = get_item(self._client, self._table, _pk(scope))
        return str(item["deposit"]["S"]) if item is not None else None


def put_key(table: str, effect: KeyTaken) -> dict[str, Any]:
    """The action that binds a key to its deposit. A retry fails earlier, on the version of the deposit's journal."""
    return {"Put": put_new(table, {**key(_pk(effect.scope)), "deposit": {"S": effect.deposit}})}


def _pk(scope: bytes) -> str:
    return f"key#{scope.hex()}"
