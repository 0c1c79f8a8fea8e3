"""Output of `surrogatectl trust`, run unchanged, with real tokens of both Regions."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import time
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
from surrogate_verifier import KeysUnavailableError
from surrogatectl.trust.backends import BACKENDS
from surrogatectl.trust.facts import KEY_SET, Trust, TrustedPool
from tests.e2e.conftest import CommandLine
from tests.e2e.envoy import Envoy, NoEnvoyError, install, validated
from tests.e2e.tokens import SECONDS, post_token, regional, token_without_exchange

ROLES = ("primary", "secondary")
NODE = ("aws-jwt-verify", "jose")
PYTHON = ("python", "pyjwt", "joserfc")
OTHERS = ("pyjwt", "joserfc", *NODE, "envoy")
PROJECT = ROOT / "tests" / "node"


class RefusedError(Exception):
    """The backend refuses the token."""


class UnavailableError(Exception):
    """The backend has no keys to verify the token, and must answer 503."""


Verify = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Enrolled:
    client_id: str
    tokens: dict[str, str]
    app_clients: dict[str, str]


@pytest.fixture(scope="module")
def clients(cloud: Cloud) -> tuple[Enrolled, Enrolled]:
    """Enroll two clients; the second has only the write scope."""
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
    """Install the locked packages; return the directory from which modules import them."""
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


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the pinned Envoy; return the program."""
    try:
        return install(tmp_path_factory.mktemp("envoy"))
    except NoEnvoyError as err:
        if os.environ.get("CI"):
            pytest.fail(f"There is no Envoy here, and CI must have it: {err}")
        pytest.skip(f"There is no Envoy here: its configuration is NOT tested. {err}")


Start = Callable[[str], Envoy]


@pytest.fixture
def envoy_with(envoy: Path, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts an Envoy with the printed configuration."""
    running: list[Envoy] = []

    def start(text: str) -> Envoy:
        running.append(Envoy(envoy, text, tmp_path / f"envoy-{len(running)}"))
        return running[-1]

    yield start
    for each in running:
        each.close()


def envoy_backend(envoy: Envoy) -> Verify:
    """Return a backend behind *envoy*, which echoes the token's claims."""

    def verify(token: str) -> dict[str, Any]:
        answer = envoy.call(token)
        if answer.status_code in (401, 403):
            raise RefusedError(answer.text)
        if answer.status_code == 503:
            assert answer.headers["Retry-After"]
            raise UnavailableError(answer.text)
        assert answer.status_code == 200, answer.text
        claims: dict[str, Any] = json.loads(answer.headers["x-said"])
        return claims

    return verify


def printed(cloud: Cloud, backend: str, *options: str) -> str:
    answer = CommandLine(cloud)("trust", f"--for={backend}", *options)
    assert answer["for"] == backend
    text: str = answer["configuration"]
    return text


def python_backend(directory: Path, text: str) -> Verify:
    """Return the verifying function of the module *text*."""
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
        except (
            requests.RequestException,
            jwt.PyJWKClientConnectionError,
            KeysUnavailableError,
        ) as err:
            raise UnavailableError(type(err).__name__) from err
        except Exception as err:
            raise RefusedError(type(err).__name__) from err
        return claims

    return verify


@pytest.fixture
def start_node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Verify]]:
    """Return a function that starts a Node process which verifies with a module."""
    processes: list[subprocess.Popen[str]] = []

    def start(backend: str, text: str) -> Verify:
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
                raise (UnavailableError if answer["unavailable"] else RefusedError)(
                    answer["refused"]
                )
            claims: dict[str, Any] = answer["claims"]
            return claims

        return verify

    yield start
    for process in processes:
        process.communicate(timeout=30)


@pytest.fixture
def backend_for(
    cloud: Cloud,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    start_node: Callable[[str, str], Verify],
) -> Callable[..., Verify]:
    """Return a function that starts a backend with its printed configuration."""

    def start(backend: str, *options: str) -> Verify:
        text = printed(cloud, backend, *options)
        if backend in PYTHON:
            return python_backend(tmp_path, text)
        if backend == "envoy":
            start_envoy: Start = request.getfixturevalue("envoy_with")
            return envoy_backend(start_envoy(text))
        return start_node(backend, text)

    return start


def forged(token: str, **claims: Any) -> str:
    """Return a token with the claims of *token* and *claims*, signed with a foreign key."""
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


