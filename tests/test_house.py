"""The rules of the house that no linter knows: each test walks the tree, or a process, and names what broke it."""

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from chalicelib import policies
from chalicelib.store import schema
from deploy.check import mixed, source_files, zip_findings
from deploy.package import stage

ROOT = Path(__file__).resolve().parent.parent
TOP = (
    *(".chalice", ".ci", ".git", ".gitignore", "ARCHITECTURE.md", "CHANGELOG.md", "Makefile", "README.md", "app.py"),
    *("benchmarks", "chalicelib", "deploy", "docs", "local", "pyproject.toml", "site", "tests"),
    *("requirements.txt", "requirements-dev.in", "requirements-dev.txt"),
)
POLICIES = sorted((ROOT / "chalicelib/policies").rglob("*.toml"))
CORE = sorted((ROOT / "chalicelib/core").rglob("*.py"))
CORE_MAY_IMPORT = sys.stdlib_module_names | {
    "chalicelib",
    "msgspec",
    "pydantic",
    "pydantic_core",
    "rfc8785",
    "holidays",
}
# The brackets keep this file from holding what it looks for.
FOREIGN = re.compile(
    r"pypi\.[o]rg|pythonhosted\.[o]rg|npmjs\.[co]|(?<![\w/.#-])/([w]ork|[r]oot|[o]pt/pypi)(?=[/\"'`:,)\s]|$)",
    re.MULTILINE,
)


def ignored(name: str) -> bool:
    """Whether git ignores it; state folders may have any ending."""
    patterns = (ROOT / ".gitignore").read_text("utf-8").split()
    return name.startswith(".local") or any(fnmatch(name, pattern.rstrip("/")) for pattern in patterns)


def files(folder: Path = ROOT) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name == ".git" or ignored(path.name):
            continue
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def run(code: str) -> str:
    """What a fresh interpreter prints, with nothing of the machine in its environment."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(statement: str, unwanted: str) -> list[str]:
    """Those of the unwanted packages that a statement brings along."""
    return run(f"import sys\n{statement}\nprint(*sorted(set({unwanted.split()}) & sys.modules.keys()))").split()


def infra() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "deploy/infra.json").read_text("utf-8"))
    return found


def test_the_top_level_holds_what_the_house_names() -> None:
    assert not [path.name for path in ROOT.iterdir() if path.name not in TOP and not ignored(path.name)]


def test_no_file_names_a_registry_or_a_folder_of_this_machine() -> None:
    texts = ((path, path.read_text("utf-8", errors="ignore")) for path in files())
    assert not [f"{path.relative_to(ROOT)}: {hit.group()}" for path, text in texts for hit in FOREIGN.finditer(text)]


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.relative_to(ROOT / "chalicelib/policies").as_posix())
def test_every_policy_has_a_source(path: Path) -> None:
    text = path.read_text("utf-8")
    said_in_comment = path.parent.parent.name == "texts" and re.search(r"^#.*\bSource\b", text, re.MULTILINE)
    assert said_in_comment or tomllib.loads(text).get("source")


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_core_compares_with_no_figure(path: Path) -> None:
    compared = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Compare)]
    assert not [f"line {node.lineno}: {figure}" for node in compared for figure in figures(node)]


def figures(node: ast.AST) -> Iterator[int]:
    """Numerals above 1 that are compared, alone or within a sum or product."""
    match node:
        case ast.Compare(left=left, comparators=comparators):
            for operand in (left, *comparators):
                yield from figures(operand)
        case ast.BinOp(left=left, right=right):
            yield from figures(left)
            yield from figures(right)
        case ast.UnaryOp(operand=operand):
            yield from figures(operand)
        case ast.Constant(value=int(value)) if value > 1:
            yield value


def test_figures_are_found() -> None:
    compare = ast.parse("a < 1 or b * 3 > -2 or c[5] == len('4')", mode="eval")
    assert [figure for node in ast.walk(compare) if isinstance(node, ast.Compare) for figure in figures(node)] == [3, 2]


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_core_imports_little(path: Path) -> None:
    assert not {name.partition(".")[0] for name in imports(path)} - CORE_MAY_IMPORT


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_core_and_flows_load_without_aws_and_chalice() -> None:
    walk = """
