"""Lambda functions in an interpreter without installed packages."""

from collections.abc import Callable

from local.emulated import module, replace

_Detect = Callable[[str], tuple[str, str]]

# MiniStack waits this long for a log line after each invocation, 50 ms by default. Late lines are
# not lost: they come with the next invocation.
_LOG_WAIT_SECONDS = 0.005

# A new or updated function is pending for a moment. A waiter polls once, and then again after 5 s:
# `chalice deploy` does so several times.
_PENDING_SECONDS = 0.0


def install(lambda_python: str) -> None:
    """
    Run functions in *lambda_python*.

    MiniStack uses its own interpreter, whose packages would hide a dependency missing in the
    deployment package.
    """
    runtime = module("core.lambda_runtime")

    def in_bare_python(detect: _Detect) -> _Detect:
        def detect_binary(name: str) -> tuple[str, str]:
            binary, script = detect(name)
            return (lambda_python if name.startswith("python") else binary), script

        return detect_binary

    replace(runtime, "_detect_runtime_binary", in_bare_python)
    drain = runtime.Worker._drain_stderr_bounded  # noqa: SLF001
    drain.__defaults__ = (_LOG_WAIT_SECONDS, *drain.__defaults__[1:])
    functions = module("services.lambda_svc")
    replace(functions, "_LAMBDA_STATE_TRANSITION_DELAY", lambda _: _PENDING_SECONDS)
