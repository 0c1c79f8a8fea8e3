"""
Token endpoint against the standards, requirement by requirement.

Each test names its requirement with a marker, `rfc(spec, section, requirement)`;
`python -m tests.compliance` makes a table of them.  All go through the routes,
with events as API Gateway sends them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import credentials
from chalicelib.errors import (
    AppClientRefusedError,
    OAuthError,
    OAuthServerError,
    TemporarilyUnavailableError,
    TokenEndpointUnavailableError,
)
from chalicelib.model import Pending, Status
from chalicelib.settings import Settings, SettingsError
from chalicelib.token import oauth
from chalicelib.token.oauth import FORM, MAX_BODY_BYTES
from tests.gateway import PUBLIC_URL, TOKEN, Answer, TokenApi, basic
from tests.stages import environment
from tests.worlds import EAST, EAST_POOL, WEST, ExchangeWorld

rfc = pytest.mark.rfc

GRANT = ("grant_type", "client_credentials")
INVALID = "invalid_client"
METADATA = "/.well-known/oauth-authorization-server"
# RFC 6749 §5.2.
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")


@pytest.fixture
def api() -> TokenApi:
    return TokenApi()


def assert_refused(answer: Answer, status: int, error: str) -> None:
    """Assert that *answer* is this error, in the form of RFC 6749 §5.2."""
    assert (answer.status, answer.error) == (status, error)
    assert answer.json.keys() == {"error", "error_description"}
    assert DESCRIPTION.fullmatch(answer.json["error_description"])
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"


def assert_untouched(api: TokenApi) -> None:
    """Assert that a request cost neither a hash nor a read of the store."""
    assert api.hashed == 0
    assert "read" not in api.world.store.calls


# Request


@rfc("6749", "3.2", "TLS")
@pytest.mark.parametrize("name", ["PUBLIC_URL", "OAUTH_HOST_PRIMARY", "OAUTH_HOST_SECONDARY"])
def test_an_endpoint_without_tls_is_refused_at_start(name: str) -> None:
    environ = environment("primary")
    Settings.from_env(environ)
    with pytest.raises(SettingsError, match=f"{name}: must be an https URL"):
        Settings.from_env({**environ, name: environ[name].replace("https://", "http://")})


@rfc("6749", "3.2", "POST only")
@rfc("9110", "15.5.6", "Other methods: 405 and Allow")
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_than_post_are_not_allowed(api: TokenApi, method: str) -> None:
    answer = api.basic(method=method)
    assert_refused(answer, 405, "invalid_request")
    assert answer.headers["Allow"] == "POST"
    assert_untouched(api)


@rfc("6749", "4.4.2", "The request is application/x-www-form-urlencoded")
@pytest.mark.parametrize(
    "content_type",
    [
        FORM,
        "Application/X-WWW-Form-URLEncoded",
        f"{FORM}; charset=UTF-8",
        f"{FORM};charset=utf-8",
        f'{FORM}; charset="UTF-8"',
        f"{FORM} ; boundary=ignored",
    ],
)
def test_a_form_is_served(api: TokenApi, content_type: str) -> None:
    assert api.basic(content_type=content_type).status == 200


@rfc("6749", "B", "The form is UTF-8")
@pytest.mark.parametrize("charset", ["utf-16", "utf-16le", "utf-7", "ibm037", "x", "", '""'])
def test_a_form_in_another_charset_is_refused(api: TokenApi, charset: str) -> None:
    assert_refused(api.basic(content_type=f"{FORM}; charset={charset}"), 400, "invalid_request")
    assert_untouched(api)


@pytest.mark.parametrize("charset", sorted(oauth._CHARSETS))
def test_a_form_of_ascii_is_served_in_every_charset_that_contains_it(
    api: TokenApi, charset: str
) -> None:
    """Adopted clients send to this service what they sent to Cognito."""
    assert bytes(range(128)).decode(charset) == bytes(range(128)).decode("utf-8")
    for spelled in (charset, charset.upper(), f'"{charset}"'):
        content_type = f"{FORM}; charset={spelled}"
        assert api.basic(("scope", "demo/read"), content_type=content_type).status == 200
        assert api.post(content_type=content_type).status == 200


@pytest.mark.parametrize("charset", sorted(oauth._CHARSETS))
@pytest.mark.parametrize("body", ["x=é", "x=%E9", "x=%FF"])
def test_a_form_beyond_ascii_is_utf_8_whatever_its_charset(
    api: TokenApi, charset: str, body: str
) -> None:
    answer = api.form(
        f"grant_type=client_credentials&{body}",
        headers=[basic(*_pair(api))],
        content_type=f"{FORM}; charset={charset}",
    )
    assert_refused(answer, 400, "invalid_request")
    assert_untouched(api)


@rfc("6749", "4.4.2", "Another media type is refused")
@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "multipart/form-data", "application/json", f"text/plain, {FORM}", "x"],
)
def test_another_media_type_is_refused(api: TokenApi, content_type: str | None) -> None:
    assert_refused(api.basic(content_type=content_type), 400, "invalid_request")
    assert_untouched(api)


@rfc("6749", "4.4.2", "JSON is never parsed")
@pytest.mark.parametrize("content_type", ["application/json", FORM])
def test_a_json_body_does_not_authenticate(api: TokenApi, content_type: str) -> None:
    body = json.dumps(
        {
            "grant_type": "client_credentials",
            "client_id": api.client.client_id,
            "client_secret": api.client.client_secret,
        }
    )
    answer = api.form(body, content_type=content_type)
    assert answer.status in {400, 401}
    assert_untouched(api)


@rfc("6749", "2.3.1", "Credentials in the URI are rejected")
@pytest.mark.parametrize(
    "name",
    ["client_id", "client_secret", "client_assertion", "access_token", "grant_type", "scope"],
)
def test_parameters_in_the_uri_are_refused_even_beside_good_credentials(
    api: TokenApi, name: str
) -> None:
    assert_refused(api.basic(query=[(name, "x")]), 400, "invalid_request")
    assert_refused(api.basic(query=[("trace", "1"), (name, "")]), 400, "invalid_request")
    assert_untouched(api)


@rfc("6749", "2.3.1", "Credentials in the URI are rejected")
def test_credentials_in_the_uri_do_not_authenticate(api: TokenApi) -> None:
    query = [("client_id", api.client.client_id), ("client_secret", api.client.client_secret)]
    assert_refused(api.form([GRANT], query=query), 400, "invalid_request")
    assert_untouched(api)


@rfc("6749", "3.2", "Unknown parameters are ignored, in the URI as well")
def test_an_unknown_parameter_in_the_uri_is_ignored(api: TokenApi) -> None:
    assert api.basic(query=[("trace", "1")]).status == 200


@rfc("6749", "3.2", "No parameter is repeated")
@pytest.mark.parametrize(
    "repeated",
    [
        [("grant_type", "client_credentials")],
        [("grant_type", "password")],
        [("scope", "demo/read"), ("scope", "demo/write")],
        [("scope", "demo/read"), ("scope", "demo/read")],
        [("scope", ""), ("scope", "demo/read")],
        [("scope", ""), ("scope", "")],
    ],
)
def test_a_repeated_parameter_is_refused_equal_or_not(
    api: TokenApi, repeated: Sequence[tuple[str, str]]
) -> None:
    assert_refused(api.basic(*repeated), 400, "invalid_request")
    assert_untouched(api)


@rfc("6749", "3.2", "No parameter is repeated")
def test_a_parameter_repeated_in_another_encoding_is_refused(api: TokenApi) -> None:
    answer = api.form(
        "grant_type=client_credentials&scope=demo%2Fread&%73cope=demo%2Fwrite",
        headers=[basic(api.client.client_id, api.client.client_secret)],
    )
    assert_refused(answer, 400, "invalid_request")


@rfc("6749", "3.2", "A repeated unknown parameter is refused (our choice)")
@rfc("8707", "2", "resource is not supported: it is ignored once, and refused if repeated")
@pytest.mark.parametrize("name", ["anything", "resource"])
def test_an_unknown_parameter_may_occur_once(api: TokenApi, name: str) -> None:
    assert api.basic((name, "https://api.example.com")).status == 200
    twice = [(name, "https://a.example.com"), (name, "https://b.example.com")]
    assert_refused(api.basic(*twice), 400, "invalid_request")


@rfc("6749", "3.2", "An empty value counts as omitted")
def test_empty_parameters_count_as_omitted(api: TokenApi) -> None:
    everything = api.basic().json["scope"]
    assert api.basic(("scope", "")).json["scope"] == everything
    ignored = [("client_id", ""), ("client_secret", ""), ("client_assertion", "")]
    assert api.basic(*ignored).status == 200
    assert_refused(
        api.form([("grant_type", "")], headers=[basic(*_pair(api))]), 400, "invalid_request"
    )
    assert_refused(api.form([GRANT, ("client_id", ""), ("client_secret", "")]), 401, INVALID)


@rfc("6749", "3.2", "Unknown parameters are ignored")
def test_unknown_parameters_are_ignored(api: TokenApi) -> None:
    plain = api.basic(("scope", "demo/read")).json
    assert api.basic(("scope", "demo/read"), ("audience", "x"), ("", "y")).json == plain


OTHER_SPELLINGS = [
    "scope[]",
    "scope[0]",
    "scope[demo/read]",
    "scope%5B%5D",
    "scope.0",
    "scope ",
    " scope",
    "Scope",
    "SCOPE",
    "\u017fcope",
    "scopes",
    "scope_",
    "amp;scope",
    ";scope",
    "data[scope]",
    "requested_scope",
]


@rfc("6749", "3.3", "A scope in a spelling that is not read never means the whole grant")
@pytest.mark.parametrize("name", OTHER_SPELLINGS)
def test_a_scope_in_another_spelling_is_refused_and_never_widens(api: TokenApi, name: str) -> None:
    for parameters in ([(name, "demo/read")], [("scope", "demo/read"), (name, "demo/read")]):
        assert_refused(api.basic(*parameters), 400, "invalid_request")
        assert_refused(api.post(*parameters), 400, "invalid_request")
    assert_refused(api.basic(query=[(name, "demo/read")]), 400, "invalid_request")
    assert_untouched(api)


@pytest.mark.parametrize("name", OTHER_SPELLINGS)
def test_a_scope_in_another_spelling_without_a_value_counts_as_omitted(
    api: TokenApi, name: str
) -> None:
    assert api.basic((name, "")).json == api.basic().json


@given(
    before=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
    after=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
    name=st.sampled_from(["scope", "Scope", "SCOPE", "sCoPe"]),
)
def test_no_other_name_around_scope_gets_a_token(before: str, after: str, name: str) -> None:
    spelled = before + name + after
    answer = TokenApi().basic((spelled, "demo/read"))
    if spelled == "scope":
        assert answer.json["scope"] == "demo/read"
    else:
        assert_refused(answer, 400, "invalid_request")


MALFORMED_BODIES = {
    "a lone percent sign": "x=100%",
    "half an escape": "x=%A",
    "an escape of no hexadecimal digits": "x=%zz",
    "an escape in a name": "%x=1",
    "a byte that UTF-8 never has": "x=%FF",
    "a UTF-8 sequence that ends too early": "x=%C3",
    "an overlong slash": "x=%C0%AF",
    "a surrogate half": "x=%ED%A0%80",
    "a NUL": "x=%00",
    "a NUL in a name": "a%00=1",
    "a character that is not encoded": "x=é",
    "too many bytes": "x=" + "a" * MAX_BODY_BYTES,
    "too many parameters": "&".join(f"p{number}=1" for number in range(40)),
}


@rfc("6749", "B", "Invalid percent-escapes, invalid UTF-8, NUL and oversize: 400, before any hash")
@pytest.mark.parametrize("body", MALFORMED_BODIES.values(), ids=MALFORMED_BODIES.keys())
def test_a_malformed_body_is_refused_before_any_hash(api: TokenApi, body: str) -> None:
    form = urlencode([GRANT, ("client_id", _pair(api)[0]), ("client_secret", _pair(api)[1])])
    assert_refused(api.form(f"{form}&{body}"), 400, "invalid_request")
    assert_untouched(api)


def test_a_body_of_the_greatest_size_is_served(api: TokenApi) -> None:
    form = urlencode([GRANT]) + "&x="
    form += "a" * (MAX_BODY_BYTES - len(form))
    assert api.form(form, headers=[basic(*_pair(api))]).status == 200


def _pair(api: TokenApi) -> tuple[str, str]:
    return api.client.client_id, api.client.client_secret


# Client authentication


@rfc("6749", "2.3.1", "HTTP Basic is supported")
def test_http_basic_authenticates(api: TokenApi) -> None:
    assert api.basic().status == 200


@rfc("6749", "2.3.1", "Credentials in the body are supported")
def test_the_body_authenticates(api: TokenApi) -> None:
    assert api.post().status == 200


ASSERTION = ("client_assertion", "e30.e30.e30")
ASSERTION_TYPE = (
    "client_assertion_type",
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
)


@rfc("6749", "2.3", "More than one method of authentication is refused")
@pytest.mark.parametrize("others", [[ASSERTION], [ASSERTION_TYPE], [ASSERTION, ASSERTION_TYPE]])
def test_a_secret_beside_an_assertion_is_refused(
    api: TokenApi, others: Sequence[tuple[str, str]]
) -> None:
    assert_refused(api.basic(*others), 400, "invalid_request")
    assert_refused(api.post(*others), 400, "invalid_request")
    assert_untouched(api)


@rfc("6749", "2.3", "More than one method of authentication is refused")
def test_basic_beside_a_secret_in_the_body_is_refused(api: TokenApi) -> None:
    answer = api.post(headers=[basic(*_pair(api))])
    assert_refused(answer, 400, "invalid_request")
    assert_untouched(api)


@rfc("6749", "2.3", "More than one method of authentication is refused")
@pytest.mark.parametrize("second", [basic("a", "b"), ("authorization", "Bearer x")])
def test_two_authorization_headers_are_refused(api: TokenApi, second: tuple[str, str]) -> None:
    answer = api.form([GRANT], headers=[basic(*_pair(api)), second])
    assert_refused(answer, 400, "invalid_request")
    assert_untouched(api)


@rfc("7523", "2.2", "An assertion alone is not supported: invalid_client")
def test_an_assertion_alone_is_not_supported(api: TokenApi) -> None:
    answer = api.form([GRANT, ("client_id", _pair(api)[0]), ASSERTION, ASSERTION_TYPE])
    assert_refused(answer, 401, INVALID)


@rfc("6749", "2.3", "Basic and an equal client_id in the body are allowed")
def test_an_equal_client_id_beside_basic_is_allowed(api: TokenApi) -> None:
    assert api.basic(("client_id", api.client.client_id)).status == 200


@rfc("6749", "2.3", "Basic and an unequal client_id in the body are refused")
@rfc("6749", "2.3", "The body never overrides the header")
def test_an_unequal_client_id_beside_basic_is_refused(api: TokenApi) -> None:
    other = api.world.client()
    assert_refused(api.basic(("client_id", other.client_id)), 400, "invalid_request")
    assert_untouched(api)


@rfc("6749", "2.3", "The body never overrides the header")
def test_valid_credentials_in_the_body_do_not_replace_invalid_ones_in_the_header(
    api: TokenApi,
) -> None:
    other = api.world.client()
    answer = api.form(
        [GRANT, ("client_id", api.client.client_id)],
        headers=[basic(api.client.client_id, other.client_secret)],
    )
    assert_refused(answer, 401, INVALID)


@rfc("9110", "11.1", "The authentication scheme is case-insensitive")
@pytest.mark.parametrize("scheme", ["basic", "BASIC", "bAsIc", "Basic  ", " Basic"])
def test_the_scheme_is_case_insensitive(api: TokenApi, scheme: str) -> None:
    assert api.form([GRANT], headers=[basic(*_pair(api), scheme=scheme)]).status == 200


@rfc("9110", "11.1", "Another authentication scheme: 401")
@pytest.mark.parametrize("header", ["Bearer abc", "Digest username=x", "Basicx abc", "", "x"])
def test_a_scheme_other_than_basic_is_refused(api: TokenApi, header: str) -> None:
    assert_refused(api.form([GRANT], headers=[("Authorization", header)]), 401, INVALID)
    assert_untouched(api)


def _base64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@rfc("7617", "2", "base64 is read strictly")
@pytest.mark.parametrize(
    "spoil",
    [
        lambda encoded: encoded.rstrip("=") + "=" * (4 - len(encoded.rstrip("=")) % 4),
        lambda encoded: encoded[:8] + " " + encoded[8:],
        lambda encoded: encoded[:8] + "\n" + encoded[8:],
        lambda encoded: encoded[:8] + "-_" + encoded[10:],
        lambda encoded: encoded + "!",
        lambda encoded: encoded[:-2],
        lambda encoded: f"{encoded} {encoded}",
        lambda _: "",
    ],
    ids=["padding", "space", "newline", "url-safe", "tail", "cut", "two", "none"],
)
def test_base64_is_read_strictly(api: TokenApi, spoil: Any) -> None:
    encoded = _base64(":".join(_pair(api)))
    assert encoded == encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4)
    header = ("Authorization", f"Basic {spoil(encoded)}")
    assert_refused(api.form([GRANT], headers=[header]), 400, "invalid_request")
    assert_untouched(api)


@rfc("7617", "2", "Credentials without a colon, or not in UTF-8, are malformed")
@pytest.mark.parametrize("raw", ["no colon", b"\xff:secret", b"id:\xc3"])
def test_malformed_basic_credentials_are_refused(api: TokenApi, raw: str | bytes) -> None:
    header = ("Authorization", f"Basic {_base64(raw)}")
    assert_refused(api.form([GRANT], headers=[header]), 400, "invalid_request")


@rfc("7617", "2", "ID and secret are split at the first colon")
def test_a_secret_may_have_colons(api: TokenApi) -> None:
    adopted = api.world.adopted("a:secret:with:colons")
    header = basic(adopted.client_id, adopted.client_secret)
    assert api.form([GRANT], headers=[header]).status == 200


def test_a_cognito_secret_sent_as_client_id_is_looked_up_nowhere(api: TokenApi) -> None:
    """CloudTrail would log the name of a requested secret."""
    secret = "1a2b3c4d5e6f7g8h9i0j" * 2 + "klmnopqrstu"  # as long as Cognito makes them
    before = list(api.world.store.calls)
    answer = api.form([GRANT], headers=[basic(secret, "1a2b3c4d5e6f7g8h9i0jklmnop")])
    assert_refused(answer, 401, INVALID)
    assert api.world.store.calls == before
    assert secret not in str(api.world.events.seen)


def _escaped(text: str) -> str:
    return "".join(f"%{ord(character):02X}" for character in text)


@rfc("6749", "2.3.1", "Each half of Basic credentials is form-decoded: %XX")
def test_each_part_of_basic_credentials_may_be_percent_encoded(api: TokenApi) -> None:
    client_id, client_secret = map(_escaped, _pair(api))
    assert api.form([GRANT], headers=[basic(client_id, client_secret)]).status == 200
    assert api.form([GRANT], headers=[basic(client_id, client_secret.lower())]).status == 200


@rfc("6749", "2.3.1", "Each half of Basic credentials is form-decoded after the split")
def test_an_encoded_colon_does_not_split(api: TokenApi) -> None:
    adopted = api.world.adopted("a:b")
    encoded = ("Authorization", "Basic " + _base64(f"{adopted.client_id}%3Aa:b"))
    assert_refused(api.form([GRANT], headers=[encoded]), 401, INVALID)
    assert api.form([GRANT], headers=[basic(adopted.client_id, "a%3Ab")]).status == 200


@rfc("6749", "2.3.1", "Each half of Basic credentials is form-decoded: + is a space, and no secret")
@pytest.mark.parametrize("sent", ["a+b", "a%2Bb", "a%20b", "a b"])
def test_a_plus_sign_survives_a_client_that_does_not_encode_it(api: TokenApi, sent: str) -> None:
    """No secret has a space, so a received space was a plus sign."""
    adopted = api.world.adopted("a+b")
    assert api.form([GRANT], headers=[basic(adopted.client_id, sent)]).status == 200


@rfc("6749", "2.3.1", "Each half of Basic credentials is form-decoded: UTF-8, no NUL")
@pytest.mark.parametrize("part", ["%", "%F", "%GG", "%FF", "%C3", "%00"])
def test_basic_credentials_that_cannot_be_decoded_are_refused(api: TokenApi, part: str) -> None:
    client_id, client_secret = _pair(api)
    for pair in [(client_id + part, client_secret), (client_id, client_secret + part)]:
        assert_refused(api.form([GRANT], headers=[basic(*pair)]), 400, "invalid_request")
    assert_untouched(api)


@rfc("6749", "A.1", "Client ID and secret are VSCHAR (%x20-7E)")
@pytest.mark.parametrize("character", ["\u00e9", "\u20ac", "\n", "\x7f", "\x1f"])
def test_credentials_have_visible_characters_only(api: TokenApi, character: str) -> None:
    client_id, client_secret = _pair(api)
    for pair in [(client_id + character, client_secret), (client_id, client_secret + character)]:
        header = basic(*map(quote, pair))
        assert_refused(api.form([GRANT], headers=[header]), 400, "invalid_request")
        form = [GRANT, ("client_id", pair[0]), ("client_secret", pair[1])]
        assert_refused(api.form(form), 400, "invalid_request")
    assert_untouched(api)


@rfc("6749", "2.3.1", "What is issued is the same whether a client form-encodes it or not")
@given(st.binary(min_size=64, max_size=64))
def test_issued_credentials_need_no_encoding(seed: bytes) -> None:
    issued = credentials.issue(
        credentials.new_client_id(lambda count: seed[:count]), lambda count: seed[:count].ljust(64)
    )
    for text in (issued.client_id, issued.client_secret):
        assert re.fullmatch(r"[A-Za-z0-9_]+", text)
        assert urlencode({"": text}) == f"={text}"


@rfc("6749", "2.3.1", "Brute force: nobody is locked out by ID (429 is the gateway's, by source)")
def test_wrong_guesses_do_not_lock_a_client_out(api: TokenApi) -> None:
    statuses = set()
    for _ in range(200):
        wrong = credentials.new_client_secret(api.world.random_bytes)
        statuses.add(api.form([GRANT], headers=[basic(api.client.client_id, wrong)]).status)
    assert statuses == {401, 429}
    assert api.basic().status == 200


@rfc("6749", "2.3.1", "Brute force: secrets are compared by argon2, in constant time")
def test_a_secret_is_verified_by_argon2_on_first_sight(api: TokenApi) -> None:
    stored = api.world.store.stored[api.client.client_id].value.secrets[0]
    assert api.basic().status == 200
    assert api.world.argon2.verified == [stored.hash]
    assert api.basic().status == 200
    assert api.world.argon2.verified == [stored.hash]
    assert api.client.client_secret not in str(vars(api.world.hasher))


@rfc("6749", "2.3.1", "Brute force: an unknown client costs a hash of the current profile")
def test_an_unknown_client_costs_a_hash(api: TokenApi) -> None:
    unknown = credentials.new_client_id(api.world.random_bytes)
    answer = api.form([GRANT], headers=[basic(unknown, api.client.client_secret)])
    assert_refused(answer, 401, INVALID)
    (decoy,) = api.world.argon2.verified
    assert not api.world.argon2.check_needs_rehash(decoy)


def invalid_callers(world: ExchangeWorld) -> dict[str, tuple[str, str]]:
    """Return credentials that are invalid for every possible reason."""
    now = int(world.clock())
    good, denied, secret_expired = world.client(), world.client(), world.client()
    world.deny(denied.client_id)
    stored = world.store.stored[secret_expired.client_id].value.secrets[0]
    world.change(secret_expired, secrets=(replace(stored, expires_at=now),))
    issued = {
        "disabled": world.client(status=Status.DISABLED),
        "enrolling": world.client(status=Status.ENROLLING),
        "deleted": world.client(status=Status.DELETED),
        "expired": world.client(expires_at=now),
        "outside its CIDRs": world.client(allowed_cidrs=(ip_network("198.51.100.0/24"),)),
        "denied": denied,
        "secret expired": secret_expired,
    }
    secret = good.client_secret
    return {reason: (each.client_id, each.client_secret) for reason, each in issued.items()} | {
        "unknown": (credentials.new_client_id(world.random_bytes), secret),
        "wrong": (good.client_id, denied.client_secret),
        "typo": (good.client_id, secret[:-1] + ("b" if secret.endswith("a") else "a")),
        "no secret of ours": (good.client_id, "x"),
        "the stored hash": (good.client_id, world.hash_of(good)),
        "no ID of ours": ("x", secret),
    }


@rfc("6749", "2.3.1", "Unknown, disabled, expired, wrong: identical body and headers")
@rfc("6749", "2.3.1", "A stored hash never authenticates")
def test_every_invalid_caller_gets_the_same_answer(api: TokenApi) -> None:
    """The answer is the same for every reason and method, at first and repeated requests."""
    answers = []
    for client_id, client_secret in invalid_callers(api.world).values():
        form = [GRANT, ("client_id", client_id), ("client_secret", client_secret)]
        for _ in range(2):
            answers.append(api.form([GRANT], headers=[basic(client_id, client_secret)]))
            answers.append(api.form(form))
    assert_refused(answers[0], 401, INVALID)
    assert set(map(str, answers)) == {str(answers[0])}


# The client credentials grant


@rfc("6749", "4.4", "Confidential clients only")
@pytest.mark.parametrize("others", [[], [("client_secret", "")]])
def test_a_client_without_a_secret_is_refused(
    api: TokenApi, others: Sequence[tuple[str, str]]
) -> None:
    form = [GRANT, ("client_id", api.client.client_id), *others]
    assert_refused(api.form(form), 401, INVALID)
    assert_refused(api.form([GRANT, ("client_secret", api.client.client_secret)]), 401, INVALID)
    assert_refused(api.form([GRANT]), 401, INVALID)
    empty = basic(api.client.client_id, "")
    assert_refused(api.form([GRANT], headers=[empty]), 401, INVALID)
    assert_untouched(api)


@rfc("6749", "5.2", "grant_type missing: invalid_request")
def test_a_missing_grant_type_is_an_invalid_request(api: TokenApi) -> None:
    header = basic(*_pair(api))
    assert_refused(api.form("", headers=[header]), 400, "invalid_request")
    assert_refused(api.form([("scope", "demo/read")], headers=[header]), 400, "invalid_request")
    assert_untouched(api)


@rfc("6749", "5.2", "Another grant_type: unsupported_grant_type")
@rfc("9700", "2.4", "The resource owner password credentials grant is not offered")
@pytest.mark.parametrize(
    "grant_type",
    [
        "password",
        "authorization_code",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "CLIENT_CREDENTIALS",
        "client_credentials ",
    ],
)
def test_another_grant_type_is_not_supported(api: TokenApi, grant_type: str) -> None:
    answer = api.form([("grant_type", grant_type)], headers=[basic(*_pair(api))])
    assert_refused(answer, 400, "unsupported_grant_type")
    assert_untouched(api)


@rfc("9700", "4.15", "A client ID is never that of a user: no sub of Cognito's is one")
@given(st.uuids())
def test_a_users_sub_is_not_a_client_id(sub: UUID) -> None:
    """Generated or adopted, no client ID looks like a user's: no backend confuses the two."""
    assert not credentials.is_client_id(str(sub))


