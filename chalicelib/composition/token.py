"""Wiring of the exchange, which only reads, and only in its own Region."""

from __future__ import annotations

from functools import partial
from typing import Final

from chalicelib.aws.connections import Connections
from chalicelib.aws.token_endpoint import CognitoTokenEndpoint
from chalicelib.caching import LastKnownCache
from chalicelib.composition.stores import denial_store, key_set, record_reader, state_store
from chalicelib.credentials import RandomBytes, SecretHasher
from chalicelib.http.token_routes import TokenSurface
from chalicelib.jwks.document import KeyDocument, document
from chalicelib.model import DenialShard
from chalicelib.ports import Clock, Emit
from chalicelib.settings import Settings
from chalicelib.timing import CircuitBreaker
from chalicelib.token.allowances import Rereads, token_requests
from chalicelib.token.denial_cache import DenialCache
from chalicelib.token.exchange import Exchange
from chalicelib.token.health import Health
from chalicelib.token.request_memo import RequestMemo
from chalicelib.token.token_cache import TokenCache

KEYS_FRESH_SECONDS: Final = 300
KEYS_STALE_SECONDS: Final = 86_400
"""Keys change rarely, and an old key is never a wrong one: so verifiers survive an outage."""


def token_surface(  # noqa: PLR0913 - one of each for the process
    *,
    settings: Settings,
    here: Connections,
    hasher: SecretHasher,
    clock: Clock,
    random_bytes: RandomBytes,
    emit: Emit,
) -> TokenSurface:
    """Return the token surface of *settings*' own Region, which *here* connects to."""
    here.exchange_secrets()  # constructed during Lambda's initialization, not in a request
    own, secrets = settings.own, here.exchange_secrets
    fresh, stale = settings.fresh_seconds, settings.stale_seconds
    state = state_store(secrets, settings=settings, random_bytes=random_bytes)
    denials = denial_store(secrets, settings=settings, random_bytes=random_bytes)
    shards: LastKnownCache[int, DenialShard] = LastKnownCache(
        lambda number: denials.read(number).value, fresh=fresh, stale=stale, clock=clock
    )
    records = LastKnownCache(
        record_reader(secrets, settings=settings).read, fresh=fresh, stale=stale, clock=clock
    )
    endpoint = CognitoTokenEndpoint(own.token_endpoint, clock)
    keys = key_set(secrets, region=own, settings=settings, random_bytes=random_bytes)
    documents: LastKnownCache[str, KeyDocument] = LastKnownCache(
        lambda _: document(keys.read().value),
        fresh=KEYS_FRESH_SECONDS,
        stale=KEYS_STALE_SECONDS,
        clock=clock,
    )
    exchange = Exchange(
        region=own.name,
        denials=DenialCache(shards),
        records=records,
        hasher=hasher,
        endpoint=endpoint,
        tokens=TokenCache(clock),
        request_memo=RequestMemo(random_bytes),
        rereads=Rereads(clock),
        token_requests=token_requests(clock),
        endpoint_breaker=CircuitBreaker(clock),
        clock=clock,
        emit=emit,
    )
    return TokenSurface(
        exchange=exchange,
        health=Health(state, endpoint, clock),
        jwks=partial(documents.get, "jwks"),
        region=own.name,
        public_url=settings.public_url,
        emit=emit,
    )
