"""Drill page, validated by the Nu Html Checker: HTML, style sheet and charts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from local.cloud import ROOT
from surrogatectl.drill.events import Round
from tests.unit.surrogatectl.drill.test_drill import kept_round
from tests.unit.surrogatectl.drill.test_page import page
from tests.worlds import EAST, WEST


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the locked packages; return the program, which Java runs."""
    for program in ("npm", "java"):
        if shutil.which(program) is None:
            if os.environ.get("CI"):
                pytest.fail(f"There is no {program} here, and CI must have it.")
            pytest.skip(f"There is no {program} here: the drill's page is NOT checked.")
    directory = tmp_path_factory.mktemp("html")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "tests" / "html" / name, directory)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"


def checked(checker: Path, *pages: Path) -> str:
    """Return the checker's errors."""
    done = subprocess.run(
        ["java", "-jar", str(checker), "--Werror", "--format", "gnu", *map(str, pages)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is (not done.stderr), done
    return done.stderr


def test_every_page_is_valid_html_with_a_style_sheet_and_charts(
    checker: Path, tmp_path: Path
) -> None:
    failed = replace(kept_round(), mode="hanging", failed='<b>"it\'s" & gone</b>')
    pages = {"kept": page(kept_round()), "failed": page(kept_round(), failed)}
    pages["empty"] = page(Round("strange", EAST, WEST))
    for name, html in pages.items():
        (tmp_path / f"{name}.html").write_text(html)
    assert checked(checker, *tmp_path.iterdir()) == ""


def test_the_checker_finds_errors_in_each_language(checker: Path, tmp_path: Path) -> None:
    html = page(kept_round())
    for language, right, wrong in (
        ("html", "<h2>What we promise</h2>", "<h2>What we promise</p>"),
        ("css", "box-sizing: border-box", "box-sizing: a box"),
        ("svg", "<circle ", '<circle radius="many" '),
    ):
        assert right in html
        (tmp_path / f"{language}.html").write_text(html.replace(right, wrong))
    found = checked(checker, *tmp_path.iterdir())
    for language in ("html", "css", "svg"):
        assert re.search(rf"/{language}\.html.*error", found)
