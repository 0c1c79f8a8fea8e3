"""
The function of a stage, wired by `app.py` from its environment: events in, answers out.

    python -m tests.contract.function < events.json

The last line that it prints holds the answers; what is before it are log lines.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    from app import app  # noqa: PLC0415 - what it reads at import is this process's environment

    answers = [app(event, None) for event in json.load(sys.stdin)]
    sys.stdout.write(f"\n{json.dumps(answers)}\n")


if __name__ == "__main__":
    main()
