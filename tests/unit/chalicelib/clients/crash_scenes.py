"""
Operators' operations on a client, over `fake_aws`.

A `Scene` is a world with one client, and records the credentials that were
handed out.  An `Operation` is one operator action in a scene.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryFile

from chalicelib.aws.cognito_app_clients import app_client_name
from chalicelib.clients.app_client_rotation import Step
from chalicelib.clients.changes import ClientUpdate
from chalicelib.clients.enrollment import EnrollmentRequest
from chalicelib.credentials import secret_id
from chalicelib.errors import OperationError
from chalicelib.model import (
    AppClient,
    AppClientId,
    ClientId,
    IssuedCredentials,
    Origin,
    Status,
)
from chalicelib.reconciliation.drift import Outcome
from chalicelib.timing import RateLimiter
from surrogatectl.adopt.examine import PER_SECOND, Examiner
from surrogatectl.adopt.file import CredentialsFile
from surrogatectl.adopt.plan import Terms
from surrogatectl.adopt.rows import Pair, Row, Standing
from surrogatectl.adopt.write import Adopter
from tests.aws_worlds import PREFIX, REGIONS, AwsWorld, Operators
from tests.fake_aws import Call, Crash, crash_after_first
from tests.fake_cognito import CognitoTokens
from tests.unit.surrogatectl.adopt.adoption_world import cognito_secret
from tests.worlds import CALLER, EAST, WEST, cheap_hasher

READ, WRITE = "demo/read", "demo/write"
DAY = 86_400
_ROTATION_ROUNDS = 40


class NotAdoptedError(OperationError):
    """A row was refused; the message has the reason."""


class Scene:
    """World with one client and its *handed_out* credentials."""

    def __init__(self, scopes: tuple[str, ...] = (READ,), *, strict: bool = False) -> None:
        self.world = AwsWorld(strict=strict)
        self.operators = Operators(self.world)
        self.handed_out: list[IssuedCredentials] = []
        self.credentials_file = b""
        self.client_id = self.enroll("the first one", scopes)
        self.world.clock.advance(2 * DAY)
        self.now = int(self.world.clock())

    def enroll(
        self, name: str, scopes: tuple[str, ...] = (READ,), key: str | None = None
    ) -> ClientId:
        request = EnrollmentRequest(name, scopes, (), None, key)
        enrolled = self.operators.enroll.enroll(request, CALLER)
        self.handed_out.append(enrolled.issued)
        return enrolled.issued.client_id

    def change(self, changes: ClientUpdate) -> None:
        self.operators.clients.change(self.client_id, changes)

    def rotate(self, overlap_seconds: int) -> None:
        rotated = self.operators.rotation.rotate(self.client_id, overlap_seconds)
        self.handed_out.append(rotated.issued)

    def retire_first(self) -> None:
        retired = self.handed_out[0].secret_id
        self.operators.rotation.retire(self.client_id, retired, force=True)

    def deny(self, *, deny: bool) -> None:
        """Deny or allow the client, in one Region after the other."""
        for region in REGIONS:
            clients = [self.client_id]
            self.operators.denials[region].change(
                deny=clients if deny else [], allow=[] if deny else clients
            )

    def rotate_app_clients(self) -> None:
        """Run every due rotation to its end."""
        for _ in range(_ROTATION_ROUNDS):
            steps = self.operators.app_client_rotation.advance(self.client_id, due_before=self.now)
            if set(steps.values()) <= {Step.IDLE, Step.PENDING}:
                return
            self.world.clock.advance(400)
        raise AssertionError("it does not end")

    def adopt(self) -> None:
        """Turn the client into an adopted one, with app clients of its owner."""
        for region in REGIONS:
            for app_client_id, client_id in self.world.ours(region):
                if client_id == self.client_id:
                    found = self.world.pools[region].clients[app_client_id]
                    found.settings["ClientName"] = "people's own"
        self.world.write_by_hand(self.client_id, origin=Origin.ADOPTED)
        self.world.record_secrets(EAST)[self.client_id].tags["surrogate:origin"] = "adopted"

    def bring(self) -> None:
        """Make a pair of app clients that are not adopted yet."""
        pairs = []
        for number, region in enumerate(REGIONS, start=1):
            pool, secret = self.world.pools[region], cognito_secret(number)
            made = pool.create_user_pool_client(
                UserPoolId=pool.user_pool_id,
                ClientName="billing",
                GenerateSecret=True,
                AllowedOAuthFlows=["client_credentials"],
                AllowedOAuthScopes=[READ],
                AllowedOAuthFlowsUserPoolClient=True,
            )
            app_client_id = made["UserPoolClient"]["ClientId"]
            secrets = pool.clients[app_client_id].secrets
            secrets |= {each: (secret, at) for each, (_, at) in secrets.items()}
            pairs.append(Pair(AppClientId(app_client_id), secret))
        self.brought = Row("the pair", *pairs)

    def adopt_brought(self, *, keep: bool) -> None:
        """
        Adopt the pair as a run of the command does; credentials it reports count as handed out.

        Raises:
            NotAdoptedError: If it was not adopted.
        """
        row, app_clients = self.brought, self.operators.app_clients
        terms = Terms(keep, accept_scope_differences=False)
        world, mark = self.world, app_client_name(PREFIX, ClientId(""))
        clock = world.clock
        endpoints = {each: CognitoTokens(world.pools[each], clock) for each in REGIONS}
        limiters = {each: RateLimiter(PER_SECOND, clock, clock.advance) for each in REGIONS}
        examine = Examiner(app_clients, endpoints, limiters, REGIONS, mark, terms)
        adopter = Adopter(
            app_clients, cheap_hasher(world.random_bytes), world.random_bytes, REGIONS
        )
        with self._credentials_file() as paper:
            file = None if keep else paper
            (outcome,) = adopter.adopt(examine.examine([row], unreported), file, unreported)
        if outcome.standing is Standing.REFUSED or outcome.client_id is None:
            raise NotAdoptedError(outcome.reason)
        primary = row.primary
        held = IssuedCredentials(
            ClientId(primary.app_client_id), secret_id(primary.client_secret), primary.client_secret
        )
        issued = file.find(outcome.client_id) if file else held
        assert issued is not None
        if issued not in self.handed_out:
            self.handed_out.append(issued)

    @contextmanager
    def _credentials_file(self) -> Iterator[CredentialsFile]:
        """Open the previous process's file on disk, and keep it after any failure."""
        with TemporaryFile() as disk:
            disk.write(self.credentials_file)
            disk.seek(0)
            try:
                yield CredentialsFile(Path("credentials"), disk.fileno())
            finally:
                disk.seek(0)
                self.credentials_file = disk.read()

    def reconcile(self) -> list[Outcome]:
        return list(self.operators.reconcile.run(unseen))

    def works(self, issued: IssuedCredentials) -> list[bool]:
        """Return whether *issued* gets a token, by Region."""
        return [self.world.gets_a_token(issued, region) for region in REGIONS]


