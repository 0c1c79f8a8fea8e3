"""Names of the command line: options, exit codes, and output for programs."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from click.testing import Result

from surrogatectl.drill.command import document as drill_document
from surrogatectl.drill.events import Kind, Mark, Request, Round, When, Write
from surrogatectl.drill.figures import figures, promises
from surrogatectl.drill.page import Page, Part
from surrogatectl.main import main
from tests.aws_worlds import PREFIX, AwsWorld
from tests.unit.stable_names.names import Names, members
from tests.unit.stable_names.served_cloud import ServedCloud
from tests.unit.surrogatectl.cli.command_line import PREFIX as URN
from tests.unit.surrogatectl.cli.command_line import TwoRegions, done, problem
from tests.worlds import EAST, WEST

CLIENT: Final = "sgc_" + "a" * 26
JSON: Final = "--output=json"


# Options


def commands() -> Names:
    """Return every command with its arguments and options, from click's definitions."""
    context = click.Context(main, info_name="surrogatectl")
    return {"surrogatectl": _command(context)}


def _command(context: click.Context) -> dict[str, Any]:
    command = context.command
    found: dict[str, Any] = {
        "options": {
            " ".join([*each.opts, *each.secondary_opts]): _parameter(each, context)
            for each in command.get_params(context)
            if isinstance(each, click.Option)
        },
        "arguments": {
            each.make_metavar(context): _parameter(each, context)
            for each in command.get_params(context)
            if isinstance(each, click.Argument)
        },
    }
    if isinstance(command, click.Group):
        found["commands"] = {
            name: _command(click.Context(command.commands[name], context, name))
            for name in command.list_commands(context)
        }
    return {name: part for name, part in found.items() if part}


def _parameter(parameter: click.Parameter, context: click.Context) -> dict[str, Any]:
    kind = parameter.type
    told: dict[str, Any] = {
        "type": kind.name,
        "required": parameter.required,
        "multiple": parameter.multiple,
        "values": parameter.nargs if parameter.nargs != 1 else None,
        "choices": list(map(str, kind.choices)) if isinstance(kind, click.Choice) else None,
        "min": getattr(kind, "min", None),
        "max": getattr(kind, "max", None),
        "variable": parameter.envvar,
        "default": _plain(parameter.get_default(context)),
    }
    if isinstance(parameter, click.Option):
        told["flag"] = parameter.is_flag
        told["value if none is given"] = None if parameter.is_flag else _plain(parameter.flag_value)
    return {name: each for name, each in told.items() if each is not None and each is not False}


def _plain(value: object) -> int | float | str | None:
    """Return a visible default; `None` for click's marker of none."""
    if isinstance(value, Path):
        return str(value)
    return value if isinstance(value, int | float | str) else None


# Exit codes

SHOWN: Final[dict[str, Any]] = {
    "client_id": CLIENT,
    "client_name": "billing",
    "client_secret_expires_at": 0,
    "scope": "demo/read",
    "status": "active",
    "allowed_cidrs": [],
    "secrets": [],
    "app_clients": {},
    "replication": "in_sync",
}
DISABLE: Final = ("disable", CLIENT, "--region=primary")
NOBODY: Final = {"ADMIN_URL_PRIMARY": "http://127.0.0.1:1"}
STATUSES: Final = (400, 403, 404, 409, 412, 413, 429, 500, 502, 503, 504)


def exit_codes(regions: TwoRegions) -> Names:
    """Return the commands' exit codes, by the admin API's answer."""

    def answered(answer: tuple[int, str], *arguments: str) -> int:
        regions.primary.answer = regions.secondary.answer = lambda *_: answer
        return int(regions.run(*(arguments or ("disable", CLIENT))).exit_code)

    return {
        "done": answered(done(**SHOWN)),
        "done, but not in both Regions yet": answered(
            done(**SHOWN | {"replication": "failed"}), "disable", CLIENT, "--wait"
        ),
        "the admin API answers": {
            str(status): answered(problem(status, "slug")) for status in STATUSES
        },
        "the gateway answers": {str(status): answered((status, "")) for status in STATUSES},
        "nobody answers": regions.run(*DISABLE, **NOBODY).exit_code,
        "wrong usage": answered(done(), "disable"),
        "unknown command": answered(done(), "none"),
        "malformed client ID": answered(done(), "disable", "none"),
        "not confirmed": answered(done(), "delete", CLIENT),
        "one Region conflicts": answered(problem(409, "denials-full"), "deny", CLIENT),
        "one Region is unavailable": answered(problem(503, "store-unavailable"), "deny", CLIENT),
    }


