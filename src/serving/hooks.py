"""MLflow's webhooks: whether a delivery is signed with our secret, and which segment it speaks of.

MLflow signs `id.timestamp.body` with HMAC-SHA256, after the convention called Standard Webhooks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from registry.changes import segment_named
from registry.errors import BadSegment
from registry.names import model_name
from registry.registry import CHAMPION
from serving.outcomes import Refused

MOST_BYTES = 64 * 1024  # of a body; MLflow's has some hundreds
RATE = 200.0  # deliveries a second that one worker takes
_WINDOW_SECONDS = 300.0  # that a delivery may be old, or our clock behind
_SIGNATURE, _DELIVERY, _TIMESTAMP = "x-mlflow-signature", "x-mlflow-delivery-id", "x-mlflow-timestamp"


def check_age(headers: Mapping[str, str]) -> None:
    """Refuse, before its body is read, a delivery that is not signed or too old. Raises Refused."""
    try:
        age = abs(time.time() - int(headers.get(_TIMESTAMP, "")[:20]))
    except ValueError:
        raise _stranger() from None
    if age > _WINDOW_SECONDS or _SIGNATURE not in headers or _DELIVERY not in headers:
        raise _stranger()


def check_signature(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Refuse what is not signed with the secret. Raises Refused."""
    signed = f"{headers[_DELIVERY]}.{headers[_TIMESTAMP]}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256))
    if not hmac.compare_digest(expected, headers[_SIGNATURE].encode()):
        raise _stranger()


class _Alias(BaseModel):
    name: str
    alias: str


class _Event(BaseModel):
    """What there is in every event about an alias, whatever else it says."""

    data: _Alias


def segment_in(body: bytes) -> str | None:
    """The segment whose champion a delivery says has changed, None where it speaks of something else."""
    try:
        said = _Event.model_validate_json(body).data
        segment = segment_named(said.name) if said.alias == CHAMPION else None
        return segment if segment is None or model_name(segment) == said.name else None
    except (ValidationError, BadSegment):
        return None


def _stranger() -> Refused:
    return Refused("unauthenticated", "this takes only what MLflow signed with FORECAST_WEBHOOK_SECRET just now")
