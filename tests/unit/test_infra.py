"""
CloudFormation templates: their metrics count existing log lines, and they hold no secret.

`make templates` checks them against AWS's own schemas (cfn-lint).
"""

from __future__ import annotations

import fnmatch
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]

from chalicelib.aws.region_state import deployment_secret_name
from chalicelib.errors import (
    AppClientRefusedError,
    MalformedSecretError,
    OAuthError,
    StoreRefusedError,
    StoreThrottledError,
    StoreUnavailableError,
    TokenEndpointUnavailableError,
)
from chalicelib.jwks.document import EMPTY
from chalicelib.jwks.refresh import KeyRefresh
from chalicelib.model import IssuedCredentials, Pending, Status
from chalicelib.reconciliation.drift import Kind
from chalicelib.telemetry import NAMESPACE, json_lines
from chalicelib.token import oauth
from surrogatectl.setup.attach_trigger import LAMBDA_VERSION, trigger_name
from surrogatectl.setup.configure import FROM_STACK
from tests.fake_keys import EAST_ISSUER, FakeIssuers, FakeKeyStore, key
from tests.fakes import FakeClock
from tests.stages import PROJECT
from tests.worlds import EAST, ExchangeWorld, request
from trigger.index import Trigger

TEMPLATES = {
    name: cfn_yaml.load(str(PROJECT / "infra" / f"{name}.yaml")) for name in ("region", "routing")
}
REGION, ROUTING = TEMPLATES["region"], TEMPLATES["routing"]
AWS_METRICS = {
    "AWS/Lambda": ({"Duration", "Errors", "Throttles"}, {"FunctionName"}),
    "AWS/ApiGateway": ({"5XXError"}, {"ApiName", "Stage"}),
}
UNAVAILABLE = 503

Change = Callable[[ExchangeWorld, IssuedCredentials], object]


