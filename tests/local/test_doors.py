"""Each door of the cloud accepts the requests that its AWS endpoint would."""

import json
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from local import aws
from local.cloud import Cloud
from local.state import Identity

pytestmark = pytest.mark.cloud


def signed_get(cloud: Cloud, url: str, region: str, who: str = "operator") -> requests.Response:
    identity = cloud.identity(who)
    request = AWSRequest("GET", url)
    credentials = Credentials(identity.access_key_id, identity.secret_access_key)
    SigV4Auth(credentials, "execute-api", region).add_auth(request)
    return requests.get(url, headers=dict(request.headers.items()), timeout=10)


def error_code(cloud: Cloud, identity: Identity, region: str, endpoint: str) -> str:
    client = aws.client("secretsmanager", region=region, endpoint=endpoint, identity=identity)
    with pytest.raises(ClientError) as raised:
        client.list_secrets()
    return str(raised.value.response["Error"]["Code"])


def test_both_stages_run_in_their_region_with_their_settings(cloud: Cloud) -> None:
    for role, region in cloud.endpoints["regions"].items():
        answer = requests.get(f"{cloud.endpoints[role]}/health", timeout=10).json()
        assert answer["stage_region"] == answer["runtime_region"] == region
        assert answer["pool"] == cloud.endpoints["user_pools"][role]


def test_functions_import_only_packages_of_their_zip(cloud: Cloud) -> None:
    installed = requests.get(f"{cloud.endpoints['primary']}/installed", timeout=10).json()
    assert installed == {
        "chalice": True,  # Chalice packages itself
        "boto3": False,
        "ministack": False,
        "pip": False,
        "local": False,
    }


def test_functions_run_the_configured_python_version(cloud: Cloud) -> None:
    answer = requests.get(f"{cloud.endpoints['primary']}/caller", timeout=10).json()
    assert answer["python"] == [*sys.version_info[:2]]


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 needs setting up elsewhere")
@pytest.mark.parametrize("way_in", ["front_door", "primary"])
def test_the_source_address_is_the_callers_own(cloud: Cloud, way_in: str) -> None:
    url = f"{cloud.endpoints[way_in]}/caller"
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, source_address=("127.0.0.2", 0))
    with closing(connection):
        connection.request("GET", parts.path, headers={"X-Forwarded-For": "192.0.2.9"})
        answer = json.loads(connection.getresponse().read())
    assert answer["source_ip"] == "127.0.0.2"
    assert answer["forwarded"] == "192.0.2.9, 127.0.0.2"


def test_iam_decides_who_calls_a_signed_method(cloud: Cloud) -> None:
    for base in (
        cloud.endpoints["primary"],
        cloud.endpoints["custom_domains"]["primary"],
        cloud.endpoints["front_door"],
    ):
        url = f"{base}/private"
        assert requests.get(url, timeout=10).status_code == 403
        assert signed_get(cloud, url, "us-east-1", "nobody").status_code == 403
        answer = signed_get(cloud, url, "us-east-1")
        assert answer.json()["arn"].endswith(":user/operator")


def test_a_region_does_not_know_the_apis_of_the_other(cloud: Cloud) -> None:
    primary, secondary = cloud.endpoints["primary"], cloud.endpoints["secondary"]
    elsewhere = secondary.partition("/_aws")[0] + "/_aws" + primary.partition("/_aws")[2]
    assert requests.get(f"{elsewhere}/health", timeout=10).status_code == 403


def test_a_region_refuses_signatures_for_another(cloud: Cloud) -> None:
    endpoint = cloud.endpoints["region_endpoints"]["secondary"]
    operator = cloud.identity("operator")
    assert error_code(cloud, operator, "us-east-1", endpoint) == "InvalidSignatureException"
    answer = signed_get(cloud, f"{cloud.endpoints['secondary']}/private", "us-east-1")
    assert answer.status_code == 403


@pytest.mark.parametrize("key", ["test", "000000000000", "AKIAUNKNOWNUNKNOWN00"])
def test_only_keys_of_this_cloud_are_known(cloud: Cloud, key: str) -> None:
    stranger = Identity(key, "test")
    code = error_code(cloud, stranger, "us-east-1", cloud.endpoints["cloud"])
    assert code == "UnrecognizedClientException"


def test_iam_is_enforced(cloud: Cloud) -> None:
    nobody = cloud.identity("nobody")
    code = error_code(cloud, nobody, "us-east-1", cloud.endpoints["cloud"])
    assert code == "AccessDeniedException"
    wrong = Identity(cloud.identity("operator").access_key_id, "wrong")
    code = error_code(cloud, wrong, "us-east-1", cloud.endpoints["cloud"])
    assert code == "InvalidSignatureException"


