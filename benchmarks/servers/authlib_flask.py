"""
Authlib on Flask: one client, opaque tokens that are not stored.

With `CLIENT_SECRET_HASH` in the environment secrets are argon2 hashes, of our profile; else plain
text, as in its documentation.
"""

from __future__ import annotations

import os
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from flask import Flask, Response

_HASH = os.environ.get("CLIENT_SECRET_HASH")
_hasher = PasswordHasher()


class Client(ClientMixin):  # type: ignore[misc] # untyped
    """The one client."""

    client_id = os.environ["CLIENT_ID"]

    def get_client_id(self) -> str:
        """See `ClientMixin`."""
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        """See `ClientMixin`."""
        return ""

    def get_allowed_scope(self, scope: str) -> str:
        """See `ClientMixin`."""
        return scope if scope in {"", "demo/read"} else ""

    def check_redirect_uri(self, _redirect_uri: str) -> bool:
        """See `ClientMixin`."""
        return False

    def check_client_secret(self, client_secret: str) -> bool:
        """See `ClientMixin`."""
        if _HASH is None:
            return client_secret == os.environ["CLIENT_SECRET"]
        try:
            return _hasher.verify(_HASH, client_secret)
        except VerifyMismatchError:
            return False

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """See `ClientMixin`."""
        return method == "client_secret_basic"

    def check_response_type(self, _response_type: str) -> bool:
        """See `ClientMixin`."""
        return False

    def check_grant_type(self, grant_type: str) -> bool:
        """See `ClientMixin`."""
        return grant_type == "client_credentials"


class ClientCredentials(grants.ClientCredentialsGrant):  # type: ignore[misc] # untyped
    """The grant, with HTTP Basic."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)


_client = Client()
application = Flask(__name__)
server = AuthorizationServer(
    application,
    query_client=lambda client_id: _client if client_id == _client.client_id else None,
    save_token=lambda _token, _request: None,
)
server.register_grant(ClientCredentials)


@application.post("/oauth2/token")
def token() -> Response:
    """Issue a token."""
    answer: Any = server.create_token_response()
    return answer  # type: ignore[no-any-return]