@pytest.mark.parametrize("backend", ["python", *OTHERS])
def test_a_backend_accepts_only_both_regions_tokens_even_with_one_lost(
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


@pytest.mark.parametrize("backend", ["python", *OTHERS])
def test_a_backend_without_a_regions_keys_reports_that_and_recovers(
    breakable_cloud: Cloud,
    backend_for: Callable[..., Verify],
    clients: tuple[Enrolled, Enrolled],
    backend: str,
) -> None:
    """A 401 instead of a 503 would make clients request token after token."""
    tokens = clients[0].tokens
    breakable_cloud.set_region("primary", "refused")
    # The shared key set would contain them.
    verify = backend_for(backend, *(["--keys=issuers"] if backend == "python" else []))
    assert verify(tokens["secondary"])
    for _ in range(2):
        with pytest.raises(UnavailableError):
            verify(tokens["primary"])
    assert not accepts(verify, tokens["secondary"][:-8])
    breakable_cloud.set_region("primary", "up")
    deadline = time.monotonic() + 90
    while True:
        try:
            assert verify(tokens["primary"])
            break
        except UnavailableError:
            assert time.monotonic() < deadline
            time.sleep(0.5)


@pytest.mark.parametrize("backend", OTHERS)
def test_with_a_client_map_only_its_app_clients_are_accepted(
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


# -- output for AWS, where it differs --------------------------------------------------------------


def of_aws(pool_ids: dict[str, str], app_clients: tuple[str, ...] | None = None) -> Trust:
    """Return the trust settings of a deployment on AWS with these pools."""
    pools = []
    for role, pool_id in pool_ids.items():
        region = pool_id.partition("_")[0]
        issuer = f"https://cognito-idp.{region}.amazonaws.com/{pool_id}"
        pools.append(TrustedPool(role, region, pool_id, issuer, issuer + KEY_SET, app_clients))
    trust = Trust(tuple(pools), "https://auth.example.com", ("demo/read",))
    assert not trust.is_local
    return trust


def test_aws_jwt_verify_accepts_both_regions_tokens_with_the_printed_settings(
    cloud: Cloud, start_node: Callable[[str, str], Verify], clients: tuple[Enrolled, Enrolled]
) -> None:
    """The keys are preloaded: the pools' own addresses are unreachable from here."""
    reader, writer = clients
    pool_ids = {role: cloud.endpoints["user_pools"][role] for role in ROLES}
    given = ""
    for role, pool_id in pool_ids.items():
        door = cloud.endpoints["region_endpoints"][role]
        keys = requests.get(f"{door}/{pool_id}{KEY_SET}", timeout=SECONDS).json()
        given += f"verifier.cacheJwks({json.dumps(keys)}, {json.dumps(pool_id)});\n"
    verify = start_node("aws-jwt-verify", BACKENDS["aws-jwt-verify"](of_aws(pool_ids)) + given)
    for role in ROLES:
        assert verify(reader.tokens[role])["iss"].endswith(pool_ids[role])
        for bad in (writer.tokens[role], forged(reader.tokens[role]), reader.tokens[role][:-8]):
            with pytest.raises(RefusedError):
                verify(bad)


@pytest.mark.parametrize("app_clients", [None, ("app1", "app2"), ()])
def test_envoy_accepts_the_printed_configuration(
    envoy: Path, tmp_path: Path, app_clients: tuple[str, ...] | None
) -> None:
    pool_ids = {"primary": "us-east-1_EXAMPLE11", "secondary": "us-west-2_EXAMPLE22"}
    validated(envoy, BACKENDS["envoy"](of_aws(pool_ids, app_clients)), tmp_path)


# -- Envoy only ------------------------------------------------------------------------------------


def test_envoy_keeps_a_lost_regions_keys_across_refreshes(
    breakable_cloud: Cloud, envoy_with: Start, clients: tuple[Enrolled, Enrolled]
) -> None:
    text = printed(breakable_cloud, "envoy")
    hurried = text.replace("cache_duration: 300s", "cache_duration: 1s").replace(
        "failed_refetch_duration: 10s", "failed_refetch_duration: 0.1s"
    )
    assert hurried.count("duration: 1s") == hurried.count("duration: 0.1s") == len(ROLES)
    envoy = envoy_with(hurried)
    breakable_cloud.set_region("primary", "refused")
    deadline = time.monotonic() + 60
    while envoy.count("jwks_fetch_failed") < 5:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for role in ROLES:
        assert envoy.call(clients[0].tokens[role]).status_code == 200


def test_only_envoy_can_set_the_client_header(
    cloud: Cloud, envoy_with: Start, clients: tuple[Enrolled, Enrolled]
) -> None:
    envoy = envoy_with(printed(cloud, "envoy"))
    known, other = clients
    for role in ROLES:
        answer = envoy.call(known.tokens[role], **{"x-client-id": other.client_id})
        assert answer.headers["x-upstream-client-id"] == known.client_id
        nameless = token_without_exchange(cloud, role, regional(cloud, known.client_id, role))
        answer = envoy.call(nameless, **{"x-client-id": other.client_id})
        assert answer.status_code == 200
        assert "x-upstream-client-id" not in answer.headers
