"""
Structure of an unverified token.

Every check that needs no key is made here: size, form, the header.  A token refused here
costs neither a signature check nor a key lookup.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Any, NewType, NoReturn

from .errors import (
    AlgorithmError,
    ClaimError,
    DuplicateMemberError,
    HeaderError,
    MalformedTokenError,
    TokenTooLargeError,
)

ALGORITHM = "RS256"

UnverifiedClaims = NewType("UnverifiedClaims", dict[str, Any])

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
KEY_ID = re.compile(r"[\x21-\x7e]{1,256}")
# Keys inside the token, and extensions that a verifier must refuse if it does not know them
# (RFC 7515 §4.1).  Cognito sends none of them.
_REFUSED_MEMBERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"})
# Tokens have a handful, key sets one or two per key.
_MOST_BRACKETS = 512
# An unterminated string extends to the end of the text, so that no quote is scanned twice.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_TYPES = frozenset({"jwt", "at+jwt"})


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """Well-formed token whose content is not verified."""

    key_id: str
    issuer: str
    claims: UnverifiedClaims


def parse(unverified_token: str, max_bytes: int) -> UnverifiedToken:
    """
    Parse *unverified_token*.

    Raises:
        MalformedTokenError: If it is not a JWS in compact form with a JSON object.
        TokenTooLargeError: If it is longer than *max_bytes*.
        DuplicateMemberError: If it has a member twice.
        AlgorithmError: If it is not signed with RS256.
        HeaderError: If its header has an unsupported member.
        ClaimError: If it names no issuer.
    """
    if len(unverified_token) > max_bytes:
        raise TokenTooLargeError
    parts = _COMPACT.fullmatch(unverified_token)
    if parts is None:
        raise MalformedTokenError
    header = json_object(decode_base64url(parts[1]))
    claims = json_object(decode_base64url(parts[2]))
    decode_base64url(parts[3])
    key_id = _key_id(header)
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise ClaimError
    return UnverifiedToken(key_id, issuer, UnverifiedClaims(claims))


def _key_id(header: dict[str, Any]) -> str:
    if header.get("alg") != ALGORITHM:
        raise AlgorithmError
    if not _REFUSED_MEMBERS.isdisjoint(header):
        raise HeaderError
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise HeaderError
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not KEY_ID.fullmatch(key_id):
        raise HeaderError
    return key_id


def decode_base64url(text: str) -> bytes:
    """
    Decode *text* in its only accepted spelling: no padding, no stray bits.

    Raises:
        MalformedTokenError: If *text* is spelled otherwise.
    """
    try:
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise MalformedTokenError from None
    if urlsafe_b64encode(decoded).rstrip(b"=") != text.encode():
        raise MalformedTokenError
    return decoded


def json_object(text: bytes) -> dict[str, Any]:
    """
    Return the JSON object in *text*.

    Raises:
        MalformedTokenError: If *text* is not a JSON object.
        DuplicateMemberError: If an object in it has a member twice.
    """
    # The depth limit of Python's parser differs by version; this one does not.
    if _brackets(text) > _MOST_BRACKETS and _brackets(_STRING.sub(b"", text)) > _MOST_BRACKETS:
        raise MalformedTokenError
    try:
        found = _DECODER.decode(text.decode())
    except (ValueError, RecursionError):  # not UTF-8, not JSON, an endless number, a deep nest
        raise MalformedTokenError from None
    if not isinstance(found, dict):
        raise MalformedTokenError
    return found


def _brackets(text: bytes) -> int:
    return text.count(b"{") + text.count(b"[")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DuplicateMemberError
    return found


def _no_constant(_name: str) -> NoReturn:
    raise ValueError  # NaN and Infinity are not JSON


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
