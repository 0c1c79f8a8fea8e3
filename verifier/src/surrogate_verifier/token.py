"""Verified token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import ScopeError


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """
    Token whose signature, issuer, time, kind, scopes and client were all checked.

    *client_id* is the surrogate's client ID, the same in both Regions; None if neither the
    token nor the map of client names has it, which only a verifier for `ANY` client accepts.
    *app_client_id* is Cognito's, and differs by Region.  Times are seconds since the epoch.
    """

    client_id: str | None
    app_client_id: str
    issuer: str
    scopes: frozenset[str]
    issued_at: float
    expires_at: float
    claims: Mapping[str, Any] = field(repr=False)

    def require(self, *scopes: str) -> None:
        """
        Check that the token has all of *scopes*, beyond those that the verifier requires.

        Raises:
            ScopeError: If it does not.
        """
        if not self.scopes.issuperset(scopes):
            raise ScopeError(frozenset(scopes))
