"""
What each kind of backend is configured with: text, made of the facts alone.

Every one of these does the same: it takes the two issuers and no other, each with its own keys,
RS256, the time, `token_use`, and the scopes and app clients that were named; and it goes on
with the keys that it has when an issuer cannot be reached.  docs/backends.md says which of
them the tests run with real tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from string import Template
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from surrogatectl.trust.facts import KEY_SET, SHARED, Trust, TrustedPool

Render = Callable[[Trust], str]

_PYTHON = Template('''\
"""Accepts the access tokens of both Regions: pip install ./verifier"""

from surrogate_verifier import $names

verifier = Verifier(
    [
$pools
    ],
    keys=$keys,
    token_use="access",
    scopes=$scopes,
    clients=$clients
$more)
''')

_PYJWT = Template('''\
"""Accepts the access tokens of both Regions: pip install 'pyjwt[crypto]>=2.10'"""

import jwt

# Cached for good, and fetched again for a key ID that is new: a lost Region takes no key away.
KEYS = {
    issuer: jwt.PyJWKClient(url, lifespan=10**9, timeout=3)
    for issuer, url in {
$key_sets
    }.items()
}
SCOPES = $scopes
APP_CLIENTS = $app_clients


def verify(token: str) -> dict:
    """
    Return the claims of *token*.

    jwt.PyJWKClientConnectionError says that the issuer's keys could not be had: answer 503.
    Any other jwt.PyJWTError says that the token is refused: answer 401.
    """
    issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
    if not isinstance(issuer, str) or issuer not in KEYS:
        raise jwt.InvalidIssuerError("the issuer is not trusted")
    claims = jwt.decode(
        token,
        KEYS[issuer].get_signing_key_from_jwt(token).key,
        algorithms=["RS256"],
        issuer=issuer,
        leeway=30,
        options={"require": ["exp", "iat", "iss", "client_id"], "verify_aud": False},
    )
    if claims.get("token_use") != "access":
        raise jwt.InvalidTokenError("not an access token")
    if not SCOPES <= set(str(claims.get("scope", "")).split()):
        raise jwt.InvalidTokenError("a scope is missing")
    if APP_CLIENTS is not None and claims["client_id"] not in APP_CLIENTS[issuer]:
        raise jwt.InvalidTokenError("the client may not do this")
    return claims
''')

_JOSERFC = Template('''\
"""Accepts the access tokens of both Regions: pip install joserfc requests"""

import json
import time

import requests
from joserfc import jws, jwt
from joserfc.errors import InvalidClaimError
from joserfc.jwk import KeySet

KEY_SETS = {
$key_sets
}
SCOPES = $scopes
APP_CLIENTS = $app_clients
_TIMES = jwt.JWTClaimsRegistry(leeway=30, exp={"essential": True}, iat={"essential": True})
_keys: dict[str, KeySet] = {}
_tried: dict[str, float] = {}


def verify(token: str) -> dict:
    """
    Return the claims of *token*.

    requests.RequestException says that the issuer's keys could not be had: answer 503.
    joserfc's JoseError or ValueError says that the token is refused: answer 401.
    """
    unverified = jws.extract_compact(token.encode())
    claims, key_id = json.loads(unverified.payload), unverified.headers().get("kid")
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    if not isinstance(issuer, str) or issuer not in KEY_SETS or not isinstance(key_id, str):
        raise InvalidClaimError("iss")
    claims = jwt.decode(token, _keys_of(issuer, key_id), algorithms=["RS256"]).claims
    _TIMES.validate(claims)
    if claims.get("token_use") != "access":
        raise InvalidClaimError("token_use")
    if not SCOPES <= set(str(claims.get("scope", "")).split()):
        raise InvalidClaimError("scope")
    if APP_CLIENTS is not None and claims.get("client_id") not in APP_CLIENTS[issuer]:
        raise InvalidClaimError("client_id")
    return claims


def _keys_of(issuer: str, key_id: str) -> KeySet:
    """Return the issuer's keys: those that are known, or fetched, at most every 10 seconds."""
    known = _keys.get(issuer)
    if known is not None and key_id in {key.kid for key in known.keys}:
        return known
    if time.monotonic() - _tried.get(issuer, -10) >= 10:
        _tried[issuer] = time.monotonic()
        answer = requests.get(KEY_SETS[issuer], timeout=3, allow_redirects=False)
        if answer.status_code != 200:
            raise requests.ConnectionError("the issuer's keys are not available")
        known = _keys[issuer] = KeySet.import_key_set(answer.json())
    if known is None:
        raise requests.ConnectionError("the issuer's keys are not available")
    return known
