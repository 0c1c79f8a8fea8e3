"""Schedule of the deployed function: rotation of due Cognito secrets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from local.cloud import Cloud
from tests.e2e.administration import ClientRepository
from tests.e2e.conftest import Credential, Json
from tests.e2e.tokens import post_token

FUNCTION = "surrogate-credentials-primary-upkeep"
EAST, WEST = "us-east-1", "us-west-2"
_DAY = 86_400


@contextmanager
def rotating_after(cloud: Cloud, days: int) -> Iterator[None]:
    """Set ROTATE_APP_CLIENTS_AFTER_DAYS, as `.chalice/config.json` would."""
    functions = cloud.client("lambda", "primary", "root")
    before = functions.get_function_configuration(FunctionName=FUNCTION)["Environment"]["Variables"]
    changed = before | {"ROTATE_APP_CLIENTS_AFTER_DAYS": str(days)}
    functions.update_function_configuration(
        FunctionName=FUNCTION, Environment={"Variables": changed}
    )
    try:
        yield
    finally:
        functions.update_function_configuration(
            FunctionName=FUNCTION, Environment={"Variables": before}
        )


def steps_of(credential: Credential, lines: list[Json]) -> list[dict[str, str]]:
    """Return the steps of a client's rotation from *lines*."""
    return [
        line["app_clients"]
        for line in lines
        if (line["event"], line.get("client_id")) == ("admin", credential.client_id)
        and (line["action"], line["caller"], line["outcome"])
        == ("rotate-app-clients", "schedule", "done")
    ]


def test_due_cognito_secrets_rotate_on_the_schedule_without_disturbing_clients(
    cloud: Cloud, enroll_everywhere: Callable[[], Credential]
) -> None:
    due, young = enroll_everywhere(), enroll_everywhere()
    administration = ClientRepository(cloud, cloud.endpoints["primary"], FUNCTION)

    def works() -> list[int]:
        return [
            post_token(cloud.endpoints[role], due.pair).status_code
            for role in ("primary", "secondary")
        ]

    long_ago = int(time.time()) - 2 * _DAY
    administration.edit_app_client(
        due.client_id, EAST, lambda regional: regional.update(secret_since=long_ago)
    )
    never = administration.run_upkeep()
    assert steps_of(due, never) == []
    with rotating_after(cloud, 1):
        lines = administration.run_upkeep()
        assert steps_of(young, lines) == []
        (steps,) = steps_of(due, lines)
        assert steps[WEST] == "idle"
        assert steps[EAST] in {"started", "replicating", "waiting"}
        assert works() == [200, 200]
        # As if the other Region had had the new secret for a long time.
        administration.edit_app_client(
            due.client_id, EAST, lambda regional: regional["retiring"].update(replicated_at=1)
        )
        (steps,) = steps_of(due, administration.run_upkeep())
        assert steps == {EAST: "finished", WEST: "idle"}
        assert works() == [200, 200]
        assert steps_of(due, administration.run_upkeep()) == []