def messy() -> Scene:
    """Return a scene with nearly every kind of drift that `reconcile` repairs."""
    scene = Scene()
    world, aws = scene.world, scene.world.aws
    gone = scene.enroll("deleted half-way")
    crashes: dict[str, Callable[[], object]] = {
        "CreateUserPoolClient": lambda: scene.enroll("never finished"),
        "AddUserPoolClientSecret": lambda: scene.operators.app_client_rotation.advance(
            scene.client_id, due_before=scene.now
        ),
        "DeleteUserPoolClient": lambda: scene.operators.deletion.delete(gone, 7),
    }
    for operation, work in crashes.items():
        aws.watch(crash_after_first(operation))
        with suppress(Crash):
            work()
    aws.watch()
    aws.down.add(WEST)
    scene.enroll("an app client is pending")
    aws.down.clear()
    alone, wide = scene.enroll("not replicated"), scene.enroll("changed by hand")
    for region in REGIONS:
        for app_client_id, client_id in list(world.ours(region)):
            if client_id == wide:
                world.pools[region].clients[app_client_id].settings["AllowedOAuthScopes"] = []
    lost = scene.enroll("its app client is gone")
    (app_client_id,) = [each for each, client_id in world.ours(EAST) if client_id == lost]
    del world.pools[EAST].clients[app_client_id]
    name = f"{PREFIX}/clients/{alone}"
    world.secrets[EAST].remove_regions_from_replication(SecretId=name, RemoveReplicaRegions=[WEST])
    world.secrets[EAST].update_secret(SecretId=f"{PREFIX}/clients/{wide}", Description="another")
    scene.operators.denials[EAST].change(deny=[gone], allow=[])
    scene.handed_out = [each for each in scene.handed_out if each.client_id != gone]
    world.clock.advance(1_200)
    aws.watch()
    return scene


