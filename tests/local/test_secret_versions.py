"""Versions and staging labels follow the API reference of Secrets Manager."""

from typing import Any

import pytest

from local.aws_gaps.errors import AwsError
from local.aws_gaps.secret_versions import (
    KEPT_SECONDS,
    MAX_VERSIONS,
    Value,
    add_version,
    check_token,
    move_label,
)

NOW = 1_800_000_000.0


def a_secret(*values: str, now: float = NOW) -> dict[str, Any]:
    secret: dict[str, Any] = {"ARN": "arn:secret", "Name": "s", "Versions": {}}
    for value in values:
        add_version(secret, f"version-{value}", Value(value), ["AWSCURRENT"], now)
    return secret


def labels(secret: dict[str, Any]) -> dict[str, list[str]]:
    return {key: sorted(version["Stages"]) for key, version in secret["Versions"].items()}


def test_a_new_current_version_leaves_the_old_one_as_previous() -> None:
    assert labels(a_secret("a", "b")) == {
        "version-a": ["AWSPREVIOUS"],
        "version-b": ["AWSCURRENT"],
    }


def test_a_version_without_labels_stays_readable() -> None:
    secret = a_secret("a", "b", "c")
    assert labels(secret)["version-a"] == []
    assert secret["Versions"]["version-a"]["SecretString"] == "a"


def test_the_first_version_is_current_whatever_its_labels() -> None:
    secret = a_secret()
    add_version(secret, "first", Value("x"), ["STAGED"], NOW)
    assert labels(secret) == {"first": ["AWSCURRENT", "STAGED"]}


def test_a_label_is_on_one_version_only() -> None:
    secret = a_secret("a")
    add_version(secret, "one", Value("1"), ["STAGED"], NOW)
    add_version(secret, "two", Value("2"), ["STAGED"], NOW)
    assert labels(secret) == {"version-a": ["AWSCURRENT"], "one": [], "two": ["STAGED"]}


def test_a_repetition_with_the_same_value_changes_nothing() -> None:
    secret = a_secret("a", "b")
    before = labels(secret)
    assert not add_version(secret, "version-a", Value("a"), ["AWSCURRENT"], NOW)
    assert labels(secret) == before


def test_a_repetition_with_another_value_is_refused() -> None:
    with pytest.raises(AwsError) as raised:
        add_version(a_secret("a"), "version-a", Value("b"), ["AWSCURRENT"], NOW)
    assert raised.value.code == "ResourceExistsException"


def test_the_current_label_moves_only_from_the_named_version() -> None:
    secret = a_secret("a", "b")
    add_version(secret, "c", Value("c"), ["STAGED"], NOW)
    for wrong in (None, "version-a"):
        with pytest.raises(AwsError) as raised:
            move_label(secret, "AWSCURRENT", to="c", from_version=wrong, now=NOW)
        assert raised.value.code == "InvalidParameterException"
    move_label(secret, "AWSCURRENT", to="c", from_version="version-b", now=NOW)
    assert labels(secret) == {
        "version-a": [],
        "version-b": ["AWSPREVIOUS"],
        "c": ["AWSCURRENT", "STAGED"],
    }


def test_a_move_that_was_made_already_is_refused_when_it_is_repeated() -> None:
    """A client cannot rely on a repeat of its own compare-and-swap."""
    secret = a_secret("a", "b")
    with pytest.raises(AwsError):
        move_label(secret, "AWSCURRENT", to="version-b", from_version="version-a", now=NOW)


def test_the_current_label_cannot_be_removed() -> None:
    with pytest.raises(AwsError):
        move_label(a_secret("a"), "AWSCURRENT", to=None, from_version="version-a", now=NOW)


def test_a_label_other_than_current_can_be_removed() -> None:
    secret = a_secret("a")
    add_version(secret, "b", Value("b"), ["STAGED"], NOW)
    move_label(secret, "STAGED", to=None, from_version="b", now=NOW)
    assert labels(secret)["b"] == []


def test_a_label_cannot_move_to_a_version_that_does_not_exist() -> None:
    with pytest.raises(AwsError) as raised:
        move_label(a_secret("a"), "STAGED", to="nowhere", from_version=None, now=NOW)
    assert raised.value.code == "ResourceNotFoundException"


def test_young_versions_are_kept_until_no_more_fit() -> None:
    secret = a_secret(*(str(number) for number in range(MAX_VERSIONS)))
    with pytest.raises(AwsError) as raised:
        add_version(secret, "one-more", Value("x"), ["AWSCURRENT"], NOW + KEPT_SECONDS)
    assert raised.value.code == "LimitExceededException"
    assert "one-more" not in secret["Versions"]


def test_old_unlabeled_versions_are_evicted() -> None:
    secret = a_secret(*(str(number) for number in range(MAX_VERSIONS)))
    add_version(secret, "one-more", Value("x"), ["AWSCURRENT"], NOW + KEPT_SECONDS + 1)
    assert len(secret["Versions"]) == MAX_VERSIONS
    assert "version-0" not in secret["Versions"]


def test_a_secret_has_at_most_twenty_labels() -> None:
    secret = a_secret("a")
    for number in range(19):
        move_label(secret, f"L{number}", to="version-a", from_version=None, now=NOW)
    with pytest.raises(AwsError) as raised:
        move_label(secret, "one-more", to="version-a", from_version=None, now=NOW)
    assert raised.value.code == "LimitExceededException"


@pytest.mark.parametrize("token", ["short", "x" * 31, "x" * 65])
def test_a_request_token_has_32_to_64_characters(token: str) -> None:
    with pytest.raises(AwsError):
        check_token(token)


@pytest.mark.parametrize(
    "request_body",
    [{}, {"SecretString": "a", "SecretBinary": "YQ=="}, {"SecretString": "x" * 65_537}],
)
def test_a_value_is_text_or_bytes_of_limited_length(request_body: dict[str, str]) -> None:
    with pytest.raises(AwsError):
        Value.from_request(request_body, required=True)
