"""Markdown tables of the stored results: bars, machines, and the tables of each benchmark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from benchmarks.bars import Found, summary


def tables(found: Mapping[str, Found]) -> dict[str, str]:
    """Return the tables by name: `bars`, `machine`, and those of each measured benchmark."""
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
    # Subjects that were measured in another way have other columns.
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
    work = ("enroll", "list", "survey", "reconcile")
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


def _table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(_cell(each) for each in line) + " |\n" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " to ".join(map(str, value))
    if isinstance(value, int | float) and abs(value) >= 10_000:  # noqa: PLR2004 - readable
        return f"{value:,}"
    return str(value).replace("_", " ") if isinstance(value, str) else str(value)
