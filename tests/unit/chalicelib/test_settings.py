"""Settings: an invalid one is named before anything runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.settings import Settings, SettingsError
from tests.stages import environment

REQUIRED = [
    "APP_REGION",
    "REGION_PRIMARY",
    "REGION_SECONDARY",
    "USER_POOL_ID_PRIMARY",
    "USER_POOL_ID_SECONDARY",
    "OAUTH_HOST_PRIMARY",
    "OAUTH_HOST_SECONDARY",
    "SECRET_PREFIX",
    "PUBLIC_URL",
]
TOKEN_URL = "https://example.auth.us-east-1.amazoncognito.com/oauth2/token"
URLS = [
    "http://auth.example.com{path}",
    "http://localhost{path}",
    "http://127.0.0.1.example.com{path}",
    "ftp://auth.example.com{path}",
    "auth.example.com{path}",
    "https://{path}",
    "https://:443{path}",
    "https://auth.example.com:0{path}",
    "https://auth.example.com:x{path}",
    "https://auth.example.com:70000{path}",
    "https://user@auth.example.com{path}",
    "https://:password@auth.example.com{path}",
    "https://auth.example.com{path}?",
    "https://auth.example.com{path}?a=b",
    "https://auth.example.com{path}#a",
    "https://auth.example.com{path}\n",
    " https://auth.example.com{path}",
    "https://auth example.com{path}",
    "https://[auth{path}",
    "https://äuth.example.com{path}",
]
MALFORMED = {
    "REGION_PRIMARY": ["", "us-east", "US-EAST-1", "us-east-1 ", "us-east-1\n", "x"],
    "REGION_SECONDARY": ["", "europe"],
    "APP_REGION": ["", "eu-central-1", "primary", "us-east-1 "],
    "USER_POOL_ID_PRIMARY": ["", "us-east-1", "us-west-2_EXAMPLE11", "us-east-1_", "us-east-1_a/b"],
    "USER_POOL_ID_SECONDARY": ["", "us-east-1_EXAMPLE22"],
    "OAUTH_HOST_PRIMARY": [
        "",
        "https://example.auth.us-east-1.amazoncognito.com",
        "https://example.auth.us-east-1.amazoncognito.com/oauth2/token?x",
        "https://example.auth.us-west-2.amazoncognito.com/oauth2/token",
        "https://example.auth-fips.us-west-2.amazoncognito.com/oauth2/token",
        "https://EXAMPLE.AUTH.US-WEST-2.AMAZONCOGNITO.COM/oauth2/token",
        "https://example.auth.us-west-2.amazoncognito.com:443/oauth2/token",
        "https://amazoncognito.com/oauth2/token",
        *[url.format(path="/oauth2/token") for url in URLS],
    ],
    "OAUTH_HOST_SECONDARY": ["", "https://example.com/oauth2/authorize", TOKEN_URL],
    "SECRET_PREFIX": ["", "a/b", "-a", "a" * 33, "a b", "é", "a\n"],
    "PUBLIC_URL": [
        "",
        "https://auth.example.com/api",
        *[url.format(path="") for url in URLS],
    ],
    "ENDPOINT_URL_PRIMARY": [url.format(path="") for url in URLS],
    "ENDPOINT_URL_SECONDARY": ["http://10.0.0.1:4566"],
    "ACCESS_TOKEN_SECONDS": ["", "299", "86401", "-1", "3600.0", "1e3", "x", "٣٦٠٠", " 3600"],
    "FRESH_SECONDS": ["", "0", "301", "30s"],
    "STALE_SECONDS": ["", "29", "86401", "15m"],
    "ROTATE_APP_CLIENTS_AFTER_DAYS": ["", "-1", "3651", "1.5", "30d", "never"],
    "KMS_KEY_ID_PRIMARY": [
        " ",
        "surrogate",
        "alias/",
        "alias/aws/secretsmanager",
        "1234abcd-12ab-34cd-56ef-1234567890a",
        "mrk-1234abcd12ab34cd56ef1234567890ab\n",
        "arn:aws:kms:us-east-1:111122223333:alias/surrogate",
        "arn:aws:kms:us-west-2:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
    ],
    "KMS_KEY_ID_SECONDARY": ["key", "arn:aws:kms:us-west-2::key/x"],
    "SURFACES": ["", " ", "tokens", "token,admin", "token Admin"],
}


def settings(stage: str = "primary", **changes: str) -> Settings:
    return Settings.from_env({**environment(stage), **changes})


def wrong(**changes: str) -> str:
    """Return the error message for invalid settings."""
    with pytest.raises(SettingsError) as caught:
        settings(**changes)
    assert caught.value.__cause__ is None
    return str(caught.value)


def test_a_stage_selects_its_region() -> None:
    primary, secondary = settings("primary"), settings("secondary")
    assert (primary.own.name, primary.other.name) == ("us-east-1", "us-west-2")
    assert (secondary.own.name, secondary.other.name) == ("us-west-2", "us-east-1")
    assert primary.own == secondary.other == primary.primary
    assert primary.other == secondary.own == primary.secondary
    assert primary.own.user_pool_id.startswith("us-east-1_")
    assert "us-east-1" in primary.own.token_endpoint


def test_the_other_stage_has_the_regions_exchanged() -> None:
    assert settings("primary").seen_from_the_other_region() == settings("secondary")
    assert settings("secondary").seen_from_the_other_region() == settings("primary")


def test_both_stages_differ_in_one_variable_only() -> None:
    primary, secondary = environment("primary"), environment("secondary")
    assert primary.keys() == secondary.keys()
    assert [name for name in primary if primary[name] != secondary[name]] == ["APP_REGION"]


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_setting_is_named(name: str) -> None:
    environ = environment("primary")
    del environ[name]
    with pytest.raises(SettingsError, match=f"^{name}: is not set"):
        Settings.from_env(environ)


def test_the_required_settings_are_complete() -> None:
    environ = {name: value for name, value in environment("primary").items() if name in REQUIRED}
    found = Settings.from_env(environ)
    assert (found.access_token_seconds, found.fresh_seconds, found.stale_seconds) == (
        3600,
        30,
        900,
    )
    assert found.rotate_app_clients_after_days == 0
    assert found.surfaces == {"token", "admin"}
    assert (found.own.endpoint_url, found.other.endpoint_url) == (None, None)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in MALFORMED.items() for value in values]
)
def test_a_malformed_setting_is_named(name: str, value: str) -> None:
    assert wrong(**{name: value}).startswith(f"{name}: ")


@given(st.sampled_from(REQUIRED + list(MALFORMED)), st.text(max_size=30))
def test_any_value_of_a_setting_is_accepted_or_named(name: str, value: str) -> None:
    try:
        settings(**{name: value})
    except SettingsError as err:
        told = str(err)
    else:
        return
    # The error for a Region that does not match its user pool names the pool.
    assert told.startswith((f"{name}: ", "USER_POOL_ID_", "REGION_SECONDARY: ", "APP_REGION: "))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("https://auth.example.com", "https://auth.example.com"),
        ("https://auth.example.com/", "https://auth.example.com"),
        ("https://auth.example.com:8443", "https://auth.example.com:8443"),
        ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
    ],
)
def test_a_url_is_https_or_loopback_and_kept_without_the_last_slash(value: str, kept: str) -> None:
    found = settings(PUBLIC_URL=value, ENDPOINT_URL_PRIMARY=value)
    assert (found.public_url, found.own.endpoint_url) == (kept, kept)


def test_an_endpoint_may_have_a_path_and_the_public_url_none() -> None:
    """Below a path the metadata of RFC 8414 would be at another address, which is not served."""
    assert settings(ENDPOINT_URL_PRIMARY="https://a.example/b/").own.endpoint_url == (
        "https://a.example/b"
    )
    assert "no path" in wrong(PUBLIC_URL="https://auth.example.com/api")


@pytest.mark.parametrize(
    "host",
    [
        "example.auth.us-east-1.amazoncognito.com",
        "example.auth-fips.us-east-1.amazoncognito.com",
        "example.auth.us-east-1.amazoncognito.com:443",
        "auth.example.com",
        "us-west-2.example.com",
        "amazoncognito.com.example.com",
        "notamazoncognito.com",
    ],
)
def test_a_cognito_token_endpoint_must_be_in_its_region_and_a_custom_domain_need_not(
    host: str,
) -> None:
    """Invariant 4: an exchange that is sent to the other Region would fail with it."""
    url = f"https://{host}/oauth2/token"
    assert settings(OAUTH_HOST_PRIMARY=url).primary.token_endpoint == url


def test_both_regions_must_differ() -> None:
    pool, endpoint = "us-east-1_EXAMPLE22", TOKEN_URL
    told = wrong(
        REGION_SECONDARY="us-east-1",
        USER_POOL_ID_SECONDARY=pool,
        OAUTH_HOST_SECONDARY=endpoint,
    )
    assert told.startswith("REGION_SECONDARY: must differ")


def test_an_empty_endpoint_url_is_none() -> None:
    assert settings(ENDPOINT_URL_PRIMARY="").own.endpoint_url is None


@pytest.mark.parametrize(
    ("text", "surfaces"),
    [("token", {"token"}), ("admin", {"admin"}), ("admin  token", {"token", "admin"})],
)
def test_surfaces_are_one_or_both(text: str, surfaces: set[str]) -> None:
    assert settings(SURFACES=text).surfaces == surfaces


def test_stale_seconds_are_at_least_the_fresh_seconds() -> None:
    assert settings(FRESH_SECONDS="60", STALE_SECONDS="60").stale_seconds == 60
    assert wrong(FRESH_SECONDS="60", STALE_SECONDS="59").startswith("STALE_SECONDS: ")


# In a Region other than the stage's


def test_a_lambda_in_another_region_refuses_to_start() -> None:
    told = wrong(AWS_LAMBDA_FUNCTION_NAME="surrogate", AWS_REGION="us-west-2")
    assert told.startswith("APP_REGION: ")
    assert "us-east-1" in told
    assert "us-west-2" in told


def test_a_lambda_without_a_known_region_refuses_to_start() -> None:
    assert wrong(AWS_LAMBDA_FUNCTION_NAME="surrogate").startswith("APP_REGION: ")


def test_a_lambda_in_its_own_region_starts() -> None:
    found = settings(AWS_LAMBDA_FUNCTION_NAME="surrogate", AWS_REGION="us-east-1")
    assert found.own.name == "us-east-1"


def test_the_shells_region_is_ignored() -> None:
    assert settings(AWS_REGION="eu-central-1", AWS_DEFAULT_REGION="x").own.name == "us-east-1"


@pytest.mark.parametrize(
    "key",
    [
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "mrk-1234abcd12ab34cd56ef1234567890ab",
        "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
        "arn:aws-cn:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        "alias/surrogate",
        "alias/aws-surrogate/records",
    ],
)
def test_a_kms_key_is_named_by_id_arn_or_alias(key: str) -> None:
    assert settings(KMS_KEY_ID_PRIMARY=key).primary.kms_key_id == key


def test_without_a_setting_there_is_no_kms_key() -> None:
    for found in (settings(), settings(KMS_KEY_ID_PRIMARY="", KMS_KEY_ID_SECONDARY="")):
        assert (found.primary.kms_key_id, found.secondary.kms_key_id) == (None, None)


def test_an_alias_may_be_the_same_in_both_regions() -> None:
    both = settings(KMS_KEY_ID_PRIMARY="alias/surrogate", KMS_KEY_ID_SECONDARY="alias/surrogate")
    assert both.primary.kms_key_id == both.secondary.kms_key_id == "alias/surrogate"


def test_the_jwks_url_is_https_and_derived_from_the_pool_id() -> None:
    found = settings()
    for region in (found.primary, found.secondary):
        name, _, _ = region.user_pool_id.partition("_")
        issuer = f"https://cognito-idp.{name}.amazonaws.com/{region.user_pool_id}"
        assert (region.issuer, region.jwks_url) == (issuer, f"{issuer}/.well-known/jwks.json")
