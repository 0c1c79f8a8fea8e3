"""Command line of the local cloud, called by the Makefile's `up`, `down` and `env`."""

import argparse
import json
import shlex
import sys
from pathlib import Path

from local.cloud import DEFAULT_STATE, DEFAULT_TIME_SCALE, ROOT, Cloud, CloudError, stop
from local.deploy import DeploymentError
from local.state import Role
from local.switch import Mode

_INTERRUPTED = 130


def main() -> int:
    """Run one command."""
    arguments = _parser().parse_args()
    try:
        return int(arguments.run(arguments) or 0)
    except (CloudError, DeploymentError) as err:
        print(f"error: {err}", file=sys.stderr)
    except OSError as err:
        # Another user's directory, one that cannot be written, a full disk, a service that is gone.
        print(f"error: {err}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted: nothing that was being started is left", file=sys.stderr)
        return _INTERRUPTED
    return 1


def _up(arguments: argparse.Namespace) -> None:
    Cloud.up(
        arguments.state,
        project=arguments.project,
        time_scale=arguments.time_scale,
        operator_policy=arguments.operator_policy,
        outlives=True,
    )


def _down(arguments: argparse.Namespace) -> None:
    print("stopped" if stop(arguments.state) else "nothing was running", file=sys.stderr)


def _env(arguments: argparse.Namespace) -> None:
    environment = Cloud.find(arguments.state).environment
    print("unset AWS_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN")
    for key, value in environment.items():
        print(f"export {key}={shlex.quote(value)}")


def _status(arguments: argparse.Namespace) -> None:
    cloud = Cloud.find(arguments.state)
    if arguments.output == "json":
        print(json.dumps({**cloud.endpoints, "network": cloud.network_status()}, indent=2))
    else:
        print(cloud.describe())


def _region(arguments: argparse.Namespace) -> None:
    cloud = Cloud.find(arguments.state)
    cloud.set_region(arguments.role, arguments.mode)
    print(f"{arguments.role} ({cloud.endpoints['regions'][arguments.role]}): {arguments.mode}")


def _logs(arguments: argparse.Namespace) -> None:
    for line in Cloud.find(arguments.state).logs(arguments.role):
        print(line)


def _chalice_local(arguments: argparse.Namespace) -> None:
    Cloud.find(arguments.state).run_chalice_local(arguments.stage, arguments.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument(
        "--state", type=Path, default=DEFAULT_STATE, help="state directory (default: %(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    up = commands.add_parser("up", help="start, or deploy what changed")
    up.add_argument("--project", type=Path, default=ROOT, help="Chalice project to deploy")
    up.add_argument("--operator-policy", type=Path, help="IAM policy of the user `operator`")
    up.add_argument(
        "--time-scale",
        type=float,
        default=DEFAULT_TIME_SCALE,
        help="divide TTLs and health check intervals by this (default: %(default)g)",
    )
    up.set_defaults(run=_up)

    commands.add_parser("down", help="stop").set_defaults(run=_down)
    commands.add_parser("env", help="print shell exports").set_defaults(run=_env)

    status = commands.add_parser("status", help="say what runs where")
    status.add_argument("--output", choices=("text", "json"), default="text")
    status.set_defaults(run=_status)

    region = commands.add_parser("region", help="take a Region away, or give it back")
    region.add_argument("role", choices=[role.value for role in Role])
    region.add_argument("mode", choices=[mode.value for mode in Mode])
    region.set_defaults(run=_region)

    logs = commands.add_parser("logs", help="print what a stage's function has logged")
    logs.add_argument("role", choices=[role.value for role in Role])
    logs.set_defaults(run=_logs)

    local = commands.add_parser("chalice-local", help="serve a stage from the working tree")
    local.add_argument("--stage", default=Role.PRIMARY.value)
    local.add_argument("--port", type=int, default=8000)
    local.set_defaults(run=_chalice_local)
    return parser


if __name__ == "__main__":
    sys.exit(main())
