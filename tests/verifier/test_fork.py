"""A server that forks while keys are being fetched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Some servers fork beside threads; the test process itself must not.
PROGRAM = """
import os, signal, sys, threading
from tests.verifier.world import World

world = World()
fetching, hold = threading.Event(), threading.Event()

def fetch(url):
    if threading.current_thread() is not threading.main_thread():
        fetching.set()
        hold.wait(60)
    return world.server(url)

def in_a_thread(work):
    threading.Thread(target=work, daemon=True).start()

verifier = world.verifier(fetch=fetch, snapshot=world.shared(), background=in_a_thread)
verifier.verify(world.east.token())  # starts a refresh, which now holds the lock
assert fetching.wait(30)
child = os.fork()
if not child:
    signal.alarm(30)  # a lock that nobody lets go of would hold for ever
    world.server.documents[world.east.issuer.key_set_url] = world.west.jwks
    try:
        verifier.verify(world.east.token(header={"kid": world.west.kid}))
    except Exception as err:
        os._exit(0 if type(err).__name__ == "SignatureError" else 2)
    os._exit(3)
_, status = os.waitpid(child, 0)
hold.set()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_child_process_does_not_wait_for_its_parents_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
