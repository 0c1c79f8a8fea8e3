"""
Exchange, the main path: a client's credentials in, Cognito's access token out.

The order of the steps matters: parse, checksum (both in `oauth`), the Region's denials,
the record, the secret, denial, status, expiry and addresses, the scope, the token.
Every request checks all reasons that make a client invalid, however warm the caches;
they get the same answer after the same work.

A refusal never comes from a cache: a value that was known before the request is read
again before it refuses anything (ADR 24).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    RecordInDoubtError,
    StoreRefusedError,
    StoreUnavailableError,
    TemporarilyUnavailableError,
    TokenEndpointUnavailableError,
    TokenNotIssuedError,
    TooManyRequestsError,
    UnknownClientError,
)
from chalicelib.model import (
    AccessToken,
    AppClient,
    ClientId,
    ClientRecord,
    Pending,
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
from chalicelib.token.allowances import Allowance, Rereads
from chalicelib.token.denial_cache import DenialCache
from chalicelib.token.oauth import HttpRequest
from chalicelib.token.request_memo import MemoEntry, RequestMemo, TokenKey
from chalicelib.token.token_cache import TokenCache

TOTAL_SECONDS: Final = 4.5
"""Deadline of an answer, even if it is a 503."""

STORE_SECONDS: Final = 3.5
"""Longest time of one read from Secrets Manager (see `aws.connections`)."""


Invalidity = Literal["disabled", "expired", "address"]


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


@dataclass(slots=True)
class Attempt:
    """
    One request on its way through the exchange.

    *denials_read* and *record_read* tell whether the value was read from Secrets
    Manager for this very request.
    """

    request: TokenRequest
    deadline: Countdown
    trace: Trace
    denials_read: bool = False
    record_read: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """A record whose client authenticated with *secret*, and the scope that it gets."""

    record: ClientRecord
    version: VersionId
    secret: StoredSecret
    scope: str

    @property
    def token_key(self) -> TokenKey:
        """Key of its tokens."""
        return self.record.client_id, self.secret.secret_id, self.version, self.scope


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal: because of the Region's denials if *by_denials*, else because of the record."""

    error: OAuthError
    by_denials: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """
    Exchanges client credentials for an access token of *region*'s user pool.

    It calls only *region*'s endpoints.
    """

    region: str
    denials: DenialCache
    records: LastKnownCache[ClientId, Versioned[ClientRecord]]
    hasher: SecretHasher
    endpoint: TokenEndpoint
    tokens: TokenCache
    request_memo: RequestMemo
    rereads: Rereads
    token_requests: Allowance[ClientId]
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
        record = self.records.fresh(client_id)
        if record is None or record.version != version:
            return None
        if known.secret not in record.value.secrets or self._invalidity(
            sent.source_ip, record.value, known.secret
        ):
            return None
        if not self.denials.is_freshly_allowed(client_id):
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
            TooManyRequestsError: If the caller causes too many requests to AWS.
            TemporarilyUnavailableError: If a dependency in this Region does not answer.
            OAuthServerError: If record and Cognito disagree (drift), or the record is malformed.
        """
        trace = Trace(client=loggable(request.client_id))
        attempt = Attempt(request, Countdown(self.clock, TOTAL_SECONDS), trace)
        try:
            caller, response = self._exchange(attempt)
        except OAuthError as error:
            self.emit(trace.event(error.reason))
            raise
        self.emit(trace.event("issued"))
        if sent is not None:
            event = trace.repeated().event("issued")
            self.request_memo.put(sent, MemoEntry(caller.token_key, caller.secret, event))
        return response

    def _exchange(self, attempt: Attempt) -> tuple[Admitted, TokenResponse]:
        caller = self._admit(attempt)
        try:
            return caller, self._token(caller, attempt)
        except AppClientRefusedError:
            caller = self._admit_again(caller, attempt)
        try:
            return caller, self._token(caller, attempt)
        except AppClientRefusedError:
            raise _drift(caller.record, self.region) from None

    def _admit(self, attempt: Attempt) -> Admitted:
        """Authenticate the caller and narrow the scope; read again what would refuse them."""
        while True:
            verdict = self._judge(attempt)
            if isinstance(verdict, Admitted):
                return verdict
            if attempt.denials_read if verdict.by_denials else attempt.record_read:
                raise verdict.error
            self._reread(verdict, attempt)

    def _reread(self, refusal: Refusal, attempt: Attempt) -> None:
        """Read again the denials or the record behind *refusal*."""
        wait = self.rereads.take(attempt.request.client_id)
        if wait:
            raise TooManyRequestsError(reason="throttled:refusals", retry_after=wait)
        if refusal.by_denials:
            attempt.denials_read = True
            with _denial_errors():
                _require_time_to_read(attempt.deadline)
                self.denials.reload(attempt.request.client_id)
            return
        attempt.record_read = True
        with _record_errors(), suppress(UnknownClientError):
            _require_time_to_read(attempt.deadline)
            self.records.reload(attempt.request.client_id)

    def _admit_again(self, caller: Admitted, attempt: Attempt) -> Admitted:
        """
        Admit *caller* by a newer version of the record, after Cognito refused this one.

        A rotation or a deletion may just have happened.  Only a version that is still
        current after the refusal is drift.
        """
        client_id = attempt.request.client_id
        if self.rereads.is_drift(client_id, caller.version):
            raise _drift(caller.record, self.region)
        wait = self.rereads.take(client_id)
        if wait:
            raise TemporarilyUnavailableError(reason="drift:throttled", retry_after=wait)
        if not _time_to_read(attempt.deadline):
            raise TemporarilyUnavailableError(reason="drift:out_of_time")
        attempt.record_read = True
        try:
            current = self.records.reload(client_id)
        except (UnknownClientError, RecordInDoubtError):
            # Missing at Cognito and in Secrets Manager: the client was deleted.
            raise InvalidClientError(reason="invalid_client:unknown") from None
        except StoreUnavailableError:
            # The known record may be outdated, so this need not be drift.
            raise TemporarilyUnavailableError(reason="drift:unknown") from None
        except (StoreRefusedError, MalformedSecretError):
            raise _drift(caller.record, self.region) from None
        if current.version == caller.version:
            self.rereads.note_drift(client_id, caller.version)
            raise _drift(caller.record, self.region)
        return self._admit(attempt)

    def _judge(self, attempt: Attempt) -> Admitted | Refusal:
        request, trace = attempt.request, attempt.trace
        denied = self._is_denied(attempt)
        found = self._record(attempt)
        stored = found.value.secrets if found else ()
        # Verified even if the client is already known to be invalid: the time must not
        # distinguish a disabled or denied client from an unknown one.
        verified = self.hasher.verify(request.client_id, request.client_secret, stored)
        if found is None:
            return Refusal(InvalidClientError(reason="invalid_client:unknown"))
        if verified is None:
            return Refusal(InvalidClientError(reason="invalid_client:wrong"))
        trace.secret_id = verified.secret.secret_id
        trace.needs_rehash = verified.needs_rehash
        invalid = (
            "denied"
            if denied
            else self._invalidity(request.source_ip, found.value, verified.secret)
        )
        if invalid:
            error = InvalidClientError(reason=f"invalid_client:{invalid}")
            return Refusal(error, by_denials=invalid == "denied")
        scope = _narrow(request.scope, found.value)
        if scope is None:
            return Refusal(InvalidScopeError())
        return Admitted(found.value, found.version, verified.secret, scope)

    def _invalidity(
        self, source_ip: str, record: ClientRecord, secret: StoredSecret
    ) -> Invalidity | None:
        """Return why a client with the right secret is invalid; checked on every request."""
        if record.status is not Status.ACTIVE:
            return "disabled"
        for at in (record.expires_at, secret.expires_at):
            if at is not None and at <= self.clock():
                return "expired"
        if record.allowed_cidrs and not _within(source_ip, record):
            return "address"
        return None

    def _is_denied(self, attempt: Attempt) -> bool:
        with _denial_errors():
            found = self.denials.look(
                attempt.request.client_id, load=_time_to_read(attempt.deadline)
            )
        attempt.denials_read |= found.just_read
        return bool(found.value)

    def _record(self, attempt: Attempt) -> Versioned[ClientRecord] | None:
        with _record_errors():
            found = self.records.look(
                attempt.request.client_id, load=_time_to_read(attempt.deadline)
            )
        attempt.record_read |= found.just_read
        return found.value

    def _token(self, caller: Admitted, attempt: Attempt) -> TokenResponse:
        cached = self.tokens.get(caller.token_key)
        token = cached.token if cached else None
        attempt.trace.cached = cached is not None
        if cached is None or self.clock() > cached.refresh_at:
            issued = self._renew(caller, token, attempt)
            if issued is not None:
                self.tokens.put(caller.token_key, issued)
                attempt.trace.cached = False
            token = issued or token
        if token is None:
            raise TemporarilyUnavailableError(reason="token_endpoint")
        return TokenResponse(token.value, int(token.expires_at - self.clock()), caller.scope)

    def _renew(
        self, caller: Admitted, cached: AccessToken | None, attempt: Attempt
    ) -> AccessToken | None:
        """Return a new token, `None` if Cognito gives none or *cached* has to do."""
        record, trace = caller.record, attempt.trace
        app_client = record.app_clients.get(self.region)
        if app_client is None or isinstance(app_client, Pending):
            raise TemporarilyUnavailableError(reason="pending", retry_after=60)
        if not self.endpoint_breaker.closed:
            return None
        wait = self.token_requests.take(record.client_id)
        if wait and cached is not None:
            return None
        if wait:
            raise TooManyRequestsError(reason="throttled:token_requests", retry_after=wait)
        metadata = {"surrogate_client_id": record.client_id, "surrogate_mac": app_client.mac}
        trace.cognito_requests += 1
        try:
            return self.endpoint.request_token(app_client, caller.scope, metadata, attempt.deadline)
        except TokenNotIssuedError:
            return None  # one client's failure must not trip the breaker for the others
        except TokenEndpointUnavailableError:
            self.endpoint_breaker.trip()
            return None


@contextmanager
def _denial_errors() -> Iterator[None]:
    """Translate the errors of reading the Region's denials."""
    try:
        yield
    except (StoreUnavailableError, StoreRefusedError, MalformedSecretError) as err:
        # Unreadable denials never mean "nobody is denied".
        raise TemporarilyUnavailableError(reason=f"state:{type(err).__name__}") from None


