"""
Commands in `docs/deploy.md` and related documents use existing names.

Targets of make, stages, parameters and outputs of templates, files.
test_docs checks their `surrogatectl` commands.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]

from tests.stages import PROJECT

DEPLOY = (PROJECT / "docs" / "deploy.md").read_text()
DOCUMENTS = sorted(
    [PROJECT / "README.md", *(PROJECT / "docs").glob("*.md"), *(PROJECT / "infra").glob("*.md")]
)
BLOCKS = re.findall(r"```sh\n(.*?)```", DEPLOY, re.DOTALL)
TEMPLATES: dict[str, Any] = {
    name: cfn_yaml.load(str(PROJECT / "infra" / f"{name}.yaml")) for name in ("region", "routing")
}
STAGES = set(json.loads((PROJECT / ".chalice" / "config.json").read_text())["stages"])
ROLES = ("primary", "secondary")


def joined(block: str) -> list[str]:
    """Return the lines of *block*, with continued lines joined."""
    return block.replace("\\\n", " ").splitlines()


def lines_with(text: str) -> list[str]:
    found = [line for block in BLOCKS for line in joined(block) if text in line]
    assert found, text
    return found


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_block_is_shell(number: int) -> None:
    # <placeholders> are for people.
    text = re.sub(r"<[a-z ]+>", "placeholder", BLOCKS[number])
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_target_of_make_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    code = re.findall(r"`([^`\n]+)`|```sh\n(.*?)```", path.read_text(), re.DOTALL)
    commands = [each for pair in code for text in pair for each in joined(text)]
    used = {
        name
        for command in commands
        for words in re.findall(r"(?:^|&& |; |\(|do )make((?: [^\s;&|]+)+)", command.strip())
        for name in re.findall(r"(?<= )[a-z]+(?=\s|$)", words)
    }
    assert used <= targets
    if path.name == "deploy.md":
        assert {"install", "check", "test", "package", "deploy"} <= used


def test_the_documented_stages_exist() -> None:
    (loop,) = re.findall(r"for stage in ([^;]+);", DEPLOY)
    assert set(loop.split()) == {each for each in STAGES if "-" in each}
    named = set(re.findall(r"STAGE=([a-z-]+)", DEPLOY))
    assert named
    assert named <= STAGES
    for suffix in re.findall(r"--stage \"?\$(?:1|role)-([a-z]+)", DEPLOY):
        assert {f"{role}-{suffix}" for role in ROLES} <= STAGES


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_documented_parameters_are_the_templates_and_sufficient(name: str) -> None:
    (command,) = lines_with(f"--template-file infra/{name}.yaml")
    declared = TEMPLATES[name]["Parameters"]
    given = set(re.findall(r"(?<= )([A-Z][A-Za-z0-9]+)=", command))
    needed = {each for each, what in declared.items() if "Default" not in what}
    assert needed <= given <= set(declared)


def test_later_updates_of_a_stack_use_its_parameters() -> None:
    parameters = set(TEMPLATES["region"]["Parameters"])
    for line in lines_with("region_stack "):
        assert set(re.findall(r" ([A-Z][A-Za-z]+)=", line)) <= parameters
    prose = set(re.findall(r"`([A-Z][a-z]+[A-Z][A-Za-z]+)(?:=[a-z]+)?`", DEPLOY))
    known = parameters | set(TEMPLATES["routing"]["Parameters"])
    assert {"RequestsPerAddress", "ExistingUserPoolId", "KmsKey"} <= prose
    outputs = {output for template in TEMPLATES.values() for output in template["Outputs"]}
    assert prose <= known | outputs | {"RestAPIId", "EndpointURL"}  # Chalice's


def test_the_documented_outputs_exist() -> None:
    asked = set(re.findall(r"\$\(output \w+ \"\$\w+\" (\w+)\)", DEPLOY))
    assert len(asked) == 3
    assert asked <= set(TEMPLATES["region"]["Outputs"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_documented_files_exist(path: Path) -> None:
    text = path.read_text()
    named = re.findall(r"`((?:infra|docs|tests|local|deployment|chalicelib)/[\w./-]+)`", text)
    for each in named:
        assert (PROJECT / each).exists(), each
    for link in re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", text):
        assert (path.parent / link).exists(), link
