"""
Emulator process: MiniStack with the gaps to AWS closed, behind one door per purpose.

It runs in `.venv-cloud`. MiniStack's environment variables are set before its first module is
imported; none of the caller's environment is used.
"""

import argparse
import asyncio
import importlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from local import aws_gaps, lifeline
from local.calls import CallLog
from local.connections import Connections
from local.control import Control
from local.doors import Door, DoorKind, Doors
from local.emulated import check_version, module
from local.faults import Faults
from local.quota import Quota
from local.replication import Replication
from local.switch import LOOPBACK


@dataclass(frozen=True, slots=True)
class EmulatorSettings:
    """Start settings of the emulator process, apart from its root credentials."""

    admin_door: int
    region_doors: dict[str, int]
    domain_doors: dict[str, int]
    domain_name: str
    lambda_python: str

    @classmethod
    def load(cls, path: Path) -> "EmulatorSettings":
        """Read the settings that `save` wrote."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Write the settings for the process to read."""
        path.write_text(json.dumps(asdict(self), indent=2))

    def doors(self) -> dict[int, Door]:
        """Return every port with its purpose."""
        return {
            self.admin_door: Door(DoorKind.ADMIN),
            **{port: Door(DoorKind.REGION, region) for region, port in self.region_doors.items()},
            **{port: Door(DoorKind.DOMAIN, region) for region, port in self.domain_doors.items()},
        }


def environment(
    *, state_dir: Path, gateway_port: int, access_key_id: str, secret_access_key: str
) -> dict[str, str]:
    """
    Return the complete environment of the emulator process.

    Its credentials are the emulator's root. *gateway_port* is the AWS endpoint of a function
    without an endpoint setting.
    """
    data = state_dir / "emulator"
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(data),
        "TMPDIR": str(data / "tmp"),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": access_key_id,
        "AWS_SECRET_ACCESS_KEY": secret_access_key,
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(gateway_port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "STATE_DIR": str(data / "state"),
        "S3_DATA_DIR": str(data / "s3"),
        "LOG_LEVEL": "WARNING",
        # Do not remove containers of another MiniStack on this machine.
        "DOCKER_HOST": f"unix://{data / 'no-docker.sock'}",
    }


def prepare_directories(state_dir: Path) -> None:
    """Create the directories that `environment` names, empty of an earlier run's files."""
    shutil.rmtree(state_dir / "emulator", ignore_errors=True)
    for name in ("tmp", "state", "s3"):
        (state_dir / "emulator" / name).mkdir(parents=True, exist_ok=True)


async def serve(settings: EmulatorSettings) -> None:
    """Serve until the process is stopped."""
    check_version()
    replication = Replication()
    faults = Faults()
    calls = CallLog()
    connections = Connections()
    connections.track()
    app = module("app").app
    quota = Quota()
    aws_gaps.install(replication, quota, settings.lambda_python)
    doors = settings.doors()
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"{LOOPBACK}:{port}" for port in doors]
    config.keep_alive_timeout = 75
    config.accesslog = None
    config.loglevel = "WARNING"
    config.graceful_timeout = 1
    application = Doors(
        app,
        doors,
        calls=calls,
        faults=faults,
        control=Control(calls, faults, replication, quota),
        connections=connections,
        domain_name=settings.domain_name,
    )
    try:
        await importlib.import_module("hypercorn.asyncio").serve(application, config)
    finally:
        await asyncio.to_thread(module("core.lambda_runtime").reset)


def main() -> None:
    """Run the emulator process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path)
    parser.add_argument(lifeline.OPTION, type=int)
    arguments = parser.parse_args()
    lifeline.follow(arguments.lifeline)
    asyncio.run(serve(EmulatorSettings.load(arguments.settings)))


if __name__ == "__main__":
    main()
