"""Requests exactly as our store sends them: recorded from the real store code at work on few keys, from a seed.

Nothing here writes an expression, so none can drift away from the store's. Keys are few and images go stale, so that
conditions fail often; what the store makes of a failure is its own business and ends here.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from botocore.exceptions import ClientError
from msgspec.structs import replace

from chalicelib.core.claims.answering import AddEvidence, Respond, RuleClaim, WithdrawClaim
from chalicelib.core.claims.opening import OpenClaim
from chalicelib.core.common.ids import digest_id
from chalicelib.core.common.money import Money
from chalicelib.core.common.refusal import Refused
from chalicelib.core.deadlines import overdue
from chalicelib.core.decide import decide
from chalicelib.core.delivery.fulfilment import PayBalance, Ship
from chalicelib.core.deposit.command_row import Command
from chalicelib.core.deposit.deposit import Deposit
from chalicelib.core.deposit.events.base import DepositEvent
from chalicelib.core.deposit.events.ending import QuestionAsked
from chalicelib.core.deposit.events.goods import Units
from chalicelib.core.deposit.events.order import Line, TakenStock
from chalicelib.core.deposit.fold import evolve, fold
from chalicelib.core.ending.end import Cancel
from chalicelib.core.locking.lock import Unlock
from chalicelib.core.merchant import bulk as bulks_
from chalicelib.core.merchant.bulk import BulkApproved, BulkAsked, BulkEvent, BulkStatus, BulkWorked, Result
from chalicelib.core.merchant.cancellation import MerchantCancel
from chalicelib.core.merchant.question import AnswerQuestion, Ask
from chalicelib.core.paying.captures import ChangePaymentMethod
from chalicelib.core.paying.provider_answers import CaptureSeen, PaymentSeen
from chalicelib.core.policy.terms import Draft
from chalicelib.core.reconciliation import lines
from chalicelib.core.reconciliation import run as runs
from chalicelib.core.reconciliation.run import BreakFound, BreakResolved, RunFailed, RunStarted
from chalicelib.core.refunding.destination import SendRefund
from chalicelib.core.refunding.provider_answers import RefundSeen
from chalicelib.core.refunding.settling import RecordNotFound, RecordUnknownOutcome
from chalicelib.core.selling.changes import ChangeItems
from chalicelib.core.selling.offer import StockChanged
from chalicelib.core.selling.ordering import Ordered
from chalicelib.flows.effects import side_effects
from chalicelib.flows.ports.effects import JournalAppend, KeyTaken, SealedText, Stored, TransactionEffect
from chalicelib.flows.ports.store import (
    DUE_SHARDS,
    Leased,
    LimitFull,
    Page,
    RunAt,
    SpanTaken,
    StockShort,
    VersionConflict,
    WriteContention,
)
from chalicelib.store.bulks import BulkStore
from chalicelib.store.deposits import DepositStore
from chalicelib.store.keys import KeyStore
from chalicelib.store.offers import OfferStore
from chalicelib.store.runs import RunStore
from chalicelib.store.tallies import TallyStore
from tests.simulator.dynamo import FakeDynamo
from tests.store.builders import BUYER, DEPOSIT, STAFF, T0, draft, entry, make_offer, new_deposit

HOUR: Final = 3_600_000
PRICE: Final = Money(29_990_000, "CNY")
BUYERS: Final = ("usr_1", "usr_2")
OWNERS: Final = ("send_refunds/1", "close_windows/2")
MOST: Final = 3  # units that a buyer may have
ALIVE: Final = 3  # deposits that are written at a time
OLD_IMAGES: Final = 4  # images of a deposit that somebody may still hold
NO_SUCH_SHARD: Final = 99
STRIDES: Final = (*[0] * 8, 1, 1_000, 60_000, 60_000, HOUR, 48 * HOUR)  # how time passes from step to step
EXPECTED: Final = (VersionConflict, WriteContention, StockShort, LimitFull, Leased, SpanTaken, Refused)
KEYS: Final = (b"key 1", b"key 2", b"key 3")


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of the low-level client."""

    method: str
    parameters: dict[str, Any]

    def told(self) -> str:
        """Method and expressions: what a difference is about."""
        return " ".join([self.method, *expressions(self)])


def expressions(operation: Operation) -> list[str]:
    """Every expression in a request, in the order in which they stand there."""
    return list(_expressions(operation.parameters))


