"""From what was recorded to figures, and from figures to promises kept or broken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from surrogatectl.drill.events import Kind, Mark, Request, Round, When


@dataclass(frozen=True, slots=True)
class Figures:
    """
    The figures of one round; times are seconds, `None` where it never happened.

    *detected*, *name_moved* and *recovered* count from the loss; *switched* from
    the command that failed over until clients had recovered.
    """

    requests: int
    tokens_verified: int
    refused_rightly: int
    wrong: int
    errors: int
    errors_before_the_name_moved: int
    errors_since_the_region_was_back: int
    moved_by_itself: int
    returned_by_itself: int
    detected: float | None
    name_moved: float | None
    switched: float | None
    recovered: float | None
    slowest_token: float
    writes_done: int
    writes_asked: int
    writes_kept: int


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise, whether it was kept, and what was measured."""

    text: str
    kept: bool
    measured: str


def figures(of: Round) -> Figures:
    """Return the figures of a round."""
    marks = of.marks
    lost = marks.get(Mark.LOST, of.ended)
    switch = marks.get(Mark.FAILOVER, of.ended)
    back = marks.get(Mark.BACK, of.ended)
    failback = marks.get(Mark.FAILBACK, of.ended)
    tokens = [each for each in of.requests if each.kind is Kind.TOKEN]
    errors = [each for each in of.requests if each.kind is Kind.ERROR]
    outage = [each for each in errors if lost <= _ended(each) and each.at < back]
    moved = min(
        (_ended(e) for e in tokens if e.region == of.secondary and _ended(e) >= lost), default=None
    )
    recovered = _recovered(lost, outage, tokens) if moved is not None else None
    return Figures(
        requests=len(of.requests),
        tokens_verified=len(tokens),
        refused_rightly=_count(of.requests, Kind.REFUSED),
        wrong=_count(of.requests, Kind.WRONG),
        errors=len(errors),
        errors_before_the_name_moved=sum(1 for each in errors if moved is None or each.at < moved),
        errors_since_the_region_was_back=sum(1 for each in errors if each.at >= back),
        moved_by_itself=sum(
            1 for each in tokens if each.region == of.secondary and _ended(each) < switch
        ),
        returned_by_itself=sum(
            1
            for each in tokens
            if each.region == of.primary and back <= each.at < failback and _ended(each) < failback
        ),
        detected=_since(lost, marks.get(Mark.DETECTED)),
        name_moved=_since(lost, moved),
        switched=_since(switch, None if recovered is None else lost + recovered),
        recovered=recovered,
        slowest_token=max((each.seconds for each in tokens), default=0.0),
        writes_done=sum(1 for each in of.writes if each.done),
        writes_asked=len(of.writes),
        writes_kept=sum(1 for each in of.writes if each.done and each.kept),
    )


def _ended(request: Request) -> float:
    return request.at + request.seconds


def _count(requests: Sequence[Request], kind: Kind) -> int:
    return sum(1 for each in requests if each.kind is kind)


def _since(start: float, at: float | None) -> float | None:
    return None if at is None else max(0.0, at - start)


def _recovered(lost: float, outage: Sequence[Request], tokens: Sequence[Request]) -> float | None:
    """Return when the first token was sent for after the last request that failed."""
    last = max((each.at for each in outage), default=lost)
    return _since(lost, min((each.at for each in tokens if each.at > last), default=None))


def promises(of: Round, found: Figures, recover_within: float) -> Iterator[Promise]:
    """Yield what this project promises of the loss of a Region, and whether it was so."""
    yield Promise(
        "No request got a wrong answer: no good credential was refused, no wrong one accepted, "
        "no token failed verification.",
        found.wrong == 0 and found.tokens_verified > 0,
        f"{found.wrong} wrong among {found.requests} requests",
    )
    yield Promise(
        "Losing a Region moved nothing by itself: people decide.",
        found.moved_by_itself == 0,
        f"{found.moved_by_itself} tokens from {of.secondary} before the failover",
    )
    yield Promise(
        f"Within {recover_within:.0f} s of the failover, clients got tokens again, with the "
        "credentials that they had.",
        found.switched is not None and found.switched <= recover_within,
        "never" if found.switched is None else f"{found.switched:.1f} s",
    )
    yield Promise(
        "While the Region was gone, administrators could enroll, rotate and disable.",
        _all_done(of, When.DURING),
        _told(of, When.DURING),
    )
    yield Promise(
        "The Region that came back got no traffic before people gave it back.",
        Mark.FAILBACK in of.marks and found.returned_by_itself == 0,
        f"{found.returned_by_itself} tokens from {of.primary} before the failback",
    )
    yield Promise(
        "Coming back cost nobody a request.",
        Mark.RETURNED in of.marks and found.errors_since_the_region_was_back == 0,
        f"{found.errors_since_the_region_was_back} errors"
        if Mark.RETURNED in of.marks
        else "it did not come back",
    )
    yield Promise(
        "Every confirmed change is in force in both Regions at the end.",
        found.writes_done > 0 and found.writes_kept == found.writes_done,
        f"{found.writes_kept} of {found.writes_done} kept",
    )
    if of.failed:
        yield Promise("The drill could be completed.", kept=False, measured=of.failed)


def _all_done(of: Round, when: When) -> bool:
    writes = [each for each in of.writes if each.when is when]
    return bool(writes) and all(each.done for each in writes)


def _told(of: Round, when: When) -> str:
    writes = [each for each in of.writes if each.when is when]
    done = sum(1 for each in writes if each.done)
    return f"{done} of {len(writes)} done"


def document(found: Figures) -> dict[str, float | int | None]:
    """Return figures as JSON."""
    return {
        name: round(value, 2) if isinstance(value, float) else value
        for name, value in asdict(found).items()
    }
