"""Conclusions of `status`: the Region that writes, and open problems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chalicelib.denial_shards import WRITES_A_DAY
from chalicelib.model import Replication
from surrogatectl.regions.lease import described
from surrogatectl.regions.state import writes
from surrogatectl.regions.way_on import way_on
from surrogatectl.status.reader import RegionSeen, Seen
from surrogatectl.status.replication import ReplicationSeen

_VERSIONS_A_DAY: Final = 100  # Secrets Manager removes none younger than a day


def the_writer(seen: Seen) -> RegionSeen | None:
    """Return the Region that writes; `None` if none does, or the writer is unknown."""
    primary, secondary = seen.both
    if secondary.state is None:
        return primary if primary.state and primary.state.writer else None
    role = writes(primary.state, secondary.state)
    return next((each for each in seen.both if each.role == role), None)


def attention(seen: Seen, replication: ReplicationSeen | None, *, quick: bool) -> Iterator[str]:
    """Yield open problems, most urgent first."""
    yield from _lost(seen)
    yield from _may_take_over(seen)
    yield from _where_it_leads(seen)
    yield from _writers(seen)
    for each in seen.both:
        if each.answers and each.health is not None and not each.is_ready:
            failing = [part.replace("_", " ") for part, ok in (each.ready or {}).items() if not ok]
            yield f"{each.name} is not ready: {' and '.join(failing) or 'cause unknown'}."
        if each.drift and each.drift.kinds:
            yield f"{each.name} last reported drift: see surrogatectl reconcile."
    if not quick and all(each.answers for each in seen.both):
        yield from _replicas(replication)
    yield from _denials(seen)


def _denials(seen: Seen) -> Iterator[str]:
    denied = [each.denied for each in seen.both if each.denied is not None]
    if len(denied) == len(seen.both) and denied[0] != denied[1]:
        count = len(denied[0] ^ denied[1])
        yield f"{count} clients are denied in one Region only: see surrogatectl denials."
    for each in seen.both:
        if each.answers and each.denied is None:
            yield f"{each.name}: its denials cannot be read. See surrogatectl doctor."
        if each.denial_writes >= WRITES_A_DAY // 2:
            yield (
                f"{each.name}: {each.denial_writes} of a day's {WRITES_A_DAY} changes of a part of "
                "the denials are used up. Deny many clients in one call."
            )
        if each.state_writes >= _VERSIONS_A_DAY // 2:
            yield (
                f"{each.name}: its state was written {each.state_writes} times within a day; "
                f"Secrets Manager allows {_VERSIONS_A_DAY}, and a failover needs some of them."
            )


def _lost(seen: Seen) -> Iterator[str]:
    for each in seen.both:
        if not each.answers:
            yield f"{each.name} ({each.role}) does not answer."
        elif each.state is None:
            yield f"{each.name}: its state cannot be read. {each.problem}"
        elif each.health is None:
            yield f"{each.name}: its function does not answer. See surrogatectl doctor."


def _may_take_over(seen: Seen) -> Iterator[str]:
    primary, secondary = seen.both
    if primary.answers or secondary.state is None or secondary.state.took_over:
        return
    if secondary.is_ready:
        yield (
            f"{secondary.name} is ready to take over. For a failover: "
            "surrogatectl failover --to secondary --force (docs/runbook.md)."
        )


def _where_it_leads(seen: Seen) -> Iterator[str]:
    wanted = should_lead_to(seen)
    if seen.name_leads_to is None:
        yield "The name does not answer."
    elif wanted and seen.name_leads_to != wanted:
        yield f"The name leads to {seen.name_leads_to} instead of {wanted}."


def should_lead_to(seen: Seen) -> str | None:
    """Return the Region that the takeover switch selects; `None` if it is unknown."""
    switch = seen.secondary.state
    if switch is None:
        return None
    return seen.secondary.name if switch.took_over else seen.primary.name


def _writers(seen: Seen) -> Iterator[str]:
    primary, secondary = seen.both
    writer = the_writer(seen)
    lease = secondary.state.lease if secondary.state else None
    if lease is not None:
        ended = seen.at >= lease.until
        note = ", and was not given back: its run goes on with --take-over" * ended
        yield f"A run has the lease: {described(lease)}{note}."
    if writer is secondary or (writer is None and primary.state and secondary.state):
        yield way_on((primary.name, secondary.name), primary.state, secondary.state)
    elif writer is primary and secondary.state and secondary.state.writer:
        yield "Both Regions claim to write: see surrogatectl doctor."


def _replicas(replication: ReplicationSeen | None) -> Iterator[str]:
    if replication is None:
        yield "The replication cannot be compared."
    elif replication.behind:
        counts = ", ".join(f"{n} {status.value}" for status, n in replication.behind.items())
        stuck = {Replication.FAILED, Replication.MISSING} & replication.behind.keys()
        advice = " To replicate them again: surrogatectl reconcile --repair." * bool(stuck)
        yield f"Of {replication.looked_at} records, not in sync: {counts}.{advice}"
