"""
The local cloud as a thing to start, use, break and stop.

    with Cloud.up(Path("/tmp/state"), quiet=True) as cloud:
        cloud.set_region("primary", "refused")

`Cloud.up` is idempotent: it finds a healthy running cloud, deploys what changed in the project, and
cleans up after one whose processes died. Several clouds run beside each other, each with its own
state directory.
"""

import json
import os
import secrets
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from local import aws, deploy, emulator, processes, provision
from local.deploy import without_aws_variables
from local.emulator import EmulatorSettings
from local.httpio import call_json, get
from local.network import NetworkSettings
from local.processes import ProcessRecord
from local.progress import Progress
from local.state import CloudState, Deployment, Identity, Ports, Role, StateDirectory
from local.switch import LOOPBACK, Mode

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_STATE = ROOT / "local" / ".state"
DEFAULT_REGIONS = {Role.PRIMARY.value: "us-east-1", Role.SECONDARY.value: "us-west-2"}
DEFAULT_DOMAIN = "auth.surrogate.test"
DEFAULT_PREFIX = "surrogate"
DEFAULT_TIME_SCALE = 30.0
_ROOT_IDENTITY = "root"
_START_SECONDS = 60.0
_HEALTH_SECONDS = 20.0
_LOG_LINES = 20
# What Lambda itself writes around every invocation.
_LAMBDA_LINES = ("START RequestId:", "END RequestId:", "REPORT RequestId:")


class CloudError(Exception):
    """The cloud could not be started or is not running."""


