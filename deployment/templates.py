"""
Additions to the stages' Chalice templates.

`write` makes one file per stage from `.chalice/config.json`, for `chalice package
--merge-template`. They hold the settings that `chalice deploy` cannot make: throttling and the
gateway's own responses.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chalicelib.http.problem import TYPE_PREFIX
from deployment.stages import Config, surfaces

Document = dict[str, Any]

# Rate and burst of each method. Cognito takes 150 client authentications per second and account;
# most exchanges are answered from the cache. A sustained flood has to leave concurrency of the
# function to the probes below: at 300 ms each, 200 a second take 60 of the 100 that are reserved.
_TOKEN_RATE, _TOKEN_BURST = 200, 200
_ADMIN_RATE, _ADMIN_BURST = 50, 50
# What Route 53 asks some ninety times a minute, from fifteen places at once. A probe that is
# throttled counts as "no", and a "no" from the standby sends the name back to the lost Region. The
# limit is so high that a flood meets the account's own (10,000) before it crowds the probes out: an
# endpoint stays healthy while 18 % of the checkers get one of three probes in a row answered.
_PROBED = ("/health/ready", "/health/takeover")
_PROBE_RATE, _PROBE_BURST = 1_000, 1_000


def write(config: Config, directory: Path) -> None:
    """Write the addition to each stage's template into *directory*, as `<stage>.json`."""
    directory.mkdir(parents=True, exist_ok=True)
    for stage in config["stages"]:
        document = json.dumps(merged(config, stage), indent=2)
        (directory / f"{stage}.json").write_text(document + "\n")


def merged(config: Config, stage: str) -> Document:
    """Return the addition to the template of *stage*."""
    served = surfaces(config, stage)
    serves_tokens = "token" in served
    rate = (_TOKEN_RATE, _TOKEN_BURST) if serves_tokens else (_ADMIN_RATE, _ADMIN_BURST)
    api: Document = {
        "MethodSettings": _method_settings(*rate, probed=_PROBED if serves_tokens else ()),
        # Without this SAM makes a second API stage, "Stage", without any of these limits.
        "OpenApiVersion": "2.0",
        "GatewayResponses": _oauth_answers(also_admin="admin" in served)
        if serves_tokens
        else _problem_answers(),
    }
    # The names of `chalice deploy`: the stage's policy refers to the log groups by them.
    name = f"{config['app_name']}-{stage}"
    resources = {
        "APIHandler": {"Properties": {"FunctionName": name}},
        "RestAPI": {"Properties": api},
    }
    if "upkeep" in config["stages"][stage].get("lambda_functions", {}):
        resources["Upkeep"] = {"Properties": {"FunctionName": f"{name}-upkeep"}}
    return {"Resources": resources}


def _method_settings(rate: int, burst: int, *, probed: Sequence[str]) -> list[Document]:
    return [
        _setting("*", "*", rate, burst),
        *(
            # As in a JSON pointer: a slash within a path is `~1`.
            _setting(path.replace("/", "~1"), "GET", _PROBE_RATE, _PROBE_BURST)
            for path in probed
        ),
    ]


def _setting(path: str, method: str, rate: int, burst: int) -> Document:
    return {
        "ResourcePath": f"/{path}",
        "HttpMethod": method,
        "ThrottlingRateLimit": rate,
        "ThrottlingBurstLimit": burst,
        "MetricsEnabled": True,
        # Either would log credentials and tokens.
        "LoggingLevel": "OFF",
        "DataTraceEnabled": False,
    }


def _oauth_answers(*, also_admin: bool) -> Document:
    """
    Return the gateway's own responses as OAuth errors (RFC 6749, section 5.2).

    Where administrators use the same API, the responses that only they get are problems.
    """
    responses = {
        "DEFAULT_4XX": _oauth("invalid_request", "The request is not understood."),
        "DEFAULT_5XX": _oauth("server_error", "The service failed."),
        # The gateway's response to an unknown path or method. Where administrators use the same API
        # it is also the response to their unsigned requests: 403.
        "MISSING_AUTHENTICATION_TOKEN": _oauth(
            "invalid_request", "There is nothing at this path for a request that is not signed."
        )
        if also_admin
        else _oauth("invalid_request", "There is nothing at this path.", status=404),
        "REQUEST_TOO_LARGE": _oauth("invalid_request", "The request is too large."),
        "UNSUPPORTED_MEDIA_TYPE": _oauth("invalid_request", "The media type is not supported."),
        "THROTTLED": _oauth("temporarily_unavailable", "Too many requests.", retry=True),
        "QUOTA_EXCEEDED": _oauth("temporarily_unavailable", "Too many requests.", retry=True),
        # The function was throttled, did not answer in time, or ended without an answer.
        "INTEGRATION_FAILURE": _oauth(
            "temporarily_unavailable", "The service is not available.", status=503, retry=True
        ),
        "INTEGRATION_TIMEOUT": _oauth(
            "temporarily_unavailable", "The service did not answer.", status=503, retry=True
        ),
    }
    if also_admin:
        responses |= dict.fromkeys(_ONLY_ADMINISTRATORS, _REFUSED)
    return dict(sorted(responses.items()))


def _problem_answers() -> Document:
    """Return the gateway's own responses as problem documents (RFC 9457)."""
    busy = _problem("gateway-throttled", "Too many requests", retry=True)
    late = _problem("gateway-failed", "The service is not available", status=503, retry=True)
    responses = {
        "DEFAULT_4XX": _problem("gateway-refused", "The gateway does not understand the request"),
        "DEFAULT_5XX": _problem("gateway-failed", "The gateway failed"),
        **dict.fromkeys(("THROTTLED", "QUOTA_EXCEEDED"), busy),
        **dict.fromkeys(("INTEGRATION_FAILURE", "INTEGRATION_TIMEOUT"), late),
        "MISSING_AUTHENTICATION_TOKEN": _REFUSED,
        **dict.fromkeys(_ONLY_ADMINISTRATORS, _REFUSED),
    }
    return dict(sorted(responses.items()))


def _problem(slug: str, title: str, *, status: int | None = None, retry: bool = False) -> Document:
    # The detail is the gateway's own message, which names the missing permission.
    start = json.dumps({"type": TYPE_PREFIX + slug, "title": title})[:-1]
    return _answer(start + ', "detail": $context.error.messageString}', status, retry=retry)


def _oauth(
    error: str, description: str, *, status: int | None = None, retry: bool = False
) -> Document:
    body = json.dumps({"error": error, "error_description": description})
    return _answer(body, status, retry=retry)


def _answer(body: str, status: int | None, *, retry: bool) -> Document:
    headers = {"Cache-Control": "'no-store'", **({"Retry-After": "'1'"} if retry else {})}
    response: Document = {
        "ResponseParameters": {"Headers": headers},
        # The one media type that the gateway is known to use for any Accept header.
        "ResponseTemplates": {"application/json": body},
    }
    return response if status is None else {"StatusCode": status, **response}


_ONLY_ADMINISTRATORS = ("ACCESS_DENIED", "EXPIRED_TOKEN", "INVALID_SIGNATURE", "UNAUTHORIZED")
_REFUSED = _problem("gateway-refused", "Not signed by somebody who may do this")
