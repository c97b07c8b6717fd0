"""The types are those of docs/openapi.json, field by field; the package needs httpx and nothing of the server's."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import pytest

from prophet_serving_client import contract

ROOT = Path(__file__).resolve().parents[3]
SCHEMAS = json.loads((ROOT / "docs/openapi.json").read_text(encoding="utf-8"))["components"]["schemas"]
SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_each_schema_has_its_type(name: str) -> None:
    """Where this fails the document has changed: change contract.py (and __init__.py) as it says."""
    schema, kind = SCHEMAS[name], getattr(contract, name)
    hints = typing.get_type_hints(kind)
    assert {field: _of_hint(hint) for field, hint in hints.items()} == {
        field: _of_schema(each) for field, each in schema["properties"].items()
    }
    assert kind.__required_keys__ == set(schema.get("required", ()))


def _of_hint(hint: Any) -> Any:
    """A type in the form that _of_schema gives, too."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return {"any of": sorted((_of_hint(each) for each in inner), key=str)}
    if origin is list:
        return {"list of": _of_hint(inner[0])}
    if origin is dict:
        return {"values of": _of_hint(inner[1])}
    if origin is typing.Literal:
        return {"one of": sorted(inner)}
    return SCALARS.get(hint) or hint.__name__


def _of_schema(schema: dict[str, Any]) -> Any:
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[1]
    if "anyOf" in schema:
        return {"any of": sorted((_of_schema(each) for each in schema["anyOf"]), key=str)}
    if "enum" in schema:
        return {"one of": sorted(schema["enum"])}
    if schema["type"] == "array":
        return {"list of": _of_schema(schema["items"])}
    if schema["type"] == "object":
        return {"values of": _of_schema(schema["additionalProperties"])}
    return schema["type"]


def test_the_built_package_imports_httpx_and_nothing_of_the_server(tmp_path: Path) -> None:
    """A wheel, installed where nothing of this checkout is."""
    client = Path(__file__).resolve().parents[1]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    source = tmp_path / "source"  # setuptools writes beside its source
    subprocess.run(["cp", "-r", str(client), str(source)], check=True)
    place = tmp_path / "installed"
    installing = [*pip, "install", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(place)]
    subprocess.run([*installing, str(source)], check=True, capture_output=True, timeout=240)
    assert (place / "prophet_serving_client/py.typed").exists()
    code = """
import sys; sys.path.insert(0, sys.argv[1])
import prophet_serving_client
assert prophet_serving_client.__file__.startswith(sys.argv[1]), prophet_serving_client.__file__
server = ("numpy", "pandas", "pydantic", "mlflow", "bentoml", "starlette", "serving", "registry", "forecasting")
print([name for name in server if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-I", "-c", code, str(place)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_callers_get_the_types_that_they_ask_for(tmp_path: Path) -> None:
    """mypy --strict knows rows from columns, and what may be a problem; the README's examples pass it, too."""
    client = Path(__file__).resolve().parents[1]
    examples = re.findall(r"^```python\n(.*?)^```", (client / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert len(examples) == 3
    good, readme = tmp_path / "good.py", tmp_path / "readme.py"
    good.write_text(GOOD, encoding="utf-8")
    readme.write_text("def fetch_token() -> str: return ''\n" + "\n".join(examples), encoding="utf-8")
    checking = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run(
        [*checking, str(good), str(readme)],
        env={"MYPYPATH": str(client / "src"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --strict warns of an ignore that ignores nothing, so each of those here is an error that must be there.
GOOD = """
from prophet_serving_client import AsyncForecastClient, ForecastClient, ForecastRequest, is_problem

client = ForecastClient("http://127.0.0.1:3000", lambda: "token")
rows: list[float] = [row["yhat"] for row in client.forecast({"model_id": "a", "periods": 7}, timeout=1.0)["forecast"]]
columns: list[float] = client.forecast({"model_id": "a", "format": "columns"})["columns"]["yhat_upper"]
for result in client.forecast_batch([{"model_id": "a"}, {"data": [{"ds": "2024-01-01", "y": 1}]}]):
    if is_problem(result):
        print(result["code"])
    else:
        print(result["forecast"][0]["ds"])
through: list[str | None] = [model["trained_through"] for model in client.models(limit=10)]

async def awaited(caller: AsyncForecastClient) -> list[str]:
    answer = await caller.forecast({"model_id": "a"}, request_id="1")
    return [row["ds"] for row in answer["forecast"]] + [model["name"] async for model in caller.models()]

client.forecast({"modelId": "a"})  # type: ignore[call-overload]
client.forecast({"periods": "30"})  # type: ignore[call-overload]
client.forecast({"format": "columns"})["forecast"]  # type: ignore[typeddict-item]
client.forecast({}, seconds=3)  # type: ignore[call-overload]
"""