# Documents


@dataclass(frozen=True)
class Stored:
    """Secret in Secrets Manager, as of one moment."""

    name: str
    text: str
    tags: dict[str, str]
    description: str
    labels: set[str]


class Session:
    """Output and audit lines of a series of commands."""

    def __init__(self, cloud: ServedCloud, directory: Path) -> None:
        self.cloud = cloud
        self.directory = directory
        self.audit = directory / "audit.jsonl"
        self.documents: dict[str, list[Any]] = defaultdict(list)
        self.codes: dict[str, int] = {}
        self.stored: list[Stored] = []
        self.app_clients: set[str] = set()

    def run(self, name: str, *arguments: str, code: int = 0, what: str = "") -> Any:
        """Run a command; return its printed document."""
        result: Result = self.cloud.run(name, *arguments, JSON)
        assert int(result.exit_code) == code, (name, arguments, result.output, result.exception)
        document = json.loads(result.stdout)
        self.documents[f"{name}{what and f', {what}'}"].append(document)
        if code:
            self.codes[f"{name}{what and f', {what}'}"] = code
        return document

    def look(self) -> None:
        """Record the current secrets, and the names of the app clients."""
        for store in self.cloud.world.secrets.values():
            for secret in store.secrets.values():
                labels = {label for each in secret.versions.values() for label in each.labels}
                self.stored.append(
                    Stored(
                        secret.name,
                        secret.current.text,
                        dict(secret.tags),
                        secret.description,
                        labels,
                    )
                )

        for pool in self.cloud.world.pools.values():
            called = (str(each.settings["ClientName"]) for each in pool.clients.values())
            self.app_clients |= {re.sub("sgc_[a-z2-7]{26}", "<client ID>", each) for each in called}

    def audited(self, name: str, *arguments: str, code: int = 0, what: str = "") -> Any:
        """Run a command that writes an audit line."""
        return self.run(name, *arguments, f"--audit-file={self.audit}", code=code, what=what)


def run_all(cloud: ServedCloud, directory: Path) -> Session:
    """Run every command that runs without a local cloud, from `init` to a failback."""
    session = Session(cloud, directory)
    run, audited = session.run, session.audited
    run("refresh-jwks", code=1, what="before init")
    audited("init")
    audited("cleanup", "--yes", what="--yes")  # early, while there is little to remove
    audited("init")
    run("refresh-jwks")
    run("trust", "--for=jose")
    run("attach-trigger", f"--audit-file={session.audit}")
    run("configure", "--dry-run", "--yes", "--skip-live-checks", "--secret-prefix=ours")
    client_id = _life_of_a_client(session)
    _adoption(session)
    run("canary", "--scope=demo/read", code=0)
    cloud.world.aws.down.add(EAST)
    run("canary", "--scope=demo/read", code=4, what="out of order")
    cloud.world.aws.down.clear()
    run("app-clients")
    session.look()
    _drift(session, client_id)
    run("cleanup", "--dry-run")
    run("doctor", code=1)
    _status(session)
    _failover_and_failback(session, client_id)
    session.look()
    return session


