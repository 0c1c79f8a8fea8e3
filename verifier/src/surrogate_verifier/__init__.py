"""
Verify access tokens of several Cognito user pools, with one name per client.

    verifier = Verifier(
        [user_pool("us-east-1_AbCdEfGhI"), user_pool("us-west-2_JkLmNoPqR")],
        keys="https://auth.example.com/.well-known/jwks.json",
        token_use="access",
        audiences=NO_AUDIENCE,
        scopes={"demo/read"},
        clients=ANY,
    )
    token = verifier.verify(text)   # TokenError, AccessError or KeysUnavailableError
    token.client_id                 # the surrogate's, the same in both Regions

Read `structure` (checks without a key), then `keys`, then `verifier`.  Ready middleware:
`BearerWsgi` in `wsgi`, `BearerAsgi` in `asgi`, `rest_authorizer` and `http_api_authorizer` in
`aws_lambda`.
"""

from .bearer import Answer, answer_to, token_in
from .errors import (
    AccessError,
    AlgorithmError,
    AudienceError,
    ClaimError,
    ClientError,
    ClientNameError,
    ConfigurationError,
    DuplicateMemberError,
    ExpiredError,
    HeaderError,
    KeysUnavailableError,
    MalformedRequestError,
    MalformedTokenError,
    NoTokenError,
    NotYetValidError,
    RequestRefusedError,
    ScopeError,
    SignatureError,
    TokenError,
    TokenTooLargeError,
    TokenUseError,
    UnknownIssuerError,
    UnknownKeyError,
    VerifierError,
)
from .fetching import Fetch, FetchError, HttpsFetch
from .issuers import ClientNames, Issuer, user_pool
from .keys import Pace
from .token import VerifiedToken
from .verifier import ANY, FROM_ISSUERS, NO_AUDIENCE, Verifier

__all__ = [
    "ANY",
    "FROM_ISSUERS",
    "NO_AUDIENCE",
    "AccessError",
    "AlgorithmError",
    "Answer",
    "AudienceError",
    "ClaimError",
    "ClientError",
    "ClientNameError",
    "ClientNames",
    "ConfigurationError",
    "DuplicateMemberError",
    "ExpiredError",
    "Fetch",
    "FetchError",
    "HeaderError",
    "HttpsFetch",
    "Issuer",
    "KeysUnavailableError",
    "MalformedRequestError",
    "MalformedTokenError",
    "NoTokenError",
    "NotYetValidError",
    "Pace",
    "RequestRefusedError",
    "ScopeError",
    "SignatureError",
    "TokenError",
    "TokenTooLargeError",
    "TokenUseError",
    "UnknownIssuerError",
    "UnknownKeyError",
    "VerifiedToken",
    "Verifier",
    "VerifierError",
    "answer_to",
    "token_in",
    "user_pool",
]
