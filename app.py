"""
Composition root: reads the settings, wires the parts, registers the routes.

The Chalice CLI imports this file as well, before it talks to AWS: the stage's
own Region becomes the SDK's, so that a deployment cannot land in another one.
"""

import os
import secrets
import time

from chalice.app import Chalice

from chalicelib.admin_api import AdminSurface, admin_routes
from chalicelib.administration import Administration
from chalicelib.answers import own_words
from chalicelib.app_client_rotation import AppClientRotation
from chalicelib.app_clients import PoolAppClients
from chalicelib.aws import LOST_SECONDS, Connections
from chalicelib.changes import Clients
from chalicelib.credentials import SecretHasher
from chalicelib.deletion import DeletionAndRestore
from chalicelib.denials import Denials
from chalicelib.enrollment import Enrollment
from chalicelib.exchange import Exchange, TokenCache
from chalicelib.freshness import Backoff, LastKnown
from chalicelib.halves import Halves
from chalicelib.health import Health
from chalicelib.model import RegionState
from chalicelib.rotation import Rotation
from chalicelib.secrets_store import (
    ClientSecrets,
    ClientSecretsReader,
    DeploymentKeySecret,
    StateSecret,
)
from chalicelib.settings import RegionSettings, Settings
from chalicelib.telemetry import json_lines
from chalicelib.token_api import TokenSurface, token_routes
from chalicelib.token_endpoint import CognitoTokenEndpoint
from chalicelib.use_log import CloudWatchUseLog

settings = Settings.from_env(os.environ)
if "AWS_CHALICE_CLI_MODE" in os.environ:
    os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"] = settings.own.name

own, other, prefix = settings.own, settings.other, settings.secret_prefix
clock, random_bytes = time.time, secrets.token_bytes
here, there = Connections(own), Connections(other, Backoff(clock, LOST_SECONDS))
emit = json_lines(own.name, clock)
hasher = SecretHasher(random_bytes)


def token_surface() -> TokenSurface:
    """Wire the exchange, which only reads, and only in this Region."""
    here.exchange_secrets()  # made while Lambda initialises, not in the first request
    state = StateSecret(here.exchange_secrets, prefix, random_bytes)
    reader = ClientSecretsReader(here.exchange_secrets, prefix)
    fresh, stale = settings.fresh_seconds, settings.stale_seconds
    states: LastKnown[str, RegionState] = LastKnown(
        lambda _: state.read().value, fresh=fresh, stale=stale, clock=clock
    )
    endpoint = CognitoTokenEndpoint(own.token_endpoint, clock)
    exchange = Exchange(
        region=own.name,
        states=states,
        records=LastKnown(reader.read, fresh=fresh, stale=stale, clock=clock),
        hasher=hasher,
        endpoint=endpoint,
        tokens=TokenCache(clock),
        endpoint_backoff=Backoff(clock),
        clock=clock,
        emit=emit,
    )
    health = Health(state, endpoint, clock)
    return TokenSurface(exchange, health, own.name, settings.public_url, emit)


def admin_surface() -> AdminSurface:
    """Wire the administrators' side; its AWS clients are made when first asked for."""
    endpoints = {
        region.name: CognitoTokenEndpoint(region.token_endpoint, clock) for region in (own, other)
    }
    logs = {
        own.name: CloudWatchUseLog(here.admin_logs, own.log_group, clock),
        other.name: CloudWatchUseLog(there.admin_logs, other.log_group, clock),
    }
    admin = Administration(
        region=own.name,
        other_region=other.name,
        state=StateSecret(here.admin_secrets, prefix, random_bytes),
        records=ClientSecrets(
            here.admin_secrets, there.admin_secrets, other.name, prefix, random_bytes
        ),
        clock=clock,
        pause=time.sleep,
    )
    pools = {own.name: app_clients(own, here), other.name: app_clients(other, there)}
    halves = Halves(admin, pools, DeploymentKeySecret(here.admin_secrets, prefix))
    return AdminSurface(
        enrollment=Enrollment(admin, halves, hasher, random_bytes),
        clients=Clients(admin, halves),
        rotation=Rotation(admin, logs, hasher, random_bytes),
        app_client_rotation=AppClientRotation(
            admin,
            halves,
            endpoints,
            random_bytes,
            settings.fresh_seconds + settings.stale_seconds,
        ),
        deletion=DeletionAndRestore(admin, halves),
        denials=Denials(own.name, admin.state),
        clock=clock,
        emit=emit,
    )


def app_clients(region: RegionSettings, connections: Connections) -> PoolAppClients:
    """Wire the app clients of *region*'s pool."""
    return PoolAppClients(
        connections.admin_cognito,
        connections.admin_cognito_once,
        region.user_pool_id,
        prefix,
        settings.access_token_seconds,
    )


app = Chalice(app_name="surrogate-credentials")
app.register_middleware(own_words, "http")
if "token" in settings.surfaces:
    app.register_blueprint(token_routes(token_surface()))
if "admin" in settings.surfaces:
    app.register_blueprint(admin_routes(admin_surface()))
