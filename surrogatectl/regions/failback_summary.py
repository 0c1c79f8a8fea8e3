"""The result of a pass of failback over all clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from chalicelib.model import ClientId, ClientRecord
from surrogatectl.regions.failback_plan import ReplicaResult, Resolution
from surrogatectl.regions.stored_record import StoredRecord


@dataclass(frozen=True, slots=True)
class Split:
    """A client that was written in both Regions, and the records' differences in words."""

    client_id: ClientId
    client_name: str
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """A client that could not be brought back, and why."""

    client_id: ClientId
    why: str


@dataclass(slots=True)
class Summary:
    """
    The counts of a pass over all clients; *splits* and *left* are for people.

    The clients *in_doubt* seem to be splits, until they were read once more.
    """

    counts: dict[str, int] = field(default_factory=dict)
    splits: list[Split] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    in_doubt: list[ClientId] = field(default_factory=list)
    _certain: bool = False

    def doubt(self, client_id: ClientId) -> bool:
        """Note that a client seems to be a split; return `False` if that is certain by now."""
        if not self._certain:
            self.in_doubt.append(client_id)
        return not self._certain

    def doubts_end(self) -> Sequence[ClientId]:
        """Return the clients in doubt, and have no doubt from now on."""
        in_doubt, self.in_doubt, self._certain = self.in_doubt, [], True
        return in_doubt

    def count(self, fate: Resolution | ReplicaResult) -> None:
        """Count one more."""
        self.counts[fate.value] = self.counts.get(fate.value, 0) + 1

    def __str__(self) -> str:
        """Return the counts in words."""
        return (
            ", ".join(f"{count} {fate}" for fate, count in sorted(self.counts.items())) or "nothing"
        )


def sum_counts(one: Mapping[str, int], later: Mapping[str, int]) -> dict[str, int]:
    """Return the sums; of records that are the same, only those of the *later* pass."""
    sums = Counter({fate: count for fate, count in one.items() if fate != Resolution.SAME})
    return dict(sums + Counter(later))


def split_of(
    regions: tuple[str, str], client_id: ClientId, here: StoredRecord | None, there: StoredRecord
) -> Split:
    """Compare the records of a client that was written in both *regions*, the primary first."""
    primary, secondary = regions
    ours, theirs = here.record if here else None, there.record
    if theirs is None:
        return Split(client_id, "", (f"its record in {secondary} cannot be read",))
    if ours is None:
        why = "cannot be read" if here else "is marked for deletion"
        return Split(client_id, theirs.client_name, (f"its record in {primary} {why}",))
    told = [
        f"{name}: {one} in {primary}, {other} in {secondary}"
        for name, describe in _COMPARED.items()
        if (one := describe(ours)) != (other := describe(theirs))
    ]
    app_clients = sorted(
        region
        for region in {*ours.app_clients, *theirs.app_clients}
        if ours.app_clients.get(region) != theirs.app_clients.get(region)
    )
    if app_clients:
        told.append(f"app clients in {' and '.join(app_clients)}")
    return Split(client_id, theirs.client_name, tuple(told or ["versions only"]))


def _secrets(record: ClientRecord) -> str:
    return " ".join(
        secret.secret_id + (f" until {secret.expires_at}" if secret.expires_at else "")
        for secret in record.secrets
    )


_COMPARED: Final[Mapping[str, Callable[[ClientRecord], str]]] = {
    "status": lambda record: str(record.status),
    "name": lambda record: record.client_name,
    "secrets": _secrets,
    "scopes": lambda record: " ".join(record.scopes),
    "addresses": lambda record: " ".join(map(str, record.allowed_cidrs)) or "any",
    "expires": lambda record: str(record.expires_at or "never"),
}
