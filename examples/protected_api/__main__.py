"""Serve the example beside the local cloud, until interrupted: `make example`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from surrogate_verifier import ClientNames, ConfigurationError

from . import serve, verifier_for

ENDPOINTS = Path(__file__).parents[2] / "local" / ".state" / "endpoints.json"


def main() -> int:
    """Serve until interrupted; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.protected_api", description=__doc__)
    parser.add_argument("--port", type=int, default=8300, help="0 is any (default: %(default)s)")
    parser.add_argument("--endpoints", type=Path, default=ENDPOINTS, help="the cloud's endpoints")
    parser.add_argument("--client-names", type=Path, help="the published map of client names")
    arguments = parser.parse_args()
    try:
        endpoints = json.loads(arguments.endpoints.read_bytes())
    except (OSError, ValueError):
        print(f"error: cannot read {arguments.endpoints}; `make up` makes it", file=sys.stderr)
        return 1
    try:
        names = arguments.client_names and ClientNames.from_file(arguments.client_names)
        verifier = verifier_for(endpoints, client_names=names)
        api = serve(verifier, arguments.port)
    except (ConfigurationError, OSError) as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    with api:
        print(f"serving {api.url}/orders", flush=True)
        print("with the ID of a client, and its secret in my-service.secret (see README.md):")
        print(
            """  TOKEN=$(printf 'user = "%s:%s"\\n' "$ID" "$(cat my-service.secret)" |\n"""
            f"    curl -s --config - -d grant_type=client_credentials "
            f"{endpoints['front_door']}/oauth2/token |\n"
            """    python3 -c 'import json; print(json.loads(input())["access_token"])')\n"""
            f'  curl -H "Authorization: Bearer $TOKEN" {api.url}/orders',
            flush=True,
        )
        stop = threading.Event()
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: stop.set())
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
