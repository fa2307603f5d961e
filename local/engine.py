"""The DynamoDB engine of one machine: ministack as a child process on 127.0.0.1, its state kept in a folder.

The child writes its state only when it ends, so it must end cleanly. It has a session of its own, which Ctrl-C does not
reach. Its standard input is a pipe from the parent; when that closes, because the parent stopped it or was killed, it
saves and ends. It holds a lock on the folder until its end.
"""

import fcntl
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 60  # 1 to 2 on a quiet machine; a loaded one may take many times that
STOP_SECONDS: Final = 60  # it writes one JSON file; killing it sooner would lose the run's data
LOCK_SECONDS: Final = 20  # the time an engine of a killed run may need to save


class EngineFailed(Exception):
    """The engine did not start; the message is for the person at the terminal."""


class Engine:
    """A running engine. ``url`` is the value for AWS_ENDPOINT_URL_DYNAMODB."""

    def __init__(self, child: "subprocess.Popen[bytes]", port: int) -> None:
        self._child = child
        self.url = f"http://{HOST}:{port}"

    @classmethod
    def start(cls, state_dir: Path, *, persist: bool = True) -> "Engine":
        """Start it and wait until DynamoDB answers. Without ``persist`` the tables end with the process."""
        folder = state_dir.absolute() / "engine"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "engine.log"
        with _locked(folder) as lock, log.open("wb") as output:
            port = _free_port()
            child = _spawn(folder, port, persist=persist, output=output, lock=lock.fileno())
        if not _answers(child, port):
            _end(child)
            raise EngineFailed(f"The DynamoDB engine did not start; see {log}")
        return cls(child, port)

    def stop(self) -> None:
        """Let it save and end. Safe to call twice."""
        _end(self._child)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _spawn(folder: Path, port: int, *, persist: bool, output: IO[bytes], lock: int) -> "subprocess.Popen[bytes]":
    # An empty environment: no setting of the machine (AWS, TLS, init scripts) changes what the engine does.
    environment = {
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb,dynamodbstreams",
        "PERSIST_STATE": "1" if persist else "0",
        "STATE_DIR": str(folder),
        "TMPDIR": str(folder),
        "DOCKER_HOST": f"unix://{folder}/no-docker",  # otherwise it looks for containers to clean up
        "PATH": os.defpath,
    }
    return subprocess.Popen(
        [sys.executable, "-P", __file__],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=(lock,),
        start_new_session=True,
    )


@contextmanager
def _locked(folder: Path) -> Iterator[IO[bytes]]:
    """The lock of a state folder; the child inherits it and holds it until its end."""
    deadline = time.monotonic() + LOCK_SECONDS
    with (folder / "engine.lock").open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EngineFailed(f"Another run uses {folder.parent}; give this one its own STATE_DIR") from None
                time.sleep(0.1)
        yield lock


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(child: "subprocess.Popen[bytes]", port: int) -> bool:
    """Wait for the first answer of DynamoDB itself, which is loaded by its first request."""
    deadline = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        if _lists_tables(port):
            return True
        time.sleep(0.05)
    return False


def _lists_tables(port: int) -> bool:
    headers = {
        "X-Amz-Target": "DynamoDB_20120810.ListTables",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request",
    }
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("POST", "/", b"{}", headers)
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    if child.stdin:
        child.stdin.close()


def _end_with_parent() -> None:
    while os.read(0, 1):  # nothing is ever written to it; unbuffered, since a buffer's lock would outlive the exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _run() -> None:
    """The child's side."""
    from ministack.app import main  # noqa: PLC0415 - heavy, and only the child needs it

    threading.Thread(target=_end_with_parent, daemon=True).start()
    main()


if __name__ == "__main__":
    _run()
