"""`doctor`: each thing that can be wrong is found, named, and told how to mend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import pytest

from chalicelib import record_json
from chalicelib.clients.enrollment import EnrollmentRequest
from chalicelib.jwks.document import EMPTY, KeySnapshot, snapshot_from_json, snapshot_to_json
from chalicelib.model import ClientId, RegionState
from surrogatectl.cli.findings import Finding, Level
from surrogatectl.doctor.checks import examine
from surrogatectl.doctor.context import DoctorContext
from surrogatectl.doctor.roles import granted, missing
from surrogatectl.setup.attach_trigger import LAMBDA_VERSION, trigger_name
from surrogatectl.setup.policies import Names, stage_policy
from surrogatectl.status.findings import attention
from surrogatectl.status.reader import RegionSeen, Seen
from tests.aws_worlds import AwsWorld, Operators
from tests.fake_keys import key
from tests.fakes import FakeClock
from tests.operator_fakes import (
    FakeConnect,
    FakeDomains,
    FakeFunctions,
    FakeKeys,
    FakePool,
    FakeWeb,
    refusal,
    settings,
)
from tests.worlds import CALLER, EAST, WEST
from trigger.index import Trigger

DAY = 86_400
SETTINGS = settings()
FUNCTION = {
    region.name: region.log_group.removeprefix("/aws/lambda/")
    for region in (SETTINGS.primary, SETTINGS.secondary)
}
STAGE = {
    name: function.removeprefix("surrogate-credentials-") for name, function in FUNCTION.items()
}
NAMES = Names(
    EAST,
    WEST,
    "surrogate",
    "surrogate-credentials",
    {EAST: SETTINGS.primary.user_pool_id, WEST: SETTINGS.secondary.user_pool_id},
)


@dataclass
class Deployed:
    """A deployment in which nothing is wrong, until a test breaks something."""

    world: AwsWorld = field(default_factory=lambda: AwsWorld(list_seconds=0))

    def __post_init__(self) -> None:
        self.clock: FakeClock = self.world.clock
        self.publish_keys()
        self.settle()
        self.web = FakeWeb(ends=self.clock() + 200 * DAY)
        self.pools, self.functions, self.domains = {}, {}, {}
        services: dict[tuple[str, str], Any] = {}
        for role, region in (("primary", SETTINGS.primary), ("secondary", SETTINGS.secondary)):
            name = region.name
            url = f"https://{role}.example"
            self.web.answers[f"{url}/health"] = (200, {"region": name})
            self.web.answers[f"{url}/health/ready"] = (200, {})
            self.pools[name] = FakePool(region.user_pool_id)
            self.domains[name] = FakeDomains("auth.example.com", self.clock() + 200 * DAY)
            self.functions[name] = FakeFunctions(
                {FUNCTION[name]: _variables(name)},
                {FUNCTION[name]: stage_policy(NAMES, name, ["token", "admin"], STAGE[name])},
            )
            self.stamp(role, name)
            services |= {
                ("secretsmanager", name): self.world.aws.secrets_manager(self.world.secrets[name]),
                ("cognito-idp", name): self.pools[name],
                ("lambda", name): self.functions[name],
                ("iam", name): self.functions[name],
                ("apigateway", name): self.domains[name],
                ("acm", name): self.domains[name],
            }
        self.web.answers[f"{SETTINGS.public_url}/health"] = (200, {"region": EAST})
        self.connect = FakeConnect(services)

    def publish_keys(self) -> None:
        """Store the snapshot of both pools' keys, in both Regions."""
        now, issuers = int(self.clock()), (SETTINGS.primary.issuer, SETTINGS.secondary.issuer)
        keys = {issuer: (key("one"), key("two")) for issuer in issuers}
        text = snapshot_to_json(KeySnapshot(keys, dict.fromkeys(issuers, now)))
        client = self.world.aws.secrets_manager(self.world.secrets[EAST])
        client.create_secret(Name="surrogate/jwks", SecretString=text)
        client.replicate_secret_to_regions(
            SecretId="surrogate/jwks", AddReplicaRegions=[{"Region": WEST}]
        )

    def stamp(self, role: str, name: str) -> None:
        """Attach the trigger to the pool of a Region, as it ships."""
        pool = self.pools[name]
        arn = f"arn:aws:lambda:{name}:123456789012:function:{trigger_name(role)}"
        pool.arn = f"arn:aws:cognito-idp:{name}:123456789012:userpool/{pool.user_pool_id}"
        config = {"LambdaArn": arn, "LambdaVersion": LAMBDA_VERSION}
        pool.settings = {
            "UserPoolTier": "ESSENTIALS",
            "LambdaConfig": {"PreTokenGenerationConfig": config},
        }
        self.functions[name].permissions[arn] = [
            {
                "Effect": "Allow",
                "Principal": {"Service": "cognito-idp.amazonaws.com"},
                "Action": "lambda:InvokeFunction",
                "Condition": {"ArnLike": {"AWS:SourceArn": pool.arn}},
            }
        ]
        store = self.world.secrets[name].secrets
        self.functions[name].run = Trigger(
            lambda: store["surrogate/deployment"].current.text, self.clock, _say_nothing
        )

    def context(self) -> list[Finding]:
        urls = {"primary": "https://primary.example", "secondary": "https://secondary.example"}
        context = DoctorContext(
            SETTINGS,
            urls,
            self.connect,
            self.web,
            clock=self.clock,
            pause=self.clock.advance,
        )
        return list(examine(context))

    def settle(self) -> None:
        """Let replication catch up."""
        self.clock.advance(1)
        for each in self.world.aws.settle:
            each()

    def update_state(self, region: str, **changes: Any) -> None:
        state = RegionState(**{"writer": False, "took_over": False, **changes})
        secret = self.world.secrets[region].secrets["surrogate/region"]
        secret.current.text = record_json.state_to_json(state)

    def enroll(self) -> ClientId:
        asked = EnrollmentRequest("billing", ("demo/read",), (), None, None)
        return Operators(self.world).enroll.enroll(asked, CALLER).record.client_id


