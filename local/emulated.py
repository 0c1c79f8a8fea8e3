"""
Access to MiniStack's internals; no other module imports them.

Its modules are not typed and not installed beside this project, so they are imported by name. The
version is pinned, and every replaced function has to exist: a change there should stop the start,
not change a behavior.
"""

import importlib
import importlib.metadata
from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType
from typing import Any

VERSION = "1.5.33"

Response = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, list[str]]], Awaitable[Response]]


def module(name: str) -> ModuleType:
    """Import `ministack.<name>`."""
    return importlib.import_module(f"ministack.{name}")


def check_version() -> None:
    """
    Refuse to run on an untested version.

    Raises:
        RuntimeError: If the installed version differs.
    """
    installed = importlib.metadata.version("ministack")
    if installed != VERSION:
        msg = f"ministack {VERSION} is needed, {installed} is installed"
        raise RuntimeError(msg)


def replace(owner: ModuleType, name: str, wrap: Callable[[Any], Any]) -> None:
    """
    Replace the function *name* of *owner* by its wrapper from *wrap*.

    Raises:
        LookupError: If there is no such function.
    """
    if not hasattr(owner, name):
        msg = f"{owner.__name__}.{name} is not there to be replaced"
        raise LookupError(msg)
    setattr(owner, name, wrap(getattr(owner, name)))


def wrap_service(service: str, wrap: Callable[[Handler], Handler]) -> None:
    """Wrap the handler of *service*; its requests have passed IAM already."""
    handlers: dict[str, Handler] = module("app").SERVICE_HANDLERS
    handlers[service] = wrap(handlers[service])


def error(code: str, message: str, status: int = 400) -> Response:
    """Return an error in the JSON protocol."""
    response: Response = module("core.responses").error_response_json(code, message, status)
    return response


def answer(document: Mapping[str, object]) -> Response:
    """Return a success in the JSON protocol."""
    response: Response = module("core.responses").json_response(dict(document))
    return response
