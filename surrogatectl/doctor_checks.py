"""
The checks of `doctor`: each looks at one thing of a live deployment and changes nothing.

A check yields findings and may raise `NoAnswerError`, which becomes a finding
as well: what cannot be seen is not called well.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import MalformedSecretError, ServiceError
from chalicelib.model import RegionState, Replication
from chalicelib.pace import Pace
from chalicelib.ports import Clock, Pause
from chalicelib.secrets_store import (
    ClientSecrets,
    DeploymentKeySecret,
    StateSecret,
    deployment_secret_name,
    state_secret_name,
)
from chalicelib.settings import RegionSettings, Settings

from .doctor_web import Web
from .findings import Finding, failed, ok, warning
from .operators import AbsentError, Connect, NoAnswerError, UnreachableError, ask
from .policies import Names, stage_policy
from .pools import problems
from .roles import granted, missing

_SKEW_WARNING: Final = 30.0
_SKEW_FAILED: Final = 240.0  # AWS refuses signatures that are five minutes off
_SAMPLE: Final = 5
_DAY: Final = 86_400
_CERTIFICATE_WARNING_DAYS: Final = 30
_CERTIFICATE_FAILED_DAYS: Final = 7
# What a pool may have of app clients unless AWS raised it.
_APP_CLIENTS_PER_POOL: Final = 1_000
_MOST_APP_CLIENTS: Final = 10_000
_SECRETS_PER_REGION: Final = 500_000
_HEAD_ROOM: Final = 0.8
_PAGES_PER_SECOND: Final = 8.0
_OK: Final = 200
_FUNCTION = "/aws/lambda/"


@dataclass(frozen=True, slots=True)
class Look:
    """What the checks look with: *token_urls* maps a role to the base URL of its token API."""

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


Check = Callable[[Look, str, RegionSettings], Iterator[Finding]]


def region_answers(look: Look, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """
    Look whether the Region answers, and what time it is there.

    Raises:
        UnreachableError: If it does not.
    """
    try:
        answer = look.secrets(region).list_secrets(MaxResults=1)
        seen = answer.get("ResponseMetadata", {})
        yield ok("region", region.name, "Secrets Manager answers.")
    except ClientError as err:
        seen = err.response.get("ResponseMetadata", {})
        yield failed(
            "region",
            region.name,
            f"Secrets Manager refuses to list secrets: {err.response['Error'].get('Code')}.",
            "Give your role infra/operators-policy.json, and check the credentials in use.",
        )
    except BotoCoreError as err:
        raise UnreachableError(f"{type(err).__name__}") from None
    date = seen.get("HTTPHeaders", {}).get("date")
    if date:
        yield _skew(region, look.clock() - parsedate_to_datetime(date).timestamp())


def _skew(region: RegionSettings, seconds: float) -> Finding:
    detail = f"The clock here differs from AWS's by {abs(seconds):.0f} s."
    remedy = "Have this machine follow NTP; AWS refuses signatures that are 5 minutes off."
    if abs(seconds) >= _SKEW_FAILED:
        return failed("clock", region.name, detail, remedy)
    if abs(seconds) >= _SKEW_WARNING:
        return warning("clock", region.name, detail, remedy)
    return ok("clock", region.name, detail)


def state(look: Look, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the Region's state secret."""
    name = state_secret_name(look.settings.secret_prefix)
    client = look.secrets(region)
    store = StateSecret(lambda: client, look.settings.secret_prefix, secrets.token_bytes)
    try:
        found = store.read().value
    except MalformedSecretError as err:
        yield failed(
            "state",
            region.name,
            f"{name}: {err}",
            "Run `surrogatectl init`; it makes what is missing. Until then the exchange answers "
            "503 in this Region.",
        )
        return
    look.states[region.name] = found
    words = ["writes" if found.writer else "does not write"]
    words.append("has taken over" if found.took_over else "has not taken over")
    yield ok(
        "state",
        region.name,
        f"This Region {' and '.join(words)}; {len(found.denied)} clients denied.",
    )