def _say_nothing(_outcome: str, **_: str) -> None:
    """Take the place of the trigger's log."""


ARN = "arn:aws:kms:{region}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@dataclass
class WithKeys(Deployed):
    """The same with a KMS key in each Region; *encrypted* says what with, by Region."""

    encrypted: dict[str, str | None] = field(
        default_factory=lambda: {each: ARN.format(region=each) for each in (EAST, WEST)}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.keys = {}
        for name in (EAST, WEST):
            arn = ARN.format(region=name)
            self.keys[name] = FakeKeys({arn: "Enabled"}, {"alias/surrogate": arn})
            self.connect.services["kms", name] = self.keys[name]
            there = self.connect.services["secretsmanager", name]
            self.connect.services["secretsmanager", name] = Encrypting(there, self.encrypted, name)

    def said(self, **changes: str) -> list[Finding]:
        """Return what is said of the keys; both are configured by their ARN, but for *changes*."""
        named = {
            "KMS_KEY_ID_PRIMARY": ARN.format(region=EAST),
            "KMS_KEY_ID_SECONDARY": ARN.format(region=WEST),
        }
        configured = settings(**{**named, **changes})
        context = DoctorContext(
            configured, {}, self.connect, self.web, clock=self.clock, pause=lambda _: None
        )
        return [each for each in examine(context) if each.check == "KMS key"]


@dataclass
class Encrypting:
    """Secrets Manager that tells what its secrets are encrypted with."""

    secrets_manager: Any
    encrypted: dict[str, str | None]
    region: str

    def describe_secret(self, **parameters: Any) -> Any:
        key = self.encrypted[self.region]
        told = {"KmsKeyId": key} if key else {}
        return {**self.secrets_manager.describe_secret(**parameters), **told}

    def __getattr__(self, operation: str) -> Any:
        return getattr(self.secrets_manager, operation)


def _variables(region: str) -> dict[str, str]:
    return {
        "APP_REGION": region,
        "REGION_PRIMARY": EAST,
        "REGION_SECONDARY": WEST,
        "USER_POOL_ID_PRIMARY": SETTINGS.primary.user_pool_id,
        "USER_POOL_ID_SECONDARY": SETTINGS.secondary.user_pool_id,
        "SECRET_PREFIX": "surrogate",
    }


def wrong(deployed: Deployed) -> list[tuple[str, str | None, Level]]:
    return [(each.check, each.region, each.level) for each in bad(deployed)]


def bad(deployed: Deployed) -> list[Finding]:
    found = [each for each in deployed.context() if each.level is not Level.OK]
    assert all(each.remedy for each in found)
    return found


def test_where_nothing_is_wrong_nothing_is_said_to_be() -> None:
    deployed = Deployed()
    deployed.enroll()
    found = deployed.context()
    assert {each.level for each in found} == {Level.OK}
    assert {each.check for each in found} >= {
        "region",
        "state",
        "deployment key",
        "function",
        "readiness",
        "role",
        "pool",
        "quota",
        "certificate",
        "signing keys",
        "trigger",
        "writer",
        "replication",
        "name",
    }


@pytest.mark.parametrize("region", [EAST, WEST])
def test_a_lost_region_is_said_once_and_hides_nothing_of_the_other(region: str) -> None:
    deployed = Deployed()
    deployed.connect.lost.add(region)
    failed = wrong(deployed)
    assert ("region", region, Level.FAILED) in failed
    assert [each for each in failed if each[1] == region] == [("region", region, Level.FAILED)]
    (other,) = {EAST, WEST} - {region}
    assert [each for each in deployed.context() if each.region == other and each.level is Level.OK]


@dataclass
class Dated:
    """Secrets Manager with a clock of its own."""

    secrets_manager: Any
    date: str

    def list_secrets(self, **parameters: Any) -> Any:
        answer = self.secrets_manager.list_secrets(**parameters)
        return {**answer, "ResponseMetadata": {"HTTPHeaders": {"date": self.date}}}

    def __getattr__(self, operation: str) -> Any:
        return getattr(self.secrets_manager, operation)


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0, None), (-29, None), (31, Level.WARNING), (-31, Level.WARNING), (241, Level.FAILED)],
)
def test_a_clock_that_is_wrong_is_found_from_what_aws_answers(
    seconds: int, level: Level | None
) -> None:
    deployed = Deployed()
    there = formatdate(deployed.clock() + seconds, usegmt=True)
    services = deployed.connect.services
    services["secretsmanager", WEST] = Dated(services["secretsmanager", WEST], there)
    assert wrong(deployed) == ([("clock", WEST, level)] if level else [])


