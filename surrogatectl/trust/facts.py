"""Facts that a backend has to trust, in any language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

ISSUERS, SHARED = "issuers", "shared"
KEY_SET = "/.well-known/jwks.json"


@dataclass(frozen=True, slots=True)
class TrustedPool:
    """One of the two user pools; *app_clients* are those that are accepted, None for any."""

    role: str
    region: str
    user_pool_id: str
    issuer: str
    key_set_url: str
    app_clients: tuple[str, ...] | None

    @property
    def own_key_set_url(self) -> str:
        """Return where the issuer says that its keys are."""
        return self.issuer + KEY_SET

    @property
    def key_server(self) -> SplitResult:
        """Return the parts of the URL that the keys really come from."""
        return urlsplit(self.key_set_url)

    @property
    def is_local(self) -> bool:
        """Return whether it is of the local cloud, whose keys are not where the issuer says."""
        return self.key_set_url != self.own_key_set_url


@dataclass(frozen=True, slots=True)
class Names:
    """The published map of client names: *app_clients* by issuer, and the surrogates they are."""

    path: str
    app_clients: Mapping[str, tuple[str, ...]]
    clients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trust:
    """
    Both pools, and the scopes that a token must have.

    *keys* says where keys come from: `issuers`, or `shared` for our own key set.  *names* are
    from the published map; without it, any client may come.
    """

    pools: tuple[TrustedPool, ...]
    public_url: str
    scopes: tuple[str, ...]
    keys: str = ISSUERS
    names: Names | None = None

    @property
    def shared_key_set_url(self) -> str:
        """Return where both pools' keys are, each with its issuer."""
        return self.public_url + KEY_SET

    @property
    def any_app_client(self) -> bool:
        """Return whether every app client is accepted, of both pools."""
        return all(pool.app_clients is None for pool in self.pools)

    @property
    def is_local(self) -> bool:
        """Return whether this is the local cloud, and not AWS."""
        return any(pool.is_local for pool in self.pools)
