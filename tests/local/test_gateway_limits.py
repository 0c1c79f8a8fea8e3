"""API Gateway's throttling and error metrics, and the concurrency of the functions behind it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from local.cloud import Cloud
from local.deploy import DeploymentError, await_stack
from local.quota import NEVER_RESERVED, QUOTA

pytestmark = pytest.mark.cloud


def status(cloud: Cloud, path: str) -> int:
    return requests.get(f"{cloud.endpoints['primary']}{path}", timeout=10).status_code


def api_id(cloud: Cloud) -> str:
    return str(cloud.endpoints["primary"].split("/")[-2])


def function_name(cloud: Cloud) -> str:
    functions = cloud.client("lambda", "primary", "root").list_functions()["Functions"]
    (found,) = (each["FunctionName"] for each in functions)
    return str(found)


@contextmanager
def throttled(cloud: Cloud, method: str, rate: int) -> Iterator[None]:
    """Throttle a method, given as `PATH/VERB` in the encoding of UpdateStage."""
    gateway = cloud.client("apigateway", "primary", "root")
    stage = {"restApiId": api_id(cloud), "stageName": "api"}
    for name in ("rateLimit", "burstLimit"):
        path = f"/{method}/throttling/{name}"
        patch = {"op": "replace", "path": path, "value": str(rate)}
        gateway.update_stage(**stage, patchOperations=[patch])
    try:
        yield
    finally:
        gateway.update_stage(**stage, patchOperations=[{"op": "remove", "path": f"/{method}"}])


def test_a_throttled_method_gets_429_from_the_gateway_and_others_do_not(cloud: Cloud) -> None:
    with throttled(cloud, "~1health/GET", 1):
        found = {status(cloud, "/health") for _ in range(5)}
        assert 429 in found
        assert {status(cloud, "/caller") for _ in range(5)} == {200}
    assert status(cloud, "/health") == 200


def test_a_method_with_its_own_setting_is_not_throttled_by_the_stages(cloud: Cloud) -> None:
    with throttled(cloud, "*/*", 1), throttled(cloud, "~1health/GET", 1_000):
        assert 429 in {status(cloud, "/caller") for _ in range(5)}
        assert {status(cloud, "/health") for _ in range(5)} == {200}


def test_a_function_without_free_concurrency_is_a_500(cloud: Cloud) -> None:
    """Not 429, which would be the gateway's own throttling."""
    functions, name = cloud.client("lambda", "primary", "root"), function_name(cloud)
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        assert status(cloud, "/health") == 500
    finally:
        functions.delete_function_concurrency(FunctionName=name)
    assert status(cloud, "/health") == 200


def test_a_part_of_the_accounts_concurrency_cannot_be_reserved(cloud: Cloud) -> None:
    functions, name = cloud.client("lambda", "primary", "root"), function_name(cloud)
    with pytest.raises(ClientError) as refused:
        functions.put_function_concurrency(
            FunctionName=name, ReservedConcurrentExecutions=QUOTA - NEVER_RESERVED + 1
        )
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"
    assert "UnreservedConcurrentExecution" in str(refused.value)


@pytest.mark.parametrize(("quota", "reserved"), [(10, 1), (50, 41)])
def test_a_new_account_can_reserve_next_to_nothing(cloud: Cloud, quota: int, reserved: int) -> None:
    functions, name = cloud.client("lambda", "primary", "root"), function_name(cloud)
    cloud.set_concurrency_quota(quota)
    with pytest.raises(ClientError, match="UnreservedConcurrentExecution"):
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)


def test_a_stack_that_reserves_too_much_fails(cloud: Cloud) -> None:
    """As the first deployment of a new account does."""
    cloud.set_concurrency_quota(10)
    stacks = cloud.client("cloudformation", "primary", "root")
    role = {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": []}},
    }
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.11",
            "Handler": "index.handler",
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Code": {"ZipFile": "def handler(event, context): pass"},
            "ReservedConcurrentExecutions": 100,
        },
    }
    template = json.dumps({"Resources": {"Role": role, "Function": function}})
    stacks.create_stack(
        StackName="reserves", TemplateBody=template, Capabilities=["CAPABILITY_IAM"]
    )
    try:
        with pytest.raises(DeploymentError, match="UnreservedConcurrentExecution"):
            await_stack(stacks, "reserves")
    finally:
        stacks.delete_stack(StackName="reserves")


def errors(cloud: Cloud, metric: str) -> int:
    """Return the sum of a metric of the deployed stage in the last minutes."""
    now = datetime.now(UTC)
    api = cloud.client("apigateway", "primary", "root").get_rest_api(restApiId=api_id(cloud))
    found = cloud.client("cloudwatch", "primary", "root").get_metric_statistics(
        Namespace="AWS/ApiGateway",
        MetricName=metric,
        Dimensions=[{"Name": "ApiName", "Value": api["name"]}, {"Name": "Stage", "Value": "api"}],
        StartTime=now - timedelta(minutes=30),
        EndTime=now + timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return int(sum(each["Sum"] for each in found))


def test_the_metrics_count_the_functions_own_errors(cloud: Cloud) -> None:
    before = {name: errors(cloud, name) for name in ("4XXError", "5XXError")}
    for code in (200, 409, 503, 500):
        assert status(cloud, f"/answers/{code}") == code
    assert errors(cloud, "4XXError") == before["4XXError"] + 1
    assert errors(cloud, "5XXError") == before["5XXError"] + 2


def test_an_alarm_on_server_errors_goes_off_at_its_threshold(cloud: Cloud) -> None:
    watch = cloud.client("cloudwatch", "primary", "root")
    before = errors(cloud, "5XXError")
    api = cloud.client("apigateway", "primary", "root").get_rest_api(restApiId=api_id(cloud))
    watch.put_metric_alarm(
        AlarmName="server-errors",
        Namespace="AWS/ApiGateway",
        MetricName="5XXError",
        Dimensions=[{"Name": "ApiName", "Value": api["name"]}, {"Name": "Stage", "Value": "api"}],
        Statistic="Sum",
        Period=3600,
        EvaluationPeriods=1,
        Threshold=before + 1,
        ComparisonOperator="GreaterThanThreshold",
    )

    def state() -> Any:
        (alarm,) = watch.describe_alarms(AlarmNames=["server-errors"])["MetricAlarms"]
        return alarm["StateValue"]

    try:
        status(cloud, "/answers/503")
        assert state() != "ALARM"
        status(cloud, "/answers/503")
        assert state() == "ALARM"
    finally:
        watch.delete_alarms(AlarmNames=["server-errors"])