@rfc("9700", "2.3", "A token has no more than was asked for")
def test_a_client_may_ask_for_less_than_it_was_granted(api: TokenApi) -> None:
    api.form([GRANT, ("scope", "demo/read")], headers=[basic(*_pair(api))])
    ((_, scope, _),) = api.world.endpoint.requests
    assert scope == "demo/read"


@rfc("6749", "5.2", "unauthorized_client does not occur: every client may use the one grant")
def test_no_answer_says_unauthorized_client() -> None:
    assert {kind.error for kind in OAuthError.__subclasses__()} == {
        "invalid_request",
        "invalid_client",
        "unsupported_grant_type",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
    }


SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


@rfc("6749", "3.3", "Scope tokens are 1*(%x21 / %x23-5B / %x5D-7E), joined by single spaces")
@rfc("6749", "3.3", "A malformed scope: invalid_scope")
@pytest.mark.parametrize(
    "scope",
    [
        " demo/read",
        "demo/read ",
        "demo/read  demo/write",
        "demo/read\tdemo/write",
        "demo/read\n",
        'demo/"read"',
        "demo\\read",
        "demo/r\u00e9ad",
        "demo/read\x7f",
        " ",
    ],
)
def test_a_malformed_scope_is_refused(api: TokenApi, scope: str) -> None:
    assert_refused(api.basic(("scope", scope)), 400, "invalid_scope")
    assert_untouched(api)


