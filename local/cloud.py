"""
Interface of the local cloud: start, use, break and stop it.

    with Cloud.up(Path("/tmp/state"), quiet=True) as cloud:
        cloud.set_region("primary", "refused")

`Cloud.up` is idempotent: it finds a healthy running cloud, deploys changes of the project, and
cleans up after a cloud whose processes died. Several clouds can run at the same time, each with its
own state directory.
"""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from local import aws, deploy, launch, ports, provision, rollout
from local.deploy import without_aws_variables
from local.httpio import call_json
from local.launch import CODE_ROOT as ROOT
from local.launch import CloudError
from local.ports import Claim
from local.processes import ProcessRecord
from local.progress import Progress
from local.quota import QUOTA
from local.state import ROOT_IDENTITY, CloudState, Identity, Role, StateDirectory
from local.switch import Mode, loopback_url

__all__ = ["DEFAULT_STATE", "DEFAULT_TIME_SCALE", "ROOT", "Cloud", "CloudError", "stop"]

DEFAULT_STATE = ROOT / "local" / ".state"
DEFAULT_TIME_SCALE = 30.0
_REGIONS = {Role.PRIMARY.value: "us-east-1", Role.SECONDARY.value: "us-west-2"}
_DOMAIN_NAME = "auth.surrogate.test"
_SECRET_PREFIX = "surrogate"  # noqa: S105 - the prefix of secrets' names
_HEALTH_SECONDS = 60.0
_LOG_LINES = 20
# In the shipped policy of the operators, in place of an API's ID.
_UNKNOWN_API = "EXAMPLE"
# Lambda's own log lines around every invocation.
_LAMBDA_LINES = ("START RequestId:", "END RequestId:", "REPORT RequestId:")


