"""How the strength of a secret that somebody else made is estimated."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surrogatectl.adopt.secret_strength import MIN_BITS, estimated_bits
from tests.unit.surrogatectl.adopt.adoption_world import cognito_secret


@pytest.mark.parametrize("seed", range(200))
def test_what_cognito_generates_is_strong(seed: int) -> None:
    assert estimated_bits(cognito_secret(seed, length=51 + seed % 2)) > 240


@pytest.mark.parametrize(
    ("secret", "bits"),
    [
        ("0123456789abcdef" * 4, 100),
        ("a" * 64, 1),
        ("ab" * 32, 16),
        ("xK9" * 20, 64),
        ("password" * 8, 64),
        (string.ascii_letters + string.digits, 64),
        ("13579bdfhjlnprtvxz" + "zxvtrpnljhfdb97531", 100),
        (cognito_secret(5, string.ascii_letters, 20) * 3, 127),
        (cognito_secret(6, "01", 100), 100),
        (cognito_secret(7, string.digits, 38), 127),
        (cognito_secret(8, "0123456789abcdef", 31), 127),
        (cognito_secret(9, string.ascii_letters, 22), 127),
        (cognito_secret(10, string.ascii_letters + string.digits, 21) + "===", 126),
        ("", 0),
        ("====", 0),
    ],
)
def test_what_is_short_or_repeats_itself_is_weak(secret: str, bits: float) -> None:
    assert estimated_bits(secret) <= bits < MIN_BITS


@pytest.mark.parametrize(
    ("alphabet", "length"),
    [
        ("0123456789abcdef", 34),
        (string.digits, 42),
        (string.ascii_letters + string.digits + "+_", 26),
        (string.ascii_lowercase + "234567", 30),
    ],
)
def test_what_somebody_drew_at_random_is_strong(alphabet: str, length: int) -> None:
    strong = [estimated_bits(cognito_secret(seed, alphabet, length)) for seed in range(100)]
    assert sum(bits >= MIN_BITS for bits in strong) >= 98


@given(st.text(max_size=80))
def test_a_secret_never_counts_for_more_than_its_length(secret: str) -> None:
    assert 0 <= estimated_bits(secret) <= 6.6 * len(secret)


@given(st.text(string.ascii_letters + string.digits, min_size=1, max_size=40))
def test_saying_it_twice_makes_no_secret_strong(secret: str) -> None:
    assert estimated_bits(secret * 2) <= estimated_bits(secret) * 1.6 + 6
