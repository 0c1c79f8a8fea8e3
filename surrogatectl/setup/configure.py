"""
`configure`: write the stages' settings and their IAM policies.

Settings come from options, then from the Regions' stacks, then from prompts with
the present configuration as default.  The live pools must agree with them, and
the operator sees each change first.
"""

from __future__ import annotations

import copy
import difflib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from chalicelib.settings import RegionSettings, Settings, SettingsError
from surrogatectl.cli import output
from surrogatectl.cli.common import Failure, confirm, output_option, yes_option
from surrogatectl.cli.configuration import ROLES, ConfigurationError, admin_urls
from surrogatectl.cli.operators import Connect, NoAnswerError, call_aws, connect
from surrogatectl.setup.policies import all_policies, text
from surrogatectl.setup.pools import Post, post_nothing, problems, scopes_of

FROM_STACK: Final = {
    "Role": None,
    "Region": "REGION_{role}",
    "UserPoolId": "USER_POOL_ID_{role}",
    "TokenEndpoint": "OAUTH_HOST_{role}",
    "LogGroupName": "LOG_GROUP_{role}",
    "PublicUrl": "PUBLIC_URL",
    "KmsKeyArn": "KMS_KEY_ID_{role}",
}
"""Setting for each output of `infra/region.yaml`; the role is only compared."""

CONFIG: Final = Path(".chalice/config.json")
_ASKED: Final = (
    *(f"{name}_{role.upper()}" for role in ROLES for name in ("USER_POOL_ID", "OAUTH_HOST")),
    "PUBLIC_URL",
    "SECRET_PREFIX",
)

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Changed:
    """File with its present and its new content."""

    path: Path
    before: str
    after: str

    @property
    def diff(self) -> str:
        """Unified diff, for people."""
        name = str(self.path)
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True), name, name
        )
        return "".join(lines)


def from_stack(outputs: Mapping[str, str], role: str, stack: str) -> dict[str, str]:
    """
    Return the settings from the *outputs* of the stack of *role*.

    Raises:
        Failure: If the stack is of another kind, or of the other Region.
    """
    if outputs.get("Role") != role:
        raise Failure(f"The stack {stack} is not one of infra/region.yaml with Role={role}.")
    return {
        setting.format(role=role.upper()): outputs[name]
        for name, setting in FROM_STACK.items()
        if setting and name in outputs
    }


def with_settings(config: Config, settings: Mapping[str, str]) -> dict[str, Any]:
    """Return *config* with *settings*; every stage keeps its role and its other members."""
    changed = copy.deepcopy(dict(config))
    before = config["environment_variables"]
    common = changed["environment_variables"] = {**before, **settings}
    for role in ROLES:
        variable, default = f"LOG_GROUP_{role.upper()}", f"/aws/lambda/{config['app_name']}-{role}"
        if common.get(variable) == default:
            del common[variable]
    roles = {before[f"REGION_{role.upper()}"]: common[f"REGION_{role.upper()}"] for role in ROLES}
    for name, stage in changed["stages"].items():
        own = stage["environment_variables"]
        try:
            own["APP_REGION"] = roles[own["APP_REGION"]]
        except KeyError:
            raise Failure(
                f"The stage {name} is in {own.get('APP_REGION')}, which is neither REGION_PRIMARY "
                "nor REGION_SECONDARY of the present configuration."
            ) from None
    return changed


def checked(config: Config) -> Settings:
    """
    Return the settings of *config*.

    Raises:
        Failure: If one is missing, malformed, or contradicts another.
    """
    common = config["environment_variables"]
    try:
        return Settings.from_env({**common, "APP_REGION": common.get("REGION_PRIMARY", "")})
    except SettingsError as err:
        raise Failure(str(err)) from None


def live_problems(settings: Settings, connect: Connect, post: Post) -> list[str]:
    """Return the contradictions between the live pools and *settings*."""
    regions = (settings.primary, settings.secondary)
    return [
        f"{region.name}: {each}" for region in regions for each in problems(region, connect, post)
    ]


def scopes_that_differ(settings: Settings, connect: Connect) -> list[str]:
    """Return the scopes that only one of the two pools has."""
    here, there = (
        scopes_of(connect("cognito-idp", region), region.user_pool_id)
        for region in (settings.primary, settings.secondary)
    )
    return sorted(here ^ there)


def changes(project: Path, config: Config, urls: Mapping[str, str]) -> list[Changed]:
    """Return the files of *project* that *config* and the admin APIs' *urls* change."""
    wanted = {CONFIG: json.dumps(config, indent=2) + "\n"}
    wanted |= {path: text(document) for path, document in all_policies(config, urls).items()}
    found = []
    for path, after in wanted.items():
        file = project / path
        before = file.read_text() if file.exists() else ""
        if before != after:
            found.append(Changed(path, before, after))
    return found


