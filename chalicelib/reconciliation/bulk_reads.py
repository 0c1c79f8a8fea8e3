"""Bulk reads of thousands of clients, with rate limits, retries and a list of failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from chalicelib.clients.repository import ClientRepository
from chalicelib.errors import (
    AppClientsError,
    AppClientsThrottledError,
    AppClientsUnreachableError,
    InvalidCursorError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
)
from chalicelib.model import ClientId, ClientRecord, Versioned
from chalicelib.ports import ManyRecordsReader, unlimited
from chalicelib.reconciliation.drift import Drift, Kind
from chalicelib.timing import RateLimiter, retrying

COGNITO, SECRETS_MANAGER = "Cognito", "Secrets Manager"
PER_SECOND: Final = {
    COGNITO: 8.0,  # of 15 reads of app clients, a quota of the whole account in a Region
    SECRETS_MANAGER: 20.0,  # of 100 BatchGetSecretValue
}

# An outage may be short; the circuit breaker in `aws` is open for five seconds.
_PAUSES: Final = (1.0, 6.0)

T = TypeVar("T")


class NoAnswerError(Exception):
    """A read failed; `BulkReader.unanswered` reports it."""


@dataclass(slots=True)
class _Missed:
    """Reads that failed, and why; *silent*: further reads would fail, too."""

    why: str
    silent: bool
    count: int = 0


class BulkReader:
    """Reader of one survey."""

    def __init__(
        self, repository: ClientRepository, before_each: Callable[[], object] = unlimited
    ) -> None:
        """
        Use the clock and the pause of *repository*.

        It calls *before_each* before each request; an error of it ends the survey.
        """
        self._repository = repository
        self._before_each = before_each
        self._limiters: dict[tuple[str, str], RateLimiter] = {}
        self._missed: dict[tuple[str, str], _Missed] = {}

    def wait(self, service: str, region: str) -> None:
        """Wait until the rate limit of *service* in *region* permits the next request."""
        self._before_each()
        key = (service, region)
        if key not in self._limiters:
            self._limiters[key] = RateLimiter(
                PER_SECOND[service], self._repository.clock, self._repository.pause
            )
        self._limiters[key].wait()

    def read(self, service: str, region: str, call: Callable[[], T], *, about: int = 1) -> T:
        """
        Return the result of *call*, which concerns *about* clients or app clients.

        Raises:
            NoAnswerError: If *service* in *region* gives no usable answer.
        """
        missed = self._missed.get((service, region))
        if missed is None or not missed.silent:
            try:
                return self._repeatedly(service, region, call)
            except (StoreThrottledError, AppClientsThrottledError):
                now = _Missed("throttles", silent=True)
            except (StoreUnavailableError, AppClientsUnreachableError):
                now = _Missed("does not answer", silent=True)
            except InvalidCursorError:
                now = _Missed("let the list expire half-way", silent=False)
            except (StoreRefusedError, AppClientsError) as err:
                now = _Missed(f"refuses ({err})", silent=False)
            now.count = missed.count if missed else 0
            missed = self._missed[service, region] = now
        missed.count += about
        raise NoAnswerError

    def _repeatedly(self, service: str, region: str, call: Callable[[], T]) -> T:
        def attempt() -> T:
            self.wait(service, region)
            return call()

        return retrying(
            attempt,
            on=(StoreUnavailableError, AppClientsUnreachableError, AppClientsThrottledError),
            pauses=_PAUSES,
            pause=self._repository.pause,
        )

    def unanswered(self) -> Iterator[Drift]:
        """Yield a finding for each service whose reads failed."""
        for (service, region), missed in self._missed.items():
            detail = f"{service} {missed.why}: {missed.count} not looked at."
            yield Drift(Kind.UNKNOWN, region, None, detail, repairable=False)


def read_each(
    reader: ManyRecordsReader, client_ids: Sequence[ClientId]
) -> Mapping[ClientId, Versioned[ClientRecord] | None]:
    """Return the records; after a refusal, read them one by one, `None` for a refused one."""
    try:
        return reader.read_many(client_ids)
    except StoreRefusedError as err:
        refusal = err
    found: dict[ClientId, Versioned[ClientRecord] | None] = {}
    refused: list[ClientId] = []
    for client_id in client_ids:
        try:
            found |= reader.read_many([client_id])
        except StoreRefusedError:
            refused.append(client_id)
    if len(refused) == len(client_ids):
        raise refusal
    return found | dict.fromkeys(refused)
