"""No two clouds get the same ports, even before a process listens on them."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local.ports import BLOCK, PORTS, claimed
from local.switch import LOOPBACK

ONE_BLOCK = PORTS[:BLOCK]


def test_claimed_ports_are_exclusive(tmp_path: Path) -> None:
    two = PORTS[: 2 * BLOCK]
    with (
        claimed(12, among=two, locks=tmp_path) as first,
        claimed(12, among=two, locks=tmp_path) as second,
    ):
        assert len({*first.ports, *second.ports}) == 24
        with (
            pytest.raises(RuntimeError, match="no 1 free ports"),
            claimed(1, among=two, locks=tmp_path),
        ):
            pass


def test_released_ports_are_claimed_again(tmp_path: Path) -> None:
    for _ in range(2):
        with claimed(1, among=ONE_BLOCK, locks=tmp_path) as claim:
            assert claim.ports[0] in ONE_BLOCK


def test_an_inherited_claim_lasts_until_the_process_ends(tmp_path: Path) -> None:
    with claimed(1, among=ONE_BLOCK, locks=tmp_path) as claim:
        heir = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[claim.descriptor]
        )
    with heir:
        with pytest.raises(RuntimeError), claimed(1, among=ONE_BLOCK, locks=tmp_path):
            pass
        heir.kill()
    with claimed(1, among=ONE_BLOCK, locks=tmp_path):
        pass


def test_a_port_in_use_is_skipped(tmp_path: Path) -> None:
    with claimed(1, among=ONE_BLOCK, locks=tmp_path) as claim:
        (port,) = claim.ports
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((LOOPBACK, port))
        taken.listen()
        with claimed(BLOCK - 1, among=ONE_BLOCK, locks=tmp_path) as claim:
            assert port not in claim.ports
