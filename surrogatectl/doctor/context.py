"""Context of the checks of `doctor`, and what several of them read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.composition.stores import deployment_key
from chalicelib.model import RegionState
from chalicelib.ports import Clock, Pause
from chalicelib.settings import RegionSettings, Settings
from surrogatectl.cli.findings import Finding, failed, ok, warning
from surrogatectl.cli.operators import Connect
from surrogatectl.doctor.web import Web

OK: Final = 200
_DAY: Final = 86_400
_CERTIFICATE_WARNING_DAYS: Final = 30
_CERTIFICATE_FAILED_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class DoctorContext:
    """Context of the checks; *token_urls* maps a role to the base URL of its token API."""

    settings: Settings
    token_urls: Mapping[str, str]
    connect: Connect
    web: Web
    app_name: str = "surrogate-credentials"
    clock: Clock = time.time
    pause: Pause = time.sleep
    states: dict[str, RegionState] = field(default_factory=dict)

    def secrets(self, region: RegionSettings) -> Any:  # noqa: ANN401 - a client
        """Return Secrets Manager in *region*."""
        return self.connect("secretsmanager", region)

    @property
    def regions(self) -> tuple[RegionSettings, RegionSettings]:
        """The primary Region and the secondary one."""
        return self.settings.primary, self.settings.secondary

    def deployment_key(self, region: RegionSettings) -> bytes:
        """
        Return the deployment key, as *region* has it.

        Raises:
            ServiceError: If it cannot be read.
        """
        client = self.secrets(region)
        return deployment_key(lambda: client, settings=self.settings).read()


def days_left(context: DoctorContext, region: str | None, host: str, ends: float) -> Finding:
    """Return how long a certificate of *host* that ends then is still valid."""
    days = int((ends - context.clock()) // _DAY)
    detail = f"The certificate of {host} is valid for {days} days."
    remedy = (
        "ACM renews 60 days before the end if the validation record is still in the zone; an "
        "imported certificate you renew yourself."
    )
    if days < _CERTIFICATE_FAILED_DAYS:
        return failed("certificate", region, detail, remedy)
    if days < _CERTIFICATE_WARNING_DAYS:
        return warning("certificate", region, detail, remedy)
    return ok("certificate", region, detail)
