"""``make run``: the engine, the tables, the seeded offers, the API and its jobs on one machine, until Ctrl-C."""

import base64
import hashlib
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

from local.engine import Engine, EngineFailed
from local.issuer import AUDIENCE, ISSUER, Issuer

HOST = "127.0.0.1"


def main() -> int:
    """Start everything in order; the exit status is 1 when it could not start."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    port = int(os.environ.get("PORT", "8000"))
    state_dir = Path(os.environ.get("STATE_DIR", ".local"))
    if not _free(port):
        print(f"Port {port} is taken. Choose another one: make run PORT=8001", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _stop)
    state_dir.mkdir(parents=True, exist_ok=True)
    try:
        with Engine.start(state_dir / "engine") as engine:
            environment(engine.url, state_dir, port)
            _serve(port, state_dir)
    except EngineFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Everything is kept; make run goes on from here.")
    return 0


def _serve(port: int, state_dir: Path) -> None:
    """Import late: the app reads its settings from the environment set above."""
    from chalicelib.wiring import installed  # noqa: PLC0415 - see the docstring
    from local import wiring  # noqa: PLC0415
    from local.dev_server import DevServer  # noqa: PLC0415

    built = wiring.build_from_environment()
    with installed(lambda: built):
        server = DevServer(Issuer.at(state_dir))
        server.prepare()
        print(_welcome(port, server.first_offer), flush=True)
        server.serve(port)


def environment(engine_url: str, state_dir: Path, port: int) -> None:
    secret = hashlib.sha256(str(state_dir.resolve()).encode()).digest()
    os.environ.update(
        {
            "AWS_ENDPOINT_URL_DYNAMODB": engine_url,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
            "EARNEST_ISSUER": ISSUER,
            "EARNEST_AUDIENCE": AUDIENCE,
            "EARNEST_JWKS": Issuer.at(state_dir).jwks(),
            "EARNEST_WEBHOOK_SECRETS": "whsec_" + base64.b64encode(secret).decode(),
            "EARNEST_SECRETS": hashlib.sha512(secret).hexdigest(),
            "EARNEST_ORIGINS": os.environ.get("EARNEST_ORIGINS", "*"),
            "EARNEST_PUBLIC_URL": f"http://{HOST}:{port}",
        }
    )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _welcome(port: int, offer: str) -> str:
    base = f"http://{HOST}:{port}"
    return f"""
Earnest is running.

  API        {base}/v1        reference {base}/docs        contract {base}/openapi.json
  an offer   {base}/v1/offers/{offer}

Try it:

  curl -s {base}/v1/offers/{offer}

The whole journey (order, pay, cancel, money back) stands in README.md. Ctrl-C stops everything and keeps the data.
"""


if __name__ == "__main__":
    sys.exit(main())
