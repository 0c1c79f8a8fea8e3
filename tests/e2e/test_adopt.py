"""Adoption of existing app clients: real pools, the blog post's table, and tokens afterwards."""

from __future__ import annotations

import csv
import gzip
import json
import secrets
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from chalicelib.credentials import loggable
from chalicelib.model import ClientId
from local.cloud import Cloud
from tests.e2e.conftest import CommandLine
from tests.e2e.tokens import post_token, verified

ROLES = ("primary", "secondary")
COLUMNS = ("primaryClientId", "primaryClientSecret", "secondaryClientId", "secondaryClientSecret")
READING = ("Get", "BatchGet", "Describe", "List")

Row = dict[str, str]
MakeRow = Callable[..., Row]


@pytest.fixture
def row(cloud: Cloud) -> MakeRow:
    """Make an app client in each pool, as before this project."""

    def make(*, plus: bool = False, name: str = "billing", **settings: Any) -> Row:
        made: Row = {}
        for role in ROLES:
            secret: dict[str, Any] = {"GenerateSecret": True}
            if plus:
                secret = {"ClientSecret": f"a+{secrets.token_hex(24)}+z+"}
            app_client = cloud.client("cognito-idp", role, "root").create_user_pool_client(
                **{
                    "UserPoolId": cloud.endpoints["user_pools"][role],
                    "ClientName": name,
                    "AllowedOAuthFlows": ["client_credentials"],
                    "AllowedOAuthScopes": ["demo/read", "demo/write"],
                    "AllowedOAuthFlowsUserPoolClient": True,
                    **secret,
                    **settings,
                }
            )["UserPoolClient"]
            made[f"{role}ClientId"] = app_client["ClientId"]
            made[f"{role}ClientSecret"] = app_client["ClientSecret"]
        return made

    return make


