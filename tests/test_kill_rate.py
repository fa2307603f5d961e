"""The kill rate: which tests are asked first, and that a planted mistake is named with the test that notices it."""

from pathlib import Path

from tests.kill_rate import files_of_tests, judged, likely, stages
from tests.simulator.mutants import Mutant, mutants


def mutant(file: str, find: str, replace: str) -> Mutant:
    return Mutant("a slip", file, find, replace, "P1")


def test_the_tests_of_a_module_are_asked_before_all_others() -> None:
    for one in {each.file: each for each in mutants()[::10]}.values():
        first, *_ = stages(one)
        assert first == likely(one)


def test_every_file_of_tests_is_asked_once() -> None:
    asked = [path for files in stages(mutants()[0]) for path in files]
    assert sorted(asked) == sorted(files_of_tests())
    assert {path.name for path in asked}.isdisjoint({"test_house.py", Path(__file__).name})


def test_a_planted_mistake_is_named_with_the_test_that_notices_it() -> None:
    file = "chalicelib/core/policy/calendar.py"
    text = Path(file).read_text("utf-8")
    verdict = judged(mutant(file, text, f"{text}\nraise RuntimeError\n"))
    assert verdict.killer is not None
    assert "killed by" in verdict.told()