def writes(calls: Sequence[Call]) -> list[tuple[int, Call]]:
    """Return the *calls* that change AWS, with their numbers."""
    reads = ("Get", "BatchGet", "Describe", "List", "RequestToken")
    return [
        (number, call) for number, call in enumerate(calls) if not call.operation.startswith(reads)
    ]


def unseen(done: int, total: int | None) -> None:
    """Ignore progress."""


def unreported(what: str, done: int, total: int | None) -> None:
    """Ignore the progress of an adoption."""


def nothing(scene: Scene) -> None:
    """Do nothing: no preparation, or no expectation."""


def never(scene: Scene, issued: IssuedCredentials) -> bool:
    """Revoke no credentials."""
    return False


def of_the_client(scene: Scene, issued: IssuedCredentials) -> bool:
    return issued.client_id == scene.client_id


def the_first(scene: Scene, issued: IssuedCredentials) -> bool:
    return issued == scene.handed_out[0]


@dataclass(frozen=True)
class Operation:
    """
    Operator action with its conditions.

    *voids* names the credentials that it may revoke; *done* fails unless a
    completed operation had its effect.  A repeat may be refused with one of the
    *documented* problems, by slug.  With *outage* the other Region is out of
    reach while it runs.
    """

    run: Callable[[Scene], object]
    prepare: Callable[[Scene], object] = nothing
    done: Callable[[Scene], None] = nothing
    voids: Callable[[Scene, IssuedCredentials], bool] = never
    documented: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = (READ,)
    outage: bool = False

    def scene(self, *, strict: bool = False) -> Scene:
        """Return a new scene, prepared; its calls are counted from now on."""
        scene = Scene(self.scopes, strict=strict)
        self.prepare(scene)
        scene.world.clock.advance(5)
        if self.outage:
            scene.world.aws.down.add(WEST)
        scene.world.aws.watch()
        return scene


def _last_works(scene: Scene) -> None:
    assert scene.works(scene.handed_out[-1]) == [True, True]


def _none_works(scene: Scene) -> None:
    for issued in scene.handed_out:
        if issued.client_id == scene.client_id:
            assert scene.works(issued) == [False, False]


def _granted(*scopes: str) -> Callable[[Scene], None]:
    def done(scene: Scene) -> None:
        assert set(scene.world.record(scene.client_id).scopes) == set(scopes)
        for region in REGIONS:
            for app_client_id, client_id in scene.world.ours(region):
                found = scene.world.pools[region].clients[app_client_id]
                assert client_id != scene.client_id or found.scopes == set(scopes)

    return done


def _renamed(scene: Scene) -> None:
    record = scene.world.record(scene.client_id)
    assert record.client_name == "renamed"
    assert record.allowed_cidrs == (ip_network("192.0.2.0/24"),)
    _last_works(scene)


def _only_the_new_one_works(scene: Scene) -> None:
    _last_works(scene)
    for issued in scene.handed_out[:-1]:
        assert scene.works(issued) == [False, False]


def _adopted(scene: Scene) -> None:
    """Fail unless the pair is adopted, and its app clients are still their owner's."""
    _last_works(scene)
    record = scene.world.record(scene.handed_out[-1].client_id)
    assert record.origin is Origin.ADOPTED
    for region, pair in zip(REGIONS, (scene.brought.primary, scene.brought.secondary), strict=True):
        regional = record.app_clients[region]
        assert isinstance(regional, AppClient)
        assert regional.app_client_id == pair.app_client_id
        found = scene.world.pools[region].clients[pair.app_client_id]
        assert found.settings["ClientName"] == "billing"
    assert len(scene.handed_out) == 2


def _retired(scene: Scene) -> None:
    _only_the_new_one_works(scene)
    assert len(scene.world.record(scene.client_id).secrets) == 1


def _both_work(scene: Scene) -> None:
    _last_works(scene)
    assert scene.works(scene.handed_out[0]) == [True, True]


def _fully_rotated(scene: Scene) -> None:
    for region in REGIONS:
        regional = scene.world.record(scene.client_id).app_clients[region]
        assert regional.secret_since >= scene.now  # type: ignore[union-attr]
        assert regional.retiring is None  # type: ignore[union-attr]


def _deleted(scene: Scene) -> None:
    _none_works(scene)
    assert scene.client_id not in scene.world.records()
    assert scene.client_id not in scene.world.records(WEST)
    adopted = scene.world.record_secrets(EAST)[scene.client_id].tags["surrogate:origin"]
    if adopted == "adopted":
        assert all(len(scene.world.pools[region].clients) == 1 for region in REGIONS)


