"""
The two halves of a client: its app client in each Region's user pool.

With the other Region out of reach a half stays *pending* and the operation
goes on; with the own Region's Cognito out of reach it does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .administration import Administration, cognito_problem, store_problems
from .credentials import app_client_mac
from .errors import (
    AppClientsError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    ProblemError,
    ServiceError,
)
from .model import AppClient, AppClientId, ClientRecord, Pending
from .ports import AppClients, DeploymentKeyReader


@dataclass(frozen=True, slots=True)
class Halves:
    """Makes, aligns and removes app clients; *pools* maps both Regions' names to theirs."""

    admin: Administration
    pools: Mapping[str, AppClients]
    deployment_key: DeploymentKeyReader

    @property
    def regions(self) -> tuple[str, str]:
        """Both Regions, the own one first."""
        return self.admin.region, self.admin.other_region

    def key(self) -> bytes:
        """
        Return the deployment key.

        Raises:
            ProblemError: If it cannot be read.
        """
        with store_problems(self.admin.region):
            return self.deployment_key.read()

    def require_known_scopes(self, scopes: tuple[str, ...]) -> None:
        """
        Make sure that both pools define *scopes*, as far as they can be asked.

        Raises:
            ProblemError: If one does not; it names the scopes and the Region.
        """
        for region in self.regions:
            try:
                unknown = self.pools[region].unknown_scopes(scopes)
            except (AppClientsUnreachableError, AppClientsThrottledError) as err:
                if region == self.admin.region:
                    raise cognito_problem(region, err) from None
                continue  # that half will be pending
            except AppClientsError as err:
                raise cognito_problem(region, err) from None
            if unknown:
                raise ProblemError(
                    400,
                    "unknown-scope",
                    "Unknown scope",
                    f"The user pool in {region} defines no {', '.join(unknown)}.",
                    fields={"scope": f"not defined in {region}: {' '.join(unknown)}"},
                )

    def make(
        self, region: str, record: ClientRecord, key: bytes, made: dict[str, AppClientId]
    ) -> AppClient | Pending:
        """
        Make the app client of *record* in *region*, and note it in *made* for `undo`.

        Raises:
            ProblemError: If it cannot be made, and that cannot wait.
        """
        now = int(self.admin.clock())
        try:
            app_client_id, secret = self.pools[region].create(record.client_id, record.scopes)
        except AppClientsUnreachableError as err:
            if region == self.admin.region:
                perhaps = [f"perhaps an app client in {region}"]
                raise tell_what_is_left(cognito_problem(region, err), perhaps) from None
            return Pending(now, f"Cognito in {region} did not answer")
        except AppClientsError as err:
            raise cognito_problem(region, err) from None
        made[region] = app_client_id
        mac = app_client_mac(key, record.client_id, app_client_id)
        return AppClient(self.pools[region].user_pool_id, app_client_id, secret, mac, now)

    def undo(self, made: Mapping[str, AppClientId]) -> list[str]:
        """Delete what was *made*; return what could not be deleted, in words."""
        left = []
        for region, app_client_id in made.items():
            try:
                self.pools[region].delete(app_client_id)
            except ServiceError:
                left.append(f"an app client in {region}")
        return left


def tell_what_is_left(problem: ProblemError, left: list[str]) -> ProblemError:
    """Return *problem*, saying what it could not clear up."""
    if left:
        problem.detail += f" Left for `surrogatectl reconcile`: {', '.join(left)}."
        problem.extensions.setdefault("left_behind", []).extend(left)
    return problem