def test_without_keys_of_ones_own_nothing_is_said_of_them() -> None:
    assert not [each for each in Deployed().context() if each.check == "KMS key"]


@pytest.mark.parametrize("named", [ARN.format(region=EAST), "alias/surrogate"])
def test_keys_that_are_enabled_and_used_are_well(named: str) -> None:
    deployed = WithKeys()
    deployed.encrypted[EAST] = named  # as AWS tells it, or as it was told
    for configured in (ARN.format(region=EAST), "alias/surrogate"):
        said = deployed.said(KMS_KEY_ID_PRIMARY=configured)
        assert [each.level for each in said] == [Level.OK, Level.OK]


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion", "Unavailable"])
def test_a_key_that_cannot_be_used_is_found(state: str) -> None:
    deployed = WithKeys()
    deployed.keys[WEST].keys[ARN.format(region=WEST)] = state
    (here, there) = deployed.said()
    assert (here.level, there.level) == (Level.OK, Level.FAILED)
    assert f"(KMS_KEY_ID_SECONDARY) is {state}" in there.detail


def test_a_key_that_does_not_exist_is_found() -> None:
    (here, _) = WithKeys().said(KMS_KEY_ID_PRIMARY="alias/none")
    assert here.level is Level.FAILED
    assert "There is no alias/none (KMS_KEY_ID_PRIMARY)" in here.detail


