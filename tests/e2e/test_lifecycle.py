"""Life cycle of a client over surrogatectl and the deployed admin API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from threading import Event, Thread
from typing import Any

import pytest

from chalicelib.denial_shards import SHARDS
from local.cloud import Cloud
from tests.e2e.conftest import CommandLine, Credential
from tests.e2e.tokens import post_token, verified

Enroll = Callable[..., Credential]
ROLES = ("primary", "secondary")


def eventually(check: Callable[[], bool], seconds: float = 60) -> bool:
    """Poll *check* for longer than values are cached."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.5)
    return False


@contextmanager
def in_use(cloud: Cloud, client: Credential) -> Iterator[None]:
    """Exchange the credential in both Regions all the time."""
    stopping = Event()

    def exchange(role: str) -> None:
        while not stopping.wait(0.2):
            assert post_token(cloud.endpoints[role], client.pair).status_code == 200

    with ThreadPoolExecutor() as pool:
        uses = [pool.submit(exchange, role) for role in ROLES]
        try:
            yield
        finally:
            stopping.set()
    for use in uses:
        use.result()


def test_after_a_rotation_both_secrets_work_in_both_regions_until_one_is_retired(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    old = enroll()
    rotated = surrogatectl("rotate", old.client_id)
    new = (old.client_id, rotated["client_secret"])
    assert [secret["expires_at"] > 0 for secret in rotated["secrets"]] == [False, True]
    for role in ROLES:
        assert post_token(cloud.endpoints[role], new).status_code == 200
        assert post_token(cloud.endpoints[role], old.pair).status_code == 200

    third = surrogatectl.run("rotate", old.client_id)
    assert third.returncode == 3  # at most two are live
    refused = surrogatectl.run("retire", old.client_id, old.enrolled["secret_id"], "--yes")
    assert refused.returncode == 3  # it was used a moment ago
    assert "within the last 7 days" in refused.stderr
    surrogatectl("retire", old.client_id, old.enrolled["secret_id"], "--yes", "--force")
    assert eventually(lambda: post_token(cloud.endpoints["primary"], old.pair).status_code == 401)
    assert post_token(cloud.endpoints["primary"], new).status_code == 200


def _at_once(cloud: Cloud, pair: tuple[str, str], **form: str) -> set[int]:
    """Return the statuses of twenty requests in the Region that writes, four at a time."""
    ask = partial(post_token, cloud.endpoints["primary"], pair, **form)
    with ThreadPoolExecutor(4) as pool:
        return {answer.result().status_code for answer in [pool.submit(ask) for _ in range(20)]}


def test_a_rotated_secret_is_good_at_once(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll()
    pair = credential.pair
    for _ in range(4):
        assert _at_once(cloud, pair) == {200}, "every process has the record"
        rotated = surrogatectl("rotate", credential.client_id, "--overlap-days=0", "--yes")
        pair = credential.client_id, rotated["client_secret"]
    assert _at_once(cloud, pair) == {200}


def test_a_widened_scope_is_granted_at_once(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll(scope="demo/read")
    assert _at_once(cloud, credential.pair) == {200}
    narrow = post_token(cloud.endpoints["primary"], credential.pair, scope="demo/write")
    assert (narrow.status_code, narrow.json()["error"]) == (400, "invalid_scope")
    surrogatectl("update", credential.client_id, "--scope=demo/read demo/write")
    assert _at_once(cloud, credential.pair, scope="demo/write") == {200}


def test_a_client_that_is_enabled_or_allowed_is_good_at_once(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll()
    for bad, good in (("disable", "enable"), ("deny", "allow")):
        surrogatectl(bad, credential.client_id)
        assert eventually(
            lambda: post_token(cloud.endpoints["primary"], credential.pair).status_code == 401
        )
        surrogatectl(good, credential.client_id)
        assert _at_once(cloud, credential.pair) == {200}


def test_an_exchange_just_after_a_deletion_is_refused_and_no_drift(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll()
    assert _at_once(cloud, credential.pair, scope="demo/read") == {200}
    surrogatectl("delete", credential.client_id, "--yes", "--recovery-days=7")
    answers = [
        post_token(cloud.endpoints["primary"], credential.pair, scope="demo/write")
        for _ in range(4)
    ]
    assert [answer.status_code for answer in answers] == [401] * 4
    outcomes = {
        line["outcome"] for line in _lines(cloud, credential) if line["event"] == "exchange"
    }
    assert outcomes <= {"issued", "invalid_client:disabled", "invalid_client:unknown"}


def test_a_waited_for_rotation_is_good_at_once_in_both_regions(
    breakable_cloud: Cloud, enroll_everywhere: Enroll, surrogatectl: CommandLine
) -> None:
    """Replication takes some seconds here, and both Regions keep the old record in their caches."""
    client = enroll_everywhere()
    breakable_cloud.set_replication_lag(4)
    with in_use(breakable_cloud, client):
        done = surrogatectl.run("rotate", client.client_id, "--wait", "--output=json")
    assert done.returncode == 0, done.stderr
    rotated = json.loads(done.stdout)
    assert rotated["replication"] == "in_progress"
    assert rotated["in_force_within_seconds"] == {"us-east-1": 0, "us-west-2": None}
    assert "Waiting for us-west-2: replication is in_progress." in done.stderr
    new = (client.client_id, rotated["client_secret"])
    for role in ROLES:
        assert post_token(breakable_cloud.endpoints[role], new).status_code == 200


def test_a_waited_for_scope_is_granted_in_both_regions(
    cloud: Cloud, enroll_everywhere: Enroll, surrogatectl: CommandLine
) -> None:
    client = enroll_everywhere()
    surrogatectl("update", client.client_id, "--scope=demo/read", "--wait")
    for role in ROLES:
        answer = post_token(cloud.endpoints[role], client.pair)
        assert answer.json()["scope"] == "demo/read"
    done = surrogatectl.run("update", client.client_id, "--scope=demo/read demo/write", "--wait")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "In force in both Regions."
    for role in ROLES:
        answer = post_token(cloud.endpoints[role], client.pair, scope="demo/write")
        assert answer.json()["scope"] == "demo/write"


def test_a_wait_for_a_lost_region_ends_at_once_and_shows_the_secret(
    breakable_cloud: Cloud, enroll_everywhere: Enroll, surrogatectl: CommandLine
) -> None:
    client = enroll_everywhere()
    breakable_cloud.set_region("secondary", "hanging")
    done = surrogatectl.run("rotate", client.client_id, "--wait", "--output=json")
    assert done.returncode == 5, done.stderr
    assert "Done in us-east-1. us-west-2: unknown: the Region does not answer." in done.stderr
    assert "Waiting" not in done.stderr
    new = (client.client_id, json.loads(done.stdout)["client_secret"])
    assert post_token(breakable_cloud.endpoints["primary"], new).status_code == 200


def test_an_unused_secret_is_retired_without_force(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll()
    rotated = surrogatectl("rotate", credential.client_id)
    surrogatectl("retire", credential.client_id, rotated["secret_id"], "--yes")
    shown = surrogatectl("show", credential.client_id)
    assert [each["secret_id"] for each in shown["secrets"]] == [credential.enrolled["secret_id"]]


def test_last_use_is_shown_per_region_and_unknown_where_the_log_cannot_be_read(
    breakable_cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll()
    post_token(breakable_cloud.endpoints["secondary"], credential.pair)
    used = surrogatectl("show", credential.client_id, "--last-used")["last_used"]
    secret_id = credential.enrolled["secret_id"]
    assert used["us-east-1"] == {secret_id: None}
    assert used["us-west-2"][secret_id] > 0
    breakable_cloud.set_region("secondary", "refused")
    used = surrogatectl("show", credential.client_id, "--last-used")["last_used"]
    assert used["us-west-2"] == "unknown"


def test_rotation_of_the_cognito_secret_does_not_disturb_clients(
    cloud: Cloud, enroll_everywhere: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll_everywhere()
    before = _stored(cloud, credential)["app_clients"]["us-east-1"]
    rotate = ("rotate", credential.client_id, "--app-clients", "--older-than-hours=0")
    assert surrogatectl(*rotate[:-1])["app_clients"] == {"us-east-1": "idle", "us-west-2": "idle"}
    steps = surrogatectl(*rotate)["app_clients"]
    assert steps == {"us-east-1": "started", "us-west-2": "idle"}
    after = _stored(cloud, credential)["app_clients"]["us-east-1"]
    assert after["client_secret"] != before["client_secret"]
    assert after["app_client_id"] == before["app_client_id"]
    # Both Cognito secrets get tokens, and so does the client, warm or cold.
    for client_secret in (before["client_secret"], after["client_secret"]):
        pair = (before["app_client_id"], client_secret)
        answer = post_token(cloud.endpoints["region_endpoints"]["primary"], pair)
        assert answer.status_code == 200
    for role in ROLES:
        answer = post_token(cloud.endpoints[role], credential.pair)
        verified(cloud, role, answer.json()["access_token"])
    steps = surrogatectl(*rotate)["app_clients"]
    assert steps["us-east-1"] == "waiting"  # until no process can be using the old record


def test_a_client_is_disabled_and_enabled_again(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll()
    surrogatectl("disable", credential.client_id)
    for role in ROLES:
        assert post_token(cloud.endpoints[role], credential.pair).status_code == 401
    assert surrogatectl("enable", credential.client_id)["status"] == "active"


def test_a_client_is_denied_in_both_regions_and_shown_per_region(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll()
    denied = surrogatectl("deny", credential.client_id)["denied"]
    assert all(credential.client_id in each for each in denied.values())
    for role in ROLES:
        assert eventually(
            lambda role=role: (
                post_token(cloud.endpoints[role], credential.pair).status_code  # type: ignore[misc]
                == 401
            )
        )
    allowed = surrogatectl("allow", credential.client_id)["denied"]
    assert not any(credential.client_id in each for each in allowed.values())


@pytest.mark.parametrize("mode", ["refused", "hanging"])
def test_a_denial_works_in_the_region_that_is_left(
    breakable_cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine, mode: str
) -> None:
    credential = enroll()
    breakable_cloud.set_region("primary", mode)
    done: list[CompletedProcess[str]] = []
    denying = Thread(
        target=lambda: done.append(surrogatectl.run("deny", credential.client_id, "--output=json"))
    )
    denying.start()
    try:
        assert eventually(
            lambda: (
                credential.client_id in _denied(breakable_cloud, "secondary")
                or not denying.is_alive()
            )
        )
        in_time = denying.is_alive() or mode == "refused"
    finally:
        denying.join()
    assert in_time, "The Region that is left was reached only after the lost one was given up."
    assert done[0].returncode == 4
    denied = json.loads(done[0].stdout)["denied"]
    assert denied["us-east-1"] is None
    assert credential.client_id in denied["us-west-2"]
    breakable_cloud.set_region("primary", "up")
    surrogatectl("allow", credential.client_id)


def _denied(cloud: Cloud, role: str) -> set[str]:
    client = cloud.client("secretsmanager", role, "root")
    shards = [
        json.loads(
            client.get_secret_value(SecretId=f"surrogate/denials/{number:02}")["SecretString"]
        )
        for number in range(SHARDS)
    ]
    return {
        client_id
        for shard in shards
        for client_id, word in shard["words"].items()
        if word["denied"]
    }


def test_scope_changes_reach_cognito_and_the_tokens(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll(scope="demo/read")
    surrogatectl("update", credential.client_id, "--scope=demo/write", "--name=renamed")
    for role in ROLES:
        answer = post_token(cloud.endpoints[role], credential.pair)
        assert answer.json()["scope"] == "demo/write"
        claims = verified(cloud, role, answer.json()["access_token"])
        assert claims["scope"] == "demo/write"
    assert surrogatectl("show", credential.client_id)["client_name"] == "renamed"


def test_source_addresses_are_enforced(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    here = enroll("--allow-cidr=127.0.0.0/8")
    elsewhere = enroll("--allow-cidr=192.0.2.0/24")
    assert post_token(cloud.endpoints["primary"], here.pair).status_code == 200
    assert post_token(cloud.endpoints["primary"], elsewhere.pair).status_code == 401


def test_if_match_prevents_lost_updates_between_operators(
    enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll()
    seen = surrogatectl("show", credential.client_id)["version"]
    surrogatectl("update", credential.client_id, "--name=first", f"--if-match={seen}")
    second = surrogatectl.run("update", credential.client_id, "--name=second", f"--if-match={seen}")
    assert second.returncode == 3
    assert surrogatectl("show", credential.client_id)["client_name"] == "first"


def test_a_client_is_deleted_in_both_regions_and_restored_with_new_app_clients(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll()
    before = _stored(cloud, credential)["app_clients"]
    deleted = surrogatectl("delete", credential.client_id, "--yes", "--recovery-days=7")
    assert deleted["left"] == []
    assert surrogatectl.run("show", credential.client_id).returncode == 1
    for role, region in cloud.endpoints["regions"].items():
        clients = cloud.client("cognito-idp", role, "root")
        with pytest.raises(clients.exceptions.ResourceNotFoundException):
            clients.describe_user_pool_client(
                UserPoolId=cloud.endpoints["user_pools"][role],
                ClientId=before[region]["app_client_id"],
            )
    restored = surrogatectl.run("restore", credential.client_id)
    assert restored.stdout.startswith("Restored: e2e"), restored.stderr
    again = surrogatectl.run("restore", credential.client_id)
    assert again.stdout.startswith("It was not deleted: e2e"), again.stderr
    assert surrogatectl("show", credential.client_id)["status"] == "active"
    for role in ROLES:
        assert eventually(
            lambda role=role: (
                post_token(cloud.endpoints[role], credential.pair).status_code  # type: ignore[misc]
                == 200
            )
        )


def test_the_list_shows_every_client_a_page_at_a_time(
    enroll: Enroll, surrogatectl: CommandLine
) -> None:
    enrolled = {enroll().client_id for _ in range(3)}
    listed = surrogatectl("list")["clients"]
    assert enrolled <= {client["client_id"] for client in listed}
    assert len(surrogatectl("list", "--limit=2")["clients"]) == 2


@pytest.mark.parametrize(
    ("arguments", "exit_code", "named"),
    [
        (["show", "sgc_" + "a" * 26], 1, "There is no client sgc_" + "a" * 26),
        (["show", "nonsense!"], 2, "'CLIENT_ID': is malformed"),
        (["update", "CLIENT", "--scope=demo/nope"], 1, "demo/nope"),
        (["update", "CLIENT", "--allow-cidr=10.0.0.1/8"], 1, "allowed_cidrs"),
        (["update", "CLIENT", "--name=" + "x" * 200], 1, "client_name"),
        (["update", "CLIENT", "--expires=2001-01-01"], 1, "client_secret_expires_at"),
        (["retire", "CLIENT", "aaaaaaaa", "--yes"], 1, "aaaaaaaa"),
        (["deny", "nonsense!"], 2, "is malformed"),
    ],
)
def test_invalid_input_gets_one_clear_answer(
    enroll: Enroll,
    surrogatectl: CommandLine,
    arguments: list[str],
    exit_code: int,
    named: str,
) -> None:
    client_id = enroll().client_id if "CLIENT" in arguments else ""
    done = surrogatectl.run(*(client_id if each == "CLIENT" else each for each in arguments))
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert named in done.stderr


def test_irreversible_commands_ask_for_confirmation(
    enroll: Enroll, surrogatectl: CommandLine
) -> None:
    credential = enroll()
    for command in (
        ["delete", credential.client_id],
        ["retire", credential.client_id, credential.enrolled["secret_id"]],
        ["rotate", credential.client_id, "--overlap-days=0"],
    ):
        done = surrogatectl.run(*command)  # nobody answers
        assert done.returncode == 1
        assert "Aborted" in done.stderr
    assert surrogatectl("show", credential.client_id)["status"] == "active"


def test_every_admin_action_leaves_an_audit_line(
    cloud: Cloud, enroll: Enroll, surrogatectl: CommandLine, scratch: Path
) -> None:
    credential = enroll()
    rotated = surrogatectl("rotate", credential.client_id, f"--secret-file={scratch / 'secret'}")
    surrogatectl.run("retire", credential.client_id, "aaaaaaaa", "--yes")
    lines = _lines(cloud, credential)
    audit = [
        (line["action"], line["secret_id"], line["outcome"])
        for line in lines
        if line["event"] == "admin"
    ]
    assert audit == [
        ("enroll", credential.enrolled["secret_id"], "done"),
        ("rotate", rotated["secret_id"], "done"),
        ("retire", "aaaaaaaa", "unknown-secret"),
    ]
    assert all(line["caller"].endswith(":user/operator") for line in lines if "caller" in line)


def test_commands_outside_the_admin_api_write_their_audit_line_to_the_operators_file(
    surrogatectl: CommandLine, scratch: Path
) -> None:
    """The caller's ARN comes from STS, as in the function's own audit."""
    path = scratch / "audit.jsonl"
    surrogatectl("init", f"--audit-file={path}")
    (line,) = [json.loads(each) for each in path.read_text().splitlines()]
    assert (line["event"], line["action"], line["outcome"]) == ("admin", "init", "done")
    assert line["caller"].endswith(":user/operator")


def _lines(cloud: Cloud, credential: Credential) -> list[dict[str, Any]]:
    """Return the lines about a client in the primary function's log."""
    events = cloud.client("logs", "primary", "root").filter_log_events(
        logGroupName="/aws/lambda/surrogate-credentials-primary",
        filterPattern=f'"{credential.client_id}"',
    )["events"]
    return [json.loads(event["message"]) for event in events if event["message"][0] == "{"]


def _stored(cloud: Cloud, credential: Credential) -> dict[str, dict[str, dict[str, str]]]:
    value = cloud.client("secretsmanager", "primary", "root").get_secret_value(
        SecretId=f"surrogate/clients/{credential.client_id}"
    )["SecretString"]
    stored: dict[str, dict[str, dict[str, str]]] = json.loads(value)
    return stored