@rfc("6749", "3.3", "Scope tokens are 1*(%x21 / %x23-5B / %x5D-7E), joined by single spaces")
@given(st.text(st.characters(max_codepoint=0x17F), max_size=12))
def test_a_scope_follows_the_grammar(text: str) -> None:
    tokens = text.split(" ")
    assert oauth.is_scope(text) is all(SCOPE_TOKEN.fullmatch(token) for token in tokens)


@rfc("6749", "3.3", "An unknown or excessive scope: invalid_scope")
@pytest.mark.parametrize("scope", ["demo/admin", "demo/read demo/admin", "read", "demo/read,x"])
def test_a_scope_beyond_the_grant_is_refused(api: TokenApi, scope: str) -> None:
    assert_refused(api.basic(("scope", scope)), 400, "invalid_scope")
    assert not api.world.endpoint.requests


@rfc("6749", "3.3", "Scope tokens are case-sensitive")
def test_scopes_are_case_sensitive(api: TokenApi) -> None:
    assert_refused(api.basic(("scope", "demo/Read")), 400, "invalid_scope")


@rfc("6749", "3.3", "The order of scope tokens does not matter")
def test_the_order_of_scopes_does_not_matter(api: TokenApi) -> None:
    first = api.basic(("scope", "demo/read demo/write")).json
    assert api.basic(("scope", "demo/write demo/read demo/write")).json == first
    assert len(api.world.endpoint.requests) == 1