def test_secrets_that_another_key_encrypts_are_found() -> None:
    deployed = WithKeys()
    another = ARN.format(region=EAST).replace("1234", "4321")
    deployed.keys[EAST].keys[another] = "Enabled"
    for encrypted in (None, another):
        deployed.encrypted[EAST] = encrypted
        (here, there) = deployed.said()
        assert (here.level, there.level) == (Level.WARNING, Level.OK)
        assert "surrogate/region, surrogate/deployment, surrogate/jwks are not" in here.detail


def test_a_secret_whose_key_is_gone_is_one_that_another_key_encrypts() -> None:
    deployed = WithKeys()
    deployed.encrypted[EAST] = "alias/gone"
    assert deployed.said()[0].level is Level.WARNING


def test_a_function_that_was_deployed_with_another_key_is_found() -> None:
    deployed = WithKeys()
    context = DoctorContext(
        settings(KMS_KEY_ID_PRIMARY="alias/surrogate"),
        {},
        deployed.connect,
        deployed.web,
        clock=deployed.clock,
        pause=lambda _: None,
    )
    found = [each for each in examine(context) if each.check == "settings"]
    assert all("another KMS_KEY_ID_PRIMARY" in each.detail for each in found)
    assert {each.region for each in found} == {EAST, WEST}


def test_a_missing_state_is_found_and_no_writer_is_claimed() -> None:
    deployed = Deployed()
    del deployed.world.secrets[WEST].secrets["surrogate/region"]
    (state, name) = bad(deployed)
    assert (state.check, state.region, state.level) == ("state", WEST, Level.FAILED)
    assert "surrogatectl init" in state.remedy
    assert (name.check, name.level) == ("name", Level.WARNING)  # where it should lead is unknown


@pytest.mark.parametrize(
    ("writers", "said"), [((EAST, WEST), "Both Regions claim"), ((), "No Region writes")]
)
def test_exactly_one_region_has_to_write(writers: tuple[str, ...], said: str) -> None:
    deployed = Deployed()
    for region in (EAST, WEST):
        deployed.update_state(region, writer=region in writers)
    (found,) = bad(deployed)
    assert (found.check, found.level) == ("writer", Level.FAILED)
    assert said in found.detail
    assert "surrogatectl failback" in found.remedy


def test_a_deployment_key_that_is_missing_or_another_is_found_and_never_shown() -> None:
    deployed = Deployed()
    secret = deployed.world.secrets[WEST].secrets["surrogate/deployment"]
    secret.current.text = record_json.deployment_key_to_json(b"x" * 32)
    (found,) = bad(deployed)
    assert (found.check, found.region) == ("deployment key", None)
    assert "eHh4" not in str(deployed.context())  # nor in base64
    assert b"x" * 32 not in str(deployed.context()).encode()
    del deployed.world.secrets[WEST].secrets["surrogate/deployment"]
    assert wrong(deployed) == [("deployment key", WEST, Level.FAILED)]


@pytest.mark.parametrize(
    ("answer", "check"),
    [
        (("/health", (0, {})), "function"),
        (("/health", (403, {})), "function"),
        (("/health", (200, {"region": EAST})), "function"),
        (("/health/ready", (503, {"secrets_manager": True})), "readiness"),
        (("/health/ready", (0, {})), "readiness"),
    ],
)
def test_a_function_that_does_not_answer_as_it_should_is_found(
    answer: tuple[str, tuple[int, dict[str, Any]]], check: str
) -> None:
    deployed = Deployed()
    deployed.web.answers[f"https://secondary.example{answer[0]}"] = answer[1]
    assert wrong(deployed) == [(check, WEST, Level.FAILED)]


def test_what_is_not_ready_is_named() -> None:
    deployed = Deployed()
    not_ready = {"secrets_manager": True, "token_endpoint": False}
    deployed.web.answers["https://primary.example/health/ready"] = (503, not_ready)
    (found,) = bad(deployed)
    assert "not ready: token_endpoint." in found.detail


def test_a_function_that_is_not_there_is_found() -> None:
    deployed = Deployed()
    deployed.functions[WEST].environments.clear()
    assert wrong(deployed) == [("role", WEST, Level.FAILED)]


