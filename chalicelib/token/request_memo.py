"""
Requests that came before, byte for byte, and what was found out about them.

A machine client sends the same bytes every time.  What they say, and that
their secret fits the stored hash, does not change with the hour: it is worked
out once.  Everything that can change is looked at again (`Exchange.exchange_repeated`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from hmac import compare_digest
from threading import Lock
from typing import Any

from cachetools import LRUCache

from chalicelib.caching import REMEMBERED
from chalicelib.credentials import RandomBytes
from chalicelib.model import ClientId, SecretId, StoredSecret, VersionId
from chalicelib.token.oauth import MAX_BODY_BYTES, HttpRequest

TokenKey = tuple[ClientId, SecretId, VersionId, str]
"""Client, secret, version of the record, and scope."""


@dataclass(frozen=True, slots=True)
class MemoEntry:
    """
    What the bytes of a request proved when they were looked at in full.

    It holds neither the bytes nor the secret in them.  *secret* is the stored
    one that they fitted, *event* what is logged each time.
    """

    token_key: TokenKey
    secret: StoredSecret = field(repr=False)
    event: Mapping[str, Any]


class RequestMemo:
    """
    A bounded memory of requests whose client was authenticated in this process.

    They are found by Python's hash, which costs a new request next to nothing,
    and told apart by a MAC whose key never leaves the process (BLAKE2b's, RFC
    7693; an HMAC takes twice its time).  No request without a right secret
    enters it.
    """

    def __init__(self, random_bytes: RandomBytes, remembered: int = REMEMBERED) -> None:
        """Remember at most *remembered* requests, the most recent ones."""
        self._random_bytes = random_bytes
        self._process_key: bytes | None = None
        self._requests: LRUCache[int, tuple[bytes, MemoEntry]] = LRUCache(remembered)
        self._lock = Lock()

    def get(self, request: HttpRequest) -> MemoEntry | None:
        """Return what is known of *request*'s bytes, `None` if they are new."""
        key = _hash(request)
        if key is None:
            return None
        with self._lock:
            known = self._requests.get(key)
        if known is None or not compare_digest(known[0], self._mac(request)):
            return None
        return known[1]

    def put(self, request: HttpRequest, found: MemoEntry) -> None:
        """Remember what was *found* out about *request*'s bytes."""
        key = _hash(request)
        if key is not None:
            known = self._mac(request), found
            with self._lock:
                self._requests[key] = known

    def _mac(self, request: HttpRequest) -> bytes:
        """Return a MAC of all that is parsed."""
        if self._process_key is None:
            # Not at import: a SnapStart snapshot must not share it.
            self._process_key = self._random_bytes(32)
        authorization = request.authorization[0] if request.authorization else ""
        content_type = request.content_type or ""
        # Lengths in front keep ("ab", "c") and ("a", "bc") apart, and none from empty.
        head = (
            f"{len(request.authorization)} {len(authorization)} {len(content_type)} "
            f"{authorization}{content_type}"
        )
        # JSON can hold halves of surrogate pairs.
        message = head.encode("utf-8", "surrogatepass") + request.body
        return blake2b(message, key=self._process_key, digest_size=32).digest()


def _hash(request: HttpRequest) -> int | None:
    """Return Python's hash of all that is parsed, `None` for what is unusual."""
    if request.query or len(request.authorization) > 1 or len(request.body) > MAX_BODY_BYTES:
        return None
    return hash((*request.authorization, request.content_type, request.body))
