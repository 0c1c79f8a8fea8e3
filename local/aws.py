"""SDK clients for the local cloud, independent of the caller's environment."""

import os
from functools import cache
from threading import Lock
from typing import Any

import boto3
import botocore.session
from botocore.config import Config

from local.state import Identity

# No profile, no configuration files: only explicit parameters.
_ISOLATED = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
# A session is not thread-safe while it makes a client.
_making = Lock()


def client(service: str, *, region: str, endpoint: str, identity: Identity) -> Any:  # noqa: ANN401
    """Return a client for *service* that signs as *identity* and talks to *endpoint* only."""
    with _making:
        return _session().client(
            service,
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id=identity.access_key_id,
            aws_secret_access_key=identity.secret_access_key,
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )


@cache
def _session() -> Any:  # noqa: ANN401 - `client` has an overload for each service
    # The session caches the parsed service descriptions, whose loading is most of the work.
    return boto3.Session(botocore_session=botocore.session.Session(session_vars=_ISOLATED))
