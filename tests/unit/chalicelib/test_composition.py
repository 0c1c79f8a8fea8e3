"""Wiring of the admin parts, where no other test covers it."""

from __future__ import annotations

import secrets

from chalicelib.aws.client_records import ClientSecrets
from chalicelib.aws.connections import Connections
from chalicelib.composition.admin import AdminParts
from chalicelib.settings import Settings
from tests.operator_fakes import settings


def records_of(configured: Settings) -> tuple[ClientSecrets, ClientSecrets]:
    """Return the record store of this Region, and the survey's of the other one."""
    here, there = Connections(configured.own), Connections(configured.other)
    parts = AdminParts(
        settings=configured,
        here=here,
        there=there,
        clock=lambda: 0.0,
        pause=lambda _: None,
        random_bytes=secrets.token_bytes,
    )
    own, other = parts.repository.records, parts.survey.replicas
    assert isinstance(own, ClientSecrets)
    assert isinstance(other, ClientSecrets)
    return own, other


def test_each_region_encrypts_with_its_own_key_for_either_writer() -> None:
    configured = settings(KMS_KEY_ID_PRIMARY="alias/east", KMS_KEY_ID_SECONDARY="alias/west")
    own, other = records_of(configured)
    assert (own.kms_key, own.replica_kms_key) == ("alias/east", "alias/west")
    assert (other.kms_key, other.replica_kms_key) == ("alias/west", "alias/east")
    own, _ = records_of(configured.seen_from_the_other_region())
    assert (own.kms_key, own.replica_kms_key) == ("alias/west", "alias/east")