import importlib, pkgutil, chalicelib.core, chalicelib.flows
for package in (chalicelib.core, chalicelib.flows):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
"""
    assert imported(walk, "boto3 botocore chalice") == []


def test_the_tests_of_core_need_no_aws_and_no_chalice() -> None:
    collect = """
import contextlib, io, pytest
with contextlib.redirect_stdout(io.StringIO()):
    assert pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "tests/core"]) == 0
"""
    assert imported(collect, "boto3 botocore chalice moto") == []


@pytest.mark.skipif(not (ROOT / "app.py").exists(), reason="app.py is not written yet")
def test_a_cold_start_loads_nothing_heavy_and_reads_no_setting() -> None:
    assert imported("import app", "stripe httpx requests aws_xray_sdk babel holidays rich local") == []


def test_every_library_is_pinned_and_locked() -> None:
    wanted = [line for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines() if line[:1] not in ("", "#")]
    locked = (ROOT / "requirements-dev.txt").read_text("utf-8")
    for line in wanted:
        name, _, version = line.partition("==")
        assert version, f"{line} is not pinned"
        assert f"\n{name.partition('[')[0].lower()}=={version} " in locked, f"{line}: run make lock"


def test_the_template_states_the_table_of_the_code() -> None:
    resource = infra()["Resources"]["EarnestTable"]
    table = resource["Properties"]
    stream = {"StreamEnabled": True, **table["StreamSpecification"]}  # CloudFormation has no switch for it
    assert {name: table[name] for name in schema.TABLE} | {"StreamSpecification": stream} == schema.TABLE
    assert {name: table[name] for name in table.keys() - schema.TABLE.keys()} == {
        "DeletionProtectionEnabled": True,
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        "SSESpecification": {"SSEEnabled": True},
        "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
    }
    assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


def test_every_gateway_answer_is_a_problem() -> None:
    for name, answer in infra()["Resources"]["RestAPI"]["Properties"]["GatewayResponses"].items():
        assert answer["ResponseParameters"]["Headers"]["Content-Type"] == "'application/problem+json'", name
        body = json.loads(answer["ResponseTemplates"]["application/json"])
        assert body["type"].startswith("/problems/"), name
        assert body.get("status") == answer.get("StatusCode"), name


def test_every_function_has_a_policy_of_its_own_that_grants_little() -> None:
    stage = json.loads((ROOT / ".chalice/config.json").read_text("utf-8"))["stages"]["prod"]
    named = [function["iam_policy_file"] for function in stage["lambda_functions"].values()]
    assert sorted(named) == sorted(path.name for path in (ROOT / ".chalice").glob("policy-*.json"))
    for name in named:
        for statement in json.loads((ROOT / ".chalice" / name).read_text("utf-8"))["Statement"]:
            assert "*" not in "".join(statement["Action"]), name
            assert not {"dynamodb:Scan", "dynamodb:DeleteItem"} & set(statement["Action"]), name
            assert statement["Resource"] != "*", name


def test_a_package_with_a_stranger_or_a_gap_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deployment.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("app.py", "")
        packed.writestr("local/server.py", "")
        packed.writestr("chalicelib/gateways/sandbox/provider.py", "")
    findings = list(zip_findings(path, ROOT))
    assert "deployment.zip: local/server.py must not be deployed" in findings
    assert "deployment.zip: chalicelib/gateways/sandbox/provider.py must not be deployed" in findings
    assert "deployment.zip: chalicelib/core/common/money.py is missing" in findings
    assert not [finding for finding in findings if "app.py" in finding]


def test_functions_beside_each_other_are_refused() -> None:
    template = {"Role": [{"Ref": "Table"}, {"Fn::Sub": "${Table}", "Ref": "Table"}]}
    assert list(mixed(template, "")) == ["/Role/1"]


def test_every_rule_and_every_language_is_packaged(tmp_path: Path) -> None:
    """Both by what is copied for the package and by what its check looks for."""
    stage(tmp_path)
    staged = {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.joinpath("chalicelib/policies").rglob("*.toml")
    }
    needed = {path.relative_to(ROOT).as_posix() for path in POLICIES}
    assert staged == needed
    assert needed <= source_files(ROOT)
    assert {f"chalicelib/policies/texts/{locale}/language.toml" for locale in policies.languages()} <= needed
