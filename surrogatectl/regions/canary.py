"""
The canary: a client like any other, whose credential the operators' role can read.

With it, `failover` and `failback` try a Region out from end to end before they
move anybody's traffic there.  The credential is in a secret of its own, which is
replicated, so that it can be read in either Region with the other one gone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import requests
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.secrets_calls import CURRENT
from chalicelib.credentials import secret_id
from chalicelib.model import ClientId, IssuedCredentials
from chalicelib.settings import RegionSettings
from surrogatectl.setup import own_secrets

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

SCHEMA: Final = 1
_SECONDS: Final = (3.05, 10)
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_MOST_ERROR: Final = 64
_SCRIPT: Final = "make one with `surrogatectl canary --scope …`"


def canary_secret_name(prefix: str) -> str:
    """Return the name of the secret that holds the canary's credential."""
    return f"{prefix}/canary"


@dataclass(frozen=True, slots=True)
class Problem:
    """
    The reason why the canary got no token.

    *refused*: the Region does not know its credential (any more).  *unknown*: there was no
    attempt.
    """

    detail: str
    refused: bool = False
    unknown: bool = False


TryCanary = Callable[[str], Problem | None]
"""Gets the canary a token from a Region's own API; returns the problem, `None` if there is none."""


class CanaryError(Exception):
    """There is no canary's credential to be had; the message says why."""


@dataclass(frozen=True, slots=True)
class CanarySecret:
    """The canary's credential, as one Region has it."""

    client: SecretsManagerClient = field(repr=False)
    prefix: str
    kms_key: str | None = None

    def read(self) -> IssuedCredentials | None:
        """
        Return the credential, `None` if there is none.

        Raises:
            CanaryError: If it cannot be read.
        """
        try:
            answer = self.client.get_secret_value(SecretId=self._name, VersionStage=CURRENT)
        except ClientError as err:
            code = err.response.get("Error", {}).get("Code", "")
            if code == "ResourceNotFoundException":
                return None
            raise CanaryError(f"Its secret cannot be read: {code}") from None
        except BotoCoreError as err:
            raise CanaryError(f"Its secret cannot be read: {type(err).__name__}") from None
        try:
            content = json.loads(answer["SecretString"])
            client_id, client_secret = content["client_id"], content["client_secret"]
        except (KeyError, TypeError, ValueError):
            # A JSON error may quote the secret: it must not become a cause.
            raise CanaryError("Its secret is malformed.") from None
        return IssuedCredentials(
            ClientId(client_id), secret_id(client_secret), client_secret=client_secret
        )

    def write(self, issued: IssuedCredentials) -> None:
        """
        Keep *issued* here.

        Raises:
            ClientError, BotoCoreError: If Secrets Manager does not do it.
        """
        text = json.dumps(
            {
                "schema": SCHEMA,
                "client_id": issued.client_id,
                "client_secret": issued.client_secret,
            }
        )
        made = own_secrets.create(self.client, self._name, text, "canary", self.kms_key)
        if not made:
            self.client.put_secret_value(SecretId=self._name, SecretString=text)

    @property
    def _name(self) -> str:
        return canary_secret_name(self.prefix)


@dataclass(frozen=True, slots=True)
class DirectCanary:
    """
    `TryCanary` over HTTP; each Region's token API by its own address, never by the name.

    *regions*, *urls* and *secrets* map a Region's name to its settings, its
    token API and the canary's credential there.
    """

    regions: Mapping[str, RegionSettings]
    urls: Mapping[str, str]
    secrets: Mapping[str, CanarySecret]

    def try_out(self, region: str) -> Problem | None:
        """See `TryCanary`."""
        if region not in self.urls:
            return Problem(
                f"The token API of {region} is not known: set TOKEN_URL_PRIMARY and "
                "TOKEN_URL_SECONDARY.",
                unknown=True,
            )
        try:
            issued = self.secrets[region].read()
        except CanaryError as err:
            return Problem(f"The canary in {region}: {err}", unknown=True)
        if issued is None:
            return Problem(f"There is no canary in {region}: {_SCRIPT}.", unknown=True)
        return try_credential(self.regions[region], self.urls[region], issued)


def try_credential(
    region: RegionSettings, base_url: str, issued: IssuedCredentials
) -> Problem | None:
    """Return what is wrong with *issued* at *base_url*, `None` if it gets *region*'s token."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                f"{base_url}/oauth2/token",
                auth=(issued.client_id, issued.client_secret),
                data={"grant_type": "client_credentials"},
                timeout=_SECONDS,
                allow_redirects=False,
            )
    except requests.RequestException as err:
        return Problem(f"The token API of {region.name} does not answer ({type(err).__name__}).")
    if answer.status_code != _OK:
        error = str(_content(answer).get("error", "no OAuth answer"))[:_MOST_ERROR]
        return Problem(
            f"{region.name} answers the canary {answer.status_code}: {error}.",
            refused=answer.status_code == _UNAUTHORIZED,
        )
    if _pool_of(_content(answer).get("access_token")) != region.user_pool_id:
        return Problem(f"{region.name} answers the canary with a token that is not its pool's.")
    return None


def _content(answer: requests.Response) -> Mapping[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _pool_of(token: object) -> str | None:
    """Return the user pool that *token* says it is from; backends verify that, we do not."""
    try:
        payload = str(token).split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims["iss"]).rpartition("/")[2]
    except (IndexError, KeyError, TypeError, ValueError):
        return None
