"""Faults apply as often as configured, in the protocol of their service."""

import json

import pytest

from local.faults import Fault, FaultMode, Faults, answer


def struck(faults: Faults, service: str = "token", action: str = "POST") -> str | None:
    fault = faults.strike("us-east-1", service, action)
    return fault.mode.value if fault else None


def test_a_fault_affects_only_matching_requests() -> None:
    faults = Faults()
    faults.add({"service": "token", "mode": "throttle", "region": "us-west-2"})
    faults.add({"service": "cognito-idp", "mode": "deny", "action": "CreateUserPoolClient"})
    assert struck(faults) is None
    assert struck(faults, "cognito-idp", "ListUserPoolClients") is None
    assert struck(faults, "cognito-idp", "CreateUserPoolClient") == "deny"


def test_a_fault_wears_off_after_its_number_of_times() -> None:
    faults = Faults()
    faults.add({"service": "token", "mode": "error500", "times": 2})
    faults.add({"service": "token", "mode": "throttle", "times": 1})
    assert [struck(faults) for _ in range(4)] == ["error500", "error500", "throttle", None]


def test_fault_probability_is_repeatable() -> None:
    def run() -> list[str | None]:
        faults = Faults(seed=7)
        faults.add({"service": "token", "mode": "reset", "probability": 0.5})
        return [struck(faults) for _ in range(50)]

    assert run() == run()
    assert {"reset", None} == set(run())


@pytest.mark.parametrize("document", [{}, {"service": "token", "mode": "nonsense"}])
def test_an_invalid_fault_is_refused(document: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"fault|FaultMode"):
        Faults().add(document)


@pytest.mark.parametrize(
    ("service", "mode", "status", "code"),
    [
        ("secretsmanager", FaultMode.THROTTLE, 400, "ThrottlingException"),
        ("secretsmanager", FaultMode.ERROR500, 500, "InternalServiceError"),
        ("secretsmanager", FaultMode.DENY, 400, "AccessDeniedException"),
        ("cognito-idp", FaultMode.THROTTLE, 400, "TooManyRequestsException"),
        ("cognito-idp", FaultMode.ERROR500, 500, "InternalErrorException"),
    ],
)
def test_an_api_answers_with_its_error_codes(
    service: str, mode: FaultMode, status: int, code: str
) -> None:
    made = answer(Fault(1, None, service, mode), service, "SomeAction")
    assert (made.status, json.loads(made.body)["__type"]) == (status, code)


def test_a_failing_token_endpoint_answers_without_oauth_errors() -> None:
    throttled = answer(Fault(1, None, "token", FaultMode.THROTTLE), "token", "POST")
    broken = answer(Fault(1, None, "token", FaultMode.ERROR500), "token", "POST")
    assert (throttled.status, throttled.body) == (429, b"Rate exceeded")
    assert (broken.status, broken.content_type) == (500, "text/html")
