"""`make reconcile`: ask the running service to compare its books with its provider's, and print what it found.

FROM and TO are instants (RFC 3339); without them it is the last seven days up to now, by the sandbox's clock.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any, Final

from chalicelib.core.common.instants import format_instant, parse_instant
from chalicelib.core.reconciliation.run import DAILY_SPAN_MS

BASE: Final = f"http://127.0.0.1:{os.environ.get('PORT') or '8000'}"
WIDTH: Final = 40
PATIENCE_SECONDS: Final = 15 * 60
Json = dict[str, Any]


def main() -> int:
    """0 when everything fits, 1 when there are breaks or it failed, 2 when nobody can be asked."""
    try:
        token = _ask("POST", "/sandbox/tokens", {"role": "platform"})["token"]
        run = _followed(_begun(token), token)
    except urllib.error.HTTPError as refused:
        print(f"The service refused: {refused.read().decode()}", file=sys.stderr)
        return 2
    except (urllib.error.URLError, ConnectionError):
        print(f"Nothing answers at {BASE}. Start the service first, in another terminal: make run", file=sys.stderr)
        return 2
    except ValueError as unreadable:
        print(f"FROM and TO are instants like 2026-11-21T00:00:00Z ({unreadable}).", file=sys.stderr)
        return 2
    print(_told(run))
    _list_breaks(run, token)
    return 0 if run["status"] == "balanced" else 1


def _begun(token: str) -> Json:
    now = parse_instant(_ask("GET", "/sandbox/clock")["now"])
    end = parse_instant(os.environ["TO"]) if os.environ.get("TO") else now
    start = parse_instant(os.environ["FROM"]) if os.environ.get("FROM") else end - DAILY_SPAN_MS
    span = {"from": format_instant(start), "to": format_instant(end)}
    return _ask("POST", "/v1/reconciliation-runs", span, token)


def _followed(run: Json, token: str) -> Json:
    """Until it is finished, with a bar on a terminal."""
    stop = time.monotonic() + PATIENCE_SECONDS
    while run["status"] == "running" and time.monotonic() < stop:
        _bar(run)
        time.sleep(0.2)
        run = _ask("GET", f"/v1/reconciliation-runs/{run['id']}", None, token)
    _bar(run)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return run


def _bar(run: Json) -> None:
    if not sys.stderr.isatty():
        return
    done = run["progress"]["percent"] * WIDTH // 100
    lines = run["progress"]["provider"]
    print(f"\r[{'#' * done}{'.' * (WIDTH - done)}] {lines} lines", end="", file=sys.stderr, flush=True)


def _told(run: Json) -> str:
    counts = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in run["counts"].items())
    totals = [
        f"  {one['currency']}  ours {one['ours']}  provider {one['provider']}  difference {one['difference']}"
        for one in run["totals"]
    ]
    head = [f"{run['status']}: {run['from']} to {run['to']}", f"  {counts}", *totals]
    return "\n".join([*head, f"  {run['digest']}", f"  {BASE}{run['report_url']}"])


def _list_breaks(run: Json, token: str) -> None:
    address = f"/v1/reconciliation-runs/{run['id']}/breaks?limit=100"
    page = _ask("GET", address, None, token)
    while True:
        for one in page["data"]:
            about = one["refund"] or one["payment"] or one["provider_ref"]
            print(
                f"  {one['kind']}  {about}  ours {_amount(one['ours'])}  provider {_amount(one['provider'])}  {one['id']}"
            )
        if page["next_cursor"] is None:
            return
        page = _ask("GET", f"{address}&cursor={page['next_cursor']}", None, token)


def _amount(money: Json | None) -> str:
    return f"{money['amount']} {money['currency']}" if money is not None else "nothing"


def _ask(method: str, path: str, body: Json | None = None, token: str = "") -> Json:
    headers = {"Content-Type": "application/json"}
    if token:
        headers |= {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid.uuid4().hex}
    content = json.dumps(body).encode() if body is not None else None
    asked = urllib.request.Request(BASE + path, content, headers, method=method)  # noqa: S310 - our own machine
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - our own machine
        found: Json = json.loads(answer.read())
    return found


if __name__ == "__main__":
    sys.exit(main())