class Cloud:
    """A running cloud."""

    def __init__(self, directory: StateDirectory, state: CloudState) -> None:
        self._directory = directory
        self._state = state

    # -- life --------------------------------------------------------------------------------------

    @classmethod
    def up(  # noqa: PLR0913 - each has a default and is given by name
        cls,
        state_dir: Path = DEFAULT_STATE,
        *,
        project: Path = ROOT,
        quiet: bool = False,
        time_scale: float = DEFAULT_TIME_SCALE,
        operator_policy: Path | None = None,
        domain_name: str = DEFAULT_DOMAIN,
    ) -> "Cloud":
        """
        Start the cloud, or find it running, with the project's present code deployed.

        Raises:
            CloudError: If it cannot be started.
            DeploymentError: If a stage cannot be packaged or deployed.
        """
        progress = Progress(quiet=quiet)
        directory = StateDirectory(state_dir)
        with directory.locked():
            cloud = cls._running(directory)
            if cloud is not None:
                cloud.give_back_regions(progress)
                cloud.deploy(project, progress, operator_policy)
            else:
                _stop_processes(directory)
                cloud = cls(directory, _new_state(project.resolve(), time_scale, domain_name))
                try:
                    cloud.start(progress)
                    cloud.deploy(project, progress, operator_policy)
                except BaseException:
                    _stop_processes(directory)
                    raise
            progress.say(cloud.describe())
            progress.say(f"ready after {progress.elapsed:.1f} s")
        return cloud

    @classmethod
    def find(cls, state_dir: Path = DEFAULT_STATE) -> "Cloud":
        """
        Return the cloud that runs with *state_dir*.

        Raises:
            CloudError: If none does.
        """
        cloud = cls._running(StateDirectory(state_dir))
        if cloud is None:
            msg = "the local cloud is not running; start it with `make up`"
            raise CloudError(msg)
        return cloud

    def down(self) -> None:
        """Stop everything that belongs to this cloud."""
        stop(self._directory.path)

    def __enter__(self) -> Self:
        """Return the cloud itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the cloud."""
        self.down()

    # -- use ---------------------------------------------------------------------------------------

    @property
    def endpoints(self) -> dict[str, Any]:
        """What `endpoints.json` holds."""
        ports = self._state.ports
        return {
            "front_door": _url(ports.front_door),
            "primary": self._base_url(Role.PRIMARY),
            "secondary": self._base_url(Role.SECONDARY),
            "cloud": _url(ports.cloud),
            "regions": self._state.regions,
            "region_endpoints": {
                role: _url(ports.region[region]) for role, region in self._state.regions.items()
            },
            "custom_domains": {
                role: _url(ports.domain[region]) for role, region in self._state.regions.items()
            },
            "user_pools": self._state.user_pools,
            "domain_name": self._state.domain_name,
            "network_control": _url(ports.network_control),
            "emulator_control": f"{_url(ports.admin_door)}/_local",
            "time_scale": self._state.time_scale,
            "identities": {
                "file": str(self._directory.environment),
                "names": sorted(self._state.identities),
            },
        }

    @property
    def environment(self) -> dict[str, str]:
        """What `make env` exports: for the AWS CLI, `surrogatectl` and the application."""
        operator = self._state.identities["operator"]
        primary = self._state.regions[Role.PRIMARY]
        urls = {}
        if len(self._state.deployments) == len(Role):
            urls = {
                "ADMIN_URL_PRIMARY": self._base_url(Role.PRIMARY),
                "ADMIN_URL_SECONDARY": self._base_url(Role.SECONDARY),
            }
        return {
            "AWS_ENDPOINT_URL": _url(self._state.ports.cloud),
            "AWS_ACCESS_KEY_ID": operator.access_key_id,
            "AWS_SECRET_ACCESS_KEY": operator.secret_access_key,
            "AWS_DEFAULT_REGION": primary,
            "AWS_REGION": primary,
            **self._state.settings,
            **urls,
            "FRONT_DOOR_URL": _url(self._state.ports.front_door),
        }

    @property
    def processes(self) -> list[ProcessRecord]:
        """The background processes."""
        return self._directory.load_processes()

    def identity(self, name: str) -> Identity:
        """Return the access key of `root`, `operator` or `nobody`."""
        return self._state.identities[name]

    def client(self, service: str, role: str = Role.PRIMARY, identity: str = "operator") -> Any:  # noqa: ANN401
        """
        Return an SDK client for *service* in the Region of *role*.

        `root` goes past the switches, by the emulator's own door; everybody else meets them.
        """
        region = self._state.regions[role]
        ports = self._state.ports
        port = ports.admin_door if identity == _ROOT_IDENTITY else ports.region[region]
        return aws.client(
            service, region=region, endpoint=_url(port), identity=self._state.identities[identity]
        )

    def describe(self) -> str:
        """Say what runs where."""
        endpoints = self.endpoints
        lines = [
            f"front door   {endpoints['front_door']}  ({self._state.domain_name})",
            f"             (TTLs, health checks: {self._state.time_scale:g}x as fast as on AWS)",
            *(
                f"{role:<12} {endpoints[role]}  ({self._state.regions[role]}, "
                f"{self._state.user_pools[role]}, {self.region_mode(role)})"
                for role in Role
            ),
            f"cloud        {endpoints['cloud']}  (every AWS service, either Region)",
            *(f"process      {record.pid}  {record.name}" for record in self.processes),
            f"state, logs  {self._directory.path}",
        ]
        return "\n".join(lines)

    def run_chalice_local(self, stage: str, port: int) -> NoReturn:
        """
        Become `chalice local` for *stage*, over links to the working tree.

        Edits of existing files take effect at once; files that are new need a restart.
        """
        config = json.loads((Path(self._state.project) / ".chalice" / "config.json").read_text())
        directory = self._directory.build / "live"
        deploy.mirror(
            Path(self._state.project),
            directory,
            deploy.local_config(config, self._state.settings, self._state.regions),
            link=True,
        )
        chalice = str(Path(sys.executable).with_name("chalice"))
        command = [chalice, "local", "--stage", stage, "--port", str(port)]
        os.chdir(directory)
        os.execve(  # noqa: S606 - our own command line
            chalice, command, {**without_aws_variables(os.environ), **self.environment}
        )

    # -- break -------------------------------------------------------------------------------------

    def set_region(self, role: str, mode: str) -> None:
        """Put the Region of *role* into *mode*: `up`, `refused` or `hanging`."""
        region = self._state.regions[role]
        self._network("PUT", f"regions/{region}", {"mode": Mode(mode)})

    def region_mode(self, role: str) -> str:
        """Return the mode of the Region of *role*."""
        mode: str = self.network_status()["regions"][self._state.regions[role]]["mode"]
        return mode

    def network_status(self) -> dict[str, Any]:
        """Return the switches, and where the front door points and why."""
        status: dict[str, Any] = self._network("GET", "status")
        return status

    def forget_dns(self) -> None:
        """Empty the front door's resolver cache, as if every TTL had just run out."""
        self._network("POST", "front-door/forget")

    def calls(self) -> list[dict[str, Any]]:
        """Return the log of calls at the Regions' doors, oldest first."""
        calls: list[dict[str, Any]] = self._control("GET", "calls")
        return calls

    def calls_of_stage(self, role: str) -> list[dict[str, Any]]:
        """Return the signed calls that the deployed stage *role* made, oldest first."""
        function = f"/{self._state.deployments[role].stack}-"
        return [call for call in self.calls() if function in call["caller"]]

    def logs(self, role: str) -> list[str]:
        """Return what the deployed stage *role* has logged lately, oldest first."""
        client = self.client("logs", role, _ROOT_IDENTITY)
        prefix = f"/aws/lambda/{self._state.deployments[Role(role)].stack}-"
        groups = client.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
        pages = (
            page
            for group in groups
            for page in client.get_paginator("filter_log_events").paginate(
                logGroupName=group["logGroupName"]
            )
        )
        events = [event for page in pages for event in page["events"]]
        events.sort(key=lambda event: int(event["timestamp"]))
        messages = [str(event["message"]).rstrip() for event in events]
        return [line for line in messages if not line.startswith(_LAMBDA_LINES)]

    def clear_calls(self) -> None:
        """Empty the log of calls."""
        self._control("DELETE", "calls")

    def add_fault(self, service: str, mode: str, role: str | None = None, **rest: object) -> None:
        """
        Have calls to *service* fail in *mode*, in the Region of *role* or in both.

        *rest* may hold `action`, `delay` (seconds), `times` and `probability`.
        """
        region = self._state.regions[role] if role else None
        self._control(
            "POST", "faults", {"service": service, "mode": mode, "region": region, **rest}
        )

    def clear_faults(self) -> None:
        """Remove every fault."""
        self._control("DELETE", "faults")

    def set_replication_lag(self, seconds: float) -> None:
        """Have replicated secrets arrive *seconds* late."""
        self._control("POST", "replication", {"lag": seconds})

    def reset(self) -> None:
        """Undo what was broken: Regions up, no faults, no lag, an empty log of calls."""
        for role in Role:
            self.set_region(role, Mode.UP)
        self.clear_faults()
        self.set_replication_lag(0)
        self.clear_calls()
        self.forget_dns()

    # -- the rest is private -----------------------------------------------------------------------

    def _network(self, method: str, path: str, document: object = None) -> Any:  # noqa: ANN401
        return call_json(f"{_url(self._state.ports.network_control)}/{path}", method, document)

    def _control(self, method: str, path: str, document: object = None) -> Any:  # noqa: ANN401
        url = f"{_url(self._state.ports.admin_door)}/_local/{path}"
        return call_json(url, method, document)

    def _base_url(self, role: Role) -> str:
        port = self._state.ports.region[self._state.regions[role]]
        return f"{_url(port)}{self._state.deployments[role].api_url_path}"

    def _root_client(self, service: str, region: str) -> Any:  # noqa: ANN401
        return aws.client(
            service,
            region=region,
            endpoint=_url(self._state.ports.admin_door),
            identity=self._state.identities[_ROOT_IDENTITY],
        )

    @classmethod
    def _running(cls, directory: StateDirectory) -> "Cloud | None":
        """Return the running cloud if all of it runs and answers."""
        state = directory.load()
        if state is None or not state.ready:
            return None
        records = directory.load_processes()
        if not records or not all(record.is_running() for record in records):
            return None
        cloud = cls(directory, state)
        try:
            cloud.network_status()
            cloud._control("GET", "ready")
        except OSError:
            return None
        return cloud

    def start(self, progress: Progress) -> None:
        """Start the processes, and create what surrounds the service."""
        with progress.step("emulator and network started"):
            self._start_processes()
        with progress.step("user pools, domain and operators created"):
            self._provision()

    def _start_processes(self) -> None:
        state, directory = self._state, self._directory
        python = Path(os.environ.get("LOCAL_CLOUD_PYTHON", ROOT / ".venv-cloud" / "bin" / "python"))
        if not python.exists():
            msg = f"{python} is missing; `make up` creates it from local/requirements.txt"
            raise CloudError(msg)
        emulator_settings = directory.path / "emulator.json"
        EmulatorSettings(
            admin_door=state.ports.admin_door,
            region_doors=state.ports.region_door,
            domain_doors=state.ports.domain_door,
            domain_name=state.domain_name,
            lambda_python=str(_bare_python(directory.path)),
        ).save(emulator_settings)
        emulator.prepare_directories(directory.path)
        root = state.identities[_ROOT_IDENTITY]
        environment = emulator.environment(
            state_dir=directory.path,
            gateway_port=state.ports.cloud,
            access_key_id=root.access_key_id,
            secret_access_key=root.secret_access_key,
        )
        network_settings = directory.path / "network.json"
        NetworkSettings(
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
        ).save(network_settings)
        records: list[ProcessRecord] = []
        for name, interpreter, settings, env, ask in (
            (
                "emulator",
                python,
                emulator_settings,
                environment,
                partial(self._control, "GET", "ready"),
            ),
            (
                "network",
                Path(sys.executable),
                network_settings,
                without_aws_variables(os.environ),
                self.network_status,
            ),
        ):
            # The module is found through the working directory: a PYTHONPATH would be inherited by
            # Lambda functions and show them this project.
            record = processes.start(
                name,
                [str(interpreter), "-m", f"local.{name}", str(settings)],
                env=env,
                cwd=ROOT,
                log=directory.logs / f"{name}.log",
            )
            records.append(record)
            directory.save_processes(records)
            self._await(record, ask)

    def _await(self, record: ProcessRecord, ask: Callable[[], object]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and record.is_running():
            try:
                ask()
            except OSError:
                time.sleep(0.05)
            else:
                return
        log = self._directory.logs / f"{record.name}.log"
        msg = f"the {record.name} did not start; the end of {log}:\n{processes.tail(log)}"
        raise CloudError(msg)

    def _provision(self) -> None:
        state, client = self._state, self._root_client
        primary = state.regions[Role.PRIMARY]
        for role, region in state.regions.items():
            state.user_pools[role] = provision.create_user_pool(client, region)
            provision.create_custom_domain(client, region, state.domain_name)
        state.hosted_zone_id = provision.create_hosted_zone(client, primary, state.domain_name)
        state.identities |= provision.create_identities(client, primary)

    def _project_settings(self) -> dict[str, str]:
        """Return the project's settings for both stages, with what this cloud decides filled in."""
        state = self._state
        config = json.loads((Path(state.project) / ".chalice" / "config.json").read_text())
        regional: dict[str, str] = {}
        for role, region in state.regions.items():
            endpoint = _url(state.ports.region[region])
            regional |= {
                f"REGION_{role.upper()}": region,
                f"USER_POOL_ID_{role.upper()}": state.user_pools[role],
                f"OAUTH_HOST_{role.upper()}": f"{endpoint}/oauth2/token",
                f"ENDPOINT_URL_{role.upper()}": endpoint,
            }
        return {
            **config.get("environment_variables", {}),
            **regional,
            "PUBLIC_URL": _url(state.ports.front_door),
            "SECRET_PREFIX": state.secret_prefix,
        }

    def give_back_regions(self, progress: Progress) -> None:
        """Bring back every Region that was taken away."""
        for role in Role:
            if self.region_mode(role) != Mode.UP:
                self.set_region(role, Mode.UP)
                progress.say(f"{role} is back")

    def deploy(
        self, project: Path, progress: Progress, operator_policy: Path | None = None
    ) -> None:
        """Deploy both stages of *project* unless they already have its present code."""
        state = self._state
        if operator_policy is not None:
            provision.set_operator_policy(
                self._root_client, state.regions[Role.PRIMARY], operator_policy.read_text()
            )
        state.project = str(project.resolve())
        state.settings = self._project_settings()
        config = json.loads((project / ".chalice" / "config.json").read_text())
        mirrored = self._directory.build / "project"
        deploy.mirror(project, mirrored, deploy.local_config(config, state.settings, state.regions))
        code = deploy.fingerprint(mirrored)
        current = all(
            role in state.deployments and state.deployments[role].code == code for role in Role
        )
        if not current:
            self._initialize_project(project, progress)
            self._deploy_stages(mirrored, code, progress)
        with progress.step("both Regions answer"):
            self._await_health()
        state.ready = True
        self._directory.save(state)
        self._directory.write_private(self._directory.endpoints, self.endpoints)
        self._directory.write_private(
            self._directory.environment,
            {
                "environment": self.environment,
                "identities": {
                    name: {
                        "AWS_ACCESS_KEY_ID": identity.access_key_id,
                        "AWS_SECRET_ACCESS_KEY": identity.secret_access_key,
                    }
                    for name, identity in state.identities.items()
                },
            },
        )

    def _initialize_project(self, project: Path, progress: Progress) -> None:
        """Let the project create what has to exist before its stages start."""
        command = project / ".venv" / "bin" / "surrogatectl"
        if not command.exists():
            return
        with progress.step("surrogatectl init"):
            done = subprocess.run(
                [str(command), "init"],
                env={**without_aws_variables(os.environ), **self.environment},
                cwd=project,
                capture_output=True,
                text=True,
                check=False,
            )
        if done.returncode != 0:
            msg = f"surrogatectl init failed:\n{done.stdout}{done.stderr}"
            raise CloudError(msg)

    def _deploy_stages(self, mirrored: Path, code: str, progress: Progress) -> None:
        state = self._state
        packages = {}
        for role, region in state.regions.items():
            with progress.step(f"{role} packaged"):
                packages[role] = deploy.package(
                    mirrored, role, region, self._directory.build / "packages" / role
                )
        with progress.step("both stages deployed"), ThreadPoolExecutor() as pool:
            jobs = {
                role: pool.submit(
                    deploy.deploy,
                    partial(self._root_client, region=state.regions[role]),
                    f"{state.secret_prefix}-{role}",
                    made,
                    replace=role in state.deployments,
                )
                for role, made in packages.items()
            }
            api_ids = {role: job.result() for role, job in jobs.items()}
        for role, api_id in api_ids.items():
            stage = packages[role].api_stage
            state.deployments[role] = Deployment(
                stack=f"{state.secret_prefix}-{role}",
                api_url_path=f"/_aws/execute-api/{api_id}/{stage}",
                code=code,
            )
            provision.map_custom_domain(
                self._root_client, state.regions[role], state.domain_name, api_id, stage
            )
        state.health_check_id = provision.point_name_at_regions(self._root_client, state)

    def _await_health(self) -> None:
        """
        Wait until both Regions answer, and the name leads to the primary.

        Raises:
            CloudError: If they do not.
        """
        deadline = time.monotonic() + _HEALTH_SECONDS
        urls = [f"{self._base_url(role)}/health" for role in Role]
        with ThreadPoolExecutor() as pool:
            answers = [*pool.map(partial(_await_ok, deadline=deadline), urls)]
        for role, (status, body) in zip(Role, answers, strict=True):
            if status != HTTPStatus.OK:
                log = "\n".join(self.logs(role)[-_LOG_LINES:])
                msg = f"{role} is not healthy: {status} {body}\nthe end of its log:\n{log}"
                raise CloudError(msg)
        primary = self._state.regions[Role.PRIMARY]
        while self.network_status()["front_door"]["region"] != primary:
            if time.monotonic() > deadline:
                msg = f"{self._state.domain_name} does not lead to the primary Region"
                raise CloudError(msg)
            time.sleep(0.1)
        self.forget_dns()


def stop(state_dir: Path = DEFAULT_STATE) -> bool:
    """Stop the cloud of *state_dir*, if it runs; return whether there was anything to stop."""
    directory = StateDirectory(state_dir)
    with directory.locked():
        return _stop_processes(directory)


def _stop_processes(directory: StateDirectory) -> bool:
    records = directory.load_processes()
    was_running = any(record.is_running() for record in records)
    for record in reversed(records):
        record.stop()
    directory.forget()
    return was_running


def _new_state(project: Path, time_scale: float, domain_name: str) -> CloudState:
    return CloudState(
        project=str(project),
        regions=dict(DEFAULT_REGIONS),
        domain_name=domain_name,
        secret_prefix=DEFAULT_PREFIX,
        time_scale=time_scale,
        ports=_choose_ports([*DEFAULT_REGIONS.values()]),
        identities={_ROOT_IDENTITY: _new_root()},
    )


def _await_ok(url: str, deadline: float) -> tuple[int, str]:
    while True:
        answer = get(url)
        if answer[0] == HTTPStatus.OK or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


def _url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def _new_root() -> Identity:
    return Identity(f"AKIA{secrets.token_hex(8).upper()}", secrets.token_urlsafe(30))


def _choose_ports(regions: list[str]) -> Ports:
    cloud, front_door, control, admin, *rest = processes.free_ports(4 + 4 * len(regions))
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


def _bare_python(parent: Path) -> Path:
    """Return an interpreter of this version that has the standard library and nothing else."""
    directory = parent / f"lambda-python{sys.version_info.major}.{sys.version_info.minor}"
    python = directory / "bin" / "python"
    if not python.exists():
        venv.EnvBuilder(with_pip=False, symlinks=True, clear=True).create(directory)
    return python
