"""Replication is asynchronous, ordered, and stops at a Region that is down."""

from typing import Any

from local.aws_gaps.secret_replication import Place, Replicator, Store
from local.replication import Replication

EAST = Place("000000000000", "us-east-1", "app/x")
WEST = EAST.elsewhere("us-west-2")
ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:app/x-AbCdEf"


class Scoped(dict[Any, Any]):
    """The part of MiniStack's stores that replication uses."""

    def get_scoped(self, account: str, region: str, name: str, default: object = None) -> Any:
        return self.get((account, region, name), default)

    def set_scoped(self, account: str, region: str, name: str, value: object) -> None:
        self[account, region, name] = value

    def pop_scoped(self, account: str, region: str, name: str, *default: object) -> Any:
        return self.pop((account, region, name), *default)


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.replication = Replication()
        self.store = Store(Scoped(), Scoped())
        self.replicator = Replicator(self.store, self.replication, lambda: self.now)
        self.replication.on_change(self.replicator.deliver)

    def put(self, place: Place, value: str, arn: str = ARN) -> None:
        secret = self.store.get(place) or {
            "ARN": arn.replace("us-east-1", place.region),
            "Name": place.name,
            "ReplicationStatus": [],
        }
        self.store.put(place, {**secret, "Versions": {"v": {"SecretString": value}}})

    def replicate(self, source: Place = EAST, *, overwrite: bool = False) -> None:
        target = WEST if source == EAST else EAST
        self.replicator.start(source, target.region, None, overwrite=overwrite)
        self.replicator.deliver()

    def change(self, value: str) -> None:
        self.put(EAST, value)
        self.replicator.update(EAST)

    def value(self, place: Place = WEST) -> str | None:
        secret = self.store.get(place)
        return secret["Versions"]["v"]["SecretString"] if secret else None

    def status(self, place: Place = EAST) -> list[tuple[str, str]]:
        secret = self.store.get(place)
        assert secret is not None
        return [(row["Region"], row["Status"]) for row in secret["ReplicationStatus"]]


def a_replicated_secret() -> World:
    world = World()
    world.put(EAST, "one")
    world.replicate()
    return world


def test_a_change_arrives_at_once_without_a_lag() -> None:
    world = a_replicated_secret()
    world.change("two")
    assert world.value() == "two"
    assert world.status() == [("us-west-2", "InSync")]


def test_a_replica_has_the_arn_of_its_region_and_knows_its_primary() -> None:
    replica = a_replicated_secret().store.get(WEST)
    assert replica is not None
    assert replica["ARN"] == ARN.replace("us-east-1", "us-west-2")
    assert replica["_PrimaryRegion"] == "us-east-1"


def test_every_change_arrives_after_the_lag() -> None:
    world = a_replicated_secret()
    world.replication.set_lag(2)
    world.change("two")
    world.now += 1
    world.change("three")
    assert (world.value(), world.status()) == ("one", [("us-west-2", "InProgress")])
    world.now += 1
    world.replicator.deliver()
    assert (world.value(), world.status()) == ("two", [("us-west-2", "InProgress")])
    world.now += 1
    world.replicator.deliver()
    assert (world.value(), world.status()) == ("three", [("us-west-2", "InSync")])


def test_replication_stops_while_either_region_is_down() -> None:
    for away in ("us-east-1", "us-west-2"):
        world = a_replicated_secret()
        world.replication.set_region(away, up=False)
        world.change("two")
        assert (world.value(), world.status()) == ("one", [("us-west-2", "InProgress")])
        world.replication.set_region(away, up=True)
        assert (world.value(), world.status()) == ("two", [("us-west-2", "InSync")])


def test_replication_overwrites_an_existing_secret_only_on_request() -> None:
    world = World()
    world.put(EAST, "ours")
    world.put(WEST, "theirs", ARN.replace("AbCdEf", "GhIjKl"))
    world.replicate()
    assert (world.value(), world.status()) == ("theirs", [("us-west-2", "Failed")])
    world.change("ours again")
    assert (world.value(), world.status()) == ("theirs", [("us-west-2", "Failed")])
    world.replicate(overwrite=True)
    assert (world.value(), world.status()) == ("theirs", [("us-west-2", "Failed")])
    world.replicator.stop(EAST, "us-west-2")
    world.replicate(overwrite=True)
    assert (world.value(), world.status()) == ("ours again", [("us-west-2", "InSync")])


def test_a_failed_replica_stays_so_until_it_is_removed_and_asked_for_again() -> None:
    world = World()
    world.put(EAST, "ours")
    world.put(WEST, "theirs", ARN.replace("AbCdEf", "GhIjKl"))
    world.replicate()
    world.store.remove(WEST)
    world.change("ours again")
    world.replicate()
    assert (world.value(), world.status()) == (None, [("us-west-2", "Failed")])
    world.replicator.stop(EAST, "us-west-2")
    world.replicate()
    assert (world.value(), world.status()) == ("ours again", [("us-west-2", "InSync")])


def test_the_failure_has_the_text_of_aws() -> None:
    world = World()
    world.put(EAST, "ours")
    world.put(WEST, "theirs", ARN.replace("AbCdEf", "GhIjKl"))
    world.replicate()
    secret = world.store.get(EAST)
    assert secret is not None
    assert secret["ReplicationStatus"][0]["StatusMessage"] == (
        "Replication failed: Secret name simple/app/x already exists in region us-west-2."
    )


def test_a_region_is_listed_once_however_often_it_is_added() -> None:
    world = a_replicated_secret()
    world.replicate(overwrite=True)
    world.replicate(overwrite=True)
    assert world.status() == [("us-west-2", "InSync")]


def test_a_removed_region_loses_its_replica() -> None:
    world = a_replicated_secret()
    world.replicator.stop(EAST, "us-west-2")
    world.replicator.deliver()
    assert (world.value(), world.status()) == (None, [])


def test_a_removed_region_that_is_down_loses_its_replica_on_return() -> None:
    world = a_replicated_secret()
    world.replication.set_region("us-west-2", up=False)
    world.replicator.stop(EAST, "us-west-2")
    assert (world.value(), world.status()) == ("one", [])
    world.replication.set_region("us-west-2", up=True)
    assert world.value() is None


def test_a_promoted_replica_is_independent() -> None:
    world = a_replicated_secret()
    world.replicator.detach(WEST)
    world.change("two")
    assert (world.value(), world.status(), world.status(WEST)) == ("one", [], [])


def test_a_pending_change_does_not_reach_a_promoted_replica() -> None:
    world = a_replicated_secret()
    world.replication.set_region("us-east-1", up=False)
    world.change("written by the lost Region")
    world.replicator.detach(WEST)
    world.replication.set_region("us-east-1", up=True)
    assert (world.value(), world.status()) == ("one", [])


def test_a_promoted_secret_can_be_replicated_back_over_the_old_primary() -> None:
    world = a_replicated_secret()
    world.replicator.detach(WEST)
    world.put(WEST, "newer")
    world.replicate(WEST, overwrite=True)
    assert world.value(EAST) == "newer"
    assert world.status(WEST) == [("us-east-1", "InSync")]
    world.replicator.detach(EAST)
    world.replicate(EAST, overwrite=True)
    assert (world.value(WEST), world.status()) == ("newer", [("us-west-2", "InSync")])
