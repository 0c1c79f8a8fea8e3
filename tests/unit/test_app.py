"""
Composition root, imported as by the Chalice CLI and by Lambda.

Each test starts a process of its own, because it tests the import.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.stages import PROJECT, environment

TOKEN_ROUTES = {
    "/oauth2/token",
    "/.well-known/oauth-authorization-server",
    "/.well-known/jwks.json",
    "/health",
    "/health/ready",
    "/health/takeover",
}
ADMIN_ROUTES = {"/clients"}
# No network while app.py is imported: an audit hook sees every attempt.
PROBE = """
import json, os, sys
asked = []
sys.addaudithook(
    lambda name, args: asked.append(name)
    if name in {"socket.connect", "socket.getaddrinfo", "socket.sendto"} else None
)
import app
print(json.dumps({
    "asked": asked,
    "routes": sorted(app.app.routes),
    "region": os.environ.get("AWS_REGION"),
    "default_region": os.environ.get("AWS_DEFAULT_REGION"),
    "own": app.settings.own.name,
    "client": app.here.exchange_secrets().meta.region_name,
    "modules": sorted(sys.modules),
}))
"""
# State in a snapshot of the imported function, shared by all copies that start from it.
SNAPSHOT = """
import json, os, sys
drawn = []

def note(frame, event, argument):
    if event == "c_call" and getattr(argument, "__name__", "") in {"urandom", "getrandom"}:
        drawn.append(frame.f_code.co_filename)

sys.setprofile(note)
import app
sys.setprofile(None)
opened = {
    int(name): os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
}
at_import = len(drawn)
surface = app.surface
keys = [app.hasher._process_key, surface.exchange.request_memo._process_key]
known = [*surface.exchange.denials.shards._known._values, *surface.exchange.records._known._values]

sys.setprofile(note)
app.hasher.verify("sgc_somebody", "sgs_something", ())
sys.setprofile(None)
print(json.dumps({
    "drawn_at_import": at_import,
    "drawn_by_a_request": len(drawn) - at_import,
    "sockets": [path for number, path in opened.items() if number > 2 and "socket:" in path],
    "keys": [key is not None for key in keys],
    "known": len(known),
}))
"""
# A process that is stopped after its request, as Lambda does.
EMITTED = """
import os
import app
app.emit({"event": "x"})
os._exit(0)
"""
# Environment of a Lambda or a developer's shell, with invalid credentials.
SHELL = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE00",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "PATH": os.defpath,
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass
class Imported:
    """Effects of an import of `app.py`."""

    code: int
    errors: str
    found: dict[str, Any]


def imported(environ: dict[str, str], probe: str = PROBE) -> Imported:
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=PROJECT,
        env={**SHELL, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Imported(done.returncode, done.stderr, json.loads(done.stdout or "{}"))


def test_a_deployment_ignores_the_shells_region() -> None:
    """The Chalice CLI imports app.py before it makes an AWS client."""
    shell = {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1"}
    app = imported({**shell, **environment("secondary"), "AWS_CHALICE_CLI_MODE": "true"})
    assert app.found["default_region"] == "us-west-2"
    assert app.found["region"] == "us-west-2"
    assert app.found["own"] == "us-west-2"
    assert app.found["client"] == "us-west-2"


def test_importing_app_in_lambda_changes_no_environment_and_calls_no_aws() -> None:
    lambda_ = {"AWS_LAMBDA_FUNCTION_NAME": "surrogate", "AWS_REGION": "us-east-1"}
    app = imported({**lambda_, **environment("primary")})
    assert app.code == 0, app.errors
    assert app.found["asked"] == []
    assert app.found["default_region"] is None
    assert app.found["region"] == "us-east-1"
    assert set(app.found["routes"]) >= TOKEN_ROUTES | ADMIN_ROUTES


def test_the_surfaces_select_the_routes() -> None:
    token = imported({**environment("primary"), "SURFACES": "token"})
    admin = imported({**environment("primary"), "SURFACES": "admin"})
    assert token.found["asked"] == admin.found["asked"] == []
    assert set(token.found["routes"]) >= TOKEN_ROUTES
    assert set(admin.found["routes"]) >= ADMIN_ROUTES
    assert not set(token.found["routes"]) & set(admin.found["routes"])


def test_a_token_function_imports_no_admin_module() -> None:
    """It would slow every cold start."""
    token = imported({**environment("primary"), "SURFACES": "token"})
    admin = imported({**environment("primary"), "SURFACES": "admin"})
    only_admin = {
        f"chalicelib.{name}"
        for name in (
            "http.admin_routes",
            "clients.repository",
            "clients.enrollment",
            "reconciliation.repair",
            "composition.admin",
            "composition.admin_function",
            "aws.use_log",
        )
    }
    assert only_admin <= set(admin.found["modules"])
    assert not only_admin & set(token.found["modules"])


def test_no_function_imports_an_sdk_that_it_does_not_use() -> None:
    both = imported(environment("primary"))
    assert not {"boto3", "s3transfer", "multiprocessing"} & set(both.found["modules"])


def test_an_emitted_line_is_flushed() -> None:
    """Lambda freezes a process between requests, and may end it at any time."""
    app = imported({**environment("primary"), "SURFACES": "token"}, EMITTED)
    assert app.found["event"] == "x", app.errors
    assert app.found["region"] == "us-east-1"


def test_a_snapshot_shares_nothing_random_secret_or_connected() -> None:
    """SnapStart starts many functions from one that was imported once."""
    app = imported({**environment("primary"), "SURFACES": "token"}, SNAPSHOT)
    assert app.code == 0, app.errors
    assert app.found["drawn_at_import"] == 0
    assert app.found["drawn_by_a_request"] > 0, "or the probe would see none at import either"
    assert app.found["sockets"] == []
    assert app.found["keys"] == [False, False]
    assert app.found["known"] == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"PUBLIC_URL": None}, "PUBLIC_URL: is not set."),
        ({"APP_REGION": "eu-central-1"}, "APP_REGION: eu-central-1 is neither"),
        (
            {"AWS_LAMBDA_FUNCTION_NAME": "surrogate", "AWS_REGION": "us-west-2"},
            "APP_REGION: the stage's is us-east-1, but this function runs in us-west-2.",
        ),
    ],
)
def test_invalid_settings_fail_the_import(change: dict[str, str | None], told: str) -> None:
    environ = {**environment("primary"), **change}
    app = imported({name: value for name, value in environ.items() if value is not None})
    assert app.code != 0
    assert (
        app.errors.strip().splitlines()[-1].startswith(f"chalicelib.settings.SettingsError: {told}")
    )