class Cloud:
    """A running cloud."""

    def __init__(self, directory: StateDirectory, state: CloudState) -> None:
        self._directory = directory
        self._state = state

    # -- start and stop ----------------------------------------------------------------------------

    @classmethod
    def up(  # noqa: PLR0913 - given by name
        cls,
        state_dir: Path = DEFAULT_STATE,
        *,
        project: Path = ROOT,
        quiet: bool = False,
        time_scale: float = DEFAULT_TIME_SCALE,
        operator_policy: Path | None = None,
        settings: Mapping[str, str] | None = None,
        outlives: bool = False,
    ) -> "Cloud":
        """
        Start the cloud, or find it running, with the project's current code deployed.

        *settings* override the project's own in a newly started cloud.  It ends with this process,
        however that ends, unless it *outlives* it.

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
                launch.stop(directory)
                with ports.claimed(launch.port_count([*_REGIONS.values()])) as claim:
                    state = _new_state(project, time_scale, settings or {}, claim)
                    cloud = cls(directory, state)
                    try:
                        cloud.start(progress, claim, outlives=outlives)
                        cloud.deploy(project, progress, operator_policy)
                    except BaseException:
                        launch.stop(directory)
                        raise
            progress.say(cloud.describe())
            progress.say(f"ready after {progress.elapsed:.1f} s")
        return cloud

    @classmethod
    def find(cls, state_dir: Path = DEFAULT_STATE) -> "Cloud":
        """
        Return the running cloud of *state_dir*.

        Raises:
            CloudError: If none runs.
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
        """Content of `endpoints.json`."""
        ports = self._state.ports
        return {
            "front_door": loopback_url(ports.front_door),
            "primary": self._base_url(Role.PRIMARY),
            "secondary": self._base_url(Role.SECONDARY),
            "cloud": loopback_url(ports.cloud),
            "regions": self._state.regions,
            "region_endpoints": {
                role: loopback_url(ports.region[region])
                for role, region in self._state.regions.items()
            },
            "custom_domains": {
                role: loopback_url(ports.domain[region])
                for role, region in self._state.regions.items()
            },
            "user_pools": self._state.user_pools,
            "domain_name": self._state.domain_name,
            "network_control": loopback_url(ports.network_control),
            "emulator_control": f"{loopback_url(ports.admin_door)}/_local",
            "time_scale": self._state.time_scale,
            "identities": {
                "file": str(self._directory.environment),
                "names": sorted(self._state.identities),
            },
        }

    @property
    def environment(self) -> dict[str, str]:
        """Variables that `make env` exports for the AWS CLI, `surrogatectl` and the application."""
        operator = self._state.identities["operator"]
        primary = self._state.regions[Role.PRIMARY]
        urls = {}
        if len(self._state.deployments) == len(Role):
            urls = {
                "ADMIN_URL_PRIMARY": self._base_url(Role.PRIMARY),
                "ADMIN_URL_SECONDARY": self._base_url(Role.SECONDARY),
            }
        return {
            "AWS_ENDPOINT_URL": loopback_url(self._state.ports.cloud),
            "AWS_ACCESS_KEY_ID": operator.access_key_id,
            "AWS_SECRET_ACCESS_KEY": operator.secret_access_key,
            "AWS_DEFAULT_REGION": primary,
            "AWS_REGION": primary,
            **self._state.settings,
            **urls,
            "FRONT_DOOR_URL": loopback_url(self._state.ports.front_door),
            # `surrogatectl drill` takes a Region down only if this is set.
            "LOCAL_CLOUD": str(self._directory.endpoints),
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

        `root` bypasses the switches through the emulator's own door; the others pass through them.
        """
        region = self._state.regions[role]
        ports = self._state.ports
        port = ports.admin_door if identity == ROOT_IDENTITY else ports.region[region]
        return aws.client(
            service,
            region=region,
            endpoint=loopback_url(port),
            identity=self._state.identities[identity],
        )

    def describe(self) -> str:
        """Return addresses, Regions and processes of the running cloud as text."""
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

    def copy_project(self, directory: Path) -> None:
        """Make *directory* a copy of the project, configured for this cloud."""
        rollout.mirror_project(self._state, directory)

    def run_chalice_local(self, stage: str, port: int) -> NoReturn:
        """
        Replace this process by `chalice local` for *stage*, over links to the working tree.

        Edits of existing files take effect at once; new files need a restart.
        """
        directory = self._directory.build / "live"
        rollout.mirror_project(self._state, directory, link=True)
        chalice = str(Path(sys.executable).with_name("chalice"))
        command = [chalice, "local", "--stage", stage, "--port", str(port)]
        os.chdir(directory)
        os.execve(  # noqa: S606 - our own command line
            chalice, command, {**without_aws_variables(os.environ), **self.environment}
        )

    # -- break -------------------------------------------------------------------------------------

    def set_region(self, role: str, mode: str) -> None:
        """Set the mode of the Region of *role*: `up`, `refused` or `hanging`."""
        region = self._state.regions[role]
        self._network("PUT", f"regions/{region}", {"mode": Mode(mode)})

    def region_mode(self, role: str) -> str:
        """Return the mode of the Region of *role*."""
        mode: str = self.network_status()["regions"][self._state.regions[role]]["mode"]
        return mode

    def network_status(self) -> dict[str, Any]:
        """Return the switches, and the front door's target with its reason."""
        status: dict[str, Any] = self._network("GET", "status")
        return status

    def forget_dns(self) -> None:
        """Empty the front door's resolver cache, as if every TTL had just expired."""
        self._network("POST", "front-door/forget")

    def calls(self) -> list[dict[str, Any]]:
        """Return the log of calls at the Regions' doors, oldest first."""
        calls: list[dict[str, Any]] = self._control("GET", "calls")
        return calls

    def calls_of_stage(self, role: str) -> list[dict[str, Any]]:
        """Return the signed calls of the deployed stage *role*, oldest first."""
        function = f"/{self._state.deployments[role].stack}-"
        return [call for call in self.calls() if function in call["caller"]]

    def logs(self, role: str) -> list[str]:
        """Return the recent log lines of the deployed stage *role*, oldest first."""
        client = self.client("logs", role, ROOT_IDENTITY)
        groups = client.describe_log_groups(logGroupNamePrefix="/aws/lambda/")["logGroups"]
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
        Make calls to *service* fail in *mode*, in the Region of *role* or in both.

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
        """Make replicated secrets arrive *seconds* late."""
        self._control("POST", "replication", {"lag": seconds})

    def set_concurrency_quota(self, executions: int) -> None:
        """Give the account a quota of concurrent executions in each Region; a new one has 10."""
        self._control("POST", "concurrency", {"quota": executions})

    def reset(self) -> None:
        """Undo every outage: Regions up, no faults, no lag, the usual quota, no calls logged."""
        for role in Role:
            self.set_region(role, Mode.UP)
        self.clear_faults()
        self.set_replication_lag(0)
        self.set_concurrency_quota(QUOTA)
        self.clear_calls()
        self.forget_dns()

    # -- private -----------------------------------------------------------------------------------

    def _network(self, method: str, path: str, document: object = None) -> Any:  # noqa: ANN401
        return call_json(
            f"{loopback_url(self._state.ports.network_control)}/{path}", method, document
        )

    def _control(self, method: str, path: str, document: object = None) -> Any:  # noqa: ANN401
        url = f"{loopback_url(self._state.ports.admin_door)}/_local/{path}"
        return call_json(url, method, document)

    def _base_url(self, role: Role) -> str:
        port = self._state.ports.region[self._state.regions[role]]
        return f"{loopback_url(port)}{self._state.deployments[role].api_url_path}"

    def _root_client(self, service: str, region: str) -> Any:  # noqa: ANN401
        return aws.client(
            service,
            region=region,
            endpoint=loopback_url(self._state.ports.admin_door),
            identity=self._state.identities[ROOT_IDENTITY],
        )

    @classmethod
    def _running(cls, directory: StateDirectory) -> "Cloud | None":
        """Return the running cloud if all its processes run and answer."""
        state = directory.load()
        if state is None or not state.ready:
            return None
        if directory.was_moved() or not launch.are_running(directory):
            return None
        cloud = cls(directory, state)
        try:
            cloud.network_status()
            cloud._control("GET", "ready")
        except OSError:
            return None
        return cloud

    def start(self, progress: Progress, claim: Claim, *, outlives: bool = False) -> None:
        """Start the processes, and create the resources around the service."""
        with progress.step("emulator and network started"):
            launch.start(self._directory, self._state, claim, outlives=outlives)
        with progress.step("user pools, domain and operators created"):
            rollout.provision_regions(self._state, self._root_client)

    def give_back_regions(self, progress: Progress) -> None:
        """Restore every Region that is down."""
        for role in Role:
            if self.region_mode(role) != Mode.UP:
                self.set_region(role, Mode.UP)
                progress.say(f"{role} is back")

    def deploy(
        self, project: Path, progress: Progress, operator_policy: Path | None = None
    ) -> None:
        """Deploy both stages of *project* unless they already have its current code."""
        state = self._state
        self._set_operator_policy(operator_policy)
        state.project = str(project.resolve())
        state.settings = rollout.project_settings(state)
        mirrored = self._directory.build / "project"
        rollout.mirror_project(state, mirrored)
        code = deploy.fingerprint(mirrored)
        current = all(
            role in state.deployments and state.deployments[role].code == code for role in Role
        )
        if not current:
            with progress.step("project initialized"):
                rollout.initialize_project(Path(state.project), self.environment)
            rollout.deploy_stages(state, self._root_client, self._directory.build, code, progress)
            self._set_operator_policy(operator_policy)
        with progress.step("tokens are stamped"):
            rollout.deploy_triggers(state, self._root_client, self._directory.build)
        with progress.step("both Regions answer"):
            self._await_health()
            if not state.ready:
                self._await_name()
        if not state.ready:
            with progress.step("canary enrolled"):
                rollout.make_canary(Path(state.project), self.environment)
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

    def _set_operator_policy(self, policy: Path | None) -> None:
        """Give the operator *policy*, with the IDs of the APIs that are deployed, as AWS has it."""
        if policy is None:
            return
        document = policy.read_text()
        for role, deployment in self._state.deployments.items():
            api_id = deployment.api_url_path.split("/")[-2]
            start = f"execute-api:{self._state.regions[role]}:*:"
            document = document.replace(f"{start}{_UNKNOWN_API}/", f"{start}{api_id}/")
        provision.set_operator_policy(
            self._root_client, self._state.regions[Role.PRIMARY], document
        )

    def _await_health(self) -> None:
        """
        Wait until both Regions answer.

        Raises:
            CloudError: If one does not; the message has the tail of its log.
        """
        urls = {role.value: f"{self._base_url(role)}/health" for role in Role}
        for role, answer in rollout.unhealthy(urls, _HEALTH_SECONDS).items():
            log = "\n".join(self.logs(role)[-_LOG_LINES:])
            msg = f"{role} is not healthy: {answer}\nthe end of its log:\n{log}"
            raise CloudError(msg)

    def _await_name(self) -> None:
        """
        Wait until the new name resolves to the primary.

        At first it does not: Route 53 considers a new inverted health check unhealthy.

        Raises:
            CloudError: If it never does.
        """
        deadline = time.monotonic() + _HEALTH_SECONDS
        primary = self._state.regions[Role.PRIMARY]
        while self.network_status()["front_door"]["region"] != primary:
            if time.monotonic() > deadline:
                msg = f"{self._state.domain_name} does not lead to the primary Region"
                raise CloudError(msg)
            time.sleep(0.1)
        self.forget_dns()


def stop(state_dir: Path = DEFAULT_STATE) -> bool:
    """Stop the cloud of *state_dir* if it runs; return whether it ran."""
    directory = StateDirectory(state_dir)
    with directory.locked():
        return launch.stop(directory)


def _new_state(
    project: Path, time_scale: float, settings: Mapping[str, str], claim: Claim
) -> CloudState:
    return CloudState(
        project=str(project.resolve()),
        regions=dict(_REGIONS),
        domain_name=_DOMAIN_NAME,
        secret_prefix=_SECRET_PREFIX,
        time_scale=time_scale,
        ports=launch.assign_ports(claim.ports, [*_REGIONS.values()]),
        identities={ROOT_IDENTITY: launch.new_root()},
        overrides=dict(settings),
    )
