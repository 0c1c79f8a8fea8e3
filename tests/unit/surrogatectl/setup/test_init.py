"""`init`, `doctor` and `reconcile` lead out of a failed replication, over a served cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from pytest_socket import enable_socket

from tests.aws_worlds import PREFIX
from tests.unit.stable_names.served_cloud import ServedCloud, served_cloud
from tests.worlds import EAST, WEST

KEY, SNAPSHOT = f"{PREFIX}/deployment", f"{PREFIX}/jwks"


@pytest.fixture
def cloud() -> Iterator[ServedCloud]:
    enable_socket()
    with served_cloud() as cloud:
        yield cloud


def put_in_the_way(cloud: ServedCloud, name: str) -> None:
    cloud.world.secrets[WEST].create_secret(
        Name=name, ClientRequestToken="-" * 36, SecretString="{}"
    )


def status(cloud: ServedCloud, name: str) -> str:
    return cloud.world.secrets[EAST].secrets[name].replicas[WEST]


@pytest.mark.parametrize("name", [KEY, SNAPSHOT])
def test_init_removes_a_failed_replica_and_asks_for_it_again(cloud: ServedCloud, name: str) -> None:
    put_in_the_way(cloud, name)
    told = cloud.run("init")
    assert told.exit_code == 1
    assert f"{WEST} has a secret {name} that is no replica" in told.stderr
    assert status(cloud, name) == "Failed"
    assert cloud.world.secrets[WEST].secrets[name].primary_region is None, "it is not touched"
    del cloud.world.secrets[WEST].secrets[name]
    again = cloud.run("init", "--output=json")
    assert again.exit_code == 0
    assert json.loads(again.stdout)[f"{WEST} {name}"] == "replicated again"
    assert status(cloud, name) == "InSync"
    assert json.loads(cloud.run("init", "--output=json").stdout)[f"{WEST} {name}"] == "replica"


@pytest.mark.slow
def test_init_waits_for_a_replica_and_says_that_it_is_on_its_way(cloud: ServedCloud) -> None:
    cloud.world.secrets[EAST].replicator.seconds = 100_000
    told = cloud.run("init")
    assert told.exit_code == 4
    assert "on its way" in told.stderr
    cloud.world.secrets[EAST].replicator.hurry()
    assert cloud.run("init").exit_code == 0


@pytest.mark.parametrize("name", [KEY, SNAPSHOT])
def test_reconcile_repairs_a_failed_replica_of_an_own_secret(cloud: ServedCloud, name: str) -> None:
    put_in_the_way(cloud, name)
    assert cloud.run("init").exit_code == 1
    alone = cloud.run("reconcile", "--repair", "--yes")
    assert alone.exit_code == 1
    assert "has a secret of its own in its place" in alone.output
    del cloud.world.secrets[WEST].secrets[name]
    found = cloud.run("reconcile", "--output=json")
    assert found.exit_code == 1
    (drift,) = json.loads(found.stdout)["drift"]
    assert (drift["kind"], drift["repairable"]) == ("replica", True)
    assert name in drift["detail"]
    assert cloud.run("reconcile", "--repair", "--yes").exit_code == 0
    assert status(cloud, name) == "InSync"


def test_a_failed_replica_of_a_client_is_repaired_by_the_command_that_doctor_names(
    cloud: ServedCloud,
) -> None:
    assert cloud.run("init").exit_code == 0
    made = cloud.run("enroll", "--name=n", "--scope=demo/read", "--output=json")
    name = f"{PREFIX}/clients/{json.loads(made.stdout)['client_id']}"
    # Nothing tries it again.
    del cloud.world.secrets[WEST].secrets[name]
    cloud.world.secrets[EAST].secrets[name].replicas[WEST] = "Failed"
    (finding,) = [
        each
        for each in json.loads(cloud.run("doctor", "--output=json").stdout)["checks"]
        if each["check"] == "replication"
    ]
    assert "surrogatectl reconcile --repair" in finding["remedy"]
    assert cloud.run("reconcile", "--repair", "--yes").exit_code == 0
    assert status(cloud, name) == "InSync"


def test_a_promoted_record_survives_the_repair_and_is_brought_together_by_failback(
    cloud: ServedCloud,
) -> None:
    assert cloud.run("init").exit_code == 0
    made = cloud.run("enroll", "--name=n", "--scope=demo/read", "--output=json")
    client_id = json.loads(made.stdout)["client_id"]
    name = f"{PREFIX}/clients/{client_id}"
    cloud.world.secrets[WEST].stop_replication_to_replica(SecretId=name)
    cloud.world.secrets[EAST].secrets[name].replicas[WEST] = "Failed"
    assert cloud.run("update", client_id, "--name=renamed").exit_code == 0
    repaired = cloud.run("reconcile", "--repair", "--yes")
    assert repaired.exit_code == 1
    assert "surrogatectl failback" in repaired.output
    assert name in cloud.world.secrets[WEST].secrets
    assert cloud.run("failback").exit_code == 0
    assert status(cloud, name) == "InSync"
    assert cloud.run("reconcile").exit_code == 0
