"""A sample of crashes on the local cloud, repaired by `reconcile`."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from chalicelib.aws.connections import Connections
from chalicelib.clients.app_client_rotation import Step
from chalicelib.clients.enrollment import Enrollment, EnrollmentRequest
from chalicelib.composition.admin import AdminParts
from chalicelib.credentials import SecretHasher
from chalicelib.model import ClientId
from chalicelib.settings import Settings
from local.cloud import Cloud
from surrogatectl.cli.configuration import Deployment
from surrogatectl.setup.bootstrap import initialize
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.tokens import post_token

CALLER = "arn:aws:iam::000000000000:user/e2e"
SETTLED = 20 * 60


class Crash(BaseException):
    """End of the function in the middle of an operation."""


@dataclass
class Calls:
    """Counter of the AWS calls of both Regions, which ends the operation at one of them."""

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


@dataclass
class World:
    """Own prefix in the cloud, isolated from other tests' resources."""

    cloud: Cloud
    settings: Settings

    @classmethod
    def new(cls, cloud: Cloud) -> World:
        environment = {
            **cloud.environment,
            "SECRET_PREFIX": f"crash-{secrets.token_hex(4)}",
            "APP_REGION": cloud.environment["REGION_PRIMARY"],
        }
        settings = Settings.from_env(environment)
        initialize(Deployment(settings, {}, {}))
        return cls(cloud, settings)

    def parts(self, calls: Calls | None = None, *, later: float = 0) -> AdminParts:
        here, there = Connections(self.settings.own), Connections(self.settings.other)
        if calls:
            here, there = calls.watch(here), calls.watch(there)
        return AdminParts(
            settings=self.settings,
            here=here,
            there=there,
            clock=lambda: time.time() + later,
            pause=time.sleep,
            random_bytes=secrets.token_bytes,
        )

    def crash(self, operation: Callable[[AdminParts], object], **at: int) -> None:
        with pytest.raises(Crash):
            operation(self.parts(Calls(**at)))

    def repair(self) -> list[str]:
        """Repair as of 20 minutes later; return the findings."""
        outcomes = list(self.parts(later=SETTLED).reconcile.run(_unseen))
        assert {each.result for each in outcomes} <= {"repaired", "nothing_to_do"}, outcomes
        # Repair is idempotent: a second run finds nothing.
        assert not list(self.parts(later=SETTLED).survey.run(_unseen))
        return [each.drift.kind for each in outcomes]

    def records(self) -> list[dict[str, Any]]:
        """Return the records that are not marked for deletion."""
        store = self.cloud.client("secretsmanager", "primary", "root")
        start = f"{self.settings.secret_prefix}/clients/"
        return [
            json.loads(store.get_secret_value(SecretId=secret["Name"])["SecretString"])
            for page in store.get_paginator("list_secrets").paginate()
            for secret in page["SecretList"]
            if secret["Name"].startswith(start)
        ]

    def assert_nothing_is_stranded(self) -> None:
        """Assert that records, replicas and app clients agree in both Regions."""
        records = self.records()
        replicas = self.cloud.client("secretsmanager", "secondary", "root")
        for role, region in self.cloud.endpoints["regions"].items():
            pages = (
                self.cloud.client("cognito-idp", role, "root")
                .get_paginator("list_user_pool_clients")
                .paginate(UserPoolId=self.cloud.endpoints["user_pools"][role])
            )
            existing = {
                client["ClientId"]
                for page in pages
                for client in page["UserPoolClients"]
                if client["ClientName"].startswith(f"{self.settings.secret_prefix}-")
            }
            app_clients = [record["app_clients"][region] for record in records]
            assert {regional["app_client_id"] for regional in app_clients} == existing
        for record in records:
            assert record["status"] == "active"
            name = f"{self.settings.secret_prefix}/clients/{record['client_id']}"
            assert json.loads(replicas.get_secret_value(SecretId=name)["SecretString"]) == record


def _unseen(_done: int, _total: int | None) -> None:
    """Ignore progress."""


def enroll(made: AdminParts) -> ClientId:
    hasher = SecretHasher(secrets.token_bytes)
    enrollment = Enrollment(made.repository, made.app_clients, hasher, secrets.token_bytes)
    request = EnrollmentRequest("crashed", ("demo/read",), (), None, None)
    return enrollment.enroll(request, CALLER).record.client_id