def test_settings_other_than_the_deployed_ones_are_named() -> None:
    deployed = Deployed()
    name = FUNCTION[EAST]
    deployed.functions[EAST].environments[name] = {**_variables(EAST), "SECRET_PREFIX": "other"}
    (found,) = bad(deployed)
    assert (found.check, found.region) == ("settings", EAST)
    assert "SECRET_PREFIX" in found.detail
    assert "make deploy STAGE=primary" in found.remedy


def test_permissions_that_a_role_lacks_are_named() -> None:
    deployed = Deployed()
    policy = stage_policy(NAMES, WEST, ["token", "admin"], STAGE[WEST])
    policy["Statement"] = [each for each in policy["Statement"] if each["Sid"] != "WriteRecords"]
    deployed.functions[WEST].policies[FUNCTION[WEST]] = policy
    (found,) = bad(deployed)
    assert (found.check, found.region) == ("role", WEST)
    assert "secretsmanager:PutSecretValue" in found.detail
    assert "logs:PutLogEvents" not in found.detail


def test_the_role_of_a_token_stage_needs_no_more_than_its_surface() -> None:
    deployed = Deployed()
    name = FUNCTION[WEST]
    deployed.functions[WEST].environments[name] = {**_variables(WEST), "SURFACES": "token"}
    deployed.functions[WEST].policies[name] = stage_policy(NAMES, WEST, ["token"], STAGE[WEST])
    assert wrong(deployed) == []


def test_a_pool_that_nobody_can_get_tokens_from_is_found() -> None:
    deployed = Deployed()
    deployed.pools[WEST].scopes = ()
    assert wrong(deployed) == [("pool", WEST, Level.FAILED)]


@pytest.mark.parametrize(("count", "warned"), [(799, False), (800, True), (1_000, True)])
def test_a_pool_that_is_nearly_full_is_told(count: int, warned: bool) -> None:  # noqa: FBT001
    deployed = Deployed()
    deployed.pools[EAST].app_clients = count
    found = bad(deployed)
    assert [(each.check, each.region) for each in found] == [("quota", EAST)] * warned
    assert all(f"{count} app clients" in each.detail for each in found)


def test_counting_is_gentle_to_quotas() -> None:
    deployed = Deployed()
    deployed.pools[EAST].app_clients = 6_000
    began = deployed.clock()
    deployed.context()
    assert deployed.clock() - began >= 100 / 8 - 1


@pytest.mark.parametrize(
    ("days", "level"), [(31, None), (29, Level.WARNING), (6, Level.FAILED), (-1, Level.FAILED)]
)
def test_a_certificate_that_ends_soon_is_found(days: int, level: Level | None) -> None:
    deployed = Deployed()
    deployed.domains[WEST].ends = deployed.clock() + days * DAY
    assert wrong(deployed) == ([("certificate", WEST, level)] if level else [])
    deployed = Deployed()
    deployed.web.ends = deployed.clock() + days * DAY
    assert wrong(deployed) == ([("certificate", None, level)] if level else [])


def test_a_certificate_that_is_not_issued_or_not_valid_is_found() -> None:
    deployed = Deployed()
    deployed.domains[EAST].status = "PENDING_VALIDATION"
    deployed.web.ends = OSError("certificate verify failed")
    assert wrong(deployed) == [
        ("certificate", EAST, Level.FAILED),
        ("certificate", None, Level.FAILED),
    ]


def test_a_region_without_the_custom_domain_is_found() -> None:
    deployed = Deployed()
    deployed.domains[WEST].domain = "elsewhere.example.com"
    assert wrong(deployed) == [("certificate", WEST, Level.FAILED)]


def test_replicas_that_are_missing_are_found() -> None:
    deployed = Deployed()
    client_id = deployed.enroll()
    deployed.world.secrets[EAST].remove_regions_from_replication(
        SecretId=f"surrogate/clients/{client_id}", RemoveReplicaRegions=[WEST]
    )
    deployed.settle()
    (found,) = bad(deployed)
    assert (found.check, found.region, found.level) == ("replication", WEST, Level.FAILED)
    assert "1 missing" in found.detail


