"""Filters of ListSecrets, as the API reference describes them key by key."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from local.aws_gaps.errors import AwsError

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_KEYS = frozenset(
    {"description", "name", "tag-key", "tag-value", "primary-region", "owning-service", "all"}
)


def matches(secret: Mapping[str, Any], filters: Sequence[Mapping[str, Any]]) -> bool:
    """
    Return whether *secret* passes every filter.

    The values of one filter are alternatives. A value that starts with `!` must not match.

    Raises:
        AwsError: If a filter has an unknown key or no values.
    """
    for item in filters:
        key, values = item.get("Key", ""), item.get("Values", [])
        if key not in _KEYS or not values:
            msg = f"Invalid filter: {key or 'Key is missing'}."
            raise AwsError("InvalidParameterException", msg)
    return all(_passes(secret, item["Key"], item["Values"]) for item in filters)


def primary_region(secret: Mapping[str, Any]) -> str | None:
    """Return the Region of the primary, none for a secret without replicas."""
    if secret.get("_PrimaryRegion"):
        return str(secret["_PrimaryRegion"])
    return str(secret["ARN"]).split(":")[3] if secret.get("ReplicationStatus") else None


def _passes(secret: Mapping[str, Any], key: str, values: Sequence[str]) -> bool:
    unwanted = [value[1:] for value in values if value.startswith("!")]
    wanted = [value for value in values if not value.startswith("!")]
    if any(_has(secret, key, value) for value in unwanted):
        return False
    return not wanted or any(_has(secret, key, value) for value in wanted)


def _has(secret: Mapping[str, Any], key: str, value: str) -> bool:
    tags = secret.get("Tags") or []
    description = secret.get("Description") or ""
    keys = [str(tag["Key"]) for tag in tags]
    values = [str(tag.get("Value", "")) for tag in tags]
    if key == "all":
        return _shares_word([secret["Name"], description, *keys, *values], value)
    if key == "description":
        return _any_word_starts(description, value)
    prefixed = {
        "name": [secret["Name"]],
        "tag-key": keys,
        "tag-value": values,
        "primary-region": [primary_region(secret) or ""],
        "owning-service": [secret.get("OwningService") or ""],
    }
    return any(text.startswith(value) for text in prefixed[key])


def _any_word_starts(text: str, value: str) -> bool:
    lowered, wanted = text.lower(), value.lower()
    return lowered.startswith(wanted) or any(
        lowered.startswith(wanted, word.start()) for word in re.finditer(r"\S+", lowered)
    )


def _shares_word(texts: Iterable[str], value: str) -> bool:
    present = {word.lower() for text in texts for word in _WORD.findall(text)}
    return any(word.lower() in present for word in _WORD.findall(value))
