"""
Resources around the service in both Regions, which exist before it on AWS too.

These are user pools with their domains and scopes, the API's custom domain, its failover records,
and the operators' identities.
"""

import json
import secrets
from collections.abc import Callable
from typing import Any

from local.routing import read_routing
from local.state import CloudState, Identity, Role

# client(service, region) as the account's root.
ClientFactory = Callable[[str, str], Any]

RESOURCE_SERVER = "demo"
SCOPES = ("read", "write")
_NEEDS_TLS_AND_NAME = frozenset({"FullyQualifiedDomainName", "EnableSNI"})
# The operator's policy unless another is given.
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
    """Create the users `operator`, with all permissions, and `nobody`, with none."""
    iam = client("iam", region)
    identities = {}
    for name in ("operator", "nobody"):
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        identities[name] = Identity(key["AccessKeyId"], key["SecretAccessKey"])
    set_operator_policy(client, region, ADMINISTRATOR_POLICY)
    return identities


def set_operator_policy(client: ClientFactory, region: str, document: str) -> None:
    """Give the operator the policy *document* and no other permission."""
    client("iam", region).put_user_policy(
        UserName="operator", PolicyName="operator", PolicyDocument=document
    )


def create_custom_domain(client: ClientFactory, region: str, domain_name: str) -> None:
    """Create the API Gateway custom domain, with the same name in every Region."""
    client("apigateway", region).create_domain_name(
        domainName=domain_name,
        endpointConfiguration={"types": ["REGIONAL"]},
        regionalCertificateArn=f"arn:aws:acm:{region}:000000000000:certificate/local",
    )


def map_custom_domain(
    client: ClientFactory, region: str, domain_name: str, api_id: str, stage: str
) -> None:
    """Map the root of the custom domain to *stage* of the API, replacing any earlier mapping."""
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
    Create or update the resources of `infra/routing.yaml`; return the ID of the health check.

    Two things differ from AWS: there is no TLS, and the standby's API is probed at its address on
    this machine.
    """
    # The URL's path ends with the stage, with which the path in the template starts.
    api_path, _, api_stage = state.deployments[Role.SECONDARY].api_url_path.rpartition("/")
    targets = {
        role: client("apigateway", state.regions[role]).get_domain_name(
            domainName=state.domain_name
        )
        for role in Role
    }
    parameters = {
        "DomainName": state.domain_name,
        "PrimaryTarget": targets[Role.PRIMARY]["regionalDomainName"],
        "PrimaryTargetZoneId": targets[Role.PRIMARY]["regionalHostedZoneId"],
        "SecondaryTarget": targets[Role.SECONDARY]["regionalDomainName"],
        "SecondaryTargetZoneId": targets[Role.SECONDARY]["regionalHostedZoneId"],
        "StandbyHost": "",  # see below
        "ApiStage": api_stage,
    }
    declared = read_routing(parameters, state.health_check_id).health_check
    address = {
        "IPAddress": "127.0.0.1",
        "Port": state.ports.region[state.regions[Role.SECONDARY]],
        "ResourcePath": api_path + declared["ResourcePath"],
    }
    route53 = client("route53", state.regions[Role.PRIMARY])
    if state.health_check_id:
        route53.update_health_check(HealthCheckId=state.health_check_id, **address)
        return state.health_check_id
    config = {key: value for key, value in declared.items() if key not in _NEEDS_TLS_AND_NAME}
    check_id: str = route53.create_health_check(
        CallerReference=secrets.token_hex(8),
        HealthCheckConfig={**config, "Type": "HTTP", **address},
    )["HealthCheck"]["Id"]
    route53.change_resource_record_sets(
        HostedZoneId=state.hosted_zone_id,
        ChangeBatch={
            "Changes": [
                {"Action": "UPSERT", "ResourceRecordSet": record}
                for record in read_routing(parameters, check_id).records
            ]
        },
    )
    return check_id
