"""
Command line behind the Makefile's targets of the same names.

    python -m deployment package primary-token
"""

import argparse
import sys
from pathlib import Path

import boto3

from deployment import limits, staging, templates
from deployment.stages import (
    DeploymentError,
    load_config,
    production_version,
    refuse_other_versions,
    region,
)

PROJECT = Path(__file__).resolve().parent.parent
BUILD = PROJECT / "build"
_API_HANDLER = "api_handler"


def main() -> int:
    """Run one command."""
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except DeploymentError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


def _package(arguments: argparse.Namespace) -> None:
    _, output = _staged_and_archived(arguments.stage)
    size = (output / "deployment.zip").stat().st_size
    print(f"{output.relative_to(PROJECT)}/deployment.zip ({size:,} bytes) and sam.json")


def _deploy(arguments: argparse.Namespace) -> None:
    staged, _ = _staged_and_archived(arguments.stage)
    staging.run_chalice(staged, "deploy", "--stage", arguments.stage)
    config = load_config(PROJECT)
    gateway = boto3.client("apigateway", region_name=region(config, arguments.stage))
    limits.apply(PROJECT, config, arguments.stage, gateway)


def _staged_and_archived(stage: str) -> tuple[Path, Path]:
    refuse_other_versions(production_version(PROJECT))
    config = load_config(PROJECT)
    region(config, stage)  # or an unknown stage
    staged, output = BUILD / "staged", BUILD / "packages" / stage
    staging.stage(PROJECT, staged, config)
    staging.archive(staged, stage, output)
    return staged, output


def _chalice(arguments: argparse.Namespace) -> None:
    """Run a Chalice command that does not import the application, with the stage's Region set."""
    staging.run_chalice(
        PROJECT,
        arguments.command,
        *("--stage", arguments.stage, "--name", arguments.function),
        AWS_DEFAULT_REGION=region(load_config(PROJECT), arguments.stage),
    )


def _region(arguments: argparse.Namespace) -> None:
    print(region(load_config(PROJECT), arguments.stage))


def _templates(_: argparse.Namespace) -> None:
    templates.write(load_config(PROJECT), BUILD / staging.MERGED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deployment", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command", dest="command")

    for name, run, words in (
        ("package", _package, "make the zip and the template of a stage, in build/packages/"),
        ("deploy", _deploy, "make the same zip and let Chalice deploy it"),
        ("region", _region, "print the Region of a stage"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("stage")
        command.set_defaults(run=run)

    for name, words in (
        ("logs", "print what a stage's function has logged"),
        ("invoke", "invoke a stage's function with the event on standard input"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("stage")
        command.add_argument("--function", default=_API_HANDLER)
        command.set_defaults(run=_chalice)

    commands.add_parser(
        "templates", help="write what is added to the stages' templates into build/merged/"
    ).set_defaults(run=_templates)
    return parser


if __name__ == "__main__":
    sys.exit(main())
