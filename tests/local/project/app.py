"""Small application that returns its request and environment."""

import importlib.util
import os
import sys
from typing import Any

from chalice.app import Chalice, IAMAuthorizer, Request, Response

app = Chalice(app_name="mirror")
VERSION = 1


def current_request() -> Request:
    assert app.current_request is not None
    return app.current_request


@app.route("/health")
def health() -> dict[str, Any]:
    return {
        "version": VERSION,
        "stage_region": os.environ["APP_REGION"],
        "runtime_region": os.environ["AWS_REGION"],
        "pool": os.environ[f"USER_POOL_ID_{os.environ['ROLE']}"],
    }


@app.route("/answers/{status}")
def answers(status: str) -> Response:
    return Response({}, status_code=int(status))


@app.route("/installed")
def installed() -> dict[str, bool]:
    names = ("chalice", "boto3", "ministack", "pip", "local")
    return {name: importlib.util.find_spec(name) is not None for name in names}


@app.route("/caller")
def caller() -> dict[str, Any]:
    request = current_request()
    return {
        "source_ip": request.context["identity"]["sourceIp"],
        "forwarded": request.headers.get("x-forwarded-for"),
        "python": sys.version_info[:2],
    }


@app.route("/private", authorizer=IAMAuthorizer())
def private() -> dict[str, Any]:
    return {"arn": current_request().context["identity"]["userArn"]}