def test_a_name_that_does_not_resolve_or_answer_is_found() -> None:
    deployed = Deployed()
    deployed.web.addresses = []
    assert wrong(deployed) == [("name", None, Level.FAILED)]
    deployed = Deployed()
    del deployed.web.answers[f"{SETTINGS.public_url}/health"]
    assert wrong(deployed) == [("name", None, Level.FAILED)]


@pytest.mark.parametrize("took_over", [False, True])
@pytest.mark.parametrize("leads_to", [EAST, WEST])
def test_a_name_that_leads_elsewhere_than_the_switch_says_is_told(
    took_over: bool,  # noqa: FBT001
    leads_to: str,
) -> None:
    deployed = Deployed()
    deployed.update_state(WEST, took_over=took_over)
    deployed.web.answers[f"{SETTINGS.public_url}/health"] = (200, {"region": leads_to})
    as_it_should = leads_to == (WEST if took_over else EAST)
    found = bad(deployed)
    assert [(each.check, each.level) for each in found] == (
        [] if as_it_should else [("name", Level.WARNING)]
    )
    # `status` says the same.
    here = RegionSeen("primary", EAST, answers=True, state=RegionState(True, False))
    there = RegionSeen("secondary", WEST, answers=True, state=RegionState(False, took_over))
    seen = Seen(here, there, leads_to, 0.0)
    told = [each for each in attention(seen, None, quick=True) if "leads to" in each]
    assert told == [each.detail for each in found]


def test_what_cannot_be_looked_at_is_not_called_well() -> None:
    deployed = Deployed()

    class Refusing:
        def __getattr__(self, operation: str) -> Callable[..., Any]:
            def call(**_: object) -> Any:
                raise refusal("AccessDeniedException", operation)

            return call

    for region in (EAST, WEST):
        for service in ("iam", "cognito-idp", "apigateway"):
            deployed.connect.services[service, region] = Refusing()
    failed = wrong(deployed)
    for region in (EAST, WEST):
        for check in ("functions role", "pool", "quotas", "certificate"):
            assert (check, region, Level.FAILED) in failed


@pytest.mark.parametrize(
    ("action", "resource", "covered"),
    [
        ("secretsmanager:GetSecretValue", "arn:x:clients/*", True),
        ("secretsmanager:*", "*", True),
        ("SECRETSMANAGER:getsecretvalue", "arn:x:*", True),
        ("secretsmanager:GetSecretValue", "arn:x:clients/one", False),
        ("secretsmanager:Put*", "*", False),
    ],
)
def test_grants_cover_what_their_patterns_cover(
    action: str,
    resource: str,
    covered: bool,  # noqa: FBT001
) -> None:
    wanted = _policy("secretsmanager:GetSecretValue", "arn:x:clients/*")
    lacking = missing(wanted, granted([_policy(action, resource)]))
    assert lacking == ([] if covered else ["secretsmanager:GetSecretValue"])


def test_a_denial_grants_nothing() -> None:
    denial = _policy("*", "*")
    denial["Statement"]["Effect"] = "Deny"
    assert missing(_policy("a:B", "*"), granted([denial])) == ["a:B"]


def _policy(action: str, resource: str) -> dict[str, Any]:
    return {"Statement": {"Effect": "Allow", "Action": action, "Resource": resource}}


# What backends go by

KEYS = "surrogate/jwks"


def rewrite_keys(deployed: Deployed, region: str, snapshot: KeySnapshot) -> None:
    secret = deployed.world.secrets[region].secrets[KEYS]
    secret.current.text = snapshot_to_json(snapshot)


def published(deployed: Deployed, region: str) -> KeySnapshot:
    return snapshot_from_json(deployed.world.secrets[region].secrets[KEYS].current.text)


def test_a_missing_snapshot_of_keys_is_found() -> None:
    deployed = Deployed()
    del deployed.world.secrets[WEST].secrets[KEYS]
    assert wrong(deployed) == [("signing keys", WEST, Level.FAILED)]
    assert "surrogatectl init" in bad(deployed)[0].remedy


