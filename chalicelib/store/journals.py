"""A journal is one item: read it, begin it, append on condition of its version, or postpone its due time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Generic

from chalicelib.core.common.journal import Caller, E_co, Entry, Key
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.store import DuePage, Leased, Page, VersionConflict
from chalicelib.store.codec import Wire, encode, encode_fields, reader
from chalicelib.store.requests import (
    ALL_OLD,
    ConditionFailed,
    Item,
    batch_get,
    get_item,
    key,
    put_new,
    send,
    update_action,
)

MAX_QUERY_IDS: Final = 1_000  # of one query
INDEX_ATTRIBUTES: Final = (
    "open",
    "promised",
    "due_shard",
    "due",
    "moved",
    "lines",
    "claims",
    "claims_shard",
    "claim_due",
)


class Journals(Generic[E_co]):
    """Journals of one kind of event in the table. ``kinds`` are the event classes by their public name."""

    def __init__(self, client: Any, table: str, kinds: Mapping[str, type[Any]]) -> None:
        self._client = client
        self._table = table
        self._kinds = kinds

    def get(self, item_id: str) -> Stored[E_co] | None:
        item = get_item(self._client, self._table, item_id)
        return self.read(item) if item is not None else None

    def get_many(self, ids: Sequence[str]) -> dict[str, Stored[E_co]]:
        """Those that exist, by id; eventually consistent."""
        return {item["pk"]["S"]: self.read(item) for item in batch_get(self._client, self._table, ids)}

    def begin_action(self, item_id: str, entries: Sequence[Entry[E_co]], indexed: Mapping[str, Wire]) -> dict[str, Any]:
        """The action that begins a journal, for a transaction or for ``put``."""
        item = {
            "pk": {"S": item_id},
            "journal": self._entries(entries),
            "v": {"N": str(len(entries))},
            "n": {"N": str(len(entries))},
            **indexed,
        }
        return put_new(self._table, item)

    def append_action(
        self, stored: Stored[E_co], entries: Sequence[Entry[E_co]], indexed: Mapping[str, Wire]
    ) -> dict[str, Any]:
        """The action that appends to a journal as it was read. Index attributes that are not in ``indexed`` are removed."""
        absent = [name for name in INDEX_ATTRIBUTES if name not in indexed]
        removed = ", ".join(f"#{name}" for name in absent)
        sets = "".join(f", #{name} = :{name}" for name in indexed)
        return {
            "TableName": self._table,
            "Key": key(stored.id),
            "UpdateExpression": f"SET journal = list_append(journal, :entries), v = v + :n, n = :n{sets}"
            f" REMOVE lease_owner, lease_until, failures{', ' if removed else ''}{removed}",
            "ConditionExpression": "v = :v",
            "ExpressionAttributeNames": {f"#{name}": name for name in (*indexed, *absent)},
            "ExpressionAttributeValues": {
                ":entries": self._entries(entries),
                ":n": {"N": str(len(entries))},
                ":v": {"N": str(stored.version)},
                **{f":{name}": value for name, value in indexed.items()},
            },
            "ReturnValuesOnConditionCheckFailure": ALL_OLD,
        }

    def put(self, action: Mapping[str, Any]) -> None:
        self._write(self._client.put_item, action)

    def update(self, action: Mapping[str, Any]) -> None:
        self._write(self._client.update_item, action)

    def touch(self, stored: Stored[E_co], due: int, *, owner: str, until: int, now: int, failures: int) -> None:
        """Set ``due`` and take the lease until ``until``. The journal and its version stay.

        Raises Leased when another owner has the lease, VersionConflict when the journal has changed.
        """
        touch = update_action(
            self._table,
            stored.id,
            "SET due = :due, n = :zero, failures = :failures, lease_owner = :owner, lease_until = :until",
            "v = :v AND attribute_exists(due)"
            " AND (attribute_not_exists(lease_until) OR lease_until <= :now OR lease_owner = :owner)",
            {
                "due": due,
                "zero": 0,
                "failures": failures,
                "owner": owner,
                "until": until,
                "now": now,
                "v": stored.version,
            },
        )
        try:
            send(self._client.update_item, **touch["Update"])
        except ConditionFailed as failed:
            current = self.read_image(failed.items[0])
            if current.version == stored.version:
                raise Leased from None
            raise VersionConflict(current) from None

    def read_image(self, item: Item | None) -> Stored[E_co]:
        """The journal in the item that a failed condition returned."""
        assert item is not None, "the condition failed on an item that exists"
        return self.read(item)

    def read(self, item: Item) -> Stored[E_co]:
        return Stored(
            id=item["pk"]["S"],
            journal=tuple(self._read_entry(wire) for wire in item["journal"]["L"]),
            due=int(item["due"]["N"]) if "due" in item else None,
            failures=int(item["failures"]["N"]) if "failures" in item else 0,
        )

    def page(
        self,
        index: str,
        partitions: Sequence[str],
        sort: str,
        limit: int,
        position: Mapping[str, object] | None,
        *,
        newest_first: bool = True,
    ) -> Page[E_co]:
        """A page of one or several partitions of an index, merged by their sort key, then read from the table.

        The position is the last row's instant and id. Rows of one instant are in the order of their ids, so that a page
        neither repeats nor omits any of them.
        """
        sign = -1 if newest_first else 1
        after = (sign * int(str(position["at"])), str(position["id"])) if position else None
        positions = sorted(
            row for partition in partitions for row in self._positions(index, partition, sort, limit + 1, sign, after)
        )
        chosen = positions[:limit]
        stored = self.get_many([item_id for _, item_id in chosen])
        rows = tuple(stored[item_id] for _, item_id in chosen if item_id in stored)
        more = len(positions) > limit
        return Page(rows, {"at": sign * chosen[-1][0], "id": chosen[-1][1]} if more else None)

    def due(self, partition: str, until: int, limit: int, position: Mapping[str, Wire] | None = None) -> DuePage:
        """The ids of a due queue up to an instant, earliest first, from the position of an earlier page."""
        answer = self._query(
            "due", partition, "due", limit, forward=True, condition="#s <= :at", at=until, start=position
        )
        return DuePage([item["pk"]["S"] for item in answer["Items"]], answer.get("LastEvaluatedKey"))

    def ids(self, index: str, partition: str) -> Iterator[str]:
        """All ids of a partition, in the order of its index."""
        start: Mapping[str, Wire] | None = None
        while True:
            answer = self._query(index, partition, "", MAX_QUERY_IDS, forward=True, start=start)
            yield from (item["pk"]["S"] for item in answer["Items"])
            start = answer.get("LastEvaluatedKey")
            if start is None:
                return

    def _positions(
        self, index: str, partition: str, sort: str, wanted: int, sign: int, after: tuple[int, str] | None
    ) -> list[tuple[int, str]]:
        """At least ``wanted`` pairs (signed instant, id) after ``after``, if there are so many, and all of the last instant.

        An index gives the rows of one instant in any order. ``sign`` makes the instants ascend.
        """
        positions: list[tuple[int, str]] = []
        start: Mapping[str, Wire] | None = None
        condition = "" if after is None else "#s >= :at" if sign > 0 else "#s <= :at"
        while True:
            answer = self._query(
                index,
                partition,
                sort,
                wanted + 1,
                forward=sign > 0,
                condition=condition,
                at=sign * after[0] if after is not None else None,
                start=start,
            )
            rows = ((sign * int(item[sort]["N"]), item["pk"]["S"]) for item in answer["Items"])
            positions += [row for row in rows if after is None or row > after]
            start = answer.get("LastEvaluatedKey")
            if start is None or (len(positions) > wanted and positions[-1][0] != positions[wanted - 1][0]):
                return positions

    def _query(
        self,
        index: str,
        partition: str,
        sort: str,
        limit: int,
        *,
        forward: bool,
        condition: str = "",
        at: int | None = None,
        start: Mapping[str, Wire] | None = None,
    ) -> Any:
        names = {"#p": INDEX_KEYS[index]}
        values: dict[str, Wire] = {":p": {"S": partition}}
        if at is not None:
            names["#s"] = sort
            values[":at"] = {"N": str(at)}
        return send(
            self._client.query,
            TableName=self._table,
            IndexName=index,
            KeyConditionExpression=f"#p = :p AND {condition}" if condition else "#p = :p",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ScanIndexForward=forward,
            Limit=limit,
            **({"ExclusiveStartKey": start} if start is not None else {}),
        )

    def _write(self, call: Any, action: Mapping[str, Any]) -> None:
        try:
            send(call, **action)
        except ConditionFailed as failed:
            raise VersionConflict(self.read_image(failed.items[0])) from None

    def _entries(self, entries: Sequence[Entry[E_co]]) -> Wire:
        return {"L": [self._write_entry(entry) for entry in entries]}

    def _write_entry(self, entry: Entry[E_co]) -> Wire:
        """The envelope in short keys: t type, at, w received, a caller, k and b digests, r renderer, l locale, d data."""
        event: Any = entry.event
        data = encode_fields(event)
        at = data.pop("at")
        by = [entry.by.id, entry.by.role] + ([entry.by.merchant] if entry.by.merchant else [])
        wire = {
            "t": encode(event.TYPE),
            "at": at,
            "a": encode(by),
            "r": encode(entry.renderer),
            "l": encode(entry.locale),
            "d": {"M": data},
        }
        if entry.received_at != event.at:
            wire["w"] = encode(entry.received_at)
        if entry.key is not None:
            wire |= {"k": encode(entry.key.scope), "b": encode(entry.key.body)}
        return {"M": wire}

    def _read_entry(self, wire: Wire) -> Entry[E_co]:
        envelope = wire["M"]
        kind: Any = self._kinds[envelope["t"]["S"]]
        event = reader(kind)({"M": {**envelope["d"]["M"], "at": envelope["at"]}})
        caller = [part["S"] for part in envelope["a"]["L"]]
        return Entry(
            event=event,
            received_at=int(envelope["w"]["N"]) if "w" in envelope else event.at,
            by=Caller(caller[0], caller[1], caller[2] if len(caller) > 2 else None),  # noqa: PLR2004 - id, role, merchant
            key=Key(bytes(envelope["k"]["B"]), bytes(envelope["b"]["B"])) if "k" in envelope else None,
            locale=envelope["l"]["S"],
            renderer=int(envelope["r"]["N"]),
        )


INDEX_KEYS: Final[Mapping[str, str]] = {
    "by_buyer": "by_buyer",
    "by_offer": "by_offer",
    "open": "open",
    "due": "due_shard",
    "claims": "claims",
    "all_claims": "claims_shard",
}
