"""Adoption that is cut short: by crashes, outages, and others who adopt at the same time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chalicelib.credentials import (
    secret_id,
)
from chalicelib.errors import (
    MalformedSecretError,
    StoreRefusedError,
    StoreUnavailableError,
)
from chalicelib.model import (
    ClientId,
    StoredSecret,
)
from surrogatectl.adopt.file import CredentialsFile, CredentialsFileError, credentials_file
from surrogatectl.adopt.plan import Terms
from surrogatectl.adopt.rows import Outcome, Pair, Row, Standing
from tests.fakes import (
    FakeRecordStore,
)
from tests.unit.surrogatectl.adopt.adoption_world import (
    KEEP,
    NEW,
    AdoptionWorld,
    CrashError,
    lines,
    standings,
)
from tests.worlds import EAST, WEST


@pytest.fixture
def world() -> AdoptionWorld:
    return AdoptionWorld()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "credentials.jsonl"


# --- crashes ---


class CrashingStore(FakeRecordStore):
    """Ends the process before its nth call."""

    crash_at: int | None = None

    def _called(self, name: str) -> None:
        super()._called(name)
        if self.crash_at is not None and len(self.calls) > self.crash_at:
            raise CrashError(name)


def calls_of_an_undisturbed_run(terms: Terms, path: Path) -> int:
    world = AdoptionWorld()
    run(world, terms, path)
    return len(world.store.calls)


def run(world: AdoptionWorld, terms: Terms, path: Path) -> dict[str, Outcome]:
    rows = rows_of(world)
    if terms.keep_credentials:
        return world.adopt(*rows, terms=terms)
    with credentials_file(path) as file:
        return world.adopt(*rows, terms=terms, file=file)


def rows_of(world: AdoptionWorld) -> list[Row]:
    """Return the same three rows each time."""
    if not world.pools[EAST].made:
        for _ in range(3):
            world.row()
    pairs = zip(
        *(
            [
                Pair(each, found.secrets["first"][0])
                for each, found in world.pools[region].made.items()
            ]
            for region in (EAST, WEST)
        ),
        strict=True,
    )
    return [Row(f"row {n}", *pair) for n, pair in enumerate(pairs)]


@pytest.mark.parametrize("terms", [NEW, KEEP], ids=["new", "kept"])
def test_a_crash_before_any_call_loses_nothing_that_a_repeat_does_not_find(
    terms: Terms, tmp_path: Path
) -> None:
    calls = calls_of_an_undisturbed_run(terms, tmp_path / "undisturbed")
    assert calls > 10
    for crash_at in range(calls):
        store = CrashingStore()
        world = AdoptionWorld(store=store)
        path = tmp_path / f"credentials-{crash_at}"
        store.crash_at = crash_at
        with pytest.raises(CrashError):
            run(world, terms, path)
        store.crash_at = None
        outcomes = run(world, terms, path)
        assert_whole(world, terms, path, outcomes)


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("terms", [NEW, KEEP], ids=["new", "kept"])
def test_an_answer_that_gets_lost_does_not_matter(terms: Terms, tmp_path: Path, lost: int) -> None:
    world, path = AdoptionWorld(), tmp_path / "credentials"
    world.store.lost["create"] = [StoreUnavailableError() for _ in range(lost)]
    outcomes = run(world, terms, path)
    assert set(standings(outcomes).values()) == {Standing.ADOPTED}
    assert_whole(world, terms, path, outcomes)


def assert_whole(
    world: AdoptionWorld, terms: Terms, path: Path, outcomes: dict[str, Outcome]
) -> None:
    rows = rows_of(world)
    assert len(world.store.stored) == len(rows) == len(outcomes)
    assert set(standings(outcomes).values()) <= {Standing.ADOPTED, Standing.ALREADY_ADOPTED}
    assert world.store.replicas == world.store.stored
    if terms.keep_credentials:
        for row in rows:
            assert world.verifies(row.primary.app_client_id, row.primary.client_secret)
        return
    issued = lines(path)
    assert len(issued) == len(rows)  # no line is void, none is missing
    assert {line["primaryClientId"] for line in issued} == {
        row.primary.app_client_id for row in rows
    }
    for line in issued:
        assert world.verifies(line["client_id"], line["client_secret"])


def test_credentials_are_on_the_disk_before_their_client_exists(
    world: AdoptionWorld, path: Path
) -> None:
    seen: list[list[dict[str, str]]] = []
    world.store.meanwhile["create"] = lambda: seen.append(lines(path))
    with credentials_file(path) as file:
        world.adopt(world.row("row 1"), world.row("row 2"), file=file)
    assert [len(each) for each in seen] == [1, 2]


# --- when it cannot be written ---


@pytest.mark.parametrize("look", ["read", "describe"])
def test_an_outage_stops_the_run_and_the_next_one_uses_the_same_credentials(
    world: AdoptionWorld, path: Path, look: str
) -> None:
    rows = [world.row(f"row {n}") for n in (1, 2, 3)]
    outage = [StoreUnavailableError() for _ in range(3)]
    world.store.failures["create"] = [None, *outage]
    # What is looked at while it is examined can still be read.
    seen = len(rows) if look == "describe" else 0
    world.store.failures[look] = [*([None] * seen), *outage]
    with credentials_file(path) as file:
        outcomes = world.adopt(*rows, file=file)
    assert standings(outcomes) == {
        "row 1": Standing.ADOPTED,
        "row 2": Standing.REFUSED,
        "row 3": Standing.REFUSED,
    }
    assert "unknown" in outcomes["row 2"].reason
    assert outcomes["row 3"].reason.startswith("It was not tried.")
    assert outcomes["row 2"].client_id is None
    assert len(lines(path)) == 2
    before = lines(path)[1]["client_secret"]
    with credentials_file(path) as file:
        outcomes = world.adopt(*rows, file=file)
    assert set(standings(outcomes).values()) == {Standing.ADOPTED, Standing.ALREADY_ADOPTED}
    assert len(lines(path)) == 3
    assert world.verifies(lines(path)[1]["client_id"], before)


def test_a_refusal_to_write_stops_the_run_and_leaves_no_void_line(
    world: AdoptionWorld, path: Path
) -> None:
    refusals: list[Exception | None] = [StoreRefusedError("Secrets Manager refused: AccessDenied")]
    world.store.failures["create"] = refusals
    with credentials_file(path) as file:
        outcomes = world.adopt(world.row("row 1"), world.row("row 2"), file=file)
    assert "Secrets Manager refused: AccessDenied" in outcomes["row 1"].reason
    assert outcomes["row 2"].reason.startswith("It was not tried. Secrets Manager refused")
    assert not path.exists()
    assert not world.store.stored


def test_a_refusal_to_write_leaves_an_earlier_runs_lines_alone(
    world: AdoptionWorld, path: Path
) -> None:
    rows = [world.row("row 1"), world.row("row 2")]
    world.store.failures["create"] = [None, CrashError()]
    with credentials_file(path) as file, pytest.raises(CrashError):
        world.adopt(*rows, file=file)
    before = lines(path)
    assert len(before) == 2
    world.store.failures["create"] = [StoreRefusedError("Secrets Manager refused: AccessDenied")]
    with credentials_file(path) as file:
        outcomes = world.adopt(*rows, file=file)
    assert standings(outcomes)["row 2"] is Standing.REFUSED
    assert lines(path) == before


def test_of_two_runs_at_once_one_adopts_and_the_other_has_no_void_line(
    world: AdoptionWorld, tmp_path: Path
) -> None:
    rows = [world.row("row 1"), world.row("row 2")]
    theirs = tmp_path / "theirs"

    def meanwhile() -> None:
        world.store.meanwhile.clear()
        with credentials_file(theirs) as file:
            assert standings(world.adopt(rows[0], file=file)) == {"row 1": Standing.ADOPTED}

    world.store.meanwhile["create"] = meanwhile
    ours = tmp_path / "ours"
    with credentials_file(ours) as file:
        outcomes = world.adopt(*rows, file=file)
    assert standings(outcomes) == {"row 1": Standing.REFUSED, "row 2": Standing.ADOPTED}
    assert "at the same time" in outcomes["row 1"].reason
    for path in (ours, theirs):
        (line,) = lines(path)
        assert world.verifies(line["client_id"], line["client_secret"])


def test_a_client_deleted_meanwhile_does_not_keep_the_others_from_being_adopted(
    world: AdoptionWorld,
) -> None:
    rows = [world.row("row 1"), world.row("row 2")]

    def meanwhile() -> None:
        world.store.meanwhile.clear()
        client_id = world.record(world.keep(rows[0])["row 1"]).client_id
        world.store.unreplicate(client_id)
        world.store.schedule_deletion(client_id, 7)

    world.store.meanwhile["create"] = meanwhile
    outcomes = world.keep(*rows)
    assert standings(outcomes) == {"row 1": Standing.REFUSED, "row 2": Standing.ADOPTED}
    assert "surrogatectl restore" in outcomes["row 1"].reason


@pytest.mark.parametrize("failure", [StoreRefusedError("denied"), MalformedSecretError("garbled")])
def test_a_line_stays_when_the_record_may_be_its_own(
    world: AdoptionWorld, path: Path, failure: Exception
) -> None:
    world.store.lost["create"] = [StoreUnavailableError()]
    world.store.failures["read"] = [failure]
    with credentials_file(path) as file:
        outcomes = world.adopt(world.row(), file=file)
    assert standings(outcomes) == {"row 1": Standing.REFUSED}
    (line,) = lines(path)
    assert world.verifies(line["client_id"], line["client_secret"])


def test_a_line_stays_when_an_earlier_try_may_have_arrived(
    world: AdoptionWorld, path: Path
) -> None:
    """It did, but nobody could look; then the policy changed."""
    world.store.lost["create"] = [StoreUnavailableError()]
    world.store.failures["create"] = [None, StoreRefusedError("AccessDenied")]
    world.store.failures["read"] = [StoreUnavailableError()]
    row, other = world.row("row 1"), world.row("row 2")
    with credentials_file(path) as file:
        outcomes = world.adopt(row, other, file=file)
    assert set(standings(outcomes).values()) == {Standing.REFUSED}
    assert "AccessDenied" in outcomes["row 1"].reason
    assert "whether it was adopted is unknown" in outcomes["row 1"].reason
    assert outcomes["row 2"].reason.startswith("It was not tried.")
    (line,) = lines(path)
    assert world.verifies(line["client_id"], line["client_secret"])


def test_a_void_line_is_told_of(world: AdoptionWorld, path: Path) -> None:
    row = world.row()
    with credentials_file(path) as file:
        outcome = world.adopt(row, file=file)["row 1"]
        found = world.store.read(outcome.client_id or ClientId(""))
        rotated = (StoredSecret(secret_id("another"), "hash", 0),)
        world.store.replace(replace(found.value, secrets=rotated), found.version)
        assert "void" in world.adopt(row, file=file)["row 1"].reason


class FullFile(CredentialsFile):
    """A file on a disk without space."""

    def __init__(self) -> None:
        """Hold nothing."""

    def find(self, client_id: ClientId) -> None:
        return None

    def add(self, *_: object) -> None:
        raise CredentialsFileError("credentials: No space left on device.")


def test_no_client_is_made_whose_credentials_cannot_be_written(world: AdoptionWorld) -> None:
    outcomes = world.adopt(world.row("row 1"), world.row("row 2"), file=FullFile())
    assert set(standings(outcomes).values()) == {Standing.REFUSED}
    assert all("No space left" in outcome.reason for outcome in outcomes.values())
    assert not world.store.stored
