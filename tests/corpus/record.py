"""``python -m tests.corpus.record``: makes the corpus from stories and histories, and its answers with today's code.

``--answers`` keeps the journals and records only what is answered: after a change that was meant, and only then.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final

import jwt

from chalicelib.core.common.ids import child, digest_id
from chalicelib.core.common.journal import Caller, Entry
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.policy.terms import Terms, compute_terms_hash, to_canonical_json
from chalicelib.flows import text_keys
from chalicelib.flows.entries import SYSTEM
from chalicelib.store.deposits import DepositStore, partition
from chalicelib.web.service import stories as samples
from local.issuer import ISSUER
from tests.core import test_proof
from tests.core.stories import DEPOSIT_ID
from tests.corpus import stories
from tests.corpus.answers import answers, replayed
from tests.corpus.choice import chosen, steps, traits
from tests.corpus.reading import SECRET, Reading, opened
from tests.corpus.records import (
    ANSWERS,
    JOURNALS,
    SOMEBODY,
    Ask,
    Item,
    Items,
    Json,
    Record,
    digest,
    load,
    save,
    written,
)
from tests.corpus.records import canonical as text_of
from tests.simulator.faults import Faults
from tests.simulator.history import OWN_SECRET, History, Reply
from tests.simulator.plan import make

SEEDS: Final = range(700, 860)
MAX_CHOSEN: Final = 60  # of histories, for what they show and for what follows what
MAX_WHOLE: Final = 40
MAX_ITEMS: Final = 30
MAX_EVENTS: Final = 60
MAX_REPLAYS: Final = 3  # of one journal
EXAMPLES: Final = (
    "ordered",
    "paid",
    "intended",
    "locked",
    "changed",
    "ready",
    "balance_opened",
    "shipped",
    "delivered",
    "received",
    "defaulted",
    "traded_in",
    "mismatched",
    "not_handed_over",
    "cancelled",
    "returned",
    "granted",
    "declined",
    "named",
    "rerouted",
    "called_off",
    "asked",
)
# Members of events that came after the first release of the corpus: there are journals with and without them.
ADDED_LATER: Final = frozenset({"withdrawal_ends_at"})
AT_WORK: Final = {"payment": "service", "balance": "service", "refund": "service", "chargeback": "service"}
MERCHANTS: Final = {
    "goods.ready",
    "goods.shipped",
    "goods.delivered",
    "question.asked",
    "claim.offered",
    "claim.rejected",
}
PLATFORMS: Final = {"claim.upheld", "claim.partly_upheld", "claim.dismissed"}


# --- From stories ---


def told_stories(reading: Reading) -> Iterator[Record]:
    """Every story of a refund, the contract's examples, and those that only the corpus tells."""
    for name, tell in {**test_proof.STORIES, **stories.STORIES}.items():
        story = tell()
        entries = [_entry(event, story.deposit.created.buyer) for event in story.events]
        yield from _of_all_ages(_begun(reading, f"story: {name}", DEPOSIT_ID, entries, story.terms))
    for name in EXAMPLES:
        example = getattr(samples, name)()
        journal = list(example.outcome.journal)
        yield from _of_all_ages(_begun(reading, f"example: {name}", example.deposit.id, journal, example.terms))


def _of_all_ages(record: Record) -> Iterator[Record]:
    """As it is written today, and without what older journals do not have."""
    bare = [
        {
            "M": {
                **entry,
                "d": {"M": {name: value for name, value in entry["d"]["M"].items() if name not in ADDED_LATER}},
            }
        }
        for entry in record.journal
    ]
    if bare == record.item["journal"]["L"]:
        yield record
        return
    items = {**record.items, record.id: {**record.item, "journal": {"L": bare}}}
    yield replace(record, items=items)
    yield replace(record, name=f"{record.name}, with {' and '.join(sorted(ADDED_LATER))}")


def _entry(event: DepositEvent, buyer: str) -> Entry[DepositEvent]:
    kind = event.TYPE.partition(".")[0]
    if event.TYPE in MERCHANTS or kind == "trade_in":
        by = Caller("usr_22222222222222222222222222", "merchant", "mer_shop")
    elif event.TYPE in PLATFORMS:
        by = Caller("usr_33333333333333333333333333", "platform")
    elif kind in AT_WORK:
        by = Caller("earnest", AT_WORK[kind])
    elif event.TYPE.endswith(("reminder", "lapsed", "final", "window_end", "overdue", "deadline", "expired")):
        by = SYSTEM
    else:
        by = Caller(buyer, "buyer")
    return Entry(event, event.at, by)


