"""
Shards of a Region's denials: where a client's word is, and which of several counts.

Secrets Manager keeps a secret's versions for a day, and at most 100 of them.  So the
denials are spread over `SHARDS` secrets.  A client's home is a hash of its ID.  When
that has been written `WRITES_A_DAY` times within a day, or Secrets Manager takes no
more versions, or it is too long, later words go to the next shard; after `MARKED_AFTER`
writes a mark sends readers there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final

from chalicelib.model import ClientId, DenialShard, Word

SHARDS: Final = 16
"""A constant of the stored data: with another number, clients have other homes."""

WRITES_A_DAY: Final = 80
"""Writes of one shard in a day; lost compare-and-swaps and the mark need the rest of 100."""

MARKED_AFTER: Final = 20
"""Writes of one shard in a day after which readers look at the next shard, too."""

DAY: Final = 86_400

DOUBT_SECONDS: Final = 5
"""Two Regions' contrary words this close to each other: clocks may differ, so denied."""

Words = Mapping[ClientId, Word]


def home(client_id: ClientId) -> int:
    """Return the number of the shard in which the words on *client_id* begin."""
    return sha256(client_id.encode()).digest()[0] % SHARDS


def chain(first: int, read: Callable[[int], DenialShard]) -> Iterator[tuple[int, DenialShard]]:
    """Yield the numbers and shards, from *first* on, that may hold words on its clients."""
    for step in range(SHARDS):
        number = (first + step) % SHARDS
        shard = read(number)
        yield number, shard
        if not shard.overflow:
            return


def word_in(client_id: ClientId, shards: Iterable[DenialShard]) -> Word | None:
    """Return the last word on *client_id* in *shards*, `None` if there is none."""
    found = [word for shard in shards if (word := shard.words.get(client_id))]
    return max(found, key=_order, default=None)


def later(one: Word, other: Word) -> Word:
    """Return the word that counts: the later one, and denied if both are as old."""
    return max(one, other, key=_order)


def all_words(shards: Mapping[int, DenialShard]) -> dict[ClientId, Word]:
    """Return the last word on each client in *shards*, which are all of a Region's."""
    found: dict[ClientId, Word] = {}
    for client_id in {client_id for shard in shards.values() for client_id in shard.words}:
        reached = (shard for _, shard in chain(home(client_id), shards.__getitem__))
        word = word_in(client_id, reached)
        if word is not None:
            found[client_id] = word
    return found


def denied_in(words: Words) -> frozenset[ClientId]:
    """Return the clients that *words* deny."""
    return frozenset(client_id for client_id, word in words.items() if word.denied)


def writes_within_a_day(shard: DenialShard, now: int) -> tuple[int, ...]:
    """Return the times of *shard*'s writes that Secrets Manager still counts."""
    return tuple(at for at in shard.written if at > now - DAY)


def settle(one: Words, other: Words) -> tuple[dict[ClientId, Word], frozenset[ClientId]]:
    """
    Return the words that count in both Regions, and the clients of whom that is in doubt.

    The later word counts.  Contrary words of nearly the same time: denied.
    """
    counts: dict[ClientId, Word] = {}
    doubtful = set[ClientId]()
    for client_id in {*one, *other}:
        words = [each[client_id] for each in (one, other) if client_id in each]
        counts[client_id] = max(words, key=_order)
        if len({word.denied for word in words}) > 1:
            apart = abs(words[0].at - words[1].at)
            if apart <= DOUBT_SECONDS:
                counts[client_id] = Word(denied=True, at=max(word.at for word in words))
                doubtful.add(client_id)
    return counts, frozenset(doubtful)


def differing(own: Words, counts: Words) -> dict[ClientId, Word]:
    """Return those of the words *counts* that have to be written where the words are *own*."""
    return {
        client_id: word
        for client_id, word in counts.items()
        if word.denied != (client_id in own and own[client_id].denied)
    }


def _order(word: Word) -> tuple[int, bool]:
    return word.at, word.denied
