"""
IAM: the resources and condition keys that MiniStack does not give to a policy.

CloudWatch Logs authorizes every action but the tag actions on `log-group:NAME:*`; a policy that
names only `log-group:NAME` is refused. Secrets Manager's own condition keys are those of its
requests that our policies use.
"""

import json
from collections.abc import Callable
from typing import Any

from local.emulated import module, replace

Context = dict[str, Any]


def install() -> None:
    """Close the gaps of IAM's requests."""
    actions = module("core.iam_actions")
    replace(actions, "extract_resource_arn", _with_streams)
    replace(actions, "request_tag_context", _with_secret_keys)


def _with_streams(extract: Callable[..., str]) -> Callable[..., str]:
    def extract_resource_arn(service: str, method: str, path: str, *rest: Any) -> str:  # noqa: ANN401
        arn = extract(service, method, path, *rest)
        # The tag actions name an ARN, which has either form; everything else names a log group.
        headers = rest[0]
        is_tagging = "Resource" in headers.get("x-amz-target", "").rpartition(".")[2]
        if service != "logs" or arn == "*" or is_tagging:
            return arn
        return arn.removesuffix(":*") + ":*"

    return extract_resource_arn


def _with_secret_keys(read: Callable[..., Context]) -> Callable[..., Context]:
    def request_tag_context(service: str, iam_action: str, body: bytes, params: Context) -> Context:
        context = read(service, iam_action, body, params)
        if service == "secretsmanager":
            return {**context, **_secret_keys(body)}
        return context

    return request_tag_context


def _secret_keys(body: bytes) -> Context:
    """Return `secretsmanager:AddReplicaRegions` and `ForceDeleteWithoutRecovery` of a request."""
    try:
        sent = json.loads(body or b"{}")
    except ValueError:
        return {}
    keys: Context = {}
    if isinstance(sent, dict):
        if replicas := sent.get("AddReplicaRegions"):
            keys["secretsmanager:AddReplicaRegions"] = [
                str(each.get("Region", "")) for each in replicas if isinstance(each, dict)
            ]
        if (forced := sent.get("ForceDeleteWithoutRecovery")) is not None:
            keys["secretsmanager:ForceDeleteWithoutRecovery"] = str(bool(forced)).lower()
    return keys
