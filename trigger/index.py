"""
Pre token generation trigger: adds the surrogate's client ID to access tokens.

Amazon Cognito invokes it before it makes a token (event version 3).  Each
Region's app client has an ID of its own; the exchange sends the surrogate's
client ID beside it, with a MAC over both that was made at enrollment.  The
claim is added only if the MAC matches: the holder of a real Cognito secret
cannot name another client.

After any error the token is made, without the claim.  Cognito waits for five
seconds, so imports are few, waits are short, and the deployment key is read
once, with a second attempt if the first one fails.

CloudFormation deploys the copy in infra/region.yaml; `python -m trigger`
regenerates it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any

CLAIM = "surrogate_client_id"
SOURCE = "TokenGeneration_ClientCredentials"
VERSION = "3"

KEY_BYTES = 32
CONNECT_SECONDS, READ_SECONDS = 0.25, 0.5  # the first for each address of the name
ATTEMPTS = 2  # of a cold trigger the first one may be slow
RETRY_SECONDS = 5  # after a failure: an outage must not delay every token
REREAD_SECONDS = 60  # after a wrong MAC: the key may have been replaced


def fetch() -> str:
    """Return the text of this Region's deployment secret, or fail within a second."""
    name = os.environ["DEPLOYMENT_SECRET"]
    answer = connected().get_secret_value(SecretId=name, VersionStage="AWSCURRENT")
    return str(answer["SecretString"])


@cache
def connected() -> Any:  # noqa: ANN401 - an AWS client
    """Return a Secrets Manager client of this Region, with short timeouts."""
    # A failed import must not cost the token.
    import botocore.session  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    timeouts = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1},
        proxies={},
    )
    return botocore.session.get_session().create_client("secretsmanager", config=timeouts)


def key_of(text: str) -> bytes:
    """Return the deployment key in *text*."""
    content = json.loads(text)
    key = base64.b64decode(content["key"], validate=True)
    if content["schema"] != 1 or len(key) != KEY_BYTES:
        raise ValueError
    return key


def mac(key: bytes, client_id: str, app_client_id: str) -> str:
    """Return the MAC, in hex, that binds *app_client_id* to *client_id*."""
    message = b"app-client"
    for part in (client_id.encode(), app_client_id.encode()):
        message += len(part).to_bytes(4, "big") + part
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def log(outcome: str, **more: str) -> None:
    """Write one line, without anything of the caller."""
    print(json.dumps({"event": "trigger", "outcome": outcome, **more}), flush=True)


def stamped(event: Any, client_id: str) -> Any:  # noqa: ANN401 - JSON
    """Return *event* with the response that adds the claim."""
    added = {"accessTokenGeneration": {"claimsToAddOrOverride": {CLAIM: client_id}}}
    response = {**(event.get("response") or {}), "claimsAndScopeOverrideDetails": added}
    return {**event, "response": response}


class Trigger:
    """Lambda handler; *fetch* returns the text of the deployment secret, *clock* the time."""

    def __init__(
        self, fetch: Callable[[], str], clock: Callable[[], float], log: Callable[..., None]
    ) -> None:
        """Start without a key."""
        self._fetch = fetch
        self._clock = clock
        self._log = log
        self._key = b""
        self._tried_at = float("-inf")

    def __call__(self, event: Any, _context: object = None) -> Any:  # noqa: ANN401 - JSON
        """Return *event*, with the claim if the MAC matches."""
        try:
            client_id = self._surrogate(event)
            return event if client_id is None else stamped(event, client_id)
        except Exception as err:  # noqa: BLE001 - whatever happened, a token
            self._log("failed", error=type(err).__name__)
            return event

    def _surrogate(self, event: Any) -> str | None:  # noqa: ANN401 - JSON
        if event.get("triggerSource") != SOURCE or event.get("version") != VERSION:
            return None
        told = event["request"].get("clientMetadata") or {}
        client_id, given = told.get("surrogate_client_id"), told.get("surrogate_mac")
        if not (isinstance(client_id, str) and isinstance(given, str)):
            return None  # a request to Cognito that did not come from the exchange
        app_client_id = event["callerContext"]["clientId"]
        if not self._key and not self._read(RETRY_SECONDS):
            return None
        if self._fits(client_id, app_client_id, given):
            return client_id
        if self._read(REREAD_SECONDS) and self._fits(client_id, app_client_id, given):
            return client_id
        self._log("mac_does_not_fit")
        return None

    def _fits(self, client_id: str, app_client_id: str, given: str) -> bool:
        expected = mac(self._key, client_id, app_client_id)
        return hmac.compare_digest(expected.encode(), given.encode())

    def _read(self, at_least: float) -> bool:
        """Read the key unless tried recently; on failure keep the last known one."""
        now = self._clock()
        if 0 <= now - self._tried_at < at_least:
            return False
        self._tried_at = now
        error = ""
        for _ in range(ATTEMPTS):
            try:
                self._key = key_of(self._fetch())
            except Exception as err:  # noqa: BLE001 - its text might quote the key
                error = type(err).__name__
            else:
                return True
        self._log("no_key", error=error)
        return False


handler = Trigger(fetch, time.time, log)

if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    try:
        connected()  # during initialization, not during the first token request
    except Exception as err:  # noqa: BLE001 - it is tried again, and told, for a token
        log("failed", error=type(err).__name__)