@contextmanager
def _record_errors() -> Iterator[None]:
    """Translate the errors of reading a record, except that there is none."""
    try:
        yield
    except (StoreUnavailableError, StoreRefusedError) as err:
        raise TemporarilyUnavailableError(reason=f"record:{type(err).__name__}") from None
    except MalformedSecretError:
        raise OAuthServerError(reason="record:MalformedSecretError") from None


def _drift(record: ClientRecord, region: str) -> OAuthError:
    """Return the error for an app client or scope in the record that Cognito refuses."""
    app_client = record.app_clients.get(region)
    if isinstance(app_client, AppClient) and app_client.outdated:
        return TemporarilyUnavailableError(reason="pending", retry_after=60)
    return OAuthServerError(reason="drift")


def _time_to_read(deadline: Countdown) -> bool:
    return deadline.remaining() >= STORE_SECONDS


def _require_time_to_read(deadline: Countdown) -> None:
    if not _time_to_read(deadline):
        raise StoreUnavailableError


def _narrow(requested: frozenset[str] | None, record: ClientRecord) -> str | None:
    """Return the requested scope, or all that was granted; `None` if it exceeds the grant."""
    if requested is None:
        return " ".join(sorted(record.scopes))
    if not requested <= frozenset(record.scopes):
        return None
    return " ".join(sorted(requested))


def _within(source_ip: str, record: ClientRecord) -> bool:
    try:
        address = ip_address(source_ip)
    except ValueError:
        return False
    return any(address in network for network in record.allowed_cidrs)
