"""``make run`` as a newcomer meets it: the README's journey over a real socket, Ctrl-C, and everything is still there."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
READY_WITHIN = 15  # seconds, once installed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(port: int, state: Path) -> Iterator["subprocess.Popen[str]"]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "EARNEST_"))}
    environment |= {"PORT": str(port), "STATE_DIR": str(state)}
    house = subprocess.Popen(
        [sys.executable, "-m", "local"],
        cwd=README.parent,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_until_ready(port, house)
        yield house
    finally:
        house.send_signal(signal.SIGINT)
        house.communicate(timeout=30)


def wait_until_ready(port: int, house: "subprocess.Popen[str]") -> None:
    began = time.monotonic()
    while time.monotonic() - began < READY_WITHIN:
        assert house.poll() is None, house.stdout.read() if house.stdout else ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"not ready within {READY_WITHIN} s")


def journey(base: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """The README's own commands, in a folder of their own."""
    script = re.search(r"```bash\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert script is not None
    lines = "set -euo pipefail\n" + script[1] + '\necho; echo "$DEPOSIT $TOKEN"\n'
    return subprocess.run(
        ["bash", "-c", lines],  # noqa: S607
        cwd=folder,
        env={**os.environ, "BASE": base},
        text=True,
        capture_output=True,
        check=False,
        timeout=50,
    )


def test_the_readme_journey_works_and_survives_a_restart(tmp_path: Path) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with running(port, tmp_path / "state"):
        told = journey(base, tmp_path)
        assert told.returncode == 0, told.stderr
        lines = told.stdout.splitlines()
        books = json.loads(lines[-2])["data"]
        assert [(row["amount"]["amount"], row["status"]) for row in books] == [("5000", "succeeded")]
        assert lines[-3] == "succeeded"
        assert "cancelled" in lines
    deposit, token = lines[-1].split()
    with running(port, tmp_path / "state") as house:
        request = urllib.request.Request(  # noqa: S310
            f"{base}/v1/deposits/{deposit}", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            kept = json.load(answer)
        assert kept["status"] == "cancelled"
        assert kept["refund"]["status"] == "succeeded"
    assert house.returncode == 0


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = subprocess.run(
            [sys.executable, "-m", "local"],
            cwd=README.parent,
            env={**os.environ, "PORT": str(port), "STATE_DIR": str(tmp_path)},
            text=True,
            capture_output=True,
            check=False,
            timeout=30,
        )
    assert told.returncode == 1
    assert f"Port {port} is taken" in told.stderr
