"""What can go wrong with a job as a whole; what goes wrong with one segment is a Fault in the report.

TrainingError
├── ConfigError  the configuration names a key or value that does not exist
└── SourceError  the history cannot be read, or lacks columns or segments
"""

from __future__ import annotations


class TrainingError(Exception):
    """Base of every error that ends a job."""


class ConfigError(TrainingError):
    """The configuration is not valid; the message names every key at fault."""


class SourceError(TrainingError):
    """The history cannot be read, or lacks columns or segments that were asked for."""