def _begun(
    reading: Reading, name: str, deposit_id: str, entries: Sequence[Entry[DepositEvent]], terms: Terms
) -> Record:
    """As the store writes it, in one piece."""
    store = reading.services.deposits
    assert isinstance(store, DepositStore)
    state = stories.folded(deposit_id, [entry.event for entry in entries])
    born = {
        "by_buyer": {"S": state.created.buyer},
        "by_offer": {"S": partition(state.created.offer, 0)},
        "created": {"N": str(state.created_at)},
    }
    item = store._journals.begin_action(deposit_id, entries, {**born, **store._index_attributes(state)})["Item"]
    frozen = compute_terms_hash(terms)
    kept = Terms.model_validate_json(to_canonical_json(terms))
    items: Items = {
        deposit_id: item,
        frozen: {"pk": {"S": frozen}, "terms": {"S": to_canonical_json(kept).decode()}},
        **dict(_sealed(reading, deposit_id, entries)),
    }
    assert state.created.terms_hash == frozen, name
    return Record(name, deposit_id, items)


def _sealed(reading: Reading, deposit_id: str, entries: Sequence[Entry[DepositEvent]]) -> Iterator[tuple[str, Item]]:
    """Words for every digest in the journal, so that its answers can be read."""
    vault, stated = reading.services.vault, 0
    for version, entry in enumerate(entries, start=1):
        event: Any = entry.event
        kind, _, what = event.TYPE.partition(".")
        words = f"Said with version {version}."
        if kind == "claim" and (getattr(event, "statement", None) or getattr(event, "reason", None)):
            key = text_keys.event_text(deposit_id, version)
        elif event.TYPE in {"question.asked", "question.answered"}:
            key = text_keys.question_text(child("qst", deposit_id, event.question), what)
        elif kind == "withdrawal":
            stated += what == "stated"
            step = 1 if what == "stated" else 2
            key = text_keys.withdrawal_text(child("wdr", deposit_id, event.withdrawal), step)
            words = text_of({"name": "A", "reach": "a@example.org", "locale": "en", "content": words})
        else:
            continue
        yield key, {"pk": {"S": key}, "sealed": {"B": vault.seal(key, words.encode())}}


# --- Over HTTP ---


def sold(reading: Reading) -> Iterator[Record]:
    """An offer is published, restocked and closed, and one is ordered: every request by the routes themselves."""
    reading.hold({})
    shop, buyer = "usr_22222222222222222222222222/merchant/mer_shop", f"{SOMEBODY}/buyer/"
    at, asked = samples.OPENED, list[Json]()

    def ask(path: str, template: str, caller: str, body: Json) -> Json:
        sent: Json = {
            "method": "POST",
            "path": path,
            "template": template,
            "caller": caller,
            "locale": "en",
            "body": body,
        }
        sent["key"] = f"corpus-{len(asked)}-key"
        asked.append(sent)
        told = reading.answer(Ask(**sent, at=at + len(asked) * 60_000))
        assert told["status"] < 300, told
        answer: Json = json.loads(told["body"])
        return answer

    offer = ask("/v1/offers", "/v1/offers", shop, dict(samples.OFFER_BODY))
    path = f"/v1/offers/{offer['id']}"
    ask(f"{path}/stock", "/v1/offers/{offer_id}/stock", shop, {"sku": "su7-max", "change": 10})
    order = {"offer": offer["id"], "items": [{"sku": "su7-max", "quantity": 1}], "payment_method": "card"}
    deposit = ask("/v1/deposits", "/v1/deposits", buyer, {**order, "terms_hash": offer["terms_hash"]})
    cancel = f"/v1/deposits/{deposit['id']}/cancel"
    ask(cancel, "/v1/deposits/{deposit_id}/cancel", buyer, {})
    ask(f"{path}/close", "/v1/offers/{offer_id}/close", shop, {})
    items = reading.items()
    yield Record("http: an offer", offer["id"], items, replays=(*asked[:2], asked[4]))
    yield Record("http: an order", deposit["id"], items, replays=tuple(asked[2:4]))


# --- From histories ---


