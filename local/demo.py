"""
Demonstration of the main path, step by step: `make demo`.

The demo starts a cloud of its own, enrolls one client, and gets tokens with its
one credential in both Regions.  Every printed claim is checked; if one does not
hold, the demo stops there and exits with 1.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import requests

from local.cloud import ROOT, Cloud, CloudError
from local.deploy import DeploymentError, without_aws_variables

_SCOPE = "demo/read demo/write"
_REQUEST_SECONDS = 10


class DemoError(Exception):
    """A promise did not hold."""


def main() -> int:
    """Run the demo; return its exit code."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="surrogate-demo-") as scratch:
        try:
            _say("The local cloud: two Regions of an emulated AWS, the packaged zip in each")
            with Cloud.up(Path(scratch) / "cloud") as cloud:
                _story(cloud, Path(scratch))
        except (DemoError, CloudError, DeploymentError, requests.RequestException) as err:
            print(f"\nThe demo failed: {err}", file=sys.stderr)
            return 1
    _say(f"All of that happened, in {time.monotonic() - began:.1f} s. Now by hand:")
    print(
        """  make up                                    # the same cloud, left running
  eval "$(make -s env)"
  .venv/bin/surrogatectl enroll --name my-service --scope 'demo/read' \\
              --secret-file my-service.secret
  token() { printf 'user = "%s:%s"' "$1" "$(cat "$2")" | curl -sS --config - \\
              -d grant_type=client_credentials "$FRONT_DOOR_URL/oauth2/token"; }
  token '<client ID>' my-service.secret
  .venv/bin/python -m local region primary refused         # lose it
  .venv/bin/surrogatectl failover --to secondary --force
  token '<client ID>' my-service.secret                    # the same credential works again
  .venv/bin/surrogatectl enroll --name meanwhile --scope 'demo/read'
  .venv/bin/python -m local region primary up
  .venv/bin/surrogatectl failback --settle 1 --ttl 1
  make down"""
    )
    return 0


def _story(cloud: Cloud, scratch: Path) -> None:
    endpoints = cloud.endpoints
    name = endpoints["front_door"]
    primary, secondary = (endpoints["regions"][role] for role in ("primary", "secondary"))

    _say("Enrollment: one client, an app client in each Region, one replicated record")
    with _timed("enrolled"):
        enrolled = _surrogatectl(
            cloud,
            "enroll",
            "--name=demo",
            f"--scope={_SCOPE}",
            f"--secret-file={scratch / 'client-secret'}",
        )
    credential = (enrolled["client_id"], (scratch / "client-secret").read_text().strip())
    print(f"  client ID     {enrolled['client_id']}")
    print("  client secret sgs_… (shown once; only its argon2id hash is kept)")
    print(f"  app clients   {enrolled['app_clients']}")
    print(f"  replication   {enrolled['replication']}")
    _expect(set(enrolled["app_clients"].values()) == {"ready"}, "an app client in each Region")

    _say(f"A token through {name}, which points to {primary}")
    _token(cloud, credential, primary)

    _say(f"{primary} is lost: its API, its Cognito and its Secrets Manager refuse connections")
    cloud.set_region("primary", "refused")
    with _timed("the name answers with an error, as it must"):
        _expect(_exchange(name, credential) is None, "no token from a lost Region")

    _say(f"The name is pointed to {secondary}, by writing that Region's own state")
    with _timed("failed over"):
        _surrogatectl(cloud, "failover", "--to=secondary", "--force")
    print(f"  (TTL and health checks run {endpoints['time_scale']:g} times as fast as on AWS)")

    _say(f"The same credential gets a token in {secondary}")
    _token(cloud, credential, secondary)

    _say(f"{primary} is gone, and a client is enrolled all the same")
    with _timed("enrolled"):
        enrolled = _surrogatectl(
            cloud,
            "enroll",
            "--name=meanwhile",
            f"--scope={_SCOPE}",
            f"--secret-file={scratch / 'second-secret'}",
        )
    second = (enrolled["client_id"], (scratch / "second-secret").read_text().strip())
    print(f"  app clients   {enrolled['app_clients']}")
    print(f"  replication   {enrolled['replication']}")
    _token(cloud, second, secondary)

    _say(f"{primary} is back, and gets everything back: the records, the name, the writing")
    cloud.set_region("primary", "up")
    with _timed("failed back"):
        back = _surrogatectl(cloud, "failback", "--settle=1", "--ttl=1")
    print(f"  counts        {back['counts']}")
    _expect(not back["left"], "every client to be brought back")
    _token(cloud, credential, primary)
    _token(cloud, second, primary)


def _token(cloud: Cloud, credential: tuple[str, str], region: str) -> None:
    """Exchange *credential* by name; verify that the token is *region*'s."""
    with _timed("token received and verified"):
        answer = _exchange(cloud.endpoints["front_door"], credential)
        if answer is None:
            raise DemoError(f"no token through the name while it points to {region}")
        claims = _verified(cloud, answer["access_token"], region)
    _expect(claims["surrogate_client_id"] == credential[0], "the client's one name in the token")
    shown = ("iss", "surrogate_client_id", "token_use", "scope", "exp")
    print("  claims " + json.dumps({claim: claims[claim] for claim in shown}))
    print(f"  expires in {answer['expires_in']} s")


def _exchange(name: str, credential: tuple[str, str]) -> dict[str, Any] | None:
    try:
        answer = requests.post(
            f"{name}/oauth2/token",
            auth=credential,
            data={"grant_type": "client_credentials", "scope": _SCOPE},
            timeout=_REQUEST_SECONDS,
        )
    except requests.ConnectionError:
        return None
    content: dict[str, Any] = answer.json()
    _expect(answer.ok, f"a token; the answer was {answer.status_code}: {content.get('error')}")
    return content


def _verified(cloud: Cloud, token: str, region: str) -> dict[str, Any]:
    """Return the claims of *token*, verified as a backend in *region* would, with PyJWT."""
    role = next(role for role, name in cloud.endpoints["regions"].items() if name == region)
    pool = cloud.endpoints["user_pools"][role]
    keys = jwt.PyJWKClient(
        f"{cloud.endpoints['region_endpoints'][role]}/{pool}/.well-known/jwks.json"
    )
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            keys.get_signing_key_from_jwt(token).key,
            algorithms=["RS256"],
            issuer=f"https://cognito-idp.{region}.amazonaws.com/{pool}",
            options={"require": ["exp", "iat", "iss"], "verify_aud": False},
        )
    except jwt.PyJWTError as err:
        raise DemoError(f"the token is not {region}'s: {err}") from None
    _expect(claims["token_use"] == "access", "an access token")  # noqa: S105
    _expect(set(claims["scope"].split()) == set(_SCOPE.split()), f"the scope {_SCOPE}")
    return claims


def _surrogatectl(cloud: Cloud, *arguments: str) -> dict[str, Any]:
    command = [str(ROOT / ".venv" / "bin" / "surrogatectl"), *arguments, "--output=json"]
    print(f"  $ surrogatectl {' '.join(arguments)}")
    done = subprocess.run(
        command,
        env={**without_aws_variables(os.environ), **cloud.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    _expect(done.returncode == 0, f"surrogatectl {arguments[0]} to succeed:\n{done.stderr}")
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def _expect(condition: object, promise: str) -> None:
    if not condition:
        raise DemoError(f"expected {promise}")


def _say(what: str) -> None:
    print(f"\n== {what}", flush=True)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"  {what} ({time.monotonic() - began:.1f} s)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
