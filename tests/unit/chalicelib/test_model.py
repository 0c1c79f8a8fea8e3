"""No model class shows a secret when it is printed."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from chalicelib import credentials, model
from chalicelib.clients import enrollment
from chalicelib.model import AccessToken, AppClient, AppClientId, StoredSecret
from chalicelib.token import exchange, oauth
from tests.worlds import CALLER, EnrollmentWorld, ExchangeWorld

SECRET = "zq-no-repr-may-show-this"
# Fields of these names are confidential in every class.
HIDDEN = {
    "hash",
    "client_secret",
    "access_token",
    "mac",
    "value",
    "body",
    "authorization",
    "app_client_id",
    "random_bytes",
    "emit",
}
# Exceptions, which hold nothing confidential.
SHOWN = {(model.Versioned, "value")}


def nouns(*modules: ModuleType) -> Iterator[type]:
    for module in modules:
        for _, each in inspect.getmembers(module, dataclasses.is_dataclass):
            if each.__module__ == module.__name__ and isinstance(each, type):
                yield each


def fields_of(*modules: ModuleType) -> list[tuple[type, dataclasses.Field[Any]]]:
    return [(noun, field) for noun in nouns(*modules) for field in dataclasses.fields(noun)]


@pytest.mark.parametrize(
    ("noun", "field"),
    [
        pytest.param(noun, field, id=f"{noun.__name__}.{field.name}")
        for noun, field in fields_of(model, oauth, exchange, enrollment, credentials)
        if field.name in HIDDEN and (noun, field.name) not in SHOWN
    ],
)
def test_a_field_that_holds_a_secret_is_not_shown(
    noun: type, field: dataclasses.Field[Any]
) -> None:
    shown = [each.name for each in dataclasses.fields(noun) if each.repr]
    made: Any = object.__new__(noun)
    for each in dataclasses.fields(noun):
        object.__setattr__(made, each.name, SECRET if each.name == field.name else "other")
    assert field.name not in shown
    assert SECRET not in repr(made)
    assert SECRET not in f"{made}"


def test_every_text_field_of_the_model_is_classified() -> None:
    """A new text field is either hidden or known to hold nothing secret."""
    texts = {
        field.name
        for noun, field in fields_of(model)
        if _is_text(typing.get_type_hints(noun)[field.name]) and field.repr
    }
    assert texts <= {
        "app_clients",  # by Region; their values are hidden
        "body_digest",
        "caller",
        "client_id",
        "client_name",
        "cognito_secret_id",
        "command",
        "cursor",
        "flows",
        "holder",
        "name",
        "origin",
        "reason",
        "run_id",
        "scope",
        "scopes",
        "secret_id",
        "source_ip",
        "status",
        "user_pool_id",
        "version",
    }


def _is_text(hint: Any) -> bool:
    hint = getattr(hint, "__supertype__", hint)
    return hint is str or str in typing.get_args(hint)


def test_objects_of_an_exchange_show_no_secret() -> None:
    world = ExchangeWorld()
    issued = world.client()
    stored = world.store.stored[issued.client_id]
    handled: list[Any] = [
        issued,
        stored,
        stored.value,
        *stored.value.secrets,
        *stored.value.app_clients.values(),
        AccessToken(SECRET, 1),
        model.TokenRequest(issued.client_id, issued.client_secret, None, "192.0.2.1"),
        model.TokenResponse(SECRET, 1, "demo/read"),
        world.exchange,
        world.hasher,
    ]
    for each in handled:
        told = f"{each!r} {each}"
        assert issued.client_secret not in told
        assert SECRET not in told
        assert "$argon2" not in told
        assert "east-secret" not in told
        assert "east-app" not in told


def test_objects_of_an_enrollment_show_no_secret() -> None:
    world = EnrollmentWorld()
    request = enrollment.EnrollmentRequest("billing", ("demo/read",), (), None, "key-1")
    enrolled = world.enroll.enroll(request, CALLER)
    told = f"{request!r} {enrolled!r} {enrolled}"
    assert enrolled.issued.client_secret not in told
    assert "$argon2" not in told
    assert "cognito-secret-of" not in told


def test_model_classes_are_frozen() -> None:
    for noun in nouns(model):
        parameters = noun.__dataclass_params__  # type: ignore[attr-defined]
        assert parameters.frozen, noun
    regional = AppClient("pool", AppClientId("id"), "secret", "mac", 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        regional.client_secret = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        StoredSecret(model.SecretId("a"), "hash", 0).hash = "other"  # type: ignore[misc]
