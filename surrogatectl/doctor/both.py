"""The checks of `doctor` that concern both Regions together; they change nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from chalicelib.composition.stores import record_store
from chalicelib.errors import ServiceError
from chalicelib.model import Replication
from surrogatectl.cli.findings import Finding, failed, ok, warning
from surrogatectl.doctor.context import OK, DoctorContext, days_left
from surrogatectl.regions.way_on import way_on

_SAMPLE: Final = 5
_HTTPS: Final = 443


def one_writer(context: DoctorContext) -> Iterator[Finding]:
    """Compare the states of both Regions."""
    if len(context.states) < len(context.regions):
        return
    writers = [name for name, found in context.states.items() if found.writer]
    if len(writers) == 1:
        yield ok("writer", None, f"{writers[0]} writes, and only that Region.")
        return
    regions = (context.regions[0].name, context.regions[1].name)
    primary, secondary = (context.states[each] for each in regions)
    # The one with the higher epoch does: after a failover the lost Region still claims it.
    detail = "Both Regions claim to write." if writers else "No Region writes."
    yield failed("writer", None, detail, way_on(regions, primary, secondary))


def same_deployment_key(context: DoctorContext) -> Iterator[Finding]:
    """Compare the deployment key of both Regions."""
    try:
        keys = [context.deployment_key(region) for region in context.regions]
    except ServiceError:
        return  # told already
    if secrets.compare_digest(*keys):
        yield ok("deployment key", None, "Both Regions have the same one.")
    else:
        yield failed(
            "deployment key",
            None,
            "The Regions have different ones: records of one do not verify in the other.",
            "Delete the one that is no replica, and run `surrogatectl init`, which replicates the "
            "other one again, also after a replication that failed.",
        )


def replication(context: DoctorContext) -> Iterator[Finding]:
    """Look at the replicas of a sample of records."""
    regions = context.regions
    writers = [
        each for each in regions if (found := context.states.get(each.name)) and found.writer
    ]
    if len(writers) != 1:
        return
    (writer,) = writers
    (other,) = [each for each in regions if each is not writer]
    here, there = context.secrets(writer), context.secrets(other)
    store = record_store(
        lambda: here,
        lambda: there,
        own=writer,
        other=other,
        settings=context.settings,
        random_bytes=secrets.token_bytes,
    )
    sample = [summary.client_id for summary in store.list(None, _SAMPLE).items]
    behind: dict[Replication, int] = {}
    for client_id in sample:
        status = store.replication(client_id, store.describe(client_id).version)
        if status is not Replication.IN_SYNC:
            behind[status] = behind.get(status, 0) + 1
    if not behind:
        yield ok("replication", other.name, f"{len(sample)} records looked at, all in sync.")
        return
    counts = ", ".join(f"{count} {status.value}" for status, count in behind.items())
    detail = f"Of {len(sample)} records looked at: {counts}."
    if set(behind) == {Replication.IN_PROGRESS}:
        yield warning("replication", other.name, detail, "Look again in a minute.")
    else:
        yield failed(
            "replication",
            other.name,
            detail,
            "Run `surrogatectl reconcile --repair`, which replicates them again. Where "
            f"{other.name} has a secret of its own, `surrogatectl failback` brings both together.",
        )


def name(context: DoctorContext) -> Iterator[Finding]:
    """Look where the name leads, and at the certificate that clients see."""
    url = context.settings.public_url
    parts = urlsplit(url)
    host = parts.hostname or ""
    addresses = context.web.resolve(host)
    if not addresses:
        yield failed(
            "name", None, f"{host} does not resolve.", "Deploy infra/routing.yaml; check the zone."
        )
        return
    status, answer = context.web.get(f"{url}/health")
    if status != OK:
        yield failed(
            "name",
            None,
            f"{url}/health: {status or 'no answer'}.",
            "If the Region that it leads to is lost: `surrogatectl failover`. Else check the "
            "custom domain and its base path mapping (infra/region.yaml with ApiId).",
        )
        return
    yield from _where_it_leads(context, str(answer.get("region")))
    if parts.scheme == "https":
        try:
            yield days_left(
                context, None, host, context.web.certificate_ends(host, parts.port or _HTTPS)
            )
        except OSError as err:
            yield failed(
                "certificate",
                None,
                f"{host}: {err}",
                "Clients that verify certificates cannot connect; check RegionalCertificateArn.",
            )


def _where_it_leads(context: DoctorContext, there: str) -> Iterator[Finding]:
    primary, secondary = context.regions
    switch = context.states.get(secondary.name)
    if switch is None:
        yield warning(
            "name",
            None,
            f"The name leads to {there}; where it should is not known.",
            f"See the check `state` of {secondary.name}.",
        )
        return
    wanted = secondary.name if switch.took_over else primary.name
    if there == wanted:
        yield ok("name", None, f"The name leads to {there}, as it should.")
    else:
        yield warning(
            "name",
            None,
            f"The name leads to {there} instead of {wanted}.",
            "After a switch this takes up to two minutes. Else check the health check of "
            "/health/takeover and the failover records (infra/routing.yaml).",
        )


TOGETHER: Final = (one_writer, same_deployment_key, replication, name)
