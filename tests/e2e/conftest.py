"""Fixtures of the end-to-end tests: the command line, and enrolled clients."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.cloud import ROOT, Cloud
from local.deploy import without_aws_variables
from tests.e2e.split import Split, deploy_split

Json = dict[str, Any]


@dataclass(frozen=True)
class CommandLine:
    """`surrogatectl`, with the credentials of the cloud's operator."""

    cloud: Cloud

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(ROOT / ".venv" / "bin" / "surrogatectl"), *arguments],
            env={**without_aws_variables(os.environ), **self.cloud.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Start a command, and end it if the test does not."""
        process = subprocess.Popen(
            [str(ROOT / ".venv" / "bin" / "surrogatectl"), *arguments],
            env={**without_aws_variables(os.environ), **self.cloud.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def __call__(self, *arguments: str) -> Json:
        """Return the JSON of a command that must succeed."""
        done = self.run(*arguments, "--output=json")
        assert done.returncode == 0, done.stderr
        content: Json = json.loads(done.stdout)
        return content


@dataclass(frozen=True)
class Credential:
    client_id: str
    client_secret: str = field(repr=False)
    enrolled: Json

    @property
    def pair(self) -> tuple[str, str]:
        return self.client_id, self.client_secret


@pytest.fixture
def surrogatectl(cloud: Cloud) -> CommandLine:
    return CommandLine(cloud)


@pytest.fixture
def enroll(surrogatectl: CommandLine) -> Callable[..., Credential]:
    def enroll(*options: str, scope: str = "demo/read demo/write") -> Credential:
        answer = surrogatectl("enroll", "--name=e2e", f"--scope={scope}", *options)
        return Credential(answer["client_id"], answer.pop("client_secret"), answer)

    return enroll


@pytest.fixture
def enroll_everywhere(enroll: Callable[..., Credential]) -> Callable[[], Credential]:
    """Enroll in both Regions, even soon after the loss of one."""

    def enroll_everywhere() -> Credential:
        for _ in range(60):
            credential = enroll()
            app_clients = set(credential.enrolled["app_clients"].values())
            if app_clients == {"ready"} and credential.enrolled["replication"] == "in_sync":
                return credential
            time.sleep(0.5)
        raise AssertionError("The other Region did not come back.")

    return enroll_everywhere


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="session")
def split(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Split:
    return deploy_split(cloud, tmp_path_factory.mktemp("split"))
