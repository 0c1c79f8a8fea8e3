"""Both Regions of `aws_worlds` behind HTTP on this machine, for the installed `surrogatectl`."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError, ConnectTimeoutError
from chalice.app import Chalice
from click.testing import CliRunner, Result

from chalicelib.aws.jwks_secret import KeySetSecret
from chalicelib.aws.region_state import StateSecret
from chalicelib.http.admin_routes import AdminSurface, admin_routes
from chalicelib.http.application import CredentialsApp
from chalicelib.http.token_routes import TokenSurface, token_routes
from chalicelib.jwks.document import document
from chalicelib.model import AccessToken, AppClient
from chalicelib.timing import CallDeadline
from chalicelib.token.health import Health
from surrogatectl.main import main
from tests.aws_worlds import PREFIX, REGIONS, AwsWorld, Operators
from tests.fake_cognito import CognitoTokens
from tests.fake_keys import jwk
from tests.fakes import Events, FakeClock
from tests.gateway import PUBLIC_URL, call, event
from tests.stages import environment
from tests.worlds import CALLER, EAST, EAST_POOL, WEST, WEST_POOL

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:trigger"
POOLS = {EAST: EAST_POOL, WEST: WEST_POOL}
_Answer = tuple[int, str]
_NOTHING: _Answer = (404, "{}")
_ABSENT = "<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>"


class _Tokens(CognitoTokens):
    """Token endpoint whose tokens name their pool."""

    def _token(self, app_client: AppClient, scope: str) -> AccessToken:
        issued = super()._token(app_client, scope)
        return replace(issued, value=_token_of(self.pool.user_pool_id))


def _token_of(user_pool_id: str) -> str:
    claims = json.dumps({"iss": f"https://cognito.example.com/{user_pool_id}"}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2lnbmF0dXJl"


@dataclass
class ServedRegion:
    """One Region: the AWS services that commands call, and the application with both surfaces."""

    world: AwsWorld
    region: str
    events: Events = field(default_factory=Events)
    url: str = ""

    def __post_init__(self) -> None:
        self.operators = Operators(self.world, self.region)
        self.services = {
            "secretsmanager": self.world.aws.secrets_manager(self.world.secrets[self.region]),
            "AWSCognitoIdentityProviderService": self.world.aws.cognito(
                self.world.pools[self.region]
            ),
        }
        self.app = self._app()

    def _app(self) -> Chalice:
        world, operators = self.world, self.operators
        endpoint = _Tokens(world.pools[self.region], world.clock)
        exchange = replace(world.exchange(self.region), endpoint=endpoint, emit=self.events)
        secrets = world.aws.secrets_manager(world.secrets[self.region])
        state = StateSecret(lambda: secrets, PREFIX, world.random_bytes)
        keys = KeySetSecret(lambda: secrets, self.region, PREFIX, world.random_bytes)
        app = CredentialsApp(app_name="served", emit=self.events, configure_logs=False)
        app.register_blueprint(
            token_routes(
                TokenSurface(
                    exchange,
                    Health(state, endpoint, world.clock),
                    lambda: document(keys.read().value),
                    self.region,
                    PUBLIC_URL,
                    self.events,
                )
            )
        )
        app.register_blueprint(
            admin_routes(
                AdminSurface(
                    enrollment=operators.enroll,
                    clients=operators.clients,
                    rotation=operators.rotation,
                    app_client_rotation=operators.app_client_rotation,
                    deletion=operators.deletion,
                    denials=operators.denials[self.region],
                    clock=world.clock,
                    call_deadline=CallDeadline(world.clock),
                    emit=self.events,
                )
            )
        )
        return app

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        """Answer a request to any service of the Region."""
        if "X-Amz-Target" in headers:
            service, operation = headers["X-Amz-Target"].split(".")
            return self._aws(service, operation, json.loads(body))
        path, _, query = target.partition("?")
        if path == "/" and method == "POST":
            return 404, _ABSENT  # the services that speak XML
        found = self._beside_the_application(path)
        if found is not None:
            return 200, json.dumps(found)
        resource, named = self._match(path)
        if resource is None:
            return _NOTHING
        pairs = [pair.partition("=") for pair in query.split("&") if pair]
        answered = call(
            self.app,
            event(
                method,
                path,
                headers=list(headers.items()),
                body=body.decode() or None,
                query=[(name, value) for name, _, value in pairs],
                user_arn=CALLER,
                path_parameters=named,
                resource=resource,
            ),
        )
        return answered.status, answered.body

    def _beside_the_application(self, path: str) -> dict[str, Any] | None:
        """Return the answer of a pool's own addresses, or of Lambda; `None` for any other path."""
        user_pool_id = POOLS[self.region]
        if path == "/cognito/oauth2/token":
            token = _token_of(user_pool_id)
            return {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
        if path == f"/{user_pool_id}/.well-known/jwks.json":
            return {"keys": [jwk(self.region)]}
        if path.startswith("/2015-03-31/functions/"):
            return {"FunctionArn": FUNCTION, "Role": "arn:aws:iam::123456789012:role/trigger"}
        return None

    def _match(self, path: str) -> tuple[str | None, dict[str, str] | None]:
        sent = path.split("/")
        for resource in self.app.routes:
            pairs = list(zip(resource.split("/"), sent, strict=False))
            if len(resource.split("/")) == len(sent) and all(
                part == text or "{" in part for part, text in pairs
            ):
                found = {part.strip("{}"): text for part, text in pairs if "{" in part}
                return resource, found or None
        return None, None

    def _aws(self, service: str, operation: str, parameters: dict[str, Any]) -> _Answer:
        if operation == "FilterLogEvents":
            line = {"event": "reconcile", "at": 1, "complete": True, "drift": {"replica": 1}}
            message = {"message": json.dumps(line), "timestamp": 1}
            return 200, json.dumps({"events": [message]})
        if operation == "DescribeUserPool":
            config = {"LambdaArn": FUNCTION, "LambdaVersion": "V3_0"}
            pool = {"Id": POOLS[self.region], "LambdaConfig": {"PreTokenGenerationConfig": config}}
            return 200, json.dumps({"UserPool": pool})
        if operation == "UpdateSecret":
            del parameters["ClientRequestToken"]  # the SDK's own
        if service not in self.services:
            return 400, json.dumps({"__type": "ResourceNotFoundException", "message": "no"})
        try:
            answer = getattr(self.services[service], xform_name(operation))(**parameters)
        except ConnectTimeoutError:
            return 503, json.dumps({"__type": "ServiceUnavailable", "message": "no"})
        except ClientError as err:
            return 400, json.dumps({"__type": err.response["Error"]["Code"], "message": "no"})
        return 200, json.dumps(answer, default=datetime.timestamp)


@dataclass
class ServedCloud:
    """Both Regions, the service's name, and a command line configured for them."""

    world: AwsWorld
    regions: dict[str, ServedRegion]
    name: str = ""

    def run(self, *arguments: str, **variables: str) -> Result:
        """Run a command without a terminal for confirmations."""
        return CliRunner().invoke(main, arguments, env={**self.settings, **variables})

    @property
    def settings(self) -> dict[str, str]:
        """Environment of the command line."""
        here, there = (self.regions[each].url for each in REGIONS)
        return {
            **environment("primary"),
            "USER_POOL_ID_PRIMARY": EAST_POOL,
            "USER_POOL_ID_SECONDARY": WEST_POOL,
            "OAUTH_HOST_PRIMARY": f"{here}/cognito/oauth2/token",
            "OAUTH_HOST_SECONDARY": f"{there}/cognito/oauth2/token",
            "ENDPOINT_URL_PRIMARY": here,
            "ENDPOINT_URL_SECONDARY": there,
            "ADMIN_URL_PRIMARY": here,
            "ADMIN_URL_SECONDARY": there,
            "PUBLIC_URL": self.name,
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "COLUMNS": "200",
        }

    def answer_at_the_name(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> _Answer:
        """Answer as the Region that has the traffic."""
        text = self.world.secrets[WEST].secrets[f"{PREFIX}/region"].current.text
        region = WEST if json.loads(text)["took_over"] else EAST
        return self.regions[region].answer(method, target, headers, body)


@contextmanager
def served_cloud() -> Iterator[ServedCloud]:
    """Serve two empty Regions, before `init`."""
    world = AwsWorld(FakeClock(time.time() - 3_600), list_seconds=0, replica_seconds=0)
    for store in world.secrets.values():
        store.secrets.clear()
    cloud = ServedCloud(world, {region: ServedRegion(world, region) for region in REGIONS})
    servers = []
    lock = threading.Lock()
    for answer in (*(each.answer for each in cloud.regions.values()), cloud.answer_at_the_name):
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer, lock))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
    urls = [f"http://127.0.0.1:{server.server_port}" for server, _ in servers]
    for region, url in zip(cloud.regions.values(), urls, strict=False):
        region.url = url
    cloud.name = urls[-1]
    try:
        yield cloud
    finally:
        for server, thread in servers:
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(
    answer: Callable[[str, str, Mapping[str, str], bytes], _Answer], lock: threading.Lock
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:  # Chalice serves one request at a time, as a Lambda does
                status, text = answer(self.command, self.path, dict(self.headers), body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Handler