def _life_of_a_client(session: Session) -> str:
    run = session.run
    made = run(
        "enroll",
        "--name=billing",
        "--scope=demo/read demo/write",
        "--allow-cidr=192.0.2.0/24",
        "--expires=2099-01-01",
    )
    client_id = str(made["client_id"])
    run("list")
    run("show", client_id, "--last-used")
    run("rotate", client_id)
    run("retire", client_id, made["secret_id"], "--yes", "--force")
    run("rotate", client_id, "--app-clients", "--older-than-hours=0", what="--app-clients")
    run("update", client_id, "--name=invoices")
    run("disable", client_id)
    run("enable", client_id)
    for name in ("deny", "denials", "allow"):
        run(name, *(() if name == "denials" else (client_id,)))
    gone = run("enroll", "--name=gone", "--scope=demo/read")["client_id"]
    run("delete", gone, "--yes")
    run("restore", gone)
    run("delete", gone, "--yes")
    _while_the_other_region_is_gone(session, client_id)
    return client_id


def _while_the_other_region_is_gone(session: Session, client_id: str) -> None:
    """Make records hold pending work."""
    aws = session.cloud.world.aws
    widened = session.run("enroll", "--name=widened", "--scope=demo/read")["client_id"]
    aws.down.add(WEST)
    session.run("update", widened, "--scope=demo/read demo/write")
    session.run("enroll", "--name=pending", "--scope=demo/read")
    session.run("update", client_id, "--scope=demo/read")
    aws.down.clear()
    session.run("update", client_id, "--if-match=another", "--name=x", code=3, what="refused")
    session.cloud.world.clock.advance(10)


def _adoption(session: Session) -> None:
    path = session.directory / "pairs.csv"
    make_pairs(session.cloud.world, path, 1)
    session.run("adopt", f"--csv={path}", "--dry-run")
    credentials = session.directory / "credentials.jsonl"
    session.audited("adopt", f"--csv={path}", f"--credentials-file={credentials}", "--yes")
    session.documents["adopt, --credentials-file"] = [
        json.loads(line) for line in credentials.read_text().splitlines()
    ]


def make_pairs(world: AwsWorld, path: Path, count: int) -> None:
    """Make app clients in both pools, and the table at *path* that pairs them."""
    rows = []
    for _ in range(count):
        row: dict[str, str] = {}
        for role, region in (("primary", EAST), ("secondary", WEST)):
            pool = world.pools[region]
            made = pool.create_user_pool_client(
                UserPoolId=pool.user_pool_id,
                ClientName="people",
                GenerateSecret=True,
                AllowedOAuthFlows=["client_credentials"],
                AllowedOAuthScopes=["demo/read"],
                AllowedOAuthFlowsUserPoolClient=True,
            )["UserPoolClient"]
            row[f"{role}ClientId"], row[f"{role}ClientSecret"] = (
                made["ClientId"],
                made["ClientSecret"],
            )
        rows.append(row)
    with path.open("w") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def _drift(session: Session, client_id: str) -> None:
    pool = session.cloud.world.pools[EAST]
    (lost,) = [
        each
        for each, found in pool.clients.items()
        if found.settings["ClientName"] == f"{PREFIX}-{client_id}"
    ]
    del pool.clients[lost]
    session.run("reconcile", code=1)
    session.audited("reconcile", "--repair", "--yes", what="--repair")


def _status(session: Session) -> None:
    report = session.directory / "drill.json"
    report.write_text(json.dumps(_drill()))
    session.documents["drill"].append(_drill())
    session.run("status", f"--drill-report={report}", code=1)


def _drill() -> dict[str, Any]:
    """Return a drill's report, made without running one: that needs a local cloud."""
    marks = {mark: float(number) for number, mark in enumerate(Mark)}
    made = Round("refused", EAST, WEST, marks=marks, ended=30.0)
    made.requests = [Request(1.0, 0.1, kind, EAST) for kind in Kind]
    made.writes = [Write(2.0, when, "enroll a client", done=True, kept=True) for when in When]
    seen = figures(made)
    parts = [Part(made, seen, list(promises(made, seen, 30.0)))]
    found: dict[str, Any] = drill_document(Page(parts, 100.0, 200.0, 30.0, 10.0))
    return found


