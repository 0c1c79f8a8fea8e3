"""
Plots of the stored results: `python -m benchmarks.plots DIRECTORY`, with matplotlib installed.

It reads only the JSON in the directory, and writes the plots beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

Found = Mapping[str, Any]

_BASES = {
    "no_op": "that of a Chalice route that does nothing",
    "pyjwt_with_the_key_at_hand": "PyJWT, told the key beforehand",
}
# Keeps the line of a bar from running through a number.
_PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 1}
_OURS, _OTHERS, _BAR = "#2a6f97", "#7d8791", "#c1121f"


def main() -> None:
    """Draw a plot of each stored result."""
    directory = Path(sys.argv[1])
    for name, draw in _DRAWN.items():
        path = directory / f"{name}.json"
        if path.exists():
            found = json.loads(path.read_text())
            draw(found)
            machine = found["machine"]
            plt.figtext(
                0.01,
                0.005,
                f"{machine['cpu']}, Python {machine['python']}, load {machine['load_average'][0]}, "
                f"{machine['at'][:10]}",
                fontsize=6,
                color="grey",
            )
            plt.tight_layout(rect=(0, 0.02, 1, 1))
            plt.savefig(directory / f"{name}.png", dpi=110, metadata={"Software": None})
            plt.close()


def _ratios(found: Found, title: str, bars: Mapping[str, float], base: str = "no_op") -> None:
    names = list(found["subjects"])
    values = [found["subjects"][name][f"ratio_to_{base}"] for name in names]
    _, axes = plt.subplots(figsize=(7, 0.45 * len(names) + 1.4))
    others = (base, "pyjwt_with_key_chosen_by_hand")
    colors = [_OTHERS if name in others else _OURS for name in names]
    drawn = axes.barh([name.replace("_", " ") for name in names], values, color=colors)
    axes.bar_label(drawn, fmt="%.2f", padding=3, fontsize=8, bbox=_PLATE)
    for label, at in bars.items():
        axes.axvline(at, color=_BAR, linestyle="--", linewidth=1, zorder=0)
        axes.text(at + 0.01, -0.65, label, color=_BAR, fontsize=7, va="center")
    axes.set_ylim(len(names) - 0.5, -0.9)
    axes.set_xlim(0, max(*values, *bars.values()) * 1.15)
    axes.set_xlabel(f"CPU time ÷ {_BASES[base]}")
    axes.set_title(title, fontsize=10)


def _warm(found: Found) -> None:
    _ratios(found, "A warm exchange", {"bar 1.8": 1.8, "bar 2.5": 2.5})


def _junk(found: Found) -> None:
    _ratios(found, "Requests that cannot be right", {"bar 1.5": 1.5})


def _verifier(found: Found) -> None:
    base = "pyjwt_with_the_key_at_hand"
    _ratios(found, "Verifying a token", {"bar 1.5": 1.5}, base)


def _trigger(found: Found) -> None:
    names = [name for name, each in found["subjects"].items() if "cpu_ms" in each]
    _, axes = plt.subplots(figsize=(7, 2.6))
    values = [found["subjects"][name]["cpu_ms"] for name in names]
    drawn = axes.barh([name.replace("_", " ") for name in names], values, color=_OURS)
    axes.bar_label(drawn, fmt="%.0f ms", padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, max(values) * 1.15)
    axes.set_xlabel("CPU time from the process's start; Cognito waits for 5,000 ms")
    axes.set_title("A cold start of the trigger beside a pool", fontsize=10)


def _cold(found: Found) -> None:
    names = list(found["subjects"])
    _, axes = plt.subplots(figsize=(7, 2.6))
    values = [found["subjects"][name]["cpu_ms"] for name in names]
    colors = [_OURS if name == "packaged" else _OTHERS for name in names]
    drawn = axes.barh([name.replace("_", " ") for name in names], values, color=colors)
    axes.bar_label(drawn, fmt="%.0f ms", padding=3, fontsize=8, bbox=_PLATE)
    axes.set_xlim(0, max(values) * 1.15)
    bar = found["bars"]["cpu"]["at_most"]
    at = bar * found["subjects"]["untouched"]["cpu_ms"]
    axes.axvline(at, color=_BAR, linestyle="--", linewidth=1, zorder=0)
    axes.text(at + 4, -0.65, f"bar {bar}", color=_BAR, fontsize=7, va="center")
    axes.set_ylim(len(names) - 0.5, -0.9)
    axes.set_xlabel("CPU time from the process's start to the first token")
    axes.set_title("A cold start under AWS's runtime client", fontsize=10)


def _peers(found: Found) -> None:
    subjects = sorted(found["subjects"].items(), key=lambda item: float(item[1]["cpu_ms"]))
    _, axes = plt.subplots(figsize=(7, 4))
    values = [each["cpu_ms"] for _, each in subjects]
    colors = [_OURS if name.startswith("ours") else _OTHERS for name, _ in subjects]
    drawn = axes.barh([name.replace("_", " ") for name, _ in subjects], values, color=colors)
    axes.bar_label(drawn, fmt="%.2f ms", padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 2, max(values) * 4)
    axes.invert_yaxis()
    axes.set_xlabel("the server's CPU time per request for a token (logarithmic)")
    axes.set_title("Token servers over HTTP, side by side", fontsize=10)


def _calls(found: Found) -> None:
    quota = found["quota"]
    points = quota["points"]
    fleet = [point["containers"] for point in points]
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    left.plot(fleet, [p["steady_per_second"] for p in points], "o", color=_OURS, label="simulated")
    left.plot(fleet, [p["expected_per_second"] for p in points], color=_OURS, label="expected")
    left.axhline(quota["limit_per_second"], color=_BAR, linestyle="--", label="Cognito's quota")
    left.axhline(
        quota["without_reuse_per_second"], color=_OTHERS, linestyle="--", label="without reuse"
    )
    if met_at := quota["met_at_containers"]:
        left.axvline(met_at, color=_BAR, linestyle=":", label=f"met at {met_at:,} containers")
    shared = quota["shared_tier"]["cognito_per_second"]
    left.axhline(shared, color="#5a9367", linestyle=":", label="a tier that all containers share")
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_xlabel("containers that are kept warm")
    left.set_ylabel("requests to Cognito per second, steady")
    left.set_title(f"{quota['clients']:,} clients that ask every minute", fontsize=10)
    left.legend(fontsize=7, framealpha=1)
    for point in points:
        if point["containers"] in {1, 10, 100, 1_000}:
            series = [value / 60 for value in point["per_minute"]]
            right.plot(series, linewidth=1, label=f"{point['containers']:,}")
    limit = quota["limit_per_second"]
    right.axhline(limit, color=_BAR, linestyle="--", linewidth=1, label="Cognito's quota")
    right.set_xlabel("minutes since all containers started")
    right.set_ylabel("requests to Cognito per second")
    right.set_title("After a start from nothing, a failover for instance", fontsize=10)
    right.set_ylim(top=1.4 * limit)
    right.legend(fontsize=7, title="containers", title_fontsize=7, ncols=5, loc="upper center")


def _scale(found: Found) -> None:
    sizes = [each["clients"] for each in found["sizes"]]
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    for name, style, label in (
        ("enroll", "o-", "enroll one"),
        ("list", "s-", "list all"),
        ("reconcile", "D-", "reconcile, all that is stored"),
        ("survey", "v--", "reconcile, as scheduled"),
    ):
        left.plot(sizes, [each[name]["calls"] for each in found["sizes"]], style, label=label)
        right.plot(sizes, [each[name]["peak_kb"] for each in found["sizes"]], style, label=label)
    left.set_ylabel("calls")
    right.set_ylabel("KB")
    for axes, title in ((left, "Calls to AWS"), (right, "Memory at its peak")):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("clients")
        axes.set_title(title, fontsize=10)
        axes.legend(fontsize=7)


_DRAWN: Mapping[str, Callable[[Found], None]] = {
    "warm": _warm,
    "junk": _junk,
    "cold": _cold,
    "peers": _peers,
    "calls": _calls,
    "scale": _scale,
    "verifier": _verifier,
    "trigger": _trigger,
}

if __name__ == "__main__":
    main()