@rfc("6749", "3.3", "No scope asked for: all that was granted (documented default)")
def test_an_omitted_scope_means_the_whole_grant(api: TokenApi) -> None:
    assert api.basic().json["scope"] == "demo/read demo/write"


# Success


@rfc("6749", "5.1", "200 and JSON, with access_token and token_type Bearer")
@rfc("6749", "5.1", "expires_in is there")
@rfc("6749", "4.4.3", "No refresh token")
@rfc("6749", "5.1", "Cache-Control: no-store and Pragma: no-cache")
def test_a_token_is_answered_in_the_standards_form(api: TokenApi) -> None:
    answer = api.basic(("scope", "demo/read"))
    assert answer.status == 200
    assert answer.headers == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Pragma": "no-cache",
    }
    assert answer.json == {
        "access_token": "token-1",
        "token_type": "Bearer",
        "expires_in": 3600,
        "scope": "demo/read",
    }


@rfc("6749", "5.1", "expires_in is the remaining life of a cached token")
def test_expires_in_of_a_cached_token_is_its_remaining_lifetime(api: TokenApi) -> None:
    first = api.basic().json
    api.world.clock.advance(1000.5)
    assert api.basic().json == {**first, "expires_in": 2599}


@rfc("6749", "5.1", "scope is there if it differs from what was asked for")
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (None, "demo/read demo/write"),
        ("demo/write", "demo/write"),
        ("demo/write demo/read", "demo/read demo/write"),
    ],
)
def test_the_response_always_has_the_scope(api: TokenApi, asked: str | None, told: str) -> None:
    answer = api.basic() if asked is None else api.basic(("scope", asked))
    assert answer.json["scope"] == told
    assert api.world.endpoint.requests[-1][1] == told


