"""UpdateUserPoolClient resets what a request leaves out: nothing that Cognito shows is left out."""

from __future__ import annotations

import re

import botocore.session
import pytest
from botocore.model import StructureShape

from chalicelib.aws.cognito_app_clients import _UPDATABLE
from tests.stages import PROJECT

ALIGNED = {"AllowedOAuthFlows", "AllowedOAuthFlowsUserPoolClient", "AllowedOAuthScopes"}


@pytest.fixture(scope="module")
def shown() -> frozenset[str]:
    return members("UserPoolClientType")


@pytest.fixture(scope="module")
def taken() -> frozenset[str]:
    return members("UpdateUserPoolClientRequest")


def members(shape: str) -> frozenset[str]:
    model = botocore.session.get_session().get_service_model("cognito-idp")
    found = model.shape_for(shape)
    assert isinstance(found, StructureShape)
    return frozenset(found.members)


def test_alignment_repeats_every_setting_that_cognito_shows(
    shown: frozenset[str], taken: frozenset[str]
) -> None:
    assert shown & taken == _UPDATABLE | ALIGNED


def test_the_documents_request_repeats_every_setting_that_cognito_shows(
    shown: frozenset[str], taken: frozenset[str]
) -> None:
    text = (PROJECT / "docs" / "clients.md").read_text()
    (removed,) = re.findall(r"\.UserPoolClient \| del\(([^)]+)\)", text)
    assert {each.strip(" .") for each in removed.split(",")} == shown - taken
    (added,) = re.findall(r"\| \.(\w+) = false'", text)
    assert added in taken - shown
