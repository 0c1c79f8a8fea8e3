"""A sample of crashes on the local cloud, and what `reconcile` makes of them."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.app_client_rotation import Step
from chalicelib.aws import Connections
from chalicelib.credentials import SecretHasher
from chalicelib.enrollment import Enrollment, EnrollmentRequest
from chalicelib.model import ClientId
from chalicelib.settings import Settings
from chalicelib.wiring import AdminParts
from local.cloud import Cloud
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.tokens import post_token

CALLER = "arn:aws:iam::000000000000:user/e2e"
SETTLED = 20 * 60


class Crash(BaseException):
    """The function is gone, in the middle of what it did."""


@dataclass
class Calls:
    """Counts the AWS calls of a pair of Regions, and ends the operation at one of them."""

    made: int = 0
    before: int | None = None
    after: int | None = None

    def watch(self, connections: Connections) -> Connections:
        for connect in (
            connections.admin_secrets,
            connections.admin_cognito,
            connections.admin_cognito_once,
        ):
            events = connect().meta.events
            events.register("before-call", self._before)
            events.register("after-call", self._after)
        return connections

    def _before(self, **_: object) -> None:
        self.made += 1
        if self.made == self.before:
            raise Crash

    def _after(self, **_: object) -> None:
        if self.made == self.after:
            raise Crash


@contextmanager
def credentials_of_the_operator(cloud: Cloud) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        for name, value in cloud.environment.items():
            environment.setenv(name, value)
        yield


def parts(cloud: Cloud, calls: Calls | None = None, *, later: float = 0) -> AdminParts:
    settings = Settings.from_env(
        {**cloud.environment, "APP_REGION": cloud.environment["REGION_PRIMARY"]}
    )
    here, there = Connections(settings.own), Connections(settings.other)
    if calls:
        here, there = calls.watch(here), calls.watch(there)
    return AdminParts(
        settings, here, there, lambda: time.time() + later, time.sleep, secrets.token_bytes
    )


def enrollment(made: AdminParts) -> Enrollment:
    return Enrollment(
        made.admin, made.halves, SecretHasher(secrets.token_bytes), secrets.token_bytes
    )


def asked(name: str) -> EnrollmentRequest:
    return EnrollmentRequest(name, ("demo/read",), (), None, None)


def enroll(made: AdminParts) -> object:
    return enrollment(made)(asked("crashed"), CALLER)


def delete_one(made: AdminParts, client_id: ClientId) -> object:
    return made.deletion.delete(client_id, 7)


def calls_of(cloud: Cloud, operation: Callable[[AdminParts], object]) -> int:
    """Return how many calls an undisturbed run makes."""
    calls = Calls()
    operation(parts(cloud, calls))
    return calls.made


def crash(cloud: Cloud, operation: Callable[[AdminParts], object], **at: int) -> None:
    with pytest.raises(Crash):
        operation(parts(cloud, Calls(**at)))


def repaired(cloud: Cloud) -> list[str]:
    """Repair, as it would be done 20 minutes later; return what was found."""
    made = parts(cloud, later=SETTLED)
    outcomes = list(made.reconcile(lambda _done, _total: None))
    assert not [each for each in outcomes if each.result in {"failed", "left_alone"}], outcomes
    # Repairing is idempotent: nothing is found any more.
    assert not list(parts(cloud, later=SETTLED).survey(lambda _done, _total: None))
    return [each.drift.kind for each in outcomes]


def inventory(cloud: Cloud) -> tuple[set[str], set[str]]:
    """Return the app clients that records refer to, and those that there are."""
    referred, existing = set(), set()
    store = cloud.client("secretsmanager", "primary", "root")
    for page in store.get_paginator("list_secrets").paginate():
        for secret in page["SecretList"]:
            if "/clients/" not in secret["Name"]:
                continue
            text = store.get_secret_value(SecretId=secret["Name"])["SecretString"]
            for half in json.loads(text)["app_clients"].values():
                referred.add(half["app_client_id"])
    for role in ("primary", "secondary"):
        pages = (
            cloud.client("cognito-idp", role, "root")
            .get_paginator("list_user_pool_clients")
            .paginate(UserPoolId=cloud.endpoints["user_pools"][role])
        )
        existing |= {
            client["ClientId"]
            for page in pages
            for client in page["UserPoolClients"]
            if client["ClientName"].startswith("surrogate-")
        }
    return referred, existing


@pytest.fixture
def own_cloud(breakable_cloud: Cloud) -> Iterator[Cloud]:
    with credentials_of_the_operator(breakable_cloud):
        repaired(breakable_cloud)
        yield breakable_cloud


@pytest.mark.parametrize("share", [0.3, 0.55, 0.75, 0.95])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_enrolment_that_crashed_is_undone_or_finished(
    own_cloud: Cloud, share: float, when: str
) -> None:
    count = calls_of(own_cloud, enroll)
    crash(own_cloud, enroll, **{when: max(3, round(count * share))})
    repaired(own_cloud)
    referred, existing = inventory(own_cloud)
    assert referred == existing


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_deletion_that_crashed_is_finished(
    own_cloud: Cloud, share: float, enroll_everywhere: Callable[[], Credential]
) -> None:
    count = calls_of(
        own_cloud, lambda made: delete_one(made, ClientId(enroll_everywhere().client_id))
    )
    client_id = ClientId(enroll_everywhere().client_id)
    crash(own_cloud, lambda made: delete_one(made, client_id), after=max(4, round(count * share)))
    repaired(own_cloud)
    referred, existing = inventory(own_cloud)
    assert referred == existing
    store = own_cloud.client("secretsmanager", "primary", "root")
    assert "DeletedDate" in store.describe_secret(SecretId=f"surrogate/clients/{client_id}")


def test_a_rotation_of_cognito_secrets_that_crashed_goes_on_and_ends(
    own_cloud: Cloud, enroll_everywhere: Callable[[], Credential]
) -> None:
    credential = enroll_everywhere()
    client_id = ClientId(credential.client_id)

    def start(made: AdminParts) -> Any:
        return made.app_client_rotation.advance(client_id, due_before=2**40)

    with pytest.raises(Crash):
        start(parts(own_cloud, Calls(after=5)))
    later = 0.0
    seen: list[Step] = []
    for _ in range(6):
        rotation = parts(own_cloud, later=later).app_client_rotation
        seen.append(rotation.advance(client_id, due_before=2**40)["us-east-1"])
        if seen[-1] is Step.FINISHED:
            break
        later += 1_200
    assert seen[-1] is Step.FINISHED
    answer = post_token(own_cloud.endpoints["primary"], credential.pair)
    assert answer.status_code == 200


def test_drift_made_by_hand_is_found_and_mended_by_the_command(
    own_cloud: Cloud, enroll_everywhere: Callable[[], Credential], surrogatectl: CommandLine
) -> None:
    credential = enroll_everywhere()
    stored = json.loads(
        own_cloud.client("secretsmanager", "primary", "root").get_secret_value(
            SecretId=f"surrogate/clients/{credential.client_id}"
        )["SecretString"]
    )
    own_cloud.client("cognito-idp", "secondary", "root").delete_user_pool_client(
        UserPoolId=own_cloud.endpoints["user_pools"]["secondary"],
        ClientId=stored["app_clients"]["us-west-2"]["app_client_id"],
    )
    secondary = own_cloud.endpoints["secondary"]
    found = surrogatectl.run("reconcile", "--output=json")
    assert found.returncode == 1
    kinds = {
        (each["kind"], each["region"])
        for each in json.loads(found.stdout)["drift"]
        if each["client_id"] == credential.client_id
    }
    assert kinds == {("app_client_gone", "us-west-2")}
    assert surrogatectl.run("reconcile", "--repair", "--yes").returncode == 0
    assert surrogatectl.run("reconcile").returncode == 0
    end = time.monotonic() + 30
    while post_token(secondary, credential.pair).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.5)


def test_with_the_other_region_gone_the_survey_says_what_it_could_not_see(
    own_cloud: Cloud, surrogatectl: CommandLine, enroll_everywhere: Callable[[], Credential]
) -> None:
    enroll_everywhere()
    own_cloud.set_region("secondary", "refused")
    found = surrogatectl.run("reconcile", "--output=json")
    assert found.returncode == 1
    drift = json.loads(found.stdout)["drift"]
    assert {each["kind"] for each in drift} == {"unknown"}