# Errors


CANARY = "zqx7canary"


@rfc("6749", "5.2", "An error is JSON with error and error_description, 400 unless stated")
@rfc("6749", "5.2", "error_description is %x20-21 / %x23-5B / %x5D-7E")
@rfc("6749", "5.2", "No input is echoed")
@rfc("6749", "5.2", "Errors are not stored either")
@pytest.mark.parametrize(
    ("request_", "status", "error"),
    [
        ({"parameters": f"{CANARY}=%zz"}, 400, "invalid_request"),
        ({"parameters": f"{CANARY}=1&{CANARY}=1"}, 400, "invalid_request"),
        ({"content_type": f"text/{CANARY}"}, 400, "invalid_request"),
        ({"content_type": f"{FORM}; charset={CANARY}"}, 400, "invalid_request"),
        ({"headers": [basic(CANARY, CANARY)]}, 401, INVALID),
        ({"headers": [("Authorization", CANARY)]}, 401, INVALID),
        ({"headers": [("Authorization", f"Basic {CANARY}")]}, 400, "invalid_request"),
        ({"query": [("client_id", CANARY)]}, 400, "invalid_request"),
        ({"method": "PUT", "query": [(CANARY, CANARY)]}, 405, "invalid_request"),
    ],
)
def test_an_error_description_does_not_echo_the_request(
    api: TokenApi, request_: dict[str, Any], status: int, error: str
) -> None:
    answer = api.form(**request_)
    assert_refused(answer, status, error)
    assert CANARY not in str(answer)


