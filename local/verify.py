"""``python -m local.verify proof.json``: compute a refund again from its proof, without the service or a network.

Prints one line and exits 0 when it is valid; prints each difference and exits 1; exits 2 when the file is no proof.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from chalicelib.core.common.refusal import Refused
from chalicelib.core.policy import texts
from chalicelib.core.proof import find_differences

VALID, DIFFERENT, UNREADABLE = 0, 1, 2
USAGE: Final = "usage: python -m local.verify PROOF.json   (- reads from standard input)"


def main(arguments: Sequence[str]) -> int:
    """Verify a file and print the result; returns the exit status."""
    if len(arguments) != 1:
        return _fail(USAGE)
    if not __debug__:
        return _fail("The rules check themselves by assertions: run this without -O.")
    try:
        proof = json.loads(_text(arguments[0]), object_pairs_hook=_unique_members)
        found_differences = find_differences(proof)
    except OSError as error:
        return _fail(f"{arguments[0]} cannot be read: {error.strerror}")
    except RecursionError:
        return _fail("This is no proof: it is nested too deep.")
    except Refused as refused:
        return _fail(
            "This is no proof of a refund:",
            *(f"  {pointer or '/'}: {_reason_text(key)}" for pointer, key in refused.faults),
        )
    except ValueError as error:
        return _fail(f"This is no JSON: {error}")
    for pointer, expected, actual in found_differences:
        print(f"{pointer}: expected {_json(expected)}, found {_json(actual)}")
    if not found_differences:
        print(_valid(proof))
    return DIFFERENT if found_differences else VALID


def _text(name: str) -> str:
    return sys.stdin.buffer.read().decode() if name == "-" else Path(name).read_text("utf-8")


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Members of an object. ValueError for a name that occurs twice, which readers resolve differently."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _valid(proof: dict[str, Any]) -> str:
    amount, lines = proof["result"]["amount"], proof["result"]["lines"]
    counted = f"{len(lines)} line{'' if len(lines) == 1 else 's'}"
    return f"valid: {proof['refund']} {amount['amount']} {amount['currency']}, {counted}, rules {proof['calculator']}"


def _json(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _reason_text(key: str) -> str:
    return texts.read_text("faults", key, locale="en")


def _fail(*lines: str) -> int:
    print(*lines, sep="\n", file=sys.stderr)
    return UNREADABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
