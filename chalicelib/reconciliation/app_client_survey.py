"""
Survey of app clients.

It lists the app clients with our mark once, and the records then claim theirs.  For
an unclaimed one, it reads the record of the client in the app client's name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from chalicelib.clients.app_clients import AppClientPair
from chalicelib.errors import UnknownAppClientError
from chalicelib.model import (
    AppClient,
    AppClientId,
    AppClientView,
    ClientId,
    ClientRecord,
    CognitoSecret,
    Origin,
    Pending,
    Versioned,
)
from chalicelib.ports import BATCH
from chalicelib.reconciliation.bulk_reads import COGNITO, BulkReader, NoAnswerError
from chalicelib.reconciliation.drift import Drift, Kind

CLOCK_SECONDS: Final = 300
"""Clocks may differ by this: AWS takes no request of one that is further off."""

SETTLED_SECONDS: Final = 900
"""An operation in progress may have made anything younger than this."""

_MANAGED: Final = (
    "Cognito manages the app client's secret in Secrets Manager, and exchanges it every seven "
    "days. Turn that off (docs/clients.md says how), then run "
    "`surrogatectl rotate CLIENT --app-clients`."
)
_EXCHANGED: Final = (
    "The app client has another secret than the record, so the client gets no token here. Run "
    "`surrogatectl rotate CLIENT --app-clients`."
)
MANY_ORPHANS: Final = 5
MANY_ORPHANS_SHARE: Final = 0.1
"""More orphans than both mean a wrong prefix, pool or Region rather than remains of crashes."""

Records = Mapping[ClientId, Versioned[ClientRecord] | None]
"""Records by client; `None` for an unreadable one, no entry for one that is gone."""


def settled(at: int, now: float) -> bool:
    """Return whether something made *at* that time belongs to no operation in progress."""
    return now - at >= SETTLED_SECONDS


def differences(
    record: ClientRecord, view: AppClientView, aligned: Callable[[Sequence[str]], bool]
) -> list[str]:
    """Return the settings in which *view* is not *aligned* with *record*."""
    # The further scopes of an adopted app client belong to its owner.
    more = view.scopes if record.origin is Origin.ADOPTED else ()
    wanted = frozenset((*record.scopes, *more))
    if aligned(tuple(wanted)):
        return []
    wrong = [] if view.scopes == wanted else ["scopes"]
    if view.flows != {"client_credentials"}:
        wrong.append("flows")
    return wrong or ["token lifetime"]


def is_exchanged(app_client: AppClient, secrets: Sequence[CognitoSecret], now: float) -> bool:
    """
    Return whether *secrets*, all that Cognito has of *app_client*, lack the record's.

    A record does not know Cognito's ID of its secret, but when it was made: any secret that is
    younger is another one.  (An adopted one is older than the record says.)
    """
    retiring = app_client.retiring.cognito_secret_id if app_client.retiring else None
    return settled(app_client.secret_since, now) and all(
        secret.cognito_secret_id == retiring
        or secret.created_at > app_client.secret_since + CLOCK_SECONDS
        for secret in secrets
    )


def may_refer(
    client_id: ClientId, found: Versioned[ClientRecord] | None, app_client_id: AppClientId
) -> bool:
    """Return whether *client_id*'s record refers to that app client, or is unreadable."""
    if found is None or found.value.client_id != client_id:
        return True
    return any(
        isinstance(app_client, AppClient) and app_client.app_client_id == app_client_id
        for app_client in found.value.app_clients.values()
    )


def batches(client_ids: Mapping[ClientId, object]) -> Iterator[Sequence[ClientId]]:
    """Yield all of *client_ids* in batches of `BATCH`."""
    ordered = list(client_ids)
    for start in range(0, len(ordered), BATCH):
        yield ordered[start : start + BATCH]


