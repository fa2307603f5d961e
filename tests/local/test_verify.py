"""The offline command as whoever doubts a refund runs it: in a process of its own, with nothing of the service in it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from chalicelib.core.proof import build_proof
from tests.core.stories import CANCEL, DEPOSIT_ID, DIFFERS, LATER, PAID, final, traded, trading

ROOT: Final = Path(__file__).parents[2]
REFUND: Final = "ref_" + "0" * 26 + "_1"
# What a proof must not need: everything that reaches a network or knows the service.
ABSENT: Final = ("boto3", "botocore", "chalice", "requests", "urllib3", "http.client")
FOREIGN: Final = ("store", "flows", "gateways", "jobs", "web", "wiring")


def told() -> dict[str, Any]:
    story = traded(trading())
    story.ask(DIFFERS, PAID)
    return build_proof(DEPOSIT_ID, story.events, 1, story.terms)


def verify(*arguments: str, sent: str = "", flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *flags, "-m", "local.verify", *arguments]
    return subprocess.run(command, cwd=ROOT, env={}, input=sent, capture_output=True, text=True, check=False)


def test_a_proof_that_holds_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(told(), indent=2), "utf-8")
    done = verify(str(file))
    assert (done.stdout, done.stderr) == (f"valid: {REFUND} 2160000 IDR, 3 lines, rules earnest/1\n", "")
    assert done.returncode == 0


def test_a_proof_may_come_through_a_pipe() -> None:
    story = final()
    story.ask(CANCEL, LATER)
    done = verify("-", sent=json.dumps(build_proof(DEPOSIT_ID, story.events, 1, story.terms)))
    assert done.stdout == f"valid: {REFUND} 88 CNY, 2 lines, rules earnest/1\n"


def test_differences_are_told_one_by_one() -> None:
    proof = told()
    proof["result"]["amount"]["amount"] = "2165000"
    proof["result"]["note"] = "对"
    done = verify("-", sent=json.dumps(proof))
    digest, amount, note = sorted(done.stdout.splitlines())
    assert digest.startswith('/digest: expected "sha256:')
    assert amount == '/result/amount/amount: expected "2160000", found "2165000"'
    assert note == '/result/note: expected nothing, found "对"'
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        ("",                        "This is no JSON: Expecting value"),
        ('{"a": 1, "a": 2}',        "This is no JSON: a name stands twice in one object"),
        ("[" * 100_000,             "This is no proof: it is nested too deep."),
        ("[]",                      "This is no proof of a refund:\n  /: This must be an object."),
        ('{"object": "refund_proof"}', "This is no proof of a refund:\n  /calculator: This field is required."),
    ],
)  # fmt: skip
def test_what_is_no_proof_is_complained_about(sent: str, complaint: str) -> None:
    done = verify("-", sent=sent)
    assert done.stderr.startswith(complaint)
    assert (done.returncode, done.stdout) == (2, "")


def test_a_file_that_is_not_there_is_complained_about() -> None:
    done = verify("nowhere.json")
    assert (done.returncode, done.stderr) == (2, "nowhere.json cannot be read: No such file or directory\n")


@pytest.mark.parametrize("arguments", [(), ("one", "two")])
def test_without_one_file_the_usage_is_told(arguments: tuple[str, ...]) -> None:
    done = verify(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m local.verify")


def test_rules_without_their_assertions_verify_nothing() -> None:
    done = verify("-", sent=json.dumps(told()), flags=("-O",))
    assert (done.returncode, done.stdout) == (2, "")
    assert "without -O" in done.stderr


def test_it_needs_neither_network_nor_service() -> None:
    """Clients of a network cannot be imported at all, no socket is touched, and nothing of the service is loaded."""
    code = f"""
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(event)
sys.addaudithook(refuse)
for name in {ABSENT}:
    sys.modules[name] = None
from local import verify
print(verify.main(["-"]))
print([name for name in sys.modules if name.startswith(tuple("chalicelib." + ring for ring in {FOREIGN}))])
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, env={}, input=json.dumps(told()), capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == ["0", "[]"]
