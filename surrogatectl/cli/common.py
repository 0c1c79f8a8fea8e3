"""Shared parts of the commands: failures with exit codes, options, and admin API calls."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.connections import UNREACHABLE
from chalicelib.clients.errors import NotTheWriterError
from chalicelib.credentials import SECRET_ID, is_client_id
from chalicelib.errors import OperationError, StoreUnavailableError
from chalicelib.http.problems import problem_of
from surrogatectl.cli import output
from surrogatectl.cli.admin_client import (
    UNREACHABLE_API,
    AdminApiError,
    AdminClient,
    GatewayError,
    NoAnswerFromApiError,
)
from surrogatectl.cli.configuration import ROLES, ConfigurationError, Deployment, find_deployment
from surrogatectl.cli.signals import Interrupted, interruptible

_CONFLICTS = frozenset({409, 412})
_UNAVAILABLE = frozenset({0, 429, 503, 504})
_BAD_GATEWAY = 502
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500

# Options for the API's fields.
_OPTIONS = {
    "allowed_cidrs": "--allow-cidr",
    "client_name": "--name",
    "client_secret_expires_at": "--expires",
    "older_than_seconds": "--older-than-hours",
    "overlap_seconds": "--overlap-days",
    "recovery_days": "--recovery-days",
    "scope": "--scope",
}

T = TypeVar("T")


class Commands(click.Group):
    """Command group with sections; with `--output json`, a failure is the one JSON document."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - click's own
        """See `click.Group`."""
        super().__init__(*args, **options)
        self._sections: dict[str, tuple[click.Command, ...]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add *commands*, which the help lists in this order below *title*."""
        self._sections[title] = commands
        for command in commands:
            self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the sections with untruncated lines."""
        for title, commands in self._sections.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(str(each.name), each.get_short_help_str(limit=200)) for each in commands]
                )

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - whatever a command returns
        """Run the command that *ctx* names."""
        try:
            with interruptible():
                return super().invoke(ctx)
        except click.UsageError:
            raise
        except Interrupted as err:
            stopped = Unavailable(f"{err} What was done stays. Repeat the command to go on.")
            _print_failure(ctx, stopped)
            raise stopped from None
        except click.Abort:
            _print_failure(ctx, Failure("Not confirmed. Scripts need --yes."))
            raise
        except click.ClickException as err:
            _print_failure(ctx, err if isinstance(err, Failure) else Failure(err.message))
            raise


def _print_failure(context: click.Context, failed: Failure) -> None:
    if output.is_awaited(context):
        output.print_json(failed.document)


