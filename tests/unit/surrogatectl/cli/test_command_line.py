"""`surrogatectl` over both Regions' admin APIs: requests, confirmations, and exit codes."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from pytest_socket import enable_socket

from surrogatectl.cli.common import worst
from surrogatectl.main import main
from tests.unit.surrogatectl.cli.command_line import TwoRegions, done, problem, two_regions

CLIENT = "sgc_" + "a" * 26
OTHER = "sgc_" + "b" * 26
SECRET_ID = "abcdefgh"
SHOWN: dict[str, Any] = {
    "client_id": CLIENT,
    "client_name": "billing",
    "client_secret_expires_at": 0,
    "scope": "demo/read",
    "status": "active",
    "allowed_cidrs": [],
    "secrets": [],
    "app_clients": {},
    "replication": "in_sync",
    "secret_id": SECRET_ID,
    "client_secret": "sgs_made-up",
}
REGIONS = ("us-east-1", "us-west-2")


@pytest.fixture
def regions() -> Iterator[TwoRegions]:
    enable_socket()
    with two_regions() as serving:
        serving.primary.answer = lambda *_: done(**SHOWN)
        yield serving


# Rotation


@pytest.mark.parametrize("days", ["0", "0.0", "0.00001", "1e-9"])
def test_a_rotation_without_overlap_asks_for_confirmation(regions: TwoRegions, days: str) -> None:
    """Less than a second ends the other secrets now, in any notation."""
    unasked = regions.run("rotate", CLIENT, "--overlap-days", days)
    assert (unasked.exit_code, regions.primary.seen) == (1, [])
    assert "End every other secret" in unasked.stderr
    asked = regions.run("rotate", CLIENT, "--overlap-days", days, "--yes")
    assert (asked.exit_code, regions.primary.asked("POST")) == (0, [{"overlap_seconds": 0}])


def test_a_rotation_with_overlap_asks_for_no_confirmation(regions: TwoRegions) -> None:
    rotated = regions.run("rotate", CLIENT, "--overlap-days", "0.5")
    assert (rotated.exit_code, regions.primary.asked("POST")) == (0, [{"overlap_seconds": 43_200}])


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "91", "x"])
@pytest.mark.parametrize(
    "options", [("--overlap-days",), ("--app-clients", "--older-than-hours")], ids=str
)
def test_a_length_of_time_is_a_number_within_its_bounds(
    regions: TwoRegions, options: tuple[str, ...], value: str
) -> None:
    if value == "91" and "--older-than-hours" in options:
        value = "1e9"
    refused = regions.run("rotate", CLIENT, *options, value)
    assert (refused.exit_code, regions.primary.seen) == (2, [])
    assert options[-1] in refused.stderr
    assert isinstance(refused.exception, SystemExit)


@pytest.mark.parametrize(
    "options",
    [
        ("--app-clients", "--secret-file", "new"),
        ("--app-clients", "--overlap-days", "7"),
        ("--app-clients", "--if-match", "v1"),
        ("--app-clients", "--wait"),
        ("--older-than-hours", "1"),
    ],
    ids=str,
)
def test_options_that_would_have_no_effect_are_refused(
    regions: TwoRegions, options: tuple[str, ...]
) -> None:
    refused = regions.run("rotate", CLIENT, *options)
    assert (refused.exit_code, regions.primary.seen) == (2, [])
    assert options[-2] in refused.stderr


# Denials


def denying(regions: TwoRegions) -> None:
    for double in (regions.primary, regions.secondary):
        double.answer = lambda *_: done(denied=[CLIENT])


def outcome(result: Result) -> Any:
    return json.loads(result.stdout)


def test_denials_are_written_to_both_regions_at_once(regions: TwoRegions) -> None:
    """The kill switch does not wait for a lost Region."""
    released, asked = threading.Event(), threading.Event()

    def hang(*_: str) -> tuple[int, str]:
        released.wait(60)
        return done(denied=[CLIENT])

    def answer(*_: str) -> tuple[int, str]:
        asked.set()
        return done(denied=[CLIENT])

    regions.primary.answer, regions.secondary.answer = hang, answer
    ended: list[Result] = []
    thread = threading.Thread(target=lambda: ended.append(regions.run("deny", CLIENT)))
    thread.start()
    try:
        reached = asked.wait(30)
        waiting = thread.is_alive()
    finally:
        released.set()
        thread.join()
    assert reached
    assert waiting
    assert ended[0].exit_code == 0


FULL = problem(409, "denials-full")
FORBIDDEN = problem(403, "forbidden")
UNAVAILABLE = problem(503, "store-unavailable", retry_after=5)


@pytest.mark.parametrize(
    ("primary", "secondary", "code"),
    [
        (FULL, FULL, 3),
        (FULL, None, 3),
        (FORBIDDEN, FORBIDDEN, 1),
        (UNAVAILABLE, UNAVAILABLE, 4),
        (UNAVAILABLE, None, 4),
        (FULL, UNAVAILABLE, 3),
        (FORBIDDEN, UNAVAILABLE, 1),
        (FORBIDDEN, FULL, 1),
        (None, None, 0),
    ],
)
def test_the_exit_code_of_deny_is_the_worst_of_both_regions(
    regions: TwoRegions,
    primary: tuple[int, str] | None,
    secondary: tuple[int, str] | None,
    code: int,
) -> None:
    denying(regions)
    for double, answer in ((regions.primary, primary), (regions.secondary, secondary)):
        if answer:
            double.answer = lambda *_, answer=answer: answer
    ended = regions.run("deny", CLIENT, "--output", "json")
    assert ended.exit_code == code
    failed = [each for each in (primary, secondary) if each]
    assert len(outcome(ended)["failed"]) == len(failed)


def test_a_denial_in_one_region_only_names_that_region(regions: TwoRegions) -> None:
    denying(regions)
    ended = regions.run("deny", CLIENT, ADMIN_URL_PRIMARY="http://127.0.0.1:9")
    assert ended.exit_code == 4
    assert "It is done in us-west-2." in ended.stderr
    assert "failback" in ended.stderr
    shown = regions.run("denials", ADMIN_URL_PRIMARY="http://127.0.0.1:9")
    assert (shown.exit_code, "done" in shown.stderr) == (4, False)


NOT_HERE = problem(409, "not-the-writing-region")


def test_a_lost_writer_suggests_the_failover_that_works(
    regions: TwoRegions,
) -> None:
    regions.secondary.answer = lambda *_: NOT_HERE
    gone = regions.run("disable", CLIENT, ADMIN_URL_PRIMARY="http://127.0.0.1:9")
    assert gone.exit_code == 4
    assert "`surrogatectl failover --to secondary --force`" in gone.stderr
    assert "--region" not in gone.stderr
    regions.primary.answer = lambda *_: UNAVAILABLE
    failed = regions.run("disable", CLIENT)
    assert failed.exit_code == 4
    assert "`surrogatectl failover --to secondary`" in failed.stderr


def test_a_full_deny_list_is_shown(regions: TwoRegions) -> None:
    """The Region refuses the change, but returns its denials."""
    denying(regions)
    regions.primary.answer = lambda method, _: FULL if method == "POST" else done(denied=[OTHER])
    ended = regions.run("deny", CLIENT, "--output", "json")
    assert outcome(ended)["denied"] == {"us-east-1": [OTHER], "us-west-2": [CLIENT]}
    assert "us-east-1" in ended.stderr


def test_denying_an_unknown_client_is_reported(regions: TwoRegions) -> None:
    """A new client may have no replica yet: one Region that knows it is enough."""
    regions.primary.answer = lambda *_: done(denied=[CLIENT, OTHER], unknown=[OTHER])
    regions.secondary.answer = lambda *_: done(denied=[CLIENT, OTHER], unknown=[CLIENT, OTHER])
    ended = regions.run("deny", CLIENT, OTHER, "--output=json")
    assert (ended.exit_code, outcome(ended)["unknown"]) == (0, [OTHER])
    assert f"no client {OTHER}" in ended.stderr
    assert CLIENT not in ended.stderr
    regions.secondary.answer = lambda *_: UNAVAILABLE
    assert outcome(regions.run("deny", CLIENT, OTHER, "--output=json"))["unknown"] == [OTHER]


# What is left


@pytest.mark.parametrize(("ends", "warned"), [([86_400], True), ([0], False), ([0, 86_400], False)])
def test_retire_warns_of_the_end_of_the_only_remaining_secret(
    regions: TwoRegions,
    ends: list[int],
    warned: bool,  # noqa: FBT001
) -> None:
    """After a rotation and a retirement of the new secret, the old one is left, with its expiry."""
    secrets = [{"secret_id": SECRET_ID, "created_at": 0, "expires_at": each} for each in ends]
    regions.primary.answer = lambda *_: done(**SHOWN | {"secrets": secrets})
    ended = regions.run("retire", CLIENT, "bcdefghi", "--yes")
    assert ended.exit_code == 0
    assert ("1970-01-02" in ended.stderr) is warned


# In both Regions

WAITING = (
    ("enroll", "--name=n", "--scope=demo/read"),
    ("rotate", CLIENT),
    ("rotate", CLIENT, "--overlap-days=0", "--yes"),
    ("retire", CLIENT, SECRET_ID, "--yes"),
    ("update", CLIENT, "--scope=demo/read"),
    ("update", CLIENT, "--any-address"),
    ("disable", CLIENT),
    ("enable", CLIENT),
    ("restore", CLIENT),
)


def replicating(replication: str) -> dict[str, Any]:
    return SHOWN | {"replication": replication, "app_clients": dict.fromkeys(REGIONS, "ready")}


@pytest.mark.parametrize("command", WAITING, ids=" ".join)
def test_a_change_says_when_each_region_acts_on_it(
    regions: TwoRegions, command: tuple[str, ...]
) -> None:
    regions.primary.answer = lambda *_: done(**replicating("in_progress"))
    shown = regions.run(*command)
    assert shown.exit_code == 0
    for region in REGIONS:
        assert f"in force in {region}" in shown.stdout
    assert "once replicated" in shown.stdout
    in_force = outcome(regions.run(*command, "--output=json"))["in_force_within_seconds"]
    assert list(in_force) == list(REGIONS)
    assert in_force["us-east-1"] in {0, 30}
    assert in_force["us-west-2"] is None


def test_a_denial_says_when_each_region_acts_on_it(regions: TwoRegions) -> None:
    denying(regions)
    regions.secondary.answer = lambda *_: UNAVAILABLE
    for command in ("deny", "allow"):
        ended = outcome(regions.run(command, CLIENT, "--output=json"))
        assert ended["in_force_within_seconds"] == {"us-east-1": 60, "us-west-2": None}
        shown = regions.run(command, CLIENT).stdout
        assert "within 60 s" in shown
        assert "in force in us-west-2" not in shown
    assert "in_force_within_seconds" not in outcome(regions.run("denials", "--output=json"))


@pytest.mark.parametrize("command", WAITING, ids=" ".join)
@pytest.mark.parametrize("output", ["json", "table"])
def test_a_change_that_does_not_reach_the_other_region_is_shown_and_has_its_own_exit_code(
    regions: TwoRegions, command: tuple[str, ...], output: str
) -> None:
    """Its secret is on standard output, in the one document, before anything is waited for."""
    regions.primary.answer = lambda *_: done(**replicating("failed"))
    ended = regions.run(*command, "--wait", f"--output={output}")
    assert ended.exit_code == 5
    assert "Done in us-east-1. us-west-2: not yet" in ended.stderr
    assert CLIENT in (outcome(ended)["client_id"] if output == "json" else ended.stdout)
    if command[0] in {"enroll", "rotate"}:
        assert SHOWN["client_secret"] in ended.stdout


def test_a_secret_is_in_its_file_before_anything_is_waited_for(
    regions: TwoRegions, tmp_path: Path
) -> None:
    regions.primary.answer = lambda *_: done(**replicating("unknown"))
    file = tmp_path / "new"
    ended = regions.run("rotate", CLIENT, "--wait", "--secret-file", str(file), "--output=json")
    assert (ended.exit_code, file.read_text().strip()) == (5, SHOWN["client_secret"])
    assert SHOWN["client_secret"] not in ended.output


def test_a_wait_asks_the_region_that_wrote(regions: TwoRegions) -> None:
    """The other one may still have an old record, or answer for the lost one."""
    regions.primary.answer = lambda *_: NOT_HERE
    regions.secondary.answer = lambda *_: done(**replicating("suspended"))
    ended = regions.run("rotate", CLIENT, "--wait")
    assert ended.exit_code == 5
    assert "Done in us-west-2. us-east-1: after the failback" in ended.stderr
    assert [method for method, _, _ in regions.primary.seen] == ["POST"]
    assert [method for method, _, _ in regions.secondary.seen] == ["POST", "GET"]


def test_a_change_that_both_regions_have_ends_the_wait(regions: TwoRegions) -> None:
    regions.primary.answer = lambda method, _: done(
        **replicating("in_sync" if method == "GET" else "in_progress")
    )
    ended = regions.run("rotate", CLIENT, "--wait")
    assert (ended.exit_code, ended.stderr.splitlines()[-1]) == (0, "In force in both Regions.")


def test_an_interrupted_wait_loses_nothing(regions: TwoRegions) -> None:
    """Ctrl-C reaches the command while it asks for the replication."""
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def interrupt(method: str, _path: str) -> tuple[int, str]:
        if method == "GET":
            signal.pthread_kill(main_thread, signal.SIGINT)
            released.wait(30)
        return done(**replicating("in_progress"))

    released = threading.Event()
    regions.primary.answer = interrupt
    try:
        ended = regions.run("rotate", CLIENT, "--wait", "--output=json")
    finally:
        released.set()
    assert ended.exit_code == 5
    assert outcome(ended)["client_secret"] == SHOWN["client_secret"]
    assert "interrupted" in ended.stderr
    assert "do not repeat the command" in ended.stderr


# How it ends


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(400, "invalid-request"), 1),
        (problem(403, "forbidden"), 1),
        (problem(404, "unknown-client"), 1),
        (problem(409, "deleted"), 3),
        (problem(412, "changed-meanwhile"), 3),
        (problem(429, "cognito-throttled"), 4),
        (problem(500, "store-refused"), 1),
        (problem(502, "cognito-refused"), 1),
        (problem(503, "store-unavailable"), 4),
        ((403, '{"message": "Forbidden"}'), 1),
        ((429, '{"message": "Too Many Requests"}'), 4),
        ((502, '{"message": "Internal server error"}'), 4),
        ((504, '{"message": "Endpoint request timed out"}'), 4),
    ],
    ids=str,
)
def test_the_exit_code_depends_on_the_kind_of_failure(
    regions: TwoRegions, answer: tuple[int, str], code: int
) -> None:
    regions.primary.answer = lambda *_: answer
    ended = regions.run("show", CLIENT, "--region", "primary")
    assert ended.exit_code == code
    assert isinstance(ended.exception, SystemExit)


def test_a_failure_is_a_document_for_programs(regions: TwoRegions) -> None:
    """The document is the admin API's; people read the same on standard error."""
    status, document = problem(412, "changed-meanwhile", fields={"If-Match": "is another version"})
    regions.primary.answer = lambda *_: (status, document)
    ended = regions.run("disable", CLIENT, "--output", "json")
    assert (ended.exit_code, outcome(ended)) == (3, json.loads(document))
    assert "changed-meanwhile" in ended.stderr
    for people in (
        regions.run("disable", CLIENT),
        regions.run("disable", CLIENT, "--output=table"),
    ):
        assert (people.exit_code, people.stdout) == (3, "")


