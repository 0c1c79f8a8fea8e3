"""A drill's figures and promises: from what was recorded to what is said of it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogatectl.drill.command import document
from surrogatectl.drill.events import Kind, Mark, Request, Round, When, Write
from surrogatectl.drill.figures import figures, promises
from surrogatectl.drill.page import Page, Part
from tests.worlds import EAST, WEST

WITHIN = 30.0
MARKS = {
    Mark.LOST: 3.0,
    Mark.DETECTED: 6.0,
    Mark.FAILOVER: 6.0,
    Mark.TOOK_OVER: 9.0,
    Mark.BACK: 15.0,
    Mark.FAILBACK: 18.0,
    Mark.RETURNED: 25.0,
}


def kept_round() -> Round:
    """Return a round in which every promise was kept: ten requests a second."""
    made = Round("refused", EAST, WEST, marks=dict(MARKS), ended=30.0)
    for number in range(280):
        at = number / 10
        if number % 10 == 9:
            made.requests.append(Request(at, 0.1, Kind.REFUSED))
        elif 3 <= at < 8:
            made.requests.append(Request(at, 0.01, Kind.ERROR, detail="ConnectionError"))
        else:
            region = WEST if 8 <= at < 20 else EAST
            made.requests.append(Request(at, 0.1, Kind.TOKEN, region))
    made.writes = [
        Write(2.0, When.BEFORE, "enroll a client", done=True, kept=True),
        Write(11.0, When.DURING, "enroll a client", done=True, kept=True),
        Write(12.0, When.DURING, "disable a client", done=True, kept=True),
        Write(26.0, When.AFTER, "enroll a client", done=True, kept=True),
    ]
    return made


def broken(made: Round, within: float = WITHIN) -> list[str]:
    """Return the beginnings of the promises that were broken."""
    return [
        each.text.split(":")[0].split(",")[0]
        for each in promises(made, figures(made), within)
        if not each.kept
    ]


def test_the_figures_of_a_round() -> None:
    assert asdict(figures(kept_round())) == pytest.approx(
        {
            "requests": 280,
            "tokens_verified": 207,
            "refused_rightly": 28,
            "wrong": 0,
            "errors": 45,
            "errors_before_the_name_moved": 45,
            "errors_since_the_region_was_back": 0,
            "moved_by_itself": 0,
            "returned_by_itself": 0,
            "detected": 3.0,
            "name_moved": 5.1,
            "switched": 2.0,
            "recovered": 5.0,
            "slowest_token": 0.1,
            "writes_done": 4,
            "writes_asked": 4,
            "writes_kept": 4,
        }
    )


def test_a_round_in_which_nothing_was_broken_keeps_every_promise() -> None:
    assert broken(kept_round()) == []
    assert len(list(promises(kept_round(), figures(kept_round()), WITHIN))) == 7


def test_a_single_wrong_answer_breaks_a_promise() -> None:
    made = kept_round()
    made.requests.append(Request(1.0, 0.1, Kind.WRONG, EAST, "a token for a wrong secret"))
    assert broken(made) == ["No request got a wrong answer"]


def test_a_round_without_a_token_proves_nothing() -> None:
    made = kept_round()
    made.requests = [each for each in made.requests if each.kind is not Kind.TOKEN]
    assert "No request got a wrong answer" in broken(made)


def test_a_name_that_moves_by_itself_breaks_a_promise() -> None:
    made = kept_round()
    made.requests.append(Request(4.0, 0.1, Kind.TOKEN, WEST))
    assert broken(made) == ["Losing a Region moved nothing by itself"]


def test_traffic_that_returns_by_itself_breaks_a_promise() -> None:
    made = kept_round()
    made.requests.append(Request(16.0, 0.1, Kind.TOKEN, EAST))
    assert broken(made) == ["The Region that came back got no traffic before people gave it back."]


def test_too_slow_a_recovery_breaks_a_promise() -> None:
    assert broken(kept_round(), within=1.5) == ["Within 2 s of the failover"]


def test_a_failover_that_helps_nobody_breaks_a_promise() -> None:
    made = kept_round()
    made.requests = [
        replace(each, kind=Kind.ERROR, region=None) if each.region == WEST else each
        for each in made.requests
    ]
    found = figures(made)
    assert (found.name_moved, found.recovered, found.switched) == (None, None, None)
    assert "Within 30 s of the failover" in broken(made)


def test_a_late_error_makes_recovery_late() -> None:
    made = kept_round()
    made.requests.append(Request(12.0, 5.0, Kind.ERROR, detail="503"))
    assert figures(made).recovered == pytest.approx(9.1)


def test_an_error_after_the_region_is_back_breaks_a_promise() -> None:
    made = kept_round()
    made.requests.append(Request(19.0, 0.1, Kind.ERROR, detail="503"))
    assert broken(made) == ["Coming back cost nobody a request."]
    # It is counted apart from the recovery, which was over by then.
    assert figures(made).recovered == pytest.approx(5.0)


def test_what_was_sent_before_the_loss_and_never_answered_belongs_to_the_outage() -> None:
    made = kept_round()
    made.requests.append(Request(2.9, 5.0, Kind.ERROR, detail="ReadTimeout"))
    assert figures(made).errors_before_the_name_moved == 46
    assert broken(made) == []


def test_a_change_that_was_refused_during_the_outage_breaks_a_promise() -> None:
    made = kept_round()
    made.writes[1] = Write(11.0, When.DURING, "enroll a client", done=False, detail="503")
    assert broken(made) == ["While the Region was gone"]
    assert figures(made).writes_done == figures(made).writes_kept == 3


def test_a_change_that_was_lost_breaks_a_promise() -> None:
    made = kept_round()
    made.writes[2] = replace(made.writes[2], kept=False)
    assert broken(made) == ["Every confirmed change is in force in both Regions at the end."]


def test_a_round_that_ended_half_way_breaks_the_promises_that_it_did_not_reach() -> None:
    made = kept_round()
    made.marks = {Mark.LOST: 3.0, Mark.DETECTED: 6.0, Mark.FAILOVER: 6.0}
    made.requests = [each for each in made.requests if each.at < 8]
    made.writes = made.writes[:1]
    made.failed = "surrogatectl failover: it did not work"
    assert broken(made) == [
        "Within 30 s of the failover",
        "While the Region was gone",
        "The Region that came back got no traffic before people gave it back.",
        "Coming back cost nobody a request.",
        "The drill could be completed.",
    ]


def test_a_round_in_which_nothing_happened_keeps_nothing() -> None:
    made = Round("hanging", EAST, WEST, failed="The drill's clients cannot be enrolled.")
    assert len(broken(made)) == 7


requests = st.builds(
    Request,
    at=st.floats(0, 40),
    seconds=st.floats(0, 5),
    kind=st.sampled_from(Kind),
    region=st.sampled_from([EAST, WEST, None]),
)


@given(st.lists(requests, max_size=60))
def test_whatever_happened_the_figures_add_up(found: list[Request]) -> None:
    made = Round("hanging", EAST, WEST, requests=found, marks=dict(MARKS), ended=40.0)
    seen = figures(made)
    assert seen.requests == len(found)
    assert seen.tokens_verified + seen.refused_rightly + seen.wrong + seen.errors == len(found)
    assert 0 <= seen.errors_before_the_name_moved <= seen.errors
    for seconds in (seen.detected, seen.name_moved, seen.recovered, seen.switched):
        assert seconds is None or seconds >= 0
    if seen.wrong:
        assert "No request got a wrong answer" in broken(made)


def test_the_report_has_the_figures_and_counts_the_promises() -> None:
    parts = []
    for failed in ("", "something"):
        made = kept_round()
        made.failed = failed
        seen = figures(made)
        parts.append(Part(made, seen, list(promises(made, seen, WITHIN))))
    report = json.loads(json.dumps(document(Page(parts, 100.0, 200.0, 30.0, 10.0))))
    assert (report["kept"], report["broken"]) == (14, 1)
    assert (report["began_at"], report["finished_at"]) == (100, 200)
    first, second = report["rounds"]
    assert first["figures"]["wrong"] == 0
    assert first["moments"]["lost"] == 3.0
    assert first["lost_region"] == EAST
    assert [each["kept"] for each in first["writes"]] == [True] * 4
    assert (first["failed"], second["failed"]) == (None, "something")
