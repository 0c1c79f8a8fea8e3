"""
Exchange, the main path: a client's credentials in, Cognito's access token out.

The order of the steps matters: parse, checksum (both in `oauth`), the Region's state,
the record, the secret, denial, status, expiry and addresses, the scope, the token.
Every request checks all reasons that make a client invalid, however warm the caches;
they get the same answer after the same work.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Final, Literal

from chalicelib.caching import LastKnownCache
from chalicelib.credentials import SecretHasher, loggable
from chalicelib.errors import (
    AppClientRefusedError,
    InvalidClientError,
    InvalidScopeError,
    MalformedSecretError,
    OAuthError,
    OAuthServerError,
    StoreRefusedError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
    TokenEndpointUnavailableError,
    TokenNotIssuedError,
    UnknownClientError,
)
from chalicelib.model import (
    AccessToken,
    AppClient,
    ClientId,
    ClientRecord,
    Pending,
    RegionState,
    SecretId,
    Status,
    StoredSecret,
    TokenRequest,
    TokenResponse,
    Versioned,
    VersionId,
)
from chalicelib.ports import Clock, Emit, TokenEndpoint
from chalicelib.timing import CircuitBreaker, Countdown
from chalicelib.token.oauth import HttpRequest
from chalicelib.token.request_memo import MemoEntry, RequestMemo, TokenKey
from chalicelib.token.token_cache import TokenCache

TOTAL_SECONDS: Final = 4.5
"""Deadline of an answer, even if it is a 503."""

STORE_SECONDS: Final = 3.5
"""Longest time of one read from Secrets Manager (see `aws.connections`)."""

_REREAD_SECONDS: Final = 5
_REGION: Final = "region"

Invalidity = Literal["denied", "disabled", "expired", "address"]


@dataclass(slots=True)
class Trace:
    """Findings of an exchange, for its one log line."""

    client: str | None = None
    secret_id: SecretId | None = None
    cached: bool | None = None
    cognito_requests: int = 0
    needs_rehash: bool = False

    def event(self, outcome: str) -> dict[str, object]:
        """Return the event for the log."""
        return {
            "event": "exchange",
            "outcome": outcome,
            "client_id": self.client,
            "secret_id": self.secret_id,
            "cached": self.cached,
            "cognito_requests": self.cognito_requests,
            "needs_rehash": self.needs_rehash,
        }

    def repeated(self) -> Trace:
        """Return the trace of the same request answered from the caches."""
        return replace(self, cached=True, cognito_requests=0)


@dataclass(frozen=True, slots=True)
class Authenticated:
    """A record whose client authenticated with *secret*."""

    record: ClientRecord
    version: VersionId
    secret: StoredSecret


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    Exchanges client credentials for an access token of *region*'s user pool.

    It calls only *region*'s endpoints.
    """

    region: str
    states: LastKnownCache[str, RegionState]
    records: LastKnownCache[ClientId, Versioned[ClientRecord]]
    hasher: SecretHasher
    endpoint: TokenEndpoint
    tokens: TokenCache
    request_memo: RequestMemo
    endpoint_breaker: CircuitBreaker
    clock: Clock
    emit: Emit = field(repr=False)

    def exchange_repeated(self, sent: HttpRequest) -> TokenResponse | None:
        """
        Return the cached token if exactly *sent* authenticated its client before.

        It checks everything that can have changed since then.  `None` means that the
        request needs a full exchange; it refuses no request.
        """
        known = self.request_memo.get(sent)
        if known is None:
            return None
        client_id, _, version, scope = known.token_key
        state, record = self.states.fresh(_REGION), self.records.fresh(client_id)
        if state is None or record is None or record.version != version:
            return None
        if known.secret not in record.value.secrets or self._invalidity(
            client_id, sent.source_ip, state, record.value, known.secret
        ):
            return None
        cached, now = self.tokens.get(known.token_key), self.clock()
        if cached is None or now > cached.refresh_at:
            return None
        self.emit(known.event)
        return TokenResponse(cached.token.value, int(cached.token.expires_at - now), scope)

    def exchange(self, request: TokenRequest, sent: HttpRequest | None = None) -> TokenResponse:
        """
        Return a token for the client that *request* authenticates.

        It remembers the bytes of *sent*, if given, for `exchange_repeated`.

        Raises:
            InvalidClientError: If it authenticates none, for any reason.
            InvalidScopeError: If the requested scope exceeds the granted one.
            TemporarilyUnavailableError: If a dependency in this Region does not answer.
            OAuthServerError: If record and Cognito disagree (drift), or the record is malformed.
        """
        trace = Trace(client=loggable(request.client_id))
        try:
            caller, response = self._exchange(request, Countdown(self.clock, TOTAL_SECONDS), trace)
        except OAuthError as error:
            self.emit(trace.event(error.reason))
            raise
        self.emit(trace.event("issued"))
        if sent is not None:
            key, event = _token_key(caller, response.scope), trace.repeated().event("issued")
            self.request_memo.put(sent, MemoEntry(key, caller.secret, event))
        return response

    def _exchange(
        self, request: TokenRequest, deadline: Countdown, trace: Trace
    ) -> tuple[Authenticated, TokenResponse]:
        caller = self._authenticate(request, deadline, trace)
        try:
            return caller, self._token(caller, request, deadline, trace)
        except AppClientRefusedError:
            # A rotation may just have happened: the record then has a newer app client secret.
            if not self._reread(request.client_id, deadline):
                raise _drift(caller.record, self.region) from None
        caller = self._authenticate(request, deadline, trace)
        try:
            return caller, self._token(caller, request, deadline, trace)
        except AppClientRefusedError:
            raise _drift(caller.record, self.region) from None

    def _reread(self, client_id: ClientId, deadline: Countdown) -> bool:
        """Read a record again, unless that was done just now; return whether it was read."""
        if not _time_to_read(deadline):
            raise TemporarilyUnavailableError(reason="drift:out_of_time")
        try:
            return self.records.refresh(client_id, at_least=_REREAD_SECONDS) is not None
        except UnknownClientError:
            return True  # client and app client were deleted: no drift
        except StoreUnavailableError:
            # The known record may be outdated, so this need not be drift.
            raise TemporarilyUnavailableError(reason="drift:unknown") from None
        except (StoreRefusedError, MalformedSecretError):
            return False

    def _authenticate(
        self, request: TokenRequest, deadline: Countdown, trace: Trace
    ) -> Authenticated:
        state = self._state(deadline)
        found = self._record(request.client_id, deadline)
        stored = found.value.secrets if found else ()
        # Verified even if the client is already known to be invalid: the time must not
        # distinguish a disabled or denied client from an unknown one.
        verified = self.hasher.verify(request.client_id, request.client_secret, stored)
        if found is None:
            raise InvalidClientError(reason="invalid_client:unknown")
        if verified is None:
            raise InvalidClientError(reason="invalid_client:wrong")
        trace.secret_id = verified.secret.secret_id
        trace.needs_rehash = verified.needs_rehash
        invalid = self._invalidity(
            request.client_id, request.source_ip, state, found.value, verified.secret
        )
        if invalid:
            raise InvalidClientError(reason=f"invalid_client:{invalid}")
        return Authenticated(found.value, found.version, verified.secret)

    def _invalidity(
        self,
        client_id: ClientId,
        source_ip: str,
        state: RegionState,
        record: ClientRecord,
        secret: StoredSecret,
    ) -> Invalidity | None:
        """Return why a client with the right secret is invalid; checked on every request."""
        if client_id in state.denied:
            return "denied"
        if record.status is not Status.ACTIVE:
            return "disabled"
        for at in (record.expires_at, secret.expires_at):
            if at is not None and at <= self.clock():
                return "expired"
        if record.allowed_cidrs and not _within(source_ip, record):
            return "address"
        return None

    def _state(self, deadline: Countdown) -> RegionState:
        try:
            return self.states.get(_REGION, load=_time_to_read(deadline))
        except (StoreUnavailableError, StoreRefusedError, MalformedSecretError) as err:
            # An unreadable state never means "nobody is denied".
            raise TemporarilyUnavailableError(reason=f"state:{type(err).__name__}") from None

    def _record(self, client_id: ClientId, deadline: Countdown) -> Versioned[ClientRecord] | None:
        try:
            return self.records.get(client_id, load=_time_to_read(deadline))
        except UnknownClientError:
            return None
        except (StoreUnavailableError, StoreRefusedError) as err:
            raise TemporarilyUnavailableError(reason=f"record:{type(err).__name__}") from None
        except MalformedSecretError:
            raise OAuthServerError(reason="record:MalformedSecretError") from None

    def _token(
        self, caller: Authenticated, request: TokenRequest, deadline: Countdown, trace: Trace
    ) -> TokenResponse:
        scope = _narrow(request.scope, caller.record)
        key = _token_key(caller, scope)
        cached = self.tokens.get(key)
        token = cached.token if cached else None
        trace.cached = cached is not None
        if cached is None or self.clock() > cached.refresh_at:
            issued = self._request(caller.record, scope, deadline, trace)
            if issued is not None:
                self.tokens.put(key, issued)
                trace.cached = False
            token = issued or token
        if token is None:
            raise TemporarilyUnavailableError(reason="token_endpoint")
        return TokenResponse(token.value, int(token.expires_at - self.clock()), scope)

    def _request(
        self, record: ClientRecord, scope: str, deadline: Countdown, trace: Trace
    ) -> AccessToken | None:
        app_client = record.app_clients.get(self.region)
        if app_client is None or isinstance(app_client, Pending):
            raise TemporarilyUnavailableError(reason="pending", retry_after=60)
        if not self.endpoint_breaker.closed:
            return None
        metadata = {"surrogate_client_id": record.client_id, "surrogate_mac": app_client.mac}
        trace.cognito_requests += 1
        try:
            return self.endpoint.request_token(app_client, scope, metadata, deadline)
        except TokenNotIssuedError:
            return None  # one client's failure must not trip the breaker for the others
        except TokenEndpointUnavailableError:
            self.endpoint_breaker.trip()
            return None


def _token_key(caller: Authenticated, scope: str) -> TokenKey:
    return caller.record.client_id, caller.secret.secret_id, caller.version, scope


def _drift(record: ClientRecord, region: str) -> OAuthError:
    """Return the error for an app client or scope in the record that Cognito refuses."""
    app_client = record.app_clients.get(region)
    if isinstance(app_client, AppClient) and app_client.outdated:
        return TemporarilyUnavailableError(reason="pending", retry_after=60)
    return OAuthServerError(reason="drift")


def _time_to_read(deadline: Countdown) -> bool:
    return deadline.remaining() >= STORE_SECONDS


def _narrow(requested: frozenset[str] | None, record: ClientRecord) -> str:
    """Return the scope for Cognito: the requested one, or all that was granted."""
    if requested is None:
        return " ".join(sorted(record.scopes))
    if not requested <= frozenset(record.scopes):
        raise InvalidScopeError
    return " ".join(sorted(requested))


def _within(source_ip: str, record: ClientRecord) -> bool:
    try:
        address = ip_address(source_ip)
    except ValueError:
        return False
    return any(address in network for network in record.allowed_cidrs)