class AppClientSurvey:
    """Compares the app clients of both Regions with the records."""

    def __init__(
        self,
        app_clients: AppClientPair,
        reader: BulkReader,
        now: Callable[[], float],
        *,
        thorough: bool,
        many_orphans: bool,
    ) -> None:
        """See `Survey.run` for *thorough* and *many_orphans*."""
        self._app_clients = app_clients
        self._reader = reader
        self._now = now
        self._thorough = thorough
        self._many_orphans = many_orphans
        self._marked: dict[str, int] = {}
        self._unclaimed: dict[str, dict[AppClientId, ClientId]] = {}

    def list(self) -> None:
        """List every app client with our mark."""
        for region in self._app_clients.regions:
            pool, wait = (
                self._app_clients.pools[region],
                partial(self._reader.wait, COGNITO, region),
            )
            try:
                self._unclaimed[region] = self._reader.read(
                    COGNITO,
                    region,
                    lambda pool=pool, wait=wait: dict(pool.ours(wait)),  # type: ignore[misc]
                )
            except NoAnswerError:
                continue
            self._marked[region] = len(self._unclaimed[region])

    def claim(self, record: ClientRecord) -> frozenset[str]:
        """Claim *record*'s app clients; return the Regions where Cognito lists them."""
        return frozenset(
            region
            for region, app_client in record.app_clients.items()
            if isinstance(app_client, AppClient)
            and self._unclaimed.get(region, {}).pop(app_client.app_client_id, None) is not None
        )

    def of(self, record: ClientRecord, listed: frozenset[str]) -> Iterator[Drift]:
        """Yield the drift of *record*'s app clients; Cognito lists those in *listed* Regions."""
        for region in self._app_clients.regions:
            app_client, pool = record.app_clients.get(region), self._app_clients.pools[region]
            if app_client is None or isinstance(app_client, Pending):
                detail = app_client.reason if app_client else "missing from the record"
                yield _drift(Kind.PENDING, region, record, f"The app client is pending: {detail}.")
            elif app_client.user_pool_id != pool.user_pool_id:
                detail = "The app client is in another user pool than the configured one."
                yield _drift(Kind.APP_CLIENT_GONE, region, record, detail, repairable=False)
            elif self._thorough or app_client.outdated or region not in listed:
                yield from self._compare(region, record, app_client)

    def _compare(self, region: str, record: ClientRecord, app_client: AppClient) -> Iterator[Drift]:
        pool, adopted = self._app_clients.pools[region], record.origin is Origin.ADOPTED
        try:
            view = self._reader.read(
                COGNITO, region, lambda: pool.describe(app_client.app_client_id)
            )
            secrets = self._reader.read(
                COGNITO, region, lambda: pool.secrets(app_client.app_client_id)
            )
        except UnknownAppClientError:
            # The owner of an adopted one may have deleted it on purpose.
            detail = "The app client is gone."
            yield _drift(Kind.APP_CLIENT_GONE, region, record, detail, repairable=not adopted)
            return
        except NoAnswerError:
            return
        wrong = differences(
            record, view, lambda scopes: pool.aligned(view, tuple(scopes), adopted=adopted)
        )
        if app_client.outdated or wrong:
            detail = f"The app client differs: {', '.join(wrong) or 'marked as outdated'}."
            yield _drift(Kind.APP_CLIENT_DIFFERS, region, record, detail)
        # A record in the other Region may know a secret that no record here knows.
        alone = self._app_clients.repository.secondary
        second = app_client.retiring is None and len(secrets) > 1
        if view.managed:
            yield _drift(Kind.COGNITO_SECRET, region, record, _MANAGED, repairable=False)
        elif not secrets:
            detail = "Cognito lists no secret of the app client."
            yield _drift(Kind.COGNITO_SECRET, region, record, detail, repairable=False)
        elif alone:
            return
        elif is_exchanged(app_client, secrets, self._now()):
            yield _drift(Kind.COGNITO_SECRET, region, record, _EXCHANGED, repairable=False)
        elif second and settled(secrets[-1].created_at, self._now()):
            detail = "The app client has a second secret that no record knows."
            yield _drift(Kind.COGNITO_SECRET, region, record, detail, repairable=not adopted)

    def orphans(self, read: Callable[[Sequence[ClientId]], Records | None]) -> Iterator[Drift]:
        """Yield the unclaimed app clients to which no record that *read* returns refers."""
        for region in self._unclaimed:
            orphans = self._orphans(region, read)
            yield from orphans if self._many_orphans else self._reviewed(region, list(orphans))

    def _reviewed(self, region: str, orphans: Sequence[Drift]) -> Iterator[Drift]:
        """Yield the *orphans*; if they are too many to be remains, none is repairable."""
        count, marked = len(orphans), self._marked[region]
        if count <= max(MANY_ORPHANS, MANY_ORPHANS_SHARE * marked):
            yield from orphans
            return
        for each in orphans:
            detail = f"{each.detail} {count} of {marked} are like that: too many to delete unasked."
            yield replace(each, detail=detail, repairable=False)

    def _orphans(
        self, region: str, read: Callable[[Sequence[ClientId]], Records | None]
    ) -> Iterator[Drift]:
        unclaimed = self._unclaimed[region]
        named: dict[ClientId, list[AppClientId]] = defaultdict(list)
        for app_client_id, client_id in unclaimed.items():
            named[client_id].append(app_client_id)
        for batch in batches(named):
            found = read(batch)
            if found is None:
                continue
            for client_id in batch:
                for app_client_id in named[client_id]:
                    if client_id not in found or not may_refer(
                        client_id, found[client_id], app_client_id
                    ):
                        yield from self._orphan(region, client_id, app_client_id)

    def _orphan(
        self, region: str, client_id: ClientId, app_client_id: AppClientId
    ) -> Iterator[Drift]:
        pool = self._app_clients.pools[region]
        try:
            view = self._reader.read(COGNITO, region, lambda: pool.describe(app_client_id))
        except (UnknownAppClientError, NoAnswerError):
            return
        if settled(view.created_at, self._now()):
            detail = "An app client with our mark, to which no record refers."
            yield Drift(Kind.ORPHAN, region, client_id, detail, True, app_client_id)


def _drift(
    kind: Kind, region: str, record: ClientRecord, detail: str, *, repairable: bool = True
) -> Drift:
    return Drift(kind, region, record.client_id, detail, repairable)