def resources(template: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


ALARMS = resources(REGION, "AWS::CloudWatch::Alarm")
FILTERS = resources(REGION, "AWS::Logs::MetricFilter")


def lines(*events: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return telemetry's output for *events*."""
    stream = io.StringIO()
    emit = json_lines(EAST, FakeClock(), stream)
    for event in events:
        emit(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def failing(port: str, method: str, err: Exception) -> Change:
    return lambda world, _: getattr(world, port).failures[method].append(err)


def exchanges() -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the log line and the status of every outcome of an exchange."""
    store_errors = (
        StoreUnavailableError(),
        StoreThrottledError(),
        StoreRefusedError(),
        MalformedSecretError(),
    )
    endpoint_errors = (TokenEndpointUnavailableError(), AppClientRefusedError())
    ways: list[Change] = [
        lambda world, issued: world.change(issued, client_name="all is well"),
        lambda world, issued: world.deny(issued.client_id),
        lambda world, issued: world.change(issued, status=Status.DISABLED),
        lambda world, issued: world.change(issued, expires_at=1),
        lambda world, issued: world.change(issued, app_clients={EAST: Pending(1, "")}),
        lambda world, issued: world.change(issued, secrets=()),
        lambda world, _: world.endpoint.refused.add("east-secret"),
        lambda world, _: world.store.stored.clear(),
        *(failing(port, "read", err) for port in ("denied", "store") for err in store_errors),
        *(failing("endpoint", "request_token", err) for err in endpoint_errors),
    ]
    for change in ways:
        world = ExchangeWorld()
        issued = world.client()
        change(world, issued)
        status = 200
        try:
            world.exchange.exchange(request(issued))
        except OAuthError as error:
            status = error.status_code
        yield lines(world.events.seen[-1])[0], status


ENDS = list(exchanges())
(SURVEYED,) = lines({"event": "reconcile", "drift": {}})


def matches(pattern: str, line: Mapping[str, Any]) -> bool:
    """Return whether a CloudWatch Logs filter pattern, of the forms used here, matches *line*."""

    def compare(found: re.Match[str]) -> str:
        value: Any = line
        for part in found["path"].split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if found["sign"] == ">":
            return str(isinstance(value, int) and value > int(found["number"]))
        return str(fnmatch.fnmatchcase(str(value), found["text"]))

    comparison = r'\$\.(?P<path>[\w.]+) (?P<sign>[=>]) (?:"(?P<text>[^"]*)"|(?P<number>\d+))'
    rest = re.sub(comparison, compare, pattern.strip().removeprefix("{").removesuffix("}"))
    expression = rest.replace("&&", " and ").replace("||", " or ").strip()
    assert set(re.findall(r"[^\s()]+", expression)) <= {"True", "False", "and", "or"}
    return bool(eval(expression))  # noqa: S307 - nothing but truth values, see above


def metric_of(filter_name: str) -> Any:
    (transformation,) = FILTERS[filter_name]["MetricTransformations"]
    return transformation


def taken_by(filter_name: str) -> set[str]:
    pattern = FILTERS[filter_name]["FilterPattern"]
    return {line["outcome"] for line, _ in ENDS if matches(pattern, line)}


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_parameter_is_described(name: str) -> None:
    for parameter, declared in TEMPLATES[name]["Parameters"].items():
        assert declared.get("Description", "").endswith("."), parameter


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_secret_is_in_a_template_its_parameters_or_its_outputs(name: str) -> None:
    template = TEMPLATES[name]
    for declared in (*template["Parameters"], *template["Outputs"]):
        assert not re.search(r"(?i)secret|password|token(?!Endpoint|Host)|credential", declared)
    kinds = {resource["Type"] for resource in template["Resources"].values()}
    assert not {kind for kind in kinds if kind.startswith(("AWS::SecretsManager::", "AWS::SSM::"))}
    assert "AWS::Cognito::UserPoolClient" not in kinds  # its secret would be readable


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_watches_a_metric_that_something_emits(alarm: str) -> None:
    watched = ALARMS[alarm]
    namespace, metric = watched["Namespace"], watched["MetricName"]
    dimensions = {each["Name"]: each["Value"] for each in watched.get("Dimensions", [])}
    if namespace in AWS_METRICS:
        names, needed = AWS_METRICS[namespace]
        assert metric in names
        assert set(dimensions) == needed
    elif dimensions:
        assert namespace == NAMESPACE
        directives = [line["_aws"]["CloudWatchMetrics"][0] for line in (ENDS[0][0], SURVEYED)]
        (directive,) = [
            each
            for each in directives
            if metric in {emitted["Name"] for emitted in each["Metrics"]}
        ]
        assert sorted(dimensions) in [sorted(each) for each in directive["Dimensions"]]
        assert dimensions["region"] == {"Ref": "AWS::Region"}
        assert dimensions.get("outcome", "issued") in {line["outcome"] for line, _ in ENDS}
    else:
        counted = [metric_of(name) for name in FILTERS]
        assert (namespace, metric) in [
            (each["MetricNamespace"], each["MetricName"]) for each in counted
        ]


@pytest.mark.parametrize("alarm", ALARMS)
def test_an_alarm_pages_and_does_nothing_else(alarm: str) -> None:
    assert ALARMS[alarm]["AlarmActions"] == [{"Ref": "Pager"}]
    assert ALARMS[alarm]["TreatMissingData"] == "notBreaching"  # no traffic is no emergency


def test_every_counted_group_of_lines_has_an_alarm() -> None:
    watched = [alarm["MetricName"] for alarm in ALARMS.values()]
    assert all(metric_of(name)["MetricName"] in watched for name in FILTERS)


def test_upstream_failures_are_503_answers_other_than_drift() -> None:
    unavailable = {line["outcome"] for line, status in ENDS if status == UNAVAILABLE}
    assert len(unavailable) > 6
    assert taken_by("UpstreamFailures") == unavailable - {"pending"}


def test_internal_errors_are_500_answers_and_crashes() -> None:
    failed = {line["outcome"] for line, status in ENDS if status == 500}
    assert failed
    assert taken_by("InternalErrors") == failed
    (crash,) = lines({"event": "crash", "error": "ValueError"})
    assert matches(FILTERS["InternalErrors"]["FilterPattern"], crash)


def test_refused_clients_are_invalid_client_answers() -> None:
    wrong = {"invalid_client:unknown", "invalid_client:wrong"}
    assert taken_by("RefusedClients") == wrong
    (throttled,) = lines({"event": "exchange", "outcome": "throttled:refusals"})
    assert matches(FILTERS["RefusedClients"]["FilterPattern"], throttled)
    with pytest.raises(OAuthError) as caught:
        oauth.parse(
            oauth.HttpRequest(
                content_type=oauth.FORM,
                authorization=["Basic eDp5"],
                query=[],
                body=b"grant_type=client_credentials",
                source_ip="192.0.2.1",
            )
        )
    (line,) = lines({"event": "exchange", "outcome": caught.value.reason, "cognito_requests": 0})
    assert matches(FILTERS["RefusedClients"]["FilterPattern"], line)


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_of_drift_that_the_survey_reports_pages(kind: Kind) -> None:
    none = {each.value: 0 for each in Kind}
    watched = ALARMS["DriftFoundAlarm"]["MetricName"]
    for count in (0, 2):
        (line,) = lines({"event": "reconcile", "drift": none | {kind.value: count}})
        assert line[watched] == count
        behind = matches(FILTERS["ReplicasBehind"]["FilterPattern"], line)
        assert behind == (kind is Kind.REPLICA and count > 0)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({}, False),
        ({"age": 43_200}, False),
        ({"age": 43_201}, True),
        ({"outcome": "replica"}, False),
        ({"outcome": "StoreRefusedError", "age": None}, True),
    ],
)
def test_keys_that_are_not_refreshed_page(change: dict[str, Any], *, counts: bool) -> None:
    store = FakeKeyStore.of(EMPTY)
    issuers = FakeIssuers({EAST_ISSUER: (key("east"),)})
    (line,) = lines({**KeyRefresh(store, issuers.fetches(), FakeClock()).refresh(), **change})
    assert matches(FILTERS["StaleKeys"]["FilterPattern"], line) is counts


def test_each_line_of_the_trigger_is_a_token_without_the_claim() -> None:
    said: list[dict[str, Any]] = []
    trigger = Trigger(
        lambda: "",
        FakeClock(),
        lambda outcome, **_: said.append({"event": "trigger", "outcome": outcome}),
    )
    trigger({"triggerSource": "TokenGeneration_ClientCredentials", "version": "3"})
    (line,) = said
    assert matches(FILTERS["UnstampedTokens"]["FilterPattern"], line)


def test_cognito_may_invoke_the_trigger_for_this_pool_of_this_account_only() -> None:
    (permission,) = resources(REGION, "AWS::Lambda::Permission").values()
    assert permission["Principal"] == "cognito-idp.amazonaws.com"
    assert permission["Action"] == "lambda:InvokeFunction"
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
    arn, names = permission["SourceArn"]["Fn::Sub"]
    assert arn.endswith(":${AWS::AccountId}:userpool/${Pool}")
    assert names == {
        "Pool": {"Fn::If": ["MakesPool", {"Ref": "UserPool"}, {"Ref": "ExistingUserPoolId"}]}
    }


def test_the_trigger_s_role_reads_the_deployment_key_and_writes_its_own_log() -> None:
    (role,) = resources(REGION, "AWS::IAM::Role").values()
    assert role.keys() == {"AssumeRolePolicyDocument", "Policies"}
    (policy,) = role["Policies"]
    logs, key, _ = policy["PolicyDocument"]["Statement"]
    assert logs["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    assert logs["Resource"]["Fn::Sub"].endswith(
        ":log-group:/aws/lambda/${AppName}-${Role}-trigger:*"
    )
    assert key["Action"] == "secretsmanager:GetSecretValue"
    assert key["Resource"]["Fn::Sub"].endswith(":secret:${NamePrefix}/deployment-??????")
    assert deployment_secret_name("${NamePrefix}") == "${NamePrefix}/deployment"


def test_the_trigger_s_role_decrypts_the_deployment_key_and_nothing_else() -> None:
    """Tested for every KMS key; without that permission no token would get the claim."""
    (role,) = resources(REGION, "AWS::IAM::Role").values()
    decrypt = role["Policies"][0]["PolicyDocument"]["Statement"][2]
    assert decrypt["Action"] == "kms:Decrypt"
    via = decrypt["Condition"]["StringEquals"]["kms:ViaService"]["Fn::Sub"]
    assert via.startswith("secretsmanager.${AWS::Region}.")
    secret = decrypt["Condition"]["StringLike"]["kms:EncryptionContext:SecretARN"]["Fn::Sub"]
    assert secret.endswith(":${AWS::AccountId}:secret:${NamePrefix}/deployment-??????")


def test_the_trigger_is_attached_only_to_a_new_pool_that_supports_it() -> None:
    pool = REGION["Resources"]["UserPool"]["Properties"]
    condition, config, none = pool["LambdaConfig"]["Fn::If"]
    assert none == {"Ref": "AWS::NoValue"}
    assert config["PreTokenGenerationConfig"]["LambdaVersion"] == LAMBDA_VERSION
    needed = REGION["Conditions"][condition]["Fn::And"]
    assert {"Condition": "MakesPool"} in needed
    function = REGION["Resources"]["TriggerFunction"]
    assert {"Condition": function["Condition"]} in needed
    stamps = json.dumps(REGION["Conditions"]["StampsTokens"])
    assert "LITE" in stamps
    assert "SurrogateClaim" in stamps
    assert function["Properties"]["FunctionName"] == {
        "Fn::Sub": trigger_name("${Role}", "${AppName}")
    }


def test_outdated_replicas_are_counted_from_the_surveys_number() -> None:
    assert metric_of("ReplicasBehind")["MetricValue"] == f"$.drift.{Kind.REPLICA}"


def test_no_request_value_becomes_a_metric_dimension() -> None:
    """Metric filters have none, and telemetry's are the Region and the application's outcome."""
    for name in FILTERS:
        assert "Dimensions" not in metric_of(name)
    for line in (SURVEYED, *(line for line, _ in ENDS)):
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert {each for names in directive["Dimensions"] for each in names} <= {
            "region",
            "outcome",
        }
    for line, _ in ENDS:
        assert re.fullmatch(r"[a-z_]+(:[A-Za-z_]+)?", line["outcome"])


def test_an_existing_pool_is_not_changed() -> None:
    for name, resource in REGION["Resources"].items():
        if resource["Type"].startswith("AWS::Cognito::"):
            assert resource["Condition"] == "MakesPool", name
    assert REGION["Conditions"]["MakesPool"] == {"Fn::Equals": [{"Ref": "ExistingUserPoolId"}, ""]}


def test_the_outputs_are_sufficient_for_configure() -> None:
    outputs = REGION["Outputs"]
    assert set(FROM_STACK) <= set(outputs)
    conditional = [name for name in FROM_STACK if "Condition" in outputs[name]]
    assert conditional == ["PublicUrl", "KmsKeyArn"]  # a name and keys are optional


def test_the_outputs_are_sufficient_for_the_routing() -> None:
    for parameter in ("RegionalDomainName", "RegionalHostedZoneId", "ApiHost"):
        assert parameter in REGION["Outputs"]
        assert any(
            f"Output {parameter} " in declared["Description"]
            for declared in ROUTING["Parameters"].values()
        )


def test_only_the_standbys_takeover_check_moves_traffic() -> None:
    (check,) = resources(ROUTING, "AWS::Route53::HealthCheck").values()
    config = check["HealthCheckConfig"]
    assert config["Inverted"] is True
    assert config["ResourcePath"] == {"Fn::Sub": "/${ApiStage}/health/takeover"}
    assert config["FullyQualifiedDomainName"] == {"Ref": "StandbyHost"}
    records = {
        record["Failover"]: record
        for record in resources(ROUTING, "AWS::Route53::RecordSet").values()
    }
    assert records["PRIMARY"]["HealthCheckId"] == {"Ref": "StandbyHasTakenOver"}
    assert "HealthCheckId" not in records["SECONDARY"]
    assert all(each["AliasTarget"]["EvaluateTargetHealth"] is False for each in records.values())
    assert records["PRIMARY"]["AliasTarget"]["DNSName"] == {"Ref": "PrimaryTarget"}
    assert records["SECONDARY"]["AliasTarget"]["DNSName"] == {"Ref": "SecondaryTarget"}


def test_no_alarm_takes_part_in_the_routing() -> None:
    assert not resources(ROUTING, "AWS::CloudWatch::Alarm")
    assert not resources(REGION, "AWS::Route53::HealthCheck")


def test_the_dashboard_is_json_and_shows_both_regions_side_by_side() -> None:
    (dashboard,) = resources(REGION, "AWS::CloudWatch::Dashboard").values()
    text, _ = dashboard["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(text)["widgets"]
    sides: dict[int, list[Any]] = {widget["x"]: [] for widget in widgets}
    for widget in widgets:
        sides[widget["x"]].append(widget["properties"].get("title"))
        if widget["type"] == "metric":
            side = "${Secondary}" if widget["x"] else "${Primary}"
            assert widget["properties"]["region"] == side
    assert sides[0] == sides[12]


# The limit by source address


def test_the_limit_by_address_is_off_by_default_and_logs_no_credentials() -> None:
    assert REGION["Parameters"]["RequestsPerAddress"]["Default"] == 0
    off = {"Fn::Not": [{"Fn::Equals": [{"Ref": "RequestsPerAddress"}, 0]}]}
    assert REGION["Conditions"]["LimitsAddresses"] == off
    kinds = ("AWS::WAFv2::WebACL", "AWS::WAFv2::WebACLAssociation")
    guarded = [each for each in REGION["Resources"].values() if each["Type"] in kinds]
    assert len(guarded) == len(kinds)
    assert {each["Condition"] for each in guarded} == {"LimitsAddresses"}
    (acl,) = resources(REGION, kinds[0]).values()
    # A sampled request shows its headers, Authorization too.
    for each in (acl, *acl["Rules"]):
        assert each["VisibilityConfig"]["SampledRequestsEnabled"] is False


def test_a_rate_limited_address_gets_an_oauth_error() -> None:
    (acl,) = resources(REGION, "AWS::WAFv2::WebACL").values()
    (rule,) = acl["Rules"]
    limit = rule["Statement"]["RateBasedStatement"]
    assert limit["AggregateKeyType"] == "IP"  # never a header, which callers control
    assert limit["Limit"] == {"Ref": "RequestsPerAddress"}
    answer = rule["Action"]["Block"]["CustomResponse"]
    headers = {each["Name"]: each["Value"] for each in answer["ResponseHeaders"]}
    assert (answer["ResponseCode"], headers["Cache-Control"]) == (429, "no-store")
    body = acl["CustomResponseBodies"][answer["CustomResponseBodyKey"]]
    assert body["ContentType"] == "APPLICATION_JSON"
    assert json.loads(body["Content"])["error"] == "temporarily_unavailable"
    assert acl["DefaultAction"] == {"Allow": {}}