def test_a_pool_whose_keys_are_not_published_is_named() -> None:
    deployed = Deployed()
    snapshot = published(deployed, EAST)
    kept = {SETTINGS.primary.issuer: snapshot.keys[SETTINGS.primary.issuer]}
    for region, some in ((EAST, KeySnapshot(kept, snapshot.seen_at)), (WEST, EMPTY)):
        rewrite_keys(deployed, region, some)
    east, west = bad(deployed)
    assert SETTINGS.secondary.issuer in east.detail
    assert SETTINGS.primary.issuer not in east.detail
    assert SETTINGS.primary.issuer in west.detail


def test_keys_that_are_not_refreshed_are_warned_of() -> None:
    deployed = Deployed()
    deployed.clock.advance(43_300)
    found = [each for each in deployed.context() if each.check == "signing keys"]
    assert [each.level for each in found] == [Level.WARNING] * 2
    assert "12 hours ago" in found[0].detail


def untriggered(deployed: Deployed, **settings: Any) -> list[tuple[str, str | None, Level]]:
    deployed.pools[EAST].settings = {"UserPoolTier": "ESSENTIALS", **settings}
    return wrong(deployed)


def test_a_pool_that_does_not_stamp_tokens_is_warned_of() -> None:
    deployed = Deployed()
    assert untriggered(deployed) == [("trigger", EAST, Level.WARNING)]
    assert "surrogatectl attach-trigger" in bad(deployed)[0].remedy


def test_a_lite_pool_is_in_order_and_told_of_the_map() -> None:
    deployed = Deployed()
    assert untriggered(deployed, UserPoolTier="LITE") == []
    (found,) = [
        each for each in deployed.context() if (each.check, each.region) == ("trigger", EAST)
    ]
    assert "surrogatectl app-clients" in found.detail


@pytest.mark.parametrize(
    "config",
    [
        {"PreTokenGeneration": "arn:theirs"},
        {"PreTokenGenerationConfig": {"LambdaArn": "arn:theirs", "LambdaVersion": "V2_0"}},
    ],
)
def test_a_trigger_that_is_not_asked_for_machines_is_warned_of(config: dict[str, Any]) -> None:
    deployed = Deployed()
    assert untriggered(deployed, LambdaConfig=config) == [("trigger", EAST, Level.WARNING)]
    assert "arn:theirs" in bad(deployed)[0].detail


def test_somebody_elses_trigger_is_not_asked_and_warned_of() -> None:
    """What it does when it is invoked is theirs to know."""
    deployed = Deployed()
    theirs = {"LambdaArn": "arn:aws:lambda:us-east-1:1:function:theirs", "LambdaVersion": "V3_0"}
    config = {"PreTokenGenerationConfig": theirs}
    assert untriggered(deployed, LambdaConfig=config) == [("trigger", EAST, Level.WARNING)]
    assert "function:theirs" in bad(deployed)[0].detail


def test_a_trigger_that_cognito_may_not_invoke_is_found() -> None:
    deployed = Deployed()
    deployed.functions[WEST].permissions.clear()
    assert wrong(deployed) == [("trigger", WEST, Level.FAILED)]


def _raise(_event: object) -> None:
    raise ValueError


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda event: event, "without the claim"),
        (lambda _event: None, "without the claim"),
        (lambda _event: {"response": {"claimsAndScopeOverrideDetails": []}}, "without the claim"),
        (_raise, "nobody gets a token"),
    ],
)
def test_a_trigger_that_does_not_stamp_is_found(run: Any, said: str) -> None:
    deployed = Deployed()
    deployed.functions[EAST].run = run
    assert wrong(deployed) == [("trigger", EAST, Level.FAILED)]
    assert said in bad(deployed)[0].detail


def test_a_trigger_with_another_deployment_key_is_found() -> None:
    deployed = Deployed()
    other = record_json.deployment_key_to_json(b"o" * 32)
    deployed.functions[WEST].run = Trigger(lambda: other, deployed.clock, _say_nothing)
    assert wrong(deployed) == [("trigger", WEST, Level.FAILED)]
