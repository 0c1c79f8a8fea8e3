"""
Denials: this Region's own list of clients that get no token, regardless of their records.

The list is not replicated, so it stays writable during an outage of the other Region.
A denial takes effect within the freshness of the list, and revokes no token that was
issued before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from chalicelib import denial_shards
from chalicelib.clients.errors import ConcurrentChangeError, DenialsFullError
from chalicelib.denial_shards import DAY, MARKED_AFTER, SHARDS, WRITES_A_DAY, Words
from chalicelib.errors import VersionConflictError, VersionsUsedUpError, concerning
from chalicelib.model import ClientId, DenialShard, Versioned, VersionId, Word
from chalicelib.ports import Clock, DenialStore
from chalicelib.record_json import denials_to_json
from chalicelib.timing import AT_ONCE, retrying

MAX_CHANGED: Final = 1_500
"""Most clients that one call denies, or allows."""

ALLOWED_KEPT_DAYS: Final = 90
"""How long an allowance is kept, for the other Region to learn that it came later."""

# Secrets Manager's limit is 65,536; the times of writes and the mark need the rest.
_MAX_CHARACTERS: Final = 64_000
_PAUSES: Final = (*AT_ONCE, 0.0, 0.0)

ClientIds = frozenset[ClientId]
Say = Callable[[Word | None], Word]
"""Returns the word to write in place of the last one."""


@dataclass(frozen=True, slots=True)
class Denials:
    """Lists and changes the denials of *region*."""

    region: str
    store: DenialStore
    clock: Clock

    def list(self) -> ClientIds:
        """
        Return the denied clients.

        Raises:
            ServiceError: If the denials cannot be read.
        """
        return denial_shards.denied_in(self.words())

    def words(self) -> dict[ClientId, Word]:
        """
        Return the last word on each client, as far as one is stored.

        Raises:
            ServiceError: If the denials cannot be read.
        """
        return denial_shards.all_words(self._shards())

    def fullest(self) -> int:
        """
        Return how many of `WRITES_A_DAY` the fullest shard has used up.

        Raises:
            ServiceError: If the denials cannot be read.
        """
        now = int(self.clock())
        return max(
            len(denial_shards.writes_within_a_day(shard, now)) for shard in self._shards().values()
        )

    def _shards(self) -> Mapping[int, DenialShard]:
        with concerning(self.region):
            return self.store.read_all()

    def change(self, deny: Collection[ClientId], allow: Collection[ClientId]) -> ClientIds:
        """
        Add *deny* to the list and remove *allow*; return the new list.

        It writes every word, even one that was said before: it must count against an
        older one of the other Region.  After an error, a part may be written; a repeat
        is safe.

        Raises:
            DenialsFullError: If the list is too long, or was changed too often in a day.
            ConcurrentChangeError, ServiceError: If it cannot be written.
        """
        now = int(self.clock())

        def said(*, denied: bool) -> Say:
            return lambda known: Word(denied, now if known is None else max(now, known.at + 1))

        says = {client_id: said(denied=False) for client_id in allow}
        says |= {client_id: said(denied=True) for client_id in deny}
        self._write(says)
        return self.list()

    def adopt(self, words: Words) -> None:
        """
        Write *words*, which the other Region has, unless a later word is known by now.

        Raises:
            DenialsFullError, ConcurrentChangeError, ServiceError: As `change`.
        """

        def said(word: Word) -> Say:
            return lambda known: word if known is None else denial_shards.later(known, word)

        self._write({client_id: said(word) for client_id, word in words.items()})

    def _write(self, says: Mapping[ClientId, Say]) -> None:
        homes: dict[int, dict[ClientId, Say]] = {}
        for client_id, say in says.items():
            homes.setdefault(denial_shards.home(client_id), {})[client_id] = say
        with concerning(self.region):
            for number, each in sorted(homes.items()):
                try:
                    retrying(
                        partial(self._write_from, number, each),
                        on=VersionConflictError,
                        pauses=_PAUSES,
                    )
                except VersionConflictError:
                    raise ConcurrentChangeError from None

    def _write_from(self, first: int, says: Mapping[ClientId, Say]) -> None:
        """Write words on clients whose home is *first*, to the first shard that has room."""
        read: dict[int, Versioned[DenialShard]] = {}

        def reading(number: int) -> DenialShard:
            if number not in read:
                read[number] = self.store.read(number)
            return read[number].value

        shards = [shard for _, shard in denial_shards.chain(first, reading)]
        words = {
            client_id: say(denial_shards.word_in(client_id, shards))
            for client_id, say in says.items()
        }
        for step in range(SHARDS):
            number = (first + step) % SHARDS
            shard = reading(number)
            try:
                if self._put_words(number, read[number], words):
                    return
                if not shard.overflow:
                    self._put(number, replace(shard, overflow=True), read[number].version)
            except VersionsUsedUpError:
                if not shard.overflow:
                    break
        raise DenialsFullError(self.region, self._until())

    def _put_words(self, number: int, read: Versioned[DenialShard], words: Words) -> bool:
        """Add *words* to a shard; return whether there was room."""
        now = int(self.clock())
        used = len(denial_shards.writes_within_a_day(read.value, now))
        shard = replace(
            read.value,
            words=_kept(number, read.value, now) | dict(words),
            # Early: lost compare-and-swaps may use up the rest, and then no mark can be set.
            overflow=read.value.overflow or used >= MARKED_AFTER,
        )
        if used >= WRITES_A_DAY or len(denials_to_json(shard)) > _MAX_CHARACTERS:
            return False
        self._put(number, shard, read.version)
        return True

    def _put(self, number: int, shard: DenialShard, read: VersionId) -> None:
        now = int(self.clock())
        written = (*denial_shards.writes_within_a_day(shard, now), now)
        self.store.replace(number, replace(shard, written=written), read)

    def _until(self) -> int | None:
        """Return when some shard can be written again; `None` if they are too long."""
        now = int(self.clock())
        ends = [
            written[-WRITES_A_DAY] + DAY
            for shard in self._shards().values()
            if len(written := denial_shards.writes_within_a_day(shard, now)) >= WRITES_A_DAY
        ]
        return min(ends, default=None)


def _kept(number: int, shard: DenialShard, now: int) -> dict[ClientId, Word]:
    """
    Return the words of *shard* without old allowances that no older word can follow.

    Without an allowance, an older denial counts: of the other Region, where failback and
    `reconcile` would say so, but never of another shard here.
    """
    oldest = now - ALLOWED_KEPT_DAYS * DAY
    return {
        client_id: word
        for client_id, word in shard.words.items()
        if word.denied
        or word.at >= oldest
        or shard.overflow
        or denial_shards.home(client_id) != number
    }
