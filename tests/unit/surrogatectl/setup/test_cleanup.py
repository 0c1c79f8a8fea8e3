"""`cleanup`: ordered removal of the deployment's resources, and of nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chalicelib.clients.enrollment import EnrollmentRequest
from chalicelib.denial_shards import SHARDS
from chalicelib.model import ClientId
from chalicelib.timing import RateLimiter
from surrogatectl.cli.operators import NoAnswerError
from surrogatectl.setup.cleanup import remaining_steps, stages
from surrogatectl.setup.cleanup_plan import Cleanup, Inventory
from tests.aws_worlds import AwsWorld, Operators
from tests.fake_aws import Crash, crash_after, crash_before
from tests.operator_fakes import FakeConnect, settings
from tests.worlds import CALLER, EAST, EAST_POOL, WEST, WEST_POOL

SETTINGS = settings(USER_POOL_ID_PRIMARY=EAST_POOL, USER_POOL_ID_SECONDARY=WEST_POOL)
KIND = [{"Key": "surrogate:kind", "Value": "state"}]

SHARD_NAMES = [f"surrogate/denials/{number:02}" for number in range(SHARDS)]

SHARD_NAMES = [f"surrogate/denials/{number:02}" for number in range(SHARDS)]


@dataclass
class Ending:
    """Deployment with one client, before its cleanup."""

    world: AwsWorld = field(default_factory=lambda: AwsWorld(list_seconds=0))

    def __post_init__(self) -> None:
        self.client_id = self.enroll()
        self.settle()

    def enroll(self) -> ClientId:
        asked = EnrollmentRequest("billing", ("demo/read",), (), None, None)
        return Operators(self.world).enroll.enroll(asked, CALLER).record.client_id

    def settle(self) -> None:
        self.world.clock.advance(1)
        for each in self.world.aws.settle:
            each()

    def cleanup(self, per_second: float = 1_000) -> Cleanup:
        aws, clock = self.world.aws, self.world.clock
        services: dict[tuple[str, str], Any] = {}
        for region in (EAST, WEST):
            services["secretsmanager", region] = aws.secrets_manager(self.world.secrets[region])
            services["cognito-idp", region] = aws.cognito(self.world.pools[region])
        limiter = RateLimiter(per_second, clock, clock.advance)
        return Cleanup(SETTINGS, FakeConnect(services), limiter, limiter)

    def run(self) -> list[str]:
        work = self.cleanup()
        return list(work.remove(work.inventory(), self.world.clock.advance))

    @property
    def names(self) -> set[str]:
        """All secrets and app clients, in both Regions."""
        world = self.world
        secrets = {f"{r} {name}" for r in (EAST, WEST) for name in world.secrets[r].secrets}
        return secrets | {
            f"{r} {client.settings['ClientName']}"
            for r in (EAST, WEST)
            for client in world.pools[r].clients.values()
        }


def test_cleanup_removes_every_secret_and_app_client() -> None:
    ending = Ending()
    assert len(ending.names) == 8 + 2 * SHARDS
    ending.run()
    assert ending.names == set()
    assert len(ending.cleanup().inventory()) == 0


def test_cleanup_removes_replicas_records_states_key_and_app_clients_in_order() -> None:
    ending = Ending()
    steps = ending.run()
    record = f"surrogate/clients/{ending.client_id}"
    assert steps == [
        f"{EAST}: replica of {record} removed",
        f"{EAST}: replica of surrogate/deployment removed",
        f"{EAST}: {record} deleted",
        *(f"{region}: {name} deleted" for name in SHARD_NAMES for region in (EAST, WEST)),
        f"{EAST}: surrogate/region deleted",
        f"{WEST}: surrogate/region deleted",
        f"{EAST}: surrogate/deployment deleted",
        f"{EAST}: app client of {ending.client_id} deleted",
        f"{WEST}: app client of {ending.client_id} deleted",
    ]


def test_a_secret_is_deleted_only_after_its_replica() -> None:
    """AWS refuses an earlier deletion, and the removal of a replica takes a while."""
    ending = Ending()
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        ending.world.clock.advance(seconds)

    work = ending.cleanup()
    list(work.remove(work.inventory(), pause))
    assert waits
    assert ending.names == set()


def test_a_replica_that_remains_stops_the_cleanup_and_is_named() -> None:
    ending = Ending()
    work = ending.cleanup()
    found = work.inventory()
    with pytest.raises(NoAnswerError, match=f"surrogate/.* is still there in {WEST}"):
        list(work.remove(found, lambda _: None))
    assert f"{EAST} surrogate/clients/{ending.client_id}" in ending.names


def test_cleanup_removes_clients_scheduled_for_deletion() -> None:
    ending = Ending()
    Operators(ending.world).deletion.delete(ending.client_id, 7, None)
    ending.settle()
    ending.run()
    assert ending.names == set()


def test_an_inventory_changes_nothing() -> None:
    ending = Ending()
    before = ending.names
    found = ending.cleanup().inventory()
    assert ending.names == before
    assert {(each.region, each.name, each.replica_of) for each in found.secrets} == {
        (EAST, f"surrogate/clients/{ending.client_id}", None),
        (WEST, f"surrogate/clients/{ending.client_id}", EAST),
        *((region, name, None) for name in SHARD_NAMES for region in (EAST, WEST)),
        (EAST, "surrogate/region", None),
        (WEST, "surrogate/region", None),
        (EAST, "surrogate/deployment", None),
        (WEST, "surrogate/deployment", EAST),
    }


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("other/clients/x", KIND),
        ("surrogate-2/region", KIND),
        ("SURROGATE/region", KIND),
        ("surrogate/region-of-somebody", []),
        ("surrogate/clients/not a client", KIND),
    ],
)
def test_a_secret_with_a_similar_name_stays(name: str, tags: list[Any]) -> None:
    ending = Ending()
    ending.world.secrets[EAST].create_secret(
        Name=name, ClientRequestToken="t" * 36, SecretString="{}", Tags=tags
    )
    ending.run()
    assert ending.names == {f"{EAST} {name}"}


def test_a_tagged_secret_below_the_prefix_is_removed() -> None:
    ending = Ending()
    ending.world.secrets[WEST].create_secret(
        Name="surrogate/keys", ClientRequestToken="t" * 36, SecretString="{}", Tags=KIND
    )
    ending.run()
    assert ending.names == set()


names = st.text(st.sampled_from("abcs-_ /"), max_size=6)


@hypothesis_settings(max_examples=25)
@given(st.sampled_from(["surrogate", "surrogate-", "Surrogate-", "surrogates-", ""]), names)
def test_an_app_client_without_our_mark_stays(start: str, rest: str) -> None:
    name = (start + rest).replace("/", "+") or "x"
    ending = Ending()
    pool = ending.world.pools[EAST]
    pool.create_user_pool_client(UserPoolId=EAST_POOL, ClientName=name, GenerateSecret=True)
    ours = {each for _, each in ending.world.ours(EAST)}
    ending.run()
    left = {each.removeprefix(f"{EAST} ") for each in ending.names}
    # What is named <prefix>-<client ID> is ours, even where nobody enrolled it.
    assert left == {name} or ClientId(name.removeprefix("surrogate-")) in ours


@pytest.mark.parametrize("crash", [crash_before, crash_after])
def test_the_next_run_completes_a_cleanup_that_crashed_at_any_call(
    crash: Callable[[int], Any],
) -> None:
    undisturbed = Ending()
    undisturbed.world.aws.watch()
    undisturbed.run()
    for number in range(len(undisturbed.world.aws.calls)):
        ending = Ending()
        ending.world.aws.watch(crash(number))
        with suppress(Crash):  # after a refusal there is none
            ending.run()
        ending.world.aws.watch()
        ending.settle()
        ending.run()
        assert ending.names == set(), f"after {undisturbed.world.aws.calls[number]}"


@pytest.mark.parametrize("region", [EAST, WEST])
def test_cleanup_changes_nothing_while_a_region_is_lost(region: str) -> None:
    ending = Ending()
    before = ending.names
    ending.world.aws.down.add(region)
    with pytest.raises(NoAnswerError):
        ending.run()
    assert ending.names == before


def test_cleanup_keeps_to_its_rate_limits() -> None:
    ending = Ending()
    for _ in range(3):
        ending.enroll()
    ending.settle()
    ending.world.aws.watch()
    work = ending.cleanup(per_second=2)
    found = work.inventory()
    began = ending.world.clock()
    ending.world.aws.watch()
    list(work.remove(found, ending.world.clock.advance))
    changed = [each for each in ending.world.aws.calls if each.operation.startswith("Delete")]
    assert ending.world.clock() - began >= (len(changed) - 1) / 2


def test_an_empty_inventory_has_length_zero() -> None:
    assert len(Inventory((), ())) == 0


def test_remaining_steps_name_the_deployed_stages(tmp_path: Path) -> None:
    assert stages(tmp_path) == ["primary", "secondary"]
    deployed = tmp_path / ".chalice" / "deployed"
    deployed.mkdir(parents=True)
    (deployed / "primary-token.json").write_text(json.dumps({"resources": [{"name": "x"}]}))
    (deployed / "primary-admin.json").write_text(json.dumps({"resources": []}))
    (deployed / "broken.json").write_text("{")
    assert stages(tmp_path) == ["primary-token"]
    steps = remaining_steps(SETTINGS, ["primary-token"])
    commands = [".venv/bin/chalice delete --stage primary-token", "infra/routing.yaml"]
    for each in commands:
        assert [step for step in steps if each in step]
    assert [number for number, step in enumerate(steps) if "routing" in step] == [1]
