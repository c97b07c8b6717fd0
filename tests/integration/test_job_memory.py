"""A job holds a chunk of what is trained and the dozen that its plots show, however many segments there are."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from registry.log import JobLog
from registry.registry import Registry
from training.champions import Champions
from training.config import load_config
from training.dataset import Dataset
from training.engines.work import Training
from training.highlights import SHOWN
from training.job import carry_out
from training.segment import Trained, train_segment

CHUNK, CHUNKS = 20, 25
CONFIG = load_config(None, {"source.path": "history.csv", "backtest.cutoffs": 1})


def test_outcomes_are_let_go_of_once_they_are_registered(registry: Registry, daily: pd.DataFrame) -> None:
    """Counted, each time that the job asks for more."""
    model = train_segment("model", daily, CONFIG)
    assert isinstance(model, Trained)
    alive: list[weakref.ref[Trained]] = []
    most = 0

    def outcomes() -> Iterator[list[Trained]]:
        nonlocal most
        for chunk in range(CHUNKS):
            yield [made(f"{chunk:02}/{number:02}") for number in range(CHUNK)]
            most = max(most, sum(one() is not None for one in alive))

    def made(segment: str) -> Trained:
        one = replace(model, segment=segment, volume=float(len(alive) % 97))
        alive.append(weakref.ref(one))
        return one

    log = JobLog(registry, "train", {})
    training = Training(outcomes(), CHUNK * CHUNKS, Dataset())
    report = carry_out(CONFIG, Champions(registry, CONFIG), log, training, None, time.monotonic())
    assert report.totals["trained"] == CHUNK * CHUNKS
    assert report.notes == ()
    assert most - CHUNK <= 2 * SHOWN
    assert len([one for one in alive if one() is not None]) == 0
