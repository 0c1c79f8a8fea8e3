"""What is adopted, what is refused, and what a repeat leaves as it is."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from chalicelib.aws.cognito_app_clients import PoolAppClients
from chalicelib.credentials import (
    CLIENT_ID,
    app_client_mac,
    is_client_secret,
    loggable,
    new_client_id,
    secret_id,
)
from chalicelib.errors import (
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    InvalidCursorError,
    OperationError,
    StoreUnavailableError,
    TokenEndpointUnavailableError,
)
from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientId,
    Deletion,
    Origin,
    RegionState,
    Replication,
    Status,
)
from chalicelib.token import oauth
from surrogatectl.adopt.examine import PER_SECOND
from surrogatectl.adopt.file import credentials_file
from surrogatectl.adopt.plan import Terms
from surrogatectl.adopt.rows import BadRow, Pair, Row, Standing
from tests.fakes import (
    CountingBytes,
    FakeRecordStore,
    FakeStateStore,
)
from tests.problems import as_problem
from tests.unit.surrogatectl.adopt.adoption_world import (
    ID,
    KEEP,
    NEW,
    WEAK,
    AdoptionWorld,
    cognito_secret,
    lines,
    standings,
    writes,
)
from tests.worlds import EAST, EAST_POOL, WEST


@pytest.fixture
def world() -> AdoptionWorld:
    return AdoptionWorld()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "credentials.jsonl"


# --- what an adopted client is ---


def test_an_adopted_client_is_complete_and_active_around_its_app_clients(
    world: AdoptionWorld, path: Path
) -> None:
    row = world.row(name="billing  of\tevery day")
    with credentials_file(path) as file:
        outcome = world.adopt(row, file=file)["row 1"]
    assert (outcome.standing, outcome.reason) == (Standing.ADOPTED, "")
    assert outcome.replication is Replication.IN_SYNC
    record = world.record(outcome)
    assert (record.status, record.origin) == (Status.ACTIVE, Origin.ADOPTED)
    assert record.client_name == outcome.client_name == "billing of every day"
    assert record.scopes == ("demo/read", "demo/write")
    assert CLIENT_ID.fullmatch(record.client_id)
    for region, pair in ((EAST, row.primary), (WEST, row.secondary)):
        regional = record.app_clients[region]
        assert isinstance(regional, AppClient)
        assert regional.user_pool_id == world.pools[region].user_pool_id
        assert (regional.app_client_id, regional.client_secret) == (
            pair.app_client_id,
            pair.client_secret,
        )
        assert regional.mac == app_client_mac(
            world.key.read(), record.client_id, pair.app_client_id
        )
        assert (regional.retiring, regional.outdated) == (None, None)
    assert world.store.replicas[record.client_id].value == record


def test_new_credentials_are_in_the_file_with_what_says_whom_they_are_for(
    world: AdoptionWorld, path: Path
) -> None:
    row = world.row()
    with credentials_file(path) as file:
        outcome = world.adopt(row, file=file)["row 1"]
    (line,) = lines(path)
    assert is_client_secret(line["client_secret"])
    assert world.verifies(line["client_id"], line["client_secret"])
    assert line["client_id"] == outcome.client_id
    assert line["secret_id"] == secret_id(line["client_secret"])
    assert line["primaryClientId"] == row.primary.app_client_id
    assert line["handle"] == outcome.handle == loggable(ClientId(row.primary.app_client_id))
    assert (line["client_name"], line["scope"]) == ("billing", "demo/read demo/write")
    assert path.stat().st_mode & 0o777 == 0o600


def test_with_new_credentials_the_old_pair_authenticates_nobody(
    world: AdoptionWorld, path: Path
) -> None:
    row = world.row()
    with credentials_file(path) as file:
        outcome = world.adopt(row, file=file)["row 1"]
    assert ClientId(row.primary.app_client_id) not in world.store.stored
    assert not world.verifies(outcome.client_id or "", row.primary.client_secret)


def test_the_app_clients_are_looked_at_and_never_changed(world: AdoptionWorld, path: Path) -> None:
    with credentials_file(path) as file:
        world.adopt(world.row(), file=file)
    assert [pool.calls for pool in world.pools.values()] == [["describe"], ["describe"]]


def test_the_record_is_written_once(world: AdoptionWorld) -> None:
    world.keep(world.row())
    assert writes(world) == ["create", "replicate"]


@pytest.mark.parametrize(
    ("primary", "secondary", "expected"),
    [
        ("billing", "other", "billing"),
        ("", "billing west", "billing west"),
        ("a\x7fb", "billing", "billing"),
        ("n" * 200, "", "n" * 128),
    ],
)
def test_a_client_is_called_what_its_app_clients_are(
    world: AdoptionWorld, primary: str, secondary: str, expected: str
) -> None:
    row = world.row()
    world.pools[EAST].made[row.primary.app_client_id].name = primary
    world.pools[WEST].made[row.secondary.app_client_id].name = secondary
    assert world.record(world.keep(row)["row 1"]).client_name == expected


def test_a_client_whose_app_clients_have_no_name_is_called_by_its_handle(
    world: AdoptionWorld,
) -> None:
    row = world.row(name="")
    assert world.record(world.keep(row)["row 1"]).client_name == row.handle


# --- kept credentials ---


def basic(client_id: str, client_secret: str) -> dict[str, Any]:
    pair = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    return {"authorization": [f"Basic {pair}"], "body": b"grant_type=client_credentials"}


SENT: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "Basic as it is": basic,
    "Basic, form-encoded": lambda client_id, client_secret: basic(
        client_id, quote(client_secret, safe="")
    ),
    "in the body, form-encoded": lambda client_id, client_secret: {
        "authorization": [],
        "body": urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": client_id,
                "client_secret": client_secret,
            }
        ).encode(),
    },
    "in the body as it is": lambda client_id, client_secret: {
        "authorization": [],
        "body": (
            f"grant_type=client_credentials&client_id={client_id}&client_secret={client_secret}"
        ).encode(),
    },
}


@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
@pytest.mark.parametrize(
    "secret",
    [
        cognito_secret(1),
        "1+" + cognito_secret(2) + "+/x+" + cognito_secret(3)[:6],
        cognito_secret(4)[:40] + "/+_==",
    ],
    ids=["as Cognito generates it", "with plus and slash", "with padding"],
)
def test_the_pair_that_a_client_holds_goes_on_working_however_it_sends_it(
    world: AdoptionWorld, secret: str, sent: Callable[[str, str], dict[str, Any]]
) -> None:
    row = world.row(secret=secret)
    assert standings(world.keep(row)) == {"row 1": Standing.ADOPTED}
    request = oauth.parse(
        oauth.HttpRequest(
            content_type=oauth.FORM,
            query=[],
            source_ip="192.0.2.1",
            **sent(row.primary.app_client_id, secret),
        )
    )
    stored = world.store.replicas[ClientId(row.primary.app_client_id)].value.secrets
    verified = world.hasher.verify(request.client_id, request.client_secret, stored)
    assert verified is not None
    assert verified.secret.secret_id == secret_id(secret)
    assert not world.hasher.verify(request.client_id, request.client_secret + "x", stored)


def test_only_a_hash_is_kept_as_the_clients_secret(world: AdoptionWorld) -> None:
    row = world.row()
    record = world.record(world.keep(row)["row 1"])
    assert record.client_id == ClientId(row.primary.app_client_id)
    (stored,) = record.secrets
    assert stored.hash.startswith("$argon2id$")
    assert stored.expires_at is None
    assert row.primary.client_secret not in repr(record)


def test_rows_that_share_an_id_become_two_secrets_of_one_client(world: AdoptionWorld) -> None:
    first = world.row("row 1")
    second = world.second_secret(first, "row 2", cognito_secret(77))
    # Whatever their order, Cognito is asked with the secret that it shows itself.
    outcomes = world.keep(second, first)
    assert standings(outcomes) == {"row 1": Standing.ADOPTED, "row 2": Standing.ADOPTED}
    record = world.record(outcomes["row 1"])
    assert [each.secret_id for each in record.secrets] == [
        secret_id(first.primary.client_secret),
        secret_id(second.primary.client_secret),
    ]
    for row in (first, second):
        assert world.verifies(row.primary.app_client_id, row.primary.client_secret)
    regional = record.app_clients[EAST]
    assert isinstance(regional, AppClient)
    assert regional.client_secret == first.primary.client_secret


def test_a_row_that_stands_twice_is_one_secret(world: AdoptionWorld) -> None:
    row = world.row("row 1")
    again = replace(row, where="row 2")
    third = world.second_secret(row, "row 3", cognito_secret(77))
    outcomes = world.keep(row, again, third)
    assert set(standings(outcomes).values()) == {Standing.ADOPTED}
    assert len(world.record(outcomes["row 1"]).secrets) == 2


def test_more_than_two_secrets_of_one_id_are_refused(world: AdoptionWorld) -> None:
    row = world.row("row 1")
    others = [
        replace(
            row, where=f"row {n}", primary=replace(row.primary, client_secret=cognito_secret(n))
        )
        for n in (2, 3)
    ]
    outcomes = world.keep(row, *others)
    assert set(standings(outcomes).values()) == {Standing.REFUSED}
    assert all("3 different secrets" in outcome.reason for outcome in outcomes.values())
    assert not world.store.stored


def test_new_credentials_do_not_mind_how_many_secrets_the_rows_hold(
    world: AdoptionWorld, path: Path
) -> None:
    row = world.row("row 1")
    stale = [
        replace(row, where=f"row {n}", primary=Pair(row.primary.app_client_id, cognito_secret(n)))
        for n in (2, 3)
    ]
    with credentials_file(path) as file:
        outcomes = world.adopt(*stale, row, file=file)
    assert standings(outcomes) == {
        "row 1": Standing.ADOPTED,
        "row 2": Standing.REFUSED,
        "row 3": Standing.REFUSED,
    }


def test_new_credentials_are_issued_once_for_all_rows_of_an_id(
    world: AdoptionWorld, path: Path
) -> None:
    first = world.row("row 1")
    second = world.second_secret(first, "row 2", cognito_secret(77))
    with credentials_file(path) as file:
        outcomes = world.adopt(first, second, file=file)
    assert set(standings(outcomes).values()) == {Standing.ADOPTED}
    assert len(lines(path)) == len(world.store.stored) == 1


def test_a_weak_secret_is_not_kept(world: AdoptionWorld) -> None:
    weak, strong = world.row("row 1", secret=WEAK), world.row("row 2")
    outcomes = world.keep(weak, strong)
    assert standings(outcomes) == {"row 1": Standing.REFUSED, "row 2": Standing.ADOPTED}
    assert "too weak" in outcomes["row 1"].reason
    assert WEAK not in outcomes["row 1"].reason


def test_an_app_client_with_a_weak_secret_can_have_new_credentials(
    world: AdoptionWorld, path: Path
) -> None:
    with credentials_file(path) as file:
        outcomes = world.adopt(world.row(secret=WEAK), file=file)
    assert standings(outcomes) == {"row 1": Standing.ADOPTED}


@pytest.mark.parametrize("character", [" ", "%", "&", "é"])
def test_a_secret_that_would_not_arrive_as_it_is_is_not_kept(
    world: AdoptionWorld, character: str
) -> None:
    outcomes = world.keep(world.row(secret=cognito_secret(1) + character))
    assert standings(outcomes) == {"row 1": Standing.REFUSED}
    assert "characters" in outcomes["row 1"].reason


# --- what is refused ---


def refused(world: AdoptionWorld, *rows: Row, terms: Terms = NEW) -> str:
    """Return why *rows* are refused, all for the same reason."""
    found = world.examine(*rows, terms=terms)
    assert (found.adoptable, found.already) == ([], [])
    assert len(found.refused) == len(rows)
    (reason,) = {outcome.reason for outcome in found.refused}
    assert {outcome.standing for outcome in found.refused} == {Standing.REFUSED}
    return reason


@pytest.mark.parametrize("region", [EAST, WEST])
def test_an_app_client_that_is_not_in_the_pool_is_refused(
    world: AdoptionWorld, region: str
) -> None:
    row = world.row()
    world.pools[region].made.pop(
        row.primary.app_client_id if region == EAST else row.secondary.app_client_id
    )
    assert refused(world, row) == f"There is no such app client in the user pool in {region}."


def test_an_app_client_that_cognito_refuses_to_describe_does_not_refuse_the_others(
    world: AdoptionWorld,
) -> None:
    odd, other = world.row("odd"), world.row("other")
    world.pools[EAST].failures["describe"] = [AppClientsRefusedError("UnusableAnswer")]
    outcomes = world.keep(odd, other)
    assert standings(outcomes) == {"odd": Standing.REFUSED, "other": Standing.ADOPTED}
    assert "UnusableAnswer" in outcomes["odd"].reason


def test_a_pair_the_wrong_way_round_is_refused(world: AdoptionWorld) -> None:
    row = world.row()
    assert "no such app client" in refused(
        world, replace(row, primary=row.secondary, secondary=row.primary)
    )


@pytest.mark.parametrize("region", [EAST, WEST])
def test_an_app_client_that_is_not_for_machines_is_refused(
    world: AdoptionWorld, region: str
) -> None:
    row = world.row()
    for app_client in world.pools[region].made.values():
        app_client.flows = frozenset({"code"})
    assert region in refused(world, row)
    assert "client_credentials" in refused(world, row)


@pytest.mark.parametrize("terms", [NEW, KEEP])
@pytest.mark.parametrize("region", [EAST, WEST])
def test_an_app_client_whose_secret_cognito_manages_is_refused_with_the_way_out(
    world: AdoptionWorld, region: str, terms: Terms
) -> None:
    row = world.row()
    pair = row.primary if region == EAST else row.secondary
    made = world.pools[region].made[pair.app_client_id]
    made.manage(int(world.clock()))
    (outcome,) = world.examine(row, terms=terms).outcomes
    assert outcome.standing is Standing.REFUSED
    assert f"the app client in {region}" in outcome.reason
    assert "every seven days" in outcome.reason
    assert "docs/clients.md" in outcome.reason
    assert writes(world) == []
    # Turned off, its secret is the one that Cognito exchanged it for.
    made.managed = False
    for value, _ in made.secrets.values():
        renewed = Pair(pair.app_client_id, value)
        row = replace(row, primary=renewed) if region == EAST else replace(row, secondary=renewed)
    (outcome,) = world.examine(row, terms=NEW).outcomes
    assert outcome.standing is Standing.WOULD_ADOPT


@pytest.mark.parametrize("region", [EAST, WEST])
def test_a_secret_that_is_not_the_app_clients_is_refused(world: AdoptionWorld, region: str) -> None:
    row = world.row()
    wrong = cognito_secret(4711)
    row = (
        replace(row, primary=replace(row.primary, client_secret=wrong))
        if region == EAST
        else replace(row, secondary=replace(row.secondary, client_secret=wrong))
    )
    reason = refused(world, row)
    assert f"not the app client's secret in {region}" in reason
    assert wrong not in reason


def test_a_stale_row_beside_a_good_one_is_refused_alone(world: AdoptionWorld) -> None:
    row = world.row("row 1")
    stale = replace(
        row, where="row 2", primary=replace(row.primary, client_secret=cognito_secret(99))
    )
    outcomes = world.keep(stale, row)
    assert standings(outcomes) == {"row 1": Standing.ADOPTED, "row 2": Standing.REFUSED}
    (stored,) = world.record(outcomes["row 1"]).secrets
    assert stored.secret_id == secret_id(row.primary.client_secret)
    # One that was replaced, perhaps because it leaked, must not come back to life.
    assert not world.verifies(row.primary.app_client_id, stale.primary.client_secret)


def test_a_secret_that_cognito_does_not_show_is_tried_out(world: AdoptionWorld) -> None:
    row = world.row()
    second = world.second_secret(row, "row 1", cognito_secret(77))
    outcome = world.keep(second)["row 1"]
    assert outcome.standing is Standing.ADOPTED
    regional = world.record(outcome).app_clients[EAST]
    assert isinstance(regional, AppClient)
    assert regional.client_secret == second.primary.client_secret
    ((app_client_id, scope, metadata),) = world.endpoints[EAST].requests
    assert (app_client_id, scope) == (row.primary.app_client_id, "demo/read demo/write")
    assert metadata == {
        "surrogate_client_id": row.primary.app_client_id,
        "surrogate_mac": regional.mac,
    }


def test_a_secret_is_tried_out_once_however_many_rows_have_it(world: AdoptionWorld) -> None:
    second = world.second_secret(world.row(), "row 1", cognito_secret(77))
    world.examine(second, replace(second, where="row 2"))
    assert len(world.endpoints[EAST].requests) == 1


def test_a_secret_that_cognito_shows_costs_no_token(world: AdoptionWorld) -> None:
    world.examine(world.row())
    assert [endpoint.requests for endpoint in world.endpoints.values()] == [[], []]


def test_a_secret_that_cannot_be_tried_out_is_refused(world: AdoptionWorld) -> None:
    second = world.second_secret(world.row(), "row 1", cognito_secret(77))
    world.endpoints[EAST].failures["request_token"] = [TokenEndpointUnavailableError()]
    assert "unknown: run this again" in refused(world, second)


def test_scopes_that_differ_are_refused_and_named(world: AdoptionWorld) -> None:
    row = world.row()
    world.pools[EAST].made[row.primary.app_client_id].scopes = frozenset({"a/1", "a/2", "b/1"})
    world.pools[WEST].made[row.secondary.app_client_id].scopes = frozenset({"b/1", "c/1"})
    reason = refused(world, row)
    assert f"only in {EAST}: a/1 a/2; only in {WEST}: c/1" in reason
    assert "b/1" not in reason


@pytest.mark.parametrize("fewer", [EAST, WEST])
def test_scopes_that_differ_can_be_accepted_down_to_what_both_have(
    world: AdoptionWorld, fewer: str
) -> None:
    row = world.row()
    for app_client in world.pools[fewer].made.values():
        app_client.scopes = frozenset({"demo/read"})
    assert f"only in {WEST if fewer == EAST else EAST}: demo/write" in refused(world, row)
    outcomes = world.adopt(row, terms=Terms(keep_credentials=True, accept_scope_differences=True))
    assert world.record(outcomes["row 1"]).scopes == ("demo/read",)


@pytest.mark.parametrize(
    ("mine", "theirs"), [({"demo/read"}, {"demo/write"}), (set(), set()), (set(), {"demo/read"})]
)
def test_app_clients_without_a_common_scope_are_refused(
    world: AdoptionWorld, mine: set[str], theirs: set[str]
) -> None:
    row = world.row()
    world.pools[EAST].made[row.primary.app_client_id].scopes = frozenset(mine)
    world.pools[WEST].made[row.secondary.app_client_id].scopes = frozenset(theirs)
    accepting = Terms(keep_credentials=False, accept_scope_differences=True)
    assert "no scope in common" in refused(world, row, terms=accepting)


@pytest.mark.parametrize("region", [EAST, WEST])
@pytest.mark.parametrize("client_id", [new_client_id(CountingBytes()), "billingservice2024"])
def test_an_app_client_named_as_ours_are_is_refused_lest_reconcile_deletes_it(
    world: AdoptionWorld, region: str, client_id: str
) -> None:
    row = world.row()
    for app_client in world.pools[region].made.values():
        app_client.name = f"surrogate-{client_id}"
    assert f"The name of the app client in {region} starts with surrogate-" in refused(world, row)


@pytest.mark.parametrize(
    "name", ["surrogate-billing", "Surrogate-billingservice2024", "billingservice2024"]
)
def test_an_app_client_may_have_a_name_like_ours(world: AdoptionWorld, name: str) -> None:
    assert len(world.examine(world.row(name=name)).adoptable) == 1


def test_rows_that_disagree_on_the_secondary_app_client_are_refused(world: AdoptionWorld) -> None:
    first, other = world.row("row 1"), world.row("row 2")
    assert "different secondary" in refused(
        world, first, replace(first, where="row 3"), replace(other, primary=first.primary)
    )


def test_rows_that_share_a_secondary_app_client_are_refused(world: AdoptionWorld) -> None:
    first, other = world.row("row 1"), world.row("row 2")
    reason = refused(world, first, replace(other, secondary=first.secondary))
    assert "same secondary app client" in reason


def test_a_secondary_app_client_that_another_client_has_is_refused(world: AdoptionWorld) -> None:
    first, other = world.row("row 1"), world.row("row 2")
    world.keep(first)
    reason = refused(world, replace(other, secondary=first.secondary))
    assert reason == f"Its secondary app client is the client {first.handle}'s already."


def test_malformed_rows_are_reported_beside_the_others(world: AdoptionWorld) -> None:
    outcomes = world.keep(BadRow("row 1", "adopted_0", "It is no row."), world.row("row 2"))
    assert standings(outcomes) == {"row 1": Standing.REFUSED, "row 2": Standing.ADOPTED}
    assert (outcomes["row 1"].handle, outcomes["row 1"].reason) == ("adopted_0", "It is no row.")


# --- the dry run ---


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    world: AdoptionWorld, path: Path
) -> None:
    done, wrong = world.row("row 1"), world.row("row 2", flows=["code"])
    world.keep(done)
    good = world.row("row 3")
    world.store.calls.clear()
    dry = {outcome.where: outcome for outcome in world.examine(done, wrong, good).outcomes}
    assert writes(world) == []
    assert standings(dry) == {
        "row 1": Standing.ALREADY_ADOPTED,
        "row 2": Standing.REFUSED,
        "row 3": Standing.WOULD_ADOPT,
    }
    with credentials_file(path) as file:
        wet = world.adopt(done, wrong, good, file=file)
    for where, outcome in dry.items():
        assert outcome.reason == wet[where].reason
        assert outcome.client_id == wet[where].client_id
        assert outcome.client_name == wet[where].client_name


# --- repeating it ---


@pytest.mark.parametrize("again", [NEW, KEEP])
@pytest.mark.parametrize("first", [NEW, KEEP])
def test_what_is_adopted_already_is_left_as_it_is(
    world: AdoptionWorld, path: Path, first: Terms, again: Terms
) -> None:
    row = world.row()
    with credentials_file(path) as file:
        once = world.adopt(row, terms=first, file=None if first.keep_credentials else file)
        stored = dict(world.store.stored)
        twice = world.adopt(row, terms=again, file=None if again.keep_credentials else file)
    assert standings(twice) == {"row 1": Standing.ALREADY_ADOPTED}
    assert twice["row 1"].client_id == once["row 1"].client_id
    assert twice["row 1"].client_name == "billing"
    # What a row adopted with new credentials holds is none of the client's secrets.
    assert bool(twice["row 1"].reason) == (again.keep_credentials and not first.keep_credentials)
    assert world.store.stored == stored


def test_what_is_adopted_already_is_not_asked_of_cognito(world: AdoptionWorld) -> None:
    row = world.row()
    world.keep(row)
    world.pools[EAST].calls.clear()
    world.keep(row)
    assert world.pools[EAST].calls == []


def test_a_client_that_no_list_has_yet_is_found_by_name(world: AdoptionWorld) -> None:
    row = world.row()
    world.keep(row)
    world.store.unlisted.add(ClientId(row.primary.app_client_id))
    assert standings(world.keep(row)) == {"row 1": Standing.ALREADY_ADOPTED}


def test_an_enrolled_clients_app_client_is_recognized_whatever_its_name(
    world: AdoptionWorld,
) -> None:
    row = world.row()
    enrolled = new_client_id(world.random_bytes)
    outcome = world.keep(row)["row 1"]
    record = replace(world.record(outcome), client_id=enrolled, origin=Origin.ENROLLED)
    world.store.stored.clear()
    world.store.create(record)
    again = world.keep(row)["row 1"]
    assert (again.standing, again.client_id) == (Standing.ALREADY_ADOPTED, enrolled)


def test_another_secret_than_the_clients_is_told_of_a_row_that_is_adopted_already(
    world: AdoptionWorld,
) -> None:
    row = world.row()
    world.keep(row)
    later = world.second_secret(row, "row 2", cognito_secret(77))
    outcomes = world.keep(row, later)
    assert set(standings(outcomes).values()) == {Standing.ALREADY_ADOPTED}
    assert outcomes["row 1"].reason == ""
    assert "does not have" in outcomes["row 2"].reason


def test_another_secondary_app_client_than_the_clients_is_told(world: AdoptionWorld) -> None:
    row, other = world.row("row 1"), world.row("row 2")
    world.keep(row)
    changed = replace(row, secondary=other.secondary)
    outcome = world.keep(changed)["row 1"]
    assert outcome.standing is Standing.ALREADY_ADOPTED
    assert "another secondary app client" in outcome.reason


def test_a_client_whose_primary_app_client_was_replaced_is_not_adopted_anew(
    world: AdoptionWorld,
) -> None:
    row = world.row()
    record = world.record(world.keep(row)["row 1"])
    regional = record.app_clients[EAST]
    assert isinstance(regional, AppClient)
    app_clients = {
        **record.app_clients,
        EAST: replace(regional, app_client_id=AppClientId("remade")),
    }
    version = world.store.stored[record.client_id].version
    world.store.replace(replace(record, app_clients=app_clients), version)
    assert "another app client by now" in refused(world, row, terms=KEEP)


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_deleted_client_is_to_be_restored_not_adopted_again(
    world: AdoptionWorld, *, scheduled: bool
) -> None:
    row = world.row()
    record = world.record(world.keep(row)["row 1"])
    version = world.store.stored[record.client_id].version
    deletion = Deletion(int(world.clock()), Status.ACTIVE, 7)
    world.store.replace(replace(record, status=Status.DELETED, deletion=deletion), version)
    if scheduled:
        world.store.unreplicate(record.client_id)
        world.store.schedule_deletion(record.client_id, 7)
    assert "surrogatectl restore" in refused(world, row, terms=KEEP)


class GarbledStore(FakeRecordStore):
    """A store in which everything is malformed."""

    def read_many(self, client_ids: Sequence[ClientId]) -> dict[ClientId, Any]:
        return dict.fromkeys(super().read_many(client_ids))


def test_a_record_that_is_malformed_is_not_written_over() -> None:
    world = AdoptionWorld(store=GarbledStore())
    row = world.row()
    world.keep(row)
    assert "malformed" in refused(world, row, terms=KEEP)


def test_the_replica_that_an_earlier_run_left_out_is_made(world: AdoptionWorld) -> None:
    row = world.row()
    world.store.failures["replicate"] = [StoreUnavailableError()]
    first = world.keep(row)["row 1"]
    assert (first.standing, first.replication) == (Standing.ADOPTED, Replication.MISSING)
    assert world.keep(row)["row 1"].replication is Replication.IN_SYNC


def test_a_replica_that_takes_long_is_told_and_waited_for_only_a_little(
    world: AdoptionWorld,
) -> None:
    world.store.lag = True
    outcomes = world.keep(*(world.row(f"row {n}") for n in range(5)))
    assert {each.replication for each in outcomes.values()} == {Replication.IN_PROGRESS}
    assert sum(world.pauses) < 10


def test_what_the_other_region_cannot_say_of_its_replica_stays_in_progress(
    world: AdoptionWorld,
) -> None:
    world.store.failures["replication"] = [StoreUnavailableError() for _ in range(9)]
    assert world.keep(world.row())["row 1"].replication is Replication.IN_PROGRESS


def test_many_records_are_read_in_batches(world: AdoptionWorld) -> None:
    outcome = world.keep(world.row())["row 1"]
    template = world.record(outcome)
    for _ in range(250):
        client_id = new_client_id(world.random_bytes)
        world.store.create(replace(template, client_id=client_id, app_clients={}))
    world.store.calls.clear()
    rows = [world.row(f"row {n}") for n in range(30)]
    assert len(world.examine(*rows, terms=KEEP).adoptable) == 30
    assert world.store.calls.count("list") == 3
    assert world.store.calls.count("read_many") <= 13 + 2 + 2


# --- who may, and how fast ---


def test_only_the_writing_region_adopts(world: AdoptionWorld) -> None:
    world.state.hand_over_to(world.other_state)
    with pytest.raises(OperationError) as refusal:
        world.keep(world.row())
    assert as_problem(refusal.value).slug == "not-the-writing-region"
    assert world.pools[EAST].calls == world.store.calls == []


def test_a_region_that_stops_to_write_meanwhile_adopts_nothing(world: AdoptionWorld) -> None:
    row = world.row()

    def meanwhile() -> None:
        world.state.stored = FakeStateStore.of(RegionState(writer=False, took_over=False)).stored

    world.pools[WEST].meanwhile["describe"] = meanwhile
    with pytest.raises(OperationError):
        world.keep(row)
    assert not world.store.stored


def test_cognito_is_asked_less_than_nine_times_a_second_in_each_region(
    world: AdoptionWorld,
) -> None:
    asked: dict[str, list[float]] = {EAST: [], WEST: []}

    def note(times: list[float]) -> Callable[[], None]:
        return lambda: times.append(world.clock())

    for region, pool in world.pools.items():
        pool.meanwhile["describe"] = note(asked[region])
    began = world.clock()
    world.examine(*(world.row(f"row {n}") for n in range(40)))
    for times in asked.values():
        assert len(times) == 40
        assert all(later - sooner >= 1 for sooner, later in zip(times, times[8:], strict=False))
    # Both Regions at once, not one after the other.
    assert world.clock() - began < 40 / PER_SECOND + 1


def test_cognito_is_asked_again_when_it_throttles_or_does_not_answer(world: AdoptionWorld) -> None:
    world.pools[EAST].failures["describe"] = [
        AppClientsThrottledError(),
        AppClientsUnreachableError(),
    ]
    assert standings(world.keep(world.row())) == {"row 1": Standing.ADOPTED}
    assert world.pauses[:2] == [1.0, 3.0]


@pytest.mark.parametrize(
    ("failures", "status"),
    [
        ([AppClientsUnreachableError()] * 3, 503),
        ([AppClientsThrottledError()] * 3, 429),
        ([AppClientsRefusedError("AccessDeniedException")], 502),
    ],
)
@pytest.mark.parametrize("region", [EAST, WEST])
def test_nothing_is_written_when_a_region_cannot_be_asked(
    world: AdoptionWorld, region: str, failures: list[Exception | None], status: int
) -> None:
    rows = [world.row("row 1"), world.row("row 2")]
    world.pools[region].failures["describe"] = [None, *failures]
    with pytest.raises(OperationError) as problem:
        world.keep(*rows)
    assert as_problem(problem.value).status == status
    assert region in as_problem(problem.value).detail
    assert not world.store.stored


@pytest.mark.parametrize("call", ["list", "read_many", "describe"])
def test_nothing_is_written_when_the_records_cannot_be_read(
    world: AdoptionWorld, call: str
) -> None:
    row, other = world.row("row 1"), world.row("row 2")
    world.keep(row)
    world.store.failures[call] = [StoreUnavailableError()]
    with pytest.raises(OperationError) as problem:
        world.keep(row, other)
    assert as_problem(problem.value).status == 503
    assert len(world.store.stored) == 1


def test_a_list_that_took_too_long_is_a_matter_of_trying_again(world: AdoptionWorld) -> None:
    world.store.failures["list"] = [InvalidCursorError()]
    with pytest.raises(OperationError) as problem:
        world.keep(world.row())
    assert as_problem(problem.value).status == 503


def test_a_missing_deployment_key_is_told(world: AdoptionWorld) -> None:
    world.key.key = None
    with pytest.raises(OperationError) as problem:
        world.keep(world.row())
    assert "surrogatectl init" in as_problem(problem.value).detail


def test_progress_is_told(world: AdoptionWorld) -> None:
    world.keep(world.row("row 1"), world.row("row 2"))
    assert "reading rows 2 None" in world.told
    assert "examining app clients 2 2" in world.told
    assert "adopting 1 2" in world.told
    assert "adopting 2 2" in world.told


# --- mended on the way ---


class DescribingCognito:
    """As much of Cognito as describing one app client takes."""

    def __init__(self, **app_client: Any) -> None:
        self._app_client = app_client

    def describe_user_pool_client(self, **_: str) -> dict[str, Any]:
        return {"UserPoolClient": {"CreationDate": datetime.now(UTC), **self._app_client}}


@pytest.mark.parametrize("on", [True, False])
def test_an_app_client_whose_oauth_flows_are_switched_off_has_none(*, on: bool) -> None:
    cognito: Any = DescribingCognito(
        AllowedOAuthFlows=["client_credentials"], AllowedOAuthFlowsUserPoolClient=on
    )
    pool = PoolAppClients(lambda: cognito, lambda: cognito, EAST_POOL, "surrogate", 3600)
    flows = pool.describe(AppClientId(ID)).flows
    assert flows == (frozenset({"client_credentials"}) if on else frozenset())
