"""The page that a manager reads: complete, safe, and in need of nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogatectl.drill.chart import NARROW, WIDE, Shape, chart
from surrogatectl.drill.events import Kind, Mark, Request, Round
from surrogatectl.drill.figures import figures, promises
from surrogatectl.drill.page import Page, Part, render
from tests.unit.surrogatectl.drill.test_drill import WITHIN, kept_round
from tests.worlds import EAST, WEST

_VOID = {"meta", "br", "hr", "img", "link", "input"}
_SVG_EMPTY = {"rect", "line", "circle", "path"}


def page(*rounds: Round) -> str:
    parts = []
    for made in rounds:
        seen = figures(made)
        parts.append(Part(made, seen, list(promises(made, seen, WITHIN))))
    return render(Page(parts, 1_795_636_800, 1_795_636_890, 30, 10))


class Reader(HTMLParser):
    """Collects text, and sees whether what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def test_a_page_says_what_happened_and_what_it_means() -> None:
    text = read(page(kept_round(), replace(kept_round(), mode="hanging"))).text
    assert "All 14 promises were kept" in text
    assert f"We lost {EAST} on purpose, twice" in text
    for words in ("25 November 2026", "560", "414", "8 of 8", "30 times as fast", "What it would"):
        assert words in text
    for term in ("Wrong answer", "Time to recover", "Failover, failback", "Backend"):
        assert term in text


def test_a_broken_promise_is_the_first_thing_that_is_said() -> None:
    made = kept_round()
    made.requests.append(Request(1.0, 0.1, Kind.WRONG, EAST))
    text = read(page(made)).text
    assert "1 of 7 promises were broken" in text
    assert text.index("were broken") < text.index("Requests")


def test_it_needs_nothing_from_elsewhere_and_runs_no_script() -> None:
    html = page(kept_round())
    reader = read(html)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in reader.tags}
    for _, attributes in reader.tags:
        assert not {"src", "href", "style"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html


def test_it_is_for_light_and_dark_and_for_phones() -> None:
    html = page(kept_round())
    assert "prefers-color-scheme: dark" in html
    assert "width=device-width" in html
    assert html.count("<svg") == 2
    assert "max-width: 640px" in html


def test_every_color_has_a_dark_counterpart() -> None:
    style = re.search(r"<style>(.*?)</style>", page(kept_round()), re.DOTALL)
    assert style is not None
    light, dark = re.findall(r":root \{(.*?)\}", style[1], re.DOTALL)
    names = [set(re.findall(r"--(\w+):", each)) for each in (light, dark)]
    assert names[0] == names[1]
    used = set(re.findall(r"var\(--(\w+)\)", style[1]))
    assert used <= names[0]


def test_what_others_wrote_is_no_markup() -> None:
    made = kept_round()
    made.failed = "<script>alert(1)</script>"
    html = page(made)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_no_credential_or_token_is_on_it() -> None:
    html = page(kept_round())
    for start in ("sgc_", "sgs_", "eyJ"):
        assert start not in html


@pytest.mark.parametrize("shape", [WIDE, NARROW], ids=lambda shape: shape.name)
def test_a_chart_is_well_formed_and_stays_within_its_edges(shape: Shape) -> None:
    root = ET.fromstring(chart(kept_round(), shape))  # noqa: S314 - our own
    assert root.get("role") == "img"
    assert EAST in str(root.get("aria-label"))
    bars = [each for each in root if each.tag == "rect" and each.get("class") != "phase"]
    for bar in bars:
        left, top = float(str(bar.get("x"))), float(str(bar.get("y")))
        assert 0 <= left <= left + float(str(bar.get("width"))) <= shape.width + 1
        assert 0 <= top <= top + float(str(bar.get("height"))) <= shape.height
    assert {str(bar.get("class")) for bar in bars} >= {"primary", "secondary", "refused", "error"}
    assert len([each for each in root if each.tag == "circle"]) == len(kept_round().marks)


requests = st.builds(
    Request,
    at=st.floats(0, 100),
    seconds=st.floats(0, 5),
    kind=st.sampled_from(Kind),
    region=st.sampled_from([EAST, WEST, None]),
)


@given(
    found=st.lists(requests, max_size=30),
    marks=st.dictionaries(st.sampled_from(Mark), st.floats(0, 100)),
)
def test_whatever_was_recorded_there_is_a_page(
    found: list[Request], marks: dict[Mark, float]
) -> None:
    made = Round("hanging", EAST, WEST, requests=found, marks=marks, ended=50.0)
    read(page(made))
    for shape in (WIDE, NARROW):
        ET.fromstring(chart(made, shape))  # noqa: S314 - our own
