"""The one pair of functions between a segment and the name of its registered model."""

from __future__ import annotations

from registry.errors import BadSegment

PREFIX = "forecast."
LONGEST = 256  # characters that MLflow's tables hold for a name

# MLflow refuses "/" and ":" in names; "%" is written out so that the way back is unambiguous.
_ESCAPES = (("%", "%25"), ("/", "%2F"), (":", "%3A"))


def model_name(segment: str) -> str:
    """Name the registered model of a segment: `forecast.` and the key, with `%`, `/`, `:` escaped.

    Raises BadSegment for a key that is empty, holds a NUL or half a surrogate pair, or whose name would be
    longer than 256 characters.
    """
    if not segment:
        raise BadSegment("a segment's key needs at least one character")
    if "\0" in segment or any("\ud800" <= character <= "\udfff" for character in segment):
        raise BadSegment(f"segment {segment!a} holds a character that cannot be stored")
    name = _escaped(PREFIX + segment)
    if len(name) > LONGEST:
        raise BadSegment(f"segment {segment[:40]!r}... makes a name of {len(name)} characters; {LONGEST} is the limit")
    return name


def filter_for(name: str) -> str:
    """Write MLflow's search filter that finds this name, and where it holds quotes perhaps some more.

    The filter language has no escapes, so quotes and backslashes are written as LIKE's wildcard for one character:
    compare what is found.
    """
    plain = _without_quotes(name)
    return f"name = '{name}'" if plain == name else f"name LIKE '{plain}'"


def filter_for_prefix(prefix: str) -> str:
    """As filter_for, for all segments whose keys start so: compare what is found."""
    return f"name LIKE '{_without_quotes(_escaped(PREFIX + prefix))}%'"


def segment_of(name: str) -> str:
    """Give back the segment of a registered model; the inverse of model_name.

    Raises ValueError for a name that does not start with `forecast.`.
    """
    if not name.startswith(PREFIX):
        raise ValueError(f"{name!r} is not the name of a segment's model: it does not start with {PREFIX!r}")
    segment = name.removeprefix(PREFIX)
    for plain, escaped in reversed(_ESCAPES):
        segment = segment.replace(escaped, plain)
    return segment


def _escaped(name: str) -> str:
    for plain, escaped in _ESCAPES:
        name = name.replace(plain, escaped)
    return name


def _without_quotes(name: str) -> str:
    return name.translate(str.maketrans("'\"\\", "___"))