def write(project: Path, changed: Changed) -> None:
    """Replace the file with its new content, atomically."""
    path = project / changed.path
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(changed.after)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(path.stat().st_mode if path.exists() else 0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _outputs(connect: Connect, region: str, stack: str) -> dict[str, str]:
    there = RegionSettings(region, "", "", "", None)
    try:
        stacks = call_aws(lambda: connect("cloudformation", there).describe_stacks(StackName=stack))
    except NoAnswerError as err:
        raise Failure(f"The stack {stack} in {region} cannot be described: {err}") from None
    (found,) = stacks["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}


def _read(project: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((project / CONFIG).read_text())
    except FileNotFoundError:
        raise Failure(f"There is no {CONFIG} here.  Run this in the project's directory.") from None
    except ValueError as err:
        raise Failure(f"{CONFIG} is not readable: {err}") from None
    return config


def _answers(common: Mapping[str, str], given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in _ASKED:
        if name not in given:
            yield name, click.prompt(name, default=common.get(name), err=True)


def _endpoints(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Return *settings* with the environment's AWS endpoints, which are never written."""
    primary, secondary = (
        replace(region, endpoint_url=environ.get(f"ENDPOINT_URL_{role.upper()}") or None)
        for role, region in zip(ROLES, (settings.primary, settings.secondary), strict=True)
    )
    return replace(settings, primary=primary, secondary=secondary)


@click.command("configure")
@click.option("--region-primary", "REGION_PRIMARY", help="Default: the configured one.")
@click.option("--region-secondary", "REGION_SECONDARY", help="Default: the configured one.")
@click.option("--stack-primary", help="The stack of infra/region.yaml in the primary Region.")
@click.option("--stack-secondary", help="The stack of infra/region.yaml in the secondary Region.")
@click.option("--user-pool-id-primary", "USER_POOL_ID_PRIMARY", help="Instead of a stack.")
@click.option("--user-pool-id-secondary", "USER_POOL_ID_SECONDARY", help="Instead of a stack.")
@click.option("--token-endpoint-primary", "OAUTH_HOST_PRIMARY", help="URL, instead of a stack.")
@click.option("--token-endpoint-secondary", "OAUTH_HOST_SECONDARY", help="URL, instead of a stack.")
@click.option("--kms-key-id-primary", "KMS_KEY_ID_PRIMARY", help="Key ID, ARN, or alias/….")
@click.option("--kms-key-id-secondary", "KMS_KEY_ID_SECONDARY", help="Key ID, ARN, or alias/….")
@click.option("--public-url", "PUBLIC_URL", help="Clients' URL: https://auth.example.com.")
@click.option("--secret-prefix", "SECRET_PREFIX", help="Prefix of secrets' and app clients' names.")
@click.option("--dry-run", is_flag=True, help="Check and show; write nothing.")
@click.option("--skip-live-checks", is_flag=True, help="Skip the checks against the live pools.")
@yes_option
@output_option
def configure(  # noqa: PLR0913 - one argument per option
    stack_primary: str | None,
    stack_secondary: str | None,
    output_format: str,
    *,
    dry_run: bool,
    skip_live_checks: bool,
    yes: bool,
    **options: str | None,
) -> None:
    """
    Write .chalice/config.json and the IAM policies.

    The settings come from options, or from the outputs of the two Regions' stacks.
    The command asks for missing ones, unless --yes is given.  It checks all of them
    against the live pools, and shows the changes first.
    """
    project = Path.cwd()
    config = _read(project)
    common = config["environment_variables"]
    given = {name: value for name, value in options.items() if value is not None}
    for role, stack in zip(ROLES, (stack_primary, stack_secondary), strict=True):
        if stack:
            name = f"REGION_{role.upper()}"
            outputs = _outputs(connect, given.get(name, common[name]), stack)
            given = from_stack(outputs, role, stack) | given
    if not yes:
        given |= dict(_answers(common, given))
    changed = with_settings(config, given)
    settings = checked(changed)
    if not skip_live_checks:
        _check_live(_endpoints(settings, os.environ))
    files = changes(project, changed, _admin_urls(project))
    for each in files:
        click.echo(each.diff, err=True, nl=False)
    if files and not dry_run:
        confirm("Write this?", yes=yes)
        for each in files:
            write(project, each)
    _report([str(each.path) for each in files], output_format, dry_run=dry_run)


def _admin_urls(project: Path) -> dict[str, str]:
    try:
        return admin_urls(os.environ, project)
    except ConfigurationError as err:
        raise Failure(str(err)) from None


def _check_live(settings: Settings) -> None:
    wrong = live_problems(settings, connect, post_nothing)
    if wrong:
        raise Failure("\n".join(["Nothing was written.", *wrong]))
    different = scopes_that_differ(settings, connect)
    if different:
        click.echo(
            f"Note: only one of the two pools has {', '.join(different)}. "
            "No client can be enrolled with these.",
            err=True,
        )


def _report(paths: list[str], output_format: str, *, dry_run: bool) -> None:
    if output_format == "json":
        output.print_json({"written": [] if dry_run else paths, "differ": paths})
    elif not paths:
        click.echo("Nothing differs.")
    elif not dry_run:
        click.echo(f"Written: {', '.join(paths)}.  Deploy both stages to apply it.")
