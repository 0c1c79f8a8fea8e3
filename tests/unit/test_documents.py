"""Names in the documents exist."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.stages import PROJECT

DOCUMENTS = [PROJECT / "docs" / name for name in ("deploy.md", "costs.md", "threat-model.md")]
DOCUMENTS.append(PROJECT / "infra" / "policies.md")
THREATS = (PROJECT / "docs" / "threat-model.md").read_text()


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/\S+::\S+)`", THREATS))))
def test_every_test_named_in_the_threat_model_exists(named: str) -> None:
    path, _, test = named.partition("::")
    assert f"def {test}(" in (PROJECT / path).read_text()


def test_every_threat_names_a_test() -> None:
    table = THREATS.split("## Threats, controls")[1].split("##")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    assert all("`tests/" in row.rsplit("|", 2)[1] for row in rows)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_named_in_a_document_exists(document: Path) -> None:
    text = document.read_text()
    named = set(re.findall(r"\b(?:infra|tests|docs|surrogatectl)/[\w/.-]*\w", text))
    linked = {f"docs/{each}" for each in re.findall(r"\]\(([\w-]+\.md)\)", text)}
    assert [each for each in named | linked if not (PROJECT / each).exists()] == []


def test_the_documented_deployment_uses_existing_template_parameters() -> None:
    commands = (PROJECT / "docs" / "deploy.md").read_text()
    given = set(re.findall(r"\b([A-Z][a-z]\w+)=", commands)) - {"OutputKey"}
    assert len(given) > 15
    assert given <= _parameters("region") | _parameters("routing")


def _parameters(template: str) -> set[str]:
    text = (PROJECT / "infra" / f"{template}.yaml").read_text()
    section = text.split("\nParameters:\n")[1].split("\nRules:")[0].split("\nResources:")[0]
    return set(re.findall(r"^  (\w+):$", section, re.MULTILINE))


def test_every_command_block_is_valid_shell() -> None:
    """Nothing is run: bash only parses the blocks."""
    for document in DOCUMENTS:
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(), re.DOTALL):
            script = re.sub(r"<[\w ]+>", "PLACEHOLDER", block)
            done = subprocess.run(
                ["bash", "-n"], input=script, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{document.name}: {done.stderr}\n{block}"


def test_the_documented_quota_is_what_the_stages_of_a_region_reserve() -> None:
    """Lambda keeps 100 of it from being reserved."""
    stages = json.loads((PROJECT / ".chalice" / "config.json").read_text())["stages"]
    for role in ("primary", "secondary"):
        reserved = sum(
            each["reserved_concurrency"]
            for name in (f"{role}-token", f"{role}-admin")
            for each in (stages[name], *stages[name].get("lambda_functions", {}).values())
        )
        deploy = (PROJECT / "docs" / "deploy.md").read_text()
        assert f"executions of at least {reserved + 100}," in deploy
        assert f"The two stages of a Region reserve {reserved}," in deploy
