"""
A backend that trusts both Regions' user pools, as those in production do: with our verifier.

It has to have the keys of both before the outage: a Region that is gone cannot be
asked for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from chalicelib.settings import RegionSettings
from surrogate_verifier import ANY, FROM_ISSUERS, RequestRefusedError, Verifier, user_pool


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token that was verified says: who issued it, and for what."""

    region: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Backend:
    """Verifies access tokens; *regions* maps an issuer to its Region."""

    verifier: Verifier = field(repr=False)
    regions: Mapping[str, str]

    @classmethod
    def trusting(cls, *regions: RegionSettings) -> Backend:
        """Return a backend that trusts the pools of *regions*."""
        issuers = {
            each.name: user_pool(
                each.user_pool_id,
                f"{each.endpoint_url}/{each.user_pool_id}/.well-known/jwks.json"
                if each.endpoint_url
                else None,
            )
            for each in regions
        }
        verifier = Verifier(
            issuers.values(),
            keys=FROM_ISSUERS,
            token_use="access",  # noqa: S106 - a kind of token
            scopes=ANY,
            clients=ANY,
            loopback_http=True,
        )
        return cls(verifier, {issuer.url: name for name, issuer in issuers.items()})

    def verify(self, token: str) -> Claims | None:
        """Return what *token* says, `None` if it is not to be believed."""
        try:
            verified = self.verifier.verify(token)
        except RequestRefusedError:
            return None
        return Claims(self.regions[verified.issuer], verified.scopes)
