"""What `surrogatectl trust` prints, run as it is printed, with real tokens of both Regions."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from local.cloud import ROOT, Cloud
from tests.e2e.conftest import CommandLine
from tests.e2e.tokens import post_token

ROLES = ("primary", "secondary")
NODE = ("aws-jwt-verify", "jose")
PYTHON = ("python", "pyjwt", "joserfc")
PROJECT = ROOT / "tests" / "node"


class RefusedError(Exception):
    """The backend does not take the token."""


Verify = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Enrolled:
    client_id: str
    tokens: dict[str, str]
    app_clients: dict[str, str]


@pytest.fixture(scope="module")
def clients(cloud: Cloud) -> tuple[Enrolled, Enrolled]:
    """Enrol two clients; the second one may write only."""
    return _enrol(cloud, "demo/read demo/write"), _enrol(cloud, "demo/write")


def _enrol(cloud: Cloud, scope: str) -> Enrolled:
    answer = CommandLine(cloud)("enroll", "--name=trust", f"--scope={scope}")
    pair = (answer["client_id"], answer["client_secret"])
    tokens = {
        role: post_token(cloud.endpoints[role], pair).json()["access_token"] for role in ROLES
    }
    claims = [jwt.decode(each, options={"verify_signature": False}) for each in tokens.values()]
    return Enrolled(
        answer["client_id"], tokens, {each["iss"]: each["client_id"] for each in claims}
    )


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install what the lock says; return the directory, from which modules find it."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("There is no Node here, and CI must have it.")
        pytest.skip("There is no Node here: aws-jwt-verify and jose are NOT tested.")
    directory = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", "verify.mjs"):
        shutil.copy(PROJECT / name, directory)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory


def printed(cloud: Cloud, backend: str, *options: str) -> str:
    answer = CommandLine(cloud)("trust", f"--for={backend}", *options)
    assert answer["for"] == backend
    text: str = answer["configuration"]
    return text


def python_backend(directory: Path, text: str) -> Verify:
    """Return what verifies in the module *text*."""
    path = directory / "trusted.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("trusted", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def verify(token: str) -> dict[str, Any]:
        try:
            if hasattr(module, "verifier"):
                return dict(module.verifier.verify(token).claims)
            claims: dict[str, Any] = module.verify(token)
        except requests.RequestException:
            raise
        except Exception as err:
            raise RefusedError(type(err).__name__) from err
        return claims

    return verify


@pytest.fixture
def backend_for(
    cloud: Cloud, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Verify]]:
    """Return what starts a backend with the configuration that is printed for it."""
    processes: list[subprocess.Popen[str]] = []

    def start(backend: str, *options: str) -> Verify:
        text = printed(cloud, backend, *options)
        if backend in PYTHON:
            return python_backend(tmp_path, text)
        directory: Path = request.getfixturevalue("node")
        module = directory / f"{backend}-{len(processes)}-{tmp_path.name}.mjs"
        module.write_text(text)
        process = subprocess.Popen(
            ["node", "verify.mjs", str(module)],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)

        def verify(token: str) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(token) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            if "refused" in answer:
                raise RefusedError(answer["refused"])
            claims: dict[str, Any] = answer["claims"]
            return claims

        return verify

    yield start
    for process in processes:
        process.communicate(timeout=30)


def forged(token: str, **claims: Any) -> str:
    """Return a token that says what *token* says and *claims*, signed by somebody else."""
    header = jwt.get_unverified_header(token)
    said = jwt.decode(token, options={"verify_signature": False})
    key = generate_private_key(65537, 2048)
    return jwt.encode(
        {**said, **claims},
        key,
        algorithm="RS256",
        headers={"kid": claims.pop("kid", header["kid"])},
    )


def accepts(verify: Verify, token: str) -> bool:
    try:
        verify(token)
    except RefusedError:
        return False
    return True


def unsigned(token: str) -> str:
    header = {**jwt.get_unverified_header(token), "alg": "none"}
    head = urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


@pytest.mark.parametrize("backend", [*PYTHON, *NODE])
def test_a_backend_takes_both_regions_tokens_also_when_one_is_lost_and_no_others(
    breakable_cloud: Cloud,
    backend_for: Callable[..., Verify],
    clients: tuple[Enrolled, Enrolled],
    backend: str,
) -> None:
    reader, writer = clients
    verify = backend_for(backend, "--scope=demo/read")
    for role in ROLES:
        claims = verify(reader.tokens[role])
        assert claims["iss"].endswith(breakable_cloud.endpoints["user_pools"][role])
        assert claims["client_id"] == reader.app_clients[claims["iss"]]
    token = reader.tokens["primary"]
    refused = {
        "a scope that is missing": writer.tokens["primary"],
        "a signature that is cut": token[:-8],
        "a key of somebody else": forged(token),
        "no signature": unsigned(token),
        "an issuer that nobody trusts": forged(
            token, iss="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_FOREIGN"
        ),
        "no token": "x.y.z",
    }
    assert [what for what, bad in refused.items() if accepts(verify, bad)] == []
    for mode in ("refused", "up"):
        breakable_cloud.set_region("primary", mode)
        for role in ROLES:
            assert verify(reader.tokens[role])


@pytest.mark.parametrize("backend", [*PYTHON[1:], *NODE])
def test_with_the_map_of_names_only_the_app_clients_in_it_may_come(
    cloud: Cloud,
    backend_for: Callable[..., Verify],
    clients: tuple[Enrolled, Enrolled],
    tmp_path: Path,
    backend: str,
) -> None:
    known, stranger = clients
    path = tmp_path / "names.json"
    names = {issuer: {app: known.client_id} for issuer, app in known.app_clients.items()}
    path.write_text(json.dumps({"clients": names}))
    verify = backend_for(backend, f"--client-names={path}")
    for role in ROLES:
        assert verify(known.tokens[role])
        with pytest.raises(RefusedError):
            verify(stranger.tokens[role])
