"""
A tiny API that only clients with a token may call, from whichever Region the token is.

    with serve(verifier) as api:
        requests.get(f"{api.url}/orders", headers={"Authorization": f"Bearer {token}"})

`api.py` is what a backend's engineer writes; `settings.py` says whose tokens are accepted.
Beside the local cloud: `make example`.
"""

from .server import ProtectedApi, serve
from .settings import verifier_for

__all__ = ["ProtectedApi", "serve", "verifier_for"]
