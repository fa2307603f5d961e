"""Offers in the table: terms that never change, shards that are laid out once, stock that moves with its event."""

from contextlib import suppress
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from chalicelib.core.policy.terms import compute_terms_hash, to_canonical_json
from chalicelib.core.selling.offer import Offer, OfferClosed, OfferEvent, StockChanged, fold
from chalicelib.flows.ports.effects import Stored
from chalicelib.flows.ports.store import StockShort, VersionConflict
from chalicelib.store.journals import Journals
from chalicelib.store.offers import CHUNK_SHARDS, KINDS, OfferStore
from chalicelib.store.requests import key
from chalicelib.store.stock import put_shards
from tests.conftest import Tables
from tests.store.builders import (
    STAFF,
    T0,
    any_journal,
    draft,
    entry,
    fresh,
    make_offer,
    move,
    publish_offer,
    read_all_pages,
    shards,
    take_stock,
)


@pytest.fixture
def store(table: Tables) -> OfferStore:
    return OfferStore(table.client, table.name)


def load(store: OfferStore, offer_id: str) -> Stored[OfferEvent]:
    found = store.get(offer_id)
    assert found is not None
    return found


@given(journal=any_journal(sorted(KINDS.values(), key=lambda kind: kind.TYPE)))
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_history_comes_back_as_it_was_written(table: Tables, store: OfferStore, journal: Any) -> None:
    journals: Journals[OfferEvent] = Journals(table.client, table.name, KINDS)
    offer_id = fresh("off")
    journals.put(journals.begin_action(offer_id, journal, {}))
    assert load(store, offer_id).journal == journal


def test_terms_are_frozen_under_their_hash(table: Tables, store: OfferStore) -> None:
    terms = draft()
    publish_offer(table, terms)
    written: Any = table.client.get_item(TableName=table.name, Key=key(compute_terms_hash(terms)))["Item"]
    assert store.terms(compute_terms_hash(terms)).model_dump() == terms.model_dump(
        exclude={"items": {"__all__": {"stock"}}}
    )
    assert written["terms"]["S"].encode() == to_canonical_json(terms)

    publish_offer(table, draft(units=5))  # the same terms: stock is none of them
    again: Any = table.client.get_item(TableName=table.name, Key=key(compute_terms_hash(terms)))["Item"]
    assert again == written
    assert compute_terms_hash(draft(title="Other")) != compute_terms_hash(terms)


def test_terms_are_read_once_by_a_container(table: Tables) -> None:
    terms = draft()
    publish_offer(table, terms)
    store = OfferStore(table.client, table.name)
    first = store.terms(compute_terms_hash(terms))
    table.client.delete_item(TableName=table.name, Key=key(compute_terms_hash(terms)))
    assert store.terms(compute_terms_hash(terms)) is first


def test_terms_that_nobody_published_are_a_fault_of_ours(store: OfferStore) -> None:
    with pytest.raises(KeyError):
        store.terms("sha256:none")


def test_an_offer_that_is_laid_out_again_keeps_its_shards(table: Tables, store: OfferStore) -> None:
    terms = draft(37)
    offer, entries = make_offer(terms)
    # Laid out long ago: the engine has forgotten the token of that write, its conditions must hold by themselves.
    table.client.transact_write_items(TransactItems=cast(Any, put_shards(table.name, offer)))
    assert move(table, take_stock(offer, 0, 4))
    for _ in range(2):
        with suppress(VersionConflict):
            store.create(offer, terms, entries)
        assert load(store, offer.id).journal == entries
        assert shards(table, offer) == [(6, 4, 0, 10), (9, 0, 0, 9), (9, 0, 0, 9), (9, 0, 0, 9)]


def test_an_offer_is_published_once_and_the_second_sees_the_first(store: OfferStore) -> None:
    terms = draft(37)
    offer, entries = make_offer(terms)
    store.create(offer, terms, entries)
    with pytest.raises(VersionConflict) as ours:
        store.create(offer, terms, [entry(replace(offer.made, at=T0 + 1), STAFF)])
    assert ours.value.stored.journal == entries


def test_a_publication_that_broke_off_goes_on(table: Tables, store: OfferStore) -> None:
    terms = draft(1_024, expected_peak_per_second=300)
    offer, entries = make_offer(terms)
    actions = put_shards(table.name, offer)
    assert len(actions) == 32, "two chunks"
    store._create_shards(actions[:CHUNK_SHARDS])
    assert store.get(offer.id) is None
    store.create(offer, terms, entries)
    assert [left for left, *_ in shards(table, offer)] == [32] * 32
    assert load(store, offer.id).journal == entries


def change(offer: Offer, units: int) -> StockChanged:
    return StockChanged(T0 + 1, offer.made.stock[0].sku, units)


def test_a_change_of_stock_moves_its_units_in_the_same_write(table: Tables, store: OfferStore) -> None:
    offer = publish_offer(table, draft(37))
    stored = load(store, offer.id)
    store.append(stored, [entry(change(offer, -3), STAFF)], offer, "su7-max", [(0, 2), (3, -5)])
    assert shards(table, offer) == [(12, 0, 0, 12), (9, 0, 0, 9), (9, 0, 0, 9), (4, 0, 0, 4)]
    assert fold(offer.id, [one.event for one in load(store, offer.id).journal]).stock[0].units == 34


def test_a_change_below_what_is_left_writes_nothing(table: Tables, store: OfferStore) -> None:
    offer = publish_offer(table, draft(37))
    stored = load(store, offer.id)
    with pytest.raises(StockShort):
        store.append(stored, [entry(change(offer, -8), STAFF)], offer, "su7-max", [(0, 2), (3, -10)])
    assert shards(table, offer)[0] == (10, 0, 0, 10)
    assert load(store, offer.id) == stored


@pytest.mark.parametrize("moved", [[], [(0, 1)]])
def test_the_slower_of_two_changes_sees_the_first_and_moves_nothing(
    table: Tables, store: OfferStore, moved: list[tuple[int, int]]
) -> None:
    offer = publish_offer(table, draft(37))
    stored = load(store, offer.id)
    store.append(stored, [entry(OfferClosed(T0 + 1), STAFF)])
    with pytest.raises(VersionConflict) as faster:
        store.append(stored, [entry(change(offer, 1), STAFF)], offer, "su7-max", moved)
    assert faster.value.stored == load(store, offer.id)
    assert shards(table, offer)[0] == (10, 0, 0, 10)


def test_the_catalogue_lists_offers_and_nothing_else(table: Tables, store: OfferStore) -> None:
    ids = {publish_offer(table, draft(1, title=f"{n}")).id for n in range(5)}
    rows = read_all_pages(lambda at: store.listed(2, at))
    assert len(rows) == 5
    assert {row.id for row in rows} == ids
