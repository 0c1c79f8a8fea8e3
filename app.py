"""
Lambda entry point: reads the settings, composes the surfaces, registers the routes.

The Chalice CLI imports this file too, before it calls AWS.  The stage's own Region
then becomes the SDK's Region, so that a deployment cannot land in another one.
"""

from __future__ import annotations

import os
import secrets
import time
from typing import Any

from chalice.app import CloudWatchEvent, Rate

from chalicelib.aws.connections import LOST_SECONDS, Connections
from chalicelib.composition.token import token_surface
from chalicelib.credentials import SecretHasher
from chalicelib.http.application import CredentialsApp
from chalicelib.http.token_routes import token_routes
from chalicelib.settings import Settings
from chalicelib.telemetry import json_lines
from chalicelib.timing import CallDeadline, CircuitBreaker

settings = Settings.from_env(os.environ)
if "AWS_CHALICE_CLI_MODE" in os.environ:
    os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"] = settings.own.name

clock, random_bytes = time.time, secrets.token_bytes
call_deadline = CallDeadline(time.monotonic)
here = Connections(settings.own, require_time=call_deadline.require_time)
emit = json_lines(settings.own.name, clock)
hasher = SecretHasher(random_bytes)
app = CredentialsApp(app_name="surrogate-credentials", emit=emit)

if "token" in settings.surfaces:
    surface = token_surface(
        settings=settings,
        here=here,
        hasher=hasher,
        clock=clock,
        random_bytes=random_bytes,
        emit=emit,
    )
    app.register_blueprint(token_routes(surface))

if "admin" in settings.surfaces:
    # Imported only here: a function that serves only tokens starts sooner.
    from chalicelib.composition.admin import AdminParts
    from chalicelib.composition.admin_function import admin_surface, scheduled_work
    from chalicelib.http.admin_routes import admin_routes

    parts = AdminParts(
        settings=settings,
        here=here,
        there=Connections(
            settings.other,
            CircuitBreaker(clock, LOST_SECONDS),
            call_deadline.require_time,
        ),
        clock=clock,
        pause=call_deadline.bounded(time.sleep),
        random_bytes=random_bytes,
        require_time=call_deadline.require_time,
    )
    app.register_blueprint(
        admin_routes(admin_surface(parts, hasher=hasher, call_deadline=call_deadline, emit=emit))
    )
    scheduled = scheduled_work(parts, pause=time.sleep, emit=emit)

    # Not in a Blueprint: Lambda finds this function by its name in this module.
    @app.schedule(Rate(15, unit=Rate.MINUTES))
    def upkeep(event: CloudWatchEvent) -> None:
        """Refresh the key set, search for drift, rotate Cognito secrets that are due."""
        context: Any = event.context  # Lambda's context object
        scheduled.run(lambda: context.get_remaining_time_in_millis() / 1000)