@pytest.fixture
def table(cloud: Cloud) -> Callable[[Sequence[Row]], str]:
    """Make the blog post's table."""

    def make(rows: Sequence[Row]) -> str:
        name = f"clients-{secrets.token_hex(4)}"
        keys = COLUMNS[:2]
        dynamodb = cloud.client("dynamodb", "primary", "root")
        dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[
                {"AttributeName": key, "KeyType": kind}
                for key, kind in zip(keys, ("HASH", "RANGE"), strict=True)
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        for each in rows:
            item = {column: {"S": value} for column, value in each.items()}
            dynamodb.put_item(TableName=name, Item=item)
        return name

    return make


def csv_file(path: Path, rows: Sequence[Row]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def report(done: subprocess.CompletedProcess[str], exit_code: int) -> dict[str, Any]:
    """Return the JSON report of a run that ended with *exit_code*."""
    assert done.returncode == exit_code, done.stderr
    assert "Traceback" not in done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def standing(found: Mapping[str, Any]) -> dict[str, str]:
    return {each["handle"]: each["outcome"] for each in found["rows"]}


def handle(row: Row) -> str:
    return loggable(ClientId(row["primaryClientId"]))


def assert_tells_nothing(done: subprocess.CompletedProcess[str], rows: Sequence[Row]) -> None:
    for each in rows:
        for value in each.values():
            assert value not in done.stdout + done.stderr


def assert_tokens_of(cloud: Cloud, pair: tuple[str, str], row: Row) -> None:
    """Assert that *pair* gets the tokens of *row*'s app clients, in their Regions."""
    for role in ROLES:
        answer = post_token(cloud.endpoints[role], pair, scope="demo/read")
        assert answer.status_code == 200, answer.text
        claims = verified(cloud, role, answer.json()["access_token"])
        assert claims["client_id"] == row[f"{role}ClientId"]
        assert claims["scope"] == "demo/read"


def writes(cloud: Cloud) -> list[str]:
    return [
        f"{call['service']} {call['action']}"
        for call in cloud.calls()
        if call["service"] in {"secretsmanager", "cognito-idp"}
        and not call["action"].startswith(READING)
    ]


def test_a_csv_file_is_adopted_after_a_dry_run_and_no_row_twice(
    breakable_cloud: Cloud,
    surrogatectl: CommandLine,
    row: MakeRow,
    table: Callable[[Sequence[Row]], str],
    scratch: Path,
) -> None:
    cloud, path = breakable_cloud, scratch / "credentials.jsonl"
    good = [row(), row(plus=True)]
    people = row(AllowedOAuthFlows=["code"], CallbackURLs=["https://app.example.com/callback"])
    differing = row()
    which = {
        "UserPoolId": cloud.endpoints["user_pools"]["secondary"],
        "ClientId": differing["secondaryClientId"],
    }
    cloud.client("cognito-idp", "secondary", "root").update_user_pool_client(
        **which,
        AllowedOAuthFlows=["client_credentials"],
        AllowedOAuthScopes=["demo/read"],
        AllowedOAuthFlowsUserPoolClient=True,
    )
    switched_off = row(AllowedOAuthFlowsUserPoolClient=False, AllowedOAuthFlows=[])
    lacking = row()
    del lacking["secondaryClientSecret"]
    rows = [*good, people, differing, switched_off, lacking]
    # Either spelling.
    good[1]["secondaryClientID"] = good[1].pop("secondaryClientId")
    arguments = ["adopt", "--table", table(rows), "--output=json"]
    good[1]["secondaryClientId"] = good[1].pop("secondaryClientID")

    cloud.clear_calls()
    dry = surrogatectl.run(*arguments, "--dry-run")
    found = report(dry, exit_code=1)
    assert writes(cloud) == []
    assert "without --dry-run, name a --credentials-file" in dry.stderr
    assert found["counts"] == {
        "adopted": 0,
        "already_adopted": 0,
        "would_adopt": 2,
        "refused": 4,
    }
    reasons = {each["handle"]: each["reason"] for each in found["rows"]}
    assert "client_credentials" in reasons[handle(people)]
    assert "only in us-east-1: demo/write" in reasons[handle(differing)]
    assert reasons[handle(lacking)] == "secondaryClientSecret is missing."

    first = surrogatectl.run(*arguments, "--yes", f"--credentials-file={path}")
    found = report(first, exit_code=1)
    assert found["counts"]["adopted"] == 2
    assert sorted(set(writes(cloud))) == [
        "secretsmanager CreateSecret",
        "secretsmanager ReplicateSecretToRegions",
    ]
    assert {each["replication"] for each in found["rows"]} == {"in_sync", None}
    issued = {line["handle"]: line for line in map(json.loads, path.read_text().splitlines())}
    assert set(issued) == {handle(each) for each in good}
    assert path.stat().st_mode & 0o777 == 0o600
    for each in good:
        line = issued[handle(each)]
        assert_tokens_of(cloud, (line["client_id"], line["client_secret"]), each)
        # The old pair is known to Cognito only.
        old = (each["primaryClientId"], each["primaryClientSecret"])
        assert post_token(cloud.endpoints["primary"], old).status_code == 401

    cloud.clear_calls()
    again = surrogatectl.run(*arguments, "--yes", f"--credentials-file={path}")
    found = report(again, exit_code=1)
    assert found["counts"]["already_adopted"] == 2
    assert writes(cloud) == []
    assert len(path.read_text().splitlines()) == 2
    for done in (dry, first, again):
        assert_tells_nothing(done, rows)
        assert not any(
            line["client_secret"] in done.stdout + done.stderr for line in issued.values()
        )


def test_adopted_clients_keep_their_credentials_in_both_regions(
    cloud: Cloud, surrogatectl: CommandLine, row: MakeRow, scratch: Path
) -> None:
    rows = [row(), row(plus=True)]
    second = cloud.client("cognito-idp", "primary", "root").add_user_pool_client_secret(
        UserPoolId=cloud.endpoints["user_pools"]["primary"], ClientId=rows[0]["primaryClientId"]
    )["ClientSecretDescriptor"]["ClientSecretValue"]
    # A client in the middle of a rotation.
    rows.append({**rows[0], "primaryClientSecret": second})
    source = csv_file(scratch / "clients.csv", rows)
    done = surrogatectl.run(
        "adopt", f"--csv={source}", "--keep-credentials", "--yes", "--output=json"
    )
    found = report(done, exit_code=0)
    assert found["counts"]["adopted"] == 3
    assert {each["client_id"] for each in found["rows"]} == {handle(each) for each in rows}
    assert_tells_nothing(done, rows)
    for each in rows:
        pair = (each["primaryClientId"], each["primaryClientSecret"])
        assert_tokens_of(cloud, pair, each)
        for role in ROLES:
            in_body = post_token(
                cloud.endpoints[role], None, client_id=pair[0], client_secret=pair[1]
            )
            assert in_body.status_code == 200
            wrong = post_token(cloud.endpoints[role], (pair[0], pair[1][:-1] + "_"))
            assert wrong.status_code == 401


def test_one_app_client_pair_is_adopted_with_its_secrets_from_a_file(
    cloud: Cloud, surrogatectl: CommandLine, row: MakeRow, scratch: Path
) -> None:
    pair = row(name="billing of west")
    held = scratch / "secrets"
    held.write_text(f"{pair['primaryClientSecret']}\n{pair['secondaryClientSecret']}\n")
    path = scratch / "credentials.jsonl"
    done = surrogatectl.run(
        "adopt",
        f"--primary-client-id={pair['primaryClientId']}",
        f"--secondary-client-id={pair['secondaryClientId']}",
        f"--secrets-from={held}",
        f"--credentials-file={path}",
        "--yes",
        "--output=json",
    )
    assert standing(report(done, exit_code=0)) == {handle(pair): "adopted"}
    line = json.loads(path.read_text())
    assert_tokens_of(cloud, (line["client_id"], line["client_secret"]), pair)
    shown = surrogatectl("show", line["client_id"])
    assert (shown["client_name"], shown["origin"]) == ("billing of west", "adopted")
    assert shown["scope"] == "demo/read demo/write"


def test_without_confirmation_nothing_is_written(
    breakable_cloud: Cloud, surrogatectl: CommandLine, row: MakeRow, scratch: Path
) -> None:
    source, path = csv_file(scratch / "clients.csv", [row()]), scratch / "credentials.jsonl"
    breakable_cloud.clear_calls()
    done = surrogatectl.run("adopt", f"--csv={source}", f"--credentials-file={path}")
    assert done.returncode == 1
    assert "Adopt 1 clients?" in done.stderr
    assert "surrogatectl rotate CLIENT --app-clients" in done.stderr
    assert writes(breakable_cloud) == []
    assert not path.exists()


def test_a_run_after_an_outage_finishes_with_the_same_credentials(
    breakable_cloud: Cloud, surrogatectl: CommandLine, row: MakeRow, scratch: Path
) -> None:
    cloud, rows = breakable_cloud, [row(), row()]
    source, path = csv_file(scratch / "clients.csv", rows), scratch / "credentials.jsonl"
    arguments = ("adopt", f"--csv={source}", f"--credentials-file={path}", "--yes", "--output=json")
    for action in ("CreateSecret", "GetSecretValue"):
        cloud.add_fault("secretsmanager", "error500", "primary", action=action, times=None)
    # The Region's state and the deployment key cannot be read either.
    assert surrogatectl.run(*arguments).returncode == 4
    cloud.clear_faults()
    cloud.add_fault("secretsmanager", "error500", "primary", action="CreateSecret", times=None)
    found = report(surrogatectl.run(*arguments), exit_code=1)
    assert [each["reason"].split(".")[0] for each in found["rows"]] == [
        "Secrets Manager in us-east-1 does not answer; whether it was adopted is unknown",
        "It was not tried",
    ]
    (before,) = map(json.loads, path.read_text().splitlines())
    cloud.clear_faults()
    found = report(surrogatectl.run(*arguments), exit_code=0)
    assert found["counts"]["adopted"] == 2
    after = [json.loads(line) for line in path.read_text().splitlines()]
    assert after[0] == before
    for line, each in zip(after, rows, strict=True):
        assert_tokens_of(cloud, (line["client_id"], line["client_secret"]), each)


def test_nothing_is_written_while_the_other_region_is_gone(
    breakable_cloud: Cloud, surrogatectl: CommandLine, row: MakeRow, scratch: Path
) -> None:
    source = csv_file(scratch / "clients.csv", [row()])
    breakable_cloud.set_region("secondary", "refused")
    breakable_cloud.clear_calls()
    done = surrogatectl.run("adopt", f"--csv={source}", "--keep-credentials", "--yes")
    assert done.returncode == 4
    assert "Cognito in us-west-2 does not answer" in done.stderr
    assert writes(breakable_cloud) == []


def test_a_caller_without_permission_learns_and_adopts_nothing(
    cloud: Cloud, surrogatectl: CommandLine, row: MakeRow, scratch: Path
) -> None:
    rows = [row()]
    source, nobody = csv_file(scratch / "clients.csv", rows), cloud.identity("nobody")
    done = surrogatectl.run(
        "adopt",
        f"--csv={source}",
        "--keep-credentials",
        "--yes",
        AWS_ACCESS_KEY_ID=nobody.access_key_id,
        AWS_SECRET_ACCESS_KEY=nobody.secret_access_key,
    )
    assert done.returncode == 1
    assert "Check the role's policy" in done.stderr
    assert "Traceback" not in done.stderr
    assert_tells_nothing(done, rows)


def test_a_scan_is_adopted_whole_or_not_at_all(
    breakable_cloud: Cloud,
    surrogatectl: CommandLine,
    row: MakeRow,
    table: Callable[[Sequence[Row]], str],
    scratch: Path,
) -> None:
    cloud, rows = breakable_cloud, [row(), row()]
    name = table(rows)
    dynamodb, source = cloud.client("dynamodb", "primary", "root"), scratch / "scan.json"
    arguments = ("adopt", f"--json={source}", "--keep-credentials", "--yes", "--output=json")

    source.write_text(json.dumps(dynamodb.scan(TableName=name, Limit=1)))
    cloud.clear_calls()
    done = surrogatectl.run(*arguments)
    assert done.returncode != 0
    assert "LastEvaluatedKey, so the scan was cut off" in " ".join(done.stderr.split())
    assert writes(cloud) == []
    assert_tells_nothing(done, rows)

    # As DynamoDB exports it.
    items = dynamodb.scan(TableName=name)["Items"]
    exported = "".join(json.dumps({"Item": item}) + "\n" for item in items)
    source.write_bytes(gzip.compress(exported.encode()))
    found = report(surrogatectl.run(*arguments), exit_code=0)
    assert found["counts"]["adopted"] == 2
    for each in rows:
        assert_tokens_of(cloud, (each["primaryClientId"], each["primaryClientSecret"]), each)


def test_an_app_client_whose_secret_cognito_exchanges_is_refused_and_reported(
    breakable_cloud: Cloud, surrogatectl: CommandLine, row: MakeRow, scratch: Path
) -> None:
    cloud, adopted, managed = breakable_cloud, row(), row()
    pool = cloud.endpoints["user_pools"]["secondary"]
    cognito = cloud.client("cognito-idp", "secondary", "root")

    def manage(app_client: Row, *, on: bool) -> None:
        which = {"UserPoolId": pool, "ClientId": app_client["secondaryClientId"]}
        described = cognito.describe_user_pool_client(**which)["UserPoolClient"]
        settings = {key: value for key, value in described.items() if key.startswith("AllowedO")}
        cognito.update_user_pool_client(**which, **settings, PublishSecretsInAWSSecretsManager=on)

    manage(managed, on=True)
    source = csv_file(scratch / "clients.csv", [adopted, managed])
    arguments = ("adopt", f"--csv={source}", "--keep-credentials", "--yes", "--output=json")
    found = report(surrogatectl.run(*arguments), exit_code=1)
    assert standing(found) == {handle(adopted): "adopted", handle(managed): "refused"}
    (reason,) = [each["reason"] for each in found["rows"] if each["outcome"] == "refused"]
    assert "the app client in us-west-2" in reason
    assert "every seven days" in reason

    # Somebody turns it on afterwards.
    manage(adopted, on=True)
    reconciled = json.loads(surrogatectl.run("reconcile", "--output=json").stdout)
    details = [
        each["detail"]
        for each in reconciled["drift"]
        if each["kind"] == "unknown_cognito_secret" and each["region"] == "us-west-2"
    ]
    assert len(details) == 1
    assert "every seven days" in details[0]