@rfc("6749", "5.2", "No input is echoed")
@pytest.mark.parametrize(
    ("name", "error"), [("grant_type", "unsupported_grant_type"), ("scope", "invalid_scope")]
)
def test_a_refused_parameter_is_not_echoed(api: TokenApi, name: str, error: str) -> None:
    form = dict([GRANT]) | {name: CANARY}
    answer = api.form(list(form.items()), headers=[basic(*_pair(api))])
    assert_refused(answer, 400, error)
    assert CANARY not in str(answer)


@rfc("6749", "5.2", "error_description is %x20-21 / %x23-5B / %x5D-7E")
@pytest.mark.parametrize("kind", OAuthError.__subclasses__())
def test_every_description_has_only_characters_that_are_allowed(kind: type[OAuthError]) -> None:
    assert DESCRIPTION.fullmatch(kind.description)


@rfc("6749", "5.2", "invalid_client is 401 with WWW-Authenticate, whichever method was used")
@rfc("9110", "11.6.1", "Every 401 carries a challenge")
@rfc("7617", "2", "The challenge is Basic with realm and charset")
def test_a_401_carries_a_basic_challenge(api: TokenApi) -> None:
    client_id, _ = _pair(api)
    refusals = [
        api.form([GRANT], headers=[basic(client_id, "wrong")]),
        api.form([GRANT], headers=[("Authorization", "Bearer x")]),
        api.form([GRANT, ("client_id", client_id), ("client_secret", "wrong")]),
        api.form([GRANT]),
        api.form([GRANT, ("client_id", client_id), ASSERTION, ASSERTION_TYPE]),
    ]
    for answer in refusals:
        assert_refused(answer, 401, INVALID)
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="oauth2/token", charset="UTF-8"'


