"""
Admin surface and scheduled work: the parts that only the function serves.

It is apart from `admin`, which the command line imports where there is no Chalice.
"""

from __future__ import annotations

from chalicelib.aws.use_log import CloudWatchUseLog
from chalicelib.clients.changes import ClientService
from chalicelib.clients.enrollment import Enrollment
from chalicelib.clients.rotation import Rotation
from chalicelib.composition.admin import AdminParts
from chalicelib.credentials import SecretHasher
from chalicelib.http.admin_routes import AdminSurface
from chalicelib.http.problems import slug_of
from chalicelib.ports import Emit, Pause
from chalicelib.reconciliation.schedule import ROTATIONS_PER_SECOND, Upkeep
from chalicelib.timing import CallDeadline, RateLimiter


def admin_surface(
    parts: AdminParts, *, hasher: SecretHasher, call_deadline: CallDeadline, emit: Emit
) -> AdminSurface:
    """Return the admin surface over *parts*."""
    logs = {
        region.name: CloudWatchUseLog(connections.admin_logs, region.log_group, parts.clock)
        for region, connections in (
            (parts.settings.own, parts.here),
            (parts.settings.other, parts.there),
        )
    }
    repository = parts.repository
    return AdminSurface(
        enrollment=Enrollment(
            repository=repository,
            app_clients=parts.app_clients,
            hasher=hasher,
            random_bytes=parts.random_bytes,
        ),
        clients=ClientService(repository=repository, app_clients=parts.app_clients),
        rotation=Rotation(
            repository=repository, logs=logs, hasher=hasher, random_bytes=parts.random_bytes
        ),
        app_client_rotation=parts.app_client_rotation,
        deletion=parts.deletion,
        denials=parts.denials[repository.region],
        clock=parts.clock,
        call_deadline=call_deadline,
        emit=emit,
    )


def scheduled_work(parts: AdminParts, *, pause: Pause, emit: Emit) -> Upkeep:
    """Return the scheduled work over *parts*."""
    return Upkeep(
        repository=parts.repository,
        keys=parts.key_refresh,
        survey=parts.survey,
        repair=parts.reconcile.repair,
        denials=parts.denials,
        rotation=parts.app_client_rotation,
        rotate_after_days=parts.settings.rotate_app_clients_after_days,
        limiter=RateLimiter(ROTATIONS_PER_SECOND, parts.clock, pause),
        slug_of=slug_of,
        emit=emit,
    )