def _expressions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            if name.endswith("Expression"):
                yield part
            else:
                yield from _expressions(part)
    elif isinstance(value, list):
        for part in value:
            yield from _expressions(part)


class Recorder:
    """The client that a store holds: the fake engine, and a record of what it was asked."""

    def __init__(self, engine: FakeDynamo) -> None:
        self.operations: list[Operation] = []
        self.transactions: list[Operation] = []  # those that were carried out
        self._engine = engine

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda **parameters: self.send(Operation(name, parameters))

    def send(self, operation: Operation) -> Any:
        self.operations.append(operation)
        answer = getattr(self._engine, operation.method)(**operation.parameters)
        if operation.method == "transact_write_items":
            self.transactions.append(operation)
        return answer


def shard_of(deposit_id: str) -> int:
    return zlib.crc32(deposit_id.encode()) % DUE_SHARDS


def recorded(seed: int, count: int, table: str) -> list[Operation]:
    """The first ``count`` requests of a seed."""
    world = _World(Random(f"operations/{seed}"), table)
    while len(world.client.operations) < count:
        with suppress(*EXPECTED):
            world.step()
    return world.client.operations[:count]


class _World:
    """Two offers, two buyers and a few deposits, written by several hands that do not know of each other."""

    def __init__(self, random: Random, table: str) -> None:
        self.random = random
        self.table = table
        self.client = Recorder(FakeDynamo())
        self.now = T0
        self.steps = 0
        self.deposits = DepositStore(self.client, table, grace_ms=60_000)
        self.runs = RunStore(self.client, table)
        self.keys = KeyStore(self.client, table)
        self.bulks = BulkStore(self.client, table)
        self.tallies = TallyStore(self.client, table)
        self.run: RunAt | None = None
        # Everything paid at once, and bound a minute later: what is shipped is sold within few steps.
        soon = {"kind": "elapsed", "length": "PT1M"}
        at_once: dict[str, Any] = {"payment": {"take": "full", "nature": "advance"}, "window": soon}
        self.terms: list[Draft] = [
            draft(units=20, per_buyer=MOST, **at_once),
            draft(units=None, per_buyer=None, window=soon),
        ]
        made = [make_offer(terms, digest_id("off", f"{n}")) for n, terms in enumerate(self.terms)]
        self.offers = [offer for offer, _ in made]
        self.made = [entries for _, entries in made]
        self.images: dict[str, list[Stored[DepositEvent]]] = {}
        self.positions: dict[str, Any] = {}
        self.doing: Sequence[tuple[int, Callable[[], object]]] = (
            (1, self._publish),
            (1, self._change_stock),
            (1, self._look_at_offers),
            (5, self._order),
            (5, self._read),
            (14, self._append),
            (3, self._touch),
            (9, self._list),
            (8, self._book),
            (3, self._cancel_many),
            (1, self._move),
            (2, self._send_again),
            (2, self._other_request_under_a_token),
        )

    def step(self) -> None:
        if self.steps < len(self.offers):
            self._publish()
        self.steps += 1
        self.now += self.random.choice(STRIDES)
        self.random.choices([act for _, act in self.doing], [weight for weight, _ in self.doing])[0]()

    # Offers.

    def _publish(self) -> None:
        """A merchant's first try, or the same again."""
        n = min(self.steps, len(self.offers) - 1) if self.steps < len(self.offers) else self._index()
        self._offers().create(self.offers[n], self.terms[n], self.made[n])

    def _change_stock(self) -> None:
        """Units come to two shards or go from them; the offer may have moved on meanwhile."""
        offers = self._offers()
        stored = offers.get(self.offers[0].id)
        if stored is None:
            return
        if self.random.randrange(3) == 0:
            stored = replace(stored, journal=stored.journal[:1])
        units = self.random.choice((1, -1, -2))
        changed = entry(StockChanged(self.now, "su7-max", 2 * units), STAFF)
        moved = [(shard, units) for shard in self.random.sample(range(4), 2)] if self.random.randrange(4) else []
        offers.append(stored, [changed], self.offers[0], "su7-max", moved)

    def _look_at_offers(self) -> None:
        offers = self._offers()
        offers.left(self.offers, consistent=bool(self.random.randrange(2)))
        self._turn("catalogue", lambda position: offers.listed(1, position))
        offers.terms(self.offers[self._index()].made.terms_hash)

    def _offers(self) -> OfferStore:
        """A container that has nothing cached."""
        return OfferStore(self.client, self.table)

    # Deposits.

    def _order(self) -> None:
        n = self._index()
        offer, buyer = self.offers[n], self.random.choice(BUYERS)
        units = self.random.randrange(1, 3)
        stock = self._taken(units) if n == 0 else ()
        limit = units if n == 0 else 0
        deposit, entries = new_deposit(
            self._id(),
            at=self.now,
            offer=offer.id,
            buyer=buyer,
            due_at=self.now + 6 * HOUR,
            batch=offer.made.batch,
            stock=stock,
            limit_units=limit,
            lines=(Line("su7-max", units, PRICE),),
            due_now=PRICE * units if n == 0 else DEPOSIT,
        )
        also = side_effects(None, deposit, MOST)
        self.deposits.create(deposit, entries, also, self.random.randrange(2))

    def _taken(self, units: int) -> tuple[TakenStock, ...]:
        """From one shard, from two, or from one that does not exist."""
        shards = self.random.choice(((0,), (1,), (0,), (1,), (0, 1), (2, 3), (NO_SUCH_SHARD,)))
        return tuple(TakenStock("su7-max", shard, units) for shard in shards)

    def _read(self) -> Stored[DepositEvent] | None:
        stored = self.deposits.get(self._id())
        if stored is not None:
            self.images.setdefault(stored.id, []).append(stored)
            del self.images[stored.id][:-OLD_IMAGES]
        return stored

    def _append(self) -> None:
        """What may happen next, on an image that is fresh, or on one that somebody kept too long."""
        stored = self._image()
        if stored is None:
            return
        before = fold(stored.id, [one.event for one in stored.journal])
        events = self._next_events(before)
        if not events:
            return
        after = fold(stored.id, [*(one.event for one in stored.journal), *events])
        also: list[TransactionEffect] = list(side_effects(before, after, MOST))
        if self.random.randrange(4) == 0:  # words of a person, sealed
            also.append(SealedText(f"text#{stored.id}#{len(stored.journal)}", b"sealed"))
        if self.random.randrange(4) == 0:
            also += self._noted(stored)
        if self.random.randrange(6) == 0:
            also.append(KeyTaken(self.random.choice(KEYS), stored.id))
        self.deposits.append(stored, [entry(event, BUYER) for event in events], after, also)

    def _noted(self, stored: Stored[DepositEvent]) -> list[TransactionEffect]:
        """Something that another deposit takes into its journal in the same write, as somebody read it."""
        other = self._image()
        if other is None or other.id == stored.id:
            return []
        before = fold(other.id, [one.event for one in other.journal])
        event = QuestionAsked(self.now, len(before.questions) + 1, "address", self.now + HOUR, "digest")
        return [JournalAppend(other, (entry(event, STAFF),), evolve(before, event))]

    def _next_events(self, deposit: Deposit) -> tuple[DepositEvent, ...]:
        late = overdue(deposit, self.now, self.now - 60_000, self.now - 60_000)
        if late:
            return late
        commands = self._commands(deposit)
        self.random.shuffle(commands)
        if self.random.randrange(2):  # or hardly anything would be paid, and nothing leave
            commands.sort(key=lambda one: _goes_on(deposit, one), reverse=True)
        for command in commands:
            with suppress(Refused):
                if decided := decide(deposit, command, self.now, self._terms_of(deposit)):
                    return decided
        return ()

    def _commands(self, deposit: Deposit) -> list[Command]:
        n, due = deposit.payment.n, deposit.payment.amount
        capture = CaptureSeen(f"cap_{len(deposit.captures) + 1}", due, self.now)
        commands: list[Command] = [
            Cancel(),
            Unlock(),
            ChangePaymentMethod("alipay"),
            self._change(deposit),
            PayBalance("card"),
            *[MerchantCancel("OUT_OF_STOCK", ("record:1",))] * 3,
            Ask("contact", "digest"),
            AnswerQuestion(1, "digest"),
            *[Ship((Units(1, 1),))] * 2,
            OpenClaim("privacy", "digest"),
            OpenClaim("other", "digest", amount=Money(100, deposit.currency)),
            PaymentSeen(n, "pending"),
            PaymentSeen(n, "failed"),
            PaymentSeen(n, "succeeded", (capture,)),
        ]
        for claim in deposit.open_claims:
            commands += [
                *(WithdrawClaim(claim.n), Respond(claim.n, "accept"), RuleClaim(claim.n, "dismiss", "digest")),
                AddEvidence(claim.n, "buyer", ("photo:1",)),
            ]
        for refund in deposit.refunds:
            succeeded = RefundSeen(refund.n, "succeeded", refund.amount, "re_1", self.now)
            commands += [
                *(SendRefund(refund.n), RecordUnknownOutcome(refund.n), RecordNotFound(refund.n), succeeded),
                replace(succeeded, settled=True),
                replace(succeeded, status="pending"),
                replace(succeeded, status="declined", code="closed"),
                replace(succeeded, status="returned"),
            ]
        return commands

    def _change(self, deposit: Deposit) -> ChangeItems:
        """One unit or two, from wherever; uncounted goods stay uncounted."""
        units = self.random.randrange(1, 3)
        stock = self._taken(units) if deposit.created.stock else ()
        return ChangeItems((Ordered("su7-max", units),), stock)

    def _touch(self) -> None:
        stored = self._image()
        if stored is not None:
            owner, until = self.random.choice(OWNERS), self.now + self.random.choice((0, 60_000))
            failures = self.random.randrange(3)
            self.deposits.touch(stored, self.now + HOUR, owner=owner, until=until, now=self.now, failures=failures)

    def _list(self) -> None:
        """One list from its head, or the next page of one that somebody began to read."""
        limit = self.random.choice((1, 1, 2, 4))
        buyer, offer = self.random.choice(BUYERS), self.offers[self._index()].id
        self.random.choice(
            (
                lambda: self._turn("undecided", lambda position: self.deposits.claims_everywhere(limit, position)),
                lambda: self._turn("ours", lambda position: self.deposits.claims_of("mer_shop", limit, position)),
                lambda: self._turn(buyer, lambda position: self.deposits.of_buyer(buyer, limit, position)),
                lambda: self._turn(offer, lambda position: self.deposits.of_offer(offer, 2, limit, position)),
                lambda: self._turn("mer_shop", lambda position: self.deposits.open_of("mer_shop", limit, position)),
                lambda: self._turn("all", lambda position: self.deposits.open_everywhere(limit, position)),
                lambda: self._due(limit),
            )
        )()

    def _turn(self, name: str, page: Callable[[Any], Page[Any]]) -> None:
        self.positions[name] = page(self.positions.get(name)).position

    def _due(self, limit: int) -> None:
        """The shards in which somebody is, and one more."""
        for queue in ("time", "work"):
            for shard in sorted({0, *map(shard_of, list(self.images)[-ALIVE:])}):
                self.deposits.due(queue, shard, self.now, limit)

    # Many at once, and the public count.

    def _cancel_many(self) -> None:
        """Begun once or twice, agreed to, judged one by one, pushed back; by hands that hold old images."""
        bulk_id = digest_id("bmc", f"{self.steps // 20}")
        stored = self.bulks.get(bulk_id)
        self.tallies.of(self.offers[self._index()].id)
        if stored is None or self.random.randrange(8) == 0:
            self._begin_many(bulk_id)
            return
        if self.random.randrange(4) == 0:
            stored = replace(stored, journal=stored.journal[:1])
        event = self._next_of_many(bulks_.fold(stored.id, (one.event for one in stored.journal)))
        if event is None or self.random.randrange(5) == 0:
            self.bulks.touch(stored, self.now + HOUR, owner=OWNERS[0], until=self.now, now=self.now, failures=1)
            return
        after = bulks_.fold(stored.id, [*(one.event for one in stored.journal), event])
        self.bulks.append(stored, entry(event, STAFF), after)

    def _begin_many(self, bulk_id: str) -> None:
        until = self.random.choice((None, self.now + HOUR))
        named, evidence = (self._id(), digest_id("dep", "of nobody")), ("record:1",)
        asked = BulkAsked(
            self.now, self.offers[0].id, "mer_shop", STAFF.id, named, "OUT_OF_STOCK", evidence, approve_until=until
        )
        note = SealedText(f"text#{bulk_id}#note", b"sealed") if self.random.randrange(2) else None
        self.bulks.create(bulks_.fold(bulk_id, [asked]), entry(asked, STAFF), note)

    def _next_of_many(self, bulk: bulks_.Bulk) -> BulkEvent | None:
        if bulk.status is BulkStatus.AWAITING_APPROVAL:
            return bulks_.find_lapse(bulk, self.now) or BulkApproved(self.now, "usr_deputy")
        return BulkWorked(self.now, (Result(bulk.left[0], "cancelled"),)) if bulk.left else None

    # Books.

    def _move(self) -> None:
        """What moved of some deposit today, and whose key that is."""
        shard = lines.compute_shard(self._id().partition("_")[2])
        list(self.deposits.moved(self.now, self.now + 1, shard, "", self.now))
        self.keys.deposit_of(self.random.choice(KEYS))

    def _book(self) -> None:
        """A run begins, goes on from its cursor or from an old one, and ends; others look at it."""
        run_id = digest_id("rec", f"{self.steps // 30 + self.random.randrange(2)}")
        if self.random.randrange(4):
            self.run = self.runs.get(run_id)
        if self.run is None or self.random.randrange(8) == 0:
            began = T0 + self.steps // 30
            started = RunStarted(self.now, began, began + self.random.randrange(1, 3))
            self.runs.create(runs.fold_run(run_id, [started]), entry(started, STAFF))
            return
        at = self.run
        self.random.choice((self._go_on, self._go_on, self._go_on, self._finish, self._look_at_runs))(at)

    def _go_on(self, at: RunAt) -> None:
        before = at.cursor["tally"]["breaks"] if at.cursor is not None else 0
        found = [self._broken(at, before + 1 + n) for n in range(self.random.randrange(3))]
        cursor = {"shard": at.cursors, "after": "", "tally": {"breaks": before + len(found)}}
        until = self.now + self.random.choice((0, 60_000))
        after = self.runs.checkpoint(at, cursor, found, self.random.choice(OWNERS), self.now, until)
        self.run = self.random.choice((at, after))

    def _broken(self, at: RunAt, n: int) -> BreakFound:
        return BreakFound(self.now, at.stored.id, "unknown_here", n, provider_ref="re_1", provider=PRICE)

    def _finish(self, at: RunAt) -> None:
        told = runs.fold_run(at.stored.id, (one.event for one in at.stored.journal))
        if told.version == 1:
            self.runs.finish(at, told, RunFailed(self.now, "report_unavailable"), self.now)

    def _look_at_runs(self, at: RunAt) -> None:
        self.runs.unfinished(self.now, 20)
        self._turn("runs", lambda position: self.runs.listed(1, position))
        page = self.runs.breaks(at.stored.id, 2, None)
        for stored in page.rows[:1]:
            found = self.runs.get_break(stored.id)
            if found is not None and len(found.journal) == 1:
                note = SealedText(f"text#{stored.id}", b"sealed") if self.random.randrange(2) else None
                self.runs.resolve(found, entry(BreakResolved(self.now, "write_off"), STAFF), note)

    # Tokens.

    def _send_again(self) -> None:
        """The library's own retry: the same request, its token too, whether it was carried out or not."""
        sent = [one for one in self.client.operations if one.method == "transact_write_items"]
        if sent:
            with suppress(ClientError):
                self.client.send(self.random.choice(sent[-5:]))

    def _other_request_under_a_token(self) -> None:
        """Nobody of ours does it; it must not pass unnoticed."""
        done = self.client.transactions
        if len(done) > 1:
            parameters = {**done[0].parameters, "ClientRequestToken": done[-1].parameters["ClientRequestToken"]}
            with suppress(ClientError):
                self.client.send(Operation("transact_write_items", parameters))

    # Choices.

    def _id(self) -> str:
        """One of the few deposits of this time."""
        return digest_id("dep", f"{self.steps // 15 + self.random.randrange(ALIVE)}")

    def _image(self) -> Stored[DepositEvent] | None:
        """As it stands now, or as somebody read it some time ago."""
        if self.random.randrange(4) or not self.images:
            return self._read()
        return self.random.choice(list(self.images.values())[-1])

    def _index(self) -> int:
        return self.random.randrange(len(self.offers))

    def _terms_of(self, deposit: Deposit) -> Draft:
        return self.terms[[offer.id for offer in self.offers].index(deposit.created.offer)]


def _goes_on(deposit: Deposit, command: Command) -> bool:
    """Paid, then shipped; and cancelled when a part has left."""
    if any(line.shipped for line in deposit.progress):
        return isinstance(command, Cancel)
    return isinstance(command, Ship) or (isinstance(command, PaymentSeen) and bool(command.captures))
