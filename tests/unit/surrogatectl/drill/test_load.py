"""What the drill's clients make of an answer, and what its backend believes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from authlib.integrations.requests_client import OAuth2Session

from surrogatectl.cli.configuration import Deployment
from surrogatectl.drill.backend import Backend, BackendError, Claims, started
from surrogatectl.drill.cloud import LocalCloud, NotTheLocalCloudError
from surrogatectl.drill.events import Kind
from surrogatectl.drill.load import Credential, _Connection, _judged, _refused
from tests.operator_fakes import settings
from tests.worlds import EAST

CREDENTIAL = Credential("sgc_a", "right", "wrong", "demo/read")
TOKENS = {
    "good": Claims(EAST, frozenset({"demo/read"}), "sgc_a"),
    "other scope": Claims(EAST, frozenset({"demo/write"}), "sgc_a"),
    "other client": Claims(EAST, frozenset({"demo/read"}), "sgc_b"),
    "no name": Claims(EAST, frozenset({"demo/read"}), None),
}


@dataclass(frozen=True)
class Believing(Backend):
    """A backend that believes what it is told to."""

    def verify(self, token: str) -> Claims | None:
        return TOKENS.get(token)


BACKEND = Believing("", {})


def connection(*, wrong: bool) -> _Connection:
    return _Connection(OAuth2Session(), CREDENTIAL, wrong)


@pytest.mark.parametrize(
    ("token", "wrong", "kind"),
    [
        ("good", False, Kind.TOKEN),
        ("good", True, Kind.WRONG),
        ("other scope", False, Kind.WRONG),
        ("other client", False, Kind.WRONG),
        ("no name", False, Kind.WRONG),
        ("forged", False, Kind.WRONG),
        ("forged", True, Kind.WRONG),
    ],
)
def test_a_token_is_judged_by_whom_it_was_given_to(token: str, wrong: bool, kind: Kind) -> None:  # noqa: FBT001
    found, _, detail = _judged(token, connection(wrong=wrong), BACKEND)
    assert found is kind
    assert bool(detail) == (kind is Kind.WRONG)


@pytest.mark.parametrize(
    ("error", "wrong", "kind"),
    [
        ("invalid_client", True, Kind.REFUSED),
        ("invalid_client", False, Kind.WRONG),
        ("temporarily_unavailable", False, Kind.ERROR),
        ("temporarily_unavailable", True, Kind.ERROR),
        ("server_error", False, Kind.ERROR),
        ("invalid_request", False, Kind.WRONG),
        ("invalid_scope", True, Kind.WRONG),
    ],
)
def test_a_refusal_is_right_only_where_the_secret_is_wrong(
    error: str,
    wrong: bool,  # noqa: FBT001
    kind: Kind,
) -> None:
    found, region, _ = _refused(error, wrong=wrong)
    assert found is kind
    assert region is None


def test_a_credential_does_not_show_its_secrets() -> None:
    assert "right" not in repr(CREDENTIAL)
    assert "wrong" not in repr(CREDENTIAL)


def test_a_backend_that_cannot_be_asked_lets_nobody_in() -> None:
    assert Backend("nowhere", {}).verify("a.b.c") is None


def test_a_backend_that_does_not_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(BackendError, match=r"examples/protected_api .* cannot read .*nowhere"),
        started(tmp_path / "nowhere.json", {}),
    ):
        pass


def test_without_a_checkout_the_drill_says_that_it_needs_one(tmp_path: Path) -> None:
    with (
        pytest.raises(BackendError, match="checkout"),
        started(tmp_path / "endpoints.json", {}, root=tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ENDPOINT_URL_PRIMARY": "http://127.0.0.1:1"},
        {
            "ENDPOINT_URL_PRIMARY": "http://127.0.0.1:1",
            "ENDPOINT_URL_SECONDARY": "https://vpce.us-west-2.amazonaws.com",
            "PUBLIC_URL": "http://127.0.0.1:3",
        },
        {
            "ENDPOINT_URL_PRIMARY": "http://127.0.0.1:1",
            "ENDPOINT_URL_SECONDARY": "http://127.0.0.1:2",
            "PUBLIC_URL": "https://auth.example.com",
        },
    ],
)
def test_nothing_but_the_local_cloud_is_the_local_cloud(changes: dict[str, str]) -> None:
    with pytest.raises(NotTheLocalCloudError, match="is not the local cloud"):
        LocalCloud.of(Deployment(settings(**changes), {}, {}), {"LOCAL_CLOUD": "/dev/null"})
