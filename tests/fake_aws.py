"""
AWS in two Regions, in memory, at the granularity of API calls.

The real adapters run on it: it has the interface of botocore's clients, and checks
their requests and its own answers against botocore's models.  Every call goes
through `FakeAws.carry_out`, which records it and applies a test's `Accident`: the
process ends before or after the call, an answer gets lost, another process runs
meanwhile.

`fake_secrets_manager` and `fake_cognito` have the services' behavior.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from botocore import xform_name
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from botocore.validate import ParamValidator

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

Answer = dict[str, Any]
CarryOut = Callable[[], Any]

SECRETS_MANAGER, COGNITO, TOKEN_ENDPOINT = "secretsmanager", "cognito-idp", "token endpoint"


class Crash(BaseException):
    """End of the process, without any cleanup."""


class AwsError(Exception):
    """Refusal of a service."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Call:
    """Call as recorded by `FakeAws.carry_out`."""

    region: str
    service: str
    operation: str

    def __str__(self) -> str:
        return f"{self.service}:{self.operation} in {self.region}"


class Accident(Protocol):
    """Interception of the *number*th call, before it is carried out."""

    def __call__(self, number: int, call: Call, carry_out: CarryOut) -> Any: ...


def none_at_all(number: int, call: Call, carry_out: CarryOut) -> Any:
    return carry_out()


def _at(wanted: int, happen: Callable[[CarryOut], Any]) -> Accident:
    def accident(number: int, call: Call, carry_out: CarryOut) -> Any:
        return happen(carry_out) if number == wanted else carry_out()

    return accident


def crash_before(wanted: int) -> Accident:
    """End the process before a call: it makes no further one either, to clear up."""

    def accident(number: int, call: Call, carry_out: CarryOut) -> Any:
        if number >= wanted:
            raise Crash
        return carry_out()

    return accident


def crash_after(wanted: int) -> Accident:
    def accident(number: int, call: Call, carry_out: CarryOut) -> Any:
        answer = crash_before(wanted + 1)(number, call, carry_out)
        if number == wanted:
            raise Crash
        return answer

    return accident


def crash_after_first(operation: str) -> Accident:
    ended = False

    def accident(number: int, call: Call, carry_out: CarryOut) -> Any:
        nonlocal ended
        if ended:
            raise Crash
        answer = carry_out()
        ended = call.operation == operation
        if ended:
            raise Crash
        return answer

    return accident


def lose_request(number: int) -> Accident:
    def happen(carry_out: CarryOut) -> NoReturn:
        raise ConnectTimeoutError(endpoint_url="lost")

    return _at(number, happen)


def lose_answer(number: int) -> Accident:
    def happen(carry_out: CarryOut) -> NoReturn:
        carry_out()
        raise ReadTimeoutError(endpoint_url="lost")

    return _at(number, happen)


def arrive_late(number: int, late: list[CarryOut]) -> Accident:
    """Time a call out and put it into *late*, to be carried out later."""

    def happen(carry_out: CarryOut) -> NoReturn:
        late.append(carry_out)
        raise ReadTimeoutError(endpoint_url="late")

    return _at(number, happen)


def meanwhile(number: int, action: Callable[[], object]) -> Accident:
    """Run *action*, completely and undisturbed, just before a call."""

    def happen(carry_out: CarryOut) -> Any:
        action()
        return carry_out()

    return _at(number, happen)


class Service(Protocol):
    """Service in one Region: a method per operation, in botocore's spelling."""

    @property
    def region(self) -> str: ...


