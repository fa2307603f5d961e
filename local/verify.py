"""``python -m local.verify proof.json``: whether a refund is what the rules give, without the service and without a network.

It says so in one line and exits 0; or what is different, line by line, and exits 1; or that this is no proof, and exits 2.
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
    """The exit status, with what a person should know on the way there."""
    if len(arguments) != 1:
        return _complain(USAGE)
    if not __debug__:
        return _complain("The rules check themselves by assertions: run this without -O.")
    try:
        proof = json.loads(_text(arguments[0]), object_pairs_hook=_once)
        found = find_differences(proof)
    except OSError as unreachable:
        return _complain(f"{arguments[0]} cannot be read: {unreachable.strerror}")
    except RecursionError:
        return _complain("This is no proof: it is nested too deep.")
    except Refused as refused:
        return _complain(
            "This is no proof of a refund:", *(f"  {place or '/'}: {_why(why)}" for place, why in refused.faults)
        )
    except ValueError as malformed:
        return _complain(f"This is no JSON: {malformed}")
    for pointer, expected, here in found:
        print(f"{pointer}: expected {_written(expected)}, found {_written(here)}")
    if not found:
        print(_valid(proof))
    return DIFFERENT if found else VALID


def _text(name: str) -> str:
    return sys.stdin.buffer.read().decode() if name == "-" else Path(name).read_text("utf-8")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A member that stands twice would be read in one way here and in another way there."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return members


def _valid(proof: dict[str, Any]) -> str:
    amount, lines = proof["result"]["amount"], proof["result"]["lines"]
    counted = f"{len(lines)} line{'' if len(lines) == 1 else 's'}"
    return f"valid: {proof['refund']} {amount['amount']} {amount['currency']}, {counted}, rules {proof['calculator']}"


def _written(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _why(key: str) -> str:
    return texts.read_text("faults", key, locale="en")


def _complain(*lines: str) -> int:
    print(*lines, sep="\n", file=sys.stderr)
    return UNREADABLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
