"""JSON documents stored in Secrets Manager."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chalicelib.errors import MalformedSecretError
from chalicelib.model import (
    AppClient,
    ClientId,
    ClientRecord,
    DenialShard,
    Lease,
    Pending,
    RegionState,
    VersionId,
    Word,
)
from chalicelib.record_json import (
    DEPLOYMENT_KEY_BYTES,
    SCHEMA,
    denials_from_json,
    denials_to_json,
    deployment_key_from_json,
    deployment_key_to_json,
    first_edition_denials,
    record_from_json,
    record_to_json,
    state_from_json,
    state_to_json,
    written_after,
)
from chalicelib.unknown_members import NOTHING, UnknownMembers
from tests.worlds import CALLER, ExchangeWorld

CANARY = "sgs_canary-that-no-exception-may-quote"

st.register_type_strategy(UnknownMembers, st.just(NOTHING))
records = st.from_type(ClientRecord)
KNOWN_MEMBERS = ["schema", "writer", "took_over", "epoch", "lease", "words", "written", "overflow"]
# Members of a newer version, with any JSON in them.
unknown = st.dictionaries(
    st.text().filter(lambda name: name not in KNOWN_MEMBERS),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists),
)
leases = st.none() | st.from_type(Lease)
states = st.builds(RegionState, st.booleans(), st.booleans(), st.integers(), leases, unknown)
shards = st.builds(
    DenialShard,
    st.dictionaries(st.from_type(ClientId), st.builds(Word, st.booleans(), st.integers())),
    st.lists(st.integers()).map(tuple),
    st.booleans(),
    unknown,
)
keys = st.binary(min_size=DEPLOYMENT_KEY_BYTES, max_size=64)

READERS: dict[str, Callable[[str], Any]] = {
    "record": record_from_json,
    "state": state_from_json,
    "denials": denials_from_json,
    "deployment key": deployment_key_from_json,
}


@pytest.mark.slow
@given(records)
@settings(max_examples=100)
def test_a_record_survives_the_round_trip(record: ClientRecord) -> None:
    assert record_from_json(record_to_json(record)) == record


@given(states)
def test_a_state_survives_the_round_trip(state: RegionState) -> None:
    assert state_from_json(state_to_json(state)) == state


@given(shards)
def test_a_shard_of_denials_survives_the_round_trip(shard: DenialShard) -> None:
    assert denials_from_json(denials_to_json(shard)) == shard


@given(keys)
def test_a_deployment_key_survives_the_round_trip(key: bytes) -> None:
    assert deployment_key_from_json(deployment_key_to_json(key)) == key


@given(records)
def test_every_field_of_a_record_is_stored(record: ClientRecord) -> None:
    """A new field of the model that is not stored would be lost silently."""
    stored = json.loads(record_to_json(record))
    names = {field.name for field in dataclasses.fields(ClientRecord)} - {"unknown"}
    assert stored.keys() == names | {"schema"}


def test_stored_documents_name_their_schema() -> None:
    for text in (state_to_json(RegionState(writer=True, took_over=False)), a_record()):
        assert json.loads(text)["schema"] == SCHEMA


def test_stored_documents_are_small() -> None:
    """One line, no spaces: Secrets Manager keeps at most 64 KiB."""
    text = a_record()
    assert "\n" not in text
    assert ", " not in text
    assert len(text) < 4_096


def test_documents_of_an_earlier_release_can_be_read() -> None:
    """Stored documents outlive releases: a breaking change needs a new schema and a migration."""
    state = '{"schema":1,"writer":true,"took_over":false,"denied":["sgc_a"]}'
    read = state_from_json(state)
    assert (read.writer, read.took_over) == (True, False)
    assert first_edition_denials(read) == {"sgc_a": Word(denied=True, at=0)}
    key = base64.b64encode(bytes(range(32))).decode()
    assert deployment_key_from_json(f'{{"schema":1,"key":"{key}"}}') == bytes(range(32))


# Malformed


def a_record() -> str:
    """Return a stored record with every member that the types allow."""
    world = ExchangeWorld()
    issued = world.client()
    record = world.store.stored[issued.client_id].value
    regional = record.app_clients["us-east-1"]
    assert isinstance(regional, AppClient)
    return record_to_json(
        dataclasses.replace(
            record, app_clients={"us-east-1": regional, "us-west-2": Pending(1, "why")}
        )
    )


def a_text(kind: str) -> str:
    if kind == "record":
        return a_record()
    if kind == "state":
        lease = Lease("failback", CALLER, 1, 2, "a run")
        return state_to_json(RegionState(writer=True, took_over=False, lease=lease))
    return deployment_key_to_json(bytes(32))


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every member and item of *content*."""
    members = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for name, value in members:
        yield (*path, name)
        yield from places(value, (*path, name))


