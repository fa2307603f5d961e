"""Sealed texts of people: an item each, written once, in the transaction of the event that names them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.flows.ports.effects import SealedText
from chalicelib.store.codec import Wire
from chalicelib.store.journals import key
from chalicelib.store.requests import send

BATCH_KEYS: Final = 100  # that one BatchGetItem takes
MAX_ATTEMPTS: Final = 5  # for keys that a batch leaves unprocessed


class TextStore:
    """Reads what ``kept`` wrote. ``pause`` sleeps longer the more attempts there were."""

    def __init__(self, client: Any, table: str, pause: Callable[[int], None]) -> None:
        self._client = client
        self._table = table
        self._pause = pause

    def get(self, pk: str) -> bytes | None:
        found = send(self._client.get_item, TableName=self._table, Key=key(pk), ConsistentRead=True)
        return bytes(found["Item"]["sealed"]["B"]) if "Item" in found else None

    def get_many(self, pks: Sequence[str]) -> Mapping[str, bytes]:
        """Those that are there, in one call for a hundred. Refused(BUSY) when the table leaves some unread."""
        wanted = list(dict.fromkeys(pks))
        found: dict[str, bytes] = {}
        for start in range(0, len(wanted), BATCH_KEYS):
            for item in self._batch([key(pk) for pk in wanted[start : start + BATCH_KEYS]]):
                found[item["pk"]["S"]] = bytes(item["sealed"]["B"])
        return found

    def _batch(self, keys: list[dict[str, Wire]]) -> Iterator[Mapping[str, Wire]]:
        for attempt in range(MAX_ATTEMPTS):
            request = {self._table: {"Keys": keys, "ConsistentRead": True}}
            answer = send(self._client.batch_get_item, RequestItems=request)
            yield from answer["Responses"].get(self._table, [])
            keys = answer.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys", [])
            if not keys:
                return
            self._pause(attempt)
        raise Refused(Reason.BUSY, retry_after=1)


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
