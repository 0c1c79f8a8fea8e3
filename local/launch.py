"""Start and stop of the two processes of a cloud, with their settings."""

import os
import secrets
import sys
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from local import emulator, lifeline, processes
from local.deploy import without_aws_variables
from local.emulator import EmulatorSettings
from local.httpio import call_json
from local.network import NetworkSettings
from local.ports import Claim
from local.processes import ProcessRecord
from local.state import ROOT_IDENTITY, CloudState, Identity, Ports, Role, StateDirectory
from local.switch import loopback_url

CODE_ROOT = Path(__file__).resolve().parent.parent
_START_SECONDS = 60.0


class CloudError(Exception):
    """The cloud could not be started or is not running."""


def port_count(regions: Sequence[str]) -> int:
    """Return the number of ports of a cloud with *regions*."""
    return 4 + 4 * len(regions)


def assign_ports(ports: Sequence[int], regions: Sequence[str]) -> Ports:
    """Return the assignment of *ports* to their purposes."""
    cloud, front_door, control, admin, *rest = ports
    groups = [rest[i : i + len(regions)] for i in range(0, len(rest), len(regions))]
    region, domain, region_door, domain_door = (
        dict(zip(regions, group, strict=True)) for group in groups
    )
    return Ports(
        cloud=cloud,
        front_door=front_door,
        network_control=control,
        admin_door=admin,
        region=region,
        domain=domain,
        region_door=region_door,
        domain_door=domain_door,
    )


def new_root() -> Identity:
    """Return root credentials of AWS's form."""
    return Identity(f"AKIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30))


def start(
    directory: StateDirectory, state: CloudState, claim: Claim, *, outlives: bool = False
) -> None:
    """
    Start emulator and network, which inherit the *claim* on their ports, and await their answers.

    They end with this process, unless the cloud *outlives* it.

    Raises:
        CloudError: If one of them does not.
    """
    inherited = [claim.descriptor] if outlives else [claim.descriptor, lifeline.descriptor()]
    python = Path(os.environ.get("LOCAL_CLOUD_PYTHON", CODE_ROOT / ".venv-cloud/bin/python"))
    if not python.exists():
        msg = f"{python} is missing; `make up` creates it from local/requirements.txt"
        raise CloudError(msg)
    emulator.prepare_directories(directory.path)
    root = state.identities[ROOT_IDENTITY]
    environment = emulator.environment(
        state_dir=directory.path,
        gateway_port=state.ports.cloud,
        access_key_id=root.access_key_id,
        secret_access_key=root.secret_access_key,
    )
    emulator_settings = directory.path / "emulator.json"
    _emulator_settings(directory, state).save(emulator_settings)
    ready = f"{loopback_url(state.ports.admin_door)}/_local/ready"
    command = (str(python), emulator_settings)
    _start_one(directory, "emulator", command, environment, ready, inherited)

    network_settings = directory.path / "network.json"
    _network_settings(state).save(network_settings)
    status = f"{loopback_url(state.ports.network_control)}/status"
    environment = without_aws_variables(os.environ)
    command = (sys.executable, network_settings)
    _start_one(directory, "network", command, environment, status, inherited)


def are_running(directory: StateDirectory) -> bool:
    """Return whether both processes exist."""
    records = directory.load_processes()
    return bool(records) and all(record.is_running() for record in records)


def stop(directory: StateDirectory) -> bool:
    """Stop the processes and remove their records; return whether any was running."""
    records = directory.load_processes()
    was_running = any(record.is_running() for record in records)
    for record in reversed(records):
        record.stop()
    directory.forget()
    return was_running


def _emulator_settings(directory: StateDirectory, state: CloudState) -> EmulatorSettings:
    return EmulatorSettings(
        admin_door=state.ports.admin_door,
        region_doors=state.ports.region_door,
        domain_doors=state.ports.domain_door,
        domain_name=state.domain_name,
        lambda_python=str(_bare_python(directory.path)),
    )


def _network_settings(state: CloudState) -> NetworkSettings:
    return NetworkSettings(
        regions=(state.regions[Role.PRIMARY], state.regions[Role.SECONDARY]),
        region_ports=state.ports.region,
        domain_ports=state.ports.domain,
        region_doors=state.ports.region_door,
        domain_doors=state.ports.domain_door,
        cloud_port=state.ports.cloud,
        front_door_port=state.ports.front_door,
        control_port=state.ports.network_control,
        admin_door=state.ports.admin_door,
        domain_name=state.domain_name,
        time_scale=state.time_scale,
    )


def _start_one(  # noqa: PLR0913, PLR0917
    directory: StateDirectory,
    name: str,
    command: tuple[str, Path],
    environment: Mapping[str, str],
    question: str,
    inherited: Sequence[int],
) -> None:
    """Start one process, record it, and wait until it answers *question*."""
    interpreter, settings = command
    log = directory.logs / f"{name}.log"
    # The module is found through the working directory: a PYTHONPATH would be inherited by Lambda
    # functions and show them this project.
    line = [f"{lifeline.OPTION}={each}" for each in inherited[1:]]
    record = processes.start(
        name,
        [str(interpreter), "-m", f"local.{name}", str(settings), *line],
        env=environment,
        cwd=CODE_ROOT,
        log=log,
        inherited=inherited,
    )
    directory.save_processes([*directory.load_processes(), record])
    if not _answers(record, partial(call_json, question)):
        msg = f"the {name} did not start; the end of {log}:\n{processes.tail(log)}"
        raise CloudError(msg)


def _answers(record: ProcessRecord, ask: Callable[[], object]) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and record.is_running():
        try:
            ask()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


def _bare_python(parent: Path) -> Path:
    """Return an interpreter of this version with only the standard library."""
    directory = parent / f"lambda-python{sys.version_info.major}.{sys.version_info.minor}"
    python = directory / "bin" / "python"
    if not python.exists():
        venv.EnvBuilder(with_pip=False, symlinks=True, clear=True).create(directory)
    return python