_TWO_LIVE = frozenset({"two-secrets-live"})
_GONE = frozenset({"unknown-client"})


def _delete(scene: Scene) -> None:
    scene.operators.deletion.delete(scene.client_id, 7)


def delete_half_way(scene: Scene) -> None:
    """End a deletion after the record is marked as deleted, before anything is removed."""
    scene.world.aws.watch(crash_after_first("UpdateSecretVersionStage"))
    with suppress(Crash):
        _delete(scene)
    scene.world.aws.watch()


def _delete_adopted(scene: Scene) -> None:
    scene.adopt()
    _delete(scene)


def _restore(scene: Scene) -> None:
    scene.operators.deletion.restore(scene.client_id)


def _rename(scene: Scene) -> None:
    cidrs = (ip_network("192.0.2.0/24"),)
    scene.change({"client_name": "renamed", "allowed_cidrs": cidrs})


OPERATIONS = {
    "enroll": Operation(lambda scene: scene.enroll("another"), done=_last_works),
    "enroll with a key": Operation(
        lambda scene: scene.enroll("another", key="k"), done=_last_works
    ),
    "rotate with an overlap": Operation(
        lambda scene: scene.rotate(7 * DAY), done=_both_work, documented=_TWO_LIVE
    ),
    "rotate without an overlap": Operation(
        lambda scene: scene.rotate(0), done=_only_the_new_one_works, voids=the_first
    ),
    "retire by force": Operation(
        Scene.retire_first,
        prepare=lambda scene: scene.rotate(7 * DAY),
        done=_retired,
        voids=the_first,
        documented=frozenset({"unknown-secret"}),
    ),
    "disable": Operation(
        lambda scene: scene.change({"status": Status.DISABLED}),
        done=_none_works,
        voids=of_the_client,
    ),
    "enable": Operation(
        lambda scene: scene.change({"status": Status.ACTIVE}),
        prepare=lambda scene: scene.change({"status": Status.DISABLED}),
        done=_last_works,
        voids=of_the_client,
    ),
    "widen the scopes": Operation(
        lambda scene: scene.change({"scopes": (READ, WRITE)}), done=_granted(READ, WRITE)
    ),
    "narrow the scopes": Operation(
        lambda scene: scene.change({"scopes": (READ,)}), done=_granted(READ), scopes=(READ, WRITE)
    ),
    "change the scopes": Operation(
        lambda scene: scene.change({"scopes": (WRITE,)}), done=_granted(WRITE)
    ),
    "change name and addresses": Operation(_rename, done=_renamed),
    "delete": Operation(_delete, done=_deleted, voids=of_the_client, documented=_GONE),
    "restore": Operation(_restore, prepare=_delete, done=_last_works, voids=of_the_client),
    "restore what was deleted half-way": Operation(
        _restore, prepare=delete_half_way, done=_last_works, voids=of_the_client
    ),
    "deny": Operation(lambda scene: scene.deny(deny=True), done=_none_works, voids=of_the_client),
    "allow": Operation(
        lambda scene: scene.deny(deny=False),
        prepare=lambda scene: scene.deny(deny=True),
        done=_last_works,
        voids=of_the_client,
    ),
    "rotate the app clients": Operation(
        Scene.rotate_app_clients, done=_fully_rotated, documented=frozenset({"conflict"})
    ),
    "adopt with new credentials": Operation(
        lambda scene: scene.adopt_brought(keep=False), prepare=Scene.bring, done=_adopted
    ),
    "adopt and keep the credentials": Operation(
        lambda scene: scene.adopt_brought(keep=True), prepare=Scene.bring, done=_adopted
    ),
    "delete an adopted client": Operation(
        _delete, prepare=Scene.adopt, done=_deleted, voids=of_the_client, documented=_GONE
    ),
    "restore an adopted client": Operation(
        _restore,
        prepare=_delete_adopted,
        done=_last_works,
        voids=of_the_client,
    ),
}


def with_the_other_region_lost(operation: Operation) -> Operation:
    return Operation(
        operation.run,
        prepare=operation.prepare,
        voids=operation.voids,
        documented=operation.documented,
        scopes=operation.scopes,
        outage=True,
    )


OUTAGES = {
    f"{name}, the other Region lost": with_the_other_region_lost(OPERATIONS[name])
    for name in (
        "enroll",
        "enroll with a key",
        "rotate without an overlap",
        "disable",
        "widen the scopes",
        "change the scopes",
        "delete",
        "restore",
    )
}
