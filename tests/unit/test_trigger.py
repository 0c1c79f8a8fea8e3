"""Pre token generation trigger: conditions of the claim, and never a lost token."""

from __future__ import annotations

import ast
import base64
import copy
import json
import subprocess
import sys
import tomllib
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import credentials, record_json
from chalicelib.model import AppClientId, ClientId
from tests.fakes import FakeClock
from tests.stages import PROJECT
from trigger import index
from trigger.__main__ import with_copy
from trigger.index import (
    ATTEMPTS,
    CLAIM,
    CONNECT_SECONDS,
    READ_SECONDS,
    REREAD_SECONDS,
    RETRY_SECONDS,
    Trigger,
)

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
APP_CLIENT = "1example23456789appclient0"
CLIENT = "sgc_abcdefghijklmnopqrstuvwxyz"
INDEX = PROJECT / "trigger" / "index.py"
TEMPLATE = PROJECT / "infra" / "region.yaml"


def mac(client_id: str = CLIENT, app_client: str = APP_CLIENT, key: bytes = KEY) -> str:
    return credentials.app_client_mac(key, ClientId(client_id), AppClientId(app_client))


def event(metadata: Any = None, **changes: Any) -> dict[str, Any]:
    """Return the event that Cognito sends for a machine (developer guide, version 3)."""
    request: dict[str, Any] = {
        "userAttributes": {},
        "groupConfiguration": None,
        "scopes": ["demo/read"],
    }
    if metadata is not None:
        request["clientMetadata"] = metadata
    return {
        "version": "3",
        "triggerSource": "TokenGeneration_ClientCredentials",
        "region": "us-east-1",
        "userPoolId": "us-east-1_EXAMPLE11",
        "userName": "ClientCredentials",
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": APP_CLIENT},
        "request": request,
        "response": {"claimsAndScopeOverrideDetails": None},
        **changes,
    }


def told(client_id: str = CLIENT, given: str | None = None) -> dict[str, str]:
    """Return the exchange's `aws_client_metadata`."""
    return {
        "surrogate_client_id": client_id,
        "surrogate_mac": mac(client_id) if given is None else given,
    }


class World:
    """Trigger over an in-memory secret."""

    def __init__(self, key: bytes | None = KEY) -> None:
        self.text = None if key is None else record_json.deployment_key_to_json(key)
        self.failures: list[Exception] = []
        self.fetched = 0
        self.clock = FakeClock()
        self.lines: list[dict[str, Any]] = []
        self.trigger = Trigger(self._fetch, self.clock, self._log)

    def _fetch(self) -> str:
        self.fetched += 1
        if self.failures:
            raise self.failures.pop(0)
        if self.text is None:
            raise LookupError
        return self.text

    def _log(self, outcome: str, **more: str) -> None:
        self.lines.append({"outcome": outcome, **more})

    def claim(self, sent: dict[str, Any]) -> str | None:
        """Return the added claim; the rest of the event must be unchanged."""
        before = copy.deepcopy(sent)
        back = json.loads(json.dumps(self.trigger(sent, None)))
        details = back["response"].pop("claimsAndScopeOverrideDetails")
        before["response"].pop("claimsAndScopeOverrideDetails")
        assert back == before
        if details is None:
            return None
        assert details.keys() == {"accessTokenGeneration"}
        (changes,) = details.values()
        assert changes.keys() == {"claimsToAddOrOverride"}
        ((name, value),) = changes["claimsToAddOrOverride"].items()
        assert name == CLAIM
        return str(value)


@pytest.fixture
def world() -> World:
    return World()


# Conditions of the claim


def test_a_token_requested_by_the_exchange_gets_the_claim(world: World) -> None:
    assert world.claim(event(told())) == CLIENT
    assert world.lines == []


def test_the_holder_of_a_cognito_secret_cannot_name_another_client(world: World) -> None:
    """A MAC is valid only for its own app client and surrogate."""
    other_app_client = mac(app_client="another0app0client00000000")
    for claimed in (
        told("sgc_bbbbbbbbbbbbbbbbbbbbbbbbbb", mac()),
        told(given=other_app_client),
        told(given=mac(key=OTHER_KEY)),
        told(given=""),
        told(given=mac().upper()),
        told(given=mac() + "0"),
        told(given="é" * 64),
    ):
        assert world.claim(event(claimed)) is None
    assert {line["outcome"] for line in world.lines} == {"mac_does_not_fit"}