@dataclass
class FakeAws:
    """
    Both Regions, on one *clock*.

    Calls to a Region in *down* get no answer, and nothing is replicated into it.
    `settle` completes background work up to now.  Only with *strict* calls are
    checked against botocore's models, which takes longer than all the rest.
    """

    clock: Callable[[], float]
    settle: list[Callable[[], None]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    calls: list[Call] = field(default_factory=list)
    accident: Accident = none_at_all
    strict: bool = True
    _one_at_a_time: RLock = field(default_factory=RLock)

    def carry_out(self, call: Call, work: CarryOut) -> Any:
        """Carry out a call, unless an accident happens to it; one at a time."""
        with self._one_at_a_time:
            return self._carry_out(call, work)

    def _carry_out(self, call: Call, work: CarryOut) -> Any:
        self.calls.append(call)

        def carry_out() -> Any:
            if call.region in self.down:
                raise ConnectTimeoutError(endpoint_url=call.region)
            for each in self.settle:
                each()
            return work()

        return self.accident(len(self.calls) - 1, call, carry_out)

    def watch(self, accident: Accident = none_at_all) -> None:
        """Count calls from 0 again, and apply *accident*."""
        self.calls.clear()
        self.accident = accident

    def secrets_manager(self, service: Service) -> SecretsManagerClient:
        return cast("SecretsManagerClient", _Client(self, SECRETS_MANAGER, service))

    def cognito(self, service: Service) -> CognitoIdentityProviderClient:
        return cast("CognitoIdentityProviderClient", _Client(self, COGNITO, service))


@cache
def _operations(service: str) -> Mapping[str, OperationModel]:
    described = Loader().load_service_model(service, "service-2")
    model = ServiceModel(described, service)
    return {
        xform_name(each): model.operation_model(each)
        for each in model.operation_names
        if each in _USED
    }


# Only the services that the adapters use: building a model takes time.
_USED = frozenset(
    {
        "BatchGetSecretValue",
        "CreateSecret",
        "DeleteSecret",
        "DescribeSecret",
        "GetSecretValue",
        "ListSecretVersionIds",
        "ListSecrets",
        "PutSecretValue",
        "RemoveRegionsFromReplication",
        "ReplicateSecretToRegions",
        "RestoreSecret",
        "StopReplicationToReplica",
        "TagResource",
        "UpdateSecret",
        "UpdateSecretVersionStage",
        "AddUserPoolClientSecret",
        "CreateUserPoolClient",
        "DeleteUserPoolClient",
        "DeleteUserPoolClientSecret",
        "DescribeUserPoolClient",
        "ListResourceServers",
        "ListUserPoolClientSecrets",
        "ListUserPoolClients",
        "UpdateUserPoolClient",
    }
)
_VALIDATOR = ParamValidator()


class _Client:
    """Stand-in for botocore's client of a service."""

    def __init__(self, aws: FakeAws, name: str, service: Service) -> None:
        self._aws = aws
        self._name = name
        self._service = service

    def __getattr__(self, method: str) -> Callable[..., Any]:
        try:
            model = _operations(self._name)[method]
        except KeyError:
            raise AttributeError(method) from None
        work = getattr(self._service, method)

        def call(**parameters: Any) -> Any:
            if self._aws.strict:
                _check(parameters, model.input_shape)
            made = Call(self._service.region, self._name, model.name)
            answer = self._aws.carry_out(made, lambda: _answer(model.name, work, parameters))
            if self._aws.strict:
                _check(answer, model.output_shape)
            return answer

        return call

    def get_paginator(self, method: str) -> _Paginator:
        return _Paginator(getattr(self, method))


class _Paginator:
    def __init__(self, ask: Callable[..., Answer]) -> None:
        self._ask = ask

    def paginate(self, PaginationConfig: Mapping[str, int], **more: Any) -> Iterator[Answer]:
        page = self._ask(MaxResults=PaginationConfig["PageSize"], **more)
        yield page
        while page.get("NextToken"):
            page = self._ask(
                MaxResults=PaginationConfig["PageSize"], NextToken=page["NextToken"], **more
            )
            yield page


def _answer(
    operation: str, work: Callable[..., Answer | None], parameters: Mapping[str, Any]
) -> Answer:
    try:
        return work(**parameters) or {}
    except AwsError as err:
        raise ClientError(
            {
                "Error": {"Code": err.code, "Message": err.message},
                "ResponseMetadata": {
                    "HTTPStatusCode": 400,
                    "RequestId": "",
                    "HostId": "",
                    "HTTPHeaders": {},
                    "RetryAttempts": 0,
                },
            },
            operation,
        ) from None


def _check(members: Mapping[str, Any], shape: Any) -> None:
    """
    Check *members* against botocore's model.

    Raises:
        ParamValidationError: As botocore does.
    """
    if shape is None:
        return
    unknown = set(members) - set(shape.members)
    report = _VALIDATOR.validate(members, shape)
    if unknown or report.has_errors():
        raise ParamValidationError(report=f"{sorted(unknown)} {report.generate_report()}")
