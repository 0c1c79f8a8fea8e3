"""
What surrounds the service in both Regions, and would be there before it on AWS as well.

User pools with their domains and scopes, the API's custom domain, the records that fail it over,
and the people who operate it.
"""

import json
import secrets
from collections.abc import Callable
from typing import Any

from local.state import CloudState, Identity, Role

# client(service, region) as the account's root.
ClientFactory = Callable[[str, str], Any]

RESOURCE_SERVER = "demo"
SCOPES = ("read", "write")
RECORD_TTL = 60
_TAKEOVER_PATH = "/health/takeover"
# What the operator may do unless a policy is passed in.
ADMINISTRATOR_POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
)


def create_user_pool(client: ClientFactory, region: str) -> str:
    """Create a user pool with a domain and the demo scopes; return its ID."""
    cognito = client("cognito-idp", region)
    pool_id: str = cognito.create_user_pool(PoolName="machines")["UserPool"]["Id"]
    cognito.create_user_pool_domain(
        UserPoolId=pool_id, Domain=f"machines-{region}-{secrets.token_hex(3)}"
    )
    cognito.create_resource_server(
        UserPoolId=pool_id,
        Identifier=RESOURCE_SERVER,
        Name=RESOURCE_SERVER,
        Scopes=[{"ScopeName": s, "ScopeDescription": f"{s} the demo API"} for s in SCOPES],
    )
    return pool_id


def create_identities(client: ClientFactory, region: str) -> dict[str, Identity]:
    """Create the users `operator`, who may do everything, and `nobody`, who may do nothing."""
    iam = client("iam", region)
    identities = {}
    for name in ("operator", "nobody"):
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        identities[name] = Identity(key["AccessKeyId"], key["SecretAccessKey"])
    set_operator_policy(client, region, ADMINISTRATOR_POLICY)
    return identities


def set_operator_policy(client: ClientFactory, region: str, document: str) -> None:
    """Let the operator do what the policy *document* says, and nothing else."""
    client("iam", region).put_user_policy(
        UserName="operator", PolicyName="operator", PolicyDocument=document
    )


def create_custom_domain(client: ClientFactory, region: str, domain_name: str) -> None:
    """Create the API Gateway custom domain, of the same name in every Region."""
    client("apigateway", region).create_domain_name(
        domainName=domain_name,
        endpointConfiguration={"types": ["REGIONAL"]},
        regionalCertificateArn=f"arn:aws:acm:{region}:000000000000:certificate/local",
    )


def map_custom_domain(
    client: ClientFactory, region: str, domain_name: str, api_id: str, stage: str
) -> None:
    """Have the root of the custom domain lead to *stage* of the API, wherever it led before."""
    gateway = client("apigateway", region)
    for mapping in gateway.get_base_path_mappings(domainName=domain_name).get("items", []):
        gateway.delete_base_path_mapping(domainName=domain_name, basePath=mapping["basePath"])
    gateway.create_base_path_mapping(domainName=domain_name, restApiId=api_id, stage=stage)


def create_hosted_zone(client: ClientFactory, region: str, domain_name: str) -> str:
    """Create the zone of *domain_name*; return its ID."""
    zone = client("route53", region).create_hosted_zone(
        Name=domain_name.partition(".")[2], CallerReference=secrets.token_hex(8)
    )
    return str(zone["HostedZone"]["Id"]).rpartition("/")[2]


def point_name_at_regions(client: ClientFactory, state: CloudState) -> str:
    """
    Create or refresh the failover records; return the ID of their health check.

    Only a person moves the traffic: the primary's record carries an *inverted* check of the
    standby's takeover switch, so that it goes out of service exactly when the standby has taken
    over. While the standby cannot be asked, the check fails, which inverted means that the primary
    stays.
    """
    primary, secondary = (state.regions[role] for role in (Role.PRIMARY, Role.SECONDARY))
    route53 = client("route53", primary)
    api_path = state.deployments[Role.SECONDARY].api_url_path
    # The standby's API is asked by address, because its health must not depend on the name.
    endpoint = {
        "IPAddress": "127.0.0.1",
        "Port": state.ports.region[secondary],
        "ResourcePath": f"{api_path}{_TAKEOVER_PATH}",
    }
    if state.health_check_id:
        route53.update_health_check(HealthCheckId=state.health_check_id, **endpoint)
        return state.health_check_id
    check_id: str = route53.create_health_check(
        CallerReference=secrets.token_hex(8),
        HealthCheckConfig={
            "Type": "HTTP",
            "RequestInterval": 10,
            "FailureThreshold": 2,
            "Inverted": True,
            **endpoint,
        },
    )["HealthCheck"]["Id"]
    changes = [
        {
            "Action": "UPSERT",
            "ResourceRecordSet": {
                "Name": state.domain_name,
                "Type": "CNAME",
                "SetIdentifier": role.value,
                "Failover": role.upper(),
                "TTL": RECORD_TTL,
                "ResourceRecords": [{"Value": _regional_name(client, region, state.domain_name)}],
                **({"HealthCheckId": check_id} if role is Role.PRIMARY else {}),
            },
        }
        for role, region in ((Role.PRIMARY, primary), (Role.SECONDARY, secondary))
    ]
    route53.change_resource_record_sets(
        HostedZoneId=state.hosted_zone_id, ChangeBatch={"Changes": changes}
    )
    return check_id


def _regional_name(client: ClientFactory, region: str, domain_name: str) -> str:
    found = client("apigateway", region).get_domain_name(domainName=domain_name)
    return str(found["regionalDomainName"])
