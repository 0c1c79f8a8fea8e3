"""
What the emulator lacks or does differently from AWS, after AWS's documentation.

Each module wraps the handler of one service (IAM has been enforced before that) and replaces single
functions where there is no other way in. `install` is called once, before the first request.
"""

from local.aws_gaps import (
    apigateway,
    cognito,
    lambda_runtime,
    rest_api_documents,
    secretsmanager,
)
from local.replication import Replication


def install(replication: Replication, lambda_python: str) -> None:
    """Close every gap; *lambda_python* is the interpreter that functions run in."""
    lambda_runtime.install(lambda_python)
    apigateway.install()
    rest_api_documents.install()
    cognito.install()
    secretsmanager.install(replication)
