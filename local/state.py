"""State of a running cloud, stored in its directory, readable by the owner only."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

from local.processes import ProcessRecord

# The name of the account's root among the identities.
ROOT_IDENTITY = "root"


class Role(StrEnum):
    """Role of a Region in the service, also the name of the stage deployed to it."""

    PRIMARY = "primary"
    SECONDARY = "secondary"


@dataclass(frozen=True, slots=True)
class Identity:
    """Access key."""

    access_key_id: str
    secret_access_key: str = field(repr=False)


@dataclass(slots=True)
class Deployment:
    """Deployed stage."""

    stack: str
    api_url_path: str
    code: str


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports of the cloud, on 127.0.0.1."""

    cloud: int
    front_door: int
    network_control: int
    admin_door: int
    region: dict[str, int]
    domain: dict[str, int]
    region_door: dict[str, int]
    domain_door: dict[str, int]


@dataclass(slots=True)
class CloudState:
    """State of a running cloud that later commands need."""

    project: str
    regions: dict[str, str]
    domain_name: str
    secret_prefix: str
    time_scale: float
    ports: Ports
    identities: dict[str, Identity]
    user_pools: dict[str, str] = field(default_factory=dict)
    hosted_zone_id: str = ""
    health_check_id: str = ""
    deployments: dict[str, Deployment] = field(default_factory=dict)
    trigger: str = ""
    overrides: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    ready: bool = False

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "CloudState":
        """Read a document written by `document`."""
        values = dict(document)
        values["ports"] = Ports(**values["ports"])
        values["identities"] = {k: Identity(**v) for k, v in values["identities"].items()}
        values["deployments"] = {k: Deployment(**v) for k, v in values["deployments"].items()}
        return cls(**values)

    def document(self) -> dict[str, Any]:
        """Return the state as a JSON document."""
        return asdict(self)


class StateDirectory:
    """Files of one cloud."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.endpoints = self.path / "endpoints.json"
        self.environment = self.path / "environment.json"
        self.build = self.path / "build"
        self.logs = self.path / "logs"
        self._state = self.path / "cloud.json"
        # Separate from the state, so that `down` finds the processes of any version of this code.
        self._processes = self.path / "processes.json"

    def prepare(self) -> None:
        """Create the directories."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self.logs.mkdir(exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock for which a second `up` or `down` waits."""
        self.prepare()
        with (self.path / "lock").open("w") as lock:
            flock(lock, LOCK_EX)
            yield

    def load(self) -> CloudState | None:
        """Return the state, or None if there is none that this version understands."""
        try:
            return CloudState.from_document(json.loads(self._state.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            return None

    def save(self, state: CloudState) -> None:
        """Write *state*."""
        self.write_private(self._state, state.document())

    def load_processes(self) -> list[ProcessRecord]:
        """
        Return the started processes, even if they no longer run.

        Processes listed in a copied state directory belong to the original, and are left out; a
        directory that was moved still owns them.
        """
        document = self._process_document()
        original = Path(document["directory"])
        if original != self.path and (original / self._processes.name).exists():
            return []
        return [ProcessRecord(**item) for item in document["processes"]]

    def was_moved(self) -> bool:
        """Return whether the processes run with files that are not in this place any more."""
        return Path(self._process_document()["directory"]) != self.path

    def _process_document(self) -> dict[str, Any]:
        try:
            document: dict[str, Any] = json.loads(self._processes.read_text())
        except FileNotFoundError:
            return {"directory": str(self.path), "processes": []}
        return document

    def save_processes(self, processes: Sequence[ProcessRecord]) -> None:
        """Write the records of the started processes."""
        document = {
            "directory": str(self.path),
            "processes": [asdict(process) for process in processes],
        }
        self.write_private(self._processes, document)

    def forget(self) -> None:
        """Remove the files of a running cloud; logs and build output stay."""
        for path in (self._state, self._processes, self.endpoints, self.environment):
            path.unlink(missing_ok=True)

    def write_private(self, path: Path, document: object) -> None:
        """Write *document* atomically to *path*, readable by the owner only."""
        temporary = path.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
        temporary.replace(path)