def changed(content: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> str:
    """Return *content* with *change* applied to the member at *path*."""
    content = copy.deepcopy(content)
    parent = content
    for name in path[:-1]:
        parent = parent[name]
    change(parent, path[-1])
    return json.dumps(content)


@pytest.mark.parametrize("kind", READERS)
def test_a_document_without_a_member_is_malformed(kind: str) -> None:
    content = json.loads(a_text(kind))
    for path in places(content):
        if isinstance(path[-1], int) or path in {("app_clients", "us-east-1"), OTHER_HALF}:
            continue  # a shorter list or map of app clients is well-formed
        if kind == "state" and path in {("epoch",), ("lease",)}:
            continue  # documents from before failback, and from before leases, have none
        text = changed(content, path, lambda parent, name: parent.pop(name))
        with pytest.raises(MalformedSecretError):
            READERS[kind](text)


OTHER_HALF = ("app_clients", "us-west-2")
WRONG = [None, True, 0, -1, 1.5, "", "x", [], ["x"], {}, {"x": 1}, CANARY]


@pytest.mark.slow
@given(records.map(record_to_json) | states.map(state_to_json), st.data())
@settings(max_examples=150)
def test_a_member_of_another_type_is_malformed(stored: str, data: st.DataObject) -> None:
    """Otherwise denials with `words: ""` would read as “nobody is denied”."""
    content = json.loads(stored)
    path = data.draw(st.sampled_from(list(places(content))))
    wrong = data.draw(st.sampled_from(WRONG))
    text = changed(content, path, lambda parent, name: parent.__setitem__(name, wrong))
    try:
        if "writer" in content:
            written = state_to_json(state_from_json(text))
        else:
            written = record_to_json(record_from_json(text))
    except MalformedSecretError:
        return
    accepted, said = json.loads(written), json.loads(text)
    assert accepted == said, "what is accepted is what it says"


def test_a_state_from_before_failback_can_be_read() -> None:
    text = json.dumps({"schema": 1, "writer": True, "took_over": False, "denied": ["sgc_a"]})
    assert state_from_json(text).epoch == 0


@given(records)
def test_a_record_names_the_version_it_replaced(record: ClientRecord) -> None:
    text = record_to_json(record, VersionId("before"))
    assert record_from_json(text) == record
    assert written_after(text) == "before"
    assert written_after(record_to_json(record)) is None


@given(st.text() | st.from_type(int).map(str))
def test_an_invalid_record_names_no_replaced_version(text: str) -> None:
    assert written_after(text) is None


@pytest.mark.parametrize("member", ["writer", "took_over"])
@pytest.mark.parametrize("wrong", [None, 0, 1, "", "true", {}, {"sgc_a": 1}, "sgc_a", [1], [None]])
def test_a_state_is_read_strictly(member: str, wrong: Any) -> None:
    content = json.loads(a_text("state"))
    with pytest.raises(MalformedSecretError):
        state_from_json(json.dumps({**content, member: wrong}))


@pytest.mark.parametrize("member", ["words", "written", "overflow"])
@pytest.mark.parametrize("wrong", [None, 0, "", "true", {"sgc_a": 1}, {"sgc_a": {}}, [None]])
def test_denials_are_read_strictly(member: str, wrong: Any) -> None:
    content = json.loads(denials_to_json(DenialShard()))
    with pytest.raises(MalformedSecretError):
        denials_from_json(json.dumps({**content, member: wrong}))


@pytest.mark.parametrize("member", ["secrets", "scopes", "allowed_cidrs"])
@pytest.mark.parametrize("wrong", ["", "demo/read", {}, None, 0])
def test_a_list_of_a_record_is_a_list(member: str, wrong: Any) -> None:
    content = json.loads(a_record())
    with pytest.raises(MalformedSecretError):
        record_from_json(json.dumps({**content, member: wrong}))


@pytest.mark.parametrize("member", ["enrollment", "deletion"])
@pytest.mark.parametrize("wrong", ["", {}, [], 0, False])
def test_an_optional_member_of_a_record_is_null_or_complete(member: str, wrong: Any) -> None:
    content = json.loads(a_record())
    assert content[member] is None
    with pytest.raises(MalformedSecretError):
        record_from_json(json.dumps({**content, member: wrong}))


@pytest.mark.parametrize("member", ["retiring", "outdated"])
@pytest.mark.parametrize("wrong", ["", {}, [], 0, False])
def test_an_optional_member_of_an_app_client_is_null_or_complete(member: str, wrong: Any) -> None:
    content = json.loads(a_record())
    assert content["app_clients"]["us-east-1"][member] is None
    content["app_clients"]["us-east-1"][member] = wrong
    with pytest.raises(MalformedSecretError):
        record_from_json(json.dumps(content))


@pytest.mark.parametrize(
    ("member", "wrong"),
    [
        ("status", "asleep"),
        ("origin", "found"),
        ("allowed_cidrs", ["192.0.2.1/24"]),
        ("allowed_cidrs", ["everywhere"]),
        ("created_at", True),
        ("created_at", 1.0),
        ("expires_at", "never"),
    ],
)
def test_an_invalid_value_is_malformed(member: str, wrong: Any) -> None:
    content = json.loads(a_record())
    with pytest.raises(MalformedSecretError):
        record_from_json(json.dumps({**content, member: wrong}))


@pytest.mark.parametrize(
    "key", ["", "AAAA", base64.b64encode(bytes(31)).decode(), "é", "=" * 44, "A" * 40 + "\nAAAA"]
)
def test_an_invalid_deployment_key_is_malformed(key: str) -> None:
    with pytest.raises(MalformedSecretError):
        deployment_key_from_json(json.dumps({"schema": SCHEMA, "key": key}))


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("schema", [0, 2, "1", None, 1.5, [1]])
def test_an_unknown_schema_is_refused(kind: str, schema: Any) -> None:
    content = json.loads(a_text(kind))
    with pytest.raises(MalformedSecretError, match="schema that this version cannot read"):
        READERS[kind](json.dumps({**content, "schema": schema}))


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
@given(text=st.text(max_size=30) | st.recursive(st.none(), st.lists).map(json.dumps))
@example(text="")
@example(text="null")
@example(text="[]")
@example(text='"text"')
@example(text="1")
@example(text='{"schema":1}')
@example(text="{")
@example(text="[" * 20_000)
def test_a_foreign_document_is_malformed(kind: str, text: str) -> None:
    with pytest.raises(MalformedSecretError):
        READERS[kind](text)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(
    "text",
    [
        f"{CANARY}",
        f'{{"schema":1,"key":"{CANARY}"',
        json.dumps({"schema": CANARY}),
        json.dumps({"schema": 1, "epoch": CANARY, "writer": True, "took_over": True}),
        json.dumps({"schema": 1, "key": CANARY}),
        json.dumps(CANARY),
    ],
)
def test_no_error_quotes_a_stored_document(kind: str, text: str) -> None:
    _assert_quotes_nothing(kind, text)


@pytest.mark.parametrize(
    "member",
    ["client_id", "status", "origin", "created_at", "secrets", "allowed_cidrs", "app_clients"],
)
@pytest.mark.parametrize("wrong", [CANARY, [CANARY], {CANARY: CANARY}, [{CANARY: 1}]])
def test_no_error_quotes_an_invalid_value(member: str, wrong: Any) -> None:
    if (member, wrong) == ("client_id", CANARY):
        return
    content = json.loads(a_record())
    _assert_quotes_nothing("record", json.dumps({**content, member: wrong}))


def _assert_quotes_nothing(kind: str, text: str) -> None:
    with pytest.raises(MalformedSecretError) as caught:
        READERS[kind](text)
    err = caught.value
    assert err.__cause__ is None
    # The context is the caught exception, which quotes; no printed traceback shows it.
    assert err.__suppress_context__ or err.__context__ is None
    told = f"{err} {err!r} {err.args} {''.join(traceback.format_exception(err))}"
    assert CANARY not in told
