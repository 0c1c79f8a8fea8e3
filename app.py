"""
Composition root: reads the settings, wires the parts, registers the routes.

The Chalice CLI imports this file as well, before it talks to AWS: the stage's
own Region becomes the SDK's, so that a deployment cannot land in another one.
"""

from __future__ import annotations

import os
import secrets
import time
from functools import partial
from typing import Any

from chalice.app import CloudWatchEvent, Rate

from chalicelib.aws.client_records import ClientSecretsReader
from chalicelib.aws.connections import LOST_SECONDS, Connections
from chalicelib.aws.jwks_secret import KeySetSecret
from chalicelib.aws.region_state import StateSecret
from chalicelib.aws.token_endpoint import CognitoTokenEndpoint
from chalicelib.caching import LastKnownCache
from chalicelib.credentials import SecretHasher
from chalicelib.http.application import CredentialsApp
from chalicelib.http.token_routes import TokenSurface, token_routes
from chalicelib.jwks.document import KeyDocument, document
from chalicelib.model import RegionState
from chalicelib.settings import Settings
from chalicelib.telemetry import json_lines
from chalicelib.timing import CallDeadline, CircuitBreaker
from chalicelib.token.exchange import Exchange
from chalicelib.token.health import Health
from chalicelib.token.request_memo import RequestMemo
from chalicelib.token.token_cache import TokenCache

settings = Settings.from_env(os.environ)
if "admin" in settings.surfaces:
    # A function that serves only tokens starts sooner without them.
    from chalicelib.aws.use_log import CloudWatchUseLog
    from chalicelib.clients.changes import ClientService
    from chalicelib.clients.denials import Denials
    from chalicelib.clients.enrollment import Enrollment
    from chalicelib.clients.rotation import Rotation
    from chalicelib.composition import AdminParts
    from chalicelib.http.admin_routes import AdminSurface, admin_routes
    from chalicelib.http.problems import slug_of
    from chalicelib.reconciliation.schedule import ROTATIONS_PER_SECOND, Upkeep
    from chalicelib.timing import RateLimiter

if "AWS_CHALICE_CLI_MODE" in os.environ:
    os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"] = settings.own.name

own, other, prefix = settings.own, settings.other, settings.secret_prefix
clock, random_bytes = time.time, secrets.token_bytes
call_deadline = CallDeadline(time.monotonic)
here = Connections(own, require_time=call_deadline.require_time)
there = Connections(other, CircuitBreaker(clock, LOST_SECONDS), call_deadline.require_time)
emit = json_lines(own.name, clock)
hasher = SecretHasher(random_bytes)
# Keys change rarely and none is ever wrong because it is old: an outage of
# Secrets Manager leaves verifiers alone for a day.
KEYS_FRESH, KEYS_STALE = 300, 86_400


def token_surface() -> TokenSurface:
    """Wire the exchange, which only reads, and only in this Region."""
    here.exchange_secrets()  # made while Lambda initializes, not in the first request
    state = StateSecret(here.exchange_secrets, prefix, random_bytes)
    reader = ClientSecretsReader(here.exchange_secrets, prefix)
    fresh, stale = settings.fresh_seconds, settings.stale_seconds
    states: LastKnownCache[str, RegionState] = LastKnownCache(
        lambda _: state.read().value, fresh=fresh, stale=stale, clock=clock
    )
    endpoint = CognitoTokenEndpoint(own.token_endpoint, clock)
    exchange = Exchange(
        region=own.name,
        states=states,
        records=LastKnownCache(reader.read, fresh=fresh, stale=stale, clock=clock),
        hasher=hasher,
        endpoint=endpoint,
        tokens=TokenCache(clock),
        request_memo=RequestMemo(random_bytes),
        endpoint_backoff=CircuitBreaker(clock),
        clock=clock,
        emit=emit,
    )
    health = Health(state, endpoint, clock)
    keys = KeySetSecret(here.exchange_secrets, own.name, prefix, random_bytes)
    documents: LastKnownCache[str, KeyDocument] = LastKnownCache(
        lambda _: document(keys.read().value), fresh=KEYS_FRESH, stale=KEYS_STALE, clock=clock
    )
    jwks = partial(documents.get, "jwks")
    return TokenSurface(exchange, health, jwks, own.name, settings.public_url, emit)


def admin_surface(parts: AdminParts) -> AdminSurface:
    """Wire the administrators' side."""
    logs = {
        own.name: CloudWatchUseLog(here.admin_logs, own.log_group, clock),
        other.name: CloudWatchUseLog(there.admin_logs, other.log_group, clock),
    }
    return AdminSurface(
        enrollment=Enrollment(parts.admin, parts.app_clients, hasher, random_bytes),
        clients=ClientService(parts.admin, parts.app_clients),
        rotation=Rotation(parts.admin, logs, hasher, random_bytes),
        app_client_rotation=parts.app_client_rotation,
        deletion=parts.deletion,
        denials=Denials(own.name, parts.admin.state),
        clock=clock,
        call_deadline=call_deadline,
        emit=emit,
    )


def scheduled(parts: AdminParts) -> Upkeep:
    """Wire what is done on a schedule."""
    return Upkeep(
        parts.admin,
        parts.key_refresh,
        parts.survey,
        parts.app_client_rotation,
        settings.rotate_app_clients_after_days,
        RateLimiter(ROTATIONS_PER_SECOND, clock, time.sleep),
        slug_of,
        emit,
    )


app = CredentialsApp(app_name="surrogate-credentials")
if "token" in settings.surfaces:
    app.register_blueprint(token_routes(token_surface()))
if "admin" in settings.surfaces:
    pause = call_deadline.bounded(time.sleep)
    admin_parts = AdminParts(
        settings, here, there, clock, pause, random_bytes, call_deadline.require_time
    )
    app.register_blueprint(admin_routes(admin_surface(admin_parts)))
    scheduled_upkeep = scheduled(admin_parts)

    # Not in a Blueprint: Lambda finds this function by its name in this module.
    @app.schedule(Rate(15, unit=Rate.MINUTES))
    def upkeep(event: CloudWatchEvent) -> None:
        """Look for drift, and rotate what is due."""
        context: Any = event.context  # Lambda's own
        scheduled_upkeep.run(lambda: context.get_remaining_time_in_millis() / 1000)
