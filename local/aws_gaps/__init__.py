"""
Differences between the emulator and AWS, closed after AWS's documentation.

Each module wraps the handler of one service (IAM is enforced before it) and replaces single
functions where there is no other hook. `install` is called once, before the first request.
"""

from local.aws_gaps import (
    apigateway,
    authorization,
    cognito,
    concurrency,
    lambda_runtime,
    rest_api_documents,
    secretsmanager,
)
from local.quota import Quota
from local.replication import Replication


def install(replication: Replication, quota: Quota, lambda_python: str) -> None:
    """Close every gap; *lambda_python* is the interpreter that functions run in."""
    authorization.install()
    lambda_runtime.install(lambda_python)
    concurrency.install(quota)
    apigateway.install()
    rest_api_documents.install()
    cognito.install()
    secretsmanager.install(replication)
