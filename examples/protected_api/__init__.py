"""
A tiny API that requires a token of either Region.

    with serve(verifier) as api:
        requests.get(f"{api.url}/orders", headers={"Authorization": f"Bearer {token}"})

`api.py` is the backend's code; `settings.py` names the accepted issuers.
Beside the local cloud: `make example`.
"""

from .server import ProtectedApi, serve
from .settings import verifier_for

__all__ = ["ProtectedApi", "serve", "verifier_for"]