''')

_AWS_JWT_VERIFY = Template("""\
// Accepts the access tokens of both Regions: npm install aws-jwt-verify@5
import { CognitoJwtVerifier } from "aws-jwt-verify";
import { FetchError, WaitPeriodNotYetEndedJwkError } from "aws-jwt-verify/error";
${jwk_import}const scopes = $scopes;

// Of a list, the library wants one scope; this wants all of them.
const customJwtCheck = ({ payload }) => {
  const granted = String(payload.scope ?? "").split(" ");
  if (!scopes.every((scope) => granted.includes(scope))) {
    throw new Error("a scope is missing");
  }
};

// Keys are cached for good, and fetched again for a key ID that is new.
export const verifier = CognitoJwtVerifier.create(
  [
$pools
  ]$cache,
);

export const verify = (token) => verifier.verify(token);

// Whether an error of verify says that keys could not be had: answer 503. Any other: answer 401.
export const unavailable = (error) =>
  error instanceof FetchError || error instanceof WaitPeriodNotYetEndedJwkError;
""")

_LOCAL_CACHE = Template("""\
,
  {
    // The local cloud only: its key sets are not where the issuers say.
    jwksCache: new SimpleJwksCache({
      fetcher: {
        fetch: async (uri) => {
          const local = {
$key_sets
          };
          const answer = await fetch(local[uri]).catch(() => ({ ok: false }));
          if (!answer.ok) {
            throw new FetchError(uri, "no keys");
          }
          return answer.arrayBuffer();
        },
      },
    }),
  }""")

_JOSE = Template("""\
// Accepts the access tokens of both Regions: npm install jose@6
import { createRemoteJWKSet, decodeJwt, errors, jwtVerify } from "jose";

// Cached for good, and fetched again for a key ID that is new: a lost Region takes no key away.
const options = { cacheMaxAge: Infinity, cooldownDuration: 10_000, timeoutDuration: 3_000 };
const keys = new Map([
$key_sets
]);
const scopes = $scopes;
const appClients = $app_clients;

// Throws what jose throws; a JWTClaimValidationFailed for what is Cognito's.
export async function verify(token) {
  const { iss } = decodeJwt(token);
  if (!keys.has(iss)) {
    throw new errors.JWTClaimValidationFailed("the issuer is not trusted", {}, "iss");
  }
  const { payload } = await jwtVerify(token, keys.get(iss), {
    issuer: iss,
    algorithms: ["RS256"],
    clockTolerance: 30,
    requiredClaims: ["exp", "iat", "client_id"],
  });
  const granted = String(payload.scope ?? "").split(" ");
  const wanted = {
    token_use: payload.token_use === "access",
    scope: scopes.every((scope) => granted.includes(scope)),
    client_id: appClients === null || appClients[iss].includes(payload.client_id),
  };
  for (const [claim, fits] of Object.entries(wanted)) {
    if (!fits) {
      throw new errors.JWTClaimValidationFailed(`$${claim} does not fit`, payload, claim);
    }
  }
  return payload;
}

// Whether an error of verify says that keys could not be had: answer 503. Any other: answer 401.
const noKeys = [errors.JWKSTimeout.code, errors.JWKSInvalid.code, errors.JOSEError.code];
export const unavailable = (error) =>
  !(error instanceof errors.JOSEError) || noKeys.includes(error.code);
""")

_SPRING = Template("""\
# application.yml: accepts the access tokens of both Regions.
# What reads it is examples/spring/SurrogateTrust.java; it needs no change for another deployment.
surrogate:
  trust:
    scopes: $scopes
    issuers:
$issuers
""")

_SPRING_ISSUER = Template("""\
      - issuer: $issuer
        jwk-set-uri: $key_set
        $app_clients""")

_ENVOY = Template("""\
# Envoy 1.33 or newer: accepts the access tokens of both Regions.
# http_filters: put both before envoy.filters.http.router, in the HTTP connection manager;
# local_reply_config belongs there, too; clusters beside the ones that you have.
http_filters:
  - name: envoy.filters.http.jwt_authn
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
      providers:
$providers
      rules:
        - match: {prefix: /}
          requires:
            requires_any:
              requirements:
$requirements
  - name: envoy.filters.http.rbac
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
      rules:
        action: ALLOW
        policies:
          surrogate-tokens:
            permissions: [{any: true}]
            principals:
$principals
# Without an issuer's keys a token is neither good nor bad: 503, where Envoy would say 401.
local_reply_config:
  mappers:
    - filter:
        extension_filter:
          name: envoy.access_loggers.extension_filters.cel
          typed_config:
            "@type": $cel
            expression: >-
              response.code_details == "jwt_authn_access_denied{Jwks_remote_fetch_is_failed}"
      status_code: 503
      headers_to_add: [{header: {key: Retry-After, value: "10"}}]
clusters:
$clusters
""")

_ENVOY_CEL: Final = (
    "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
)

_ENVOY_PROVIDER = Template("""\
        $name:
          issuer: $issuer
          require_expiration: true
          clock_skew_seconds: 30
          # Not from the query, where Envoy also looks by itself.
          from_headers: [{name: Authorization, value_prefix: "Bearer "}]
          forward: true
          payload_in_metadata: token
          normalize_payload_in_metadata: {space_delimited_claims: [scope]}
          # Replaces whatever a client sends in this header.
          claim_to_headers: [{header_name: x-client-id, claim_name: surrogate_client_id}]
          remote_jwks:
            http_uri: {uri: $key_set, cluster: $name-keys, timeout: 3s}
            cache_duration: 300s
            # Keys that were fetched in the background never expire: a lost Region takes none away.
            async_fetch: {failed_refetch_duration: 10s}""")

_ENVOY_CLUSTER = Template("""\
  - name: $name-keys
    type: STRICT_DNS
    connect_timeout: 3s
    load_assignment:
      cluster_name: $name-keys
      endpoints:
        - lb_endpoints:
            - endpoint: {address: {socket_address: {address: $host, port_value: $port}}}""")

_ENVOY_TLS = Template("""\

    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: $host
        common_tls_context:
          validation_context:
            trusted_ca: {filename: /etc/ssl/certs/ca-certificates.crt}
            match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: $host}}]""")


def _python(trust: Trust) -> str:
    """Return a module for the verifier in `verifier/`."""
    shared = trust.keys == SHARED
    pools = []
    for pool in trust.pools:
        arguments = [pool.user_pool_id]
        if pool.is_local:
            arguments.append(pool.key_set_url)
        pools.append(f"        user_pool({', '.join(map(json.dumps, arguments))}),  # {pool.role}")
    used = {"Verifier", "user_pool"}
    used |= set() if trust.scopes and trust.names else {"ANY"}
    used |= set() if shared else {"FROM_ISSUERS"}
    more, clients = "", 'ANY,  # or the surrogates that may come: {"sgc_..."}'
    if trust.names is not None:
        used.add("ClientNames")
        clients = f"{_python_set(trust.names.clients)},"
        more = f"    client_names=ClientNames.from_file({json.dumps(trust.names.path)}),\n"
    if trust.is_local:
        more += "    loopback_http=True,  # the local cloud has no TLS\n"
    return _PYTHON.substitute(
        names=", ".join(sorted(used)),
        pools="\n".join(pools),
        keys=json.dumps(trust.shared_key_set_url) if shared else "FROM_ISSUERS",
        scopes=_python_set(trust.scopes) if trust.scopes else "ANY",
        clients=clients,
        more=more,
    )


def _pyjwt(trust: Trust) -> str:
    """Return a module for PyJWT."""
    return _PYJWT.substitute(_python_facts(trust, indent=8))


def _joserfc(trust: Trust) -> str:
    """Return a module for joserfc."""
    return _JOSERFC.substitute(_python_facts(trust, indent=4))


def _python_facts(trust: Trust, indent: int) -> Mapping[str, str]:
    return {
        "key_sets": "\n".join(
            f"{' ' * indent}{json.dumps(pool.issuer)}: {json.dumps(pool.key_set_url)},"
            for pool in trust.pools
        ),
        "scopes": _python_set(trust.scopes),
        "app_clients": "None  # any"
        if _any_app_client(trust)
        else "{\n"
        + "".join(
            f"    {json.dumps(pool.issuer)}: {_python_set(pool.app_clients or ())},\n"
            for pool in trust.pools
        )
        + "}",
    }


def _python_set(values: Sequence[str]) -> str:
    return f"{{{', '.join(map(json.dumps, values))}}}" if values else "set()"


def _aws_jwt_verify(trust: Trust) -> str:
    """Return a module for aws-jwt-verify under Node."""
    cache = _LOCAL_CACHE.substitute(
        key_sets="\n".join(
            f"            {json.dumps(pool.issuer + KEY_SET)}: {json.dumps(pool.key_set_url)},"
            for pool in trust.pools
        )
    )
    return _AWS_JWT_VERIFY.substitute(
        jwk_import='import { SimpleJwksCache } from "aws-jwt-verify/jwk";\n'
        if trust.is_local
        else "",
        scopes=json.dumps(trust.scopes),
        pools="\n".join(
            "    { "
            f"userPoolId: {json.dumps(pool.user_pool_id)}, "
            'tokenUse: "access", '
            f"clientId: {json.dumps(pool.app_clients)}, customJwtCheck"
            " },"
            for pool in trust.pools
        ),
        cache=cache if trust.is_local else "",
    )


def _jose(trust: Trust) -> str:
    """Return a module for jose under Node."""
    return _JOSE.substitute(
        key_sets="\n".join(
            f"  [{json.dumps(pool.issuer)}, "
            f"createRemoteJWKSet(new URL({json.dumps(pool.key_set_url)}), options)],"
            for pool in trust.pools
        ),
        scopes=json.dumps(trust.scopes),
        app_clients="null"
        if _any_app_client(trust)
        else json.dumps({pool.issuer: pool.app_clients or () for pool in trust.pools}, indent=2),
    )


def _spring(trust: Trust) -> str:
    """Return the part of application.yml that the example's class reads."""
    return _SPRING.substitute(
        scopes=json.dumps(trust.scopes),
        issuers="\n".join(
            _SPRING_ISSUER.substitute(
                issuer=json.dumps(pool.issuer),
                key_set=json.dumps(pool.key_set_url),
                app_clients="any-app-client: true"
                if pool.app_clients is None
                else f"app-clients: {json.dumps(pool.app_clients)}",
            )
            for pool in trust.pools
        ),
    )


def _envoy(trust: Trust) -> str:
    """Return two HTTP filters and the clusters that the keys come from."""
    return _ENVOY.substitute(
        providers="\n".join(
            _ENVOY_PROVIDER.substitute(
                name=pool.role,
                issuer=json.dumps(pool.issuer),
                key_set=json.dumps(pool.key_set_url),
            )
            for pool in trust.pools
        ),
        requirements="\n".join(
            f"                - provider_name: {pool.role}" for pool in trust.pools
        ),
        principals="\n".join(_envoy_principal(trust, pool) for pool in trust.pools),
        cel=_ENVOY_CEL,
        clusters="\n".join(_envoy_cluster(pool) for pool in trust.pools),
    )


def _envoy_principal(trust: Trust, pool: TrustedPool) -> str:
    """Return who may come with a token of *pool*: the same as everywhere, in Envoy's words."""
    exact = {"iss": pool.issuer, "token_use": "access"}
    wanted = [
        _envoy_match(claim, f"string_match: {{exact: {json.dumps(value)}}}")
        for claim, value in exact.items()
    ]
    wanted += [
        _envoy_match(
            "scope",
            f"list_match: {{one_of: {{string_match: {{exact: {json.dumps(scope)}}}}}}}",
        )
        for scope in trust.scopes
    ]
    if pool.app_clients is not None:
        clients = [
            _envoy_match("client_id", f"string_match: {{exact: {json.dumps(client)}}}", 26)
            for client in pool.app_clients
        ]
        any_of_them = "- or_ids:\n                        ids:\n" + "\n".join(clients)
        wanted.append(" " * 20 + (any_of_them if clients else "- not_id: {any: true}"))
    return "              - and_ids:\n                  ids:\n" + "\n".join(wanted)


def _envoy_match(claim: str, value: str, indent: int = 20) -> str:
    space = " " * indent
    return (
        f"{space}- sourced_metadata:\n"
        f"{space}    metadata_matcher:\n"
        f"{space}      filter: envoy.filters.http.jwt_authn\n"
        f"{space}      path: [{{key: token}}, {{key: {claim}}}]\n"
        f"{space}      value: {{{value}}}"
    )


def _envoy_cluster(pool: TrustedPool) -> str:
    parts = urlsplit(pool.key_set_url)
    secure = parts.scheme == "https"
    facts = {
        "name": pool.role,
        "host": str(parts.hostname),
        "port": str(parts.port or (443 if secure else 80)),
    }
    return _ENVOY_CLUSTER.substitute(facts) + (_ENVOY_TLS.substitute(facts) if secure else "")


def _any_app_client(trust: Trust) -> bool:
    return all(pool.app_clients is None for pool in trust.pools)


BACKENDS: Final[Mapping[str, Render]] = MappingProxyType(
    {
        "spring": _spring,
        "aws-jwt-verify": _aws_jwt_verify,
        "jose": _jose,
        "envoy": _envoy,
        "python": _python,
        "pyjwt": _pyjwt,
        "joserfc": _joserfc,
    }
)