@rfc("6749", "5.2", "Other errors carry no challenge")
def test_only_a_401_carries_a_challenge(api: TokenApi) -> None:
    for answer in [api.basic(), api.basic(("scope", "x")), api.basic(method="GET")]:
        assert "WWW-Authenticate" not in answer.headers


@rfc("6749", "5.2", "temporarily_unavailable is 503 with Retry-After")
def test_an_unavailable_service_is_a_503(api: TokenApi) -> None:
    api.world.endpoint.failures["request_token"] = [TokenEndpointUnavailableError("east-app")]
    answer = api.basic()
    assert_refused(answer, 503, "temporarily_unavailable")
    assert answer.headers["Retry-After"] == "5"


@rfc("6749", "5.2", "server_error is 500")
def test_a_server_error_is_a_500(api: TokenApi) -> None:
    api.world.endpoint.refused.add("east-secret")
    assert_refused(api.basic(), 500, "server_error")


@rfc("6749", "5.2", "Every error of Cognito's is translated")
@rfc("6749", "5.2", "No pool, app client ID, Region or version leaks")
@pytest.mark.parametrize(
    "failure",
    [
        TokenEndpointUnavailableError(f"east-app of {EAST_POOL} in {EAST}"),
        AppClientRefusedError(f"east-app of {EAST_POOL} in {EAST}"),
        RuntimeError(f"east-app of {EAST_POOL} in {EAST}"),
    ],
)
def test_no_error_of_cognito_is_shown(api: TokenApi, failure: Exception) -> None:
    api.world.endpoint.failures["request_token"] = [failure, failure]
    _assert_nothing_leaks(api.basic(), OAuthServerError, TemporarilyUnavailableError)