def test_the_app_client_is_the_one_that_cognito_authenticated(world: World) -> None:
    sent = event({**told(), "clientId": APP_CLIENT})
    sent["callerContext"]["clientId"] = "another0app0client00000000"
    assert world.claim(sent) is None


@given(client_id=st.text(min_size=1), app_client=st.text(min_size=1), key=st.binary(min_size=32))
def test_the_mac_is_the_one_that_enrollment_makes(
    client_id: str, app_client: str, key: bytes
) -> None:
    assert index.mac(key, client_id, app_client) == mac(client_id, app_client, key)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"surrogate_client_id": CLIENT},
        {"surrogate_mac": mac()},
        {"surrogate_client_id": None, "surrogate_mac": mac()},
        {"surrogate_client_id": CLIENT, "surrogate_mac": 7},
        {"something": "else"},
    ],
)
def test_a_direct_token_request_is_unchanged(world: World, metadata: Any) -> None:
    assert world.claim(event(metadata)) is None
    assert (world.fetched, world.lines) == (0, [])


@pytest.mark.parametrize(
    "changes",
    [
        {"triggerSource": "TokenGeneration_HostedAuth"},
        {"triggerSource": "TokenGeneration_RefreshTokens"},
        {"triggerSource": "TokenGeneration_Authentication"},
        {"triggerSource": "PreSignUp_SignUp"},
        {"triggerSource": None},
        {"version": "1"},
        {"version": "2"},
        {"version": 3},
        {"version": "4"},
    ],
)
def test_other_sources_and_versions_pass_through_untouched(
    world: World, changes: dict[str, Any]
) -> None:
    sent = event(told(), **changes)
    assert world.trigger(sent, None) is sent
    assert (world.fetched, world.lines) == (0, [])


# Errors never cost a token

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@given(
    part=st.sampled_from(["request", "callerContext", "response", "version", "triggerSource"]),
    value=json_values,
)
def test_any_event_is_returned_unchanged_except_its_response(part: str, value: object) -> None:
    world = World()
    sent = event(told()) | {part: value}
    back = world.trigger(sent, None)
    assert {**back, "response": None} == {**sent, "response": None}


@given(json_values)
def test_a_value_that_is_no_event_is_returned(value: object) -> None:
    assert World().trigger(value, None) == value


@given(st.dictionaries(st.sampled_from(["surrogate_client_id", "surrogate_mac"]), json_values))
def test_invalid_metadata_yields_no_claim(metadata: dict[str, Any]) -> None:
    assert World().claim(event(metadata)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        json.dumps({"schema": 2, "key": base64.b64encode(KEY).decode()}),
        json.dumps({"schema": 1, "key": base64.b64encode(KEY[:31]).decode()}),
        json.dumps({"schema": 1, "key": "!" * 44}),
        json.dumps({"schema": 1, "key": None}),
    ],
)
def test_a_malformed_key_yields_no_claim(world: World, text: str) -> None:
    world.text = text
    assert world.claim(event(told())) is None
    (line,) = world.lines
    assert line.keys() == {"outcome", "error"}
    assert line["outcome"] == "no_key"


def test_no_log_line_has_a_secret_or_the_caller(world: World) -> None:
    quoting = ValueError(f"{KEY!r} {CLIENT} {APP_CLIENT}")
    world.failures = [quoting] * ATTEMPTS
    world.claim(event(told()))
    world.clock.advance(RETRY_SECONDS)
    world.claim(event(told(given=mac(key=OTHER_KEY))))
    world.trigger(event(told(), callerContext=None), None)
    assert [line["outcome"] for line in world.lines] == ["no_key", "mac_does_not_fit", "failed"]
    said = json.dumps(world.lines)
    for each in (CLIENT, APP_CLIENT, mac(), base64.b64encode(KEY).decode(), "\\x00"):
        assert each not in said


# Reads of the key


def test_the_key_is_read_once(world: World) -> None:
    for _ in range(5):
        assert world.claim(event(told())) == CLIENT
        world.clock.advance(100_000)
    assert world.fetched == 1