def _failover_and_failback(session: Session, client_id: str) -> None:
    run, audited, world = session.run, session.audited, session.cloud.world
    run("failback", "--abort", what="--abort")
    run("failover", "--to=primary", what="--to primary")
    _leave_a_lease(session)
    run("status", "--quick", code=1)
    run("failover", "--to=secondary", code=3, what="another run")
    audited("failover", "--to=secondary", "--take-over", "--settle=0.01", "--timeout=30")
    run("failover", "--to=primary", code=3, what="refused")
    unreadable = run("enroll", "--name=unreadable", "--scope=demo/read")["client_id"]
    run("update", client_id, "--name=written in the secondary")
    # Both were written, and one of the other Region's records cannot be read.
    name = f"{PREFIX}/clients/{client_id}"
    text = world.secrets[EAST].secrets[name].current.text
    changed = json.dumps(json.loads(text) | {"client_name": "written in the primary"})
    world.secrets[EAST].put_secret_value(SecretId=name, SecretString=changed)
    world.secrets[WEST].secrets[f"{PREFIX}/clients/{unreadable}"].current.text = "{}"
    waits = ("--settle=0.01", "--ttl=0.01", "--timeout=30", "--force")
    run("failback", *waits, code=3, what="to be chosen")
    audited("failback", *waits, "--keep-all=secondary", code=4, what="done")


def _leave_a_lease(session: Session) -> None:
    """Have a run that was killed hold the lease, which has ended."""
    secret = session.cloud.world.secrets[WEST].secrets[f"{PREFIX}/region"]
    lease = {"command": "failback", "holder": "me", "since": 1, "until": 2, "run_id": "r"}
    secret.current.text = json.dumps(json.loads(secret.current.text) | {"lease": lease})
    session.look()


# Failures of the command line itself, without a problem document


def failures(regions: TwoRegions, session: Session) -> Names:
    """Return the documents printed for failures."""
    regions.primary.answer = regions.secondary.answer = lambda *_: problem(403, "forbidden")
    ended: dict[str, Callable[[], Result]] = {
        "unreachable": lambda: regions.run(*DISABLE, JSON, **NOBODY),
        "not confirmed": lambda: regions.run("delete", CLIENT, JSON),
        "unreachable, with a key to repeat it": lambda: regions.run(
            "enroll", "--name=n", "--scope=s/s", "--region=primary", JSON, **NOBODY
        ),
        "as the API says": lambda: regions.run(*DISABLE, JSON),
    }
    documents = {name: json.loads(run().stdout) for name, run in ended.items()}
    regions.primary.answer = lambda *_: (502, "")
    documents["the gateway"] = json.loads(regions.run(*DISABLE, JSON).stdout)
    documents["a conflict"] = session.documents["failover, refused"][0]
    documents["out of order"] = session.documents["canary, out of order"][0]
    return {
        name: {
            "members": members([document]),
            "type": document["type"].removeprefix(URN),
            "title": document["title"],
        }
        for name, document in documents.items()
    }


def printed(session: Session) -> Names:
    """Return the members of the commands' printed documents, and the exit codes."""
    return {
        "members": {name: members(found) for name, found in session.documents.items()},
        "exit codes": session.codes,
        "closed sets": _closed(session),
    }


def _closed(session: Session) -> dict[str, Any]:
    documents = session.documents
    return {
        "kinds of secrets": sorted({each["kind"] for each in documents["cleanup"][0]["secrets"]}),
        "init": sorted(set(documents["init"][0].values())),
        "canary": sorted({each["result"] for each in documents["canary"]}),
        "checks of the doctor": sorted(
            {each["check"] for each in documents["doctor"][0]["checks"]}
        ),
    }


def audit_lines(session: Session) -> Names:
    """Return the members of the operators' audit lines, and their actions and outcomes."""
    lines = [json.loads(line) for line in session.audit.read_text().splitlines()]
    return {
        action: {
            "members": members(found),
            "events": sorted({each["event"] for each in found}),
            "outcomes": sorted({each["outcome"] for each in found}),
        }
        for action, found in _by_action(lines)
    }


def _by_action(lines: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    for action in dict.fromkeys(each["action"] for each in lines):
        yield action, [each for each in lines if each["action"] == action]
