"""
One table of all bars, from the JSON of the last runs: `python -m benchmarks.report`.

It writes `summary.json` and `summary.md` beside what it reads, and puts the same tables between
the markers of `docs/performance.md`, whose words stay as they are.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT

RESULTS = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "performance.md"
NAMES = ("warm", "junk", "cold", "peers", "calls", "scale", "verifier", "trigger")

_MARKED = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Found = Mapping[str, Any]


def results(directory: Path) -> dict[str, Found]:
    """Return what each benchmark that ran has written to *directory*."""
    paths = {name: directory / f"{name}.json" for name in NAMES}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def summary(found: Mapping[str, Found]) -> list[dict[str, Any]]:
    """Return all bars: of which benchmark, what they say, what was found, and whether it is met."""
    return [
        {
            "benchmark": name,
            "bar": key,
            "says": bar["says"],
            "wanted": wanted(bar),
            "measured": bar["found"],
            "met": met(bar),
        }
        for name, result in found.items()
        for key, bar in result["bars"].items()
    ]


def met(bar: Mapping[str, Any]) -> bool:
    """Whether *bar* is met."""
    value, least, most = bar["found"], bar.get("at_least"), bar.get("at_most")
    return (least is None or value >= least) and (most is None or value <= most)


def wanted(bar: Mapping[str, Any]) -> str:
    """Return what *bar* demands, in words."""
    least, most = bar.get("at_least"), bar.get("at_most")
    if least is not None and most is not None:
        return f"{least} to {most}"
    return f"≤ {most}" if least is None else f"≥ {least}"


def tables(found: Mapping[str, Found]) -> dict[str, str]:
    """Return the tables in Markdown: `bars`, `machine`, and one for each benchmark."""
    rows = [
        (row["benchmark"], row["says"], row["wanted"], row["measured"], _word(met=row["met"]))
        for row in summary(found)
    ]
    return {
        "bars": _table(("benchmark", "bar", "wanted", "measured", "met"), rows),
        "machine": _machines(found),
        **{name: "\n".join(_of(name, result)) for name, result in found.items()},
    }


def _word(*, met: bool) -> str:
    return "yes" if met else "**no**"


def _machines(found: Mapping[str, Found]) -> str:
    rows = []
    for name, result in found.items():
        machine = result["machine"]
        what = f"{machine['cores']} x {machine['cpu']}, Python {machine['python']}"
        rows.append(
            (
                name,
                machine["at"],
                what,
                machine["load_average"][0],
                result["load_average_after"][0],
            )
        )
    return _table(("benchmark", "at", "machine", "load before", "load after"), rows)


def _of(name: str, result: Found) -> Iterator[str]:
    """Yield the tables of one benchmark."""
    # What was measured in another way has other columns.
    for _, alike in groupby(result.get("subjects", {}).items(), lambda item: [*item[1]]):
        yield _records("", [{"": key, **each} for key, each in alike])
    yield from _OTHERS.get(name, lambda _: iter(()))(result)


def _warm(result: Found) -> Iterator[str]:
    yield _records("Many clients that take turns", result["crowds"])


def _junk(result: Found) -> Iterator[str]:
    yield _records("A flood of wrong secrets beside a warm exchange", [result["flood"]])
    yield _records("A wrong secret, first and again", [result["repeated"]])
    yield _records("Timing", [result["unknown_against_wrong"]])
    yield _records("Memory", result["memory"])


def _calls(result: Found) -> Iterator[str]:
    quota = result["quota"]
    yield _records(
        "Calls of a day, and the bill of a month like it in US dollars",
        [
            {
                "clients": trace["clients"],
                "containers": trace["containers"],
                "each asks, per hour": trace["per_hour"],
                "kind": trace["kind"],
                "exchanges": trace["asked_exchanges"],
                "Cognito": trace["asked_cognito"],
                "Secrets Manager": trace["asked_secrets_manager"],
                "argon2": trace["asked_argon2"],
                "Cognito saved, %": trace["cognito_saved_percent"],
                "$ a month": trace["month_usd"]["all"],
                "$ without reuse": trace["month_usd_without_reuse"]["all"],
            }
            for trace in result["traces"]
        ],
    )
    keys = ("containers", "first_minute_per_second", "steady_per_second", "expected_per_second")
    yield _records(
        f"Requests to Cognito per second for {quota['clients']:,} clients that ask every minute",
        [{key: point[key] for key in keys} for point in quota["points"]],
    )
    met_at = quota["met_at_containers"]
    yield (
        f"Without reuse: {quota['without_reuse_per_second']} per second. The quota of "
        f"{quota['limit_per_second']} is reached at "
        + (f"{met_at:,} containers.\n" if met_at else "no number of containers.\n")
    )
    yield _records("A tier that all containers would share", [quota["shared_tier"]])


def _scale(result: Found) -> Iterator[str]:
    work = ("enrol", "list", "survey", "reconcile")
    yield _records(
        "",
        [
            {
                "clients": size["clients"],
                **{f"{name}: calls": size[name]["calls"] for name in work},
                **{f"{name}: KB": size[name]["peak_kb"] for name in work},
            }
            for size in result["sizes"]
        ],
    )


_OTHERS = {"warm": _warm, "junk": _junk, "calls": _calls, "scale": _scale}


def _records(title: str, records: list[dict[str, Any]]) -> str:
    heads = [str(key).replace("_", " ") for key in records[0]]
    table = _table(heads, [tuple(record.values()) for record in records])
    return f"{title}:\n\n{table}" if title else table


def _table(heads: Any, rows: Any) -> str:  # noqa: ANN401 - sequences of what can be printed
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(_cell(each) for each in line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " to ".join(map(str, value))
    if isinstance(value, int | float) and abs(value) >= 10_000:  # noqa: PLR2004 - readable
        return f"{value:,}"
    return str(value).replace("_", " ") if isinstance(value, str) else str(value)


def filled(document: str, made: Mapping[str, str]) -> str:
    """Return *document* with the tables that were *made* between its markers."""

    def fill(match: re.Match[str]) -> str:
        return match[1] + "\n" + made.get(match[2], "Not measured yet.\n") + "\n" + match[3]

    return _MARKED.sub(fill, document)


def as_markdown(found: Mapping[str, Found]) -> str:
    """Return the summary as a page."""
    made = tables(found)
    return f"# What `make bench` found\n\n{made['bars']}\n{made['machine']}"


def write(directory: Path, document: Path | None) -> None:
    """Write the summary of *directory* beside it, and into *document*."""
    found = results(directory)
    (directory / "summary.json").write_text(json.dumps(summary(found), indent=1) + "\n")
    (directory / "summary.md").write_text(as_markdown(found))
    if document is not None:
        document.write_text(filled(document.read_text(), tables(found)))


def show(directory: Path) -> None:
    """Print the table of bars."""
    rows = summary(results(directory))
    width = max((len(row["says"]) for row in rows), default=0)
    for row in rows:
        says = f"{row['benchmark']:9} {row['says']:{width}}"
        print(f"{says}  {row['wanted']:>12}  {row['measured']:>8}  {_plain(met=row['met'])}")


def _plain(*, met: bool) -> str:
    return "met" if met else "NOT MET"


if __name__ == "__main__":
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    write(given, DOCUMENT if given == RESULTS else None)
    show(given)
