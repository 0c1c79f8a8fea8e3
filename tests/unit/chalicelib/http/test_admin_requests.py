"""Parsing of admin requests: all errors are reported together, by member."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.clients.enrollment import EnrollmentRequest
from chalicelib.clients.rotation import DEFAULT_OVERLAP_SECONDS, MAX_OVERLAP_SECONDS
from chalicelib.credentials import is_client_id
from chalicelib.errors import OperationError
from chalicelib.http import admin_requests as parse
from chalicelib.http.admin_requests import AdminRequest
from chalicelib.http.problem import Problem
from chalicelib.model import Status
from tests.problems import as_problem
from tests.worlds import ADOPTED

NOW = 1_800_000_000
OURS = "sgc_" + "a" * 26
GOOD: dict[str, Any] = {"client_name": "billing", "scope": "demo/read demo/write"}


def asked(
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    path: Mapping[str, str] | None = None,
) -> AdminRequest:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return AdminRequest(path=path or {}, query=query or {}, headers=headers or {}, body=raw)


def enrollment(body: Any, **headers: str) -> EnrollmentRequest:
    return parse.parse_enrollment(asked(body, headers=headers), NOW)


def problem_of(do: Callable[[], object]) -> Problem:
    with pytest.raises(OperationError) as caught:
        do()
    return as_problem(caught.value)


def refusal(do: Callable[[], object]) -> int | None:
    """Return the status of the problem that *do* raises, if any."""
    try:
        do()
    except OperationError as err:
        return as_problem(err).status
    return None


def wrong(body: Any, **headers: str) -> Mapping[str, str]:
    """Return the errors of an enrollment, by field."""
    problem = problem_of(lambda: enrollment(body, **headers))
    assert (problem.status, problem.slug) == (400, "invalid-request")
    assert problem.fields
    for name, detail in problem.fields.items():
        assert name in problem.detail
        assert detail in problem.detail
    return problem.fields


# An enrollment


def test_a_minimal_enrollment_has_a_name_and_a_scope() -> None:
    assert enrollment(GOOD) == EnrollmentRequest(
        client_name="billing",
        scopes=("demo/read", "demo/write"),
        allowed_cidrs=(),
        expires_at=None,
        idempotency_key=None,
    )


def test_an_enrollment_may_have_addresses_an_expiry_and_a_key() -> None:
    body = {
        **GOOD,
        "allowed_cidrs": ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"],
        "client_secret_expires_at": NOW + 1,
    }
    assert parse.parse_enrollment(
        asked(body, headers={"idempotency-key": "order-1"}), NOW
    ) == EnrollmentRequest(
        client_name="billing",
        scopes=("demo/read", "demo/write"),
        allowed_cidrs=(
            ip_network("192.0.2.0/24"),
            ip_network("2001:db8::/32"),
            ip_network("198.51.100.7/32"),
        ),
        expires_at=NOW + 1,
        idempotency_key="order-1",
    )


def test_a_null_member_counts_as_omitted() -> None:
    body = {**GOOD, "allowed_cidrs": None, "client_secret_expires_at": None}
    assert enrollment(body) == enrollment(GOOD)


def test_an_expiry_of_zero_means_never() -> None:
    assert enrollment({**GOOD, "client_secret_expires_at": 0}).expires_at is None


def test_an_expiry_may_be_as_late_as_the_year_9999() -> None:
    body = {**GOOD, "client_secret_expires_at": 253_402_300_799}
    assert enrollment(body).expires_at == 253_402_300_799


def test_a_whole_number_may_be_written_with_a_fraction_of_zero() -> None:
    """JSON Schema allows it, and serializers differ in their output of a number."""
    body = {**GOOD, "client_secret_expires_at": float(NOW + 1)}
    expires_at = enrollment(body).expires_at
    assert (expires_at, type(expires_at)) == (NOW + 1, int)
    overlap = parse.parse_overlap(asked(b'{"overlap_seconds": 6e1}'))
    assert (overlap, type(overlap)) == (60, int)


def test_repeated_scopes_and_addresses_count_once() -> None:
    body = {
        **GOOD,
        "scope": "demo/read demo/write demo/read",
        "allowed_cidrs": ["192.0.2.0/24", "192.0.2.0/24"],
    }
    found = enrollment(body)
    assert found.scopes == ("demo/read", "demo/write")
    assert found.allowed_cidrs == (ip_network("192.0.2.0/24"),)


def test_surrounding_spaces_of_a_name_are_removed() -> None:
    assert enrollment({**GOOD, "client_name": "  Grüße 🎉 "}).client_name == "Grüße 🎉"


def test_all_errors_are_reported_together() -> None:
    body = {
        "scope": "demo read",
        "allowed_cidrs": "everywhere",
        "client_secret_expires_at": "never",
        "clientname": "billing",
        "zzz": 1,
    }
    told = wrong(body, **{"idempotency-key": ""})
    assert told.keys() == {
        "client_name",
        "scope",
        "allowed_cidrs",
        "client_secret_expires_at",
        "clientname",
        "zzz",
        "Idempotency-Key",
    }
    assert told["client_name"] == "is required"
    assert "is unknown" in told["clientname"]
    assert "client_name" in told["clientname"], "what is known is told"


@pytest.mark.parametrize("name", ["client_name", "scope"])
@pytest.mark.parametrize("body", [{}, {"client_name": None, "scope": None}])
def test_a_missing_required_member_is_named(name: str, body: dict[str, Any]) -> None:
    assert wrong(body)[name] == "is required"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_name", ""),
        ("client_name", "   "),
        ("client_name", "x" * (parse.MAX_NAME + 1)),
        ("client_name", "two\nlines"),
        ("client_name", "nul\0"),
        ("client_name", "\u202eevil"),
        ("client_name", 7),
        ("client_name", ["billing"]),
        ("scope", ""),
        ("scope", " demo/read"),
        ("scope", "demo/read  demo/write"),
        ("scope", 'demo/"read"'),
        ("scope", "read"),
        ("scope", "/read"),
        ("scope", "demo/"),
        ("scope", "a/b/c"),
        ("scope", ["demo/read"]),
        ("scope", " ".join(f"demo/{number}" for number in range(parse.MAX_SCOPES + 1))),
        ("allowed_cidrs", "192.0.2.0/24"),
        ("allowed_cidrs", {"192.0.2.0/24": 1}),
        ("allowed_cidrs", ["192.0.2.1/24"]),
        ("allowed_cidrs", ["192.0.2.0/33"]),
        ("allowed_cidrs", ["example.com"]),
        ("allowed_cidrs", [""]),
        ("allowed_cidrs", [None]),
        ("allowed_cidrs", [3221225985]),
        ("allowed_cidrs", ["fe80::%eth0/64"]),
        ("allowed_cidrs", ["192.0.2.0/24", 1]),
        ("allowed_cidrs", [f"10.0.{number}.0/24" for number in range(parse.MAX_CIDRS + 1)]),
        ("client_secret_expires_at", NOW),
        ("client_secret_expires_at", -1),
        ("client_secret_expires_at", 1.5),
        ("client_secret_expires_at", True),
        ("client_secret_expires_at", "1900000000"),
        ("client_secret_expires_at", [1]),
        ("client_secret_expires_at", parse.MAX_TIME + 1),
        ("client_secret_expires_at", 10**400),
        ("client_secret_expires_at", float("inf")),
        ("status", "active"),
    ],
)
def test_an_invalid_member_is_named(name: str, value: Any) -> None:
    assert wrong({**GOOD, name: value}).keys() == {name}


@pytest.mark.parametrize("value", ["", "a b", "é", "x" * 256, "a\tb", "\x7f"])
def test_an_invalid_idempotency_key_is_named(value: str) -> None:
    assert wrong(GOOD, **{"idempotency-key": value}).keys() == {"Idempotency-Key"}


@pytest.mark.parametrize("value", ["x", "x" * 255, "8e03978e-40d5-43e8-bc93-6894a57f9324", '"q"'])
def test_an_idempotency_key_is_visible_ascii(value: str) -> None:
    assert enrollment(GOOD, **{"idempotency-key": value}).idempotency_key == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b"client_name=billing",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"a":' * 12_000,
        b'{"client_name": ' + b"9" * 5_000 + b"}",
    ],
)
def test_a_body_that_is_no_json_object_is_reported_as_such(body: bytes) -> None:
    problem = problem_of(lambda: enrollment(body))
    assert (problem.status, problem.slug) == (400, "invalid-json")


def test_a_body_that_is_too_large_is_not_read() -> None:
    body = json.dumps({**GOOD, "x": "a" * parse.MAX_BODY_BYTES}).encode()
    problem = problem_of(lambda: enrollment(body))
    assert (problem.status, problem.slug) == (413, "too-large")


def test_a_long_name_of_an_unknown_member_is_shortened() -> None:
    assert all(len(name) <= 64 for name in wrong({**GOOD, "x" * 1_000: 1}))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
_members = st.sampled_from(
    ["client_name", "scope", "allowed_cidrs", "client_secret_expires_at", "status", "x"]
)


@given(st.dictionaries(_members, _json) | _json)
@example({**GOOD, "client_secret_expires_at": 10**400})
def test_any_json_object_is_an_enrollment_or_a_problem(body: Any) -> None:
    raw = json.dumps(body).encode()
    for read in (parse.parse_enrollment, parse.parse_changes):
        assert refusal(partial(read, asked(raw), NOW)) in {None, 400}


@given(st.binary(max_size=40))
def test_any_bytes_are_a_request_or_a_problem(raw: bytes) -> None:
    for read in (
        lambda request: parse.parse_enrollment(request, NOW),
        lambda request: parse.parse_changes(request, NOW),
        parse.parse_overlap,
        parse.parse_denials,
        parse.parse_older_than,
    ):
        assert refusal(partial(read, asked(raw))) in {None, 400}


# Changes


def changes(body: Any) -> Any:
    return parse.parse_changes(asked(body), NOW)


def test_only_members_sent_are_changed() -> None:
    assert changes({"client_name": "x"}) == {"client_name": "x"}
    assert changes({"scope": "demo/read"}) == {"scopes": ("demo/read",)}
    assert changes({"allowed_cidrs": []}) == {"allowed_cidrs": ()}
    assert changes({"status": "disabled"}) == {"status": Status.DISABLED}
    assert changes({"client_secret_expires_at": NOW + 1}) == {"expires_at": NOW + 1}


@pytest.mark.parametrize("never", [0, None])
def test_an_expiry_can_be_removed(never: int | None) -> None:
    assert changes({"client_secret_expires_at": never}) == {"expires_at": None}


@pytest.mark.parametrize("body", [{}, {"client_name": None}])
def test_an_empty_change_is_refused(body: Any) -> None:
    problem = problem_of(lambda: changes(body))
    assert (problem.status, problem.slug) == (400, "invalid-request")


@pytest.mark.parametrize("status", ["enrolling", "deleted", "ACTIVE", "", 1, ["active"], {}])
def test_a_status_is_active_or_disabled(status: Any) -> None:
    problem = problem_of(lambda: changes({"status": status, "y": 1}))
    assert (problem.status, set(problem.fields)) == (400, {"status", "y"})


# The other bodies


@pytest.mark.parametrize("body", [None, b"", b"  ", {}])
def test_the_default_overlap_is_a_week(body: Any) -> None:
    assert parse.parse_overlap(asked(body)) == DEFAULT_OVERLAP_SECONDS


@pytest.mark.parametrize("seconds", [0, 1, MAX_OVERLAP_SECONDS])
def test_an_overlap_is_given_in_seconds(seconds: int) -> None:
    assert parse.parse_overlap(asked({"overlap_seconds": seconds})) == seconds


@pytest.mark.parametrize("value", [-1, MAX_OVERLAP_SECONDS + 1, 1.5, "60", True, []])
def test_an_invalid_overlap_is_named(value: Any) -> None:
    body = {"overlap_seconds": value, "overlap": 1}
    problem = problem_of(lambda: parse.parse_overlap(asked(body)))
    assert problem.fields.keys() == {"overlap_seconds", "overlap"}


def test_the_default_rotation_age_is_an_hour() -> None:
    assert parse.parse_older_than(asked(b"")) == 3600
    assert parse.parse_older_than(asked({"older_than_seconds": 90})) == 90
    problem = problem_of(lambda: parse.parse_older_than(asked({"older_than_seconds": -1})))
    assert problem.fields.keys() == {"older_than_seconds"}


def test_denials_are_lists_of_client_ids() -> None:
    found = parse.parse_denials(asked({"deny": [OURS, ADOPTED, OURS], "allow": [ADOPTED]}))
    assert (found.deny, found.allow) == ((OURS, ADOPTED), (ADOPTED,))


@pytest.mark.parametrize("value", [OURS, [OURS, 1], ["x"], [None], {OURS: 1}, [f"{OURS}\n"]])
def test_an_invalid_list_of_client_ids_is_named(value: Any) -> None:
    problem = problem_of(lambda: parse.parse_denials(asked({"deny": value})))
    assert problem.fields.keys() == {"deny"}


@pytest.mark.parametrize("body", [{}, {"deny": []}, {"deny": None, "allow": []}])
def test_denials_that_change_nothing_are_refused(body: Any) -> None:
    problem = problem_of(lambda: parse.parse_denials(asked(body)))
    assert (problem.status, problem.slug) == (400, "invalid-request")


# Path, query and headers


@given(st.text(max_size=40))
@example(OURS)
@example(ADOPTED)
@example(OURS + "\n")
@example("../../etc")
def test_a_client_id_in_the_path_is_well_formed(text: str) -> None:
    request = asked(path={"client_id": text})
    if is_client_id(text):
        assert parse.parse_client_id(request) == text
    else:
        problem = problem_of(lambda: parse.parse_client_id(request))
        assert (problem.status, problem.slug) == (404, "unknown-client")
        assert text not in problem.detail or len(text) < 3


@pytest.mark.parametrize(("text", "version"), [(None, None), ("*", None), ('"v-1"', "v-1")])
def test_if_match_is_one_entity_tag_or_a_star(text: str | None, version: str | None) -> None:
    headers = {} if text is None else {"if-match": text}
    assert parse.parse_if_match(asked(headers=headers)) == version


@pytest.mark.parametrize("text", ["", "v-1", '"a", "b"', 'W/"a"', '"', '""', '"a', '"a b"'])
def test_an_invalid_if_match_is_named(text: str) -> None:
    problem = problem_of(lambda: parse.parse_if_match(asked(headers={"if-match": text})))
    assert (problem.status, set(problem.fields)) == (400, {"If-Match"})


def test_the_default_page_is_the_first_with_the_full_limit() -> None:
    assert parse.parse_page(asked()) == (None, parse.MAX_PAGE)
    assert parse.parse_page(asked(query={"cursor": "c", "limit": "7"})) == ("c", 7)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "\u0667"}, "limit"),
        ({"limit": "000000001000"}, "limit"),
        ({"limit": "0" * 4_000 + "7"}, "limit"),
        ({"limit": "9" * 5_000}, "limit"),
        ({"cursor": "c" * (parse.MAX_CURSOR + 1)}, "cursor"),
    ],
)
def test_invalid_page_parameters_are_named(query: dict[str, str], name: str) -> None:
    problem = problem_of(lambda: parse.parse_page(asked(query=query)))
    assert (problem.status, set(problem.fields)) == (400, {name})


@given(st.text("0123456789", max_size=24))
def test_a_number_in_the_query_is_within_its_bounds_or_refused(text: str) -> None:
    try:
        _, limit = parse.parse_page(asked(query={"limit": text}))
    except OperationError:
        return
    assert 1 <= limit <= parse.MAX_PAGE


@pytest.mark.parametrize(("text", "days"), [(None, 30), ("7", 7), ("30", 30)])
def test_the_default_recovery_window_is_a_month(text: str | None, days: int) -> None:
    query = {} if text is None else {"recovery_days": text}
    assert parse.parse_recovery_days(asked(query=query)) == days


@pytest.mark.parametrize("text", ["6", "31", "", "-7", "seven"])
def test_an_invalid_recovery_window_is_named(text: str) -> None:
    request = asked(query={"recovery_days": text})
    problem = problem_of(lambda: parse.parse_recovery_days(request))
    assert problem.fields.keys() == {"recovery_days"}


@pytest.mark.parametrize(("text", "flag"), [("true", True), ("false", False), (None, False)])
def test_a_flag_is_true_or_false(text: str | None, flag: bool) -> None:  # noqa: FBT001
    query = {} if text is None else {"force": text}
    assert parse.parse_flag(asked(query=query), "force") is flag


@pytest.mark.parametrize("text", ["", "1", "yes", "True"])
def test_an_invalid_flag_is_named(text: str) -> None:
    problem = problem_of(lambda: parse.parse_flag(asked(query={"force": text}), "force"))
    assert problem.fields.keys() == {"force"}


def test_the_repr_of_a_request_has_no_content() -> None:
    assert "secret" not in repr(asked(b"secret"))
