"""Both surfaces over one set of fakes, with the clients of the OpenAPI document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from openapi_spec_validator.readers import read_from_filename

from chalicelib import credentials
from chalicelib.http.admin_routes import AdminSurface, admin_routes
from chalicelib.http.application import CredentialsApp
from chalicelib.http.token_routes import TokenSurface, token_routes
from chalicelib.model import (
    AppClient,
    ClientId,
    ClientRecord,
    IssuedCredentials,
    Origin,
    Status,
)
from chalicelib.timing import CallDeadline
from tests.gateway import PUBLIC_URL
from tests.stages import PROJECT
from tests.unit.chalicelib.clients.lifecycle_world import LifecycleWorld
from tests.worlds import ADOPTED, EAST, WEST, ExchangeWorld

DOCUMENT = PROJECT / "docs" / "openapi.yaml"
EXAMPLE = ClientId("sgc_madeupexampleopensnothing2")
EXAMPLE_SECRET = "sgs_ThisIsAMadeUpExampleWhichOpensNothingAtAll032KEFF"
ANOTHER_SECRET = "sgs_ThisIsAnotherMadeUpExampleOpeningNothing0004Wg79i"
DISABLED = ClientId("sgc_" + "d" * 26)
DELETED = ClientId("sgc_" + "x" * 26)


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    loaded, _ = read_from_filename(str(DOCUMENT))
    return dict(loaded)


class ApiWorld:
    """
    Application of one Region with both surfaces.

    Its clients: the example; an adopted one with two secrets; a disabled one; a
    deleted one.
    """

    def __init__(self, admin: LifecycleWorld | None = None) -> None:
        self.admin = admin or LifecycleWorld()
        self.token = ExchangeWorld(
            clock=self.admin.clock,
            random_bytes=self.admin.random_bytes,
            events=self.admin.events,
            store=self.admin.store,
            state=self.admin.state,
        )
        self.app = CredentialsApp(app_name="api", emit=self.token.events, configure_logs=False)
        surface = TokenSurface(
            self.token.exchange,
            self.token.health,
            self.token.jwks,
            EAST,
            PUBLIC_URL,
            self.token.events,
        )
        self.app.register_blueprint(token_routes(surface))
        self.app.register_blueprint(admin_routes(self._surface()))
        self._client(EXAMPLE, EXAMPLE_SECRET)
        self._client(ADOPTED, EXAMPLE_SECRET, ANOTHER_SECRET, origin=Origin.ADOPTED)
        self._client(DISABLED, EXAMPLE_SECRET, status=Status.DISABLED)
        self._client(DELETED, EXAMPLE_SECRET)
        self.admin.deletion.delete(DELETED, 30)

    def _surface(self) -> AdminSurface:
        return AdminSurface(
            enrollment=self.admin.enroll,
            clients=self.admin.clients,
            rotation=self.admin.rotation,
            app_client_rotation=self.admin.app_client_rotation,
            deletion=self.admin.deletion,
            denials=self.admin.denials,
            clock=self.admin.clock,
            call_deadline=CallDeadline(self.admin.clock),
            emit=self.admin.events,
        )

    def _client(self, client_id: ClientId, *secrets: str, **changes: Any) -> None:
        now = int(self.admin.clock())
        scopes = ("demo/read", "demo/write")
        issued = [
            IssuedCredentials(client_id, credentials.secret_id(secret), secret)
            for secret in secrets
        ]
        record = ClientRecord(
            client_id=client_id,
            client_name="billing",
            status=Status.ACTIVE,
            origin=Origin.ENROLLED,
            created_at=now,
            secrets=tuple(self.admin.hasher.hash(each, now=now) for each in issued),
            scopes=scopes,
            app_clients={
                region: AppClient(pool.user_pool_id, *pool.create(client_id, scopes), "aa", now)
                for region, pool in {EAST: self.admin.east, WEST: self.admin.west}.items()
            },
        )
        self.admin.store.create(replace(record, **changes))
        self.admin.store.replicate(client_id)
