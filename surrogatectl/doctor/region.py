"""
The checks of `doctor` that concern one Region; they change nothing.

A check yields findings and may raise `NoAnswerError`, which becomes a finding
as well: what cannot be seen is not called well.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.aws.region_state import deployment_secret_name, state_secret_name
from chalicelib.clients.denials import Denials
from chalicelib.composition.stores import denial_store, state_store
from chalicelib.denial_shards import SHARDS, WRITES_A_DAY
from chalicelib.errors import MalformedSecretError
from chalicelib.record_json import first_edition_denials
from chalicelib.settings import RegionSettings, Settings
from chalicelib.timing import RateLimiter
from surrogatectl.cli.findings import Finding, failed, ok, warning
from surrogatectl.cli.operators import AbsentError, UnreachableError, call_aws
from surrogatectl.doctor.context import OK, DoctorContext, days_left
from surrogatectl.doctor.key import kms_key
from surrogatectl.doctor.roles import granted, missing
from surrogatectl.setup.policies import Names, stage_policy
from surrogatectl.setup.pools import problems

Check = Callable[[DoctorContext, str, RegionSettings], Iterator[Finding]]

_SKEW_WARNING: Final = 30.0
_SKEW_FAILED: Final = 240.0  # AWS refuses signatures that are five minutes off
# Quota of app clients of a pool, unless AWS raised it.
_APP_CLIENTS_PER_POOL: Final = 1_000
_MOST_APP_CLIENTS: Final = 10_000
_SECRETS_PER_REGION: Final = 500_000
_HEAD_ROOM: Final = 0.8
_PAGES_PER_SECOND: Final = 8.0
_FUNCTION: Final = "/aws/lambda/"


def region_answers(context: DoctorContext, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """
    Look whether the Region answers, and what time it is there.

    Raises:
        UnreachableError: If it does not.
    """
    try:
        start = f"{context.settings.secret_prefix}/"
        answer = context.secrets(region).list_secrets(
            MaxResults=1, Filters=[{"Key": "name", "Values": [start]}]
        )
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
        yield _skew(region, context.clock() - parsedate_to_datetime(date).timestamp())


def _skew(region: RegionSettings, seconds: float) -> Finding:
    detail = f"The clock here differs from AWS's by {abs(seconds):.0f} s."
    remedy = "Have this machine follow NTP; AWS refuses signatures that are 5 minutes off."
    if abs(seconds) >= _SKEW_FAILED:
        return failed("clock", region.name, detail, remedy)
    if abs(seconds) >= _SKEW_WARNING:
        return warning("clock", region.name, detail, remedy)
    return ok("clock", region.name, detail)


def state(context: DoctorContext, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the Region's state secret."""
    name = state_secret_name(context.settings.secret_prefix)
    client = context.secrets(region)
    store = state_store(lambda: client, settings=context.settings, random_bytes=secrets.token_bytes)
    try:
        found = store.read().value
    except MalformedSecretError as err:
        yield failed(
            "state",
            region.name,
            f"{name}: {err}",
            "Run `surrogatectl init`; it makes what is missing. Until then no failover is "
            "possible.",
        )
        return
    context.states[region.name] = found
    words = ["writes" if found.writer else "does not write"]
    words.append("has taken over" if found.took_over else "has not taken over")
    yield ok("state", region.name, f"This Region {' and '.join(words)}.")


