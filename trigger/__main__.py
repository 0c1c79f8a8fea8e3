"""Regenerate the copy of `index.py` in `infra/region.yaml`: `python -m trigger`."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path("trigger/index.py")
TEMPLATE = Path("infra/region.yaml")
_BEGINS = "        ZipFile: |\n"
_INDENT = " " * 10


def with_copy(template: str, source: str) -> str:
    """Return the text of *template* with *source* as the code of its function."""
    before, begins, after = template.partition(_BEGINS)
    lines = after.splitlines(keepends=True)
    while lines and (not lines[0].strip() or lines[0].startswith(_INDENT)):
        lines.pop(0)
    copied = "".join(
        f"{_INDENT}{line}" if line.strip() else line for line in source.splitlines(keepends=True)
    )
    return before + begins + copied + "\n" + "".join(lines)


if __name__ == "__main__":
    TEMPLATE.write_text(with_copy(TEMPLATE.read_text(), SOURCE.read_text()))
