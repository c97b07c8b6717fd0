"""A job that registers the same segments round after round, for tests to race and to kill in processes of their own."""

from __future__ import annotations

from multiprocessing.synchronize import Barrier, Event

from registry.errors import RegistryError
from registry.log import JobLog
from registry.records import SegmentRecord
from registry.registry import Registry


def register(
    store: str,
    name: str,
    model_json: str,
    segments: int,
    start: Barrier,
    rounds: int = 10_000,
    stop: Event | None = None,
) -> None:
    """Get ready, wait for everybody who starts at once, and write until told to stop; an error ends the process."""
    with JobLog(Registry(store), name, {}) as job:
        writer = job.writer
        start.wait()
        for _ in range(rounds):
            if stop is not None and stop.is_set():
                return
            outcomes = writer.write(
                SegmentRecord(f"s{number}", model_json, (), {}, {}, {"job": name}, True, name)
                for number in range(segments)
            )
            errors = [outcome for outcome in outcomes if isinstance(outcome, RegistryError)]
            if errors:
                raise errors[0]
