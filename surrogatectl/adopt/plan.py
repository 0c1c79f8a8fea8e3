"""
What adoption decides by itself, asking nobody: rows to candidates to records.

A refusal concerns one row, or all rows of a candidate.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chalicelib.credentials import app_client_mac, derived_client_id, is_client_id, secret_id
from chalicelib.model import (
    AppClient,
    AppClientId,
    AppClientView,
    ClientId,
    ClientRecord,
    Origin,
    Status,
    StoredSecret,
)
from surrogatectl.adopt.rows import (
    Adoptable,
    Candidate,
    Known,
    Outcome,
    Pair,
    RefusedError,
    Row,
    Standing,
    refusal,
)
from surrogatectl.adopt.secret_strength import MIN_BITS, estimated_bits

FLOW: Final = "client_credentials"
MAX_SECRETS: Final = 2

_MAX_NAME: Final = 128
# Stands where enrollment has an ARN, which it never is: no Idempotency-Key leads
# to the client ID of an adopted client.
_PURPOSE: Final = "adopt"
# Characters that reach the exchange unchanged, with and without form-encoding.
_SENDABLE = re.compile(r"[0-9A-Za-z_+/=.~-]+")


@dataclass(frozen=True, slots=True)
class Terms:
    """
    The operator's terms.

    *keep_credentials*: the primary app client's ID and secret become the
    client's.  *accept_scope_differences*: where the two app clients' scopes
    differ, those that both have are granted.
    """

    keep_credentials: bool
    accept_scope_differences: bool


def adopted_client_id(key: bytes, primary: AppClientId, *, keep: bool) -> ClientId:
    """
    Return the client ID under which a primary app client is adopted.

    The same in every run, so that creating its record is the lock.
    """
    return ClientId(primary) if keep else derived_client_id(key, _PURPOSE, primary)


def gather(
    rows: Iterable[Row], client_id: Callable[[AppClientId], ClientId], *, keep: bool
) -> tuple[list[Candidate], list[Outcome]]:
    """Gather *rows* to candidates; return these, and the rows that contradict each other."""
    gathered: dict[AppClientId, list[Row]] = defaultdict(list)
    for row in rows:
        gathered[row.primary.app_client_id].append(row)
    named = Counter(
        secondary
        for group in gathered.values()
        for secondary in {row.secondary.app_client_id for row in group}
    )
    candidates: list[Candidate] = []
    refused: list[Outcome] = []
    for primary, group in gathered.items():
        try:
            _require_agreement(group, named, keep=keep)
        except RefusedError as err:
            refused += [refusal(row, err) for row in group]
        else:
            candidates.append(Candidate(client_id(primary), tuple(group)))
    return candidates, refused


def _require_agreement(
    rows: Sequence[Row], named: Mapping[AppClientId, int], *, keep: bool
) -> None:
    secondaries = {row.secondary.app_client_id for row in rows}
    if len(secondaries) > 1:
        raise RefusedError("Rows with this primary ID name different secondary app clients.")
    if any(named[secondary] > 1 for secondary in secondaries):
        raise RefusedError("Rows with another primary ID name the same secondary app client.")
    held = {row.primary.client_secret for row in rows}
    if keep and len(held) > MAX_SECRETS:
        raise RefusedError(
            f"{len(held)} different secrets have this primary ID, and a client has at most "
            f"{MAX_SECRETS}: remove the rows that nobody uses."
        )


def recall(candidate: Candidate, known: Known, *, keep: bool) -> tuple[Outcome, ...]:
    """Return what is to be said of a candidate that became the client *known* before."""
    return tuple(
        Outcome(
            row.where,
            row.handle,
            Standing.ALREADY_ADOPTED,
            _difference(row, known, keep=keep),
            known.client_id,
            known.client_name,
        )
        for row in candidate.rows
    )


def _difference(row: Row, known: Known, *, keep: bool) -> str:
    if row.secondary.app_client_id not in known.app_client_ids:
        return "The client has another secondary app client than this row."
    if keep and secret_id(row.primary.client_secret) not in known.secret_ids:
        return "The client does not have (any more) the secret of this row."
    return ""


def require_keepable(client_secret: str) -> None:
    """
    Make sure that *client_secret* may go on as a client's.

    Raises:
        RefusedError: If it is too weak, or would not arrive as clients send it.
    """
    if not _SENDABLE.fullmatch(client_secret):
        raise RefusedError("Its secret has characters that secrets of Cognito do not have.")
    bits = estimated_bits(client_secret)
    if bits < MIN_BITS:
        raise RefusedError(
            f"Its secret is too weak to be kept: about {bits:.0f} bits, {MIN_BITS} are needed. "
            "Adopt it without --keep-credentials."
        )


def require_machine(view: AppClientView, region: str, mark: str) -> None:
    """
    Make sure that the app client *view* in *region* can be adopted; ours have *mark* in front.

    Raises:
        RefusedError: If it is not for machines, its secret is Cognito's to exchange, or it bears
            the mark.
    """
    if FLOW not in view.flows:
        raise RefusedError(f"The app client in {region} does not allow the flow {FLOW}.")
    if view.managed:
        raise RefusedError(
            f"Cognito manages the secret of the app client in {region} in Secrets Manager, and "
            "exchanges it every seven days: the client would then get no token there. Turn that "
            "off first; docs/clients.md says how."
        )
    if view.name.startswith(mark) and is_client_id(view.name.removeprefix(mark)):
        # `reconcile` deletes what bears the mark and belongs to no such client.
        raise RefusedError(
            f"The name of the app client in {region} starts with {mark} and then looks like a "
            "client ID, as those of enrolled clients do: rename it first."
        )


def granted(
    primary: AppClientView, secondary: AppClientView, terms: Terms, regions: tuple[str, str]
) -> tuple[str, ...]:
    """
    Return the scopes to grant: what both app clients have.

    Raises:
        RefusedError: If they differ and *terms* do not accept that, or have none in common.
    """
    differing = [
        f"only in {region}: {' '.join(sorted(mine - others))}"
        for region, mine, others in (
            (regions[0], primary.scopes, secondary.scopes),
            (regions[1], secondary.scopes, primary.scopes),
        )
        if mine - others
    ]
    if differing and not terms.accept_scope_differences:
        raise RefusedError(f"The scopes of the two app clients differ ({'; '.join(differing)}).")
    common = primary.scopes & secondary.scopes
    if not common:
        raise RefusedError("The two app clients have no scope in common.")
    return tuple(sorted(common))


def client_name(primary: AppClientView, secondary: AppClientView, handle: str) -> str:
    """Return what people call the client: as in Cognito, in one line; else *handle*."""
    names = (" ".join(view.name.split())[:_MAX_NAME] for view in (primary, secondary))
    return next((name for name in names if name and name.isprintable()), handle)


def app_client(
    pair: Pair, client_id: ClientId, user_pool_id: str, key: bytes, now: int
) -> AppClient:
    """Return what the record says of one of the two app clients."""
    return AppClient(
        user_pool_id=user_pool_id,
        app_client_id=pair.app_client_id,
        client_secret=pair.client_secret,
        mac=app_client_mac(key, client_id, pair.app_client_id),
        # It is older, but ours to rotate only from now on: clients need time
        # to move before the secret that they hold stops working at Cognito.
        secret_since=now,
    )


def record(
    adoptable: Adoptable,
    secrets: tuple[StoredSecret, ...],
    app_clients: Mapping[str, AppClient],
    now: int,
) -> ClientRecord:
    """Return the record, complete and active, since its app clients exist already."""
    return ClientRecord(
        client_id=adoptable.client_id,
        client_name=adoptable.client_name,
        status=Status.ACTIVE,
        origin=Origin.ADOPTED,
        created_at=now,
        secrets=secrets,
        scopes=adoptable.scopes,
        app_clients=app_clients,
    )
