"""The file of newly issued credentials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chalicelib.model import (
    ClientId,
)
from surrogatectl.adopt.file import CredentialsFileError, credentials_file
from tests.unit.surrogatectl.adopt.adoption_world import AdoptionWorld, lines


@pytest.fixture
def world() -> AdoptionWorld:
    return AdoptionWorld()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "credentials.jsonl"


def test_a_file_that_nothing_was_written_to_is_removed_again(path: Path) -> None:
    with credentials_file(path) as file:
        assert path.exists()
        assert file.empty
    assert not path.exists()


def test_an_earlier_runs_file_is_gone_on_with(world: AdoptionWorld, path: Path) -> None:
    for number in (1, 2):
        with credentials_file(path) as file:
            world.adopt(world.row(f"row {number}"), file=file)
    assert len(lines(path)) == 2
    with credentials_file(path) as file:
        for line in lines(path):
            found = file.find(ClientId(line["client_id"]))
            assert found is not None
            assert found.client_secret == line["client_secret"]
        assert file.find(ClientId("sgc_" + "a" * 26)) is None


def test_a_line_that_a_crash_cut_off_is_removed(world: AdoptionWorld, path: Path) -> None:
    with credentials_file(path) as file:
        world.adopt(world.row("row 1"), file=file)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:70] + b"x" * len(whole))
    with credentials_file(path) as file:
        world.adopt(world.row("row 2"), file=file)
    assert path.read_bytes().startswith(whole)
    assert len(lines(path)) == 2


@pytest.mark.parametrize(
    "content",
    [
        "precious\n",
        "{}\n",
        "[1]\n",
        "7\n",
        '{"client_id": "sgc_x", "client_secret": "not ours"}\n',
        '{"client_id": "sgc_x", "client_secret": 1}\n',
        "[" * 20_000 + "\n",
    ],
)
def test_a_file_that_holds_something_else_is_left_alone(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(CredentialsFileError, match="line 1 is not of this command's making"):
        credentials_file(path).__enter__()
    assert path.read_text() == content


@pytest.mark.parametrize(
    "content",
    [
        "precious",
        '{"token": "precious"}',
        '{"client_id": "another service\'s", "client_secret": "precious"}',
    ],
)
def test_what_merely_lacks_a_newline_at_its_end_is_left_alone(
    world: AdoptionWorld, path: Path, content: str
) -> None:
    with credentials_file(path) as file:
        world.adopt(world.row(), file=file)
    for before in ("", path.read_text()):
        path.write_text(before + content)
        number = len(before.splitlines()) + 1
        with pytest.raises(CredentialsFileError, match=f"line {number} is not of this command's"):
            credentials_file(path).__enter__()
        assert path.read_text() == before + content


def test_credentials_without_a_newline_at_their_end_are_not_a_line_of_ours(
    world: AdoptionWorld, path: Path
) -> None:
    """Our lines begin with the client ID; what has it elsewhere is somebody else's."""
    with credentials_file(path) as file:
        world.adopt(world.row(), file=file)
    (line,) = lines(path)
    content = json.dumps(dict(reversed(line.items())))
    path.write_text(content)
    with pytest.raises(CredentialsFileError, match="line 1 is not of this command's making"):
        credentials_file(path).__enter__()
    assert path.read_text() == content


@pytest.mark.parametrize("length", [1, 14, 15, 19, 20, 60])
def test_a_line_is_removed_wherever_a_crash_cut_it_off(
    world: AdoptionWorld, path: Path, length: int
) -> None:
    with credentials_file(path) as file:
        world.adopt(world.row(), file=file)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:length])
    with credentials_file(path):
        assert path.read_bytes() == whole


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_can_read_or_write_is_not_used(path: Path, mode: int) -> None:
    path.touch()
    path.chmod(mode)
    with pytest.raises(CredentialsFileError, match="0600"):
        credentials_file(path).__enter__()


def test_a_file_is_not_written_through_a_link(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch(0o600)
    path.symlink_to(target)
    with pytest.raises(CredentialsFileError):
        credentials_file(path).__enter__()


def test_a_directory_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(CredentialsFileError, match="No such file or directory"):
        credentials_file(tmp_path / "nowhere" / "credentials").__enter__()


def test_two_runs_do_not_write_the_same_file(path: Path) -> None:
    with (
        credentials_file(path),
        pytest.raises(CredentialsFileError, match="in use by another run"),
    ):
        credentials_file(path).__enter__()