class Overheard(History):
    """A history that keeps each request with a key that was accepted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.accepted: list[tuple[Json, str]] = []

    def ask(self, method: str, path: str, bearer: str | None, body: Any = None, **named: Any) -> Reply | None:
        reply = super().ask(method, path, bearer, body, **named)
        key = named.get("key")
        if reply is not None and reply.status < 300 and key and bearer and (body is None or isinstance(body, dict)):
            headers = named.get("headers") or {}
            sent = {
                "method": method,
                "path": path,
                "template": named.get("template") or path,
                "caller": _caller(bearer),
                "locale": headers.get("accept-language", "en"),
                "body": body,
                "key": key,
            }
            self.accepted.append((sent, reply.body))
        return reply


def _caller(bearer: str) -> str:
    if bearer.startswith("wdt_"):
        return f"dep_{bearer.split('_')[1]}/holder/"
    claimed = jwt.decode(bearer, options={"verify_signature": False})
    return f"{digest_id('usr', ISSUER, claimed['sub'])}/{claimed['role']}/{claimed.get('merchant') or ''}"


def played(seed: int) -> Iterator[Record]:
    """All journals of one history, as the table holds them at its end."""
    history = Overheard(make(seed), Faults.drawn(Random(f"faults/{seed}")))
    history.play()
    if history.invariants.violations:
        print(f"seed {seed} is left out: {history.invariants.violations[0]}", file=sys.stderr)
        return
    items = history.engine.items
    for pk, item in items.items():
        if pk.startswith("dep_"):
            yield _deposit(f"history {seed}: {pk}", pk, items, history.accepted)
        elif pk.startswith(("off_", "bmc_", "rec_")):
            beside = {other: one for other, one in items.items() if _belongs(pk, item, other, one)}
            yield Record(f"history {seed}: {pk}", pk, {pk: item, **beside})


def _deposit(name: str, pk: str, items: Items, accepted: Iterable[tuple[Json, str]]) -> Record:
    bare = pk.partition("_")[2]
    frozen = items[pk]["journal"]["L"][0]["M"]["d"]["M"]["terms_hash"]["S"]
    beside = {
        other: one
        for other, one in items.items()
        if (other.startswith("text#") and bare in other) or one.get("deposit") == {"S": pk}
    }
    sent = [
        {**ask, "live": reply}
        for ask, reply in accepted
        if bare in ask["path"] or (ask["body"] or {}).get("deposit") == pk or f'"id": "{pk}"' in reply[:60]
    ]
    return Record(name, pk, {pk: items[pk], frozen: items[frozen], **beside}, replays=tuple(sent))


def _belongs(pk: str, item: Item, other: str, one: Item) -> bool:
    """Of an offer its terms and its stock, of a run its breaks."""
    if pk.startswith("off_"):
        made = item["journal"]["L"][0]["M"]["d"]["M"]
        return other == made["terms_hash"]["S"] or (other.startswith("stock#") and pk in other)
    if pk.startswith("rec_") and other.startswith("brk_"):
        return bool(one["by_offer"]["S"] == pk)
    return other.startswith("text#") and pk in other


def checked_replays(reading: Reading, record: Record) -> Record:
    """A few of what was asked with a key, each another route; the replay gives the very words of the first answer."""
    reading.hold(record.items)
    kept: dict[str, Json] = {}
    for sent in record.replays:
        ask = {name: value for name, value in sent.items() if name != "live"}
        route = f"{ask['method']} {ask['template']}"
        if route in kept or len(kept) == MAX_REPLAYS:
            continue
        told = reading.answer(replayed(record, ask))
        if told["status"] < 300 and "idempotent-replayed" in told:
            assert told["body"] == sent["live"], (record.name, route)
            kept[route] = ask
    return replace(record, replays=tuple(kept.values()))


# --- The whole ---


def histories() -> list[Record]:
    """Journals of all seeds; a few giants are left out."""
    found = (record for seed in SEEDS for record in played(seed))
    return [record for record in found if len(record.items) < MAX_ITEMS and len(record.journal) < MAX_EVENTS]


def collect(reading: Reading, candidates: Sequence[Record]) -> list[Record]:
    found = [*told_stories(reading), *sold(reading)]
    checked = [checked_replays(reading, record) for record in candidates]
    found += chosen(checked, MAX_CHOSEN, found, traits)
    found += chosen(checked, MAX_CHOSEN, found, steps)
    whole = {record.name for record in chosen(found, MAX_WHOLE, (), traits)}
    return [replace(record, whole=record.name in whole) for record in found]


def record_answers(reading: Reading, records: Sequence[Record]) -> Iterator[Json]:
    for record in records:
        told = {}
        for label, answer in answers(reading, record):
            if label.startswith("proof") and label.endswith("holds"):
                assert answer == {"valid": True, "differences": []}, (record.name, label, answer)
            assert label == "facts" or answer.get("status", 200) < 300, (record.name, label, answer)
            told[label] = answer if record.whole or label == "facts" else digest(text_of(answer))
        yield {"name": record.name, "answers": told}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.record", description=__doc__)
    parser.add_argument("--answers", action="store_true", help="keep the journals, record only what is answered")
    asked = parser.parse_args()
    assert SECRET == OWN_SECRET, "texts of histories could not be read"
    candidates = [] if asked.answers else histories()
    with opened() as reading:
        if not asked.answers:
            save(JOURNALS, map(written, collect(reading, candidates)))
        save(ANSWERS, record_answers(reading, load()))
    told = Counter(record.id.partition("_")[0] for record in load())
    size = JOURNALS.stat().st_size + ANSWERS.stat().st_size
    print(f"corpus: {dict(told)} journals, {size // 1_000} kB", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