def test_the_shared_port_reaches_either_region(cloud: Cloud) -> None:
    endpoint = cloud.endpoints["cloud"]
    for role, region in cloud.endpoints["regions"].items():
        client = aws.client(
            "cognito-idp", region=region, endpoint=endpoint, identity=cloud.identity("operator")
        )
        pools = [pool["Id"] for pool in client.list_user_pools(MaxResults=10)["UserPools"]]
        assert pools == [cloud.endpoints["user_pools"][role]]
        path = cloud.endpoints[role].partition("/_aws")[2]
        answer = requests.get(f"{endpoint}/_aws{path}/health", timeout=10)
        assert answer.json()["stage_region"] == region
        keys = requests.get(f"{endpoint}/{pools[0]}/.well-known/jwks.json", timeout=10)
        assert keys.json()["keys"]


@pytest.mark.parametrize(
    "path", ["/_local/calls", "/_ministack/reset", "/_ministack/health", "/health"]
)
def test_emulator_interfaces_are_unreachable_from_outside(cloud: Cloud, path: str) -> None:
    for base in (cloud.endpoints["cloud"], cloud.endpoints["region_endpoints"]["primary"]):
        assert requests.get(f"{base}{path}", timeout=10).status_code == 404
        assert requests.post(f"{base}{path}", timeout=10).status_code == 404


def test_calls_are_logged_with_region_action_and_caller_only(cloud: Cloud) -> None:
    client = cloud.client("secretsmanager", "secondary")
    client.create_secret(Name="logged", SecretString="not to be logged")
    client.delete_secret(SecretId="logged", ForceDeleteWithoutRecovery=True)
    found = [call for call in cloud.calls() if call["service"] == "secretsmanager"]
    assert [(call["region"], call["action"], call["status"]) for call in found] == [
        ("us-west-2", "CreateSecret", 200),
        ("us-west-2", "DeleteSecret", 200),
    ]
    assert found[0]["caller"].endswith(":user/operator")
    assert "not to be logged" not in json.dumps(cloud.calls())


def test_a_fault_strikes_the_region_that_it_names(cloud: Cloud) -> None:
    cloud.add_fault("secretsmanager", "deny", "primary", action="ListSecrets", times=1)
    assert cloud.client("secretsmanager", "secondary").list_secrets()["SecretList"] == []
    with pytest.raises(ClientError, match="AccessDenied"):
        cloud.client("secretsmanager", "primary").list_secrets()
    assert cloud.client("secretsmanager", "primary").list_secrets()["SecretList"] == []
    faults = [call["fault"] for call in cloud.calls() if call["service"] == "secretsmanager"]
    assert faults == [None, "deny", None]


def test_a_fault_can_reset_the_connection(cloud: Cloud) -> None:
    cloud.add_fault("execute-api", "reset", "primary", action="GET /caller", times=1)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{cloud.endpoints['primary']}/caller", timeout=10)
    assert requests.get(f"{cloud.endpoints['primary']}/caller", timeout=10).ok


@pytest.mark.parametrize(
    ("path", "target", "status"),
    [("/", "secretsmanager.ListSecrets", 400), ("/_local/calls", "none", 404)],
    ids=["fault", "machinery"],
)
def test_a_refusal_waits_for_the_request_and_leaves_the_connection_open(
    cloud: Cloud, path: str, target: str, status: int
) -> None:
    """The next request of a client that reuses its connection would fail on a closed one."""
    cloud.add_fault("secretsmanager", "deny", "primary")
    endpoint = urlsplit(cloud.endpoints["region_endpoints"]["primary"]).netloc
    with closing(HTTPConnection(endpoint, timeout=10)) as connection:
        for _ in range(2):
            connection.putrequest("POST", path)
            connection.putheader("X-Amz-Target", target)
            connection.putheader("Content-Type", "application/x-amz-json-1.1")
            connection.putheader("Content-Length", "2")
            connection.endheaders()
            cloud.calls()  # an answer to the head without its body would have arrived by now
            connection.send(b"{}")
            with connection.getresponse() as response:
                assert response.status == status
                response.read()


def test_the_state_directory_is_private(cloud: Cloud) -> None:
    file = Path(cloud.endpoints["identities"]["file"])
    assert file.parent.stat().st_mode & 0o777 == 0o700
    for path in (file, file.parent / "cloud.json", file.parent / "endpoints.json"):
        assert path.stat().st_mode & 0o777 == 0o600
    endpoints = (file.parent / "endpoints.json").read_text()
    assert cloud.identity("operator").secret_access_key not in endpoints
