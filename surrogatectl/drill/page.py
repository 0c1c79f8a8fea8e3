"""The report that a manager can read: one page that needs nothing else, and no script."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from surrogatectl.drill.chart import NARROW, WIDE, chart, moments
from surrogatectl.drill.events import Mark, Round, When
from surrogatectl.drill.figures import Figures, Promise
from surrogatectl.drill.style import STYLE

CHECK_SECONDS: Final = 30
"""On AWS: three health checks, 10 seconds apart (infra/routing.yaml)."""

TTL_SECONDS: Final = 60
"""On AWS: how long resolvers keep the answer of an alias to API Gateway."""


@dataclass(frozen=True, slots=True)
class Part:
    """One round with its figures and promises."""

    round: Round
    figures: Figures
    promises: Sequence[Promise]


@dataclass(frozen=True, slots=True)
class Page:
    """A drill: its rounds, when it was, and how fast DNS ran compared with AWS."""

    parts: Sequence[Part]
    began: float
    finished: float
    time_scale: float
    rate: float

    @property
    def promises(self) -> list[Promise]:
        """The promises of all rounds."""
        return [promise for part in self.parts for promise in part.promises]


_TITLES: Final = {
    "refused": "The Region is dead: every connection is refused",
    "hanging": "The Region hangs: connections are made, and nobody ever answers",
}
_MOMENTS: Final = {
    Mark.LOST: "{primary} is lost, with everything in it.",
    Mark.DETECTED: "An outside canary has failed three times in a row: the outage is detected.",
    Mark.FAILOVER: "The operator decides and fails over. (Here at once; people take longer.)",
    Mark.TOOK_OVER: "{secondary} has taken over, and the name leads there.",
    Mark.BACK: "{primary} is back. Its records are old, so it gets no traffic.",
    Mark.FAILBACK: "The operator fails back: what changed meanwhile is copied first.",
    Mark.RETURNED: "{primary} serves again.",
}
_LEGEND: Final = (
    ("primary", "token from {primary}"),
    ("secondary", "token from {secondary}"),
    ("refused", "wrong secret, rightly refused"),
    ("error", "no answer, or “try again”"),
    ("wrong", "wrong answer"),
)
_TERMS: Final = {
    "Region": "A group of data centers of AWS in one part of the world. The service runs in two.",
    "Token": "What a program shows to prove who it is. It is good for an hour, in either Region.",
    "Wrong answer": "A good credential refused, a bad one accepted, or a token that does not "
    "verify. An error that says “try again” is not one: programs try again.",
    "The name": "The one address that programs know. DNS says which Region it leads to.",
    "Failover, failback": "Moving the service to the other Region, and back. A person decides: "
    "nothing moves by itself, so that a short illness does not become a long one.",
    "Time to detect": "From the loss until a check from outside had failed three times in a row.",
    "Time to recover": "From the loss until requests stopped failing: detection, the decision, "
    "the command, and DNS.",
    "Backend": "The programs behind. They verified every token, with keys that they fetched "
    "before the outage.",
    "Change": "Something that an administrator did: enrolling a client, rotating a secret, "
    "disabling a client. Kept means that both Regions act on it at the end.",
}


def render(page: Page) -> str:
    """Return *page* as HTML."""
    body = "".join(
        [
            _head(page),
            _tiles(page),
            *(_part(part) for part in page.parts),
            _promises(page),
            _on_aws(page),
            _terms(),
            _foot(page),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>Drill: {escape(_verdict(page))}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>{body}</main>\n</body>\n</html>\n"
    )


def _verdict(page: Page) -> str:
    every = page.promises
    broken = sum(1 for each in every if not each.kept)
    if broken:
        return f"{broken} of {len(every)} promises were broken"
    return f"all {len(every)} promises were kept"


def _head(page: Page) -> str:
    ok = all(each.kept for each in page.promises)
    first = page.parts[0].round
    times = {1: "once", 2: "twice"}.get(len(page.parts), f"{len(page.parts)} times")
    verdict = _verdict(page)
    return (
        "<header>"
        "<p class=kicker>Disaster drill · surrogate client credentials</p>"
        f"<h1>We lost <span class=nb>{escape(first.primary)}</span> on purpose, {times}</h1>"
        f"<p class='verdict {'good' if ok else 'bad'}'><span aria-hidden=true>"
        f"{'✓' if ok else '✗'}</span> {escape(verdict[0].upper() + verdict[1:])}.</p>"
        f"<p class=lead>On {_date(page.began)} programs asked for tokens, "
        f"{page.rate:g} times a second, through one name. The Region that "
        f"served them was taken away; operators moved the service to "
        f"<span class=nb>{escape(first.secondary)}</span>, "
        "went on working there, and moved it back. This is what the programs saw.</p></header>"
    )


def _tiles(page: Page) -> str:
    found = [part.figures for part in page.parts]
    wrong = sum(each.wrong for each in found)
    done = sum(each.writes_done for each in found)
    tiles = [
        _tile("Requests", _number(sum(each.requests for each in found)), ""),
        _tile(
            "Wrong answers",
            _number(wrong),
            "none, as promised" if not wrong else "there must be none",
            bad=bool(wrong),
        ),
        _tile(
            "Tokens verified",
            _number(sum(each.tokens_verified for each in found)),
            "by a backend that was never restarted",
        ),
        _tile(
            "Changes kept",
            f"{sum(each.writes_kept for each in found)} of {done}",
            "made before, during and after",
            bad=sum(each.writes_kept for each in found) != done,
        ),
    ]
    return (
        f"<section class=tiles aria-label='Figures of the whole drill'>{''.join(tiles)}</section>"
    )


def _tile(name: str, value: str, note: str, *, bad: bool = False) -> str:
    return (
        f"<div class='tile{' bad' if bad else ''}'><p class=name>{escape(name)}</p>"
        f"<p class=value>{escape(value)}</p><p class=note>{escape(note)}</p></div>"
    )


def _part(part: Part) -> str:
    made, found = part.round, part.figures
    tiles = [
        _tile("Time to detect", _seconds(found.detected), "three failed checks"),
        _tile(
            "Time to recover",
            _seconds(found.recovered),
            f"{_seconds(found.switched)} of it since the failover began",
            bad=found.recovered is None,
        ),
        _tile(
            "Errors before the name moved",
            _number(found.errors_before_the_name_moved),
            "programs tried again later",
        ),
        _tile(
            "Errors when it came back",
            _number(found.errors_since_the_region_was_back),
            "coming back costs nothing" if not found.errors_since_the_region_was_back else "",
            bad=bool(found.errors_since_the_region_was_back),
        ),
    ]
    failed = (
        f"<p class=failed>This round could not be completed: {escape(made.failed)}</p>"
        if made.failed
        else ""
    )
    return (
        f"<section><h2>{escape(_TITLES.get(made.mode, made.mode))}</h2>{failed}"
        f"<div class=tiles>{''.join(tiles)}</div>"
        f"<figure>{chart(made, WIDE)}{chart(made, NARROW)}"
        f"<figcaption>Requests per second, by when they were sent.{_legend(made)}"
        f"</figcaption></figure>"
        f"<ol class=moments>{''.join(_moments(made))}</ol>"
        f"{_writes(made)}</section>"
    )


def _legend(made: Round) -> str:
    names = {"primary": made.primary, "secondary": made.secondary}
    keys = [
        f"<li><i class={name} aria-hidden=true></i>{escape(text.format(**names))}</li>"
        for name, text in _LEGEND
    ]
    keys.append("<li><i class=write aria-hidden=true>◆</i>change by an administrator</li>")
    return f"<ul class=legend>{''.join(keys)}</ul>"


def _moments(made: Round) -> Iterator[str]:
    names = {"primary": made.primary, "secondary": made.secondary}
    for mark, at in moments(made):
        text = escape(_MOMENTS[mark].format(**names))
        yield f"<li><span class=at>{at:.1f} s</span> {text}</li>"


def _writes(made: Round) -> str:
    if not made.writes:
        return ""
    words = {When.BEFORE: "before", When.DURING: "during", When.AFTER: "after"}
    rows = [
        f"<tr><td class=at>{each.at:.1f} s</td><td>{words[each.when]}</td>"
        f"<td>{escape(each.what)}</td><td>{_kept(done=each.done, kept=each.kept)}</td></tr>"
        for each in made.writes
    ]
    return (
        "<details><summary>The changes that administrators made</summary><div class=scroll><table>"
        "<thead><tr><th>at</th><th>outage</th><th>change</th><th>at the end</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _kept(*, done: bool, kept: bool) -> str:
    if kept:
        return "<span class=good>✓ in force in both Regions</span>"
    return f"<span class=bad>✗ {'lost' if done else 'refused'}</span>"


def _promises(page: Page) -> str:
    items = []
    for part in page.parts:
        items.append(f"<h3>{escape(_TITLES.get(part.round.mode, part.round.mode))}</h3><ul>")
        items.extend(
            f"<li class={'good' if each.kept else 'bad'}><span class=sign>"
            f"{'✓' if each.kept else '✗'}<span class=away> {'kept' if each.kept else 'broken'}: "
            f"</span></span><span>{escape(each.text)} <em>{escape(each.measured)}</em></span></li>"
            for each in part.promises
        )
        items.append("</ul>")
    return f"<section class=promises><h2>What we promise</h2>{''.join(items)}</section>"


def _on_aws(page: Page) -> str:
    return (
        "<section><h2>What it would be on AWS</h2>"
        f"<p>This drill ran on one machine that stands in for two Regions, with DNS "
        f"{page.time_scale:g} times as fast. On AWS the same steps take:</p>"
        "<div class=scroll><table><tbody>"
        "<tr><th>Detection</th><td>as fast as what watches from outside; the alarms that ship "
        "take 3 minutes, and a Region that is gone raises none</td></tr>"
        "<tr><th>Decision</th><td>made by a person</td></tr>"
        "<tr><th>The command</th><td>about as long as here</td></tr>"
        f"<tr><th>Health checks</th><td>up to {CHECK_SECONDS} s: three, 10 s apart</td></tr>"
        f"<tr><th>DNS</th><td>up to {TTL_SECONDS} s more, while resolvers keep the old answer"
        "</td></tr></tbody></table></div>"
        f"<p>So clients follow within {CHECK_SECONDS + TTL_SECONDS} seconds of the command. "
        "Programs that keep connections or ignore DNS follow when they "
        "connect anew. Tokens that were issued before stay good all the while.</p></section>"
    )


def _terms() -> str:
    items = "".join(
        f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in _TERMS.items()
    )
    return f"<section class=terms><h2>The words on this page</h2><dl>{items}</dl></section>"


def _foot(page: Page) -> str:
    return (
        f"<footer><p>Made by <code>surrogatectl drill</code>, finished {_date(page.finished)}. "
        "The same figures for programs: <code>drill.json</code>.</p></footer>"
    )


def _date(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%-d %B %Y at %H:%M UTC")


def _number(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}\u202fs"