def test_a_local_failure_is_a_problem_document_too(regions: TwoRegions, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    ended = regions.run("rotate", CLIENT, "--secret-file", str(taken), "--output", "json")
    assert (ended.exit_code, regions.primary.seen) == (1, [])
    assert outcome(ended)["detail"] in ended.stderr
    assert set(outcome(ended)) == {"type", "title", "detail"}


def test_a_missing_confirmation_is_a_document_for_programs(regions: TwoRegions) -> None:
    ended = regions.run("delete", CLIENT, "--output=json")
    assert (ended.exit_code, regions.primary.seen) == (1, [])
    assert "--yes" in outcome(ended)["detail"]


def test_a_lost_enrollment_gives_programs_the_idempotency_key(regions: TwoRegions) -> None:
    for double in (regions.primary, regions.secondary):
        double.answer = lambda *_: UNAVAILABLE
    ended = regions.run("enroll", "--name=n", "--scope=demo/read", "--output=json")
    assert (ended.exit_code, outcome(ended)["status"]) == (4, 503)
    assert outcome(ended)["idempotency_key"] in ended.stderr


def test_a_command_prints_one_document_even_if_it_fails(regions: TwoRegions) -> None:
    """No second document follows one that a command printed before it failed."""
    denying(regions)
    regions.primary.answer = lambda *_: FORBIDDEN
    ended = regions.run("deny", CLIENT, "--output", "json")
    assert ended.exit_code == 1
    assert set(outcome(ended)) == {"denied", "failed", "unknown", "in_force_within_seconds"}


def test_every_command_has_an_output_option() -> None:
    without = {
        name
        for name, command in main.commands.items()
        if not any("--output" in each.opts for each in command.params)
    }
    assert without == set()


def test_a_region_out_of_reach_is_unavailable(regions: TwoRegions) -> None:
    ended = regions.run("show", CLIENT, "--region=primary", ADMIN_URL_PRIMARY="http://127.0.0.1:9")
    assert ended.exit_code == 4
    assert "us-east-1" in ended.stderr


def test_init_without_a_reachable_region_is_unavailable(
    regions: TwoRegions,
) -> None:
    nobody = {f"ENDPOINT_URL_{role}": "http://127.0.0.1:9" for role in ("PRIMARY", "SECONDARY")}
    ended = regions.run("init", **nobody)
    assert ended.exit_code == 4, ended.stderr
    assert "Secrets Manager" in ended.stderr


def test_the_worst_exit_code_is_the_least_repeatable() -> None:
    assert [worst(codes) for codes in ([4, 3, 1], [4, 3], [4], [3, 1])] == [1, 3, 4, 1]