def deployment_key(look: Look, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the deployment key; that both Regions have the same one is compared later."""
    try:
        _deployment_key(look, region)
    except MalformedSecretError as err:
        yield failed(
            "deployment key",
            region.name,
            f"{deployment_secret_name(look.settings.secret_prefix)}: {err}",
            "Run `surrogatectl init`, which makes and replicates it. If it was lost, restore it "
            "(aws secretsmanager restore-secret) rather than making a new one: records refer to "
            "it.",
        )
        return
    yield ok("deployment key", region.name, "It is there.")


def _deployment_key(look: Look, region: RegionSettings) -> bytes:
    client = look.secrets(region)
    return DeploymentKeySecret(lambda: client, look.settings.secret_prefix).read()


def function(look: Look, role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look whether the deployed function answers, and whether it can serve tokens."""
    url = look.token_urls.get(role)
    remedy = f"Deploy it: `make deploy STAGE={role}`; then `chalice logs --stage {role}`."
    if url is None:
        yield failed("function", region.name, "No deployed API is known.", remedy)
        return
    status, answer = look.web.get(f"{url}/health")
    if status != _OK:
        yield failed("function", region.name, f"{url}/health: {status or 'no answer'}.", remedy)
        return
    if answer.get("region") != region.name:
        yield failed(
            "function",
            region.name,
            f"The API that is called {role} answers from {answer.get('region')}.",
            "Look at ADMIN_URL_… and TOKEN_URL_…, or deploy both stages again.",
        )
        return
    yield ok("function", region.name, "/health answers.")
    status, answer = look.web.get(f"{url}/health/ready")
    if status == _OK:
        yield ok("readiness", region.name, "/health/ready: ready.")
        return
    parts = [name for name in ("secrets_manager", "token_endpoint") if not answer.get(name)]
    yield failed(
        "readiness",
        region.name,
        f"/health/ready: {status or 'no answer'}; not ready: {', '.join(parts)}.",
        "See the checks `state`, `role` and `pool` of this Region, and the function's log.",
    )


def functions_role(look: Look, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the function's role: whether its inline policies allow what the stage needs."""
    name = region.log_group.removeprefix(_FUNCTION)
    names = [name]
    if name.endswith("-token"):
        names.append(f"{name.removesuffix('-token')}-admin")
    for each in names:
        yield from _role_of(look, region, each)


def _role_of(look: Look, region: RegionSettings, name: str) -> Iterator[Finding]:
    lambdas, iam = look.connect("lambda", region), look.connect("iam", region)
    stage = name.removeprefix(f"{look.app_name}-")
    remedy = f"Deploy it: `make deploy STAGE={stage}`."
    try:
        found = ask(lambda: lambdas.get_function_configuration(FunctionName=name))
    except AbsentError:
        yield failed("role", region.name, f"There is no function {name}.", remedy)
        return
    variables = found.get("Environment", {}).get("Variables", {})
    yield from _settings_of(look.settings, region, name, variables, remedy)
    role = found["Role"].rpartition("/")[2]
    policies = ask(
        lambda: [
            iam.get_role_policy(RoleName=role, PolicyName=policy)
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]
        ]
    )
    settings = look.settings
    wanted = stage_policy(
        Names(
            settings.primary.name,
            settings.secondary.name,
            settings.secret_prefix,
            look.app_name,
            {each.name: each.user_pool_id for each in (settings.primary, settings.secondary)},
        ),
        region.name,
        variables.get("SURFACES", "token admin").split(),
    )
    lacking = missing(wanted, granted(each["PolicyDocument"] for each in policies))
    if lacking:
        yield failed(
            "role",
            region.name,
            f"The role of {name} lacks {', '.join(lacking)}.",
            f"Run `surrogatectl configure` for the policies, then `make deploy STAGE={stage}`.",
        )
    else:
        yield ok("role", region.name, f"The role of {name} may do what it needs.")


def _settings_of(
    settings: Settings,
    region: RegionSettings,
    name: str,
    variables: Mapping[str, str],
    remedy: str,
) -> Iterator[Finding]:
    wanted = {
        "APP_REGION": region.name,
        "REGION_PRIMARY": settings.primary.name,
        "REGION_SECONDARY": settings.secondary.name,
        "USER_POOL_ID_PRIMARY": settings.primary.user_pool_id,
        "USER_POOL_ID_SECONDARY": settings.secondary.user_pool_id,
        "SECRET_PREFIX": settings.secret_prefix,
    }
    other = sorted(each for each, value in wanted.items() if variables.get(each) != value)
    if other:
        yield failed(
            "settings",
            region.name,
            f"{name} was deployed with another {', '.join(other)} than is configured.",
            remedy,
        )


def pool(look: Look, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the user pool, its domain and its resource servers."""
    wrong = problems(region, look.connect, look.web.post_nothing)
    for each in wrong:
        yield failed("pool", region.name, each, "See docs/deploy.md, “User pools”.")
    if not wrong:
        yield ok("pool", region.name, "Pool, domain and scopes are there.")


def quotas(look: Look, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Count what has a limit."""
    cognito, store = look.connect("cognito-idp", region), look.secrets(region)
    pace = Pace(_PAGES_PER_SECOND, look.clock, look.pause)
    count = _count(
        pace,
        lambda more: ask(
            lambda: cognito.list_user_pool_clients(
                UserPoolId=region.user_pool_id, MaxResults=60, **more
            )
        ),
        "UserPoolClients",
    )
    yield _head_room(region, "app clients in the pool", count, _APP_CLIENTS_PER_POOL)
    start = f"{look.settings.secret_prefix}/"
    count = _count(
        pace,
        lambda more: ask(
            lambda: store.list_secrets(
                MaxResults=100, Filters=[{"Key": "name", "Values": [start]}], **more
            )
        ),
        "SecretList",
    )
    yield _head_room(region, "secrets", count, _SECRETS_PER_REGION)


def _count(pace: Pace, ask_page: Callable[[dict[str, str]], Any], member: str) -> int:
    count, more = 0, {}  # type: int, dict[str, str]
    while True:
        pace.wait()
        page = ask_page(more)
        count += len(page[member])
        if not page.get("NextToken"):
            return count
        more = {"NextToken": page["NextToken"]}


def _head_room(region: RegionSettings, what: str, count: int, limit: int) -> Finding:
    detail = f"{count} {what}, of {limit} unless AWS raised it for you."
    if count < limit * _HEAD_ROOM:
        return ok("quota", region.name, detail)
    remedy = (
        f"Have the quota raised in this Region (up to {_MOST_APP_CLIENTS}), and in the other: "
        "raises never cross Regions."
        if limit == _APP_CLIENTS_PER_POOL
        else "Have the quota raised, in both Regions."
    )
    return warning("quota", region.name, detail, remedy)


def certificate(look: Look, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the certificate of the Region's custom domain."""
    parts = urlsplit(look.settings.public_url)
    if parts.scheme != "https":
        yield ok("certificate", region.name, "The public URL has no TLS (a local cloud).")
        return
    gateway = look.connect("apigateway", region)
    try:
        domain = ask(lambda: gateway.get_domain_name(domainName=parts.hostname))
    except AbsentError:
        yield failed(
            "certificate",
            region.name,
            f"There is no custom domain {parts.hostname}.",
            "Deploy infra/region.yaml with DomainName and ApiId.",
        )
        return
    arn = domain.get("regionalCertificateArn", "")
    acm = look.connect("acm", region)
    found = ask(lambda: acm.describe_certificate(CertificateArn=arn))["Certificate"]
    if found.get("Status") != "ISSUED":
        yield failed(
            "certificate",
            region.name,
            f"The certificate of {parts.hostname} is {found.get('Status')}.",
            "Its DNS validation record has to stay in the zone; see infra/region.yaml.",
        )
        return
    yield _days_left(look, region.name, parts.hostname or "", found["NotAfter"].timestamp())


def _days_left(look: Look, region: str | None, host: str, ends: float) -> Finding:
    days = int((ends - look.clock()) // _DAY)
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


def one_writer(look: Look) -> Iterator[Finding]:
    """Compare the states of both Regions."""
    if len(look.states) < len(_regions(look)):
        return
    writers = [name for name, found in look.states.items() if found.writer]
    if len(writers) == 1:
        yield ok("writer", None, f"{writers[0]} writes, and only that Region.")
    else:
        yield failed(
            "writer",
            None,
            "Both Regions claim to write." if writers else "No Region writes.",
            "See docs/runbook.md: decide which Region's records are the newer ones first.",
        )


def same_deployment_key(look: Look) -> Iterator[Finding]:
    """Compare the deployment key of both Regions."""
    try:
        keys = [_deployment_key(look, region) for region in _regions(look)]
    except ServiceError:
        return  # told already
    if secrets.compare_digest(*keys):
        yield ok("deployment key", None, "Both Regions have the same one.")
    else:
        yield failed(
            "deployment key",
            None,
            "The Regions have different ones: records of one do not verify in the other.",
            "Delete the one that is no replica, and run `surrogatectl init`.",
        )


def replication(look: Look) -> Iterator[Finding]:
    """Look at the replicas of a sample of records."""
    regions = _regions(look)
    writers = [each for each in regions if (found := look.states.get(each.name)) and found.writer]
    if len(writers) != 1:
        return
    (writer,) = writers
    (other,) = [each for each in regions if each is not writer]
    here, there = look.secrets(writer), look.secrets(other)
    store = ClientSecrets(
        lambda: here, lambda: there, other.name, look.settings.secret_prefix, secrets.token_bytes
    )
    sample = [summary.client_id for summary in store.list(None, _SAMPLE).items]
    behind: dict[Replication, int] = {}
    for client_id in sample:
        status = store.replication(client_id, store.peek(client_id).version)
        if status is not Replication.IN_SYNC:
            behind[status] = behind.get(status, 0) + 1
    if not behind:
        yield ok("replication", other.name, f"{len(sample)} records looked at, all in sync.")
        return
    counts = ", ".join(f"{count} {status.value}" for status, count in behind.items())
    detail = f"Of {len(sample)} records looked at: {counts}."
    if set(behind) == {Replication.IN_PROGRESS}:
        yield warning("replication", other.name, detail, "Look again in a minute.")
    else:
        yield failed("replication", other.name, detail, "Run `surrogatectl reconcile --repair`.")


def name(look: Look) -> Iterator[Finding]:
    """Look where the name leads, and at the certificate that clients see."""
    url = look.settings.public_url
    parts = urlsplit(url)
    host = parts.hostname or ""
    addresses = look.web.resolve(host)
    if not addresses:
        yield failed(
            "name", None, f"{host} does not resolve.", "Deploy infra/routing.yaml; check the zone."
        )
        return
    status, answer = look.web.get(f"{url}/health")
    if status != _OK:
        yield failed(
            "name",
            None,
            f"{url}/health: {status or 'no answer'}.",
            "If the Region that it leads to is lost: `surrogatectl failover`. Else check the "
            "custom domain and its base path mapping (infra/region.yaml with ApiId).",
        )
        return
    yield from _where_it_leads(look, str(answer.get("region")))
    if parts.scheme == "https":
        try:
            yield _days_left(look, None, host, look.web.certificate_ends(host, parts.port or 443))
        except OSError as err:
            yield failed(
                "certificate",
                None,
                f"{host}: {err}",
                "Clients that verify certificates cannot connect; check RegionalCertificateArn.",
            )


def _where_it_leads(look: Look, there: str) -> Iterator[Finding]:
    primary, secondary = _regions(look)
    switch = look.states.get(secondary.name)
    if switch is None:
        yield warning(
            "name",
            None,
            f"The name leads to {there}; where it should is not known.",
            f"See the check `state` of {secondary.name}.",
        )
        return
    wanted = secondary.name if switch.took_over else primary.name
    if there == wanted:
        yield ok("name", None, f"The name leads to {there}, as it should.")
    else:
        yield warning(
            "name",
            None,
            f"The name leads to {there}, and should lead to {wanted}.",
            "After a switch this takes up to two minutes. Else check the health check of "
            "/health/takeover and the failover records (infra/routing.yaml).",
        )


def _regions(look: Look) -> tuple[RegionSettings, RegionSettings]:
    return look.settings.primary, look.settings.secondary


PER_REGION: Final[tuple[Check, ...]] = (
    state,
    deployment_key,
    function,
    functions_role,
    pool,
    quotas,
    certificate,
)
TOGETHER: Final = (one_writer, same_deployment_key, replication, name)


def examine(look: Look) -> Iterator[Finding]:
    """Make every check; what a lost Region keeps from being seen is said once."""
    lost = 0
    for role, region in zip(("primary", "secondary"), _regions(look), strict=True):
        try:
            yield from region_answers(look, role, region)
        except UnreachableError as err:
            lost += 1
            yield failed(
                "region",
                region.name,
                f"The Region does not answer ({err}); nothing else was looked at there.",
                "If it is down for others too, see docs/runbook.md. Else check your network.",
            )
            continue
        for check in PER_REGION:
            yield from _made(check.__name__, region.name, check(look, role, region))
    for both in TOGETHER:
        if not lost or both is name:
            yield from _made(both.__name__, None, both(look))


def _made(check: str, region: str | None, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except (NoAnswerError, ServiceError) as err:
        yield failed(
            check.replace("_", " "),
            region,
            f"It cannot be looked at: {err or type(err).__name__}.",
            "Give your role infra/operators-policy.json, or look again when AWS answers.",
        )
