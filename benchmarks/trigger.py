"""
Cost of the trigger beside the pools: `make bench ONLY=trigger`.

A cold start is a process of its own, with nothing of ours but `trigger/index.py`; its clock is
the CPU's, from the process's start.  The event is the one that Cognito sends, and the key is read
from a Secrets Manager on this machine that answers at once.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import median
from typing import Any, Final

from benchmarks.environments import ROOT
from benchmarks.measure import Plan, in_turns, pin, summary
from trigger.index import SOURCE, VERSION, Trigger, mac

KEY = bytes(range(32))
CLIENT, APP_CLIENT = "sgc_" + "a" * 26, "1h57kf5cpq17m0eml12EXAMPLE"
SECRET = json.dumps({"schema": 1, "key": base64.b64encode(KEY).decode()})
COGNITO_WAITS_MS: Final = 5_000

_EVENT: Final = {
    "version": VERSION,
    "triggerSource": SOURCE,
    "callerContext": {"clientId": APP_CLIENT},
    "request": {
        "scopes": ["demo/read"],
        "clientMetadata": {
            "surrogate_client_id": CLIENT,
            "surrogate_mac": mac(KEY, CLIENT, APP_CLIENT),
        },
    },
    "response": {"claimsAndScopeOverrideDetails": None},
}
_SAY: Final = "import time; print(time.process_time_ns())"
# The work of each process before it prints its CPU time.
_COLD: Final = {
    "empty": "",
    "imports": "import trigger.index",
    "initialized": "import trigger.index as index; index.connected()",
    "first_token": (
        "import sys, json, trigger.index as index; "
        "answer = index.handler(json.load(sys.stdin)); "
        "assert answer['response']['claimsAndScopeOverrideDetails'], 'no claim'"
    ),
}


def run(*, quick: bool) -> dict[str, Any]:
    """Measure in processes of their own, then warm in this one."""
    times = 2 if quick else 15
    with _secrets_manager() as url:
        taken = {name: [_cold(code, url) for _ in range(times)] for name, code in _COLD.items()}
    cold = {name: {"cpu_ms": round(median(values), 1)} for name, values in taken.items()}
    pin()
    # A trigger that has read its key: its work for each further token.
    warm = Trigger(lambda: SECRET, lambda: 0.0, lambda *_, **__: None)
    stamped = in_turns(
        {"warm_token": lambda: warm(_EVENT)}, Plan(3, 50) if quick else Plan(51, 500)
    )
    return {
        "subjects": {**cold, **summary(stamped, "warm_token")},
        "processes": times,
        "bars": {
            "own_imports_ms": {
                "says": "ms of CPU that the trigger's own imports take",
                "at_most": 25,
                "found": round(cold["imports"]["cpu_ms"] - cold["empty"]["cpu_ms"], 1),
            },
            "cold_start_of_cognitos_five_seconds_ms": {
                "says": "ms of CPU from the trigger's start to its first token",
                "at_most": COGNITO_WAITS_MS / 5,
                "found": cold["first_token"]["cpu_ms"],
            },
        },
    }


def _cold(code: str, url: str) -> float:
    """Return the CPU milliseconds of a process at the end of *code*."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{_SAY}"],
        input=json.dumps(_EVENT),
        cwd=ROOT,
        env={
            "PATH": os.defpath,
            "PYTHONPATH": str(ROOT),
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": url,
            "DEPLOYMENT_SECRET": "surrogate/deployment",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"The trigger failed:\n{done.stdout}{done.stderr}")
    return int(done.stdout.split()[-1]) / 1e6


@contextmanager
def _secrets_manager() -> Iterator[str]:
    """Serve the deployment secret on this machine; return the URL."""
    body = json.dumps({"ARN": "arn", "Name": "n", "SecretString": SECRET}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
