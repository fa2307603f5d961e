"""Forged cursors: their check is no secret, so a list believes no position that it would not have written itself."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.common.instants import LAST_INSTANT
from chalicelib.web.edge import cursors
from chalicelib.web.edge.route import ENDPOINTS
from tests.corpus.reading import Reading, opened
from tests.corpus.records import SOMEBODY, Ask, instant, load

BY_NAME: Final = {record.name: record for record in load()}
DEPOSIT: Final = BY_NAME["story: goodwill"]
RUN: Final = next(
    record for record in BY_NAME.values() if record.id.startswith("rec_") and any("brk_" in pk for pk in record.items)
)
OFFER: Final = BY_NAME["http: an offer"]
ID, AT = DEPOSIT.id, max(map(instant, DEPOSIT.journal))
CREATED: Final = DEPOSIT.journal[0]["d"]["M"]
BUYER, MERCHANT = CREATED["buyer"]["S"], CREATED["merchant"]["S"]
PLACE: Final[dict[str, str | int]] = {"at": AT, "id": ID}
# Every list: route, its parameters, role, what a cursor's scope says of the filter, positions that it writes itself.
LISTS: Final[list[tuple[str, dict[str, str], str, str, list[dict[str, str | int]]]]] = [
    ("/v1/offers", {}, "", "", [PLACE]),
    ("/v1/deposits", {}, "buyer", "None|None", [PLACE]),
    ("/v1/deposits", {"offer": OFFER.id}, "merchant", f"{OFFER.id}|None", [PLACE]),
    (f"/v1/deposits/{ID}/events", {}, "buyer", ID, [{"v": 1}, {"v": 1_000}]),
    ("/v1/refunds", {"deposit": ID}, "buyer", f"{ID}|None", [{"n": 1}, {"n": 40}]),
    ("/v1/refunds", {"status": "open"}, "merchant", "None|open", [PLACE, {"n": 1}, {**PLACE, "n": 1}]),
    ("/v1/refunds", {"status": "open"}, "platform", "None|open", [PLACE, {"n": 1}, {**PLACE, "n": 1}]),
    ("/v1/claims", {"deposit": ID}, "buyer", f"{ID}|None", []),
    ("/v1/claims", {"status": "open"}, "merchant", "None|open", [PLACE]),
    ("/v1/claims", {"status": "open"}, "platform", "None|open", [PLACE]),
    ("/v1/priority-passes", {}, "buyer", "", [PLACE]),
    ("/v1/reconciliation-runs", {}, "platform", "None", [{"at": AT, "id": RUN.id}]),
    (f"/v1/reconciliation-runs/{RUN.id}/breaks", {}, "platform", RUN.id, [{"at": 1, "id": "brk_" + "0" * 26}]),
]
NAMES: Final = [f"{path} {role}" for path, _, role, _, _ in LISTS]
TEMPLATES: Final = {ID: "{deposit_id}", RUN.id: "{run_id}"}
FORGED: Final[list[dict[str, str | int]]] = [
    {},
    {"x": 1},
    {"at": "no"},
    {"at": "1", "id": ID},
    {"at": AT},
    {"id": ID},
    {"at": -1, "id": ID},
    {"at": LAST_INSTANT + 1, "id": ID},
    {"at": 10**400, "id": ID},
    {"at": AT, "id": 1},
    {"at": AT, "id": "no"},
    {"at": AT, "id": "dep_\ud800"},
    {**PLACE, "x": 1},
    {**PLACE, "n": 0},
    {"v": -3},
    {"v": 0},
    {"v": "x"},
    {"v": 10**400},
    {"q": 1},
    {"n": -1},
    {"n": 0},
    {"n": "1"},
    {"n": 10**30},
]


@pytest.fixture(scope="module")
def reading() -> Iterator[Reading]:
    with opened() as found:
        found.hold({**DEPOSIT.items, **RUN.items, **OFFER.items})
        yield found


def caller(role: str) -> str:
    named: dict[str, str] = {"": "", "buyer": f"{BUYER}/buyer/", "merchant": f"{SOMEBODY}/merchant/{MERCHANT}"}
    return named.get(role, f"{SOMEBODY}/{role}/")


def template(path: str) -> str:
    return "/".join(TEMPLATES.get(part, part) for part in path.split("/"))


def ask(reading: Reading, number: int, position: dict[str, str | int]) -> tuple[int, str]:
    """Status and problem of a page that begins at a position of anybody's making."""
    path, query, role, scope, _ = LISTS[number]
    who = caller(role)
    if role == "merchant" and "offer" in query:
        who = f"{SOMEBODY}/merchant/{OFFER.journal[0]['d']['M']['merchant']['S']}"
    cursor = cursors._sealed(f"{template(path)}|{who.partition('/')[0]}|{scope}", position)
    told = reading.answer(Ask(path, AT, who, template=template(path), query={**query, "cursor": cursor}))
    return told["status"], json.loads(told["body"]).get("type", "")


def test_every_list_that_takes_a_cursor_is_tried() -> None:
    deployed = (endpoint for endpoint in ENDPOINTS if endpoint.path.startswith("/v1/"))
    with_cursors = {one.path for one in deployed if any(parameter.name == "cursor" for parameter in one.query)}
    assert {template(path) for path, *_ in LISTS} == with_cursors


@pytest.mark.parametrize("number", range(len(LISTS)), ids=NAMES)
def test_a_list_goes_on_where_it_says_itself(reading: Reading, number: int) -> None:
    for position in LISTS[number][-1]:
        assert ask(reading, number, position) == (200, ""), position


@pytest.mark.parametrize("number", range(len(LISTS)), ids=NAMES)
def test_no_forged_position_is_believed(reading: Reading, number: int) -> None:
    """Each was a 500 or an accident; of those that another list writes, too, none holds here."""
    written = [sorted(case) for case in LISTS[number][-1]]
    others = [one for *_, positions in LISTS for one in positions if sorted(one) not in written]
    for position in (*FORGED, *others):
        assert ask(reading, number, position) == (400, "/problems/invalid-cursor"), position


MEMBERS: Final = st.sampled_from(["at", "id", "v", "n", "x"])
VALUES: Final = st.integers() | st.text(max_size=20) | st.just(ID)


@given(number=st.integers(0, len(LISTS) - 1), position=st.dictionaries(MEMBERS, VALUES, max_size=3))
def test_no_position_breaks_a_list(reading: Reading, number: int, position: dict[str, Any]) -> None:
    assert ask(reading, number, position)[0] in {200, 400}
