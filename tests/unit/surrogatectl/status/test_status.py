"""`status`: its reading of both Regions, and its list of open problems."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib import record_json
from chalicelib.clients.enrollment import EnrollmentRequest
from chalicelib.denial_shards import WRITES_A_DAY
from chalicelib.model import ClientId, Lease, RegionState, Replication
from surrogatectl.regions.lease import described
from surrogatectl.status.command import document, last_drill
from surrogatectl.status.findings import attention, should_lead_to, the_writer
from surrogatectl.status.reader import DriftReport, RegionSeen, Seen, StatusReader
from surrogatectl.status.replication import ReplicationReader, ReplicationSeen
from tests.aws_worlds import AwsWorld, Operators
from tests.operator_fakes import FakeConnect, FakeWeb, refusal, settings
from tests.worlds import CALLER, EAST, WEST

SETTINGS = settings()
URLS = {"primary": "https://primary.example", "secondary": "https://secondary.example"}
DENIED = frozenset({ClientId("sgc_" + "a" * 26)})


@dataclass
class FakeLogs:
    """CloudWatch Logs of one Region: *groups* maps a log group to its lines, a page each."""

    groups: dict[str, list[str]]

    def filter_log_events(self, *, logGroupName: str, **asked: Any) -> dict[str, Any]:
        if logGroupName not in self.groups:
            raise refusal("ResourceNotFoundException")
        lines, number = self.groups[logGroupName], int(asked.get("nextToken", 0))
        more = {"nextToken": str(number + 1)} if number + 1 < len(lines) else {}
        return {"events": [{"message": each} for each in lines[number : number + 1]], **more}


@dataclass
class Deployed:
    """Deployment without open problems, until a test breaks something."""

    world: AwsWorld = field(default_factory=lambda: AwsWorld(list_seconds=0))
    quick: bool = False

    def __post_init__(self) -> None:
        self.web = FakeWeb()
        self.logs = {region: FakeLogs({}) for region in (EAST, WEST)}
        services: dict[tuple[str, str], Any] = {}
        for role, region in (("primary", EAST), ("secondary", WEST)):
            self.web.answers[f"{URLS[role]}/health"] = (200, {"region": region})
            ready = {"status": "ready", "secrets_manager": True, "token_endpoint": True}
            self.web.answers[f"{URLS[role]}/health/ready"] = (200, ready)
            secrets = self.world.aws.secrets_manager(self.world.secrets[region])
            services |= {("secretsmanager", region): secrets, ("logs", region): self.logs[region]}
        self.leads_to(EAST)
        self.connect = FakeConnect(services)

    def leads_to(self, region: str) -> None:
        self.web.answers[f"{SETTINGS.public_url}/health"] = (200, {"region": region})

    def update_state(self, region: str, **changes: Any) -> None:
        state = RegionState(**{"writer": False, "took_over": False, **changes})
        secret = self.world.secrets[region].secrets["surrogate/region"]
        secret.current.text = record_json.state_to_json(state)

    def deny(self, region: str, times: int = 1) -> None:
        """Deny a client in one Region, again and again."""
        denials = Operators(self.world, region).denials[region]
        for _ in range(times):
            denials.change(deny=DENIED, allow=())

    def lose(self, region: str) -> None:
        self.connect.lost.add(region)
        role = "primary" if region == EAST else "secondary"
        for path in ("/health", "/health/ready"):
            self.web.answers.pop(URLS[role] + path)

    def enroll(self, count: int = 1) -> list[ClientId]:
        asked = EnrollmentRequest("billing", ("demo/read",), (), None, None)
        made = [
            Operators(self.world).enroll.enroll(asked, CALLER).record.client_id
            for _ in range(count)
        ]
        self.settle()
        return made

    def write(self, client_id: ClientId, *, replicated_after: float) -> None:
        secrets = self.world.secrets[EAST]
        secrets.replicator.seconds = replicated_after
        name = f"surrogate/clients/{client_id}"
        secrets.put_secret_value(
            SecretId=name, SecretString=secrets.secrets[name].current.text + " "
        )

    def settle(self) -> None:
        self.world.clock.advance(1)
        for each in self.world.aws.settle:
            each()

    def seen(self) -> Seen:
        return StatusReader(SETTINGS, URLS, self.connect, self.web, self.world.clock).read()

    def replication(self) -> ReplicationSeen | None:
        clock = self.world.clock
        reader = ReplicationReader(SETTINGS, self.connect, clock, clock.advance)
        return reader.compare(SETTINGS.primary, SETTINGS.secondary)

    def attention(self) -> list[str]:
        return list(attention(self.seen(), self.replication(), quick=self.quick))


@pytest.fixture
def deployed() -> Deployed:
    return Deployed()


def test_a_healthy_deployment_needs_no_attention(deployed: Deployed) -> None:
    deployed.enroll(3)
    assert deployed.attention() == []
    assert deployed.replication() == ReplicationSeen(3, {}, complete=True)


@pytest.mark.parametrize(("lost", "role"), [(EAST, "primary"), (WEST, "secondary")])
def test_a_lost_region_is_reported_and_the_other_one_is_read(
    deployed: Deployed, lost: str, role: str
) -> None:
    deployed.lose(lost)
    seen = deployed.seen()
    gone, left = seen.both if lost == EAST else seen.both[::-1]
    assert (gone.answers, gone.state, gone.health, gone.ready) == (False, None, None, None)
    assert left.answers
    assert left.state is not None
    assert left.is_ready
    assert deployed.attention()[0] == f"{lost} ({role}) does not answer."


TAKE_OVER = "surrogatectl failover --to secondary --force"


def test_a_lost_primary_suggests_a_failover_only_to_a_ready_secondary(deployed: Deployed) -> None:
    assert TAKE_OVER not in str(deployed.attention())
    deployed.lose(EAST)
    assert TAKE_OVER in str(deployed.attention())
    deployed.lose(WEST)
    assert TAKE_OVER not in str(deployed.attention())


def test_after_a_failover_the_name_should_lead_to_the_secondary(deployed: Deployed) -> None:
    deployed.update_state(WEST, took_over=True)
    assert deployed.attention() == [f"The name leads to {EAST} instead of {WEST}."]
    deployed.leads_to(WEST)
    assert deployed.attention() == []


def test_a_lost_secondary_leaves_the_names_target_unknown(
    deployed: Deployed,
) -> None:
    deployed.lose(WEST)
    assert should_lead_to(deployed.seen()) is None
    assert deployed.attention() == [f"{WEST} (secondary) does not answer."]


def test_a_name_that_does_not_answer_needs_attention(deployed: Deployed) -> None:
    deployed.web.answers.pop(f"{SETTINGS.public_url}/health")
    assert deployed.attention() == ["The name does not answer."]


FAIL_BACK = f"{WEST} writes since a failover. When {EAST} works again: surrogatectl failback."


def test_a_writing_secondary_suggests_a_failback(deployed: Deployed) -> None:
    # The primary was lost before anybody could tell it to write no more.
    deployed.update_state(WEST, writer=True, took_over=True, epoch=1)
    deployed.leads_to(WEST)
    seen = deployed.seen()
    assert the_writer(seen) is seen.secondary
    assert deployed.attention() == [FAIL_BACK]
    deployed.update_state(EAST, epoch=1)
    assert deployed.attention() == [FAIL_BACK]
    deployed.lose(EAST)
    assert deployed.attention() == [f"{EAST} (primary) does not answer.", FAIL_BACK]


def test_no_writer_needs_attention(deployed: Deployed) -> None:
    for region in (EAST, WEST):
        deployed.update_state(region)
    assert the_writer(deployed.seen()) is None
    assert deployed.attention() == [
        (
            f"No Region writes, and {EAST} has the traffic. To have {EAST} write: surrogatectl "
            f"failback. To have {WEST} take over: surrogatectl failover --to secondary."
        )
    ]


def test_an_interrupted_failback_shows_the_way_on_and_the_way_back(deployed: Deployed) -> None:
    deployed.update_state(EAST)
    deployed.update_state(WEST, took_over=True)
    deployed.leads_to(WEST)
    assert deployed.attention() == [
        (
            f"No Region writes, and {WEST} has the traffic. To go on to {EAST}: surrogatectl "
            f"failback. To have {WEST} write again: surrogatectl failback --abort."
        )
    ]


def test_a_lease_is_shown_with_its_holder_and_its_end(deployed: Deployed) -> None:
    now = int(deployed.world.clock())
    lease = Lease("failback", CALLER, now - 10, now + 290, "a run")
    deployed.update_state(WEST, lease=lease)
    (told,) = deployed.attention()
    assert told == f"A run has the lease: {described(lease)}."
    assert CALLER in told
    assert document(deployed.seen(), None, None, [])["lease"] == asdict(lease)
    deployed.world.clock.advance(290)
    (told,) = deployed.attention()
    assert "was not given back" in told
    assert "--take-over" in told


def test_a_secondarys_outranked_claim_to_write_needs_attention(deployed: Deployed) -> None:
    deployed.update_state(EAST, writer=True, epoch=2)
    deployed.update_state(WEST, writer=True, epoch=1)
    seen = deployed.seen()
    assert the_writer(seen) is seen.primary
    assert deployed.attention() == ["Both Regions claim to write: see surrogatectl doctor."]


def test_with_the_secondary_lost_the_primarys_own_state_decides_the_writer(
    deployed: Deployed,
) -> None:
    deployed.lose(WEST)
    seen = deployed.seen()
    assert the_writer(seen) is seen.primary
    deployed.update_state(EAST)
    assert the_writer(deployed.seen()) is None


def test_an_unreadable_state_differs_from_a_lost_region(deployed: Deployed) -> None:
    deployed.world.secrets[WEST].secrets["surrogate/region"].current.text = "{}"
    (first, *_) = deployed.attention()
    assert first.startswith(f"{WEST}: its state cannot be read.")


def test_an_unready_region_names_the_failing_dependency(deployed: Deployed) -> None:
    unready = {"status": "not ready", "secrets_manager": True, "token_endpoint": False}
    deployed.web.answers[f"{URLS['primary']}/health/ready"] = (503, unready)
    assert deployed.attention() == [f"{EAST} is not ready: token endpoint."]


def test_a_silent_function_in_an_answering_region_needs_attention(
    deployed: Deployed,
) -> None:
    deployed.web.answers.pop(f"{URLS['secondary']}/health")
    assert deployed.attention() == [
        f"{WEST}: its function does not answer. See surrogatectl doctor."
    ]


def test_denials_in_one_region_only_need_attention(deployed: Deployed) -> None:
    deployed.deny(WEST)
    assert deployed.attention() == [
        "1 clients are denied in one Region only: see surrogatectl denials."
    ]
    deployed.deny(EAST)
    assert deployed.attention() == []


# Replication


def test_denials_that_are_half_used_up_need_attention(deployed: Deployed) -> None:
    deployed.deny(EAST, WRITES_A_DAY // 2 - 1)
    deployed.deny(WEST)
    assert deployed.attention() == []
    deployed.deny(EAST)
    (told,) = deployed.attention()
    assert told.startswith(f"{EAST}: {WRITES_A_DAY // 2} of a day's {WRITES_A_DAY} changes")


def test_a_state_that_is_half_used_up_needs_attention(deployed: Deployed) -> None:
    secrets = deployed.world.secrets[WEST]
    text = secrets.secrets["surrogate/region"].current.text
    for number in range(50):
        secrets.put_secret_value(
            SecretId="surrogate/region", SecretString=text, ClientRequestToken=f"{number:-<36}"
        )
    (told,) = deployed.attention()
    assert told.startswith(f"{WEST}: its state was written 5")
    deployed.world.clock.advance(90_000)
    assert deployed.attention() == []


def test_denials_that_cannot_be_read_need_attention(deployed: Deployed) -> None:
    del deployed.world.secrets[EAST].secrets["surrogate/denials/03"]
    assert deployed.attention() == [f"{EAST}: its denials cannot be read. See surrogatectl doctor."]


def test_records_behind_in_replication_are_counted(deployed: Deployed) -> None:
    first, second, _ = deployed.enroll(3)
    deployed.world.secrets[EAST].remove_regions_from_replication(
        SecretId=f"surrogate/clients/{second}", RemoveReplicaRegions=[WEST]
    )
    deployed.settle()
    deployed.write(first, replicated_after=3_600)
    behind = {Replication.IN_PROGRESS: 1, Replication.MISSING: 1}
    found = deployed.replication()
    assert found == ReplicationSeen(3, behind, complete=True)
    assert found.in_sync == 1
    (problem,) = deployed.attention()
    assert problem.startswith("Of 3 records, not in sync: ")
    assert "1 missing" in problem
    assert "surrogatectl reconcile --repair" in problem


def test_lagging_lists_need_no_attention() -> None:
    deployed = Deployed(AwsWorld(list_seconds=300))
    (client_id,) = deployed.enroll()
    deployed.world.clock.advance(600)
    deployed.write(client_id, replicated_after=0.3)
    deployed.settle()
    # The primary's list shows the new version by now, the replica's not yet.
    deployed.world.clock.advance(299.5)
    assert deployed.replication() == ReplicationSeen(1, {}, complete=True)


def test_replication_compares_records_of_all_pages(deployed: Deployed) -> None:
    for number in range(101):
        name = f"surrogate/clients/{number}"
        secrets = deployed.world.secrets[EAST]
        secrets.create_secret(Name=name, ClientRequestToken=f"{number:036}", SecretString="{}")
        secrets.replicate_secret_to_regions(SecretId=name, AddReplicaRegions=[{"Region": WEST}])
    deployed.settle()
    assert deployed.replication() == ReplicationSeen(101, {}, complete=True)


def test_a_lost_region_leaves_replication_unknown(deployed: Deployed) -> None:
    deployed.connect.lost.add(WEST)
    assert deployed.replication() is None


def test_quick_skips_replication_without_a_complaint(deployed: Deployed) -> None:
    assert list(attention(deployed.seen(), None, quick=True)) == []
    assert list(attention(deployed.seen(), None, quick=False)) == [
        "The replication cannot be compared."
    ]


# Drift


def report(at: int, **kinds: int) -> str:
    return json.dumps({"event": "reconcile", "at": at, "complete": True, "drift": kinds})


def test_the_last_drift_report_is_shown(deployed: Deployed) -> None:
    group = f"{SETTINGS.primary.log_group}-upkeep"
    lines = [report(10, orphan=2), report(20, orphan=0, stale=1), "no json", json.dumps([1])]
    deployed.logs[EAST].groups[group] = lines
    assert deployed.seen().primary.drift == DriftReport(20, {"stale": 1}, complete=True)
    assert deployed.attention() == [f"{EAST} last reported drift: see surrogatectl reconcile."]
    lines.append(report(30, orphan=0))
    assert deployed.attention() == []


@pytest.mark.parametrize(
    "log_group", ["/aws/lambda/ours-primary-token", "/aws/lambda/ours-primary"]
)
def test_drift_reports_come_from_the_admin_stage_of_split_stages(
    deployed: Deployed, log_group: str
) -> None:
    split = settings(LOG_GROUP_PRIMARY=log_group)
    deployed.logs[EAST].groups["/aws/lambda/ours-primary-admin-upkeep"] = [report(10)]
    reader = StatusReader(split, URLS, deployed.connect, deployed.web, deployed.world.clock)
    assert reader.read().primary.drift == DriftReport(10, {}, complete=True)


# Output


def test_the_json_document_contains_the_whole_status(deployed: Deployed) -> None:
    deployed.lose(EAST)
    deployed.update_state(WEST, writer=True, took_over=True)
    deployed.deny(WEST)
    deployed.leads_to(WEST)
    seen = deployed.seen()
    behind = ReplicationSeen(5, {Replication.MISSING: 1}, complete=False)
    drill: Mapping[str, Any] = {"finished_at": 1, "kept": 9, "broken": 0}
    shown = document(seen, behind, dict(drill), ["something"])
    assert shown["name"] == {"leads_to": WEST, "should_lead_to": WEST}
    assert shown["writer"] == WEST
    assert shown["replication"] == {
        "looked_at": 5,
        "in_sync": 4,
        "behind": {"missing": 1},
        "complete": False,
    }
    gone, left = (shown["regions"][region] for region in (EAST, WEST))
    assert (gone["answers"], gone["writer"], gone["healthy"], gone["denied"]) == (
        False,
        None,
        False,
        None,
    )
    assert (left["answers"], left["writer"], left["took_over"], left["denied"]) == (
        True,
        True,
        True,
        1,
    )
    assert shown["last_drill"] == drill
    assert shown["attention"] == ["something"]
    assert "sgc_" not in json.dumps(shown), "who is denied is for surrogatectl denials"


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "no json"])
def test_an_unreadable_drill_report_shows_no_drill(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "drill.json"
    if content is not None:
        path.write_text(content)
    assert last_drill(path) is None


def test_a_region_is_ready_only_if_every_dependency_is() -> None:
    region = RegionSeen("primary", EAST, answers=True)
    assert not region.is_ready
    assert replace(region, ready={"secrets_manager": True}).is_ready
    assert not replace(region, ready={"secrets_manager": False}).is_ready