def test_one_slow_read_of_a_cold_trigger_costs_no_claim(world: World) -> None:
    world.failures = [TimeoutError()]
    assert world.claim(event(told())) == CLIENT
    assert world.lines == [], "no unstamped token is counted"


def test_all_attempts_end_within_cognitos_limit() -> None:
    addresses = 5  # of the endpoint's name, all dead but the last
    assert ATTEMPTS * (addresses * CONNECT_SECONDS + READ_SECONDS) < 5


def test_the_last_known_key_is_kept_through_an_outage(world: World) -> None:
    assert world.claim(event(told())) == CLIENT
    world.failures = [TimeoutError()] * 100
    for _ in range(5):
        world.clock.advance(REREAD_SECONDS)
        assert world.claim(event(told(given=mac(key=OTHER_KEY)))) is None
        assert world.claim(event(told())) == CLIENT


def test_an_outage_does_not_delay_every_token(world: World) -> None:
    world.failures = [TimeoutError()] * 100
    for _ in range(20):
        assert world.claim(event(told())) is None
    assert world.fetched == ATTEMPTS
    world.clock.advance(RETRY_SECONDS)
    world.failures = []
    assert world.claim(event(told())) == CLIENT


def test_a_replaced_key_is_read_when_macs_stop_matching(world: World) -> None:
    world.claim(event(told()))
    world.text = record_json.deployment_key_to_json(OTHER_KEY)
    made_since = told(given=mac(key=OTHER_KEY))
    assert world.claim(event(made_since)) is None
    world.clock.advance(REREAD_SECONDS)
    assert world.claim(event(made_since)) == CLIENT


def test_wrong_macs_cost_at_most_one_read_a_minute(world: World) -> None:
    for _ in range(600):
        world.claim(event(told(given=mac(key=OTHER_KEY))))
        world.clock.advance(1)
    assert world.fetched <= 10


# Deployment


def _template() -> Any:
    return cfn_yaml.load(str(TEMPLATE))["Resources"]


def test_the_template_s_copy_is_the_source() -> None:
    """After an edit: `python -m trigger`."""
    code = _template()["TriggerFunction"]["Properties"]["Code"]["ZipFile"]
    assert code == INDEX.read_text()
    assert with_copy(TEMPLATE.read_text(), INDEX.read_text()) == TEMPLATE.read_text()


def test_the_copy_is_regenerated() -> None:
    changed = with_copy(TEMPLATE.read_text(), "x = 1\n\ny = 2\n")
    assert changed.count("\n") < TEMPLATE.read_text().count("\n")
    assert with_copy(changed, INDEX.read_text()) == TEMPLATE.read_text()


def test_the_template_can_be_deployed_without_a_bucket() -> None:
    assert len(TEMPLATE.read_bytes()) <= 51_200


def test_the_trigger_has_productions_runtime_and_ends_within_cognitos_limit() -> None:
    properties = _template()["TriggerFunction"]["Properties"]
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["deployment"][
        "python"
    ]
    assert properties["Runtime"] == f"python{version}"
    assert properties["Timeout"] <= 5
    assert properties["Handler"] == "index.handler"
    assert callable(index.handler)


def test_the_trigger_imports_only_the_standard_library_and_defers_the_sdk() -> None:
    tree = ast.parse(INDEX.read_text())
    at_once = {
        name.partition(".")[0]
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert at_once <= set(sys.stdlib_module_names)
    done = subprocess.run(
        [sys.executable, "-c", "import sys, trigger.index; print('botocore' in sys.modules)"],
        cwd=PROJECT,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "False\n"


def test_the_trigger_starts_without_the_sdk() -> None:
    """A failed import must not cost a token either."""
    code = (
        "import sys; sys.modules['botocore'] = None\n"
        "from trigger import index\n"
        "import json; print(json.dumps(index.handler(json.loads(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(event(told()))],
        cwd=PROJECT,
        env={"PATH": "", "AWS_LAMBDA_FUNCTION_NAME": "trigger", "DEPLOYMENT_SECRET": "x"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *lines, answer = map(json.loads, done.stdout.splitlines())
    assert answer == event(told())
    assert [line["outcome"] for line in lines] == ["failed", "no_key"]
