"""The answer to a batch as one Arrow stream: what a data frame holds, without the way through text.

pyarrow comes with MLflow and takes a worker a while and memory to load, so it is loaded when first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from itertools import chain

import numpy as np
import numpy.typing as npt
import orjson

from serving.outcomes import Answer, Outcome, Refusal, Refused
from serving.problems import as_problem
from serving.schemas import BatchRequest, Fault

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
RESULTS = b"results"  # the key of the schema's metadata that says where each request's rows come from


def is_wanted(accepted: str) -> bool:
    """Whether an Accept names Arrow's stream, without a weight of 0; whoever takes anything gets JSON."""
    for part in accepted.lower().split(","):
        kind, _, parameters = part.partition(";")
        if kind.strip() == MEDIA_TYPE:
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def check(batch: BatchRequest) -> None:
    """Refuse what a stream cannot carry, before anything is computed. Raises Refused."""
    if find_spec("pyarrow") is None:
        raise Refused("not_acceptable", "this service was installed without pyarrow: ask for application/json")
    for number, asked in enumerate(batch.requests):
        if asked.components:
            place = f"requests.{number}.components"
            message = "an Arrow stream has no components: they differ from model to model"
            raise Refused("invalid_request", f"{place}: {message}", (Fault(place=place, message=message),))


def batch_stream(outcomes: Sequence[Outcome]) -> bytes:
    """An IPC stream of all rows, in the order of the requests.

    Columns: `request` (its place in the batch, from 0), `model_id` (a dictionary), `ds` (timestamps without a zone),
    `yhat`, `yhat_lower`, `yhat_upper`. The schema's metadata has `results`: a JSON list with, for each request, a
    Problem, or what a Forecast says beside its rows.
    """
    import pyarrow as pa

    answers = [(number, outcome) for number, outcome in enumerate(outcomes) if isinstance(outcome, Answer)]
    lengths = [len(answer.yhat) for _, answer in answers]
    numbers = np.arange(len(answers), dtype=np.int32)
    columns = {
        "request": pa.array(np.repeat(np.array([number for number, _ in answers], dtype=np.int32), lengths)),
        "model_id": pa.DictionaryArray.from_arrays(
            pa.array(np.repeat(numbers, lengths)), pa.array([answer.model_id for _, answer in answers], pa.string())
        ),
        "ds": pa.array(_dates([answer.ds for _, answer in answers])),
        "yhat": pa.array(_floats(answer.yhat for _, answer in answers)),
        "yhat_lower": pa.array(_floats(answer.yhat_lower for _, answer in answers)),
        "yhat_upper": pa.array(_floats(answer.yhat_upper for _, answer in answers)),
    }
    table = pa.table(columns, metadata={RESULTS: orjson.dumps([_result(outcome) for outcome in outcomes])})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


def _dates(texts: Sequence[Sequence[str]]) -> npt.NDArray[np.datetime64]:
    """All dates, in microseconds; those that answers share are read once."""
    read: dict[int, npt.NDArray[np.datetime64]] = {}
    for own in texts:
        if id(own) not in read:
            read[id(own)] = np.array(own, dtype="M8[us]")
    return np.concatenate([np.empty(0, dtype="M8[us]"), *(read[id(own)] for own in texts)])


def _floats(columns: Iterable[Sequence[float]]) -> npt.NDArray[np.float64]:
    return np.fromiter(chain.from_iterable(columns), dtype=np.float64)


def _result(outcome: Outcome) -> object:
    if isinstance(outcome, Refusal):
        return as_problem(outcome).model_dump(mode="json")
    model = orjson.Fragment(outcome.model)
    return {"model_id": outcome.model_id, "generated_at": outcome.generated_at, "model": model}
