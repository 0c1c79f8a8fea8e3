"""`drill` on the local cloud: kept promises, a deliberately broken one, and refusal to run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Cloud
from tests.e2e.conftest import CommandLine, Credential

Json = dict[str, Any]
# Few requests and ample time: the promises must not depend on the load of this machine.
OPTIONS = ("--rate=3", "--steady=2")


@pytest.fixture
def ctl(breakable_cloud: Cloud) -> Iterator[CommandLine]:
    """Restore the primary Region as the serving and writing one afterwards."""
    ctl = CommandLine(breakable_cloud)
    yield ctl
    breakable_cloud.reset()
    ctl("failback", "--settle=0", "--ttl=0", "--keep-all=secondary", "--force")


def drill(ctl: CommandLine, directory: Path, *options: str) -> tuple[int, Json, str]:
    done = ctl.run("drill", "--output=json", f"--report-dir={directory}", *OPTIONS, *options)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr


def test_an_interrupted_drill_puts_the_cloud_back_as_it_was(
    breakable_cloud: Cloud,
    ctl: CommandLine,
    enroll_everywhere: Callable[[], Credential],
    tmp_path: Path,
) -> None:
    enroll_everywhere()
    clients = {each["client_id"] for each in ctl("list")["clients"]}
    options = (f"--report-dir={tmp_path}", *OPTIONS, "--mode=refused")
    with ctl.started("drill", *options) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "the secondary Region has taken over" in line:
                process.terminate()
                break
        _, said = process.communicate(timeout=120)
    assert process.returncode == 4
    assert "Interrupted by SIGTERM." in said
    assert breakable_cloud.region_mode("primary") == "up"
    shown = json.loads(ctl.run("status", "--quick", "--output=json").stdout)
    assert (shown["writer"], shown["lease"]) == ("us-east-1", None)
    canary = ctl("canary", "--scope=demo/read")["client_id"]
    assert {each["client_id"] for each in ctl("list")["clients"]} <= clients | {canary}


def test_a_drill_keeps_every_promise_and_leaves_a_report(
    ctl: CommandLine, enroll_everywhere: Callable[[], Credential], tmp_path: Path
) -> None:
    enroll_everywhere()  # the other Region has recovered from other tests
    reports = tmp_path / "reports"
    code, report, progress = drill(ctl, reports, "--mode=hanging", "--recover-within=120")
    (made,) = report["rounds"]
    broken = [each for each in made["promises"] if not each["kept"]]
    assert broken == [], progress
    assert code == 0
    figures = made["figures"]
    assert figures["wrong"] == 0
    assert figures["tokens_verified"] > 10
    assert figures["errors_before_the_name_moved"] > 0
    assert figures["writes_kept"] == figures["writes_done"] == 5
    assert list(made["moments"]) == [
        "lost", "detected", "failover", "took_over", "back", "failback", "returned",
    ]  # fmt: skip
    assert "the secondary Region has taken over" in progress
    assert json.loads((reports / "drill.json").read_text()) == report
    assert "promises were kept" in (reports / "drill.html").read_text()
    # `status` reports it, and the earlier state is restored.
    shown = json.loads(
        ctl.run(
            "status", "--quick", "--output=json", f"--drill-report={reports / 'drill.json'}"
        ).stdout
    )
    assert shown["last_drill"]["broken"] == 0
    assert (shown["name"]["leads_to"], shown["writer"]) == ("us-east-1", "us-east-1")


def test_a_deliberately_broken_promise_fails_the_drill(
    breakable_cloud: Cloud, ctl: CommandLine, tmp_path: Path
) -> None:
    breakable_cloud.add_fault("token", "error500", "secondary", action="POST")
    code, report, _ = drill(ctl, tmp_path, "--mode=refused", "--mode=hanging", "--recover-within=5")
    assert code == 1
    assert report["broken"] > 0
    assert len(report["rounds"]) == 1, "it does not go on from a state that nobody knows"
    assert breakable_cloud.region_mode("primary") == "up"
    assert "promises were broken" in (tmp_path / "drill.html").read_text()


def test_a_drill_refuses_anything_but_the_local_cloud(
    cloud: Cloud, surrogatectl: CommandLine, tmp_path: Path
) -> None:
    aws = {f"ENDPOINT_URL_{role}": "" for role in ("PRIMARY", "SECONDARY")}
    for environment in (aws, {"PUBLIC_URL": "https://auth.example.com"}):
        done = surrogatectl.run("drill", f"--report-dir={tmp_path}", **environment)
        assert done.returncode == 1
        assert "is not the local cloud" in done.stderr
    done = surrogatectl.run("drill", f"--report-dir={tmp_path}", LOCAL_CLOUD=str(tmp_path / "no"))
    assert done.returncode == 1
    assert "does not run" in done.stderr
    assert not [*tmp_path.iterdir()]
