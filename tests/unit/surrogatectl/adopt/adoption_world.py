"""Two pools with app clients that nobody adopted yet, over fakes."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chalicelib.clients.app_clients import AppClientPair
from chalicelib.clients.repository import ClientRepository
from chalicelib.errors import (
    AppClientRefusedError,
)
from chalicelib.model import (
    AccessToken,
    AppClient,
    AppClientId,
    ClientId,
    ClientRecord,
)
from chalicelib.ports import Deadline
from chalicelib.timing import RateLimiter
from surrogatectl.adopt.examine import PER_SECOND, Examination, Examiner
from surrogatectl.adopt.file import CredentialsFile
from surrogatectl.adopt.plan import Terms
from surrogatectl.adopt.rows import BadRow, Outcome, Pair, Row, Standing
from surrogatectl.adopt.write import Adopter
from surrogatectl.cli.audit import Audit, unaudited
from tests.fakes import (
    CountingBytes,
    FakeAppClient,
    FakeAppClients,
    FakeClock,
    FakeDeploymentKey,
    FakeRecordStore,
    FakeStateStore,
    FakeTokenEndpoint,
)
from tests.worlds import EAST, EAST_POOL, WEST, WEST_POOL, cheap_hasher

NEW = Terms(keep_credentials=False, accept_scope_differences=False)
KEEP = Terms(keep_credentials=True, accept_scope_differences=False)
BOTH_SCOPES = frozenset({"demo/read", "demo/write"})
_BASE36 = string.ascii_lowercase + string.digits


class CrashError(Exception):
    """The process ends here: nothing catches it."""


def cognito_secret(seed: int, alphabet: str = _BASE36, length: int = 52) -> str:
    """Return a secret of the kind that Cognito generates."""
    chooser = random.Random(seed)  # noqa: S311 - the same in every run
    return "".join(chooser.choice(alphabet) for _ in range(length))


WEAK = "ab" * 20
ID, OTHER_ID = "1example0primary0000000001", "1example0secondary00000001"
SECRET, OTHER_SECRET = cognito_secret(1), cognito_secret(2)


@dataclass
class PoolTokenEndpoint(FakeTokenEndpoint):
    """A token endpoint that knows the secrets of its pool's app clients."""

    pool: FakeAppClients = field(default_factory=FakeAppClients)

    def request_token(
        self, app_client: AppClient, scope: str, metadata: Any, deadline: Deadline
    ) -> AccessToken:
        token = super().request_token(app_client, scope, metadata, deadline)
        known = self.pool.made[app_client.app_client_id].secrets.values()
        if app_client.client_secret not in [value for value, _ in known]:
            raise AppClientRefusedError("invalid_client")
        return token


@dataclass
class AdoptionWorld:
    """Two pools with app clients that nobody adopted yet."""

    clock: FakeClock = field(default_factory=FakeClock)
    random_bytes: CountingBytes = field(default_factory=CountingBytes)
    store: FakeRecordStore = field(default_factory=FakeRecordStore)
    state: FakeStateStore = field(default_factory=FakeStateStore.writing)
    other_state: FakeStateStore = field(default_factory=FakeStateStore.standby)
    key: FakeDeploymentKey = field(default_factory=FakeDeploymentKey)
    pauses: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pools = {
            EAST: FakeAppClients(user_pool_id=EAST_POOL, clock=self.clock),
            WEST: FakeAppClients(user_pool_id=WEST_POOL, clock=self.clock),
        }
        self.endpoints = {
            region: PoolTokenEndpoint(clock=self.clock, pool=pool)
            for region, pool in self.pools.items()
        }
        self.hasher = cheap_hasher(self.random_bytes)
        self._counter = 0

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)

    def progress(self, what: str, done: int, total: int | None) -> None:
        self.told.append(f"{what} {done} {total}")

    def app_clients(self) -> AppClientPair:
        admin = ClientRepository(
            EAST, WEST, self.state, self.other_state, self.store, self.clock, self.pause
        )
        return AppClientPair(admin, self.pools, self.key)

    def app_client(
        self,
        region: str,
        client_secret: str,
        *,
        name: str = "billing",
        scopes: Iterable[str] = BOTH_SCOPES,
        flows: Iterable[str] = ("client_credentials",),
    ) -> AppClientId:
        """Make an app client as somebody made it long ago."""
        self._counter += 1
        app_client_id = AppClientId(f"{region[3:5]}example{self._counter:017d}")
        self.pools[region].made[app_client_id] = FakeAppClient(
            name, None, frozenset(scopes), 1_500_000_000, {"first": (client_secret, 1_500_000_000)}
        )
        self.pools[region].made[app_client_id].flows = frozenset(flows)
        return app_client_id

    def row(self, where: str = "row 1", secret: str | None = None, **settings: Any) -> Row:
        """Make an app client in each pool; return the row that names them."""
        number = self._counter
        mine = secret or cognito_secret(number)
        theirs = cognito_secret(number + 1000)
        return Row(
            where,
            Pair(self.app_client(EAST, mine, **settings), mine),
            Pair(self.app_client(WEST, theirs, **settings), theirs),
        )

    def second_secret(self, row: Row, where: str, secret: str) -> Row:
        """Give *row*'s primary app client a second secret; return the row that has it."""
        found = self.pools[EAST].made[row.primary.app_client_id]
        found.secrets["second"] = (secret, 1_600_000_000)
        return replace(row, where=where, primary=Pair(row.primary.app_client_id, secret))

    def examine(self, *rows: Row | BadRow, terms: Terms = NEW) -> Examination:
        limiters = {
            region: RateLimiter(PER_SECOND, self.clock, self.clock.advance)
            for region in (EAST, WEST)
        }
        examine = Examiner(
            self.app_clients(), self.endpoints, limiters, (EAST, WEST), "surrogate-", terms
        )
        return examine.examine(rows, self.progress)

    def adopt(
        self,
        *rows: Row | BadRow,
        terms: Terms = NEW,
        file: CredentialsFile | None = None,
        audit: Audit = unaudited,
    ) -> dict[str, Outcome]:
        """Examine and adopt; return the outcomes by where the row stood."""
        adopter = Adopter(self.app_clients(), self.hasher, self.random_bytes, (EAST, WEST), audit)
        outcomes = adopter.adopt(self.examine(*rows, terms=terms), file, self.progress)
        by_row = {outcome.where: outcome for outcome in outcomes}
        assert len(by_row) == len(outcomes)
        return by_row

    def keep(self, *rows: Row | BadRow) -> dict[str, Outcome]:
        return self.adopt(*rows, terms=KEEP)

    def record(self, outcome: Outcome) -> ClientRecord:
        assert outcome.client_id is not None
        return self.store.stored[outcome.client_id].value

    def verifies(self, client_id: str, client_secret: str) -> bool:
        stored = self.store.stored[ClientId(client_id)].value.secrets
        return self.hasher.verify(ClientId(client_id), client_secret, stored) is not None


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def standings(outcomes: dict[str, Outcome]) -> dict[str, Standing]:
    return {where: outcome.standing for where, outcome in outcomes.items()}


def writes(world: AdoptionWorld) -> list[str]:
    reading = {"list", "read_many", "read", "describe", "replication"}
    return [call for call in world.store.calls if call not in reading]
