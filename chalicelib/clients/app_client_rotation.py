"""
Rotation of the real Cognito secrets, which clients do not notice.

One regional app client at a time, in steps; the rotation may stop after any of them,
and `advance` continues it:

1. Cognito: add a second secret, generated here, to the app client.
2. Token endpoint of that Region: get a token with it.
3. Record: store the new secret, and the old one as *retiring*.
4. Replica: wait until it has the new secret, and note that in the record.
5. Wait for both freshness bounds: no process uses the old secret any more.
6. Cognito and record: delete the old secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.errors import (
    ConcurrentChangeError,
    NewSecretRefusedError,
    NoCognitoSecretError,
    PreconditionFailedError,
    TwoCognitoSecretsError,
)
from chalicelib.clients.repository import (
    ClientRepository,
    require_live,
)
from chalicelib.credentials import RandomBytes
from chalicelib.errors import (
    AppClientRefusedError,
    AppClientsError,
    AppClientsRefusedError,
    CallTimedOutError,
    OperationError,
    OutcomeUnknownError,
    TokenEndpointUnavailableError,
    concerning,
)
from chalicelib.model import (
    AppClient,
    ClientId,
    ClientRecord,
    CognitoSecret,
    Origin,
    Pending,
    Replication,
    RetiringSecret,
    Versioned,
)
from chalicelib.ports import TokenEndpoint, unlimited
from chalicelib.timing import Countdown, retrying

_SECRET_BYTES: Final = 32  # 64 hexadecimal characters, the most that Cognito takes
_TOKEN_SECONDS: Final = 4.0
# The token endpoint accepts a new secret only after a moment.
_TOKEN_PAUSES: Final = (0.5, 1.5)
_CLOCK_SECONDS: Final = 60
# Longer than an admin call: another rotation may still be writing a younger second
# secret to the record.
_IN_PROGRESS_SECONDS: Final = 60


class Step(StrEnum):
    """Step that the rotation in one Region has reached."""

    IDLE = "idle"  # one secret, and not due
    STARTED = "started"  # the new secret is in use
    REPLICATING = "replicating"  # until the other Region has the new secret
    WAITING = "waiting"  # until no process can use the old one
    FINISHED = "finished"  # the old secret was deleted
    PENDING = "pending"  # there is no app client yet


_AT_REST: Final = frozenset({Step.IDLE, Step.FINISHED, Step.PENDING})


@dataclass(frozen=True, slots=True)
class AppClientRotation:
    """
    Rotates the Cognito secrets of a client's app client in each Region.

    *endpoints* maps both Regions' names to their token endpoints;
    *wait_seconds* is the sum of both freshness bounds; *require_time* raises
    `CallTimedOutError` when there is no time for another token request.
    """

    repository: ClientRepository
    app_clients: AppClientPair
    endpoints: Mapping[str, TokenEndpoint]
    random_bytes: RandomBytes = field(repr=False)
    wait_seconds: int
    require_time: Callable[[], None] = unlimited

    def advance(self, client_id: ClientId, *, due_before: int) -> dict[str, Step]:
        """
        Advance the rotation of *client_id* as far as possible; return each Region's step.

        A Region is due if its Cognito secret was made before *due_before*.  The
        second Region starts after the first one has finished.

        Raises:
            OperationError: If a step is not possible; call again later.
        """
        self.repository.require_writer()
        steps: dict[str, Step] = {}
        for region in self.app_clients.regions:
            # Read again: the step in the first Region may have written the record.
            found = self.repository.find(client_id)
            require_live(found.value)
            busy = not _AT_REST.issuperset(steps.values())
            steps[region] = self._advance(found, region, due_before if not busy else 0)
        return steps

    def _advance(self, found: Versioned[ClientRecord], region: str, due_before: int) -> Step:
        app_client = found.value.app_clients.get(region)
        if app_client is None or isinstance(app_client, Pending):
            return Step.PENDING
        if app_client.retiring is not None:
            return self._retire(found, region, app_client, app_client.retiring)
        if app_client.secret_since >= due_before:
            return Step.IDLE
        return self._start(found, region, app_client)

    def _start(self, found: Versioned[ClientRecord], region: str, app_client: AppClient) -> Step:
        pool = self.app_clients.pools[region]
        value = self.random_bytes(_SECRET_BYTES).hex()
        old, added = self._add(found.value, region, app_client, value)
        now = int(self.repository.clock())
        retiring = RetiringSecret(old.cognito_secret_id, now)
        renewed = replace(app_client, client_secret=value, secret_since=now, retiring=retiring)
        try:
            self._require_token(found.value, region, renewed)
            self._write(found, region, renewed)
        except OutcomeUnknownError:
            raise  # the record may have the new secret: keep it
        except OperationError as err:
            with concerning(region):
                try:
                    pool.delete_secret(app_client.app_client_id, added.cognito_secret_id)
                except (AppClientsError, CallTimedOutError):
                    err.leaving([f"a second Cognito secret in {region}"])
            raise
        return Step.STARTED

    def _add(
        self, record: ClientRecord, region: str, app_client: AppClient, value: str
    ) -> tuple[CognitoSecret, CognitoSecret]:
        """Add a secret with *value*; return the one in use, and the new one."""
        pool = self.app_clients.pools[region]
        with concerning(region):
            listed = pool.secrets(app_client.app_client_id)
            if not listed:
                raise NoCognitoSecretError(region)
            in_use, *others = listed
            for other in others:
                _require_enrolled(record, region)
                if self.repository.clock() - other.created_at < _IN_PROGRESS_SECONDS:
                    raise ConcurrentChangeError
                # An earlier rotation ended after step 1.
                pool.delete_secret(app_client.app_client_id, other.cognito_secret_id)
            try:
                return in_use, pool.add_secret(app_client.app_client_id, value)
            except AppClientsRefusedError as err:
                if err.code == "LimitExceededException":
                    raise ConcurrentChangeError from None  # another rotation added one first
                raise

    def _require_token(self, record: ClientRecord, region: str, app_client: AppClient) -> None:
        scope = " ".join(sorted(record.scopes))
        metadata = {"surrogate_client_id": record.client_id, "surrogate_mac": app_client.mac}

        def attempt() -> None:
            with concerning(region):
                self.require_time()
            deadline = Countdown(self.repository.clock, _TOKEN_SECONDS)
            self.endpoints[region].request_token(app_client, scope, metadata, deadline)

        refusals = (AppClientRefusedError, TokenEndpointUnavailableError)
        try:
            retrying(attempt, on=refusals, pauses=_TOKEN_PAUSES, pause=self.repository.pause)
        except refusals:
            raise NewSecretRefusedError(region) from None

    def _retire(
        self,
        found: Versioned[ClientRecord],
        region: str,
        app_client: AppClient,
        retiring: RetiringSecret,
    ) -> Step:
        now = int(self.repository.clock())
        if retiring.replicated_at is None:
            state = self.repository.replication(found.value.client_id, found.version)
            if state is not Replication.IN_SYNC:
                return Step.REPLICATING
            noted = replace(retiring, replicated_at=now)
            self._write(found, region, replace(app_client, retiring=noted))
            return Step.WAITING
        if now - retiring.replicated_at <= self.wait_seconds + _CLOCK_SECONDS:
            return Step.WAITING
        with concerning(region):
            self.app_clients.pools[region].delete_secret(
                app_client.app_client_id, retiring.cognito_secret_id
            )
        self._write(found, region, replace(app_client, retiring=None))
        return Step.FINISHED

    def _write(self, found: Versioned[ClientRecord], region: str, app_client: AppClient) -> None:
        record = replace(found.value, app_clients={**found.value.app_clients, region: app_client})
        try:
            self.repository.update(record.client_id, found.version, lambda _: record)
        except PreconditionFailedError:
            raise ConcurrentChangeError from None


def _require_enrolled(record: ClientRecord, region: str) -> None:
    if record.origin is Origin.ADOPTED:
        raise TwoCognitoSecretsError(region)
