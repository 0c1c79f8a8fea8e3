"""
How hard a secret that somebody else made is to guess: a cautious estimate.

The estimate is *characters that count* times log2(*size of the alphabet*).

*Size of the alphabet*: the smallest of the usual ones (digits, hexadecimal,
letters, base32, base36, base62, base64, printable ASCII) that has every
character of the secret.  If the secret shows clearly fewer different characters
than so many draws from it would, only those that it shows are the alphabet.

*Characters that count*: from the left, a run of four or more characters that
occurred before counts as one; and likewise for the steps between neighbors, so
that `abcdefgh` and `13579` count for little.  The smaller count is taken.

It sees through no dictionary: `estimated_bits` of four English words is too
high.  Cognito's own secrets (51 or more of `[a-z0-9]`) are far above the bound.
"""

from __future__ import annotations

import math
import string
import sys
from itertools import pairwise
from typing import Final

MIN_BITS: Final = 128
"""Secrets below this could be found by trying; argon2 is not there to make up for it."""

_LOWER, _UPPER, _DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
_ALPHABETS: Final = tuple(
    frozenset(characters)
    for characters in (
        _DIGITS,
        _DIGITS + "abcdef",
        _DIGITS + "ABCDEF",
        _LOWER,
        _UPPER,
        _LOWER + "234567",
        _UPPER + "234567",
        _LOWER + _DIGITS,
        _UPPER + _DIGITS,
        _LOWER + _UPPER,
        _LOWER + _UPPER + _DIGITS,
        _LOWER + _UPPER + _DIGITS + "+/",
        _LOWER + _UPPER + _DIGITS + "-_",
        _LOWER + _UPPER + _DIGITS + "+_",
    )
)
_PRINTABLE: Final = 94
# Random text falls below this share of the expected different characters less
# than once in a thousand times, at the lengths where it matters (24 and more).
_CLEARLY_FEWER: Final = 0.7
_RUN: Final = 4
_LONGEST: Final = 512  # what follows cannot make a secret weak


def estimated_bits(secret: str) -> float:
    """Return how many random bits *secret* seems to hold, rather too few than too many."""
    # Padding is no information.
    text = secret[:_LONGEST].rstrip("=")
    if not text:
        return 0.0
    steps = "".join(
        chr((ord(after) - ord(before)) % (sys.maxunicode + 1)) for before, after in pairwise(text)
    )
    counting = min(_counting(text), 1 + _counting(steps))
    return counting * math.log2(_alphabet_size(text))


def _alphabet_size(text: str) -> int:
    shown = set(text)
    size = next((len(each) for each in _ALPHABETS if shown <= each), _PRINTABLE)
    expected = size * (1 - (1 - 1 / size) ** len(text))
    return len(shown) if len(shown) < _CLEARLY_FEWER * expected else size


def _counting(symbols: str) -> int:
    """Return how many of *symbols* count when a run that occurred before counts as one."""
    count = at = 0
    while at < len(symbols):
        run = 1
        while at + run < len(symbols) and symbols[at : at + run + 1] in symbols[: at + run]:
            run += 1
        at += run if run >= _RUN else 1
        count += 1
    return count
