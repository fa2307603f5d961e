"""Encrypted texts of people: an item each, written once, in the transaction of the event that names them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.flows.ports.effects import SealedText
from chalicelib.store.codec import Wire
from chalicelib.store.requests import MAX_BATCH_KEYS, get_item, key, put_new, send

MAX_ATTEMPTS: Final = 5  # for keys that a batch leaves unprocessed


class TextStore:
    """Reads what ``put_text`` wrote. ``pause`` sleeps longer the more attempts there were."""

    def __init__(self, client: Any, table: str, pause: Callable[[int], None]) -> None:
        self._client = client
        self._table = table
        self._pause = pause

    def get(self, pk: str) -> bytes | None:
        item = get_item(self._client, self._table, pk)
        return bytes(item["sealed"]["B"]) if item is not None else None

    def get_many(self, pks: Sequence[str]) -> Mapping[str, bytes]:
        """Those that exist, by a call for a hundred. Refused(BUSY) when the table leaves some unread."""
        wanted = list(dict.fromkeys(pks))
        texts: dict[str, bytes] = {}
        for start in range(0, len(wanted), MAX_BATCH_KEYS):
            for item in self._batch([key(pk) for pk in wanted[start : start + MAX_BATCH_KEYS]]):
                texts[item["pk"]["S"]] = bytes(item["sealed"]["B"])
        return texts

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


def put_text(table: str, text: SealedText) -> dict[str, Any]:
    """The action that writes a text. A retry of the request fails earlier, on the version of its journal."""
    return {"Put": put_new(table, {**key(text.key), "sealed": {"B": text.sealed}})}
