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
def served() -> Iterator[ServedCloud]:
    enable_socket()
    with served_cloud() as served:
        yield served


def put_in_the_way(served: ServedCloud, name: str) -> None:
    served.world.secrets[WEST].create_secret(
        Name=name, ClientRequestToken="-" * 36, SecretString="{}"
    )


def status(served: ServedCloud, name: str) -> str:
    return served.world.secrets[EAST].secrets[name].replicas[WEST]


@pytest.mark.parametrize("name", [KEY, SNAPSHOT])
def test_init_removes_a_failed_replica_and_asks_for_it_again(
    served: ServedCloud, name: str
) -> None:
    put_in_the_way(served, name)
    told = served.run("init")
    assert told.exit_code == 1
    assert f"{WEST} has a secret {name} that is no replica" in told.stderr
    assert status(served, name) == "Failed"
    assert served.world.secrets[WEST].secrets[name].primary_region is None, "it is not touched"
    del served.world.secrets[WEST].secrets[name]
    again = served.run("init", "--output=json")
    assert again.exit_code == 0
    assert json.loads(again.stdout)[f"{WEST} {name}"] == "replicated again"
    assert status(served, name) == "InSync"
    assert json.loads(served.run("init", "--output=json").stdout)[f"{WEST} {name}"] == "replica"


@pytest.mark.slow
def test_init_waits_for_a_replica_and_says_that_it_is_on_its_way(served: ServedCloud) -> None:
    served.world.secrets[EAST].replicator.seconds = 100_000
    told = served.run("init")
    assert told.exit_code == 4
    assert "on its way" in told.stderr
    served.world.secrets[EAST].replicator.hurry()
    assert served.run("init").exit_code == 0


@pytest.mark.parametrize("name", [KEY, SNAPSHOT])
def test_reconcile_repairs_a_failed_replica_of_an_own_secret(
    served: ServedCloud, name: str
) -> None:
    put_in_the_way(served, name)
    assert served.run("init").exit_code == 1
    alone = served.run("reconcile", "--repair", "--yes")
    assert alone.exit_code == 1
    assert "has a secret of its own in its place" in alone.output
    del served.world.secrets[WEST].secrets[name]
    found = served.run("reconcile", "--output=json")
    assert found.exit_code == 1
    (drift,) = json.loads(found.stdout)["drift"]
    assert (drift["kind"], drift["repairable"]) == ("replica", True)
    assert name in drift["detail"]
    assert served.run("reconcile", "--repair", "--yes").exit_code == 0
    assert status(served, name) == "InSync"


def test_a_failed_replica_of_a_client_is_repaired_by_the_command_that_doctor_names(
    served: ServedCloud,
) -> None:
    assert served.run("init").exit_code == 0
    made = served.run("enroll", "--name=n", "--scope=demo/read", "--output=json")
    name = f"{PREFIX}/clients/{json.loads(made.stdout)['client_id']}"
    # Nothing tries it again.
    del served.world.secrets[WEST].secrets[name]
    served.world.secrets[EAST].secrets[name].replicas[WEST] = "Failed"
    (finding,) = [
        each
        for each in json.loads(served.run("doctor", "--output=json").stdout)["checks"]
        if each["check"] == "replication"
    ]
    assert "surrogatectl reconcile --repair" in finding["remedy"]
    assert served.run("reconcile", "--repair", "--yes").exit_code == 0
    assert status(served, name) == "InSync"


def test_a_promoted_record_survives_the_repair_and_is_brought_together_by_failback(
    served: ServedCloud,
) -> None:
    assert served.run("init").exit_code == 0
    made = served.run("enroll", "--name=n", "--scope=demo/read", "--output=json")
    client_id = json.loads(made.stdout)["client_id"]
    name = f"{PREFIX}/clients/{client_id}"
    served.world.secrets[WEST].stop_replication_to_replica(SecretId=name)
    served.world.secrets[EAST].secrets[name].replicas[WEST] = "Failed"
    assert served.run("update", client_id, "--name=renamed").exit_code == 0
    repaired = served.run("reconcile", "--repair", "--yes")
    assert repaired.exit_code == 1
    assert "surrogatectl failback" in repaired.output
    assert name in served.world.secrets[WEST].secrets
    assert served.run("failback").exit_code == 0
    assert status(served, name) == "InSync"
    assert served.run("reconcile").exit_code == 0
