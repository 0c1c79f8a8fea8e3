"""
Memo of authenticated requests, keyed by a MAC of their bytes.

A machine client sends the same bytes every time.  Their meaning, and the match of
secret and stored hash, do not change: they are computed once.  Everything that can
change is checked again (`Exchange.exchange_repeated`).
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
    Result of one full exchange.

    It holds neither the request's bytes nor the secret in them.  *secret* is the
    stored one that matched, *event* the log event of each repetition.
    """

    token_key: TokenKey
    secret: StoredSecret = field(repr=False)
    event: Mapping[str, Any]


class RequestMemo:
    """
    A bounded memo of requests whose client was authenticated in this process.

    Python's hash finds an entry, and costs a new request next to nothing.  A MAC whose
    key never leaves the process identifies it (BLAKE2b's, RFC 7693; an HMAC takes
    twice its time).  Only requests with a right secret enter the memo.
    """

    def __init__(self, random_bytes: RandomBytes, remembered: int = REMEMBERED) -> None:
        """Remember at most *remembered* requests, the most recent ones."""
        self._random_bytes = random_bytes
        self._process_key: bytes | None = None
        self._requests: LRUCache[int, tuple[bytes, MemoEntry]] = LRUCache(remembered)
        self._lock = Lock()

    def get(self, request: HttpRequest) -> MemoEntry | None:
        """Return the entry of *request*'s bytes, `None` if they are new."""
        key = _hash(request)
        if key is None:
            return None
        with self._lock:
            known = self._requests.get(key)
        if known is None or not compare_digest(known[0], self._mac(request)):
            return None
        return known[1]

    def put(self, request: HttpRequest, found: MemoEntry) -> None:
        """Remember *found* as the entry of *request*'s bytes."""
        key = _hash(request)
        if key is not None:
            known = self._mac(request), found
            with self._lock:
                self._requests[key] = known

    def _mac(self, request: HttpRequest) -> bytes:
        """Return a MAC of all parts of *request* that are parsed."""
        if self._process_key is None:
            # Not made at import: processes must not share it through a SnapStart snapshot.
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
    """Return Python's hash of all parts that are parsed, `None` for an unusual request."""
    if request.query or len(request.authorization) > 1 or len(request.body) > MAX_BODY_BYTES:
        return None
    return hash((*request.authorization, request.content_type, request.body))
