"""Cache of this Region's denials: the exchange reads the shards that a client's word is in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib import denial_shards
from chalicelib.caching import LastKnownCache, Reading
from chalicelib.errors import StoreUnavailableError
from chalicelib.model import ClientId, DenialShard


@dataclass(frozen=True, slots=True)
class DenialCache:
    """Tells whether this Region denies a client; *shards* caches the stored shards by number."""

    shards: LastKnownCache[int, DenialShard]

    def look(self, client_id: ClientId, *, load: bool = True) -> Reading[bool]:
        """
        Return whether *client_id* is denied, by shards that are not staler than allowed.

        Raises:
            ServiceError: As `LastKnownCache.look`; that never means “nobody is denied”.
        """
        just_read = True

        def shard(number: int) -> DenialShard:
            nonlocal just_read
            found = self.shards.look(number, load=load)
            if found.value is None:
                raise StoreUnavailableError
            just_read &= found.just_read
            return found.value

        return Reading(_denied(client_id, shard), just_read)

    def reload(self, client_id: ClientId) -> bool:
        """
        Return whether *client_id* is denied, by shards that are read for this call.

        Raises:
            ServiceError: As `LastKnownCache.reload`.
        """
        return _denied(client_id, self.shards.reload)

    def is_freshly_allowed(self, client_id: ClientId) -> bool:
        """Return whether fresh shards do not deny *client_id*; it loads nothing."""
        home = self.shards.fresh(denial_shards.home(client_id))
        if home is None:
            return False
        if not home.overflow:  # almost always: this is on the path of every warm exchange
            word = home.words.get(client_id)
            return word is None or not word.denied
        try:
            return not _denied(client_id, self._fresh)
        except StoreUnavailableError:
            return False

    def _fresh(self, number: int) -> DenialShard:
        shard = self.shards.fresh(number)
        if shard is None:
            raise StoreUnavailableError
        return shard


def _denied(client_id: ClientId, read: Callable[[int], DenialShard]) -> bool:
    chain = denial_shards.chain(denial_shards.home(client_id), read)
    word = denial_shards.word_in(client_id, (shard for _, shard in chain))
    return word is not None and word.denied
