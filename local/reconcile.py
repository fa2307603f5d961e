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
MAX_WAIT_SECONDS: Final = 15 * 60
Json = dict[str, Any]


def main() -> int:
    """Returns 0 when the books agree, 1 when there are breaks or the run failed, 2 when the service cannot be asked."""
    try:
        token = _ask("POST", "/sandbox/tokens", {"role": "platform"})["token"]
        run = _follow(_start_run(token), token)
    except urllib.error.HTTPError as refused:
        print(f"The service refused: {refused.read().decode()}", file=sys.stderr)
        return 2
    except (urllib.error.URLError, ConnectionError):
        print(f"Nothing answers at {BASE}. Start the service first, in another terminal: make run", file=sys.stderr)
        return 2
    except ValueError as unreadable:
        print(f"FROM and TO are instants like 2026-11-21T00:00:00Z ({unreadable}).", file=sys.stderr)
        return 2
    print(_summary(run))
    _list_breaks(run, token)
    return 0 if run["status"] == "balanced" else 1


def _start_run(token: str) -> Json:
    now = parse_instant(_ask("GET", "/sandbox/clock")["now"])
    end = parse_instant(os.environ["TO"]) if os.environ.get("TO") else now
    start = parse_instant(os.environ["FROM"]) if os.environ.get("FROM") else end - DAILY_SPAN_MS
    span = {"from": format_instant(start), "to": format_instant(end)}
    return _ask("POST", "/v1/reconciliation-runs", span, token)


def _follow(run: Json, token: str) -> Json:
    """Poll the run until it is finished or 15 minutes are over, with a progress bar on a terminal."""
    stop = time.monotonic() + MAX_WAIT_SECONDS
    while run["status"] == "running" and time.monotonic() < stop:
        _print_progress(run)
        time.sleep(0.2)
        run = _ask("GET", f"/v1/reconciliation-runs/{run['id']}", None, token)
    _print_progress(run)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return run


def _print_progress(run: Json) -> None:
    if not sys.stderr.isatty():
        return
    done = run["progress"]["percent"] * WIDTH // 100
    lines = run["progress"]["provider"]
    print(f"\r[{'#' * done}{'.' * (WIDTH - done)}] {lines} lines", end="", file=sys.stderr, flush=True)


def _summary(run: Json) -> str:
    counts = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in run["counts"].items())
    totals = [
        f"  {total['currency']}  ours {total['ours']}  provider {total['provider']}  difference {total['difference']}"
        for total in run["totals"]
    ]
    head = [f"{run['status']}: {run['from']} to {run['to']}", f"  {counts}", *totals]
    return "\n".join([*head, f"  {run['digest']}", f"  {BASE}{run['report_url']}"])


def _list_breaks(run: Json, token: str) -> None:
    address = f"/v1/reconciliation-runs/{run['id']}/breaks?limit=100"
    page = _ask("GET", address, None, token)
    while True:
        for item in page["data"]:
            subject = item["refund"] or item["payment"] or item["provider_ref"]
            ours, provider = _amount(item["ours"]), _amount(item["provider"])
            print(f"  {item['kind']}  {subject}  ours {ours}  provider {provider}  {item['id']}")
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
    request = urllib.request.Request(BASE + path, content, headers, method=method)  # noqa: S310 - our own machine
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own machine
        response: Json = json.loads(answer.read())
    return response


if __name__ == "__main__":
    sys.exit(main())
