"""The simulator: histories hold, it notices planted mistakes, and it is the same every time.

``make test`` plays 120 histories, ``make test-all`` two thousand more.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from chalicelib.core.deposit.status import Status
from tests.simulator.__main__ import Outcome, never_struck, outcome, outcomes, play, script, shrunk
from tests.simulator.invariants import Invariants
from tests.simulator.mutants import Mutant, judged, mutants
from tests.simulator.plan import make

ROOT: Final = Path(__file__).resolve().parents[2]
REGRESSIONS: Final[list[dict[str, Any]]] = tomllib.loads(
    Path(__file__).with_name("regressions.toml").read_text("utf-8")
)["regression"]
FIRST: Final = 20_000_000  # other seeds than `make simulate` takes by itself
QUICK_RUNS: Final = 4  # spread over the workers
QUICK_HISTORIES: Final = 30  # of a quick run
RUNS: Final = 10
HISTORIES: Final = 200  # of a run; as many as must meet every class of fault
LINE: Final = re.compile(
    r"simulate: (\d+) histories, (\d+) faults in (\d+) classes, (\d+) violations, trace sha256:([0-9a-f]{64})"
)
MUTANTS: Final = mutants()
# Three that are noticed soon: at the provider, at replays and at stock; `make mutants` plants all of them.
SOON: Final = (
    "a new provider key for each attempt",
    "a replay shows today's state",
    "units are not given back",
)


def told(found: list[Outcome]) -> str:
    """Each broken promise with the seed that shows it: `play(make(seed))` plays it again."""
    return "\n".join(f"seed {one.seed}: {one.violations[0]}" for one in found if one.violations)


# Under pytest-xdist the runs are spread over its workers; a run by itself takes both cores.
def cores() -> int:
    return 1 if "PYTEST_XDIST_WORKER" in os.environ else 2


@pytest.mark.parametrize("run", range(QUICK_RUNS))
def test_no_promise_breaks_in_a_few_histories(run: int) -> None:
    first = FIRST + run * QUICK_HISTORIES
    found = outcomes(range(first, first + QUICK_HISTORIES), cores())
    assert not any(one.violations for one in found), told(found)
    assert sum(sum(one.hits.values()) for one in found) >= 4 * QUICK_HISTORIES


@pytest.mark.full
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("run", range(RUNS))
def test_no_promise_breaks_under_any_fault(run: int) -> None:
    first = FIRST + run * HISTORIES
    found = outcomes(range(first, first + HISTORIES), cores())
    assert not any(one.violations for one in found), told(found)
    assert never_struck(found) == []
    assert sum(sum(one.hits.values()) for one in found) >= 800


@pytest.mark.parametrize("regression", REGRESSIONS, ids=[str(one["seed"]) for one in REGRESSIONS])
def test_what_was_found_once_stays_mended(regression: dict[str, Any]) -> None:
    found = outcome(regression["seed"])
    assert not found.violations, f"{regression['found']}\n{found.violations[0]}"


def test_the_story_of_a_regression_names_its_mutant() -> None:
    names = {mutant.name for mutant in MUTANTS}
    assert {one["mutant"] for one in REGRESSIONS if "mutant" in one} <= names


def simulated(hash_seed: int, workers: int, *arguments: str) -> str:
    """The last line of ``make simulate`` in a process of its own."""
    command = [sys.executable, "-m", "tests.simulator", "--workers", str(workers), *arguments]
    env = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def test_the_same_seed_gives_the_same_line_whoever_plays_it() -> None:
    """Another process, other workers, another order of every set: the same faults and the same trace."""
    arguments = ("--histories", "8", "--seed", "3")
    first, again = simulated(1, 1, *arguments), simulated(2, 2, *arguments)
    found = LINE.fullmatch(first)
    assert found is not None, first
    assert (found[1], found[4]) == ("8", "0")
    assert first == again


def test_another_seed_gives_another_trace() -> None:
    assert outcome(FIRST).digest != outcome(FIRST + 1).digest


def test_a_history_does_not_depend_on_the_ones_before_it() -> None:
    alone = outcome(FIRST + 2).digest
    outcome(FIRST + 3)
    assert outcome(FIRST + 2).digest == alone


def test_a_failing_history_shrinks_to_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: nobody may cancel what was paid. It takes an order, a payment and a cancel."""
    check_finished = Invariants.check_finished

    def forbidding(self: Invariants, *arguments: Any) -> None:
        check_finished(self, *arguments)
        for pk, state in self.states.items():
            if state.status is Status.CANCELLED and state.paid is not None:
                self.violated("planted", f"{pk} was cancelled")

    monkeypatch.setattr(Invariants, "check_finished", forbidding)
    plan = next(plan for plan in map(make, range(FIRST, FIRST + 100)) if play(plan).invariants.violations)
    small = shrunk(plan)
    assert len(small.actions) < len(plan.actions)
    assert len(small.actions) <= 4
    assert {"order", "pay"} < {action.kind for action in small.actions}
    text = script(small)
    assert f"seed {plan.seed}, shrunk to {len(small.actions)} actions" in text
    assert "! planted at" in text