def denials(context: DoctorContext, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the Region's denials, and at how often they were changed within a day."""
    client = context.secrets(region)
    store = denial_store(
        lambda: client, settings=context.settings, random_bytes=secrets.token_bytes
    )
    found = Denials(region.name, store, context.clock)
    try:
        denied, used = len(found.list()), found.fullest()
    except MalformedSecretError as err:
        yield failed(
            "denials",
            region.name,
            str(err),
            "Run `surrogatectl init`; it makes what is missing. Until then the exchange answers "
            "503 in this Region.",
        )
        return
    state = context.states.get(region.name)
    if state is not None and first_edition_denials(state) is not None:
        yield failed(
            "denials",
            region.name,
            "They are still in the Region's state, where the first edition kept them.",
            "Run `surrogatectl init`, which moves them. Until then they are in force, and no "
            "client can be denied or allowed.",
        )
        return
    detail = f"{denied} clients denied; {used} of a day's {WRITES_A_DAY} changes are used up."
    if used < WRITES_A_DAY // 2:
        yield ok("denials", region.name, detail)
        return
    yield warning(
        "denials",
        region.name,
        f"{detail} That is the fullest of {SHARDS} parts; others take over from a full one.",
        "Deny and allow many clients in one call: `surrogatectl deny CLIENT CLIENT …`.",
    )


def deployment_key(context: DoctorContext, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the deployment key; that both Regions have the same one is compared later."""
    try:
        context.deployment_key(region)
    except MalformedSecretError as err:
        yield failed(
            "deployment key",
            region.name,
            f"{deployment_secret_name(context.settings.secret_prefix)}: {err}",
            "Run `surrogatectl init`, which makes and replicates it. If it was lost, restore it "
            "(aws secretsmanager restore-secret) rather than making a new one: records refer to "
            "it.",
        )
        return
    yield ok("deployment key", region.name, "It is there.")


def function(context: DoctorContext, role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look whether the deployed function answers, and whether it can serve tokens."""
    url = context.token_urls.get(role)
    remedy = f"Deploy it: `make deploy STAGE={role}`; then `chalice logs --stage {role}`."
    if url is None:
        yield failed("function", region.name, "No deployed API is known.", remedy)
        return
    status, answer = context.web.get(f"{url}/health")
    if status != OK:
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
    status, answer = context.web.get(f"{url}/health/ready")
    if status == OK:
        yield ok("readiness", region.name, "/health/ready: ready.")
        return
    parts = [name for name in ("secrets_manager", "token_endpoint") if not answer.get(name)]
    yield failed(
        "readiness",
        region.name,
        f"/health/ready: {status or 'no answer'}; not ready: {', '.join(parts)}.",
        "See the checks `state`, `role` and `pool` of this Region, and the function's log.",
    )


def functions_role(context: DoctorContext, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the function's role: whether its inline policies allow what the stage needs."""
    name = region.log_group.removeprefix(_FUNCTION)
    names = [name]
    if name.endswith("-token"):
        names.append(f"{name.removesuffix('-token')}-admin")
    for each in names:
        yield from _role_of(context, region, each)


def _role_of(context: DoctorContext, region: RegionSettings, name: str) -> Iterator[Finding]:
    lambdas, iam = context.connect("lambda", region), context.connect("iam", region)
    stage = name.removeprefix(f"{context.app_name}-")
    remedy = f"Deploy it: `make deploy STAGE={stage}`."
    try:
        found = call_aws(lambda: lambdas.get_function_configuration(FunctionName=name))
    except AbsentError:
        yield failed("role", region.name, f"There is no function {name}.", remedy)
        return
    variables = found.get("Environment", {}).get("Variables", {})
    yield from _settings_of(context.settings, region, name, variables, remedy)
    role = found["Role"].rpartition("/")[2]
    policies = call_aws(
        lambda: [
            iam.get_role_policy(RoleName=role, PolicyName=policy)
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]
        ]
    )
    settings = context.settings
    wanted = stage_policy(
        Names(
            settings.primary.name,
            settings.secondary.name,
            settings.secret_prefix,
            context.app_name,
            {each.name: each.user_pool_id for each in context.regions},
            {each.name: each.kms_key_id for each in context.regions if each.kms_key_id},
        ),
        region.name,
        variables.get("SURFACES", "token admin").split(),
        stage,
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
        "KMS_KEY_ID_PRIMARY": settings.primary.kms_key_id or "",
        "KMS_KEY_ID_SECONDARY": settings.secondary.kms_key_id or "",
    }
    other = sorted(each for each, value in wanted.items() if variables.get(each, "") != value)
    if other:
        yield failed(
            "settings",
            region.name,
            f"{name} was deployed with another {', '.join(other)} than is configured.",
            remedy,
        )


def pool(context: DoctorContext, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the user pool, its domain and its resource servers."""
    wrong = problems(region, context.connect, context.web.post_nothing)
    for each in wrong:
        yield failed("pool", region.name, each, "See docs/deploy.md, “User pools”.")
    if not wrong:
        yield ok("pool", region.name, "Pool, domain and scopes are there.")


def quotas(context: DoctorContext, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Count what has a limit."""
    cognito, store = context.connect("cognito-idp", region), context.secrets(region)
    limiter = RateLimiter(_PAGES_PER_SECOND, context.clock, context.pause)
    count = _count(
        limiter,
        lambda more: call_aws(
            lambda: cognito.list_user_pool_clients(
                UserPoolId=region.user_pool_id, MaxResults=60, **more
            )
        ),
        "UserPoolClients",
    )
    yield _head_room(region, "app clients in the pool", count, _APP_CLIENTS_PER_POOL)
    start = f"{context.settings.secret_prefix}/"
    count = _count(
        limiter,
        lambda more: call_aws(
            lambda: store.list_secrets(
                MaxResults=100, Filters=[{"Key": "name", "Values": [start]}], **more
            )
        ),
        "SecretList",
    )
    yield _head_room(region, "secrets", count, _SECRETS_PER_REGION)


def _count(limiter: RateLimiter, ask_page: Callable[[dict[str, str]], Any], member: str) -> int:
    count, more = 0, {}  # type: int, dict[str, str]
    while True:
        limiter.wait()
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


def certificate(context: DoctorContext, _role: str, region: RegionSettings) -> Iterator[Finding]:
    """Look at the certificate of the Region's custom domain."""
    parts = urlsplit(context.settings.public_url)
    if parts.scheme != "https":
        yield ok("certificate", region.name, "The public URL has no TLS (a local cloud).")
        return
    gateway = context.connect("apigateway", region)
    try:
        domain = call_aws(lambda: gateway.get_domain_name(domainName=parts.hostname))
    except AbsentError:
        yield failed(
            "certificate",
            region.name,
            f"There is no custom domain {parts.hostname}.",
            "Deploy infra/region.yaml with DomainName and ApiId.",
        )
        return
    arn = domain.get("regionalCertificateArn", "")
    acm = context.connect("acm", region)
    found = call_aws(lambda: acm.describe_certificate(CertificateArn=arn))["Certificate"]
    if found.get("Status") != "ISSUED":
        yield failed(
            "certificate",
            region.name,
            f"The certificate of {parts.hostname} is {found.get('Status')}.",
            "Its DNS validation record has to stay in the zone; see infra/region.yaml.",
        )
        return
    yield days_left(context, region.name, parts.hostname or "", found["NotAfter"].timestamp())


PER_REGION: Final[tuple[Check, ...]] = (
    state,
    denials,
    deployment_key,
    kms_key,
    function,
    functions_role,
    pool,
    quotas,
    certificate,
)