@rfc("6749", "5.2", "No pool, app client ID, Region or version leaks")
def test_the_reason_for_a_pending_app_client_is_not_shown(api: TokenApi) -> None:
    app_clients = api.world.store.stored[api.client.client_id].value.app_clients
    pending = Pending(0, f"Cognito in {EAST} did not answer")
    api.world.change(api.client, app_clients={**app_clients, EAST: pending})
    _assert_nothing_leaks(api.basic(), TemporarilyUnavailableError)


def _assert_nothing_leaks(answer: Answer, *expected: type[OAuthError]) -> None:
    assert (answer.status, answer.error) in {(kind.status_code, kind.error) for kind in expected}
    for word in ["east-app", "east-secret", EAST_POOL, EAST, WEST, "version-"]:
        assert word not in str(answer)


# Metadata


@pytest.fixture
def metadata(api: TokenApi) -> Any:
    answer = api.call(method="GET", path=METADATA)
    assert answer.status == 200
    return answer.json


@rfc("9700", "2.6", "Metadata is published")
@rfc("8414", "3", "The metadata is at /.well-known/oauth-authorization-server, as JSON")
def test_the_metadata_is_json(api: TokenApi) -> None:
    answer = api.call(method="GET", path=METADATA)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert isinstance(answer.json, dict)


@rfc("8414", "2", "issuer is an https URL without query and fragment")
@rfc("8414", "3.3", "issuer is the URL of which the well-known URL was made")
def test_the_issuer_is_the_public_url(metadata: Any) -> None:
    assert metadata["issuer"] == PUBLIC_URL
    parts = urlsplit(metadata["issuer"])
    assert (parts.scheme, parts.query, parts.fragment) == ("https", "", "")


@rfc("8414", "2", "issuer is an https URL without query and fragment")
@pytest.mark.parametrize("tail", ["?", "?a=b", "#", "#a", "/?a=b"])
def test_a_public_url_with_query_or_fragment_is_refused_at_start(tail: str) -> None:
    with pytest.raises(SettingsError, match="PUBLIC_URL"):
        Settings.from_env({**environment("primary"), "PUBLIC_URL": PUBLIC_URL + tail})


@rfc("8414", "2", "token_endpoint is there")
def test_the_metadata_has_the_token_endpoint(metadata: Any) -> None:
    assert metadata["token_endpoint"] == PUBLIC_URL + TOKEN


@rfc("8414", "2", "response_types_supported is REQUIRED")
@rfc("8414", "3.2", "Empty arrays are omitted (response_types_supported is not empty: our choice)")
def test_the_metadata_has_every_required_member_and_none_empty(metadata: Any) -> None:
    assert {"issuer", "token_endpoint", "response_types_supported"} <= metadata.keys()
    assert metadata["response_types_supported"] == ["none"]
    assert all(metadata.values())


@rfc("8414", "2", "grant_types_supported names client_credentials, which the default omits")
def test_the_metadata_has_the_grant_type(metadata: Any) -> None:
    assert metadata["grant_types_supported"] == ["client_credentials"]


@rfc("8414", "2", "token_endpoint_auth_methods_supported lists what works")
def test_the_authentication_methods_of_the_metadata_work(api: TokenApi, metadata: Any) -> None:
    work = {"client_secret_basic": api.basic, "client_secret_post": api.post}
    assert metadata["token_endpoint_auth_methods_supported"] == list(work)
    assert all(method().status == 200 for method in work.values())


@rfc("8414", "2", "Signing algorithms are listed only with JWT authentication, which there is none")
def test_the_metadata_has_no_signing_algorithm(metadata: Any) -> None:
    assert not [name for name in metadata if "signing_alg" in name]


@rfc("8414", "2", "The tokens' issuer is Cognito: no keys are published for ours")
def test_the_metadata_has_no_keys_for_the_issuer(metadata: Any) -> None:
    assert "jwks_uri" not in metadata
