"""What can go wrong between us and the registry.

RegistryError
├── BadSegment           no registered model can have this segment's name
├── BadRecord            a segment's params, metrics or tags, or a row of the log, are such as no store takes
├── BadPageToken         a page token is not one that `champions` gave
├── UnknownSegment       no registered model has this segment's name
├── NoChampion           the registered model is there, its alias `champion` is not
├── UnknownVersion       the registered model has no such version
├── NothingToRollBackTo  the champion is the only version there ever was
├── NotResumable         a run is unknown, or not that of a job that was cut short
├── BadArtifact          a version's files are refused or cannot be read
├── ForecastLogError     there is no forecast log, or it is another release's
│   └── ForecastLogUnavailable  its database does not answer
└── RegistryUnavailable  the tracking server or its database does not answer
"""

from __future__ import annotations


class RegistryError(Exception):
    """Base of every error that the registry raises on purpose."""


class BadSegment(RegistryError):
    """A segment's key is empty, too long, or holds characters that no database takes."""


class BadRecord(RegistryError):
    """A segment's params, metrics or tags, or a row of the forecast log, are such as no store takes."""


class BadPageToken(RegistryError):
    """A page token is not one that `champions` gave."""


class UnknownSegment(RegistryError):
    """No registered model has this segment's name."""


class NoChampion(RegistryError):
    """The segment is registered, but nothing is promoted."""


class UnknownVersion(RegistryError):
    """The segment has no version of that number."""


class NothingToRollBackTo(RegistryError):
    """There is no version before the champion."""


class NotResumable(RegistryError):
    """A run is unknown, or not that of a job that was cut short."""


class BadArtifact(RegistryError):
    """A version's files are refused or cannot be read."""


class ForecastLogError(RegistryError):
    """There is no forecast log there, or its tables are another release's."""


class ForecastLogUnavailable(ForecastLogError):
    """The forecast log's database does not answer, or does not let us in."""


class RegistryUnavailable(RegistryError):
    """The tracking server or its database does not answer."""
