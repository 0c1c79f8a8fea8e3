"""
Looks at everything that rows claim, with the operator's own AWS role; writes nothing.

What no row can help, such as a Region that does not answer, ends it with a
`OperationError`; everything else is said of the row.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from chalicelib.clients.app_clients import AppClientPair
from chalicelib.errors import (
    AppClientRefusedError,
    AppClientsRefusedError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    TokenEndpointUnavailableError,
    UnknownAppClientError,
    concerning,
)
from chalicelib.model import AppClientId, AppClientView
from chalicelib.ports import TokenEndpoint
from chalicelib.timing import Countdown, RateLimiter, retrying
from surrogatectl.adopt import plan
from surrogatectl.adopt.known import Knowledge, Progress, gather_knowledge, require_not_scheduled
from surrogatectl.adopt.rows import (
    Adoptable,
    BadRow,
    Candidate,
    Known,
    Outcome,
    Pair,
    RefusedError,
    Row,
    Standing,
    refusal,
)

PER_SECOND: Final = 8
"""App clients looked at per second and Region, of the 15 that all share (Cognito's quota)."""

_PAUSES: Final = (1.0, 3.0)
# Refusals that concern one app client, and not all of them.
_ODD: Final = frozenset({"InvalidParameterException", "UnusableAnswer"})
_TOKEN_SECONDS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Already:
    """A candidate that was adopted before."""

    known: Known
    outcomes: tuple[Outcome, ...]


@dataclass(slots=True)
class Examination:
    """Findings about all rows."""

    adoptable: list[Adoptable] = field(default_factory=list)
    already: list[Already] = field(default_factory=list)
    refused: list[Outcome] = field(default_factory=list)

    @property
    def outcomes(self) -> list[Outcome]:
        """The report of a dry run."""
        would = [each for one in self.adoptable for each in one.outcomes(Standing.WOULD_ADOPT)]
        return [*would, *(each for one in self.already for each in one.outcomes), *self.refused]


@dataclass(frozen=True, slots=True)
class Examiner:
    """
    Examines rows.

    *regions* are the primary Region's name and the secondary's, as the rows
    mean them, whichever of them writes now.  *mark* begins the names of the app
    clients that enrollment makes.
    """

    app_clients: AppClientPair
    endpoints: Mapping[str, TokenEndpoint]
    limiters: Mapping[str, RateLimiter]
    regions: tuple[str, str]
    mark: str
    terms: plan.Terms

    def examine(self, rows: Iterable[Row | BadRow], progress: Progress) -> Examination:
        """
        Examine *rows*.

        Raises:
            OperationError: If this is not the writing Region, or something that
                is needed does not answer.
        """
        self.app_clients.repository.require_writer()
        key, keep = self.app_clients.key(), self.terms.keep_credentials
        found = Examination()
        good: list[Row] = []
        for row in rows:
            if isinstance(row, Row):
                good.append(row)
            else:
                found.refused.append(Outcome(row.where, row.handle, Standing.REFUSED, row.reason))
            progress("reading rows", len(good) + len(found.refused), None)
        candidates, refused = plan.gather(
            good, lambda primary: plan.adopted_client_id(key, primary, keep=keep), keep=keep
        )
        found.refused += refused
        knowledge = gather_knowledge(self.app_clients.repository, candidates, progress)
        for number, candidate in enumerate(candidates, start=1):
            try:
                self._examine(candidate, knowledge, key, found)
            except RefusedError as err:
                found.refused += [refusal(row, err) for row in candidate.rows]
            progress("examining app clients", number, len(candidates))
        return found

    def _examine(
        self, candidate: Candidate, knowledge: Knowledge, key: bytes, found: Examination
    ) -> None:
        known = knowledge.owner(candidate)
        if known is not None:
            keep = self.terms.keep_credentials
            found.already.append(Already(known, plan.recall(candidate, known, keep=keep)))
            return
        with concerning(self.app_clients.repository.region):
            require_not_scheduled(self.app_clients.repository.records, candidate.client_id)
        primary, secondary = views = (
            self._describe(self.regions[0], candidate.primary),
            self._describe(self.regions[1], candidate.secondary),
        )
        for region, view in zip(self.regions, views, strict=True):
            plan.require_machine(view, region, self.mark)
        scopes = plan.granted(primary, secondary, self.terms, self.regions)
        adoptable = Adoptable(
            candidate.client_id,
            plan.client_name(primary, secondary, candidate.rows[0].handle),
            scopes,
            candidate.rows,
        )
        true = self._true_rows(adoptable, views, key, found)
        if true:
            found.adoptable.append(replace(adoptable, rows=true))

    def _true_rows(
        self,
        adoptable: Adoptable,
        views: tuple[AppClientView, AppClientView],
        key: bytes,
        found: Examination,
    ) -> tuple[Row, ...]:
        """Return the rows whose secrets are the app clients'; refuse the others."""
        doubts: dict[Pair, str] = {}
        true: list[Row] = []
        for row in adoptable.rows:
            try:
                self._require_true(row, adoptable, views, key, doubts)
            except RefusedError as err:
                found.refused.append(refusal(row, err))
            else:
                true.append(row)
        # Cognito's own description of the app client goes first.
        return tuple(sorted(true, key=lambda row: not _shows(views[0], row.primary)))

    def _require_true(
        self,
        row: Row,
        adoptable: Adoptable,
        views: tuple[AppClientView, AppClientView],
        key: bytes,
        doubts: dict[Pair, str],
    ) -> None:
        for region, pair, view in zip(
            self.regions, (row.primary, row.secondary), views, strict=True
        ):
            if pair not in doubts:
                doubts[pair] = self._doubt(region, pair, view, adoptable, key)
            if doubts[pair]:
                raise RefusedError(doubts[pair])
        if self.terms.keep_credentials:
            plan.require_keepable(row.primary.client_secret)

    def _describe(self, region: str, app_client_id: AppClientId) -> AppClientView:
        """Return the app client; a Region that is slow or throttles is asked again."""

        def attempt() -> AppClientView:
            self.limiters[region].wait()
            with concerning(region):
                return self.app_clients.pools[region].describe(app_client_id)

        try:
            return retrying(
                attempt,
                on=(AppClientsUnreachableError, AppClientsThrottledError),
                pauses=_PAUSES,
                pause=self.app_clients.repository.pause,
            )
        except UnknownAppClientError:
            raise RefusedError(
                f"There is no such app client in the user pool in {region}."
            ) from None
        except AppClientsRefusedError as err:
            if err.code not in _ODD:
                raise  # every other app client would be refused, too
            raise RefusedError(f"Cognito in {region} refuses to describe it: {err}.") from None

    def _doubt(
        self, region: str, pair: Pair, view: AppClientView, adoptable: Adoptable, key: bytes
    ) -> str:
        """
        Return why *pair* may not be what the app client has; nothing if it is proven.

        Cognito shows one secret of an app client that may have two: another
        one is tried out at the token endpoint.
        """
        if _shows(view, pair):
            return ""
        app_client = plan.app_client(
            pair, adoptable.client_id, self.app_clients.pools[region].user_pool_id, key, 0
        )
        metadata = {"surrogate_client_id": adoptable.client_id, "surrogate_mac": app_client.mac}
        deadline = Countdown(self.app_clients.repository.clock, _TOKEN_SECONDS)
        try:
            self.endpoints[region].request_token(
                app_client, " ".join(adoptable.scopes), metadata, deadline
            )
        except AppClientRefusedError as err:
            return f"It is not the app client's secret in {region}: Cognito answers {err}."
        except TokenEndpointUnavailableError:
            return f"Whether it is the app client's secret in {region} is unknown: run this again."
        return ""


def _shows(view: AppClientView, pair: Pair) -> bool:
    return hmac.compare_digest(view.client_secret.encode(), pair.client_secret.encode())
