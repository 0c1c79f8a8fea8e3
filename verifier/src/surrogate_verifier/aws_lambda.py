"""
Lambda authorizers for API Gateway.

A decision does not depend on the route, so that the gateway may cache it for the
whole stage.  A cached decision outlives the token by up to the cache's TTL: keep that short.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from .bearer import token_in
from .errors import AccessError, KeysUnavailableError, MalformedRequestError, RequestRefusedError
from .token import VerifiedToken
from .verifier import Verifier

_log = logging.getLogger(__name__)

Event = Mapping[str, Any]
Answer = dict[str, Any]
Authorizer = Callable[[Event, object], Answer]

_METHOD_ARN = re.compile(
    r"(arn:[a-z-]+:execute-api:[a-z0-9-]+:[0-9]+:[a-z0-9]+/[^/]+)/.*", re.DOTALL
)


class UnauthorizedError(Exception):
    """Error that API Gateway answers with 401 because of its exact text; any other becomes 500."""

    def __init__(self) -> None:
        super().__init__("Unauthorized")


def rest_authorizer(verifier: Verifier) -> Authorizer:
    """
    Return a handler for a REST API's authorizer, of type TOKEN or REQUEST.

    Refused tokens get the gateway's 401, valid tokens with insufficient rights its 403.
    Without the issuer's keys the handler fails, which the gateway answers with its
    AUTHORIZER_FAILURE response: make that a 503 (its default is 500).
    """

    def handler(event: Event, _context: object) -> Answer:
        stage = _METHOD_ARN.fullmatch(str(event.get("methodArn", "")))
        if stage is None:
            raise ValueError("The event is not of a REST API's authorizer.")
        try:
            token = verifier.verify(token_in(_rest_authorization(event)))
        except KeysUnavailableError:
            _log.warning("authorizer: keys unavailable")
            raise
        except AccessError as err:
            _log.info("authorizer: denied: %s", type(err).__name__)
            return _policy("refused", "Deny", stage[1], {})
        except RequestRefusedError as err:
            _log.info("authorizer: refused: %s", type(err).__name__)
            raise UnauthorizedError from None
        principal = token.client_id or token.app_client_id
        return _policy(principal, "Allow", stage[1], _context_of(token))

    return handler


def http_api_authorizer(verifier: Verifier) -> Authorizer:
    """
    Return a handler for an HTTP API's authorizer: payload format 2.0, simple responses.

    Name `$request.header.Authorization` as the identity source: without that header the
    gateway itself answers 401; every refused token gets its 403.  Without the issuer's
    keys the handler fails, and the gateway answers 500.
    """

    def handler(event: Event, _context: object) -> Answer:
        if event.get("version") != "2.0" or "routeArn" not in event:
            raise ValueError("The event is not of an HTTP API's authorizer, payload format 2.0.")
        try:
            token = verifier.verify(token_in(_header(event)))
        except KeysUnavailableError:
            _log.warning("authorizer: keys unavailable")
            raise
        except RequestRefusedError as err:
            _log.info("authorizer: refused: %s", type(err).__name__)
            return {"isAuthorized": False, "context": {}}
        return {"isAuthorized": True, "context": _context_of(token)}

    return handler


def _rest_authorization(event: Event) -> str | None:
    if event.get("type") == "TOKEN":
        value = event.get("authorizationToken")
        return value if isinstance(value, str) else None
    many = event.get("multiValueHeaders") or {}
    values = [
        value
        for name, found in many.items()
        if name.lower() == "authorization"
        for value in found or ()
    ]
    if len(values) > 1:
        raise MalformedRequestError
    return values[0] if values else _header(event)


def _header(event: Event) -> str | None:
    found = [
        value
        for name, value in (event.get("headers") or {}).items()
        if name.lower() == "authorization"
    ]
    if len(found) > 1:
        raise MalformedRequestError
    return found[0] if found and isinstance(found[0], str) else None


def _policy(principal: str, effect: str, stage: str, context: dict[str, str]) -> Answer:
    return {
        "principalId": principal,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": effect,
                    # The whole stage: a cached policy is used for every route.
                    "Resource": f"{stage}/*",
                }
            ],
        },
        "context": context,
    }


def _context_of(token: VerifiedToken) -> dict[str, str]:
    """Return the context for the integration; the gateway takes flat values only."""
    return {
        "client_id": token.client_id or "",
        "app_client_id": token.app_client_id,
        "issuer": token.issuer,
        "scope": " ".join(sorted(token.scopes)),
    }