@pytest.fixture
def world(cloud: Cloud) -> Iterator[World]:
    with credentials_of_the_operator(cloud):
        yield World.new(cloud)


def test_a_crashed_enrollment_is_undone_or_finished(world: World) -> None:
    calls = Calls()
    enroll(world.parts(calls))
    # From the first write on: an earlier crash leaves nothing.
    for call in range(5, calls.made + 1, 2):
        for when in ("before", "after"):
            world.crash(enroll, **{when: call})
    found = world.repair()
    assert {"orphaned_app_client", "unfinished_enrollment", "replica"} <= set(found)
    world.assert_nothing_is_stranded()


def delete(client_id: ClientId, made: AdminParts) -> object:
    return made.deletion.delete(client_id, 7)


def test_a_crashed_deletion_is_finished(world: World) -> None:
    calls = Calls()
    victim = enroll(world.parts())
    delete(victim, world.parts(calls))
    # From the moment at which the record is marked as deleted.
    for call in range(8, calls.made, 2):
        client_id = enroll(world.parts())
        world.crash(partial(delete, client_id), after=call)
    assert set(world.repair()) == {"unfinished_deletion"}
    assert world.records() == []
    world.assert_nothing_is_stranded()


def test_a_crashed_rotation_of_cognito_secrets_is_finished(world: World) -> None:
    client_id = enroll(world.parts())

    def advance(made: AdminParts) -> Step:
        return made.app_client_rotation.advance(client_id, due_before=2**40)["us-east-1"]

    world.crash(advance, after=5)  # the second secret was added, but not recorded
    later = 0.0
    seen: list[Step] = []
    while Step.FINISHED not in seen:
        assert len(seen) < 6
        later += SETTLED
        seen.append(advance(world.parts(later=later)))
    assert seen == [Step.STARTED, Step.WAITING, Step.FINISHED]
    (record,) = world.records()
    regional = record["app_clients"]["us-east-1"]
    pair = (regional["app_client_id"], regional["client_secret"])
    endpoint = world.cloud.endpoints["region_endpoints"]["primary"]
    assert post_token(endpoint, pair).status_code == 200
    secret_ids = world.cloud.client("cognito-idp", "primary").list_user_pool_client_secrets(
        UserPoolId=regional["user_pool_id"], ClientId=regional["app_client_id"]
    )["ClientSecrets"]
    assert len(secret_ids) == 1


def test_reconcile_finds_and_repairs_manual_drift(
    breakable_cloud: Cloud, enroll_everywhere: Callable[[], Credential], surrogatectl: CommandLine
) -> None:
    credential = enroll_everywhere()
    stored = json.loads(
        breakable_cloud.client("secretsmanager", "primary", "root").get_secret_value(
            SecretId=f"surrogate/clients/{credential.client_id}"
        )["SecretString"]
    )
    breakable_cloud.client("cognito-idp", "secondary", "root").delete_user_pool_client(
        UserPoolId=breakable_cloud.endpoints["user_pools"]["secondary"],
        ClientId=stored["app_clients"]["us-west-2"]["app_client_id"],
    )
    secondary = breakable_cloud.endpoints["secondary"]
    found = surrogatectl.run("reconcile", "--quick", "--output=json")
    assert found.returncode == 1
    kinds = {
        (each["kind"], each["region"])
        for each in json.loads(found.stdout)["drift"]
        if each["client_id"] == credential.client_id
    }
    assert kinds == {("app_client_gone", "us-west-2")}
    surrogatectl.run("reconcile", "--quick", "--repair", "--yes")
    again = json.loads(surrogatectl.run("reconcile", "--quick", "--output=json").stdout)
    assert credential.client_id not in {each["client_id"] for each in again["drift"]}
    end = time.monotonic() + 30
    while post_token(secondary, credential.pair).status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.5)


def test_with_the_other_region_gone_the_survey_names_unknown_parts(
    breakable_cloud: Cloud, surrogatectl: CommandLine, enroll_everywhere: Callable[[], Credential]
) -> None:
    enroll_everywhere()
    breakable_cloud.set_region("secondary", "refused")
    found = surrogatectl.run("reconcile", "--quick", "--output=json")
    assert found.returncode == 1
    drift = json.loads(found.stdout)["drift"]
    assert "unknown" in {each["kind"] for each in drift if each["region"] == "us-west-2"}