# Mutants.


def test_there_are_mutants_enough_and_each_has_its_own_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 50


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_mutant_still_fits_its_file(mutant: Mutant) -> None:
    """A stale mutant would be killed by nothing or by everything."""
    text = (ROOT / mutant.file).read_text("utf-8")
    assert text.count(mutant.find) == 1
    planted = text.replace(mutant.find, mutant.replace)
    assert ast.dump(ast.parse(planted)) != ast.dump(ast.parse(text))


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", SOON)
def test_a_planted_mistake_is_noticed_soon(name: str) -> None:
    [mutant] = [one for one in MUTANTS if one.name == name]
    verdict = judged(mutant, histories=30, seed=1)
    assert verdict.histories, verdict.told
    assert mutant.promise in verdict.told


def test_docs_tell_every_mutant_and_none_survives() -> None:
    page = (ROOT / "docs/mutants.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| (.+?) \| \S+ \| (.+?) \|$", page, re.MULTILINE))
    assert {mutant.name for mutant in MUTANTS} == rows.keys() - {"planted mistake"}
    assert all(histories.isdecimal() for name, histories in rows.items() if name != "planted mistake")


# What the simulator relies on: many invocations share one app, so its one request is read before anybody else runs.


def readers() -> Iterator[tuple[str, ast.AST, ast.Attribute]]:
    """File, what its function does first, and the place, of every read of ``current_request``."""
    for path in (ROOT / "app.py", *sorted((ROOT / "chalicelib").rglob("*.py"))):
        tree = ast.parse(path.read_text("utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.Lambda)]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "current_request":
                around = [one for one in functions if node in ast.walk(one)]
                inner = min(around, key=lambda one: len(list(ast.walk(one))))
                yield str(path.relative_to(ROOT)), first_of(inner), node


def first_of(function: ast.FunctionDef | ast.Lambda) -> ast.AST:
    if isinstance(function, ast.Lambda):
        return function.body
    return function.body[ast.get_docstring(function) is not None]


def test_only_the_edge_and_the_app_read_the_request() -> None:
    files = {file for file, _, _ in readers()}
    assert "chalicelib/web/edge/route.py" in files
    assert files <= {"app.py", "chalicelib/web/edge/route.py"}


def test_the_request_is_read_before_anything_else_runs() -> None:
    """In the first statement of its function, and before any call in it is made."""
    for file, first, place in readers():
        assert place in ast.walk(first), f"{file}:{place.lineno}"
        calls = [node for node in ast.walk(first) if isinstance(node, ast.Call)]
        assert all(place in ast.walk(call) for call in calls), f"{file}:{place.lineno}"