class Failure(click.ClickException):
    """
    Failure with its remedy.

    *problem* is the problem document (RFC 9457), if the admin API reported one.
    """

    title = "It failed"

    def __init__(self, message: str, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(output.printable(message))
        self.problem = dict(problem or {})

    @property
    def document(self) -> dict[str, Any]:
        """Problem document for programs: the API's, or one in its form."""
        own = {"type": "about:blank", "title": self.title, "detail": self.message}
        return self.problem or own


class Conflict(Failure):
    """Conflict with the current state or with a concurrent change."""

    exit_code = 3
    title = "Not as things are"


class Unavailable(Failure):
    """Missing answer of a dependency; try again later."""

    exit_code = 4
    title = "Try again later"


def _client_id(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    # It becomes part of a URL's path.
    if not is_client_id(value):
        raise click.BadParameter(
            "is malformed: a client ID is sgc_ and 26 characters, or an adopted client's own."
        )
    return value


def _secret_id(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if not SECRET_ID.fullmatch(value):
        raise click.BadParameter("is malformed: a secret ID is 8 lower-case characters.")
    return value


def _client_ids(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(_client_id(context, parameter, value) for value in values)


client_ids_argument = click.argument("client_ids", nargs=-1, required=True, callback=_client_ids)
client_id_argument = click.argument("client_id", callback=_client_id)
secret_id_argument = click.argument("secret_id", callback=_secret_id)
region_option = click.option(
    "--region",
    "role",
    type=click.Choice(ROLES),
    help="Call this Region's admin API.  Default: the Region that writes.",
)
read_region_option = click.option(
    "--region",
    "role",
    type=click.Choice(ROLES),
    help="Call this Region's admin API.  Default: the primary's, or the secondary's if that does "
    "not answer.  While the secondary Region writes, name it: the primary may show old records.",
)


def _output(context: click.Context, _parameter: click.Parameter, value: str) -> str:
    output.choose(context, value)
    return value


output_option = click.option(
    "--output",
    "output_format",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    callback=_output,
    is_eager=True,
    help="A table for people, or one JSON document for programs.",
)


class Length(click.FloatRange):
    """Length of time: a number within bounds, so neither NaN nor infinite."""

    name = "number"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return *value* as a number."""
        number: float = super().convert(value, param, ctx)  # type: ignore[arg-type]
        if not math.isfinite(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


yes_option = click.option("--yes", is_flag=True, help="Skip the confirmation.")
secret_file_option = click.option(
    "--secret-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the client secret to this new file (mode 0600) instead of printing it.",
)
if_match_option = click.option(
    "--if-match",
    "version",
    help="Require this version of the client; `show` prints it.",
)


def deployment() -> Deployment:
    """
    Return the deployment that the environment or this directory describes.

    Raises:
        Failure: If neither describes one, or AWS credentials are missing.
    """
    try:
        found = find_deployment(os.environ, Path.cwd())
    except ConfigurationError as err:
        raise Failure(str(err)) from None
    if boto3.Session().get_credentials() is None:
        # A call without credentials would look like a lost Region.
        raise Failure('No AWS credentials. For the local cloud: eval "$(make -s env)".')
    return found


def call_admin_api(role: str | None, call: Callable[[AdminClient], T]) -> T:
    """
    Return *call*'s result from the admin API of *role*, by default of the Region that writes.

    If one Region does not answer, call the other one: it may have taken over.

    Raises:
        Failure: If the API refuses, or does not answer.
    """
    found = deployment()
    roles = [role] if role else list(ROLES)
    silent: Failure | None = None
    for each in roles:
        try:
            return call(AdminClient(found.admin_url(each), found.region(each).name))
        except ConfigurationError as err:
            raise silent or Failure(str(err)) from None
        except AdminApiError as err:
            elsewhere = err.reports(NotTheWriterError)
            if each == roles[-1]:
                raise (
                    _nobody_writes(found, silent) if elsewhere and silent else failure(err)
                ) from None
            if not elsewhere:
                if not _is_silent(err):
                    raise failure(err) from None
                silent = failure(err)
    raise AssertionError


def _is_silent(err: AdminApiError) -> bool:
    """Return whether a Region's answer leaves open whether it writes."""
    at_the_gateway = isinstance(err, GatewayError) and err.status >= _SERVER_ERROR
    return (
        isinstance(err, NoAnswerFromApiError)
        or at_the_gateway
        or err.reports(StoreUnavailableError)
    )


def _nobody_writes(found: Deployment, silent: Failure) -> Failure:
    standby = found.region("secondary").name
    # A Region that does not answer at all cannot be fenced.
    force = " --force" if silent.problem.get("type") == UNREACHABLE_API else ""
    return Unavailable(
        f"{silent.message}\n{standby} answers, and is the standby. If the other Region stays "
        f"down: `surrogatectl failover --to secondary{force}`, then repeat this command.",
        silent.problem,
    )


def failure(err: AdminApiError) -> Failure:
    """Return *err* as a failure with its exit code."""
    message = f"{err.problem.get('title', 'It failed')}. {err}{_options(err)}"
    if err.status in _CONFLICTS:
        return Conflict(message, err.problem)
    # The gateway's own 502 means a crashed function; the API's means a refusal by Cognito.
    broken = isinstance(err, GatewayError) and err.status == _BAD_GATEWAY
    if err.status in _UNAVAILABLE or broken:
        return Unavailable(message, err.problem)
    return Failure(message, err.problem)


def operation_failure(err: OperationError) -> Failure:
    """Return *err*, of an operation with the operator's own role, as the API would report it."""
    problem = problem_of(err)
    document = {"title": problem.title, "detail": problem.detail, "status": problem.status}
    return failure(AdminApiError(document))


def _options(err: AdminApiError) -> str:
    """Return the options for the fields that the API names."""
    fields = [each.get("field") for each in err.problem.get("errors", [])]
    named = [_OPTIONS[each] for each in fields if each in _OPTIONS]
    return f" (Options: {', '.join(named)}.)" if named else ""


def aws_failure(service: str, err: ClientError | BotoCoreError) -> Failure:
    """Return *err* of *service* as a failure: unavailable if throttled, broken or unreachable."""
    message = f"{service}: {err}"
    if isinstance(err, ClientError):
        status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        throttled = "Throttl" in err.response.get("Error", {}).get("Code", "")
        busy = throttled or status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR
    else:
        busy = isinstance(err, UNREACHABLE)
    return Unavailable(message) if busy else Failure(message)


def together(failures: Sequence[Failure], message: str) -> Failure:
    """Combine *failures* into one with *message* and the worst exit code."""
    code = worst(each.exit_code for each in failures)
    kind = next(type(each) for each in failures if each.exit_code == code)
    return kind(message)


def worst(exit_codes: Iterable[int]) -> int:
    """Return the exit code that a repetition is least likely to change: 1, 3, then 4."""
    return min(exit_codes)


def confirm(question: str, *, yes: bool) -> None:
    """
    Ask for confirmation of an irreversible action.

    Raises:
        click.Abort: If the answer is no or missing.
    """
    if not yes:
        click.confirm(question, abort=True, err=True)


def if_match(version: str | None) -> dict[str, str]:
    """Return the headers that make a change conditional on *version*."""
    return {} if version is None else {"If-Match": '"' + version.strip('"') + '"'}
